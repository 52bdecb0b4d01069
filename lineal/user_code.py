"""Running the user's code: seeded, its output kept, its reads noticed, its errors located."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import random
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NamedTuple, TextIO

from lineal.assets.asset import Asset
from lineal.assets.digest import digest_of
from lineal.assets.errors import StepError, StepTimeout, StoreError, UserCodeError
from lineal.assets.records import Recipe
from lineal.assets.secrets import held_back, hidden_texts, scrub, scrubbed
from lineal.logs import Log, descriptors_to

Echo = Callable[[str, str], None]  # (step, text): shows what a step prints, at once


Digest = Callable[[str], "str | None"]  # of a project file, or of a folder's listing (`data/`)


class Read(NamedTuple):
    """A project file (or a folder's listing, ending in `/`) that a step read unasked."""

    path: str
    digest: str  # of what was read; empty: it was not there
    place: str
    reader: str  # the function that read it, as recipes name it
    times: tuple[int, int] | None  # of its last changes as it was opened; None: it was named first


class Trace:
    """What was noticed while a step ran: project files read, and where."""

    def __init__(self, root: str, own: str, declared: Sequence[str], digest: Digest) -> None:
        self._root = root + os.sep
        self._own = own + os.sep  # lineal's own folder
        self._declared = frozenset(declared)
        self._digest = digest
        self._busy = False
        self.reads: dict[str, Read] = {}
        self._wrote: set[str] = set()
        self.unwatched: tuple[tuple[str, str, str], ...] = ()

    @property
    def written(self) -> tuple[str, ...]:
        """The project files that the step opened for writing."""
        return tuple(sorted(self._wrote))

    def opened(self, raw: object, mode: object, flags: object) -> None:
        """An audit event `open`: keep it if it reads a project file that nobody declared."""
        path = self._inside(raw)
        if path is None or self._busy:
            return
        if _writes(mode, flags):
            self._wrote.add(path)
        elif path not in self._wrote:
            self._note(path, *self._caller())
            if isinstance(flags, int) and flags & os.O_RDWR:  # to read it, then write it
                self._wrote.add(path)

    def listed(self, raw: object) -> None:
        """An audit event of listing a folder: which files there are may decide a result."""
        if sys._getframe(2).f_code.co_filename.startswith("<frozen importlib"):
            return  # looking for a module
        path = self._inside("." if raw is None else raw)
        if path is not None and not self._busy:
            self._note(path + "/", *self._caller())

    def named(self, path: str, place: str) -> None:
        """A text constant in reached code names this file: code in C may read it unseen."""
        inside = self._inside(path)
        if inside is not None:
            self._note(inside, place, "")

    def _note(self, path: str, place: str, reader: str) -> None:
        """The digest is taken now, of what is read: the step may write the file later."""
        known = self.reads.get(path)
        if known is not None:
            if reader and not known.reader:  # it was only named so far
                self.reads[path] = known._replace(place=place, reader=reader)
            return
        self._busy = True
        try:
            times = self._times(path) if reader else None
            self.reads[path] = Read(path, self._now(path), place, reader, times)
        finally:
            self._busy = False

    def _now(self, path: str) -> str:
        return self._digest(path) or ""

    def _inside(self, raw: object) -> str | None:
        """A path relative to the project, if it is data of the project that nobody declared."""
        if isinstance(raw, bytes):
            raw = os.fsdecode(raw)
        if not isinstance(raw, str | os.PathLike):
            return None
        path = os.path.abspath(os.fspath(raw))  # noqa: PTH100  (a hook runs for every open)
        if not path.startswith(self._root) or (path + os.sep).startswith(self._own):
            return None
        inside = path[len(self._root) :]
        hidden = any(part.startswith(".") for part in Path(inside).parts[:-1])
        code = inside.endswith((".py", ".pyc", ".so"))
        return None if hidden or code or path in self._declared else inside

    def close(self, earlier: Iterable[Read]) -> None:
        """Settle what the step read, together with what a cached helper read for it earlier."""
        for path, read in list(self.reads.items()):
            if self._only_written(read):
                del self.reads[path]
            elif self._changed_by_others(read):
                # What was read is no longer known: whatever it holds next time, it may be new.
                self.reads[path] = read._replace(digest=_of_no_file(read.digest))
        for read in earlier:
            if read.path not in self._wrote:
                self.reads.setdefault(read.path, read)
        self.unwatched = tuple((r.path, r.digest, r.place) for _, r in sorted(self.reads.items()))

    def _only_written(self, read: Read) -> bool:
        """Was a file that code merely names written by the step, by C code perhaps?"""
        named_only = not read.reader
        return named_only and (read.path in self._wrote or self._now(read.path) != read.digest)

    def _times(self, path: str) -> tuple[int, int] | None:
        try:
            status = os.stat(self._root + path)  # noqa: PTH116  (for every open)
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ctime_ns

    def _changed_by_others(self, read: Read) -> bool:
        """Was it changed under the reader? It may even have been put back since."""
        if read.path.endswith("/"):
            own = any(path.startswith(read.path) for path in self._wrote)
            return not own and self._now(read.path) != read.digest
        if not read.reader or read.path in self._wrote:
            return False
        moved = read.times is not None and self._times(read.path) != read.times
        return moved or self._now(read.path) != read.digest

    def _caller(self) -> tuple[str, str]:
        """The nearest line of the project's own code, and the function it is in."""
        frame: FrameType | None = sys._getframe(3)
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith(self._root) and not name.startswith(self._own):
                function = frame.f_code.co_qualname.partition(".<locals>")[0]
                module = frame.f_globals.get("__name__", "")
                return f"{name[len(self._root) :]}:{frame.f_lineno}", f"{module}.{function}"
            frame = frame.f_back
        return "", ""


def _of_no_file(told: str) -> str:
    """Stands for bytes that nobody saw: it is the digest of no file and no listing."""
    return digest_of(("changed while it was read", told))


def _writes(mode: object, flags: object) -> bool:
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax")
    if isinstance(flags, int):
        return bool(flags & (os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
    return False


class _Active:
    """The trace of the step that runs in this process; threads that it starts are its too."""

    trace: Trace | None = None


@functools.cache
def _listen() -> None:
    """Install the audit hook, once a process: Python offers no way to take one out again."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        trace = _Active.trace
        if trace is None:
            return
        if event == "open":
            trace.opened(args[0], args[1], args[2])
        elif event in ("os.listdir", "os.scandir"):
            trace.listed(args[0])

    sys.addaudithook(hook)


class _Tee(io.TextIOBase):
    """Text written by a step: to its log, and shown live; no secret passes.

    The end of a text that may be the beginning of a secret waits for what follows it.
    """

    def __init__(self, log: Log, echo: Echo | None) -> None:
        self._log = log
        self._echo = echo
        self._held = ""

    def write(self, text: str) -> int:
        secrets = hidden_texts()
        known = scrub(self._held + text, secrets) if secrets else self._held + text
        held = held_back(known, secrets)
        self._held = known[len(known) - held :]
        self._pass(known[: len(known) - held])
        return len(text)

    def finish(self) -> None:
        """Nothing follows: pass on what waits."""
        self._pass(self._held)
        self._held = ""

    def _pass(self, text: str) -> None:
        self._log.write(text)
        if self._echo is not None and text:
            self._echo(self._log.step, text)

    def writable(self) -> bool:
        return True


class UserCode:
    """Implements assets.perform.UserCode for one project."""

    def __init__(
        self,
        root: Path,
        own: Path,
        digest: Digest,
        drifted: Callable[[Asset], str | None],
        settle: Callable[[], None],
        echo: Echo | None = None,
        debugger: bool = False,
        descriptors: bool = False,  # in a worker: what is written below Python is kept too
    ) -> None:
        self._root = root
        self._own = own
        self._digest = digest
        self._reads: dict[str, Read] = {}  # of all steps of this run
        self._drifted = drifted
        self._settle = settle
        self._echo = echo
        self._debugger = debugger
        self._descriptors = descriptors

    @contextlib.contextmanager
    def running(
        self, recipe: Recipe, step: str, log: str, declared: Sequence[str]
    ) -> Iterator[Trace]:
        """Steps run in the project's folder, so that a relative path means one thing."""
        _listen()
        trace = Trace(str(self._root), str(self._own), declared, self._digest)
        for literal, place in recipe.watched:
            for named in self._files_named(literal):
                trace.named(named, place)
        kept = Log(self._own / "logs" / f"{log}.log", step, hide=scrubbed)
        tee = _Tee(kept, self._echo)
        try:
            with (
                descriptors_to(kept.descriptor())
                if self._descriptors
                else contextlib.nullcontext(),
                seeded(recipe.digest),
                _with_its_own_variables(),
                _in_folder(self._root),
                _logging_to(tee),
                contextlib.redirect_stdout(tee),
                contextlib.redirect_stderr(tee),
            ):
                self._settle()  # a step finds all that its modules import
                before, _Active.trace = _Active.trace, trace
                try:
                    yield trace
                finally:
                    _Active.trace = before
        except (StepError, StoreError) as error:
            tee.finish()
            if isinstance(error, StepTimeout) and error.__cause__ is not None:
                located = self.locate(error.__cause__)  # where it was just then
                error.where, error.excerpt = located.where, located.excerpt
                kept.write(scrubbed(located.traceback))
            error.args = (scrubbed(error.message),)
            error.message = scrubbed(error.message)
            kept.write(f"{error.message}\n")
            raise
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            tee.finish()
            located = self.locate(error)
            kept.write(located.traceback)
            if self._debugger:
                import pdb

                pdb.post_mortem(error.__traceback__)
            raise located from error
        finally:
            tee.finish()
            kept.close()
            self._close(trace, recipe)

    def _files_named(self, literal: str) -> list[str]:
        """The files a text in code may mean, from the project's folder; `*` stands for any text."""
        if "*" in literal:
            return sorted(str(p) for p in self._root.glob(literal.lstrip("/")) if p.is_file())
        return [] if (self._root / literal).is_dir() else [str(self._root / literal)]

    def _close(self, trace: Trace, recipe: Recipe) -> None:
        """What a function read for an earlier step it may have kept: others may rest on it."""
        own = set(trace.reads)
        users = {part.name for part in recipe.parts}
        trace.close(r for r in self._reads.values() if r.reader in users)
        for path, read in trace.reads.items():
            if path in own:
                self._reads.setdefault(path, read)

    def drift(self, asset: Asset) -> str | None:
        return self._drifted(asset)

    def locate(self, error: BaseException) -> UserCodeError:
        """The error with the user's own line: the innermost frame that lies in the project.

        No secret is in it.
        """
        place, line = "", ""
        for frame in traceback.extract_tb(error.__traceback__):
            if self._is_users(frame.filename):
                relative = os.path.relpath(frame.filename, self._root)
                place = f"{relative}:{frame.lineno} in {frame.name}"
                line = (frame.line or "").strip()
        told = traceback.TracebackException(type(error), error, _without_ours(error.__traceback__))
        text = "".join(told.format())
        return UserCodeError(
            type(error).__name__,
            _message(error),
            where=place or None,
            line=scrubbed(line),
            traceback=scrubbed(text),
            types=tuple(f"{c.__module__}.{c.__qualname__}" for c in type(error).__mro__),
        )

    def _is_users(self, filename: str) -> bool:
        path = str(filename)
        if not path.startswith(str(self._root) + os.sep):
            return False
        inside = Path(path).relative_to(self._root).parts
        return not any(p.startswith(".") or p == "site-packages" for p in inside)


def _message(error: BaseException) -> str:
    try:
        text = scrubbed(str(error))
    except Exception:  # noqa: BLE001  (the user's class may do anything when asked for its text)
        return "(its message can't be shown)"
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
def seeded(digest: str) -> Iterator[None]:
    """Seed `random` and numpy's generator from a digest; give back their state afterwards."""
    import numpy as np

    seed = int(digest[:8], 16)
    before, before_numpy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(before_numpy)


@contextlib.contextmanager
def _with_its_own_variables() -> Iterator[None]:
    """What a step sets in the environment is not there for the next, whichever that is."""
    before = os.environ.copy()
    try:
        yield
    finally:
        if os.environ != before:
            os.environ.clear()
            os.environ.update(before)


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
    if "logging" not in sys.modules:
        yield
        return
    import logging  # waits for whoever is importing it just now

    root = logging.getLogger()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
