"""The catalog's DuckDB file: opened, filled from the journal in one transaction, compared."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from blake3 import blake3

from lineal.assets.errors import StoreError
from lineal.lineage.edge_sets import new_edges
from lineal.lineage.journal import Journal
from lineal.lineage.rows import OUTCOMES, Rows, add_rows

if TYPE_CHECKING:
    import duckdb

SCHEMA_VERSION = 1
_STORAGE_VERSION = "v1.5.0"  # so that DuckDB 1.5 opens what 2.0 made
DATABASE = "_lineal"  # no asset's name can begin so, hence no view's schema clashes with it
_FACTS_AT_ONCE = 20_000  # about 60 MB of rows
_ROWS_A_LINE = 2048
# Rows that many facts repeat are entered once: table → the table that tells whether they are in,
# the column here and the column there.
_ONCE = {
    "code_part": ("code", "code", "digest"),
    "code": ("code", "digest", "digest"),
    "package": ("package", "environment", "environment"),
    "version_column": ("version", "version", "id"),
    "version": ("version", "id", "id"),
}


class CatalogBusy(StoreError):
    """Another program holds the catalog's file, or it can't be written."""

    kind = "catalog_busy"


class Outdated(Exception):
    """The file is of another schema or another journal."""


def quoted_path(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def open_file(path: Path, how: Literal["", "read_only"] = "") -> duckdb.DuckDBPyConnection:
    """The file attached, for writing made if it is not there. Raises CatalogBusy."""
    import duckdb

    connection = duckdb.connect(":memory:")
    try:
        option = how or f"storage_version '{_STORAGE_VERSION}'"
        connection.execute(f"attach {quoted_path(path)} as {DATABASE} ({option})")
        connection.execute(f"use {DATABASE}")
    except duckdb.Error as error:
        connection.close()
        who = _holder(str(error))
        if who is None:
            raise
        raise CatalogBusy(
            f"the catalog is held by {who}",
            where=str(path),
            advice="close it there; the journal is not held and nothing is lost meanwhile",
        ) from error
    return connection


def _holder(message: str) -> str | None:
    """Who holds the file, from DuckDB's message, or None when the trouble is another one."""
    if "Conflicting lock is held in " in message:
        return message.split("Conflicting lock is held in ")[1].split(". See")[0].strip()
    if "Could not set lock" in message:
        return "another program"
    if "already attached" in message or "different configuration" in message:
        return "this very program"
    if "Permission denied" in message or "Read-only file system" in message:
        return "nobody, but it can't be written"
    return None


class PlanRow(NamedTuple):
    """A step of the plan as it would be made now."""

    position: int
    asset: str
    partition: str | None
    verdict: str
    reasons: Sequence[Mapping[str, str]]  # kind, detail
    pending_on: Sequence[str]  # the inputs that a pending step waits for
    columns_read: Sequence[str]  # those whose change would make a pending step stale
    version: str | None
    seconds: float | None


def add_plan(copy: Path, plan: Sequence[PlanRow]) -> None:
    """Make the table `lineage.plan` in somebody's own copy of the file."""
    with contextlib.closing(open_file(copy)) as connection:
        connection.execute(_statements("plan")[0])
        if plan:
            with _batch(_types(connection)["plan"], "plan", plan) as batch:
                connection.execute(f"insert into lineage.plan select * from {batch}")


# ---------------------------------------------------------------------------------------- ingestion


def ingest(path: Path, journal: Journal, last: int | None = None) -> int:
    """One transaction: what the journal holds beyond the file, and the number ingested through."""
    with contextlib.closing(open_file(path)) as connection:
        connection.execute("begin")
        after, digest = 0, ""
        if _has_schema(connection):
            after, digest = _ingested(connection, journal)
        else:
            _create(connection)
        through, digest = _insert_entries(connection, journal, (after, digest), last)
        for statement in _statements("after"):
            connection.execute(statement.replace("$after", str(after)))
        follows = Rows()
        follows["column_edge"] += new_edges(connection, after)
        _insert(connection, follows)
        connection.execute("update lineage.ingested set entry = ?, digest = ?", [through, digest])
        connection.execute("commit")
        connection.execute(f"checkpoint {DATABASE}")  # closing would do it too, and hide an error
        return through


def stands_at(path: Path, journal: Journal) -> tuple[int, str]:
    """The entry a file stands at; raises Outdated as `_ingested`. The file stays as it is."""
    with contextlib.closing(open_file(path, "read_only")) as connection:
        if not _has_schema(connection):
            raise Outdated
        return _ingested(connection, journal)


def _has_schema(connection: duckdb.DuckDBPyConnection) -> bool:
    found = connection.execute(
        "select 1 from duckdb_schemas() where schema_name = 'lineage' and database_name = ?",
        [DATABASE],
    )
    return found.fetchone() is not None


def first_difference(one: Path, other: Path) -> str | None:
    """The first table whose rows, as many of each, are not the same in two files."""
    with contextlib.closing(open_file(one, "read_only")) as connection:
        connection.execute(f"attach {quoted_path(other)} as other (read_only)")
        tables = connection.execute(
            "select table_name from duckdb_tables() where database_name = ? order by 1", [DATABASE]
        ).fetchall()
        for (table,) in tables:
            here, there = f"from {DATABASE}.lineage.{table}", f"from other.lineage.{table}"
            for some, rest in ((here, there), (there, here)):
                query = f"select 1 from ({some} except all {rest}) limit 1"
                if connection.execute(query).fetchone() is not None:
                    return str(table)
    return None


def _create(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("create schema lineage")
    connection.execute(f"use {DATABASE}.lineage")
    for file in ("tables", "views", "macros"):
        for statement in _statements(file):
            connection.execute(statement)
    connection.execute(
        "insert into lineage.ingested values (?, ?, 0, '')", [SCHEMA_VERSION, _schema_digest()]
    )


def _ingested(connection: duckdb.DuckDBPyConnection, journal: Journal) -> tuple[int, str]:
    """Where the file stands; raises Outdated when it is not about this journal or schema."""
    [(version, schema, entry, digest)] = connection.execute("from lineage.ingested").fetchall()
    if (version, schema) != (SCHEMA_VERSION, _schema_digest()):
        raise Outdated
    if entry and not journal.holds(entry, digest):
        raise Outdated
    return entry, digest


def _insert_entries(
    connection: duckdb.DuckDBPyConnection,
    journal: Journal,
    after: tuple[int, str],
    last: int | None,
) -> tuple[int, str]:
    rows, waiting, (through, digest) = Rows(), 0, after
    for entry in journal.entries(through, digest or None):
        if last is not None and entry.number > last:
            break
        for position, fact in enumerate(journal.facts(entry)):
            add_rows(rows, fact, entry.number, position)
        through, digest = entry.number, entry.digest
        waiting += len(entry.lines)
        if waiting >= _FACTS_AT_ONCE:
            _insert(connection, rows)
            rows, waiting = Rows(), 0
    _insert(connection, rows)
    return through, digest


def _insert(connection: duckdb.DuckDBPyConnection, rows: Rows) -> None:
    types = _types(connection)
    ended = rows.pop("run_ended", [])
    filled = [table for table, values in rows.items() if values]
    # Before the table that tells whether they are in, the rows that hang on it.
    for table in sorted(filled, key=lambda t: t in ("code", "version")):
        condition = ""
        if table in _ONCE:
            parent, here, there = _ONCE[table]
            condition = (
                f"where not exists (select 1 from lineage.{parent} p where p.{there} = b.{here})"
            )
        with _batch(types[table], table, rows[table]) as batch:
            connection.execute(f"insert into lineage.{table} select * from {batch} b {condition}")
    if ended:
        columns = ("id", "ended_at", "outcome", *OUTCOMES)
        changes = ", ".join(f"{name} = b.{name}" for name in columns[1:])
        with _batch(types["run"], "run", ended, columns) as batch:
            connection.execute(
                f"update lineage.run set {changes} from {batch} b where run.id = b.id"
            )


def _types(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """The columns of each table of the file, with their types."""
    found: dict[str, dict[str, str]] = {}
    query = (
        "select table_name, column_name, data_type from duckdb_columns() "
        "where database_name = ? and schema_name = 'lineage' order by table_name, column_index"
    )
    for table, column, kind in connection.execute(query, [DATABASE]).fetchall():
        found.setdefault(table, {})[column] = kind
    return found


@contextlib.contextmanager
def _batch(
    types: Mapping[str, str],
    table: str,
    rows: Sequence[tuple[Any, ...]],
    columns: Sequence[str] = (),
) -> Iterator[str]:
    """Rows for one insert, as a SQL expression: by way of JSON, in the types of the table.

    Column by column: one call writes many rows, and no name is written with each.

    Arrow would be as fast, but the first array made of Python values imports pandas.
    """
    names = tuple(columns) or tuple(types)
    lines = [
        _json_line(
            dict(zip(names, zip(*rows[begin : begin + _ROWS_A_LINE], strict=True), strict=True))
        )
        for begin in range(0, len(rows), _ROWS_A_LINE)
    ]
    typed = ", ".join(f"{name}: '{types[name]}[]'" for name in names)
    longest = max(16 << 20, 2 * max(map(len, lines)))
    with tempfile.TemporaryDirectory(prefix="lineal-") as folder:
        path = Path(folder) / f"{table}.json"
        path.write_text("\n".join(lines), "ascii")
        yield (
            f"(select {', '.join(f'unnest({name}) as {name}' for name in names)} from "
            f"read_json({quoted_path(path)}, format = 'newline_delimited', columns = {{{typed}}}, "
            f"maximum_object_size = {longest}))"
        )


def _json_line(columns: dict[str, Any]) -> str:
    line = json.dumps(columns)
    if "\\ud" in line or "\\u0000" in line:  # half a surrogate pair? a path that is no UTF-8
        line = json.dumps(_printable(columns))
    return line


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    if isinstance(value, list | tuple):
        return [_printable(v) for v in value]
    if isinstance(value, dict):
        return {k: _printable(v) for k, v in value.items()}
    return value


def _statements(file: str) -> list[str]:
    text = (Path(__file__).parent / "schema" / f"{file}.sql").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return [s.strip() for s in "\n".join(lines).split(";") if s.strip()]


def _schema_digest() -> str:
    files = ("tables", "views", "macros", "after")
    return blake3("\n".join(s for f in files for s in _statements(f)).encode()).hexdigest()
