"""Ways to change a file, and moments to do it at: what tests of changing inputs share."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Change = Callable[[Path], None]


def rewrite(path: Path) -> None:
    """Other bytes, as many as before."""
    _write_in_place(path, other(path.read_bytes()))


def lengthen(path: Path) -> None:
    data = path.read_bytes()
    _write_in_place(path, data + b"7,7\n" if path.suffix == ".csv" else data + other(data))


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def replace(path: Path) -> None:
    """Another file takes its name; it has its size, and its time."""
    new, before = path.with_name("new"), path.stat()
    new.write_bytes(other(path.read_bytes()))
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(new, path)


def delete(path: Path) -> None:
    path.unlink()


def give_a_sibling(path: Path) -> None:
    path.with_name(f"later{path.suffix}").write_bytes(other(path.read_bytes()))


def change_and_put_back(path: Path) -> None:
    """As it was, bytes and time."""
    data, before = path.read_bytes(), path.stat()
    _write_in_place(path, other(data))
    _write_in_place(path, data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, Change] = {
    each.__name__: each
    for each in (
        rewrite,
        lengthen,
        truncate,
        replace,
        delete,
        give_a_sibling,
        change_and_put_back,
    )
}


def other(data: bytes) -> bytes:
    """As many bytes, every 1 a 2: also good CSV, JSON and text."""
    return data.replace(b"1", b"2")


def _write_in_place(path: Path, data: bytes) -> None:
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()


# ------------------------------------------------------------------------------------- moments


class _Watched:
    """The file whose openings count, and what happens when it is opened."""

    path = ""
    opened: Callable[[], None] | None = None


@functools.cache
def _listen() -> None:
    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and _Watched.opened is not None and str(args[0]) == _Watched.path:
            _Watched.opened()

    sys.addaudithook(hook)  # there is no way to take it out again: it sleeps


@contextlib.contextmanager
def before_opening(
    path: Path, number: int, act: Callable[[], object], *, always: bool = False
) -> Iterator[list[None]]:
    """Act just before a file is opened for the n-th time in this process, whoever opens it.

    always: also before each opening that follows.

    What comes back grows with each opening.
    """
    _listen()
    openings: list[None] = []

    def opened() -> None:
        _Watched.opened = None  # what `act` opens doesn't count
        openings.append(None)
        if len(openings) == number or (always and len(openings) > number):
            act()
        _Watched.opened = opened

    _Watched.path, _Watched.opened = str(path), opened
    try:
        yield openings
    finally:
        _Watched.opened = None


@contextlib.contextmanager
def reached(act: Callable[[str], object]) -> Iterator[None]:
    """While this lasts, project code may `import moments` and call `moments.reach("a moment")`."""
    module = types.ModuleType("moments")
    vars(module)["reach"] = act
    sys.modules["moments"] = module
    try:
        yield
    finally:
        del sys.modules["moments"]


def once(moment: str, act: Callable[[], object]) -> Callable[[str], None]:
    """Act the first time that a moment is reached."""
    done: list[None] = []

    def reach(name: str) -> None:
        if name == moment and not done:
            done.append(None)
            act()

    return reach
