"""The tree of a query, walked: the tables it reads, its names, what makes it volatile."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

from lineal.assets.asset import Query
from lineal.assets.errors import QueryError
from lineal.storage.sql_text import locate, tokens

NOT_SELECT = "a SQL asset is one SELECT: lineal makes the table from its result"

_FILE_NAME = re.compile(
    r"://|[*?]|^[./~\\]|^[A-Za-z]:[\\/]"
    r"|\.(csv|tsv|txt|parquet|json|jsonl|ndjson|xlsx|arrow|feather|db|duckdb|gz|zst)$",
    re.IGNORECASE,
)
_FILE_FUNCTION = re.compile(
    r"^(read_\w+|\w+_scan(_dumb)?|glob|sniff_csv|parquet_\w+|st_read\w*|python_map_function)$"
)
_EFFECT = re.compile(
    r"^((en|dis)able_(logging|profil\w+)|checkpoint|force_checkpoint|truncate_\w+|write_log|"
    r"\w+_external_resource\w*)$"
)
_PURE_TABLE_FUNCTIONS = frozenset(
    {"range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree"}
    | {"summary", "test_all_types", "test_vector_types"}
)
# Functions that are tables and read those that their first argument names.
_OVER_TABLE = frozenset({"query_table", "histogram", "histogram_values"})
_SYSTEM_SCHEMAS = frozenset({"information_schema", "pg_catalog"})
# Clocks that are written without parentheses.
BARE_CLOCKS = frozenset(
    {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}
)
# Parts of the tree that hold no name a person wrote (and `cte_map`, which the walk visits itself).
_NO_NAMES = frozenset(
    {"type", "class", "cte_map", "query_location", "query_location_length", "null_order"}
    | {"aggregate_handling", "join_type", "ref_type", "setop_type", "subquery_type"}
    | {"comparison_type", "materialized", "start", "end", "exclude_clause", "named_param_map"}
)
# Types whose name DuckDB writes in its own way, however it was written.
_TYPES = frozenset(
    {"BIGINT", "BIT", "BOOLEAN", "VARCHAR", "DECIMAL", "FLOAT", "INTEGER", "INTERVAL", "MAP"}
    | {"STRUCT", "SMALLINT", "TIME", "TIMESTAMP"}
)


def is_reserved(function: str) -> bool:
    """Would a call of this name be taken for one that reaches outside the query?"""
    return function == "getenv" or bool(_FILE_FUNCTION.match(function) or _EFFECT.match(function))


def advice_for(verb: str) -> str:
    """What to do instead of a statement that is no SELECT."""
    if verb in ("copy", "attach", "import", "export"):
        return "files come in by `source(name, path)`; `lineal path ASSET` says where results are"
    if verb in ("set", "pragma", "reset", "install", "load", "use", "call"):
        return "lineal runs every query with the same fixed settings"
    if verb == "create":
        return f"{NOT_SELECT}; macros are in `macros.sql` at the top of the folder of SQL files"
    return NOT_SELECT


class TableReference(NamedTuple):
    """A table as the query spells it: `raw.orders` is ("raw", "orders")."""

    text: str
    parts: tuple[str, ...]


class Argument(NamedTuple):
    """An argument of a table macro, as far as it may be the name of a table."""

    name: str  # of the parameter, if the call says it
    parts: tuple[str, ...]  # of the table that a text names
    parameter: str  # of the macro around, which is handed on
    bound: bool  # the name of a WITH: no table of the project


class Call(NamedTuple):
    """A call of a table function whose arguments may be names of tables."""

    function: str
    arguments: tuple[Argument, ...]

    def placed(self, parameters: Sequence[str], wanted: Collection[str]) -> Iterator[Argument]:
        """The arguments for some of the function's parameters."""
        for place, argument in enumerate(self.arguments):
            its = parameters[place] if place < len(parameters) else ""
            if (argument.name or its) in wanted:
                yield argument


class Seen:
    """What a walk has gathered so far."""

    def __init__(self) -> None:
        self.tables: list[tuple[int, TableReference]] = []  # with the place in the text
        self.opaque: list[str] = []
        self.clocks: list[str] = []  # as they are told
        self.parameters: list[int] = []  # the places of `$name`
        self.passed: list[Call] = []
        self.calls: set[str] = set()  # functions, in small letters
        self.names: set[str] = set()  # every text in the tree that a person may have written


class Walk:
    """Visits every node of a query's tree, with the names of the WITHs in its scope.

    Args:
        query: for the places of errors.
        parse: the tree of a text, or None (for tables named inside `query_table('…')`).
        unsteady: functions that may answer differently in two runs.
        known: the functions that DuckDB has; of others only macros can exist.
        parameters: of the macro that is walked, in small letters.
    """

    def __init__(
        self,
        query: Query,
        parse: Callable[[str], dict[str, Any] | None],
        unsteady: frozenset[str],
        known: frozenset[str],
        parameters: frozenset[str] = frozenset(),
    ):
        self._query = query
        self._parse = parse
        self._unsteady = unsteady
        self._known = known
        self._parameters = parameters
        self.seen = Seen()

    def over(self, tree: Any, around: frozenset[str] = frozenset()) -> Seen:
        """Walk a tree; raises QueryError for what can't be in a SQL asset."""
        stack: list[tuple[Any, frozenset[str]]] = [(tree, around)]
        while stack:
            node, scope = stack.pop()
            if isinstance(node, list):
                stack.extend((item, scope) for item in reversed(node))
            elif isinstance(node, str):
                self.seen.names.add(node)
            elif isinstance(node, dict):
                inner = _scope(node, scope, stack)
                self._visit(node, inner)
                own = node.get("type_name") in _TYPES and "schema" not in node
                skip = _TYPE_NAMES if own else _NO_NAMES
                stack.extend((v, inner) for k, v in reversed(node.items()) if k not in skip)
        return self.seen

    def _visit(self, node: dict[str, Any], scope: frozenset[str]) -> None:
        kind = str(node.get("type", ""))
        if kind == "BASE_TABLE":
            self._base_table(node, scope)
        elif kind == "TABLE_FUNCTION":
            self._table_function(node, scope)
        elif kind == "SHOW_REF" and node.get("show_type") != "DESCRIBE":
            if node.get("show_type") == "SHOW" and "query" not in node:  # it describes that table
                self._base_table(node, scope)
            if node.get("show_type") == "SUMMARY":
                self.seen.opaque.append("`SUMMARIZE` reads every column, and estimates")
                self.seen.clocks.append("`SUMMARIZE`, which estimates")
            else:
                self._system("SHOW")
        elif kind.endswith("_QUERY_NODE"):
            verb = kind.removesuffix("_QUERY_NODE")
            raise QueryError(
                f"`{verb}` can't be in a SQL asset",
                where=str(self._query.where),
                advice=NOT_SELECT,
            )
        elif node.get("class") in ("FUNCTION", "WINDOW"):
            self._function(node, scope)
        elif node.get("class") == "COLUMN_REF":
            names = node.get("column_names", ())
            if len(names) == 1 and names[0].casefold() in BARE_CLOCKS:
                self.seen.clocks.append(f"`{names[0]}`")
        elif node.get("class") == "PARAMETER":
            self.seen.parameters.append(int(node.get("query_location", 0)))
        if isinstance(node.get("sample"), dict) and not node["sample"].get("repeatable"):
            self.seen.clocks.append("`SAMPLE` without a seed")

    def _system(self, what: str) -> None:
        self.seen.opaque.append(f"`{what}` answers about DuckDB, not from an asset")
        self.seen.clocks.append(f"`{what}`")

    def _base_table(self, node: dict[str, Any], scope: frozenset[str]) -> None:
        parts = tuple(node["qualified_name"]["path"])
        if len(parts) == 1:
            if parts[0].casefold() in scope:
                return
            if looks_like_file(parts[0]):
                raise file_error(self._query, f"`{parts[0]}` is a file", parts[0], node)
        elif parts[0].casefold() == "recurring" and parts[1].casefold() in scope:
            return  # what a recursive WITH has found so far
        elif parts[-2].casefold() in _SYSTEM_SCHEMAS:
            self._system(".".join(parts))
            return
        place = int(node.get("query_location", 0))
        self.seen.tables.append((place, TableReference(".".join(parts), parts)))

    def _table_function(self, node: dict[str, Any], scope: frozenset[str]) -> None:
        function = node["function"]
        name = str(function["qualified_name"]["path"][-1]).casefold()
        texts = _constants(function)
        if _FILE_FUNCTION.match(name):
            path = texts[0] if texts else "data/*.csv"
            raise file_error(self._query, f"`{name}` reads files", path, node)
        if name == "query" or name in _OVER_TABLE:
            froms = texts if name == "query" else self._froms(function)
            trees = [self._parse(text) for text in froms]
            for tree in trees:
                self.over(tree, scope)
            if trees and all(trees):
                return
        call = Call(name, tuple(self._arguments(function, scope)))
        if name == "query_table" and all(each.parameter for each in call.arguments):
            self.seen.passed.append(call)
            return
        self.seen.calls.add(name)
        if name not in self._known:
            self.seen.passed.append(call)
        if name in self._known and name not in _PURE_TABLE_FUNCTIONS:
            self._system(f"{name}(…)")

    def _froms(self, function: dict[str, Any]) -> list[str]:
        """A query of each table that a call names first; none if one of the names is computed."""
        given = function.get("arguments", ())
        first = [each for each in given if each.get("name") == "source"] or list(given[:1])
        said = [each["expression"] for each in first]
        if said and said[0].get("function_name") == "list_value":
            said = [item["expression"] for item in said[0].get("arguments", ())]
        froms: list[str] = []
        for each in said:
            path = self._path(each)
            texts = _constants({"arguments": [{"expression": each}]})
            if path:
                froms.append("from " + ".".join(map(_quoted, path)))
            elif texts:
                plain = f"from {texts[0]}"
                froms.append(plain if self._parse(plain) else f"from {_quoted(texts[0])}")
            else:
                return []
        return froms

    def _path(self, said: dict[str, Any]) -> tuple[str, ...]:
        """The parts of a name that is no parameter of the macro around."""
        names = tuple(said.get("column_names", ()))
        own = len(names) == 1 and names[0].casefold() in self._parameters
        return () if own else names

    def _arguments(self, function: dict[str, Any], scope: frozenset[str]) -> Iterator[Argument]:
        for given in function.get("arguments", ()):
            name, said = str(given.get("name", "")).casefold(), given["expression"]
            names = said.get("column_names", ())
            own = names[0].casefold() if len(names) == 1 else ""
            parts = self._path(said) or self._named(_constants({"arguments": [given]}))
            bound = len(parts) == 1 and parts[0].casefold() in scope
            yield Argument(
                name, () if bound else parts, own if own in self._parameters else "", bound
            )

    def _named(self, texts: Sequence[str]) -> tuple[str, ...]:
        """The table that a text names; nothing if it can't name one."""
        if len(texts) != 1:
            return ()
        tree = self._parse(f"from {texts[0]}") or self._parse(f'from "{texts[0]}"') or {}
        table = tree.get("node", {}).get("from_table", {})
        if table.get("type") != "BASE_TABLE":
            return ()
        return tuple(table["qualified_name"]["path"])

    def _function(self, node: dict[str, Any], scope: frozenset[str]) -> None:
        name = str(node.get("function_name", "")).casefold()
        self.seen.calls.add(name)
        if name not in self._known:
            self.seen.passed.append(Call(name, tuple(self._arguments(node, scope))))
        if name == "getenv" or _EFFECT.match(name):
            where, excerpt = locate(self._query, node.get("query_location"))
            raise QueryError(
                f"`{name}` is not for SQL assets: it reaches outside the query",
                where=where,
                advice="declare a parameter and write `$name`",
                excerpt=excerpt,
            )
        # `age(x)` alone is reckoned from today; DuckDB lists it as consistent.
        if name in self._unsteady or (name == "age" and len(node.get("arguments", ())) == 1):
            self.seen.clocks.append(f"`{name}()`")


_TYPE_NAMES = _NO_NAMES | {"type_name", "qualified_name"}


def _scope(
    node: dict[str, Any], scope: frozenset[str], stack: list[tuple[Any, frozenset[str]]]
) -> frozenset[str]:
    """The scope inside a node. Each WITH sees those before it, itself only if recursive."""
    for entry in node.get("cte_map", {}).get("map", ()):
        stack.append((entry["value"], scope))
        stack.append((entry["key"], scope))
        scope = scope | {entry["key"].casefold()}
    if node.get("type") == "RECURSIVE_CTE_NODE":
        scope = scope | {node["cte_name"].casefold()}
    return scope


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _constants(function: dict[str, Any]) -> list[str]:
    """The constant texts a function is called with, one list opened; empty if any is computed."""
    found = [argument["expression"] for argument in function.get("arguments", ())]
    if len(found) == 1 and found[0].get("function_name") == "list_value":
        found = [item["expression"] for item in found[0].get("arguments", ())]
    if not all(item.get("class") == "CONSTANT" and "literal" in item for item in found):
        return []
    return [str(item["literal"].get("text", "")) for item in found]


# ------------------------------------------------------------------------------------- files


def looks_like_file(name: str) -> bool:
    """Would DuckDB try to open a table of this name as a file?"""
    return bool(_FILE_NAME.search(name))


def file_error(query: Query, what: str, path: str, node: dict[str, Any]) -> QueryError:
    """The error for a query that reads a file, with the source to declare instead."""
    where, excerpt = locate(query, node.get("query_location"))
    stem = re.sub(r"\W+", "_", PurePath(path).name.split(".")[0]).strip("_") or "data"
    name = stem if stem[:1].isalpha() else f"data_{stem}"
    return QueryError(
        f"{what}: a SQL asset reads assets only, so that its inputs are known",
        where=where,
        advice=f'declare `source("{name}", "{path}")` and read `{name}`',
        excerpt=excerpt,
    )


# ------------------------------------------------------------- statements DuckDB does not show


def tables_without_tree(query: Query) -> list[TableReference]:
    """The tables of a statement whose tree DuckDB does not show: by sqlglot, else by its words."""
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    try:
        found = sqlglot.parse_one(query.text.strip().rstrip(";"), read="duckdb")
    except (SqlglotError, RecursionError):
        return _tables_by_words(query)
    names = {cte.alias_or_name.casefold() for cte in found.find_all(exp.CTE)}
    references = []
    for table in found.find_all(exp.Table):
        parts = tuple(part.name for part in table.parts)
        if not table.name or not all(parts):
            continue
        if len(parts) == 1 and looks_like_file(parts[0]):
            raise file_error(query, f"`{parts[0]}` is a file", parts[0], {})
        if len(parts) > 1 or parts[0].casefold() not in names:
            references.append(TableReference(".".join(parts), parts))
    return references


_BEFORE_TABLE = frozenset({"from", "join", "pivot", "unpivot", "pivot_wider", "table"})


def _tables_by_words(query: Query) -> list[TableReference]:
    """Every name after FROM, JOIN or PIVOT that is neither a call nor a WITH of the statement."""
    words = [*tokens(query.text, None), "", ""]
    lowered = [word.casefold() for word in words]
    own = {lowered[i] for i in range(len(words) - 2) if lowered[i + 1 : i + 3] == ["as", "("]}
    references = []
    for i, word in enumerate(lowered[:-2]):
        if word not in _BEFORE_TABLE:
            continue
        parts, at = [], i + 1
        while re.match(r'^["\w]', words[at]):
            parts.append(words[at].strip('"').replace('""', '"'))
            at += 1
            if words[at] != ".":
                break
            at += 1
        if parts and words[at] != "(" and (len(parts) > 1 or parts[0].casefold() not in own):
            references.append(TableReference(".".join(parts), tuple(parts)))
    return references
