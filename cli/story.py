"""What `runs` says: the list of runs, and the whole story of one, with its timeline."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from lineal.answers import RunStory
from lineal.assets.names import Step
from lineal.assets.records import DEFAULT_ENVIRONMENT, Attempt, ErrorFacts, Materialization, Reason
from lineal.cli.documents import instant, reasons
from lineal.cli.gates import decided_line, gate_document
from lineal.cli.planned import reason_lines, without
from lineal.cli.render import (
    Style,
    duration,
    excerpt,
    item,
    joint_name,
    listed,
    moment,
    name_column,
    plural,
    shorten,
    step_names,
)

MOST = 40  # lines of a timeline
_GROUPS = 12  # of steps that were made for the same reasons
_FAILURES = 10  # that are told in full


def runs_lines(style: Style, stories: Sequence[RunStory]) -> list[str]:
    if not stories:
        return ["No run yet.", "", "  lineal materialize"]
    rows = [row for s in stories for row in style.folded(_told(s), f"{_when(s)}   ")]
    return [style.text(row) for row in (*rows, "", f"  lineal runs {stories[-1].started.run}")]


def _run_line(story: RunStory) -> str:
    return f"{_when(story)}   {_told(story)}"


def _when(story: RunStory) -> str:
    """Which run, when, how it ended and how long it took."""
    started, ended = story.started, story.ended
    head = f"{started.run:<6} {moment(started.started_at):<13}"
    if ended is None:
        return f"{head} not ended"
    took = duration(ended.ended_at - started.started_at)
    return f"{head} {ended.outcome:<9} {took:>9}"


def _told(story: RunStory) -> str:
    """What came of it; of one that a person made by hand, or that did not end, its words."""
    ended = story.ended
    if ended is None or (not story.started.planned and not ended.counts):
        return f"{_words(story)}{_where(story)}"
    counts = ", ".join(f"{n:,} {w}" for w, n in ended.counts.items() if n and w != "fresh")
    return f"{counts or 'nothing'}{_where(story)}"


def _where(story: RunStory) -> str:
    """The environment, if it is not the one that is always there."""
    name = story.started.environment
    return "" if name == DEFAULT_ENVIRONMENT else f" · environment {name}"


def _words(story: RunStory) -> str:
    return shorten(" ".join(" ".join(story.started.command).split()), 40)


# ------------------------------------------------------------------------------------- one run


def run_lines(style: Style, story: RunStory, now: float | None = None) -> list[str]:
    """The story of a run: a timeline, what it made and why, what failed where."""
    bars = _bars(story.made)
    lines = [*_head(style, story, bars, time.time() if now is None else now)]
    if bars:
        lines.extend(("", *_timeline(style, story, bars)))
    gates = [
        row
        for each in story.decided
        for row in decided_line(style, each, name_column(d.gate for d in story.decided))
    ]
    for part in (gates, _why(style, story.made), _troubles(style, story), _left_out(style, story)):
        if part:
            lines.extend(("", *part))
    return [style.text(row).rstrip() for row in lines]


def _head(style: Style, story: RunStory, bars: Sequence[Bar], now: float) -> list[str]:
    started = story.started
    commit = f" · git {started.git_commit[:7]}" if started.git_commit else ""
    state = " (with changes)" if started.git_dirty else (" (clean)" if commit else "")
    with_what = f"python {started.python} · lineal {started.lineal}{commit}{state}"
    head = f"{started.run:<6} {moment(started.started_at):<13} not ended{_where(story)}"
    rows = style.folded(head if story.ended is None else _run_line(story), "", "  ")
    rows += style.folded(f"by {started.who} on {started.host} · {with_what}", "  ", "  ")
    rows += style.folded(" ".join(started.command), "  ", "    ")
    if story.ended is None:
        heard = max([started.started_at, *(bar.end for bar in bars)])
        told = (
            f"no end is recorded: it goes on just now, or its process died; "
            f"last heard of {duration(max(0.0, now - heard))} ago"
        )
        rows += style.folded(told, f"  {style.glyph('warning')} ")
    return rows


# ------------------------------------------------------------------------------------ timeline


class Bar(NamedTuple):
    """One computation, or one taking over of what was made before."""

    steps: tuple[Step, ...]
    made: Materialization  # of the first of the steps
    begin: float
    end: float

    @property
    def name(self) -> str:
        return joint_name(self.steps)

    @property
    def seconds(self) -> float:
        return self.end - self.begin

    @property
    def failed(self) -> bool:
        return self.made.outcome in ("failed", "blocked")


def _bars(made: Iterable[Materialization]) -> list[Bar]:
    """The outputs of one computation are one bar; bars stand in the order of their beginning."""
    groups: dict[tuple[object, ...], list[Materialization]] = {}
    for one in made:
        key = one.started_at, one.recipe, one.outcome, one.seconds
        groups.setdefault(key, []).append(one)
    bars = []
    for group in groups.values():
        first = group[0]
        begin = min([first.started_at, *(a.started_at for a in first.attempts)])
        end = max([first.started_at + first.seconds, *(a.started_at for a in first.attempts)])
        bars.append(Bar(tuple(m.step for m in group), first, begin, end))
    return sorted(bars, key=lambda bar: bar.begin)


def _timeline(style: Style, story: RunStory, bars: Sequence[Bar]) -> list[str]:
    """A bar a step on one axis of time; of very many, those that failed and the longest."""
    shown = bars
    if len(bars) > MOST:
        first = sorted(bars, key=lambda bar: (not bar.failed, -bar.seconds))[:MOST]
        kept = set(map(id, first))
        shown = [bar for bar in bars if id(bar) in kept]
    begin = min([story.started.started_at, *(bar.begin for bar in bars)])
    end = max(bar.end for bar in bars)
    if story.ended is not None:
        end = max(end, story.ended.ended_at)
    rows = _Chart(style, shown, begin, max(end, begin + 1e-3)).rows()
    if len(bars) > len(shown):
        rest = [bar for bar in bars if id(bar) not in kept]
        spent = duration(sum(bar.seconds for bar in rest))
        rows.append(f"  … and {len(rest):,} more, each of them shorter: {spent} together")
    return rows


class _Chart:
    """Bars on one axis, as wide as the terminal."""

    def __init__(self, style: Style, bars: Sequence[Bar], begin: float, end: float) -> None:
        self.style, self.bars, self.begin, self.end = style, bars, begin, end
        self.names = name_column(bar.name for bar in bars)
        width = style.width if style.piped else style.whole or style.width
        self.times = max(len(_took(bar)) for bar in bars)
        self.tries = max(len(_tries(bar, width < 70)) for bar in bars)
        self.narrow = width < 70
        taken = len(style.pad(self.names)) + self.times + 2 + (self.tries + 2 if self.tries else 0)
        self.cells = max(8, min(width - taken - 1, 120))

    def rows(self) -> list[str]:
        last = duration(self.end - self.begin)
        axis = f"0 s{last:>{max(4, self.cells - 3)}}"
        rows = [f"{self.style.pad(self.names)}{axis}"]
        return rows + [self._row(bar) for bar in self.bars]

    def _row(self, bar: Bar) -> str:
        style = self.style
        tries = f"{_tries(bar, self.narrow):<{self.tries}}  " if self.tries else ""
        left = f"  {style.glyph(bar.made.outcome)} {style.name(bar.name, self.names)}   "
        return f"{left}{self._drawn(bar)}  {tries}{_took(bar):>{self.times}}"

    def _drawn(self, bar: Bar) -> str:
        cells = [" "] * self.cells
        solid, broken, point = "=x." if self.style.ascii else "█▒·"
        for attempt in bar.made.attempts:
            self._fill(cells, attempt.started_at, attempt.seconds, broken)
        reused = bar.made.outcome == "reused"
        self._fill(cells, bar.made.started_at, bar.made.seconds, point if reused else solid)
        return "".join(cells)

    def _fill(self, cells: list[str], at: float, seconds: float, mark: str) -> None:
        scale = self.cells / (self.end - self.begin)
        first = min(self.cells - 1, max(0, round((at - self.begin) * scale)))
        last = min(self.cells, max(first + 1, round((at - self.begin + seconds) * scale)))
        cells[first:last] = mark * (last - first)


def _took(bar: Bar) -> str:
    return duration(bar.seconds) if bar.made.outcome != "reused" else "as before"


def _tries(bar: Bar, narrow: bool) -> str:
    count = len(bar.made.attempts) + 1
    if count == 1:
        return ""
    return f"×{count}" if narrow else f"{count} attempts"


# ------------------------------------------------------------------------- why, what went wrong


def _why(style: Style, made: Sequence[Materialization]) -> list[str]:
    """What was made and why: a line for all steps with the same reasons."""
    groups: dict[tuple[Reason, ...], list[Materialization]] = {}
    for one in made:
        if one.outcome in ("made", "reused") and one.reasons:
            key = tuple(without(reason, one.partition) for reason in one.reasons)
            groups.setdefault(key, []).append(one)
    rows = []
    for common, group in list(groups.items())[:_GROUPS]:
        why = group[0].reasons if len(group) == 1 else common
        told = reason_lines(why, 2, past=True)
        names = listed(style, step_names(m.step for m in group), 4)
        rows.extend(style.folded(f"{names}   {told[0]}", "    ", "      "))
        for more in told[1:]:
            rows.extend(style.folded(more, "      "))
    others = sum(map(len, list(groups.values())[_GROUPS:]))
    if others:
        rows.append(f"    … and {plural(others, 'more step')}, for other reasons")
    return ["  made because:", *rows] if rows else []


def _troubles(style: Style, story: RunStory) -> list[str]:
    """What failed where, also if it went well when it was tried again."""
    bars = [b for b in _bars(story.made) if b.failed or b.made.attempts]
    bars.sort(key=lambda bar: not bar.failed)
    width = name_column(bar.name for bar in bars)
    rows = [
        row for bar in bars[:_FAILURES] for row in _trouble(style, story.started.run, bar, width)
    ]
    if len(bars) > _FAILURES:
        rows.append(f"  … and {len(bars) - _FAILURES:,} more (--json has all)")
    return rows


def _trouble(style: Style, run: str, bar: Bar, width: int) -> list[str]:
    made, pad = bar.made, style.pad(width)
    rows: list[str] = []
    if made.outcome == "blocked":
        version = f"{made.step}@{made.content.digest[:6]}" if made.content is not None else ""
        told = "refused by a check"
        rows += item(style, style.glyph("blocked"), bar.name, width, told)
        rows += excerpt(style, f'lineal show "{version}"', pad) if version else []
    elif made.error is not None:
        rows += item(style, style.glyph("failed"), bar.name, width, said(made.error))
        rows += excerpt(style, made.error.where, pad) if made.error.where else []
        rows += excerpt(style, made.error.line, pad + "  ") if made.error.line else []
    else:
        told = f"made after {plural(len(made.attempts), 'failed attempt')}"
        rows += item(style, style.glyph("again"), bar.name, width, told)
    for attempt in made.attempts:
        later = attempt.started_at - bar.begin
        when = f", after {duration(later)}" if later > 0.01 else ""
        rows += style.folded(f"attempt {attempt.number}{when}: {said(attempt.error)}", pad)
    if made.outcome == "failed":
        which = f" --partition {made.partition}" if made.partition is not None else ""
        rows += excerpt(style, f"lineal logs {made.asset}{which} --run {run}", pad)
    return rows


def said(error: ErrorFacts) -> str:
    """`KeyError: 'rush_hour'`, on one line; lineal's own errors by their sentence alone."""
    first = next(iter(error.message.splitlines()), "")
    if not first or not error.type[:1].isupper():
        return first or error.type
    return f"{error.type}: {first}"


def _left_out(style: Style, story: RunStory) -> list[str]:
    if story.ended is None:
        return []
    told = (
        ("skipped", "what they need failed or was blocked"),
        ("cancelled", "the run was stopped; lineal materialize carries on"),
        ("fresh", "nothing they read had changed"),
    )
    return [
        row
        for outcome, why in told
        if (count := story.ended.counts.get(outcome, 0))
        for row in style.folded(f"{count:,} {outcome}   {why}", f"  {style.glyph(outcome)} ")
    ]


# ---------------------------------------------------------------------------------------- JSON


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "started_at": instant(attempt.started_at),
        "seconds": round(attempt.seconds, 6),
        "error": _error(attempt.error),
    }


def _error(error: ErrorFacts | None) -> dict[str, str] | None:
    if error is None:
        return None
    return {"type": error.type, "message": error.message, "where": error.where}


def runs_document(stories: Sequence[RunStory]) -> list[dict[str, Any]]:
    return [
        {
            "run": s.started.run,
            "outcome": s.ended.outcome if s.ended is not None else None,
            "started_at": instant(s.started.started_at),
            "ended_at": instant(s.ended.ended_at) if s.ended is not None else None,
            "environment": s.started.environment,
            "who": s.started.who,
            "host": s.started.host,
            "command": list(s.started.command),
            "git_commit": s.started.git_commit or None,
            "code": s.started.sources.digest if s.started.sources is not None else None,
            "counts": dict(s.ended.counts) if s.ended is not None else {},
            "steps": [
                {
                    "asset": m.asset,
                    "partition": m.partition,
                    "outcome": m.outcome,
                    "reasons": reasons(m.reasons),
                    "version": m.content.digest if m.content is not None else None,
                    "seconds": round(m.seconds, 6),
                    "started_at": instant(m.started_at),
                    "attempts": [_attempt(a) for a in m.attempts],
                    "error": _error(m.error),
                }
                for m in s.made
            ],
            "gates": [{"asset": d.gate, **(gate_document(d) or {})} for d in s.decided],
        }
        for s in stories
    ]
