"""The graph of code: what a live function can reach, by its source and by its live names."""

from __future__ import annotations

import builtins
import enum
import functools
import re
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from lineal.assets.captured import Encoder, Form, NoForm, external_path, identity, is_importable
from lineal.assets.digest import digest_bytes
from lineal.assets.errors import DefinitionError
from lineal.assets.records import RecipePart
from lineal.assets.scopes import looks_like_path
from lineal.assets.sourcecode import Analysis, Decorator, Ref, Unit

_MISSING: Any = object()
_SECRET = re.compile(r"secret|passw|token|api_?key|credential|private|://[^/\s]*@", re.IGNORECASE)
ADVICE = "make it an asset, a parameter or a resource, or wrap it in opaque(…)"


class ModuleSource(Protocol):
    """One loaded module of the project, as it was when it was loaded."""

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> str:
        """Relative to the project's folder, with slashes."""
        ...

    @property
    def file(self) -> str:
        """What its code objects say: the absolute path."""
        ...

    @property
    def analysis(self) -> Analysis: ...


class Node:
    """One piece of code or one captured value, and the pieces it uses."""

    __slots__ = (
        "_ordered", "edges", "environ", "externals", "fetch", "imports", "impure", "introspects",
        "names", "opaque", "part", "subject", "watched",
    )  # fmt: skip

    def __init__(self, part: RecipePart, subject: Any):
        self.part = part
        self.subject = subject
        self.edges: dict[str, Node] = {}
        self.externals: set[str] = set()
        self.imports: set[str] = set()
        self.opaque: list[str] = []
        self.environ: list[str] = []
        self.impure: list[str] = []
        self.watched: list[tuple[str, str]] = []
        self.introspects = False
        self.names = False
        self.fetch: Callable[[], Any] | None = None
        self._ordered: list[tuple[str, Node]] | None = None

    def take(self, other: Node) -> None:
        """Add what another node uses."""
        self.edges.update(other.edges)
        self.externals.update(other.externals)
        self.imports.update(other.imports)
        self.opaque.extend(other.opaque)

    def ordered(self) -> list[tuple[str, Node]]:
        """Its edges in the order of their labels; for when the graph is complete."""
        if self._ordered is None:
            self._ordered = sorted(self.edges.items(), key=lambda edge: edge[0])
        return self._ordered


class Context(NamedTuple):
    """Where names are looked up: the module, its globals, the cells of the function."""

    source: ModuleSource
    globals: Mapping[str, Any]
    cells: Mapping[str, types.CellType]
    hidden: frozenset[str]  # names of enclosing functions that can't be looked up
    label: str


class Project(NamedTuple):
    """What the walk asks of whoever loaded the project."""

    sources: Mapping[str, ModuleSource]
    is_project: Callable[[str], bool]
    root: str
    load: Callable[[str], types.ModuleType | None]  # a project module, imported if need be
    every: Callable[[], Mapping[str, ModuleSource]]  # all modules below the root


class Reach:
    """Builds the graph once for all functions. `full`: docstrings and annotations count too."""

    def __init__(self, project: Project, *, full: bool):
        self.project = project
        self.full = full
        self.nodes: dict[Any, Node] = {}
        self.queue: deque[Callable[[], None]] = deque()
        self.resolved: dict[Any, Node] = {}
        self.effective: dict[str, tuple[ModuleSource, ...]] = {}

    def root(self, function: Any, parameters: frozenset[str]) -> Node:
        """The node of a function (or anything that can be called), with all it reaches."""
        if isinstance(function, types.FunctionType) and self._is_ours(function):
            node = self.function(function, parameters)
        elif isinstance(function, type) and self.project.is_project(function.__module__):
            node = self.class_(function)
        else:
            node = self._callable(function)
        self._drain()
        return node

    def _drain(self) -> None:
        try:
            while self.queue:
                self.queue.popleft()()
        except BaseException:
            # A half-built graph must not answer the next question.
            self.queue.clear()
            self.nodes.clear()
            self.resolved.clear()
            raise

    # ------------------------------------------------------------------ nodes

    def function(self, function: types.FunctionType, parameters: frozenset[str]) -> Node:
        key = (id(function), parameters)
        node = self.nodes.get(key)
        if node is None:
            node = self.nodes[key] = Node(RecipePart("", "function", ""), function)
            self.queue.append(lambda: self._fill_function(node, function, parameters))
        return node

    def class_(self, cls: type) -> Node:
        node = self.nodes.get(id(cls))
        if node is None:
            node = self.nodes[id(cls)] = Node(RecipePart("", "class", ""), cls)
            self.queue.append(lambda: self._fill_class(node, cls))
        return node

    def module(self, source: ModuleSource) -> Node:
        """A whole module, for when any of its names may be meant."""
        key = ("module", source.name)
        node = self.nodes.get(key)
        if node is None:
            part = RecipePart(source.name, "module", source.analysis.text, where=f"{source.path}:1")
            node = self.nodes[key] = Node(part, source)
            self.queue.append(lambda: self._fill_module(node, source))
        return node

    def effects(self, source: ModuleSource) -> Node | None:
        """The statements of a module that set state of a library, if there are any."""
        key = ("effects", source.name)
        node = self.nodes.get(key)
        found = [e.binding for e in source.analysis.effects if not self.project.is_project(e.top)]
        if node is None and found:
            name, where = f"{source.name} (top level)", f"{source.path}:{found[0].line}"
            digest = joined(binding.text for binding in found)
            node = self.nodes[key] = Node(RecipePart(name, "module", digest, where=where), None)
            for binding in found:
                self._follow(node, binding.refs, self._module_context(source))
        return node

    def _with_effects(self, source: ModuleSource) -> tuple[ModuleSource, ...]:
        """Those among a module and what it imports that set state of a library."""
        known = self.effective.get(source.name)
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
            self.effective[source.name] = known
        return known

    def constant(self, name: str, where: str, fetch: Callable[[], Any], key: Any) -> Node:
        node = self.nodes.get(key)
        if node is None:
            node = Node(RecipePart(name, "constant", "", where=where), None)
            self._fill_constant(node, fetch)  # an error here leaves no half-made node behind
            self.nodes[key] = node
        return node

    # ------------------------------------------------------------------ filling

    def _fill_function(
        self, node: Node, function: types.FunctionType, parameters: frozenset[str]
    ) -> None:
        code = function.__code__
        module = str(function.__globals__.get("__name__"))
        source = self.project.sources.get(module)
        name = f"{module}.{code.co_qualname.replace('<locals>.', '')}"
        where = f"{source.path}:{code.co_firstlineno}" if source else module
        units = self._units(source, code)
        if source is None or not units:
            raise DefinitionError(
                f"the source of `{name}` can't be found, so it can't be known when it changes",
                where=where,
                advice="write the function in a module of the project, without exec",
            )
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        context = Context(source, function.__globals__, cells, frozenset(), name)
        texts = [text for unit in units for text in self._fill_unit(node, unit, context)]
        texts.extend(self._defaults(node, function, parameters, context, where))
        node.part = RecipePart(name, "function", joined(texts), where=where)
        self._add_effects(node, source)

    def _units(self, source: ModuleSource | None, code: types.CodeType) -> tuple[Unit, ...]:
        if source is None or code.co_filename != source.file:
            return ()
        units = source.analysis.unit(code.co_firstlineno, code.co_name)
        return units if len(units) < 2 else _by_columns(units, code)

    def _fill_unit(self, node: Node, unit: Unit, context: Context) -> list[str]:
        """Follow one unit; the digests of its texts."""
        kept = [d for d in unit.decorators if not self._is_lineal(d, context)]
        full = self.full or not all(self._is_transparent(d, context) for d in kept)
        for decorator in kept:
            self._follow(node, decorator.refs, context)
            self._notes(node, decorator.notes, context)
        self._follow(node, unit.refs, context)
        self._notes(node, unit.notes, context)
        if full:
            self._follow(node, unit.full_refs, context)
            self._notes(node, unit.full_notes, context)
        return [unit.full if full else unit.text, *(d.text for d in kept)]

    def _defaults(
        self, node: Node, function: types.FunctionType, parameters: frozenset[str],
        context: Context, where: str,
    ) -> list[str]:  # fmt: skip
        code = function.__code__
        names = code.co_varnames[: code.co_argcount]
        values = function.__defaults__ or ()
        held = dict(zip(names[len(names) - len(values) :], values, strict=True))
        held.update(function.__kwdefaults__ or {})
        texts = []
        for name, value in held.items():
            if name in parameters:
                continue
            form = self._form(value, f"{name}", where, context.label)
            self._children(node, form, f"default {name}", where)
            texts.append(f"{name}={digest_bytes(form.data)}")
        return texts

    def _fill_class(self, node: Node, cls: type) -> None:
        source = self.project.sources.get(cls.__module__)
        if source is None:
            raise DefinitionError(
                f"the source of class `{identity(cls)}` can't be found",
                advice="write the class in a module of the project",
            )
        units = self._class_units(source, cls)
        line = units[0].line if units else source.analysis.lines.get(cls.__name__, 1)
        where = f"{source.path}:{line}"
        namespace = vars(sys.modules[cls.__module__]) if cls.__module__ in sys.modules else {}
        texts = [cls.__module__, cls.__qualname__]
        plain = _plain_metaclass(type(cls))
        for unit in units:
            context = Context(source, namespace, {}, frozenset(unit.enclosed), cls.__qualname__)
            texts.extend(self._fill_unit(node, unit, context))
            if not plain:
                texts.append(unit.full)
                self._follow(node, unit.full_refs, context)
        form = self._form(
            (*cls.__bases__, type(cls)), cls.__name__, where, f"class {cls.__qualname__}"
        )
        self._children(node, form, "base", where)
        texts.append(digest_bytes(form.data))
        bound = {name for unit in units for name in unit.bound}
        self._attributes(node, cls, bound if units else None, where)
        name = f"{cls.__module__}.{cls.__qualname__.replace('<locals>.', '')}"
        node.part = RecipePart(name, "class", joined(texts), where=where)
        self._add_effects(node, source)

    def _class_units(self, source: ModuleSource, cls: type) -> tuple[Unit, ...]:
        """The definitions a class may come from; its methods' lines tell several apart."""
        units = source.analysis.of_class(cls.__qualname__)
        if len(units) < 2:
            return units
        lines = [
            value.__code__.co_firstlineno
            for value in vars(cls).values()
            if isinstance(value, types.FunctionType) and value.__code__.co_filename == source.file
        ]
        fitting = [u for u in units if all(u.line <= at <= u.span[2] for at in lines)]
        return tuple(fitting) or units

    def _attributes(
        self, node: Node, cls: type, bound: set[str] | None, where: str
    ) -> None:
        """The live attributes of a class: what its body binds, and what was set on it later."""
        for name, value in _class_values(cls, bound):
            if _is_generated(value):
                continue
            full = f"{cls.__module__}.{cls.__qualname__.replace('<locals>.', '')}.{name}"
            fetch = functools.partial(_class_value, cls, name)
            if isinstance(value, types.FunctionType) and self._is_ours(value):
                node.edges[f"attribute {name}"] = self.function(value, frozenset())
                continue
            required = bound is None or (name in bound and not hasattr(type(value), "__get__"))
            try:
                node.edges[f"attribute {name}"] = self.constant(full, where, fetch, (id(cls), name))
            except DefinitionError:
                if required:
                    raise

    def _fill_module(self, node: Node, source: ModuleSource) -> None:
        analysis = source.analysis
        context = self._module_context(source)
        self._notes(node, [n for n in analysis.notes if n[0] != "dynamic"], context)
        for name in sorted({*analysis.modules, *analysis.late}):
            if name in self.project.sources:
                node.edges[f"import {name}"] = self.module(self.project.sources[name])
            elif not self.project.is_project(name):
                self._external(node, name.partition(".")[0], part=False)
        for name in sorted(analysis.lines):
            value = context.globals.get(name, _MISSING)
            if value is _MISSING or name in analysis.imports:
                continue
            where = f"{source.path}:{analysis.lines[name]}"
            try:
                node.edges[name] = self._global(source, context.globals, name)
            except DefinitionError:
                node.opaque.append(
                    f"`{source.name}.{name}` has no value that can be digested  {where}"
                )

    def _fill_constant(self, node: Node, fetch: Callable[[], Any]) -> None:
        value = fetch()
        label, where = node.part.name, node.part.where
        form = self._form(value, label, where, "")
        self._children(node, form, "", where)
        node.subject = value
        node.fetch = fetch
        digest = digest_bytes(form.data)
        node.part = RecipePart(label, _kind(value), digest, short(label, value), where)
        if isinstance(value, str) and looks_like_path(value):
            node.watched.append((value, where))

    def _callable(self, value: Any) -> Node:
        """Something else that was declared: a partial, a library's wrapper, an instance."""
        name = getattr(value, "__qualname__", type(value).__qualname__)
        return self.constant(name, "", lambda: value, ("callable", id(value)))

    # ------------------------------------------------------------------ captured values

    def _form(self, value: Any, path: str, where: str, inside: str) -> Form:
        try:
            return Encoder(self.project.is_project, self.project.root).form(value, path)
        except NoForm as error:
            kind = f"{error.kind.__module__}.{error.kind.__qualname__}"
            what = f"`{error.path}` holds a {kind}, which can't be compared with another run's"
            if inside:
                what = f"{what} (in `{inside}`)"
            if error.advice:
                what = f"{what}: {error.advice}"
            raise DefinitionError(what, where=where, advice=ADVICE) from None

    def _children(self, node: Node, form: Form, label: str, where: str) -> None:
        for child in form.children:
            node.edges[f"{label} {child.label}"] = self._child(node, child.value, where)
        for path in form.externals:
            self._external(node, path)
        for path in form.opaque:
            node.opaque.append(f"`{path}` is opaque: whether it changes can't be seen  {where}")

    def _child(self, node: Node, value: Any, where: str) -> Node:
        if isinstance(value, types.FunctionType):
            return self.function(value, frozenset())
        if isinstance(value, type):
            return self.class_(value)
        source = self.project.sources[value.__name__]
        node.opaque.append(f"module `{source.name}` is used as a value: all of it counts  {where}")
        return self.module(source)

    # ------------------------------------------------------------------ names

    def _follow(self, node: Node, refs: Iterable[Ref], context: Context) -> None:
        for kind, chain, line, how in refs:
            name = chain[0]
            if kind == "name" and name in context.hidden:
                continue
            if kind == "name" and name in context.cells:
                self._cell(node, chain, how, context, f"{context.source.path}:{line}")
                continue
            # Many functions of a module say the same name: it is looked up once.
            key = (kind, chain, how, context.source.name)
            found = self.resolved.get(key)
            if found is None:
                found = Node(node.part, None)
                if kind == "import":
                    self._import(found, chain, how, f"{context.source.path}:{line}")
                else:
                    self._name(found, chain, how, context, line)
                if not found.opaque:  # those sentences name the line
                    self.resolved[key] = found
            node.take(found)

    def _name(
        self, node: Node, chain: tuple[str, ...], how: str, context: Context, line: int
    ) -> None:
        name, where = chain[0], f"{context.source.path}:{line}"
        live = context.globals.get(name, _MISSING)
        paths = context.source.analysis.imports.get(name, ())
        if len(paths) == 1 and self._says(paths[0], live):
            self._import(node, (*paths[0], *chain[1:]), how, where)
        elif live is not _MISSING:
            self._live(node, context.source, context.globals, chain, how, where)
        else:
            for path in paths:
                self._import(node, (*path, *chain[1:]), how, where)

    def _says(self, path: tuple[str, ...], live: Any) -> bool:
        """Is the live value what the import of this path gave? Not if it was bound anew since."""
        if not self.project.is_project(path[0]):
            return live is _MISSING or not self._belongs(live)
        module = self.project.load(path[0])
        if module is None or live is _MISSING:
            return True
        found: Any = module
        for name in path[1:]:
            found = vars(found).get(name, _MISSING)
            if found is _MISSING:
                found = self.project.load(f"{path[0]}.{name}")
        return found is live

    def _belongs(self, value: Any) -> bool:
        """Is this a function, class, module or instance of the project?"""
        if isinstance(value, types.FunctionType):
            return self._is_ours(value)
        if isinstance(value, types.ModuleType):
            return self.project.is_project(value.__name__)
        kind = value if isinstance(value, type) else type(value)
        return kind.__module__ != "builtins" and self.project.is_project(kind.__module__)

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
        for star in source.analysis.stars if name not in source.analysis.lines else ():
            origin = self.project.load(star) if self.project.is_project(star) else None
            if origin is not None and vars(origin).get(name, _MISSING) is names[name]:
                self._import(node, (star, *chain), how, where)
                return
        line = source.analysis.lines.get(name, 1)
        self._value(
            node, lambda: names[name], chain, how, f"{source.name}.{name}",
            f"{source.path}:{line}", ("constant", source.name, name),
        )  # fmt: skip

    def _global(self, source: ModuleSource, names: Mapping[str, Any], name: str) -> Node:
        value = names[name]
        if isinstance(value, types.FunctionType) and self._is_ours(value):
            return self.function(value, frozenset())
        if isinstance(value, type) and self.project.is_project(value.__module__):
            return self.class_(value)
        where = f"{source.path}:{source.analysis.lines.get(name, 1)}"
        key = ("constant", source.name, name)
        return self.constant(f"{source.name}.{name}", where, lambda: names[name], key)

    def _value(
        self, node: Node, fetch: Callable[[], Any], chain: tuple[str, ...], how: str,
        label: str, where: str, key: Any,
    ) -> None:  # fmt: skip
        """Follow a live value: into functions, classes and modules, else as a constant."""
        value = fetch()
        edge = ".".join(chain)
        if isinstance(value, types.FunctionType) and self._is_ours(value):
            # A function that is only called can be moved and renamed; as a value its name may show.
            edge = edge if how == "call" else f"{edge} as {identity(value)}"
            node.edges[edge] = self.function(value, frozenset())
        elif isinstance(value, type) and self.project.is_project(value.__module__):
            node.edges[edge] = self.class_(value)
        elif isinstance(value, types.ModuleType):
            self._import(node, (value.__name__, *chain[1:]), how, where)
        elif isinstance(value, type) or self._is_named(value):
            self._external(node, ".".join((external_path(value), *chain[1:])))
        else:
            node.edges[edge] = self.constant(label, where, fetch, key)

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
            value = vars(module).get(chain[position], _MISSING)
            if value is _MISSING:
                value = self._missing(node, module, chain, position, where)
            if not isinstance(value, types.ModuleType) or not self._belongs(value):
                if value is not _MISSING and how != "load":
                    self._member(node, module, chain[position:], how, where)
                return
            module, position = value, position + 1
        self._module_effects(node, module.__name__)
        if how != "load" and module.__name__ in self.project.sources:
            node.opaque.append(
                f"any name of module `{module.__name__}` may be meant: all of it counts  {where}"
            )
            node.edges[f"module {module.__name__}"] = self.module(
                self.project.sources[module.__name__]
            )

    def _missing(
        self,
        node: Node,
        module: types.ModuleType,
        chain: tuple[str, ...],
        position: int,
        where: str,
    ) -> Any:
        """A name that a module does not hold: a submodule, or made by its `__getattr__`."""
        name = f"{module.__name__}.{chain[position]}"
        found = self.project.load(name) if "__path__" in vars(module) else None
        if found is not None:
            return found
        maker = vars(module).get("__getattr__")
        if isinstance(maker, types.FunctionType) and self._is_ours(maker):
            node.edges[f"{module.__name__}.__getattr__"] = self.function(maker, frozenset())
        return _MISSING

    def _member(
        self, node: Node, module: types.ModuleType, chain: tuple[str, ...], how: str, where: str
    ) -> None:
        source = self.project.sources.get(module.__name__)
        if source is None:
            node.opaque.append(f"module `{module.__name__}` was not loaded by lineal  {where}")
            return
        context = self._module_context(source)
        self._name(node, chain, how, context, source.analysis.lines.get(chain[0], 1))

    def _module_effects(self, node: Node, name: str) -> None:
        source = self.project.sources.get(name)
        if source is not None:
            self._add_effects(node, source)

    def _add_effects(self, node: Node, source: ModuleSource) -> None:
        for affecting in self._with_effects(source):
            found = self.effects(affecting)
            if found is not None and found is not node:
                node.edges[f"effects {affecting.name}"] = found

    def _foreign(self, node: Node, chain: tuple[str, ...], how: str, where: str) -> None:
        """A name of a library: by its path, unless the project put something of its own there."""
        if how != "load":
            found: Any = sys.modules.get(chain[0])
            for name in chain[1:]:
                if not isinstance(found, types.ModuleType | type):
                    break
                found = vars(found).get(name)
                if found is not None and self._belongs(found):
                    key = ("patched", chain, id(found))
                    fetch = functools.partial(_same, found)
                    self._value(node, fetch, chain, how, ".".join(chain), where, key)
                    break
        self._external(node, ".".join(chain), part=how != "load")

    def _external(self, node: Node, path: str, *, part: bool = True) -> None:
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
            return _MISSING, ""
        kind, chain, _, _ = decorator.chain
        path = ""
        if kind == "import":
            path = ".".join(chain)
            found: Any = sys.modules.get(chain[0], _MISSING)
        else:
            paths = context.source.analysis.imports.get(chain[0], ())
            path = ".".join((*paths[0], *chain[1:])) if len(paths) == 1 else ""
            found = context.globals.get(chain[0], _MISSING)
            if found is _MISSING:
                found = getattr(builtins, chain[0], _MISSING)
        for name in chain[1:]:
            if found is not _MISSING:
                found = (
                    getattr(type(found), name, _MISSING)
                    if not isinstance(found, types.ModuleType | type)
                    else vars(found).get(name, _MISSING)
                )
        return found, path

    def _is_lineal(self, decorator: Decorator, context: Context) -> bool:
        found, path = self._decorator(decorator, context)
        while hasattr(found, "func") and type(found).__name__ == "partial":
            found = found.func
        if found is _MISSING:
            return path.partition(".")[0] == "lineal"
        modules = (getattr(found, "__module__", None), type(found).__module__)
        return any(isinstance(m, str) and m.partition(".")[0] == "lineal" for m in modules)

    def _is_transparent(self, decorator: Decorator, context: Context) -> bool:
        """Safe, or the project's own: its code is followed, and shows if it reads docstrings."""
        if decorator.safe:
            return True
        found, _ = self._decorator(decorator, context)
        return found is not _MISSING and self._belongs(found)

    def _notes(self, node: Node, notes: Iterable[tuple[str, str, int]], context: Context) -> None:
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
            value = context.globals.get(name)
            if not isinstance(value, types.FunctionType | type | types.ModuleType):
                self._name(node, (name,), "value", context, line)

    def _dynamic(self, node: Node, detail: str, context: Context, where: str) -> None:
        if detail in context.globals and detail in vars(builtins):
            return  # a function of the project that has the name of a builtin
        if detail == "globals":
            modules = {context.source.name: context.source}
        else:
            modules = dict(self.project.every())
        named = f"`{detail}` can reach"
        what = "any name of this module" if detail == "globals" else "any code of the project"
        node.opaque.append(f"{named} {what}: all of it counts  {where}")
        for name in sorted(modules):
            node.edges[f"module {name}"] = self.module(modules[name])

    # ------------------------------------------------------------------ small questions

    def _is_ours(self, function: types.FunctionType) -> bool:
        return self.project.is_project(str(function.__globals__.get("__name__")))

    def _is_named(self, value: Any) -> bool:
        """Is this a library's function, known by its name?"""
        if isinstance(value, types.FunctionType):
            return is_importable(value) and not self.project.is_project(value.__module__)
        return isinstance(value, types.BuiltinFunctionType) and isinstance(
            value.__self__, types.ModuleType | type(None)
        )

    def _module_context(self, source: ModuleSource) -> Context:
        live = sys.modules.get(source.name)
        names = vars(live) if live is not None else {}
        return Context(source, names, {}, frozenset(), source.name)


def short(label: str, value: Any) -> str:
    """A short text of a plain value for people; nothing of a secret, nothing of a live object."""
    if _kind(value) != "constant":
        return ""
    if not _is_plain(value, 3):
        return type(value).__name__
    text = repr(value)
    if _SECRET.search(label) or _SECRET.search(text):
        return "…"
    return text if len(text) <= 60 else f"{text[:59]}…"


def _is_plain(value: Any, depth: int) -> bool:
    if isinstance(value, list | tuple | set | frozenset) and type(value).__module__ == "builtins":
        return depth > 0 and len(value) < 50 and all(_is_plain(v, depth - 1) for v in value)
    if type(value) is dict:
        return (
            depth > 0
            and len(value) < 50
            and all(_is_plain(k, 1) and _is_plain(v, depth - 1) for k, v in value.items())
        )
    if type(value) is int:
        return -(1 << 200) < value < 1 << 200
    return type(value) in (type(None), bool, float, complex, str, bytes) or (
        type(value).__module__ in ("datetime", "decimal", "pathlib") and not isinstance(value, type)
    )


def _kind(value: Any) -> Any:
    if isinstance(
        value, property | staticmethod | classmethod | types.FunctionType | types.MethodType
    ):
        return "function"
    return "constant"


def joined(texts: Iterable[str]) -> str:
    """One digest over texts: length-prefixed, so that no two lists share bytes."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    if len(encoded) == 1 and len(encoded[0]) == 64:
        return encoded[0].decode()
    return digest_bytes(b"".join(len(t).to_bytes(4, "little") + t for t in encoded))


def _same(value: Any) -> Any:
    return value


def _by_columns(units: tuple[Unit, ...], code: types.CodeType) -> tuple[Unit, ...]:
    """Which of several lambdas on a line a code object is; all of them when that can't be told."""
    places = [
        (line, column, last, end)
        for line, last, column, end in code.co_positions()
        if line and column is not None and last and end and (line, column) != (last, end)
    ]
    places = [p for p in places if p[1] or p[3]]
    if not places:
        return units
    inside = [
        u for u in units
        if all((p[0], p[1]) >= u.span[:2] and (p[2], p[3]) <= u.span[2:] for p in places)
    ]  # fmt: skip
    if len(inside) < 2:
        return tuple(inside) or units
    smallest = max(u.span[:2] for u in inside)
    return tuple(u for u in inside if u.span[:2] == smallest)


def _plain_metaclass(meta: type) -> bool:
    return meta is type or meta.__module__ in ("abc", "enum", "typing")


def _class_values(cls: type, bound: set[str] | None) -> Iterable[tuple[str, Any]]:
    """The attributes of a class that tell it from another, in the order of their names."""
    if issubclass(cls, enum.Enum):
        yield "__members__", {name: member.value for name, member in cls.__members__.items()}
        for name in sorted(bound or ()):
            value = vars(cls).get(name, _MISSING)
            if (
                name not in cls.__members__
                and value is not _MISSING
                and not _is_dunder_data(name, value)
            ):
                yield name, value
        return
    if bound is None and issubclass(cls, tuple) and hasattr(cls, "_fields"):
        yield "_fields", (cls._fields, getattr(cls, "_field_defaults", {}))
        return
    for name, value in sorted(vars(cls).items()):
        is_code = isinstance(value, types.FunctionType | staticmethod | classmethod | property)
        if bound is not None and name not in bound and name.startswith("_") and not is_code:
            continue
        if (
            _is_dunder_data(name, value)
            or isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType)
            or type(value).__name__ == "_tuplegetter"
        ):
            continue
        yield name, value


def _class_value(cls: type, name: str) -> Any:
    if name == "__members__" and issubclass(cls, enum.Enum):
        return {key: member.value for key, member in cls.__members__.items()}
    if name == "_fields":
        return (cls._fields, getattr(cls, "_field_defaults", {}))  # type: ignore[attr-defined] # a namedtuple
    return vars(cls).get(name)


def _is_dunder_data(name: str, value: Any) -> bool:
    """`__doc__`, `__module__` and the like: said by the text, or made by Python."""
    if not (name.startswith("__") and name.endswith("__")):
        return False
    return not isinstance(value, types.FunctionType | staticmethod | classmethod | property)


def _is_generated(value: Any) -> bool:
    """A method that a decorator or metaclass wrote (`dataclass`): the class's own text says it."""
    function = getattr(value, "__func__", value)
    if not isinstance(function, types.FunctionType):
        return False
    while isinstance(getattr(function, "__wrapped__", None), types.FunctionType):
        function = function.__wrapped__
    return function.__code__.co_filename.startswith("<") or (
        function.__globals__.get("__name__") in sys.stdlib_module_names
    )
