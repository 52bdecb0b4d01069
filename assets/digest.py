"""Digests of plain values: a canonical, type-tagged, length-prefixed encoding under BLAKE3-256.

Every fingerprint, recipe and contract goes through `encode`, so two different values never share
bytes by concatenation, and a value without a canonical form is an error, never dropped.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import struct
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import PurePath
from typing import Any
from uuid import UUID

from blake3 import blake3

SCHEME = "lineal/1"  # the scheme of every digest; changing any encoding changes this


class NoCanonicalFormError(TypeError):
    """The value has no canonical form; the message names its type and where it sat."""


def _sized(tag: bytes, body: bytes) -> bytes:
    return tag + len(body).to_bytes(8, "little") + body


def encode(value: Any, fallback: Callable[[Any], bytes | None] | None = None) -> bytes:
    """The canonical bytes of a plain value.

    Args:
        value: None, bool, int, float, complex, str, bytes, Decimal, date, datetime, time,
            timedelta, UUID, a path, an enum member, a dataclass instance, or a list, tuple, set or
            dict of them.
            The order of a dict counts, that of a set does not.
        fallback: asked for any other type; returns its bytes, or None to refuse.

    Raises:
        NoCanonicalFormError: for a type without one.
    """
    kind = type(value)
    if kind is str:  # most values are texts, and lists of them
        return _sized(b"s", value.encode("utf-8", "surrogatepass"))
    if kind is tuple or kind is list:
        body = b"".join([encode(each, fallback) for each in value])
        return _sized(b"t" if kind is tuple else b"l", body)
    scalar = _encode_scalar(value)
    if scalar is not None:
        return scalar
    if isinstance(value, enum.Enum):
        body = encode(type(value).__qualname__) + encode(value.name) + encode(value.value, fallback)
        return _sized(b"E", body)
    if isinstance(value, list):
        return _sized(b"l", b"".join(encode(v, fallback) for v in value))
    if isinstance(value, tuple):
        return _sized(b"t", b"".join(encode(v, fallback) for v in value))
    if isinstance(value, set | frozenset):
        return _sized(b"S", b"".join(sorted(encode(v, fallback) for v in value)))
    if isinstance(value, Mapping):
        # Order counts: a dict and its reverse iterate differently, and code may see that.
        pairs = [encode(k, fallback) + encode(v, fallback) for k, v in value.items()]
        return _sized(b"d", b"".join(pairs))
    if fallback is not None:
        found = fallback(value)
        if found is not None:
            return _sized(b"?", found)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)]
        named = {name for name, _ in fields}
        # What was set on it beside its fields: methods may read it.
        fields += [(n, v) for n, v in sorted(_attributes(value).items()) if n not in named]
        return _sized(b"D", encode(type(value).__qualname__) + encode(fields, fallback))
    raise NoCanonicalFormError(f"a {type(value).__module__}.{type(value).__qualname__} has none")


def _encode_scalar(value: Any) -> bytes | None:  # noqa: C901  (one line a type reads best)
    kind = type(value)
    if kind is str:
        return _sized(b"s", value.encode("utf-8", "surrogatepass"))
    if value is None:
        return b"n"
    if kind is bool:
        return b"b1" if value else b"b0"
    if kind is int:
        return _sized(b"i", str(value).encode())
    if kind is float:
        return b"f" + struct.pack("<d", value if value == value else float("nan"))
    if kind is bytes or kind is bytearray:
        return _sized(b"y", bytes(value))
    if kind is complex:
        return b"c" + struct.pack("<dd", value.real, value.imag)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        fold = getattr(value, "fold", 0)
        text = f"{kind.__name__} {value.isoformat()} {fold}{_zone(value)}{_finer(value)}"
        return _sized(b"T", text.encode())
    if isinstance(value, dt.timedelta):
        text = f"{value.days} {value.seconds} {value.microseconds}{_finer(value)}"
        return _sized(b"L", text.encode())
    if isinstance(value, Decimal):
        return _sized(b"M", str(value).encode())
    if isinstance(value, UUID):
        return _sized(b"U", value.bytes)
    if isinstance(value, PurePath):
        return _sized(b"P", value.as_posix().encode("utf-8", "surrogateescape"))
    if kind is range or kind is slice or value is Ellipsis:
        return _sized(b"R", repr(value).encode())
    return None


def _zone(value: dt.date | dt.time) -> str:
    """Which time zone it is in: two with one offset today may differ on another day."""
    zone = getattr(value, "tzinfo", None)
    if zone is None:
        return ""
    module = type(zone).__module__
    if type(zone) is dt.timezone:
        return f" {zone!r}"
    key = getattr(zone, "key", None) or getattr(zone, "zone", None)
    if isinstance(key, str) and module.partition(".")[0] in ("zoneinfo", "pytz"):
        return f" {module.partition('.')[0]} {key}"
    if module.startswith("dateutil."):
        return f" {zone!r}"
    raise NoCanonicalFormError(f"a time zone of type {module}.{type(zone).__qualname__} has none")


def _finer(value: Any) -> str:
    """What pandas' own times hold beside those of the standard library."""
    unit = getattr(value, "unit", None)
    if not isinstance(unit, str) or type(value).__module__.partition(".")[0] != "pandas":
        return ""
    return f" {type(value).__name__} {unit} {value.value}"


def _attributes(value: Any) -> dict[str, Any]:
    """What was set on an instance, without what is computed from it and kept."""
    kept = functools.cached_property
    held = getattr(value, "__dict__", {})
    return {n: v for n, v in held.items() if not isinstance(getattr(type(value), n, None), kept)}


def encode_tuple(*items: bytes) -> bytes:
    """As `encode` of a tuple whose items are encoded already."""
    return _sized(b"t", b"".join(items))


def encode_list(*items: bytes) -> bytes:
    """As `encode` of a list whose items are encoded already."""
    return _sized(b"l", b"".join(items))


def digest_bytes(data: bytes) -> str:
    """BLAKE3-256 of raw bytes, hex."""
    return blake3(data).hexdigest()


def digest_of(value: Any, fallback: Callable[[Any], bytes | None] | None = None) -> str:
    """BLAKE3-256 of `encode(value)`, hex."""
    return blake3(encode(value, fallback)).hexdigest()
