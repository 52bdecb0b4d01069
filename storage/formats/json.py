"""Plain values as JSON that any tool reads, and that comes back as what was handed over.

A value is normalised first, and every reader, in memory or from disk, gets the normalised one:
tuples and arrays are lists, dataclasses and named tuples' kin follow (a dataclass is a dict of its
fields, a named tuple a list), numpy scalars are Python's, enum members are their values, `NaT` and
`NA` are None. What JSON has no word for is an object with the key `$type`: NaN and infinities,
dates, times, decimals, UUIDs, bytes, complex numbers, and dicts whose keys are not all text.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import enum
import json
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from lineal.assets.digest import digest_bytes
from lineal.assets.errors import ContentError
from lineal.storage.formats.encoded import Encoded

NAME = "json"
_TAG = "$type"
_DEEPEST = 200


def encode(value: Any, name: str) -> Encoded:
    """Raises ContentError for a value, or a part of one, that JSON can't hold."""
    plain = _plain(value, name, 0)
    try:
        data = json.dumps(
            plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ).encode()
    except UnicodeEncodeError:  # a lone surrogate: only an escape can spell it
        data = json.dumps(plain, allow_nan=False, separators=(",", ":")).encode()
    except ValueError as error:
        raise ContentError(f"`{name}` can't be written as JSON: {error}") from error
    return Encoded(data, "json", digest_bytes(data), _summary(decode(data)))


def decode(data: bytes) -> Any:
    return json.loads(data, object_hook=_typed)


# -------------------------------------------------------------------------------- normalising


def _plain(value: Any, name: str, depth: int) -> Any:
    """The value in the words of JSON."""
    if depth > _DEEPEST:
        raise ContentError(
            f"`{name}` is nested more than {_DEEPEST} deep, or holds itself",
            advice='return a flatter value, or say `format="pickle"`',
        )
    if value is None or type(value) is bool or type(value) is int or type(value) is str:
        return value
    if type(value) is float:
        return _float(value)
    if isinstance(value, enum.Enum):
        return _plain(value.value, name, depth + 1)
    if isinstance(value, Mapping):
        return _mapping(value, name, depth)
    if isinstance(value, list | tuple):
        return [_plain(item, name, depth + 1) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)]
        return {key: _plain(item, name, depth + 1) for key, item in fields}
    known = _scalar(value)
    if known is not None:
        return known
    return _foreign(value, name, depth)


def _float(value: float) -> Any:
    if value != value or value in (float("inf"), float("-inf")):
        return {_TAG: "float", "value": repr(value)}
    return value


def _mapping(value: Mapping[Any, Any], name: str, depth: int) -> Any:
    pairs = [(_plain(k, name, depth + 1), _plain(v, name, depth + 1)) for k, v in value.items()]
    if all(type(key) is str for key, _ in pairs):
        plain = dict(pairs)
        if len(plain) != len(pairs):
            raise ContentError(f"`{name}`: two keys of a dict are equal once they are plain values")
        return {_TAG: "dict", "items": _listed(pairs)} if _TAG in plain else plain
    keys = [json.dumps(key) for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ContentError(f"`{name}`: two keys of a dict are equal once they are plain values")
    unhashable = next((k for k in value if isinstance(k, tuple | frozenset)), None)
    if unhashable is not None:
        raise ContentError(
            f"`{name}`: a key of a dict is {unhashable!r}, and a JSON key is a single value",
            advice='join its parts to a text, return rows instead, or say `format="pickle"`',
        )
    return {_TAG: "dict", "items": _listed(pairs)}


def _listed(pairs: Iterable[tuple[Any, Any]]) -> list[list[Any]]:
    return [[key, item] for key, item in pairs]


def _scalar(value: Any) -> Any:
    """A scalar that JSON has no word for, tagged; of a subclass of Python's own, bare."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if kind.endswith((".NaTType", ".NAType")):  # pandas' NaT says that it is a datetime
        return None
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _float(float(value))
    if isinstance(value, dt.datetime):
        if getattr(value, "nanosecond", 0):
            raise ContentError(f"`{value}` has nanoseconds, which a datetime can't hold")
        return {_TAG: "datetime", "value": value.isoformat()}
    if isinstance(value, dt.timedelta):
        if getattr(value, "nanoseconds", 0):
            raise ContentError(f"`{value}` has nanoseconds, which a timedelta can't hold")
        return {_TAG: "timedelta", "value": [value.days, value.seconds, value.microseconds]}
    for tag, (types, write, _) in _TYPES.items():
        if isinstance(value, types):
            return {_TAG: tag, "value": write(value)}
    return None


def _foreign(value: Any, name: str, depth: int) -> Any:
    """numpy's scalars and arrays, pandas' missing values; anything else is an error."""
    kind = type(value)
    if f"{kind.__module__}.{kind.__qualname__}".endswith((".NaTType", ".NAType")):
        return None
    lineage = {(c.__module__.partition(".")[0], c.__name__) for c in kind.__mro__}
    if ("numpy", "generic") in lineage:
        item = _numpy_scalar(value)
        if type(item) is not kind:
            return _plain(item, name, depth + 1)
    if ("numpy", "ndarray") in lineage and value.dtype.kind in "biufUMm" and not _masked(lineage):
        if value.dtype.kind in "Mm":
            return [_plain(item, name, depth + 1) for item in value]
        return _plain(value.tolist(), name, depth + 1)
    where = f"`{name}` holds" if depth else f"`{name}` is"
    spelt = f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(value, set | frozenset):
        advice = "a set has no order: return `sorted(…)` of it"
    elif lineage & {("pandas", "DataFrame"), ("pandas", "Series"), ("pyarrow", "Table")}:
        advice = (
            "give each table an asset of its own: `@asset(outputs=[…])` and return a dict of them"
        )
    else:
        advice = 'say `@asset(format="pickle")`, return plain values, or `register` a format for it'
    raise ContentError(f"{where} a {spelt}, which has no format", advice=advice)


def _masked(lineage: set[tuple[str, str]]) -> bool:
    return ("numpy", "MaskedArray") in lineage


def _numpy_scalar(value: Any) -> Any:
    if value.dtype.kind not in "Mm":
        return value.item()
    if str(value) == "NaT":
        return None
    item = value.item()
    if not isinstance(item, dt.datetime | dt.timedelta) and isinstance(item, dt.date):
        return item  # of whole days
    exact = value.astype(f"{value.dtype.kind}8[us]")
    if exact.astype(value.dtype) != value:
        raise ContentError(f"`{value}` has nanoseconds, which a datetime can't hold")
    return exact.item()


# ------------------------------------------------------------------------------- typed values

_TYPES: Mapping[str, tuple[type | tuple[type, ...], Callable[[Any], Any], Callable[[Any], Any]]] = {
    "date": (dt.date, dt.date.isoformat, dt.date.fromisoformat),
    "time": (dt.time, dt.time.isoformat, dt.time.fromisoformat),
    "decimal": (Decimal, str, Decimal),
    "uuid": (UUID, str, UUID),
    "complex": (complex, repr, complex),
    "bytes": (
        (bytes, bytearray),
        lambda value: base64.b64encode(value).decode(),
        base64.b64decode,
    ),
}


def _typed(found: dict[str, Any]) -> Any:
    tag = found.get(_TAG)
    if tag is None:
        return found
    if tag == "dict":
        return dict(found["items"])
    value = found["value"]
    if tag == "float":
        return float(value)
    if tag == "datetime":
        return dt.datetime.fromisoformat(value)
    if tag == "timedelta":
        return dt.timedelta(*value)
    return _TYPES[tag][2](value)


def _summary(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**15 else f"{Decimal(value):.3e}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, str):
        return repr(value) if len(value) <= 30 else f"text, {len(value):,} characters"
    if isinstance(value, dict | list):
        kind, unit = ("dict", "key") if isinstance(value, dict) else ("list", "item")
        return f"{kind}, {len(value):,} {unit}{'' if len(value) == 1 else 's'}"
    return str(value)
