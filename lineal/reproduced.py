"""What came of computing versions again: values that show themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from lineal.assets.names import Step
from lineal.assets.notebook import as_text

# How a version came out again. `content`: the same values, in other bytes; `predictions`: a model
# in other bytes that predicts the same; `impossible`: it can't be computed from what is kept.
Likeness = Literal["bytes", "content", "predictions", "other", "failed", "impossible"]
REPRODUCED: frozenset[Likeness] = frozenset({"bytes", "content", "predictions"})


class Alike(NamedTuple):
    """How alike a version and its recomputation are; `said`: on what, or in what they differ."""

    likeness: Likeness
    said: str = ""


@dataclass(frozen=True, slots=True)
class Remade:
    """One version that was computed again.

    Attributes:
        materialization: that computed it in the first place; run: whose code and settings were
            used.
        version: the content digest as recorded.
        alike: how it came out; seconds: that it took.
        notes: what else is not as it was then: code, packages, files.
    """

    step: Step
    materialization: str
    run: str
    version: str
    alike: Alike
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.alike.likeness in REPRODUCED

    @property
    def name(self) -> str:
        return f"{self.step}@{self.version[:6]}"

    def told(self) -> str:
        """How it came out: `the same bytes`."""
        likeness, said = self.alike
        if likeness == "bytes":
            return "the same bytes"
        if likeness == "content":
            return "the same content, in other bytes"
        return f"other bytes, equal predictions on {said}" if likeness == "predictions" else said


@dataclass(frozen=True, slots=True, repr=False)
class Reproduction:
    """What came of `reproduce`.

    Attributes:
        name: of what was asked for: `delays v3`.
        steps: what was computed again, inputs before their readers; the last is what was asked for.
        seconds: all of it took; kept: the folder in which it was done, if it is still there.
    """

    name: str
    steps: tuple[Remade, ...]
    seconds: float
    kept: Path | None = None

    @property
    def ok(self) -> bool:
        """Did everything come out as it was?"""
        return all(step.ok for step in self.steps)

    def sentence(self) -> str:
        """The answer in one sentence, without the time."""
        asked = self.steps[-1]
        others = [step for step in self.steps[:-1] if not step.ok]
        verb = "is reproduced" if asked.ok else "is not reproduced"
        before = ""
        if others:
            names = ", ".join(step.name for step in others[:3])
            more = f" and {len(others) - 3:,} more" if len(others) > 3 else ""
            before = f"; before it, {names}{more} {'is' if len(others) == 1 else 'are'} not"
        return f"{self.name} {verb}: {asked.told()}{before}"

    def __repr__(self) -> str:
        rows = [[step.name, step.told(), "; ".join(step.notes)] for step in self.steps]
        return as_text(self.sentence(), ["step", "came out as", "not as it was"], rows)
