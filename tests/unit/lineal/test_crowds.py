"""A project of partitions that are seen at once says as much of each as of one by itself."""

from __future__ import annotations

from pathlib import Path

from lineal.project import Project

PIPELINE = """
from lineal import asset, source

source("raw/days", "data/{day}.csv")


@asset(partitions="raw/days")
def rows(raw_days: list[dict]) -> list[dict]:
    return raw_days
"""


def _project(folder: Path) -> Project:
    (folder / "data").mkdir()
    for day in ("2024-01-01", "2024-01-02", "2024-01-03"):
        (folder / "data" / f"{day}.csv").write_text(f"day\n{day}\n", encoding="utf-8")
    (folder / "pipeline.py").write_text(PIPELINE, encoding="utf-8")
    project = Project(folder)
    assert project.materialize().counts["made"] == 6
    return project


def test_why_one_of_many_is_fresh_names_what_it_reads(tmp_path: Path) -> None:
    told = _project(tmp_path).why("rows", "2024-01-02")
    assert told.step.verdict.name == "fresh"
    assert [(i.used.asset, i.used.partition) for i in told.inputs] == [("raw/days", "2024-01-02")]


def test_a_changed_file_leaves_the_other_days_fresh(tmp_path: Path) -> None:
    project = _project(tmp_path)
    assert project.materialize().counts["fresh"] == 6
    (tmp_path / "data" / "2024-01-02.csv").write_text("day\nlate\n", encoding="utf-8")
    run = project.materialize()
    made = [(s.step.asset, s.step.partition) for s in run.steps if s.outcome == "made"]
    assert made == [("raw/days", "2024-01-02"), ("rows", "2024-01-02")]
    fresh = [s for s in run.steps if s.outcome == "fresh"]
    assert len(fresh) == 4 and all(s.summary and s.version == s.current for s in fresh)
    assert project.status().failing == frozenset()
