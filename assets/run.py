"""A run as people hear of it: what became of each step, told when it is durable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from lineal.assets.asset import Asset
from lineal.assets.errors import LinealError
from lineal.assets.names import Step
from lineal.assets.notebook import as_html, as_text
from lineal.assets.records import CheckResult, Decided, Reason, Retirement, StepOutcome
from lineal.assets.verdicts import Decision, Known


class Earlier(NamedTuple):
    """What a gate had decided on scores, and which version its alias names now."""

    decided: Decided
    live: int | None


class StepReport(NamedTuple):
    """What became of one step, for people: told when it is durable."""

    step: Step
    maker: str
    outcome: StepOutcome
    reasons: tuple[Reason, ...] = ()
    version: str | None = None  # content digest
    seconds: float = 0.0
    summary: str = ""
    metrics: tuple[tuple[str, float], ...] = ()
    error: LinealError | None = None
    checks: tuple[CheckResult, ...] = ()
    because: tuple[str, ...] = ()  # of a skipped step: the inputs that failed or were blocked
    unwatched: tuple[tuple[str, str, str], ...] = ()
    current: str | None = None  # what stays current where nothing was published
    attempts: int = 1
    stays: tuple[str, int | None] | None = None  # of a gate that did not come to decide: its alias
    gate: Decided | None = None  # what a gate decided, or had decided of these scores
    scored_on: tuple[Known, ...] = ()  # the versions that both models of a gate were scored on
    promotion: Mapping[str, Any] | None = None  # of an action: for which move it ran
    earlier: Earlier | None = None  # of a gate whose scores were taken over


_COLUMNS = ("step", "outcome", "what", "seconds")


@dataclass(frozen=True, slots=True, repr=False)
class Run:
    """One invocation: what it did to each selected step. `id` is None when nothing was to do."""

    id: str | None
    outcome: Literal["done", "failed", "cancelled"]
    steps: tuple[StepReport, ...]
    seconds: float
    retired: tuple[Retirement, ...] = ()  # partitions that are no more

    def __repr__(self) -> str:
        return as_text(self._title, _COLUMNS, self._rows)

    def _repr_html_(self) -> str:
        return as_html(self._title, _COLUMNS, self._rows)

    @property
    def _title(self) -> str:
        counts = {**self.counts, "retired": len(self.retired)}
        told = ", ".join(f"{n} {word}" for word, n in counts.items() if n) or "nothing"
        return f"Run {self.id}: {told}" if self.id is not None else f"Nothing to do: {told}"

    @property
    def _rows(self) -> list[tuple[str, str, str, str]]:
        return [
            (str(s.step), s.outcome, str(s.error) if s.error else s.summary, f"{s.seconds:.2f}")
            for s in self.steps
        ]

    @property
    def counts(self) -> dict[str, int]:
        words = ("fresh", "made", "reused", "failed", "skipped", "blocked", "closed", "cancelled")
        found = Counter[str](s.outcome for s in self.steps)
        return {word: found[word] for word in words}


def is_told(unwatched: tuple[str, str, str]) -> bool:
    """Is an undeclared read worth a word? Not a file that was only looked for, nor a listing."""
    path, digest, _ = unwatched
    return bool(digest) and not path.endswith("/")


class Announcer:
    """Whoever wants to hear of steps as they start and settle; this one does nothing about it."""

    def started(
        self, step: Step, asset: Asset, decision: Decision, attempt: int, expected: float | None
    ) -> None:
        """An attempt begins: the first is 1; `expected` seconds, by the last time it was made."""

    def ended(self, step: Step) -> None:
        """Its attempt is over; what it gave is told when it is durable."""

    def retrying(self, step: Step, error: LinealError, attempt: int, of: int, pause: float) -> None:
        """An attempt failed; in `pause` seconds the next one, `attempt` of at most `of`, begins."""

    def stopping(self) -> None:
        """The run was asked to end: what runs may end by itself. Told in a thread of its own."""

    def tick(self) -> None:
        """Time went by while steps run."""

    def waiting(self, asset: Asset) -> None:
        """Another process makes this one just now, and nothing else is left to do."""

    def moved(self, sources: Sequence[str]) -> None:
        """Their files changed during the run: what rests on them is made again."""

    def settled(self, reports: Sequence[StepReport]) -> None:
        """What became of the outputs of a step, now that it is durable."""
