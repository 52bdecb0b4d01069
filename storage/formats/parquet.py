"""Canonical tables as Parquet files that any tool reads, and back without a difference.

Categoricals are stored as their values. Their category list, order and orderedness, which Parquet
has no place for, are in the file's metadata under `lineal.categories`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pt

from lineal.assets.errors import IntegrityError
from lineal.storage.canonical import categories_of, with_canonical_type

_CATEGORIES = b"lineal.categories"
_GRID = 1 << 16  # rows: where a row group may end
_GROUP_ROWS = 1 << 20
_GROUP_BYTES = 1 << 26
_SAMPLE_ROWS = 50_000
_FEW = 0.1  # a dictionary pays when at most this part of a sample is distinct


def write_parquet(table: pa.Table, path: str | Path) -> None:
    """Write a canonical table to a path that nobody reads yet."""
    with ParquetWriter(path, table.slice(0, 0)) as writer:
        writer.add(table)


class ParquetWriter:
    """Writes a canonical table that comes in pieces: the same file however it is cut.

    A row group ends on a fixed grid of rows: where it has 1,048,576 rows, or 64 MB in memory.

    Args:
        path: nobody reads it yet.
        empty: a table without rows that has the columns, and the categories of categoricals.
    """

    def __init__(self, path: str | Path, empty: pa.Table) -> None:
        self._path = path
        self._empty = empty
        self._held: list[pa.Table] = []  # of the row group that is being filled
        self._rows = 0  # of the group, up to the last place on the grid
        self._bytes = 0
        self._over: list[pa.Table] = []  # behind that place
        self._over_rows = 0
        self._file: pq.ParquetWriter | None = None

    def __enter__(self) -> ParquetWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        elif self._file is not None:
            self._file.close()

    def close(self) -> None:
        """Write what is left, and the end of the file."""
        self._held += self._over
        try:
            self._write_group()
        finally:
            if self._file is not None:
                self._file.close()

    def add(self, piece: pa.Table) -> None:
        """The next rows."""
        at = 0
        while at < piece.num_rows:
            part = piece.slice(at, _GRID - self._over_rows)
            self._over.append(part)
            self._over_rows += part.num_rows
            at += part.num_rows
            if self._over_rows == _GRID:
                self._end_block()

    def _end_block(self) -> None:
        block = pa.concat_tables(self._over).combine_chunks()
        self._over, self._over_rows = [], 0
        self._held.append(block)
        self._rows += block.num_rows
        self._bytes += block.nbytes
        if self._rows >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        """Write what is held; a table without rows has no group, but a file nevertheless."""
        group = pa.concat_tables(self._held or [self._empty])
        self._held, self._rows, self._bytes = [], 0, 0
        if self._file is not None and group.num_rows == 0:
            return
        stored, categories = _without_categoricals(group)
        if categories:
            metadata = {_CATEGORIES: json.dumps(categories, ensure_ascii=False).encode()}
            stored = stored.replace_schema_metadata(metadata)
        if self._file is None:
            few = [*_repetitive(stored), *categories]
            self._file = pq.ParquetWriter(
                self._path, stored.schema, compression="lz4", use_dictionary=few
            )
        self._file.write_table(stored.combine_chunks(), row_group_size=_GROUP_ROWS)


def read_parquet(
    path: str | Path, columns: Sequence[str] | None = None, *, memory_map: bool = False
) -> pa.Table:
    """The canonical table of a file that `write_parquet` wrote, or these of its columns in order.

    Raises:
        KeyError: for a column that is not there; `hand_over` says it better.
    """
    with pq.ParquetFile(path, memory_map=memory_map) as file:
        metadata = file.schema_arrow.metadata or {}
        table = file.read(columns=None if columns is None else list(columns))
    return _canonical(table, metadata, columns)


def read_pieces(
    path: str | Path, columns: Sequence[str] | None = None, rows: int = _GRID
) -> Iterator[pa.Table]:
    """The same table piece by piece; never more of it in memory than a row group.

    The first piece has no rows: it shows the columns.
    """
    with pq.ParquetFile(path, pre_buffer=False) as file:
        metadata = file.schema_arrow.metadata or {}
        bare = file.schema_arrow.remove_metadata()
        yield _canonical(bare.empty_table(), metadata, columns)
        chosen = None if columns is None else list(columns)
        for group in range(file.num_row_groups):
            for batch in file.iter_batches(rows, row_groups=[group], columns=chosen):
                yield _canonical(pa.Table.from_batches([batch]), metadata, columns)


def _canonical(
    table: pa.Table, metadata: Mapping[bytes, bytes], columns: Sequence[str] | None
) -> pa.Table:
    """What was read of a file, as it was written."""
    if columns is not None:
        table = table.select(list(columns))
    categories = json.loads(metadata.get(_CATEGORIES, b"{}"))
    for name, stored in categories.items():
        at = table.schema.get_field_index(name)
        if at >= 0:
            table = table.set_column(at, name, _categorical(table.column(at), stored, name))
    return _bare(table)


def _bare(table: pa.Table) -> pa.Table:
    """Without what Parquet adds: metadata of fields, its own names inside lists and maps."""
    columns = [
        with_canonical_type(field.name, column) if pt.is_nested(field.type) else column
        for field, column in zip(table.schema, table.columns, strict=True)
    ]
    return pa.Table.from_arrays(columns, names=table.column_names)


# -------------------------------------------------------------------------------- dictionaries


def _repetitive(table: pa.Table) -> list[str]:
    """The columns for which a sample shows few distinct values."""
    if table.num_rows < 1_000:
        return []
    sample = table.slice(0, _SAMPLE_ROWS)
    few = max(1, int(sample.num_rows * _FEW))
    found = []
    for field in table.schema:
        plain = pt.is_large_string(field.type) or pt.is_large_binary(field.type)
        if (
            plain
            or pt.is_integer(field.type)
            or pt.is_temporal(field.type)
            or pt.is_decimal(field.type)
        ):
            distinct = pc.count_distinct(sample.column(field.name)).as_py()
            if distinct <= few:
                found.append(field.name)
    return found


# -------------------------------------------------------------------------------- categoricals


def _without_categoricals(table: pa.Table) -> tuple[pa.Table, dict[str, dict[str, Any]]]:
    """The table with the values of its categoricals, and what Parquet would forget about them."""
    categories: dict[str, dict[str, Any]] = {}
    for at, field in enumerate(table.schema):
        if not pt.is_dictionary(field.type):
            continue
        column = table.column(at)
        values = categories_of(column)
        categories[field.name] = {"ordered": field.type.ordered, "values": _as_text(values)}
        if not pt.is_large_string(field.type.value_type):
            chunks = [chunk.dictionary_decode() for chunk in column.chunks]
            decoded = pa.chunked_array(chunks, field.type.value_type)
            table = table.set_column(at, field.name, decoded)
    return table, categories


def _as_text(values: pa.Array) -> str:
    """A category list as text: an Arrow IPC stream, which holds values of every type exactly."""
    batch = pa.record_batch([values], names=["category"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return base64.b64encode(sink.getvalue()).decode()


def _from_text(text: str) -> pa.Array:
    with pa.ipc.open_stream(base64.b64decode(text)) as reader:
        column = reader.read_all().column(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _categorical(column: pa.ChunkedArray, stored: Mapping[str, Any], name: str) -> pa.ChunkedArray:
    categories = _from_text(stored["values"])
    chunks = []
    for chunk in column.chunks:
        if pt.is_dictionary(chunk.type):
            places = pc.index_in(chunk.dictionary.cast(categories.type), categories)
            indices = places.take(chunk.indices)
        else:
            indices = pc.index_in(chunk, categories)
        if indices.null_count != chunk.null_count:
            raise IntegrityError(f"column `{name}` holds values that are not among its categories")
        chunks.append(
            pa.DictionaryArray.from_arrays(indices, categories, ordered=stored["ordered"])
        )
    if not chunks:
        none = pa.array([], pa.int32())
        chunks = [pa.DictionaryArray.from_arrays(none, categories, ordered=stored["ordered"])]
    return pa.chunked_array(chunks)
