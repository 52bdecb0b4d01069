"""The composition root: a graph with its store, journal, catalog and settings. Wiring only."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lineal
from lineal.answers import Answer, Explanation, InputNow, RunStory, Shown, Status
from lineal.assets import select as selecting
from lineal.assets.asset import Arrival, CustomFormat
from lineal.assets.choosing import choose
from lineal.assets.errors import (
    IntegrityError,
    SettingsError,
    StoreError,
    UsageError,
    did_you_mean,
)
from lineal.assets.facts import Facts, parameter_texts, parameters_of
from lineal.assets.graph import Graph
from lineal.assets.keys import Keys
from lineal.assets.names import Step, in_partition
from lineal.assets.plan import Plan, PlannedStep, plan
from lineal.assets.records import (
    Acceptance,
    Content,
    Materialization,
)
from lineal.assets.run import Announcer, Run
from lineal.assets.verdicts import PLAINLY_FRESH, Decision
from lineal.definitions import load
from lineal.disk import Disk
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from lineal.packages import Packages
from lineal.provenance import who
from lineal.resources import replaced
from lineal.running import Hearers, Runner
from lineal.settings import Settings, find_root, load_settings
from lineal.snapshot import Snapshot, bind, check_settings, overrides_of
from lineal.step_logs import StepLog, find_log, follow, told_by
from lineal.storage.objects import Objects
from lineal.storage.sources import Observer
from lineal.storage.sql import Queries
from lineal.user_code import Echo

if TYPE_CHECKING:
    from lineal.fsck import Heard
    from lineal.fsck_report import FsckReport


def _nothing(made: Plan) -> None:
    """Nobody wants to hear of the plan."""


def open(path: str | os.PathLike[str] = ".") -> Project:  # noqa: A001  (`lineal.open`, as `gzip.open`)
    """The project at a folder or above it.

    Raises:
        SettingsError: there is no project, or its settings are wrong.
    """
    return Project(find_root(Path(path)))


class Project:
    """A graph with its store, journal, catalog and settings.

    Each call loads the project's code and settings anew, so that an edit between two calls is seen;
    nothing is kept open between them.
    """

    # Of all projects of a process: its modules, its folder and its output are there only once.
    _turn = threading.RLock()

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        self.root = root.resolve()
        self._disk = Disk() if disk is None else disk
        self.settings: Settings = load_settings(self.root)
        self.store: Path = self.root / self.settings.store
        if self.store.exists() and not self.store.is_dir():
            raise StoreError(
                f"`{self.store}` is a file, where the store should be a folder",
                where=str(self.store),
                advice="move it away, or set another `store` in lineal.toml",
            )
        self.journal = Journal(self.store, self._disk, within=self.root)
        self.warnings: tuple[str, ...] = ()  # what the last load wants to be known

    def __repr__(self) -> str:
        return f"<lineal project {self.name} at {self.root}>"

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def cache(self) -> Path:
        return self.store / "cache"

    # --------------------------------------------------------------------------------- planning

    @contextmanager
    def look(self, overrides: Iterable[str] = ()) -> Iterator[Snapshot]:
        """Load the code, bind it, and open the memories; project modules are let go at the end."""
        with self._turn, self._opened(overrides) as seen:
            yield seen

    @contextmanager
    def _opened(self, overrides: Iterable[str]) -> Iterator[Snapshot]:
        self.settings = self._settings_now()
        definitions = load(self.root, self.settings.definitions, self.cache)
        self.warnings = definitions.warnings
        try:
            packages = Packages.look(self.cache)
            duckdb = dict(packages.facts(["duckdb"], [], "exact").packages)["duckdb"]
            queries = Queries(self.cache / "queries.json", duckdb)
            graph = bind(definitions.declared, queries)
            check_settings(self.settings, graph)
            history = self.history()
            try:
                yield Snapshot(
                    root=self.root,
                    settings=self.settings,
                    definitions=definitions,
                    graph=graph,
                    queries=queries,
                    history=history,
                    objects=Objects(self.store, self._disk),
                    observer=Observer(self.root, self.cache / "stat.json", self._disk),
                    packages=packages,
                    overrides=overrides_of(overrides, graph),
                    formats=tuple(d for d in definitions.declared if isinstance(d, CustomFormat)),
                )
            finally:
                history.close()
        finally:
            definitions.close()

    def _settings_now(self) -> Settings:
        """The settings as they are written now: a project may stay open for long.

        Raises:
            SettingsError: they are wrong, or name another store than the one that is open.
        """
        found = load_settings(self.root)
        if self.root / found.store != self.store:
            raise SettingsError(
                f"the store is now `{found.store}`; this project has `{self.store}` open",
                where=found.origins.get("project.store", str(self.root)),
                advice="open the project again",
            )
        return found

    def history(self) -> History:
        return History.open(self.journal, self.cache)

    def plan(
        self,
        *select: str,
        exclude: Sequence[str] = (),
        force: bool = False,
        parameters: Sequence[str] = (),
        partitions: Sequence[str] = (),
    ) -> Plan:
        """What a run would do, and why; nothing runs."""
        with self.look(parameters) as seen:
            return self._plan(seen, select, exclude, force, partitions)[0]

    def _plan(
        self,
        seen: Snapshot,
        select: Sequence[str],
        exclude: Sequence[str],
        force: bool,
        partitions: Sequence[str] = (),
    ) -> tuple[Plan, Facts]:
        chosen = self.chosen(seen, select)
        left_out = self.chosen(seen, exclude) if exclude else set()
        wanted = seen.graph.needed_by(chosen)
        facts = seen.facts(wanted)
        keys = _partitions_of(seen.graph, facts, chosen, partitions) if partitions else {}
        if force:
            facts = _forced(facts, chosen - left_out, keys)
        return plan(seen.graph, facts, keys or chosen, left_out, keys), facts

    def chosen(self, seen: Snapshot, words: Sequence[str]) -> set[str]:
        """The assets that selections name.

        Raises:
            SelectionError: one that names nothing.
        """
        for word in words:
            if not isinstance(word, str):
                raise UsageError(
                    f"a selection is a text, not a {type(word).__name__}",
                    advice='name each by itself: plan("model", "raw/")',
                )

        def stale() -> list[str]:
            everything = plan(seen.graph, seen.facts(seen.graph.order), seen.graph.order)
            return [s.maker for s in everything.steps if s.verdict.name != "fresh"]

        def models() -> list[str]:
            found = seen.history.currents().items()
            return [
                seen.graph.maker[step.asset]
                for step, made in found
                if made.content is not None
                and made.content.format in ("joblib", "pickle")
                and step.asset in seen.graph.maker
            ]

        return selecting.select(seen.graph, words, stale=stale, models=models)

    # ------------------------------------------------------------------------------------ making

    def materialize(
        self,
        *select: str,
        exclude: Sequence[str] = (),
        force: bool = False,
        parameters: Sequence[str] = (),
        announcer: Announcer | None = None,
        planned: Callable[[Plan], None] | None = None,
        echo: Echo | None = None,
        debugger: bool = False,
        jobs: int | None = None,
        partitions: Sequence[str] = (),
        resources: Mapping[str, Any] | None = None,
    ) -> Run:
        """Make what is selected and stale, with all it needs.

        Args:
            select: selections; none for everything.
            exclude: selections to leave as they are.
            force: make the selected assets whatever their verdict.
            parameters: `"asset.name=value"`, for this run.
            announcer: hears of every step; planned: hears of the plan before the first.
            echo: gets what steps print, as (step, text).
            debugger: open pdb where a step raises.
            jobs: how many steps run at once; else as the settings say.
            partitions: keys, or ranges of them (`2024-01..2024-06`); none for all.
            resources: objects that stand in for resources, by name, as in tests. What is made with
                them is never taken for what the real ones would give.

        Raises:
            LinealError: what is known to be wrong before the first step. What goes wrong in a step
                is in the run that comes back.
        """
        began = time.perf_counter()

        if resources and jobs is not None and jobs > 1:
            raise UsageError(
                f"`resources=` stands in within this process, and jobs={jobs} are others",
                advice="leave out one of them",
            )

        def planned_now(seen: Snapshot) -> tuple[Plan, Facts]:
            if resources:
                seen.replaced = replaced(seen.graph, resources).tokens
            return self._plan(seen, select, exclude, force, partitions)

        hearers = Hearers(
            announcer or Announcer(),
            planned or _nothing,
            echo,
            debugger,
            resources or {},
            1 if resources or debugger else jobs,
        )
        run = self._run(planned_now, hearers, parameters)
        return replace(run, seconds=time.perf_counter() - began)

    def _run(
        self,
        planned_now: Callable[[Snapshot], tuple[Plan, Facts]],
        hearers: Hearers,
        parameters: Sequence[str] = (),
    ) -> Run:
        with self._turn:  # before the lock under which runs start: who waits for a turn holds none
            return self._runner(lambda: self.look(parameters)).carry_out(planned_now, hearers)

    def _runner(self, look: Callable[[], AbstractContextManager[Snapshot]]) -> Runner:
        return Runner(self.root, self.journal, look, lambda: lineal.__version__)

    def observe(
        self, source: str, announcer: Announcer | None = None, echo: Echo | None = None
    ) -> Run:
        """Look at a source again: fetch it, or read its files; earlier observations are kept."""

        def planned_now(seen: Snapshot) -> tuple[Plan, Facts]:
            chosen = self.chosen(seen, [source])
            for name in chosen:
                kind = seen.graph.assets[name].kind
                if kind not in ("files", "fetch"):
                    raise UsageError(
                        f"`{name}` is no source: it is computed",
                        advice=f"make it with `lineal materialize {name}`",
                    )
            fetched = {n for n in chosen if seen.graph.assets[n].kind == "fetch"}
            facts = _forced(seen.facts(chosen), fetched, {})
            return plan(seen.graph, facts, chosen), facts

        return self._run(planned_now, Hearers(announcer or Announcer(), _nothing, echo))

    # ------------------------------------------------------------------------------------ asking

    def load(self, name: str, arrival: Arrival = "auto", partition: str | None = None) -> Any:
        """The current value of an asset or a partition, or of a version of it (`flights@9f3a2c`).

        Of an asset with partitions: all, in the order of their keys, as one table; what is no table
        by partition.

        Raises:
            UsageError: no such asset or version.
        """
        parts = self._partitions(name, partition)
        if parts:
            if all(content.format == "parquet" for content in parts.values()):
                return self._vault().load(list(parts.values()), arrival)
            return {key: self.load(name, arrival, key) for key in parts}
        name = in_partition(name, partition)
        made = self.version(name)
        if made.content is None:
            raise UsageError(f"`{name}` has no content")
        if made.content.format == "files":
            paths = self.path(name)
            return paths if len(paths) != 1 else paths[0]
        form = made.content.format
        if form not in ("joblib", "pickle") and not form.startswith("custom:"):
            return self._vault().load(made.content, arrival)
        with self.look() as seen:  # a class of the project is found through its own finder
            return self._vault(seen.formats).load(made.content, arrival)

    def _partitions(self, name: str, partition: str | None) -> dict[str, Content]:
        """The current content of each partition of an asset; of none if one of them is meant."""
        if partition is not None or "@" in name:
            return {}
        history = self.history()
        try:
            keys = sorted(key for key in history.partitions(name) if key is not None)
            found = {key: history.current(name, key) for key in keys}
        finally:
            history.close()
        return {key: m.content for key, m in found.items() if m is not None and m.content}

    def _readable(self, content: Content | None) -> Any:
        """A table or plain value to describe; None for what must not be opened just to be shown."""
        if content is None or content.format not in ("parquet", "json"):
            return None
        return self._vault().load(content, "auto")

    def _vault(self, formats: Sequence[CustomFormat] = ()) -> Any:
        from lineal.storage.vault import Vault

        return Vault(Objects(self.store, self._disk), customs=formats)

    def version(self, name: str) -> Materialization:
        """The materialization behind the current version of an asset, or behind `name@prefix`."""
        from lineal.lineage.questions import resolve_version

        history = self.history()
        try:
            return resolve_version(history, name)
        finally:
            history.close()

    def path(self, name: str, partition: str | None = None) -> list[Path]:
        """The absolute paths of the objects of the current version, their bytes checked.

        Of an asset with partitions: of all, in the order of their keys.

        Raises:
            IntegrityError: one is gone or damaged.
        """
        parts = self._partitions(name, partition)
        if parts:
            return [path for key in parts for path in self.path(name, key)]
        made = self.version(in_partition(name, partition))
        objects = Objects(self.store, self._disk)
        content = made.content
        if content is None:
            return []
        if content.format == "files":
            return self._files_of(made)
        return [objects.intact(o).resolve() for o in content.objects]

    def _files_of(self, made: Materialization) -> list[Path]:
        """The files of a version that the store only refers to.

        Raises:
            IntegrityError: one no longer holds what this version was made of.
        """
        observer = Observer(self.root, self.cache / "stat.json", self._disk)
        for file in made.files:
            if observer.digest(file.path) != file.digest:
                raise IntegrityError(
                    f"`{file.path}` no longer holds what `{made.asset}` was made of",
                    where=str(self.root / file.path),
                    advice=f"take in what it holds now with `lineal materialize {made.asset}`; "
                    "of files that are read as paths, older versions are not kept",
                )
        return [self.root / file.path for file in made.files]

    def status(self) -> Status:
        """How the whole project stands: its plan, and the last attempts."""
        with self.look() as seen:
            facts = seen.facts(seen.graph.order)
            found = plan(seen.graph, facts, seen.graph.order)
            lasts = seen.history.lasts()
            failing = frozenset(
                step
                for step in seen.history.all_tried()  # what failed is never current
                if lasts[step].outcome == "failed" and _is_as_it_was(lasts[step], seen.graph, facts)
            )
            return Status(found, lasts, seen.history.currents(), self._usage(), failing)

    def _usage(self) -> tuple[int, int]:
        """(objects, bytes) in the store."""
        count = size = 0
        for folder in (self.store / "objects").glob("*"):
            with os.scandir(folder) as entries:
                for entry in entries:
                    count += 1
                    size += entry.stat().st_size
        return count, size

    def why(self, name: str, partition: str | None = None) -> Explanation:
        """Why a step is stale or fresh, with all its verdict rests on.

        Raises:
            UsageError: no such step.
        """
        with self.look() as seen:
            (asset,) = self.chosen(seen, [name])
            output = name if name in seen.graph.maker else seen.graph.assets[asset].outputs[0]
            facts = seen.facts(seen.graph.needed_by([asset]))
            found = plan(seen.graph, facts, [asset])
            step = _step_of(found, Step(output, partition))
            decision = found.decisions[Step(asset, partition)]
            if decision is PLAINLY_FRESH:  # seen with many others: one alone is told in full
                alone = plan(seen.graph, facts, [asset], partitions={asset: [partition]})
                decision = alone.decisions[Step(asset, partition)]
            current = seen.history.current(output, partition)
            last = seen.history.last(output, partition)
            made = current or (last if last is not None and last.content is not None else None)
            return Explanation(
                step=step,
                decision=decision,
                recipe=facts.recipes[asset],
                environment=facts.environments[asset],
                parameters=parameter_texts(facts.parameters[asset]),
                made=made,
                last=last,
                inputs=tuple(self._inputs(decision, seen, made)),
                upstream=tuple(s for s in found.steps if s.maker != asset),
            )

    def _inputs(
        self, decision: Decision, seen: Snapshot, made: Materialization | None
    ) -> Iterator[InputNow]:
        before = {(u.parameter, u.partition): u for u in made.inputs} if made else {}
        for used in decision.used:
            source = seen.history.materialization(used.materialization)
            old = before.get((used.parameter, used.partition))
            past = seen.history.materialization(old.materialization) if old is not None else None
            yield InputNow(
                used,
                source.content if source is not None else None,
                past.content if past is not None else None,
            )

    def show(self, name: str, partition: str | None = None) -> Shown:
        """What is known of an asset's version: current, or `name@prefix`."""
        made = self.version(in_partition(name, partition))
        history = self.history()
        try:
            results = [history.check(fingerprint) for fingerprint in made.checks]
            told = history.asset_facts(made.asset)
            versions = [m for m in history.versions(made.asset) if m.partition == made.partition]
            current = history.current(made.asset, made.partition)
            readers = {
                m.asset
                for m in history.currents().values()
                if m.asset != made.asset and any(u.asset == made.asset for u in m.inputs)
            }
        finally:
            history.close()
        return Shown(
            made=made,
            told=told,
            checks=tuple(r for r in results if r is not None),
            versions=tuple(versions),
            current=current.id if current is not None else None,
            feeds=tuple(sorted(readers)),
            value=self._readable(made.content),
        )

    def lineage(
        self, name: str, *, down: bool = False, columns: bool = False, form: str = "tree"
    ) -> str:
        """The exact derivation of a version, up or down, as tree, mermaid, dot or JSON text."""
        import json

        from lineal.lineage import tree
        from lineal.lineage.questions import resolve_version

        history = self.history()
        try:
            made = resolve_version(history, name)
            if not down:
                found = tree.upstream(history, made)
            elif "@" in name:
                found = tree.downstream(history, made)
            else:
                found = tree.resting_on(history, made)
        finally:
            history.close()
        if form == "json":
            return json.dumps(tree.to_json(found), indent=2, ensure_ascii=False)
        if form == "tree":
            return tree.to_tree(found, columns=columns)
        return {"mermaid": tree.to_mermaid, "dot": tree.to_dot}[form](found)

    def runs(self) -> list[RunStory]:
        """All runs, oldest first."""
        history = self.history()
        try:
            return [RunStory(started, ended) for started, ended in history.runs()]
        finally:
            history.close()

    def run(self, name: str) -> RunStory:
        """What one run made, and why.

        Raises:
            UsageError: no such run.
        """
        history = self.history()
        try:
            runs = {started.run: (started, ended) for started, ended in history.runs()}
            if name not in runs:
                raise UsageError(f"no run `{name}`{did_you_mean(name, runs)}")
            return RunStory(*runs[name], tuple(history.run_materializations(name)))
        finally:
            history.close()

    def accept(self, name: str, reason: str) -> Acceptance:
        """Record that the code of an asset changed without changing what it means.

        Raises:
            UsageError: nothing to accept.
        """
        with self.look() as seen:
            (asset,) = self.chosen(seen, [name])
            declared = seen.graph.assets[asset]
            recipe = seen.recipe(declared)
            current = seen.history.current(declared.outputs[0], None)
            if current is None:
                raise UsageError(f"`{name}` was never made: there is nothing to be equal to")
            if current.recipe == recipe.digest:
                raise UsageError(f"the code of `{name}` is what it was: nothing to accept")
            told = Acceptance(asset, current.recipe, recipe.digest, reason, who(), time.time())
            known = seen.history.knows(recipe.digest)
            self.journal.append([told] if known else [recipe, told])
            return told

    def rebuild(self) -> int:
        """Make the catalog anew from the journal; returns the number of its last entry."""
        from lineal.lineage.catalog import Catalog

        return Catalog(self.store, self.journal).rebuild()

    def log(self, name: str, run: str | None = None, partition: str | None = None) -> str:
        """What a step printed and raised in its last attempt, or in a given run.

        Raises:
            UsageError: no such step.
            IntegrityError: the log is not what was written.
        """
        return told_by(self._log_of(name, run, partition))

    def follow_log(
        self,
        name: str,
        wait: Callable[[float], bool],
        run: str | None = None,
        partition: str | None = None,
    ) -> Iterator[str]:
        """The same, and what is added until the step has ended; `wait` returns true to stop.

        Raises:
            UsageError: no such step.
            IntegrityError: the log is not what was written.
        """
        return follow(self._log_of(name, run, partition), self.journal, self.history, wait)

    def _log_of(self, name: str, run: str | None, partition: str | None) -> StepLog:
        history = self.history()
        try:
            return find_log(self.store, history, name, partition, run)
        finally:
            history.close()

    def sql(self, query: str) -> Answer:
        """Ask lineage and tables in SQL, read-only. Every table asset is a view.

        Raises:
            QueryError: the query can't run.
        """
        from lineal.lineage.catalog import Catalog
        from lineal.lineage.questions import ask

        history = self.history()
        objects = Objects(self.store, self._disk)
        try:
            catalog = Catalog(self.store, self.journal)
            columns, rows, note = ask(catalog, history, objects.intact, query, objects.path)
        finally:
            history.close()
        return Answer(tuple(columns), tuple(rows), note)

    def fsck(
        self, level: str = "catalog", repair: bool = False, heard: Heard | None = None
    ) -> FsckReport:
        """Look the whole store over; with `repair`, mend what can be mended and look again.

        Args:
            level: how far: journal, objects, bytes, content or catalog, each with those before it.
            repair: move what is damaged to `trash/`, and make what is current and lost again.
            heard: hears what is looked at, how many so far, of how many.

        Raises:
            UsageError: no such level.
            IntegrityError: a newer lineal wrote the store.
        """
        from lineal.fsck import look
        from lineal.repair import repair as repaired

        found = look(self.journal, level, heard)
        if not repair:
            return found
        return repaired(self.journal, found, self._make_again, time.time(), heard)

    def _make_again(self, outputs: Sequence[str], force: bool) -> Run | None:
        """Make those of these assets that are still declared."""
        with self.look() as seen:
            known = [name for name in outputs if name in seen.graph.maker]
        return self.materialize(*known, force=force) if known else None


def _partitions_of(
    graph: Graph, facts: Facts, chosen: Iterable[str], words: Sequence[str]
) -> dict[str, Sequence[str | None]]:
    """The partitions that words name, of each chosen asset that has such.

    Raises:
        UsageError: none has.
    """
    found: dict[str, Sequence[str | None]] = {}
    refused: UsageError | None = None
    for name in (name for name in graph.order if name in chosen):
        keys = facts.slices.units(name)
        if not isinstance(keys, Keys):
            continue
        try:
            found[name] = choose(words, keys, name)
        except UsageError as error:
            refused = refused or error
    if not found:
        nothing = UsageError(
            "nothing that is selected has partitions that are made one by one",
            advice="leave --partition out",
        )
        raise refused or nothing
    return found


def _forced(facts: Facts, names: Iterable[str], keys: Mapping[str, Sequence[str | None]]) -> Facts:
    """The same facts, and that these are to be made whatever is known of them."""
    units = {name: keys.get(name) or facts.slices.units(name) for name in names}
    return replace(facts, forced=units)


def _step_of(found: Plan, wanted: Step) -> PlannedStep:
    """The step of a plan.

    Raises:
        UsageError: there is none, or only its partitions are.
    """
    for step in found.steps:
        if step.step == wanted:
            return step
    asset, partition = wanted
    keys = [s.step.partition for s in found.steps if s.step.asset == asset and s.step.partition]
    if not keys:
        raise UsageError(f"`{asset}` has no partitions", advice="leave the partition out")
    if partition is None:
        told, near = f"`{asset}` has {len(keys)} partitions", ""
    else:
        told, near = f"`{asset}` has no partition `{partition}`", did_you_mean(partition, keys)
    raise UsageError(told + near, advice=f"name one, such as --partition {keys[-1]}")


def _is_as_it_was(last: Materialization, graph: Graph, facts: Facts) -> bool:
    """Would the same code run again with the same parameters?"""
    maker = graph.maker.get(last.asset)
    if maker is None or last.recipe != facts.recipes[maker].digest:
        return False
    return last.parameters == parameter_texts(
        parameters_of(graph.assets[maker], facts, last.partition)
    )
