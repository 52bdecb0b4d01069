"""Folders in `tmp/` for steps to write into: held while their process needs them, then removed."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

_OF_PROCESS = re.compile(r"(?:duckdb-)?(\d+)-")  # other folders in `tmp/`: whose they are


class Folders:
    """New empty folders below one, until `close`."""

    def __init__(self, parent: Path):
        self._parent = parent
        self._held: list[tuple[Path, int | None]] = []

    def new(self) -> Path:
        """An empty folder that nobody else removes, however long it stays as it is."""
        import tempfile

        self._parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self._parent, prefix="folder-"))
        self._held.append((folder, _hold(folder)))
        return folder

    def close(self) -> None:
        """Remove them with all they hold: what was returned from them has been copied."""
        for folder, held in self._held:
            _remove(folder)
            _let_go(held)
        self._held.clear()


def remove_unless_held(folder: str) -> bool:
    """Remove a folder that a killed process left; one of a process that lives stays."""
    held = _hold(folder)
    if held is None:
        return False
    if not _is_of_living(Path(folder).name):
        _remove(folder)
    _let_go(held)
    return not os.path.lexists(folder)


def _is_of_living(name: str) -> bool:
    """Is this folder named after a process that runs? (Those from `Folders` have no number.)"""
    found = _OF_PROCESS.match(name)
    if found is None:
        return False
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _remove(folder: str | Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _hold(folder: str | Path) -> int | None:
    """Lock a folder until the process ends or lets go; None if that can't be, or somebody has."""
    try:
        import fcntl
    except ImportError:  # Windows: nothing can be held, so nothing of others is removed
        return None
    descriptor: int | None = None
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor
    _let_go(descriptor)
    return None


def _let_go(held: int | None) -> None:
    if held is not None:
        os.close(held)
