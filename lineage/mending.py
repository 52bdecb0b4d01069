"""Damaged files of the journal are moved away, and all the rest is kept as it is numbered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lineal.disk import refusals
from lineal.lineage.compaction import packing, put_pack, stage
from lineal.lineage.damage import Damage, Examined, examine
from lineal.lineage.entries import seal_lost, unseal
from lineal.lineage.packs import Pack, examined, pack_bytes, pack_name
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
        actions = list(_Mending(journal, trash, told).actions())
        folders = (journal.root, journal.folder, journal.packs.folder)
        journal.disk.sync([folder for folder in folders if folder.exists()])
        return actions


class _Mending:
    """Goes from the first damage to the last: what stands before is good already."""

    def __init__(self, journal: Journal, trash: Path, told: Examined):
        self._journal = journal
        self._disk = journal.disk
        self._trash = trash
        self._told = told
        self._lost = [f.damage for f in told.findings if f.lost]

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

    # ------------------------------------------------------------------------------------ the means

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

    def _is_lost(self, number: int) -> bool:
        return any(damage.first <= number <= damage.last for damage in self._lost)

    def _stand_in(self, number: int, previous: str) -> bytes:
        return seal_lost(number, previous, self._told.claims.get(number))

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


def upwards(root: Path, folder: Path) -> list[Path]:
    """A folder and those above it, up to the store's: all whose names must be durable."""
    return [folder, *(above for above in folder.parents if above.is_relative_to(root))]
