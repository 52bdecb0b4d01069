"""A process that dies while a gate opens: no number twice, no alias without its version."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from lineal.assets.records import Decided, Fact, Materialization, Promotion, Registered
from lineal.lineage.journal import Journal
from lineal.project import Project
from tests.faults.platters import Platters
from tests.faults.simulated_disk import Crashed, Fault, SimulatedDisk

PIPELINE = """
from lineal import asset, gate


@asset
def model(score: float = 0.5) -> float:
    return score


@gate("delays", candidate="model")
def auc(model) -> float:
    return model
"""


def play(root: Path, score: float, disk: SimulatedDisk | None = None) -> None:
    Project(root, disk).materialize(parameters=[f"model.score={score}"])


def facts(root: Path) -> list[Sequence[Fact]]:
    return [found for _, found in Journal(root / ".lineal").read()]


def hold_together(root: Path) -> None:
    """One entry has the scores, the decision and what follows from it; numbers and names fit."""
    numbers: dict[int, str] = {}
    for entry in facts(root):
        for fact in entry:
            if isinstance(fact, Registered):
                assert fact.version not in numbers
                assert fact.content not in numbers.values()
                numbers[fact.version] = fact.content
                assert any(isinstance(f, Promotion) for f in entry)
            if isinstance(fact, Promotion):
                assert fact.version in numbers
                assert any(isinstance(f, Decided) for f in entry)
            if isinstance(fact, Materialization) and fact.kind == "gate":
                assert any(isinstance(f, Decided) for f in entry)


def test_a_gate_that_opens_is_cut_at_any_operation_and_carried_on(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "pipeline.py").write_text(PIPELINE)
    platters = Platters(root / ".lineal")
    play(root, 0.5, SimulatedDisk(platters))
    begin = platters.image().present
    watched = SimulatedDisk(platters)
    play(root, 0.9, watched)
    links = [n for n, done in enumerate(watched.operations, 1) if done.name == "link"]
    assert len(links) > 3  # objects and entries
    for number in links:
        for kind in ("crash before", "crash after"):
            platters.become(begin)
            with pytest.raises(Crashed):
                play(root, 0.9, SimulatedDisk(platters, Fault(kind, number)))
            hold_together(root)
            play(root, 0.9)
            hold_together(root)
            registry = Project(root).history().registries()["delays"]
            at = registry.at("production")
            assert at is not None
            assert (at.version, at.previous, sorted(registry.versions)) == (2, 1, [1, 2])
            assert [move.version for move in registry.promotions] == [1, 2]
            assert Project(root).plan(parameters=["model.score=0.9"]).has_work is False
