"""The rows of a query's result in the order that makes them the same in every run.

A result that is large comes in pieces and is never held whole: DuckDB sorts it outside memory, and
what has to be looked at twice is set aside in `tmp/`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

import duckdb
import pyarrow as pa

from lineal.assets.asset import Contract, Query
from lineal.assets.errors import ContentError
from lineal.storage.aside import Aside, read_aside
from lineal.storage.frames import bigint_for_hugeint, canonical_value, hugeint_columns
from lineal.storage.sandbox import quoted
from lineal.storage.sql import SqlFacts

_BATCH_ROWS = 1 << 16

Rows: TypeAlias = "pa.Table | Iterator[pa.Table]"


class Room(NamedTuple):
    """What a result may take."""

    most: int  # bytes of a table in memory
    aside: Aside


def result(
    connection: Any,
    query: Query,
    facts: SqlFacts,
    bound: dict[str, Any],
    contract: Contract,
    room: Room,
) -> Rows:
    """The canonical rows of a query, in one table or, if that would be large, in pieces.

    Raises:
        duckdb.Error: whatever DuckDB refuses; of a large result, as its pieces are read.
    """
    relation = connection.sql(query.text, params=bound)
    key = _key_of(relation.columns, contract)
    if contract.keep_order or contract.order_by:  # by which it will be sorted
        return _fetched(relation, room)
    if facts.order.kind == "ordered":
        return _in_its_order(connection, relation, facts, bound, room)
    if facts.order.kind == "plain" and not key:
        return _fetched(relation, room)
    texts = (facts.normalised, *(macro.text for macro in query.macros))
    collated = any("collate" in text.casefold() for text in texts)
    return _fetched(relation.order(_total_order(relation, key, collated)), room)


def _fetched(relation: Any, room: Room) -> Rows:
    """The canonical rows of a relation; a second column `a` is named `a_1`."""
    if _has_twins(relation):
        relation = relation.project("*")
    huge = hugeint_columns(relation)
    reader = relation.to_arrow_reader(_BATCH_ROWS)
    batches, held, size = _batches(reader), [], 0
    for batch in batches:
        held.append(batch)
        size += batch.nbytes
        if size > room.most:
            return (
                _canonical(pa.Table.from_batches([each]), huge) for each in chain(held, batches)
            )
    return _canonical(pa.Table.from_batches(held, reader.schema), huge)


def _batches(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    try:
        yield from reader
    except (pa.ArrowException, OSError) as error:  # DuckDB's own, as Arrow passes it on
        raise duckdb.Error(str(error)) from error


def _canonical(table: pa.Table, huge: Sequence[str]) -> pa.Table:
    return canonical_value(bigint_for_hugeint(table, huge), rows=False)


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
        terms += [f"encode({quoted(name)}) asc nulls last" for name in texts]
    return ", ".join(terms)


def _in_its_order(
    connection: Any, relation: Any, facts: SqlFacts, bound: dict[str, Any], room: Room
) -> Rows:
    """The rows as ordered; rows that its ORDER BY leaves equal come in the order of all columns."""
    order, names = facts.order, _different_names(relation)
    if order.extended:
        try:
            longer = _fetched(connection.sql(order.extended, params=bound), room)
        except (duckdb.Error, ContentError):
            return _fetched(relation, room)  # an order that can't be seen: as DuckDB gives it
        return _ties_broken(connection, longer, names, None, room)
    alike = [name.casefold() for name in names]
    places = [
        key - 1 if isinstance(key, int) else _only(alike, str(key).casefold()) for key in order.keys
    ]
    known = [place for place in places if place is not None and 0 <= place < len(names)]
    rows = _fetched(relation, room)
    if "*" in order.keys or not places or len(known) < len(places):
        return rows
    return _ties_broken(connection, rows, names, known, room)


def _ties_broken(
    connection: Any, rows: Rows, names: Sequence[str], keys: Sequence[int] | None, room: Room
) -> Rows:
    """Rows sorted by the columns at `keys`, with each run of equal keys sorted by all columns.

    Without `keys` they are the columns behind those that are named, which are left out.
    """
    width = len(names)
    if not isinstance(rows, pa.Table):
        return _ties_broken_aside(connection, rows, names, keys, room.aside)
    table = rows.select(range(width)).rename_columns(list(names))
    places = range(width, rows.num_columns) if keys is None else keys
    return _ties_broken_here(connection, table, [rows.column(place) for place in places])


def _ties_broken_aside(
    connection: Any,
    rows: Iterator[pa.Table],
    names: Sequence[str],
    keys: Sequence[int] | None,
    aside: Aside,
) -> Iterator[pa.Table]:
    """The same for rows that don't fit in memory: set aside, marked where a run begins, sorted."""
    first = next(rows)
    kinds = first.schema.types
    columns = [f"c{place}" for place in range(len(kinds))]
    schema = pa.schema(list(zip(columns, kinds, strict=True)))
    path = aside.put((each.rename_columns(columns) for each in chain([first], rows)), schema)
    width = len(names)
    places = range(width, len(kinds)) if keys is None else keys
    other = " or ".join(f"c{place} is distinct from lag(c{place}) over ()" for place in places)
    marked = f'select *, row_number() over () = 1 or {other} as fresh from "lineal rows"'

    def asked(text: str) -> Any:
        batches = (batch for piece in read_aside(path) for batch in piece.to_batches())
        connection.register("lineal rows", pa.RecordBatchReader.from_batches(schema, batches))
        return connection.sql(text)

    ((ties,),) = asked(f"select count(*) from ({marked}) where not fresh").fetchall()
    own = ", ".join(columns[:width])
    if not ties:
        pieces = (each.select(range(width)) for each in read_aside(path))
    else:
        every = ", ".join(f"{column} asc nulls last" for column in columns[:width])
        number = "sum(fresh::bigint) over (rows unbounded preceding) as run"
        ordered = asked(
            f"select {own} from (select *, {number} from ({marked})) order by run, {every}"
        )
        found = _batches(ordered.to_arrow_reader(_BATCH_ROWS))
        pieces = (_canonical(pa.Table.from_batches([each]), ()) for each in found)
    narrow = pa.schema([(name, kinds[place]) for place, name in enumerate(names)])
    for piece in pieces:
        yield piece.rename_columns(list(names)).cast(narrow)


def _different_names(relation: Any) -> list[str]:
    """The columns of a relation as DuckDB tells equal names apart: `a`, `a_1`."""
    names: list[str] = relation.order("1").columns if _has_twins(relation) else relation.columns
    return names


def _has_twins(relation: Any) -> bool:
    return len({name.casefold() for name in relation.columns}) < len(relation.columns)


def _only(names: Sequence[str], wanted: str) -> int | None:
    return names.index(wanted) if names.count(wanted) == 1 else None


def _ties_broken_here(
    connection: Any, table: pa.Table, keys: Sequence[pa.ChunkedArray]
) -> pa.Table:
    """A table sorted by `keys`, with each run of equal keys sorted by all columns."""
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
