"""Locks among all processes of this machine: freed by the kernel when a process dies.

They are on ranges of bytes of two empty files, which are never removed. The kernel keeps them by
process: a child that a step's code forks does not hold its parent's.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from pathlib import Path

from lineal.assets.digest import digest_of

_POLL = 0.05  # seconds between two looks at a lock that is held
_PLACE = 15  # hex digits of a step's digest: the byte that stands for it, among 2**60


class Locks:
    """Implements `lineal.assets.ports.Locks`: a byte of `steps.lock` stands for each step."""

    def __init__(self, folder: Path):
        self._file = _File(folder / "steps.lock")

    def take(self, step: str) -> Callable[[], None] | None:
        """Hold a step, so that no other process makes it; returns what lets go of it.

        None if another process holds it.
        """
        place = int(digest_of(step)[:_PLACE], 16)
        if not self._file.hold(place, wait=False):
            return None
        return functools.partial(self._file.let_go, place)

    def close(self) -> None:
        """Let go of all."""
        self._file.close()


class Starts:
    """The lock under which runs start, one at a time."""

    def __init__(self, folder: Path):
        self._file = _File(folder / "start.lock")

    def hold(self) -> None:
        """Wait until nobody else starts a run; nothing if it is held already."""
        self._file.hold(0, wait=True)

    def let_go(self) -> None:
        self._file.close()


class _File:
    """A file of which bytes are locked; opened when first asked.

    Where nothing can be locked nothing is held: work may then be done twice, never wrongly.
    Closing it lets go of all that this process holds in it, by whichever object.
    """

    def __init__(self, path: Path):
        self._path = path
        self._descriptor: int | None = None

    def hold(self, place: int, *, wait: bool) -> bool:
        """Lock a byte; False if another process holds it and it is not waited for."""
        try:
            import fcntl
        except ImportError:  # Windows
            return True
        while True:
            try:
                fcntl.lockf(self._opened(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            except (BlockingIOError, PermissionError):
                if self._descriptor is not None:
                    if not wait:
                        return False
                    time.sleep(
                        _POLL
                    )  # not in the kernel: it would see cycles that end by themselves
                    continue
            except OSError:
                pass
            return True

    def let_go(self, place: int) -> None:
        if self._descriptor is not None:
            import fcntl

            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, place)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _opened(self) -> int:
        if self._descriptor is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
            self._descriptor = os.open(self._path, flags, 0o644)
        return self._descriptor
