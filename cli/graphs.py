"""The graph of a whole project, as `lineage` without an asset draws it."""

from __future__ import annotations

from lineal.assets.graph import Graph
from lineal.assets.records import Materialization
from lineal.cli.documents import dumps
from lineal.cli.render import Style, name_column, padded, plural
from lineal.lineage import drawing
from lineal.lineage.facts import History
from lineal.project import Project


def graph_text(style: Style, project: Project, form: str) -> str:
    """All that is declared, as tree (a list: every asset and what it reads), mermaid, dot, json."""
    with project.look() as seen:
        graph, made = seen.graph, _current(seen.graph, seen.history)
        formats = _formats(graph, seen.history)
    if form == "json":
        return dumps(drawing.declared_json(graph, formats, made))
    if form == "tree":
        return "\n".join(_listed(style, graph))
    draw = {"mermaid": drawing.to_mermaid, "dot": drawing.to_dot}[form]
    return draw(drawing.declared(graph, formats, made))


def _formats(graph: Graph, history: History) -> dict[str, str]:
    """How what is current of each asset is stored."""
    found = {}
    for name in graph.maker:
        brief = next(iter(history.partitions(name).values()), None)
        if brief is not None:
            found[name] = brief.format
    return found


def _current(graph: Graph, history: History) -> dict[str, Materialization]:
    """What is current of each query; of partitions, which share it, any."""
    found = {}
    for name in graph.maker:
        key = next(iter(history.partitions(name)), None)
        made = history.current(name, key) if graph.assets[graph.maker[name]].kind == "sql" else None
        if made is not None:
            found[name] = made
    return found


def _listed(style: Style, graph: Graph) -> list[str]:
    reads: dict[str, dict[str, None]] = {
        output: {} for name in graph.order for output in graph.assets[name].outputs
    }
    for edge in drawing.declared_edges(graph):
        reads[edge["target"]][edge["source"]] = None
    width = name_column(reads)
    rows = []
    for name, sources in reads.items():
        told = f"from {', '.join(sources)}" if sources else "source"
        if not sources and graph.assets[graph.maker[name]].kind not in ("files", "fetch"):
            told = "from nothing"
        rows += style.folded(told, f"{padded(name, width)}   ")
    return [*rows, "", f"{plural(len(reads), 'asset')}."]
