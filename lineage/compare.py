"""What facts say of two versions, of two states of an asset, of two runs: no data is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from lineal.assets.content import columns_difference
from lineal.assets.keys import in_order
from lineal.assets.names import Step
from lineal.assets.reasons import (
    changed_files,
    environment_difference,
    recipe_difference,
)
from lineal.assets.records import Column, Materialization, Reason, RunEnded, RunStarted, Used
from lineal.lineage.facts import History


@dataclass(frozen=True, slots=True)
class SchemaDifference:
    """What differs in the columns of two versions, by their names, types and digests.

    Attributes:
        added: columns of the second alone; removed: of the first alone.
        retyped: of one name and another type, as (before, after).
        renamed: of another name, the same type and values, as (before, after).
        changed: names of those with one name and type, and other values or another order of rows.
        moved: the columns that both have stand in another order.
    """

    added: tuple[Column, ...] = ()
    removed: tuple[Column, ...] = ()
    retyped: tuple[tuple[Column, Column], ...] = ()
    renamed: tuple[tuple[Column, Column], ...] = ()
    changed: tuple[str, ...] = ()
    moved: bool = False

    @property
    def same_shape(self) -> bool:
        """Are names, types and order of the columns the same?"""
        return not (self.added or self.removed or self.retyped or self.renamed or self.moved)


@dataclass(frozen=True, slots=True)
class VersionsDifference:
    """Two versions as recorded.

    Attributes:
        made: what differs in how they were made.
    """

    before: Materialization
    after: Materialization
    schema: SchemaDifference
    made: tuple[Reason, ...]

    @property
    def same(self) -> bool:
        return digest_of(self.before) == digest_of(self.after)


@dataclass(frozen=True, slots=True)
class StatesDifference:
    """All partitions of an asset at one time and at another.

    Attributes:
        added, removed: keys that only one of them has; changed: of other content, and what differs.
        same: how many are equal.
    """

    before: Mapping[str, Materialization]
    after: Mapping[str, Materialization]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[tuple[str, str], ...]
    same: int


class StepChange(NamedTuple):
    """A step in two runs: what became of it in each, what was current after each.

    `outcomes`: None where the run did not come to it.
    """

    step: Step
    outcomes: tuple[str | None, str | None]
    versions: tuple[str | None, str | None]  # content digests
    seconds: tuple[float | None, float | None]  # that the run spent on it
    what: str  # what differs in the data, in a few words


@dataclass(frozen=True, slots=True)
class RunsDifference:
    """Two runs: what became of the steps, and what had changed, by asset."""

    before: tuple[RunStarted, RunEnded | None]
    after: tuple[RunStarted, RunEnded | None]
    steps: tuple[StepChange, ...]  # that differ in outcome or version, or ran in both
    made: Mapping[str, tuple[Reason, ...]]

    def __repr__(self) -> str:
        names = f"{self.before[0].run} → {self.after[0].run}"
        return f"<{names}: {len(self.steps):,} steps, {len(self.made):,} made otherwise>"


def digest_of(made: Materialization | None) -> str | None:
    return made.content.digest if made is not None and made.content is not None else None


def schema_difference(before: Iterable[Column], after: Iterable[Column]) -> SchemaDifference:
    """How the columns of two tables differ."""
    old, new = {c.name: c for c in before}, {c.name: c for c in after}
    removed = [c for name, c in old.items() if name not in new]
    added = [c for name, c in new.items() if name not in old]
    renamed = list(_renamed(removed, added))
    shared = [(c, new[name]) for name, c in old.items() if name in new]
    order = [name for name in new if name in old]
    return SchemaDifference(
        added=tuple(c for c in added if c not in [b for _, b in renamed]),
        removed=tuple(c for c in removed if c not in [a for a, _ in renamed]),
        retyped=tuple((a, b) for a, b in shared if a.type != b.type),
        renamed=tuple(renamed),
        changed=tuple(a.name for a, b in shared if a.type == b.type and a.digest != b.digest),
        moved=order != [a.name for a, _ in shared],
    )


def _renamed(removed: Iterable[Column], added: Iterable[Column]) -> Iterator[tuple[Column, Column]]:
    """Columns whose type and values are those of one other column, and of no third."""
    groups: dict[str, tuple[list[Column], list[Column]]] = {}
    for side, columns in enumerate((removed, added)):
        for column in columns:
            groups.setdefault(column.digest, ([], []))[side].append(column)
    for one, other in groups.values():
        if len(one) == len(other) == 1:
            yield one[0], other[0]


def versions_difference(
    history: History, before: Materialization, after: Materialization
) -> VersionsDifference:
    """How two versions differ, and how their making did."""
    old = before.content.columns if before.content is not None else ()
    new = after.content.columns if after.content is not None else ()
    # Two assets are made otherwise in everything.
    alike = before.asset == after.asset
    made = tuple(dict.fromkeys(making_difference(history, before, after))) if alike else ()
    return VersionsDifference(before, after, schema_difference(old, new), made)


def states_difference(
    before: Mapping[str, Materialization], after: Mapping[str, Materialization]
) -> StatesDifference:
    """How the partitions of an asset differ, by what was recorded of them."""
    both = [key for key in in_order(after) if key in before]
    changed = [key for key in both if digest_of(before[key]) != digest_of(after[key])]
    return StatesDifference(
        before=before,
        after=after,
        added=tuple(key for key in in_order(after) if key not in before),
        removed=tuple(key for key in in_order(before) if key not in after),
        changed=tuple((key, _what(before[key], after[key])) for key in changed),
        same=len(both) - len(changed),
    )


def _what(
    before: Materialization | None, after: Materialization | None, used: Used | None = None
) -> str:
    """`+3 rows`, `columns a, b`, or what is recorded of values that are no tables.

    Args:
        used: by whom only some columns were read, so that no other counts.
    """
    old = before.content if before is not None else None
    new = after.content if after is not None else None
    if before is None or after is None or old is None or new is None or old.digest == new.digest:
        return ""
    if old.columns and new.columns:
        some = used is not None and used.mode in ("columns", "shape")
        read, shape = (used.columns, used.mode == "shape") if used and some else (None, False)
        return columns_difference(old, new, read, shape=shape)
    if old.summary != new.summary:
        return f"{old.summary} → {new.summary}"
    metrics = [n for n, v in after.metrics if dict(before.metrics).get(n) != v]
    return f"metrics {', '.join(metrics[:4])}" if metrics else "content"


def making_difference(
    history: History, before: Materialization, after: Materialization
) -> Iterator[Reason]:
    """What differs in code, parameters, packages, contract and inputs."""
    if before.recipe != after.recipe:
        old, new = history.recipe(before.recipe), history.recipe(after.recipe)
        if old is None or new is None:
            yield Reason("code_changed", "what it was is no longer known")
        else:
            yield from recipe_difference(old, new)
    was, now = dict(before.parameters), dict(after.parameters)
    for name in sorted({*was, *now}):
        if was.get(name) != now.get(name):
            change = (was.get(name, "unset"), now.get(name, "unset"))
            yield Reason("parameter_changed", name, "", *change)
    if before.environment != after.environment:
        with_what = [history.environment_facts(m.environment) for m in (before, after)]
        if with_what[0] is not None and with_what[1] is not None:
            yield from environment_difference(with_what[0], with_what[1])
    if before.contract != after.contract:
        yield Reason("contract_changed", "format, key, order, schema or outputs")
    if before.files != after.files:
        told = changed_files(before.files, after.files)
        if [(f.path, f.digest) for f in before.files] != [(f.path, f.digest) for f in after.files]:
            yield Reason("input_changed", told)
    if not (before.files and after.files):  # a source reads but itself
        yield from _inputs(history, before, after)


def _inputs(history: History, before: Materialization, after: Materialization) -> Iterator[Reason]:
    old = {(u.parameter, u.partition): u for u in before.inputs}
    new = {(u.parameter, u.partition): u for u in after.inputs}
    for place, used in new.items():
        was = old.get(place)
        name = str(Step(used.asset, used.partition))
        if was is None:
            yield Reason("input_changed", name, "", "", "new")
        elif (was.digest, was.columns, was.mode) != (used.digest, used.columns, used.mode):
            what = _what(_source(history, was), _source(history, used), used)
            versions = f"@{was.content[:6]}", f"@{used.content[:6]}"
            yield Reason("input_changed", f"{name} ({what})" if what else name, "", *versions)
    for place, used in old.items():
        if place not in new:
            yield Reason("input_changed", str(Step(used.asset, used.partition)), "", "", "gone")


def _source(history: History, used: Used) -> Materialization | None:
    return history.materialization(used.materialization)


# -------------------------------------------------------------------------------------------- runs


def runs_difference(
    history: History,
    runs: tuple[tuple[RunStarted, RunEnded | None], tuple[RunStarted, RunEnded | None]],
    states: tuple[History, History],
) -> RunsDifference:
    """How two runs differ.

    Args:
        states: the past as each of them left it.
    """
    attempts = [_attempts(history, started.run) for started, _ in runs]
    steps, made = [], dict[str, tuple[Reason, ...]]()
    for step in dict.fromkeys([*states[1].steps(), *states[0].steps(), *attempts[0], *attempts[1]]):
        current = states[0].current(*step), states[1].current(*step)
        tried = attempts[0].get(step), attempts[1].get(step)
        change = StepChange(
            step,
            (_outcome(tried[0]), _outcome(tried[1])),
            (digest_of(current[0]), digest_of(current[1])),
            (_seconds(tried[0]), _seconds(tried[1])),
            _what(*current),
        )
        if tried != (None, None) or change.versions[0] != change.versions[1]:
            steps.append(change)
        last = tried[0] or current[0], tried[1] or current[1]
        if last[0] is not None and last[1] is not None and last[0].id != last[1].id:
            reasons = making_difference(history, last[0], last[1])
            made[step.asset] = tuple(dict.fromkeys([*made.get(step.asset, ()), *reasons]))
    told = {asset: reasons for asset, reasons in made.items() if reasons}
    return RunsDifference(runs[0], runs[1], tuple(steps), told)


def _attempts(history: History, run: str) -> dict[Step, Materialization]:
    return {made.step: made for made in history.run_materializations(run)}


def _outcome(made: Materialization | None) -> str | None:
    return made.outcome if made is not None else None


def _seconds(made: Materialization | None) -> float | None:
    return made.seconds if made is not None and made.outcome != "reused" else None
