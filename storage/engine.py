"""Runs SQL assets and ready-made checks in DuckDB, shut off from files, network and settings.

The inputs of a query arrive as Arrow tables, the same from memory and from disk, so a query can't
see where they come from. What a statement may hold is decided by `storage.sql` before it runs; that
nothing else is in reach is DuckDB's own doing: external access is off and the settings are locked.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineal.assets.asset import Check, Contract, Files, Query
from lineal.assets.errors import (
    ContentError,
    InputsChanged,
    QueryError,
    UserCodeError,
    did_you_mean,
)
from lineal.assets.ports import Canonical, Vault, Versions
from lineal.assets.records import Content, Observation
from lineal.storage.audit import audit, judge_value
from lineal.storage.finding import Finding, no_table
from lineal.storage.sql import Queries, SqlFacts, query_error, spellings

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


class Engine:
    """Implements `lineal.assets.ports.Engine`. Threads take turns.

    Args:
        vault: loads the inputs.
        root: the project's folder, which observed paths are relative to.
        temporary: the folder large sorts spill into; None: they don't.
        queries: remembers what is known of the texts.
        threads: of DuckDB; None: as many as there are cores.
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
        doubt: Callable[[Observation], None] | None = None,
    ):
        self._vault = vault
        self._root = root
        self._temporary = temporary
        self._queries = queries or Queries()
        self._threads = threads or os.cpu_count() or 1
        self._doubt = doubt
        self._lock = threading.Lock()
        self._kept: Any = None

    # ------------------------------------------------------------------------------ queries

    def query(
        self,
        query: Query,
        inputs: Mapping[str, Versions],
        parameters: Mapping[str, Any],
        contract: Contract,
    ) -> pa.Table:
        """The result of a SQL asset over its inputs, in the order that DESIGN section 7 gives it.

        Raises:
            QueryError: with the query's own line and a caret, for whatever DuckDB refuses.
            ContentError: for a column that can't be stored, named with the cast that helps.
        """
        import duckdb

        facts = self._queries.describe(query)
        bound = _bound(query, facts, parameters)
        tables = {name: self._vault.load(held, "arrow") for name, held in inputs.items()}
        with self._sandbox(tables, facts) as connection:
            try:
                return _result(connection, query, facts, bound, contract)
            except duckdb.Error as error:
                raise _explained(query, _placed(connection, query, bound, error), tables) from error

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
        with self._sandbox(tables, facts) as connection:
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
        """Read the observed files of a source as one table.

        Raises:
            InputsChanged: a file no longer holds what was observed.
        """
        from lineal.storage.ingest import read_files

        try:
            return read_files(files, observation, self._root)
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
            table = self._vault.load(version, "arrow")
            beside = {name: self._vault.load(held, "arrow") for name, held in others.items()}
        except ContentError as error:
            return [no_table(error) for _ in checks]
        rows = None if previous is None else previous.rows
        with self._sandbox({}, None) as connection:
            return audit(connection, checks, table, beside, rows)

    def judge(self, returned: Callable[[], Any], name: str) -> Finding:
        """What a user's check finds: its answer, or what it raised."""
        try:
            answer = returned()
        except UserCodeError as error:
            return Finding(False, None, error.message)
        return judge_value(answer, name)

    # ---------------------------------------------------------------------------- the sandbox

    @contextlib.contextmanager
    def _sandbox(self, tables: Mapping[str, pa.Table], facts: SqlFacts | None) -> Iterator[Any]:
        """A locked DuckDB that shows these tables, as the query spells them, and nothing else.

        One instance is kept from call to call, because opening one costs more than a small query;
        after any error a new one is opened.
        """
        with self._lock:
            connection, self._kept = self._kept or self._open(), None
            drops: list[str] = []
            try:
                _show(connection, tables, _written(facts), drops)
                yield connection
                for drop in reversed(drops):
                    connection.execute(drop)
                for name in tables:
                    connection.unregister(name)
                self._kept, connection = connection, None
            finally:
                if connection is not None:
                    connection.close()

    def _open(self) -> Any:
        import duckdb

        spill = ""
        if self._temporary is not None:
            # DuckDB lets SQL at its temporary folder: one of its own, with nothing else in it.
            spill = str(self._temporary / f"duckdb-{os.getpid()}-{id(self)}")
        connection = duckdb.connect(
            ":memory:",
            config={
                "threads": self._threads,
                "preserve_insertion_order": True,
                "temp_directory": spill,
                "autoload_known_extensions": False,
                "autoinstall_known_extensions": False,
                "allow_community_extensions": False,
                "python_enable_replacements": False,
            },
        )
        for setting in (
            "set TimeZone = 'UTC'",
            "set enable_external_access = false",
            "set lock_configuration = true",
        ):
            connection.execute(setting)
        return connection


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _written(facts: SqlFacts | None) -> frozenset[str] | None:
    """The spellings a query uses; None when it may use any."""
    if facts is None or facts.opaque:
        return None
    parts = [reference.parts for reference in facts.tables]
    return frozenset(".".join(p[-n:]).casefold() for p in parts for n in (1, 2))


def _show(
    connection: Any,
    tables: Mapping[str, pa.Table],
    written: frozenset[str] | None,
    drops: list[str],
) -> None:
    """Register every table by name, and as views in the other spellings that are written."""
    taken = {name.casefold() for name in tables}
    schemas: set[str] = set()

    def view(name: str, spelt: str) -> None:
        connection.execute(f"create view {spelt} as from main.{_quoted(name)}")
        drops.append(f"drop view {spelt}")

    for name, table in tables.items():
        connection.register(name, table)
        for spelling in spellings(name):
            key = spelling.strip('"').casefold()
            if key in taken or (written is not None and key not in written):
                continue
            taken.add(key)
            schema, dot, leaf = spelling.partition(".")
            if dot and schema.casefold() not in schemas:
                schemas.add(schema.casefold())
                connection.execute(f"create schema {_quoted(schema)}")
                drops.append(f"drop schema {_quoted(schema)}")
            view(name, f"{_quoted(schema)}.{_quoted(leaf)}" if dot else _quoted(spelling))


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


def _explained(query: Query, error: Exception, tables: Mapping[str, pa.Table]) -> QueryError:
    """A DuckDB error with the nearest table, since DuckDB would name its own."""
    text = str(error)
    if "Table with name" not in text:
        return query_error(query, error)
    missing = text.split("Table with name", 1)[1].split()[0].strip('"')
    known = [spelling for name in tables for spelling in spellings(name)]
    advice = f"the query's inputs are {', '.join(f'`{name}`' for name in tables) or 'none'}"
    told = query_error(query, error, advice=advice)
    message = f"there is no table `{missing}`{did_you_mean(missing, known)}"
    return QueryError(message, where=told.where, advice=told.advice, excerpt=told.excerpt)


# ------------------------------------------------------------------------------------ results


def _result(
    connection: Any, query: Query, facts: SqlFacts, bound: dict[str, Any], contract: Contract
) -> pa.Table:
    relation = connection.sql(query.text, params=bound)
    key = _key_of(relation.columns, contract)
    if contract.keep_order:
        return _arrow(relation)
    if facts.order.kind == "ordered":
        return _in_its_order(connection, relation, facts, bound)
    if facts.order.kind == "plain" and not key:
        return _arrow(relation)
    collated = "collate" in facts.normalised.casefold()
    return _arrow(relation.order(_total_order(relation, key, collated)))


def _arrow(relation: Any) -> pa.Table:
    """The canonical Arrow table of a relation; a second column `a` is named `a_1`."""
    from lineal.storage.frames import canonical_value

    if len({name.casefold() for name in relation.columns}) < len(relation.columns):
        relation = relation.project("*")
    return canonical_value(relation, rows=False)


def _key_of(columns: Sequence[str], contract: Contract) -> list[int]:
    """The positions, from 1, of the primary key in a result; none if a part is missing."""
    places = {name.casefold(): place for place, name in enumerate(columns, start=1)}
    found = [places.get(name.casefold(), 0) for name in contract.primary_key]
    return found if all(found) else []


def _total_order(relation: Any, key: Sequence[int], collated: bool) -> str:
    """An ORDER BY of all columns, the key first; equal rows under it are equal in content."""
    names = _different_names(relation)
    rest = [place for place in range(1, len(names) + 1) if place not in key]
    terms = [f"{place} asc nulls last" for place in (*key, *rest)]
    if collated:  # `a` and `A` may compare equal
        texts = [n for n, t in zip(names, relation.types, strict=True) if str(t) == "VARCHAR"]
        terms += [f"encode({_quoted(name)}) asc nulls last" for name in texts]
    return ", ".join(terms)


def _in_its_order(
    connection: Any, relation: Any, facts: SqlFacts, bound: dict[str, Any]
) -> pa.Table:
    """The rows as ordered; rows that its ORDER BY leaves equal come in the order of all columns."""
    import duckdb

    width, order = len(relation.columns), facts.order
    if order.extended:
        try:
            longer = _arrow(connection.sql(order.extended, params=bound))
        except (duckdb.Error, ContentError):
            return _arrow(relation)  # an order that can't be seen: as DuckDB gives it
        table = longer.select(range(width)).rename_columns(_different_names(relation))
        return _ties_broken(connection, table, longer.columns[width:])
    table = _arrow(relation)
    if "*" in order.keys:
        return table
    names = [name.casefold() for name in table.column_names]
    places = [
        key - 1 if isinstance(key, int) else _only(names, str(key).casefold()) for key in order.keys
    ]
    if not places or any(place is None or not 0 <= place < width for place in places):
        return table
    return _ties_broken(connection, table, [table.column(place) for place in places])


def _different_names(relation: Any) -> list[str]:
    """The columns of a relation as DuckDB tells equal names apart: `a`, `a_1`."""
    names: list[str] = relation.order("1").columns
    return names


def _only(names: Sequence[str], wanted: str) -> int | None:
    return names.index(wanted) if names.count(wanted) == 1 else None


def _ties_broken(connection: Any, table: pa.Table, keys: Sequence[pa.ChunkedArray]) -> pa.Table:
    """A table sorted by `keys`, with each run of equal keys sorted by all columns."""
    import pyarrow as pa

    if table.num_rows < 2:
        return table
    own = [f"k{i}" for i in range(len(keys))]
    named = pa.table([*keys, *table.columns], [*own, *(f"c{i}" for i in range(table.num_columns))])
    named = named.append_column("place", pa.array(range(table.num_rows)))
    connection.register("lineal rows", named)
    try:
        group = ", ".join(own)
        twice = f'select 1 from "lineal rows" group by {group} having count(*) > 1 limit 1'
        if not connection.sql(twice).fetchall():
            return table
        every = ", ".join(f"c{i} asc nulls last" for i in range(table.num_columns))
        places = connection.sql(
            f"with island as (select *, place - row_number() over (partition by {group} order by"
            ' place) as shift from "lineal rows"), run as (select *, min(place) over (partition by'
            f" {group}, shift) as first from island) select place from run order by first, {every}"
        ).to_arrow_table()
    finally:
        connection.unregister("lineal rows")
    return table.take(places.column(0))
