"""The canonical form of Arrow columns: its types, what they are called, how others become them.

Canonical types and their texts (the texts are part of every digest and never change):

    null  bool  int8…int64  uint8…uint64  float16  float32  float64  decimal(p, s)
    string  binary  binary(n)  date  time[ms|us|ns]  timestamp[ms|us|ns]  timestamp[us, UTC]
    duration[s|ms|us|ns]  uuid  list<T>  list<T, n>  map<K, V>  struct<"name": T, …>
    categorical<T>  ordered categorical<T>       (their categories are part of the column digest)

Inside nested types null is int32 and binary(n) is binary, as not every reader has those there.
In memory strings, binaries and lists have 64-bit offsets, so no column is too long for them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from lineal.assets.errors import ContentError

_UTC = frozenset({"utc", "etc/utc", "+00:00", "-00:00", "z"})

# Types that are the same in memory, in Parquet and in every reader, and their texts.
PLAIN_TYPES = {
    pa.null(): "null",
    pa.bool_(): "bool",
    pa.int8(): "int8",
    pa.int16(): "int16",
    pa.int32(): "int32",
    pa.int64(): "int64",
    pa.uint8(): "uint8",
    pa.uint16(): "uint16",
    pa.uint32(): "uint32",
    pa.uint64(): "uint64",
    pa.float16(): "float16",
    pa.float32(): "float32",
    pa.float64(): "float64",
    pa.large_string(): "string",
    pa.large_binary(): "binary",
    pa.date32(): "date",
    pa.time32("ms"): "time[ms]",
    pa.time64("us"): "time[us]",
    pa.time64("ns"): "time[ns]",
    pa.uuid(): "uuid",
}

_REPLACED = {
    pa.string(): pa.large_string(),
    pa.string_view(): pa.large_string(),
    pa.binary(): pa.large_binary(),
    pa.binary_view(): pa.large_binary(),
    pa.date64(): pa.date32(),
    pa.time32("s"): pa.time32("ms"),
}


def canonical_type(kind: pa.DataType, where: str) -> pa.DataType:
    """The canonical type of a decoded Arrow type.

    Raises:
        ContentError: for a type without one; `where` says which column or field it is.
    """
    if kind in _REPLACED:
        return _REPLACED[kind]
    if kind in PLAIN_TYPES or pt.is_duration(kind) or pt.is_fixed_size_binary(kind):
        return kind
    if pt.is_timestamp(kind):
        zone = "UTC" if kind.tz is not None and kind.tz.casefold() in _UTC else kind.tz
        return pa.timestamp("ms" if kind.unit == "s" else kind.unit, zone)
    if pt.is_decimal(kind):
        wide = pa.decimal128 if kind.precision <= 38 else pa.decimal256
        return wide(kind.precision, kind.scale)
    if pt.is_dictionary(kind):  # only inside nested types: a whole column is decoded before
        return canonical_type(kind.value_type, where)
    return _canonical_nested(kind, where)


def _canonical_nested(kind: pa.DataType, where: str) -> pa.DataType:
    if pt.is_fixed_size_list(kind):
        item = _inner_type(kind.value_type, where, "item")
        if kind.list_size == 0:
            raise refused(where, "lists of fixed size 0", "leave the column out")
        return pa.list_(item, kind.list_size)
    if pt.is_list(kind) or pt.is_large_list(kind):
        return pa.large_list(_inner_type(kind.value_type, where, "item"))
    if pt.is_map(kind):
        key = _inner_type(kind.key_type, where, "key")
        return pa.map_(key, _inner_type(kind.item_type, where, "value"))
    if pt.is_struct(kind):
        return _canonical_struct(kind, where)
    if pt.is_interval(kind):
        raise refused(where, f"calendar intervals ({kind})", "store days, seconds or a duration")
    if pt.is_union(kind):
        raise refused(where, f"unions ({kind})", "store a column for each type")
    raise refused(where, f"values of type {kind}", "cast it to a plain type, such as text")


def _inner_type(child: pa.DataType, where: str, part: str) -> pa.DataType:
    if child == pa.uuid():
        raise refused(where, "a UUID inside a nested value", "make it text")
    if is_list_view(child):  # Arrow's cast loses values
        raise refused(where, "a list view inside a nested value", "make it a list")
    canonical = canonical_type(child, f"{where}.{part}")
    if (
        canonical == pa.null()
    ):  # Arrow can't read it back from Parquet; DuckDB's type of a bare NULL
        return pa.int32()
    if pt.is_fixed_size_binary(canonical):  # Arrow can't hand it over to pandas
        return pa.large_binary()
    return canonical


def _canonical_struct(kind: pa.DataType, where: str) -> pa.DataType:
    names = [field.name for field in kind]
    if not names:
        raise refused(where, "structs without fields", "leave the column out")
    if len(set(names)) < len(names):
        twins = ", ".join(names)
        raise refused(where, f"structs with two fields of one name ({twins})", "rename one")
    return pa.struct([(field.name, _inner_type(field.type, where, field.name)) for field in kind])


def is_list_view(kind: pa.DataType) -> bool:
    return bool(pt.is_list_view(kind) or pt.is_large_list_view(kind))


def refused(where: str, what: str, advice: str) -> ContentError:
    """The error for a column whose type can't be stored."""
    return ContentError(f"column `{where}` holds {what}, which can't be stored", advice=advice)


def type_text(kind: pa.DataType) -> str:
    """The text of a canonical type: part of the digest, shown to people."""
    text = PLAIN_TYPES.get(kind)
    if text is not None:
        return text
    if pt.is_timestamp(kind):
        return (
            f"timestamp[{kind.unit}]" if kind.tz is None else f"timestamp[{kind.unit}, {kind.tz}]"
        )
    if pt.is_duration(kind):
        return f"duration[{kind.unit}]"
    if pt.is_decimal(kind):
        return f"decimal({kind.precision}, {kind.scale})"
    if pt.is_fixed_size_binary(kind):
        return f"binary({kind.byte_width})"
    if pt.is_large_list(kind):
        return f"list<{type_text(kind.value_type)}>"
    if pt.is_fixed_size_list(kind):
        return f"list<{type_text(kind.value_type)}, {kind.list_size}>"
    if pt.is_map(kind):
        return f"map<{type_text(kind.key_type)}, {type_text(kind.item_type)}>"
    if pt.is_struct(kind):
        fields = (f"{json.dumps(f.name, ensure_ascii=False)}: {type_text(f.type)}" for f in kind)
        return f"struct<{', '.join(fields)}>"
    if pt.is_dictionary(kind):
        return f"{'ordered ' if kind.ordered else ''}categorical<{type_text(kind.value_type)}>"
    raise TypeError(f"{kind} is no canonical type")


# ------------------------------------------------------------------------------------ columns


def canonical_column(field: pa.Field, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """An Arrow column in canonical form; dictionaries are an encoding here, so they are decoded.

    Raises:
        ContentError: naming the column, when its type or a value can't be stored.
    """
    unknown = (field.metadata or {}).get(b"ARROW:extension:name")
    if unknown is not None:
        raise refused(field.name, f"values of type {unknown.decode(errors='replace')}", "cast it")
    decoded = _decoded(column, field.name)
    return canonical_floats(with_canonical_type(field.name, decoded))


def with_canonical_type(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A decoded column under its canonical type; ContentError when a value does not fit."""
    target = canonical_type(column.type, name)
    if _same(column.type, target):
        return column
    try:
        return column.cast(target)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ContentError(
            f"column `{name}` can't be stored as {type_text(target)}: {error}",
            advice=f"cast it to {type_text(target)} or text yourself",
        ) from error


def _same(kind: pa.DataType, target: pa.DataType) -> bool:
    # `str` tells field names of lists and nullability apart, which `==` may not.
    return bool(kind.equals(target, check_metadata=True)) and str(kind) == str(target)


def _decoded(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    kind = column.type
    if pt.is_dictionary(kind):
        chunks = [chunk.dictionary_decode() for chunk in column.chunks]
        return _decoded(pa.chunked_array(chunks, kind.value_type), name)
    if pt.is_run_end_encoded(kind):
        chunks = [pc.run_end_decode(chunk) for chunk in column.chunks]
        return _decoded(pa.chunked_array(chunks, kind.value_type), name)
    if is_list_view(kind):
        chunks = [_list_of_view(chunk) for chunk in column.chunks]
        return pa.chunked_array(chunks, pa.large_list(kind.value_field))
    if isinstance(kind, pa.BaseExtensionType) and kind != pa.uuid():
        return _without_extension(column, name)
    return column


def _without_extension(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    kind = column.type
    storage = pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type)
    match kind.extension_name:
        case "arrow.json":
            return storage
        case "arrow.bool8":
            return storage.cast(pa.bool_())
        case "pandas.period":
            raise refused(name, "periods", "use `.dt.to_timestamp()` or `.astype(str)`")
        case "pandas.interval":
            raise refused(name, "intervals", "store both ends, or `.astype(str)`")
        case other:
            raise refused(name, f"values of type {other}", "cast it to a plain type, such as text")


def categories_of(column: pa.ChunkedArray) -> pa.Array:
    """The one category list of a canonical categorical; TypeError for any other dictionary."""
    if column.num_chunks == 0:
        raise TypeError("a canonical categorical has a chunk, for its categories")
    first = column.chunk(0).dictionary
    if any(not chunk.dictionary.equals(first) for chunk in column.chunks[1:]):
        raise TypeError("a canonical categorical has one list of categories")
    return first


# ------------------------------------------------------------------------------------- floats


def canonical_floats(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column with −0.0 as 0.0 and every NaN as the one NaN, nested values too."""
    if not _has_floats(column.type):
        return column
    chunks = [_floats(chunk) for chunk in column.chunks]
    if all(new is old for new, old in zip(chunks, column.chunks, strict=True)):
        return column
    return pa.chunked_array(chunks, column.type)


def _has_floats(kind: pa.DataType) -> bool:
    if pt.is_floating(kind):
        return True
    if pt.is_map(kind):
        return _has_floats(kind.key_type) or _has_floats(kind.item_type)
    if pt.is_nested(kind):
        return any(_has_floats(kind.field(i).type) for i in range(kind.num_fields))
    return False


def _floats(array: pa.Array) -> pa.Array:
    """The array itself when it is canonical already, else a canonical copy."""
    kind = array.type
    if pt.is_floating(kind):
        return _flat_floats(array)
    if not _has_floats(kind) or len(array) == 0:
        return array
    if pt.is_struct(kind):
        return _rebuilt(array, array.flatten(), lambda children: _struct(array, children))
    if pt.is_map(kind):
        offsets, keys, items = map_parts(array)
        return _rebuilt(array, [keys, items], lambda children: _map(array, offsets, children))
    if pt.is_fixed_size_list(kind):
        lists = array.cast(pa.large_list(kind.value_type))
        canonical = _floats(lists)
        return array if canonical is lists else canonical.cast(kind)
    return _rebuilt(array, [array.flatten()], lambda children: _list(array, children))


def _rebuilt(
    array: pa.Array, children: list[pa.Array], build: Callable[[list[pa.Array]], pa.Array]
) -> pa.Array:
    canonical = [_floats(child) for child in children]
    changed = any(new is not old for new, old in zip(canonical, children, strict=True))
    return build(canonical) if changed else array


def _struct(array: pa.Array, children: list[pa.Array]) -> pa.Array:
    mask = array.is_null() if array.null_count else None
    return pa.StructArray.from_arrays(children, fields=list(array.type), mask=mask)


def _list(array: pa.Array, children: list[pa.Array]) -> pa.Array:
    """The lists of an array or view over other values, one for each of `flatten()`."""
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy()
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int64())
    mask = array.is_null() if array.null_count else None
    return pa.LargeListArray.from_arrays(offsets, children[0], mask=mask)


def _list_of_view(array: pa.Array) -> pa.Array:
    return _list(array, [array.flatten()])


def _map(array: pa.Array, offsets: np.ndarray[Any, Any], children: list[pa.Array]) -> pa.Array:
    mask = array.is_null() if array.null_count else None
    starts = pa.array(offsets - offsets[0], pa.int32())
    return pa.MapArray.from_arrays(starts, *children, type=array.type, mask=mask)


def map_parts(array: pa.Array) -> tuple[np.ndarray[Any, Any], pa.Array, pa.Array]:
    """Offsets, keys and items of just the slots of a map array, slices considered."""
    buffer = array.buffers()[1]
    if len(array) == 0 or buffer is None:
        return np.zeros(1, np.int32), array.keys[:0], array.items[:0]
    offsets = np.frombuffer(buffer, np.int32, len(array) + 1, array.offset * 4)
    first, count = int(offsets[0]), int(offsets[-1] - offsets[0])
    return offsets, array.keys.slice(first, count), array.items.slice(first, count)


def tidy(column: pa.ChunkedArray) -> pa.Array:
    """A nested column in one piece with nothing left under its nulls; fixed lists as lists."""
    if column.num_chunks == 0:
        return _tidy(pa.array([], column.type))
    return _tidy(pa.concat_arrays(column.chunks))


def _tidy(array: pa.Array) -> pa.Array:
    kind = array.type
    if pt.is_fixed_size_list(kind):
        return _tidy(array.cast(pa.large_list(kind.value_type)))
    if pt.is_large_list(kind):
        return _list(array, [_tidy(array.flatten())])
    if pt.is_struct(kind):
        children = [_tidy(child) for child in array.flatten()]
        mask = array.is_null() if array.null_count else None
        names = [field.name for field in kind]
        return pa.StructArray.from_arrays(children, names=names, mask=mask)
    if pt.is_map(kind):
        return _tidy_map(array)
    return array


def _tidy_map(array: pa.Array) -> pa.Array:
    full = array.drop_null()
    offsets, keys, items = map_parts(full)
    lengths = np.zeros(len(array), np.int32)
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    lengths[valid] = np.diff(offsets)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    mask = array.is_null() if array.null_count else None
    return pa.MapArray.from_arrays(pa.array(starts), _tidy(keys), _tidy(items), mask=mask)


def _flat_floats(array: pa.Array) -> pa.Array:
    if len(array) == 0:
        return array
    width = array.type.bit_width // 8
    validity, data = array.buffers()
    end = array.offset + len(array)
    values = np.frombuffer(data, f"<f{width}", end)
    fixed: np.ndarray[Any, Any] | None = None
    for start, stop in _blocks(array.offset, end):
        block = values[start:stop]
        bits = block.view(f"<u{width}")
        one_nan = np.array(np.nan, f"<f{width}").view(f"<u{width}")
        wrong = bits == bits.dtype.type(1 << (8 * width - 1))
        nan = np.isnan(block)
        odd = nan & (bits != one_nan)
        if wrong.any() or odd.any():
            fixed = values.copy() if fixed is None else fixed
            fixed[start:stop][wrong] = 0.0
            fixed[start:stop][nan] = np.nan
    if fixed is None:
        return array
    buffers = [validity, pa.py_buffer(fixed)]
    return pa.Array.from_buffers(array.type, len(array), buffers, offset=array.offset)


def _blocks(start: int, end: int, size: int = 32_768) -> Iterator[tuple[int, int]]:
    """Blocks that fit the processor's cache, so each value is fetched from memory once."""
    for at in range(start, end, size):
        yield at, min(at + size, end)
