"""Tells a project's past to other programs: each run as the events of OpenLineage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from lineal.assets.errors import UsageError, did_you_mean
from lineal.assets.records import AssetFacts, Materialization, RunEnded, RunStarted
from lineal.lineage.facets import Dependency
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from lineal.lineage.openlineage import Event, Known, Teller

if TYPE_CHECKING:
    import duckdb

Dependencies = dict[str, list[Dependency]]


def told_runs(
    root: Path,
    journal: Journal,
    namespace: str,
    version: str,
    *,
    run: str | None = None,
    since: str | None = None,
) -> Iterator[tuple[str, Iterator[Event]]]:
    """Each run with its events, oldest first; of one run no more is in memory than of all.

    Args:
        namespace: of the jobs and datasets.
        version: of the lineal that tells.
        run: only this one.
        since: this one and those after it.

    Raises:
        UsageError: no such run.
    """
    from lineal.lineage.catalog import Catalog

    with closing(History.open(journal, journal.root / "cache")) as history:
        meant = _meant(history.runs(), run, since)
        if not meant:
            return
        teller = Teller(namespace, root.as_posix(), journal.digest(1), version)
        declared: dict[str, AssetFacts | None] = {}
        with closing(Catalog(journal.root, journal).connect_for_questions()[0]) as catalog:
            for started, ended in meant:
                dependencies = _dependencies(catalog, started.run)
                yield (
                    started.run,
                    teller.run(
                        started, ended, _known(history, started.run, dependencies, declared)
                    ),
                )
                history.forget()


def _meant(
    runs: Sequence[tuple[RunStarted, RunEnded | None]], run: str | None, since: str | None
) -> list[tuple[RunStarted, RunEnded | None]]:
    names = [started.run for started, _ in runs]
    for name in (run, since):
        if name is not None and name not in names:
            raise UsageError(f"no run `{name}`{did_you_mean(name, names)}")
    if run is not None:
        return [runs[names.index(run)]]
    return list(runs[names.index(since) if since is not None else 0 :])


def _known(
    history: History, run: str, dependencies: Dependencies, declared: dict[str, AssetFacts | None]
) -> Iterator[Known]:
    for made in history.run_materializations(run):
        if made.asset not in declared:
            declared[made.asset] = history.asset_facts(made.asset)
        checks = (history.check(fingerprint) for fingerprint in made.checks)
        yield Known(
            made,
            _sources(history, made),
            tuple(check for check in checks if check is not None),
            history.recipe(made.recipe),
            declared[made.asset],
            tuple(dependencies.get(made.id, ())),
        )


def _sources(history: History, made: Materialization) -> dict[str, Materialization]:
    names = dict.fromkeys(used.materialization for used in made.inputs)
    found = {name: history.materialization(name) for name in names}
    return {name: source for name, source in found.items() if source is not None}


def _dependencies(catalog: duckdb.DuckDBPyConnection, run: str) -> Dependencies:
    """What columns depend on, by materialization."""
    answer = catalog.execute(
        """
        select materialization, source_asset, source_name, target_name, type, subtype, masking
        from lineage.column_lineage where run = ? and source_name is not null
        """,
        [run],
    )
    found: Dependencies = {}
    for made, *row in answer.fetchall():
        found.setdefault(made, []).append(Dependency(*row))
    return found
