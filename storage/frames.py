"""From the tables people return (pandas, Arrow, polars, DuckDB, rows) to canonical Arrow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from lineal.assets.errors import ContentError
from lineal.storage.canonical import canonical_column, refused
from lineal.storage.objects_to_arrow import from_objects

Pair = tuple[str, pa.ChunkedArray]


def canonical_value(value: Any, *, rows: bool) -> pa.Table:
    """The canonical table of a value of any kind that holds a table; ContentError otherwise."""
    module = type(value).__module__.partition(".")[0]
    if module == "pandas":
        return _from_pandas(value)
    if module == "polars":
        return _from_arrow(_polars_to_arrow(value))
    if module in ("duckdb", "_duckdb"):
        return _from_relation(value)
    if isinstance(value, pa.Table):
        return _from_arrow(value)
    if isinstance(value, pa.RecordBatch):
        return _from_arrow(pa.Table.from_batches([value]))
    if isinstance(value, pa.RecordBatchReader):
        return _from_arrow(value.read_all())
    if rows and not isinstance(value, str | bytes | dict) and isinstance(value, Iterable):
        return _from_rows(list(value))
    if hasattr(value, "__arrow_c_stream__"):
        return _from_arrow(pa.table(value))
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | dict):
        return _from_arrow(_from_batches(value))
    raise ContentError(f"a {type_name(value)} is not a table")


def type_name(value: object) -> str:
    """The name of a value's class, as messages show it."""
    kind = type(value)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def _table(pairs: Sequence[Pair], rows: int) -> pa.Table:
    """The table of canonical columns; checks their names."""
    if not pairs and rows:
        raise ContentError(
            f"the table has {rows} rows but no columns",
            advice="return at least one column",
        )
    names = [name for name, _ in pairs]
    alike: dict[str, list[str]] = {}
    for name in names:
        _check_column_name(name)
        alike.setdefault(name.casefold(), []).append(name)
    for twins in alike.values():
        if len(twins) > 1:
            raise ContentError(
                f"several columns have one name: {', '.join(f'`{twin}`' for twin in twins)}",
                advice="rename all but one; SQL does not tell capitals from small letters",
            )
    return pa.Table.from_arrays([column for _, column in pairs], names=names)


def _check_column_name(name: str) -> None:
    if not name or "\0" in name or any("\ud800" <= c <= "\udfff" for c in name):
        raise ContentError(
            f"{name!r} can't be the name of a column", advice="give the column a name in plain text"
        )


# -------------------------------------------------------------------------- Arrow and its kin


def _from_arrow(table: pa.Table) -> pa.Table:
    pairs = [
        (field.name, canonical_column(field, column))
        for field, column in zip(table.schema, table.columns, strict=True)
    ]
    return _table(pairs, table.num_rows)


def _from_batches(value: Iterable[Any]) -> pa.Table:
    batches = list(value)
    if not batches or not all(isinstance(batch, pa.RecordBatch) for batch in batches):
        odd = next((b for b in batches if not isinstance(b, pa.RecordBatch)), None)
        what = (
            "an empty sequence of batches" if not batches else f"a {type_name(odd)} in a sequence"
        )
        raise ContentError(
            f"{what} is not a table",
            advice="return a table, or annotate `-> list[dict]` if the items are rows",
        )
    try:
        return pa.Table.from_batches(batches)
    except pa.ArrowInvalid as error:
        raise ContentError(f"the batches have different columns: {error}") from error


def _polars_to_arrow(value: Any) -> pa.Table:
    kind = type(value).__name__
    if kind == "LazyFrame":
        value = value.collect()
    elif kind == "Series":
        value = value.to_frame(value.name or "value")
    elif kind != "DataFrame":
        raise ContentError(f"a {type_name(value)} is not a table")
    for name, dtype in value.schema.items():
        if str(dtype).startswith("Object"):  # exported as addresses in memory
            raise refused(name, "Python objects", "convert it to a plain type")
    try:
        return value.to_arrow()
    except pa.ArrowException as error:
        dtypes = ", ".join(f"{name} {dtype}" for name, dtype in value.schema.items())
        raise ContentError(
            f"polars can't give these columns to Arrow ({dtypes}): {error}"
        ) from error


# What DuckDB gives to Arrow under a type that has lost the meaning, and what to cast it to.
_LOSSY = {
    "BIT": "VARCHAR",
    "TIME WITH TIME ZONE": "VARCHAR",
    "GEOMETRY": "VARCHAR",
    "VARIANT": "JSON",
    "BIGNUM": "VARCHAR",
}


def _from_relation(value: Any) -> pa.Table:
    if not hasattr(value, "to_arrow_table") or not hasattr(value, "types"):
        raise ContentError(
            f"a {type_name(value)} is not a table", advice="return a relation: `connection.sql(…)`"
        )
    huge = hugeint_columns(value)
    return _from_arrow(bigint_for_hugeint(value.to_arrow_table(), huge))


def hugeint_columns(relation: Any) -> list[str]:
    """The HUGEINT columns of a relation.

    Raises:
        ContentError: naming a column that Arrow would get without its meaning, and the cast.
    """
    huge = []
    for name, kind in zip(relation.columns, map(str, relation.types), strict=True):
        for lossy, cast in _LOSSY.items():
            if re.search(rf"\b{lossy}\b", kind):
                raise refused(name, f"values of type {kind}", f"cast it: `{name}::{cast}`")
        if kind in ("HUGEINT", "UHUGEINT"):
            huge.append(name)
    return huge


def bigint_for_hugeint(table: pa.Table, hugeint_columns: Iterable[str]) -> pa.Table:
    """The table with these columns, HUGEINT in DuckDB and decimal(38, 0) in Arrow, as int64.

    Raises:
        ContentError: naming the column and the cast, when a value needs more than 64 bits.
    """
    for name in hugeint_columns:
        at = table.column_names.index(name)
        try:
            column = table.column(at).cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise ContentError(
                f"column `{name}` holds integers that need more than 64 bits (HUGEINT)",
                advice=f"cast it in the query: `{name}::DOUBLE`, `{name}::DECIMAL(38, 0)` or "
                f"`{name}::VARCHAR`",
            ) from error
        table = table.set_column(at, name, column)
    return table


def _from_rows(rows: list[Any]) -> pa.Table:
    """A table of dicts: columns in the order in which their keys first appear, missing is null."""
    names: dict[Any, None] = {}
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise ContentError(
                f"row {number} is a {type_name(row)}, not a dict",
                advice="a function annotated `list[dict]` returns one dict a row",
            )
        names.update(dict.fromkeys(row))
    pairs = []
    for key in names:
        name = _column_name(key)
        array = from_objects(name, [row.get(key) for row in rows], pandas=False)
        column = pa.chunked_array([array])
        pairs.append((name, canonical_column(pa.field(name, array.type), column)))
    return _table(pairs, len(rows))


# ------------------------------------------------------------------------------------- pandas


def _from_pandas(value: Any) -> pa.Table:
    import pandas as pd

    if isinstance(value, pd.Series):
        value = value.to_frame("value" if value.name is None else value.name)
    if isinstance(value, pd.Index):
        value = value.to_frame(index=False, name="value" if value.name is None else value.name)
    if not isinstance(value, pd.DataFrame):
        raise ContentError(f"a {type_name(value)} is not a table")
    if isinstance(value.columns, pd.MultiIndex):
        raise ContentError(
            "the frame's columns have several levels",
            advice='flatten them: `df.columns = ["_".join(map(str, c)) for c in df.columns]`',
        )
    pairs = [
        (name, _pandas_column(name, array))
        for name, array in [*_index_levels(value), *_columns(value)]
    ]
    return _table(pairs, len(value))


def _columns(frame: Any) -> Iterator[tuple[str, Any]]:
    for label, series in frame.items():
        yield _column_name(label), series.array


def _column_name(label: object) -> str:
    import numpy as np

    if isinstance(label, str):
        return str(label)
    if isinstance(label, int | np.integer) and not isinstance(label, bool):
        return str(label)
    raise ContentError(
        f"{label!r} can't be the name of a column: it is a {type_name(label)}",
        advice="name the columns by text: `df.columns = df.columns.astype(str)`",
    )


def _index_levels(frame: Any) -> Iterator[tuple[str, Any]]:
    """The index as leading columns; an unnamed one of integers says nothing, so it is left out."""
    import pandas as pd

    index = frame.index
    if isinstance(index, pd.MultiIndex):
        for level, label in enumerate(index.names):
            name = f"level_{level}" if label is None else _column_name(label)
            yield name, index.get_level_values(level).array
        return
    if index.name is not None:
        yield _column_name(index.name), index.array
        return
    nothing = pd.api.types.is_integer_dtype(index.dtype) or (
        len(index) == 0 and index.dtype == object
    )
    # A frame without columns has only its index to say how many rows there are.
    if not nothing or (len(frame.columns) == 0 and len(index) > 0):
        yield "index", index.array


def _pandas_column(name: str, array: Any) -> pa.ChunkedArray:
    import pandas as pd

    dtype = array.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _categorical(name, array)
    try:
        column = _pandas_to_arrow(name, array)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise ContentError(f"column `{name}` ({dtype}) can't be stored: {error}") from error
    if isinstance(column, pa.Array):
        column = pa.chunked_array([column])
    return canonical_column(pa.field(name, column.type), column)


def _pandas_to_arrow(name: str, array: Any) -> pa.Array | pa.ChunkedArray:
    """An array of its own: what is done to the frame later must not reach what was stored."""
    import numpy as np
    import pandas as pd

    dtype = array.dtype
    if isinstance(dtype, pd.PeriodDtype):
        raise refused(name, f"periods ({dtype})", "use `.dt.to_timestamp()` or `.astype(str)`")
    if isinstance(dtype, pd.IntervalDtype):
        raise refused(name, f"intervals ({dtype})", "store both ends, or `.astype(str)`")
    if isinstance(dtype, pd.SparseDtype):
        array = np.asarray(array.to_dense())
        dtype = array.dtype
    if not isinstance(dtype, np.dtype) and not isinstance(array, pd.arrays.NumpyExtensionArray):
        # NaN in a masked float stays NaN here; in plain pandas floats NaN is what is missing.
        return pa.array(array if hasattr(array, "_pa_array") else array.copy())
    values = np.asarray(array)
    if values.dtype == object:
        return from_objects(name, values, pandas=True)
    if values.dtype.kind not in "biufmM" or values.dtype.itemsize > 8:
        raise refused(name, f"numbers of type {values.dtype}", "store its parts, or `float64`")
    native = np.array(values, dtype=values.dtype.newbyteorder("="), copy=True)
    return pa.array(native, from_pandas=True)


def _categorical(name: str, array: Any) -> pa.ChunkedArray:
    """A dictionary array whose category list, order and orderedness are kept as they are."""
    import numpy as np
    import pandas as pd

    if isinstance(array.categories, pd.IntervalIndex):
        raise refused(
            name, "categories that are intervals", "`pd.cut(…, labels=…)`, or `.astype(str)`"
        )
    categories = _pandas_column(name, array.categories.array).combine_chunks()
    if isinstance(categories, pa.ChunkedArray):
        categories = pa.concat_arrays(categories.chunks)
    if pa.types.is_nested(categories.type) or isinstance(categories.type, pa.BaseExtensionType):
        raise refused(name, f"categories of type {categories.type}", "use text as categories")
    codes = np.array(array.codes, dtype=np.int32)
    indices = pa.array(codes, mask=codes < 0)
    kept = pa.DictionaryArray.from_arrays(indices, categories, ordered=bool(array.ordered))
    return pa.chunked_array([kept])
