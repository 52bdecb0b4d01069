"""Partitions that are no more: planned, taken out by the run, and not computed when they return."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.command_line import Said, Workplace

PIPELINE = """
from lineal import asset, source, sql_asset

source("raw/flights", "data/{month}.csv")

@asset(partitions="raw/flights", outputs=["early", "late"])
def split(raw_flights):
    return raw_flights[raw_flights["n"] < 3], raw_flights[raw_flights["n"] >= 3]

@asset
def total(early):
    return float(early["n"].sum())

sql_asset("rows", "select count(*) as rows from early")
"""


@pytest.fixture
def months(empty: Workplace) -> Workplace:
    """Three months, all made."""
    empty.write("pipeline.py", PIPELINE)
    for month in (1, 2, 3):
        empty.write(f"data/2013-0{month}.csv", f"n\n{month}\n0\n")
    assert empty.make().json["counts"]["made"] == 3 + 6 + 2
    return empty


def retired(said: Said) -> set[tuple[Any, ...]]:
    return {(r["asset"], r["partition"], r["reason"]) for r in said.json["retired"]}


GONE = {
    ("raw/flights", "2013-02", "its file is gone"),
    ("early", "2013-02", "raw/flights has it no more"),
    ("late", "2013-02", "raw/flights has it no more"),
}


def test_a_file_that_is_gone_retires_its_slices_and_remakes_their_readers(
    months: Workplace,
) -> None:
    (months.root / "data" / "2013-02.csv").unlink()
    plan = months.plan()
    assert retired(plan) == retired(months.lineal("status", "--json")) == GONE
    assert plan.steps("stale") == {"total", "rows"}
    reasons = {r["detail"] for s in plan.json["steps"] for r in s["reasons"]}
    assert reasons == {"early 2013-02   → gone"}
    run = months.make()
    assert retired(run) == GONE
    assert run.steps("made") == {"total", "rows"}
    assert months.lineal("sql", "--json", "select sum(n) as n from raw.flights").json == [{"n": 4}]
    assert months.lineal("sql", "--json", "from rows").json == [{"rows": 3}]
    assert "Nothing to do" in months.lineal("materialize").out


def test_only_what_is_selected_is_retired(months: Workplace) -> None:
    (months.root / "data" / "2013-02.csv").unlink()
    assert {r[0] for r in retired(months.make("raw/flights"))} == {"raw/flights"}
    said = months.lineal("materialize", "split")
    assert "early  2013-02   raw/flights has it no more" in said.out
    assert "2 retired" in said.out


def test_a_file_that_comes_back_computes_nothing(months: Workplace) -> None:
    file = months.root / "data" / "2013-02.csv"
    kept = file.read_bytes()
    file.unlink()
    months.make()
    file.write_bytes(kept)
    run = months.make()
    assert run.json["counts"]["made"] == 0
    assert run.json["counts"]["reused"] == 3 + 2
    assert retired(run) == set()
