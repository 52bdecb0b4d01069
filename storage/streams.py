"""Tables that come in batches: canonical form, digest and Parquet file, a batch at a time.

The first batch decides the columns and their types; a later one with others is an error that names
the column and the batch. Only a column that has been nothing but null takes the type of the first
batch that holds a value in it. Arrow dictionaries are decoded, so theirs may differ from batch to
batch; the categories of pandas and polars are part of a type, so those may not. The content is that
of the same rows returned as one table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from lineal.assets.asset import Contract
from lineal.assets.content import content_digest
from lineal.assets.errors import ContentError
from lineal.assets.records import Column, Content, StoredObject
from lineal.disk import refusals
from lineal.storage.aside import Aside
from lineal.storage.canonical import categories_of, type_text
from lineal.storage.content import BLOCK_ROWS, ColumnDigest
from lineal.storage.contract import (
    SHOWN_KEYS,
    check_part_of_key,
    check_schema,
    columns_of,
    flat_keys,
    is_distinct,
    order_keys,
    plain_table,
    repeated_key,
)
from lineal.storage.formats.choice import TABLE, table_summary
from lineal.storage.formats.parquet import ParquetWriter, read_pieces
from lineal.storage.frames import canonical_value, type_name
from lineal.storage.objects import Objects
from lineal.storage.sorting import Sorter

_COUNT = "\0"  # no column can be called so


def take_in(
    value: Any, contract: Contract, name: str, objects: Objects, memory: int
) -> tuple[Content, StoredObject]:
    """Bring an iterator of batches into canonical form, and stage its file.

    Args:
        value: a RecordBatchReader, or an iterator of record batches and tables of any kind.
        contract: key (checked), order (sorted by) and declared schema (checked).
        name: the output, for messages.
        memory: bytes; a small part of it is held at once.

    Raises:
        ContentError: naming the batch, type or column that can't be stored, or the broken promise.
    """
    try:
        with Aside(objects) as aside:
            return _Stream(contract, objects, aside, memory // 8).take_in(value)
    except ContentError as error:
        message = f"`{name}`: {error.message}"
        raise ContentError(message, where=error.where, advice=error.advice) from error


class _Stream:
    """One table on its way into the store."""

    def __init__(self, contract: Contract, objects: Objects, aside: Aside, budget: int) -> None:
        self._contract = contract
        self._objects = objects
        self._aside = aside
        self._budget = budget
        self._shape = _Shape()

    def take_in(self, value: Any) -> tuple[Content, StoredObject]:
        pieces = self._shape.pieces(value)
        if self._contract.order_by:
            pieces = self._in_order(pieces)
        key = self._contract.primary_key
        checked = _KeyCheck(key, self._shape, self._aside, self._budget) if key else None
        staging = _Staging(self._shape, self._aside)
        for piece in pieces:
            staging.add(piece)
            if checked is not None:
                checked.add(piece)
        check_schema(self._shape.empty, self._contract.schema)
        if checked is not None:
            checked.finish()
        path = staging.finish()
        self._aside.keep(path)
        return staging.content(), self._objects.adopt(path, TABLE)

    def _in_order(self, pieces: Iterator[pa.Table]) -> Iterator[pa.Table]:
        first = next(pieces)
        terms, keys = order_keys(first, self._contract.order_by)
        flat = flat_keys(first, keys)
        names = [name for name, _ in flat]
        if not all(key in flat for key in terms):
            raise _undecided()
        sorter = Sorter(flat, self._shape.fit, self._aside, self._budget)
        sorter.add(first)
        for piece in pieces:
            sorter.add(piece)
        yield self._shape.empty
        before = self._shape.empty
        for piece in sorter.merged():
            if len(flat) < len(keys):
                if not is_distinct(pa.concat_tables([before, piece]), names):
                    raise _undecided()
                before = piece.slice(piece.num_rows - 1)
            yield piece


def _undecided() -> ContentError:
    return ContentError(
        "batches can't be sorted by nested columns, and the others leave rows equal",
        advice="name plain columns in `order_by=` that tell all rows apart, "
        "or yield the batches in order, without `order_by=`",
    )


# -------------------------------------------------------------------------------------- columns


class _Shape:
    """The columns of a stream so far: `empty` is a table without rows that has them."""

    empty: pa.Table

    def pieces(self, value: Any) -> Iterator[pa.Table]:
        """The batches as canonical tables, under the types so far; at least one."""
        known = False
        for number, piece in _tables(value):
            if known:
                self._take(piece, number)
            else:
                self.empty, known = piece.slice(0, 0), True
            yield self.fit(piece)
        if not known:
            raise ContentError(
                "an empty sequence of batches is not a table: nothing says which columns it has",
                advice="yield one batch without rows, or return a `pa.RecordBatchReader`, "
                "which has a schema",
            )

    def fit(self, piece: pa.Table) -> pa.Table:
        """An earlier or later piece under the types of now: nulls get the type of their column."""
        for at, (mine, have) in enumerate(zip(self.empty.schema, piece.schema, strict=True)):
            if pt.is_null(have.type) and not pt.is_null(mine.type):
                column = _nulls(piece.num_rows, self.empty.column(at))
                piece = piece.set_column(at, mine.name, column)
        return piece

    def _take(self, piece: pa.Table, number: int) -> None:
        """Check a later batch, and learn the types of columns that were null alone."""
        if piece.column_names != self.empty.column_names:
            raise ContentError(
                f"batch {number} has the columns {_listed(piece.column_names)}, "
                f"but those before have {_listed(self.empty.column_names)}",
                advice="give every batch the same columns in the same order",
            )
        for at, (mine, its) in enumerate(zip(self.empty.schema, piece.schema, strict=True)):
            if pt.is_null(its.type):
                continue
            if pt.is_null(mine.type):
                self.empty = self.empty.set_column(at, its.name, piece.column(at).slice(0, 0))
            elif mine.type != its.type:
                raise _unlike(its.name, type_text(its.type), type_text(mine.type), number)
            elif pt.is_dictionary(mine.type):
                mine_too = categories_of(self.empty.column(at))
                if not categories_of(piece.column(at)).equals(mine_too):
                    raise _other_categories(its.name, number)


def _unlike(name: str, found: str, first: str, number: int) -> ContentError:
    advice = f"give `{name}` one type in every batch"
    if found == "float64" and "int" in first:
        advice += ': integers with gaps are floats in pandas unless you say `.astype("Int64")`'
    return ContentError(
        f"column `{name}` is {found} in batch {number}, but {first} in those before", advice=advice
    )


def _other_categories(name: str, number: int) -> ContentError:
    return ContentError(
        f"column `{name}` has other categories in batch {number} than in those before",
        advice="give every batch the same ones, `.astype(pd.CategoricalDtype([…]))`, "
        "or make the column text",
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _nulls(rows: int, like: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pt.is_dictionary(like.type):
        return pa.chunked_array([pa.nulls(rows, like.type)])
    places = pa.nulls(rows, pa.int32())
    column = pa.DictionaryArray.from_arrays(places, categories_of(like), ordered=like.type.ordered)
    return pa.chunked_array([column])


def _tables(value: Any) -> Iterator[tuple[int, pa.Table]]:
    """Each batch in canonical form, with its number; before those of a reader, its columns."""
    if isinstance(value, pa.RecordBatchReader):
        yield 0, canonical_value(value.schema.empty_table(), rows=False)
    for number, batch in enumerate(value, 1):
        if isinstance(batch, dict | str | bytes | list | tuple):
            raise ContentError(
                f"batch {number} is a {type_name(batch)}, not a table",
                advice="yield record batches or tables; if it yields rows, return them as a list, "
                "and annotate `-> list[dict]`",
            )
        try:
            yield number, canonical_value(batch, rows=False)
        except ContentError as error:
            raise ContentError(
                f"batch {number}: {error.message}",
                where=error.where,
                advice=error.advice or "yield tables; what is no table is returned as a list",
            ) from error


# ------------------------------------------------------------------------------------- the file


class _Staging:
    """Digests pieces and writes them to a file. Where a type becomes known, a new file begins."""

    def __init__(self, shape: _Shape, aside: Aside) -> None:
        self._shape = shape
        self._aside = aside
        self._rows = 0
        self._digests: list[tuple[str, pa.DataType, ColumnDigest]] = []
        self._paths: list[Path] = []
        self._writer: ParquetWriter | None = None

    def add(self, piece: pa.Table) -> None:
        if self._writer is None or [kind for _, kind, _ in self._digests] != piece.schema.types:
            self._begin(piece.slice(0, 0))
        for (_, _, digest), column in zip(self._digests, piece.columns, strict=True):
            for chunk in column.chunks:
                digest.add(chunk)
        self._rows += piece.num_rows
        self._write([piece])

    def finish(self) -> Path:
        """The file; made of several if types became known on the way."""
        self._end()
        paths, self._paths = self._paths, []
        if len(paths) == 1:
            return paths[0]
        self._new_file(self._shape.empty)
        for path in paths:
            self._write(map(self._shape.fit, read_pieces(path)))
        self._end()
        return self._paths[0]

    def content(self) -> Content:
        columns = tuple(
            Column(name, type_text(kind), digest.done()) for name, kind, digest in self._digests
        )
        return Content(
            content_digest(self._rows, columns),
            TABLE,
            rows=self._rows,
            columns=columns,
            summary=table_summary(self._rows, len(columns)),
        )

    def _begin(self, empty: pa.Table) -> None:
        self._end()
        self._new_file(empty)
        known = {name: (kind, digest) for name, kind, digest in self._digests}
        self._digests = []
        for field, column in zip(empty.schema, empty.columns, strict=True):
            kind, digest = known.get(field.name, (None, None))
            if digest is None or kind != field.type:
                digest = self._digest_of_nulls(column)
            self._digests.append((field.name, field.type, digest))

    def _digest_of_nulls(self, column: pa.ChunkedArray) -> ColumnDigest:
        """The digest of a column that has been null in all rows so far."""
        categories = categories_of(column) if pt.is_dictionary(column.type) else None
        digest = ColumnDigest(column.type, categories)
        for at in range(0, self._rows, BLOCK_ROWS):
            for chunk in _nulls(min(BLOCK_ROWS, self._rows - at), column).chunks:
                digest.add(chunk)
        return digest

    def _new_file(self, empty: pa.Table) -> None:
        path = self._aside.new(TABLE)
        self._paths.append(path)
        self._writer = ParquetWriter(path, empty)

    def _write(self, pieces: Iterable[pa.Table]) -> None:
        writer = self._writer
        if writer is None:
            raise TypeError("no file is being written")
        with refusals(self._paths[-1]):
            for piece in pieces:
                writer.add(piece)

    def _end(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with refusals(self._paths[-1]):
                writer.close()


# --------------------------------------------------------------------------------------- the key


class _KeyCheck:
    """Is every row's key whole, and its own? Sorted outside memory where it has no room."""

    def __init__(self, key: Sequence[str], shape: _Shape, aside: Aside, budget: int) -> None:
        self._key = list(key)
        self._shape = shape
        self._nulls = dict.fromkeys(key, 0)
        self._rows = 0
        keys = [(name, "ascending") for name in key]
        self._sorter = Sorter(keys, lambda table: table, aside, budget)

    def add(self, piece: pa.Table) -> None:
        columns = columns_of(piece, self._key, "the primary key")
        for name, column in zip(self._key, columns, strict=True):
            self._nulls[name] += column.null_count
        self._rows += piece.num_rows
        if not any(self._nulls.values()) and not any(pt.is_nested(c.type) for c in columns):
            self._sorter.add(plain_table(piece, self._key))

    def finish(self) -> None:
        """Raises ContentError when the key is not unique and complete."""
        for name in self._key:
            kind = self._shape.empty.schema.field(name).type
            check_part_of_key(self._key, name, kind, self._nulls[name], self._rows)
        values, rows = 0, 0
        first: list[pa.Table] = []
        for repeated in self._repeated():
            values += repeated.num_rows
            rows += sum(repeated.column(repeated.num_columns - 1).to_pylist())
            if sum(each.num_rows for each in first) < SHOWN_KEYS:
                first.append(repeated.slice(0, SHOWN_KEYS))
        if values:
            shown = pa.concat_tables(first).slice(0, SHOWN_KEYS)
            raise repeated_key(self._shape.empty, self._key, values, rows, shown)

    def _repeated(self) -> Iterator[pa.Table]:
        """The values that several rows have, in order, with their counts."""
        carried: list[pa.Table] = []  # the last value: the next piece may begin with it
        for piece in _parts(self._sorter.merged()):
            ones = piece.append_column(_COUNT, pa.repeat(pa.scalar(1, pa.int64()), len(piece)))
            counts = self._counted(pa.concat_tables([*carried, ones]))
            carried = [counts.slice(len(counts) - 1)]
            yield _several(counts.slice(0, len(counts) - 1))
        for last in carried:
            yield _several(last)

    def _counted(self, rows: pa.Table) -> pa.Table:
        keys = [f"k{place}" for place in range(len(self._key))]
        # Not in threads: the groups then come in the order of their rows.
        grouped = rows.rename_columns([*keys, _COUNT]).group_by(keys, use_threads=False)
        counts = grouped.aggregate([(_COUNT, "sum")]).select([*keys, f"{_COUNT}_sum"])
        return counts.rename_columns([*self._key, _COUNT])


def _parts(pieces: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same rows, few at a time: counting takes many times the memory of what is counted."""
    for piece in pieces:
        for at in range(0, piece.num_rows, BLOCK_ROWS):
            yield piece.slice(at, BLOCK_ROWS)


def _several(counts: pa.Table) -> pa.Table:
    return counts.filter(pc.greater(counts.column(counts.num_columns - 1), 1))
