"""The past as it stood at a moment, or after a run: which versions were current then.

A publication counts from the moment its computation ended, a retirement, and what was published
long after it was made, from the beginning of its run. Of what counts by then, the order of runs
decides, as it does now: times say what is told of, never what overrides what.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from lineal.assets.errors import IntegrityError, UsageError, did_you_mean
from lineal.assets.names import Step
from lineal.assets.records import Brief, Materialization, Retirement, RunStarted
from lineal.assets.versions import Moment
from lineal.lineage.catalog import Catalog
from lineal.lineage.facts import History
from lineal.lineage.shelf import brief

if TYPE_CHECKING:
    import duckdb

# `lineage.act`: publications and retirements, with the moment from which each counts.
_OURS = "from lineage.act where environment = $environment and entry <= $entry"

_THEN = f"""
    select asset, partition, unnest(arg_max(
        {{materialization: materialization, run: run, reason: reason}},
        row(run_number, entry, position)
    ))
    {_OURS}
        and ($moment is null or counts_from is null or counts_from <= $moment::timestamp)
        and ($run is null or run_number <= $run)
    group by asset, partition
    order by min(row(entry, position))
"""

_FIRST = f"select min(counts_from) {_OURS} and ($asset is null or asset = $asset)"

_OF_ASSET = f"""
    select partition, version, run_number {_OURS}
        and asset = $asset and ($partition is null or partition = $partition)
    order by run_number, entry, position
"""


class _Act(NamedTuple):
    """What counted of a step: a publication, or with a reason a retirement."""

    materialization: str
    run: str
    reason: str | None


class Then(History):
    """The past in which only what was current by then is current; all else is as it is now."""

    def __init__(self, now: History, acts: Mapping[str, Mapping[str | None, _Act]]) -> None:
        super().__init__(now.journal, now._index, now._state, now.environment)
        self._acts = acts

    def current(self, asset: str, partition: str | None) -> Materialization | None:
        act = self._acts.get(asset, {}).get(partition)
        if act is None or act.reason is not None:
            return None
        found = self.materialization(act.materialization)
        if found is None:
            told = f"`{Step(asset, partition)}` was current, and nothing is recorded of it"
            raise IntegrityError(told, advice="lineal fsck")
        return found

    def partitions(self, asset: str) -> Mapping[str | None, Brief]:
        found = self._partitions.get(asset)
        if found is None:
            made = {key: self.current(asset, key) for key in self._acts.get(asset, {})}
            briefs = {key: brief(one) for key, one in made.items() if one is not None}
            found = {key: one for key, one in briefs.items() if one is not None}
            self._partitions[asset] = found
        return found

    def retired(self, asset: str) -> Mapping[str | None, Retirement]:
        acts = self._acts.get(asset, {}).items()
        return {
            key: Retirement(self.environment, asset, key, act.materialization, act.reason, act.run)
            for key, act in acts
            if act.reason is not None
        }

    def steps(self) -> list[Step]:
        return [Step(asset, key) for asset, acts in self._acts.items() for key in acts]


def as_of(history: History, moment: Moment, asset: str | None = None) -> Then:
    """The past as it stood at a moment.

    Args:
        asset: what is asked about; None for all of them.

    Raises:
        UsageError: nothing had been made then, of this asset or at all.
    """
    with _catalog(history) as connection:
        then = _then(connection, history, moment=f"{moment.instant:%Y-%m-%d %H:%M:%S.%f}")
        known = {step.asset for step in then.steps()}
        if known if asset is None else asset in known:
            return then
        given = _given(history, asset=asset)
        row = connection.execute(_FIRST, given).fetchone()
    first: dt.datetime | None = row[0] if row is not None else None
    if first is None:
        if asset is None:
            raise UsageError("nothing was ever made in this project")
        names = {step.asset for step in history.steps()} - {asset}
        raise UsageError(f"nothing was ever made of `{asset}`{did_you_mean(asset, names)}")
    what = "nothing" if asset is None else f"nothing of `{asset}`"
    raise UsageError(
        f"{what} had been made by {moment.text}",
        advice=f"the first version is of {first:%Y-%m-%dT%H:%M:%S} (UTC)",
    )


def after_runs(history: History, runs: Sequence[RunStarted]) -> list[Then]:
    """The past as the runs up to each of these, in the order of runs, left its environment."""
    with _catalog(history) as connection:
        return [
            _then(connection, history.of(run.environment), run=int(run.run[1:])) for run in runs
        ]


def before_last_change(history: History, asset: str, partition: str | None) -> Then | None:
    """The past before the newest run by which what is current of an asset became another version.

    Args:
        partition: of this one alone; None: of all of them.

    Returns:
        None when nothing was current before.
    """
    with _catalog(history) as connection:
        given = _given(history, asset=asset, partition=partition)
        acts = connection.execute(_OF_ASSET, given).fetchall()
        run = _last_change(acts)
        return None if run is None else _then(connection, history, run=run - 1)


def _last_change(acts: list[tuple[str | None, str | None, int]]) -> int | None:
    """The number of the newest run by which something current became another, if there is one."""
    shown: dict[str | None, str | None] = {}
    undo: list[tuple[int, str | None, str | None]] = []
    for partition, version, run in acts:
        undo.append((run, partition, shown.get(partition)))
        shown[partition] = version
    now, differing = dict(shown), set[str | None]()
    for place, (run, partition, before) in reversed(list(enumerate(undo))):
        shown[partition] = before
        (differing.discard if before == now[partition] else differing.add)(partition)
        if differing and (place == 0 or undo[place - 1][0] != run):
            return run if any(version is not None for version in shown.values()) else None
    return None


@contextmanager
def _catalog(history: History) -> Iterator[duckdb.DuckDBPyConnection]:
    connection, _ = Catalog(history.journal.root, history.journal).connect_for_questions()
    try:
        yield connection
    finally:
        connection.close()


def _given(history: History, **more: object) -> dict[str, object]:
    return {"environment": history.environment, "entry": history.through, **more}


def _then(
    connection: duckdb.DuckDBPyConnection,
    history: History,
    *,
    moment: str | None = None,
    run: int | None = None,
) -> Then:
    rows = connection.execute(_THEN, _given(history, moment=moment, run=run)).fetchall()
    acts: dict[str, dict[str | None, _Act]] = {}
    for asset, partition, materialization, by, reason in rows:
        acts.setdefault(asset, {})[partition] = _Act(materialization, by, reason)
    return Then(history, acts)
