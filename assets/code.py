"""Recipes: the identity of the code a step runs, over all that it can reach in the project."""

from __future__ import annotations

import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from lineal.assets.asset import Resource
from lineal.assets.captured import Opaque, identity, opaque
from lineal.assets.components import components
from lineal.assets.digest import SCHEME, digest_bytes, digest_of
from lineal.assets.live import short
from lineal.assets.loading import Loading
from lineal.assets.pieces import ModuleSource, Node, Project
from lineal.assets.reach import Reach, lasting
from lineal.assets.records import REPLACED, Recipe, RecipePart
from lineal.assets.secrets import Secret

__all__ = ["ModuleSource", "Opaque", "OpenedBy", "Walker", "opaque", "with_resources"]


class Walker:
    """Finds the recipe of every function of one loaded project; what they share is walked once.

    Args:
        sources: the loaded project modules by name; may grow while walking.
        is_project: whether a module name is the project's; by default, if it is in `sources`.
        root: the project's folder; paths inside it are taken relative to it.
        load: imports a project module by name, or None; by default looks at what is loaded.
        every: all project modules below the root, for code that may reach any of them.
    """

    def __init__(
        self,
        sources: Mapping[str, ModuleSource],
        is_project: Callable[[str], bool] | None = None,
        root: str = "",
        *,
        load: Callable[[str], types.ModuleType | None] | None = None,
        every: Callable[[], Mapping[str, ModuleSource]] | None = None,
    ):
        def belongs(name: str) -> bool:
            return name in sources

        self._project = Project(
            sources,
            is_project or belongs,
            root,
            load or sys.modules.get,
            every or (lambda: sources),
        )
        loading = Loading(self._project)
        self._reach = {full: Reach(self._project, loading, full=full) for full in (False, True)}
        self._digests: dict[tuple[bool, frozenset[int]], dict[Node, str]] = {}
        self._externals: dict[str, RecipePart] = {}
        self._parameters: dict[int, frozenset[str]] = {}  # of the functions that have a recipe

    def recipe(
        self,
        function: Any,
        *,
        version: str | None = None,
        ignore: Iterable[Any] = (),
        parameters: Iterable[str] = (),
    ) -> Recipe:
        """The recipe of a function.

        Args:
            function: what a declaration computes with.
            version: a hand-kept part.
            ignore: functions and classes left out, with what only they reach.
            parameters: names whose defaults don't count, because their values do elsewhere, but
                for the classes of them; a mapping says the types of values too.

        Raises:
            DefinitionError: when something captured has no canonical form, or code has no source.
        """
        ignored = frozenset(id(_plain(thing)) for thing in ignore)
        names = self._parameters[id(function)] = frozenset(parameters)
        root, reached, full = self._reached(function, names, ignored)
        pieces = [SCHEME, "recipe", self._digest(root, full, ignored)]
        for cls in self._types(parameters):
            # A value from the settings may be of a class that no default shows.
            if all(node.subject is not cls for node, _ in reached):
                inner, beyond, full = self._reached(cls, frozenset(), ignored)
                pieces += ["parameter", identity(cls), self._digest(inner, full, ignored)]
                known = {node for node, _ in reached}
                reached = [*reached, *(pair for pair in beyond if pair[0] not in known)]
        effects, beyond, full = self._effects(ignored)
        for node in effects:
            pieces += ["effect", self._digest(node, full, ignored)]
        known = {node for node, _ in reached}
        reached = [*reached, *(pair for pair in beyond if pair[0] not in known)]
        parts = [_used_by(node.part, via) for node, via in reached]
        if version is not None:
            digest = digest_bytes(version.encode())
            parts.append(RecipePart("version", "version", digest, short("version", version)))
            pieces += ["version", version]
        nodes = [node for node, _ in reached]
        if any(node.names for node in nodes):
            pieces += ["names", *(node.part.name for node in nodes if node.part.kind != "constant")]
        return Recipe(
            digest=_digest_of(pieces),
            parts=(*parts, *self._external_parts(reached)),
            opaque=_merged(node.opaque for node in nodes if node.opaque),
            imports=tuple(sorted({name for node in nodes for name in node.imports})),
            variables=tuple(sorted({name for node in nodes for name in node.environ})),
            impure=_merged(node.impure for node in nodes if node.impure),
            watched=_merged(node.watched for node in nodes if node.watched),
        )

    def drifted(self, function: Any) -> RecipePart | None:
        """The first value reached that is not what it was when loaded, as it is now."""
        parameters = self._parameters.get(id(function), frozenset())
        _, reached, _ = self._reached(function, parameters, frozenset())
        for node, _ in reached:
            for name, fetch, before in node.held:
                digest = lasting(self._project, now := fetch())
                if digest != before:
                    shown = short(name, now)
                    return RecipePart(name, "constant", digest, shown, node.part.where)
        return None

    def identify(self, module: str, qualname: str) -> str | None:
        """The digest of a class or function that a pickle names; None if not the project's."""
        if not self._project.is_project(module):
            return None
        found: Any = self._project.load(module)
        for name in qualname.split("."):
            found = getattr(found, name, None)
        if found is None:
            # A name inside a function, or one that is gone: then the whole module counts.
            found = self._project.sources.get(module)
            return found.analysis.text if found is not None else None
        root, _, full = self._reached(found, frozenset(), frozenset())
        return _digest_of(
            [SCHEME, "named", module, qualname, self._digest(root, full, frozenset())]
        )

    # ------------------------------------------------------------------ inside

    def _types(self, parameters: Iterable[str]) -> list[type]:
        """The project's classes among the declared types of parameters."""
        waiting = list(parameters.values()) if isinstance(parameters, Mapping) else []
        found: dict[type, None] = {}
        while waiting:
            said = waiting.pop()
            if isinstance(said, type):
                if self._project.is_project(said.__module__):
                    found[said] = None
            elif isinstance(said, tuple | list):
                waiting.extend(said)
        return sorted(found, key=identity)

    def _effects(self, ignored: frozenset[int]) -> tuple[list[Node], list[tuple[Node, str]], bool]:
        """What loading did to libraries, all that this reaches, and whether docstrings count."""
        for full in (False, True):
            effects = self._reach[full].effects()
            reached = [pair for node in effects for pair in _breadth_first(node, ignored)]
            if not any(node.introspects for node, _ in reached):
                break
        return effects, list(dict(reversed(reached)).items())[::-1], full

    def _reached(
        self, function: Any, parameters: frozenset[str], ignored: frozenset[int]
    ) -> tuple[Node, list[tuple[Node, str]], bool]:
        """The root, every node it reaches with its user's name, and whether docstrings count."""
        root = self._reach[False].root(function, parameters)
        reached = _breadth_first(root, ignored)
        if not any(node.introspects for node, _ in reached):
            return root, reached, False
        root = self._reach[True].root(function, parameters)
        return root, _breadth_first(root, ignored), True

    def _digest(self, root: Node, full: bool, ignored: frozenset[int]) -> str:
        """The Merkle digest of a node over all it reaches; mutual recursion is one component."""
        known = self._digests.setdefault((full, ignored), {})
        if root not in known:
            edges = _Edges(ignored)
            for component in components(root, edges, known):
                members = frozenset(component)
                found = {node: _component_digest(node, members, edges, known) for node in component}
                known.update(found)
        return known[root]

    def _external_parts(self, reached: list[tuple[Node, str]]) -> list[RecipePart]:
        users: dict[str, str] = {}
        for node, _ in reached:
            for path in sorted(node.externals):
                users.setdefault(path, node.part.name)
        return [_used_by(self._external_part(path), users[path]) for path in sorted(users)]

    def _external_part(self, path: str) -> RecipePart:
        part = self._externals.get(path)
        if part is None:
            standard = path.partition(".")[0] in sys.stdlib_module_names
            kind: Any = "builtin" if standard else "external"
            part = self._externals[path] = RecipePart(path, kind, digest_bytes(path.encode()))
        return part


class _Edges:
    """The edges of a node in a fixed order, without what is ignored."""

    def __init__(self, ignored: frozenset[int]):
        self.ignored = ignored

    def __call__(self, node: Node) -> list[tuple[str, Node]]:
        edges = node.ordered()
        if not self.ignored:
            return edges
        return [(label, inner) for label, inner in edges if id(inner.subject) not in self.ignored]


def _component_digest(
    start: Node, members: frozenset[Node], edges: _Edges, known: Mapping[Node, str]
) -> str:
    """One member's digest: its component read from it, members numbered in the order of meeting."""
    numbers = {start: 0}
    waiting = deque([start])
    pieces: list[str] = []
    while waiting:
        node = waiting.popleft()
        pieces += ["node", node.part.kind, node.part.digest]
        for path in sorted(node.externals):
            pieces += ["external", path]
        for label, inner in edges(node):
            if inner in members:
                if inner not in numbers:
                    numbers[inner] = len(numbers)
                    waiting.append(inner)
                pieces += ["within", label, str(numbers[inner])]
            else:
                pieces += ["edge", label, known[inner]]
    return _digest_of(pieces)


def _breadth_first(root: Node, ignored: frozenset[int]) -> list[tuple[Node, str]]:
    edges = _Edges(ignored)
    found = {root: ""}
    waiting = deque([root])
    while waiting:
        node = waiting.popleft()
        for _, inner in edges(node):
            if inner not in found:
                found[inner] = node.part.name
                waiting.append(inner)
    return list(found.items())


class OpenedBy(NamedTuple):
    """A resource as a recipe sees it: the code that opens it, with which values.

    `replaced`: unique to this run, if something stands in for it; else empty.
    """

    parameter: str
    resource: Resource
    recipe: Recipe
    values: Mapping[str, Any]
    replaced: str


def with_resources(recipe: Recipe, taken: Iterable[OpenedBy]) -> Recipe:
    """The recipe of code that is handed resources: all of theirs counts for it."""
    opened = list(taken)
    if not opened:
        return recipe
    parts = {(part.kind, part.name): part for part in recipe.parts}
    pieces: list[Any] = [SCHEME, "resources", recipe.digest]
    for each in opened:
        for part in _resource_parts(each):
            parts.setdefault((part.kind, part.name), part)
        whole = parts["resource", each.resource.name]
        pieces.append((each.parameter, whole.name, whole.digest))
    every = [recipe, *(each.recipe for each in opened)]
    return Recipe(
        digest=digest_of(pieces),
        parts=tuple(parts.values()),
        opaque=_merged(each.opaque for each in every),
        imports=tuple(sorted(_merged(each.imports for each in every))),
        variables=tuple(sorted(_merged(each.variables for each in every))),
        impure=_merged(each.impure for each in every),
        watched=_merged(each.watched for each in every),
    )


def _resource_parts(opened: OpenedBy) -> Iterable[RecipePart]:
    """The resource as a whole, each of its parameters, and the code it reaches."""
    name, where = opened.resource.name, opened.recipe.parts[0].where if opened.recipe.parts else ""
    values = [(key, opened.values[key]) for key in sorted(opened.values)]
    if opened.replaced:
        whole = digest_of((SCHEME, REPLACED, name, opened.replaced))
        yield RecipePart(name, "resource", whole, REPLACED, where)
    else:
        whole = digest_of((SCHEME, "resource", name, opened.recipe.digest, values))
        yield RecipePart(name, "resource", whole, "", where)
    for key, value in values:
        label = f"{name}.{key}"
        shown = repr(value) if isinstance(value, Secret) else short(label, value)
        yield RecipePart(label, "resource", digest_of(value), shown, where, name)
    for part in opened.recipe.parts:
        yield _used_by(part, part.via or name)


def _plain(thing: Any) -> Any:
    """The function behind a declaration."""
    return getattr(thing, "function", None) or thing


def _digest_of(pieces: Iterable[str]) -> str:
    encoded = [piece.encode("utf-8", "surrogatepass") for piece in pieces]
    return digest_bytes(b"".join(len(e).to_bytes(4, "little") + e for e in encoded))


def _merged(several: Iterable[Iterable[Any]]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(item for items in several for item in items))


def _used_by(part: RecipePart, via: str) -> RecipePart:
    return RecipePart(part.name, part.kind, part.digest, part.value, part.where, via)
