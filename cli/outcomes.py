"""What is said of a run's steps as they settle, and at its end: lines for people."""

from __future__ import annotations

import math
from collections.abc import Sequence

import click

from lineal.assets.errors import UserCodeError
from lineal.assets.names import Step
from lineal.assets.records import CheckResult
from lineal.assets.run import Run, StepReport
from lineal.cli.environment import asked
from lineal.cli.gates import gate_lines, once, still
from lineal.cli.render import (
    Style,
    duration,
    excerpt,
    item,
    joint_name,
    listed,
    plural,
    shorten,
    step_names,
)

_SAMPLE = 6  # rows of a sample that are shown, its header among them
SEVERAL = 5  # more partitions than these, of which the same is to be said, are told together


def settled(style: Style, reports: Sequence[StepReport], width: int) -> list[str]:
    """The lines of one asset that has settled: made, reused, failed or blocked."""
    first = reports[0]
    name = joint_name([r.step for r in reports])
    if first.outcome == "failed":
        return _failed(style, first, name, width)
    if first.outcome == "blocked":
        return _blocked(style, reports, name, width)
    if first.gate is not None:
        return gate_lines(style, first, first.gate, width) + warnings(style, reports, width)
    glyph = style.glyph(first.outcome)
    what = _summary(reports)
    tries = f"{first.attempts} attempts" if first.attempts > 1 else ""
    if first.earlier is not None:
        lines = item(style, glyph, name, width, once(first.earlier.decided))
    elif first.outcome == "reused":
        what = f"{what}   as made before".strip()
        lines = item(style, glyph, name, width, what)
    else:
        told = f"{what}   {tries}".strip()
        lines = _dimmed(
            style, item(style, glyph, name, width, told, duration(first.seconds)), tries
        )
    return lines + warnings(style, reports, width)


def _dimmed(style: Style, lines: list[str], text: str) -> list[str]:
    """The lines with this text, where it stands last, made dim."""
    if not text or style.ascii:
        return lines
    for i in reversed(range(len(lines))):
        before, found, after = lines[i].rpartition(text)
        if found:
            return [*lines[:i], before + click.style(text, dim=True) + after, *lines[i + 1 :]]
    return lines


def warnings(style: Style, reports: Sequence[StepReport], width: int) -> list[str]:
    """What was made, and may surprise."""
    lines = [row for report in reports for row in _warnings(style, report, width)]
    return lines + _unwatched(style, reports[0], joint_name([r.step for r in reports]))


def _summary(reports: Sequence[StepReport]) -> str:
    first = reports[0]
    tables = [r.summary.split(" × ")[0] for r in reports if " × " in r.summary]
    if len(reports) > 1 and len(tables) == len(reports):
        return " + ".join(t.removesuffix("s").removesuffix(" row") for t in tables) + " rows"
    parts = [" + ".join(r.summary for r in reports)]
    shown = [f"{name} {_number(value)}" for name, value in first.metrics[:2]]
    passed = sum(c.passed for r in reports for c in r.checks)
    if passed:
        shown.append(f"{plural(passed, 'check')} passed")
    return "   ".join([f"{parts[0]:<16}", *shown]) if shown else parts[0]


def _number(value: float) -> str:
    if math.isfinite(value) and value == int(value) and abs(value) >= 10:
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
    if report.summary:
        lines.extend(style.folded(f"for {report.summary}", pad))
    if error is None:
        return lines
    if error.where:
        lines.extend(excerpt(style, error.where, pad))
    if error.excerpt:
        lines.extend(excerpt(style, error.excerpt, pad + "  "))
    if error.advice:
        lines.extend(style.folded(error.advice, pad))
    return [style.text(row) for row in lines]


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
    sample = check.sample[:_SAMPLE]
    widths = [
        min(18, max(len(row[i]) if i < len(row) else 0 for row in sample))
        for i in range(len(sample[0]))
    ]
    rows = []
    for row in sample:
        cells = [f"{shorten(cell, w):<{w}}" for cell, w in zip(row, widths, strict=False)]
        rows.append("  ".join(cells[:6]).rstrip())
    return rows


def _warnings(style: Style, report: StepReport, width: int) -> list[str]:
    glyph, name = style.glyph("warning"), str(report.step)
    given_up = (r.culprit for r in report.reasons if r.kind == "given_up")
    rows = [
        row for told in given_up for row in item(style, glyph, name, width, f"given up: {told}")
    ]
    return rows + [
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


def skipped(style: Style, reports: Sequence[StepReport]) -> list[str]:
    """Skipped steps, told together by what they wait for."""
    left_out = [r for r in reports if r.outcome == "skipped"]
    roots = _roots(left_out)
    groups: dict[tuple[str, ...], list[StepReport]] = {}
    for report in left_out:
        groups.setdefault(roots[report.step], []).append(report)
    sizes: dict[str, int] = {}
    for report in left_out:
        sizes[report.step.asset] = sizes.get(report.step.asset, 0) + 1
    crowds = [asset for asset, size in sizes.items() if size > SEVERAL]
    lines = []
    for needed, group in groups.items():
        few = [r for r in group if r.step.asset not in crowds]
        if few:
            told = f"{_some(style, few)}   skipped: need {_needed(needed)}{_kept(few)}"
            lines.extend(style.folded(told, f"  {style.glyph('skipped')} "))
    for asset in crowds:
        crowd = [r for r in left_out if r.step.asset == asset]
        because = _because([name for r in crowd for name in roots[r.step]], reports)
        told = f"{asset}   skipped {plural(len(crowd), 'partition')}, {because}{_kept(crowd)}"
        lines.extend(style.folded(told, f"  {style.glyph('skipped')} "))
    return [style.text(row) for row in lines]


def cancelled(style: Style, reports: Sequence[StepReport]) -> list[str]:
    """The steps that were not made any more when the run was stopped."""
    left_out = [r for r in reports if r.outcome == "cancelled"]
    if not left_out:
        return []
    told = f"{_some(style, left_out)}   cancelled{_kept(left_out)}"
    return style.folded(told, f"  {style.glyph('cancelled')} ")


def _needed(names: Sequence[str]) -> str:
    parts = [name.partition(" ") for name in names]
    return ", ".join(step_names(Step(asset, key or None) for asset, _, key in parts))


def _some(style: Style, reports: Sequence[StepReport]) -> str:
    names = step_names((r.step for r in reports), SEVERAL)
    return listed(style, names, 6) + (f" ({len(reports):,})" if len(names) > 6 else "")


def _kept(reports: Sequence[StepReport]) -> str:
    return "; they keep their current versions" if any(r.current for r in reports) else ""


def _because(roots: Sequence[str], reports: Sequence[StepReport]) -> str:
    """`because flights failed`, of the assets whose steps are at the root of it."""
    names = tuple(dict.fromkeys(root.partition(" ")[0] for root in roots))
    failed = {r.step.asset for r in reports if r.outcome == "failed"}
    verb = "failed" if not failed.isdisjoint(names) else f"{_was(names)} blocked"
    return f"because {', '.join(names[:3])}{', …' if len(names) > 3 else ''} {verb}"


def _was(names: Sequence[str]) -> str:
    return "was" if len(names) == 1 else "were"


def _roots(left_out: Sequence[StepReport]) -> dict[Step, tuple[str, ...]]:
    """What each step waits for in the end: not what was itself skipped, but what that needs."""
    found: dict[Step, tuple[str, ...]] = {}
    named: dict[str, dict[str, None]] = {}  # by step, and by asset for all its partitions
    for report in left_out:  # inputs come before their readers
        roots: dict[str, None] = {}
        for name in report.because:
            roots.update(named.get(name, {name: None}))
        found[report.step] = tuple(roots)
        for name in {str(report.step), report.step.asset, report.maker}:
            named.setdefault(name, {}).update(roots)
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
    order = (
        "failed",
        "blocked",
        "made",
        "closed",
        "reused",
        "retired",
        "skipped",
        "cancelled",
        "fresh",
    )
    counts["retired"] = len(run.retired)
    told = ", ".join(f"{counts[w]:,} {w}" for w in order if counts[w])
    if run.outcome == "done":
        answer = f"{told or 'nothing'} in {duration(run.seconds)} · run {run.id}"
    elif run.outcome == "cancelled":
        answer = f"Stopped: {told} · run {run.id} · exit 130"
    else:
        name = f" · run {run.id}" if run.id else ""
        answer = f"{told}{name} · exit {exit_code(run)}"
    lines = style.folded(answer, "") + still(run.steps)
    for row in _advice(run):
        lines.extend(style.folded(row, "  ", "      "))
    return [style.text(row) for row in lines]


def _advice(run: Run) -> list[str]:
    failed = next((r for r in run.steps if r.outcome == "failed"), None)
    if failed is not None:
        kept = run.counts["made"] + run.counts["reused"]
        carries = f"; the {kept} are kept" if kept > 1 else ""
        rows = [(f"lineal materialize{asked()}", f"carries on from here{carries}")]
        if isinstance(failed.error, UserCodeError):
            rows.insert(0, (f"lineal logs {_words(failed.step)}{asked()}", "the whole traceback"))
        wide = max((len(command) for command, _ in rows if len(command) < 40), default=0)
        return [f"{command:<{wide}}    {what}" for command, what in rows]
    blocked = next((r for r in run.steps if r.outcome == "blocked" and r.version), None)
    if blocked is not None and blocked.version:
        if " × " not in blocked.summary:
            version = f"{blocked.step.asset}@{blocked.version[:6]}"
            words = _words(Step(version, blocked.step.partition))
            return [f"lineal path {words}      the refused version"]
        view = f'"{blocked.step}@{blocked.version[:6]}"'
        return [f"lineal sql 'from {view}'      look at the refused version"]
    if run.outcome == "cancelled":
        kept = run.counts["made"] + run.counts["reused"]
        carries = f"; the {kept:,} are kept" if kept > 1 else ""
        return [f"lineal materialize{asked()}    carries on{carries}"]
    return []


def _words(step: Step) -> str:
    """A step as the command line takes it."""
    return step.asset if step.partition is None else f"{step.asset} --partition {step.partition}"
