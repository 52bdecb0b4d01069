"""Finds the log of a step, also while another process makes it, reads it and follows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from lineal.assets.errors import UsageError, did_you_mean
from lineal.assets.names import Step
from lineal.assets.records import Materialization
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from lineal.logs import Follower, is_being_written, log_name, not_closed, read_log, shown_log

_POLL = 0.2  # seconds between two looks at a log that is followed
_QUIET = 10.0


class StepLog(NamedTuple):
    """Where the log of a step in one run is, or would be."""

    path: Path
    run: str
    step: Step
    made: Materialization | None  # None: nothing is recorded of it, or not yet


def find_log(
    store: Path, history: History, name: str, partition: str | None, run: str | None
) -> StepLog:
    """The log of the last attempt at a step, or of that in a run.

    Raises:
        UsageError: it never ran, or not in that run.
    """
    last = history.last(name, partition)
    if last is None and partition is None:
        last = _last_of_all(history, name, run)
    step = last.step if last is not None else Step(name, partition)
    folder = store / "logs"
    names = _names(folder, history, step, last)
    wanted = (
        run or _newer_run(folder, names, last, history) or (last.run if last is not None else None)
    )
    if wanted is None:
        known = {s.asset for s in history.steps()}
        if partition is not None and name in known:
            raise UsageError(f"the partition {partition} of `{name}` never ran")
        raise UsageError(f"`{name}` never ran{did_you_mean(name, known)}")
    paths = [folder / wanted / f"{one}.log" for one in names]
    path = next((p for p in paths if p.is_file()), paths[0])
    made = _made_in(history, wanted, step, last)
    if made is None and not path.is_file():
        raise UsageError(
            f"`{step}` was not attempted in {wanted}", advice="`lineal runs` lists runs"
        )
    return StepLog(path, wanted, step, made)


def told_by(found: StepLog) -> str:
    """What a log says, or the error of a step that failed outside of the user's code.

    Raises:
        IntegrityError: the log is not what was written.
    """
    text = shown_log(found.path) if found.path.is_file() else ""
    error = found.made.error if found.made is not None else None
    if text or error is None:
        return text
    return f"{error.type}: {error.message}\n{error.where}\n"


def follow(
    found: StepLog,
    journal: Journal,
    history: Callable[[], History],
    wait: Callable[[float], bool],
    quiet: float = _QUIET,
) -> Iterator[str]:
    """What a log says, and then what is added until its step has ended.

    Args:
        history: opens the past as it is now.
        wait: waits so many seconds; true if nobody wants to hear more.
        quiet: seconds after which a log that nobody writes is taken for that of a dead process.

    Raises:
        IntegrityError: the log is not what was written.
    """
    follower = Follower(found.path)
    over = found.made is not None
    since, through = time.monotonic(), 0
    while True:
        text = follower.news()  # after the look at the journal: what was written by then is read
        if text:
            since = time.monotonic()
            yield text
        if over or _is_abandoned(found.path, since + quiet):
            break
        if wait(_POLL):
            return
        if not through or journal.has(through + 1):
            over, through = _is_over(found, history)
    if not found.path.is_file():
        yield told_by(found)
    elif read_log(found.path)[1] == "damaged":
        shown_log(found.path)
    elif not follower.ended:
        yield not_closed(found.path)


def _is_abandoned(path: Path, until: float) -> bool:
    """Its process died, and nobody tries again."""
    return time.monotonic() >= until and is_being_written(path) is False


def _is_over(found: StepLog, history: Callable[[], History]) -> tuple[bool, int]:
    """Is the step recorded by now, or its run at its end? And through which entry was looked."""
    past = history()
    try:
        ended = any(s.run == found.run and end is not None for s, end in past.runs())
        return ended or _made_in(past, found.run, found.step, None) is not None, past.through
    finally:
        past.close()


def _last_of_all(history: History, name: str, run: str | None) -> Materialization | None:
    """The last attempt at any partition, or that in a run."""
    if run is None:
        return history.latest(name)
    found = [m for m in history.run_materializations(run) if m.asset == name]
    return max(found, key=lambda m: m.started_at, default=None)


def _names(
    folder: Path, history: History, step: Step, last: Materialization | None
) -> tuple[str, ...]:
    """What its log may be called: that of a function with several outputs is named by the first,
    and that of partitions which one call made by none.
    """
    own = log_name(step)
    if last is None:
        return (own,)
    first = last
    if not (folder / last.run / f"{own}.log").is_file():
        same = (m for m in history.run_materializations(last.run) if _same_call(m, last))
        first = next(same, last)
    firsts = log_name(Step(first.asset, step.partition))
    return tuple(
        dict.fromkeys([own, firsts, log_name(Step(step.asset)), log_name(Step(first.asset))])
    )


def _newer_run(
    folder: Path, names: Iterable[str], last: Materialization | None, history: History
) -> str | None:
    """The newest run here that has a log of the step while nothing is recorded of it yet."""
    after = _number(last.run) if last is not None else 0
    runs = (p.name for p in folder.glob("r*") if _number(p.name) > after)
    files = [f"{name}.log" for name in names]
    newer = (r for r in runs if any((folder / r / file).is_file() for file in files))
    return next((r for r in sorted(newer, key=_number, reverse=True) if _is_here(history, r)), None)


def _is_here(history: History, run: str) -> bool:
    """Is a run of this environment, or so new that nothing is known of it?"""
    started = history.started(run)
    return started is None or started.environment == history.environment


def _made_in(
    history: History, run: str, step: Step, last: Materialization | None
) -> Materialization | None:
    if last is not None and last.run == run:
        return last
    return next((m for m in history.run_materializations(run) if m.step == step), None)


def _same_call(made: Materialization, last: Materialization) -> bool:
    """Did one call of a function make both?"""
    return (made.started_at, made.recipe, made.partition) == (
        last.started_at,
        last.recipe,
        last.partition,
    )


def _number(run: str) -> int:
    return int(run[1:]) if run[1:].isdecimal() else -1
