"""Published by a column: computed at once, one version a value, and each is read by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from lineal.assets.run import Run
from lineal.project import Project

PIPELINE = """
from typing import Annotated

import pandas as pd
from lineal import asset, by_column, check, last, source

source("raw/rows", "rows.csv")


@asset(partitions=by_column("month"))
def sales(raw_rows: pd.DataFrame) -> pd.DataFrame:
    print("computed")
    return raw_rows


@check(sales)
def small(sales: pd.DataFrame) -> bool:
    return bool((sales["amount"] < LIMIT).all())


@asset(partitions=sales)
def mean(sales: pd.DataFrame, partition) -> pd.DataFrame:
    return pd.DataFrame({"month": [str(partition)], "mean": [sales["amount"].mean()]})


@asset(partitions=sales)
def trend(mean: Annotated[pd.DataFrame, last(2)]) -> pd.DataFrame:
    return mean


@asset
def total(mean: pd.DataFrame) -> float:
    return float(mean["mean"].sum())
"""
JANUARY_TWICE = ["2013-01,1", "2013-02,2", "2013-12,5", "2013-01,3"]


class Shop:
    """A project whose one source holds a row a line."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.limit(100)

    def limit(self, most: int) -> None:
        (self.root / "pipeline.py").write_text(PIPELINE.replace("LIMIT", str(most)))

    def make(self, *rows: str, jobs: int | None = None) -> dict[str, str]:
        """Outcomes of all that was not fresh, by step."""
        if rows:
            (self.root / "rows.csv").write_text("\n".join(("month,amount", *rows)) + "\n")
        return told(Project(self.root).materialize(jobs=jobs))

    def load(self, name: str, partition: str | None = None) -> object:
        return Project(self.root).load(name, partition=partition)


def told(run: Run) -> dict[str, str]:
    return {str(s.step): s.outcome for s in run.steps if s.outcome != "fresh"}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_all_that_reads_a_slice_is_made_in_the_very_first_run(shop: Shop) -> None:
    made = shop.make(*JANUARY_TWICE)
    months = ["2013-01", "2013-02", "2013-12"]
    slices = [f"{name} {month}" for name in ("mean", "trend") for month in months]
    assert made == dict.fromkeys(["raw/rows", "sales", *slices, "total"], "made")
    assert list(made) == ["raw/rows", "sales", *slices, "total"]
    assert shop.make() == {}
    assert shop.load("total") == 2.0 + 2.0 + 5.0


def test_a_corrected_december_leaves_the_other_months_fresh(shop: Shop) -> None:
    shop.make(*JANUARY_TWICE)
    assert shop.make("2013-01,1", "2013-02,2", "2013-12,7", "2013-01,3") == {
        "raw/rows": "made",
        "sales": "made",
        "mean 2013-12": "made",
        "trend 2013-12": "made",
        "total": "made",
    }
    assert shop.load("total") == 2.0 + 2.0 + 7.0
    assert shop.make() == {}


def test_a_value_that_is_gone_is_retired_and_one_that_is_new_is_made(shop: Shop) -> None:
    shop.make(*JANUARY_TWICE)
    made = shop.make("2013-01,1", "2013-03,2", "2013-12,5", "2013-01,3")
    assert made.keys() == {
        "raw/rows", "sales", "mean 2013-03", "trend 2013-03", "trend 2013-12", "total",
    }  # fmt: skip
    whole = shop.load("sales")
    assert sorted(whole["month"].unique()) == ["2013-01", "2013-03", "2013-12"]  # type: ignore[index]  # a frame
    history = Project(shop.root).history()
    assert {"2013-02"} == history.retired("sales").keys() == history.retired("mean").keys()
    history.close()
    assert shop.make() == {}


def test_the_run_names_every_slice_that_it_retires(shop: Shop) -> None:
    shop.make(*JANUARY_TWICE)
    (shop.root / "rows.csv").write_text("month,amount\n2013-01,1\n2013-12,5\n")
    retired = Project(shop.root).materialize().retired
    assert [(r.asset, r.partition) for r in retired] == [
        ("sales", "2013-02"),
        ("mean", "2013-02"),
        ("trend", "2013-02"),
    ]


def test_what_was_made_before_comes_back_without_a_computation(shop: Shop) -> None:
    shop.make(*JANUARY_TWICE)
    shop.make("2013-01,1", "2013-03,2")
    again = shop.make(*JANUARY_TWICE)
    assert set(again.values()) == {"reused"}
    assert shop.load("total") == 2.0 + 2.0 + 5.0


def test_no_slice_of_a_refused_table_is_seen_and_none_is_computed_again(shop: Shop) -> None:
    shop.make(*JANUARY_TWICE)
    refused = shop.make("2013-01,1", "2013-02,2", "2013-12,700")
    assert refused["sales"] == "blocked"
    assert {refused[name] for name in ("mean 2013-12", "total")} == {"skipped"}
    assert shop.load("sales", "2013-12")["amount"].tolist() == [5]  # type: ignore[index]  # a frame
    shop.limit(1000)
    assert shop.make()["sales"] == "reused"
    assert shop.load("sales", "2013-12")["amount"].tolist() == [700]  # type: ignore[index]  # a frame


def test_worker_processes_make_the_same(shop: Shop) -> None:
    made = shop.make(*JANUARY_TWICE, jobs=2)
    assert set(made.values()) == {"made"}
    assert shop.make() == {}
    assert shop.load("total") == 9.0


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["2013-01,1", ",2"], "null in 1 rows"),
        ([], "it has no rows"),
        (["a/b,1"], "can't name a partition"),
    ],
)
def test_values_that_name_no_partition_are_told(shop: Shop, rows: list[str], says: str) -> None:
    (shop.root / "rows.csv").write_text("\n".join(("month,amount", *rows)) + "\n")
    run = Project(shop.root).materialize()
    (failed,) = [s for s in run.steps if s.outcome == "failed"]
    assert says in str(failed.error)


def test_slices_that_another_check_accepts_are_read_in_that_run(shop: Shop) -> None:
    shop.make("2013-01,1", "2013-02,2")
    shop.limit(99)
    assert shop.make() == {"sales": "reused"}
    assert shop.make() == {}


def test_certain_slices_are_waited_for_until_a_run_finds_them(shop: Shop) -> None:
    only = PIPELINE.replace("last", "only").replace("only(2)", 'only("2013-02")')
    (shop.root / "pipeline.py").write_text(only.replace("LIMIT", "100"))
    assert shop.make("2013-01,1", "2013-02,2")["trend 2013-01"] == "made"
    made = shop.make("2013-01,1")
    assert (made["sales"], made["trend 2013-01"]) == ("made", "skipped")
    assert shop.make() == {"trend 2013-01": "skipped"}
    made = shop.make("2013-01,1", "2013-02,3")
    assert (made["trend 2013-01"], made["trend 2013-02"]) == ("made", "made")
    assert shop.make() == {}


def test_slices_that_come_back_are_read_by_who_reads_the_last(shop: Shop) -> None:
    text = (shop.root / "pipeline.py").read_text()
    reader = "\n\n@asset\ndef latest(sales: Annotated[pd.DataFrame, last(1)]) -> str:\n"
    (shop.root / "pipeline.py").write_text(text + reader + '    return sales["month"][0]\n')
    both, one = ("2013-01,1", "2013-02,2"), ("2013-01,1",)
    shop.make(*both)
    shop.make(*one)
    assert shop.load("latest") == "2013-01"
    assert shop.make(*both)["sales"] == "reused"
    assert shop.load("latest") == "2013-02"
    assert shop.make() == {}
