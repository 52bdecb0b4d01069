"""The SQL type of a parameter's value, as DuckDB takes it: all that may be known of a secret."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

from lineal.assets.secrets import Secret

NULL = "NULL"  # the type of nothing, which has one value
_PLAIN = {
    bool: "BOOLEAN",
    float: "DOUBLE",
    str: "VARCHAR",
    Secret: "VARCHAR",
    bytes: "BLOB",
    date: "DATE",
    time: "TIME",
    timedelta: "INTERVAL",
    type(None): NULL,
}
_INTEGERS = ((31, "INTEGER"), (63, "BIGINT"), (127, "HUGEINT"))


def kind_of(value: Any) -> str:
    """The type to cast a parameter to; nothing where it takes more than the value's own type."""
    kind = type(value)
    if kind is int:
        bits = (value if value >= 0 else ~value).bit_length()
        return next((name for most, name in _INTEGERS if bits <= most), "")
    if kind is datetime:
        return "TIMESTAMP" if value.tzinfo is None else "TIMESTAMP WITH TIME ZONE"
    if kind is list:
        inner = {kind_of(item) for item in value}
        return f"{inner.pop()}[]" if len(inner) == 1 and "" not in inner else ""
    return _PLAIN.get(kind, "")
