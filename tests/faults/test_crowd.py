"""Half a minute of a crowd at work on one project, edited, killed and stopped meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import crowd_proofs as proofs
from tests.faults.crowd import Crowd
from tests.faults.crowd_project import Edits, computed


def test_a_crowd_loses_nothing_and_does_nothing_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crowd = Crowd(tmp_path, seed=1, makers=8, askers=4)
    crowd.run(30)
    crowd.prove()
    with capsys.disabled():
        print(f"\n{crowd.figures}")
    assert crowd.problems == []
    done = crowd.figures
    assert min(done.made, done.reused, done.taken_over, done.kills, done.stops) > 0
    assert min(done.edits, done.commands, done.questions) > 0


# ------------------------------------------------------------ the proofs can tell right from wrong


@pytest.fixture
def made(tmp_path: Path) -> Crowd:
    """A crowd that has gone home before it did anything."""
    crowd = Crowd(tmp_path, seed=1, makers=0, askers=0)
    crowd.begin()
    crowd.end()
    return crowd


def test_nothing_is_found_where_all_is_right(made: Crowd) -> None:
    made.prove()
    assert made.problems == []


def test_a_lost_object_is_found(made: Crowd) -> None:
    next((made.store / "objects").rglob("*.parquet")).unlink()
    found = list(proofs.damaged_objects(made.store, proofs.read_past(made.store)))
    assert len(found) == 1
    assert "is missing" in found[0]


def test_a_step_computed_twice_is_found_in_the_journal_and_outside(made: Crowd) -> None:
    import lineal.project

    lineal.project.open(made.root).materialize("slow", force=True)
    past = proofs.read_past(made.store)
    assert [one.split()[0] for one in proofs.computed_twice(past)] == ["slow"]
    assert [one.split()[0] for one in proofs.done_twice(made.outside, ())] == ["slow"]
    process, _ = computed(made.outside)[0]
    assert list(proofs.done_twice(made.outside, {process})) == []


def test_what_was_told_and_is_not_in_the_journal_is_found(made: Crowd) -> None:
    past = proofs.read_past(made.store)
    steps = [("slow", "made", "0" * 64)]
    assert len(list(proofs.lost_steps("r1", steps, past))) == 1


def test_words_for_programmers_are_found() -> None:
    for text in ("Traceback (most recent call last):", "IntegrityError: x", "database is locked"):
        assert len(list(proofs.forbidden(f"all\n{text}\nwell", "here"))) == 1
    assert list(proofs.forbidden("✓ slow   12 rows   0.3 s", "here")) == []


def test_a_file_left_by_a_living_process_is_found(made: Crowd) -> None:
    (made.store / "tmp" / "12345-abcd.parquet").touch()
    assert len(list(proofs.leftovers(made.store, ()))) == 1
    assert list(proofs.leftovers(made.store, {12345})) == []


def test_edits_change_the_project(made: Crowd) -> None:
    import random

    edits = Edits(made.root, made.outside, random.Random(0))
    before = {p: p.read_bytes() for p in made.root.rglob("*.csv")}
    for _ in range(20):
        edits.edit()
    assert any(path.read_bytes() != data for path, data in before.items())
