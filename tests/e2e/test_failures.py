"""Failures, refused versions and broken stores through the command line: nothing good is lost."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from tests.e2e.command_line import Workplace


@pytest.fixture
def failing(empty: Workplace) -> Workplace:
    empty.write("data/n.csv", "k,v\n1,10\n2,20\n3,30\n")
    empty.write(
        "pipeline.py",
        """
        import pandas as pd
        from lineal import asset, check, checks, source

        source("raw/n", "data/n.csv")


        @asset
        def renamed(raw_n):
            return raw_n.rename(columns={"v": "value"})


        @asset
        def broken(renamed):
            late = renamed["v"]
            return late.to_frame()


        @asset
        def after(broken):
            return len(broken)


        @asset
        def sibling(raw_n):
            return raw_n.assign(w=1)
        """,
    )
    return empty


def test_a_failure_shows_the_users_own_line_and_stops_only_what_depends_on_it(
    failing: Workplace,
) -> None:
    said = failing.lineal("materialize")
    assert said.code == 1
    assert "KeyError" in said.out
    assert 'late = renamed["v"]' in said.out
    assert "pipeline.py:14 in broken" in said.out
    assert "after" in said.out
    assert "skipped: need broken" in said.out
    said = failing.lineal("materialize", "--json")
    assert said.code == 1
    assert said.json["outcome"] == "failed"
    assert said.steps("failed") == {"broken"}
    assert said.steps("skipped") == {"after"}
    assert said.steps("fresh") == {"raw/n", "renamed", "sibling"}
    assert "Traceback" in failing.lineal("logs", "broken").out


def test_a_rerun_resumes_where_it_failed(failing: Workplace) -> None:
    failing.lineal("materialize")
    failing.edit("pipeline.py", 'renamed["v"]', 'renamed["value"]')
    made = failing.make()
    assert made.steps("made") == {"broken", "after"}
    assert made.steps("fresh") == {"raw/n", "renamed", "sibling"}


CHECKED = """
from lineal import asset, check, checks, source

source("raw/n", "data/n.csv")


@asset(checks=[checks.between("v", low=0)])
def clean(raw_n):
    return raw_n


@asset
def total(clean):
    return int(clean["v"].sum())
"""


@pytest.fixture
def checked(empty: Workplace) -> Workplace:
    empty.write("data/n.csv", "k,v\n1,10\n2,20\n3,30\n")
    empty.write("pipeline.py", CHECKED)
    empty.make()
    return empty


def test_a_refused_version_never_becomes_current(checked: Workplace) -> None:
    good = checked.lineal("path", "clean").out
    checked.edit("data/n.csv", "2,20", "2,-4")
    said = checked.lineal("materialize")
    assert said.code == 1
    assert "blocked by check `between(v, low=0)`" in said.out
    assert "-4" in said.out
    assert "total" in said.out
    assert checked.lineal("path", "clean").out == good
    before = checked.files()
    again = checked.lineal("materialize", "--json")
    assert again.code == 1
    assert again.json["run"] is None
    assert again.steps("blocked") == {"clean"}
    assert again.steps("skipped") == {"total"}
    assert checked.files() == before


def test_a_refused_version_can_be_looked_at(checked: Workplace) -> None:
    checked.edit("data/n.csv", "2,20", "2,-4")
    checked.lineal("materialize")
    refused = checked.lineal("materialize", "--json").json["steps"][1]["version"]
    rows = checked.lineal("sql", f'select v from "clean@{refused[:6]}" where v < 0', "--json").json
    assert rows == [{"v": -4}]


def test_loosening_the_check_publishes_without_recomputing(checked: Workplace) -> None:
    checked.edit("data/n.csv", "2,20", "2,-4")
    checked.lineal("materialize")
    checked.edit("pipeline.py", "low=0", "low=-5")
    made = checked.make()
    assert made.steps("reused") == {"clean"}
    assert made.steps("made") == {"total"}


def test_a_tightened_check_that_fails_leaves_the_version_current(checked: Workplace) -> None:
    good = checked.lineal("path", "clean").out
    checked.edit("pipeline.py", "low=0", "low=15")
    said = checked.lineal("materialize", "--json")
    assert said.code == 1
    assert said.steps("blocked") == {"clean"}
    assert checked.lineal("path", "clean").out == good
    checked.edit("pipeline.py", "low=15", "low=5")
    assert checked.make().steps("reused") == {"clean"}


def test_a_warning_is_told_and_blocks_nothing(checked: Workplace) -> None:
    checked.edit("pipeline.py", "low=0)", 'low=15, severity="warn")')
    said = checked.lineal("materialize")
    assert said.code == 0
    assert "(warning)" in said.out


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("return n['v'].gt(0).all()", 0),  # numpy.bool_
        ("return n['v'].gt(10).all()", 1),
        ("return n[n['v'] > 25]", 1),
        ("return n[n['v'] > 99]", 0),
        ("assert len(n) > 5, 'too few'", 1),
    ],
)
def test_a_check_of_ones_own(checked: Workplace, body: str, code: int) -> None:
    checked.edit(
        "pipeline.py",
        "@asset\ndef total",
        f"@check(clean)\ndef mine(clean):\n    n = clean\n    {body}\n    return True\n\n\n"
        "@asset\ndef total",
    )
    assert checked.lineal("materialize").code == code


def test_a_deleted_catalog_is_rebuilt_row_for_row(checked: Workplace) -> None:
    query = "select * from lineage.{} order by all"
    tables = ["materialization", "input", "version", "check_result", "publication", "run"]
    before = [checked.lineal("sql", query.format(t), "--json").out for t in tables]
    assert all(len(text) > 2 for text in before)
    for path in (checked.root / ".lineal").glob("catalog.duckdb*"):
        path.unlink()
    assert [checked.lineal("sql", query.format(t), "--json").out for t in tables] == before
    assert checked.lineal("rebuild").code == 0
    assert [checked.lineal("sql", query.format(t), "--json").out for t in tables] == before


def test_a_catalog_held_open_by_another_program_stops_nothing(checked: Workplace) -> None:
    checked.lineal("sql", "select 1")
    catalog = checked.root / ".lineal" / "catalog.duckdb"
    code = f"""
        import duckdb, sys
        held = duckdb.connect({str(catalog)!r})
        print("held", flush=True)
        sys.stdin.read()
    """
    holder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        checked.edit("data/n.csv", "2,20", "2,21")
        assert checked.make().steps("made") == {"raw/n", "clean", "total"}
        said = checked.lineal("sql", "select count(*) n from lineage.run", "--json")
        assert said.code == 0
        assert said.json == [{"n": 2}]
        assert str(holder.pid) in said.err
        assert checked.lineal("status").code == 0
    finally:
        holder.communicate("")


def test_a_file_that_no_source_declares_is_noticed_and_watched(empty: Workplace) -> None:
    empty.write("rates.txt", "3")
    empty.write(
        "pipeline.py",
        """
        from lineal import asset


        @asset
        def rate():
            with open("rates.txt") as file:
                return int(file.read())
        """,
    )
    said = empty.lineal("materialize")
    assert said.code == 0
    assert "rates.txt (pipeline.py:6)" in said.out
    assert 'source("raw/rates", "rates.txt")' in said.out
    assert empty.make().steps("fresh") == {"rate"}
    empty.write("rates.txt", "4")
    plan = empty.plan()
    assert plan.json["steps"][0]["reasons"][0]["kind"] == "unproved"
    assert empty.make().steps("made") == {"rate"}
    empty.write("lineal.toml", "[project]\nstrict = true\n")
    empty.write("rates.txt", "5")
    strict = empty.lineal("materialize")
    assert strict.code == 1
    assert "no source declares" in strict.out


def test_a_forgotten_return_is_told_where_the_annotation_promises_a_value(
    empty: Workplace,
) -> None:
    empty.write(
        "pipeline.py",
        """
        import pandas as pd
        from lineal import asset


        @asset
        def frame() -> pd.DataFrame:
            pd.DataFrame({"a": [1]})
        """,
    )
    said = empty.lineal("materialize")
    assert said.code == 1
    assert "returned None" in said.out
    assert "is a `return` missing?" in said.out
