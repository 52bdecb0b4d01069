"""Looks a whole store over and says what is damaged, missing or left over. Changes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from lineal.assets.errors import UsageError
from lineal.assets.names import Step
from lineal.assets.notebook import size_text
from lineal.assets.records import Content, Materialization, StoredObject
from lineal.disk import kept
from lineal.fsck_report import (
    Counts,
    Finding,
    FsckReport,
    Held,
    Note,
    code_of,
    few,
    many,
    spans,
)
from lineal.lineage import checkpoint
from lineal.lineage.catalog import Catalog, CatalogBusy
from lineal.lineage.census import Census, Version
from lineal.lineage.index import Index
from lineal.lineage.journal import Journal, from_json
from lineal.storage.inspection import (
    LOST,
    fault_of_bytes,
    is_laid_out,
    list_objects,
    place_of,
    prove,
    read_bytes,
    sealed_files,
    walk,
)
from lineal.storage.objects import Objects

LEVELS = ("journal", "objects", "bytes", "content", "catalog")
TRASH = "trash"
_TOP = re.compile(
    r"(format|lost|journal|objects|cache|logs|locks|tmp|trash|catalog\.duckdb(\.(wal|seal\S*))?)\Z"
)
_ENTRY = re.compile(r"\d{12}(\.jsonl|-\d{12}\.pack)\Z")

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


class _Lie(NamedTuple):
    """A content that its objects don't give, and how that shows."""

    content: Content
    fault: str
    current: bool


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
        self._in_trash()
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
            told = f"lost from the journal: {spans(self._census.lost)}"
            self._note("lost", told, list(dict.fromkeys(map(self._where, self._census.lost))))
        if runs := self._census.without_end():
            have = "has" if len(runs) == 1 else "have"
            told = "cut off, going on, or the last entries are gone"
            self._note("runs", f"run {few(runs)} {have} no end: {told}")
        strangers = _strangers(self._root)
        if listing is not None:
            self._lying = listing.objects
            strangers += listing.strangers
        if strangers:
            self._note("unknown", f"{many(len(strangers), 'file')} not of this store", strangers)
        self._leftovers("leftovers", "tmp", "of runs that go on or were cut off")

    def _where(self, number: int) -> Path:
        """The file that holds an entry."""
        pack = self._journal.packs.covering(number)
        return self._journal.path(number) if pack is None else pack.path

    @cached_property
    def _unread(self) -> bool:
        """Are there entries that can't be read?"""
        told = self._root / "format"
        return any(f.level == "journal" and f.path != told for f in self._findings.values())

    def _in_trash(self) -> None:
        """It may hold the last copy of something."""
        held = [h.version for f in self._findings.values() for h in f.held if h.current]
        what = "that repairs moved away"
        if held:
            names = sorted({str(Step(v.asset, v.partition)) for v in held})
            what += f": keep them, for what is current of {few(names)} is damaged or missing"
        elif self._findings:
            what += ": keep them until all is well"
        elif self._level not in ("journal", "objects"):  # else bytes were not looked at
            what += ": yours to delete"
        self._leftovers("trash", TRASH, what)

    def _leftovers(self, kind: str, folder: str, what: str) -> None:
        found = list(walk(self._root / folder))
        if found:
            size = sum(size for _, size in found)
            told = f"{many(len(found), 'file')} in {folder}/ ({size_text(size)}) {what}"
            self._note(kind, told, [path for path, _ in found], size)

    # ------------------------------------------------------------------------------ objects

    def objects(self) -> None:
        """Every object that a fact names is there, with its size."""
        lost, gone = lost_before(self._root), []
        for stored in self._census.named():
            name = (stored.digest, stored.suffix)
            size, path = self._lying.get(name), place_of(self._root, *name)
            if size is None and path.is_file():
                continue  # linked since the look at the folder
            if size is None and stored.digest in lost and stored not in self._needed:
                gone.append(stored)
            elif size is None:
                self._find_object("objects", name, "is missing")
            elif size != stored.bytes:
                told = "is empty" if size == 0 else f"has {size:,} bytes, not {stored.bytes:,}"
                self._find_object("objects", name, told)
        if gone:
            names = sorted({held.text() for o in gone for held in self._held((o.digest, o.suffix))})
            names += [code_of(self._census.code[o]) for o in gone if o in self._census.code]
            told = f"lost, and no longer current: {few(names)}"
            self._note("lost", told, [place_of(self._root, o.digest, o.suffix) for o in gone])
        orphans = [name for name in self._lying if name not in self._by_name]
        if orphans:
            size = sum(self._lying[name] for name in orphans)
            named = "that no entry names"
            if self._unread:
                named = "that no entry that can be read names; the damaged ones may"
            elif self._census.lost:
                named = "that no entry names, unless the lost ones did"
            told = f"{many(len(orphans), 'object')} ({size_text(size)}) {named}"
            self._note("orphans", told, [place_of(self._root, *name) for name in orphans], size)
        self._counts["objects"] = len(self._lying)

    @cached_property
    def _by_name(self) -> dict[tuple[str, str], list[StoredObject]]:
        """The named objects by (digest, suffix): of one size each, unless a fact is wrong."""
        found: dict[tuple[str, str], list[StoredObject]] = {}
        for stored in self._census.named():
            found.setdefault((stored.digest, stored.suffix), []).append(stored)
        return found

    def _held(self, name: tuple[str, str]) -> list[Held]:
        """Who rests on an object, what is current first."""
        found = [
            self._holding(v, v in self._current and stored in self._needed)
            for stored in self._by_name.get(name, ())
            for v in self._census.holders.get(stored, ())
        ]
        return sorted(found, key=lambda held: not held.current)

    def _holding(self, version: Version, current: bool) -> Held:
        names = self._census.registered.get(version, ())
        return Held(version, current, self._census.versions[version], tuple(names))

    def _find_object(self, level: str, name: tuple[str, str], what: str) -> None:
        runs = [
            run
            for stored in self._by_name.get(name, ())
            for run in self._census.code.get(stored, ())
        ]
        told = f"{what}; it is {code_of(runs)}" if runs else what
        self._find(level, place_of(self._root, *name), told, self._held(name))

    # -------------------------------------------------------------------------------- bytes

    def bytes(self) -> None:
        """Every object's bytes have the digest that is its name; what is sealed is whole."""
        total = 0
        for done, seen in enumerate(read_bytes(self._root, self._lying), 1):
            total += seen.bytes
            self._heard("objects", done, len(self._lying))
            name = (seen.digest, seen.suffix)
            # Looked at twice: a run may have put a whole one in its place meanwhile.
            fault = seen.fault and fault_of_bytes(self._root, *name)
            named = name in self._by_name
            if fault and (named or place_of(self._root, *name).exists()):
                self._find_object("bytes", name, fault)
        self._counts["bytes"] = total
        self._seals()

    def _seals(self) -> None:
        """What is sealed: caches, the catalog, logs."""
        count, unsealed = 0, []
        for path, state in sealed_files(self._root):
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
        objects, shown = Objects(self._root), self._census.shown()
        seen: dict[tuple[str, int], str] = {}  # content, as its digest and hash → its fault
        lies: dict[Version, _Lie] = {}
        unproved = 0
        for made in self._contents():
            content = made.content
            assert content is not None
            if not self._whole(content):
                continue
            key = content.digest, hash(content)
            if key not in seen:
                self._heard("versions", len(seen) + 1, len(self._census.versions))
                proof = prove(content, objects)
                unproved += not proof.proved and not proof.fault
                seen[key] = proof.fault if proof.fault and self._is_there(content) else ""
                if not is_laid_out(self._root, content):
                    folder = self._cache / "folders" / content.digest
                    self._note("unknown", f"{folder} was changed; it is laid out anew", [folder])
            if seen[key]:
                version = Version(made.asset, made.partition, content.digest)
                known = lies.get(version)
                current = made.id in shown or (known is not None and known.current)
                lies[version] = _Lie(content, seen[key], current)
        self._recorded_wrongly(lies)
        self._counts["versions"] = len(self._census.versions)
        self._counts["unproved"] = unproved
        if unproved:
            told = f"{many(unproved, 'version')} with values of the project's own classes"
            self._note("unproved", f"{told}: the bytes are whole, the content was not compared")

    def _recorded_wrongly(self, lies: dict[Version, _Lie]) -> None:
        """What is current is damage: it is served. What no longer is, is only told."""
        found: dict[Path, Finding] = {}
        old: dict[str, Path] = {}
        for version, lie in lies.items():
            held = self._holding(version, lie.current)
            path, what = self._journal.folder, f"says of {held.text()}: {lie.fault}"
            for stored in lie.content.objects[:1]:  # none in a folder without files
                path, what = place_of(self._root, stored.digest, stored.suffix), lie.fault
            if lie.current:
                before = found.setdefault(path, Finding("content", path, what))
                found[path] = before._replace(held=(*before.held, held))
            else:
                old[f"{held.text()} ({lie.fault})"] = path
        for path, finding in found.items():
            self._findings.setdefault(path, finding)
        if old:
            told = f"recorded wrongly, no longer current: {few(list(old))}"
            self._note("wrong", told, list(dict.fromkeys(old.values())))

    def _is_there(self, content: Content) -> bool:
        """Are its objects still there, and whole? Else it is not the entry that is wrong."""
        for stored in content.objects:
            name = (stored.digest, stored.suffix)
            if fault := fault_of_bytes(self._root, *name):
                self._find_object("bytes", name, fault)
        return self._whole(content)

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
        wrong = [f for f in self._findings.values() if f.level == "journal"]
        if any(not found.is_missing or self._unread for found in wrong):
            told = "the journal" if self._unread else "`format`"
            self._note("unchecked", f"the catalog was not looked at: {told} is damaged")
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


def _path_and_what(sentence: str) -> tuple[Path, str]:
    """A sentence that begins with a path in backquotes, apart."""
    _, path, what = sentence.split("`", 2)
    return Path(path), what.lstrip(": ")


def lost_before(root: Path) -> frozenset[str]:
    """The digests of the objects that repairs could not bring back."""
    return frozenset(json.loads(kept(root / LOST) or b"[]"))
