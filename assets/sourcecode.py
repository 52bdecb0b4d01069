"""What a module's source says without running it: functions, classes and the names each reaches.

The result is plain tuples and texts, so that it can be kept beside the compiled code; nothing here
is imported from a third party, so that golden tests can run it on any bare interpreter.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lineal.assets.canonical import FUNCTIONS, Canonical, Function, is_docstring
from lineal.assets.effects import Deed, deeds, is_main_guard, origins, targets
from lineal.assets.reading import Reader
from lineal.assets.scopes import Scope, absolute, binding_lines, bindings, dotted

# A name that a unit reaches: (name | import, chain, line, call | value | load | dynamic).
# "name" chains start at a free name; "import" chains start at an absolute module name.
Ref = tuple[str, tuple[str, ...], int, str]
# Something else worth knowing: (kind, detail, line); the kinds are listed in `reading.py`.
Note = tuple[str, str, int]

# Decorators that neither read annotations or docstrings nor hide the function they decorate.
SAFE_DECORATORS = frozenset(
    {
        "builtins.property", "builtins.staticmethod", "builtins.classmethod", "functools.wraps",
        "functools.lru_cache", "functools.cache", "functools.cached_property",
        "contextlib.contextmanager", "contextlib.asynccontextmanager", "abc.abstractmethod",
        "typing.override", "typing.final", "typing.overload", "typing.no_type_check",
        "functools.total_ordering", "dataclasses.dataclass", "enum.unique",
    }
)  # fmt: skip


class Decorator(NamedTuple):
    """One decorator: its text's digest, the chain of the name it calls, what it reaches."""

    text: str
    chain: Ref | None
    refs: tuple[Ref, ...]
    notes: tuple[Note, ...]
    safe: bool


class Unit(NamedTuple):
    """A function, lambda or class as written.

    `text` is the digest of its normalised source without docstring, annotations, decorators, name
    and defaults (a class: without the bodies of its methods); `full` of all of it. `full_refs` is
    what `full` reaches beyond `refs`.
    """

    kind: str
    qualname: str
    line: int
    span: tuple[int, int, int, int]
    text: str
    full: str
    refs: tuple[Ref, ...]
    full_refs: tuple[Ref, ...]
    notes: tuple[Note, ...]
    full_notes: tuple[Note, ...]
    decorators: tuple[Decorator, ...]
    bound: tuple[str, ...]  # names that a class body binds
    enclosed: tuple[str, ...]  # names of the functions around it
    deeds: tuple[Deed, ...] = ()  # what a function does when it is called, beyond giving a value


class Binding(NamedTuple):
    """A module-level assignment, kept for values that can only be known by how they were made."""

    line: int
    text: str
    refs: tuple[Ref, ...]


class Effect(NamedTuple):
    """A top-level statement that may change what outlasts it, as its deeds tell."""

    binding: Binding
    deeds: tuple[Deed, ...]
    targets: tuple[str, ...]
    notes: tuple[Note, ...]


class Analysis(NamedTuple):
    """What one module's source says."""

    units: dict[tuple[int, str], tuple[Unit, ...]]  # by (first line, name), as code objects say it
    classes: dict[str, tuple[Unit, ...]]  # by qualified name
    imports: dict[str, tuple[tuple[str, ...], ...]]  # module-level names bound by imports alone
    stars: tuple[str, ...]
    lines: dict[str, int]  # of the last module-level binding of a name
    bindings: dict[str, tuple[Binding, ...]]
    modules: tuple[str, ...]  # every module imported at the top level
    late: tuple[str, ...]  # every module imported inside bodies
    text: str  # digest of the whole module
    notes: tuple[Note, ...]  # of the whole module
    effects: tuple[Effect, ...]

    def marshalled(self) -> tuple[Any, ...]:
        """Plain tuples and dicts, for `marshal`."""
        return (_plain(self.units), _plain(self.classes), *map(_plain, self[2:]))

    @classmethod
    def unmarshalled(cls, plain: tuple[Any, ...]) -> Analysis:
        found = cls._make(plain)
        return found._replace(
            bindings={n: tuple(map(Binding._make, b)) for n, b in found.bindings.items()},
            effects=tuple(_effect(plain) for plain in found.effects),
        )

    def unit(self, line: int, name: str) -> tuple[Unit, ...]:
        return tuple(map(_unit, self.units.get((line, name), ())))

    def of_class(self, qualname: str) -> tuple[Unit, ...]:
        return tuple(map(_unit, self.classes.get(qualname, ())))


def _effect(plain: Any) -> Effect:
    effect = Effect._make(plain)
    return effect._replace(binding=Binding._make(effect.binding))


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _unit(plain: Any) -> Unit:
    unit = Unit._make(plain)
    if not unit.decorators:
        return unit
    return unit._replace(decorators=tuple(map(Decorator._make, unit.decorators)))


def analyse(
    tree: ast.Module, module: str, *, package: bool, digest: Callable[[bytes], str]
) -> Analysis:
    """Read a parsed module. `module`: its dotted name; `package`: whether it is an `__init__`."""
    home = module if package else module.rpartition(".")[0]
    return _Analyser(tree, home, digest).analysis()


class _Analyser:
    def __init__(self, tree: ast.Module, home: str, digest: Callable[[bytes], str]):
        self.tree = tree
        self.home = home
        self.digest = digest
        self.module = bindings(tree, home)
        self.units: dict[tuple[int, str], list[Unit]] = {}
        self.classes: dict[str, list[Unit]] = {}

    def analysis(self) -> Analysis:
        for statement in self.tree.body:
            self._descend(statement, [self.module], "")
        everything = self._reader([self.module], 0)
        everything.whole(self.tree)
        modules, late = _imported(self.tree, self.home)
        return Analysis(
            units={key: tuple(found) for key, found in self.units.items()},
            classes={key: tuple(found) for key, found in self.classes.items()},
            imports={n: tuple(p) for n, p in self.module.bound.items() if p},
            stars=self.module.stars,
            lines=binding_lines(self.tree),
            bindings=self._bindings(),
            modules=modules,
            late=late,
            text=self._digest(Canonical(full=True).text(self.tree)),
            notes=everything.taken()[1],
            effects=self._effects(),
        )

    # ------------------------------------------------------------------ units

    def _descend(self, node: ast.AST, scopes: list[Scope], prefix: str) -> None:
        """Make a unit of every function, lambda and class in a node, at any depth."""
        if isinstance(node, FUNCTIONS):
            name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
            for outer in _evaluated_outside(node):
                self._descend(outer, scopes, prefix)
            inner = [*scopes, bindings(node, self.home)]
            self._function(node, inner, prefix + name)
            body: Sequence[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else node.body
            for part in body:
                self._descend(part, inner, f"{prefix}{name}.<locals>.")
        elif isinstance(node, ast.ClassDef):
            for outer in [*node.decorator_list, *node.bases, *node.keywords]:
                self._descend(outer, scopes, prefix)
            inner = [*scopes, bindings(node, self.home)]
            self._class(node, inner, prefix + node.name)
            for part in node.body:
                self._descend(part, inner, f"{prefix}{node.name}.")
        else:
            for child in ast.iter_child_nodes(node):
                self._descend(child, scopes, prefix)

    def _function(self, node: Function, scopes: list[Scope], qualname: str) -> None:
        name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
        plain = Canonical(safe=lambda d: self._safe(d, scopes[:-1]))
        reader = self._reader(scopes, len(scopes) - 1)
        reader.body(node)
        refs, notes = reader.taken()
        reader.annotations(node)
        more, more_notes = reader.taken()
        decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
        first = min([node.lineno, *(d.lineno for d in decorators)])
        unit = Unit(
            kind="lambda" if isinstance(node, ast.Lambda) else "function",
            qualname=qualname,
            line=first,
            span=_span(node.body if isinstance(node, ast.Lambda) else node),
            text=self._digest(plain.function(node)),
            full=self._digest(Canonical(full=True).function(node) + name),
            refs=refs,
            full_refs=more,
            notes=notes,
            full_notes=more_notes,
            decorators=self._decorators(decorators, scopes[:-1]),
            bound=(),
            enclosed=_enclosed(scopes[:-1]),
            deeds=deeds([node.body] if isinstance(node, ast.Lambda) else node.body, scopes),
        )
        self.units.setdefault((first, name), []).append(unit)

    def _class(self, node: ast.ClassDef, scopes: list[Scope], qualname: str) -> None:
        def elided(method: ast.AST) -> bool:
            return isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and all(
                self._safe(d, scopes) for d in method.decorator_list
            )

        plain = Canonical(safe=lambda d: self._safe(d, scopes))
        reader = self._reader(scopes, len(scopes) - 1)
        reader.class_body(node, elided)
        refs, notes = reader.taken()
        reader.methods(node, elided)
        more, more_notes = reader.taken()
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        unit = Unit(
            kind="class",
            qualname=qualname,
            line=first,
            span=_span(node),
            text=self._digest(plain.class_(node, elided)),
            full=self._digest(Canonical(full=True).class_(node, lambda _: False)),
            refs=refs,
            full_refs=more,
            notes=notes,
            full_notes=more_notes,
            decorators=self._decorators(node.decorator_list, scopes[:-1]),
            bound=tuple(sorted(scopes[-1].bound)),
            enclosed=_enclosed(scopes[:-1]),
        )
        self.classes.setdefault(qualname, []).append(unit)

    def _decorators(self, nodes: Sequence[ast.expr], scopes: list[Scope]) -> tuple[Decorator, ...]:
        found = []
        for node in nodes:
            reader = self._reader(scopes, len(scopes))
            reader.visit(node)
            refs, notes = reader.taken()
            called = node.func if isinstance(node, ast.Call) else node
            reader.visit(called)
            chain = next(iter(reader.taken()[0]), None)
            text = self._digest(Canonical(full=True).text(node))
            found.append(Decorator(text, chain, refs, notes, self._safe(node, scopes)))
        return tuple(found)

    def _safe(self, decorator: ast.expr, scopes: list[Scope]) -> bool:
        """Is this decorator one of the standard library's that hides nothing?"""
        node = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(node, ast.Attribute) and node.attr in ("setter", "getter", "deleter"):
            return isinstance(node.value, ast.Name) and scopes[-1].kind == "class"
        return dotted(node, scopes) in SAFE_DECORATORS

    # ------------------------------------------------------------------ the module itself

    def _bindings(self) -> dict[str, tuple[Binding, ...]]:
        """Each module-level assignment of a call to plain names."""
        found: dict[str, list[Binding]] = {}
        for node in self.tree.body:
            if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
                continue
            if not any(isinstance(part, ast.Call) for part in ast.walk(node.value)):
                continue
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            binding = self._binding([node.value])
            for target in targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append(binding)
        return {name: tuple(several) for name, several in found.items()}

    def _effects(self) -> tuple[Effect, ...]:
        """Top-level statements that may do something to others: `pd.set_option(…)`."""
        found = []
        around = origins(self.tree.body)
        for statement in self.tree.body:
            done = deeds([statement], [self.module], around)
            if done and not is_main_guard(statement):
                reader = self._reader([self.module], 1)
                reader.visit(statement)
                notes = reader.taken()[1]
                binding = self._binding([statement])
                found.append(Effect(binding, done, targets(statement), notes))
        return tuple(found)

    def _binding(self, nodes: Sequence[ast.AST]) -> Binding:
        reader = self._reader([self.module], 1)
        for node in nodes:
            reader.visit(node)
        text = "".join(Canonical(full=True).text(node) for node in nodes)
        line = getattr(nodes[0], "lineno", 1)
        return Binding(line, self._digest(text), reader.taken()[0])

    def _reader(self, scopes: list[Scope], boundary: int) -> Reader:
        return Reader(list(scopes), boundary, self.home)

    def _digest(self, text: str) -> str:
        return self.digest(text.encode("utf-8", "surrogatepass"))


def _evaluated_outside(node: Function) -> list[ast.AST]:
    """The parts of a function definition that run where it is defined."""
    outer: list[ast.AST] = [*node.args.defaults, *(d for d in node.args.kw_defaults if d)]
    if not isinstance(node, ast.Lambda):
        outer += node.decorator_list
    return outer


def _span(node: ast.expr | ast.stmt) -> tuple[int, int, int, int]:
    last, end = node.end_lineno, node.end_col_offset
    assert last is not None
    assert end is not None
    return node.lineno, node.col_offset, last, end


def _enclosed(scopes: Sequence[Scope]) -> tuple[str, ...]:
    return tuple(sorted({n for s in scopes if s.kind == "function" for n in s.bound}))


def _imported(tree: ast.Module, home: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The modules imported while the module loads, and those imported inside functions."""
    found: tuple[set[str], set[str]] = (set(), set())

    def visit(node: ast.AST, late: bool) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found[late].update(_imports_of(node, home))
        deeper = late or isinstance(node, FUNCTIONS)
        for child in ast.iter_child_nodes(node):
            visit(child, deeper)

    visit(tree, False)
    return tuple(sorted(found[0])), tuple(sorted(found[1]))


def _imports_of(node: ast.Import | ast.ImportFrom, home: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    source = absolute(node, home)
    # `from pkg import mod` may name a submodule.
    return [source, *(f"{source}.{a.name}" for a in node.names if a.name != "*")]


__all__ = ["Analysis", "Binding", "Decorator", "Note", "Ref", "Unit", "analyse", "is_docstring"]
