"""The exact derivation of a materialization, up or down: as values, text, JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from lineal.assets.actions import told_of
from lineal.assets.keys import in_order
from lineal.assets.names import Step
from lineal.assets.records import Materialization, Used
from lineal.assets.registries import Registries
from lineal.lineage.facts import History
from lineal.lineage.questions import version_name

_FILES = 20  # the most that a tree names of one asset


class Edge(NamedTuple):
    """One version that another was computed from: by which parameter, which of its columns."""

    source: str  # id of a materialization
    target: str
    parameter: str
    mode: str  # all | columns | files
    columns: tuple[str, ...]


class Derivation(NamedTuple):
    """Materializations, all they were computed from (or all computed from them), and the edges.

    Nodes are materializations that made their bytes themselves; one that reused earlier bytes is
    shown as what made them.
    """

    roots: tuple[str, ...]  # the partitions of one asset, or one version
    direction: str  # up | down
    nodes: Mapping[str, Materialization]
    edges: tuple[Edge, ...]

    def beyond(self, node: str) -> list[tuple[Edge, str]]:
        """The edges that lead on from a node, each with the node it leads to."""
        if self.direction == "up":
            return [(e, e.source) for e in self.edges if e.target == node]
        return [(e, e.target) for e in self.edges if e.source == node]


def upstream(history: History, *materializations: Materialization) -> Derivation:
    """What materializations were in fact computed from, down to the files of sources."""

    def edges(node: Materialization) -> Iterator[tuple[Edge, Materialization]]:
        for used in node.inputs:
            source = history.materialization(used.materialization)
            if source is not None:
                made = _origin(history, source)
                yield _edge(made, node, used), made

    return _walk("up", [_origin(history, m) for m in materializations], edges)


def downstream(history: History, *materializations: Materialization) -> Derivation:
    """What was in fact computed from materializations, or from those that took over their bytes."""

    def edges(node: Materialization) -> Iterator[tuple[Edge, Materialization]]:
        names = [node.id, *(m.id for m in history.reuses(node.id))]
        for name in names:
            for reader in history.readers(name):
                if reader.content is not None and _origin(history, reader) == reader:
                    for used in reader.inputs:
                        if used.materialization == name:
                            yield _edge(node, reader, used), reader

    return _walk("down", [_origin(history, m) for m in materializations], edges)


def resting_on(history: History, *roots: Materialization) -> Derivation:
    """The current versions that rest on these, through whatever version of them they read.

    Where an input was remade and nothing read of it changed, its readers are current still: they
    name the version they were computed from, and rest on the one that took its place.
    """
    currents = list(history.currents().values())
    readers: dict[Step, list[tuple[Used, Materialization]]] = {}
    for made in currents:
        for used in made.inputs:
            readers.setdefault(Step(used.asset, used.partition), []).append((used, made))

    def edges(node: Materialization) -> Iterator[tuple[Edge, Materialization]]:
        for used, made in readers.get(node.step, ()):
            if made.asset != node.asset:
                yield _edge(node, made, used), made

    return _walk("down", roots, edges)


def _edge(source: Materialization, target: Materialization, used: Used) -> Edge:
    return Edge(source.id, target.id, used.parameter, used.mode, used.columns)


def _origin(history: History, materialization: Materialization) -> Materialization:
    """What made the bytes. An observation of a source stands for itself: data came in there."""
    if materialization.kind in ("files", "fetch"):
        return materialization
    if materialization.origin in ("", materialization.id):
        return materialization
    return history.materialization(materialization.origin) or materialization


def _walk(
    direction: str,
    roots: Sequence[Materialization],
    edges_of: Callable[[Materialization], Iterator[tuple[Edge, Materialization]]],
) -> Derivation:
    nodes = {root.id: root for root in roots}
    waiting = list(nodes.values())
    edges: dict[Edge, None] = {}
    while waiting:
        for edge, other in edges_of(waiting.pop()):
            edges[edge] = None
            if other.id not in nodes:
                nodes[other.id] = other
                waiting.append(other)
    return Derivation(tuple(root.id for root in roots), direction, nodes, tuple(edges))


# ------------------------------------------------------------------------------------------- shown


def to_tree(
    derivation: Derivation, *, columns: bool = False, registries: Registries | None = None
) -> str:
    """A tree in text: one line an asset, its partitions together, what was shown before by name.

    Args:
        columns: name the columns that were read, instead of counting them.
        registries: in which versions are told to be registered.
    """
    known_as = registries or Registries()
    lines: list[str] = []
    shown: set[tuple[str, ...]] = set()

    def add(group: tuple[str, ...], detail: str, first: str, rest: str) -> None:
        again = group in shown
        label = _group_label(derivation, group)
        known = _registered(derivation, group, known_as)
        lines.append(first + "  ".join(t for t in (label, detail, known, "(above)" * again) if t))
        if again:
            return
        shown.add(group)
        below = _groups_beyond(derivation, group, columns)
        files = _files(derivation, group) if derivation.direction == "up" else []
        branches = len(below) + len(files)
        for number, (next_group, read) in enumerate(below, start=1):
            fork, stem = ("└─ ", "   ") if number == branches else ("├─ ", "│  ")
            add(next_group, read, rest + fork, rest + stem)
        for number, text in enumerate(files, start=len(below) + 1):
            lines.append(rest + ("└─ " if number == branches else "├─ ") + text)

    add(tuple(dict.fromkeys(derivation.roots)), "", "", "")
    return "\n".join(lines)


def _registered(derivation: Derivation, group: Sequence[str], registries: Registries) -> str:
    nodes = [derivation.nodes[name] for name in group]
    return registries.told(nodes[0].asset, (n.content.digest for n in nodes if n.content))


def _group_label(derivation: Derivation, group: Sequence[str]) -> str:
    nodes = [derivation.nodes[name] for name in group]
    if len(nodes) > 1:
        return many_label(nodes)
    content = nodes[0].content
    summary = told_of(nodes[0]) or (content.summary if content else nodes[0].outcome)
    return "  ".join(t for t in (version_name(nodes[0]), summary) if t)


def many_label(nodes: Sequence[Materialization]) -> str:
    """`flights  12 partitions, 2013-01 … 2013-12`, or how many versions."""
    keys = {node.partition for node in nodes}
    if None in keys or len(keys) < len(nodes):
        return f"{nodes[0].asset}  {len(nodes):,} versions"
    partitions = in_order(keys)
    return f"{nodes[0].asset}  {len(nodes):,} partitions, {partitions[0]} … {partitions[-1]}"


def _groups_beyond(
    derivation: Derivation, group: Sequence[str], named: bool
) -> list[tuple[tuple[str, ...], str]]:
    """The assets beyond a group, each with the ids of its versions and the columns read."""
    found: dict[str, tuple[dict[str, None], list[Edge]]] = {}
    for node in group:
        for edge, other in derivation.beyond(node):
            ids, edges = found.setdefault(derivation.nodes[other].asset, ({}, []))
            ids[other] = None
            edges.append(edge)
    return [(tuple(ids), _columns_read(derivation, edges, named)) for ids, edges in found.values()]


def _columns_read(derivation: Derivation, edges: Sequence[Edge], named: bool) -> str:
    known: set[str] = set()
    read: set[str] = set()
    if any(edge.mode == "files" for edge in edges):
        return "read as files" if named else ""
    for edge in edges:
        content = derivation.nodes[edge.source].content
        names = {column.name for column in content.columns} if content else set()
        known |= names
        read |= names if edge.mode == "all" else set(edge.columns)
    counted = any(edge.mode in ("columns", "shape") for edge in edges)
    if not known or not (read or counted):
        return ""
    if named and len(read) < len(known):
        return ", ".join(sorted(read)) or "how many rows"
    return f"{'all ' if named else f'{len(read)} of '}{len(known)} columns"


def _files(derivation: Derivation, group: Sequence[str]) -> list[str]:
    files = [file for name in group for file in derivation.nodes[name].files]
    rows = [f"{file.path}  {file.digest[:6]}  {file.bytes:,} bytes" for file in files[:_FILES]]
    if len(files) > _FILES:
        rest = files[_FILES:]
        rows.append(f"… and {len(rest):,} more, {sum(f.bytes for f in rest):,} bytes")
    return rows


def to_json(derivation: Derivation, registries: Registries | None = None) -> dict[str, Any]:
    """A value for JSON: nodes and edges, digests whole."""
    return {
        "root": derivation.roots[0] if len(derivation.roots) == 1 else None,
        "roots": list(derivation.roots),
        "direction": derivation.direction,
        "nodes": [
            _node_json(node, registries or Registries()) for node in derivation.nodes.values()
        ],
        "edges": [{**edge._asdict(), "columns": list(edge.columns)} for edge in derivation.edges],
    }


def _node_json(node: Materialization, registries: Registries) -> dict[str, Any]:
    return {
        "materialization": node.id,
        "asset": node.asset,
        "partition": node.partition,
        "version": node.content.digest if node.content else None,
        "registered": registries.names(node.asset, node.content.digest) if node.content else [],
        "kind": node.kind,
        "format": node.content.format if node.content else None,
        "outcome": node.outcome,
        "run": node.run,
        "recipe": node.recipe,
        "files": [
            {"path": file.path, "digest": file.digest, "bytes": file.bytes} for file in node.files
        ],
    }
