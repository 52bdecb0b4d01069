"""The seam to the disk: every operation by which the store and the journal change it.

Whatever changes `objects/`, `journal/`, `format` or `trash/`, and a cache that one file holds, goes
through a `Disk`, so that tests can put one here which fails, tears a write or loses what was not
synced, at any single operation. Past it go only changes of what is no truth, which is proven before
it is believed or not read at all, and may be lost at any time:

- logs, appended to by `lineal/logs.py`: each ends with the digest of what stands before;
- `locks/`, whose files are empty (`storage/locks.py`, filelock);
- folders in `tmp/` that steps and spilling queries write into (`storage/scratch.py`, DuckDB), and
  there the new files that a library or a user's format writes: they count from `complete` on, or
  not at all, if they are only set aside (`storage/aside.py`);
- stored folders laid out as links in `cache/folders/` (`storage/formats/files.py`), compared with
  what is recorded at each use;
- the catalog (DuckDB) and the index (SQLite), which those libraries write: sealed, made anew from
  the journal; copies of the catalog and lists of rows for it lie in the system's temporary folder
  (`lineage/catalog.py`, `catalog_file.py`), and so does what a comparison spills
  (`storage/compare.py`);
- a model handed out into a folder that somebody names (`lineal/model_export.py`);
- the code of a run, laid out in a folder that somebody names (`lineal/kept_code.py`), and what
  `reproduce` works with, in a folder of its own (`lineal/reproduction.py`, `remaking.py`);
- a copy of a model for MLflow, in the system's temporary folder (`lineal/mlflow_export.py`);
- the null device, into which a worker writes what modules print as they load (`lineal/worker.py`).

`tests/unit/test_repository.py` holds the list.
"""
# paths are texts here: a Path costs more than the call it is made for
# ruff: noqa: PTH101, PTH105, PTH108, PTH102, PTH120, PTH123

from __future__ import annotations

import contextlib
import errno
import os
import re
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from blake3 import blake3

from lineal.assets.errors import StoreError

_READ_ONLY = 0o444
_SYNC_THREADS = 32
_STAGED = re.compile(r"\.\d+-[0-9a-f]{8}\Z")  # a process and a random number, behind a name
_SEAL = 65  # bytes: a digest in hex, and a line end
_CHUNK = 1 << 20
_IN_MEMORY = 1 << 24  # bytes up to which a file of the cache is read whole
_PARALLEL = 1 << 24  # bytes from which one file's digest is worth several threads

AnyPath = str | os.PathLike[str]
SealState = Literal["whole", "damaged", "open"]


class Disk:
    """Operations on files and folders. Each raises OSError as the system does. Has no state."""

    def create(self, path: AnyPath, data: bytes | bytearray) -> None:
        """Write a file that must not exist yet, read-only from now on. Not durable before `sync`.

        Raises:
            FileExistsError: it exists.
        """
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _READ_ONLY)
        with open(descriptor, "wb", buffering=0) as file:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) or 0 :]

    def copy(self, source: AnyPath, path: AnyPath) -> None:
        """Copy the bytes of a file to a new one."""
        import shutil

        shutil.copyfile(source, path)

    def complete(self, path: AnyPath) -> None:
        """A file that a library wrote is whole (Parquet, a user's format): read-only now."""
        os.chmod(path, _READ_ONLY)

    def sync(self, paths: Sequence[AnyPath]) -> None:
        """Make files' bytes, or folders' names, durable: several at a time, all of them tried.

        A failed one must never be synced again: the kernel may have dropped its bytes, and would
        report the next attempt as done.
        """
        if len(paths) <= 1:
            for path in paths:
                _fsync(path)
            return
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(_SYNC_THREADS, len(paths))) as pool:
            tasks = [pool.submit(_fsync, path) for path in paths]
        for task in tasks:
            task.result()

    def link(self, source: AnyPath, target: AnyPath) -> None:
        """Give a file a second name, exclusively.

        Raises:
            FileExistsError: the name is taken.
        """
        os.link(source, target)

    def replace(self, source: AnyPath, target: AnyPath) -> None:
        """Rename, in place of what has that name."""
        os.replace(source, target)

    def unlink(self, path: AnyPath) -> None:
        """Remove a name."""
        os.unlink(path)

    def mkdir(self, path: AnyPath) -> None:
        """Make one folder; FileExistsError when the name is taken."""
        os.mkdir(path)

    # ---------------------------------------------------------------- made of the ones above

    def make_folders(self, path: AnyPath) -> list[str]:
        """Make a folder and those above it that are missing; the folders that got a new name."""
        folder = os.fspath(path)
        if os.path.isdir(folder):  # noqa: PTH112
            return []
        above = os.path.dirname(folder)
        changed = self.make_folders(above) if above != folder else []
        with contextlib.suppress(FileExistsError):  # another process was first
            self.mkdir(folder)
        return [*changed, above]

    def forget(self, path: AnyPath) -> None:
        """Remove a file that nobody needs; it harms nobody if that can't be done."""
        with contextlib.suppress(OSError):
            self.unlink(path)


def _fsync(path: AnyPath) -> None:
    if os.name == "nt" and os.path.isdir(path):  # noqa: PTH112  (folders can't be synced there)
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    finally:
        os.close(descriptor)


# ------------------------------------------------------------------------------------------ caches


def keep(path: Path, body: bytes, disk: Disk) -> None:
    """Write a file of the cache, sealed, in place of the one before.

    It may be lost at any time, so it is not synced, and nothing is said when it can't be written.
    """
    _put(path, sealed(body), disk)


def keep_pieces(path: Path, pieces: Iterable[bytes], disk: Disk) -> None:
    """As `keep`, of a body so large that it should be in memory only once."""
    data = bytearray(_SEAL)
    for piece in pieces:
        data += piece
    with memoryview(data) as view:
        data[:_SEAL] = blake3(view[_SEAL:]).hexdigest().encode() + b"\n"
    _put(path, data, disk)


def _put(path: AnyPath, data: bytes | bytearray, disk: Disk) -> None:
    """A whole file in place of the one before, or nothing is changed."""
    staged = f"{os.fspath(path)}.{os.getpid()}-{os.urandom(4).hex()}"
    try:
        disk.make_folders(os.path.dirname(path))
        disk.create(staged, data)
        disk.replace(staged, path)
    except OSError:
        disk.forget(staged)


def clear_staged(folder: Path, before: float, disk: Disk) -> None:
    """Remove what processes staged for a folder of the cache and were killed before it was named,
    if it was last changed before a time (UTC seconds).
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _STAGED.search(entry.name) and entry.stat().st_mtime < before:
                disk.forget(entry.path)


def kept(path: Path) -> bytes | None:
    """The body of a file that `keep` wrote; None if it is missing, or not what was written."""
    try:
        return unsealed(path.read_bytes())
    except OSError:
        return None


def kept_pieces(path: Path) -> KeptPieces | None:
    """A file that `keep` wrote, to be read in pieces; None as `kept`."""
    try:
        if path.stat().st_size <= _IN_MEMORY:
            body = kept(path)
            return None if body is None else KeptPieces(body)
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    pieces = KeptPieces(descriptor)  # which closes it
    try:
        whole = os.read(descriptor, _SEAL) == digest_open(descriptor)[0].encode() + b"\n"
    except OSError:
        return None
    return pieces if whole else None


class KeptPieces:
    """The body of a file that was proven whole; a large one stays on the disk.

    A file that is kept is never changed in place: who holds it open reads what was proven.
    """

    def __init__(self, body: bytes | int):
        self._body = body
        self._lock = threading.Lock()
        if isinstance(body, int):
            weakref.finalize(self, os.close, body)

    def read(self, begin: int, end: int) -> bytes:
        """The bytes from one place to another. Raises OSError if they are there no more."""
        if not isinstance(self._body, int):
            return self._body[begin:end]
        data = bytearray()
        with self._lock:
            os.lseek(self._body, _SEAL + begin, os.SEEK_SET)
            while len(data) < end - begin:
                piece = os.read(self._body, end - begin - len(data))
                if not piece:
                    raise OSError(errno.EIO, "a file of the cache was cut short while it was read")
                if len(piece) == end - begin:
                    return piece
                data += piece
        return bytes(data)


def sealed(body: bytes) -> bytes:
    """A body behind its own digest."""
    return blake3(body).hexdigest().encode() + b"\n" + body


def unsealed(data: bytes) -> bytes | None:
    """The body behind its digest; None if it is not the one that was sealed."""
    body = data[_SEAL:]
    return body if data[:_SEAL] == blake3(body).hexdigest().encode() + b"\n" else None


# ------------------------------------------------------------------------------------------ digests


def digest_file(path: AnyPath) -> tuple[str, int]:
    """Byte digest and size of a file. Not mapped: one that shrinks meanwhile would kill us."""
    with open(path, "rb", buffering=0) as file:
        return digest_open(file.fileno())


def digest_open(descriptor: int) -> tuple[str, int]:
    """Byte digest and size of an open file, from where it stands to its end."""
    large = os.fstat(descriptor).st_size >= _PARALLEL
    hasher = blake3(max_threads=blake3.AUTO) if large else blake3()
    size = 0
    while piece := os.read(descriptor, _CHUNK * 16 if large else _CHUNK):
        hasher.update(piece)
        size += len(piece)
    return hasher.hexdigest(), size


# A file that another library changes in place can't begin with its digest: that stands beside it,
# in `<file>.seal`, from when the file is closed until before it is changed again.


def seal_of(path: AnyPath) -> str:
    """Where the seal of a file lies."""
    return f"{os.fspath(path)}.seal"


def seal(path: AnyPath, disk: Disk) -> None:
    """The file is closed and as it should be: say so. A file that can't be sealed stays open."""
    with contextlib.suppress(OSError):
        _put(seal_of(path), digest_file(path)[0].encode() + b"\n", disk)


def break_seal(path: AnyPath, disk: Disk) -> None:
    """The file is about to be changed in place."""
    with contextlib.suppress(FileNotFoundError):
        disk.unlink(seal_of(path))


def state_of_seal(path: AnyPath, copy: AnyPath | None = None) -> SealState:
    """Does a file, or a copy of it, hold the bytes that were sealed?

    `open`: it has no seal, for a process is changing it, or died while it did.
    """
    try:
        with open(seal_of(path), "rb") as file:
            sealed_as = file.read(_SEAL + 1)
        held = digest_file(path if copy is None else copy)[0]
    except FileNotFoundError:
        return "open"
    return "whole" if sealed_as == held.encode() + b"\n" else "damaged"


# ------------------------------------------------------------------------------------------ errors


@contextlib.contextmanager
def refusals(path: AnyPath) -> Iterator[None]:
    """What the disk refuses inside becomes a StoreError that names the file and says what to do."""
    try:
        yield
    except OSError as error:
        raise refused(path, error) from error


def refused(path: AnyPath, error: OSError) -> StoreError:
    """What a person is told when the disk said no."""
    shown = error.filename2 or error.filename or os.fspath(path)
    return StoreError(
        f"`{shown}`: {error.strerror or error}", where=str(shown), advice=advice_for(error)
    )


def advice_for(error: OSError) -> str | None:
    """How a person mends what the disk refused."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room on that disk, then run again: what was told as made is kept"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "give yourself the right to write there, or choose another `store`"
    if error.errno == errno.EMFILE:
        return "raise the limit of open files (`ulimit -n`)"
    if error.errno == errno.EIO:
        return "the disk fails: look at its health; then run again and `lineal fsck`"
    return None
