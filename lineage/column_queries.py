"""What the columns of a query are made of: WITH, SELECT and what comes after it, set operations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from lineal.lineage.column_flows import (
    Column,
    Doubt,
    Influence,
    Relation,
    Scope,
    Source,
    Table,
    Value,
    folded,
    together,
)
from lineal.lineage.column_tables import From, Tables
from lineal.lineage.column_values import Values, stars_in, with_names
from lineal.lineage.sql_trees import Macro, Tree, Trees

_ROUNDS = 50  # of a recursive WITH: far more than it takes until nothing new is found
_NOBODY: frozenset[Influence] = frozenset()


class Queries:
    """Evaluates queries.

    Args:
        trees: what DuckDB knows.
        macros: those of the project.
        asset: the columns of a table by its path. Raises Doubt if it is no input.
    """

    def __init__(
        self,
        trees: Trees,
        macros: Mapping[str, Macro | None],
        asset: Callable[[Sequence[str]], Relation],
    ):
        self._values = Values(trees, macros, self.of)
        self._tables = Tables(self._values, self.of, asset)

    def of(self, node: Tree, outer: Scope) -> Relation:
        """The result of a query in a scope."""
        inner = self._with(node, outer)
        if node["type"] == "SELECT_NODE":
            return self._select(node, inner)
        if node["type"] == "SET_OPERATION_NODE":
            return self._set_operation(node, inner)
        raise Doubt(f"a {node['type']}")

    # ------------------------------------------------------------------------------------ WITH

    def _with(self, node: Tree, outer: Scope) -> Scope:
        """The scope with the names that a query's WITH adds, each seeing those before it."""
        for entry in node.get("cte_map", {}).get("map", ()):
            named = entry["value"]
            relation: Relation | Doubt
            try:
                if named["query_node"]["type"] == "RECURSIVE_CTE_NODE":
                    relation = self._recursive(named, outer)
                else:
                    found = self.of(named["query_node"], outer)
                    relation = _renamed(found, named.get("aliases", ()))
            except Doubt as doubt:  # counts only for who reads it
                relation = doubt
            outer = Scope(outer=outer, withs={entry["key"].casefold(): relation})
        return outer

    def _recursive(self, named: Tree, outer: Scope) -> Relation:
        """All that a recursive WITH may hold: it is read until nothing new is found."""
        node = named["query_node"]
        name = node["cte_name"].casefold()
        found = _renamed(self.of(node["left"], outer), named.get("aliases", ()))
        for _ in range(_ROUNDS):
            inner = Scope(outer=outer, withs={name: found})
            more = _united(found, self.of(node["right"], inner))
            if more == found:
                break
            found = more
        else:
            raise Doubt("a recursion")
        keys = Scope((Table((), found.columns),))
        targets = self._values.deciding(named.get("key_targets", ()), keys, "GROUP_BY")
        found = replace(found, influences=found.influences | targets)
        return found if node.get("union_all") else _distinct(found)

    # ---------------------------------------------------------------------------------- SELECT

    def _select(self, node: Tree, outer: Scope) -> Relation:
        source = self._tables.of(node["from_table"], outer)
        scope = Scope(source.tables, outer, source.merged, order=source.order)
        columns, multiplied = self._listed(node["select_list"], scope)
        grouped = self._groups(node, columns, scope)
        conditions = [node[name] for name in ("having", "qualify") if name in node]
        influences = source.influences.union(
            self._where(node.get("where_clause"), source, scope),
            grouped,
            multiplied,
            self._values.deciding(conditions, scope, "FILTER"),
        )
        whole = any(c.value.aggregated for c in columns) or bool(node.get("group_expressions"))
        plain = tuple(c._replace(value=replace(c.value, aggregated=False)) for c in columns)
        found = Relation(plain, influences, frozenset() if whole else source.order)
        return self._modified(node.get("modifiers", ()), found, scope)

    def _listed(
        self, items: Iterable[Tree], scope: Scope
    ) -> tuple[list[Column], frozenset[Influence]]:
        """The columns of a SELECT's list, and what decides how often each row comes."""
        columns: list[Column] = []
        multiplied = _NOBODY
        for item in items:
            added = self._item(item, scope)
            if item.get("alias"):
                scope.aliases.setdefault(item["alias"].casefold(), added[0].value)
            for call in _unnests(item):
                given = [each["expression"] for each in call.get("arguments", ())]
                multiplied |= self._values.deciding(given, scope, "FILTER")
            columns += added
        return _told_apart(columns), multiplied

    def _item(self, item: Tree, scope: Scope) -> list[Column]:
        """The columns that one item of a SELECT's list makes."""
        alias = item.get("alias", "")
        if item["class"] == "STAR":
            found = self._values.starred(item, scope)
            return [c._replace(name=alias, told=False) for c in found] if alias else found
        if item["class"] == "FUNCTION" and _is_named_star(item):
            return self._star_by_name(item, scope)
        stars = stars_in(item)
        if stars:
            return self._repeated(item, stars, scope)
        value = self._values.of(item, scope)
        if item["class"] == "FUNCTION" and item["function_name"] == "unnest":
            return [Column(alias, value, told=False, spread=True)]
        if alias or item["class"] == "COLUMN_REF":
            return [Column(alias or item["column_names"][-1], value)]
        return [Column(self._values.trees.text(item), value, told=False)]

    def _star_by_name(self, item: Tree, scope: Scope) -> list[Column]:
        """`* LIKE 'a%'`: the columns whose names are so."""
        found = self._values.starred(item["arguments"][0]["expression"], scope)
        condition = self._values.trees.text(with_names(item, "name"))
        names = folded(self._values.trees.matching([c.name for c in found], condition))
        return [column for column in found if column.name.casefold() in names]

    def _repeated(self, item: Tree, stars: Sequence[Tree], scope: Scope) -> list[Column]:
        """An expression over COLUMNS(…), once for each of them."""
        lists = [self._values.starred(star, scope) for star in stars]
        if len({len(each) for each in lists}) > 1 or any(c.spread for c in lists[0]):
            raise Doubt("COLUMNS of two kinds in one expression")
        found = []
        for row in zip(*lists, strict=True):
            given = {id(star): c.value for star, c in zip(stars, row, strict=True)}
            value = self._values.with_substitutes(item, given, scope)
            found.append(Column(item.get("alias") or row[0].name, value, "alias" not in item))
        return found

    def _groups(self, node: Tree, columns: Sequence[Column], scope: Scope) -> frozenset[Influence]:
        if node.get("aggregate_handling") == "FORCE_AGGREGATES":  # GROUP BY ALL
            keys = [c.value for c in columns if not c.value.aggregated]
        else:
            keys = [self._key(each, columns, scope) for each in node.get("group_expressions", ())]
        return together(keys).deciding("GROUP_BY")

    def _key(self, node: Tree, columns: Sequence[Column], scope: Scope) -> Value:
        """A key of GROUP BY or ORDER BY: a number is a place in the SELECT's list."""
        if node["class"] != "CONSTANT":
            return self._values.of(node, scope)
        if node["literal"]["kind"] != "INTEGER":
            return Value()
        place = int(node["literal"]["text"])
        if any(c.spread for c in columns) or not 0 < place <= len(columns):
            raise Doubt("a column by its place")
        return columns[place - 1].value

    def _where(self, clause: Tree | None, source: From, scope: Scope) -> frozenset[Influence]:
        """FILTER; where tables stand side by side, equal columns of two of them JOIN."""
        found = _NOBODY
        for part in _conjuncts(clause):
            joins = source.crossed and _joins(part, scope)
            found |= self._values.of(part, scope).deciding("JOIN" if joins else "FILTER")
        return found

    # ------------------------------------------------------------------------- what comes after

    def _modified(self, modifiers: Iterable[Tree], found: Relation, scope: Scope) -> Relation:
        """DISTINCT, ORDER BY and LIMIT."""
        by_kind = {modifier["type"]: modifier for modifier in modifiers}
        sort = by_kind.get("ORDER_MODIFIER")
        if sort is not None:
            keys = [self._sort_key(o["expression"], found, scope) for o in sort["orders"]]
            found = replace(found, order=together(keys).sources)
        distinct = by_kind.get("DISTINCT_MODIFIER")
        if distinct is not None and distinct.get("distinct_on_targets"):
            targets = [self._sort_key(t, found, scope) for t in distinct["distinct_on_targets"]]
            found = _sorted(found, together(targets).deciding("GROUP_BY"))
        elif distinct is not None:
            found = _distinct(found)
        for kind in ("LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER"):
            if kind in by_kind:
                told = [by_kind[kind][n] for n in ("limit", "offset") if n in by_kind[kind]]
                found = _sorted(found, self._values.deciding(told, scope, "FILTER"))
        return found

    def _sort_key(self, node: Tree, found: Relation, scope: Scope) -> Value:
        """In ORDER BY a bare name is a column of the result before one of the tables."""
        if node["class"] == "STAR":
            return together(column.value for column in found.columns)
        if node["class"] == "COLUMN_REF" and len(node["column_names"]) == 1:
            name = node["column_names"][0].casefold()
            hits = [c.value for c in found.columns if c.name.casefold() == name]
            if hits:
                return hits[0]
        return self._key(node, found.columns, scope)

    # -------------------------------------------------------------------------- set operations

    def _set_operation(self, node: Tree, outer: Scope) -> Relation:
        first, *others = [self.of(child, outer) for child in node["children"]]
        kind = node["setop_type"]
        found = replace(first, order=frozenset())
        for other in others:
            if kind == "UNION":
                found = _united(found, other)
            elif kind == "UNION_BY_NAME":
                found = _united_by_name(found, other)
            elif kind in ("EXCEPT", "INTERSECT"):
                both = together(c.value for c in (*found.columns, *other.columns))
                deciding = found.influences.union(other.influences, both.deciding("FILTER"))
                found = replace(found, influences=deciding)
            else:
                raise Doubt(f"a set operation {kind}")
        if not node.get("setop_all", True):
            found = _distinct(found)
        scope = Scope((Table((), found.columns),), outer)
        return self._modified(node.get("modifiers", ()), found, scope)


# ---------------------------------------------------------------------------------- relations


def _renamed(found: Relation, names: Sequence[str]) -> Relation:
    if not names:
        return found
    if any(c.spread for c in found.columns) or len(names) > len(found.columns):
        raise Doubt("names for columns that are not known")
    renamed = [c._replace(name=n, told=True) for c, n in zip(found.columns, names, strict=False)]
    return replace(found, columns=(*renamed, *found.columns[len(names) :]))


def _united(one: Relation, other: Relation) -> Relation:
    if len(one.columns) != len(other.columns) or any(
        c.spread for c in (*one.columns, *other.columns)
    ):
        raise Doubt("a union of columns that are not known")
    columns = tuple(
        c._replace(value=together([c.value, o.value]))
        for c, o in zip(one.columns, other.columns, strict=True)
    )
    return Relation(columns, one.influences | other.influences)


def _united_by_name(one: Relation, other: Relation) -> Relation:
    found: dict[str, Column] = {}
    for column in (*one.columns, *other.columns):
        if column.spread or not column.name:
            raise Doubt("a union by names that are not known")
        name = column.name.casefold()
        before = [found[name].value] if name in found else []
        found[name] = found.get(name, column)._replace(value=together([*before, column.value]))
    return Relation(tuple(found.values()), one.influences | other.influences)


def _distinct(found: Relation) -> Relation:
    keys = together(column.value for column in found.columns).deciding("GROUP_BY")
    return replace(found, influences=found.influences | keys)


def _sorted(found: Relation, more: frozenset[Influence]) -> Relation:
    """Its order decides which rows there are."""
    return replace(found, influences=found.influences | sorting(found.order) | more)


def sorting(order: frozenset[Source]) -> frozenset[Influence]:
    return frozenset(Influence(source, "SORT") for source in order)


def _told_apart(columns: Sequence[Column]) -> list[Column]:
    """DuckDB tells equal names apart with a number."""
    seen: dict[str, int] = {}
    found = []
    for column in columns:
        name = column.name.casefold()
        count = seen[name] = seen.get(name, -1) + 1
        twice = column._replace(name=f"{column.name}_{count}", told=False)
        found.append(twice if count and name else column)
    return found


# -------------------------------------------------------------------------------------- trees


def _conjuncts(clause: Tree | None) -> list[Tree]:
    if clause is None:
        return []
    if clause["type"] == "CONJUNCTION_AND":
        return [part for child in clause["children"] for part in _conjuncts(child)]
    return [clause]


def _joins(node: Tree, scope: Scope) -> bool:
    """Does it say that columns of two tables are equal?"""
    if node["type"] != "COMPARE_EQUAL":
        return False
    left, right = _owners(node["left"], scope), _owners(node["right"], scope)
    return bool(left and right) and not left & right


def _owners(node: object, scope: Scope) -> set[int]:
    """The tables whose columns an expression reads; none if it holds a subquery."""
    if isinstance(node, list):
        return set().union(*(_owners(each, scope) for each in node))
    if not isinstance(node, dict) or node.get("class") == "SUBQUERY":
        return set()
    if node.get("class") == "COLUMN_REF":
        return scope.owners(node["column_names"])
    return _owners(list(node.values()), scope)


def _is_named_star(item: Tree) -> bool:
    arguments = item.get("arguments", ())
    first = arguments[0]["expression"] if len(arguments) == 2 else {}
    return first.get("class") == "STAR" and not first.get("columns")


def _unnests(node: object) -> list[Tree]:
    """The calls of unnest in an expression."""
    if isinstance(node, list):
        return [call for each in node for call in _unnests(each)]
    if not isinstance(node, dict) or node.get("class") == "SUBQUERY":
        return []
    if node.get("class") == "FUNCTION" and node["function_name"].casefold() == "unnest":
        return [node]
    return _unnests(list(node.values()))
