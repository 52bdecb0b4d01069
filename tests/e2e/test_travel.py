"""What was current then, and how it differs from now: `@`, `at=`, `--at`, `diff`."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

import lineal
from lineal.assets.errors import UsageError
from lineal.assets.records import Column, Reason
from lineal.cli.differences import diff_lines
from lineal.cli.render import Style, span
from lineal.cli.run_differences import run_diff_lines
from lineal.comparing import Versions
from lineal.lineage.compare import RunsDifference
from tests.e2e.command_line import Workplace

DAY_BEFORE = "1999-12-31"
WIDE = Style(120, ascii=False)


class Travelled(Workplace):
    """A project made twice, with edits in between."""

    then: str = ""  # a moment between the two runs

    def said(self, *words: str) -> str:
        said = self.lineal(*words)
        assert said.code == 0, said.out + said.err
        return said.out

    def refused(self, *words: str) -> str:
        said = self.lineal(*words)
        assert said.code == 2, said.out + said.err
        assert not said.out
        return said.err

    def diff(self, *words: str) -> Any:
        return json.loads(self.said("diff", *words, "--json"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Travelled:
    place = Travelled(tmp_path_factory.mktemp("travel") / "project")
    place.write("data/orders-eu.csv", "id,customer,amount\n1,a,10.0\n2,b,20.0\n3,a,30.0\n")
    place.write("data/orders-us.csv", "id,customer,amount\n7,x,70.0\n")
    place.write("data/old.csv", "x\n1\n")
    place.write("helpers.py", "RATE = 1.5\n\n\ndef gross(amount):\n    return amount * RATE\n")
    place.write(
        "pipeline.py",
        """
        import pandas as pd
        from helpers import gross

        from lineal import Result, asset, source, sql_asset

        source("raw/orders", "data/orders-{region}.csv")
        source("raw/old", "data/old.csv")


        @asset(partitions="raw/orders", primary_key="id")
        def orders(raw_orders):
            return raw_orders.assign(note="n")


        @asset(primary_key="id")
        def priced(orders):
            return orders.assign(gross=gross(orders["amount"]))


        sql_asset("ranked", "select id, gross from priced order by gross", keep_order=True)


        @asset
        def summary(priced, digits: int = 2):
            mean = round(float(priced["gross"].mean()), digits)
            return Result({"mean": mean, "by": {"n": len(priced)}}, metrics={"mean": mean})


        @asset
        def model(priced):
            return Result({"weights": (1.5, float(priced["gross"].sum()))}, metrics={"fit": 0.5})


        @asset
        def steady(raw_old):
            return raw_old
        """,
    )
    place.make()
    (first,) = json.loads(place.said("runs", "--json"))
    place.then = first["ended_at"].replace("+00:00", "Z")
    place.edit("helpers.py", "RATE = 1.5", "RATE = 2.0")
    place.edit("data/orders-eu.csv", "2,b,20.0\n", "")
    place.edit("data/orders-eu.csv", "3,a,30.0", "3,a,31.0\n4,c,40.0")
    place.write("data/orders-asia.csv", "id,customer,amount\n9,y,90.0\n")
    (place.root / "data/orders-us.csv").unlink()
    place.make()
    return place


# ------------------------------------------------------------------------------------- travel


def test_everything_that_takes_a_version_takes_a_moment(place: Travelled) -> None:
    then = f"priced@{place.then}"
    shown = place.said("show", then)
    assert "4 rows × 5" in shown
    assert shown.startswith("priced@")
    assert "1 row × 4" in place.said("show", f"orders@{place.then}", "--partition", "us")
    assert "1 row × 4" in place.said("show", f"orders us@{place.then}")
    parts = place.said("show", f"orders@{place.then}")
    assert "eu, us" in parts
    assert "asia" not in parts
    assert len(place.said("path", f"orders@{place.then}").splitlines()) == 2
    versions = place.said("show", "priced").splitlines()[-1]
    assert place.said("show", then).splitlines()[-1] == versions  # what is current now is marked
    assert "data/orders-us.csv" in place.said("lineage", then)
    assert "data/orders-us.csv" not in place.said("lineage", "priced")
    assert place.said("show", f"priced@{dt.datetime.now(dt.UTC):%Y-%m-%d}").count("4 rows × 5")


def test_values_are_loaded_as_they_were(place: Travelled) -> None:
    project = lineal.open(place.root)
    moment = dt.datetime.fromisoformat(place.then)
    assert list(project.load("priced", at=place.then)["id"]) == [1, 2, 3, 7]
    assert list(project.load("priced", at=moment)["id"]) == [1, 2, 3, 7]
    assert list(project.load(f"priced@{place.then}")["id"]) == [1, 2, 3, 7]
    assert list(project.load("orders", at=moment)["id"]) == [1, 2, 3, 7]
    assert list(project.load("orders", partition="us", at=moment)["id"]) == [7]
    assert project.load("summary", at=moment)["by"] == {"n": 4}
    assert list(project.load("priced")["id"]) == [9, 1, 3, 4]
    with pytest.raises(UsageError, match="says which version"):
        project.load("priced@9f3a2c", at=moment)
    with pytest.raises(UsageError, match="still to come"):
        project.load("priced", at=dt.date(2999, 1, 1))


def test_sql_sees_every_table_as_it_was(place: Travelled) -> None:
    both = (
        f"select (select sum(id) from orders) now, "
        f'(select sum(id) from "orders@{place.then}") as was'
    )
    assert json.loads(place.said("sql", both, "--json")) == [{"now": 17, "was": 13}]
    query = "select sum(o.id) as o, sum(p.gross) as p from orders o join priced p using (id)"
    then = json.loads(place.said("sql", "--at", place.then, query, "--json"))
    assert then == [{"o": 13, "p": 1.5 * 130}]
    runs = place.said("sql", "--at", place.then, "select count(*) as n from lineage.run", "--json")
    assert json.loads(runs) == [{"n": 2}]  # lineage is as it is now


def test_moments_without_an_answer_are_refused_with_what_would_have_one(place: Travelled) -> None:
    assert "first version is of" in place.refused("show", f"priced@{DAY_BEFORE}")
    assert "nothing had been made" in place.refused("sql", "--at", DAY_BEFORE, "from priced")
    assert "still to come" in place.refused("show", "priced@2999-01-01")
    assert "no date or time" in place.refused("sql", "--at", "yesterday", "from priced")
    assert "no date or time" in place.refused("sql", 'from "priced@2026-02-30"')
    assert "no registry `priced`" in place.refused("show", "priced@v3")
    assert "a date is written 2026-11-01" in place.refused("show", "priced@20261101")
    assert "did you mean `priced`" in place.refused("show", f"pricd@{place.then}")
    assert "has no partition `asia`" in place.refused("show", f"orders asia@{place.then}")
    assert "lineal diff" in place.refused("why", f"priced@{place.then}")


# --------------------------------------------------------------------------------------- diff


def test_two_versions_of_a_table_differ_by_row_column_and_cause(place: Travelled) -> None:
    found = place.diff("priced")
    rows = found["rows"]
    assert (rows["key"], rows["added"], rows["removed"], rows["changed"]) == (["id"], 2, 2, 2)
    assert rows["sample"]["changed"][1] == {
        "key": {"id": 3},
        "columns": [
            {"name": "amount", "before": 30.0, "after": 31.0},
            {"name": "gross", "before": 45.0, "after": 62.0},
        ],
    }
    assert [row["id"] for row in rows["sample"]["removed"]] == [2, 7]
    gross = next(c for c in rows["columns"] if c["name"] == "gross")
    assert (gross["rows"], gross["before"]["greatest"], gross["after"]["greatest"]) == (2, 105, 180)
    assert len(found["before"]["version"]) == 64
    assert {r["kind"] for r in found["made"]} == {"code_changed", "input_changed"}
    same = place.diff(f"priced@{place.then}", "priced")
    assert same == found == place.diff(f"priced@{found['before']['version'][:8]}")
    told = place.said("diff", "priced", "--rows", "1")
    first = told.splitlines()[0]
    assert first.endswith("2 rows added, 2 removed, 2 changed.")
    assert "rows, 3 of 6" in told
    assert "helpers.py:1  helpers.RATE  1.5 → 2.0" in told
    assert place.said("diff", "priced", "--rows", "0").count("  ~ ") == 0


def test_without_a_key_rows_are_counted_and_an_order_is_told(place: Travelled) -> None:
    found = place.diff("ranked")
    assert found["rows"]["key"] == []
    assert "declares no primary key" in found["notes"][0]
    assert (found["rows"]["added"], found["rows"]["removed"]) == (4, 4)
    keyed = place.diff("ranked", "--key", "id")
    assert (keyed["rows"]["added"], keyed["rows"]["changed"], keyed["notes"]) == (2, 2, [])
    err = place.refused("diff", "ranked", "--key", "ids")
    assert "no column `ids`" in err
    assert "did you mean `id`" in err


def test_partitions_at_two_times_are_compared_by_digest(place: Travelled) -> None:
    found = place.diff(f"orders@{place.then}", "orders")
    assert {p["partition"]: p["change"] for p in found["partitions"]} == {
        "asia": "added",
        "eu": "changed",
        "us": "removed",
    }
    assert place.diff("orders")["partitions"] == found["partitions"]
    told = place.said("diff", "orders")
    assert "1 partition added, 1 partition removed, 1 partition changed" in told
    assert "lineal diff 'orders eu@" in told
    one = place.diff("orders", "--partition", "eu")
    assert (one["rows"]["added"], one["rows"]["removed"], one["rows"]["changed"]) == (1, 1, 1)
    version = one["before"]["version"][:8]
    assert place.diff(f"orders@{version}", "orders") == one
    assert place.diff(f"orders eu@{version}") == one
    assert "many partitions" in place.refused("diff", f"orders@{place.then}", "priced")


def test_what_is_no_table_is_compared_by_value_and_metric(place: Travelled) -> None:
    found = place.diff("summary")
    assert found["values"] == [
        {"place": "mean", "change": "changed", "before": 48.75, "after": 85.5}
    ]
    told = place.said("diff", "summary")
    assert "mean   48.75 → 85.5   (+36.75)" in told
    assert "model" in place.said("diff", "model").splitlines()[0]
    assert "are two assets" in place.refused("diff", "model", "priced")
    assert place.diff("priced", "ranked")["schema"]["removed"][0]["name"] == "customer"
    assert "made otherwise" not in place.said("diff", "priced", "ranked")


def test_runs_differ_by_step_version_and_cause(place: Travelled) -> None:
    first, second = (run["run"] for run in json.loads(place.said("runs", "--json")))
    found = place.diff(first, second)
    assert found == place.diff(second)
    steps = {(s["asset"], s["partition"]): s for s in found["steps"]}
    assert steps["orders", "us"]["versions"][1] is None  # retired
    assert steps["orders", "asia"]["outcomes"] == [None, "made"]
    assert steps["priced", None]["versions"][0] != steps["priced", None]["versions"][1]
    assert steps["steady", None]["outcomes"] == ["made", None]
    assert "helpers.RATE" in found["made"]["priced"][0]["detail"]
    told = place.said("diff", first, second)
    assert "steps with another version" in told.splitlines()[0]
    assert f"of {first} alone, as they were: raw/old, steady" in told
    assert "what both made took " in told.splitlines()[0]
    assert f"`{first}` is a run and `priced` is none" in place.refused("diff", first, "priced")
    assert f"`{first}` is a run" in place.refused("diff", "priced@123456", first)
    assert "no run `r99`" in place.refused("diff", first, "r99")
    assert "the first run" in place.refused("diff", first)
    assert "no partition" in place.refused("diff", first, second, "--key", "id")


def test_a_step_that_was_made_otherwise_is_not_told_to_be_as_it_was(place: Travelled) -> None:
    project = lineal.open(place.root)
    found = project.diff(*[story.started.run for story in project.runs()])
    assert isinstance(found, RunsDifference)
    made = {**found.made, "steady": (Reason("code_changed", "steady"),)}
    told = "\n".join(run_diff_lines(WIDE, replace(found, made=made), False))
    assert "1 step of r1 alone, as they were: raw/old\n" in told
    assert "steady made → not made the same version" in " ".join(told.split())


def test_what_is_one_version_or_was_never_another_is_said(place: Travelled) -> None:
    assert "never another version" in place.refused("diff", "steady")
    assert "one version on both sides" in place.said("diff", f"steady@{place.then}")
    assert place.diff(f"steady@{place.then}")["same"] is True
    assert "nothing was ever made of" in place.refused("diff", "stead")
    assert "is no version" in place.refused("diff", "priced@abc", "priced")


def test_the_names_of_columns_that_came_are_told_whole(place: Travelled) -> None:
    name = "the_amount_of_an_order_before_any_taxes_and_fees_of_any_kind"
    project = lineal.open(place.root)
    found = project.diff("priced")
    assert isinstance(found, Versions)
    schema = replace(found.facts.schema, added=(Column(name, "double", ""),))
    shown = replace(found, facts=replace(found.facts, schema=schema))
    assert f"+ {name}   double" in click.unstyle(
        "\n".join(diff_lines(Style(80, False), shown, False))
    )


def test_what_is_said_fits_the_terminal_and_plain_ascii(place: Travelled) -> None:
    project = lineal.open(place.root)
    for words in (("priced",), ("orders",), ("summary",), ("model",), ("ranked",)):
        found = project.diff(*words)
        assert not isinstance(found, RunsDifference)
        for width in (60, 80, 120):
            style = Style(width, ascii=False)
            assert max(map(span, diff_lines(style, found, True))) <= width
        assert "".join(diff_lines(Style(80, ascii=True), found, True)).isascii()
    runs = project.diff(*[story.started.run for story in project.runs()])
    assert isinstance(runs, RunsDifference)
    rows = run_diff_lines(Style(80, ascii=False), runs, True)
    assert max(map(span, rows)) <= 80


def test_data_that_is_gone_is_said_to_be_gone(place: Travelled, tmp_path: Path) -> None:
    shutil.copytree(place.root, tmp_path / "copy")
    copy = Travelled(tmp_path / "copy")
    with (copy.root / "pipeline.py").open("a", encoding="utf-8") as file:
        file.write("\n\ndef (\n")  # what was recorded can be compared all the same
    assert "the project's code has errors" in copy.diff("priced")["notes"][0]
    (path,) = copy.said("path", f"priced@{place.then}").splitlines()
    Path(path).unlink()
    found = copy.diff("priced")
    assert found["rows"] is None
    assert "no longer in the store" in found["notes"][0]
    assert "gross" in found["schema"]["changed"]  # what is recorded is told all the same
    for words in (["sql", "--at", place.then, "from priced"], ["path", f"priced@{place.then}"]):
        lost = copy.lineal(*words)
        assert lost.code == 3
        assert Path(path).name in lost.err
    wrong = Path(copy.said("path", "priced").strip())
    shutil.copyfile(place.root / Path(path).relative_to(copy.root), path)
    wrong.chmod(0o600)
    wrong.write_bytes(wrong.read_bytes()[:-1] + b"2")
    damaged = copy.lineal("diff", "priced")
    assert damaged.code == 3
    assert wrong.name in damaged.err
