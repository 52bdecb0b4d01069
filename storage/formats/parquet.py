"""Canonical tables as Parquet files that any tool reads, and back without a difference.

Categoricals are stored as their values. Their category list, order and orderedness, which Parquet
has no place for, are in the file's metadata under `lineal.categories`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as pt

from lineal.assets.errors import IntegrityError
from lineal.storage.canonical import categories_of, with_canonical_type

_CATEGORIES = b"lineal.categories"
_GROUP_ROWS = 1 << 20
_SAMPLE_ROWS = 50_000
_FEW = 0.1  # a dictionary pays when at most this part of a sample is distinct


def write_parquet(table: pa.Table, path: str | Path) -> None:
    """Write a canonical table to a path that nobody reads yet."""
    stored, categories = _without_categoricals(table)
    if categories:
        metadata = {_CATEGORIES: json.dumps(categories, ensure_ascii=False).encode()}
        stored = stored.replace_schema_metadata(metadata)
    pq.write_table(
        stored,
        path,
        row_group_size=_GROUP_ROWS,
        compression="lz4",
        use_dictionary=[*_repetitive(stored), *categories],
    )


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
