"""Damaged files of the journal are moved away, and all the rest is kept as it is numbered."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lineal.disk import refusals
from lineal.lineage.compaction import numbers, packing, put_pack, stage
from lineal.lineage.damage import Damage, Examined, entries_left, examine, told_apart
from lineal.lineage.entries import NO_PREDECESSOR, Broken, Entry, is_stand_in, seal_lost, unseal
from lineal.lineage.packs import Pack, Packs, examined, lying_in, pack_bytes, pack_name, unreadable
from lineal.lineage.store_format import WRITTEN

if TYPE_CHECKING:
    from lineal.lineage.journal import Journal

_FILES_AT_ONCE = 32  # a longer gap beside packs is filled with a pack
_PACKED_AT_ONCE = 4096


class Mended(NamedTuple):
    """What was done about one file. `what` reads on from its path; `lost`: entries were lost."""

    path: Path
    what: str
    lost: bool


def mend(journal: Journal, trash: Path) -> list[Mended]:
    """See `Journal.mend`."""
    with packing(journal), refusals(journal.folder):
        told = examine(journal)
        if not told.findings:
            return []
        actions = list(_Rescue(journal, trash, told).actions())
        told = examine(journal)
        actions += _Mending(journal, trash, told).actions()
        folders = (journal.root, journal.folder, journal.packs.folder)
        journal.disk.sync([folder for folder in folders if folder.exists()])
        return actions


class _Means:
    """What is known about the journal, and how its files are put and moved."""

    def __init__(self, journal: Journal, trash: Path, told: Examined):
        self._journal = journal
        self._disk = journal.disk
        self._trash = trash
        self._told = told
        self._lost = [f.damage for f in told.findings if f.lost]

    def _is_lost(self, number: int) -> bool:
        return any(damage.first <= number <= damage.last for damage in self._lost)

    def _put(self, data: bytes, path: Path) -> None:
        """In place of what has that name, in one step."""
        staged = stage(self._journal, data)
        try:
            self._disk.replace(staged, path)
        except OSError:
            self._disk.forget(staged)
            raise

    def _moved(self, path: Path) -> str:
        """Give a file a name in the trash, durable before it loses its own; where, in words."""
        kept = self._trash / path.relative_to(self._journal.root)
        self._disk.make_folders(kept.parent)
        count = 1
        while True:
            name = path.name if count == 1 else f"{path.stem}.{count}{path.suffix}"
            try:
                self._disk.link(path, kept.with_name(name))
            except FileExistsError:
                count += 1
            else:
                root = self._journal.root
                self._disk.sync(upwards(root, kept.parent))
                return f"was moved to {kept.with_name(name).relative_to(root)}"


class _Rescue(_Means):
    """Lost entries that lie whole elsewhere become files; the packs concerned are moved away.

    They lie in files of numbers that a damaged pack has too, and in packs that don't count.
    """

    def actions(self) -> Iterator[Mended]:
        packs, aside = told_apart(self._journal)
        aside_paths = [finding.damage.path for finding in aside]
        saved = self._chosen(self._copies(packs, aside_paths))
        hurt = [p.path for p in packs if any(p.first <= n <= p.last for n in saved)]
        # Durable in files before a pack goes.
        for pack in (pack for pack in packs if pack.path in hurt):
            _, found = examined(pack)
            yield from self._files({n: d for n, d in found.items() if not self._is_lost(n)})
        yield from self._files({number: entry.data for number, entry in saved.items()})
        if hurt or aside_paths:
            self._disk.sync([self._journal.folder])
        for path in (*hurt, *aside_paths):
            away = self._moved(path)
            self._disk.unlink(path)
            yield Mended(path, f"{away}; what only it held whole stands in files", lost=False)
        self._journal.packs.look()

    def _copies(self, packs: Packs, aside: list[Path]) -> dict[int, list[Entry]]:
        """Per lost entry what could be it, sealed; what packs hold before what files do."""
        damaged = {damage.path for damage in self._lost}
        copies: dict[int, list[Entry]] = {}

        def keep(number: int, data: bytes) -> None:
            if number > self._told.newest or self._is_lost(number):
                with contextlib.suppress(Broken):
                    copies.setdefault(number, []).append(unseal(number, data))

        for path in (*aside, *(pack.path for pack in packs if pack.path in damaged)):
            for number, data in lying_in(path):
                keep(number, data)
        for number in numbers(self._journal.folder):
            pack = packs.covering(number)
            if pack is not None and pack.path in damaged:
                keep(number, self._read(number) or b"")
        return {number: entries for number, entries in copies.items() if entries}

    def _chosen(self, copies: dict[int, list[Entry]]) -> dict[int, Entry]:
        """The copies that fit into the chain, from the last one back: the next one names each."""
        known = self._neighbours(copies)
        chosen: dict[int, Entry] = {}
        for number in sorted(copies, reverse=True):
            after, before = chosen.get(number + 1, known.get(number + 1)), known.get(number - 1)
            names = {entry.digest for entry in copies.get(number - 1, ())}
            fit = [
                entry
                for entry in copies[number]
                if (
                    after.previous == entry.digest
                    if after is not None
                    else before is None or entry.previous == before.digest
                )
            ]
            if fit:
                chosen[number] = min(fit, key=lambda e: (is_stand_in(e), e.previous not in names))
        return self._without_strangers(chosen, known)

    def _without_strangers(
        self, chosen: dict[int, Entry], known: dict[int, Entry]
    ) -> dict[int, Entry]:
        """Past all that is good only what goes on from there: else it may be another journal's."""
        newest = self._told.newest
        kept = {number: entry for number, entry in chosen.items() if number < newest}
        digest = known[newest].digest if newest in known else NO_PREDECESSOR
        number = newest + 1
        while number in chosen and chosen[number].previous == digest:
            kept[number] = chosen[number]
            digest = chosen[number].digest
            number += 1
        return kept

    def _neighbours(self, copies: Iterable[int]) -> dict[int, Entry]:
        near = {n for number in copies for n in (number - 1, number + 1)}
        if not near:
            return {}
        return {e.number: e for e in entries_left(self._journal) if e.number in near}

    def _files(self, entries: dict[int, bytes]) -> Iterator[Mended]:
        for number, data in sorted(entries.items()):
            path = self._journal.path(number)
            if self._read(number) == data:
                self._disk.sync([path])  # who wrote it may have died before it did
                continue
            away = self._moved(path) if path.exists() else ""
            self._put(data, path)
            if away:
                yield Mended(path, f"{away}; a whole copy stands in its place", lost=False)

    def _read(self, number: int) -> bytes | None:
        try:
            return self._journal.path(number).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            unreadable(error)
            return None


class _Mending(_Means):
    """Goes from the first damage to the last: what stands before is good already."""

    def actions(self) -> Iterator[Mended]:
        packs = {pack.path: pack for pack in self._journal.packs}
        waiting = dict(packs)  # several damages of one pack are mended together
        for damage in (finding.damage for finding in self._told.findings):
            if damage.path == self._journal.root / "format":
                yield self._format(damage.path)
            elif damage.path in packs:
                if (pack := waiting.pop(damage.path, None)) is not None:
                    yield self._pack(pack)
            elif damage.path.suffix == ".pack" or damage.first < damage.last:
                yield from self._gap(damage.path, damage.first, damage.last)
            elif damage.path.parent == self._journal.folder:
                yield from self._entry(damage)

    # ---------------------------------------------------------------------------------- one of each

    def _format(self, path: Path) -> Mended:
        away = self._moved(path) if path.exists() else "was missing"
        self._put(WRITTEN, path)
        return Mended(path, f"{away}; it was written anew", lost=False)

    def _entry(self, damage: Damage) -> Iterator[Mended]:
        path, number = damage.path, damage.first
        there = path.exists()
        if not there and number > self._told.newest:
            return
        told = self._moved(path) if there else "was missing"
        if number > self._told.newest:
            self._disk.unlink(path)
            yield Mended(path, f"{told}; no entry that is whole comes after it", lost=True)
        else:
            self._put(self._stand_in(number, self._journal.digest(number - 1)), path)
            what = f"{told}; an entry that says that it is lost stands in its place"
            yield Mended(path, what, lost=True)

    def _gap(self, path: Path, first: int, last: int) -> Iterator[Mended]:
        if first > self._told.newest:
            return
        journal = self._journal
        packed = journal.packs.last
        if first <= packed or (first == packed + 1 and last - first >= _FILES_AT_ONCE):
            for begin in range(first, last + 1, _PACKED_AT_ONCE):
                end = min(last, begin + _PACKED_AT_ONCE - 1)
                entries = self._entries(begin, end, {})
                put_pack(journal, begin, end, pack_bytes(begin, entries))
        else:
            previous = journal.digest(first - 1)
            for number in range(first, last + 1):
                data = self._stand_in(number, previous)
                self._put(data, journal.path(number))
                previous = unseal(number, data).digest
        what = "was missing; entries that say that they are lost stand in place of those"
        yield Mended(path, f"{what} from {first} to {last}", lost=True)

    def _pack(self, pack: Pack) -> Mended:
        lost = sum(min(d.last, pack.last) - d.first + 1 for d in self._lost if d.path == pack.path)
        last = min(pack.last, self._told.newest)
        away = self._moved(pack.path)
        if last < pack.first:
            self._disk.unlink(pack.path)
            return Mended(pack.path, f"{away}; no entry that is whole comes after it", lost=True)
        _, found = examined(pack)
        data = pack_bytes(pack.first, self._entries(pack.first, last, found))
        self._put(data, pack.path.with_name(pack_name(pack.first, last)))
        if last != pack.last:
            self._disk.unlink(pack.path)
        self._journal.packs.look()
        held = f"all its entries but {lost}" if lost else "all its entries"
        what = f"{away}; a pack with {held} stands in its place"
        return Mended(pack.path, what, lost > 0 or last < pack.last)

    # ---------------------------------------------------------------------------------- the entries

    def _entries(self, first: int, last: int, found: dict[int, bytes]) -> list[bytes]:
        """The bytes of the good ones, and what stands in the place of the others."""
        previous = self._journal.digest(first - 1)
        entries = []
        for number in range(first, last + 1):
            if self._is_lost(number):
                entries.append(self._stand_in(number, previous))
            else:
                entries.append(found[number])
            previous = unseal(number, entries[-1]).digest
        return entries

    def _stand_in(self, number: int, previous: str) -> bytes:
        return seal_lost(number, previous, self._told.claims.get(number))


def upwards(root: Path, folder: Path) -> list[Path]:
    """A folder and those above it, up to the store's: all whose names must be durable."""
    return [folder, *(above for above in folder.parents if above.is_relative_to(root))]
