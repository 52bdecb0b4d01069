"""Runs modules whose heavy imports wait until they are needed, and makes those imports then.

Once one of them is needed all are made, in the order in which they stand: from then on every
module is as Python would have it. An import waits only if this very import was seen to work.
"""

from __future__ import annotations

import contextlib
import json
import sys
import typing
from _thread import RLock
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from lineal.assets.annotations import arrival, meaning
from lineal.assets.deferred import MARK, deferred_in, names_of, waits
from lineal.assets.digest import digest_of
from lineal.assets.errors import DefinitionError
from lineal.compiled import Compiled
from lineal.disk import Disk, keep, kept
from lineal.postpone import VIEW, Postponed, Statement


class _Reached(NamedTuple):
    """A statement that waits."""

    view: View
    statement: Statement
    notes: tuple[Any, ...]


class Deferral:
    """The imports that the modules of one load put off, in the order in which they stand."""

    def __init__(self, proved: Proved, *, is_on: bool) -> None:
        self.proved = proved
        self.is_on = is_on
        self.was_used = False
        self._waiting: deque[_Reached] = deque()
        self._views: list[View] = []
        self._lock = RLock()

    def execute(
        self, module: ModuleType, compiled: Compiled, is_project: Callable[[str], bool]
    ) -> bool:
        """Run a module without the imports that can wait; False when it has to run as written."""
        if self.is_on and compiled.reveals:
            self.settle()
        postponed = compiled.postponed if self.is_on else None
        if postponed is None:
            return False
        self.was_used = True
        view = View(self, module, postponed, is_project)
        view.names[MARK] = view.names[VIEW] = view
        self._views.append(view)
        if postponed.statements:
            module.__class__ = _Waiting
        try:
            exec(postponed.code, view.names)
        finally:
            view.names.pop(VIEW, None)
        return True

    def reached(self, view: View, statement: Statement, notes: tuple[Any, ...]) -> None:
        """A statement that can wait would run now."""
        if self.is_on and (
            not self.proved.holds(statement.proofs) or any(map(view.is_project, statement.tops))
        ):
            self.settle()
        if not self.is_on:
            view.bind(statement, notes)
            return
        if statement.text:
            view.aliases[statement.names[0]] = (statement.text, notes)
        self._waiting.append(_Reached(view, statement, notes))

    def first(self, top: str) -> None:
        """Before anything else is imported from this library: what waits of it."""
        with self._lock:
            for each in [each for each in self._waiting if top in each.statement.tops]:
                if each in self._waiting:
                    self._waiting.remove(each)
                    self._bind(each)

    def settle(self) -> None:
        """Make all imports that wait; nothing waits from now on."""
        with self._lock:
            self.is_on = False
            while self._waiting:
                self._bind(self._waiting.popleft())
            while self._views:
                self._views[-1].finish()
                self._views.pop()

    def _bind(self, each: _Reached) -> None:
        try:
            each.view.bind(each.statement, each.notes)
        except BaseException:
            self._waiting.appendleft(each)  # the next use meets the same error
            raise


class View:
    """One module of which something waits: what its code, and lineal, ask about it."""

    def __init__(
        self,
        deferral: Deferral,
        module: ModuleType,
        postponed: Postponed,
        is_project: Callable[[str], bool],
    ) -> None:
        self.deferral = deferral
        self.module = module
        self.is_project = is_project  # code of the project runs where it stands
        self.names = names_of(module)
        self.statements = postponed.statements
        self.paths: Mapping[str, tuple[str, ...]] = postponed.paths
        self.aliases: dict[str, tuple[str, tuple[Any, ...]]] = {}
        self.arrivals: Mapping[str, str] = deferral.proved.arrivals
        self._annotated: list[tuple[FunctionType, tuple[str, ...]]] = []

    def __call__(self) -> None:
        """A function that uses what waits is called."""
        self.deferral.settle()

    def __reduce__(self) -> tuple[Any, ...]:
        """Where a function is copied to by value, nothing waits."""
        self.deferral.settle()
        return type(None), ()

    def settle(self) -> None:
        try:
            self.deferral.settle()
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            raise DefinitionError(f"an import of `{self.module.__name__}` fails: {said}") from error

    # ------------------------------------------------------------- asked by the module's code

    def reached(self, place: int, *notes: Any) -> None:
        self.deferral.reached(self, self.statements[place], notes)

    def first(self, top: str) -> None:
        self.deferral.first(top)

    def acts(self, *tops: str) -> None:
        """A statement acts on these; the project's own functions tell for themselves."""
        if not all(map(self.is_project, tops)):
            self.deferral.settle()

    def annotated(self, *names: str) -> Callable[[FunctionType], FunctionType]:
        """Decorates a function of which these annotations are texts for the time being."""

        def remember(function: FunctionType) -> FunctionType:
            if self.deferral.is_on:
                self._annotated.append((function, names))
            else:
                self._evaluate(function, names)
            return function

        return remember

    # ------------------------------------------------------------------------------- binding

    def bind(self, statement: Statement, notes: tuple[Any, ...]) -> None:
        if statement.text:
            self.names[statement.names[0]] = eval(statement.code, self.names)(notes)
        else:
            exec(statement.code, self.names)

    def finish(self) -> None:
        """Everything is bound: the module is one like any other."""
        while self._annotated:
            self._evaluate(*self._annotated[-1])
            self._annotated.pop()
        self.names[MARK] = None
        if type(self.module) is _Waiting:
            self.module.__class__ = ModuleType  # type: ignore[assignment] # as it was

    def _evaluate(self, function: FunctionType, names: Iterable[str]) -> None:
        held = function.__annotations__
        for name in names:
            text = held[name]
            if isinstance(text, str):
                held[name] = eval(text, self.names)
            else:
                kind = eval(text.__origin__.__forward_arg__, self.names)
                held[name] = typing.Annotated[kind, *text.__metadata__]


class _Waiting(ModuleType):
    """A module of which something waits: asked for it, it has it."""

    def __getattr__(self, name: str) -> Any:
        view = _view_of(self)
        if view is not None and waits(view.names, name):
            view.deferral.settle()
        return ModuleType.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._bind_first(name)
        ModuleType.__setattr__(self, name, value)  # it may be no `_Waiting` any more

    def __delattr__(self, name: str) -> None:
        self._bind_first(name)
        ModuleType.__delattr__(self, name)

    def _bind_first(self, name: str) -> None:
        view = _view_of(self)
        if view is not None and waits(view.names, name):
            view.deferral.settle()

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override] # Python lets it be one
        view = _view_of(self)
        if view is not None:
            view.deferral.settle()
        return names_of(self)


def _view_of(module: ModuleType) -> View | None:
    found = deferred_in(names_of(module))
    return found if isinstance(found, View) else None


# ------------------------------------------------------------------------------------- proofs


class Proved:
    """Which imports were seen to work, with what is installed now; kept between processes.

    `arrivals`: how a value arrives that is annotated with a class, by the path of the class.
    """

    def __init__(self, folder: Path | None) -> None:
        self._file = None if folder is None else folder / "imports.json"
        self._stamp = "" if folder is None else _stamp()
        self.arrivals: dict[str, str] = self._read()

    def holds(self, proofs: Iterable[str]) -> bool:
        return all(proof in self.arrivals for proof in proofs)

    def add(self, proofs: Iterable[str]) -> None:
        """These imports worked; keep that if possible: a cache that can't be written is none."""
        found = {proof: _arrival(proof) for proof in proofs}
        if self._file is None or found.items() <= self.arrivals.items():
            return
        self.arrivals.update(found)
        said = {"stamp": self._stamp, "proved": self.arrivals}
        keep(self._file, json.dumps(said).encode(), Disk())

    def _read(self) -> dict[str, str]:
        body = None if self._file is None else kept(self._file)
        if body is None:
            return {}
        said = json.loads(body)
        return dict(said["proved"]) if said["stamp"] == self._stamp else {}


def _arrival(path: str) -> str:
    """How a value annotated with what this path names arrives; nothing if it names no class."""
    parts = path.replace(":", ".").split(".")
    found: Any = None
    for end in range(len(parts), 0, -1):
        found = sys.modules.get(".".join(parts[:end]))
        if found is not None:
            break
    for name in parts[end:]:
        found = getattr(found, name, None)
    if isinstance(found, type) or isinstance(typing.get_origin(found), type):
        return arrival(meaning(found, {}, seen="class").type)
    return ""


def _stamp() -> str:
    """What changes when something is installed, upgraded or removed."""
    seen: list[Any] = [sys.version, sys.prefix, sys.path]
    for entry in sys.path:
        if entry.endswith(("site-packages", "dist-packages")):
            with contextlib.suppress(OSError):
                found = Path(entry).stat()
                seen.append([found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns])
    return digest_of(seen)
