"""Tells a run while it goes on: lines as steps settle, a live area below them on a terminal."""

from __future__ import annotations

import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TextIO

import click

from lineal.assets.asset import Asset
from lineal.assets.errors import LinealError
from lineal.assets.names import Step
from lineal.assets.plan import Plan
from lineal.assets.run import Announcer, StepReport
from lineal.assets.verdicts import Decision
from lineal.cli import outcomes
from lineal.cli.render import (
    Style,
    about,
    clipped,
    joint_name,
    name_column,
    plural,
    shorten,
    span,
    step_names,
)
from lineal.cli.tally import WARNINGS, Crowd, Tally

_BEAT = 0.2  # seconds between two looks at the elapsed times
# What a step prints may colour its text; it may not move about in our area.
_MOVES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-ln-~]|\x1b[@-Z\\-_]|[\x00-\x08\x0b\x0c\x0e-\x1a]")


class Live:
    """Lines at the bottom of a terminal, rewritten in place.

    Each change is one write, so nothing flickers. The cursor is never hidden: whatever ends the
    process, the terminal is left as it should be.
    """

    def __init__(self, out: TextIO, width: Callable[[], int]) -> None:
        self._out, self._width = out, width
        self._rows: tuple[str, ...] = ()

    def draw(self, rows: Sequence[str]) -> None:
        if tuple(rows) != self._rows:
            self._write(self._home() + "\x1b[K\n".join(rows) + "\x1b[J", rows)

    def clear(self) -> None:
        if self._rows:
            self._write(self._home() + "\x1b[J", ())

    def _write(self, text: str, rows: Sequence[str]) -> None:
        click.echo(text, file=self._out, nl=False, color=True)
        self._rows = tuple(rows)

    def _home(self) -> str:
        """To the start of the first line, also if the terminal became narrower meanwhile."""
        width = max(1, self._width())
        up = sum(max(1, -(-span(row) // width)) for row in self._rows) - 1
        return f"\r\x1b[{up}A" if up > 0 else "\r"


class Teller(Announcer):
    """Hears of a run, from whichever thread, and prints it.

    Args:
        quiet: nothing of what steps print, and no live area.
        still: no live area: somebody else writes to the terminal meanwhile.
    """

    def __init__(self, quiet: bool, still: bool = False) -> None:
        self.style = Style.of_terminal()
        self.quiet = quiet
        self.width = 4
        self.tally = Tally()
        # Kept: while a step runs, what it prints goes to its log, and ours must not.
        self._out, self._err = sys.stdout, sys.stderr
        both = sys.stdout.isatty() and sys.stderr.isatty()
        lively = both and not quiet and not still and not self.style.ascii
        self._live = Live(self._err, lambda: _size()[0]) if lively else None
        self._lines: dict[str, str] = {}  # by step: what it printed of a line it has not ended
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._beat: threading.Thread | None = None

    def __enter__(self) -> Teller:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was found, whatever ended the run."""
        self._over.set()
        with self._lock:
            crowds = self.tally.crowds.values()
            rows = [row for c in crowds if not c.done for row in c.line(self.style, self.width)]
            self._print(rows, self._unended(list(self._lines)))
            self.tally.running.clear()
            self._clear()
            self._live = None

    # --------------------------------------------------------------------------- of the Announcer

    def planned(self, plan: Plan) -> None:
        groups: dict[str, list[Step]] = {}
        for step in plan.steps:
            if step.verdict.name != "fresh":
                key = f"{step.maker} {step.step.partition}"
                groups.setdefault(key, []).append(step.step)
        with self._lock:
            self.width = name_column(joint_name(steps) for steps in groups.values())
            self.tally.plan(plan)

    def started(
        self, step: Step, asset: Asset, decision: Decision, attempt: int, expected: float | None
    ) -> None:
        with self._lock:
            self.tally.start(step, asset, attempt, expected, time.monotonic())
            if self._live is not None and self._beat is None:
                # The loop may be busy with the step itself: elapsed times move all the same.
                self._beat = threading.Thread(target=self._watch, name="lineal-live", daemon=True)
                self._beat.start()

    def ended(self, step: Step) -> None:
        with self._lock:
            self.tally.end(step)

    def waiting(self, asset: Asset) -> None:
        name = shorten(", ".join(asset.outputs), self.style.width - 40)
        self._aside(f"{name}  another process makes it now; waiting")

    def moved(self, sources: Sequence[str]) -> None:
        name = shorten(", ".join(sources), self.style.width - 56)
        self._aside(f"{name}  its files changed meanwhile: again, with all it feeds")

    def retrying(self, step: Step, error: LinealError, attempt: int, of: int, pause: float) -> None:
        with self._lock:
            self.tally.retry(step)
            self._print([], self._unended([str(step)]))
            self._aside(retry_line(self.style, step, error, attempt, of, pause))

    def stopping(self) -> None:
        with self._lock:
            self.tally.stopping = True
            running = [Step(each.step) for each in self.tally.running.values()]
            self._print([], self.style.folded(stopping_line(running), "  "))

    def settled(self, reports: Sequence[StepReport]) -> None:
        with self._lock:
            rows: list[str] = []
            names: list[str] = []
            for group in _by_partition(reports):
                self.tally.settle(group[0])
                rows.extend(self._told(group))
                names += [group[0].maker, str(Step(group[0].maker, group[0].step.partition))]
                names += [str(report.step) for report in group]
            self._print(rows, self._unended(names))

    def tick(self) -> None:
        with self._lock:
            self._draw()

    # ------------------------------------------------------------------------------- of the steps

    def echo(self, step: str, text: str) -> None:
        """What a step prints: whole lines at once, with its name, on standard error."""
        if self.quiet:
            return
        with self._lock:
            *ended, rest = (self._lines.pop(step, "") + text).split("\n")
            if rest:
                self._lines[step] = rest
            if ended:
                self._print([], [self._printed(step, line) for line in ended])

    def _printed(self, step: str, line: str) -> str:
        prefix = self.style.text(click.style(f"{step} │ ", dim=True))
        return prefix + click.style(tamed(line), dim=True)

    def _unended(self, steps: Iterable[str]) -> list[str]:
        """Last lines that these steps did not end."""
        return [
            self._printed(step, self._lines.pop(step))
            for step in dict.fromkeys(steps)
            if step in self._lines
        ]

    # --------------------------------------------------------------------------------- the output

    def _told(self, group: Sequence[StepReport]) -> list[str]:
        """The lines of one computation that has settled."""
        first = group[0]
        crowd = self.tally.crowds.get(first.maker)
        rows: list[str] = []
        if first.outcome not in ("fresh", "skipped", "cancelled"):
            if crowd is None or first.outcome in ("failed", "blocked"):
                rows = outcomes.settled(self.style, group, self.width)
            else:
                rows = self._warnings(crowd, group)
        if crowd is not None:
            crowd.settle(first)
            if crowd.done:
                rows += crowd.line(self.style, self.width)
        return rows

    def _warnings(self, crowd: Crowd, group: Sequence[StepReport]) -> list[str]:
        rows = outcomes.warnings(self.style, group, self.width)
        if rows:
            crowd.warned += 1
        return rows if crowd.warned <= WARNINGS else []

    def _aside(self, text: str) -> None:
        if not self.quiet:
            mark = f"{'~':<2}" if self.style.ascii else "↻"
            told = self.style.text(click.style(f"  {mark} {text}", dim=True))
            with self._lock:
                self._print([], [told])

    def _print(self, out: Sequence[str], err: Sequence[str]) -> None:
        """Lines above the live area: first what steps printed, then what became of them."""
        if not out and not err:
            return
        self._clear()
        for rows, stream in ((err, self._err), (out, self._out)):
            if rows:
                click.echo("\n".join(rows), file=stream)
        self._draw()

    def _clear(self) -> None:
        if self._live is not None:
            self._live.clear()

    def _draw(self) -> None:
        if self._live is None:
            return
        width, height = _size()
        said = {step: click.unstyle(tamed(line)).strip() for step, line in self._lines.items()}
        rows = self.tally.rows(self.style, width, height, time.monotonic(), said)
        self._live.draw([click.style(row, dim=True) for row in rows])

    def _watch(self) -> None:
        while not self._over.wait(_BEAT):
            try:
                self.tick()
            except (OSError, ValueError):  # the terminal is gone
                return


def _size() -> tuple[int, int]:
    """Columns and lines of the terminal, as they are now."""
    return shutil.get_terminal_size((80, 24))


def _by_partition(reports: Sequence[StepReport]) -> list[list[StepReport]]:
    """The reports of each computation: one that makes several slices at once is told by slice."""
    groups: dict[str | None, list[StepReport]] = {}
    for report in reports:
        groups.setdefault(report.step.partition, []).append(report)
    return list(groups.values())


def tamed(line: str) -> str:
    """A line that a step printed, as it would be seen: without what moves the cursor.

    A progress bar goes back to the start of the line: what it wrote last is what counts.
    """
    line = line.rstrip("\r").rpartition("\r")[2]
    return _MOVES.sub("", line).expandtabs()


def retry_line(
    style: Style, step: Step, error: LinealError, attempt: int, of: int, pause: float
) -> str:
    """`fetch_rates  ConnectionError: …; again in 2 s (attempt 2 of 4)`."""
    again = f"again {_in(pause)} (attempt {attempt} of {of})"
    name = str(step) if style.piped else shorten(str(step), style.width // 3, style.mark)
    first = next(iter(error.message.splitlines()), "failed")
    room = style.width - span(name) - len(again) - 8
    if not style.piped and span(first) > room:
        first = clipped(first, max(16, room - 1)) + style.mark
    return f"{name}  {first}; {again}"


def _in(pause: float) -> str:
    if pause < 0.05:
        return "at once"
    return f"in {pause:.1f} s".replace(".0 ", " ") if pause < 9.95 else f"in {about(pause)}"


def stopping_line(running: Sequence[Step]) -> str:
    """`Ctrl-C: 2 steps run to their end; again to stop them at once`."""
    if not running:
        return "Ctrl-C: nothing more is started"
    names = step_names(running)
    which = f" ({', '.join(names)})" if len(names) <= 3 else ""
    verb, whose, them = ("runs", "its", "it") if len(running) == 1 else ("run", "their", "them")
    return (
        f"Ctrl-C: {plural(len(running), 'step')} {verb} to {whose} end{which}; "
        f"again to stop {them} at once"
    )
