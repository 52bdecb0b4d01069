"""The code of a run, kept: what was loaded for it of the project, as one archive in the store.

The archive is a zip of the very bytes that were read and digested, in the order of their names, and
without times: unchanged code is the same object. It holds no value of an environment variable, no
data, and no file that code opens by itself.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lineal.assets.errors import IntegrityError, UsageError
from lineal.assets.records import RunStarted, StoredObject
from lineal.definitions import Definitions
from lineal.settings import Settings
from lineal.storage.objects import Objects

SUFFIX = "zip"
_FORMAT = 1
_ABOUT = "about.json"  # what is what in the archive
_INSIDE = "project"
_OUTSIDE = "outside"  # outside/2/x.py lies in the second folder above the project's
_HIGHEST = 64  # folders above the project's: no path is as deep


@dataclass(frozen=True, slots=True)
class KeptCode:
    """The code of a run, laid out in a folder.

    Attributes:
        root: the project's folder.
        modules: the file of each module, by name.
        settings: the file with settings, if there was one.
    """

    root: Path
    modules: Mapping[str, Path]
    settings: Path | None

    def homes(self) -> list[Path]:
        """The folders beside the root that modules were found in: they belong on `sys.path`."""
        found: dict[Path, None] = {}
        for name, file in self.modules.items():
            inner = file.parent if file.name == "__init__.py" else file.with_suffix("")
            home = inner.parents[name.count(".")]
            if home != self.root:
                found[home] = None
        return list(found)


def keep(definitions: Definitions, settings: Settings, objects: Objects) -> StoredObject:
    """Store the code and settings as they were loaded, durably.

    Raises:
        StoreError: the disk refused.
    """
    stored = objects.put_bytes(_packed(definitions, settings), SUFFIX)
    objects.sync()
    return stored


def of_run(started: RunStarted) -> StoredObject:
    """The object that holds the code of a run.

    Raises:
        UsageError: it has none.
    """
    if started.sources is None:
        raise UsageError(
            f"the code of {started.run} was not kept",
            advice="it loaded none, or a lineal ran it that did not keep code yet",
        )
    return started.sources


def lay_out(stored: StoredObject, objects: Objects, folder: Path) -> KeptCode:
    """Write the code of a run into an empty folder.

    Without modules from outside of the project, the folder is the project's; else it holds it, as
    deep as those modules lie above it.

    Raises:
        UsageError: the folder is not empty.
        IntegrityError: the object is gone or damaged, or a newer lineal wrote it.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"the folder {folder} is not empty", advice="name one that is not there")
    files = _read(objects.read(stored))
    about = json.loads(files.pop(_ABOUT, b"{}"))
    if about.get("format") != _FORMAT:
        raise IntegrityError(
            f"the code of the run is kept in the form {about.get('format')!r}, not {_FORMAT}",
            where=str(objects.path(stored)),
            advice="a newer lineal wrote it: update lineal",
        )
    outside = (name for name in files if name.startswith(f"{_OUTSIDE}/"))
    levels = max(map(_above, outside), default=0)
    root = folder.joinpath(*["above"] * (levels - 1), _INSIDE) if levels else folder
    places = {_place(root, name): data for name, data in files.items()}
    root.mkdir(parents=True, exist_ok=True)
    for place, data in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    settings = about["settings"]
    return KeptCode(
        root,
        {name: _place(root, member) for name, member in about["modules"].items()},
        None if settings is None else _place(root, settings),
    )


# ----------------------------------------------------------------------------------- the archive


class _File(NamedTuple):
    name: str  # in the archive
    data: bytes


def _packed(definitions: Definitions, settings: Settings) -> bytes:
    import zipfile

    modules = {
        name: _File(_member(source.path), source.text)
        for name, source in sorted(definitions.sources.items())
    }
    root, file = definitions.root, settings.file
    texts = [
        _File(_member(Path(os.path.relpath(path, root)).as_posix()), text)
        for path, text in definitions.texts.read_so_far().items()
    ]
    said = [] if file is None else [_File(_member(file.name), settings.content)]
    about = {
        "format": _FORMAT,
        "modules": {name: file.name for name, file in modules.items()},
        "texts": sorted(file.name for file in texts),
        "settings": said[0].name if said else None,
    }
    told = _File(_ABOUT, json.dumps(about, indent=1).encode())
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        members = {each.name: each for each in (told, *modules.values(), *texts, *said)}
        for _, each in sorted(members.items()):  # a file may be two modules
            entry = zipfile.ZipInfo(each.name)  # of 1980: no time is in it
            entry.create_system = 3  # the same on every system
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, each.data)
    return packed.getvalue()


def _read(data: bytes) -> dict[str, bytes]:
    import zipfile

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _member(path: str) -> str:
    """The name in the archive of a file, by its path relative to the project's folder."""
    above = 0
    while path.startswith("../"):
        path, above = path[3:], above + 1
    return f"{_OUTSIDE}/{above}/{path}" if above else f"{_INSIDE}/{path}"


def _place(root: Path, member: str) -> Path:
    """Where a file of the archive lies, the project's folder being that."""
    first, *rest = PurePosixPath(member).parts
    folder = root
    if first == _OUTSIDE:
        folder = root.parents[_above(member) - 1]
        del rest[0]
    if not rest or ".." in rest or first not in (_INSIDE, _OUTSIDE):
        raise _no_place(member)
    return folder.joinpath(*rest)


def _above(member: str) -> int:
    """How many folders above the project's a file lies: 1 for `outside/1/x.py`."""
    level = PurePosixPath(member).parts[1:2]
    if not level or not level[0].isdecimal() or not 0 < int(level[0]) <= _HIGHEST:
        raise _no_place(member)
    return int(level[0])


def _no_place(member: str) -> IntegrityError:
    return IntegrityError(f"the code of the run holds a file `{member}`, which has no place")
