"""The journal: numbered, chained, immutable entries of facts; the only truth.

An entry is a file `journal/000000000042.jsonl`: a header line with its number and the digest of its
predecessor's file, one fact a line, and an end line with the number of lines and the digest of all
that stands before it. It is staged, synced and linked exclusively, so there is one total order
without a clock, and a gap, an edit or a torn file can be named. Old entries are moved into packs
(packs.py says how readers and writers live with that).
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3

from lineal.assets.errors import IntegrityError, StoreError
from lineal.assets.records import Fact
from lineal.disk import Disk, advice_for
from lineal.lineage.entries import NO_PREDECESSOR, Broken, Entry, line, seal, unseal
from lineal.lineage.fact_json import from_json, to_json
from lineal.lineage.packs import BrokenPack, Packs
from lineal.lineage.store_format import FORMAT, WRITTEN, wrong_format

if TYPE_CHECKING:
    from lineal.lineage.damage import Damage
    from lineal.lineage.mending import Mended

__all__ = ["FORMAT", "Entry", "Journal", "from_json", "to_json"]

_ADVICE = (
    "restore this file from a backup; without one, `lineal fsck --repair` keeps all the rest, "
    "and what is lost is made again"
)


class _NoFacts(Exception):
    """There is nothing to write."""


class Journal:
    """The entries below `<root>/journal`; `root` is the store's folder (`.lineal`).

    Nothing is created before the first append; reading where nothing is sees an empty journal.
    `within` is a folder above it that is no part of the store, its parent unless given: who made
    those between may have left it to us to make their names durable.
    """

    def __init__(self, root: Path, disk: Disk | None = None, within: Path | None = None):
        self.root = Path(root)
        self.disk = Disk() if disk is None else disk
        self._within = self.root.parent if within is None else within
        self.folder = self.root / "journal"
        self.packs = Packs(self.folder / "packs")
        self._head = 0  # a number known to exist; entries never go away
        self._head_digest = NO_PREDECESSOR
        self._format_checked = False
        self._syncing = False
        self._broken: StoreError | None = None  # once an fsync failed

    # -------------------------------------------------------------------------------- writing

    def append(self, facts: Sequence[Fact]) -> int:
        """Write one durable entry after all others; returns its number.

        Raises:
            StoreError: the disk refused; or the last entry that this object wrote or relied on is
                gone, so this is not the journal that the facts are about.
        """
        self._check_not_replaced()
        lines = [line(to_json(fact)) for fact in facts]
        return self._append(lambda _: lines)

    def start_run(self, facts: Callable[[str], Sequence[Fact]]) -> str:
        """Append the entry that starts a run: its number names the run. Returns the run's id."""
        self._head, self._head_digest = 0, NO_PREDECESSOR  # whatever stood here before
        number = self._append(lambda n: [line(to_json(fact)) for fact in facts(f"r{n}")])
        return f"r{number}"

    def append_after(self, facts: Callable[[int], Sequence[Fact]]) -> int:
        """Write one entry of facts that rest on all before it; returns its number, 0 if there are
        none.

        `facts` is given the number it will have, and asked again if that is taken meanwhile.
        """
        self._check_not_replaced()

        def lines(number: int) -> list[bytes]:
            found = facts(number)
            if not found:
                raise _NoFacts
            return [line(to_json(fact)) for fact in found]

        try:
            return self._append(lines)
        except _NoFacts:
            return 0

    def _append(self, make_lines: Callable[[int], list[bytes]]) -> int:
        if self._broken is not None:
            raise self._broken
        try:
            self._prepare()
            while True:
                # Perhaps of long ago: what is packed meanwhile is noticed once it is linked.
                number = self._newest(self._known()) + 1
                previous = self._digest_of_head(number - 1)
                # In this order: others may link both between the two looks.
                if self._exists(number + 1) and not self.has(number):
                    raise self._gap(number)
                data = seal(number, previous, make_lines(number))
                if self._link(number, data):
                    self._head, self._head_digest = number, blake3(data).hexdigest()
                    return number
        except OSError as error:
            refused = StoreError(
                f"the journal could not be written: {error.strerror or error}",
                where=os.fspath(error.filename2 or error.filename or self.folder),
                advice=advice_for(error),
            )
            if self._syncing:  # nobody knows what is on the disk: no file is synced a second time
                anew = "mend that, then open the project anew: this one does not know what was kept"
                self._broken = StoreError(refused.message, where=refused.where, advice=anew)
            raise refused from error

    def _check_not_replaced(self) -> None:
        number, digest = self._head, self._head_digest
        if number and not self.holds(number, digest):
            self._head, self._head_digest = 0, NO_PREDECESSOR
            raise StoreError(
                f"the journal was replaced by another: entry {number} is not what it was",
                where=str(self.path(number)),
                advice="put no other store in the place of one that is in use; then run again",
            )

    def _digest_of_head(self, number: int) -> str:
        if number != self._head:
            # Read whole, so that nothing is ever chained to a damaged entry; and it must be as
            # durable as what is chained to it.
            self._head, self._head_digest = number, self.digest(number)
            self._sync([self.folder])
        return self._head_digest

    def _link(self, number: int, data: bytes) -> bool:
        """Make the bytes entry `number`, durably; False when that number is taken, or was."""
        staged = self._stage(f"entry-{os.getpid()}-{os.urandom(8).hex()}", data)
        try:
            self.disk.link(staged, self.path(number))
        except FileExistsError:
            return False
        finally:
            self.disk.forget(staged)
        if not self._packed(number):
            self._sync([self.folder])
            return True
        if self.bytes_of(number) == data:  # linked in time, and packed since
            self._sync([self.folder, self.packs.folder])
            return True
        self.disk.unlink(self.path(number))
        return False

    def _stage(self, name: str, data: bytes) -> Path:
        staged = self.root / "tmp" / name
        try:
            self.disk.create(staged, data)
            self._sync([staged])
        except OSError:
            self.disk.forget(staged)
            raise
        return staged

    def _sync(self, paths: Sequence[str | Path]) -> None:
        self._syncing = True
        self.disk.sync(paths)
        self._syncing = False

    def _prepare(self) -> None:
        """Create what is missing below the root, and refuse a format from the future."""
        if self._format_checked and self._head:
            return
        # The names of these are made durable in any case: a process that made them may have been
        # killed before it did, and what is linked below would go with them.
        above = [p for p in self.root.parents if p.is_relative_to(self._within)]
        changed = {os.fspath(p) for p in (self.root, self.root.parent, *above)}
        changed.update(self.disk.make_folders(self.folder))
        changed.update(self.disk.make_folders(self.root / "tmp"))
        self._sync(sorted(changed))
        written = self.root / "format"
        if not written.exists():
            staged = self._stage(f"format-{os.getpid()}-{os.urandom(8).hex()}", WRITTEN)
            with contextlib.suppress(FileExistsError):
                self.disk.link(staged, written)
            self.disk.forget(staged)
            self._sync([self.root])
        self._check_format()

    # ------------------------------------------------------------------------------ whole journal

    def compact(self, keep: int = 1024, size: int = 4096) -> int:
        """Move full ranges of old entries into packs of up to `size`; how many were moved.

        At least the newest `keep` stay files. 0 also when another process is packing. What an
        earlier attempt left half done is finished. Raises IntegrityError at a damaged entry.
        """
        from lineal.lineage.compaction import compact

        return compact(self, keep, size)

    def damages(self, seen: int = 0) -> list[Damage]:
        """Every file of the journal that is missing or not what was written; reads all of it.

        `seen`: the number of an entry that was once there, as a cache may know.
        """
        from lineal.lineage.damage import damages

        return damages(self, seen)

    def entries_left(self) -> Iterator[Entry]:
        """The good entries, in order, whatever is wrong with others: those `damages` doesn't tell.

        For questions about what a damaged journal still says; everybody else reads `entries`.
        """
        from lineal.lineage.damage import entries_left

        return entries_left(self)

    def mend(self, trash: Path) -> list[Mended]:
        """Move damaged files into `trash`, a folder of the store, each under the path it has there,
        and keep all the rest; what was done.

        In the place of an entry that is lost stands one without facts, so that the others keep
        their numbers and their chain. Nothing may be running on the store meanwhile.
        """
        from lineal.lineage.mending import mend

        try:
            return mend(self, Path(trash))
        finally:
            self._head, self._head_digest = 0, NO_PREDECESSOR

    # -------------------------------------------------------------------------------- reading

    def path(self, number: int) -> Path:
        """Where entry `number` stands, or will."""
        return self.folder / f"{number:012d}.jsonl"

    def head(self, hint: int = 0) -> int:
        """The number of the newest entry, 0 when there is none.

        Looks at about 2·log₂(new entries) names, never at the whole folder. `hint`: a number that
        may exist; a wrong one costs time, not truth.
        """
        self._check_format()
        low = self._newest(self._known(hint))
        self.packs.look()
        while self.packs.last > low:
            low = self._newest(self.packs.last)
            self.packs.look()
        return low

    def _known(self, hint: int = 0) -> int:
        """A number that exists, as great a one as is known; 0 when there is none."""
        if not self._head:
            self.packs.look()
        low = max(self._head, hint, self.packs.last)
        if low and not self.has(low):
            low = self.packs.last  # a wrong hint, or the journal was replaced by another
            self._head, self._head_digest = 0, NO_PREDECESSOR
        return low

    def _newest(self, low: int) -> int:
        """The newest entry after `low`; too small a number if entries are packed meanwhile."""
        step = 1
        while self._exists(low + step):
            low += step
            step *= 2
        while step > 1:
            step //= 2
            if self._exists(low + step):
                low += step
        return low

    def read(self, after: int = 0) -> Iterator[tuple[int, list[Fact]]]:
        """All facts of the entries after `after`, in order, the chain verified.

        Raises IntegrityError naming the file that is missing, cut short or changed.
        """
        for entry in self.entries(after):
            yield entry.number, self.facts(entry)

    def facts(self, entry: Entry) -> list[Fact]:
        """The facts of an entry."""
        try:
            return [from_json(json.loads(line)) for line in entry.lines]
        except IntegrityError as error:
            where = str(self.path(entry.number))
            raise IntegrityError(error.message, where=where, advice=error.advice) from error

    def entries(self, after: int = 0, digest: str | None = None) -> Iterator[Entry]:
        """The entries after `after`, in order, the chain verified; see `read`.

        `digest`: that of entry `after`, when the caller has just seen it.
        """
        self._check_format()
        previous = self.digest(after) if digest is None else digest
        number = after + 1
        while True:
            try:
                entry = self.entry(number)
            except FileNotFoundError:
                self._check_no_gap(number, whole=after == 0)
                return
            if entry.previous != previous:
                raise self._damaged(
                    number, f"does not follow entry {number - 1}: one of the two was replaced"
                )
            yield entry
            previous = entry.digest
            number += 1

    def digest(self, number: int) -> str:
        """The digest of an entry; of entry 0, what the first one is chained to."""
        if number == 0:
            return NO_PREDECESSOR
        try:
            return self.entry(number).digest
        except FileNotFoundError:
            raise self._damaged(number, "is missing") from None

    def holds(self, number: int, digest: str) -> bool:
        """Is entry `number` there, with this digest? Damage to it is told as such."""
        try:
            return self.entry(number).digest == digest
        except FileNotFoundError:
            return False

    def entry(self, number: int) -> Entry:
        """One entry by itself, its seal verified, not its chain. FileNotFoundError when missing."""
        try:
            return unseal(number, self.bytes_of(number))
        except Broken as broken:
            raise self._damaged(number, str(broken)) from None

    def bytes_of(self, number: int) -> bytes:
        """What stands as entry `number`: in a pack if one holds it, else in its file.

        In this order, and each once more: see packs.py.
        """
        for _ in range(3):
            pack = self.packs.covering(number)
            try:
                if pack is not None:
                    return self.packs.read(pack, number)
                data = self.path(number).read_bytes()
                if not self._packed(number):
                    return data
            except FileNotFoundError:
                self.packs.look()
            except BrokenPack as broken:
                raise self._broken_pack(broken) from None
        raise FileNotFoundError(self.path(number))

    # --------------------------------------------------------------------------------- proofs

    def _check_format(self) -> None:
        if self._format_checked:
            return
        path = self.root / "format"
        try:
            wrong = wrong_format(path)
        except FileNotFoundError:
            return  # nothing was ever written here
        if wrong:
            raise IntegrityError(
                f"the format of the store {wrong}",
                where=str(path),
                advice=f"write `{FORMAT}` into it if this is a store of this lineal",
            )
        self._format_checked = True

    def _exists(self, number: int) -> bool:
        """Is the entry there? A no may come of packs that were not yet looked at."""
        return self.packs.covering(number) is not None or os.path.lexists(self.path(number))

    def has(self, number: int) -> bool:
        """Is there an entry of that number, as of now?"""
        return self._exists(number) or self._packed(number)

    def _packed(self, number: int) -> bool:
        """Is the entry in a pack, as of now?"""
        self.packs.look()
        return self.packs.covering(number) is not None

    def _check_no_gap(self, missing: int, *, whole: bool) -> None:
        """Raise if an entry stands beyond a missing one; `whole` looks at every name there is."""
        if self.has(missing):
            return  # linked a moment ago: the next reader sees it
        if whole:
            try:
                names = os.listdir(self.folder)  # noqa: PTH208 (a million names)
            except FileNotFoundError:
                return
            beyond = any(name[:12] > f"{missing:012d}" for name in names if name[:12].isdecimal())
        else:
            beyond = self._exists(missing + 1)
        # An entry and its successor may both have been linked since the first look.
        if (beyond or self.packs.last > missing) and not self.has(missing):
            raise self._gap(missing)

    def _gap(self, number: int) -> IntegrityError:
        return self._damaged(number, "is missing, but later ones exist")

    def _damaged(self, number: int, what: str) -> IntegrityError:
        pack = self.packs.covering(number)
        return IntegrityError(
            f"entry {number} of the journal {what}",
            where=str(self.path(number) if pack is None else pack.path),
            advice=_ADVICE,
        )

    def _broken_pack(self, broken: BrokenPack) -> IntegrityError:
        pack = broken.pack
        return IntegrityError(
            f"the pack of entries {pack.first} to {pack.last} of the journal {broken}",
            where=str(pack.path),
            advice=_ADVICE,
        )
