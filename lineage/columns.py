"""Column lineage of a SQL query, with OpenLineage's words: which columns flow where, and how.

DuckDB's own parser reads the text; the names are found with the columns that the inputs had. What
is not understood in full is opaque as a whole: each column may come from anything that was read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from lineal.assets.names import identifier
from lineal.lineage.column_flows import (
    Column,
    Doubt,
    Flow,
    Influence,
    Relation,
    Scope,
    Source,
    Value,
    folded,
)
from lineal.lineage.column_queries import Queries, sorting
from lineal.lineage.sql_trees import Trees

Known = Literal["parsed", "declared", "opaque"]


class Given(NamedTuple):
    """An input as a query sees it."""

    parameter: str
    asset: str
    columns: tuple[str, ...]


class Edge(NamedTuple):
    """How one column of an input is in a column of the output.

    Args:
        name: the column of the output; None: all of it, its rows.
        source_name: the column of the input; None: it is not known which.
        type: DIRECT, values flow, or INDIRECT, they decide; None: it is not known.
        subtype: IDENTITY, TRANSFORMATION, AGGREGATION; JOIN, GROUP_BY, FILTER, SORT, WINDOW,
            CONDITIONAL.
        masking: the values can't be read off the output: a count, a hash.
        known: how it is known.
    """

    name: str | None
    parameter: str
    asset: str
    source_name: str | None
    type: str | None
    subtype: str | None
    masking: bool
    known: Known


def edges(
    sql: str,
    macros: Sequence[str],
    inputs: Sequence[Given],
    output: Sequence[str],
    trees: Trees | None = None,
) -> tuple[Edge, ...]:
    """The column lineage of a query.

    Args:
        sql: one SELECT.
        macros: the `create macro` statements of what it calls.
        inputs: what it reads, with the columns that are there.
        output: the columns of its result.
        trees: a parser, for who asks of several.
    """
    if not sql:  # written by an older lineal
        return opaque(inputs, output)
    trees = trees or Trees()
    try:
        queries = Queries(trees, trees.macros(macros), lambda path: _table(path, inputs))
        found = queries.of(trees.query(sql), Scope())
        named = _named(found.columns, output)
    except (Doubt, LookupError, TypeError, ValueError, AttributeError, RecursionError):
        # A tree of a form nobody knew: another DuckDB's, say.
        return opaque(inputs, output)
    rows = [
        *(_edge(name, flow) for name, value in named for flow in value.flows),
        *(_edge(name, each) for name, value in named for each in value.influences),
        *(_edge(None, each) for each in found.influences | sorting(found.order)),
    ]
    return tuple(sorted(set(rows), key=_in_order))


def opaque(inputs: Iterable[Given], output: Sequence[str]) -> tuple[Edge, ...]:
    """Each column of the output may come from anything in each input."""
    return tuple(
        Edge(name, given.parameter, given.asset, None, None, None, False, "opaque")
        for name in output
        for given in inputs
    )


def _edge(name: str | None, found: Flow | Influence) -> Edge:
    kind = "DIRECT" if isinstance(found, Flow) else "INDIRECT"
    masking = isinstance(found, Flow) and found.masking
    return Edge(name, *found.source[:3], kind, found.subtype, masking, "parsed")


def _in_order(edge: Edge) -> tuple[object, ...]:
    return tuple((value is None, value or "") for value in edge)


def _table(path: Sequence[str], inputs: Iterable[Given]) -> Relation:
    """The input that a table in a query is."""
    parts = folded(path)
    for prefix in (["memory", "main"], ["main"]):
        if parts[:-1] == prefix:
            parts = parts[-1:]
    for given in inputs:
        plain = len(parts) == 1 and "/" not in parts[0]
        spelt = identifier(given.asset) if plain else given.asset
        if spelt.casefold() == "/".join(parts):
            columns = tuple(Column(name, _itself(given, name)) for name in given.columns)
            return Relation(columns)
    raise Doubt(f"no input `{'.'.join(path)}`")


def _itself(given: Given, name: str) -> Value:
    return Value(frozenset({Flow(Source(given.parameter, given.asset, name), "IDENTITY", False)}))


def _named(columns: Sequence[Column], output: Sequence[str]) -> list[tuple[str, Value]]:
    """Each column of the output with its value. Raises Doubt if the query has others."""
    missing = len(output) - len(columns)
    spread = [place for place, column in enumerate(columns) if column.spread]
    if missing and len(spread) == 1 and missing >= -1:
        [place] = spread
        columns = [*columns[:place], *[columns[place]] * (missing + 1), *columns[place + 1 :]]
    if len(columns) != len(output):
        raise Doubt("other columns came out")
    for column, name in zip(columns, output, strict=True):
        if column.told and not column.spread and column.name.casefold() != name.casefold():
            raise Doubt(f"`{name}` came out for `{column.name}`")
    return [(name, column.value) for column, name in zip(columns, output, strict=True)]
