"""The composition root: a graph with its store, journal, catalog and settings. Wiring only."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lineal
from lineal import planning
from lineal.answers import (
    Answer,
    Explanation,
    Overview,
    RunStory,
    Shown,
    Standing,
    Status,
)
from lineal.asking import Asking
from lineal.assets.asset import Arrival
from lineal.assets.errors import (
    SettingsError,
    StoreError,
    UsageError,
)
from lineal.assets.facts import Facts
from lineal.assets.names import Step
from lineal.assets.plan import Plan
from lineal.assets.records import (
    Acceptance,
    Materialization,
)
from lineal.assets.run import Announcer, Run
from lineal.assets.versions import When
from lineal.definitions import Definitions, load
from lineal.disk import Disk
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from lineal.opening import opened
from lineal.project_models import ProjectModels
from lineal.resources import replaced
from lineal.running import Hearers, Runner
from lineal.settings import Settings, find_root, load_settings
from lineal.snapshot import Snapshot
from lineal.step_logs import StepLog
from lineal.storage.objects import Objects
from lineal.user_code import Echo

if TYPE_CHECKING:
    from lineal.comparing import Compared
    from lineal.fsck import Heard
    from lineal.fsck_report import FsckReport
    from lineal.lineage.compare import RunsDifference
    from lineal.reproduced import Reproduction


def _nothing(made: Plan) -> None:
    """Nobody wants to hear of the plan."""


def open(  # noqa: A001  (`lineal.open`, as `gzip.open`)
    path: str | os.PathLike[str] = ".", *, environment: str | None = None
) -> Project:
    """The project at a folder or above it.

    Args:
        environment: what is current there is looked at and made; else the one that the variable
            LINEAL_ENV names, else `default`.

    Raises:
        SettingsError: there is no project, or its settings are wrong.
        UsageError: no such environment.
    """
    return Project(find_root(Path(path)), environment=environment)


class Project(ProjectModels):
    """A graph with its store, journal, catalog and settings.

    Each call loads the project's code and settings anew, so that an edit between two calls is seen;
    nothing is kept open between them.
    """

    # Of all projects of a process: its modules, its folder and its output are there only once.
    _turn = Definitions.turn

    def __init__(
        self, root: Path, disk: Disk | None = None, environment: str | None = None
    ) -> None:
        self.root = root.resolve()
        self._disk = Disk() if disk is None else disk
        self.settings: Settings = load_settings(self.root, environment=environment)
        self.environment = self.settings.environment.name  # stays, whatever LINEAL_ENV says later
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
        with self._turn:
            self.settings = self._settings_now()
            definitions = load(self.root, self.settings.definitions, self.cache)
            self.warnings = definitions.warnings
            with opened(self.root, self.settings, definitions, self.journal, overrides) as seen:
                yield seen

    def _settings_now(self) -> Settings:
        """The settings as they are written now: a project may stay open for long.

        Raises:
            SettingsError: they are wrong, or name another store than the one that is open.
        """
        found = load_settings(self.root, environment=self.environment)
        if self.root / found.store != self.store:
            raise SettingsError(
                f"the store is now `{found.store}`; this project has `{self.store}` open",
                where=found.origins.get("project.store", str(self.root)),
                advice="open the project again",
            )
        return found

    def history(self) -> History:
        return History.open(self.journal, self.cache, self.environment)

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
            return planning.planned(seen, select, exclude, force, partitions)[0]

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
            return planning.planned(seen, select, exclude, force, partitions)

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
        hearers = Hearers(announcer or Announcer(), _nothing, echo)
        return self._run(lambda seen: planning.planned_look(seen, source), hearers)

    def act(
        self,
        registry: str,
        alias: str,
        announcer: Announcer | None = None,
        planned: Callable[[Plan], None] | None = None,
        echo: Echo | None = None,
        jobs: int | None = None,
    ) -> Run:
        """Run the actions of an alias, and nothing else, for the moves that they have not run for.

        Args:
            announcer, planned, echo, jobs: as for `materialize`.
        """
        hearers = Hearers(announcer or Announcer(), planned or _nothing, echo, jobs=jobs)
        return self._run(lambda seen: planning.planned_actions(seen, registry, alias), hearers)

    @property
    def _version(self) -> str:
        return lineal.__version__

    def _followed_by(self, registry: str, alias: str, echo: Echo | None) -> Run:
        return self.act(registry, alias, echo=echo)

    # ------------------------------------------------------------------------------------ asking

    @property
    def _asking(self) -> Asking:
        return Asking(self.root, self.store, self._disk, self.journal, self.environment, self.look)

    def load(
        self,
        name: str,
        arrival: Arrival = "auto",
        partition: str | None = None,
        at: When | None = None,
    ) -> Any:
        """The current value of an asset or a partition, or of a version of it (`flights@9f3a2c`).

        Of an asset with partitions: all, in the order of their keys, as one table; what is no table
        by partition.

        Args:
            at: as it was current then: a date, its end in UTC, or a time, as text or from datetime.
                `flights@2026-11-01` says the same.

        Raises:
            UsageError: no such asset or version, or nothing was current then.
        """
        return self._asking.load(name, arrival, partition, at)

    def version(self, name: str) -> Materialization:
        """The materialization behind the current version of an asset, or behind `name@prefix`."""
        return self._asking.version(name)

    def path(self, name: str, partition: str | None = None) -> list[Path]:
        """The absolute paths of the objects of the current version, their bytes checked.

        Of an asset with partitions: of all, in the order of their keys.

        Raises:
            IntegrityError: one is gone or damaged.
        """
        return self._asking.path(name, partition)

    def status(self) -> Status:
        """How the whole project stands: its plan, and the last attempts."""
        return self._asking.status()

    def why(self, name: str, partition: str | None = None) -> Explanation | Standing:
        """Why a step is stale or fresh, with all its verdict rests on.

        Of an asset that is made partition by partition: how all of them stand.

        Raises:
            UsageError: no such step.
        """
        return self._asking.why(name, partition)

    def show(
        self, name: str, partition: str | None = None, *, whole: bool = False
    ) -> Shown | Overview:
        """What is known of an asset's version: current, or `name@prefix`.

        Of an asset with partitions: an overview, of the first and the last of them; of all if
        `whole`.
        """
        return self._asking.show(name, partition, whole)

    def diff(
        self,
        first: str,
        second: str | None = None,
        partition: str | None = None,
        *,
        key: Sequence[str] = (),
        rows: int = 5,
    ) -> Compared | RunsDifference:
        """How two versions differ (`flights@9f3a2c`, `flights@2026-11-01`), or two runs.

        Without the second: a version with what is current; what is current with what was before the
        newest run that changed it; a run with the one before.

        Args:
            partition: of both.
            key: columns that tell rows apart; else the declared primary key.
            rows: how many added, removed and changed rows to show, of each at most.

        Raises:
            UsageError: there is no such version or run, or the two can't be compared.
        """
        return self._asking.diff(first, second, partition, key, rows)

    def lineage(
        self,
        name: str,
        partition: str | None = None,
        *,
        down: bool = False,
        columns: bool = False,
        form: str = "tree",
    ) -> str:
        """The exact derivation of a version, up or down, as tree, mermaid, dot or JSON text.

        Of an asset with partitions: of all that are current.
        """
        return self._asking.lineage(name, partition, down=down, columns=columns, form=form)

    def report(self, name: str, partition: str | None = None) -> str:
        """One HTML page about an asset, `name@prefix` or a partition; it needs nothing but itself.

        Raises:
            UsageError: there is no such version.
            IntegrityError: a figure that belongs on it is gone or damaged.
        """
        from lineal.report_page import page
        from lineal.reporting import gathered
        from lineal.storage.objects import Objects

        with closing(self.history()) as history:
            read = Objects(self.store, self._disk).read
            told = gathered(history, self.name, name, partition, read)
        return page(told, lineal.__version__)

    def runs(self) -> list[RunStory]:
        """All runs, oldest first."""
        return self._asking.runs()

    def run(self, name: str) -> RunStory:
        """What one run made, and why.

        Raises:
            UsageError: no such run.
        """
        return self._asking.run(name)

    def code(self, run: str, folder: str | os.PathLike[str]) -> Path:
        """Write the project's code and settings, as a run loaded them, into an empty folder.

        Returns:
            The project's folder, in it: deeper if modules from outside of the project belong to it.

        Raises:
            UsageError: no such run, or the folder is not empty; or nothing was kept of it.
            IntegrityError: what was kept is gone or damaged.
        """
        from lineal.kept_code import lay_out, of_run

        kept = of_run(self.run(run).started)
        return lay_out(kept, Objects(self.store, self._disk), Path(folder).absolute()).root

    def attempt(self, name: str, run: str | None = None, partition: str | None = None) -> StepLog:
        """Whose log `log` tells: of several partitions, of that which was attempted last.

        Raises:
            UsageError: no such step.
        """
        return self._asking.attempt(name, run, partition)

    def log(self, name: str, run: str | None = None, partition: str | None = None) -> str:
        """What a step printed and raised in its last attempt, or in a given run.

        Raises:
            UsageError: no such step.
            IntegrityError: the log is not what was written.
        """
        return self._asking.log(name, run, partition)

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
        return self._asking.follow_log(name, wait, run, partition)

    def sql(self, query: str, at: When | None = None) -> Answer:
        """Ask lineage and tables in SQL, read-only. Every table asset is a view.

        Args:
            at: the tables as they were current then; lineage tables are always as they are now.

        Raises:
            QueryError: the query can't run.
            UsageError: nothing was current then.
        """
        return self._asking.sql(query, at)

    def reproduce(
        self, name: str, *, whole: bool = False, keep: str | os.PathLike[str] | None = None
    ) -> Reproduction:
        """Compute a version again and compare: `delays@v3`, `delays@production`, `model@9f3a2c`.

        From the inputs, the code, the settings and the parameters that are recorded of it, in a
        temporary folder and a process of its own. Nothing is written to the store.

        Args:
            whole: also all that it was computed from, each step from its own recorded inputs.
            keep: an empty folder to do it in, which stays: the code, and what came out.

        Raises:
            UsageError: no such version, or it was not computed; the folder is not empty.
        """
        from lineal.reproduction import Reproducer, workplace

        objects = Objects(self.store, self._disk)
        folder = None if keep is None else Path(keep).resolve()
        with closing(self.history()) as history, workplace(folder) as place:
            version = lineal.__version__
            reproducer = Reproducer(self.root, objects, history, place, version)
            found = reproducer.reproduce(name, whole=whole)
        return replace(found, kept=folder)

    # ----------------------------------------------------------------------------------- upkeep

    def accept(self, name: str, reason: str) -> Acceptance:
        """Record that the code of an asset changed without changing what it means.

        Raises:
            UsageError: nothing to accept.
        """
        with self.look() as seen:
            recipe, told = planning.accepted(seen, name, reason)
            known = seen.history.knows(recipe.digest)
            self.journal.append(told if known else [recipe, *told])
            return told[0]

    def rebuild(self) -> int:
        """Make the catalog anew from the journal; returns the number of its last entry."""
        from lineal.lineage.catalog import Catalog

        return Catalog(self.store, self.journal).rebuild()

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

    def _make_again(self, environment: str, steps: Sequence[Step], force: bool) -> Run | None:
        """Make those of these steps that are still declared, where they are current."""
        own = environment == self.environment
        there = self if own else Project(self.root, self._disk, environment)
        with there.look() as seen:
            if not planning.planned_steps(seen, steps, force)[0].selected:
                return None
        hearers = Hearers(Announcer(), _nothing, None)
        return there._run(lambda seen: planning.planned_steps(seen, steps, force), hearers)
