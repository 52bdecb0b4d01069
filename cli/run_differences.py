"""What `diff` says of two runs: what became of each step, what was made otherwise; as lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lineal.assets.records import Reason, RunEnded, RunStarted
from lineal.cli.differences import reasons_told
from lineal.cli.planned import partitions_text
from lineal.cli.render import (
    Style,
    duration,
    item,
    listed,
    moment,
    name_column,
    plural,
    shorten,
    step_names,
)
from lineal.lineage.compare import RunsDifference, StepChange

_STEPS = 40  # lines, if not all are wanted


def run_diff_lines(style: Style, found: RunsDifference, verbose: bool) -> list[str]:
    return [style.text(row).rstrip() for row in _Runs(style, found, verbose).rows()]


class _Group(NamedTuple):
    """Steps of one asset of which the same is to be said."""

    asset: str
    changes: list[StepChange]

    @property
    def name(self) -> str:
        keys = [c.step.partition for c in self.changes if c.step.partition is not None]
        if not keys:
            return self.asset
        return f"{self.asset} {keys[0]}" if len(keys) == 1 else self.asset


class _Runs:
    """Two runs side by side."""

    def __init__(self, style: Style, found: RunsDifference, verbose: bool) -> None:
        self.style, self.found, self.verbose = style, found, verbose

    def rows(self) -> list[str]:
        style, found = self.style, self.found
        before, after = found.before[0].run, found.after[0].run
        rows = style.folded(f"{before} → {after}: {self._sentence()}.", "", "  ")
        rows.append("")
        for word, run in (("before", found.before), ("after", found.after)):
            rows += style.folded(_run_text(run), f"  {word:<8} ")
        rows.append("")
        told = [s for s in found.steps if not self._is_left(s)]
        groups = _groups(told)
        shown = groups if self.verbose else groups[:_STEPS]
        width = name_column(group.name for group in shown)
        for group in shown:
            rows += self._group(group, width)
        if len(groups) > len(shown):
            rows.append(f"  … {len(groups) - len(shown):,} more (-v)")
        rows += self._left(before, 0) + self._left(after, 1)
        return rows + self._made()

    def _left(self, run: str, place: int) -> list[str]:
        """The steps that only this run made, and that are what they were."""
        steps = [s.step for s in self.found.steps if self._is_left(s) and s.outcomes[place]]
        if not steps:
            return []
        names = listed(self.style, step_names(steps), 8)
        told = f"{plural(len(steps), 'step')} of {run} alone, as they were: {names}"
        return self.style.folded(told, f"  {self.style.glyph('fresh')} ")

    def _is_left(self, change: StepChange) -> bool:
        """Did only one run make it, as it was made before, and is it the same after both?"""
        same = None in change.outcomes and change.versions[0] == change.versions[1]
        return same and change.step.asset not in self.found.made

    def _made(self) -> list[str]:
        """What made them otherwise: a paragraph for all assets with the same reasons."""
        groups: dict[tuple[Reason, ...], list[str]] = {}
        for asset, made in self.found.made.items():
            groups.setdefault(made, []).append(asset)
        shown = list(groups.items())[: None if self.verbose else _STEPS]
        rows = ["", "made otherwise"] if shown else []
        for made, assets in shown:
            rows += self.style.folded(listed(self.style, assets, 8), "  ")
            rows += reasons_told(self.style, made, self.verbose, "      ")
        return rows

    def _sentence(self) -> str:
        steps = self.found.steps
        moved = [s for s in steps if s.versions[0] != s.versions[1]]
        fates = [s for s in steps if None not in s.outcomes and s.outcomes[0] != s.outcomes[1]]
        told = [f"{plural(len(moved), 'step')} with another version" if moved else ""]
        told += [f"{plural(len(fates), 'step')} ended otherwise" if fates else ""]
        times = _times(steps)
        told += [f"what both made took {times}" if times else ""]
        return ", ".join(filter(None, told)) or "nothing differs"

    def _group(self, group: _Group, width: int) -> list[str]:
        first = group.changes[0]
        told = [_fate(first)]
        keys = [c.step.partition for c in group.changes if c.step.partition is not None]
        if len(keys) > 1:
            told.append(partitions_text(keys))
        elif first.versions[0] != first.versions[1]:
            told.append(" → ".join(f"@{v[:6]}" if v else "none" for v in first.versions))
            told.append(first.what)
        elif first.versions[0]:
            told.append("the same version")
        glyph = self.style.glyph(first.outcomes[1] or "fresh")
        what = "   ".join(filter(None, told))
        return item(self.style, glyph, group.name, width, what, _times(group.changes))


def _groups(steps: Sequence[StepChange]) -> list[_Group]:
    """More than three partitions of an asset with the same fate share a line."""
    found: dict[tuple[object, ...], _Group] = {}
    for step in steps:
        changed = step.versions[0] != step.versions[1]
        key = (step.step.asset, step.outcomes, changed, step.step.partition is None)
        found.setdefault(key, _Group(step.step.asset, [])).changes.append(step)
    rows = []
    for group in found.values():
        few = len(group.changes) <= 3
        rows += [_Group(group.asset, [c]) for c in group.changes] if few else [group]
    return rows


def _fate(change: StepChange) -> str:
    """`made`, `made → failed`, `fresh → made`: a step that a run did not make was fresh or left."""
    before, after = (outcome or "not made" for outcome in change.outcomes)
    return before if before == after else f"{before} → {after}"


def _times(steps: Iterable[StepChange]) -> str:
    """How long it took in each, where both made it."""
    both = [s.seconds for s in steps if None not in s.seconds]
    if not both:
        return ""
    old, new = (sum(pair[i] or 0.0 for pair in both) for i in (0, 1))
    told = duration(old), duration(new)
    return told[0] if told[0] == told[1] else f"{told[0]} → {told[1]}"


def _run_text(run: tuple[RunStarted, RunEnded | None]) -> str:
    started, ended = run
    end = "not ended" if ended is None else ended.outcome
    took = "" if ended is None else duration(ended.ended_at - started.started_at)
    commit = f"git {started.git_commit[:7]}" if started.git_commit else ""
    changed = " (with changes)" if started.git_dirty else ""
    command = shorten(" ".join(started.command), 30)
    told = [f"{started.run:<6} {moment(started.started_at):<13} {end:<9} {took:>8}", command]
    return "   ".join(filter(None, [*told, commit + changed]))
