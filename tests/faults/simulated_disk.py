"""A disk that crashes, tears or refuses when told to, at any single operation.

`SimulatedDisk` is one process's access to a store in a real folder. It counts every operation and
tells the machine below (`Platters`) what happened.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

from lineal.disk import AnyPath, Disk
from tests.faults.platters import Platters

Kind = Literal["crash before", "crash after", "tear", "refuse once", "refuse on"]


class Crashed(BaseException):
    """The process is dead: nothing that it does from now on reaches the disk."""


class SyncedAgain(AssertionError):
    """A file was synced after a sync of it had failed: the kernel may have dropped its bytes."""


class Fault(NamedTuple):
    """What goes wrong, at which operation (counted from 1)."""

    kind: Kind
    at: int
    error: int = errno.ENOSPC

    def __str__(self) -> str:
        refused = f" ({errno.errorcode[self.error]})" if self.kind.startswith("refuse") else ""
        return f"{self.kind}{refused} at operation {self.at}"


class Operation(NamedTuple):
    """One operation that was asked for: its name, and the path below the store's parent."""

    name: str
    path: str


class SimulatedDisk(Disk):
    """One process's access to a store. Syncs are done one after the other, so runs are repeatable.

    Args:
        platters: the machine below; several processes may share one.
        fault: what goes wrong.
        watch: called with its number before each operation.
    """

    def __init__(
        self,
        platters: Platters,
        fault: Fault | None = None,
        watch: Callable[[int], None] | None = None,
    ):
        self.platters = platters
        self.fault = fault
        self.operations: list[Operation] = []
        self.struck: Operation | None = None  # the first operation that went wrong
        self.is_dead = False
        self.not_synced: set[str] = set()  # the files and folders whose sync failed
        self.synced_again: list[str] = []  # the files among them that were synced once more
        self.watch = watch
        self._lock = threading.RLock()

    def free(self) -> None:
        """From now on the disk refuses nothing."""
        self.fault = None

    # ------------------------------------------------------------------------------ operations

    def create(self, path: AnyPath, data: bytes) -> None:
        with self._operation("create", path) as torn:
            super().create(path, data[: len(data) // 2] if torn else data)
            self.platters.stands(path)

    def copy(self, source: AnyPath, path: AnyPath) -> None:
        with self._operation("copy", path) as torn:
            super().copy(source, path)
            if torn:
                _cut(path)
            self.platters.stands(path)

    def complete(self, path: AnyPath) -> None:
        with self._operation("complete", path) as torn:
            if torn:
                _cut(path)
            super().complete(path)
            self.platters.stands(path)

    def sync(self, paths: Sequence[AnyPath]) -> None:
        errors = []
        for path in paths:
            try:
                with self._operation("sync", path):
                    self._sync(path)
            except OSError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def link(self, source: AnyPath, target: AnyPath) -> None:
        with self._operation("link", target):
            super().link(source, target)
            self.platters.stands(target)

    def replace(self, source: AnyPath, target: AnyPath) -> None:
        with self._operation("replace", target):
            self.platters.stands(source)
            self.platters.goes(target)
            super().replace(source, target)
            self.platters.stands(source)
            self.platters.stands(target)

    def unlink(self, path: AnyPath) -> None:
        with self._operation("unlink", path):
            self.platters.goes(path)
            super().unlink(path)
            self.platters.stands(path)

    def mkdir(self, path: AnyPath) -> None:
        with self._operation("mkdir", path):
            super().mkdir(path)
            self.platters.stands(path)

    # ---------------------------------------------------------------------------------- within

    def _sync(self, path: AnyPath) -> None:
        inside = self.platters.inside(path)
        if inside in self.not_synced and not os.path.isdir(path):
            self.synced_again.append(inside)
            raise SyncedAgain(f"`{inside}` is synced again after it failed")
        os.stat(path)  # raises as opening it would
        self.platters.synced(path)

    @contextmanager
    def _operation(self, name: str, path: AnyPath) -> Iterator[bool]:
        """Count, go wrong if it is time; inside: is this operation to be torn?"""
        with self._lock:
            self._alive()
            self.operations.append(Operation(name, self.platters.inside(path)))
            number = len(self.operations)
            if self.watch is not None:
                self.watch(number)
            fault = self.fault
            strikes = fault is not None and self._strikes(fault, number, name)
            if fault is None or not strikes:
                yield False
                return
            self.struck = self.struck or self.operations[-1]
            if fault.kind.startswith("refuse"):
                if name == "sync":
                    self.not_synced.add(self.platters.inside(path))
                    self.platters.not_synced(path)
                raise OSError(fault.error, os.strerror(fault.error), os.fspath(path))
            if fault.kind == "crash before":
                self._die()
            yield fault.kind == "tear"
            self._die()

    def _strikes(self, fault: Fault, number: int, name: str) -> bool:
        if fault.kind != "refuse on":
            return number == fault.at
        # A full disk lets go of names, and what is there can be looked at.
        return number >= fault.at and name not in ("unlink", "complete")

    def _alive(self) -> None:
        if self.is_dead:
            raise Crashed

    def _die(self) -> None:
        self.is_dead = True
        raise Crashed


def _cut(path: AnyPath) -> None:
    os.truncate(path, os.path.getsize(path) // 2)
