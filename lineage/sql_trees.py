"""SQL as DuckDB's own parser reads it: the trees of queries, macros, expressions over names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from lineal.lineage.column_flows import Doubt

Tree = Mapping[str, Any]
ANY_ENTRY = "*"  # stands in the tree of a PIVOT for the values it finds in the data

_MACRO = re.compile(
    r"\s*create\s+(?:or\s+replace\s+)?(?:temp(?:orary)?\s+)?(?:macro|function)\s+"
    r'(?:if\s+not\s+exists\s+)?(?:\w+\s*\.\s*)?("(?:[^"]|"")+"|\w+)\s*\(',
    re.IGNORECASE,
)
_BODY = re.compile(r"\s*as\s+(table\s)?", re.IGNORECASE)
_WORD = re.compile(r'\s*("(?:[^"]|"")+"|\w+)')


class Macro(NamedTuple):
    """A macro of the project: its parameters, and the tree of its body."""

    parameters: tuple[str, ...]
    body: Tree  # a query of a table macro, an expression of any other
    is_table: bool


class Trees:
    """Parses; keeps one DuckDB in memory, which holds no data and can reach none.

    It never runs what it parses, but for what `COLUMNS(…)` says of names.
    """

    @cached_property
    def _duckdb(self) -> Any:
        import duckdb

        return duckdb.connect(
            ":memory:",
            config={
                "threads": 1,
                "python_enable_replacements": False,
                "enable_external_access": False,
            },
        )

    def query(self, text: str) -> Tree:
        """The tree of a SELECT. Raises Doubt if DuckDB does not show it."""
        found = self._shown(text) or self._shown(_with_entries(text))
        if found is None:
            raise Doubt("DuckDB does not show how it reads this")
        return found

    def _shown(self, text: str) -> Tree | None:
        rows = self._asked(
            "select json_serialize_sql($text::varchar, skip_null := true, skip_empty := true,"
            " skip_default := true)",
            text=text,
        )
        answer = json.loads(rows[0][0])
        if answer["error"] or len(answer["statements"]) != 1:
            return None
        return dict(answer["statements"][0]["node"])

    def text(self, expression: Any) -> str:
        """An expression as DuckDB writes it, which names its column."""
        node = {
            "type": "SELECT_NODE",
            "cte_map": {},
            "select_list": [expression],
            "from_table": {"type": "EMPTY"},
            "aggregate_handling": "STANDARD_HANDLING",
        }
        whole = {"error": False, "statements": [{"node": node}]}
        try:
            rows = self._asked("select json_deserialize_sql($t::json)", t=json.dumps(whole))
        except Doubt:
            return ""
        return str(rows[0][0]).removeprefix("SELECT ")

    def matching(self, names: Sequence[str], condition: str) -> list[str]:
        """The names, each as `name`, that fulfil a condition in SQL."""
        rows = self._asked(
            f"select name from (select unnest($names::varchar[]) as name) where {condition}",
            names=list(names),
        )
        return [name for (name,) in rows]

    def chosen(self, names: Sequence[str], choice: str) -> list[str]:
        """The list that an expression in SQL makes of the list `names`."""
        rows = self._asked(
            f"select {choice} from (select $names::varchar[] as names)", names=list(names)
        )
        return [str(name) for name in rows[0][0]]

    def columns_of(self, function: str, arguments: int) -> list[str]:
        """The names of the columns of a table function."""
        nulls = ", ".join(["null"] * arguments)
        return [row[0] for row in self._asked(f"describe from {function}({nulls})")]

    def _asked(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        import duckdb

        try:
            found: list[tuple[Any, ...]] = self._duckdb.execute(query, parameters).fetchall()
        except duckdb.Error as error:
            raise Doubt(str(error)) from error
        return found

    @cached_property
    def aggregates(self) -> frozenset[str]:
        """The names of aggregates, and of DuckDB's own macros over them."""
        rows = self._asked(
            "select lower(function_name), function_type, lower(coalesce(macro_definition, ''))"
            " from duckdb_functions() where internal and function_type in ('aggregate', 'macro')"
        )
        plain = {name for name, kind, _ in rows if kind == "aggregate"}
        over = {
            name
            for name, kind, body in rows
            if kind == "macro" and plain & set(re.findall(r'(\w+)"?\(', body))
        }
        return frozenset(plain | over)

    def macros(self, texts: Iterable[str]) -> dict[str, Macro | None]:
        """The macros of `create macro` statements by name; None: it can't be read."""
        found: dict[str, Macro | None] = {}
        for text in texts:
            begun = _MACRO.match(text)
            if begun is not None:
                found[_bare(begun[1])] = self._macro(text, begun.end())
        return found

    def _macro(self, text: str, begin: int) -> Macro | None:
        end = _closing(text, begin)
        body = _BODY.match(text, end + 1)
        if body is None:
            return None
        words = [_WORD.match(piece) for piece in _pieces(text[begin:end])]
        names = tuple(_bare(word[1]) for word in words if word is not None)
        rest = text[body.end() :].strip().rstrip(";")
        try:
            if body[1]:
                return Macro(names, self.query(rest), True)
            listed = self.query(f"select {rest}")["select_list"]
        except Doubt:
            return None
        return Macro(names, listed[0], False) if len(listed) == 1 else None  # of several forms


def _bare(name: str) -> str:
    return name[1:-1].replace('""', '"').casefold() if name.startswith('"') else name.casefold()


_STEP = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[()\[\]{},]")


def _closing(text: str, begin: int) -> int:
    """Where the bracket closes that was opened before `begin`."""
    depth = 1
    for step in _STEP.finditer(text, begin):
        depth += (step[0] in "([{") - (step[0] in ")]}")
        if depth == 0:
            return step.start()
    return len(text)


def _pieces(text: str) -> list[str]:
    """What stands between the commas that are in no bracket."""
    pieces, begin, depth = [], 0, 0
    for step in _STEP.finditer(text):
        depth += (step[0] in "([{") - (step[0] in ")]}")
        if step[0] == "," and depth == 0:
            pieces.append(text[begin : step.start()])
            begin = step.end()
    return [*pieces, text[begin:]]


_QUERIES = frozenset({"select", "from", "with", "pivot", "unpivot", "values", "table", "("})
_ENDS_ON = frozenset({"using", "group", "order", "limit", ")", ";", "union", "except", "intersect"})


def _with_entries(text: str) -> str:
    """The text, each PIVOT that takes its values from the data with ANY_ENTRY as the only one.

    DuckDB shows a tree only of a PIVOT that says what it looks for.
    """
    import duckdb

    data = text.encode()
    starts = [start for start, _ in duckdb.tokenize(text)]
    words = [
        data[start:end].decode().strip().lower()
        for start, end in zip(starts, [*starts[1:], len(data)], strict=True)
    ]
    places = [
        starts[last] + len(words[last].encode())
        for number, word in enumerate(words)
        if word in ("pivot", "pivot_wider") and _is_statement(words[number + 1 : number + 3])
        for last in _without_in(words, number + 1)
    ]
    for place in sorted(places, reverse=True):
        data = data[:place] + f" in ('{ANY_ENTRY}')".encode() + data[place:]
    return data.decode()


def _is_statement(after: Sequence[str]) -> bool:
    """`PIVOT t ON …`, and not `FROM t PIVOT (sum(x) FOR …)`."""
    return len(after) == 2 and (after[0] != "(" or after[1] in _QUERIES)


def _without_in(words: Sequence[str], begin: int) -> list[int]:
    """The last word of each expression after ON that no IN belongs to."""
    depth, begun, told = 0, False, False
    found: list[int] = []
    for number in range(begin, len(words) + 1):
        word = words[number] if number < len(words) else ";"
        ends = depth == 0 and word in _ENDS_ON
        if begun and (ends or (depth == 0 and word == ",")):
            found += [] if told else [number - 1]
            told = False
        if ends:
            return found
        begun = begun or (depth == 0 and word == "on")
        told = told or (begun and depth == 0 and word == "in")
        depth += (word in ("(", "[", "{")) - (word in (")", "]", "}"))
    return found
