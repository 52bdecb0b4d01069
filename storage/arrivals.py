"""How a stored table arrives in a function: as pandas, Arrow, polars, a relation, rows or an array.

What arrives depends on the canonical table alone, so that it is the same from memory and from disk.
In pandas (fresh RangeIndex, writable) a column arrives as `pandas.read_parquet` would give it:

    int8…uint64          the same; with nulls float64 with NaN, or pandas' nullable `Int64`
                         (`UInt64`) when float64 can't hold one of the values exactly
    float16…float64      the same; null and NaN are both NaN
    bool                 bool; with nulls pandas' `boolean`
    string               pandas' default for text (`str` from pandas 3 on)
    timestamp, duration  datetime64 and timedelta64 of the same unit, zone kept; null is NaT
    categorical          Categorical with its categories, their order and orderedness
    date, time, decimal, binary, uuid, null        Python objects; null is None
    list, struct, map    arrays, dicts, lists of pairs; items are typed by the whole column, so that
                         integers with a null among them are all floats
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from lineal.assets.asset import Arrival
from lineal.assets.errors import ContentError, did_you_mean
from lineal.storage.canonical import categories_of, tidy, type_text

BATCH_ROWS = 65_536  # of each batch a reader of batches gets
_EXACT = 2**53  # up to here every integer is a float64


def hand_over(table: pa.Table, arrival: Arrival, columns: Sequence[str] | None = None) -> Any:
    """A reader's own copy of a canonical table, or of these of its columns in this order.

    Raises:
        ContentError: for a column that is not there, or one the arrival can't hold.
    """
    chosen = choose_columns(table, columns)
    if arrival not in _ARRIVALS:
        raise ContentError(
            f"a table can't arrive as {arrival}",
            advice="annotate the parameter with a type of table, such as `pd.DataFrame`",
        )
    return _ARRIVALS[arrival](chosen)


def choose_columns(table: pa.Table, columns: Sequence[str] | None) -> pa.Table:
    """These columns in this order; ContentError with the nearest name when one is not there."""
    check_columns(table.column_names, columns)
    return table if columns is None else table.select(list(columns))


def check_columns(names: Sequence[str], columns: Sequence[str] | None) -> None:
    """ContentError with the nearest name when a chosen column is not there."""
    for name in columns or ():
        if name not in names:
            raise ContentError(
                f"no column `{name}`{did_you_mean(name, names)}",
                advice=f"the table has {', '.join(names)}",
            )
        if list(columns or ()).count(name) > 1:
            raise ContentError(f"column `{name}` is chosen twice", advice="name it once")


def batches_of(pieces: Iterator[pa.Table]) -> pa.RecordBatchReader:
    """A reader of batches over a table that comes in pieces, the first of which has no rows."""
    first = next(pieces)

    def batches() -> Iterator[pa.RecordBatch]:
        for piece in pieces:
            yield from piece.combine_chunks().to_batches()

    return pa.RecordBatchReader.from_batches(first.schema, batches())


# ------------------------------------------------------------------------------------- pandas


def to_pandas(table: pa.Table) -> Any:
    """A DataFrame that shares nothing a reader could change."""
    import pandas as pd

    series = {
        field.name: _series(field.name, column)
        for field, column in zip(table.schema, table.columns, strict=True)
    }
    # Copied: Arrow's own memory is read-only, and others see it.
    index = pd.RangeIndex(table.num_rows)
    return pd.DataFrame(series, index=index, columns=pd.Index(list(series), dtype="str"), copy=True)


def _series(name: str, column: pa.ChunkedArray) -> Any:
    import pandas as pd

    kind = column.type
    if pt.is_dictionary(kind):
        return pd.Series(_categorical(name, column))
    if column.null_count and pt.is_integer(kind):
        return _integers_with_nulls(column)
    if column.null_count and pt.is_boolean(kind):
        return column.to_pandas(types_mapper={pa.bool_(): pd.BooleanDtype()}.get)
    try:
        # How Arrow converts items depends on chunks and on what lies under nulls; readers must not.
        series = (tidy(column) if pt.is_nested(kind) else column).to_pandas()
    except (pa.ArrowException, ValueError, NotImplementedError) as error:
        raise _unfit(name, kind, "pandas", error) from error
    if pt.is_nested(kind):
        return pd.Series([_own(value) for value in series], dtype=object)
    return series


def _integers_with_nulls(column: pa.ChunkedArray) -> Any:
    import pandas as pd

    bounds = pc.min_max(column).as_py()
    if bounds["min"] is None or (bounds["min"] >= -_EXACT and bounds["max"] <= _EXACT):
        return column.cast(pa.float64()).to_pandas()
    nullable = {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype()}
    return column.to_pandas(types_mapper=nullable.get)


def _categorical(name: str, column: pa.ChunkedArray) -> Any:
    import numpy as np
    import pandas as pd

    codes = np.concatenate([chunk.indices.fill_null(-1).to_numpy() for chunk in column.chunks])
    categories = pd.Index(_series(name, pa.chunked_array([categories_of(column)])))
    return pd.Categorical.from_codes(codes, categories=categories, ordered=column.type.ordered)


def _own(value: Any) -> Any:
    """A nested value whose arrays can be written to."""
    import numpy as np

    if isinstance(value, np.ndarray):
        if value.dtype != object:
            return value.copy()
        owned = np.empty(len(value), object)
        owned[:] = [_own(item) for item in value]
        return owned
    if isinstance(value, dict):
        return {key: _own(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_own(item) for item in value]
    if isinstance(value, tuple):
        return tuple(_own(item) for item in value)
    return value


def _unfit(name: str, kind: pa.DataType, reader: str, error: Exception) -> ContentError:
    return ContentError(
        f"column `{name}` ({type_text(kind)}) can't be handed over to {reader}: {error}",
        advice="annotate the parameter `pa.Table`, or cast the column where it is made",
    )


# ------------------------------------------------------------------------------- other readers


def to_relation(table: pa.Table) -> Any:
    """A DuckDB relation over a connection of its own, in UTC, which lives as long as it does."""
    import duckdb

    if table.num_columns == 0:
        raise ContentError("a table without columns can't be handed over to DuckDB")
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    return connection.from_arrow(for_duckdb(table))


def for_duckdb(table: pa.Table) -> pa.Table:
    """The table with the types that DuckDB takes: float16 as float32."""
    for at, field in enumerate(table.schema):
        if pt.is_decimal256(field.type):
            error = ValueError("DuckDB's decimals have at most 38 digits")
            raise _unfit(field.name, field.type, "DuckDB", error)
        if pt.is_float16(field.type):
            table = table.set_column(at, field.name, table.column(at).cast(pa.float32()))
    return table


def _to_polars(table: pa.Table) -> Any:
    import polars

    for field in table.schema:
        if pt.is_decimal256(field.type):
            error = ValueError("polars' decimals have at most 38 digits")
            raise _unfit(field.name, field.type, "polars", error)
    return polars.from_arrow(table)


def _to_rows(table: pa.Table) -> list[dict[str, Any]]:
    for at, field in enumerate(table.schema):
        if field.type == pa.time64("ns"):  # `datetime.time` would cut them off in silence
            try:
                column = table.column(at).cast(pa.time64("us"))
            except pa.ArrowInvalid as error:
                raise _unfit(field.name, field.type, "Python (nanoseconds)", error) from error
            table = table.set_column(at, field.name, column)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _to_array(table: pa.Table) -> Any:
    """Rows × columns, of the type that holds all of them: what `DataFrame.to_numpy` gives."""
    import numpy as np

    return np.array(to_pandas(table).to_numpy(), copy=True)


def _to_batches(table: pa.Table) -> pa.RecordBatchReader:
    return _to_arrow(table).to_reader(max_chunksize=BATCH_ROWS)


def _to_arrow(table: pa.Table) -> pa.Table:
    """In one chunk a column: how it was chunked when made, or by the file, is nobody's business."""
    return table.combine_chunks()


_ARRIVALS: Mapping[str, Callable[[pa.Table], Any]] = {
    "auto": to_pandas,
    "pandas": to_pandas,
    "arrow": _to_arrow,
    "batches": _to_batches,
    "relation": to_relation,
    "polars": _to_polars,
    "rows": _to_rows,
    "array": _to_array,
}
