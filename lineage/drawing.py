"""Graphs to be drawn by others, as Mermaid and as Graphviz dot: of what was made, or declared."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from lineal.assets.asset import Input
from lineal.assets.graph import Graph
from lineal.assets.records import SLICES, Materialization
from lineal.lineage.questions import version_name
from lineal.lineage.tree import Derivation, many_label

Shape = Literal["source", "table", "model", "value", "thing"]

_NAMED = 4  # columns that an edge names; of more it says how many
_SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "parquet": "table",
        SLICES: "table",
        "joblib": "model",
        "pickle": "model",
        "skops": "model",
        "json": "value",
    }
)
_MERMAID: Mapping[Shape, tuple[str, str]] = MappingProxyType(
    {
        "source": ("[(", ")]"),
        "table": ("[", "]"),
        "model": ("{{", "}}"),
        "value": ("([", "])"),
        "thing": ("[/", "/]"),
    }
)
_DOT: Mapping[Shape, str] = MappingProxyType(
    {
        "source": "cylinder",
        "table": "box",
        "model": "hexagon",
        "value": "oval",
        "thing": "note",
    }
)
_SPECIAL = re.compile(r"[&<>\"#`\\]")  # what Mermaid or the browser would take for something else


class Node(NamedTuple):
    """A point of a drawing; `name` is told apart, `label` is read."""

    name: str
    label: str
    shape: Shape


class Line(NamedTuple):
    source: str
    target: str
    columns: tuple[str, ...] = ()
    check: bool = False  # nothing flows: a check of the target reads it


class Drawing(NamedTuple):
    """Nodes in order, and the lines between them; data flows to the right."""

    nodes: tuple[Node, ...]
    lines: tuple[Line, ...]


def drawn(derivation: Derivation) -> Drawing:
    """A derivation to be drawn: the partitions of an asset are one node."""
    groups: dict[tuple[str, str], list[Materialization]] = {}
    first: dict[str, str] = {}
    for name, node in derivation.nodes.items():
        group = groups.setdefault((node.asset, name if node.partition is None else ""), [])
        group.append(node)
        first[name] = group[0].id
    columns: dict[tuple[str, str, str], dict[str, None]] = {}
    for e in derivation.edges:
        ends = first[e.source], first[e.target], e.parameter
        columns.setdefault(ends, {}).update(dict.fromkeys(e.columns))
    nodes = (
        Node(
            group[0].id,
            many_label(group) if len(group) > 1 else version_name(group[0]),
            _shape(group[0].kind, group[0].content.format if group[0].content else None),
        )
        for group in groups.values()
    )
    lines = (Line(source, to, tuple(read)) for (source, to, _), read in columns.items())
    return Drawing(tuple(nodes), tuple(lines))


def declared(
    graph: Graph, formats: Mapping[str, str], made: Mapping[str, Materialization]
) -> Drawing:
    """What exists by the code, made or not. `formats`, `made`: of what is current."""
    nodes = (
        Node(name, name, _shape(graph.assets[graph.maker[name]].kind, formats.get(name)))
        for name in _outputs(graph)
    )
    reads: dict[tuple[str, str, bool], list[tuple[str, ...]]] = {}
    for edge in declared_edges(graph, made):
        ends = edge["source"], edge["target"], edge["check"] is not None
        reads.setdefault(ends, []).append(tuple(edge["columns"] or ()))
    lines = (
        Line(source, to, tuple(dict.fromkeys(chain(*found))) if all(found) else (), check)
        for (source, to, check), found in reads.items()
    )
    return Drawing(tuple(nodes), tuple(lines))


def declared_json(
    graph: Graph, formats: Mapping[str, str], made: Mapping[str, Materialization]
) -> dict[str, Any]:
    """A value for JSON: what exists by the code, inputs before what reads them."""
    nodes = []
    for name in _outputs(graph):
        asset = graph.assets[graph.maker[name]]
        partitions = "" if asset.partitions is None else asset.partitions.describe()
        nodes.append(
            {
                "asset": name,
                "kind": asset.kind,
                "format": formats.get(name),
                "description": asset.description,
                "partitions": partitions or None,
                "checks": [check.name for check in graph.checks.get(name, ())],
            }
        )
    return {"nodes": nodes, "edges": list(declared_edges(graph, made))}


def declared_edges(
    graph: Graph, made: Mapping[str, Materialization] = MappingProxyType({})
) -> Iterator[dict[str, Any]]:
    """Who reads whom, by which parameter; `check`: the check that reads it, if a check does.

    Which columns a query reads is not declared: what is `made` of it says so.
    """
    for name in _outputs(graph):
        asset = graph.assets[graph.maker[name]]
        reads: list[tuple[Input, str | None]] = [(given, None) for given in asset.inputs]
        reads += [(g, check.name) for check in graph.checks.get(name, ()) for g in check.inputs]
        for given, check in reads:
            if given.asset not in (None, name):
                read = given.columns
                if check is None and asset.kind == "sql" and name in made:
                    read = _read_as(given.parameter, made[name])
                yield {
                    "source": given.asset,
                    "target": name,
                    "parameter": given.parameter,
                    "columns": None if read is None else list(read),
                    "check": check,
                }


def _read_as(parameter: str, made: Materialization) -> tuple[str, ...] | None:
    """The columns that were read by a parameter; None: all, or it wasn't read."""
    uses = [used for used in made.inputs if used.parameter == parameter]
    if not uses or any(used.mode not in ("columns", "shape") for used in uses):
        return None
    return tuple(dict.fromkeys(chain(*(used.columns for used in uses))))


def _outputs(graph: Graph) -> Iterator[str]:
    return (output for name in graph.order for output in graph.assets[name].outputs)


def _shape(kind: str, form: str | None) -> Shape:
    if kind in ("files", "fetch"):
        return "source"
    if form is None:
        return "table" if kind == "sql" else "thing"
    return _SHAPES.get(form, "thing")


# --------------------------------------------------------------------------------------- languages


def to_mermaid(drawing: Drawing) -> str:
    """A Mermaid flow chart."""
    names = {node.name: f"n{number}" for number, node in enumerate(drawing.nodes)}
    rows = ["flowchart LR"]
    for node in drawing.nodes:
        begin, end = _MERMAID[node.shape]
        rows.append(f"  {names[node.name]}{begin}{_mermaid(node.label)}{end}")
    for line in drawing.lines:
        label = f"|{_mermaid(_read(line.columns))}|" if line.columns else ""
        arrow = "-.->" if line.check else "-->"
        rows.append(f"  {names[line.source]} {arrow}{label} {names[line.target]}")
    return "\n".join(rows)


def _mermaid(text: str) -> str:
    safe = _SPECIAL.sub(lambda found: f"#{ord(found[0])};", " ".join(text.splitlines()))
    return f'"{safe}"'


def to_dot(drawing: Drawing) -> str:
    """A Graphviz graph."""
    rows = ["digraph lineal {", "  rankdir=LR;", '  node [fontname="sans-serif"];']
    rows.append('  edge [fontname="sans-serif", fontsize=10];')
    rows += [
        f"  {_dot(node.name)} [label={_dot(node.label)}, shape={_DOT[node.shape]}];"
        for node in drawing.nodes
    ]
    for line in drawing.lines:
        told = [f"label={_dot(_read(line.columns))}"] if line.columns else []
        told += ["style=dashed"] if line.check else []
        how = f" [{', '.join(told)}]" if told else ""
        rows.append(f"  {_dot(line.source)} -> {_dot(line.target)}{how};")
    return "\n".join([*rows, "}"])


def _dot(text: str) -> str:
    escaped = " ".join(text.splitlines()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _read(columns: Iterable[str]) -> str:
    names = tuple(columns)
    return ", ".join(names) if len(names) <= _NAMED else f"{len(names)} columns"
