"""What the tables of a FROM are made of, and what decides about their rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lineal.lineage.column_flows import (
    Column,
    Doubt,
    Indirect,
    Influence,
    Relation,
    Scope,
    Source,
    Table,
    Value,
    folded,
    together,
)
from lineal.lineage.column_pivots import pivoted
from lineal.lineage.column_values import Values
from lineal.lineage.sql_trees import Tree

# Table functions that read nothing but their arguments.
_FUNCTIONS = frozenset({"range", "generate_series", "unnest", "repeat", "json_each", "json_tree"})


@dataclass(frozen=True, slots=True)
class From:
    """The tables of a FROM so far."""

    tables: tuple[Table, ...] = ()
    merged: Mapping[str, tuple[int, Value]] = field(default_factory=dict)  # as in a Scope
    influences: frozenset[Influence] = frozenset()
    order: frozenset[Source] = frozenset()
    crossed: bool = False  # some stand side by side: only WHERE can join them

    def scope(self, outer: Scope | None) -> Scope:
        return Scope(self.tables, outer, self.merged)


class Tables:
    """Evaluates what stands in a FROM.

    Args:
        values: evaluates expressions.
        query: evaluates a subquery in a scope.
        asset: the columns of a table by its path. Raises Doubt if it is no input.
    """

    def __init__(
        self,
        values: Values,
        query: Callable[[Tree, Scope], Relation],
        asset: Callable[[Sequence[str]], Relation],
    ):
        self._values = values
        self._query = query
        self._asset = asset

    def of(self, reference: Tree, outer: Scope) -> From:
        """The tables of a FROM in a scope."""
        kind = reference["type"]
        if kind == "EMPTY":
            return From()
        if kind == "JOIN":
            return self._join(reference, outer)
        if kind == "BASE_TABLE":
            return self._base(reference, outer)
        alias = folded([reference["alias"]] if "alias" in reference else [])
        if kind == "SUBQUERY":
            found = self._query(reference["subquery"]["node"], outer)
        elif kind == "TABLE_FUNCTION":
            found = self._function(reference, outer)
        elif kind == "EXPRESSION_LIST":
            found = self._list(reference["values"], outer)
        elif kind == "PIVOT":
            source = self.of(reference["source"], outer)
            turned = pivoted(reference, source.scope(outer), self._values)
            found = replace(turned, influences=turned.influences | source.influences)
        else:
            raise Doubt(f"a {kind} in FROM")
        return _one(found, alias, reference.get("column_name_alias", ()))

    def _base(self, reference: Tree, outer: Scope) -> From:
        path = reference["qualified_name"]["path"]
        if "at_clause" in reference:
            raise Doubt("a table AT some time")
        named = path[1:] if len(path) == 2 and path[0].casefold() == "recurring" else path
        found = outer.with_named(named[0]) if len(named) == 1 else None
        if isinstance(found, Doubt):
            raise found
        alias = [reference["alias"]] if "alias" in reference else path
        names = reference.get("column_name_alias", ())
        return _one(self._asset(path) if found is None else found, folded(alias), names)

    def _list(self, rows: Sequence[Sequence[Tree]], outer: Scope) -> Relation:
        """VALUES."""
        columns = [
            Column(f"col{place}", self._values.all(column, outer), told=False)
            for place, column in enumerate(zip(*rows, strict=True))
        ]
        return Relation(tuple(columns))

    def _function(self, reference: Tree, outer: Scope) -> Relation:
        call = reference["function"]
        name = call["function_name"].casefold()
        macro = self._values.macro(name)
        if macro is not None and macro.is_table:
            return self._query(macro.body, self._values.bound(macro, call, outer))
        given = [each["expression"] for each in call.get("arguments", ())]
        if name in ("query", "query_table") and macro is None:
            return self._query(self._values.trees.query(_text_of(name, given)), outer)
        if name not in _FUNCTIONS or macro is not None:
            raise Doubt(f"the table function `{name}`")
        value = self._values.all(given, outer).made("TRANSFORMATION")
        if name in ("json_each", "json_tree"):
            names = self._values.trees.columns_of(name, len(given))
        else:
            names = [reference.get("alias") or name]
        spread = name == "unnest" and len(given) > 1
        columns = [Column(each, value, told=False, spread=spread) for each in names]
        if reference.get("with_ordinality") == "WITH_ORDINALITY":
            columns.append(Column("ordinality", Value(), told=False))
        return Relation(tuple(columns), value.deciding("JOIN"))

    # ------------------------------------------------------------------------------------ joins

    def _join(self, reference: Tree, outer: Scope) -> From:
        left = self.of(reference["left"], outer)
        right = self.of(reference["right"], left.scope(outer))  # LATERAL need not be said
        kind, how = reference["join_type"], reference["ref_type"]
        subtype: Indirect = "FILTER" if kind in ("SEMI", "ANTI") else "JOIN"
        shift = len(left.tables)
        shifted = {name: (place + shift, value) for name, (place, value) in right.merged.items()}
        if set(shifted) & set(left.merged):
            raise Doubt("columns merged on both sides of a join")
        found = From(
            (*left.tables, *right.tables),
            {**left.merged, **shifted},
            left.influences | right.influences,
            crossed=left.crossed or right.crossed or how == "CROSS",
        )
        if "condition" in reference:
            scope = found.scope(outer)
            deciding = self._values.of(reference["condition"], scope).deciding(subtype)
            found = replace(found, influences=found.influences | deciding)
        using = _common(left, right) if how == "NATURAL" else reference.get("using_columns", ())
        for name in folded(using):
            found = _merged(found, left, right, name, kind, subtype)
        if subtype == "FILTER":
            return replace(found, tables=left.tables, merged=left.merged)
        return found


def _text_of(function: str, given: Sequence[Tree]) -> str:
    """The query that `query('…')` or `query_table('…')` runs."""
    if len(given) != 1 or given[0]["class"] != "CONSTANT":
        raise Doubt("a query that is made up")
    text = str(given[0]["literal"]["text"])
    return text if function == "query" else f"from {text}"


def _one(found: Relation, path: Sequence[str], names: Sequence[str]) -> From:
    """A FROM of one table."""
    columns = list(found.columns)
    if names and any(c.spread for c in columns):
        columns = [c._replace(spread=False) for c in columns]  # as many as there are names
    for place, name in enumerate(names[: len(columns)]):
        columns[place] = columns[place]._replace(name=name, told=True)
    return From((Table(tuple(path), tuple(columns)),), {}, found.influences, found.order)


def _visible(side: From) -> dict[str, int]:
    """The columns that a star shows, each with the place of its table."""
    found: dict[str, int] = {}
    for place, table in enumerate(side.tables):
        for column in table.columns:
            name = column.name.casefold()
            if name not in table.hidden:
                found.setdefault(name, place)
    return found


def _common(left: From, right: From) -> list[str]:
    if any(c.spread for side in (left, right) for t in side.tables for c in t.columns):
        raise Doubt("a natural join over columns that are not known")
    there = _visible(right)
    return [name for name in _visible(left) if name in there]


def _merged(found: From, left: From, right: From, name: str, kind: str, subtype: Indirect) -> From:
    """One column of USING: shown once, at its place in the left table."""
    one, other = left.scope(None).find([name]), right.scope(None).find([name])
    value = {"RIGHT": other, "FULL": together([one, other]), "OUTER": together([one, other])}
    place = _visible(left)[name]
    tables = [
        replace(table, hidden=table.hidden | {name}) if number >= len(left.tables) else table
        for number, table in enumerate(found.tables)
    ]
    deciding = together([one, other]).deciding(subtype)
    return replace(
        found,
        tables=tuple(tables),
        merged={**found.merged, name: (place, value.get(kind, one))},
        influences=found.influences | deciding,
    )
