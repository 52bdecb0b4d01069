"""What an expression of SQL is made of: its tree, walked over the names in its scope."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lineal.lineage.column_flows import (
    NOTHING,
    Column,
    Direct,
    Doubt,
    Indirect,
    Influence,
    Relation,
    Scope,
    Value,
    folded,
    together,
)
from lineal.lineage.sql_trees import Macro, Tree, Trees

# Functions after which a value can't be read off: OpenLineage's masking.
_MASKING = frozenset(
    {"count", "count_if", "countif", "approx_count_distinct", "regr_count", "hash", "md5"}
    | {"md5_number", "md5_number_lower", "md5_number_upper", "sha1", "sha256"}
)
# Aggregates that depend on the order of the rows they see.
_ORDERED = frozenset(
    {"list", "array_agg", "string_agg", "group_concat", "listagg", "first", "last", "any_value"}
    | {"arbitrary"}
)
_OWN_SCHEMAS = frozenset({"main", "system", "memory", "pg_catalog"})

Substitutes = Mapping[int, Value]  # by the identity of the node that a value stands for


class Values:
    """Evaluates expressions.

    Args:
        trees: what DuckDB knows.
        macros: those of the project.
        query: evaluates a subquery in the scope around it.
    """

    def __init__(
        self,
        trees: Trees,
        macros: Mapping[str, Macro | None],
        query: Callable[[Tree, Scope], Relation],
    ):
        self.trees = trees
        self._macros = macros
        self._query = query
        self._substitutes: dict[int, Value] = {}

    def macro(self, name: str) -> Macro | None:
        """The project's macro of a name. Raises Doubt if it can't be read."""
        if name not in self._macros:
            return None
        found = self._macros[name]
        if found is None:
            raise Doubt(f"the macro `{name}`")
        return found

    def of(self, node: Tree, scope: Scope) -> Value:
        """What an expression is made of."""
        known = self._substitutes.get(id(node))
        if known is not None:
            return known
        handle: _Handler | None = _HANDLERS.get(node["class"])
        if handle is None:
            raise Doubt(f"an expression {node['class']}")
        return handle(self, node, scope)

    def all(self, nodes: Iterable[Tree | None], scope: Scope) -> Value:
        return together(self.of(node, scope) for node in nodes if node is not None)

    def with_substitutes(self, node: Tree, given: Substitutes, scope: Scope) -> Value:
        """The value of an expression some of whose nodes stand for values."""
        before, self._substitutes = self._substitutes, {**self._substitutes, **given}
        try:
            return self.of(node, scope)
        finally:
            self._substitutes = before

    # ---------------------------------------------------------------------------- plain nodes

    def _column(self, node: Tree, scope: Scope) -> Value:
        return scope.find(node["column_names"])

    def _constant(self, node: Tree, scope: Scope) -> Value:
        return NOTHING

    def _made(self, node: Tree, scope: Scope) -> Value:
        """Casts, comparisons, AND and OR, BETWEEN: row by row of what is in them."""
        names = ("child", "left", "right", "input", "lower", "upper", "lhs", "expr")
        parts = [node.get(name) for name in names]
        found = self.all([*parts, *node.get("children", ())], scope)
        return found.made("TRANSFORMATION")

    def _star(self, node: Tree, scope: Scope) -> Value:
        if node.get("expr") is not None or "relation_name" in node or not scope.tables:
            raise Doubt("a star in an expression")
        return together(t.row for t in scope.tables)

    def _positional(self, node: Tree, scope: Scope) -> Value:
        columns = [column for table in scope.tables for column in table.columns]
        if any(c.spread for c in columns) or node["index"] > len(columns):
            raise Doubt("a column by its place")
        return columns[int(node["index"]) - 1].value

    # ------------------------------------------------------------------------------ conditions

    def _case(self, node: Tree, scope: Scope) -> Value:
        checks = node["case_checks"]
        conditions = self.all((check["when_expr"] for check in checks), scope)
        results = [*(check["then_expr"] for check in checks), node.get("else_expr")]
        return self._chosen(conditions, self.all(results, scope))

    def _chosen(self, condition: Value, results: Value) -> Value:
        found = results.made("TRANSFORMATION").under(condition.deciding("CONDITIONAL"))
        return together([found, Value(aggregated=condition.aggregated)])

    def _operator(self, node: Tree, scope: Scope) -> Value:
        children = self._each(node["children"], scope)
        if node["type"] == "OPERATOR_COALESCE":
            return self._chosen(together(children[:-1]), together(children))
        return together(children).made("TRANSFORMATION")

    def _each(self, nodes: Iterable[Tree], scope: Scope) -> list[Value]:
        """The values of expressions, of `*COLUMNS(…)` each by itself."""
        found: list[Value] = []
        for node in nodes:
            if node.get("type") == "OPERATOR_UNPACK":
                found += [c.value for c in self.starred(node["children"][0], scope)]
            else:
                found.append(self.of(node, scope))
        return found

    # ------------------------------------------------------------------------------- functions

    def _function(self, node: Tree, scope: Scope) -> Value:
        name = node["function_name"].casefold()
        given = [each["expression"] for each in node.get("arguments", ())]
        macro = self.macro(name)
        if macro is not None and not macro.is_table:
            return self.of(macro.body, self.bound(macro, node, scope))
        arguments = self._arguments(node, given, scope)
        if name in self.trees.aggregates:
            return self._aggregate(node, name, together(arguments), scope)
        if name == "if" and len(arguments) == 3:
            return self._chosen(arguments[0], together(arguments[1:]))
        if name == "nullif" and len(arguments) == 2:
            return self._chosen(together(arguments), arguments[0])
        return together(arguments).made("TRANSFORMATION", name in _MASKING)

    def _arguments(self, node: Tree, given: Sequence[Tree], scope: Scope) -> list[Value]:
        """The values of arguments; `l.list_filter(…)` has the first before its name."""
        path = node.get("qualified_name", {}).get("path", ())[:-1]
        first = [scope.find(path)] if path and path[0].casefold() not in _OWN_SCHEMAS else []
        plain = self._each((each for each in given if not _is_lambda(each, node)), scope)
        elements = together([*first, *plain]).made("TRANSFORMATION")
        lambdas = [
            self.of(each["expr"], Scope(outer=scope, bound=_lambda_names(each, elements)))
            for each in given
            if _is_lambda(each, node)
        ]
        return [*first, *plain, *lambdas]

    def bound(self, macro: Macro, node: Tree, scope: Scope) -> Scope:
        """The scope of a macro's body; a parameter that isn't given has its constant default."""
        values = dict.fromkeys(macro.parameters, NOTHING)
        places = iter(macro.parameters)
        for argument in node.get("arguments", ()):
            name = str(argument.get("name") or next(places, "")).casefold()
            if name not in values:
                raise Doubt(f"an argument of the macro `{node['function_name']}`")
            values[name] = self.of(argument["expression"], scope)
        return Scope(outer=scope, bound=values)

    def _aggregate(self, node: Tree, name: str, arguments: Value, scope: Scope) -> Value:
        found = arguments.made("AGGREGATION", name in _MASKING)
        orders = node.get("order_bys", {}).get("orders", ())
        if node.get("filter") is not None:
            found = found.under(self.of(node["filter"], scope).deciding("FILTER"))
        found = found.under(self.deciding((o["expression"] for o in orders), scope, "SORT"))
        if name in _ORDERED and not orders:
            found = found.under(Influence(source, "SORT") for source in scope.order)
        return Value(found.flows, found.influences, aggregated=True)

    def deciding(
        self, nodes: Iterable[Tree], scope: Scope, subtype: Indirect
    ) -> frozenset[Influence]:
        """The columns of expressions that only decide."""
        return self.all(nodes, scope).deciding(subtype)

    def _window(self, node: Tree, scope: Scope) -> Value:
        found = self._over(node, scope)
        sorts = [each["expression"] for each in node.get("orders", ())]
        frame = [node[name] for name in ("start_expr", "end_expr") if name in node]
        around = [*node.get("partitions", ()), *sorts, *frame]
        found = found.under(self.deciding(around, scope, "WINDOW"))
        if not sorts:
            found = found.under(Influence(source, "WINDOW") for source in scope.order)
        inner = [each["expression"] for each in node.get("arg_orders", ())]
        found = found.under(self.deciding(inner, scope, "SORT"))
        if node.get("filter_expr") is not None:
            found = found.under(self.of(node["filter_expr"], scope).deciding("FILTER"))
        return found

    def _over(self, node: Tree, scope: Scope) -> Value:
        """What is computed over a window."""
        name = node["function_name"].casefold()
        macro = self.macro(name)
        if macro is not None:
            return replace(self.of(macro.body, self.bound(macro, node, scope)), aggregated=False)
        given = [each["expression"] for each in node.get("arguments", ())]
        counts = name in self.trees.aggregates
        how: Direct = "AGGREGATION" if counts else "TRANSFORMATION"
        return self.all(given, scope).made(how, name in _MASKING)

    # ------------------------------------------------------------------------------ subqueries

    def _subquery(self, node: Tree, scope: Scope) -> Value:
        result = self._query(node["subquery"]["node"], scope)
        kind = node["subquery_type"]
        if kind in ("EXISTS", "NOT_EXISTS"):
            return Value(influences=result.influences)
        value = together(column.value for column in result.columns)
        if kind == "ANY":
            compared = [value, self.of(node["child"], scope)]
            return together(compared).made("TRANSFORMATION").under(result.influences)
        if kind != "SCALAR":
            raise Doubt(f"a subquery {kind}")
        return value.under(result.influences)

    # ----------------------------------------------------------------------------------- stars

    def starred(self, node: Tree, scope: Scope) -> list[Column]:
        """The columns that `*`, `t.*` or `COLUMNS(…)` stands for."""
        columns = self._all_columns(node, scope)
        left_out = {str(name).casefold() for name in node.get("exclude_list", ())}
        replaced = {e["key"].casefold(): e["value"] for e in node.get("replace_list", ())}
        renamed = {e["key"]["column"].casefold(): e["value"] for e in node.get("rename_list", ())}
        found = []
        for column in columns:
            name = column.name.casefold()
            if name in left_out:
                continue
            value = self.of(replaced[name], scope) if name in replaced else column.value
            found.append(column._replace(name=renamed.get(name, column.name), value=value))
        return self._chosen_columns(node, found, scope)

    def _all_columns(self, node: Tree, scope: Scope) -> list[Column]:
        relation = node.get("relation_name")
        without = node.get("qualified_exclude_list", ())
        if relation is not None:
            tables = [t for t in scope.tables if t.is_called([relation]) and not without]
            if len(tables) == 1:
                return list(tables[0].columns)
            # A struct's fields, whose names are not known here.
            fields = scope.find([relation]).made("TRANSFORMATION")
            return [Column("", fields, told=False, spread=True)]
        found = []
        for number, table in enumerate(scope.tables):
            for column in table.columns:
                name = column.name.casefold()
                owner, value = scope.merged.get(name, (None, column.value))
                out = any(
                    table.is_called([each.get("table", "")]) and each["column"].casefold() == name
                    for each in without
                )
                if name not in table.hidden and not out:
                    found.append(column._replace(value=value) if owner == number else column)
        if not found:
            raise Doubt("a star over nothing")
        return found

    def _chosen_columns(self, node: Tree, columns: list[Column], scope: Scope) -> list[Column]:
        """The columns whose names the expression in `COLUMNS(…)` picks, in the table's order."""
        picked = node.get("expr")
        if picked is None:
            return columns
        if any(column.spread for column in columns):
            raise Doubt("COLUMNS of columns whose names are not known")
        names = [column.name for column in columns]
        if picked["class"] == "CONSTANT":
            pattern = _quoted(picked["literal"]["text"])
            chosen = self.trees.matching(names, f"regexp_matches(name, {pattern})")
        elif picked.get("function_name") in ("list_value", "array_value"):
            chosen = [_name_of(each["expression"]) for each in picked.get("arguments", ())]
        else:
            chosen = self.trees.chosen(names, self.trees.text(with_names(picked, "names")))
        by_name = {column.name.casefold(): column for column in columns}
        if len(by_name) < len(columns) or not set(folded(chosen)) <= set(by_name):
            raise Doubt("COLUMNS of names that are not clear")
        return [column for name, column in by_name.items() if name in folded(chosen)]


def _is_lambda(given: Tree, call: Tree) -> bool:
    """Is an argument a function? `a -> b` is also how a member of JSON is written."""
    if given["class"] != "LAMBDA" or given.get("syntax_type") == "LAMBDA_KEYWORD":
        return bool(given["class"] == "LAMBDA")
    name = call["function_name"].casefold()
    return bool(name.startswith(("list_", "array_"))) or name in ("apply", "filter", "reduce")


def _lambda_names(node: Tree, elements: Value) -> dict[str, Value]:
    left = node["lhs"]
    names = (
        [left]
        if left["class"] == "COLUMN_REF"
        else [each["expression"] for each in left.get("arguments", ())]
    )
    return {name["column_names"][0].casefold(): elements for name in names}


def _name_of(node: Tree) -> str:
    if node["class"] == "COLUMN_REF":
        return str(node["column_names"][-1])
    if node["class"] == "CONSTANT":
        return str(node["literal"]["text"])
    raise Doubt("COLUMNS of an expression")


def with_names(node: Any, name: str) -> Any:
    """An expression with a name in place of the star."""
    if isinstance(node, list):
        return [with_names(each, name) for each in node]
    if not isinstance(node, dict):
        return node
    if node.get("class") == "STAR":
        return {"class": "COLUMN_REF", "type": "COLUMN_REF", "column_names": [name]}
    return {key: with_names(each, name) for key, each in node.items()}


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def stars_in(node: Any) -> list[Tree]:
    """Each `COLUMNS(…)` in an expression that is repeated for it: none of a subquery."""
    if isinstance(node, list):
        return [found for each in node for found in stars_in(each)]
    if not isinstance(node, dict) or node.get("class") == "SUBQUERY":
        return []
    if node.get("class") == "STAR":
        return [node] if node.get("columns") else []
    return [] if node.get("type") == "OPERATOR_UNPACK" else stars_in(list(node.values()))


_Handler = Callable[[Values, Tree, Scope], Value]
_HANDLERS: Mapping[str, _Handler] = {
    "COLUMN_REF": Values._column,
    "CONSTANT": Values._constant,
    "PARAMETER": Values._constant,
    "CAST": Values._made,
    "LAMBDA": Values._made,  # `payload -> 'a'`; one that is a function is met by its call
    "COLLATE": Values._made,
    "COMPARISON": Values._made,
    "BETWEEN": Values._made,
    "CONJUNCTION": Values._made,
    "OPERATOR": Values._operator,
    "CASE": Values._case,
    "FUNCTION": Values._function,
    "WINDOW": Values._window,
    "SUBQUERY": Values._subquery,
    "STAR": Values._star,
    "POSITIONAL_REFERENCE": Values._positional,
}
