"""The catalog: a DuckDB file with schema `lineage`, an index of the journal for people's questions.

It may be deleted at any time. It is opened for one short transaction and closed; questions are
asked of a private copy, so that nobody ever holds it and a long session keeps no one out. Between
its changes a seal beside it says what it holds: one that holds anything else is built anew.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lineal.assets.errors import StoreError
from lineal.disk import SealState, advice_for, break_seal, seal, seal_of, state_of_seal
from lineal.lineage.catalog_file import (
    DATABASE,
    CatalogBusy,
    Outdated,
    PlanRow,
    add_plan,
    first_difference,
    ingest,
    open_file,
    quoted_path,
    stands_at,
)
from lineal.lineage.journal import Journal

if TYPE_CHECKING:
    import duckdb

__all__ = ["Catalog", "CatalogBusy", "add_empty_view", "add_view"]

_PATIENCE = 60  # seconds for another lineal to finish its transaction


class Catalog:
    """The file `<root>/catalog.duckdb`; `root` is the store's folder."""

    def __init__(self, root: Path, journal: Journal):
        self.path = Path(root) / "catalog.duckdb"
        self._lock = Path(root) / "locks" / "catalog.lock"
        self._log = self.path.with_name(self.path.name + ".wal")  # DuckDB's own, while it is open
        self._journal = journal
        self._disk = journal.disk

    def bring_up_to_date(self) -> int:
        """Take in what is new in the journal, in one transaction; the number it now stands at.

        A missing, damaged or outdated file is built anew. Raises CatalogBusy saying who holds it.
        """
        if self._journal.head() == 0:
            return 0
        with self._locked():
            return self._update()[0]

    def rebuild(self) -> int:
        """Build the file anew from the journal; the number it then stands at."""
        if self._journal.head() == 0:
            return 0
        with self._locked():
            self._delete()
            return self._take_in()

    def connect_for_questions(
        self, plan: Sequence[PlanRow] | None = None
    ) -> tuple[duckdb.DuckDBPyConnection, str | None]:
        """A connection that sees `lineage.*` read-only, and a place for views.

        Views made by `add_view` come first in the search path, then the lineage tables. The second
        value says that the file was damaged, or why the answer comes from a copy built from the
        journal, if it does. A plan is shown as `lineage.plan`: it is no part of the file.
        """
        note = None
        folder = Path(tempfile.mkdtemp(prefix="lineal-"))
        copy = folder / "catalog.duckdb"
        try:
            try:
                note = self._copy_to(copy)
            except CatalogBusy as busy:
                note = f"{busy.message}; answered from a copy built from the journal"
                copy.unlink(missing_ok=True)
                _lay_out(copy, self._journal)
            if plan is not None:
                add_plan(copy, plan)
            return _questions(copy, folder), note
        finally:
            # The open file lives on without its name; elsewhere the system's cleaning takes it.
            shutil.rmtree(folder, ignore_errors=True)

    def behind(self) -> int | None:
        """How many entries of the journal the file has not taken in; None if there is no file.

        All of them when it is not sealed. Changes nothing.
        """
        with tempfile.TemporaryDirectory(prefix="lineal-") as folder:
            copy = Path(folder) / "copy.duckdb"
            state = self._look(copy)
            if state is None:
                return None
            through = 0
            if state == "whole":
                with contextlib.suppress(Outdated):
                    through, _ = stands_at(copy, self._journal)
            return self._journal.head() - through

    def damage(self) -> str | None:
        """What is wrong with the file, in a sentence; None if it is whole, open or missing.

        Changes nothing. Raises IntegrityError when the journal does not hold together.
        """
        with tempfile.TemporaryDirectory(prefix="lineal-") as folder:
            copy, fresh = Path(folder) / "copy.duckdb", Path(folder) / "fresh.duckdb"
            state = self._look(copy)
            if state == "damaged":
                return f"`{self.path}` is not what was written"
            if state != "whole":
                return None
            try:
                through, _ = stands_at(copy, self._journal)
            except Outdated:  # of another journal, or another lineal: nobody believes it
                return None
            ingest(fresh, self._journal, through)
            table = first_difference(copy, fresh)
        if table is None:
            return None
        return f"`{self.path}`: `lineage.{table}` is not what entries 1 to {through} say"

    # ------------------------------------------------------------------------------------- within

    def _look(self, copy: Path) -> SealState | None:
        """Copy the file, if there is one: is the copy whole?"""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(CatalogBusy):  # then without the lock
                stack.enter_context(self._locked())
            try:
                shutil.copyfile(self.path, copy)
            except FileNotFoundError:
                return None
            return "open" if self._log.exists() else state_of_seal(self.path, copy)

    def _copy_to(self, copy: Path) -> str | None:
        """A copy that holds all of the journal; a note if the file was damaged."""
        if self._journal.head() == 0:
            _lay_out(copy, self._journal)
            return None
        with self._locked():
            if self._is_copied(copy):
                return None
            _, state = self._update()
            shutil.copyfile(self.path, copy)
            if state_of_seal(self.path, copy) == "damaged":
                raise CatalogBusy("the catalog changed while it was read", where=str(self.path))
        if state != "damaged":
            return None
        return "the catalog was damaged, or changed by another program: it was made anew"

    def _is_copied(self, copy: Path) -> bool:
        """Copy the file; does the copy hold all of the journal? Its bytes are looked at once."""
        import duckdb

        try:
            shutil.copyfile(self.path, copy)
        except FileNotFoundError:
            return False
        if self._log.exists() or state_of_seal(self.path, copy) != "whole":
            return False
        try:
            through, _ = stands_at(copy, self._journal)
        except (Outdated, duckdb.Error):
            return False
        return through == self._journal.head(through)

    def _update(self) -> tuple[int, SealState]:
        """The number the file now stands at, and how it was found."""
        import duckdb

        state: SealState = "open" if self._log.exists() else state_of_seal(self.path)
        if state != "whole":
            self._delete()
            return self._take_in(), state
        try:
            through, _ = stands_at(self.path, self._journal)
        except (Outdated, duckdb.Error):
            # The file is an index: whatever is wrong with it, the journal has it all.
            self._delete()
            return self._take_in(), state
        return through if through == self._journal.head(through) else self._take_in(), state

    def _take_in(self) -> int:
        import duckdb

        break_seal(self.path, self._disk)
        try:
            through = ingest(self.path, self._journal)
        except duckdb.Error as error:  # the disk is full, say
            raise CatalogBusy(
                f"the catalog can't be brought up to date: {str(error).splitlines()[0]}",
                where=str(self.path),
            ) from error
        seal(self.path, self._disk)
        return through

    def _delete(self) -> None:
        """Raises CatalogBusy if another program holds the file."""
        import duckdb

        if self.path.exists():
            with contextlib.suppress(duckdb.Error):  # damaged: about to be deleted
                open_file(self.path).close()
        for path in (Path(seal_of(self.path)), self.path, self._log):
            with contextlib.suppress(FileNotFoundError):
                self._disk.unlink(path)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        import filelock

        try:
            self._disk.make_folders(self._lock.parent)
            with filelock.FileLock(self._lock, timeout=_PATIENCE):
                yield
        except filelock.Timeout as error:
            raise CatalogBusy(
                "another lineal has been bringing the catalog up to date for a minute",
                where=str(self._lock),
            ) from error
        except OSError as error:
            raise CatalogBusy(
                f"the catalog can't be brought up to date: {error.strerror or error}",
                where=str(error.filename or self.path),
                advice=advice_for(error),
            ) from error


def add_view(
    connection: duckdb.DuckDBPyConnection,
    names: Sequence[tuple[str | None, str]],
    paths: Sequence[str],
) -> None:
    """Show Parquet files as one view under each of the (schema or None, name) given.

    Rows come file by file. Of several files each column of any is shown, null where one lacks it.
    """
    files = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    by_name = ", union_by_name = true" if len(paths) > 1 else ""
    _add_views(connection, names, f"from read_parquet([{files}]{by_name})")


def add_empty_view(
    connection: duckdb.DuckDBPyConnection, names: Sequence[tuple[str | None, str]]
) -> None:
    """Names of views, where nobody asks what they hold."""
    _add_views(connection, names, "select null as unread where false")


def _add_views(
    connection: duckdb.DuckDBPyConnection, names: Sequence[tuple[str | None, str]], query: str
) -> None:
    for schema, name in names:
        if schema is not None:
            connection.execute(f"create schema if not exists {_quoted(schema)}")
        view = _quoted(name) if schema is None else f"{_quoted(schema)}.{_quoted(name)}"
        connection.execute(f"create or replace view {view} as {query}")


def _lay_out(copy: Path, journal: Journal) -> None:
    """Build a private copy from the journal."""
    import duckdb

    try:
        ingest(copy, journal)
    except duckdb.Error as error:
        raise StoreError(
            f"the lineage can't be laid out for questions: {str(error).splitlines()[0]}",
            where=str(copy),
            advice="make room there, or set TMPDIR to a folder with room",
        ) from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _questions(path: Path, spill: Path) -> duckdb.DuckDBPyConnection:
    import duckdb

    # Or it would take a variable of ours for a table of that name.
    connection = duckdb.connect(":memory:", config={"python_enable_replacements": False})
    connection.execute(f"set temp_directory = {quoted_path(spill)}")
    connection.execute(f"attach {quoted_path(path)} as {DATABASE} (read_only)")
    # `memory` could be the first segment of an asset's name; `_views` could not.
    connection.execute("attach ':memory:' as _views")
    connection.execute("use _views")
    connection.execute("detach memory")
    connection.execute(f"set search_path = '_views.main,{DATABASE}.lineage'")
    return connection
