"""The Arrow type that the text of a canonical type stands for: the way back from `type_text`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

import pyarrow as pa

from lineal.storage.canonical import PLAIN_TYPES

_BY_TEXT = {text: kind for kind, text in PLAIN_TYPES.items()}
_WORD = re.compile(r"(ordered )?\w+")
_ARGUMENTS = re.compile(r"[\[(]([^\])]*)[\])]")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


class UnknownType(ValueError):
    """A text that is that of no canonical type."""


def arrow_of(text: str) -> pa.DataType:
    """The canonical type with this text; raises UnknownType."""
    try:
        kind, end = _type(text, 0)
    except (ValueError, KeyError, IndexError, RecursionError, pa.ArrowException) as error:
        raise UnknownType(text) from error
    if end != len(text):
        raise UnknownType(text)
    return kind


def _type(text: str, at: int) -> tuple[pa.DataType, int]:
    """The type whose text begins at a place, and the place behind it."""
    word = _match(_WORD, text, at)
    name, at = word[0], word.end()
    if text[at : at + 1] == "<":
        return _nested(name, text, at + 1)
    arguments = _ARGUMENTS.match(text, at)
    if arguments is None:
        return _BY_TEXT[name], at
    plain = _BY_TEXT.get(text[word.start() : arguments.end()])
    if plain is not None:
        return plain, arguments.end()
    return _with_arguments(name, arguments[1].split(", ")), arguments.end()


def _with_arguments(name: str, given: list[str]) -> pa.DataType:
    if name == "timestamp":
        return pa.timestamp(given[0], given[1] if len(given) > 1 else None)
    if name == "duration":
        return pa.duration(given[0])
    if name == "binary":
        return pa.binary(int(given[0]))
    if name == "decimal":
        precision, scale = map(int, given)
        return (pa.decimal128 if precision <= 38 else pa.decimal256)(precision, scale)
    raise UnknownType(name)


def _nested(name: str, text: str, at: int) -> tuple[pa.DataType, int]:
    """The nested type whose first part begins at a place."""
    if name == "struct":
        return _struct(text, at)
    first, at = _type(text, at)
    if name == "map":
        value, at = _type(text, _past(text, at, ", "))
        return pa.map_(first, value), _past(text, at, ">")
    if name == "list" and text.startswith(", ", at):
        size = _match(re.compile(r"\d+"), text, at + 2)
        return pa.list_(first, int(size[0])), _past(text, size.end(), ">")
    at = _past(text, at, ">")
    if name == "list":
        return pa.large_list(first), at
    if name.endswith("categorical"):
        return pa.dictionary(pa.int32(), first, ordered=name.startswith("ordered ")), at
    raise UnknownType(name)


def _struct(text: str, at: int) -> tuple[pa.DataType, int]:
    fields: list[tuple[str, pa.DataType]] = []
    while True:
        name = _match(_STRING, text, at)
        kind, at = _type(text, _past(text, name.end(), ": "))
        fields.append((json.loads(name[0]), kind))
        if text.startswith(">", at):
            return pa.struct(fields), at + 1
        at = _past(text, at, ", ")


def _match(pattern: re.Pattern[str], text: str, at: int) -> re.Match[str]:
    found = pattern.match(text, at)
    if found is None:
        raise UnknownType(text)
    return found


def _past(text: str, at: int, mark: str) -> int:
    if not text.startswith(mark, at):
        raise UnknownType(text)
    return at + len(mark)


def empty_table(columns: Iterable[tuple[str, str]]) -> pa.Table:
    """A table without rows that has these columns, each with the text of its type."""
    return pa.schema([(name, arrow_of(text)) for name, text in columns]).empty_table()
