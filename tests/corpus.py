"""A corpus of SQL statements, the tables that they read, and ways to change one column of them."""

from __future__ import annotations

import datetime as dt
import random
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa

CORPUS = Path(__file__).parent / "data" / "sql_corpus.sql"


def statements() -> list[str]:
    lines = CORPUS.read_text(encoding="utf-8").splitlines()
    return [line.rstrip(";") for line in lines if line and not line.startswith("--")]


def _day(number: int | None) -> dt.date | None:
    return None if number is None else dt.date(2026, 1, 1) + dt.timedelta(days=number)


def _orders() -> pa.Table:
    return pa.table(
        {
            "id": [1, 2, 3, 4, 5, 6, 7, 8, 9],
            "customer": [1, 1, 2, 2, 3, None, 4, 4, 1],
            "day": [_day(n) for n in (3, 1, 1, 9, 4, 4, 6, None, 2)],
            "amount": pa.array(
                [None if n is None else Decimal(n) for n in (5, 15, 25, 25, None, 30, 8, 40, 12)],
                pa.decimal128(10, 2),
            ),
            "state": ["open", "paid", "open", "lost", "paid", "open", None, "paid", "open"],
            "note": ["late", None, "red", "ape", "", "12", None, "x", "late"],
        }
    )


def _customers() -> pa.Table:
    home = [
        {"street": "A", "zip": "1"},
        None,
        {"street": "B", "zip": None},
        {"street": "A", "zip": "3"},
    ]
    return pa.table(
        {
            "id": [1, 2, 3, 5],
            "name": ["Ann", "Bob", None, "Cyd"],
            "city": ["Oslo", None, "Rome", "Oslo"],
            "day": [_day(n) for n in (3, 2, 4, 7)],
            "tags": [["a", "bb"], [], None, ["c", "a", None]],
            "home": home,
        }
    )


def _items() -> pa.Table:
    return pa.table(
        {
            "order": [1, 1, 2, 3, 3, 8],
            "id": [1, 2, 3, 4, 5, 6],
            "product": ["p", "q", "p", "r", None, "q"],
            "amount": pa.array([1, 2, 3, None, 5, 6], pa.int32()),
            "price": [2.5, 1.0, 2.5, 4.0, 3.0, None],
            "at": [dt.datetime(2026, 1, n, 12) for n in (2, 3, 4, 5, 6, 7)],
        }
    )


def _events() -> pa.Table:
    labels = pa.array(
        [[("k", 1)], [], None, [("k", 2), ("l", 3)]], pa.map_(pa.string(), pa.int64())
    )
    return pa.table(
        {
            "id": [1, 2, 3, 4],
            "at": [dt.datetime(2026, 1, n, n) for n in (1, 2, 3, 4)],
            "kind": pa.array(["go", "stop", "go", None]).dictionary_encode(),
            "payload": ['{"a": 1, "b": [2]}', '{"a": "x", "c": [1, 2]}', None, "{}"],
            "value": [1.5, float("nan"), None, 7.25],
            "labels": labels,
        }
    )


def _nodes() -> pa.Table:
    return pa.table(
        {
            "id": [1, 2, 3, 4, 5],
            "parent": [None, 1, 1, 3, 3],
            "name": ["root", "Ann", "twig", "leaf", "twig"],
            "weight": [1.0, 2.0, None, 4.5, 2.0],
        }
    )


def _prices() -> pa.Table:
    return pa.table(
        {
            "product": ["p", "p", "q", "r"],
            "day": [_day(n) for n in (0, 3, 1, 8)],
            "price": [2.0, 2.5, 1.0, 9.0],
        }
    )


TABLES: dict[str, pa.Table] = {
    "orders": _orders(),
    "customers": _customers(),
    "items": _items(),
    "events": _events(),
    "nodes": _nodes(),
    "raw/prices": _prices(),
}


# ------------------------------------------------------------------------------------- mutations


def _shuffled(column: pa.ChunkedArray) -> pa.ChunkedArray:
    order = list(range(len(column)))
    random.Random(5).shuffle(order)
    return column.take(order)


def _nulls(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([pa.nulls(len(column), column.type)])


def _constant(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.take([0] * len(column))


def _other(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values that are nowhere else, all different, where the type has them."""
    kind, count = column.type, len(column)
    if pa.types.is_integer(kind):
        return pa.chunked_array([pa.array(range(900, 900 + count), kind)])
    if pa.types.is_floating(kind):
        return pa.chunked_array([pa.array([900.5 + n for n in range(count)], kind)])
    if pa.types.is_decimal(kind):
        return pa.chunked_array([pa.array([Decimal(900 + n) for n in range(count)], kind)])
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.chunked_array([pa.array([f"zz{n}" for n in range(count)], kind)])
    if pa.types.is_date(kind):
        return pa.chunked_array([pa.array([_day(900 + n) for n in range(count)], kind)])
    return column.take(list(reversed(range(count))))


MUTATIONS: tuple[Callable[[pa.ChunkedArray], pa.ChunkedArray], ...] = (
    _other,
    _shuffled,
    _nulls,
    _constant,
)


def changed(
    table: pa.Table,
    columns: Iterator[str] | list[str],
    change: Callable[[pa.ChunkedArray], pa.ChunkedArray],
) -> pa.Table:
    for name in columns:
        place = table.column_names.index(name)
        table = table.set_column(place, name, change(table.column(place)))
    return table


def names_in(text: str) -> list[str]:
    """Every word of a statement that might be the name of a column."""
    return list(dict.fromkeys(word.casefold() for word in re.findall(r"[A-Za-z_]\w*", text)))


def with_columns(table: pa.Table, names: list[str]) -> pa.Table:
    """The table with further columns of these names where it has none, as another has them."""
    has = {name.casefold() for name in table.column_names}
    others = {
        n.casefold(): other.column(n) for other in TABLES.values() for n in other.column_names
    }
    for number, name in enumerate(names):
        if name in others and name not in has:
            column = others[name]
            values = column.take([row % len(column) for row in range(table.num_rows)])
            table = table.append_column(name, values)
        elif name not in has:
            numbers = [100 * number + row for row in range(table.num_rows)]
            table = table.append_column(name, pa.array(numbers))
    return table
