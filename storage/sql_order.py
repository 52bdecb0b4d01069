"""What the tree of a query says about the order of its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple


class OrderFacts(NamedTuple):
    """What the text says about the order of its rows.

    `ordered`: an outermost ORDER BY; `keys` are its columns in the result (a name, or a position
    from 1; `*` is all of them). When a key is no column of the result, `extended` is the same query
    with its keys added as last columns. `plain`: a scan, filter or projection of one table. `free`:
    anything else, whose order may differ from run to run.
    """

    kind: Literal["ordered", "plain", "free"] = "free"
    keys: tuple[str | int, ...] = ()
    extended: str = ""


def order_facts(
    tree: dict[str, Any], aggregates: frozenset[str], write: Callable[[dict[str, Any]], str]
) -> OrderFacts:
    """The order of a statement's rows; `write` turns a tree back into text."""
    node = tree["node"]
    orders = [m for m in node.get("modifiers", ()) if m["type"] == "ORDER_MODIFIER"]
    if not orders:
        return OrderFacts("plain") if _is_plain(node, {}, aggregates) else OrderFacts()
    expressions = [order["expression"] for order in orders[-1]["orders"]]
    select = node.get("select_list", [])
    keys = [_key(expression, select) for expression in expressions]
    known = tuple(key for key in keys if key is not None)
    if len(known) == len(keys):
        return OrderFacts("ordered", known)
    longer = _extended(tree, expressions)
    return OrderFacts("ordered", (), write(longer) if longer is not None else "")


def _extended(tree: dict[str, Any], keys: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The tree with its order keys as last columns, or None where that might change its meaning."""
    node = tree["node"]
    if node["type"] != "SELECT_NODE" or node.get("aggregate_handling") != "STANDARD_HANDLING":
        return None
    if any(m["type"] == "DISTINCT_MODIFIER" for m in node["modifiers"]):
        return None
    aliases = _aliases(node["select_list"])
    for key in keys:
        # In ORDER BY an alias comes before a column of that name; in the list it does not.
        if _reads(key, aliases) or key.get("class") in ("CONSTANT", "STAR"):
            return None
    return {**tree, "node": {**node, "select_list": [*node["select_list"], *keys]}}


def _aliases(select: list[dict[str, Any]]) -> set[str]:
    return {item["alias"].casefold() for item in select if item.get("alias")}


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            yield node
            stack.extend(node.values())


def _reads(expression: dict[str, Any], aliases: set[str]) -> bool:
    return any(
        node.get("class") == "COLUMN_REF" and node["column_names"][0].casefold() in aliases
        for node in nodes(expression)
    )


def _bare(expression: Any) -> Any:
    """An expression without its place and alias, to be compared."""
    if isinstance(expression, list):
        return [_bare(item) for item in expression]
    if isinstance(expression, dict):
        skip = ("query_location", "query_location_length", "alias")
        return {k: _bare(v) for k, v in expression.items() if k not in skip}
    return expression


def _key(expression: dict[str, Any], select: list[dict[str, Any]]) -> str | int | None:
    """The column of the result that an ORDER BY expression is, or None."""
    if expression.get("class") == "STAR":
        return "*" if expression.get("columns") and "expr" not in expression else None
    if expression.get("class") == "CONSTANT":
        literal = expression.get("literal", {})
        return int(literal["text"]) if literal.get("kind") == "INTEGER" else None
    names = expression.get("column_names", ())
    aliases = [item["alias"].casefold() for item in select if item.get("alias")]
    if len(names) == 1 and names[0].casefold() in aliases:
        return str(names[0]) if aliases.count(names[0].casefold()) == 1 else None
    if _reads(expression, set(aliases)):
        return None
    wanted = _bare(expression)
    for position, item in enumerate(select, start=1):
        if item.get("class") == "STAR":
            break
        if _bare(item) == wanted:
            return position
    starred = any(item.get("class") == "STAR" and _BARE_STAR.issuperset(item) for item in select)
    return str(names[0]) if len(names) == 1 and (starred or not select) else None


# `*` and `t.*`; with EXCLUDE, REPLACE or RENAME a column of the result may be another than it says.
_BARE_STAR = frozenset(
    {"class", "type", "query_location", "query_location_length", "relation_name"}
)


def _is_plain(node: dict[str, Any], ctes: dict[str, Any], aggregates: frozenset[str]) -> bool:
    """Is this a scan, filter or projection of one table, and nothing else?"""
    if node.get("type") != "SELECT_NODE" or node.get("modifiers"):
        return False
    if any(node.get(part) for part in ("group_expressions", "group_sets", "having", "qualify")):
        return False
    if node.get("sample") or node.get("aggregate_handling") != "STANDARD_HANDLING":
        return False
    for entry in node.get("cte_map", {}).get("map", ()):
        ctes = {**ctes, entry["key"].casefold(): (entry["value"], ctes)}
    expressions = [node.get("select_list"), node.get("where_clause")]
    if holds_rows(expressions, aggregates):
        return False
    return _is_plain_table(node.get("from_table", {}), ctes, aggregates)


def holds_rows(tree: Any, aggregates: frozenset[str]) -> bool:
    """Does an expression look at more than the row it is computed for?"""
    return any(
        part.get("class") in ("SUBQUERY", "WINDOW") or _name(part) in aggregates
        for part in nodes(tree)
    )


def _name(part: dict[str, Any]) -> str:
    return str(part.get("function_name", "")).casefold()


def _is_plain_table(
    table: dict[str, Any], ctes: dict[str, Any], aggregates: frozenset[str]
) -> bool:
    if table.get("sample"):
        return False
    if table.get("type") == "SUBQUERY":
        return _is_plain(table["subquery"]["node"], ctes, aggregates)
    if table.get("type") != "BASE_TABLE":
        return False
    path = table["qualified_name"]["path"]
    known = ctes.get(path[0].casefold()) if len(path) == 1 else None
    if known is None:
        return True
    entry, outer = known
    if entry.get("materialized") == "CTE_MATERIALIZE_ALWAYS":
        return False
    return _is_plain(entry["query_node"], outer, aggregates)
