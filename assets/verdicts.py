"""Verdicts: what planning says of a step, as values.  PURE"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from lineal.assets.asset import Check
from lineal.assets.records import (
    CheckResult,
    Content,
    Materialization,
    Observation,
    Promotion,
    Reason,
    Recipe,
    Used,
)


@dataclass(frozen=True, slots=True)
class Fresh:
    """The current version is what a recomputation could give."""

    name: ClassVar[str] = "fresh"


@dataclass(frozen=True, slots=True)
class Stale:
    """Must be made, for these reasons."""

    reasons: tuple[Reason, ...]
    name: ClassVar[str] = "stale"


@dataclass(frozen=True, slots=True)
class Pending:
    """No reason of its own, but inputs will be remade: decided once their content is known.

    `columns`: of inputs of which it sees no more, those it reads, by what the input looks like now.
    """

    inputs: tuple[str, ...]
    columns: tuple[tuple[str, tuple[str, ...]], ...] = ()
    name: ClassVar[str] = "pending"

    @property
    def read(self) -> tuple[str, ...]:
        """All columns that it reads of what is pending; nothing where it sees more of one."""
        known = dict(self.columns)
        if not known.keys() >= set(self.inputs):
            return ()
        return tuple(dict.fromkeys(column for name in self.inputs for column in known[name]))


Verdict = Fresh | Stale | Pending

# What the run does about a verdict. `recheck`: run checks on a kept version; `rule`: decide what a
# gate makes of kept scores; `blocked`: nothing, a kept version is known to fail an error check;
# `wait`: inputs are not known yet.
Action = Literal["none", "compute", "reuse", "recheck", "rule", "blocked", "wait"]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a step whose content is decided: enough for a reader to be decided.

    `metrics` of the materialization, for readers that take a `Result`.
    """

    asset: str
    partition: str | None
    content: Content | None  # None: a file source known by its files only
    materialization: str
    observation: Observation | None = None
    moved: bool = False  # the files are no longer those that this version was made of
    metrics: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict on all outputs of one step, with what the run needs to act on it."""

    verdict: Verdict
    action: Action
    used: tuple[Used, ...] = ()
    fingerprints: Mapping[str, str] | None = None  # by output; None while inputs are pending
    kept: Mapping[str, Materialization] | None = None  # what is reused, rechecked or blocked
    failing: tuple[CheckResult, ...] = ()  # known failures of error checks
    promotion: Promotion | None = None  # of an action: the move for which it runs


# Of a partition that is fresh with many others; what else there is to know of it is in its brief.
PLAINLY_FRESH = Decision(Fresh(), "none")


class BoundCheck(NamedTuple):
    """A check of an output with all that determines its result but the content it judges."""

    check: Check
    recipe: Recipe
    environment: str  # digest
    # What it reads, in the order of its inputs: nothing for the judged version itself.
    used: tuple[tuple[Used, ...], ...]
    handed: Mapping[str, Handed]  # the versions of the other assets it reads, by asset
    before: Before | None = None  # of a check that compares with it: what is current now


class Before(NamedTuple):
    """What is current of an output until the next version is, and how this very check judged it."""

    content: Content | None
    judged: str = ""  # the fingerprint of the result; none: it never did


class Handed(NamedTuple):
    """The versions one parameter gets: one, or those of several partitions in their order."""

    versions: tuple[Known, ...]
    many: bool = False  # the slices of partitions, be there one, as a table or a dict


class PlannedCheck(NamedTuple):
    """A check bound to the content it judges; `fingerprint` identifies its result for ever."""

    check: Check
    fingerprint: str
    recipe: Recipe
