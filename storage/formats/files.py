"""Files and folders that a function wrote: taken in byte for byte, handed out read-only."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from lineal.assets.digest import digest_of
from lineal.assets.errors import ContentError
from lineal.assets.notebook import size_text
from lineal.assets.records import StoredObject
from lineal.disk import refusals
from lineal.storage.objects import Objects

FILE = "file"
FOLDER = "folder"
_SUFFIX = re.compile(r"[A-Za-z0-9]{1,12}(\.(gz|bz2|xz|zst))?\Z")
_PACKED = {".gz", ".bz2", ".xz", ".zst"}


def suffix_of(path: Path) -> str:
    """`csv`, `csv.gz`; nothing for a suffix that is no plain word."""
    parts = path.suffixes[-2:] if path.suffix in _PACKED else path.suffixes[-1:]
    found = "".join(parts).removeprefix(".")
    return found if _SUFFIX.match(found) else ""


def take_in(path: Path, name: str, objects: Objects) -> tuple[str, list[StoredObject]]:
    """Copy a file or a folder into the store: (`file` | `folder`, its objects in path order)."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ContentError(
            f"`{name}` returned the path `{path}`, which can't be read: {error.strerror}",
            advice="write the file before returning its path",
        ) from error
    if stat.S_ISREG(mode):
        return FILE, [objects.stage_file(path, suffix_of(path))]
    if not stat.S_ISDIR(mode):
        raise ContentError(f"`{name}` returned `{path}`, which is neither a file nor a folder")
    found = [
        objects.stage_file(path / place, suffix_of(Path(place)))._replace(path=place)
        for place in _within(path, name)
    ]
    return FOLDER, found


def file_digest(stored: StoredObject) -> str:
    """The suffix counts: a reader of the path sees it."""
    return digest_of([stored.suffix, stored.digest])


def folder_digest(found: Sequence[StoredObject]) -> str:
    return digest_of([[stored.path, stored.digest] for stored in found])


def file_summary(size: int) -> str:
    return f"file, {size_text(size)}"


def folder_summary(found: Sequence[StoredObject]) -> str:
    count = f"{len(found):,} file{'' if len(found) == 1 else 's'}"
    return f"folder, {count}, {size_text(sum(stored.bytes for stored in found))}"


def lay_out(digest: str, found: Sequence[StoredObject], objects: Objects) -> Path:
    """A folder version as a folder: `cache/folders/<content digest>`, of links to its objects.

    Made again whenever it does not hold exactly the links it should, so a reader that adds,
    removes or replaces a file in it changes nothing for the next one.
    """
    folder = objects.root / "cache" / "folders" / digest
    links = {stored.path: objects.intact(stored) for stored in found}
    if _holds(folder, links):
        return folder
    with refusals(folder):
        _replace(folder, links, objects)
    return folder


def _replace(folder: Path, links: dict[str, Path], objects: Objects) -> None:
    fresh = objects.scratch(FOLDER)
    fresh.mkdir()
    for place, target in links.items():
        link = fresh / place
        link.parent.mkdir(parents=True, exist_ok=True)
        _link(target, link)
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = objects.scratch(FOLDER)
    with contextlib.suppress(FileNotFoundError):  # there is none, or another process moved it
        folder.rename(aside)
    try:
        fresh.rename(folder)
    except OSError:  # another process was first: its folder holds the same
        if not _holds(folder, links):
            raise
        shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(aside, ignore_errors=True)


def _holds(folder: Path, links: dict[str, Path]) -> bool:
    """Does the folder hold exactly these links, and no folder that none of them needs?"""
    parents = {parent for place in links for parent in PurePosixPath(place).parents}
    wanted = {parent.as_posix() for parent in parents}
    seen: set[str] = set()
    for parent, folders, files in os.walk(folder):
        inside = Path(parent).relative_to(folder)
        if any((inside / name).as_posix() not in wanted for name in folders):
            return False
        for file in files:
            place = (inside / file).as_posix()
            if place not in links or not _same(folder / place, links[place]):
                return False
            seen.add(place)
    return folder.is_dir() and seen == links.keys()


def _same(path: Path, target: Path) -> bool:
    with contextlib.suppress(OSError):
        return path.samefile(target)
    return False


def _link(target: Path, link: Path) -> None:
    try:
        os.link(target, link)
    except OSError:  # a file system without links
        link.symlink_to(target.absolute())


def _within(folder: Path, name: str) -> list[str]:
    """The relative paths of the files in a folder, sorted; links are followed to files only."""
    found: list[str] = []
    for parent, folders, files in os.walk(folder, onerror=_unreadable):
        for inner in folders:
            if Path(parent, inner).is_symlink():
                raise ContentError(
                    f"`{name}`: `{Path(parent, inner)}` is a link to a folder",
                    advice="copy the files into the folder that you return",
                )
        for file in files:
            path = Path(parent, file)
            if not path.is_file():
                raise ContentError(f"`{name}`: `{path}` is not a regular file")
            place = path.relative_to(folder).as_posix()
            if not _is_text(place):
                raise ContentError(f"`{name}`: the file name {place!r} is not valid UTF-8")
            found.append(place)
    return sorted(found)


def _unreadable(error: OSError) -> None:
    raise ContentError(f"`{error.filename}` can't be read: {error.strerror}")


def _is_text(place: str) -> bool:
    try:
        place.encode()
    except UnicodeEncodeError:
        return False
    return True
