"""How lineal speaks on a terminal: the only place with colour, glyphs and tables."""

from __future__ import annotations

import datetime as dt
import math
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from lineal.assets.errors import (
    DefinitionErrors,
    LinealError,
    UserCodeError,
)
from lineal.assets.plan import Plan, PlannedStep, condition
from lineal.assets.records import CheckResult, Reason
from lineal.assets.run import Run, StepReport
from lineal.assets.verdicts import Pending, Stale

NAME_WIDTH = 24  # the widest a column of names gets; longer ones shorten in the middle
GLYPHS: Mapping[str, tuple[str, str, str]] = {
    # outcome: (glyph, its ASCII twin, colour)
    "made": ("✓", "ok", "green"),
    "fresh": ("=", "=", "bright_black"),
    "reused": ("=", "=", "cyan"),
    "failed": ("✗", "x", "red"),
    "blocked": ("■", "#", "red"),
    "skipped": ("·", "-", "bright_black"),
    "cancelled": ("·", "-", "bright_black"),
    "pending": ("?", "?", "yellow"),
    "stale": (" ", " ", "yellow"),
    "due": (" ", " ", "yellow"),
    "warning": ("!", "!", "yellow"),
}


class Style(NamedTuple):
    """What the terminal can show. Piped: another program reads, so nothing is cut or folded."""

    width: int  # of lines of text
    ascii: bool
    piped: bool = False
    whole: int | None = None  # of the terminal, for tables; None: that of text

    @staticmethod
    def of_terminal() -> Style:
        encoding = (getattr(sys.stdout, "encoding", "") or "").lower()
        plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
        width = shutil.get_terminal_size((80, 24)).columns
        piped = not sys.stdout.isatty()
        return Style(max(40, min(width, 100)), plain or "utf" not in encoding, piped, width)

    def glyph(self, outcome: str) -> str:
        shape, twin, colour = GLYPHS[outcome]
        return self.coloured(f"{twin:<2}" if self.ascii else shape, colour)

    def coloured(self, text: str, colour: str) -> str:
        return text if self.ascii else click.style(text, fg=colour)

    def name(self, name: str, width: int = NAME_WIDTH) -> str:
        """A name in a column of names: shortened where people read, whole for programs."""
        fitting = self._column(width)
        mark = "..." if self.ascii else "…"
        return f"{name if self.piped else shorten(name, fitting, mark):<{fitting}}"

    def pad(self, width: int) -> str:
        """The blanks below a glyph and a name."""
        return " " * (self._column(width) + (8 if self.ascii else 7))

    def _column(self, width: int) -> int:
        return min(width, self.width // 3)

    def text(self, text: str) -> str:
        """The text with the typography this terminal can show, places relative to this folder."""
        text = text.replace(str(Path.cwd()) + os.sep, "")
        if not self.ascii:
            return text
        for shape, twin in (("→", "->"), ("←", "<-"), ("×", "x"), ("…", "..."), ("·", "-"),
                            ("│", "|"), ("├─", "|-"), ("└─", "`-"), ("≤", "<="), ("●", "*"),
                            ("▸", ">"), ("≈", "~")):  # fmt: skip
            text = text.replace(shape, twin)
        return text

    def folded(self, text: str, first: str, rest: str | None = None) -> list[str]:
        """A text on as many lines as it needs, the first after `first`, the others after `rest`."""
        text, first = self.text(text), self.text(first)
        start = len(click.unstyle(first))
        below = " " * start if rest is None else rest
        if self.piped:
            return [first + text]
        rows = fold(text, max(16, self.width - len(below)), max(16, self.width - start))
        return [first + rows[0], *(below + row for row in rows[1:])]


def shorten(name: str, width: int, mark: str = "…") -> str:
    """A name that fits: shortened in the middle."""
    if len(name) <= width:
        return name
    room = max(2, width - len(mark))
    head = room // 2
    return name[:head] + mark + name[-(room - head) :]


def fold(text: str, room: int, first_room: int | None = None) -> list[str]:
    """Lines that fit: parts (two blanks between them) stay whole if they can, then words."""
    at_first = room if first_room is None else first_room
    if len(text) <= at_first:
        return [text]
    import textwrap

    def wrapped(words: str, used: int) -> list[str]:
        """Words on lines; `used` blanks stand for what the first line holds already."""
        cut = textwrap.wrap(words, room, initial_indent=" " * used, break_on_hyphens=False)
        return [row.lstrip() for row in cut] or [""]

    first, *others = re.split(r"( {2,})", text)
    rows = wrapped(first, max(0, room - at_first))
    for blanks, part in zip(others[::2], others[1::2], strict=True):
        left = (at_first if len(rows) == 1 else room) - len(rows[-1])
        if len(blanks) + len(part) <= left:
            rows[-1] += blanks + part
        else:
            rows.extend(wrapped(part, 0))
    return rows


def duration(seconds: float) -> str:
    if seconds < 0.095:
        return f"{seconds:.2f} s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"


def moment(seconds: float) -> str:
    """A time of recording in local time: `21 Nov 18:02`, with the year when it is another one."""
    then = dt.datetime.fromtimestamp(seconds, tz=dt.UTC).astimezone()
    now = dt.datetime.now(tz=dt.UTC).astimezone()
    form = "%d %b %H:%M" if then.year == now.year else "%d %b %Y %H:%M"
    return then.strftime(form).lstrip("0")


def plural(count: int, noun: str) -> str:
    if count == 1:
        return f"1 {noun}"
    consonant = noun.endswith("y") and noun[-2:-1] not in "aeiou"
    return f"{count:,} {noun[:-1] + 'ies' if consonant else noun + 's'}"


def name_column(names: Iterable[str]) -> int:
    return min(NAME_WIDTH, max((len(n) for n in names), default=4))


def item(style: Style, glyph: str, name: str, width: int, what: str, right: str = "") -> list[str]:
    """One step: glyph, name, what came out, time at the right; what doesn't fit goes below."""
    left = style.text(f"  {glyph} {style.name(name, width)}   ")
    what = style.text(what)
    if style.piped:
        rows = [what]
    else:
        taken = len(style.pad(width)) + (len(right) + 2 if right else 0)
        rows = fold(what, max(16, style.width - taken)) or [""]
    gap = style.width - len(click.unstyle(left)) - len(rows[0]) - len(right)
    end = f"{' ' * max(2, gap)}{right}" if right else ""
    return [f"{left}{rows[0]}{end}".rstrip(), *(style.pad(width) + row for row in rows[1:])]


def warn(warnings: Sequence[str]) -> None:
    """Tell what may surprise, on standard error."""
    style = Style.of_terminal()
    for text in warnings:
        for row in style.folded(style.text(text), f"  {style.glyph('warning')} "):
            click.echo(row, err=True)


# ------------------------------------------------------------------------------------ materialize


def group_name(reports: Sequence[StepReport]) -> str:
    return ", ".join(str(r.step) for r in reports)


def settled(style: Style, reports: Sequence[StepReport], width: int) -> list[str]:
    """The lines of one asset that has settled: made, reused, failed or blocked."""
    first = reports[0]
    name = group_name(reports)
    if first.outcome == "failed":
        return _failed(style, first, name, width)
    if first.outcome == "blocked":
        return _blocked(style, reports, name, width)
    glyph = style.glyph(first.outcome)
    what = _summary(reports)
    if first.outcome == "reused":
        what = f"{what}   as made before".strip()
        lines = item(style, glyph, name, width, what)
    else:
        lines = item(style, glyph, name, width, what, duration(first.seconds))
    for report in reports:
        lines.extend(_warnings(style, report, width))
    lines.extend(_unwatched(style, first, name))
    return lines


def _summary(reports: Sequence[StepReport]) -> str:
    first = reports[0]
    tables = [r.summary.split(" × ")[0] for r in reports if " × " in r.summary]
    if len(reports) > 1 and len(tables) == len(reports):
        return " + ".join(t.removesuffix(" rows") for t in tables) + " rows"
    parts = [" + ".join(r.summary for r in reports)]
    shown = [f"{name} {_number(value)}" for name, value in first.metrics[:2]]
    passed = sum(c.passed for r in reports for c in r.checks)
    if passed:
        shown.append(f"{plural(passed, 'check')} passed")
    return "   ".join([f"{parts[0]:<16}", *shown]) if shown else parts[0]


def _number(value: float) -> str:
    if value == int(value) and abs(value) >= 10:
        return f"{int(value):,}"
    return f"{value:.4g}"


def _failed(style: Style, report: StepReport, name: str, width: int) -> list[str]:
    error = report.error
    message = error.message if error is not None else "failed"
    first, *rest = message.splitlines() or [""]
    pad = style.pad(width)
    lines = item(style, style.glyph("failed"), name, width, first, duration(report.seconds))
    for more in rest[:12]:
        lines.extend(style.folded(more, pad))
    if error is None:
        return lines
    if error.where:
        lines.extend(excerpt(style, error.where, pad))
    if error.excerpt:
        lines.extend(excerpt(style, error.excerpt, pad + "  "))
    if error.advice:
        lines.extend(style.folded(error.advice, pad))
    return [style.text(row) for row in lines]


def excerpt(style: Style, text: str, pad: str) -> list[str]:
    """Lines of code, never folded: where they don't fit they begin further to the left."""
    rows = text.splitlines()
    widest = max((len(row) for row in rows), default=0)
    fitting = pad[: max(4, min(len(pad), style.width - widest))]
    return [fitting + row for row in rows]


def _blocked(style: Style, reports: Sequence[StepReport], name: str, width: int) -> list[str]:
    lines: list[str] = []
    pad = style.pad(width)
    glyph = style.glyph("blocked")
    for report in reports:
        failing = [c for c in report.checks if not c.passed and c.severity == "error"]
        for check in failing:
            what = f"blocked by check `{check.name}`: {check.message}"
            right = duration(report.seconds) if report.seconds else ""
            lines.extend(item(style, glyph, str(report.step), width, what, right))
            lines.extend(excerpt(style, "\n".join(sample_table(check)), pad + "  "))
        if failing and report.current and report.current != report.version:
            told = f"not published: {report.step} stays at @{report.current[:6]}"
        elif report.current:
            told = "it stays current: the check is newer than the version"
        else:
            told = f"not published: {report.step} has no current version yet"
        if failing:
            lines.extend(style.folded(told, pad))
    return [style.text(row) for row in lines]


def sample_table(check: CheckResult) -> list[str]:
    """A few failing rows, in columns."""
    if not check.sample:
        return []
    widths = [
        min(18, max(len(row[i]) if i < len(row) else 0 for row in check.sample))
        for i in range(len(check.sample[0]))
    ]
    rows = []
    for row in check.sample:
        cells = [f"{shorten(cell, w):<{w}}" for cell, w in zip(row, widths, strict=False)]
        rows.append("  ".join(cells[:6]).rstrip())
    return rows


def _warnings(style: Style, report: StepReport, width: int) -> list[str]:
    glyph, name = style.glyph("warning"), str(report.step)
    return [
        row
        for check in report.checks
        if not check.passed and check.severity == "warn"
        for row in item(style, glyph, name, width, f"check {check.name}: {check.message} (warning)")
    ]


def _unwatched(style: Style, report: StepReport, name: str) -> list[str]:
    lines = []
    for path, _, place in report.unwatched:
        stem = path.rpartition("/")[2].partition(".")[0]
        word = "".join(c if c.isalnum() else "_" for c in stem) or "data"
        lines.extend(
            style.folded(
                f"{name} reads {path} ({place}), "
                "which no source declares: its staleness can't be proved.",
                f"  {style.glyph('warning')} ",
            )
        )
        lines.extend(
            style.folded(
                f'{word} = source("raw/{word}", "{path}")      then take raw_{word} as a parameter',
                "      ",
            )
        )
    return [style.text(row) for row in lines]


def skipped(style: Style, reports: Sequence[StepReport], width: int) -> list[str]:
    """Skipped steps, told together by what they wait for."""
    broken = {r.maker: r.because for r in reports if r.outcome == "skipped"}
    groups: dict[tuple[str, ...], list[str]] = {}
    for report in reports:
        if report.outcome == "skipped":
            roots = tuple(dict.fromkeys(_roots(report.because, broken)))
            groups.setdefault(roots, []).append(str(report.step))
    lines = []
    for roots, names in groups.items():
        shown = listed(style, names, 6) + (f" ({len(names)})" if len(names) > 6 else "")
        need = ", ".join(roots)
        kept = any(r.current for r in reports if str(r.step) in names)
        tail = "; they keep their current versions" if kept else ""
        told = f"{shown}   skipped: need {need}{tail}"
        lines.extend(style.folded(told, f"  {style.glyph('skipped')} "))
    return [style.text(row) for row in lines]


def listed(style: Style, names: Sequence[str], most: int) -> str:
    """Some of the names, long ones shortened, and `…` for the others."""
    shown = [style.name(name).rstrip() for name in names[:most]]
    return ", ".join([*shown, "…"] if len(names) > most else shown)


def _roots(because: Sequence[str], broken: Mapping[str, tuple[str, ...]]) -> list[str]:
    found: list[str] = []
    for name in because:
        found.extend(_roots(broken[name], broken) if broken.get(name) else [name])
    return found


def exit_code(run: Run) -> int:
    """As docs/cli.md has it: a step that met a damaged object tells of the store."""
    if any(step.error is not None and step.error.exit_code == 3 for step in run.steps):
        return 3
    return {"done": 0, "failed": 1, "cancelled": 130}[run.outcome]


def run_summary(style: Style, run: Run) -> list[str]:
    """The last lines of `materialize`: the answer, then what to type next."""
    counts = run.counts
    if run.id is None and run.outcome == "done":
        done = counts["fresh"]
        return [f"Nothing to do: {done:,} fresh, checked in {run.seconds:.2f} s."]
    order = ("failed", "blocked", "made", "reused", "skipped", "cancelled", "fresh")
    told = ", ".join(f"{counts[w]:,} {w}" for w in order if counts[w])
    if run.outcome == "done":
        answer = f"{told or 'nothing'} in {duration(run.seconds)} · run {run.id}"
    elif run.outcome == "cancelled":
        answer = f"Stopped: {told} · run {run.id} · exit 130"
    else:
        name = f" · run {run.id}" if run.id else ""
        answer = f"{told}{name} · exit {exit_code(run)}"
    lines = style.folded(answer, "")
    for row in _advice(run):
        lines.extend(style.folded(row, "  ", "      "))
    return [style.text(row) for row in lines]


def _advice(run: Run) -> list[str]:
    failed = next((r for r in run.steps if r.outcome == "failed"), None)
    if failed is not None:
        kept = run.counts["made"] + run.counts["reused"]
        carries = f"; the {kept} are kept" if kept > 1 else ""
        rows = [("lineal materialize", f"carries on from here{carries}")]
        if isinstance(failed.error, UserCodeError):
            rows.insert(0, (f"lineal logs {failed.step.asset}", "the whole traceback"))
        wide = max(len(command) for command, _ in rows)
        return [f"{command:<{wide}}    {what}" for command, what in rows]
    blocked = next((r for r in run.steps if r.outcome == "blocked" and r.version), None)
    if blocked is not None and blocked.version:
        if " × " not in blocked.summary:
            version = f"{blocked.step.asset}@{blocked.version[:6]}"
            return [f"lineal path {version}      the refused version"]
        view = f'"{blocked.step.asset}@{blocked.version[:6]}"'
        return [f"lineal sql 'from {view}'      look at the refused version"]
    if run.outcome == "cancelled":
        return ["lineal materialize    carries on"]
    return []


# ------------------------------------------------------------------------------------------ plan


def plan_lines(style: Style, plan: Plan) -> list[str]:
    """What `plan` prints: one sentence, the evidence, what stays fresh."""
    stale, pending, fresh = (plan.named(v) for v in ("stale", "pending", "fresh"))
    if not stale and not pending:
        return [f"Nothing to do: {plural(len(fresh), 'step')}, all fresh."]
    sentence = _plan_sentence if plan.has_work else _blocked_sentence
    lines = [*style.folded(sentence(stale, pending, fresh), ""), ""]
    groups = _by_maker([s for s in plan.steps if s.verdict.name != "fresh"])
    width = name_column(", ".join(s.step.asset for s in g) for g in groups)
    for group in groups:
        lines.extend(_plan_group(style, group, width))
    if fresh:
        names = listed(style, [str(s.step) for s in fresh], 8)
        lines.extend(("", *style.folded(f"{names}: fresh", f"  {style.glyph('fresh')} ")))
    return [style.text(row) for row in lines]


def _plan_sentence(
    stale: Sequence[PlannedStep], pending: Sequence[PlannedStep], fresh: Sequence[PlannedStep]
) -> str:
    total = len(stale) + len(pending) + len(fresh)
    follow = f" and up to {len(pending)} more may follow" if pending else ""
    verb = "is" if len(stale) == 1 else "are"
    stay = f" {len(fresh)} {'stays' if len(fresh) == 1 else 'stay'} fresh." if fresh else ""
    past = [s.seconds for s in (*stale, *pending) if s.seconds is not None]
    most = f": at most {duration(sum(past))}" if len(past) == len(stale) + len(pending) else ""
    return f"{len(stale)} of {plural(total, 'step')} {verb} stale{follow}{most}.{stay}"


def _blocked_sentence(
    stale: Sequence[PlannedStep], pending: Sequence[PlannedStep], fresh: Sequence[PlannedStep]
) -> str:
    """Of a plan in which checks refuse all that is stale, so that a run would make nothing."""
    follow = f", {len(pending)} wait{'s' if len(pending) == 1 else ''} for it" if pending else ""
    stay = f" {len(fresh)} {'stays' if len(fresh) == 1 else 'stay'} fresh." if fresh else ""
    return f"Nothing can be made: {len(stale)} blocked{follow}.{stay}"


def _by_maker(steps: Sequence[PlannedStep]) -> list[list[PlannedStep]]:
    groups: dict[str, list[PlannedStep]] = {}
    for step in steps:
        groups.setdefault(step.maker, []).append(step)
    return list(groups.values())


def _plan_group(style: Style, group: Sequence[PlannedStep], width: int) -> list[str]:
    first = group[0]
    name = ", ".join(s.step.asset for s in group)
    if isinstance(first.verdict, Pending):
        return item(style, style.glyph("pending"), name, width, condition(first.verdict))
    if not isinstance(first.verdict, Stale):
        return []
    again = {"reuse": "   (kept from before: no computation)", "blocked": "   (blocked again)"}
    told = reason_lines(first.verdict.reasons)
    rows = item(style, style.glyph("stale"), name, width, told[0] + again.get(first.action, ""))
    for more in told[1:]:
        rows.extend(style.folded(more, style.pad(width)))
    return rows


def reason_lines(reasons: Sequence[Reason], most: int = 4) -> list[str]:
    """Reasons as `kind   place  culprit  old → new`, a few of them."""
    if not reasons:
        return ["stale"]
    rows = [f"{r.kind.replace('_', ' ')}   {_detail(r)}".rstrip() for r in reasons[:most]]
    if len(reasons) > most:
        rows.append(f"and {plural(len(reasons) - most, 'more reason')}")
    return rows


def _detail(reason: Reason) -> str:
    if reason.kind == "check_failed":  # there is no old and new: what is refused was never current
        return "  ".join(part for part in (reason.culprit, reason.new) if part)
    return reason.detail


# ---------------------------------------------------------------------------------------- errors


def error_lines(style: Style, error: LinealError) -> list[str]:
    """An error as a person reads it: what, which, where, how to mend."""
    if isinstance(error, DefinitionErrors):
        told = f"{error.message}, nothing was run"
        lines = [*style.folded(told, f"{style.coloured('error', 'red')}: ", "  "), ""]
        for one in error.errors:
            lines.extend(_one_error(style, one, "  "))
        return [style.text(row) for row in lines]
    lines = style.folded(error.message, f"{style.coloured('error', 'red')}: ", "  ")
    if error.where and error.where not in error.message:
        lines.append(f"  {error.where}")
    if error.excerpt:
        lines.extend(excerpt(style, error.excerpt, "    "))
    if error.advice:
        lines.extend(style.folded(error.advice, "  "))
    return [style.text(row) for row in lines]


def _one_error(style: Style, error: LinealError, pad: str) -> list[str]:
    first = f"{pad}{error.where}  " if error.where else pad
    rows = style.folded(error.message, first, pad + "    ")
    if error.excerpt:
        rows.extend(excerpt(style, error.excerpt, pad + "    "))
    if error.advice:
        rows.extend(style.folded(error.advice, pad + "    "))
    return rows


# ---------------------------------------------------------------------------------------- tables


def table(style: Style, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A framed table for a terminal; wide ones fold columns, and say how many."""
    import io

    from rich import box
    from rich.console import Console
    from rich.table import Table

    width = max(40, style.whole or style.width)
    shown = _columns_that_fit(columns, rows, width)
    grid = Table(box=box.ASCII if style.ascii else box.SQUARE, show_edge=True)
    for i in shown:
        number = any(isinstance(row[i], int | float) for row in rows)
        grid.add_column(columns[i], justify="right" if number else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(cell(row[i]) for i in shown))
    out = io.StringIO()
    Console(file=out, width=width, no_color=True, markup=False, highlight=False).print(grid)
    hidden = len(columns) - len(shown)
    more = f"… {plural(hidden, 'more column')}; --format csv shows all\n" if hidden else ""
    return out.getvalue() + more


def _columns_that_fit(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], width: int
) -> list[int]:
    shown: list[int] = []
    used = 1
    for i, name in enumerate(columns):
        widest = max([len(name), *(min(30, len(cell(row[i]))) for row in rows[:50])])
        used += widest + 3
        if shown and used > width:
            break
        shown.append(i)
    return shown


def cell(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, float) and math.isfinite(value) and 1e-4 <= abs(value) < 1e15:
        digits = max(2, 6 - len(str(int(abs(value)))))  # an amount is read, not its exponent
        return f"{value:.{digits}f}".rstrip("0").rstrip(".") if abs(value) >= 1 else f"{value:.6g}"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)
