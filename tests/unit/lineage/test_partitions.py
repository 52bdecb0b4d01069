"""Partitions in the memory of facts: published, retired, and told all at once."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineal.assets.names import Step
from lineal.assets.records import (
    Brief,
    CheckResult,
    Content,
    Materialization,
    Publication,
    Retirement,
    StoredObject,
)
from lineal.lineage import checkpoint
from lineal.lineage.census import Census
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from tests.unit.lineage.story import Run, digest, table


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / ".lineal")


def opened(journal: Journal, environment: str = "default") -> History:
    return History.open(Journal(journal.root), journal.root / "cache", environment)


def test_a_retired_partition_is_current_no_more_and_was_attempted_all_the_same(
    journal: Journal,
) -> None:
    run = Run(journal)
    gone, stays = (run.make("a", table(p), partition=p) for p in ("1", "2"))
    retirement = run.retire(gone)
    for _ in range(2):  # folded now, and from the checkpoint
        history = opened(journal)
        assert history.current("a", "1") is None
        assert history.last("a", "1") == gone
        assert history.currents() == {Step("a", "2"): stays}
        assert set(history.partitions("a")) == {"2"}
        assert history.retired("a") == {"1": retirement}
        assert history.retired("b") == {}


def test_a_partition_that_is_published_again_is_back(journal: Journal) -> None:
    run = Run(journal)
    first = run.make("a", table("1"), partition="1")
    run.retire(first)
    opened(journal)
    back = Run(journal)
    journal.append([back.publication(first)])
    history = opened(journal)
    assert history.current("a", "1") == first
    assert history.retired("a") == {}


def test_a_retirement_of_a_run_planned_earlier_hides_nothing(journal: Journal) -> None:
    early, late = Run(journal), Run(journal)
    made = late.make("a", table("1"), partition="1")
    early.retire(made)
    assert opened(journal).current("a", "1") == made
    assert opened(journal).retired("a") == {}


def test_a_publication_of_a_run_planned_earlier_brings_nothing_back(journal: Journal) -> None:
    early, late = Run(journal), Run(journal)
    made = early.make("a", table("1"), partition="1")
    late.retire(made)
    opened(journal)
    early.make("a", table("again"), partition="1")
    assert opened(journal).current("a", "1") is None


def test_partitions_that_were_tried_since_are_told(journal: Journal) -> None:
    run = Run(journal)
    for key in ("1", "2", "3"):
        run.make("a", table(key), partition=key)
    run.make("a", None, partition="2", outcome="failed")
    run.make("a", None, partition="4", outcome="failed")
    for _ in range(2):
        assert opened(journal).tried("a") == {"2", "4"}
    run.make("a", table("2"), partition="2")
    assert opened(journal).tried("a") == {"4"}


def test_partitions_are_told_in_brief(journal: Journal) -> None:
    run = Run(journal)
    objects = (StoredObject(digest("x"), "json", 3, "x.json"), StoredObject(digest("y"), "", 4))
    check = CheckResult(digest("c"), "rows", "a", "4", digest("4"), "error", True, digest("rule"))
    made = [
        run.make("a", table("1"), partition="1", seconds=1.5),
        run.make("a", table("2", objects=objects), partition="2"),
        run.make("a", Content(digest("none"), "slices"), partition="3"),
        run.make("a", table("4"), partition="4", checks=[check]),
        run.make("a", table("5"), partition="5", unwatched=(("f", "d", "p.py:1"),)),
        run.make("a", table("6"), partition="6", outcome="blocked", publish=True),
        run.make("a", table("whole"), outcome="made"),
    ]
    run.make("b", table("b"), partition="1")
    run.make("a", None, partition="7", outcome="failed")
    for _ in range(2):
        found = opened(journal).partitions("a")
        assert found == {
            m.partition: Brief(
                m.id, m.fingerprint, m.content.digest, m.content.objects, m.seconds,
                m.partition not in ("4", "5", "6"), m.content.format, m.outcome, m.content.summary,
            )
            for m in made if m.content
        }  # fmt: skip
        assert all(type(o) is StoredObject for b in found.values() for o in b.objects)


def test_a_version_published_long_after_it_was_made_is_told_in_brief(journal: Journal) -> None:
    run = Run(journal)
    old = run.make("a", table("old"), partition="1")
    for text in ("two", "three"):
        run.make("a", table(text), partition="1")
    opened(journal)
    journal.append([Run(journal).publication(old)])
    journal.append([Publication("default", "a", "2", "r9.9", digest("x"), run.id)])
    for _ in range(2):
        (found,) = opened(journal).partitions("a").items()
        assert (found[0], found[1].materialization) == ("1", old.id)


# --------------------------------------------------------------------------------- the rank rule

STEPS = (("a", None), ("p", "1"), ("p", "2"))
event = st.tuples(
    st.integers(0, 2),  # which run
    st.sampled_from(STEPS),
    st.sampled_from(["make", "fail", "publish", "retire"]),
    st.booleans(),  # is the past looked at, and saved, here?
)


@settings(max_examples=30, deadline=None)
@given(st.lists(event, max_size=12))
def test_whatever_the_order_what_counts_is_of_the_run_planned_last(
    events: list[tuple[int, tuple[str, str | None], str, bool]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / ".lineal")
        runs = [Run(journal) for _ in range(3)]
        made: dict[Step, list[Materialization]] = {}
        counts: dict[Step, tuple[int, int, Materialization | Retirement]] = {}
        last: dict[Step, Materialization] = {}
        for place, (which, (asset, partition), what, look) in enumerate(events):
            run, step = runs[which], Step(asset, partition)
            known = made.setdefault(step, [])
            fact: Materialization | Retirement | None = None
            if what == "fail":
                last[step] = run.make(asset, None, partition=partition, outcome="failed")
            elif what == "make" or not known:
                fact = last[step] = run.make(asset, table(str(place)), partition=partition)
                known.append(fact)
            elif what == "publish":
                fact = known[0]
                journal.append([run.publication(fact)])
            else:
                fact = run.retire(known[-1])
            if fact is not None and (which, place) > counts.get(step, (-1, -1))[:2]:
                counts[step] = which, place, fact
            if look:
                opened(journal).close()
        _look(journal, {step: fact for step, (_, _, fact) in counts.items()}, last)


def _look(
    journal: Journal,
    counts: dict[Step, Materialization | Retirement],
    last: dict[Step, Materialization],
) -> None:
    history = opened(journal)
    shown = {step: m for step, m in counts.items() if isinstance(m, Materialization)}
    assert history.currents() == shown
    assert history.lasts() == last
    assert {
        Step(asset, partition): brief.materialization
        for asset in ("a", "p")
        for partition, brief in history.partitions(asset).items()
    } == {step: m.id for step, m in shown.items()}
    retired = {s: f for s, f in counts.items() if isinstance(f, Retirement)}
    assert {Step(a, p): f for a in ("a", "p") for p, f in history.retired(a).items()} == retired
    assert checkpoint.damage(journal, journal.root / "cache") is None
    census = Census()
    for entry in journal.entries():
        census.take(entry)
    assert census.shown() == {m.id for m in shown.values()}
    history.close()


# ------------------------------------------------------------------------------------ checkpoint


def told(history: History) -> object:
    every = {asset: (history.partitions(asset), history.retired(asset)) for asset in ("a", "big")}
    return history.currents(), history.lasts(), every, history.check(digest("c"))


@pytest.mark.parametrize("size", [10, 17_000_000], ids=["in memory", "on the disk"])
def test_a_checkpoint_that_was_carried_on_equals_one_from_scratch(
    journal: Journal, size: int
) -> None:
    run = Run(journal)
    run.make("big", table("big"), metadata={"text": "x" * size})
    cache = journal.root / "cache"
    path = cache / "facts-4.jsonl"
    check = CheckResult(digest("c"), "rows", "a", "2", digest("2"), "error", True, digest("rule"))
    for turn in range(4 if size < 1000 else 2):
        for partition in ("1", "2", "3"):
            checks = [check] if (turn, partition) == (0, "2") else []
            text = partition if partition == "2" else f"{partition} {turn}"
            made = run.make("a", table(text), partition=partition, checks=checks)
            opened(journal).close()
        run.retire(made)
        carried = opened(journal)
        assert checkpoint.damage(journal, cache) is None
        found = told(carried)
        path.unlink()
        assert told(opened(journal)) == found
    assert len(path.read_bytes()) < size + 30_000


def test_a_large_checkpoint_with_a_flipped_bit_is_folded_again(journal: Journal) -> None:
    run = Run(journal)
    run.make("big", table("big"), metadata={"text": "x" * 17_000_000})
    run.make("a", table("1"), partition="1")
    expected = told(opened(journal))
    cache = journal.root / "cache"
    path = cache / "facts-4.jsonl"
    whole = path.read_bytes()
    for place in (3, 70, len(whole) // 2, len(whole) - 1):
        path.chmod(0o644)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert checkpoint.damage(journal, cache) == f"`{path}` is not what was written"
        assert checkpoint.seen_through(cache) == 0
        assert told(opened(journal)) == expected
        assert path.read_bytes() == whole


def test_who_reads_a_checkpoint_goes_on_with_it_when_a_later_one_takes_its_place(
    journal: Journal,
) -> None:
    run = Run(journal)
    run.make("big", table("big"), metadata={"text": "x" * 17_000_000})
    first = run.make("a", table("1"), partition="1")
    opened(journal)
    early = opened(journal)
    run.make("a", table("2"), partition="1")
    (journal.root / "cache" / "facts-4.jsonl").unlink()
    opened(journal)
    assert early.current("a", "1") == first
    assert early.last("a", "1") == first


def test_a_large_checkpoint_is_written_anew_after_much_only(journal: Journal) -> None:
    run = Run(journal)
    run.make("big", table("big"), metadata={"text": "x" * 17_000_000})
    opened(journal)
    cache = journal.root / "cache"
    made = run.make("a", table("1"), partition="1")
    assert opened(journal).current("a", "1") == made
    assert checkpoint.seen_through(cache) == journal.head() - 1
    for n in range(63):
        made = run.make("a", table(f"n{n}"), partition="1")
    assert opened(journal).current("a", "1") == made
    assert checkpoint.seen_through(cache) == journal.head()
    made = run.make("a", table("last"), partition="1", metadata={"text": "y" * 300_000})
    assert opened(journal).current("a", "1") == made
    assert checkpoint.seen_through(cache) == journal.head()
    assert checkpoint.damage(journal, cache) is None


def test_few_lines_that_nobody_needs_may_stay_in_a_large_checkpoint(journal: Journal) -> None:
    run = Run(journal)
    run.make("big", table("big"), metadata={"text": "x" * 17_000_000})
    made = {n: run.make("a", table(f"a{n}"), partition=f"{n:02}") for n in range(40)}
    opened(journal).close()
    path = journal.root / "cache" / "facts-4.jsonl"
    for n in (3, 7, 41):
        text = "y" * (300_000 if n == 41 else 1)
        made[n] = run.make("a", table(f"again{n}"), partition=f"{n:02}", metadata={"text": text})
    run.retire(made.pop(5))
    opened(journal).close()
    assert checkpoint.seen_through(path.parent) == journal.head()
    history = opened(journal)
    assert {m.id for s, m in history.currents().items() if s.asset == "a"} == {
        m.id for m in made.values()
    }
    assert len(history.partitions("a")) == len(made) == 40
    assert checkpoint.damage(journal, path.parent) is None


def test_a_result_stays_as_long_as_what_it_judged_is_shown_or_was_tried_last(
    journal: Journal,
) -> None:
    def results() -> set[str]:
        opened(journal).close()
        cache = journal.root / "cache"
        return checkpoint.catch_up(Journal(journal.root), cache).checks.fingerprints()

    def judged(text: str) -> CheckResult:
        return CheckResult(text, "rows", "a", "1", digest(text), "error", True, digest("rule"))

    run = Run(journal)
    one = run.make("a", table("one"), partition="1", checks=[judged("one")])
    run.make("a", table("bad"), partition="1", checks=[judged("bad")], outcome="blocked")
    assert results() == {"one", "bad"}
    run.make("a", None, partition="1", outcome="failed")
    assert results() == {"one"}
    run.retire(one)
    assert results() == set()
