"""The machine below a store: which bytes and names are durable, and what a power cut leaves.

By POSIX at its worst: a file's bytes may be lost, torn or zeros unless the file was synced; a name
that was made, removed or given to another file may stand for any of what it stood for, until its
folder is synced. Links share their bytes.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lineal.disk import AnyPath

GONE = -1  # what a name stands for when there is none
FOLDER = 0  # what it stands for when it is a folder's; files have numbers from 1
SECTOR = 512
ONLY_SYNCED, ALL_TORN = 0, 1  # the two extreme power cuts; any other seed is a random one


class File(NamedTuple):
    """A file of a tree; names with the same number are links to one file."""

    number: int
    data: bytes
    mode: int


Tree = dict[str, File | None]  # by path below the store's parent; None: a folder


def lay(tree: Tree, base: Path) -> None:
    """Write a tree below a folder, its links as links."""
    first: dict[int, Path] = {}
    for path, file in sorted(tree.items()):
        place = base / path
        if file is None:
            place.mkdir()
        elif file.number in first:
            os.link(first[file.number], place)
        else:
            place.write_bytes(file.data)
            place.chmod(file.mode)
            first[file.number] = place


@dataclass(frozen=True)
class Image:
    """What stands on a disk at one moment, and what of it is durable.

    Attributes:
        present: the tree as every process sees it.
        durable: by folder, the names that were synced and what they stand for.
        pending: by folder and name, what the name stood for since, oldest first.
        synced: the bytes of each file when it was last synced.
        unlinked: the bytes of files that have no name any more, but may get one back.
        lost: the files of which a sync failed.
    """

    present: Tree
    durable: Mapping[str, Mapping[str, int]]
    pending: Mapping[str, Mapping[str, Sequence[int]]]
    synced: Mapping[int, bytes]
    unlinked: Mapping[int, bytes]
    lost: frozenset[int]

    def after_power_cut(self, seed: int) -> Tree:
        """One tree that may be found when power is back."""
        return _PowerCut(self, seed).tree()

    def torn(self, path: str) -> Tree:
        """The tree with only a part of this file, as a process leaves it that is killed."""
        file = self.present[path]
        assert file is not None
        half = file._replace(data=file.data[: len(file.data) // 2])
        return {p: half if f and f.number == file.number else f for p, f in self.present.items()}


class _PowerCut:
    """Chooses for each name which of the things it stood for survives, and what of its bytes."""

    def __init__(self, image: Image, seed: int):
        self.image = image
        self.seed = seed
        self.random = random.Random(seed)
        self.data: dict[int, bytes] = {}
        self.files: dict[int, File] = {f.number: f for f in image.present.values() if f}
        self.listing: dict[str, dict[str, int]] = {}
        for path, file in image.present.items():
            folder, name = os.path.split(path)
            self.listing.setdefault(folder, {})[name] = FOLDER if file is None else file.number

    def tree(self) -> Tree:
        found: Tree = {}
        self._folder("", found)
        return found

    def _folder(self, folder: str, found: Tree) -> None:
        durable = self.image.durable.get(folder, {})
        pending = self.image.pending.get(folder, {})
        present = self.listing.get(folder, {})
        for name in sorted({*durable, *pending, *present}):
            stood = [durable.get(name, GONE), *pending.get(name, ()), present.get(name, GONE)]
            number = self._one(list(dict.fromkeys(stood)), stood)
            path = os.path.join(folder, name)
            if number == FOLDER:
                found[path] = None
                self._folder(path, found)
            elif number != GONE:
                mode = self.files[number].mode if number in self.files else 0o444
                found[path] = File(number, self._bytes(number), mode)

    def _one(self, choices: Sequence[int], stood: Sequence[int]) -> int:
        if self.seed == ONLY_SYNCED:
            return stood[0]
        return stood[-1] if self.seed == ALL_TORN else self.random.choice(choices)

    def _bytes(self, number: int) -> bytes:
        if number not in self.data:
            self.data[number] = self._survives(number)
        return self.data[number]

    def _survives(self, number: int) -> bytes:
        synced = self.image.synced.get(number)
        if number in self.files:
            whole = self.files[number].data
        else:
            whole = self.image.unlinked.get(number, synced or b"")
        if whole == synced:
            return whole
        if self.seed == ONLY_SYNCED:
            return synced or b""
        if self.seed == ALL_TORN:
            return whole[: len(whole) // 2]
        sectors = self.random.randrange(len(whole) // SECTOR + 1)
        anywhere = self.random.randrange(len(whole) + 1)
        torn = (whole[: sectors * SECTOR], whole[:anywhere], bytes(len(whole)))
        return self.random.choice([synced or b"", whole, *torn])


class Platters:
    """The machine below a store: what is durable outlives a crash, the rest perhaps.

    What stands there at the beginning is durable. Files that are written past the disk (by a
    library, in the cache) are seen when a folder is synced or an image is taken.
    """

    def __init__(self, store: Path):
        self.store = store
        self.base = store.parent
        self._count = itertools.count(1)
        self._numbers: dict[tuple[int, int], int] = {}  # by device and inode, while it has a name
        self._durable: dict[str, dict[str, int]] = {}
        self._pending: dict[str, dict[str, list[int]]] = {}
        self._synced: dict[int, bytes] = {}
        self._unlinked: dict[int, bytes] = {}
        self._lost: set[int] = set()
        self._all_is_durable()

    def inside(self, path: AnyPath) -> str:
        """A path below the store's parent, which itself is the empty text."""
        found = os.path.relpath(path, self.base)
        return "" if found == "." else found

    # ------------------------------------------------------------------------- what happened

    def stands(self, path: AnyPath) -> None:
        """A name was made, taken away or given to another file."""
        folder, name = os.path.split(self.inside(path))
        self._pending.setdefault(folder, {}).setdefault(name, []).append(self._number(path))

    def goes(self, path: AnyPath) -> None:
        """A name is about to go: its file may come back by it."""
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return
        number = self._number(path)
        if number > FOLDER:
            self._unlinked[number] = Path(path).read_bytes()
            if status.st_nlink == 1:
                del self._numbers[status.st_dev, status.st_ino]
            self._pending_before(path, number)

    def synced(self, path: AnyPath) -> None:
        """A sync of a file's bytes or a folder's names went well."""
        if not os.path.isdir(path):
            number = self._number(path)
            if number not in self._lost:
                self._synced[number] = Path(path).read_bytes()
            return
        folder = self.inside(path)
        self._durable[folder] = {name: self._number(place) for name, place in self._names(folder)}
        self._pending.pop(folder, None)

    def not_synced(self, path: AnyPath) -> None:
        """A sync failed: a file's bytes are lost, whatever a later sync says.

        A folder's names stay in doubt: file systems keep them in a journal, whose failure is
        remembered, not in pages that are marked clean.
        """
        if not os.path.isdir(path):
            self._lost.add(self._number(path))

    def image(self) -> Image:
        """All of it, as it is now."""
        return Image(
            present=self._tree(),
            durable={folder: dict(names) for folder, names in self._durable.items()},
            pending={f: {n: list(s) for n, s in p.items()} for f, p in self._pending.items()},
            synced=dict(self._synced),
            unlinked=dict(self._unlinked),
            lost=frozenset(self._lost),
        )

    def restore(self, image: Image) -> None:
        """Put back what stood there once, as durable as it was then."""
        self._replace(image.present)
        for path, file in image.present.items():
            if file is not None:
                status = os.lstat(self.base / path)
                self._numbers[status.st_dev, status.st_ino] = file.number
        self._durable = {folder: dict(names) for folder, names in image.durable.items()}
        self._pending = {f: {n: list(s) for n, s in p.items()} for f, p in image.pending.items()}
        self._synced, self._unlinked = dict(image.synced), dict(image.unlinked)
        self._lost = set(image.lost)

    def power_cut(self, seed: int) -> None:
        """Leave in the folder what survived."""
        self.become(self.image().after_power_cut(seed))

    def become(self, tree: Tree) -> None:
        """Put another store in place of what is there; all of it is durable."""
        self._replace(tree)
        self._all_is_durable()

    # ---------------------------------------------------------------------------------- within

    def _replace(self, tree: Tree) -> None:
        if self.store.exists():
            shutil.rmtree(self.store)
        lay(tree, self.base)
        self._numbers = {}
        numbers = [file.number for file in tree.values() if file is not None]
        self._count = itertools.count(max([next(self._count), *numbers]) + 1)

    def _all_is_durable(self) -> None:
        self._numbers, self._unlinked, self._lost = {}, {}, set()
        self._pending, self._durable = {}, {"": {}}
        tree = self._tree()
        self._synced = {f.number: f.data for f in tree.values() if f is not None}
        for path, file in tree.items():
            folder, name = os.path.split(path)
            number = FOLDER if file is None else file.number
            self._durable.setdefault(folder, {})[name] = number

    def _pending_before(self, path: AnyPath, number: int) -> None:
        """What a library wrote past the disk stood there too."""
        folder, name = os.path.split(self.inside(path))
        stood = self._pending.setdefault(folder, {}).setdefault(name, [])
        if number not in stood and self._durable.get(folder, {}).get(name) != number:
            stood.append(number)

    def _number(self, path: AnyPath) -> int:
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return GONE
        if stat.S_ISDIR(status.st_mode):
            return FOLDER
        key = status.st_dev, status.st_ino
        if key not in self._numbers:
            self._numbers[key] = next(self._count)
        return self._numbers[key]

    def _names(self, folder: str) -> Iterator[tuple[str, str]]:
        if folder == "":  # the parent holds other things too
            names = [self.store.name] if self.store.exists() else []
        else:
            names = os.listdir(self.base / folder)
        yield from ((name, os.path.join(self.base, folder, name)) for name in names)

    def _tree(self) -> Tree:
        found: Tree = {}
        folders = [""]
        while folders:
            folder = folders.pop()
            for name, place in self._names(folder):
                path = os.path.join(folder, name)
                number = self._number(place)
                if number == FOLDER:
                    found[path] = None
                    folders.append(path)
                elif number != GONE:
                    found[path] = File(number, Path(place).read_bytes(), _mode(place))
        return found


def _mode(path: str) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)
