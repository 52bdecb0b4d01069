"""Looks up the names that a piece of source says, among live objects and by their imports."""

from __future__ import annotations

import builtins
import functools
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lineal.assets import remarkable
from lineal.assets.captured import external_path, identity, is_importable
from lineal.assets.deferred import deferred_in, names_of
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
        self._effective: dict[str, tuple[ModuleSource, ...]] = {}

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

    def _waits(self, module: types.ModuleType, name: str) -> bool:
        deferred = deferred_in(names_of(module))
        return deferred is not None and (name in deferred.paths or name in deferred.aliases)

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
        elif isinstance(value, type) or self._is_named(value):
            self.named(node, external_path(value), chain[1:], where)
        else:
            node.edges[edge] = self.nodes.constant(label, where, fetch, key, made)

    # ------------------------------------------------------------------ imports

    def _import(self, node: Node, chain: tuple[str, ...], how: str, where: str) -> None:
        if chain[0].partition(".")[0] == "lineal":
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
            if value is MISSING and self._waits(module, chain[position]):
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
        source = self.project.sources.get(name)
        if source is not None:
            self.add_effects(node, source)

    def add_effects(self, node: Node, source: ModuleSource) -> None:
        for affecting in self._with_effects(source):
            found = self.nodes.effects(affecting)
            if found is not None and found is not node:
                node.edges[f"effects {affecting.name}"] = found

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
        self.external(node, ".".join(chain), part=how != "load")

    def named(self, node: Node, path: str, rest: tuple[str, ...], where: str) -> None:
        """A live thing of a library, known by its import path."""
        if path in remarkable.DYNAMIC:
            self.anything(node, path.removeprefix("builtins."), where)
        self.external(node, ".".join((path, *rest)))

    def external(self, node: Node, path: str, *, part: bool = True) -> None:
        top = path.partition(".")[0]
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
                node.watched.append((detail, where))
            elif kind == "introspects":
                node.introspects = True
            elif kind == "names":
                node.names = True
            elif kind == "unnamed-environ":
                node.opaque.append(f"environment variables are read by a computed name  {where}")
            elif kind == "caller":
                self._caller(node, detail, context, line)
            elif kind == "dynamic":
                self._dynamic(node, detail, context, where)

    def _caller(self, node: Node, name: str, context: Context, line: int) -> None:
        """A name inside a query text, if it is one of the module's own values."""
        if name in context.cells or name in context.source.analysis.lines:
            deferred = deferred_in(context.globals)
            if deferred is not None and name in deferred.paths:
                deferred.settle()  # whether it counts depends on what it is
            value = context.globals.get(name)
            if not isinstance(value, types.FunctionType | type | types.ModuleType):
                self._name(node, (name,), "value", context, line)

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

    # ------------------------------------------------------------------ effects

    def _with_effects(self, source: ModuleSource) -> tuple[ModuleSource, ...]:
        """Those among a module and what it imports that set state of a library."""
        known = self._effective.get(source.name)
        if known is None:
            seen = {source.name: source}
            waiting = [source]
            while waiting:
                for name in waiting.pop().analysis.modules:
                    inner = self.project.sources.get(name)
                    if inner is not None and name not in seen:
                        seen[name] = inner
                        waiting.append(inner)
            known = tuple(s for s in seen.values() if s.analysis.effects)
            self._effective[source.name] = known
        return known

    def _is_named(self, value: Any) -> bool:
        """Is this a library's function, known by its name?"""
        if isinstance(value, types.FunctionType):
            return is_importable(value) and not self.project.is_project(value.__module__)
        return isinstance(value, types.BuiltinFunctionType) and isinstance(
            value.__self__, types.ModuleType | type(None)
        )


def _same(value: Any) -> Any:
    return value
