"""Damaged files of the journal are moved away, and all the rest is kept as it is numbered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

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


def mend(journal: Journal, trash: Path) -> list[str]:
    """See `Journal.mend`."""
    with packing(journal), refusals(journal.folder):
        told = examine(journal)
        if not told.findings:
            return []
        journal.disk.make_folders(trash)
        actions = list(_Mending(journal, trash, told).actions())
        folders = (journal.root, journal.folder, journal.packs.folder, trash)
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

    def actions(self) -> Iterator[str]:
        packs = {pack.path: pack for pack in self._journal.packs}
        waiting = dict(packs)  # several damages of one pack are mended together
        for damage in (finding.damage for finding in self._told.findings):
            if damage.path == self._journal.root / "format":
                yield self._format(damage.path)
            elif damage.path in packs:
                if (pack := waiting.pop(damage.path, None)) is not None:
                    yield self._pack(pack)
            elif damage.path.suffix == ".pack" or damage.first < damage.last:
                yield from self._gap(damage.first, damage.last)
            elif damage.path.parent == self._journal.folder:
                yield from self._entry(damage)

    # ---------------------------------------------------------------------------------- one of each

    def _format(self, path: Path) -> str:
        moved = self._keep(path) if path.exists() else None
        self._put(WRITTEN, path)
        away = f"; what it was is `{moved}`" if moved else ""
        return f"`{path}` was written anew{away}"

    def _entry(self, damage: Damage) -> Iterator[str]:
        path, number = damage.path, damage.first
        there = path.exists()
        if not there and number > self._told.newest:
            return
        moved = self._keep(path) if there else None
        told = f"was moved to `{moved}`" if there else "was missing"
        if number > self._told.newest:
            self._disk.unlink(path)
            yield f"`{path}` {told}; no entry that is whole comes after it"
        else:
            self._put(self._stand_in(number, self._journal.digest(number - 1)), path)
            yield f"`{path}` {told}; an entry that says that it is lost stands in its place"

    def _gap(self, first: int, last: int) -> Iterator[str]:
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
        yield (
            f"entries {first} to {last} were missing; entries that say that they are lost stand "
            "in their place"
        )

    def _pack(self, pack: Pack) -> str:
        lost = sum(min(d.last, pack.last) - d.first + 1 for d in self._lost if d.path == pack.path)
        last = min(pack.last, self._told.newest)
        moved = self._keep(pack.path)
        if last < pack.first:
            self._disk.unlink(pack.path)
            return f"`{pack.path}` was moved to `{moved}`; no entry that is whole comes after it"
        _, found = examined(pack)
        data = pack_bytes(pack.first, self._entries(pack.first, last, found))
        self._put(data, pack.path.with_name(pack_name(pack.first, last)))
        if last != pack.last:
            self._disk.unlink(pack.path)
        self._journal.packs.look()
        held = f"all its entries but {lost}" if lost else "all its entries"
        return f"`{pack.path}` was moved to `{moved}`; a pack with {held} stands in its place"

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

    def _keep(self, path: Path) -> Path:
        """A file's name in the trash, durable before it loses its own."""
        count = 1
        while True:
            name = path.name if count == 1 else f"{path.stem}.{count}{path.suffix}"
            try:
                self._disk.link(path, self._trash / name)
            except FileExistsError:
                count += 1
            else:
                self._disk.sync([self._trash])
                return self._trash / name
