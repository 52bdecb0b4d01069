"""Running the user's code: seeded, its output kept, its reads noticed, its errors located."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import io
import os
import random
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, TextIO

from lineal.assets.asset import Asset
from lineal.assets.errors import LinealError, UserCodeError
from lineal.assets.records import Recipe

Echo = Callable[[str, str], None]  # (step, text): shows what a step prints, at once


class Trace:
    """What was noticed while a step ran: project files opened for reading, and where."""

    def __init__(self, root: str, own: str, declared: Sequence[str]) -> None:
        self._root = root + os.sep
        self._own = own + os.sep  # lineal's own folder
        self._declared = frozenset(declared)
        self._read: dict[str, str] = {}  # path → place
        self._written: set[str] = set()
        self.unwatched: tuple[tuple[str, str, str], ...] = ()

    def opened(self, raw: object, mode: object, flags: object) -> None:
        """An audit event `open`: keep it if it reads a project file that nobody declared."""
        if isinstance(raw, bytes):
            raw = os.fsdecode(raw)
        if not isinstance(raw, str):
            return
        path = os.path.abspath(raw)  # noqa: PTH100  (a hook runs for every open: no Path objects)
        if not path.startswith(self._root) or path.startswith(self._own):
            return
        if _writes(mode, flags):
            self._written.add(path)
        elif path not in self._declared and path not in self._written and self._is_data(path):
            self._read.setdefault(path, self._place())

    def named(self, path: str, place: str) -> None:
        """A text constant in reached code names this file: code in C may read it unseen."""
        if path not in self._declared and path.startswith(self._root):
            self._read.setdefault(path, place)

    def close(self, digest: Callable[[str], str | None]) -> None:
        found = []
        for path, place in sorted(self._read.items()):
            if path in self._written:
                continue
            relative = path[len(self._root) :]
            found.append((relative, digest(relative) or "", place))
        self.unwatched = tuple(found)

    def _is_data(self, path: str) -> bool:
        """Code is the recipe's matter; what tools keep in hidden folders is not the project's."""
        inside = Path(path[len(self._root) :])
        hidden = any(part.startswith(".") for part in inside.parts)
        return inside.suffix not in (".py", ".pyc", ".so") and not hidden and Path(path).is_file()

    def _place(self) -> str:
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith(self._root) and not name.startswith(self._own):
                return f"{name[len(self._root) :]}:{frame.f_lineno}"
            frame = frame.f_back
        return ""


def _writes(mode: object, flags: object) -> bool:
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    if isinstance(flags, int):
        return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
    return False


_tracing: contextvars.ContextVar[Trace | None] = contextvars.ContextVar(
    "lineal_trace", default=None
)


@functools.cache
def _listen() -> None:
    """Install the audit hook, once a process: Python offers no way to take one out again."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            trace = _tracing.get()
            if trace is not None:
                trace.opened(args[0], args[1], args[2])

    sys.addaudithook(hook)


class _Tee(io.TextIOBase):
    """Text written by a step: to its log, and shown live."""

    def __init__(self, log: _Log, echo: Echo | None) -> None:
        self._log = log
        self._echo = echo

    def write(self, text: str) -> int:
        self._log.write(text)
        if self._echo is not None and text:
            self._echo(self._log.step, text)
        return len(text)

    def writable(self) -> bool:
        return True


class _Log:
    """The log file of a step, created when there is something to keep."""

    def __init__(self, path: Path, step: str) -> None:
        self._path = path
        self._file: TextIO | None = None
        self.step = step

    def write(self, text: str) -> None:
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a", encoding="utf-8", buffering=1)
        self._file.write(text)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class UserCode:
    """Implements assets.perform.UserCode for one project."""

    def __init__(
        self,
        root: Path,
        own: Path,
        digest: Callable[[str], str | None],
        drifted: Callable[[Asset], str | None],
        settle: Callable[[], None],
        echo: Echo | None = None,
        debugger: bool = False,
    ) -> None:
        self._root = root
        self._own = own
        self._digest = digest
        self._drifted = drifted
        self._settle = settle
        self._echo = echo
        self._debugger = debugger

    @contextlib.contextmanager
    def running(self, recipe: Recipe, log: str, declared: Sequence[str]) -> Iterator[Trace]:
        """Steps run in the project's folder, so that a relative path means one thing."""
        _listen()
        trace = Trace(str(self._root), str(self._own), declared)
        for literal, place in recipe.watched:
            named = self._root / literal
            if named.is_file():
                trace.named(str(named), place)
        kept = _Log(self._own / "logs" / f"{log}.log", log.rpartition("/")[2])
        tee = _Tee(kept, self._echo)
        try:
            with (
                _seeded(recipe),
                _in_folder(self._root),
                _logging_to(tee),
                contextlib.redirect_stdout(tee),
                contextlib.redirect_stderr(tee),
            ):
                self._settle()  # a step finds all that its modules import
                token = _tracing.set(trace)
                try:
                    yield trace
                finally:
                    _tracing.reset(token)
        except LinealError as error:
            kept.write(f"{error.message}\n")
            raise
        except (Exception, SystemExit) as error:
            located = self.locate(error)
            kept.write(located.traceback)
            if self._debugger:
                import pdb

                pdb.post_mortem(error.__traceback__)
            raise located from error
        finally:
            kept.close()
            trace.close(self._digest)

    def drift(self, asset: Asset) -> str | None:
        return self._drifted(asset)

    def locate(self, error: BaseException) -> UserCodeError:
        """The error with the user's own line: the innermost frame that lies in the project."""
        place, line = "", ""
        for frame in traceback.extract_tb(error.__traceback__):
            if self._is_users(frame.filename):
                relative = os.path.relpath(frame.filename, self._root)
                place = f"{relative}:{frame.lineno} in {frame.name}"
                line = (frame.line or "").strip()
        text = "".join(
            traceback.format_exception(type(error), error, _without_ours(error.__traceback__))
        )
        return UserCodeError(
            type(error).__name__, _message(error), where=place or None, line=line, traceback=text
        )

    def _is_users(self, filename: str) -> bool:
        path = str(filename)
        if not path.startswith(str(self._root) + os.sep):
            return False
        inside = Path(path).relative_to(self._root).parts
        return not any(p.startswith(".") or p == "site-packages" for p in inside)


def _message(error: BaseException) -> str:
    text = str(error)
    return text if len(text) <= 2000 else text[:2000] + "…"


def _without_ours(tb: TracebackType | None) -> TracebackType | None:
    """The traceback from where user code begins: lineal's own frames say nothing to its author."""
    here = os.path.dirname(__file__)  # noqa: PTH120
    top = os.path.dirname(here)  # noqa: PTH120
    ours = tuple(os.path.join(top, name) + os.sep for name in ("assets", "lineal"))  # noqa: PTH118
    while tb is not None and tb.tb_next is not None:
        name = tb.tb_frame.f_code.co_filename
        if not name.startswith(ours) and not name.endswith("contextlib.py"):
            break
        tb = tb.tb_next
    return tb


@contextlib.contextmanager
def _seeded(recipe: Recipe) -> Iterator[None]:
    """Seed `random` and numpy's generator from the recipe; give back their state afterwards."""
    import numpy as np

    seed = int(recipe.digest[:8], 16)
    before, before_numpy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(before_numpy)


@contextlib.contextmanager
def _in_folder(root: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(root)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _logging_to(stream: TextIO | io.TextIOBase) -> Iterator[None]:
    """What user code logs goes with what it prints; nothing when it never imports logging."""
    logging = sys.modules.get("logging")
    if logging is None:
        yield
        return
    root = logging.getLogger()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
