"""The log of a step: written with a line at its end that proves it, and read back only if it holds.

That line says how many bytes stand before it, and their digest. An attempt that follows in the same
file adds its own, which covers everything before it.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from blake3 import blake3

from lineal.assets.digest import digest_of
from lineal.assets.errors import IntegrityError
from lineal.assets.names import Step, identifier

LogState = Literal["whole", "open", "damaged"]

_END = re.compile(rb"^-- lineal: ([0-9]+) bytes, blake3 ([0-9a-f]{64})\n", re.MULTILINE)
_BEGIN = b"-- lineal: "
_NOT_CLOSED = "-- lineal: this log was not closed: "
_TRIES = 10  # to seal a log into which a process that the step left behind writes
_KEY_KEPT = 60  # letters of a partition's key in a file name, if not the whole
_ISO_KEY = re.compile(r"\d{4}(-W\d\d|-\d\d(-\d\d(T\d\d)?)?)?\Z", re.ASCII)
_PLAIN_KEY = re.compile(r"[0-9a-z_][0-9a-z_.-]{0,99}(?<!\.)\Z")


def log_name(step: Step) -> str:
    """The name of a step's log file in the folder of its run, without `.log`.

    No two partitions share one, also where file names know no case: only those that can't be
    mistaken for another key stand as they are.
    """
    name, key = identifier(step.asset), step.partition
    if key is None:
        return name
    if _ISO_KEY.match(key) or (_PLAIN_KEY.match(key) and not _ISO_KEY.match(key.upper())):
        return f"{name}@{key}"
    readable = re.sub(r"[^0-9a-z_.-]+", "-", key.lower()[:_KEY_KEPT])
    return f"{name}@{readable}@{digest_of(key)[:20]}"


class Log:
    """The log file of a step, created when there is something to keep; closed it proves itself.

    Threads may write at once. What a thread that outlived its step writes is sealed as it comes.

    Args:
        hide: takes out of a text what must not be told. What comes through Python is expected
            without it; what comes below Python loses it when the log is closed.
    """

    def __init__(
        self, path: Path, step: str, hide: Callable[[str], str] = lambda text: text
    ) -> None:
        self._path = path
        self._hide = hide
        self._file: io.FileIO | None = None
        self._follows_damage = False
        self._ended = False
        self._turn = threading.RLock()
        self.step = step

    def write(self, text: str) -> None:
        rest = memoryview(text.encode())
        if not rest:
            return
        with self._turn:
            file = self._open()
            while rest:  # at once: who follows it sees it, and a kill loses nothing
                rest = rest[file.write(rest) :]
            if self._ended:
                self._seal()

    def descriptor(self) -> int:
        """Where code below Python may write to until the log is closed."""
        with self._turn:
            return self._open().fileno()

    def close(self) -> None:
        """A log that can't be ended stays open, and its readers are told so."""
        with self._turn:
            self._ended = True
            self._seal()

    def _clean(self, file: io.FileIO, data: bytes) -> None:
        """Write it again, if something in it must not be told."""
        text = data.decode("utf-8", "surrogateescape")
        told = self._hide(text)
        if told != text:
            file.truncate(0)
            file.write(told.encode("utf-8", "surrogateescape"))

    def _open(self) -> io.FileIO:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab", buffering=0)
            _lock(self._file.fileno(), shared=True)  # tells others that somebody writes
            self._follows_damage = _state(self._path.read_bytes()) == "damaged"
        return self._file

    def _seal(self) -> None:
        """Of the file as it stands: others may have written into it, by its descriptor."""
        file, self._file = self._file, None
        if file is None:
            return
        with contextlib.suppress(OSError), file:
            for _ in range(_TRIES):
                data = self._path.read_bytes()
                if not data:
                    self._path.unlink()
                    return
                if self._follows_damage or _state(data) == "whole":  # an end would vouch for damage
                    return
                self._clean(file, data)
                data = self._path.read_bytes()
                if data.endswith(b"\n"):
                    file.write(_end(len(data), blake3(data).hexdigest()))
                else:
                    file.write(b"\n")


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
    return text + ("" if text.endswith("\n") or not text else "\n") + not_closed(path)


def not_closed(path: Path) -> str:
    """The line that tells why a log has no end."""
    writing = is_being_written(path)
    if writing is None:
        return f"{_NOT_CLOSED}the step still runs, or its process died\n"
    return _NOT_CLOSED + ("the step still runs\n" if writing else "its process died\n")


def is_being_written(path: Path) -> bool | None:
    """Does a living process have this log open to write? None: nobody can know here."""
    try:
        with path.open("rb") as file:
            return _lock(file.fileno(), shared=False)
    except FileNotFoundError:
        return False


def _lock(descriptor: int, *, shared: bool) -> bool | None:
    """Lock an open file, until it is closed; is it held otherwise by another? None: can't say."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False


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


# --------------------------------------------------------------------------- below Python's streams


@contextlib.contextmanager
def descriptors_to(target: int) -> Iterator[None]:
    """While open, the process's own stdout and stderr lead to this open file.

    So code in C and what a step starts write there too. For worker processes alone: in lineal's own
    process these descriptors are what the person sees.
    """
    own = {1: sys.__stdout__, 2: sys.__stderr__}
    ours = [n for n, stream in own.items() if stream is not None]  # else something else has it
    _flush()
    kept = {n: os.dup(n) for n in ours}
    try:
        for n in ours:
            os.dup2(target, n)
        yield
    finally:
        _flush()
        for n, before in kept.items():
            os.dup2(before, n)
            os.close(before)


def _flush() -> None:
    """What Python and C hold back belongs to where it was written to."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    with contextlib.suppress(ImportError, OSError, AttributeError, TypeError):  # not on Windows
        import ctypes

        ctypes.CDLL(None).fflush(None)


# ------------------------------------------------------------------------------------- followed


class Follower:
    """Reads a log while it is written, from a place on; it may not be there yet."""

    def __init__(self, path: Path, begin: int = 0) -> None:
        self.path = path
        self._at = begin  # before this all was told, but for what is held
        self._held = b""  # may be the beginning of a line that proves the log
        self._begins_a_line = True
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.ended = False  # nothing stands after the line that proves it, so far

    def news(self) -> str:
        """What was written since, without the lines that prove it, in whole characters."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._at)
                read = file.read()
        except FileNotFoundError:
            return ""
        if not read:
            return ""
        self._at += len(read)
        data = self._held + read
        self._held = b""
        head = 0 if self._begins_a_line else data.find(b"\n") + 1 or len(data)
        last = max(head, data.rfind(b"\n") + 1)
        if _may_prove(data[last:]):
            data, self._held = data[:last], data[last:]
        self.ended = not self._held and self._is_proved(data, head)
        if data:
            self._begins_a_line = data.endswith(b"\n")
        return self._decoder.decode(data[:head] + _END.sub(b"", data[head:]))

    def _is_proved(self, data: bytes, head: int) -> bool:
        """Does it end in such a line, of as many bytes as stand before it?"""
        begin = data.rfind(b"\n", 0, -1) + 1
        found = _END.fullmatch(data, begin) if begin >= head else None
        return found is not None and int(found[1]) == self._at - len(found[0])


def _may_prove(line: bytes) -> bool:
    """Can a line that is not complete become one that proves a log?"""
    return bool(line) and (_BEGIN.startswith(line) or line.startswith(_BEGIN))


class Echoing:
    """Tells what steps in other processes print, as it comes: call `poll` now and then."""

    def __init__(self, echo: Callable[[str, str], None]) -> None:
        self._echo = echo
        self._followed: dict[str, Follower] = {}

    def start(self, step: str, path: Path) -> None:
        """From now on; what earlier attempts left in its log was told by then."""
        self._followed[step] = Follower(path, path.stat().st_size if path.exists() else 0)

    def stop(self, step: str) -> None:
        """Tell what is left of it."""
        follower = self._followed.pop(step, None)
        if follower is not None:
            self._tell(step, follower)

    def poll(self) -> None:
        for step, follower in self._followed.items():
            self._tell(step, follower)

    def _tell(self, step: str, follower: Follower) -> None:
        text = follower.news()
        if text:
            self._echo(step, text)
