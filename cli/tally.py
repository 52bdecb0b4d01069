"""What is known of a run while it goes on: who runs, how long, how much is left; as lines."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from lineal.assets.asset import Asset
from lineal.assets.names import Step
from lineal.assets.plan import Plan
from lineal.assets.records import StepOutcome
from lineal.assets.run import StepReport
from lineal.cli.render import (
    Style,
    about,
    clipped,
    duration,
    item,
    padded,
    plural,
    shorten,
    span,
)

MANY = 10  # partitions of one asset: more of them are not told one by one
WARNINGS = 3  # of one crowd that are shown
FEW = 3  # computations in the plan: how far these are needs no line of its own
_MARGIN = 3  # columns left free at the right: for the `^C` that a terminal may show there

Key = tuple[str, str | None]  # a computation: the asset whose function makes it, and a partition


class Running(NamedTuple):
    """A step that runs now. `expected`: seconds, from what it took before."""

    name: str
    step: str  # as it is named where it prints
    began: float
    expected: float | None
    attempt: int


@dataclass(slots=True)
class Crowd:
    """The many partitions of one asset in one run: told together."""

    name: str
    places: dict[str | None, int]  # of each partition in the plan
    outcomes: dict[str | None, StepOutcome] = field(default_factory=dict)
    seconds: float = 0.0
    warned: int = 0  # partitions with warnings
    _counts: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> bool:
        return len(self.outcomes) >= len(self.places)

    def count(self, *outcomes: str) -> int:
        return sum(self._counts[outcome] for outcome in outcomes)

    def settle(self, report: StepReport) -> None:
        before = self.outcomes.get(report.step.partition)
        if before is not None:  # its inputs moved during the run: it was made again
            self._counts[before] -= 1
        self._counts[report.outcome] += 1
        self.outcomes[report.step.partition] = report.outcome
        self.seconds += report.seconds

    def so_far(self) -> str:
        """`made 340 of 1,200`."""
        made = self.count("made", "reused", "fresh")
        failed = self.count("failed", "blocked")
        more = f" · {failed:,} failed" if failed else ""
        return f"made {made:,} of {len(self.places):,}{more}"

    def line(self, style: Style, width: int) -> list[str]:
        """`1,200 partitions made, 2013-01-01 … 2016-04-14   12 s`, once all are settled."""
        made = [p for p, o in self.outcomes.items() if o in ("made", "reused")]
        if not made:
            return []
        made.sort(key=lambda p: self.places.get(p, 0))
        new = self.count("made")
        told = f"{plural(new, 'partition')} made"
        if not new:
            told = f"{plural(len(made), 'partition')}   as made before"
        elif len(made) > new:
            told += f", {len(made) - new:,} as made before"
        ends = [str(made[0]), str(made[-1])]
        told += f", {ends[0]}" if len(made) == 1 else f", {ends[0]} … {ends[1]}"
        if self.warned > WARNINGS:
            told += f"   {self.warned - WARNINGS:,} more with warnings"
        glyph = style.glyph("made" if new else "reused")
        return item(style, glyph, self.name, width, told, duration(self.seconds) if new else "")


@dataclass(slots=True)
class Tally:
    """The state of a run as it is told; all times are seconds of one clock, given by the caller."""

    crowds: dict[str, Crowd] = field(default_factory=dict)  # by maker
    expected: dict[Key, float | None] = field(default_factory=dict)  # all that the plan may make
    settled: dict[Key, StepOutcome] = field(default_factory=dict)
    running: dict[Key, Running] = field(default_factory=dict)
    waiting: dict[Key, None] = field(default_factory=dict)  # to be tried again
    stopping: bool = False
    peak: int = 1  # the most that ran at once
    _makers: dict[str, str] = field(default_factory=dict)  # by output
    _left: float = 0.0  # expected seconds of what is not settled, where known
    _unknown: int = 0  # how many of them are not
    _counts: Counter[str] = field(default_factory=Counter)  # outcomes of what the plan may make
    _spent: list[float] = field(default_factory=lambda: [0.0, 0.0])  # computations made, seconds

    def plan(self, plan: Plan) -> None:
        """What may be made, from the plan; a second plan takes the place of the first."""
        self.expected = {}
        groups: dict[str, dict[str, None]] = {}
        for step in plan.steps:
            self._makers[step.step.asset] = step.maker
            if step.verdict.name != "fresh" and step.action != "blocked":
                key = (step.maker, step.step.partition)
                self.expected[key] = step.seconds
                groups.setdefault(step.maker, {}).setdefault(step.step.asset, None)
        places: dict[str, dict[str | None, int]] = {}
        for maker, partition in self.expected:
            found = places.setdefault(maker, {})
            found[partition] = len(found)
        self.crowds = {
            maker: Crowd(", ".join(groups[maker]), found)
            for maker, found in places.items()
            if len(found) > MANY
        }
        known = [seconds for seconds in self.expected.values() if seconds is not None]
        self._left, self._unknown = sum(known), len(self.expected) - len(known)

    def start(
        self, step: Step, asset: Asset, attempt: int, expected: float | None, now: float
    ) -> None:
        for output in asset.outputs:
            self._makers[output] = asset.name
        key = asset.name, step.partition
        if expected is None:
            expected = self.expected.get(key)
        name = str(Step(", ".join(asset.outputs), step.partition))
        self.waiting.pop(key, None)
        self.running[key] = Running(name, str(Step(*key)), now, expected, attempt)
        self.peak = max(self.peak, len(self.running))

    def end(self, step: Step) -> None:
        """An attempt is over: nothing of it runs any more."""
        self.running.pop(self._key(step), None)

    def retry(self, step: Step) -> None:
        """An attempt failed; it is tried again later."""
        self.end(step)
        self.waiting[self._key(step)] = None

    def _key(self, step: Step) -> Key:
        return self._makers.get(step.asset, step.asset), step.partition

    def settle(self, report: StepReport) -> None:
        key = report.maker, report.step.partition
        self.running.pop(key, None)
        self.waiting.pop(key, None)
        if key in self.settled and key in self.expected:
            self._counts[self.settled[key]] -= 1
        elif key in self.expected:
            seconds = self.expected[key]
            if seconds is None:
                self._unknown -= 1
            else:
                self._left -= seconds
        if key in self.expected:
            self._counts[report.outcome] += 1
        if report.outcome == "made":
            self._spent[0] += 1
            self._spent[1] += report.seconds
        self.settled[key] = report.outcome

    # ------------------------------------------------------------------------------------- lines

    def rows(
        self, style: Style, width: int, height: int, now: float, said: dict[str, str] | None = None
    ) -> list[str]:
        """The live area: a line a running step, and how far the whole run is.

        Args:
            said: what steps have printed of a line they have not ended, by name.
        """
        room = width - _MARGIN
        crowds = [c for c in self.crowds.values() if c.outcomes and not c.done]
        names = [c.name for c in crowds] + [r.name for r in self.running.values()]
        column = min(max(map(span, names), default=4), max(12, room // 2 - 4))
        lines = [_row("✓", c.name, column, c.so_far(), style) for c in crowds]
        for running in self.running.values():
            told = _progress(running, now)
            tail = (said or {}).get(running.step, "")
            lines.append(
                _row("▸", running.name, column, f"{told}   {tail}" if tail else told, style)
            )
        most = max(1, height - 4)
        if len(lines) > most:
            lines = [*lines[: most - 1], f"  … and {len(lines) - most + 1} more"]
        whole = self._whole(now)
        while span(" · ".join(whole)) > room - 2:
            del whole[-1]
        if whole:
            lines.append(f"  {' · '.join(whole)}")
        return [clipped(style.text(line), room) for line in lines]

    def _whole(self, now: float) -> list[str]:
        """`made 34 of 120 · 4 running · 2 waiting to be tried again · about 3 min left`."""
        if len(self.expected) <= FEW or len(self.settled) >= len(self.expected):
            return []
        failed = self._counts["failed"] + self._counts["blocked"]
        skipped = self._counts["skipped"] + self._counts["cancelled"]
        made = self._counts.total() - failed - skipped
        parts = [f"made {made:,} of {len(self.expected):,}"]
        for count, words in (
            (failed, "failed"), (skipped, "skipped"), (len(self.running), "running"),
            (len(self.waiting), "waiting to be tried again"),
        ):  # fmt: skip
            if count:
                parts.append(f"{count:,} {words}")
        left = None if self.stopping else self.left(now)
        if left is not None and left >= 2:
            parts.append(f"about {about(left)} left")
        if self.stopping:
            parts.append("stopping")
        return parts

    def left(self, now: float) -> float | None:
        """Seconds until all is done, if each takes what it took before; None: nobody knows."""
        known, unknown = self._left, self._unknown
        if unknown and not self._spent[0]:
            return None
        whole = known + unknown * (self._spent[1] / self._spent[0] if unknown else 0)
        rest = [
            max(0.0, (r.expected or 0.0) - (now - r.began))
            for key, r in self.running.items()
            if key not in self.settled
        ]
        done = sum(min(now - r.began, r.expected or 0.0) for r in self.running.values())
        at_once = self.peak if len(self.expected) - len(self.settled) > len(self.running) else 1
        return max((whole - done) / max(at_once, len(self.running), 1), *rest, 0.0)


def _row(glyph: str, name: str, column: int, told: str, style: Style) -> str:
    return f"  {glyph} {padded(shorten(name, column, style.mark), column)}   {told}"


def _progress(running: Running, now: float) -> str:
    """`12 s of about 30 s   attempt 2`."""
    elapsed = max(0.0, now - running.began)
    told = f"{int(elapsed)} s" if elapsed < 100 else duration(elapsed)
    if running.expected is not None and running.expected >= 1:
        told += f" of about {about(running.expected)}"
    return told if running.attempt == 1 else f"{told}   attempt {running.attempt}"
