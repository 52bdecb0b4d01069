"""What a table promises beside its values: declared schema, order, primary key."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from lineal.assets.asset import Contract
from lineal.assets.errors import ContentError, did_you_mean
from lineal.storage.canonical import type_text

SHOWN_KEYS = 5

# How people and DuckDB spell the types that have another text here.
_ALIASES = {
    "bigint": "int64", "int": "int64", "long": "int64", "integer": "int32", "smallint": "int16",
    "tinyint": "int8", "ubigint": "uint64", "uinteger": "uint32", "usmallint": "uint16",
    "utinyint": "uint8", "double": "float64", "float": "float64", "real": "float32",
    "halffloat": "float16", "varchar": "string", "text": "string", "str": "string",
    "large_string": "string", "utf8": "string", "blob": "binary", "bytes": "binary",
    "large_binary": "binary", "boolean": "bool", "date32": "date", "date32[day]": "date",
    "timestamp": "timestamp[us]", "datetime": "timestamp[us]", "timestamptz": "timestamp[us,utc]",
    "timestampwithtimezone": "timestamp[us,utc]", "time": "time[us]", "category": "categorical",
}  # fmt: skip

# The names that DuckDB has for types.
_IN_SQL = {
    "bool": "BOOLEAN", "int8": "TINYINT", "int16": "SMALLINT", "int32": "INTEGER",
    "int64": "BIGINT", "uint8": "UTINYINT", "uint16": "USMALLINT", "uint32": "UINTEGER",
    "uint64": "UBIGINT", "float32": "REAL", "float64": "DOUBLE", "string": "VARCHAR",
    "binary": "BLOB", "date": "DATE", "time[us]": "TIME", "timestamp[us]": "TIMESTAMP",
    "timestamp[us, UTC]": "TIMESTAMPTZ", "uuid": "UUID",
}  # fmt: skip


def keep_contract(table: pa.Table, contract: Contract) -> pa.Table:
    """The table, ordered as its contract says; ContentError when the contract is broken."""
    check_schema(table, contract.schema)
    if contract.order_by:
        table = order_table(table, contract.order_by)
    if contract.primary_key:
        check_primary_key(table, contract.primary_key)
    return table


# ------------------------------------------------------------------------------------- schema


def check_schema(table: pa.Table, declared: Sequence[tuple[str, str]]) -> None:
    """All differences between a table and its declared schema, in one ContentError."""
    if not declared:
        return
    actual = {field.name: type_text(field.type) for field in table.schema}
    wanted = dict(declared)
    faults = [
        f"no column `{name}`{did_you_mean(name, actual)}" for name in wanted if name not in actual
    ]
    faults += [f"column `{name}` is not declared" for name in actual if name not in wanted]
    faults += [
        f"column `{name}` is {_as_declared(actual[name], text)}, declared {text}"
        for name, text in wanted.items()
        if name in actual and not _matches(text, actual[name])
    ]
    if faults:
        raise ContentError(
            f"the table differs from its declared schema: {'; '.join(faults)}",
            advice="mend what makes the table, such as the query, or the `schema` it declares",
        )


def _as_declared(actual: str, declared: str) -> str:
    """A type in the words of SQL where another is declared so."""
    sql = declared.isupper() or declared.upper() in _IN_SQL.values()
    text = actual.upper() if actual.startswith("decimal(") else actual
    return _IN_SQL.get(actual, text) if sql else actual


def _matches(declared: str, actual: str) -> bool:
    wanted = re.sub(r"\s+", "", declared).casefold()
    found = re.sub(r"\s+", "", actual).casefold()
    wanted = re.sub(r"^(numeric|decimal128)\(", "decimal(", _ALIASES.get(wanted, wanted))
    wanted = re.sub(r",tz=", ",", wanted)
    if wanted == "categorical":
        return "categorical<" in found
    return wanted == found


# ---------------------------------------------------------------------------------------- key


def check_primary_key(table: pa.Table, key: Sequence[str]) -> None:
    """ContentError naming the key, how many rows break it and a few of their values."""
    columns = columns_of(table, key, "the primary key")
    for name, column in zip(key, columns, strict=True):
        check_part_of_key(key, name, column.type, column.null_count, table.num_rows)
    counts = plain_table(table, key).group_by(list(key)).aggregate([([], "count_all")])
    if counts.num_rows == table.num_rows:
        return
    repeated = counts.filter(pc.greater(counts["count_all"], 1))
    # Sorted, so that the message is the same in every run.
    first = repeated.sort_by([(name, "ascending") for name in key]).slice(0, SHOWN_KEYS)
    rows = pc.sum(repeated["count_all"]).as_py()
    raise repeated_key(table, key, repeated.num_rows, rows, first)


def check_part_of_key(
    key: Sequence[str], name: str, kind: pa.DataType, nulls: int, rows: int
) -> None:
    """ContentError when a column of a key has nulls, or values that can't be compared."""
    named = _listed(key)
    if nulls:
        raise ContentError(
            f"the primary key {named} is not unique and complete: `{name}` is null in "
            f"{nulls} of {rows} rows",
            advice="drop those rows, or choose another key",
        )
    if pt.is_nested(kind):
        raise ContentError(
            f"the primary key {named} can't be checked: `{name}` is {type_text(kind)}",
            advice="a key is made of plain columns",
        )


def repeated_key(
    table: pa.Table, key: Sequence[str], values: int, rows: int, first: pa.Table
) -> ContentError:
    """The error for values of a key that more than one row has; `first` holds a few of them."""
    shown = []
    for row in first.select(list(key)).to_pylist():
        texts = [_text(_shown(table, name, value)) for name, value in row.items()]
        shown.append(texts[0] if len(texts) == 1 else f"({', '.join(texts)})")
    return ContentError(
        f"the primary key {_listed(key)} is not unique: {values} "
        f"value{'s' if values != 1 else ''} in {rows} rows, such as {', '.join(shown)}",
        advice="drop the duplicates, or choose another key",
    )


def _text(value: Any) -> str:
    """A value as tables show it; text in quotes, so that blanks are seen."""
    return repr(value) if isinstance(value, str | bytes) else str(value)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _shown(table: pa.Table, name: str, value: Any) -> Any:
    kind = table.schema.field(name).type
    if pt.is_dictionary(kind):
        return table[name].chunk(0).dictionary[value].as_py()
    return value


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of equal identity and order that Arrow can group and sort."""
    kind = column.type
    if pt.is_dictionary(kind):  # categories order as they are listed
        return pa.chunked_array([chunk.indices for chunk in column.chunks], pa.int32())
    if isinstance(kind, pa.BaseExtensionType):
        return pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type)
    if pt.is_float16(kind):
        return column.cast(pa.float32())
    return column


def plain_table(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """These columns in a form of equal identity and order that Arrow can group and sort."""
    columns = [_plain(table.column(name)) for name in names]
    return pa.Table.from_arrays(columns, names=list(names))


def columns_of(table: pa.Table, names: Sequence[str], whose: str) -> list[pa.ChunkedArray]:
    for name in names:
        if name not in table.column_names:
            has = ", ".join(table.column_names)
            near = did_you_mean(name, table.column_names)
            raise ContentError(
                f"{whose} names `{name}`, but there is no such column{near}", advice=f"it has {has}"
            )
    return [table.column(name) for name in names]


# -------------------------------------------------------------------------------------- order


Key = tuple[str, str]  # a column, and `ascending` or `descending`


def order_table(table: pa.Table, order_by: Sequence[str]) -> pa.Table:
    """The table sorted by these columns (`name` or `name desc`), then by all others; nulls last.

    Categoricals sort as their categories are listed. Nested columns sort by their items in turn.
    """
    terms, keys = order_keys(table, order_by)
    flat = flat_keys(table, keys)
    # Nested columns are ranked in Python, which is slow: only where the others don't decide.
    decided = all(key in flat for key in terms) and is_distinct(table, [name for name, _ in flat])
    used = flat if decided else keys
    return table.take(sorted_places(table, used)) if used else table


def order_keys(table: pa.Table, order_by: Sequence[str]) -> tuple[list[Key], list[Key]]:
    """The keys that an order names, and those with all other columns behind them."""
    terms = [_term(text, table.column_names) for text in order_by]
    columns_of(table, [name for name, _ in terms], "the order")
    named = {name for name, _ in terms}
    rest = [(name, "ascending") for name in table.column_names if name not in named]
    return terms, [*terms, *rest]


def flat_keys(table: pa.Table, keys: Sequence[Key]) -> list[Key]:
    """Those of the keys that are no nested columns."""
    return [key for key in keys if not pt.is_nested(table.schema.field(key[0]).type)]


def sorted_places(table: pa.Table, keys: Sequence[Key]) -> pa.Array:
    """The places of the rows in the order of these keys."""
    arrays = [_sortable(table.column(name)) for name, _ in keys]
    names = [str(number) for number in range(len(keys))]
    sortable = pa.Table.from_arrays(arrays, names=names)
    sort_keys = [(number, way) for number, (_, way) in zip(names, keys, strict=True)]
    return pc.sort_indices(sortable, sort_keys=sort_keys)  # nulls last


def _term(text: str, names: Sequence[str]) -> tuple[str, str]:
    name, _, way = text.strip().rpartition(" ")
    if text not in names and name and way.casefold() in ("asc", "desc"):
        return name.strip(), "ascending" if way.casefold() == "asc" else "descending"
    return text, "ascending"


def is_distinct(table: pa.Table, names: Sequence[str]) -> bool:
    """Do no two rows have equal values in these columns?"""
    if not names:
        return int(table.num_rows) < 2
    keys = plain_table(table, names)
    return bool(keys.group_by(list(names)).aggregate([]).num_rows == table.num_rows)


def _sortable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pt.is_nested(column.type):
        return _plain(column)
    values = [_comparable(value) for value in column.to_pylist()]
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = np.zeros(len(values), np.int64)
    rank = 0
    for before, at in itertools.pairwise(order):
        rank += values[before] != values[at]
        ranks[at] = rank
    return pa.chunked_array([pa.array(ranks, mask=column.is_null().to_numpy())])


def _comparable(value: Any) -> tuple[Any, ...]:
    """A tuple that sorts as the nested value should: item by item, missing ones last."""
    if value is None:
        return (2,)
    if isinstance(value, float) and math.isnan(value):
        return (1,)
    if isinstance(value, dict):
        return (0, tuple(_comparable(item) for item in value.values()))
    if isinstance(value, list | tuple):
        return (0, tuple(_comparable(item) for item in value))
    return (0, value)
