"""A project in memory: declarations and what is known of them, to be planned, run and looked at."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lineal.assets.asset import Asset, Check, Files, Input, Query, Where
from lineal.assets.digest import digest_of
from lineal.assets.executors import Executor, Inline
from lineal.assets.facts import CheckId, Facts
from lineal.assets.graph import Graph
from lineal.assets.materialize import Surroundings, materialize
from lineal.assets.names import Step
from lineal.assets.perform import Workshop
from lineal.assets.plan import Plan, plan
from lineal.assets.records import EnvironmentFacts, Observation, Reason, Recipe, RunStarted
from lineal.assets.registries import Registries
from lineal.assets.run import Run
from lineal.assets.verdicts import Verdict
from tests.fakes import (
    Listener,
    MemoryFiles,
    MemoryJournal,
    MemoryPast,
    MemoryRegistrar,
    MemoryVault,
    NoLocks,
    PlainCalls,
    Ticks,
)

HERE = Where("pipeline.py", 1)
ENVIRONMENT = EnvironmentFacts("environment", "3.12", (), ())


def made(
    name: str,
    function: Callable[..., Any],
    inputs: Mapping[str, str | tuple[str, ...]] | None = None,
    **options: Any,
) -> Asset:
    """A Python asset; an input maps a parameter to (asset, columns read…)."""
    found = []
    for parameter, read in (inputs or {}).items():
        asset, *columns = (read,) if isinstance(read, str) else read
        found.append(Input(parameter, asset, columns=tuple(columns) or None))
    outputs = options.pop("outputs", (name,))
    return Asset(name, "python", HERE, outputs, function=function, inputs=tuple(found), **options)


def queried(name: str, *inputs: str | Input, **options: Any) -> Asset:
    """A SQL asset whose text is its name; what it does is set in `Workbench.files.queries`."""
    given = [i if isinstance(i, Input) else Input(i, i, "arrow") for i in inputs]
    query = Query(name, HERE)
    return Asset(name, "sql", HERE, (name,), query=query, inputs=tuple(given), **options)


def from_files(name: str) -> Asset:
    """A file source; what its files hold is set in `Workbench.files.tables`."""
    files = Files(f"{name}.csv", "/data")
    return Asset(name, "files", HERE, (name,), files=files)


def judged(
    asset: str,
    function: Callable[..., Any],
    name: str = "good",
    parameters: Mapping[str, Any] | None = None,
    **others: str,
) -> Check:
    """A check whose function takes the asset as `value`, and other assets by parameter."""
    inputs = (Input("value", asset), *(Input(p, n) for p, n in others.items()))
    return Check(
        name, HERE, function=function, asset=asset, inputs=inputs, parameters=parameters or {}
    )


class Workbench:
    """Declarations with their recipes (`v1` unless set), over ports in memory."""

    def __init__(self, *declared: Asset | Check):
        self.declared: list[Asset | Check] = list(declared)
        self.vault, self.journal = MemoryVault(), MemoryJournal()
        self.files = MemoryFiles(self.vault)
        self.clock = Ticks()
        self.calls = PlainCalls()
        self.told = Listener()
        self.locks = NoLocks()
        self.opened = self.journal.past()  # as the last facts see it
        self.recipes: dict[str, Recipe] = {}
        self.check_recipes: dict[str, Recipe] = {}
        self.environments: dict[str, EnvironmentFacts] = {}
        self.parameters: dict[str, dict[str, Any]] = {}
        self.digests: dict[str, str] = {}  # of project files, by path
        self.strict = False
        self.executor: Callable[[Workshop], Executor] = Inline
        self.stopping = False
        self.pause = 0.0  # before a step is tried again
        self.pools: dict[str, int] = {}
        self.environment, self.promotes = "default", True

    @property
    def graph(self) -> Graph:
        return Graph.build(self.declared)

    def replace(self, *declared: Asset | Check) -> None:
        """Declare these instead of those of the same names."""
        names = {d.name for d in declared}
        self.declared = [d for d in self.declared if d.name not in names] + list(declared)

    def facts(self, graph: Graph, forced: Iterable[str] = ()) -> Facts:
        self.opened = self.journal.past()
        checks = [CheckId(o, c.name) for o, found in graph.checks.items() for c in found]
        plain = {name: Recipe(digest_of((name, "v1"))) for name in graph.assets}
        return Facts(
            past=self.opened,
            recipes={**plain, **self.recipes},
            check_recipes={i: self.check_recipes.get(i.check, Recipe("check")) for i in checks},
            environments={**dict.fromkeys(graph.assets, ENVIRONMENT), **self.environments},
            check_environments=dict.fromkeys(checks, ENVIRONMENT),
            parameters=self.parameters,
            observations={
                Step(name): self.files.observe(name, asset.files)
                for name, asset in graph.assets.items()
                if asset.files is not None
            },
            present=self.vault.holds,
            file_digest=self.digests.get,
            now=self.clock(),
            forced=dict.fromkeys(forced, (None,)),
            sights=self.files.sights,
            registries=Registries().after(self.journal.facts),
            environment=self.environment,
            promotes=self.promotes,
        )

    def around(self, past: MemoryPast) -> Surroundings:
        return Surroundings(
            workshop=Workshop(
                self.vault,
                self.files,
                self.calls,
                scratch=lambda: "/scratch",
                as_path=str,
                open=lambda resource, parameters: resource(),
                known_result=lambda _: None,
                limited=lambda seconds, step: contextlib.nullcontext(),
            ),
            executor=self.executor,
            journal=self.journal,
            observer=self.files,
            observe=self._observe,
            clock=self.clock,
            announcer=self.told,
            locks=self.locks,
            start=lambda: self.journal.start_run(
                lambda run: [
                    RunStarted(run, "default", "me", "here", (), self.clock(), "3.12", "1")
                ]
            ),
            made_meanwhile=past.made_meanwhile,
            paths=lambda seen: [f.path for f in seen.files],
            log=str,
            file_digest=self.digests.get,
            pause=lambda retry, error, number: self.pause,
            stopping=lambda: self.stopping,
            registrar=lambda: MemoryRegistrar(self.journal),
            who=lambda: "ada",
            pools=self.pools,
            strict=self.strict,
        )

    def _observe(self, step: Step) -> Observation:
        files = self.graph.assets[step.asset].files
        assert files is not None
        return self.files.observe(step.asset, files)

    def _opening(self, run: str) -> list[RunStarted]:
        return [RunStarted(run, "default", "me", "here", (), self.clock(), "3.12", "1")]

    def planned(
        self,
        selected: Iterable[str] | None = None,
        excluded: Iterable[str] = (),
        forced: Iterable[str] = (),
    ) -> tuple[Graph, Plan, Facts]:
        graph = self.graph
        facts = self.facts(graph, forced)
        wanted = graph.assets if selected is None else selected
        return graph, plan(graph, facts, wanted, excluded), facts

    def run(
        self,
        selected: Iterable[str] | None = None,
        excluded: Iterable[str] = (),
        forced: Iterable[str] = (),
    ) -> Run:
        return self.carry_out(*self.planned(selected, excluded, forced))

    def carry_out(self, graph: Graph, planned: Plan, facts: Facts) -> Run:
        return materialize(graph, planned, facts, self.around(self.opened))

    def verdicts(self, **options: Any) -> dict[str, Verdict]:
        return {s.step.asset: s.verdict for s in self.planned(**options)[1].steps}

    def reasons(self, asset: str, **options: Any) -> list[Reason]:
        """Why a step is stale; nothing if it is not."""
        return list(getattr(self.verdicts(**options)[asset], "reasons", ()))

    def outcomes(self, **options: Any) -> dict[str, str]:
        return {s.step.asset: s.outcome for s in self.run(**options).steps}

    def current(self, asset: str) -> Any:
        """The value that is current of an asset; None if there is none."""
        found = self.journal.past().current(asset, None)
        return None if found is None or found.content is None else self.shown(found.content)

    def shown(self, content: Any) -> Any:
        return self.vault.load(content, "auto")
