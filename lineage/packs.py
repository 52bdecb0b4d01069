"""Packs: consecutive entries of the journal in one file, so that a long journal has few files.

`journal/packs/000000000001-000000004096.pack` is the bytes of its entries one after the other, an
index line with the place of each, and an end line of fixed length with the place of the index and
the digests of the index and of all before the end. A pack is never changed once it is linked.

How packs and files go together, whatever the interleaving:

- A pack is durable before the files of its entries are removed, in that order only, and one process
  packs at a time. So who finds no file looks at the packs again, and only then says "missing".
- A pack wins over a file. A writer that slept while its number was taken, packed and removed can
  link that number once more; such a file is bogus. It can only appear after its pack did: so a
  writer looks at the packs after it linked (and takes a bogus file away again), and a reader looks
  at the packs after it read a file (and reads the pack instead). Either may die at any point: a
  bogus file that stays is covered by its pack for ever.
- Nobody else takes a file of a packed number away unless its bytes are those of the pack, so what
  such a writer removes is its own file.
- Whoever looks for the newest entry while files go away looks at the packs last: a number that is
  missing because it was packed is not beyond what the packs then hold.
- Packs don't overlap, and hold what their names say. One that does otherwise was put there by
  somebody else: it is damage and is moved away, after what only it holds whole became files.
"""

from __future__ import annotations

import errno
import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from blake3 import blake3

from lineal.lineage.entries import Broken, json_object, line

CHANGED = "was changed after it was written"
_NAME = re.compile(r"([0-9]{12})-([0-9]{12})\.pack\Z")
_HEADER = re.compile(rb'^\{"entry":([0-9]{1,12}),"previous":"', re.MULTILINE)
_END_LINE = b'\n{"end":'
_END = '{{"index":{:15d},"index_digest":"{}","digest":"{}"}}\n'
_END_BYTES = len(_END.format(0, "0" * 64, "0" * 64))


class Pack(NamedTuple):
    """A pack by its name: the numbers of its first and last entry, and where it stands."""

    first: int
    last: int
    path: Path


class _Index(NamedTuple):
    """Where each entry of a pack begins, and where the last one ends; of which file that is."""

    pack: Pack
    file: tuple[int, int, int]
    places: list[int]


class BrokenPack(Broken):
    """A pack that can't be read by its index, which pack."""

    def __init__(self, pack: Pack, what: str):
        super().__init__(what)
        self.pack = pack


class MisnamedPack(BrokenPack):
    """A pack whose index is proven and names other entries than its name does."""


class Packs:
    """The packs in a folder, as they were when last looked at. Reading changes nothing."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._known: list[Pack] = []
        self.strays: list[Pack] = []  # that are named like packs, for entries that can't be
        self._index: _Index | None = None  # of the pack that was read last

    def __iter__(self) -> Iterator[Pack]:
        return iter(self._known)

    def look(self) -> None:
        """See which packs there are now."""
        try:
            names = sorted(os.listdir(self.folder))  # noqa: PTH208
        except FileNotFoundError:
            names = []
        if names != [pack.path.name for pack in (*self._known, *self.strays)]:
            packs = [
                Pack(int(found[1]), int(found[2]), self.folder / name)
                for name in names
                if (found := _NAME.match(name))
            ]
            self._known = [pack for pack in packs if 1 <= pack.first <= pack.last]
            self.strays = [pack for pack in packs if not 1 <= pack.first <= pack.last]

    def only(self, packs: Sequence[Pack]) -> Packs:
        """As if there were no other packs than these; that is not looked at again."""
        chosen = Packs(self.folder)
        chosen._known = sorted(packs)
        return chosen

    def fault(self, pack: Pack) -> BrokenPack | None:
        """Why a pack can't be read by its index, if it can't."""
        try:
            with pack.path.open("rb") as file:
                self._places(pack, file)
        except BrokenPack as broken:
            return broken
        except OSError as error:
            return BrokenPack(pack, unreadable(error))
        return None

    @property
    def last(self) -> int:
        """The greatest number that is packed; 0 when there is none."""
        known = self._known
        return known[-1].last if known else 0

    def covering(self, number: int) -> Pack | None:
        """The pack that holds an entry."""
        known = self._known  # another thread may look meanwhile
        place = bisect_right(known, number, key=lambda pack: pack.first)
        return known[place - 1] if place and number <= known[place - 1].last else None

    def read(self, pack: Pack, number: int) -> bytes:
        """The bytes of an entry.

        Raises:
            FileNotFoundError: the pack is gone.
            BrokenPack: its index or its end is not what was written.
        """
        with pack.path.open("rb") as file:
            places = self._places(pack, file)
            begin, end = places[number - pack.first : number - pack.first + 2]
            file.seek(begin)
            return file.read(end - begin)

    def _places(self, pack: Pack, file: BinaryIO) -> list[int]:
        told = os.fstat(file.fileno())
        identity = (told.st_ino, told.st_size, told.st_mtime_ns)
        index = self._index
        if index is None or (index.pack, index.file) != (pack, identity):
            file.seek(max(0, told.st_size - _END_BYTES))
            at, index_digest, _ = _read_end(pack, file.read())
            file.seek(at)
            text = file.read(max(0, told.st_size - _END_BYTES - at))
            index = _Index(pack, identity, _read_index(pack, at, text, index_digest))
            self._index = index
        return index.places


def pack_name(first: int, last: int) -> str:
    """The name of the file of a pack."""
    return f"{first:012d}-{last:012d}.pack"


def pack_bytes(first: int, entries: Sequence[bytes]) -> bytes:
    """The bytes of a pack of consecutive entries."""
    places, at = [], 0
    for entry in entries:
        places.append(at)
        at += len(entry)
    index = line({"first": first, "last": first + len(entries) - 1, "places": places}) + b"\n"
    hasher = blake3()
    for part in (*entries, index):
        hasher.update(part)
    end = _END.format(at, blake3(index).hexdigest(), hasher.hexdigest())
    return b"".join((*entries, index, end.encode("ascii")))


def _read_end(pack: Pack, text: bytes) -> tuple[int, str, str]:
    """Where the index begins, its digest, and the digest of all before the end line."""
    raw = json_object(text)
    match raw:
        case {"index": int(at), "index_digest": str(index), "digest": str(whole)}:
            # The very bytes: JSON would forgive some changes.
            if at >= 0 and text == _END.format(at, index, whole).encode("ascii", "replace"):
                return at, index, whole
    raise BrokenPack(pack, "is cut short, or its end line was changed")


def _read_index(pack: Pack, at: int, text: bytes, digest: str) -> list[int]:
    if blake3(text).hexdigest() != digest:
        raise BrokenPack(pack, "has an index that was changed after it was written")
    raw = json_object(text)
    if (raw.get("first"), raw.get("last")) != (pack.first, pack.last):
        raise MisnamedPack(
            pack, f"says that it holds entries {raw.get('first')} to {raw.get('last')}"
        )
    return [*raw["places"], at]


def unreadable(error: OSError) -> str:
    """What is wrong with a file of which the disk can't give the bytes.

    Any other error is raised: who may not read a file can't say what is lost.
    """
    if error.errno != errno.EIO:
        raise error
    return f"can't be read: {error.strerror}"


def lying_in(path: Path) -> Iterator[tuple[int, bytes]]:
    """What looks like an entry in the file of a pack, whatever its name and index say."""
    try:
        data = path.read_bytes()
    except OSError as error:
        unreadable(error)
        return
    for number, begin, end in _lying_in(data):
        yield number, data[begin:end]


def _lying_in(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The number that each entry says it has, where it begins and where it ends."""
    for header in _HEADER.finditer(data):
        end = data.find(_END_LINE, header.start())
        end = data.find(b"\n", end + 1) + 1 if end >= 0 else 0
        yield int(header[1]), header.start(), end or len(data)


def examined(pack: Pack) -> tuple[str | None, dict[int, bytes]]:
    """What is wrong with a pack as a whole, if anything, and the bytes of the entries in it.

    Entries are found without the index, by their own first and last lines, so that they are kept
    when the index is damaged. Their seals are not looked at.
    """
    try:
        data = pack.path.read_bytes()
    except OSError as error:
        return unreadable(error), {}
    found: dict[int, bytes] = {}
    begins: dict[int, int] = {}
    for number, begin, end in _lying_in(data):
        if pack.first <= number <= pack.last and number not in found:
            begins[number] = begin
            found[number] = data[begin:end]
    try:
        at, index_digest, whole = _read_end(pack, data[-_END_BYTES:])
        places = _read_index(pack, at, data[at:-_END_BYTES], index_digest)
    except BrokenPack as broken:
        return str(broken), found
    if blake3(data[:-_END_BYTES]).hexdigest() != whole:
        return CHANGED, found
    if places[:-1] != [begins.get(n) for n in range(pack.first, pack.last + 1)]:
        return "has an index that names other places than those of its entries", found
    return None, found
