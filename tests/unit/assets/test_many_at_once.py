"""The loop with several steps under way: who may run beside whom, and what moves meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from lineal.assets.asset import Asset, Input, Retry
from lineal.assets.errors import StoreError
from lineal.assets.executors import Executor, Finished
from lineal.assets.perform import Done, Task, Workshop, work
from lineal.assets.records import Materialization
from tests.fakes import Held, NoLocks
from tests.workbench import Workbench, from_files, made

Ends = Callable[[Sequence[str]], str | None]


def first_come(under_way: Sequence[str]) -> str | None:
    return under_way[0] if under_way else None


class Several:
    """Tasks are worked on as they come; the test says which is the next that is heard to end."""

    hands_over = False

    def __init__(self, workshop: Workshop, slots: int, ends: Ends) -> None:
        self.slots = slots
        self._workshop, self._ends = workshop, ends
        self._under_way: dict[str, Finished] = {}
        self.together: list[frozenset[str]] = []  # those under way, whenever one came
        self.given_up = False

    def submit(self, task: Task) -> None:
        assert str(task.step) not in self._under_way, "begun twice"
        self._under_way[str(task.step)] = Finished(task.step, self._written(task))
        self.together.append(frozenset(self._under_way))

    def wait(self, seconds: float | None) -> Sequence[Finished]:
        name = self._ends(tuple(self._under_way))
        return () if name is None else [self._under_way.pop(name)]

    def _written(self, task: Task) -> Done:
        done = work(task, self._workshop)
        vault = self._workshop.vault
        written = {
            output: each._replace(canonical=Held(None, vault.write(each.canonical)))
            for output, each in done.outcome.made.items()
        }
        return replace(done, outcome=replace(done.outcome, made=written))

    def wake(self) -> None:
        """It never sleeps."""

    def give_up(self) -> None:
        self.given_up = True
        self._under_way.clear()


def several(
    bench: Workbench, slots: int, ends: Ends = first_come, kind: type[Several] = Several
) -> list[Several]:
    """Let a bench run so many steps at once; the executors of its runs will be in the list."""
    found: list[Several] = []

    def executor(workshop: Workshop) -> Executor:
        found.append(kind(workshop, slots, ends))
        return found[-1]

    bench.executor = executor
    return found


def failing(times: int, value: Any = 1) -> Callable[..., Any]:
    """A function that raises the first so many times."""
    left = [times]

    def function(**_: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise ValueError(f"{left[0]} more")
        return value

    return function


def one(name: str, **options: Any) -> Asset:
    return made(name, lambda: {"a": (1,)}, **options)


def recorded(bench: Workbench) -> dict[str, Materialization]:
    return {f.asset: f for f in bench.journal.facts if isinstance(f, Materialization)}


# --------------------------------------------------------------------------------- side by side


def test_steps_that_need_nothing_of_each_other_are_under_way_together() -> None:
    bench = Workbench(*(one(f"a{i}") for i in range(5)))
    executors = several(bench, 3)
    assert set(bench.outcomes().values()) == {"made"}
    assert max(map(len, executors[0].together)) == 3


def test_a_pool_is_never_fuller_than_it_is() -> None:
    bench = Workbench(
        *(one(f"b{i}", pools=(("disk", 2),)) for i in range(3)),
        *(one(f"c{i}", pools=(("disk", 1), ("web", 1))) for i in range(3)),
        *(one(f"d{i}", pools=(("web", 1),)) for i in range(3)),
        *(one(f"e{i}") for i in range(3)),
    )
    bench.pools = {"disk": 3, "web": 2}
    executors = several(bench, 6, lambda under_way: under_way[-1] if under_way else None)
    assert set(bench.outcomes().values()) == {"made"}
    taken = dict.fromkeys(bench.pools, 0)
    for together in executors[0].together:
        for pool in bench.pools:
            places = sum(dict(bench.graph.assets[n].pools).get(pool, 0) for n in together)
            taken[pool] = max(taken[pool], places)
    assert taken == bench.pools


def test_an_exclusive_step_runs_beside_none_and_among_many_it_has_its_turn() -> None:
    many = [one(f"a{i}") for i in range(12)]
    bench = Workbench(*many[:2], one("m", exclusive=True), *many[2:])
    executors = several(bench, 4)
    assert set(bench.outcomes().values()) == {"made"}
    assert [t for t in executors[0].together if "m" in t] == [frozenset({"m"})]


def test_the_head_of_the_longest_path_starts_first_by_what_it_took_before() -> None:
    bench = Workbench(
        one("short"),
        one("long"),
        one("first"),
        made("behind", lambda first: {"a": (2,)}, {"first": "first"}),
    )
    assert bench.run().outcome == "done"
    entries = bench.journal.entries
    took = {"short": 1.0, "long": 5.0, "first": 1.0, "behind": 7.0}
    bench.journal.entries = [
        tuple(replace(f, seconds=took[f.asset]) if isinstance(f, Materialization) else f for f in e)
        for e in entries
    ]
    several(bench, 2)
    bench.told.begun.clear()
    assert bench.run(forced=took).outcome == "done"
    assert bench.told.begun == ["first", "long", "behind", "short"]


# ------------------------------------------------------------------------------------- attempts


def test_while_a_step_rests_others_go_on_and_every_attempt_is_recorded() -> None:
    bench = Workbench(made("flaky", failing(2), retry=Retry(2)), *(one(f"z{i}") for i in range(3)))
    several(bench, 1)
    bench.pause = 0.01
    assert bench.run().outcome == "done"
    assert bench.told.begun.index("z0") < bench.told.begun.index("flaky", 1)
    attempts = recorded(bench)["flaky"].attempts
    assert [(a.number, a.error.message) for a in attempts] == [(1, "1 more"), (2, "0 more")]


def test_a_step_that_fails_to_the_last_is_recorded_with_all_that_failed_before() -> None:
    bench = Workbench(made("flaky", failing(9), retry=Retry(2)))
    several(bench, 2)
    run = bench.run()
    assert run.outcome == "failed"
    assert run.steps[0].attempts == 3
    assert [a.number for a in recorded(bench)["flaky"].attempts] == [1, 2]
    assert bench.told.tried_again == [("flaky", 2), ("flaky", 3)]


def test_one_that_rests_when_the_run_is_stopped_is_told_with_its_error() -> None:
    def stop(**_: Any) -> Any:
        bench.stopping = True
        return 1

    bench = Workbench(made("flaky", failing(9), retry=Retry(3)), made("stop", stop), one("zebra"))
    several(bench, 1)
    bench.pause = 60.0
    run = bench.run()
    assert run.outcome == "cancelled"
    assert {s.step.asset: s.outcome for s in run.steps} == {
        "flaky": "failed",
        "stop": "made",
        "zebra": "cancelled",
    }
    failed = recorded(bench)["flaky"]
    assert failed.error is not None
    assert failed.error.message == "8 more"
    assert failed.attempts == ()


def test_a_step_that_is_due_again_waits_for_room_in_its_pool_without_spinning() -> None:
    waits: list[float | None] = []
    bench = Workbench(
        made("flaky", failing(1), pools=(("one", 1),), retry=Retry(1)),
        one("holds", pools=(("one", 1),)),
    )
    bench.pause = 0.01
    bench.pools = {"one": 1}

    class Watched(Several):
        def wait(self, seconds: float | None) -> Sequence[Finished]:
            waits.append(seconds)
            if len(waits) in (2, 3):  # `holds` runs on, and `flaky` is due
                time.sleep(0.02)
                return ()
            return super().wait(seconds)

    several(bench, 2, kind=Watched)
    assert bench.run().outcome == "done"
    assert len(waits) == 5
    assert all(seconds and seconds > 0 for seconds in waits)


# ------------------------------------------------------------------------ what moves meanwhile


def reading_files(bench: Workbench, name: str, **options: Any) -> Asset:
    """An asset that opens the files of `raw` itself."""

    def function(raw: str) -> Any:
        return dict(bench.files.tables["raw"])

    return replace(made(name, function, **options), inputs=(Input("raw", "raw", arrival="path"),))


def moved(function: Callable[..., Any], bench: Workbench) -> Callable[..., Any]:
    """A function in whose middle the files of `raw` become others, the first time."""
    rewrites = [{"a": (2,)}]

    def whole(**given: Any) -> Any:
        found = function(**given)
        if rewrites:
            bench.files.tables["raw"] = rewrites.pop()
        return found

    return whole


def over_files(**options: Any) -> Workbench:
    bench = Workbench(from_files("raw"))
    bench.files.tables["raw"] = {"a": (1,)}
    first = reading_files(bench, "first")
    assert first.function is not None
    bench.declared += [
        reading_files(bench, "second", **options),
        replace(first, function=moved(first.function, bench)),
        made("end", lambda first, second: (first, second), {"first": "first", "second": "second"}),
    ]
    return bench


@pytest.mark.parametrize("order", [("first", "second"), ("second", "first")])
def test_what_is_under_way_when_its_files_move_is_done_again(order: tuple[str, str]) -> None:
    bench = over_files()

    def ends(under_way: Sequence[str]) -> str | None:
        wanted = [name for name in (*order, "raw", "end") if name in under_way]
        return wanted[0] if wanted else None

    executors = several(bench, 3, ends)
    run = bench.run()
    assert {s.step.asset: s.outcome for s in run.steps} == dict.fromkeys(
        ("raw", "first", "second", "end"), "made"
    )
    assert [bench.current(n) for n in ("first", "second")] == [{"a": (2,)}] * 2
    assert bench.told.seen_moving == [["raw"]]
    assert len(executors) == 1
    assert bench.outcomes() == dict.fromkeys(("raw", "first", "second", "end"), "fresh")


def test_one_that_rests_when_its_files_move_is_done_again_with_the_lock_that_it_holds() -> None:
    bench = over_files(retry=Retry(1))
    first, second = (bench.graph.assets[name] for name in ("first", "second"))
    assert first.function is not None
    assert second.function is not None
    broken, good, moves = failing(1), second.function, first.function
    bench.replace(
        replace(second, function=lambda raw: (broken(), good(raw=raw))[1]),
        one("before"),
        replace(
            first,
            function=lambda raw, before: moves(raw=raw),
            inputs=(*first.inputs, Input("before", "before")),
        ),
    )
    bench.pause = 60.0
    bench.locks = OurLocks()

    def ends(under_way: Sequence[str]) -> str | None:
        wanted = [n for n in ("second", "before", "first", "raw", "end") if n in under_way]
        return wanted[0] if wanted else None

    several(bench, 3, ends)
    run = bench.run()
    assert run.outcome == "done"
    assert bench.told.tried_again == [("second", 2)]
    assert bench.current("second") == {"a": (2,)}
    assert bench.locks.taken == set()


# ----------------------------------------------------------------------------- other processes


class OurLocks(NoLocks):
    """What we hold can't be taken again; some are held by others, for ever."""

    def __init__(self, *others: str) -> None:
        self.taken: set[str] = set()
        self.others = frozenset(others)
        self.asked = 0
        self.seen_while_waiting: set[str] = set()

    def take(self, step: str) -> Any:
        if step in self.others:
            self.asked += 1
            self.seen_while_waiting |= self.taken
            return None
        assert step not in self.taken
        self.taken.add(step)
        return lambda: self.taken.discard(step)


def test_who_waits_for_another_process_can_be_stopped() -> None:
    bench = Workbench(one("theirs"), one("ours"))
    bench.locks = locks = OurLocks("theirs")
    waited = [0]

    def ends(under_way: Sequence[str]) -> str | None:
        if under_way:
            return under_way[0]
        waited[0] += 1
        bench.stopping = waited[0] > 3
        return None

    several(bench, 2, ends)
    run = bench.run()
    assert run.outcome == "cancelled"
    assert {s.step.asset: s.outcome for s in run.steps} == {"ours": "made", "theirs": "cancelled"}
    assert bench.told.awaited == ["theirs"]
    assert locks.taken == set()


def test_when_the_disk_says_no_what_runs_is_given_up_before_its_locks_are_let_go() -> None:
    bench = Workbench(one("a"), one("b"))
    locks = OurLocks()
    bench.locks = locks

    class Full(Several):
        def wait(self, seconds: float | None) -> Sequence[Finished]:
            raise StoreError("no space left on the device")

        def give_up(self) -> None:
            assert locks.taken == {"a", "b"}
            super().give_up()

    executors = several(bench, 2, kind=Full)
    with pytest.raises(StoreError, match="no space"):
        bench.run()
    assert executors[0].given_up
    assert locks.taken == set()
