"""Looks a whole store over and says what is damaged, missing or left over. Changes nothing."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from lineal.assets.errors import UsageError
from lineal.assets.notebook import size_text
from lineal.assets.records import Content, Materialization, StoredObject
from lineal.disk import SealState, kept, seal_of, state_of_seal
from lineal.fsck_report import Counts, Finding, FsckReport, Held, Note, many
from lineal.lineage import checkpoint
from lineal.lineage.catalog import Catalog, CatalogBusy
from lineal.lineage.census import Census, Version
from lineal.lineage.index import Index
from lineal.lineage.journal import Journal, from_json
from lineal.logs import LogState, read_log
from lineal.storage.inspection import (
    fault_of_bytes,
    is_laid_out,
    list_objects,
    place_of,
    prove,
    read_bytes,
    walk,
)
from lineal.storage.objects import Objects

LEVELS = ("journal", "objects", "bytes", "content", "catalog")
TRASH = "trash"
LOST = "lost"  # in a folder of the trash: what that repair could not bring back
_TOP = re.compile(
    r"(format|journal|objects|cache|logs|locks|tmp|trash|catalog\.duckdb(\.(wal|seal\S*))?)\Z"
)
_ENTRY = re.compile(r"\d{12}(\.jsonl|-\d{12}\.pack)\Z")

# Names in `cache/` of files that are being written, of seals, and of SQLite's own beside its file.
_PASSING = re.compile(r"\.\d+-[0-9a-f]{8}\Z|\.seal\Z|\.sqlite-\w+\Z")

Heard = Callable[[str, int, int], None]  # (what is looked at, how many so far, of how many)


# ------------------------------------------------------------------------------------ the looking


def look(journal: Journal, level: str = LEVELS[-1], heard: Heard | None = None) -> FsckReport:
    """Look the store of a journal over, as far as a level and those before it go.

    Raises:
        UsageError: no such level.
        IntegrityError: a newer lineal wrote the store.
    """
    if level not in LEVELS:
        raise UsageError(f"there is no level `{level}`", advice=f"levels: {', '.join(LEVELS)}")
    looking = _Look(journal, level, heard or (lambda what, done, of: None))
    if journal.root.is_dir():
        for name in LEVELS[: LEVELS.index(level) + 1]:
            getattr(looking, name)()
    return looking.report()


class _Look:
    """One look at a store, level by level."""

    def __init__(self, journal: Journal, level: str, heard: Heard) -> None:
        self._journal, self._root, self._level, self._heard = journal, journal.root, level, heard
        self._cache = self._root / "cache"
        self._census = Census()
        self._current: frozenset[Version] = frozenset()
        self._needed: frozenset[StoredObject] = frozenset()  # by what is current
        self._findings: dict[Path, Finding] = {}  # the first of a file says the most
        self._notes: list[Note] = []
        self._lying: dict[tuple[str, str], int] = {}  # what lies in objects/
        self._counts: dict[str, Any] = {}

    def report(self) -> FsckReport:
        return FsckReport(
            self._level,
            tuple(self._findings.values()),
            tuple(self._notes),
            Counts(**self._counts),
        )

    def _find(self, level: str, path: Path, what: str, held: Sequence[Held] = ()) -> None:
        self._findings.setdefault(path, Finding(level, path, what, tuple(held)))

    def _note(self, kind: str, what: str, paths: Sequence[Path] = (), size: int = 0) -> None:
        self._notes.append(Note(kind, what, tuple(paths), size))

    # ------------------------------------------------------------------------------ journal

    def journal(self) -> None:
        """Every entry follows the one before it; what stands in the store has a name we know."""
        self._heard("journal", 0, 0)
        for damage in self._journal.damages(checkpoint.seen_through(self._cache)):
            which = f" (entry {damage.first})" if damage.first == damage.last > 0 else ""
            known = f"entry {damage.first} " in damage.what
            self._find("journal", damage.path, damage.what + ("" if known else which))
        # Objects before the entries that name them: one that is named later is no orphan.
        listing = list_objects(self._root) if self._level != "journal" else None
        for entry in self._journal.entries_left():
            self._census.take(entry)
        self._current, self._needed = self._census.current(), self._census.needed()
        self._counts["entries"] = self._census.entries
        if self._census.lost:
            numbers = ", ".join(map(str, self._census.lost))
            told = f"lost from the journal, as an earlier repair found: entry {numbers}"
            self._note("lost", told, [self._journal.path(n) for n in self._census.lost])
        strangers = _strangers(self._root)
        if listing is not None:
            self._lying = listing.objects
            strangers += listing.strangers
        if strangers:
            self._note("unknown", f"{many(len(strangers), 'file')} not of this store", strangers)
        self._leftovers("leftovers", "tmp", "of runs that go on or were cut off")
        self._leftovers("trash", TRASH, "that repairs moved away: yours to delete")

    def _leftovers(self, kind: str, folder: str, what: str) -> None:
        found = list(walk(self._root / folder))
        if kind == "trash":
            found = [(path, size) for path, size in found if path.name != LOST]
        if found:
            size = sum(size for _, size in found)
            told = f"{many(len(found), 'file')} in {folder}/ ({size_text(size)}) {what}"
            self._note(kind, told, [path for path, _ in found], size)

    # ------------------------------------------------------------------------------ objects

    def objects(self) -> None:
        """Every object that a fact names is there, with its size."""
        lost, gone = lost_before(self._root), []
        for stored in self._census.holders:
            name = (stored.digest, stored.suffix)
            size, path = self._lying.get(name), place_of(self._root, *name)
            if size is None and path.is_file():
                continue  # linked since the look at the folder
            if size is None and stored.digest in lost and stored not in self._needed:
                gone.append(stored)
            elif size is None:
                self._find("objects", path, "is missing", self._held(name))
            elif size != stored.bytes:
                told = "is empty" if size == 0 else f"has {size:,} bytes, not {stored.bytes:,}"
                self._find("objects", path, told, self._held(name))
        if gone:
            names = sorted({held.text() for o in gone for held in self._held((o.digest, o.suffix))})
            told = f"gone since an earlier repair, no longer current: {', '.join(names)}"
            self._note("lost", told, [place_of(self._root, o.digest, o.suffix) for o in gone])
        orphans = [name for name in self._lying if name not in self._by_name]
        if orphans:
            size = sum(self._lying[name] for name in orphans)
            told = f"{many(len(orphans), 'object')} that no entry names ({size_text(size)})"
            self._note("orphans", told, [place_of(self._root, *name) for name in orphans], size)
        self._counts["objects"] = len(self._lying)

    @cached_property
    def _by_name(self) -> dict[tuple[str, str], list[StoredObject]]:
        """The named objects by (digest, suffix): of one size each, unless a fact is wrong."""
        found: dict[tuple[str, str], list[StoredObject]] = {}
        for stored in self._census.holders:
            found.setdefault((stored.digest, stored.suffix), []).append(stored)
        return found

    def _held(self, name: tuple[str, str]) -> list[Held]:
        """Who rests on an object, what is current first."""
        found = [
            Held(v, v in self._current and stored in self._needed, self._census.versions[v])
            for stored in self._by_name.get(name, ())
            for v in self._census.holders[stored]
        ]
        return sorted(found, key=lambda held: not held.current)

    # -------------------------------------------------------------------------------- bytes

    def bytes(self) -> None:
        """Every object's bytes have the digest that is its name; what is sealed is whole."""
        total = 0
        for done, seen in enumerate(read_bytes(self._root, self._lying), 1):
            total += seen.bytes
            self._heard("objects", done, len(self._lying))
            name = (seen.digest, seen.suffix)
            # Looked at twice: a run may have put a whole one in its place meanwhile.
            if seen.fault and fault_of_bytes(self._root, *name):
                self._find("bytes", place_of(self._root, *name), seen.fault, self._held(name))
        self._counts["bytes"] = total
        self._seals()

    def _seals(self) -> None:
        """What is sealed: caches, the catalog, logs."""
        count, unsealed = 0, []
        for path, state in _sealed(self._root):
            count += 1
            if state == "damaged":
                self._find("bytes", path, "is damaged: its bytes are not those that were sealed")
            elif state == "open":
                unsealed.append(path)
        if unsealed:
            told = f"{many(len(unsealed), 'file')} open: being written, or its process died"
            self._note("open", told, unsealed)
        self._counts["sealed"] = count

    # ------------------------------------------------------------------------------ content

    def content(self) -> None:
        """Each version's content digest, computed again from its objects, is the one recorded."""
        objects = Objects(self._root)
        seen: set[tuple[str, tuple[StoredObject, ...]]] = set()
        unproved = 0
        for made in self._contents():
            content = made.content
            assert content is not None
            if (content.digest, content.objects) in seen or not self._whole(content):
                continue
            seen.add((content.digest, content.objects))
            self._heard("versions", len(seen), len(self._census.versions))
            proof = prove(content, objects)
            unproved += not proof.proved and not proof.fault
            if proof.fault and self._whole(content):
                self._find("content", *self._culprit(made, content, proof.fault))
            if not is_laid_out(self._root, content):
                folder = self._cache / "folders" / content.digest
                self._note("unknown", f"{folder} was changed; it is laid out anew", [folder])
        self._counts["versions"] = len(self._census.versions)
        self._counts["unproved"] = unproved
        if unproved:
            told = f"{many(unproved, 'version')} with values of the project's own classes"
            self._note("unproved", f"{told}: the bytes are whole, the content was not compared")

    def _culprit(
        self, made: Materialization, content: Content, fault: str
    ) -> tuple[Path, str, list[Held]]:
        """The file that a fault of a version's content is told of, and how."""
        for stored in content.objects:
            name = (stored.digest, stored.suffix)
            return place_of(self._root, *name), fault, self._held(name)
        version = Version(made.asset, made.partition, content.digest)  # a folder without files
        held = Held(version, version in self._current, self._census.versions[version])
        return self._journal.folder, f"says of {held.text()}: {fault}", [held]

    def _contents(self) -> Iterator[Materialization]:
        """The materializations that have a content, from the intact entries."""
        for entry in self._journal.entries_left():
            if entry.number > self._census.through:
                return
            for line in entry.lines:
                if b'"materialization"' not in line:
                    continue
                fact = from_json(json.loads(line))
                if isinstance(fact, Materialization) and fact.content is not None:
                    yield fact

    def _whole(self, content: Content) -> bool:
        """Were all its objects there, and whole?"""
        return all(
            (stored.digest, stored.suffix) in self._lying
            and place_of(self._root, stored.digest, stored.suffix) not in self._findings
            for stored in content.objects
        )

    # ------------------------------------------------------------------------------ catalog

    def catalog(self) -> None:
        """Whatever is made of the journal is what would be made of it now."""
        if any(found.level == "journal" for found in self._findings.values()):
            self._note("unchecked", "the catalog was not looked at: the journal is damaged")
            return
        self._heard("catalog", 0, 0)
        catalog = Catalog(self._root, self._journal)
        try:
            found = (
                checkpoint.damage(self._journal, self._cache),
                Index(self._journal, self._cache).damage(),
                catalog.damage(),
            )
            behind = catalog.behind()
        except CatalogBusy as busy:
            self._note("open", busy.message, [catalog.path])
            return
        for damage in filter(None, found):
            self._find("catalog", *_path_and_what(damage))
        if behind and not found[-1]:
            told = f"the catalog is {many(behind, 'entry', 'entries')} behind the journal"
            self._note("behind", f"{told}; it catches up when it is asked", [catalog.path])
        self._counts["catalog"] = behind is not None


# ---------------------------------------------------------------------------------------- the rest


def _strangers(root: Path) -> list[Path]:
    """What lies at the top of the store, or in its journal, under a name that nothing here has."""
    top = [p for p in sorted(root.iterdir()) if not _TOP.match(p.name)]
    return top + [p for p, _ in walk(root / "journal") if not _ENTRY.match(p.name)]


def _sealed(root: Path) -> Iterator[tuple[Path, SealState | LogState]]:
    """Everything that proves itself: caches, logs, and what lies beside its seal."""
    for path, _ in walk(root / "cache"):
        inside = path.relative_to(root / "cache").parts
        if inside[0] == "folders" or _PASSING.search(path.name):
            continue  # links to objects; what a running process writes
        if path.suffix == ".sqlite":
            yield path, _state_beside(path)
        else:
            yield path, "damaged" if kept(path) is None and path.exists() else "whole"
    catalog = root / "catalog.duckdb"
    if catalog.exists():
        yield catalog, _state_beside(catalog)
    for path, _ in walk(root / "logs"):
        with contextlib.suppress(FileNotFoundError):
            yield path, read_log(path)[1]


def _state_beside(path: Path) -> SealState:
    """As `state_of_seal`; while another process changes the file, it is open."""
    seals = Path(seal_of(path))
    before = seals.read_bytes() if seals.exists() else b""
    state = state_of_seal(path)
    after = seals.read_bytes() if seals.exists() else b""
    return state if before == after else "open"


def _path_and_what(sentence: str) -> tuple[Path, str]:
    """A sentence that begins with a path in backquotes, apart."""
    _, path, what = sentence.split("`", 2)
    return Path(path), what.lstrip(": ")


def lost_before(root: Path) -> frozenset[str]:
    """The digests of the objects that repairs could not bring back."""
    found: set[str] = set()
    for path in (root / TRASH).glob(f"*/{LOST}"):
        found.update(json.loads(kept(path) or b"[]"))
    return frozenset(found)
