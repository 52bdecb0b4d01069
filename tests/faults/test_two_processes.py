"""Two processes on one project, step by step: who waits, who computes, whose version is current."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import lineal.project
from tests.faults.commands import Ended, Place, place_in, wait_until
from tests.faults.crowd_proofs import computed_twice, forbidden, held_locks, leftovers

WAITING = "; waiting"
SLOW = """
    @asset
    def slow():
        gate("slow")
        computed("slow")
        return 1


    @asset
    def late(slow):
        computed("late")
        return slow + 1
    """


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with place_in(tmp_path) as found:
        yield found


def assert_well(place: Place, *ended: Ended, code: int = 0) -> None:
    for one in ended:
        assert one.code == code, one
        assert list(forbidden(one.out + one.err, "")) == []
    assert list(leftovers(place.store, ())) == []
    assert list(held_locks(place.store)) == []


# ------------------------------------------------------------------------------ the same step twice


def test_who_waits_takes_over_what_the_other_made(place: Place) -> None:
    place.pipeline(SLOW)
    first = place.start("materialize")
    place.at("slow")
    second = place.start("materialize")
    second.hears(WAITING)
    place.open("slow")
    assert_well(place, first.end(), second.end())
    assert sorted(place.computed()) == ["late", "slow"]
    assert place.outcomes("slow") == ["made", "reused"]
    made, reused = (m for _, m in place.past().made.values() if m.asset == "slow")
    assert reused.origin == made.id
    assert list(computed_twice(place.past())) == []
    assert place.run("materialize").out.startswith("Nothing to do: 2 fresh")


def test_what_needs_nothing_that_is_held_is_done_before_waiting(place: Place) -> None:
    place.pipeline(
        SLOW + '\n\n    @asset\n    def zebra():\n        computed("zebra")\n        return 0\n'
    )
    first = place.start("materialize", "late")
    place.at("slow")
    second = place.start("materialize")
    second.hears(WAITING)
    assert place.computed() == ["zebra"]
    place.open("slow")
    assert_well(place, first.end(), second.end())
    assert sorted(place.computed()) == ["late", "slow", "zebra"]


def test_when_one_fails_the_one_who_waited_computes(place: Place) -> None:
    place.pipeline(
        """
        @asset
        def slow():
            gate("slow")
            if os.path.exists(OUTSIDE + "/once"):
                os.unlink(OUTSIDE + "/once")
                raise ValueError("once")
            computed("slow")
            return 1
        """
    )
    (place.outside / "once").touch()
    first = place.start("materialize")
    place.at("slow")
    second = place.start("materialize")
    second.hears(WAITING)
    place.open("slow")
    failed, made = first.end(), second.end()
    assert_well(place, failed, code=1)
    assert_well(place, made)
    assert place.outcomes("slow") == ["failed", "made"]


def test_a_version_that_one_refused_is_blocked_for_the_one_who_waited(place: Place) -> None:
    place.pipeline(
        """
        import pandas as pd


        @asset(checks=[checks.between("v", low=0)])
        def slow():
            gate("slow")
            computed("slow")
            return pd.DataFrame({"v": [1, -1]})


        @asset
        def late(slow):
            computed("late")
            return len(slow)
        """
    )
    first = place.start("materialize")
    place.at("slow")
    second = place.start("materialize")
    second.hears(WAITING)
    place.open("slow")
    for ended in [first.end(), second.end()]:
        assert_well(place, ended, code=1)
        assert "blocked by check `between(v, low=0)`" in ended.out
        assert "skipped: need slow" in ended.out
    assert place.computed() == ["slow"]


# ----------------------------------------------------------------------------- other computations


NUMBERS = """
    source("raw/n", "n.csv")
    FACTOR = 1


    @asset
    def slow(raw_n):
        gate("slow")
        return 1


    @asset
    def total(raw_n, slow):
        found = int(raw_n["v"].sum()) * FACTOR
        computed(f"total={found}")
        return found
    """


def test_a_run_that_ends_last_never_hides_what_was_planned_after_it(place: Place) -> None:
    place.pipeline(NUMBERS)
    place.write("n.csv", "v\n1\n")
    place.open("slow")
    assert_well(place, place.run("materialize", "slow"))
    place.shut("slow")
    place.write("n.csv", "v\n10\n")
    first = place.start("materialize", "--force")
    place.at("slow")
    place.write("n.csv", "v\n200\n")
    second = place.start("materialize", "total", "--exclude", "slow")
    assert_well_but_held(second.end())
    place.open("slow")
    assert_well(place, first.end())
    assert place.computed() == ["total=200", "total=10"]
    assert lineal.project.open(place.root).load("total") == 200
    rows = lineal.project.open(place.root).sql(
        "select m.run from lineage.materialization m join lineage.current c "
        "on c.materialization = m.id where m.asset = 'total'"
    )
    assert [run for (run,) in rows.rows] == [place.past().started[-1]]


def assert_well_but_held(ended: Ended) -> None:
    """Another process still holds a step."""
    assert ended.code == 0, ended
    assert list(forbidden(ended.out + ended.err, "")) == []


OBSERVES_LATE = """
    import dataclasses
    from contextlib import contextmanager
    from pathlib import Path

    from lineal.project import Project
    from lineal.storage.sources import Observer

    OUTSIDE = Path({outside!r})


    class Slow(Observer):
        '''Waits once, after it has looked at the files of a source.'''

        def observe(self, source, files):
            found = super().observe(source, files)
            if not (OUTSIDE / "look.here").exists():
                (OUTSIDE / "look.here").touch()
                while not (OUTSIDE / "look.open").exists():
                    pass
            return found


    class Watched(Project):
        @contextmanager
        def look(self, overrides=()):
            with super().look(overrides) as seen:
                slow = Slow(self.root, self.cache / "other-stat.json")
                yield dataclasses.replace(seen, observer=slow)


    run = Watched(Path.cwd()).materialize("total")
    print(run.id, run.outcome)
    """


def test_a_run_that_looked_at_the_world_first_but_starts_last_looks_again(place: Place) -> None:
    place.pipeline(NUMBERS)
    place.open("slow")
    place.write("n.csv", "v\n1\n")
    code = textwrap.dedent(OBSERVES_LATE).format(outside=str(place.outside))
    first = place.python("-c", code)
    wait_until((place.outside / "look.here").exists, "the first one never looked")
    place.write("n.csv", "v\n20\n")
    place.pipeline(NUMBERS.replace("FACTOR = 1", "FACTOR = 3"))
    assert_well(place, place.run("materialize"))
    place.open("look")
    ended = first.end()
    assert_well(place, ended)
    assert place.computed() == ["total=60"]
    assert lineal.project.open(place.root).load("total") == 60
    assert place.run("materialize").out.startswith("Nothing to do")


def test_a_forced_run_computes_what_the_one_it_waited_for_has_just_made(place: Place) -> None:
    place.pipeline(SLOW)
    first = place.start("materialize", "slow")
    place.at("slow")
    second = place.start("materialize", "--force")
    second.hears(WAITING)
    place.open("slow")
    assert_well(place, first.end(), second.end())
    assert place.computed() == ["slow", "slow", "late"]
    assert place.outcomes("slow") == ["made", "made"]


def test_a_normal_run_beside_a_forced_one_has_nothing_to_do(place: Place) -> None:
    place.pipeline(SLOW)
    place.open("slow")
    assert_well(place, place.run("materialize"))
    place.shut("slow")
    forced = place.start("materialize", "--force")
    place.at("slow")
    beside = place.run("materialize")
    assert_well_but_held(beside)
    assert beside.out.startswith("Nothing to do: 2 fresh")
    place.open("slow")
    assert_well(place, forced.end())


def test_what_is_volatile_is_computed_by_each_run(place: Place) -> None:
    place.pipeline(
        """
        @asset(volatile=True)
        def slow():
            gate("slow")
            computed("slow")
            return 1


        @source("raw/fetched")
        def fetched():
            gate("fetched")
            computed("fetched")
            return 2


        @asset
        def late(slow, raw_fetched):
            computed("late")
            return slow + raw_fetched
        """
    )
    first = place.start("materialize", "slow", "raw/fetched", "--force")
    second_words = ("materialize", "slow", "raw/fetched", "--force")
    place.open("fetched")
    place.at("slow")
    second = place.start(*second_words)
    second.hears(WAITING)
    place.open("slow")
    assert_well(place, first.end(), second.end())
    assert sorted(place.computed()) == ["fetched", "fetched", "slow", "slow"]
    assert_well(place, place.run("materialize", "late"))
    assert place.computed()[-2:] == ["slow", "late"]
