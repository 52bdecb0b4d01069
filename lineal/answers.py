"""What a project answers when it is asked: values that show themselves, for people and programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from lineal.assets.names import Step
from lineal.assets.notebook import as_text
from lineal.assets.plan import Plan, PlannedStep
from lineal.assets.records import (
    AssetFacts,
    CheckResult,
    Content,
    Decided,
    EnvironmentFacts,
    Materialization,
    Recipe,
    Retirement,
    RunEnded,
    RunStarted,
    Used,
)
from lineal.assets.verdicts import Decision


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
