"""A DuckDB in which queries are planned over tables without rows; nothing ever runs there."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from lineal.assets.asset import Macro
from lineal.assets.errors import QueryError
from lineal.assets.ports import Shape
from lineal.storage.sandbox import NOTHING, create, quoted, spell, written
from lineal.storage.sql import SqlFacts, spellings
from lineal.storage.sql_order import nodes
from lineal.storage.type_texts import UnknownType, empty_table

# Which optimizers may change a plan: what puts a WITH in its place, and what takes out what nobody
# uses. All others stay out, as some look at values, of which an empty table has none. DuckDB can't
# write all plans that these leave; the others of the second have no say in what is read either, but
# bring most such plans into order.
PRUNING = (
    ("unused_columns", "cte_inlining"),
    ("unused_columns", "cte_inlining", "build_side_probe_side", "join_order", "column_lifetime"),
)
# Functions that are tables and read nothing but their arguments.
_PURE = frozenset(
    {"range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree"}
    | {"summary", "test_all_types", "test_vector_types"}
)
# What reads no table, where a physical plan begins.
_NO_TABLE = frozenset(
    {"COLUMN_DATA_SCAN", "CTE_SCAN", "REC_CTE_SCAN", "DELIM_SCAN", "DUMMY_SCAN", "EMPTY_RESULT"}
)
_VIRTUAL = 1 << 63  # ids from here on are of no column: the number of a row, or nothing at all
_PLANNED = '{"error":false,"plans":['

_Read = Mapping[str, frozenset[str]]


class Plan(NamedTuple):
    """What is executed for a query, all of it and with the names and types of its columns."""

    trees: tuple[Any, ...]
    read: _Read  # the columns that its scans read, by asset


class Unplanned(Exception):
    """Why a query can't be planned: a sentence."""


class Scratch:
    """Implements planning over the inputs of one query at a time."""

    def __init__(self) -> None:
        self._connection, self._optimizers = self._open()
        self._shapes: Mapping[str, Shape] = {}
        self._written: frozenset[str] | None = None
        self._macros: Sequence[Macro] = ()
        self._tables: dict[tuple[str, str], str] = {}
        self._undo: list[str] = []

    def _open(self) -> tuple[Any, frozenset[str]]:
        connection = duckdb.connect(
            ":memory:",
            config={
                "threads": 1,
                "python_enable_replacements": False,
                "autoload_known_extensions": False,
                "autoinstall_known_extensions": False,
            },
        )
        names = connection.sql("select name from duckdb_optimizers()").fetchall()
        connection.execute("set TimeZone = 'UTC'")
        connection.execute("set enable_external_access = false")
        return connection, frozenset(name for (name,) in names)

    @contextlib.contextmanager
    def over(
        self, shapes: Mapping[str, Shape], facts: SqlFacts, macros: Sequence[Macro]
    ) -> Iterator[None]:
        """Plan over inputs of these shapes; raises Unplanned for a type that DuckDB has not."""
        self._shapes, self._written, self._macros = shapes, written(facts), macros
        self._tables = {}
        for name in shapes:
            self._tables["main", name.casefold()] = name
        for name in shapes:
            for spelling in spellings(name):
                schema, dot, leaf = spelling.strip('"').casefold().partition(".")
                self._tables.setdefault((schema, leaf) if dot else ("main", schema), name)
        try:
            for name, shape in shapes.items():
                self._arrive(name, shape)
            yield
            self._take_back()
            for name in shapes:
                self._connection.unregister(_shape_of(name))
        except BaseException:
            self._connection.close()  # whatever state it was left in
            self._undo.clear()
            self._connection, self._optimizers = self._open()
            raise

    def _arrive(self, name: str, shape: Shape) -> None:
        """The types are those that a run sees: those that DuckDB gives to Arrow's."""
        try:
            self._connection.register(_shape_of(name), empty_table(shape))
            self._connection.sql(f"from {quoted(_shape_of(name))}")
        except (UnknownType, duckdb.Error, pa.ArrowException) as error:
            raise Unplanned(f"DuckDB has no type for a column of `{name}`") from error

    def show(self, columns: Mapping[str, Sequence[str]]) -> None:
        """Show tables with these columns, as the query spells them."""
        self._take_back()
        for name in self._shapes:
            chosen = ", ".join(map(quoted, columns[name])) or f"null as {quoted(NOTHING)}"
            self._connection.execute(
                f"create table {quoted(name)} as select {chosen} from {quoted(_shape_of(name))}"
            )
            self._undo.append(f"drop table {quoted(name)}")
        self._undo += spell(self._connection, self._shapes, self._written, "table")
        try:
            create(self._connection, self._macros, self._undo)
        except QueryError as error:
            raise Unplanned(error.message) from error

    def _take_back(self) -> None:
        while self._undo:
            self._connection.execute(self._undo.pop())

    def prune(self, optimizers: Iterable[str]) -> None:
        """Plan with no other optimizers than these."""
        others = ",".join(sorted(self._optimizers.difference(optimizers)))
        self._connection.execute(f"set disabled_optimizers = '{others}'")

    # ------------------------------------------------------------------------- logical plans

    def plan(self, texts: Sequence[str]) -> Plan | None:
        """The plans of these texts, and of all columns of the first; None where DuckDB has none."""
        trees = []
        read: dict[str, set[str]] = {name: set() for name in self._shapes}
        for text in (*texts, f"select * from ({texts[0]}\n)"):
            found = self._written_plan(text)
            if found is None:
                return None
            trees.append(_parsed(found))
            for scan in _scans(trees[-1]):
                self._make_known(scan, read)
        if trees[-1]["plans"][0]["type"] != "LOGICAL_PROJECTION":  # it has the names
            return None
        return Plan(tuple(trees), {name: frozenset(known) for name, known in read.items()})

    def _written_plan(self, text: str) -> str | None:
        asked = "select json_serialize_plan($text::varchar, optimize := true)"
        try:
            ((answer,),) = self._connection.execute(asked, {"text": text}).fetchall()
        except duckdb.Error:
            return None
        return answer if str(answer).startswith(_PLANNED) else None

    def _make_known(self, scan: dict[str, Any], read: dict[str, set[str]]) -> None:
        """Turn the places of columns into their names: those of a table with fewer are others."""
        table = scan.get("function_data") or {}
        if "table" not in table:
            function = scan["qname"]["path"][-1]
            if function not in _PURE:
                raise Unplanned(f"`{function}` may read what is no column of an asset")
            return
        name = self._tables.get((table["schema"].casefold(), table["table"].casefold()))
        columns = scan.pop("names")
        if name is None or not set(columns) <= {NOTHING, *(c for c, _ in self._shapes[name])}:
            raise Unplanned(f"`{table['table']}` is no asset as it is known")
        del scan["returned_types"]
        for each in scan["column_indexes"]:
            if each["index"] < _VIRTUAL:
                each["index"] = columns[each["index"]]
                read[name].add(each["index"])

    # ------------------------------------------------------------------------ physical plans

    def scanned(self, texts: Sequence[str]) -> _Read:
        """The columns that a query reads, from a plan as DuckDB shows it to people.

        It tells less than the others, so that two can't be compared, but there is always one.
        """
        self.prune(PRUNING[0])
        read: dict[str, set[str]] = {name: set() for name in self._shapes}
        for text in texts:
            try:
                ((_, answer),) = self._connection.execute(
                    f"explain (format json) {text}"
                ).fetchall()
            except duckdb.Error as error:
                raise Unplanned(_why_not(error)) from error
            for scan in _leaves(_parsed(answer)):
                self._look_at(scan, read)
        return {name: frozenset(known) for name, known in read.items()}

    def _look_at(self, scan: dict[str, Any], read: dict[str, set[str]]) -> None:
        kind, told = scan["name"].strip(), scan["extra_info"]
        if kind in _NO_TABLE:
            return
        shown = {
            f"memory.{_as_told(schema)}.{_as_told(table)}": name
            for (schema, table), name in self._tables.items()
        }
        name = shown.get(str(told.get("Table", "")).replace('"', "").casefold())
        columns = told.get("Projections")
        if kind != "SEQ_SCAN" or name is None or columns is None:
            raise Unplanned(f"`{kind}` may read what is no column of an asset")
        if any("\n" in column for column, _ in self._shapes[name]):
            raise Unplanned(f"a column of `{name}` has a line break in its name")
        for each in {columns} - {""} if isinstance(columns, str) else set(columns):
            # A field is told as `column.field`, which may be the name of another column.
            meant = {c for c, _ in self._shapes[name] if f"{each}.".startswith(f"{c}.")}
            if not meant:
                raise Unplanned(f"the plan has columns that `{name}` has not")
            read[name] |= meant


def _why_not(error: duckdb.Error) -> str:
    """What DuckDB says of a fault in the query, which a run would tell as well."""
    said = str(error).partition("\n")[0].removeprefix("Binder Error: ")
    if not isinstance(error, duckdb.BinderException) or "parameter" in said.casefold():
        return "DuckDB can't plan it before it has rows and parameters"
    return f"DuckDB can't plan it: {said}"


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise Unplanned("its plan is nested too deeply") from error


def _shape_of(name: str) -> str:
    return f"lineal shape of {name}"


def _as_told(name: str) -> str:
    return name.replace('"', "")


def _scans(tree: Any) -> Iterator[dict[str, Any]]:
    """Every scan of a plan."""
    return (node for node in nodes(tree) if node.get("type") == "LOGICAL_GET")


def _leaves(tree: Any) -> Iterator[dict[str, Any]]:
    """Where a physical plan begins."""
    stack = list(tree)
    while stack:
        node = stack.pop()
        stack.extend(node["children"])
        if not node["children"]:
            yield node
