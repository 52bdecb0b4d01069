"""The catalog: a DuckDB file with schema `lineage`, an index of the journal for people's questions.

It may be deleted at any time. It is opened for one short transaction and closed; questions are
asked of a private copy, so that nobody ever holds it and a long session keeps no one out.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from lineal.assets.errors import StoreError
from lineal.lineage.journal import Journal
from lineal.lineage.rows import OUTCOMES, Rows, add_rows

if TYPE_CHECKING:
    import duckdb

SCHEMA_VERSION = 1
_STORAGE_VERSION = "v1.5.0"  # so that DuckDB 1.5 opens what 2.0 made
_DATABASE = "_lineal"  # no asset's name can begin so, hence no view's schema clashes with it
_FACTS_AT_ONCE = 20_000  # about 60 MB of rows
_PATIENCE = 60  # seconds for another lineal to finish its transaction

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


class _Outdated(Exception):
    """The file is of another schema or another journal."""


class Catalog:
    """The file `<root>/catalog.duckdb`; `root` is the store's folder."""

    def __init__(self, root: Path, journal: Journal):
        self.path = Path(root) / "catalog.duckdb"
        self._lock = Path(root) / "locks" / "catalog.lock"
        self._journal = journal

    def bring_up_to_date(self) -> int:
        """Take in what is new in the journal, in one transaction; the number it now stands at.

        A missing, damaged or outdated file is built anew. Raises CatalogBusy saying who holds it.
        """
        if self._journal.head() == 0:
            return 0
        with self._locked():
            return self._update()

    def rebuild(self) -> int:
        """Build the file anew from the journal; the number it then stands at."""
        if self._journal.head() == 0:
            return 0
        with self._locked():
            self._refuse_if_held()
            self._delete()
            return _ingest(self.path, self._journal)

    def connect_for_questions(self) -> tuple[duckdb.DuckDBPyConnection, str | None]:
        """A connection that sees `lineage.*` read-only, and a place for views.

        Views made by `add_view` come first in the search path, then the lineage tables. The second
        value says why the answer comes from a copy built from the journal, if it does.
        """
        note = None
        folder = Path(tempfile.mkdtemp(prefix="lineal-"))
        copy = folder / "catalog.duckdb"
        try:
            try:
                self._copy_to(copy)
            except CatalogBusy as busy:
                note = f"{busy.message}; answered from a copy built from the journal"
                _ingest(copy, self._journal)
            return _questions(copy, folder), note
        finally:
            # The open file lives on without its name; elsewhere the system's cleaning takes it.
            shutil.rmtree(folder, ignore_errors=True)

    def _copy_to(self, copy: Path) -> None:
        if self._journal.head() == 0:
            _ingest(copy, self._journal)
            return
        with self._locked():
            self._update()
            shutil.copyfile(self.path, copy)

    def _update(self) -> int:
        import duckdb

        try:
            return _ingest(self.path, self._journal)
        except (_Outdated, duckdb.Error):
            # The file is an index: whatever is wrong with it, the journal has it all.
            self._delete()
            return _ingest(self.path, self._journal)

    def _refuse_if_held(self) -> None:
        import duckdb

        with contextlib.suppress(duckdb.Error):  # damaged: about to be deleted
            _open(self.path).close()

    def _delete(self) -> None:
        for path in (self.path, self.path.with_name(self.path.name + ".wal")):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        import filelock

        try:
            self._lock.parent.mkdir(exist_ok=True)
            with filelock.FileLock(self._lock, timeout=_PATIENCE):
                yield
        except filelock.Timeout as error:
            raise CatalogBusy(
                "another lineal has been bringing the catalog up to date for a minute",
                where=str(self._lock),
            ) from error
        except PermissionError as error:
            raise CatalogBusy("the catalog can't be written", where=str(self.path)) from error


def add_view(
    connection: duckdb.DuckDBPyConnection,
    names: Sequence[tuple[str | None, str]],
    paths: Sequence[str],
) -> None:
    """Show Parquet files as one view under each of the (schema or None, name) given."""
    files = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    for schema, name in names:
        if schema is not None:
            connection.execute(f"create schema if not exists {_quoted(schema)}")
        view = _quoted(name) if schema is None else f"{_quoted(schema)}.{_quoted(name)}"
        connection.execute(f"create or replace view {view} as from read_parquet([{files}])")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


# --------------------------------------------------------------------------------- the DuckDB file


def _open(path: Path) -> duckdb.DuckDBPyConnection:
    """The file attached for writing, made if it is not there. Raises CatalogBusy."""
    import duckdb

    connection = duckdb.connect(":memory:")
    try:
        connection.execute(
            f"attach {_text(path)} as {_DATABASE} (storage_version '{_STORAGE_VERSION}')"
        )
        connection.execute(f"use {_DATABASE}")
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


def is_damage(error: duckdb.Error) -> bool:
    """Did a question meet a damaged block of the catalog? `rebuild` mends it."""
    message = str(error)
    return "Corrupt database file" in message or "Failed to deserialize" in message


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


def _questions(path: Path, spill: Path) -> duckdb.DuckDBPyConnection:
    import duckdb

    connection = duckdb.connect(":memory:")
    connection.execute(f"set temp_directory = {_text(spill)}")
    connection.execute(f"attach {_text(path)} as {_DATABASE} (read_only)")
    # `memory` could be the first segment of an asset's name; `_views` could not.
    connection.execute("attach ':memory:' as _views")
    connection.execute("use _views")
    connection.execute("detach memory")
    connection.execute(f"set search_path = '_views.main,{_DATABASE}.lineage'")
    return connection


# ---------------------------------------------------------------------------------------- ingestion


def _ingest(path: Path, journal: Journal) -> int:
    """One transaction: what the journal holds beyond the file, and the number ingested through."""
    with contextlib.closing(_open(path)) as connection:
        connection.execute("begin")
        known = connection.execute(
            "select 1 from duckdb_schemas() where schema_name = 'lineage' and database_name = ?",
            [_DATABASE],
        ).fetchall()
        if not known:
            _create(connection)
        after, digest = _ingested(connection, path, journal)
        through, digest = _insert_entries(connection, journal, after, digest)
        if through == after and known:
            connection.execute("rollback")
            return through
        for statement in _statements("after"):
            connection.execute(statement.replace("$after", str(after)))
        connection.execute("update lineage.ingested set entry = ?, digest = ?", [through, digest])
        connection.execute("commit")
        return through


def _create(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("create schema lineage")
    connection.execute(f"use {_DATABASE}.lineage")
    for file in ("tables", "views", "macros"):
        for statement in _statements(file):
            connection.execute(statement)
    connection.execute(
        "insert into lineage.ingested values (?, ?, 0, '')", [SCHEMA_VERSION, _schema_digest()]
    )


def _ingested(
    connection: duckdb.DuckDBPyConnection, path: Path, journal: Journal
) -> tuple[int, str]:
    """Where the file stands; raises _Outdated when it is not about this journal or schema."""
    [(blocks, block_size)] = connection.execute(
        "select total_blocks, block_size from pragma_database_size() where database_name = ?",
        [_DATABASE],
    ).fetchall()
    if path.stat().st_size < blocks * block_size:  # cut short: it would be noticed in mid-question
        raise _Outdated
    [(version, schema, entry, digest)] = connection.execute("from lineage.ingested").fetchall()
    if (version, schema) != (SCHEMA_VERSION, _schema_digest()):
        raise _Outdated
    if entry and not (journal.path(entry).exists() and journal.digest(entry) == digest):
        raise _Outdated
    return entry, digest


def _insert_entries(
    connection: duckdb.DuckDBPyConnection, journal: Journal, after: int, digest: str
) -> tuple[int, str]:
    rows, waiting, through = Rows(), 0, after
    for entry in journal.entries(after, digest or None):
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
        with _batch(connection, table, rows[table]) as batch:
            connection.execute(f"insert into lineage.{table} select * from {batch} b {condition}")
    if ended:
        columns = ("id", "ended_at", "outcome", *OUTCOMES)
        changes = ", ".join(f"{name} = b.{name}" for name in columns[1:])
        with _batch(connection, "run", ended, columns) as batch:
            connection.execute(
                f"update lineage.run set {changes} from {batch} b where run.id = b.id"
            )


@contextlib.contextmanager
def _batch(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    rows: Sequence[tuple[Any, ...]],
    columns: Sequence[str] = (),
) -> Iterator[str]:
    """Rows for one insert, as a SQL expression: by way of JSON, in the types of the table.

    Arrow would be as fast, but the first array made of Python values imports pandas.
    """
    types = dict(
        connection.execute(
            "select column_name, data_type from duckdb_columns() where database_name = ? "
            "and schema_name = 'lineage' and table_name = ? order by column_index",
            [_DATABASE, table],
        ).fetchall()
    )
    names = tuple(columns) or tuple(types)
    lines = [_json_line(dict(zip(names, row, strict=True))) for row in rows]
    typed = ", ".join(f"{name}: '{types[name]}'" for name in names)
    longest = max(16 << 20, 2 * max(map(len, lines)))
    with tempfile.TemporaryDirectory(prefix="lineal-") as folder:
        path = Path(folder) / f"{table}.json"
        path.write_text("\n".join(lines), "ascii")
        yield (
            f"read_json({_text(path)}, format = 'newline_delimited', columns = {{{typed}}}, "
            f"maximum_object_size = {longest})"
        )


def _json_line(row: dict[str, Any]) -> str:
    line = json.dumps(row)
    if "\\ud" in line or "\\u0000" in line:  # half a surrogate pair? a path that is no UTF-8
        line = json.dumps(_printable(row))
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
