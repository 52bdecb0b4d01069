"""A DuckDB shut off from files, network and settings, which shows some tables and nothing else."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from lineal.assets.asset import Macro
from lineal.assets.errors import QueryError
from lineal.assets.records import Content
from lineal.disk import Disk, refusals
from lineal.storage.sql import SqlFacts, query_error, spellings, words_of
from lineal.storage.sql_text import named

if TYPE_CHECKING:
    import pyarrow as pa

Rows: TypeAlias = "pa.Table | StoredTable"
Shown: TypeAlias = "Rows | Shaped"

_TABLE = "parquet"
# The column of a table of which only the rows count; what names it does not bind over the whole.
NOTHING = "lineal rows"
ROW_NUMBER = "rowid"  # only DuckDB's own tables have it
# DuckDB can't read these from a file as what they are, or not at all: they come through Arrow.
_THROUGH_ARROW = re.compile(r"duration\[|float16|decimal\((39|[4-7]\d)")


class StoredTable(NamedTuple):
    """A table that DuckDB reads from its files: one, or those of several partitions in order."""

    paths: tuple[str, ...]
    empty: pa.Table
    num_rows: int

    @classmethod
    def of(
        cls,
        contents: Sequence[Content],
        paths: Sequence[Path],
        columns: Sequence[str] | None = None,
    ) -> StoredTable:
        from lineal.storage.formats.parquet import read_pieces

        places = tuple(os.path.abspath(path) for path in paths)  # noqa: PTH100
        empty = next(read_pieces(paths[0], columns))
        return cls(places, empty, sum(c.rows or 0 for c in contents))

    @property
    def column_names(self) -> list[str]:
        names: list[str] = self.empty.column_names
        return names


class Shaped(NamedTuple):
    """Some columns of a table; of the others the names and types, with nulls for their values."""

    rows: pa.Table | StoredTable
    empty: pa.Table  # all columns, in order


def bare(rows: int) -> pa.Table:
    """A table of which nothing is shown but how many rows it has."""
    import pyarrow as pa

    return pa.table({NOTHING: pa.nulls(rows)})


def are_large(contents: Sequence[Content], most: int) -> bool:
    """Would this table take more memory than that, and can it be read from its files instead?

    Of several partitions: only if their columns are the same.
    """
    if any(c.format != _TABLE or not c.objects for c in contents):
        return False
    shapes = {tuple((column.name, column.type) for column in c.columns) for c in contents}
    if len(shapes) != 1:
        return False
    (shape,) = shapes
    stored = sum(each.bytes for c in contents for each in c.objects)
    size = max(2 * stored, 8 * sum(c.rows or 0 for c in contents) * len(shape))
    return size > most and not any(_THROUGH_ARROW.search(kind) for _, kind in shape)


class Sandbox:
    """Connections to DuckDB, one at a time. Threads take turns.

    Args:
        temporary: the folder large sorts spill into; None: they don't.
        threads: of DuckDB.
        memory: bytes that DuckDB may use.
    """

    def __init__(self, temporary: Path | None, threads: int, memory: int) -> None:
        self._temporary = temporary
        self._threads = threads
        self._memory = memory
        self._lock = threading.Lock()
        self._kept: Any = None

    @contextlib.contextmanager
    def showing(
        self, tables: Mapping[str, Shown], facts: SqlFacts | None, macros: Sequence[Macro] = ()
    ) -> Iterator[Any]:
        """A connection that shows these tables, as the query spells them, its macros, and nothing
        else.
        """
        with (
            self.reading(tables.values()) as connection,
            _shown(connection, tables, facts, macros),
        ):
            yield connection

    @contextlib.contextmanager
    def reading(self, tables: Iterable[Shown]) -> Iterator[Any]:
        """A connection that can read the files of these tables.

        One instance is kept from call to call, because opening one costs more than a small query;
        after any error, and for other files, a new one is opened.
        """
        rows = (table.rows if isinstance(table, Shaped) else table for table in tables)
        stored = (table.paths for table in rows if isinstance(table, StoredTable))
        paths = sorted({path for each in stored for path in each})
        with self._lock:
            if paths:
                with contextlib.closing(self._open(paths)) as connection:
                    yield connection
                return
            connection, self._kept = self._kept or self._open(()), None
            try:
                yield connection
                self._kept, connection = connection, None
            finally:
                if connection is not None:
                    connection.close()

    def _open(self, paths: Sequence[str]) -> Any:
        import duckdb

        spill = ""
        if self._temporary is not None:
            with refusals(self._temporary):
                Disk().make_folders(self._temporary)
            # DuckDB lets SQL at its temporary folder: one of its own, with nothing else in it.
            spill = str(self._temporary / f"duckdb-{os.getpid()}-{id(self)}")
        connection = duckdb.connect(
            ":memory:",
            config={
                "threads": self._threads,
                "memory_limit": f"{self._memory}B",
                "preserve_insertion_order": True,
                "temp_directory": spill,
                "autoload_known_extensions": False,
                "autoinstall_known_extensions": False,
                "allow_community_extensions": False,
                "python_enable_replacements": False,
            },
        )
        allowed = ", ".join(map(literal, paths))
        for setting in (
            f"set allowed_paths = [{allowed}]",
            "set TimeZone = 'UTC'",
            "set enable_external_access = false",
            "set lock_configuration = true",
        ):
            connection.execute(setting)
        return connection


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@contextlib.contextmanager
def _shown(
    connection: Any,
    tables: Mapping[str, Shown],
    facts: SqlFacts | None,
    macros: Sequence[Macro],
) -> Iterator[None]:
    """Tables in all the spellings that a query uses, and its macros; taken back unless it fails."""
    own = facts is not None and ROW_NUMBER in words_of(facts, macros)
    undo: list[str] = []
    for name, table in tables.items():
        shown = _below(name) if own else name
        show(connection, shown, table)
        if own:
            connection.execute(f"create table {quoted(name)} as from {quoted(shown)}")
            undo.append(f"drop table {quoted(name)}")
    undo += spell(connection, tables, written(facts), "table" if own else "view")
    create(connection, macros, undo)
    yield
    for statement in reversed(undo):
        connection.execute(statement)
    for name, table in tables.items():
        hide(connection, _below(name) if own else name, table)


def show(connection: Any, name: str, table: Shown) -> None:
    """Show a table under a name, with the same types from memory and from its file."""
    if isinstance(table, Shaped):
        _show_shaped(connection, name, table)
    elif isinstance(table, StoredTable):
        _show_stored(connection, name, table)
    else:  # by a view, as the others: DuckDB puts what is registered into another catalog
        connection.register(_below(name), table)
        connection.execute(f"create view {quoted(name)} as from {quoted(_below(name))}")


def _show_stored(connection: Any, name: str, table: StoredTable) -> None:
    files = ", ".join(map(literal, table.paths))
    chosen = ", ".join(map(_of_below, table.column_names))
    source = f"(select {chosen} from read_parquet([{files}], hive_partitioning = false) as below)"
    connection.register(name, table.empty)
    wanted = connection.sql(f"from {quoted(name)}").types
    connection.unregister(name)
    has = connection.sql(f"from {source}").types
    columns = [
        _of_below(column) if kind == its else f"{_of_below(column)}::{kind} as {quoted(column)}"
        for column, kind, its in zip(table.column_names, wanted, has, strict=True)
    ]
    connection.execute(
        f"create view {quoted(name)} as select {', '.join(columns)} from {source} as below"
    )


def _show_shaped(connection: Any, name: str, table: Shaped) -> None:
    connection.register(name, table.empty)
    kinds = connection.sql(f"from {quoted(name)}").types
    connection.unregister(name)
    below = _below(name)
    show(connection, below, table.rows)
    read = frozenset(table.rows.column_names)
    columns = [
        _of_below(column) if column in read else f"null::{kind} as {quoted(column)}"
        for column, kind in zip(table.empty.column_names, kinds, strict=True)
    ]
    connection.execute(
        f"create view {quoted(name)} as select {', '.join(columns)} from {quoted(below)} as below"
    )


def _of_below(column: str) -> str:
    """A column of `below`: of that table, as DuckDB looks for a bare name in a view among the
    parameters of the macro that reads it, too.
    """
    return f"below.{quoted(column)}"


def _below(name: str) -> str:
    """Where the columns lie of which another view shows more than there are."""
    return f"lineal {name}"


def create(connection: Any, macros: Iterable[Macro], undo: list[str]) -> None:
    """Create macros over the tables that are shown; `undo` gets what takes them back.

    Raises:
        QueryError: at the line of a macro that DuckDB refuses.
    """
    import duckdb

    for macro in macros:
        try:
            connection.execute(macro.text)
        except duckdb.Error as error:
            told = query_error(named(macro), error)
            clash = told.message.startswith("Conflicting column names")
            raise QueryError(
                f"in the macro `{macro.name}`: {told.message}",
                where=told.where,
                advice="give that parameter another name" if clash else told.advice,
                excerpt=told.excerpt,
            ) from error
        undo.append(f"drop {'macro table' if macro.table else 'macro'} {quoted(macro.name)}")


def hide(connection: Any, name: str, table: Shown) -> None:
    """Take back what was shown."""
    connection.execute(f"drop view {quoted(name)}")
    if isinstance(table, Shaped):
        hide(connection, _below(name), table.rows)
    elif not isinstance(table, StoredTable):
        connection.unregister(_below(name))


def written(facts: SqlFacts | None) -> frozenset[str] | None:
    """The spellings a query uses; None when it may use any."""
    if facts is None or facts.opaque:
        return None
    parts = [reference.parts for reference in facts.tables]
    return frozenset(".".join(p[-n:]).casefold() for p in parts for n in (1, 2))


def spell(
    connection: Any,
    names: Collection[str],
    written: frozenset[str] | None,
    kind: Literal["view", "table"] = "view",
) -> list[str]:
    """Show what is shown by name in the other spellings that are written; what takes it back."""
    taken = {name.casefold() for name in names}
    schemas: set[str] = set()
    drops: list[str] = []
    for name in names:
        for spelling in spellings(name):
            key = spelling.strip('"').casefold()
            if key in taken or (written is not None and key not in written):
                continue
            taken.add(key)
            schema, dot, leaf = spelling.partition(".")
            if dot and schema.casefold() not in schemas:
                schemas.add(schema.casefold())
                connection.execute(f"create schema {quoted(schema)}")
                drops.append(f"drop schema {quoted(schema)}")
            spelt = f"{quoted(schema)}.{quoted(leaf)}" if dot else quoted(spelling)
            connection.execute(f"create {kind} {spelt} as from main.{quoted(name)}")
            drops.append(f"drop {kind} {spelt}")
    return drops
