"""Which format a value is stored in: told by its class's name, so no library is imported to ask."""

from __future__ import annotations

import io
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

from lineal.assets.errors import ContentError, did_you_mean
from lineal.storage.formats import array, figure, joblib, json, skops
from lineal.storage.formats.encoded import Encoded

TABLE = "parquet"
BYTES = "bytes"  # bytes and paths: stored as `file` or `folder`

_TABLES = frozenset({
    ("pandas", "DataFrame"), ("pandas", "Series"),
    ("pyarrow", "Table"), ("pyarrow", "RecordBatch"), ("pyarrow", "RecordBatchReader"),
    ("polars", "DataFrame"), ("polars", "LazyFrame"), ("polars", "Series"),
    ("duckdb", "DuckDBPyRelation"), ("_duckdb", "DuckDBPyRelation"),
})  # fmt: skip
_BATCHES = frozenset({("pyarrow", "RecordBatch"), ("pyarrow", "Table")})
_FIGURES = frozenset({("matplotlib", "Figure"), ("matplotlib", "Axes")})
_FILES = ("file", "folder")
_ESTIMATOR = ("sklearn", "BaseEstimator")
_ARRAY = ("numpy", "ndarray")


class Format(NamedTuple):
    """How values of one kind become bytes and come back."""

    encode: Callable[[Any, str], Encoded]
    decode: Callable[[bytes], Any]


# What a person may say as `format=`, and what a Content has as its format.
FORMATS: Mapping[str, Format] = types.MappingProxyType({
    json.NAME: Format(json.encode, json.decode),
    array.NAME: Format(array.encode, array.decode),
    figure.NAME: Format(figure.encode, figure.decode),
    joblib.NAME: Format(joblib.encode, joblib.decode),
    joblib.PICKLE: Format(joblib.encode_pickle, joblib.decode_pickle),
    skops.NAME: Format(skops.encode, skops.decode),
})  # fmt: skip


def choose(value: object, forced: str | None, rows: bool, name: str) -> str:
    """The name of the format for a value: `parquet`, `bytes` or a key of FORMATS.

    Raises:
        ContentError: `forced` is no format.
    """
    if forced is not None:
        known = [TABLE, *FORMATS, *_FILES]
        if forced in _FILES and _is_file(value):
            return BYTES
        if forced in _FILES:
            raise ContentError(
                f"`{name}` is a {type(value).__name__}, not a {forced}",
                advice="return bytes, or the `pathlib.Path` of what you wrote",
            )
        if forced not in known:
            raise ContentError(
                f"`{name}`: there is no format `{forced}`{did_you_mean(forced, known)}",
                advice=f"formats: {', '.join(known)}",
            )
        return forced
    ancestry = _ancestry(value)
    if rows or ancestry & _TABLES or _is_batches(value) or hasattr(value, "__arrow_c_stream__"):
        return TABLE
    if _ESTIMATOR in ancestry:
        return joblib.NAME
    if _ARRAY in ancestry or _are_arrays(value):
        return array.NAME
    if ancestry & _FIGURES:
        return figure.NAME
    if _is_file(value):
        return BYTES
    return json.NAME  # which says what it can't hold


def _ancestry(value: object) -> frozenset[tuple[str, str]]:
    """(top-level package, class name) of its classes: where in a package they live changes."""
    return frozenset((c.__module__.partition(".")[0], c.__name__) for c in type(value).__mro__)


def _is_file(value: object) -> bool:
    return isinstance(value, bytes | bytearray | memoryview | PurePath)


def is_stream(value: object) -> bool:
    """Does a table come batch by batch? What its items are is seen as they are read."""
    if isinstance(value, types.GeneratorType):
        return True
    if ("pyarrow", "RecordBatchReader") in _ancestry(value):
        return True
    # Files are iterators of lines.
    return isinstance(value, Iterator) and not isinstance(value, io.IOBase)


def _is_batches(value: object) -> bool:
    if is_stream(value):
        return True
    return isinstance(value, list | tuple) and bool(value) and bool(_ancestry(value[0]) & _BATCHES)


def _are_arrays(value: object) -> bool:
    if not isinstance(value, Mapping) or not value:
        return False
    return all(_ARRAY in _ancestry(item) for item in value.values())


def table_summary(rows: int, columns: int) -> str:
    """`178 rows × 14`."""
    return f"{rows:,} row{'' if rows == 1 else 's'} × {columns}"
