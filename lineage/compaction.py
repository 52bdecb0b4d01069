"""Old entries of the journal are moved into packs; what was left half done is finished."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lineal.assets.errors import StoreError
from lineal.disk import refusals
from lineal.lineage.packs import pack_bytes, pack_name

if TYPE_CHECKING:
    from lineal.lineage.journal import Journal

_LARGEST = 32 << 20  # bytes of entries in a pack, about: one is made, and mended, in memory
_PATIENCE = 60  # seconds for another process to finish its pack


def compact(journal: Journal, keep: int, size: int) -> int:
    """See `Journal.compact`."""
    if journal.head() == 0:
        return 0
    try:
        with packing(journal, patience=0), refusals(journal.packs.folder):
            return _compact(journal, keep, size)
    except Packing:
        return 0


class Packing(StoreError):
    """Another process makes or mends packs."""

    kind = "journal_busy"


@contextlib.contextmanager
def packing(journal: Journal, patience: float = _PATIENCE) -> Iterator[None]:
    """Nobody else makes, mends or removes packs inside. Raises Packing when somebody does."""
    import filelock

    path = journal.root / "locks" / "pack.lock"
    lock = filelock.FileLock(path, timeout=patience)
    with refusals(path):
        journal.disk.make_folders(path.parent)
        try:
            lock.acquire()
        except filelock.Timeout as error:
            raise Packing(
                "another process is packing the journal",
                where=str(path),
                advice="run again when it has ended",
            ) from error
    try:
        journal.packs.look()
        yield
    finally:
        lock.release()


def _compact(journal: Journal, keep: int, size: int) -> int:
    sweep(journal)
    packed, newest = 0, journal.head() - keep
    while (first := journal.packs.last + 1) + size - 1 <= newest:
        entries = _verified(journal, first, size)
        data = pack_bytes(first, entries)
        last = first + len(entries) - 1
        put_pack(journal, first, last, data)
        packed += len(entries)
    if packed:
        sweep(journal)
    return packed


def _verified(journal: Journal, first: int, size: int) -> list[bytes]:
    """The bytes of up to `size` entries, proven and chained to what was packed before them."""
    found: list[bytes] = []
    weight = 0
    for entry in journal.entries(first - 1):
        found.append(entry.data)
        weight += len(found[-1])
        if len(found) == size or weight >= _LARGEST:
            break
    return found


def put_pack(journal: Journal, first: int, last: int, data: bytes) -> Path:
    """A new pack, durable when this returns."""
    disk, folder = journal.disk, journal.packs.folder
    disk.sync(disk.make_folders(folder))
    target = folder / pack_name(first, last)
    staged = stage(journal, data)
    try:
        disk.link(staged, target)
    finally:
        disk.forget(staged)
    try:
        disk.sync([folder])
    except OSError:
        # Nobody knows whether the name is on the disk. No file was removed for it yet, and none
        # may be: a later sync could wrongly say that all is well.
        disk.forget(target)
        raise
    journal.packs.look()
    return target


def stage(journal: Journal, data: bytes) -> Path:
    """The bytes as a durable file in `tmp/`."""
    disk = journal.disk
    path = journal.root / "tmp" / f"pack-{os.getpid()}-{os.urandom(8).hex()}"
    try:
        disk.sync(disk.make_folders(path.parent))
        disk.create(path, data)
        disk.sync([path])
    except OSError:
        disk.forget(path)
        raise
    return path


def sweep(journal: Journal) -> None:
    """Remove the files of entries that a pack holds, byte for byte; others stay."""
    covered = [n for n in numbers(journal.folder) if journal.packs.covering(n) is not None]
    if not covered:
        return
    # The process that made the pack may have died before its name was durable.
    journal.disk.sync([journal.packs.folder, journal.folder])
    for number in covered:
        path = journal.path(number)
        with contextlib.suppress(FileNotFoundError):  # a bogus one, taken away by who linked it
            if path.read_bytes() == journal.bytes_of(number):
                journal.disk.unlink(path)
    journal.disk.sync([journal.folder])


def numbers(folder: Path) -> list[int]:
    """The numbers of the entries that have a file, in order."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 (perhaps 100,000s of names)
    except FileNotFoundError:
        return []
    return sorted(
        int(name[:12])
        for name in names
        if len(name) == 18 and name.endswith(".jsonl") and name[:12].isdecimal()
    )
