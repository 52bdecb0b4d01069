"""The log of a step: written with a line at its end that proves it, and read back only if it holds.

That line says how many bytes stand before it, and their digest. An attempt that follows in the same
file adds its own, which covers everything before it.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import BinaryIO, Literal

from blake3 import blake3

from lineal.assets.errors import IntegrityError

LogState = Literal["whole", "open", "damaged"]

_END = re.compile(rb"^-- lineal: ([0-9]+) bytes, blake3 ([0-9a-f]{64})\n", re.MULTILINE)
_NOT_CLOSED = "-- lineal: this log was not closed: the step still runs, or its process died\n"


class Log:
    """The log file of a step, created when there is something to keep; closed it proves itself."""

    def __init__(self, path: Path, step: str) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._sum = blake3()
        self._bytes = 0
        self._ends_a_line = True
        self._follows_damage = False
        self.step = step

    def write(self, text: str) -> None:
        data = text.encode()
        if data:
            file = self._open()
            file.write(data)
            self._count(data)
            if b"\n" in data:
                file.flush()

    def close(self) -> None:
        """A log that can't be ended stays open, and its readers are told so."""
        if self._file is None:
            return
        with contextlib.suppress(OSError), self._file as file:
            if not self._ends_a_line:
                file.write(b"\n")
                self._count(b"\n")
            if not self._follows_damage:  # an end would vouch for it
                file.write(_end(self._bytes, self._sum.hexdigest()))
        self._file = None

    def _open(self) -> BinaryIO:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab")
            earlier = self._path.read_bytes()
            self._follows_damage = _state(earlier) == "damaged"
            self._count(earlier)
        return self._file

    def _count(self, data: bytes) -> None:
        self._sum.update(data)
        self._bytes += len(data)
        self._ends_a_line = data.endswith(b"\n") if data else self._ends_a_line


def read_log(path: Path) -> tuple[str, LogState]:
    """What stands in a log, without the lines that prove it, and whether it is as it was written.

    `open`: what follows the last such line, or everything, is not proved.
    """
    data = path.read_bytes()
    return _END.sub(b"", data).decode(errors="replace"), _state(data)


def shown_log(path: Path) -> str:
    """A log for people: one that was not closed says so.

    Raises:
        IntegrityError: it is not what was written.
    """
    text, state = read_log(path)
    if state == "damaged":
        raise IntegrityError(
            f"the log `{path}` was changed after it was written",
            where=str(path),
            advice="what is left of it can be read there; the step's outcome is in the journal",
        )
    if state == "whole":
        return text
    return text + ("" if text.endswith("\n") or not text else "\n") + _NOT_CLOSED


def _end(size: int, digest: str) -> bytes:
    return f"-- lineal: {size} bytes, blake3 {digest}\n".encode()


def _state(data: bytes) -> LogState:
    ends = list(_END.finditer(data))
    if ends:
        last = ends[-1]
        before = data[: last.start()]
        if last[0] != _end(len(before), blake3(before).hexdigest()):
            return "damaged"
        if last.end() == len(data):
            return "whole"
    return "damaged" if _almost_ends(data) else "open"


def _almost_ends(data: bytes) -> bool:
    """Does it end in what was such a line, but for some bits?"""
    for digits in range(1, 20):
        wanted = _end(0, "").replace(b"0", b"0" * digits)
        start = len(data) - len(wanted) - 64
        if start >= 0 and len(str(start)) == digits:
            found = data[start : len(data) - 65] + data[-1:]
            return sum(a == b for a, b in zip(found, wanted, strict=True)) > len(wanted) // 2
    return False
