"""Locks on steps, among all processes of this machine: freed by the kernel when a process dies."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from lineal.assets.digest import digest_of
from lineal.assets.names import identifier

_READABLE = 80  # characters of a step's name in that of its lock
_POLL = 0.05  # seconds between two looks at a lock that is held


class Locks:
    """Implements `lineal.assets.ports.Locks` by files in a folder; they stay there, empty."""

    def __init__(self, folder: Path):
        self._folder = folder

    def take(self, step: str, *, wait: bool) -> Callable[[], None] | None:
        """Hold a step, so that no other process makes it; returns what lets go of it.

        None if it is held and not waited for.
        """
        name = f"{identifier(step)[:_READABLE]}-{digest_of(step)[:8]}.lock"
        return _take(self._folder, name, wait=wait)


class Starts:
    """The lock under which runs start, one at a time."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._let_go: Callable[[], None] | None = None

    def hold(self) -> None:
        """Wait until nobody else starts a run; nothing if it is held already."""
        if self._let_go is None:
            self._let_go = _take(self._folder, "start.lock", wait=True)

    def let_go(self) -> None:
        if self._let_go is not None:
            self._let_go()
            self._let_go = None


def _take(folder: Path, name: str, *, wait: bool) -> Callable[[], None] | None:
    """Where no file can be locked nothing is held: work may be done twice, never wrongly."""
    import filelock

    try:
        descriptor = _opened(folder, name)
    except OSError:
        return _nothing_held
    try:
        held = filelock.lock_descriptor(descriptor, blocking=wait, poll_interval=_POLL)
    except OSError:
        os.close(descriptor)
        return _nothing_held
    except BaseException:  # an interrupt while waiting
        os.close(descriptor)
        raise
    if not held:
        os.close(descriptor)
        return None

    _Held.descriptors.add(descriptor)
    _stay_out_of_children()

    def let_go() -> None:
        if descriptor in _Held.descriptors:  # else this is a child that was forked meanwhile
            _Held.descriptors.remove(descriptor)
            filelock.unlock_descriptor(descriptor)
            os.close(descriptor)

    return let_go


class _Held:
    """The locks that this very process holds."""

    descriptors: ClassVar[set[int]] = set()


@functools.cache
def _stay_out_of_children() -> None:
    """A child forked by a step's code may outlive this process: it must not hold our locks on."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget)


def _forget() -> None:
    for descriptor in _Held.descriptors:
        os.close(descriptor)
    _Held.descriptors.clear()


def _opened(folder: Path, name: str) -> int:
    path = os.path.join(folder, name)  # noqa: PTH118  (a Path costs more than the lock)
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
    try:
        return os.open(path, flags, 0o644)
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o644)


def _nothing_held() -> None:
    """There is nothing to let go of."""
