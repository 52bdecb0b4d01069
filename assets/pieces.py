"""The pieces of the graph of code: nodes, and what the walk knows of the project around them."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from lineal.assets.deferred import names_of
from lineal.assets.digest import digest_bytes
from lineal.assets.records import RecipePart
from lineal.assets.sourcecode import Analysis, Binding

MISSING: Any = object()


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
        "_ordered", "edges", "environ", "externals", "held", "imports", "impure", "introspects",
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
        # What no step may change: its name, what tells it as it is now, its digest when loaded.
        self.held: list[tuple[str, Callable[[], Any], str]] = []
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


class Nodes(Protocol):
    """Makes the node of a thing, or finds it; its edges may be filled later."""

    def function(self, function: types.FunctionType, parameters: frozenset[str]) -> Node: ...
    def class_(self, cls: type) -> Node: ...
    def module(self, source: ModuleSource) -> Node: ...
    def late_effects(self, source: ModuleSource) -> Node | None: ...
    def constant(
        self,
        name: str,
        where: str,
        fetch: Callable[[], Any],
        key: Any,
        bindings: Iterable[Binding] = (),
    ) -> Node: ...


def is_ours(project: Project, function: types.FunctionType) -> bool:
    return project.is_project(str(function.__globals__.get("__name__")))


def belongs(project: Project, value: Any) -> bool:
    """Is this a function, class, module or instance of the project?"""
    if isinstance(value, types.FunctionType):
        return is_ours(project, value)
    if isinstance(value, types.ModuleType):
        return project.is_project(value.__name__)
    kind = value if isinstance(value, type) else type(value)
    return kind.__module__ != "builtins" and project.is_project(kind.__module__)


def held(value: types.ModuleType | type) -> Mapping[str, Any]:
    """What a module or class holds."""
    return names_of(value) if isinstance(value, types.ModuleType) else vars(value)


def module_context(source: ModuleSource) -> Context:
    live = sys.modules.get(source.name)
    names = names_of(live) if live is not None else {}
    return Context(source, names, {}, frozenset(), source.name)


def joined(texts: Iterable[str]) -> str:
    """One digest over texts: length-prefixed, so that no two lists share bytes."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    if len(encoded) == 1 and len(encoded[0]) == 64:
        return encoded[0].decode()
    return digest_bytes(b"".join(len(t).to_bytes(4, "little") + t for t in encoded))
