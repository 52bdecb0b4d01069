"""Opens a project for a look: its code bound into a graph, its past and its objects at hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lineal.assets.action_edges import misnamed
from lineal.assets.asset import CustomFormat
from lineal.assets.errors import DefinitionError, DefinitionErrors
from lineal.assets.graph import Graph
from lineal.binding import bind
from lineal.definitions import Definitions
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from lineal.packages import Packages
from lineal.settings import Settings
from lineal.snapshot import Snapshot, check_settings, overrides_of
from lineal.storage.objects import Objects
from lineal.storage.sources import Observer
from lineal.storage.sql import Queries


@contextmanager
def opened(
    root: Path,
    settings: Settings,
    definitions: Definitions,
    journal: Journal,
    overrides: Iterable[str],
) -> Iterator[Snapshot]:
    """A snapshot of a project whose code is loaded; its past and its modules are let go at the end.

    Args:
        overrides: `"asset.name=value"`, as people write parameters.
    """
    store, disk, cache = journal.root, journal.disk, journal.root / "cache"
    try:
        packages = Packages.look(cache)
        duckdb = dict(packages.facts(["duckdb"], [], "exact").packages)["duckdb"]
        queries = Queries(cache / "queries.json", duckdb)
        graph = bind(definitions.declared, queries)
        check_settings(settings, graph)
        history = History.open(journal, cache, settings.environment.name)
        try:
            _check_actions(graph, history)
            _check_names(graph, history)
            yield Snapshot(
                root=root,
                settings=settings,
                definitions=definitions,
                graph=graph,
                queries=queries,
                history=history,
                objects=Objects(store, disk),
                observer=Observer(root, cache / "stat.json", disk),
                packages=packages,
                overrides=overrides_of(overrides, graph),
                formats=tuple(d for d in definitions.declared if isinstance(d, CustomFormat)),
            )
        finally:
            history.close()
            queries.save()  # what the plan found out of its columns
    finally:
        definitions.close()


def _check_names(graph: Graph, history: History) -> None:
    """No asset has the name of a registry: `delays@…` would be a version of either.

    Raises:
        DefinitionErrors: those that have.
    """
    gates = {asset.gate.registry for asset in graph.assets.values() if asset.gate is not None}
    errors = [
        DefinitionError(
            f"`{name}` is an asset and a registry of models: `{name}@…` could be of either",
            where=str(graph.assets[graph.maker[name]].where),
            advice="give the asset another name",
        )
        for name in sorted({*history.registries(), *gates} & set(graph.maker))
    ]
    if errors:
        raise DefinitionErrors(errors)


def _check_actions(graph: Graph, history: History) -> None:
    """Every action runs for an alias that something moves, as far as can be told.

    Raises:
        DefinitionErrors: those that nearly name one.
    """
    if any(asset.action is not None for asset in graph.assets.values()):
        errors = list(misnamed(graph.assets.values(), history.registries()))
        if errors:
            raise DefinitionErrors(errors)
