"""Compares the rows of two stored tables, by a key or as bags of rows, in memory that is bounded.

DuckDB reads both from their files and spills what does not fit. Values are compared as they are
digested: null equals null, NaN equals NaN. A column of numbers that became another kind of number
is compared by value; any other column whose type changed is not.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lineal.assets.errors import StoreError, UsageError, did_you_mean
from lineal.assets.records import Column, Content
from lineal.storage.memory import quarter, threads_in
from lineal.storage.sandbox import literal, quoted

if TYPE_CHECKING:
    import duckdb

_LOSSY = re.compile(r"decimal\((39|[4-7]\d)")  # DuckDB reads these as what they nearly are
_WHOLE = re.compile(r"u?int(8|16|32|64)\Z")
_FLOAT = re.compile(r"float(16|32|64)\Z")
_NUMBER = re.compile(r"(u?int|float|decimal)")
_IN_ORDER = re.compile(r"(u?int|float|decimal|string|bool|date|time|timestamp)")
_BOTH = "b.here and a.here"
_NONE = ["null", "null"]
_CATEGORICAL = re.compile(r"(?:ordered )?categorical<(.*)>\Z")


class Table(NamedTuple):
    """A stored table: what is recorded of it, and where its files lie, in order."""

    content: Content
    paths: Sequence[Path]


class Statistics(NamedTuple):
    """What a column holds. Of floats `least`, `greatest` and `mean` leave NaN out."""

    rows: int
    nulls: int
    distinct: int
    least: Any
    greatest: Any
    mean: float | None
    nans: int | None  # of floats


class ColumnChange(NamedTuple):
    """A column that differs: in how many rows of those that both tables have, and what it holds.

    `rows` is None where rows can't be told apart.
    """

    name: str
    rows: int | None
    before: Statistics
    after: Statistics


class ChangedRow(NamedTuple):
    """A row that both tables have: its key, and (column, before, after) of what differs."""

    key: tuple[Any, ...]
    values: tuple[tuple[str, Any, Any], ...]


@dataclass(frozen=True, slots=True)
class RowsDifference:
    """How the rows of two tables differ.

    Attributes:
        key: by which rows were told apart; without one they are counted as they are, and none is
            said to be changed.
        shared: the columns that were compared; not_compared: others that both have.
        in_order: do the rows that both have stand in the same order? None if that is not known.
        names: of the columns of `added_rows` and `removed_rows`, a few of them each.
    """

    key: tuple[str, ...]
    shared: tuple[str, ...]
    not_compared: tuple[str, ...]
    added: int
    removed: int
    changed: int
    in_order: bool | None
    columns: tuple[ColumnChange, ...]
    names: tuple[str, ...]
    added_rows: tuple[tuple[Any, ...], ...]
    removed_rows: tuple[tuple[Any, ...], ...]
    changed_rows: tuple[ChangedRow, ...]


def compare(
    before: Table, after: Table, key: Sequence[str], most: int, memory: int | None = None
) -> RowsDifference:
    """Compare the rows of two tables.

    Args:
        key: columns that tell rows apart; without one, rows are counted.
        most: rows of each kind to show.
        memory: bytes that DuckDB may use before it spills; None: a quarter of the machine's.

    Raises:
        UsageError: the key is not in both, or does not tell their rows apart.
        StoreError: they can't be read, or there is no room to compare them.
    """
    import duckdb

    try:
        with _opened(before, after, quarter() if memory is None else memory) as connection:
            comparison = _Comparison(connection, before.content, after.content, tuple(key))
            return comparison.by_key(most) if key else comparison.as_bags(most)
    except duckdb.Error as error:
        told = str(error).splitlines()[0]
        raise StoreError(f"the tables can't be compared: {told}") from error


@contextmanager
def _opened(before: Table, after: Table, memory: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB with the tables as views `before` and `after`; where it spills goes at the end."""
    import duckdb

    with tempfile.TemporaryDirectory(prefix="lineal-") as spill:
        threads = threads_in(memory)
        config = {"memory_limit": f"{memory}B", "temp_directory": spill, "threads": threads}
        connection = duckdb.connect(":memory:", config=config)
        try:
            connection.execute("set TimeZone = 'UTC'")
            for name, table in (("before", before), ("after", after)):
                files = ", ".join(literal(str(path)) for path in table.paths)
                connection.execute(
                    f"create view {name} as from read_parquet([{files}], "
                    "union_by_name = true, hive_partitioning = false)"
                )
            yield connection
        finally:
            connection.close()


class _Comparison:
    """Two tables as views `before` and `after`, whose shared columns go by numbers: c0, c1, …"""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        before: Content,
        after: Content,
        key: tuple[str, ...],
    ) -> None:
        self._connection = connection
        self._before = {c.name: c for c in before.columns}
        self._after = {c.name: c for c in after.columns}
        both = [name for name in self._after if name in self._before]
        self._shared = [n for n in both if _comparable(self._before[n].type, self._after[n].type)]
        self._not_compared = tuple(n for n in both if n not in self._shared)
        self._key = key
        self._number = {name: f"c{i}" for i, name in enumerate(self._shared)}

    # --------------------------------------------------------------------------------- by a key

    def by_key(self, most: int) -> RowsDifference:
        self._check_key()
        aligned = all(self._same(name) for name in self._key)
        looked_at = [
            name
            for name in self._shared
            if name not in self._key and not (aligned and self._same(name))
        ]
        counts = self._counts(looked_at)
        added, removed, changed, *of_columns = (int(count or 0) for count in counts)
        differ = {n: c for n, c in zip(looked_at, of_columns, strict=True) if c}
        names = self._sampled()
        return RowsDifference(
            key=self._key,
            shared=tuple(self._shared),
            not_compared=self._not_compared,
            added=added,
            removed=removed,
            changed=changed,
            in_order=self._in_order(aligned, added + removed),
            columns=self._changes(
                [n for n in self._shared if n in differ or not self._same(n)], differ
            ),
            names=tuple(names),
            added_rows=self._one_sided("after", names, most) if added else (),
            removed_rows=self._one_sided("before", names, most) if removed else (),
            changed_rows=self._changed_rows(list(differ), most) if changed else (),
        )

    def _in_order(self, aligned: bool, others: int) -> bool | None:
        """Do the keys, which are the same in both if there are no others, stand in one order?"""
        same_types = all(self._before[n].type == self._after[n].type for n in self._key)
        return True if aligned else (None if others or not same_types else False)

    def _check_key(self) -> None:
        for name in self._key:
            for which, columns in (("first", self._before), ("second", self._after)):
                if name not in columns:
                    told = f"the {which} table has no column `{name}` to tell its rows apart by"
                    raise UsageError(told + did_you_mean(name, columns))
            kinds = self._before[name].type, self._after[name].type
            if not _joinable(*kinds):
                told = f"the key `{name}` is {kinds[0]} in one table and {kinds[1]} in the other"
                raise UsageError(told, advice="compare by another column: --key NAME")
        for which, side in (("first", "before"), ("second", "after")):
            names = ", ".join(quoted(name) for name in self._key)
            twin = self._rows(
                f"select {names}, count(*) from {side} group by {names} "
                f"having count(*) > 1 order by {names} limit 1"
            )
            if twin:
                *values, count = twin[0]
                told = ", ".join(f"{n} = {v}" for n, v in zip(self._key, values, strict=True))
                raise UsageError(
                    f"`{', '.join(self._key)}` is no key: the {which} table has {count:,} rows "
                    f"with {told}",
                    advice="name more columns: --key A --key B",
                )

    def _counts(self, looked_at: Sequence[str]) -> Sequence[Any]:
        """Rows added, removed and changed, and in how many rows each of these columns differs."""
        differs = {name: self._differs(name) for name in looked_at}
        wanted = [
            "count(*) filter (where b.here is null)",
            "count(*) filter (where a.here is null)",
            f"count(*) filter (where {_BOTH} and ({' or '.join(differs.values()) or 'false'}))",
            *(f"count(*) filter (where {_BOTH} and {test})" for test in differs.values()),
        ]
        (row,) = self._rows(f"select {', '.join(wanted)} from {self._joined('full')}")
        return row

    def _joined(self, how: str) -> str:
        on = " and ".join(
            f"b.{self._number[name]} is not distinct from a.{self._number[name]}"
            for name in self._key
        )
        return f"{self._side('before')} b {how} join {self._side('after')} a on {on}"

    def _side(self, side: str) -> str:
        columns = ", ".join(f"{quoted(name)} as {number}" for name, number in self._number.items())
        return f"(select {columns}, true as here from {side})"

    def _differs(self, name: str) -> str:
        number, kinds = self._number[name], (self._before[name].type, self._after[name].type)
        before, after = f"b.{number}", f"a.{number}"
        if _WHOLE.match(kinds[0]) and _FLOAT.match(kinds[1]):
            return _number_differs(before, after)
        if _FLOAT.match(kinds[0]) and _WHOLE.match(kinds[1]):
            return _number_differs(after, before)
        return f"{before} is distinct from {after}"

    def _one_sided(self, side: str, names: Sequence[str], most: int) -> tuple[tuple[Any, ...], ...]:
        own, other, how = ("a", "b", "right") if side == "after" else ("b", "a", "left")
        wanted = ", ".join(f"{own}.{self._number[name]}" for name in names)
        order = ", ".join(f"{own}.{self._number[name]}" for name in self._key)
        return tuple(
            self._rows(
                f"select {wanted} from {self._joined(how)} where {other}.here is null "
                f"order by {order} limit {most}"
            )
        )

    def _changed_rows(self, differing: Sequence[str], most: int) -> tuple[ChangedRow, ...]:
        keys = [f"b.{self._number[name]}" for name in self._key]
        wanted = [*keys]
        for name in differing:
            number = self._number[name]
            wanted += [self._differs(name), f"b.{number}", f"a.{number}"]
        where = " or ".join(self._differs(name) for name in differing)
        found = self._rows(
            f"select {', '.join(wanted)} from {self._joined('inner')} where {where} "
            f"order by {', '.join(keys)} limit {most}"
        )
        return tuple(self._changed_row(row, differing) for row in found)

    def _changed_row(self, row: Sequence[Any], differing: Sequence[str]) -> ChangedRow:
        values = iter(row[len(self._key) :])
        told = zip(differing, values, values, values, strict=True)
        changed = tuple((name, old, new) for name, differs, old, new in told if differs)
        return ChangedRow(tuple(row[: len(self._key)]), changed)

    # --------------------------------------------------------------------------------- as bags

    def as_bags(self, most: int) -> RowsDifference:
        """Rows counted as they are: a row twice in one table and once in the other is one more."""
        names = [n for n in self._shared if self._before[n].type == self._after[n].type]
        numbers = ", ".join(self._number[name] for name in names)
        bag = (
            f"(select {numbers}, sum(w) as n from (select *, 1 as w from {self._side('after')} "
            f"union all select *, -1 as w from {self._side('before')}) group by {numbers})"
        )
        added = removed = 0
        if names:
            wanted = "sum(greatest(n, 0)), sum(greatest(-n, 0))"
            ((more, less),) = self._rows(f"select {wanted} from {bag}")
            added, removed = int(more or 0), int(less or 0)
        shown = self._sampled(names)
        return RowsDifference(
            key=(),
            shared=tuple(names),
            not_compared=tuple(n for n in self._after if n in self._before and n not in names),
            added=added,
            removed=removed,
            changed=0,
            in_order=None if added or removed else all(map(self._same, names)),
            columns=self._changes([n for n in self._shared if not self._same(n)], None),
            names=tuple(shown),
            added_rows=self._more(bag, shown, numbers, "n > 0", most) if added else (),
            removed_rows=self._more(bag, shown, numbers, "n < 0", most) if removed else (),
            changed_rows=(),
        )

    def _more(
        self, bag: str, names: Sequence[str], order: str, where: str, most: int
    ) -> tuple[tuple[Any, ...], ...]:
        wanted = ", ".join(self._number[name] for name in names)
        query = f"select {wanted} from {bag} where {where} order by {order} limit {most}"
        return tuple(self._rows(query))

    # ---------------------------------------------------------------------------------- columns

    def _same(self, name: str) -> bool:
        """Are its type and its values, row by row, the same? By what is recorded."""
        return self._before[name] == self._after[name]

    def _changes(
        self, names: Sequence[str], rows: dict[str, int] | None
    ) -> tuple[ColumnChange, ...]:
        found = []
        for name in names:
            before = self._statistics("before", self._before[name])
            after = self._statistics("after", self._after[name])
            count = None if rows is None else rows.get(name, 0)
            found.append(ColumnChange(name, count, before, after))
        return tuple(found)

    def _statistics(self, side: str, column: Column) -> Statistics:
        name = quoted(column.name)
        kind = _plain(column.type)
        real = f"filter (where not isnan({name}))" if _FLOAT.match(kind) else ""
        wanted = ["count(*)", f"count(*) - count({name})", f"count(distinct {name})"]
        wanted += [f"min({name}) {real}", f"max({name}) {real}"] if _IN_ORDER.match(kind) else _NONE
        wanted += [f"avg({name}) {real}"] if _NUMBER.match(kind) else ["null"]
        wanted += [f"count(*) filter (where isnan({name}))"] if real else ["null"]
        ((rows, nulls, distinct, least, greatest, mean, nans),) = self._rows(
            f"select {', '.join(wanted)} from {side}"
        )
        average = None if mean is None else float(mean)
        return Statistics(rows, nulls, distinct, least, greatest, average, nans)

    def _sampled(self, names: Sequence[str] | None = None) -> list[str]:
        """The columns of which rows are shown: the key first."""
        known = self._shared if names is None else names
        return [*self._key, *(name for name in known if name not in self._key)]

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        """Through Arrow: DuckDB makes times with a zone only with another package."""
        table = self._connection.sql(query).to_arrow_table()
        if not table.num_columns:
            return []
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _number_differs(whole: str, real: str) -> str:
    """Exact also where a double can't hold each whole number."""
    exact = f"{whole}::hugeint is distinct from try_cast({real} as hugeint)"
    return f"({whole}::double is distinct from {real}::double or {exact})"


def _plain(kind: str) -> str:
    found = _CATEGORICAL.match(kind)
    return found.group(1) if found is not None else kind


def _comparable(before: str, after: str) -> bool:
    """Can values of these types be compared without a loss?"""
    if _LOSSY.search(before) or _LOSSY.search(after):
        return False
    if _joinable(before, after):
        return True
    return all(_WHOLE.match(kind) or _FLOAT.match(kind) for kind in (before, after))


def _joinable(before: str, after: str) -> bool:
    """Can rows be found by values of these types?"""
    if _LOSSY.search(before):
        return False
    before, after = _plain(before), _plain(after)
    return before == after or bool(_WHOLE.match(before) and _WHOLE.match(after))
