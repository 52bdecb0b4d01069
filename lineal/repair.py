"""Repairs a store: sets aside what is damaged, and has what is current and lost made again.

Nothing is deleted: a damaged file is moved to `trash/<time>/`, under its own relative path.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

from lineal.assets.errors import LinealError
from lineal.assets.names import Step
from lineal.assets.run import Run
from lineal.disk import refusals, sealed
from lineal.fsck import TRASH, Heard, look, lost_before
from lineal.fsck_report import Action, Finding, FsckReport, Held, code_of
from lineal.lineage.catalog import Catalog
from lineal.lineage.census import Census, Version
from lineal.lineage.compaction import stage
from lineal.lineage.index import Index
from lineal.lineage.journal import Journal
from lineal.lineage.mending import upwards
from lineal.storage.inspection import LOST, fault_of_bytes, place_of, walk
from lineal.storage.locks import Starts

_OF_JOURNAL = ("facts-", "places-")  # caches that are made of the journal alone
# Makes in an environment those of these steps that are declared, by force or if they are stale;
# None: none is.
Remake = Callable[[str, Sequence[Step], bool], Run | None]


def repair(
    journal: Journal, found: FsckReport, remake: Remake, now: float, heard: Heard | None = None
) -> FsckReport:
    """Repair what a look found, and look again.

    Args:
        remake: has steps made in an environment, if need be by force; what it raises is told, and
            the rest of the repair goes on.
        now: names the folder in the trash.

    Raises:
        StoreError: the disk refuses, or another process works on the journal.
    """
    if found.ok:
        return found
    actions = tuple(_Repair(journal, found, remake, now).actions())
    after = look(journal, found.level, heard)
    return replace(after, actions=(*actions, *_lies_still(after, actions)))


class _Repair:
    """One repair, in the order in which its steps rest on one another."""

    def __init__(self, journal: Journal, found: FsckReport, remake: Remake, now: float) -> None:
        self._journal, self._root, self._disk = journal, journal.root, journal.disk
        self._damages = found.damages
        self._remake = remake
        self._trash = _fresh(self._root / TRASH, now)

    def actions(self) -> Iterator[Action]:
        starts = Starts(self._root / "locks")
        starts.hold()  # a run that starts now would look at what is being moved
        try:
            yield from self._objects_aside()
            yield from self._journal_mended()
            yield from self._caches_aside()
        finally:
            starts.let_go()
        lost = [found for found in self._damages if _is_object(found)]
        lies = [found for found in self._damages if found.level == "content"]
        showing = list(self._census().showing())
        yield from self._made_again(lost, showing, force=False)
        yield from self._made_again(lies, showing, force=True)
        yield from self._told(lost, lies)
        yield from self._catalog_rebuilt()

    # ------------------------------------------------------------------------------ setting aside

    def _objects_aside(self) -> Iterator[Action]:
        for found in self._damages:
            # Not if a run has put a whole one in its place meanwhile.
            if _is_object(found) and found.path.exists() and self._fault(found):
                yield self._aside(found.path)

    def _fault(self, found: Finding) -> str:
        digest, _, suffix = found.path.name.partition(".")
        return fault_of_bytes(self._root, digest, suffix)

    def _aside(self, path: Path) -> Action:
        target = self._trash / path.relative_to(self._root)
        with refusals(path):
            self._disk.make_folders(target.parent)
            self._disk.link(path, target)
            self._disk.sync(upwards(self._root, target.parent))  # before it loses its own name
            self._disk.unlink(path)
            self._disk.sync([path.parent])
        return Action("moved", f"was moved to {TRASH}/{self._trash.name}/ in the store", path)

    def _journal_mended(self) -> Iterator[Action]:
        if not self._journal_is_damaged:
            return
        for done in self._journal.mend(self._trash):
            yield Action("forgotten" if done.lost else "mended", done.what, done.path)
        for found in self._damages:
            if found.what.startswith("is missing at the end"):
                yield Action("forgotten", "is gone, and nobody knows what it said", found.path)

    @property
    def _journal_is_damaged(self) -> bool:
        return any(found.level == "journal" for found in self._damages)

    def _caches_aside(self) -> Iterator[Action]:
        """Caches and logs. Those of a journal that has lost entries say more than it does now."""
        cache, logs = self._root / "cache", self._root / "logs"
        ours = {cache, logs}
        wrong = {f.path for f in self._damages if not ours.isdisjoint(f.path.parents)}
        wrong |= {f.path for f in self._damages if f.path == self._root / LOST}
        if self._journal_is_damaged:
            wrong.update(path for path, _ in walk(cache) if path.name.startswith(_OF_JOURNAL))
        for path in sorted(wrong):
            if path.suffix == ".sqlite":
                Index(self._journal, cache).distrust()
                yield Action("rebuilt", "is made anew from the journal when it is asked", path)
            elif path.suffix != ".seal" and path.exists():
                yield self._aside(path)

    def _catalog_rebuilt(self) -> Iterator[Action]:
        catalog = Catalog(self._root, self._journal)
        wrong = self._journal_is_damaged or any(f.path == catalog.path for f in self._damages)
        if wrong and catalog.path.exists():
            catalog.rebuild()
            yield Action("rebuilt", "was made anew from the journal", catalog.path)

    # ------------------------------------------------------------------------------- making again

    def _made_again(
        self, found: Sequence[Finding], showing: Iterable[tuple[str, Version]], *, force: bool
    ) -> Iterator[Action]:
        """Versions that are current and can't be read, or are not what they should be."""
        current = {held.version for f in found for held in f.held if held.current}
        wanted: dict[str, set[Step]] = {}
        for environment, version in showing:
            if version in current:
                step = Step(version.asset, version.partition)
                wanted.setdefault(environment, set()).add(step)
        for environment, steps in wanted.items():
            yield from self._made_in(environment, sorted(steps, key=str), force=force)

    def _made_in(
        self, environment: str, wanted: Sequence[Step], *, force: bool
    ) -> Iterator[Action]:
        try:
            run = self._remake(environment, wanted, force)
        except LinealError as error:
            names = ", ".join(map(str, wanted))
            yield Action("failed", f"{names} could not be made again: {error.message}")
            return
        steps = run.steps if run is not None else ()
        known = {step.step for step in steps}
        for step in wanted:
            if step not in known and Step(step.asset) not in known:  # that makes all its slices
                why = "no code declares it any more"
                yield Action("failed", f"{step} could not be made again: {why}")
        for told in steps:
            if told.outcome in ("failed", "blocked", "skipped", "cancelled"):
                why = f": {told.error.message}" if told.error is not None else ""
                yield Action("failed", f"{told.step} could not be made again: {told.outcome}{why}")

    def _told(self, lost: Sequence[Finding], lies: Sequence[Finding]) -> Iterator[Action]:
        """What became of each version that rested on a lost object, or was recorded wrongly."""
        census = self._census()
        needed = {place_of(self._root, o.digest, o.suffix) for o in census.needed()}
        now: dict[Step, set[Version]] = {}
        for _, version in census.showing():
            now.setdefault(Step(version.asset, version.partition), set()).add(version)
        code = {place_of(self._root, o.digest, o.suffix): r for o, r in census.code.items()}
        gone = set()
        for found in lost:
            back = not self._fault(found)
            if not back:
                gone.add(found.path.name.partition(".")[0])
            if not back and (runs := code.get(found.path)):
                told = "a run of unchanged code writes it again"
                yield Action("lost", f"{code_of(runs)} is lost: {told}")
            for held in found.held:
                shown = _shown_for(held.version, now)
                yield _fate(held, shown, back=back, needed=found.path in needed)
        self._record(gone)
        for held in (held for found in lies for held in found.held):
            shown = _shown_for(held.version, now)
            if shown is not None and census.versions.get(shown) != held.making:
                yield _corrected(held, shown)

    def _census(self) -> Census:
        found = Census()
        for entry in self._journal.entries_left():
            found.take(entry)
        return found

    def _record(self, gone: set[str]) -> None:
        """So that the next look knows what is gone for good."""
        known = lost_before(self._root)
        if gone <= known:
            return
        path = self._root / LOST
        with refusals(path):
            staged = stage(self._journal, sealed(json.dumps(sorted(gone | known)).encode()))
            self._disk.replace(staged, path)
            self._disk.sync([self._root])


def _shown_for(version: Version, now: Mapping[Step, Set[Version]]) -> Version | None:
    """A version itself, if an environment still shows it; else what stands in its place."""
    shown = now.get(Step(version.asset, version.partition), frozenset[Version]())
    return version if version in shown else next(iter(shown), None)


def _corrected(held: Held, now: Version) -> Action:
    """What stands in the place of a version that was recorded wrongly."""
    step = Step(held.version.asset, held.version.partition)
    name = f"{step}@{held.version.digest[:6]}"
    if now == held.version:
        return Action("made_again", f"{name} was recorded wrongly, and was made again")
    return Action("changed", f"{name} was recorded wrongly: it is {step}@{now.digest[:6]} now")


def _lies_still(after: FsckReport, actions: Sequence[Action]) -> Iterator[Action]:
    """So that a repair which helped nothing says so, whatever the reason."""
    if any(action.kind == "failed" for action in actions):
        return
    for held in (held for f in after.damages if f.level == "content" for held in f.held):
        told = "was tried to be made again, and is recorded wrongly still"
        yield Action("failed", f"{held.text()} {told}")


def _fate(held: Held, now: Version | None, *, back: bool, needed: bool) -> Action:
    """What became of a version. `now`: what its step shows; `needed`: by an object that is lost."""
    step = Step(held.version.asset, held.version.partition)
    name = held._replace(current=False).text()
    if back:
        return Action("made_again", f"{name} is back, byte for byte")
    if held.current and needed and now == held.version:
        return Action("failed", f"{name} is current still, and can't be read")
    if held.current and now == held.version:
        return Action("made_again", f"{name} is back: the same content, in other bytes")
    if held.current and now is not None:
        return Action("changed", f"{name} came out otherwise: it is {step}@{now.digest[:6]} now")
    made = f"run {held.making.run} made it, with code {held.making.recipe[:6]}"
    return Action("lost", f"{name} is lost: {made}")


def _is_object(found: Finding) -> bool:
    return found.level in ("objects", "bytes") and found.path.parent.parent.name == "objects"


def _fresh(trash: Path, now: float) -> Path:
    """A folder that is not there yet."""
    name = dt.datetime.fromtimestamp(now, tz=dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    path, count = trash / name, 1
    while path.exists():
        count += 1
        path = trash / f"{name}-{count}"
    return path
