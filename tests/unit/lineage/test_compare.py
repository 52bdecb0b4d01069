"""What facts say of two versions, without a look at their data."""

from __future__ import annotations

from lineal.assets.records import Column, RunEnded
from lineal.lineage.compare import (
    runs_difference,
    schema_difference,
    states_difference,
    versions_difference,
)
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from lineal.lineage.moments import after_runs
from tests.unit.lineage.story import Run, model_pipeline, table, used


def opened(journal):
    return History.open(Journal(journal.root), journal.root / "cache")


def columns(*texts):
    """`name type digest`."""
    return [Column(*text.split()) for text in texts]


def test_columns_are_added_removed_retyped_renamed_changed_and_moved():
    before = columns("id int64 i", "old string o", "x int32 x", "price float64 p", "y int64 y")
    after = columns("y int64 y", "id int64 j", "x int64 x2", "cost float64 p", "new string n")
    found = schema_difference(before, after)
    assert [c.name for c in found.added] == ["new"]
    assert [c.name for c in found.removed] == ["old"]
    assert [(a.type, b.type) for a, b in found.retyped] == [("int32", "int64")]
    assert [(a.name, b.name) for a, b in found.renamed] == [("price", "cost")]
    assert found.changed == ("id",)
    assert found.moved
    assert not found.same_shape
    assert schema_difference(before, before).same_shape


def test_of_two_columns_with_the_same_values_none_is_called_renamed():
    found = schema_difference(columns("a int64 z", "b int64 z"), columns("c int64 z"))
    assert not found.renamed
    assert [c.name for c in found.removed] == ["a", "b"]
    assert [c.name for c in found.added] == ["c"]


def test_two_models_differ_by_code_parameter_package_and_input(tmp_path):
    made = model_pipeline(Journal(tmp_path / ".lineal"))
    history = opened(Journal(tmp_path / ".lineal"))
    found = versions_difference(history, made["model 1"], made["model 2"])
    assert [(r.kind, r.culprit, r.old, r.new) for r in found.made][:3] == [
        ("code_changed", "helpers.DEPTH", "1.1", "1.2"),
        ("parameter_changed", "rate", "0.1", "0.2"),
        ("environment_changed", "scikit-learn", "1.8.0", "1.9.1"),
    ]
    assert [r.culprit for r in found.made][3:] == ["clean (column delay)"]  # features are equal
    assert not found.same
    raw = versions_difference(history, made["raw/flights 1"], made["raw/flights 2"])
    assert [r.culprit for r in raw.made] == ["data/b.csv has new content"]


def test_of_an_input_only_the_columns_that_were_read_are_told(tmp_path):
    journal = Journal(tmp_path / ".lineal")
    made = []
    for turn in "12":
        raw = Run(journal).make("raw", table(f"raw {turn}", f"id={turn}", f"note={turn}"))
        made.append(Run(journal).make("reader", table(f"reader {turn}", "x"), used(raw, "id")))
    found = versions_difference(opened(journal), *made)
    assert [r.culprit for r in found.made] == ["raw (column id)"]


def test_partitions_are_compared_by_what_was_recorded(tmp_path):
    run = Run(Journal(tmp_path / ".lineal"))
    one = {k: run.make("p", table(k), partition=k) for k in ("2", "10", "9")}
    two = {**one, "9": run.make("p", table("new", "x"), partition="9")}
    del two["2"]
    two["11"] = run.make("p", table("11"), partition="11")
    found = states_difference(one, two)
    assert (found.added, found.removed, found.same) == (("11",), ("2",), 1)
    assert [key for key, _ in found.changed] == ["9"]


def test_two_runs_differ_by_step_and_by_what_had_changed(tmp_path):
    journal = Journal(tmp_path / ".lineal")
    model_pipeline(journal)
    history = opened(journal)
    runs = {started.run: (started, ended) for started, ended in history.runs()}
    names = list(runs)
    before, after = after_runs(history, [started for started, _ in runs.values()])
    found = runs_difference(history, (runs[names[0]], runs[names[1]]), (before, after))
    assert isinstance(found.after[1], RunEnded)
    steps = {s.step.asset: s for s in found.steps}
    assert steps["features"].versions[0] == steps["features"].versions[1]
    assert steps["clean"].versions[0] != steps["clean"].versions[1]
    assert steps["clean"].what == "column delay"
    assert steps["delay_model"].outcomes == ("made", "made")
    assert steps["delay_model"].what == "metrics auc"
    assert found.made["delay_model"][0].culprit == "helpers.DEPTH"
    assert "features" in found.made  # its input differs, what it reads of it too
