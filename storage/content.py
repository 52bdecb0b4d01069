"""The identity of tables: their canonical form, and the digests of their columns.

A column digest is BLAKE3-256 over the type's text, the categories of a categorical, then the values
in row order in blocks of 65,536 rows, then the row count. A block is: its number of rows; 0, or 1
and a bitmap of the slots that hold a value; then the values of just those slots: fixed width
as little-endian bytes, booleans as bits, text and binary as lengths (u32) then bytes, lists as
lengths then their values (a block again), maps likewise as keys and items, structs as a block a
field, categoricals as positions in their categories.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt
from blake3 import blake3

from lineal.assets.asset import Contract
from lineal.assets.content import content_digest, used_digest
from lineal.assets.digest import SCHEME, encode
from lineal.assets.errors import ContentError
from lineal.assets.records import Column
from lineal.storage.canonical import canonical_type, categories_of, map_parts, type_text
from lineal.storage.contract import keep_contract
from lineal.storage.frames import bigint_for_hugeint, canonical_value

__all__ = [
    "BLOCK_ROWS",
    "ColumnDigest",
    "bigint_for_hugeint",
    "canonical_table",
    "canonical_type",
    "column_digests",
    "content_digest",
    "type_text",
    "used_digest",
]

BLOCK_ROWS = 65_536

Feed = Callable[[Any], Any]


def canonical_table(value: object, contract: Contract, *, rows: bool, name: str) -> pa.Table:
    """The canonical table of a returned value, its contract kept.

    Args:
        value: a pandas, Arrow, polars or DuckDB table, or with `rows` a list of dicts.
        contract: key (checked), order (sorted by) and declared schema (checked).
        rows: the function says it returns `list[dict]` as a table.
        name: the output, for messages.

    Raises:
        ContentError: naming the type or the column that can't be stored, or the broken promise.
    """
    try:
        return keep_contract(canonical_value(value, rows=rows), contract)
    except ContentError as error:
        message = f"`{name}`: {error.message}"
        raise ContentError(message, where=error.where, advice=error.advice) from error


def column_digests(table: pa.Table) -> tuple[Column, ...]:
    """Name, type text and digest of each column of a canonical table.

    Equal whatever the chunks, slices and bytes under nulls.

    Raises:
        TypeError: for a table that is not canonical.
    """
    return tuple(
        Column(field.name, type_text(field.type), _column_digest(column))
        for field, column in zip(table.schema, table.columns, strict=True)
    )


def _column_digest(column: pa.ChunkedArray) -> str:
    categories = categories_of(column) if pt.is_dictionary(column.type) else None
    digest = ColumnDigest(column.type, categories)
    for chunk in column.chunks:
        digest.add(chunk)
    return digest.done()


class ColumnDigest:
    """The digest of one canonical column, fed with its pieces in order, however it is cut.

    Args:
        kind: the canonical type.
        categories: of a categorical; every piece has the same ones.
    """

    def __init__(self, kind: pa.DataType, categories: pa.Array | None = None) -> None:
        self._hasher = blake3(encode((SCHEME, "column", type_text(kind))))
        self._pieces: list[pa.Array] = []  # of the block that is not full yet
        self._have = 0
        self._rows = 0
        if categories is not None:
            _feed(self._hasher.update, categories)

    def add(self, chunk: pa.Array) -> None:
        """The next rows: fed in blocks on a fixed grid."""
        if pt.is_dictionary(chunk.type):
            chunk = chunk.indices  # the positions are the values
        elif isinstance(chunk.type, pa.BaseExtensionType):
            chunk = chunk.storage
        self._rows += len(chunk)
        at = 0
        while at < len(chunk):
            piece = chunk.slice(at, BLOCK_ROWS - self._have)
            self._pieces.append(piece)
            at += len(piece)
            self._have += len(piece)
            if self._have == BLOCK_ROWS:
                self._feed_block()

    def done(self) -> str:
        if self._pieces:
            self._feed_block()
        self._hasher.update(struct.pack("<Q", self._rows))
        return self._hasher.hexdigest()

    def _feed_block(self) -> None:
        pieces, self._pieces, self._have = self._pieces, [], 0
        block = pieces[0] if len(pieces) == 1 else pa.concat_arrays(pieces)
        _feed(self._hasher.update, block)


def _feed(feed: Feed, array: pa.Array) -> None:
    """The canonical bytes of one array, see the module's docstring."""
    rows = len(array)
    if array.null_count:
        valid = array.is_valid().to_numpy(zero_copy_only=False)
        feed(struct.pack("<QB", rows, 1))
        feed(np.packbits(valid, bitorder="little"))
        array = array.drop_null()
    else:
        feed(struct.pack("<QB", rows, 0))
    if len(array):
        _feed_values(feed, array)


def _feed_values(feed: Feed, array: pa.Array) -> None:
    """The values of an array without nulls and with at least one row."""
    kind = array.type
    if pt.is_large_string(kind) or pt.is_large_binary(kind):
        offsets = _feed_lengths(feed, array)
        data = array.buffers()[2]
        if data is not None:
            feed(memoryview(data).cast("B")[int(offsets[0]) : int(offsets[-1])])
    elif pt.is_boolean(kind):
        feed(np.packbits(array.to_numpy(zero_copy_only=False), bitorder="little"))
    elif pt.is_large_list(kind):
        _feed_lengths(feed, array)
        _feed(feed, array.flatten())
    elif pt.is_fixed_size_list(kind):
        _feed(feed, array.flatten())
    elif pt.is_struct(kind):
        for child in array.flatten():
            _feed(feed, child)
    elif pt.is_map(kind):
        offsets, keys, items = map_parts(array)
        feed(np.diff(offsets).astype("<u4").view(np.uint8))
        _feed(feed, keys)
        _feed(feed, items)
    else:
        width = kind.bit_width // 8
        start = array.offset * width
        feed(memoryview(array.buffers()[1]).cast("B")[start : start + len(array) * width])


def _feed_lengths(feed: Feed, array: pa.Array) -> np.ndarray[Any, Any]:
    offsets = np.frombuffer(array.buffers()[1], "<i8", len(array) + 1, array.offset * 8)
    lengths = np.diff(offsets)
    if lengths.max() > 0xFFFF_FFFF:
        raise ContentError("a single value is larger than 4 GiB", advice="store it as a file")
    feed(lengths.astype("<u4").view(np.uint8))
    return offsets
