"""Eyes on the files of sources: what a path or glob matches now, and the digests of those files.

A digest is kept in a cache under the file's identity on disk (device, inode, size, times), so that
files which did not change are not read again. A file that was changed less than two seconds before
it was digested is read again the next time: a second change within one tick of the file system's
clock would leave the same identity. That clock is asked, by writing a file: ours may be wrong by
minutes. Where lineal can't write (on other devices than the store's) it is taken to be less than an
hour from ours. Deleting the cache costs time, nothing else.
"""
# paths are texts here: 10,000 of them must cost little
# ruff: noqa: PTH100, PTH110, PTH111, PTH112
# ruff: noqa: PTH116, PTH117, PTH118

from __future__ import annotations

import contextlib
import errno
import fnmatch
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from lineal.assets.asset import Files
from lineal.assets.digest import SCHEME, digest_of
from lineal.assets.errors import DefinitionError, InputsChanged, SourceMissing, nearest
from lineal.assets.file_partitions import ByFile, placeholder_glob
from lineal.assets.records import Observation, SourceFile
from lineal.disk import Disk, digest_open, keep, kept

_TICK = 2_000_000_000  # ns: the coarsest clock of a file system in use (FAT)
_SKEW = 3_600_000_000_000  # ns: how far from ours the clock of a file system may be
_RECENT = 1.0  # s: how long the answer of a file system's clock is used
_TRIES = 3
_MAGIC = re.compile(r"[*?[]")
Identity = tuple[int, ...]


def identity_of(status: os.stat_result) -> Identity:
    """What differs whenever a file has been changed: device, inode, size, mtime, ctime (ns)."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class Known(NamedTuple):
    """The digest of a file as it was under one identity, and when its reading began.

    `taken` is a time (ns) that the file's own file system had reached by then.
    """

    identity: Identity
    digest: str
    taken: int

    def holds(self, identity: Identity) -> bool:
        """Is the digest still that of a file with this identity, beyond doubt?"""
        return self.identity == identity and max(identity[3], identity[4]) + _TICK <= self.taken


class Observer:
    """Implements `lineal.assets.ports.Observer`.

    Args:
        project_root: paths inside it are recorded relative to it.
        cache: the file that keeps digests; written by `save`, only when something is new.
        disk: what the cache is written with.
        clock: the time of this machine, in ns since 1970.
        identity: tells two states of a file apart; tests put a coarser one here.
    """

    def __init__(
        self,
        project_root: Path,
        cache: Path | None = None,
        disk: Disk | None = None,
        *,
        clock: Callable[[], int] = time.time_ns,
        identity: Callable[[os.stat_result], Identity] = identity_of,
    ):
        self._root = os.path.abspath(project_root)
        self._cache = cache
        self._disk = Disk() if disk is None else disk
        self._clock = clock
        self._identity = identity
        self._asked: tuple[float, int, int] | None = None  # when, which device, what it said
        self._known = _read_cache(cache)
        self._seen: set[str] = set()
        self._changed = False

    def observe(self, source: str, files: Files) -> Observation:
        """List and digest the files of a source now, in the order of their relative paths.

        The observation's digest is over the files' paths relative to the folder of the file that
        declares the source (for an absolute pattern outside it: relative to the pattern's own
        folder) and their bytes: moving the project, or the data, as a whole changes nothing.

        Raises:
            SourceMissing: nothing matches, or what matches is no readable file.
        """
        found = self._listed(source, files)
        return _observation(source, [(name, file) for name, _, file in found])

    def observe_slices(self, source: str, files: Files, by: ByFile) -> dict[str, Observation]:
        """The same for a source whose partitions are its files, by key in order.

        Raises:
            SourceMissing: as `observe`.
            DefinitionError: the path of a file gives no key.
        """
        matching = replace(files, pattern=placeholder_glob(files.pattern))
        found = {path: (name, file) for name, path, file in self._listed(source, matching)}
        whole = os.path.join(os.path.abspath(files.base), os.path.expanduser(files.pattern))
        try:
            keys = by.keys_of_files(found, os.path.normpath(whole))
        except DefinitionError as error:
            error.where = error.where or files.base
            raise
        return {
            key: _observation(source, [found[path] for path in paths])
            for key, paths in keys.items()
        }

    def _listed(self, source: str, files: Files) -> list[tuple[str, str, SourceFile]]:
        """(relative path, path, what it holds) of each file that matches now, in their order."""
        place = _Place(files)
        try:
            found = sorted((place.relative(path), path) for path in place.matches())
        except OSError as error:
            raise SourceMissing(
                f"source `{source}`: `{error.filename}` can't be looked at: {error.strerror}",
                where=error.filename,
            ) from error
        if not found:
            raise _missing(source, files, place)
        seen: list[tuple[str, str, SourceFile]] = []
        for name, path in found:
            try:
                digest, identity = self._digest(path)
            except OSError as error:
                raise SourceMissing(
                    f"source `{source}`: `{path}` can't be read: {error.strerror}",
                    where=path,
                ) from error
            recorded = self._recorded(path, place.absolute)
            seen.append((name, path, SourceFile(recorded, digest, identity[2], identity)))
        return seen

    def unchanged(self, observation: Observation) -> bool:
        """Do the files still have the identity, and so the bytes, that they were observed with?

        A young file is digested again: its identity alone doesn't tell.
        """
        for file in observation.files:
            path = os.path.normpath(os.path.join(self._root, file.path))
            try:
                if self._digest(path) != (file.digest, file.identity):
                    return False
            except (OSError, InputsChanged):
                return False
        return True

    def digest(self, path: str) -> str | None:
        """Byte digest of a file, by its path in the project or its whole path; None without one.

        For a file that never rests it is one that no file has: equal to none that was recorded.
        """
        try:
            return self._digest(os.path.normpath(os.path.join(self._root, path)))[0]
        except OSError:
            return None
        except InputsChanged:
            return digest_of([SCHEME, "never rests", path, self._clock()])

    def doubt(self, observation: Observation) -> None:
        """Trust no digest of these files any more: one was not that of what the file holds."""
        for file in observation.files:
            path = os.path.normpath(os.path.join(self._root, file.path))
            self._changed |= self._known.pop(path, None) is not None
        self.save()

    def save(self) -> None:
        """Keep the digests for the next process, if there are new ones."""
        if self._cache is None or not self._changed:
            return
        kept = {
            path: [*known.identity, known.digest, known.taken]
            for path, known in self._known.items()
            if path in self._seen or os.path.exists(path)
        }
        document = json.dumps({"scheme": SCHEME, "files": kept}, separators=(",", ":"))
        keep(self._cache, document.encode("utf-8", "surrogateescape"), self._disk)
        self._changed = False

    # ------------------------------------------------------------------------------ within

    def _digest(self, path: str) -> tuple[str, Identity]:
        """The digest of a file and the identity it had while it was read."""
        self._seen.add(path)
        identity = self._identity(_regular(os.stat(path), path))
        known = self._known.get(path)
        if known is not None and known.holds(identity):
            return known.digest, identity
        for _ in range(_TRIES):
            taken = self._now(identity[0])
            found = self._read(path)
            if found is not None:
                self._known[path] = Known(found[1], found[0], taken)
                self._changed = True
                return found
        raise InputsChanged(
            f"`{path}` changes while it is read",
            where=path,
            advice="run again when whoever writes it is done",
        )

    def _read(self, path: str) -> tuple[str, Identity] | None:
        """Digest a file once; None when it was another one, or was changed, by the end."""
        descriptor = open_regular(path)
        try:
            before = self._identity(os.fstat(descriptor))
            digest, size = digest_open(descriptor)
            after = self._identity(os.fstat(descriptor))
        finally:
            os.close(descriptor)
        same = before == after == self._identity(os.stat(path))
        return (digest, after) if same and size == after[2] else None

    def _now(self, device: int) -> int:
        """A time that is past for the file system of a device: later changes bear later ones."""
        now = time.monotonic()
        if self._asked is None or now - self._asked[0] > _RECENT:
            self._asked = (now, *self._ask())
        _, asked, said = self._asked
        return said if device == asked else self._clock() - _SKEW

    def _ask(self) -> tuple[int, int]:
        """The device of the cache and the time that a file gets which is written there now."""
        if self._cache is None:
            return -1, 0
        path = f"{self._cache}.{os.getpid()}-{os.urandom(4).hex()}"
        try:
            self._disk.make_folders(self._cache.parent)
            self._disk.create(path, b"")
            identity = self._identity(os.stat(path))
        except OSError:  # the store is read-only, or the disk full: we make do with our own clock
            return -1, 0
        finally:
            self._disk.forget(path)
        return identity[0], identity[4]

    def _recorded(self, path: str, absolute: bool) -> str:
        """Relative to the project if it is inside, or if the source says it by a relative path."""
        relative = _relative(path, self._root)
        inside = relative != ".." and not relative.startswith(".." + os.sep)
        return _posix(relative if inside or not absolute else path)


def _observation(source: str, found: Sequence[tuple[str, SourceFile]]) -> Observation:
    # NUL is in no path and no digest, so the joined text says exactly what the pairs say.
    pairs = "\0".join(f"{name}\0{file.digest}" for name, file in found)
    return Observation(
        source, tuple(file for _, file in found), digest_of([SCHEME, "files", pairs])
    )


class _Place:
    """Where a source's pattern points, and which files match it there."""

    def __init__(self, files: Files):
        pattern = os.path.expanduser(files.pattern)
        self.base = os.path.abspath(files.base)
        self.absolute = os.path.isabs(pattern)
        self.whole = os.path.normpath(os.path.join(self.base, pattern))
        self.literal = os.path.lexists(self.whole) or not _MAGIC.search(self.whole)
        folder, rest = os.path.split(self.whole)
        segments = [rest]
        while not self.literal and _MAGIC.search(folder):
            folder, last = os.path.split(folder)
            segments.insert(0, last)
        self.folder = folder  # the deepest one without a wildcard
        self.segments = segments

    def matches(self) -> Iterator[str]:
        if not self.literal:
            yield from set(_matching(self.folder, self.segments))
        elif _is_file(self.whole):
            yield self.whole

    def relative(self, path: str) -> str:
        inside = path.startswith(self.base.rstrip(os.sep) + os.sep)
        start = self.folder if self.absolute and not inside else self.base
        return _posix(_relative(path, start))


def _matching(folder: str, segments: list[str]) -> Iterator[str]:
    """Files below a folder that match; `*` does not match a leading dot, `**` follows no links."""
    segment, rest = segments[0], segments[1:]
    if segment == "**":
        yield from _below(folder, segments)
        return
    for path in _named(folder, segment, last=not rest):
        if rest:
            yield from _matching(path, rest)
        else:
            yield path


def _below(folder: str, segments: list[str]) -> Iterator[str]:
    """What matches `**/…` in a folder and in all folders in it."""
    rest = segments[1:] or ["*"]
    yield from _matching(folder, rest)
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
            yield from _matching(entry.path, segments)


def _named(folder: str, segment: str, last: bool) -> Iterator[str]:
    """The paths in a folder that a segment of a pattern matches; only files, if it is the last."""
    if not _MAGIC.search(segment):
        path = os.path.join(folder, segment)
        if not last or _is_file(path):
            yield path
        return
    matches = re.compile(fnmatch.translate(segment)).match
    hidden = segment.startswith(".")
    for entry in _entries(folder):
        if not matches(entry.name) or (entry.name.startswith(".") and not hidden):
            continue
        if not last or entry.is_file():  # known from the listing: no `stat`, unless it is a link
            yield entry.path


def _is_file(path: str) -> bool:
    """Is there a file? OSError for one that can't be looked at: it is not gone."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        yield from entries


def _missing(source: str, files: Files, place: _Place) -> SourceMissing:
    """Says where was looked, and what is there."""
    if place.literal and os.path.isdir(place.whole):
        return SourceMissing(
            f"source `{source}`: `{files.pattern}` is a folder",
            where=place.whole,
            advice=f'name the files in it: "{files.pattern.rstrip("/")}/*.csv", '
            f'or "{files.pattern.rstrip("/")}/**/*" for all',
        )
    what = "there is no file" if place.literal else "no file matches"
    if not os.path.isdir(place.folder):
        near = _nearest_folder(place.folder)
        advice = f"the folder `{place.folder}` does not exist{near}"
        return SourceMissing(
            f"source `{source}`: {what} `{files.pattern}`", where=place.whole, advice=advice
        )
    names = [entry.name for entry in _entries(place.folder)]
    near_name = nearest(place.segments[-1], names)
    advice = f"looked in `{place.folder}`"
    advice += f"; did you mean `{near_name}`?" if near_name else ""
    return SourceMissing(
        f"source `{source}`: {what} `{files.pattern}`", where=place.whole, advice=advice
    )


def _nearest_folder(folder: str) -> str:
    above, name = os.path.split(folder)
    names: list[str] = []
    with contextlib.suppress(OSError):  # what can't be looked at is not near
        names.extend(entry.name for entry in _entries(above) if entry.is_dir())
    near = nearest(name, names)
    return f"; did you mean `{near}`?" if near else ""


def read_regular(path: str) -> bytes:
    """All bytes of a regular file; OSError for anything else."""
    with open(open_regular(path), "rb") as file:
        return file.read()


def open_regular(path: str) -> int:
    """A descriptor of a regular file; OSError for anything else."""
    # Not blocking: what has taken the file's place meanwhile may be a pipe.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        _regular(os.fstat(descriptor), path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _regular(status: os.stat_result, path: str) -> os.stat_result:
    """Reading from a pipe would wait, and would take what it holds from whom it is meant for."""
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", path)
    return status


def _relative(path: str, start: str) -> str:
    inside = start.rstrip(os.sep) + os.sep
    return path[len(inside) :] if path.startswith(inside) else os.path.relpath(path, start)


def _posix(path: str) -> str:
    return path.replace(os.sep, "/")


def _read_cache(cache: Path | None) -> dict[str, Known]:
    """What an earlier process kept; nothing if it is not there or not whole."""
    if cache is None:
        return {}
    body = kept(cache)
    if body is None:
        return {}
    try:
        document: Any = json.loads(body.decode("utf-8", "surrogateescape"))
        if document["scheme"] != SCHEME:
            return {}
        return {
            path: Known(tuple(entry[:5]), entry[5], entry[6])
            for path, entry in document["files"].items()
        }
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return {}
