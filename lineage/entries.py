"""One entry of the journal as bytes: sealed when it is written, proven whole when it is read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from blake3 import blake3

NO_PREDECESSOR = "0" * 64  # what entry 1 names as the digest of the one before it


class Broken(ValueError):
    """The bytes are not what was written; the text says how, to follow the name of the thing."""


class Entry(NamedTuple):
    """One entry: its number, its digest for the chain, one JSON text a fact, and all its bytes.

    The digest is that of its bytes; of an entry that stands for a lost one, that of the lost one.
    """

    number: int
    digest: str
    lines: tuple[bytes, ...]
    previous: str
    data: bytes


def line(value: dict[str, Any]) -> bytes:
    """A JSON object as one line, without its line end."""
    # ASCII only: text with lone surrogates or odd line separators survives, a line stays a line.
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


def seal(number: int, previous: str, facts: Sequence[bytes]) -> bytes:
    """The bytes of an entry."""
    return _seal({"entry": number, "previous": previous}, facts)


def seal_lost(number: int, previous: str, stands_for: str | None) -> bytes:
    """The bytes of an entry without facts, in the place of one that is lost.

    `stands_for`: the digest that the next entry names as its predecessor's, if that is known.
    """
    header: dict[str, Any] = {"entry": number, "previous": previous, "lost": True}
    if stands_for is not None:
        header["stands_for"] = stands_for
    return _seal(header, ())


def _seal(header: dict[str, Any], facts: Sequence[bytes]) -> bytes:
    body = b"\n".join([line(header), *facts]) + b"\n"
    end = {"end": len(facts) + 2, "digest": blake3(body).hexdigest()}
    return body + line(end) + b"\n"


def unseal(number: int, data: bytes) -> Entry:
    """The entry of that number from its bytes; raises Broken when they are not what was written."""
    lines = data.split(b"\n")
    rest = lines.pop()
    if rest and lines and "end" in json_object(lines[-1]):
        raise Broken("goes on after its end line")
    if rest or len(lines) < 2:
        raise Broken("is cut short: its end line is missing")
    header, end = json_object(lines[0]), json_object(lines[-1])
    if "end" not in end:
        raise Broken("is cut short: its end line is missing")
    if end["end"] != len(lines):
        raise Broken(f"has {len(lines)} lines, not the {end['end']} it had")
    hasher = blake3(data[: -len(lines[-1]) - 1])
    if end.get("digest") != hasher.hexdigest():
        raise Broken("was changed after it was written")
    if header.get("entry") != number:
        raise Broken(f"says that it is entry {header.get('entry')}")
    previous = header.get("previous")
    if not isinstance(previous, str):
        raise Broken("names no entry before it")
    hasher.update(lines[-1] + b"\n")
    digest = hasher.hexdigest()
    if header.get("lost") is True:
        digest = header.get("stands_for", digest)
    return Entry(number, digest, tuple(lines[1:-1]), previous, data)


def is_stand_in(entry: Entry) -> bool:
    """Does it stand in the place of an entry that is lost?"""
    return json_object(entry.data.partition(b"\n")[0]).get("lost") is True


def json_object(text: bytes) -> dict[str, Any]:
    """The JSON object in a text; an empty one when there is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
