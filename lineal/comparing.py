"""Compares two versions of an asset, all its partitions at two times, or two runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from lineal.assets.errors import UsageError, did_you_mean
from lineal.assets.names import Step, in_partition
from lineal.assets.records import SLICES, Materialization, RunEnded, RunStarted
from lineal.assets.versions import meant
from lineal.lineage.compare import (
    RunsDifference,
    StatesDifference,
    VersionsDifference,
    runs_difference,
    states_difference,
    versions_difference,
)
from lineal.lineage.facts import History
from lineal.lineage.moments import after_runs, before_last_change
from lineal.lineage.questions import past_meant, resolve_version, version_name
from lineal.shown import is_in_partitions, parts_of
from lineal.storage.objects import Objects

if TYPE_CHECKING:
    from lineal.storage.compare import RowsDifference

_TABLES = ("parquet", SLICES)
_SMALL = 1 << 20  # bytes of JSON up to which values are compared
_MISSING = object()


class ValueChange(NamedTuple):
    """A place in a JSON value that differs: `rates.eu[0]`. Missing is told by `added`/`removed`."""

    place: str
    kind: str  # added | removed | changed
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, repr=False)
class Versions:
    """Two versions side by side.

    Attributes:
        names: of the two, with as many digits as tell them apart.
        rows: how their rows differ; None if they were not compared, or are no tables.
        values: how two JSON values differ.
        notes: sentences: what was not compared, and why.
    """

    names: tuple[str, str]
    facts: VersionsDifference
    rows: RowsDifference | None
    values: tuple[ValueChange, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        told = "the same" if self.facts.same else "different"
        if self.rows is not None:
            rows = self.rows
            told = f"{rows.added:,} rows added, {rows.removed:,} removed, {rows.changed:,} changed"
        return f"<{self.names[0]} → {self.names[1]}: {told}>"


@dataclass(frozen=True, slots=True)
class States:
    """All partitions of an asset at two times; `names`: as they were asked for."""

    asset: str
    names: tuple[str, str]
    facts: StatesDifference

    def __repr__(self) -> str:
        facts = self.facts
        told = f"{len(facts.added):,} added, {len(facts.removed):,} removed"
        return (
            f"<{self.names[0]} → {self.names[1]}: partitions: {told}, "
            f"{len(facts.changed):,} changed, {facts.same:,} the same>"
        )


Compared = Versions | States


class _Side(NamedTuple):
    """What one of the two names means: one version, or what is current of each partition."""

    name: str
    asset: str
    version: Materialization | None
    parts: Mapping[str, Materialization]


@dataclass(frozen=True, slots=True)
class Comparer:
    """Answers `lineal diff`.

    Args:
        history: the past as it is now.
        objects: where the bytes are.
        key_of: the primary key that an asset declares now; None if nobody knows.
    """

    history: History
    objects: Objects
    key_of: Callable[[str], Sequence[str] | None]

    # ---------------------------------------------------------------------------------- versions

    def compare(
        self,
        first: str,
        second: str | None,
        partition: str | None,
        key: Sequence[str],
        most: int,
    ) -> Compared:
        """Compare two versions; without the second, what is current with it, or with the last.

        Raises:
            UsageError: there is no such version, or the two can't be compared.
            IntegrityError: the bytes of one are damaged.
        """
        before, after = self._sides(first, second, partition)
        if before.version is not None and after.version is not None:
            return self._versions(before.version, after.version, key, most)
        if before.version is not None or after.version is not None or before.asset != after.asset:
            raise UsageError(
                f"`{before.name}` and `{after.name}` can't be compared: "
                "at least one of them is many partitions",
                advice="compare one: `--partition P`, or `lineal diff 'flights P@9f3a2c'`",
            )
        names = before.name, after.name
        return States(before.asset, names, states_difference(before.parts, after.parts))

    def _sides(self, first: str, second: str | None, partition: str | None) -> tuple[_Side, _Side]:
        named = meant(first, partition)
        if second is None and not named.at:
            return self._last_change(named.asset, named.partition)
        before = self._side(first, partition)
        second = before.asset if second is None else second
        other = meant(second, partition)
        alike = other.asset == before.asset and other.partition is None and not other.is_digest
        if before.version is not None and alike:
            second = in_partition(second, before.version.partition)
        return before, self._side(second, partition if " " not in second else None)

    def _side(self, text: str, partition: str | None) -> _Side:
        whole = in_partition(text, partition) if " " not in text.partition("@")[0] else text
        history, plain = past_meant(self.history, whole)
        return self._seen(history, plain, whole)

    def _seen(self, history: History, plain: str, name: str) -> _Side:
        named = meant(plain)
        several = not named.at and named.partition is None
        if several and is_in_partitions(history, named.asset):
            return _Side(name, named.asset, None, parts_of(history, named.asset))
        return _Side(name, named.asset, resolve_version(history, plain), {})

    def _last_change(self, asset: str, partition: str | None) -> tuple[_Side, _Side]:
        """What is current, and what was before the newest run that changed it."""
        plain = str(Step(asset, partition))
        after = self._seen(self.history, plain, plain)
        then = before_last_change(self.history, asset, partition)
        if then is None:
            raise UsageError(
                f"`{plain}` was never another version than it is now",
                advice=f"lineal show {asset}    lists the versions that are kept",
            )
        return self._seen(then, plain, f"{plain}, before the last change"), after

    def _versions(
        self, before: Materialization, after: Materialization, key: Sequence[str], most: int
    ) -> Versions:
        facts = versions_difference(self.history, before, after)
        _check_comparable(before, after)
        names = _names(before, after)
        if facts.same:
            return Versions(names, facts, None, (), ())
        lost = [n for n, m in zip(names, (before, after), strict=True) if not self._is_kept(m)]
        if lost:
            told = f"the data of {' and '.join(lost)} is no longer in the store"
            return Versions(names, facts, None, (), (told,))
        if _is_table(before) and _is_table(after):
            rows, notes = self._rows(before, after, key, most)
            return Versions(names, facts, rows, (), notes)
        values, notes = self._values(before, after)
        return Versions(names, facts, None, values, notes)

    def _is_kept(self, made: Materialization) -> bool:
        objects = made.content.objects if made.content is not None else ()
        return {o.digest for o in objects} <= self.objects.present(objects)

    def _rows(
        self, before: Materialization, after: Materialization, key: Sequence[str], most: int
    ) -> tuple[RowsDifference, tuple[str, ...]]:
        from lineal.storage.compare import Table, compare

        tables = [
            Table(made.content, [self.objects.intact(o) for o in made.content.objects])
            for made in (before, after)
            if made.content is not None
        ]
        if key:
            return compare(tables[0], tables[1], key, most), ()
        declared = self.key_of(after.asset)
        if not declared:
            told = f"`{after.asset}` declares no primary key"
            if declared is None:
                told = f"the project's code has errors, so the key of `{after.asset}` is not known"
            told += ": rows are counted as they are (--key NAME compares by one)"
            return compare(tables[0], tables[1], (), most), (told,)
        try:
            return compare(tables[0], tables[1], declared, most), ()
        except UsageError as error:  # declared later than one of the two was made
            told = f"{error.message}: rows are counted as they are"
            return compare(tables[0], tables[1], (), most), (told,)

    def _values(
        self, before: Materialization, after: Materialization
    ) -> tuple[tuple[ValueChange, ...], tuple[str, ...]]:
        contents = [m.content for m in (before, after) if m.content is not None]
        if {c.format for c in contents} != {"json"}:
            return (), ()
        if any(c.bytes > _SMALL for c in contents):
            return (), ("the values are too large to be compared one by one",)
        from lineal.storage.vault import Vault

        old, new = (Vault(self.objects).load(content, "auto") for content in contents)
        return tuple(differing(old, new, "")), ()

    # -------------------------------------------------------------------------------------- runs

    def runs(self, first: str, second: str | None) -> RunsDifference:
        """Compare two runs; without the second, the run before it in its environment with it.

        Raises:
            UsageError: there is no such run.
        """
        runs = {started.run: (started, ended) for started, ended in self.history.runs()}
        for name in (first, second):
            if name is not None and name not in runs:
                raise UsageError(f"no run `{name}`{did_you_mean(name, runs)}")
        if second is None:
            first, second = _before(first, runs), first
        pair = runs[first], runs[second]
        before, after = after_runs(self.history, [started for started, _ in pair])
        return runs_difference(self.history, pair, (before, after))


def _before(name: str, runs: Mapping[str, tuple[RunStarted, RunEnded | None]]) -> str:
    """The run before one, in the same environment."""
    where = runs[name][0].environment
    same = [run for run, (started, _) in runs.items() if started.environment == where]
    place = same.index(name)
    if place == 0:
        of = f" in environment {where}" if len(same) < len(runs) else ""
        raise UsageError(f"`{name}` is the first run{of}: there is none before it")
    return same[place - 1]


def _is_table(made: Materialization) -> bool:
    return made.content is not None and made.content.format in _TABLES


def _check_comparable(before: Materialization, after: Materialization) -> None:
    for made in (before, after):
        if made.content is None:
            raise UsageError(f"`{made.step}` of {made.run} failed: there is nothing to compare")
    if before.asset != after.asset and not (_is_table(before) and _is_table(after)):
        formats = [m.content.format if m.content is not None else "" for m in (before, after)]
        raise UsageError(
            f"`{before.asset}` ({formats[0]}) and `{after.asset}` ({formats[1]}) are two assets, "
            "and not both are tables",
            advice="two versions of one asset can be compared, or two tables",
        )


def _names(before: Materialization, after: Materialization) -> tuple[str, str]:
    """Both names, with as many digits as tell them apart."""
    for digits in range(6, 65):
        names = version_name(before, digits), version_name(after, digits)
        if names[0] != names[1]:
            return names
    return version_name(before), version_name(after)


def differing(before: Any, after: Any, place: str) -> Iterator[ValueChange]:
    """Where two JSON values differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys((*before, *after)):
            inner = f"{place}.{name}" if place else str(name)
            yield from differing(before.get(name, _MISSING), after.get(name, _MISSING), inner)
    elif isinstance(before, list) and isinstance(after, list):
        for i in range(max(len(before), len(after))):
            old = before[i] if i < len(before) else _MISSING
            new = after[i] if i < len(after) else _MISSING
            yield from differing(old, new, f"{place}[{i}]")
    elif before is _MISSING:
        yield ValueChange(place, "added", None, after)
    elif after is _MISSING:
        yield ValueChange(place, "removed", before, None)
    elif type(before) is not type(after) or not _equal(before, after):
        yield ValueChange(place, "changed", before, after)


def _equal(before: Any, after: Any) -> bool:
    return bool(before == after) or (before != before and after != after)  # NaN
