"""What columns carry: where a value comes from and what decides about it; how names find values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

Direct = Literal["IDENTITY", "TRANSFORMATION", "AGGREGATION"]
Indirect = Literal["JOIN", "GROUP_BY", "FILTER", "SORT", "WINDOW", "CONDITIONAL"]
_STRONGER: Sequence[Direct] = ("IDENTITY", "TRANSFORMATION", "AGGREGATION")  # along one path


class Doubt(Exception):
    """Something whose meaning for columns is not known: nothing is guessed then."""


class Source(NamedTuple):
    """A column of an input."""

    parameter: str
    asset: str
    name: str


class Flow(NamedTuple):
    """A column whose values flow: as they are, row by row, or many into one."""

    source: Source
    subtype: Direct
    masking: bool  # the values can't be read off any more


class Influence(NamedTuple):
    """A column that decides, without its values being there: which rows, which branch."""

    source: Source
    subtype: Indirect


@dataclass(frozen=True, slots=True)
class Value:
    """What an expression is made of. `aggregated`: it holds an aggregate of its own SELECT."""

    flows: frozenset[Flow] = frozenset()
    influences: frozenset[Influence] = frozenset()
    aggregated: bool = False

    def made(self, subtype: Direct, masking: bool = False) -> Value:
        """After an operation on it."""
        flows = frozenset(
            Flow(f.source, max(f.subtype, subtype, key=_STRONGER.index), f.masking or masking)
            for f in self.flows
        )
        return replace(self, flows=flows)

    @property
    def sources(self) -> frozenset[Source]:
        return frozenset(f.source for f in self.flows) | {i.source for i in self.influences}

    def deciding(self, subtype: Indirect) -> frozenset[Influence]:
        """Its columns, where it only decides."""
        return frozenset(Influence(source, subtype) for source in self.sources)

    def under(self, influences: Iterable[Influence]) -> Value:
        return replace(self, influences=self.influences.union(influences))


NOTHING = Value()


def together(values: Iterable[Value]) -> Value:
    """Several values side by side."""
    found = list(values)
    return Value(
        frozenset[Flow]().union(*(v.flows for v in found)),
        frozenset[Influence]().union(*(v.influences for v in found)),
        any(v.aggregated for v in found),
    )


class Column(NamedTuple):
    """A column of a relation.

    Args:
        told: the query says its name; else it is DuckDB's for an expression.
        spread: it stands for as many columns as there are: the fields of a struct, say.
    """

    name: str
    value: Value
    told: bool = True
    spread: bool = False


@dataclass(frozen=True, slots=True)
class Relation:
    """The result of a query, or a table. `influences` decide about all of it."""

    columns: tuple[Column, ...]
    influences: frozenset[Influence] = frozenset()
    order: frozenset[Source] = frozenset()  # by what its rows stand in order, if it is seen


@dataclass(frozen=True, slots=True)
class Table:
    """A relation in a FROM."""

    path: tuple[str, ...]  # what qualifies its columns, in small letters: (`raw`, `orders`)
    columns: tuple[Column, ...]
    hidden: frozenset[str] = frozenset()  # columns that `*` has from the other side of a USING

    def is_called(self, parts: Sequence[str]) -> bool:
        names = tuple(folded(parts))
        plain = names[1:] if names[:1] == ("main",) and len(names) > 1 else names
        return bool(self.path and names) and self.path[-len(names) :] in (names, plain)

    def find(self, name: str) -> Value | None:
        """The column of a name. Raises Doubt if there are two."""
        hits = [c.value for c in self.columns if c.name.casefold() == name]
        if len(hits) > 1:
            raise Doubt(f"two columns `{name}`")
        return hits[0] if hits else None

    @property
    def row(self) -> Value:
        return together(c.value for c in self.columns).made("TRANSFORMATION")

    @property
    def rest(self) -> Value | None:
        """What a column is made of whose name isn't known before the query runs."""
        spread = [c.value for c in self.columns if c.spread]
        return spread[0] if len(spread) == 1 else None


def folded(parts: Iterable[str]) -> list[str]:
    return [part.casefold() for part in parts]


# Written without parentheses, and no columns.
_BARE = frozenset(
    {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}
    | {"current_catalog", "current_role", "current_user", "session_user", "user", "current_schema"}
)


@dataclass(slots=True)
class Scope:
    """The names an expression sees: those of its FROM, then of what is around it."""

    tables: Sequence[Table] = ()
    outer: Scope | None = None
    # Columns of USING and NATURAL: the place of the table that shows them, and what they are.
    merged: Mapping[str, tuple[int, Value]] = field(default_factory=dict)
    bound: Mapping[str, Value] = field(default_factory=dict)  # of lambdas and macros
    aliases: dict[str, Value] = field(default_factory=dict)  # of the SELECT so far
    order: frozenset[Source] = frozenset()  # the rows of FROM come in this order
    withs: Mapping[str, Relation | Doubt] = field(default_factory=dict)

    def with_named(self, name: str) -> Relation | Doubt | None:
        """What a WITH calls so, the innermost."""
        scope: Scope | None = self
        while scope is not None:
            if name.casefold() in scope.withs:
                return scope.withs[name.casefold()]
            scope = scope.outer
        return None

    def find(self, parts: Sequence[str]) -> Value:
        """The value of a name such as `a`, `t.a`, `raw.orders.a` or `t.a.field`."""
        names = folded(parts)
        scope: Scope | None = self
        while scope is not None:
            found = scope._here(names)
            if found is not None:
                return found
            scope = scope.outer
        if len(names) == 1 and names[0] in _BARE:
            return NOTHING
        raise Doubt(f"no column `{'.'.join(parts)}`")

    def _here(self, names: list[str]) -> Value | None:
        for length in range(len(names) - 1, 0, -1):
            tables = [t for t in self.tables if t.is_called(names[:length])]
            found = _one(t.find(names[length]) or t.rest for t in tables)
            if found is not None:
                return _field(found, names[length + 1 :])
        for look in (self.bound.get, self._merged, self._column, self.aliases.get):
            found = look(names[0])
            if found is not None:
                return _field(found, names[1:])
        rows = [t.row for t in self.tables if t.is_called(names)]
        return _one(rows) or (_one(t.rest for t in self.tables) if len(names) == 1 else None)

    def _merged(self, name: str) -> Value | None:
        return self.merged[name][1] if name in self.merged else None

    def _column(self, name: str) -> Value | None:
        return _one(t.find(name) for t in self.tables)

    def owners(self, parts: Sequence[str]) -> set[int]:
        """Which tables of this FROM a name may belong to."""
        names = folded(parts)
        called = {n for n, t in enumerate(self.tables) if t.is_called(names[:-1])}
        if len(names) > 1 and called:
            return called
        return {n for n, t in enumerate(self.tables) if t.find(names[0]) is not None}


def _one(values: Iterable[Value | None]) -> Value | None:
    """The only one; raises Doubt if there are more."""
    found = [v for v in values if v is not None]
    if len(found) > 1:
        raise Doubt("a name of two tables")
    return found[0] if found else None


def _field(value: Value, fields: Sequence[str]) -> Value:
    return value.made("TRANSFORMATION") if fields else value
