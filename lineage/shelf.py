"""What is known of many steps, one row each: what is shown, what was retired, what was tried last.

A shelf is what the checkpoint holds, unchanged, and beside it the rows that changed since.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, islice
from typing import Any, NamedTuple

from lineal.assets.records import Brief, Materialization, StoredObject
from lineal.lineage.packed import Packed, Written, write

Rank = tuple[int, int, int]  # number of its run, number of its entry, position

_NOWHERE: Rank = (0, 0, 0)
_COMPACT = 1 << 24  # bytes of lines up to which those that nobody names go at once


class Row(NamedTuple):
    """What an environment knows of a step. Lines are facts as JSON."""

    rank: Rank = _NOWHERE  # of the publication or the retirement that counts
    materialization: str = ""  # what is shown; empty when nothing is
    brief: Brief | None = None  # of it, as long as its line is known
    shown: bytes | None = None  # None also when it was published long after it was made
    retired: bytes | None = None  # the retirement, if that is what counts
    last: bytes | None = None  # the last attempt


def brief_of(raw: Mapping[str, Any]) -> Brief | None:
    """The brief of a materialization, as JSON; None without a content."""
    content = raw.get("content")
    if content is None:
        return None
    objects = tuple(
        StoredObject(o["digest"], o["suffix"], o["bytes"], o.get("path", ""))
        for o in content.get("objects", ())
    )
    plain = _is_plain(raw["outcome"], raw.get("unwatched"), raw.get("checks"))
    seconds = float(raw.get("seconds", 0.0))
    known = raw["id"], raw["fingerprint"], content["digest"], objects, seconds, plain
    return Brief(*known, content["format"], raw["outcome"], content.get("summary", ""))


def brief(made: Materialization) -> Brief | None:
    """The brief of a materialization; None without a content."""
    content = made.content
    if content is None:
        return None
    plain = _is_plain(made.outcome, made.unwatched, made.checks)
    known = made.id, made.fingerprint, content.digest, content.objects, made.seconds, plain
    return Brief(*known, content.format, made.outcome, content.summary)


def _is_plain(outcome: str, unwatched: Any, checks: Any) -> bool:
    return outcome in ("made", "reused") and not unwatched and not checks


_OF_STEPS = ("key", "run", "entry", "position", "materialization", "shown", "retired", "last")
_OF_BRIEFS = (
    "fingerprint", "content", "seconds", "plain", "format", "outcome", "summary", "objects"
)  # fmt: skip
_OF_OBJECTS = ("digest", "suffix", "bytes", "path")
_BEFORE_OBJECTS = ("materialization", "fingerprint", "content")  # as in a Brief
_AFTER_OBJECTS = ("seconds", "plain", "format", "outcome", "summary")
_NO_BRIEF = Brief("", "", "", (), 0.0, False)


class Shelf:
    """Rows by key: a partition of one asset, or the name of an asset without partitions."""

    COLUMNS = (*_OF_STEPS, "end", *_OF_BRIEFS, *_OF_OBJECTS)

    def __init__(self, packed: Packed | None = None):
        self._packed = Packed.empty(self.COLUMNS) if packed is None else packed
        self._starts: list[int] | None = None
        self.changed: dict[str, Row] = {}

    def row(self, key: str) -> Row:
        """What is known of a step; an empty row for one that is not there."""
        found = self.changed.get(key)
        if found is not None:
            return found
        number = self._packed.number(key)
        return Row() if number is None else self._unpacked(number)

    def shown(self, key: str) -> tuple[str, bytes | None]:
        """The materialization that is shown, or an empty text, and its line, if that is known."""
        found = self.changed.get(key)
        if found is not None:
            return found.materialization, found.shown
        number = self._packed.number(key)
        if number is None:
            return "", None
        return self._packed.column("materialization")[number], self._line("shown", number)

    def last(self, key: str) -> bytes | None:
        """The line of the last attempt."""
        found = self.changed.get(key)
        if found is not None:
            return found.last
        number = self._packed.number(key)
        return None if number is None else self._line("last", number)

    def retired(self) -> dict[str, bytes]:
        """The retirements that count, by key."""
        packed = zip(self._packed.column("key"), self._packed.column("retired"), strict=True)
        found = {key: self._packed.line(number) for key, number in packed if number >= 0}
        found |= {key: row.retired for key, row in self.changed.items()}
        return {key: line for key, line in found.items() if line is not None}

    def known(self) -> dict[str, None]:
        """All keys, in the order in which they came."""
        return dict.fromkeys(self._packed.column("key")) | dict.fromkeys(self.changed)

    def showing(self) -> dict[str, Brief | None]:
        """All that is shown, by key; None where the line of the materialization is not known."""
        names = self._packed.column("materialization")
        with _collecting_nothing():
            found = dict(zip(self._packed.column("key"), self._briefs(), strict=True))
        if "" in names:
            shown = zip(list(found.items()), names, strict=True)
            found = {key: known for (key, known), name in shown if name}
        for key, row in self.changed.items():
            if row.materialization:
                found[key] = row.brief
            else:
                found.pop(key, None)
        return found

    def tried(self) -> set[str]:
        """The keys whose last attempt is another than what is shown."""
        of = self._packed.column
        packed = zip(of("key"), of("shown"), of("last"), strict=True)
        found = {key for key, shown, last in packed if shown != last and last >= 0}
        found.difference_update(self.changed)
        changed = self.changed.items()
        return found.union(
            key for key, row in changed if row.last is not None and row.last != row.shown
        )

    def written(self) -> Written:
        """Its bytes: as they are in the file, if nothing changed."""
        if not self.changed:
            return self._packed.written()
        with _collecting_nothing():
            return _Merged(self._packed, list(self._briefs()), self.changed).written()

    # ------------------------------------------------------------------------------------ within

    def _line(self, column: str, number: int) -> bytes | None:
        return self._packed.line(self._packed.column(column)[number])

    def _unpacked(self, number: int) -> Row:
        run, entry, position, name, shown, last = (
            self._packed.column(column)[number]
            for column in ("run", "entry", "position", "materialization", "shown", "last")
        )
        line = self._packed.line(shown)
        return Row(
            (run, entry, position),
            name,
            self._brief(number) if shown >= 0 else None,
            line,
            self._line("retired", number),
            line if last == shown else self._packed.line(last),
        )

    def _brief(self, number: int) -> Brief:
        of = self._packed.column
        if self._starts is None:
            self._starts = list(accumulate(of("objects"), initial=0))
        objects = slice(self._starts[number], self._starts[number + 1])
        stored = tuple(map(StoredObject, *(of(name)[objects] for name in _OF_OBJECTS)))
        before = (of(name)[number] for name in _BEFORE_OBJECTS)
        after = (of(name)[number] for name in _AFTER_OBJECTS)
        return Brief._make((*before, stored, *after))

    def _briefs(self) -> Iterator[Brief | None]:
        of = self._packed.column
        stored = map(StoredObject, *map(of, _OF_OBJECTS))
        counts = of("objects")
        objects: Iterator[tuple[StoredObject, ...]]
        if counts.count(1) == len(counts):
            objects = zip(stored, strict=True)
        else:
            objects = (tuple(islice(stored, count)) for count in counts)
        briefs = map(Brief, *map(of, _BEFORE_OBJECTS), objects, *map(of, _AFTER_OBJECTS))
        if -1 not in of("shown"):
            return briefs
        return (b if line >= 0 else None for b, line in zip(briefs, of("shown"), strict=True))


@contextlib.contextmanager
def _collecting_nothing() -> Iterator[None]:
    """For a moment: hundreds of thousands of tuples are made, none of them in a cycle."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class _Merged:
    """A shelf's rows with those that changed, written anew."""

    def __init__(self, packed: Packed, briefs: list[Brief | None], changed: Mapping[str, Row]):
        self._packed = packed
        self._briefs = briefs
        self._columns = {name: list(packed.column(name)) for name in _OF_STEPS}
        self._ends: Sequence[int] = packed.column("end")
        self._new: list[bytes] = []  # lines, numbered after those that are packed
        for key, row in changed.items():
            self._put(key, row)

    def _put(self, key: str, row: Row) -> None:
        shown, retired = self._add(row.shown), self._add(row.retired)
        last = shown if row.last is row.shown else self._add(row.last)
        values = (key, *row.rank, row.materialization, shown, retired, last)
        number = self._packed.number(key)
        if number is None:
            number = len(self._briefs)
            self._briefs.append(None)
            for column in self._columns.values():
                column.append(None)
        self._briefs[number] = row.brief
        for column, value in zip(self._columns.values(), values, strict=True):
            column[number] = value

    def _add(self, line: bytes | None) -> int:
        if line is None:
            return -1
        self._new.append(line)
        return len(self._ends) + len(self._new) - 1

    def written(self) -> Written:
        """Lines that nobody names are left out, unless they are few among very many."""
        named = {n for name in ("shown", "retired", "last") for n in self._columns[name]} - {-1}
        count = len(self._ends) + len(self._new)
        few = self._packed.lines_bytes > _COMPACT and 2 * len(named) > count
        kept = range(count) if few else sorted(named)
        if len(kept) < count:
            numbers = {-1: -1, **{old: new for new, old in enumerate(kept)}}
            for name in ("shown", "retired", "last"):
                self._columns[name] = [numbers[n] for n in self._columns[name]]
        stay = len(self._ends) if len(kept) == count else 0  # where they were
        begin = self._packed.lines_bytes if stay else 0
        new = accumulate(map(self._length, kept[stay:]))
        ends = [*self._ends[:stay], *(begin + end for end in new)]
        return write(self._columns | {"end": ends} | self._of_briefs(), self._lines(kept))

    def _of_briefs(self) -> dict[str, Sequence[Any]]:
        known = [_NO_BRIEF if b is None else b for b in self._briefs]
        objects = [o for b in known for o in b.objects]
        return {
            "fingerprint": [b.fingerprint for b in known],
            "content": [b.content for b in known],
            "seconds": [b.seconds for b in known],
            "plain": [b.plain for b in known],
            "format": [b.format for b in known],
            "outcome": [b.outcome for b in known],
            "summary": [b.summary for b in known],
            "objects": [len(b.objects) for b in known],
            "digest": [o.digest for o in objects],
            "suffix": [o.suffix for o in objects],
            "bytes": [o.bytes for o in objects],
            "path": [o.path for o in objects],
        }

    def _length(self, number: int) -> int:
        before = len(self._ends)
        if number >= before:
            return len(self._new[number - before]) + 1
        return self._ends[number] - (self._ends[number - 1] if number else 0)

    def _lines(self, kept: Sequence[int]) -> Iterator[bytes]:
        before = len(self._ends)
        if len(kept) == before + len(self._new):
            yield from self._packed.lines()
            kept = kept[before:]
        for number in kept:
            line = self._packed.line(number) if number < before else self._new[number - before]
            yield line or b""
            yield b"\n"
