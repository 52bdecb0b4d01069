"""Immutable files under `.lineal/objects`, named by their byte digest: staged, durable, linked.

An object is written in `tmp/`, digested, and linked under its digest only after its bytes are on
the disk, so a name in `objects/` always stands for whole bytes. A crash leaves at worst a file in
`tmp/` or an object that nobody mentions.
"""
# paths are texts here: a Path costs more than the `stat` it is made for
# ruff: noqa: PTH116, PTH118, PTH120

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lineal.assets.digest import digest_bytes
from lineal.assets.errors import IntegrityError, StoreError
from lineal.assets.records import StoredObject
from lineal.disk import Disk, digest_file, refusals, refused
from lineal.storage.scratch import remove_unless_held

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV}
_Key = tuple[str, str]  # digest, suffix


class Objects:
    """The store's immutable files. Threads may share one; processes each have their own.

    Args:
        root: the `.lineal` folder; it and its folders are made at the first write.
        disk: what files are written with; tests put one here that fails.
    """

    def __init__(self, root: Path, disk: Disk | None = None):
        self.root = root
        self.disk = Disk() if disk is None else disk
        self._objects = os.path.join(root, "objects")
        self._tmp = os.path.join(root, "tmp")
        self._lock = threading.Lock()  # guards the three collections below
        self._syncing = (
            threading.Lock()
        )  # one sync at a time: the second waits for the first's files
        self._staged: dict[_Key, str] = {}  # written, perhaps not durable, not linked
        self._folders: set[str] = set()  # whose entries may not be durable
        self._verified: set[_Key] = set()
        self._broken: StoreError | None = None

    # ------------------------------------------------------------------------------ writing

    def scratch(self, suffix: str) -> Path:
        """A fresh path in `tmp/` to write to; hand it to `adopt` when it is complete."""
        with refusals(self._tmp):
            self._make_folder(self._tmp)
        return Path(self._fresh(suffix))

    def adopt(self, path: Path, suffix: str) -> StoredObject:
        """Make a file written at a `scratch` path an object; the path is no longer the caller's."""
        with refusals(path):
            self.disk.complete(path)
            digest, size = digest_file(path)
            stored = StoredObject(digest, suffix, size)
            if self._has(stored):
                self.disk.unlink(path)
            else:
                self._stage(stored, os.fspath(path))
        return stored

    def stage_file(self, path: Path, suffix: str) -> StoredObject:
        """Copy a file in. The digest is the copy's, whatever happens to the file meanwhile."""
        target = self.scratch(suffix)
        try:
            with refusals(path):
                self.disk.copy(path, target)
            return self.adopt(target, suffix)
        except StoreError:
            self.disk.forget(target)
            raise

    def put_bytes(self, data: bytes, suffix: str) -> StoredObject:
        """Write bytes as an object, unless it is there already."""
        stored = StoredObject(digest_bytes(data), suffix, len(data))
        if self._has(stored):
            return stored
        path = self.scratch(suffix)
        try:
            with refusals(path):
                self.disk.create(path, data)
        except StoreError:
            self.disk.forget(path)
            raise
        self._stage(stored, os.fspath(path))
        return stored

    def sync(self) -> None:
        """Make everything staged since the last sync durable, and link it.

        Order: the files' bytes, their names, the folders that hold the names. After a failed fsync
        the kernel may have dropped the bytes and would report the next one as done, so nothing is
        tried again: this and every later sync raise.

        Raises:
            StoreError: naming the file that the disk refused.
        """
        with self._publishing():
            with self._lock:
                batch = dict(self._staged)
            self._publish(batch)
            with self._lock:
                folders, self._folders = sorted(self._folders), set()
            self._sync(folders)

    def abandon(self) -> None:
        """Remove what was staged and never published: the run that wrote it has ended."""
        with self._lock:
            staged, self._staged = list(self._staged.values()), {}
        for path in staged:
            self.disk.forget(path)

    def clear_leftovers(self, before: float) -> int:
        """Remove what killed processes left in `tmp/`: files last changed before a time (UTC
        seconds), and folders as old that no process holds. What can't be removed stays.
        """
        removed = 0
        with contextlib.suppress(OSError), os.scandir(self._tmp) as entries:
            for entry in entries:
                with self._lock:
                    ours = entry.path in self._staged.values()
                with contextlib.suppress(OSError):
                    if ours or entry.stat(follow_symlinks=False).st_mtime >= before:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        removed += remove_unless_held(entry.path)
                    else:
                        self.disk.unlink(entry.path)
                        removed += 1
        return removed

    # ------------------------------------------------------------------------------ reading

    def path(self, stored: StoredObject) -> Path:
        """Where an object lies, for good. One that was only staged is made durable and linked."""
        key = (stored.digest, stored.suffix)
        if key in self._staged:
            with self._publishing():
                waiting = self._staged.get(key)  # another thread may have linked it meanwhile
                self._publish({} if waiting is None else {key: waiting})
        return Path(self._place(key))

    def read(self, stored: StoredObject) -> bytes:
        """All bytes of an object, staged or linked; checked at the first read in this process."""
        key = (stored.digest, stored.suffix)
        data = self._bytes(key)
        if key not in self._verified:
            if digest_bytes(data) != stored.digest:
                raise _damaged(self._place(key))
            self._verified.add(key)
        return data

    def verify(self, stored: StoredObject) -> None:
        """Check an object's bytes against its name, once in a process.

        Raises:
            IntegrityError: naming the file by its whole path, when it is gone or damaged.
        """
        key = (stored.digest, stored.suffix)
        if key in self._verified:
            return
        place = self._place(key)
        try:
            digest, _ = digest_file(place)
        except FileNotFoundError:
            raise _gone(place) from None
        except OSError as error:
            raise refused(place, error) from error
        if digest != stored.digest:
            raise _damaged(place)
        self._verified.add(key)

    def intact(self, stored: StoredObject) -> Path:
        """Where an object lies, its bytes checked: for those who read it by its path."""
        path = self.path(stored)
        self.verify(stored)
        return path

    def present(self, objects: Iterable[StoredObject]) -> frozenset[str]:
        """The byte digests of those that exist now with the right size. One `stat` each."""
        found: set[str] = set()
        absent: set[str] = set()
        stat, root = os.stat, self._objects  # there may be many: what `_size` does, without calls
        for stored in objects:
            digest, suffix, size, _ = stored
            name = f"{digest}.{suffix}" if suffix else digest
            try:
                there = stat(f"{root}/{digest[:2]}/{name}").st_size == size
            except OSError:  # whatever the reason, it can't be relied on: it will be made again
                there = False
            (found if there or self._is_staged(stored) else absent).add(digest)
        return frozenset(found - absent)

    # ------------------------------------------------------------------------------ within

    def _fresh(self, suffix: str) -> str:
        return os.path.join(self._tmp, _named(f"{os.getpid()}-{os.urandom(8).hex()}", suffix))

    def _place(self, key: _Key) -> str:
        digest, suffix = key
        return os.path.join(self._objects, digest[:2], _named(digest, suffix))

    def _size(self, stored: StoredObject) -> int | None:
        try:
            return os.stat(self._place((stored.digest, stored.suffix))).st_size
        except OSError:  # whatever the reason, it can't be relied on: it will be made again
            return None

    def _is_staged(self, stored: StoredObject) -> bool:
        return (stored.digest, stored.suffix) in self._staged

    def _has(self, stored: StoredObject) -> bool:
        """Is it there? Another process may have linked it just now: sync makes its name durable."""
        key = (stored.digest, stored.suffix)
        if self._is_staged(stored):
            return True
        if self._size(stored) != stored.bytes or not self._is_whole(key):
            return False
        self._will_sync(os.path.dirname(self._place(key)))
        return True

    def _is_whole(self, key: _Key) -> bool:
        """Does the file of that name hold the bytes it should?"""
        try:
            return digest_file(self._place(key))[0] == key[0]
        except OSError:
            return False

    def _stage(self, stored: StoredObject, path: str) -> None:
        key = (stored.digest, stored.suffix)
        with self._lock:
            first = self._staged.setdefault(key, path)
            self._verified.add(key)
        if first != path:  # another thread staged equal bytes meanwhile
            self.disk.forget(path)

    @contextlib.contextmanager
    def _publishing(self) -> Iterator[None]:
        """One at a time, and none after the disk has failed once."""
        with self._syncing:
            if self._broken is not None:
                raise self._broken
            try:
                yield
            except StoreError as error:
                self._broken = error
                raise

    def _publish(self, batch: dict[_Key, str]) -> None:
        """fsync, then link, inside `_publishing`."""
        self._sync(list(batch.values()))
        for key, path in batch.items():
            with refusals(self._place(key)):
                self._link(path, key)
            with self._lock:
                self._staged.pop(key, None)
            self.disk.forget(path)

    def _sync(self, paths: Sequence[str]) -> None:
        with refusals(paths[0] if paths else self._objects):
            self.disk.sync(paths)

    def _link(self, path: str, key: _Key) -> None:
        place = self._place(key)
        folder = os.path.dirname(place)
        self._make_folder(folder)
        self._will_sync(folder)
        try:
            self.disk.link(path, place)
        except FileExistsError:
            if not self._is_whole(key):
                self.disk.replace(path, place)  # a damaged file of that name is mended
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self.disk.replace(path, place)  # equal bytes by name: replacing one harms nobody

    def _will_sync(self, folder: str) -> None:
        """And those above it: who made them may have died before their names were durable."""
        with self._lock:
            self._folders.update((folder, self._objects, os.fspath(self.root)))

    def _make_folder(self, folder: str) -> None:
        changed = self.disk.make_folders(folder)
        if changed:
            with self._lock:
                self._folders.update(changed)

    def _bytes(self, key: _Key) -> bytes:
        place = self._place(key)
        # A staged file may be linked and removed between look and open: then it is in its place.
        for path in (self._staged.get(key, place), place):
            try:
                return Path(path).read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise refused(path, error) from error
        raise _gone(place)


def _named(stem: str, suffix: str) -> str:
    return f"{stem}.{suffix}" if suffix else stem


def _gone(place: str) -> IntegrityError:
    return IntegrityError(
        f"the object `{place}` is missing",
        where=place,
        advice="`lineal materialize` makes what is current again; an older version is lost",
    )


def _damaged(place: str) -> IntegrityError:
    return IntegrityError(
        f"the object `{place}` is damaged: its bytes don't have the digest that is its name",
        where=place,
        advice="`lineal fsck --repair` sets the file aside and makes what is current again",
    )
