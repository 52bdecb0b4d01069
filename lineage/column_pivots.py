"""What the columns of PIVOT and UNPIVOT are made of."""

from __future__ import annotations

from itertools import product
from typing import Any

from lineal.lineage.column_flows import (
    NOTHING,
    Column,
    Doubt,
    Relation,
    Scope,
    Value,
    folded,
    together,
)
from lineal.lineage.column_values import Values
from lineal.lineage.sql_trees import ANY_ENTRY, Tree

_STAR: Tree = {"class": "STAR", "type": "STAR"}
_COUNT: Tree = {"class": "FUNCTION", "type": "FUNCTION", "function_name": "count_star"}


def pivoted(reference: Tree, scope: Scope, values: Values) -> Relation:
    """The result of a PIVOT or UNPIVOT over the tables of a scope."""
    if reference.get("unpivot_names"):
        return _unpivot(reference, scope, values)
    return _pivot(reference, scope, values)


def _pivot(reference: Tree, scope: Scope, values: Values) -> Relation:
    pivots, aggregates = reference["pivots"], reference.get("aggregates") or [_COUNT]
    axes = [axis for pivot in pivots for axis in pivot["pivot_expressions"]]
    columns = values.starred(_STAR, scope)
    groups = reference.get("groups")
    if groups is None:
        used = _names_in([axes, reference.get("aggregates", [])])
        kept = [c for c in columns if c.name.casefold() not in used]
    else:
        kept = [Column(name, scope.find([name])) for name in groups]
    by = values.deciding(axes, scope, "FILTER")
    cells = []
    for parts in product(*(_entries(pivot) for pivot in pivots)):
        for aggregate in aggregates:
            value = values.of(aggregate, scope).under(by)
            name = "_".join([*parts, *_suffix(aggregate, aggregates, values)])
            open_ended = ANY_ENTRY in parts
            cells.append(Column("" if open_ended else name, value, False, open_ended))
    if any(c.spread for c in cells) and len({c.value for c in cells}) > 1:
        raise Doubt("which columns a PIVOT makes depends on the data")
    spread = cells[:1] if any(c.spread for c in cells) else cells
    influences = together(c.value for c in kept).deciding("GROUP_BY")
    return Relation((*kept, *spread), influences)


def _entries(pivot: Tree) -> list[str]:
    """The names of what a PIVOT looks for."""
    found = []
    for entry in pivot.get("entries", ()):
        told = entry.get("star_expr", {})
        if told.get("function_name") == "row":
            parts = [_text(each["expression"]) for each in told["arguments"]]
        else:
            parts = [_text(told)]
        found.append(entry.get("alias") or "_".join(parts))
    if not found:
        raise Doubt("a PIVOT over an enum")
    return found


def _text(node: Tree) -> str:
    if node.get("class") != "CONSTANT":
        raise Doubt("a PIVOT over values that are computed")
    return str(node["literal"].get("text", "NULL"))


def _suffix(aggregate: Tree, aggregates: list[Tree], values: Values) -> list[str]:
    if len(aggregates) == 1 and not aggregate.get("alias"):
        return []
    return [aggregate.get("alias") or values.trees.text(aggregate)]


def _unpivot(reference: Tree, scope: Scope, values: Values) -> Relation:
    columns = values.starred(_STAR, scope)
    [pivot] = reference["pivots"]
    rows: list[list[Column]] = []
    for entry in pivot["entries"]:
        rows += _turned(entry["star_expr"], scope, values)
    names = reference["unpivot_names"]
    if any(len(row) != len(names) for row in rows):
        raise Doubt("an UNPIVOT of groups of columns")
    turned = {column.name.casefold() for row in rows for column in row}
    kept = [c for c in columns if c.name.casefold() not in turned]
    made = [
        Column(name, together(row[place].value for row in rows)) for place, name in enumerate(names)
    ]
    mentioned = Value() if reference.get("include_nulls") else together(c.value for c in made)
    label = Column(pivot["unpivot_names"][0], NOTHING)
    return Relation((*kept, label, *made), mentioned.deciding("FILTER"))


def _turned(node: Tree, scope: Scope, values: Values) -> list[list[Column]]:
    """The columns, or groups of columns, that one entry turns into rows."""
    if node["class"] == "STAR":
        return [[column] for column in values.starred(node, scope)]
    if node.get("function_name") == "row":
        parts = [each["expression"] for each in node["arguments"]]
    else:
        parts = [node]
    if any(part["class"] != "COLUMN_REF" for part in parts):
        raise Doubt("an UNPIVOT of expressions")
    return [[Column(part["column_names"][-1], values.of(part, scope)) for part in parts]]


def _names_in(node: Any) -> set[str]:
    """The last names of all columns that are mentioned."""
    if isinstance(node, list):
        return set().union(*(_names_in(each) for each in node))
    if not isinstance(node, dict):
        return set()
    if node.get("class") == "COLUMN_REF":
        return set(folded(node["column_names"][-1:]))
    return _names_in(list(node.values()))
