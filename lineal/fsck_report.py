"""What a look at a store found, and what a repair did: values that show themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lineal.assets.names import Step
from lineal.assets.notebook import as_text, size_text
from lineal.lineage.census import Making, Version


class Held(NamedTuple):
    """A version that a damaged or missing file holds, and where it came from."""

    version: Version
    current: bool
    making: Making
    registered: tuple[str, ...] = ()  # as `delays v3`

    def text(self, digits: int = 6) -> str:
        """`features@9f3a2c (current)`, `delay_model@51c2ee (delays v3, current)`."""
        told = [*self.registered, *(["current"] if self.current else [])]
        return f"{self.name(digits)} ({', '.join(told)})" if told else self.name(digits)

    def name(self, digits: int = 6) -> str:
        step = Step(self.version.asset, self.version.partition)
        return f"{step}@{self.version.digest[:digits]}"


class Finding(NamedTuple):
    """A file that is damaged or missing: `what` goes on after its path."""

    level: str
    path: Path
    what: str
    held: tuple[Held, ...] = ()

    @property
    def is_missing(self) -> bool:
        """There is no such file."""
        return self.what.startswith("is missing")


class Note(NamedTuple):
    """Something worth knowing that is no damage."""

    # orphans | leftovers | open | behind | unknown | trash | lost | wrong | runs | unproved |
    # unchecked
    kind: str
    what: str
    paths: tuple[Path, ...] = ()
    bytes: int = 0


class Action(NamedTuple):
    """One thing that a repair did, or could not do."""

    kind: str  # moved | mended | forgotten | rebuilt | made_again | changed | lost | failed
    what: str
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """What was looked at."""

    entries: int = 0
    objects: int = 0
    bytes: int = 0
    versions: int = 0
    unproved: int = 0  # among the versions: their digest takes the project's code
    sealed: int = 0  # files of the cache, logs
    catalog: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class FsckReport:
    """What a look at the store found, and what a repair did."""

    level: str
    damages: tuple[Finding, ...]
    notes: tuple[Note, ...]
    counts: Counts
    actions: tuple[Action, ...] = ()

    @property
    def ok(self) -> bool:
        """Nothing is damaged or missing."""
        return not self.damages

    def __repr__(self) -> str:
        rows = [[str(found.path), found.what] for found in self.damages]
        title = sentence(self)
        return as_text(title, ["file", "what"], rows) if rows else title


def sentence(report: FsckReport) -> str:
    """The answer in one sentence."""
    looked = ", ".join(looked_at(report.counts))
    if report.ok:
        well = "All well again" if report.actions else "All well"
        return f"{well}: {looked}." if looked else "Nothing to check: nothing was made yet."
    missing = sum(found.is_missing for found in report.damages)
    damaged = len(report.damages) - missing
    told = [f"{many(damaged, 'file')} {_is(damaged)} damaged"] if damaged else []
    if missing:
        count = f"{missing:,}" if damaged else many(missing, "file")
        told.append(f"{count} {_is(missing)} missing")
    return f"{', '.join(told)}. Looked at {looked or 'nothing else'}."


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def looked_at(counts: Counts) -> Iterator[str]:
    """`12 entries`, `34 objects (5.2 MB)`, `20 versions`, `9 caches and logs`, `the catalog`."""
    if counts.entries:
        yield many(counts.entries, "entry", "entries")
    if counts.objects:
        size = f" ({size_text(counts.bytes)})" if counts.bytes else ""
        yield f"{many(counts.objects, 'object')}{size}"
    if counts.versions:
        yield many(counts.versions, "version")
    if counts.sealed:
        yield many(counts.sealed, "cache or log", "caches and logs")
    if counts.catalog:
        yield "the catalog"


def many(count: int, one: str, several: str = "") -> str:
    """A number of things."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def code_of(runs: Sequence[str]) -> str:
    """What an object is that holds the code of these runs."""
    if len(runs) < 3:
        return f"the code of {' and '.join(runs)}"
    return f"the code of {len(runs):,} runs, {runs[0]} to {runs[-1]}"


def spans(numbers: Sequence[int]) -> str:
    """Rising numbers of entries, told as `entry 3` or `entries 1 to 256, 300`."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    told = ", ".join(f"{a} to {b}" if a < b else f"{a}" for a, b in found)
    return f"{'entry' if len(numbers) == 1 else 'entries'} {told}"


def few(names: Sequence[str], most: int = 20) -> str:
    """Names, the first of very many."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
