"""What the modules of a project do to libraries while they load: it counts for every function."""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Iterable
from typing import Any

from lineal.assets.deferred import bound, names_of
from lineal.assets.effects import HARMLESS, Deed
from lineal.assets.pieces import MISSING, ModuleSource, Project, is_ours
from lineal.assets.sourcecode import Effect

_CONTAINERS = (dict, list, set, tuple, frozenset, str, bytes, int, float, bool, type(None))


class Loading:
    """Tells which top-level statements do something that outlasts them, by what they call."""

    def __init__(self, project: Project):
        self.project = project
        # What is loaded later, by the walk itself, is none of this: no recipe depends on the order.
        self.names = frozenset(name for name in project.sources if name in sys.modules)
        self._quiet: set[types.CodeType] = set()
        self._seen: set[types.CodeType] = set()
        self._found: dict[str, tuple[Effect, ...]] = {}

    def effects(self, source: ModuleSource) -> tuple[Effect, ...]:
        found = self._found.get(source.name)
        if found is None:
            live = sys.modules.get(source.name)
            names = names_of(live) if live is not None else {}
            found = tuple(e for e in source.analysis.effects if self._statement(e, names))
            self._found[source.name] = found
        return found

    def _statement(self, effect: Effect, names: dict[str, Any]) -> bool:
        self._seen.clear()
        if any(self._deed(deed, names, None) for deed in effect.deeds):
            return True
        self._quiet |= self._seen  # all that these call was looked at
        # What gives nothing was called for its effect.
        return any(names.get(name, MISSING) is None for name in effect.targets) and any(
            kind == "asks" and self._is_foreign(what) for kind, what, _ in effect.deeds
        )

    def _is_foreign(self, what: str) -> bool:
        top = what.removeprefix("import:").partition(".")[0]
        return what.startswith("import:") and not self.project.is_project(top)

    # ------------------------------------------------------------------ deeds

    def _deed(self, deed: Deed, names: dict[str, Any], function: types.FunctionType | None) -> bool:
        kind, what, _ = deed
        if kind == "acts":
            return True
        if kind == "changes":
            return False
        if kind == "hands":
            return self._hands(what, names, function)
        if self._is_foreign(what):
            return kind in ("calls", "sets")
        value, rest = self._root(what, names, function)
        if isinstance(value, types.CodeType):
            return kind != "sets" and self._code(value, names, function)
        if value is MISSING:
            return kind in ("calls", "sets") and function is None
        if kind == "items":
            held = list(value.values()) if isinstance(value, dict) else value
            several = held if isinstance(held, list | tuple | set | frozenset) else ()
            return any(self._on(each, (), "calls") for each in several)
        return self._on(value, rest, kind)

    def _hands(self, what: str, names: dict[str, Any], function: types.FunctionType | None) -> bool:
        """A library's class, handed to a function of the project that changes what it is given."""
        target, _, thing = what.partition(">")
        if not self._is_foreign(thing) or self._is_foreign(target):
            return False
        value, rest = self._root(target, names, function)
        found, _ = _followed(value, rest)
        code = getattr(found, "__code__", None)
        return isinstance(code, types.CodeType) and any(
            kind == "changes" for kind, _, _ in self._deeds(code, found.__globals__)
        )

    def _root(
        self, what: str, names: dict[str, Any], function: types.FunctionType | None
    ) -> tuple[Any, tuple[str, ...]]:
        kind, _, path = what.partition(":")
        first, *rest = path.split(".")
        if kind == "import":
            found: Any = self.project.load(first) or MISSING
            return found, tuple(rest)
        if function is not None:
            code = function.__code__
            for inner in code.co_consts:
                if isinstance(inner, types.CodeType) and inner.co_name == first:
                    return inner, tuple(rest)
            if first in code.co_freevars and function.__closure__:
                cell = function.__closure__[code.co_freevars.index(first)]
                try:
                    return cell.cell_contents, tuple(rest)
                except ValueError:
                    return MISSING, ()
            if first in ("self", "cls"):
                return _owner(function), tuple(rest)
        return bound(names, first, MISSING), tuple(rest)

    def _on(self, value: Any, rest: tuple[str, ...], kind: str) -> bool:
        """Does a deed on a live object reach beyond the project?"""
        found, left = _followed(value, rest)
        if kind == "sets":
            return self._is_shared(found)
        if isinstance(found, staticmethod | classmethod | types.MethodType):
            found = found.__func__
        while isinstance(found, functools.partial):
            found = found.func
        if isinstance(found, types.FunctionType) and is_ours(self.project, found):
            return self._function(found, nested=kind == "wraps")
        if isinstance(found, type) and self.project.is_project(found.__module__):
            makers = [vars(found).get(n) for n in ("__new__", "__init__", "__post_init__")]
            makers = [m.__func__ if isinstance(m, staticmethod) else m for m in makers]
            return any(self._function(m) for m in makers if isinstance(m, types.FunctionType))
        if kind != "calls":
            return False
        owner = found if left or not rest else _followed(value, rest[:-1])[0]
        return self._is_shared(owner)

    def _is_shared(self, value: Any) -> bool:
        """May others see the state of this object: a library's module, class or instance?"""
        if isinstance(value, types.ModuleType):
            return self._is_library(value.__name__)
        if isinstance(value, types.FunctionType):
            return not is_ours(self.project, value)
        if isinstance(value, _CONTAINERS):
            return False
        return self._is_library((value if isinstance(value, type) else type(value)).__module__)

    def _is_library(self, module: object) -> bool:
        name = str(module)
        return name.partition(".")[0] not in HARMLESS and not self.project.is_project(name)

    # ------------------------------------------------------------------ functions

    def _function(self, function: types.FunctionType, *, nested: bool = False) -> bool:
        if not is_ours(self.project, function):
            return False
        if self._code(function.__code__, function.__globals__, function):
            return True
        inner = [c for c in function.__code__.co_consts if isinstance(c, types.CodeType)]
        return nested and any(self._code(c, function.__globals__, function) for c in inner)

    def _code(
        self, code: types.CodeType, names: dict[str, Any], function: types.FunctionType | None
    ) -> bool:
        if code in self._quiet or code in self._seen:
            return False
        self._seen.add(code)
        return any(self._deed(deed, names, function) for deed in self._deeds(code, names))

    def _deeds(self, code: types.CodeType, names: dict[str, Any]) -> Iterable[Deed]:
        source = self.project.sources.get(str(names.get("__name__")))
        if source is None or code.co_filename != source.file:
            return ()
        units = source.analysis.unit(code.co_firstlineno, code.co_name)
        return [deed for unit in units for deed in unit.deeds]


def _followed(value: Any, rest: tuple[str, ...]) -> tuple[Any, tuple[str, ...]]:
    """Goes along attributes as far as they can be seen without running anything."""
    for position, name in enumerate(rest):
        if isinstance(value, types.ModuleType):
            found = bound(names_of(value), name, MISSING)
            if found is MISSING:
                found = sys.modules.get(f"{value.__name__}.{name}", MISSING)
        else:
            found = inspect.getattr_static(value, name, MISSING)
        if found is MISSING or isinstance(found, property):
            return value, rest[position:]
        value = found
    return value, ()


def _owner(function: types.FunctionType) -> Any:
    """The class that a method is written in."""
    found: Any = function.__globals__
    for name in function.__qualname__.split(".")[:-1]:
        found = (
            found.get(name, MISSING)
            if isinstance(found, dict)
            else inspect.getattr_static(found, name, MISSING)
        )
    return MISSING if isinstance(found, dict) else found
