"""Runs SQL assets and ready-made checks in DuckDB, shut off from files, network and settings.

The inputs of a query arrive as Arrow tables, the same from memory and from disk, so a query can't
see where they come from. What a statement may hold is decided by `storage.sql` before it runs; that
nothing else is in reach is DuckDB's own doing: external access is off and the settings are locked.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineal.assets.asset import Check, Contract, Files, Query
from lineal.assets.checks import PREVIOUS
from lineal.assets.errors import (
    ContentError,
    InputsChanged,
    QueryError,
    UserCodeError,
    did_you_mean,
)
from lineal.assets.ports import Canonical, Sight, Versions
from lineal.assets.records import Content, Observation
from lineal.storage.audit import BEFORE, audit, judge_value
from lineal.storage.finding import Finding, no_table
from lineal.storage.memory import quarter, threads_in
from lineal.storage.sandbox import Rows, Sandbox, Shaped, Shown, StoredTable, are_large, bare
from lineal.storage.sql import Queries, SqlFacts, query_error, spellings
from lineal.storage.sql_text import reads_as
from lineal.storage.vault import HeldFiles, Vault

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_EVERYTHING: Mapping[str, Sight] = {}
_ALL = Sight()
_NO_COLUMN = re.compile(r'Values list "(.+)" does not have a column named "(.+)"')
_SHOWN = 8  # columns


class Engine:
    """Implements `lineal.assets.ports.Engine`. Threads take turns.

    Args:
        vault: loads the inputs.
        root: the project's folder, which observed paths are relative to.
        temporary: the folder large sorts spill into; None: they don't.
        queries: remembers what is known of the texts.
        threads: of DuckDB; None: as many as there are cores, and as have room.
        memory: bytes that DuckDB may use before it spills; None: a quarter of the machine's.
        large: bytes from which on a table is read from its file, and a result comes in pieces;
            None: an eighth of the memory.
        doubt: hears of files that don't hold what they were observed with.
    """

    def __init__(
        self,
        vault: Vault,
        root: Path,
        *,
        temporary: Path | None = None,
        queries: Queries | None = None,
        threads: int | None = None,
        memory: int | None = None,
        large: int | None = None,
        doubt: Callable[[Observation], None] | None = None,
    ):
        self._vault = vault
        self._root = root
        self._queries = queries or Queries()
        self._doubt = doubt
        memory = quarter() if memory is None else memory
        self._large = memory // 8 if large is None else large
        self._sandbox = Sandbox(temporary, threads or threads_in(memory), memory)

    # ------------------------------------------------------------------------------ queries

    def query(
        self,
        query: Query,
        inputs: Mapping[str, Versions],
        parameters: Mapping[str, Any],
        contract: Contract,
        sights: Mapping[str, Sight] = _EVERYTHING,
    ) -> pa.Table | Iterator[pa.Table]:
        """The result of a SQL asset over its inputs, in the order that DESIGN section 7 gives it.

        A large one comes in pieces; until they are read, or forgotten, other queries wait.

        Raises:
            QueryError: with the query's own line and a caret, for whatever DuckDB refuses.
            ContentError: for a column that can't be stored, named with the cast that helps.
        """
        import duckdb

        from lineal.storage.aside import Aside
        from lineal.storage.sql_result import Room, result

        facts = self._queries.describe(query)
        bound = _bound(query, facts, parameters)
        tables = {n: self._seen(held, sights.get(n, _ALL)) for n, held in inputs.items()}
        with contextlib.ExitStack() as held:
            connection = held.enter_context(self._sandbox.showing(tables, facts, query.macros))
            room = Room(self._large, held.enter_context(Aside(self._vault.objects)))
            try:
                found = result(connection, query, facts, bound, contract, room)
            except duckdb.Error as error:
                raise _explained(query, _placed(connection, query, bound, error), tables) from error
            if isinstance(found, Iterator):
                found = _streaming(found, held.pop_all(), query)
                next(found)
            return found

    def _seen(self, held: Versions, sight: Sight) -> Shown:
        """A version as one query sees it: no more than the columns that it was found to read."""
        if sight.columns is None:
            return self._shown(held)
        known = [each if isinstance(each, Content) else each.content for each in _parts(held)]
        if sight.columns:
            rows = self._shown(held, sight.columns)
        else:
            rows = bare(sum(each.rows or 0 for each in known))
        if not sight.shape:
            return rows
        from lineal.storage.type_texts import empty_table

        return Shaped(rows, empty_table([column[:2] for column in known[0].columns]))

    def _shown(self, held: Versions, columns: Sequence[str] | None = None) -> Rows:
        """A version as queries see it: its files, where it is too large to be held."""
        parts = _parts(held)
        known = [self._known(each) for each in parts]
        if known and are_large(known, self._large):
            paths = [self._vault.load(each, "path") for each in parts]
            return StoredTable.of(known, paths, columns)
        table: pa.Table = self._vault.load(held, "arrow", columns)
        return table

    def _known(self, held: Content | Canonical) -> Content:
        if isinstance(held, HeldFiles):
            return self._vault.write(held)  # it is in a file already
        return held if isinstance(held, Content) else held.content

    def bind(
        self, query: Query, schemas: Mapping[str, pa.Schema], parameters: Mapping[str, Any]
    ) -> pa.Schema | None:
        """The schema a query would give over inputs of these schemas, before anything runs.

        None for a statement whose columns depend on the data. Raises QueryError as `query` does.
        """
        import duckdb

        facts = self._queries.describe(query)
        bound = _bound(query, facts, parameters)
        tables = {name: schema.empty_table() for name, schema in schemas.items()}
        with self._sandbox.showing(tables, facts, query.macros) as connection:
            try:
                (statement,) = connection.extract_statements(query.text)
                if statement.type.name != "SELECT":
                    return None
                relation = connection.sql(query.text, params=bound)
                return relation.limit(0).to_arrow_table().schema
            except duckdb.Error as error:
                raise _explained(query, _placed(connection, query, bound, error), tables) from error

    # ----------------------------------------------------------------------- files and checks

    def ingest(self, files: Files, observation: Observation) -> Any:
        """Read the observed files of a source as one table; large ones in pieces.

        Raises:
            InputsChanged: a file no longer holds what was observed.
        """
        from lineal.storage.ingest import read_files

        try:
            return read_files(files, observation, self._root, self._vault.objects)
        except InputsChanged:
            if self._doubt is not None:
                self._doubt(observation)
            raise

    def audit(
        self,
        checks: Sequence[Check],
        version: Content | Canonical,
        others: Mapping[str, Versions],
        previous: Content | None,
    ) -> list[Finding]:
        """What each ready-made check finds: one scan for all, one more look for each failure."""
        try:
            table = self._shown(version)
            # Of a table without partitions yet there is nothing to show.
            there = {name: held for name, held in others.items() if _parts(held)}
            if previous is not None and self._compared(checks, version, previous):
                there[BEFORE] = previous
            beside = {name: self._shown(held) for name, held in there.items()}
        except ContentError as error:
            return [no_table(error) for _ in checks]
        rows = None if previous is None else previous.rows
        with self._sandbox.reading([table, *beside.values()]) as connection:
            return audit(connection, checks, table, beside, rows)

    def _compared(
        self, checks: Sequence[Check], version: Content | Canonical, previous: Content
    ) -> bool:
        """Does a check look into what was current before? A version is not compared with itself."""
        content = version if isinstance(version, Content) else version.content
        asked = any(dict(c.rule[1]).get("reference") == PREVIOUS for c in checks if c.rule)
        return asked and content.digest != previous.digest

    def judge(self, returned: Callable[[], Any], name: str) -> Finding:
        """What a user's check finds: its answer, or what it raised."""
        try:
            answer = returned()
        except UserCodeError as error:
            return Finding(False, None, error.message)
        return judge_value(answer, name)


def _parts(held: Versions) -> tuple[Content | Canonical, ...]:
    return tuple(held.values()) if isinstance(held, Mapping) else (held,)


def _streaming(
    pieces: Iterator[pa.Table], held: contextlib.ExitStack, query: Query
) -> Iterator[Any]:
    """The pieces of a result. Holds what they are read from until the last, or until it is closed:
    its first item is nothing, asked for at once, as what never began is never closed.
    """
    import duckdb

    with held:
        yield None
        try:
            yield from pieces
        except duckdb.Error as error:
            raise _told(query, error) from error


def _told(query: Query, error: Exception) -> QueryError:
    """A DuckDB error, at the query's own line; the settings it would have changed are locked."""
    if "Out of Memory Error" not in str(error):
        return query_error(query, error)
    return query_error(query, error, advice='give the run more: `[run] memory = "8GB"`')


def _bound(query: Query, facts: SqlFacts, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the query's own parameters."""
    for name in facts.parameters:
        if name not in parameters:
            known = ", ".join(f"`{p}`" for p in sorted(parameters)) or "none"
            raise QueryError(
                f"the query has a parameter `${name}` without a value"
                f"{did_you_mean(name, parameters)}",
                where=str(query.where),
                advice=f"declare it: parameters={{{name!r}: …}}; declared: {known}",
            )
    return {name: parameters[name] for name in facts.parameters}


def _placed(
    connection: Any, query: Query, bound: dict[str, Any], error: duckdb.Error
) -> duckdb.Error:
    """The same error with its line: DuckDB leaves it out where a relation is bound."""
    import duckdb

    if not isinstance(error, duckdb.BinderException | duckdb.CatalogException):
        return error
    try:
        connection.execute(query.text, bound)
    except duckdb.Error as again:
        return again
    return error


def _explained(query: Query, error: Exception, tables: Mapping[str, Shown]) -> QueryError:
    """A DuckDB error with the nearest table or column, where DuckDB would name its own or none."""
    text = str(error)
    absent = _NO_COLUMN.search(text)
    if absent is not None:
        known = _columns(query, absent[1], tables)
        near = did_you_mean(absent[2], known)
        some = ", ".join(known[:_SHOWN]) + (", …" if known[_SHOWN:] else "")
        told = query_error(query, error, advice=f"it has {some}" if known and not near else None)
        lack = f"`{absent[1]}` has no column `{absent[2]}`{near}"
        message = told.message.replace(absent[0], lack)  # it may say that a macro does
        return QueryError(message, where=told.where, advice=told.advice, excerpt=told.excerpt)
    if "Table with name" not in text:
        return _told(query, error)
    missing = text.split("Table with name", 1)[1].split()[0].strip('"')
    known = [spelling for name in tables for spelling in spellings(name)]
    advice = f"the query's inputs are {', '.join(f'`{name}`' for name in tables) or 'none'}"
    told = query_error(query, error, advice=advice)
    message = f"there is no table `{missing}`{did_you_mean(missing, known)}"
    return QueryError(message, where=told.where, advice=told.advice, excerpt=told.excerpt)


def _columns(query: Query, alias: str, tables: Mapping[str, Shown]) -> list[str]:
    """The columns of the one input that a query calls by this name; none if it can't be told."""
    found = {
        name for name in tables for spelling in spellings(name) if reads_as(query, spelling, alias)
    }
    if len(found) != 1:
        return []
    shown = tables[found.pop()]
    return list(shown.empty.column_names if isinstance(shown, Shaped) else shown.column_names)
