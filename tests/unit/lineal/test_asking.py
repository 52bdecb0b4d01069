"""Assets with partitions are asked about as a whole, and one partition at a time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click
import pytest

from lineal.answers import Explanation, Overview, Shown, Standing
from lineal.assets.errors import UsageError
from lineal.assets.names import Step
from lineal.cli.describe import show_lines, why_lines
from lineal.cli.overview import (
    overview_document,
    overview_lines,
    standing_document,
    standing_lines,
)
from lineal.cli.render import Style
from lineal.cli.standing import status_lines
from lineal.planning import chosen, planned_steps
from lineal.project import Project

PIPELINE = '''
from pathlib import Path

import pandas as pd
from lineal import asset, by_column, check, source

source("raw/flights", "data/{month}.csv")
source("raw/sales", "sales.csv")


@asset(partitions="raw/flights")
def flights(raw_flights: pd.DataFrame, partition) -> pd.DataFrame:
    """The flights of a month."""
    print("flights of", partition)
    if raw_flights["n"].min() < 0:
        raise ValueError("less than nothing")
    return raw_flights


@check(flights)
def some(flights: pd.DataFrame) -> bool:
    return len(flights) > 0


@asset(partitions=by_column("month"))
def sales(raw_sales: pd.DataFrame) -> pd.DataFrame:
    print("sold")
    return raw_sales


@check(sales)
def sold(sales: pd.DataFrame) -> bool:
    return len(sales) > 0


@asset(partitions="raw/flights")
def mean(flights: pd.DataFrame) -> dict:
    return {"mean": float(flights["n"].mean())}


@asset
def total(flights: pd.DataFrame, sales: pd.DataFrame) -> int:
    return int(flights["n"].sum() + sales["n"].sum())
'''
MONTHS = [f"2013-{month:02}" for month in range(1, 5)]
WIDE = Style(200, ascii=False)


class Airport:
    """A project with a file a month."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, month: str, number: int) -> None:
        (self.root / "data" / f"{month}.csv").write_text(f"n,x\n{number},7\n")

    @property
    def project(self) -> Project:
        return Project(self.root)

    def overview(self, name: str) -> Overview:
        found = self.project.show(name)
        assert isinstance(found, Overview)
        return found

    def shown(self, name: str, partition: str | None = None) -> Shown:
        found = self.project.show(name, partition)
        assert isinstance(found, Shown)
        return found

    def standing(self, name: str) -> Standing:
        found = self.project.why(name)
        assert isinstance(found, Standing)
        return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Airport:
    """One that was made, and is only looked at."""
    airport = Airport(tmp_path_factory.mktemp("airport"))
    (airport.root / "data").mkdir()
    (airport.root / "pipeline.py").write_text(PIPELINE)
    (airport.root / "sales.csv").write_text("month,n\n2013-02,1\n2013-01,3\n2013-01,4\n")
    for place, month in enumerate(MONTHS):
        airport.write(month, place)
    assert airport.project.materialize().outcome == "done"
    return airport


@pytest.fixture
def airport(made: Airport, tmp_path: Path) -> Airport:
    """Its copy, to be changed."""
    shutil.copytree(made.root, tmp_path, dirs_exist_ok=True)
    return Airport(tmp_path)


def plain(rows: list[str]) -> list[str]:
    return [" ".join(click.unstyle(row).split()) for row in rows]


# ------------------------------------------------------------------------------------------- show


def test_an_overview_has_a_line_a_partition(made: Airport) -> None:
    found = made.overview("flights")
    rows = plain(overview_lines(WIDE, found, verbose=False))
    assert rows[0].startswith("flights 4 partitions, 2013-01 … 2013-04 ")
    assert '"The flights of a month." pipeline.py:11 4 rows, ' in rows[0]
    assert [row.split()[0] for row in rows[1:5]] == MONTHS
    versions = [part.made.content.digest for part in found.parts if part.made.content]
    for row, digest in zip(rows[1:5], versions, strict=True):
        assert f" 1 rows × 2 {digest[:6]} " in row
        assert row.endswith(" ✓")
    assert rows[5:] == [
        "columns of 2013-04, which was made last",
        "n int64 3 … 3",
        "x int64 7 … 7",
        "feeds mean, total",
    ]


def test_an_overview_counts_what_was_retired_and_says_why(airport: Airport) -> None:
    (airport.root / "data" / "2013-02.csv").unlink()
    airport.project.materialize()
    found = airport.overview("raw/flights")
    assert found.keys == ("2013-01", "2013-03", "2013-04")
    assert plain(overview_lines(WIDE, found, verbose=False))[-1] == (
        "retired 1 partition, the last 2013-02: its file is gone"
    )
    assert overview_document(found)["retired"] == [
        {"asset": "raw/flights", "partition": "2013-02", "reason": "its file is gone"}
    ]


def test_of_very_many_partitions_the_first_and_the_last_are_shown(tmp_path: Path) -> None:
    keys = [*(f"k{number:03}" for number in range(107)), 'straße "ä"']
    (tmp_path / "pipeline.py").write_text(
        "from lineal import asset, static\n\n\n"
        f"@asset(partitions=static({keys!r}))\ndef many(partition) -> int:\n    return 1\n"
    )
    project = Project(tmp_path)
    project.materialize()
    found = project.show("many")
    assert isinstance(found, Overview)
    rows = plain(overview_lines(WIDE, found, verbose=False))
    assert [row.split()[0] for row in rows[1:21]] == [*keys[:10], "…", *keys[-10:-1]]
    assert rows[21].startswith('straße "ä" 1 ')
    assert rows[11] == "… and 88 more (-v)"
    last = project.show("many", keys[-1])
    assert isinstance(last, Shown)
    assert last.versions == (last.made,)
    whole = project.show("many", whole=True)
    assert isinstance(whole, Overview)
    document = json.loads(json.dumps(overview_document(whole)))
    assert [part["partition"] for part in document["partitions"]] == keys


def test_one_partition_and_a_version_are_shown_as_ever(made: Airport) -> None:
    found = made.shown("flights", "2013-03")
    assert found.made.step == Step("flights", "2013-03")
    assert found.made.content is not None
    assert made.shown(f"flights@{found.made.content.digest[:8]}").made == found.made
    assert plain(show_lines(WIDE, found, verbose=False))[0].startswith("flights 2013-03 ")
    with pytest.raises(UsageError, match="no partition `2013-09`"):
        made.project.show("flights", "2013-09")


def test_slices_are_shown_with_the_checks_of_their_table(made: Airport) -> None:
    found = made.overview("sales")
    assert (found.keys, found.rows) == (("2013-01", "2013-02"), 3)
    assert [[check.name for check in part.checks] for part in found.parts] == [["sold"]] * 2
    assert [c.name for c in made.shown("sales", "2013-02").checks] == ["sold"]


# -------------------------------------------------------------------------------------------- why


def test_why_groups_partitions_by_their_reasons(airport: Airport) -> None:
    assert plain(standing_lines(WIDE, airport.standing("flights"))) == [
        "flights has 4 partitions: all fresh.",
        "",
        "lineal why flights --partition 2013-04",
    ]
    airport.write("2013-02", 20)
    airport.write("2013-03", 30)
    airport.write("2013-05", 50)
    found = airport.standing("flights")
    told = {s.step.partition: s.verdict.name for s in found.steps if s.verdict.name != "fresh"}
    rows = plain(standing_lines(WIDE, found))
    assert rows[0] == "flights has 5 partitions: 1 stale, 2 pending, 2 fresh."
    assert told == {"2013-02": "pending", "2013-03": "pending", "2013-05": "stale"}
    assert rows[2].startswith("? flights 2013-02, 2013-03 if raw/flights changes")
    assert rows[3] == "flights 2013-05 never made"
    document = standing_document(found)
    assert [s["verdict"] for s in document["partitions"]].count("pending") == 2


def test_why_names_what_will_be_retired(airport: Airport) -> None:
    (airport.root / "data" / "2013-02.csv").unlink()
    rows = plain(standing_lines(WIDE, airport.standing("raw/flights")))
    assert "· retired raw/flights 2013-02 its file is gone" in rows


def test_why_one_partition_looks_at_no_other(airport: Airport) -> None:
    airport.write("2013-02", 20)
    found = airport.project.why("flights", "2013-03")
    assert isinstance(found, Explanation)
    assert found.step.verdict.name == "fresh"
    assert found.upstream[0].step == Step("raw/flights", "2013-03")
    with pytest.raises(UsageError, match="no partition `2013-09`; the nearest is `2013-04`"):
        airport.project.why("flights", "2013-09")
    with pytest.raises(UsageError, match="`total` has no partitions"):
        airport.project.why("total", "2013-03")


def test_why_a_step_is_pending_names_what_it_reads_of_what_it_waits_for(airport: Airport) -> None:
    pipeline = airport.root / "pipeline.py"
    query = """sql_asset("least", "select min(x) as x from flights")"""
    pipeline.write_text(f"{PIPELINE}\nfrom lineal import sql_asset\n{query}\n")
    assert airport.project.materialize("least").outcome == "done"
    pipeline.write_text(
        pipeline.read_text().replace("return raw_flights", "return raw_flights * 1")
    )
    for name in ("total", "least"):
        found = airport.project.why(name)
        assert isinstance(found, Explanation)
        assert found.step.verdict.name == "pending"
        read = {one.used.partition: one.used for one in found.inputs if one.used.asset == "flights"}
        assert list(read) == MONTHS
        assert {used.columns for used in read.values()} == {("x",) if name == "least" else ()}
        assert "inputs        flights 2013-01" in "\n".join(why_lines(WIDE, found))


def test_a_project_without_assets_is_told_how_to_begin(tmp_path: Path) -> None:
    (tmp_path / "lineal.toml").touch()
    (tmp_path / "pipeline.py").touch()
    project = Project(tmp_path)
    told = status_lines(WIDE, project, project.status(), False)
    assert told[0].endswith("declares no assets yet.")
    assert "lineal init" in told[1]
    assert len(told) == 2


def test_why_a_slice_is_why_its_table(made: Airport) -> None:
    whole, part = made.project.why("sales"), made.project.why("sales", "2013-01")
    assert isinstance(whole, Explanation)
    assert isinstance(part, Explanation)
    assert whole.step == part.step
    assert plain(why_lines(WIDE, part))[0] == (
        "sales is made as a whole, 2013-01 with all its other partitions."
    )
    with pytest.raises(UsageError, match="no partition `2013-09`"):
        made.project.why("sales", "2013-09")


# ---------------------------------------------------------------------------- lineage, values, logs


def test_the_lineage_of_all_partitions_is_one_tree(made: Airport) -> None:
    up = made.project.lineage("flights").splitlines()
    assert up[:2] == [
        "flights  4 partitions, 2013-01 … 2013-04",
        "└─ raw/flights  4 partitions, 2013-01 … 2013-04  2 of 2 columns",
    ]
    first, *down = made.project.lineage("flights", down=True).splitlines()
    assert first == up[0]
    means = "mean  4 partitions, 2013-01 … 2013-04  2 of 2 columns"
    assert {row[3:].partition("@")[0] for row in down} == {means, "total"}
    (one, *_) = made.project.lineage("flights", "2013-02").splitlines()
    assert one.startswith("flights 2013-02@")
    found = json.loads(made.project.lineage("flights", form="json"))
    assert len(found["roots"]) == 4
    assert found["root"] is None


def test_the_lineage_of_slices_leads_to_their_table_and_to_their_readers(made: Airport) -> None:
    up = made.project.lineage("sales").splitlines()
    assert up[0].startswith("sales@")
    assert up[1].startswith("└─ raw/sales@")
    for down in (
        made.project.lineage("sales", down=True),
        made.project.lineage("sales", "2013-01", down=True),
    ):
        assert down.splitlines()[1].startswith("└─ total@")


def test_values_of_all_partitions_are_one_table(made: Airport) -> None:
    project = made.project
    assert project.load("flights")["n"].tolist() == [0, 1, 2, 3]
    assert project.load("flights", partition="2013-03")["n"].tolist() == [2]
    assert project.load("sales")["n"].tolist() == [3, 4, 1]
    assert project.load("mean") == {m: {"mean": float(i)} for i, m in enumerate(MONTHS)}
    assert len(project.path("flights")) == 4
    assert len(project.path("sales")) == 2
    assert project.sql("select sum(n) from sales").rows == ((8,),)
    whole = project.history().current("sales", None)
    assert whole is not None
    assert whole.content is not None
    old = f"sales@{whole.content.digest[:8]}"
    assert project.load(old)["n"].tolist() == [3, 4, 1]


def test_the_log_of_many_partitions_is_that_of_the_last_attempt(airport: Airport) -> None:
    project = airport.project
    airport.write("2013-02", -1)
    failed = project.materialize()
    assert project.attempt("flights").step == Step("flights", "2013-02")
    assert "less than nothing" in project.log("flights")
    assert project.log("flights", partition="2013-03") == "flights of 2013-03\n"
    assert project.attempt("flights", failed.id).step.partition == "2013-02"
    first = project.attempt("flights", project.runs()[0].started.run)
    assert first.step.partition in MONTHS
    assert first.run != failed.id


def test_the_log_of_a_slice_is_that_of_its_table(made: Airport) -> None:
    project = made.project
    assert project.attempt("sales").step == Step("sales")
    assert project.log("sales") == project.log("sales", partition="2013-01") == "sold\n"


def test_code_of_partitions_is_accepted(airport: Airport) -> None:
    text = PIPELINE.replace('print("flights of"', 'print("Flights of"')
    (airport.root / "pipeline.py").write_text(text)
    assert {s.verdict.name for s in airport.standing("flights").steps} == {"stale"}
    airport.project.accept("flights", "only a word")
    assert {s.verdict.name for s in airport.standing("flights").steps} == {"fresh"}


def test_status_says_which_partition_failed(airport: Airport) -> None:
    airport.write("2013-02", -1)
    airport.project.materialize()
    found = airport.project.status()
    assert found.failing == {Step("flights", "2013-02")} == found.lasts.keys()
    assert found.currents.keys() == {Step("raw/sales"), Step("sales"), Step("total")}
    told = "\n".join(status_lines(WIDE, airport.project, found, False))
    assert "flights 2013-02 ← ValueError: less than nothing, since" in told


def test_only_models_are_of_kind_model(made: Airport) -> None:
    with made.project.look() as seen:
        assert chosen(seen, ["kind:model"]) == set()


def test_a_repair_makes_the_partitions_concerned_and_no_others(made: Airport) -> None:
    wanted = [Step("flights", "2013-02"), Step("sales", "2013-01"), Step("gone", "2013-01")]
    with made.project.look() as seen:
        plan, _ = planned_steps(seen, [*wanted, Step("flights", "2013-09")], True)
        stale = {step.step for step in plan.named("stale")}
        assert stale == {Step("flights", "2013-02"), Step("sales")}
        assert planned_steps(seen, [Step("gone")], True)[0].selected == ()
