"""Columns of Python objects: what kinds of values they hold, and the Arrow array of one kind."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa

from lineal.assets.errors import ContentError
from lineal.storage.canonical import refused

# In order: a datetime is also a date, a bool is also an int.
_KINDS: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("text", (str,)),
    ("bool", (bool, np.bool_)),
    ("int", (int, np.integer)),
    ("float", (float, np.floating)),
    ("bytes", (bytes, bytearray, memoryview)),
    ("Decimal", (Decimal,)),
    ("datetime", (dt.datetime,)),
    ("date", (dt.date,)),
    ("time", (dt.time,)),
    ("timedelta", (dt.timedelta,)),
    ("datetime64", (np.datetime64,)),
    ("timedelta64", (np.timedelta64,)),
    ("UUID", (UUID,)),
    ("dict", (dict,)),
    ("list", (list, tuple, np.ndarray)),
)

# Mixtures that have one type which holds every value exactly (Arrow checks that it does).
_TOGETHER = (frozenset({"int", "float"}), frozenset({"int", "Decimal"}))


def from_objects(
    name: str, values: Sequence[Any] | np.ndarray[Any, Any], *, pandas: bool
) -> pa.Array:
    """The Arrow array of a column of Python objects.

    None, NA and NaT are null; NaN is null too, except among the numbers of a list of dicts
    (`pandas=False`), where None can say so.

    Raises:
        ContentError: naming the column, when kinds are mixed or one can't be stored.
    """
    kinds = _scan(name, values, top=True)
    missing = pandas or not kinds <= {"int", "float"}
    try:
        if kinds == {"UUID"}:
            return _uuids(values)
        if any(kind.startswith("datetime") for kind in kinds):
            values = [None if type(v).__name__ == "NaTType" else v for v in values]
        finer = _finer_than_microseconds(values, kinds)
        return pa.array(values, type=finer, from_pandas=missing)
    except OverflowError:
        return _big_integers(name, values)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise ContentError(f"column `{name}` can't be stored: {error}") from error


def _scan(name: str, values: Iterable[Any], *, top: bool) -> frozenset[str]:
    """The kinds of the values, nested ones checked too; refuses mixtures."""
    if isinstance(values, np.ndarray) and values.dtype != object:
        return frozenset()  # one dtype: Arrow takes it or says why not
    values = list(values)
    by_type = {kind: _kind(name, kind) for kind in set(map(type, values))}
    kinds = {kind for kind in by_type.values() if kind}
    if "float" in kinds and not kinds <= {"float", "int"}:
        # NaN is how pandas and numpy spell a missing value of any type.
        values = [None if isinstance(v, float | np.floating) and v != v else v for v in values]
        if not any(by_type[type(v)] == "float" for v in values if v is not None):
            kinds.discard("float")
    if "datetime" in kinds:
        kinds = (kinds - {"datetime"}) | _zones(name, values, top=top)
    if len(kinds) > 1 and frozenset(kinds) not in _TOGETHER:
        raise _mixture(name, values, by_type, kinds)
    if kinds == {"timedelta"} and not top:
        _refuse_hidden_nanoseconds(name, values)
    if kinds == {"list"}:
        _scan_lists(name, values)
    if kinds == {"dict"}:
        _scan_dicts(name, values)
    return frozenset(kinds)


def _scan_lists(name: str, values: list[Any]) -> None:
    children: list[Any] = []
    for value in values:
        if isinstance(value, np.ndarray) and value.dtype != object:
            children.extend(value[:1].tolist() if value.ndim == 1 else [])
        elif isinstance(value, list | tuple | np.ndarray):
            children.extend(value)
    _scan(f"{name}.item", children, top=False)


def _scan_dicts(name: str, values: list[Any]) -> None:
    fields: dict[Any, list[Any]] = {}
    for value in values:
        if isinstance(value, dict):
            for key, child in value.items():
                fields.setdefault(key, []).append(child)
    for key, children in fields.items():
        if not isinstance(key, str):
            raise refused(name, f"dicts whose keys are not text ({key!r})", "use text as keys")
        _scan(f"{name}.{key}", children, top=False)


def _kind(name: str, kind: type) -> str:
    """The kind of a type; empty for what is missing."""
    if kind is type(None) or kind.__name__ in ("NAType", "NaTType"):
        return ""
    for text, types in _KINDS:
        if issubclass(kind, types):
            return text
    full = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    advice = "sort it into a list" if kind in (set, frozenset) else "convert it to text or numbers"
    raise refused(name, f"objects of type {full}", advice)


def _zones(name: str, values: list[Any], *, top: bool) -> set[str]:
    if not top:
        _refuse_hidden_nanoseconds(name, values)
    moments = (v for v in values if isinstance(v, dt.datetime) and type(v).__name__ != "NaTType")
    zones = {v.tzinfo for v in moments}
    return {"datetime" if zone is None else f"datetime in {zone}" for zone in zones}


def _refuse_hidden_nanoseconds(name: str, values: list[Any]) -> None:
    if any(getattr(v, "nanosecond", 0) or getattr(v, "nanoseconds", 0) for v in values):
        raise refused(name, "nanoseconds inside nested values", "round them to microseconds")


def _finer_than_microseconds(values: Iterable[Any], kinds: frozenset[str]) -> pa.DataType | None:
    """Arrow infers microseconds for objects; pandas' own scalars may hold nanoseconds."""
    kind = next(iter(kinds), "")
    if not kind.startswith(("datetime", "timedelta")) or kind.endswith("64"):
        return None
    if kind == "timedelta":
        return pa.duration("ns") if any(getattr(v, "nanoseconds", 0) for v in values) else None
    if not any(getattr(v, "nanosecond", 0) for v in values):
        return None
    first = next(v for v in values if getattr(v, "nanosecond", 0))
    zone = pa.array([first.to_pydatetime(warn=False)]).type.tz
    return pa.timestamp("ns", zone)


def _uuids(values: Iterable[Any]) -> pa.Array:
    plain = [value.bytes if isinstance(value, UUID) else None for value in values]
    return pa.ExtensionArray.from_storage(pa.uuid(), pa.array(plain, pa.binary(16)))


def _big_integers(name: str, values: Iterable[Any]) -> pa.Array:
    try:
        return pa.array(list(values), pa.uint64(), from_pandas=True)
    except (OverflowError, pa.ArrowException, TypeError, ValueError) as error:
        raise ContentError(
            f"column `{name}` holds integers that need more than 64 bits",
            advice="make it Decimal, float or text",
        ) from error


def _mixture(
    name: str, values: list[Any], by_type: dict[type, str], kinds: set[str]
) -> ContentError:
    """The error for a mixture: each kind with the row where it first appears."""
    shown: dict[str, str] = {}
    for row, value in enumerate(values):
        kind = "" if value is None else by_type[type(value)]
        if kind == "datetime" and type(value).__name__ != "NaTType":
            kind = "datetime" if value.tzinfo is None else f"datetime in {value.tzinfo}"
        if kind in kinds and kind not in shown:
            shown[kind] = f"row {row} is {repr(value)[:40]}"
    found = ", ".join(f"{kind} ({where})" for kind, where in shown.items())
    return ContentError(
        f"column `{name}` mixes {found}", advice="make all its values one type, such as text"
    )
