"""The graph of code: what a live function can reach, by its source and by its live names."""

from __future__ import annotations

import functools
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from lineal.assets import watching
from lineal.assets.captured import Encoder, Form, identity
from lineal.assets.deferred import names_of
from lineal.assets.digest import digest_bytes
from lineal.assets.errors import DefinitionError
from lineal.assets.forms import NoForm
from lineal.assets.live import (
    by_columns,
    class_value,
    class_values,
    defaults,
    is_generated,
    kind_of,
    plain_metaclass,
    short,
)
from lineal.assets.loading import Loading
from lineal.assets.lookup import Lookup
from lineal.assets.pieces import (
    MISSING,
    Context,
    ModuleSource,
    Node,
    Project,
    is_ours,
    joined,
    module_context,
)
from lineal.assets.records import RecipePart
from lineal.assets.sourcecode import Binding, Effect, Unit

ADVICE = "make it an asset, a parameter or a resource, or wrap it in opaque(…)"


def lasting(project: Project, value: Any) -> str:
    """The digest of a value without what was computed from it and kept; "" if it has none."""
    try:
        return digest_bytes(
            Encoder(project.is_project, project.root, derived=False).form(value, "").data
        )
    except NoForm:
        return ""


def _default(function: types.FunctionType, name: str) -> Any:
    return defaults(function).get(name)


class Reach:
    """Builds the graph once for all functions. `full`: docstrings and annotations count too."""

    def __init__(self, project: Project, loading: Loading, *, full: bool):
        self.project = project
        self.loading = loading
        self._effects: list[Node] | None = None
        self.full = full
        self.nodes: dict[Any, Node] = {}
        self.queue: deque[Callable[[], None]] = deque()
        self.lookup = Lookup(project, self)

    def root(self, function: Any, parameters: frozenset[str]) -> Node:
        """The node of a function (or anything that can be called), with all it reaches."""
        if isinstance(function, types.FunctionType) and is_ours(self.project, function):
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
            self._forget()
            raise

    def _forget(self) -> None:
        """A half-built graph must not answer the next question."""
        self.queue.clear()
        self.nodes.clear()
        self.lookup.forget()

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

    def effects(self) -> list[Node]:
        """What the project's modules did to libraries while they loaded: it counts for all."""
        if self._effects is None:
            found = []
            for name in sorted(self.loading.names):
                source = self.project.sources[name]
                for number, effect in enumerate(self.loading.effects(source)):
                    found.append(self._effect(source, number, effect))
            self._effects = found
        return self._effects

    def _effect(self, source: ModuleSource, number: int, effect: Effect) -> Node:
        """One such statement, with what it reaches."""
        name, where = f"{source.name} (top level)", f"{source.path}:{effect.binding.line}"
        part = RecipePart(name, "module", effect.binding.text, where=where)
        node = Node(part, None)
        context = module_context(source)
        try:
            self.lookup.follow(node, effect.binding.refs, context)
            self.lookup.notes(node, effect.notes, context)
            self._drain()
        except DefinitionError:
            # It reaches something that can't be compared: its code does not go unseen for that.
            self._forget()
            node = Node(part, None)
            texts = [effect.binding.text, *self._texts_below(source)]
            node.part = RecipePart(name, "module", joined(texts), where=where)
        return node

    def _texts_below(self, source: ModuleSource) -> list[str]:
        """The whole texts of a module and of all that it imports."""
        seen: dict[str, str] = {}
        waiting = [source.name]
        while waiting:
            name = waiting.pop()
            found = self.project.sources.get(name)
            if found is not None and name not in seen:
                seen[name] = found.analysis.text
                waiting += [*found.analysis.modules, *found.analysis.late]
        return [text for _, text in sorted(seen.items())]

    def late_effects(self, source: ModuleSource) -> Node | None:
        """The effects of a module that the walk itself loaded, for those who reach it."""
        if source.name in self.loading.names or not source.analysis.effects:
            return None
        key = ("effects", source.name)
        node = self.nodes.get(key)
        found = self.loading.effects(source)
        if node is None and found:
            name, where = f"{source.name} (top level)", f"{source.path}:{found[0].binding.line}"
            digest = joined(effect.binding.text for effect in found)
            node = self.nodes[key] = Node(RecipePart(name, "module", digest, where=where), None)
            for effect in found:
                self.lookup.follow(node, effect.binding.refs, module_context(source))
        return node

    def constant(
        self,
        name: str,
        where: str,
        fetch: Callable[[], Any],
        key: Any,
        bindings: Iterable[Binding] = (),
    ) -> Node:
        node = self.nodes.get(key)
        if node is None:
            node = Node(RecipePart(name, "constant", "", where=where), None)
            self._fill_constant(node, fetch)  # an error here leaves no half-made node behind
            self.nodes[key] = node
            for number, binding in enumerate(bindings if callable(node.subject) else ()):
                # What a library made of arguments: these are known by the statement that gave them.
                part = RecipePart(f"{name} = …", "constant", binding.text, where=where)
                made = node.edges[f"made {number}"] = Node(part, None)
                self.lookup.follow(made, binding.refs, module_context(self.project.sources[key[1]]))
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
        self._function_attributes(node, function, name, where)
        node.part = RecipePart(name, "function", joined(texts), where=where)

    def _units(self, source: ModuleSource | None, code: types.CodeType) -> tuple[Unit, ...]:
        if source is None or code.co_filename != source.file:
            return ()
        units = source.analysis.unit(code.co_firstlineno, code.co_name)
        return units if len(units) < 2 else by_columns(units, code)

    def _fill_unit(self, node: Node, unit: Unit, context: Context) -> list[str]:
        """Follow one unit; the digests of its texts."""
        kept = [d for d in unit.decorators if not self.lookup.is_lineal(d, context)]
        full = self.full or not all(self.lookup.is_transparent(d, context) for d in kept)
        for decorator in kept:
            self.lookup.follow(node, decorator.refs, context)
            self.lookup.notes(node, decorator.notes, context)
        self.lookup.follow(node, unit.refs, context)
        self.lookup.notes(node, unit.notes, context)
        if full:
            self.lookup.follow(node, unit.full_refs, context)
            self.lookup.notes(node, unit.full_notes, context)
        return [unit.full if full else unit.text, *(d.text for d in kept)]

    def _function_attributes(
        self, node: Node, function: types.FunctionType, name: str, where: str
    ) -> None:
        """What was set on a function: `clean.rate = 3`."""
        self._hold(node, f"{name}.__dict__", lambda: sorted({*vars(function)} - {"__wrapped__"}))
        for attribute in sorted(vars(function)):
            if attribute == "__wrapped__":
                continue
            fetch = functools.partial(vars(function).get, attribute)
            label, key = f"{name}.{attribute}", (id(function), attribute)
            try:
                node.edges[f"attribute {attribute}"] = self.constant(label, where, fetch, key)
            except DefinitionError:
                node.opaque.append(f"`{label}` has no value that can be digested  {where}")

    def _defaults(
        self, node: Node, function: types.FunctionType, parameters: frozenset[str],
        context: Context, where: str,
    ) -> list[str]:  # fmt: skip
        texts = []
        for name, value in defaults(function).items():
            form = self._form(value, f"{name}", where, context.label)
            # The classes and functions behind a value count here, wherever the value itself does.
            self._watch(node, value, where)
            self._children(node, form, f"default {name}", where)
            self._hold(
                node, f"{context.label}({name})", functools.partial(_default, function, name), form
            )
            if name not in parameters:
                texts.append(f"{name}={digest_bytes(form.data)}")
        return texts

    def _hold(
        self, node: Node, name: str, fetch: Callable[[], Any], form: Form | None = None
    ) -> None:
        """Remember a value: no step may change it. `form`: what it is now, if that is known."""
        known = form is not None and not form.derived
        digest = digest_bytes(form.data) if form and known else lasting(self.project, fetch())
        node.held.append((name, fetch, digest))

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
        namespace = names_of(sys.modules[cls.__module__]) if cls.__module__ in sys.modules else {}
        texts = [cls.__module__, cls.__qualname__]
        plain = plain_metaclass(type(cls))
        for unit in units:
            context = Context(source, namespace, {}, frozenset(unit.enclosed), cls.__qualname__)
            texts.extend(self._fill_unit(node, unit, context))
            if not plain:
                texts.append(unit.full)
                self.lookup.follow(node, unit.full_refs, context)
        form = self._form(
            (*cls.__bases__, type(cls)), cls.__name__, where, f"class {cls.__qualname__}"
        )
        self._children(node, form, "base", where)
        texts.append(digest_bytes(form.data))
        bound = {name for unit in units for name in unit.bound}
        self._attributes(node, cls, bound if units else None, where)
        name = f"{cls.__module__}.{cls.__qualname__.replace('<locals>.', '')}"
        node.part = RecipePart(name, "class", joined(texts), where=where)

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

    def _attributes(self, node: Node, cls: type, bound: set[str] | None, where: str) -> None:
        """The live attributes of a class: what its body binds, and what was set on it later."""
        place = f"{cls.__module__}.{cls.__qualname__}.__dict__"
        self._hold(node, place, lambda: [name for name, _ in class_values(cls, None)])
        for name, value in class_values(cls, bound):
            if is_generated(cls, name, value):
                continue
            full = f"{cls.__module__}.{cls.__qualname__.replace('<locals>.', '')}.{name}"
            fetch = functools.partial(class_value, cls, name)
            if isinstance(value, types.FunctionType) and is_ours(self.project, value):
                node.edges[f"attribute {name}"] = self.function(value, frozenset())
                continue
            required = bound is None or (name in bound and not hasattr(type(value), "__get__"))
            required |= kind_of(value) == "function"
            try:
                node.edges[f"attribute {name}"] = self.constant(full, where, fetch, (id(cls), name))
            except DefinitionError:
                if required:
                    raise

    def _fill_module(self, node: Node, source: ModuleSource) -> None:
        analysis = source.analysis
        context = module_context(source)
        self.lookup.notes(node, [n for n in analysis.notes if n[0] != "dynamic"], context)
        for name in sorted({*analysis.modules, *analysis.late}):
            if name in self.project.sources:
                node.edges[f"import {name}"] = self.module(self.project.sources[name])
            elif not self.project.is_project(name):
                self.lookup.external(node, name.partition(".")[0], part=False)
        self.lookup.settle(context.globals, analysis.lines)
        for name in sorted(analysis.lines):
            value = context.globals.get(name, MISSING)
            if value is MISSING or name in analysis.imports:
                continue
            where = f"{source.path}:{analysis.lines[name]}"
            try:
                node.edges[name] = self.lookup.global_(source, context.globals, name)
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
        self._hold(node, label, fetch, form)
        digest = digest_bytes(form.data)
        node.part = RecipePart(label, kind_of(value), digest, short(label, value), where)
        self._watch(node, value, where)

    def _watch(self, node: Node, value: Any, where: str) -> None:
        """The files that a value names may be read without a trace, by code in C."""
        folder = where.rpartition(":")[0].rpartition("/")[0]
        for text in watching.spelt(value):
            found = watching.files(text, self.project.root, folder)
            node.watched.extend((path, where) for path in found)

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
            self.lookup.named(node, path, (), where)
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
