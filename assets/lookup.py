"""Looks up the names that a piece of source says, among live objects and by their imports."""

from __future__ import annotations

import builtins
import functools
import inspect
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Any

from lineal.assets import remarkable, watching
from lineal.assets.captured import external_path, identity, is_importable, is_library_class
from lineal.assets.deferred import bound, deferred_in, names_of, waits
from lineal.assets.pieces import (
    MISSING,
    Context,
    ModuleSource,
    Node,
    Nodes,
    Project,
    belongs,
    held,
    is_ours,
    module_context,
)
from lineal.assets.sourcecode import Binding, Decorator, Ref


class Lookup:
    """Adds to a node what the names in its source mean; `nodes` makes the nodes they lead to."""

    def __init__(self, project: Project, nodes: Nodes):
        self.project = project
        self.nodes = nodes
        self._resolved: dict[Any, Node] = {}

    def forget(self) -> None:
        self._resolved.clear()

    def follow(self, node: Node, refs: Iterable[Ref], context: Context) -> None:
        for kind, chain, line, how in refs:
            name = chain[0]
            if kind == "name" and name in context.hidden:
                continue
            if kind == "name" and name in context.cells:
                self._cell(node, chain, how, context, f"{context.source.path}:{line}")
                continue
            # Many functions of a module say the same name: it is looked up once.
            key = (kind, chain, how, context.source.name)
            found = self._resolved.get(key)
            if found is None:
                found = Node(node.part, None)
                if kind == "import":
                    self._import(found, chain, how, f"{context.source.path}:{line}")
                else:
                    self._name(found, chain, how, context, line)
                if not found.opaque:  # those sentences name the line
                    self._resolved[key] = found
            node.take(found)

    def _name(
        self, node: Node, chain: tuple[str, ...], how: str, context: Context, line: int
    ) -> None:
        name, where = chain[0], f"{context.source.path}:{line}"
        self.settle(context.globals, (name,))
        live = context.globals.get(name, MISSING)
        paths = context.source.analysis.imports.get(name, ())
        if len(paths) == 1 and self._says(paths[0], live):
            self._import(node, (*paths[0], *chain[1:]), how, where)
        elif live is not MISSING:
            self._live(node, context.source, context.globals, chain, how, where)
        else:
            for path in paths:
                self._import(node, (*path, *chain[1:]), how, where)

    def settle(self, names: Mapping[str, Any], wanted: Iterable[str]) -> None:
        """Bind types that wait, if one is wanted; an import that waits is known by its path."""
        deferred = deferred_in(names)
        if deferred is not None and any(name in deferred.aliases for name in wanted):
            deferred.settle()

    def _says(self, path: tuple[str, ...], live: Any) -> bool:
        """Is the live value what the import of this path gave? Not if it was bound anew since."""
        if not self.project.is_project(path[0]):
            return live is MISSING or not belongs(self.project, live)
        module = self.project.load(path[0])
        if module is None or live is MISSING:
            return True
        found: Any = module
        for name in path[1:]:
            found = held(found).get(name, MISSING)
            if found is MISSING:
                found = self.project.load(f"{path[0]}.{name}")
        return found is live

    def _cell(
        self, node: Node, chain: tuple[str, ...], how: str, context: Context, where: str
    ) -> None:
        cell = context.cells[chain[0]]

        def fetch() -> Any:
            try:
                return cell.cell_contents
            except ValueError:
                return None  # not yet bound: a function that names itself before it exists

        if chain[0] == "__class__":
            return
        self._value(
            node, fetch, chain, how, f"{context.label}.{chain[0]}", where, (id(cell), "cell")
        )

    def _live(
        self, node: Node, source: ModuleSource, names: Mapping[str, Any],
        chain: tuple[str, ...], how: str, where: str,
    ) -> None:  # fmt: skip
        """A global name by the value it has now."""
        name = chain[0]
        origin = self._starred(source, name, names[name])
        if origin is not source:
            self._import(node, (origin.name, *chain), how, where)
            return
        place = f"{source.path}:{source.analysis.lines.get(name, 1)}"
        key = ("constant", source.name, name)
        made = source.analysis.bindings.get(name, ())
        label = f"{source.name}.{name}"
        self._value(node, lambda: names[name], chain, how, label, place, key, made)

    def _starred(self, source: ModuleSource, name: str, value: Any) -> ModuleSource:
        """The module that a star import brought a name from, or the module itself."""
        seen: set[str] = set()
        waiting = [source]
        while waiting:
            found = waiting.pop()
            if name in found.analysis.lines:
                return found
            seen.add(found.name)
            for star in found.analysis.stars:
                module = self.project.load(star) if self.project.is_project(star) else None
                inner = self.project.sources.get(star)
                if module is None or inner is None or star in seen:
                    continue
                if names_of(module).get(name, MISSING) is value:
                    waiting.append(inner)
        return source

    def global_(self, source: ModuleSource, names: Mapping[str, Any], name: str) -> Node:
        value = names[name]
        if isinstance(value, types.FunctionType) and is_ours(self.project, value):
            return self.nodes.function(value, frozenset())
        if isinstance(value, type) and self.project.is_project(value.__module__):
            return self.nodes.class_(value)
        where = f"{source.path}:{source.analysis.lines.get(name, 1)}"
        key = ("constant", source.name, name)
        return self.nodes.constant(
            f"{source.name}.{name}",
            where,
            lambda: names[name],
            key,
            source.analysis.bindings.get(name, ()),
        )

    def _value(
        self, node: Node, fetch: Callable[[], Any], chain: tuple[str, ...], how: str,
        label: str, where: str, key: Any, made: Iterable[Binding] = (),
    ) -> None:  # fmt: skip
        """Follow a live value: into functions, classes and modules, else as a constant."""
        value = fetch()
        edge = ".".join(chain)
        if isinstance(value, types.FunctionType) and is_ours(self.project, value):
            # A function that is only called can be moved and renamed; as a value its name may show.
            edge = edge if how == "call" else f"{edge} as {identity(value)}"
            node.edges[edge] = self.nodes.function(value, frozenset())
        elif isinstance(value, type) and self.project.is_project(value.__module__):
            node.edges[edge] = self.nodes.class_(value)
        elif isinstance(value, types.ModuleType):
            self._import(node, (value.__name__, *chain[1:]), how, where)
        elif self._is_named(value):
            self.named(node, external_path(value), chain[1:], where)
        else:
            node.edges[edge] = self.nodes.constant(label, where, fetch, key, made)

    # ------------------------------------------------------------------ imports

    def _import(self, node: Node, chain: tuple[str, ...], how: str, where: str) -> None:
        if chain[0].partition(".")[0] == "lineal":
            self.external(node, ".".join(chain))
            return
        if not self.project.is_project(chain[0]):
            self._foreign(node, chain, how, where)
            return
        module = self.project.load(chain[0])
        if module is None:
            node.opaque.append(f"module `{chain[0]}` can't be imported  {where}")
            return
        position = 1
        while position < len(chain):
            self._module_effects(node, module.__name__)
            value = names_of(module).get(chain[position], MISSING)
            if waits(names_of(module), chain[position]):
                if how != "load":
                    self._member(node, module, chain[position:], how, where)
                return
            if value is MISSING:
                value = self._missing(node, module, chain, position, how, where)
            if not isinstance(value, types.ModuleType) or not belongs(self.project, value):
                if value is not MISSING and how != "load":
                    self._member(node, module, chain[position:], how, where)
                return
            module, position = value, position + 1
        self._module_effects(node, module.__name__)
        if how != "load":
            self._whole(node, module, where)

    def _missing(
        self,
        node: Node,
        module: types.ModuleType,
        chain: tuple[str, ...],
        position: int,
        how: str,
        where: str,
    ) -> Any:
        """A name that a module does not hold: a submodule, or made by its `__getattr__`."""
        name = f"{module.__name__}.{chain[position]}"
        found = self.project.load(name) if "__path__" in names_of(module) else None
        if found is not None:
            return found
        maker = names_of(module).get("__getattr__")
        if isinstance(maker, types.FunctionType) and is_ours(self.project, maker):
            node.edges[f"{module.__name__}.__getattr__"] = self.nodes.function(maker, frozenset())
        elif how != "load":
            self._whole(node, module, where)  # `__dict__`, or a name that is bound later
        return MISSING

    def _whole(self, node: Node, module: types.ModuleType, where: str) -> None:
        source = self.project.sources.get(module.__name__)
        if source is not None:
            node.opaque.append(
                f"any name of module `{source.name}` may be meant: all of it counts  {where}"
            )
            node.edges[f"module {source.name}"] = self.nodes.module(source)

    def _member(
        self, node: Node, module: types.ModuleType, chain: tuple[str, ...], how: str, where: str
    ) -> None:
        source = self.project.sources.get(module.__name__)
        if source is None:
            node.opaque.append(f"module `{module.__name__}` was not loaded by lineal  {where}")
            return
        context = module_context(source)
        self._name(node, chain, how, context, source.analysis.lines.get(chain[0], 1))

    def _module_effects(self, node: Node, name: str) -> None:
        """A module that only the walk loaded; what the others do counts for all functions."""
        source = self.project.sources.get(name)
        if source is not None:
            found = self.nodes.late_effects(source)
            if found is not None and found is not node:
                node.edges[f"effects {name}"] = found

    def _foreign(self, node: Node, chain: tuple[str, ...], how: str, where: str) -> None:
        """A name of a library: by its path, unless the project put something of its own there."""
        if how != "load":
            found: Any = sys.modules.get(chain[0])
            for name in chain[1:]:
                if not isinstance(found, types.ModuleType | type):
                    break
                found = held(found).get(name)
                if found is not None and belongs(self.project, found):
                    key = ("patched", chain, id(found))
                    fetch = functools.partial(_same, found)
                    self._value(node, fetch, chain, how, ".".join(chain), where, key)
                    break
            if chain[:2] in (("sys", "path"), ("sys", "meta_path"), ("site", "addsitedir")):
                # What is imported then can't be found before the code ran.
                self.anything(node, ".".join(chain[:2]), where)
        self.external(node, ".".join(chain), part=how != "load")

    def named(self, node: Node, path: str, rest: tuple[str, ...], where: str) -> None:
        """A live thing of a library, known by its import path."""
        if path in remarkable.DYNAMIC:
            self.anything(node, path.removeprefix("builtins."), where)
        self.external(node, ".".join((path, *rest)))

    def external(self, node: Node, path: str, *, part: bool = True) -> None:
        top = path.partition(".")[0]
        if path in remarkable.BEHIND:
            node.imports.add(remarkable.BEHIND[path])
        if top in ("lineal", "builtins", "__main__"):
            return
        if part:
            node.externals.add(path)
        if top not in sys.stdlib_module_names:
            node.imports.add(top)

    # ------------------------------------------------------------------ decorators and notes

    def _decorator(self, decorator: Decorator, context: Context) -> tuple[Any, str]:
        """The live object a decorator names, if it can be seen, and its import path."""
        if decorator.chain is None:
            return MISSING, ""
        kind, chain, _, _ = decorator.chain
        path = ""
        if kind == "import":
            path = ".".join(chain)
            found: Any = sys.modules.get(chain[0], MISSING)
        else:
            paths = context.source.analysis.imports.get(chain[0], ())
            path = ".".join((*paths[0], *chain[1:])) if len(paths) == 1 else ""
            found = context.globals.get(chain[0], MISSING)
            if found is MISSING:
                found = getattr(builtins, chain[0], MISSING)
        for name in chain[1:]:
            if found is not MISSING:
                found = (
                    getattr(type(found), name, MISSING)
                    if not isinstance(found, types.ModuleType | type)
                    else held(found).get(name, MISSING)
                )
        return found, path

    def is_lineal(self, decorator: Decorator, context: Context) -> bool:
        found, path = self._decorator(decorator, context)
        while hasattr(found, "func") and type(found).__name__ == "partial":
            found = found.func
        if found is MISSING:
            return path.partition(".")[0] == "lineal"
        modules = (getattr(found, "__module__", None), type(found).__module__)
        return any(isinstance(m, str) and m.partition(".")[0] == "lineal" for m in modules)

    def is_transparent(self, decorator: Decorator, context: Context) -> bool:
        """Safe, or the project's own: its code is followed, and shows if it reads docstrings."""
        if decorator.safe:
            return True
        found, _ = self._decorator(decorator, context)
        return found is not MISSING and belongs(self.project, found)

    def notes(self, node: Node, notes: Iterable[tuple[str, str, int]], context: Context) -> None:
        for kind, detail, line in notes:
            where = f"{context.source.path}:{line}"
            if kind == "environ":
                node.environ.append(detail)
            elif kind == "impure":
                node.impure.append(f"{detail}  {where}")
            elif kind == "path":
                self._path(node, detail, context, where)
            elif kind == "introspects":
                node.introspects = True
            elif kind == "names":
                node.names = True
            elif kind in ("named-environ", "unnamed-environ"):
                self._environ(node, detail if kind == "named-environ" else "", context, where)
            elif kind == "caller":
                self._caller(node, detail, context, line)
            elif kind in ("query", "unnamed-query"):
                self._query(node, detail, context, line)
            elif kind == "dynamic":
                self._dynamic(node, detail, context, where)

    def _path(self, node: Node, text: str, context: Context, where: str) -> None:
        text = watching.resolved(text, lambda name: _value_of(name, context))
        folder = context.source.path.rpartition("/")[0]
        found = watching.files(text, self.project.root, folder)
        node.watched.extend((path, where) for path in found)

    def _environ(self, node: Node, name: str, context: Context, where: str) -> None:
        """A variable by the value of a name, else any: `*` stands for all of them."""
        value = _value_of(name, context) if name else MISSING
        if isinstance(value, str):
            node.environ.append(value)
        else:
            node.environ.append("*")
            node.opaque.append(
                f"environment variables are read by a computed name: all of them count  {where}"
            )

    def _query(self, node: Node, name: str, context: Context, line: int) -> None:
        """The text of a query that the body does not hold: by a name, or computed."""
        value = _value_of(name, context) if name else MISSING
        if isinstance(value, str):
            for found in remarkable.names_in_query(value):
                self._caller(node, found, context, line)
        elif value is MISSING or callable(value):
            source = context.source
            node.opaque.append(
                f"a computed query may name anything of module `{source.name}`: all of it counts"
                f"  {source.path}:{line}"
            )
            node.edges[f"module {source.name}"] = self.nodes.module(source)

    def _caller(self, node: Node, name: str, context: Context, line: int) -> None:
        """A name inside a query text, if it is one of the module's own values."""
        chain = tuple(name.removeprefix("@").split("."))
        source, where = context.source, f"{context.source.path}:{line}"
        if chain[0] in context.hidden:
            return
        if chain[0] in context.cells:
            self._cell(node, chain, "value", context, where)
            return
        live = bound(context.globals, chain[0], MISSING)  # it depends on what it is
        if name.startswith("@"):
            known = live is not MISSING or chain[0] in source.analysis.imports
        else:
            known = not isinstance(live, types.FunctionType | type | types.ModuleType)
            known = known and live is not MISSING
        if known:
            self._name(node, chain, "value", context, line)

    def _dynamic(self, node: Node, detail: str, context: Context, where: str) -> None:
        if detail in context.globals and detail in vars(builtins):
            return  # a function of the project that has the name of a builtin
        if detail == "globals":
            node.opaque.append(f"`globals` can reach any name of this module  {where}")
            node.edges[f"module {context.source.name}"] = self.nodes.module(context.source)
        else:
            self.anything(node, detail, where)

    def anything(self, node: Node, what: str, where: str) -> None:
        """All of the project counts, because nobody can say what will be reached."""
        node.opaque.append(f"`{what}` can reach any code of the project: all of it counts  {where}")
        for name, source in sorted(self.project.every().items()):
            node.edges[f"module {name}"] = self.nodes.module(source)

    def _is_named(self, value: Any) -> bool:
        """Is this a library's function or class, known by its name?"""
        if isinstance(value, type):
            return is_library_class(value)
        if isinstance(value, types.FunctionType):
            return is_importable(value) and not self.project.is_project(value.__module__)
        return isinstance(value, types.BuiltinFunctionType) and isinstance(
            value.__self__, types.ModuleType | type(None)
        )


def _same(value: Any) -> Any:
    return value


def _value_of(name: str, context: Context) -> Any:
    """The value that a dotted name has now, if it can be told without running anything."""
    first, *rest = name.split(".")
    if first in context.hidden:
        return MISSING
    if first not in context.cells:
        found = bound(context.globals, first, MISSING)
    else:
        try:
            found = context.cells[first].cell_contents
        except ValueError:
            return MISSING
    for part in rest:
        if isinstance(found, PurePath) and part in ("parent", "name", "stem"):
            found = getattr(found, part)
        elif isinstance(found, types.ModuleType):
            found = bound(names_of(found), part, MISSING)
        else:
            found = inspect.getattr_static(found, part, MISSING)
    return found
