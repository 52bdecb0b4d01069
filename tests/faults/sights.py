"""What can be seen of a life from outside, by its files: when to kill, and where a kill landed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.faults.doomed import Line, read_diary


class Scene(NamedTuple):
    """The files of a store and a process that works there."""

    store: Path
    pid: int
    diary: Path
    head: int  # the newest entry before it was started

    def said(self, word: str) -> bool:
        return any(line.word == word for line in read_diary(self.diary))

    def staged(self) -> list[os.DirEntry[str]]:
        """Files of this process in `tmp/`, of objects that are not yet forgotten."""
        return [e for e in _entries(self.store / "tmp") if e.name.startswith(f"{self.pid}-")]

    def appending(self) -> bool:
        names = (entry.name for entry in _entries(self.store / "tmp"))
        return any(name.startswith(f"entry-{self.pid}-") for name in names)

    def appended(self, number: int) -> bool:
        return (self.store / "journal" / f"{self.head + number:012d}.jsonl").exists()

    def packing(self) -> bool:
        """Is a pack of old entries being written?"""
        names = (entry.name for entry in _entries(self.store / "tmp"))
        return any(name.startswith(f"pack-{self.pid}-") for name in names)

    def caching(self) -> bool:
        return any(f".{self.pid}-" in entry.name for entry in _entries(self.store / "cache"))

    def indexing(self) -> bool:
        return (self.store / "cache" / "places-1.sqlite-journal").exists()

    def cataloguing(self) -> bool:
        return (self.store / "catalog.duckdb.wal").exists()


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except FileNotFoundError:
        return


class Sight(NamedTuple):
    """Something to wait for, and the deeds in which it may be seen."""

    seen: Callable[[Scene], bool]
    deeds: frozenset[str]


_MAKING = frozenset({"materialize"})
_ASKING = frozenset({"sql", "rebuild"})
SIGHTS = {
    "planned": Sight(lambda scene: scene.said("planned"), _MAKING),
    "first entry staged": Sight(Scene.appending, _MAKING),
    "run started": Sight(lambda scene: scene.appended(1), _MAKING),
    "computing": Sight(lambda scene: scene.said("started"), _MAKING),
    "objects staged": Sight(lambda scene: bool(scene.staged()), _MAKING),
    "entry staged": Sight(lambda scene: scene.appended(1) and scene.appending(), _MAKING),
    "entry linked": Sight(lambda scene: scene.appended(2), _MAKING),
    "told": Sight(lambda scene: scene.said("told"), _MAKING),
    "ran": Sight(lambda scene: scene.said("ran"), _MAKING),
    "checkpoint": Sight(Scene.caching, _MAKING | _ASKING),
    "index": Sight(Scene.indexing, _MAKING | _ASKING),
    "pack": Sight(Scene.packing, frozenset({"compact"})),
    "catalog": Sight(Scene.cataloguing, _ASKING),
}


def phase_of(scene: Scene, lines: Sequence[Line]) -> str:
    """Where in its life a process was killed: what it did last, and what it left."""
    if not any(line.word == "begins" for line in lines):
        return "starting"
    last = lines[-1]
    deed = next(line.details[0] for line in reversed(lines) if line.word == "begins")
    if last.word == "disk":
        operation, path = last.details
        return f"disk: {operation} in {_folder(scene, path)}"
    if scene.indexing():
        return "index: in a transaction"
    if scene.cataloguing():
        return f"catalog: in a transaction of {deed}"
    if deed == "compact":
        return "compact: " + ("looking" if last.word == "begins" else "ended")
    return f"{deed}: " + {
        "begins": "loading and planning" if deed == "materialize" else "asking",
        "planned": "opening the run",
        "started": "computing",
        "told": "going on after it told",
        "waiting": "waiting for another",
        "ran": "ending",
        "ends": "ended",
        "answered": "ending",
    }.get(last.word, last.word)


def _folder(scene: Scene, path: str) -> str:
    """The folder of the store in which a path stands."""
    place = Path(path)
    if not place.is_relative_to(scene.store):
        return "the project"
    if "packs" in path or place.name.startswith("pack-"):
        return "packs"
    return next(iter(place.relative_to(scene.store).parts[:1]), "the store")
