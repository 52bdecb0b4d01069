"""Killed at any moment, a run loses nothing that it told, and a later one carries on from there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lineal.assets.records import Materialization, Publication
from lineal.lineage.journal import Journal
from lineal.project import Project
from tests.faults.doomed_project import TOGETHER, State
from tests.faults.kills import Torture, Trial
from tests.faults.promises import Broken, Promises
from tests.faults.sights import SIGHTS

SEEDS = (11, 12, 13, 14)
KILLS = 26  # of each seed


@pytest.mark.parametrize("seed", SEEDS)
def test_whenever_a_run_is_killed_its_store_keeps_every_promise(seed: int, tmp_path: Path) -> None:
    torture = Torture(seed, tmp_path)
    try:
        while torture.figures.kills < KILLS:
            torture.kill()
    except Broken as broken:
        broken.add_note(
            f"trial {torture.number - 1}: python -m tests.torture --seed {seed} does the same"
        )
        raise
    print(torture.figures)
    assert torture.figures.recoveries > KILLS / 6
    assert len(torture.figures.phases) > 5, torture.figures.phases


def test_the_same_seed_makes_the_same_choices() -> None:
    trials = [Trial.of(7, n) for n in range(300)]
    assert trials == [Trial.of(7, n) for n in range(300)]
    assert trials != [Trial.of(8, n) for n in range(300)]
    assert {t.moment for t in trials} == {"time", "disk", *SIGHTS}


# --------------------------------------------------------- a store that broke a promise is noticed


@pytest.fixture
def kept(tmp_path: Path) -> Promises:
    """What is promised of a store in which all was made."""
    State.of(0).write(tmp_path)
    assert Project(tmp_path).materialize().outcome == "done"
    promises = Promises(tmp_path / ".lineal", [TOGETHER])
    promises.check()
    return promises


def _made(kept: Promises, asset: str) -> Materialization:
    facts = [fact for _, found in Journal(kept.store).read() for fact in found]
    return next(f for f in facts if isinstance(f, Materialization) and f.asset == asset)


def _object(kept: Promises, asset: str) -> Path:
    content = _made(kept, asset).content
    assert content is not None
    (stored,) = content.objects
    return kept.store / "objects" / stored.digest[:2] / f"{stored.digest}.{stored.suffix}"


def test_what_was_told_and_is_in_no_entry_is_noticed(kept: Promises) -> None:
    content = _made(kept, "orders").content
    assert content is not None
    kept.check_told([("orders", "made", content.digest)], after=0)
    with pytest.raises(Broken, match="`orders` was told as made"):
        kept.check_told([("orders", "made", "0" * 64)], after=0)
    with pytest.raises(Broken, match="`orders` was told as made"):
        kept.check_told([("orders", "made", content.digest)], after=kept.head)


def test_an_entry_that_is_gone_is_noticed(kept: Promises) -> None:
    Journal(kept.store).path(kept.head).unlink()
    with pytest.raises(Broken, match="gone or changed"):
        kept.check()


def test_an_object_that_is_gone_is_noticed(kept: Promises) -> None:
    _object(kept, "model").unlink()
    kept.forget_verified()
    with pytest.raises(Broken, match="and gone"):
        kept.check()


def test_an_object_with_other_bytes_is_noticed(kept: Promises) -> None:
    place = _object(kept, "model")
    place.chmod(0o644)
    place.write_bytes(place.read_bytes()[:-1] + b"?")
    kept.forget_verified()
    with pytest.raises(Broken, match="other bytes than its name"):
        kept.check()


def test_half_a_call_is_noticed(kept: Promises) -> None:
    half = replace(_made(kept, "small"), id="r1.900", fingerprint="another")
    Journal(kept.store).append([half])
    with pytest.raises(Broken, match="half a call"):
        kept.check()


def test_a_publication_of_what_was_never_made_is_noticed(kept: Promises) -> None:
    Journal(kept.store).append([Publication("", "orders", None, "r1.900", "0" * 64, "r1")])
    with pytest.raises(Broken, match=r"publishes r1\.900"):
        kept.check()


def test_what_was_computed_twice_is_noticed(kept: Promises) -> None:
    Journal(kept.store).append([replace(_made(kept, "orders"), id="r1.900")])
    with pytest.raises(Broken, match=r"`orders` was computed by .* and again by r1\.900"):
        kept.check()
