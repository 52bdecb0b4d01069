"""What a project answers when it is asked: values that show themselves, for people and programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from lineal.assets.errors import LinealError
from lineal.assets.names import Step
from lineal.assets.notebook import as_text
from lineal.assets.plan import Plan, PlannedStep
from lineal.assets.records import (
    AssetFacts,
    CheckResult,
    Content,
    Decided,
    EnvironmentFacts,
    Hold,
    Materialization,
    Promotion,
    Reason,
    Recipe,
    Registered,
    Retirement,
    RunEnded,
    RunStarted,
    Used,
)
from lineal.assets.run import Run
from lineal.assets.verdicts import Decision


class ModelStanding(NamedTuple):
    """A registry as `lineal status` tells it.

    Attributes:
        registered, production: what is in production, and the move that made it so.
        score: the metric that its gate compared, or the first that was recorded of it.
        closed: candidates that a gate turned away since.
    """

    registry: str
    registered: Registered | None
    production: Promotion | None
    score: tuple[str, float] | None
    hold: Hold | None
    closed: int


@dataclass(frozen=True, slots=True, repr=False)
class Status:
    """How the whole project stands.

    Attributes:
        lasts: the last attempts that failed.
        currents: what is shown of steps that are no partitions.
    """

    plan: Plan
    lasts: Mapping[Step, Materialization]
    currents: Mapping[Step, Materialization]
    usage: tuple[int, int]  # objects, bytes
    failing: frozenset[Step] = frozenset()  # failed last time, and would run as they did
    models: tuple[ModelStanding, ...] = ()

    def __repr__(self) -> str:
        return repr(self.plan).replace("Plan: ", "Status: ", 1)

    def _repr_html_(self) -> str:
        return self.plan._repr_html_().replace("Plan: ", "Status: ", 1)


class InputNow(NamedTuple):
    """An input as it is read now: what is read, its content, and the content read last time.

    `doubt`: why a query reads all columns of it.
    """

    used: Used
    content: Content | None
    before: Content | None
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that a verdict rests on."""

    step: PlannedStep
    decision: Decision
    recipe: Recipe
    environment: EnvironmentFacts
    parameters: tuple[tuple[str, str], ...]
    made: Materialization | None  # what it is compared with
    last: Materialization | None  # the last attempt
    inputs: tuple[InputNow, ...]
    upstream: tuple[PlannedStep, ...]
    part: str | None = None  # the partition that was asked for, if all are made at once
    decided: Decided | None = None  # what a gate decided last on the scores at hand


@dataclass(frozen=True, slots=True)
class Standing:
    """How the partitions of an asset stand, in their order."""

    asset: str
    steps: tuple[PlannedStep, ...]
    retired: tuple[Retirement, ...]  # those that the next run takes out


@dataclass(frozen=True, slots=True)
class Shown:
    """A version as `lineal show` describes it.

    Attributes:
        asked: was a version asked for, and not what is current now?
        registered: the names it has in registries, `delays@v3` and `delays@production`.
    """

    made: Materialization
    told: AssetFacts | None
    checks: tuple[CheckResult, ...]
    versions: tuple[Materialization, ...]
    current: str | None
    feeds: tuple[str, ...]
    value: Any
    asked: bool = False
    decided: Decided | None = None  # of the scores of a gate: what it made of them last
    registered: tuple[str, ...] = ()


class PartitionShown(NamedTuple):
    """A partition of an asset: what is current of it, and how it was judged."""

    key: str
    made: Materialization
    checks: tuple[CheckResult, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """An asset with partitions as `lineal show` describes it.

    Attributes:
        keys: of all partitions, in order.
        parts: those that are described; of very many the first and the last.
        rows: of all; None if some are no tables, or there are too many to count.
        newest: what was made last; `value` is it.
        retired: partitions that were current and are no more, oldest first.
    """

    asset: str
    told: AssetFacts | None
    keys: tuple[str, ...]
    parts: tuple[PartitionShown, ...]
    rows: int | None
    bytes: int
    newest: Materialization | None
    value: Any
    feeds: tuple[str, ...]
    retired: tuple[Retirement, ...]


@dataclass(frozen=True, slots=True)
class RunStory:
    """A run: how it began and ended, and what it did."""

    started: RunStarted
    ended: RunEnded | None
    made: tuple[Materialization, ...] = ()
    decided: tuple[Decided, ...] = ()  # by gates, in their order


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """The answer to a query: columns, rows, and a note when it came from a private copy."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    note: str | None = None

    def __repr__(self) -> str:
        most = 20
        more = f", the first {most}" if len(self.rows) > most else ""
        shown = [[str(value) for value in row] for row in self.rows[:most]]
        title = f"{len(self.rows)} rows{more}   (.df() is a pandas frame)"
        return as_text(title, self.columns, [list(self.columns), *shown])

    def df(self) -> Any:
        """The answer as a pandas frame."""
        import pandas as pd

        return pd.DataFrame(list(self.rows), columns=list(self.columns))

    def _repr_html_(self) -> str:
        return str(self.df()._repr_html_())


# ------------------------------------------------------------------------------------------ models


@dataclass(frozen=True, slots=True, repr=False)
class ModelVersion:
    """A registered version of a model.

    Attributes:
        made: the materialization that has the number; None if nothing is recorded of it any more.
        trained: what computed its bytes: another if it was chosen (`best_of`) or taken over.
        aliases: those that name it now.
        withdrawn: the rollback by which it was taken back.
        run: in which it was trained.
        metrics: as its newest decision and its training recorded them.
        rows: of the largest table that its training read; None if it read none.
        partitions: of what it was trained on, as near as there are some, in order.
    """

    registered: Registered
    made: Materialization | None
    trained: Materialization | None
    aliases: tuple[str, ...]
    withdrawn: Promotion | None
    run: RunStarted | None
    metrics: Mapping[str, float]
    rows: int | None
    partitions: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.registered.registry}@v{self.registered.version}"

    @property
    def tags(self) -> tuple[str, ...]:
        return self.registered.tags

    def __repr__(self) -> str:
        told = [*self.aliases, *(["withdrawn"] if self.withdrawn else [])]
        return f"<{' '.join([self.name, *told])}>"


@dataclass(frozen=True, slots=True, repr=False)
class RegistryShown:
    """A registry as `lineal models` lists it.

    Attributes:
        versions: newest first.
        metric: by which its versions are told apart: of its gates, else of its models.
        closed: candidates that a gate turned away since `production` moved last.
    """

    name: str
    versions: tuple[ModelVersion, ...]
    aliases: Mapping[str, Promotion]
    hold: Hold | None
    metric: str
    closed: int

    def __repr__(self) -> str:
        rows = [
            [
                f"v{v.registered.version}",
                ", ".join(v.aliases),
                f"{v.metrics[self.metric]:.4g}" if self.metric in v.metrics else "",
                f"{v.rows:,}" if v.rows is not None else "",
                "withdrawn" if v.withdrawn else "",
            ]
            for v in self.versions
        ]
        columns = ("version", "aliases", self.metric or "metric", "rows", "")
        return as_text(self.name, columns, [list(columns), *rows])


@dataclass(frozen=True, slots=True, repr=False)
class Models:
    """All registries, by name."""

    registries: tuple[RegistryShown, ...]

    def __iter__(self) -> Iterator[RegistryShown]:
        return iter(self.registries)

    def __len__(self) -> int:
        return len(self.registries)

    def __repr__(self) -> str:
        return "\n\n".join(map(repr, self.registries)) or "no model is registered"


class TrainingFile(NamedTuple):
    """A file that a model rests on, as it was; what was fetched has no path.

    `rows`: of the table read from it, if it was read alone; `columns`: of the source.
    """

    asset: str
    partition: str | None
    path: str | None
    digest: str
    bytes: int
    rows: int | None
    materialization: str


class InputRead(NamedTuple):
    """What the training read of one asset: `columns` of `known`, none if it is no table.

    `value` is that of a small plain value, such as the best parameters of a study.
    """

    parameter: str
    asset: str
    partitions: tuple[str, ...]
    rows: int | None
    columns: tuple[str, ...]
    known: int
    value: Any = None


@dataclass(frozen=True, slots=True, repr=False)
class ModelShown:
    """A registered version, with all that is known of it.

    Attributes:
        moves: every move of an alias to this version or away from it, oldest first.
        decisions: what gates decided of its content, oldest first.
        files: the sources' files it was in fact made of, by asset and path.
        inputs: what its training read.
        code: the recipe of its training; steps: of every asset on the way, the recipes.
    """

    version: ModelVersion
    moves: tuple[Promotion, ...]
    decisions: tuple[Decided, ...]
    files: tuple[TrainingFile, ...]
    inputs: tuple[InputRead, ...]
    code: Recipe | None
    steps: Mapping[str, Recipe]
    environment: EnvironmentFacts | None

    @property
    def registered(self) -> Registered:
        return self.version.registered

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        return self.version.trained.parameters if self.version.trained is not None else ()

    def __repr__(self) -> str:
        return repr(self.version)


@dataclass(frozen=True, slots=True, repr=False)
class ModelsDifference:
    """How two registered versions differ.

    Attributes:
        made: what differs in how each asset on the way was made, by asset.
        added, removed: files that only one of them rests on; changed: (before, after) of one path.
    """

    before: ModelShown
    after: ModelShown
    made: Mapping[str, tuple[Reason, ...]]
    added: tuple[TrainingFile, ...]
    removed: tuple[TrainingFile, ...]
    changed: tuple[tuple[TrainingFile, TrainingFile], ...]

    @property
    def same(self) -> bool:
        return self.before.registered.content == self.after.registered.content

    def __repr__(self) -> str:
        files = f"{len(self.added):,} added, {len(self.removed):,} removed"
        return (
            f"<{self.before.version.name} → {self.after.version.name}: files: {files}, "
            f"{len(self.changed):,} changed; {len(self.made):,} made otherwise>"
        )


@dataclass(frozen=True, slots=True, repr=False)
class Moved:
    """What came of a move by hand.

    Attributes:
        is_new: the version got its number with it.
        actions: the run of what follows promotions; None if there was nothing to run.
        error: why nothing could be run after it. The move stands in any case.
    """

    promotion: Promotion
    registered: Registered
    is_new: bool
    actions: Run | None = None
    error: LinealError | None = None

    @property
    def ok(self) -> bool:
        done = self.actions is None or self.actions.outcome == "done"
        return done and self.error is None

    def __repr__(self) -> str:
        move = self.promotion
        before = f"v{move.previous} → " if move.previous is not None else ""
        return f"<{move.registry}@{move.alias}: {before}v{move.version}>"
