"""Rows kept by column, each column parsed when it is asked for, and lines of JSON beside them.

A part of the checkpoint is its columns, one line of JSON each, and then the facts' own lines, which
the column `end` tells apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from lineal.disk import KeptPieces

_AT_ONCE = 1 << 24  # bytes


class Written(NamedTuple):
    """A part as bytes: the lengths of its columns and of its lines, and all of them in pieces."""

    lengths: list[int]
    pieces: Iterable[bytes]


class Packed:
    """A part as it stands in a file.

    Args:
        pieces: the file; None for a part without rows.
        begin: where it begins.
        columns: the names of the columns, in the order in which they stand.
        lengths: what was `Written`.
    """

    def __init__(
        self,
        pieces: KeptPieces | None,
        begin: int,
        columns: Sequence[str],
        lengths: Sequence[int],
    ):
        self._pieces = pieces
        self._lengths = list(lengths)
        ends = list(accumulate(lengths, initial=begin))
        self._places = dict(zip(columns, pairwise(ends), strict=False))
        self._begin, self._lines, self.end = begin, ends[-2], ends[-1]
        self._columns: dict[str, Sequence[Any]] = {}
        self._numbers: dict[str, int] | None = None
        self._split: list[bytes] | None = None  # the lines, if they are few

    @classmethod
    def empty(cls, columns: Sequence[str]) -> Packed:
        return cls(None, 0, columns, [0] * (len(columns) + 1))

    def column(self, name: str) -> Sequence[Any]:
        """The values of a column."""
        found = self._columns.get(name)
        if found is None:
            text = self._read(*self._places[name])
            told = json.loads(text) if text else []
            found = [told["all"]] * told["times"] if isinstance(told, dict) else told
            self._columns[name] = found
        return found

    def number(self, key: str) -> int | None:
        """The row of a key."""
        if self._numbers is None:
            keys = self.column("key")
            self._numbers = dict(zip(keys, range(len(keys)), strict=True))
        return self._numbers.get(key)

    def line(self, number: int) -> bytes | None:
        """A line by its number; None for -1."""
        if number < 0:
            return None
        if self._split is None and self.lines_bytes <= _AT_ONCE:
            self._split = b"".join(self.lines()).split(b"\n")
        if self._split is not None:
            return self._split[number]
        ends = self.column("end")
        begin = ends[number - 1] if number else 0
        return self._read(self._lines + begin, self._lines + ends[number] - 1)

    @property
    def lines_bytes(self) -> int:
        """How many bytes the lines are."""
        return self.end - self._lines

    def lines(self) -> Iterator[bytes]:
        """All lines, each with its line end, in pieces."""
        return self._in_pieces(self._lines)

    def written(self) -> Written:
        """As it stands in the file."""
        return Written(self._lengths, self._in_pieces(self._begin))

    def _in_pieces(self, begin: int) -> Iterator[bytes]:
        for place in range(begin, self.end, _AT_ONCE):
            yield self._read(place, min(place + _AT_ONCE, self.end))

    def _read(self, begin: int, end: int) -> bytes:
        return b"" if self._pieces is None else self._pieces.read(begin, end)


def write(columns: Mapping[str, Sequence[Any]], lines: Iterable[bytes]) -> Written:
    """A part made anew; `lines` with their line ends, as the column `end` says."""
    texts = [_text(values) for values in columns.values()]
    ends = columns["end"]
    return Written([*map(len, texts), ends[-1] if ends else 0], _chained(texts, lines))


def _chained(texts: list[bytes], lines: Iterable[bytes]) -> Iterator[bytes]:
    yield from texts
    yield from lines


def _text(values: Sequence[Any]) -> bytes:
    told: Any = values
    if len(values) > 1 and values.count(values[0]) == len(values):
        told = {"all": values[0], "times": len(values)}
    return json.dumps(told, separators=(",", ":")).encode("ascii") + b"\n"
