"""What is said of gates: whether one opens, and what stays in production; as lines and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lineal.assets.records import Decided, Score
from lineal.assets.run import StepReport
from lineal.assets.verdicts import Known
from lineal.cli.render import Style, duration, item, moment, plural


def gate_lines(style: Style, report: StepReport, found: Decided, width: int) -> list[str]:
    """`◆ auc   opens: 0.8189 vs 0.8124 of delays v3 (+0.0065, needs +0.002) → delays v4, …`."""
    tries = f"   {report.attempts} attempts" if report.attempts > 1 else ""
    rows = decided_line(style, found, width, tries, duration(report.seconds))
    if found.outcome == "closed" and found.scores[0].production is not None and report.scored_on:
        on = ", ".join(map(_version, report.scored_on))
        rows += style.folded(f"both scored on {on}", style.pad(width))
    return rows


def _version(known: Known) -> str:
    """`test@51ab09, 82,609 rows`."""
    content = known.content
    if content is None:
        return known.asset
    rows = "" if content.rows is None else f", {plural(content.rows, 'row')}"
    return f"{known.asset}@{content.digest[:6]}{rows}"


def decided_line(
    style: Style, found: Decided, width: int, more: str = "", right: str = ""
) -> list[str]:
    """A decision behind its gate."""
    opens = found.outcome in ("opened", "would open")
    glyph = style.glyph("made" if found.outcome == "kept" else "opened" if opens else "closed")
    return item(style, glyph, found.gate, width, f"{told(found)}{more}", right)


def told(found: Decided) -> str:
    """The decision as one sentence."""
    elsewhere = f"; the environment {found.environment} does not promote"
    match found.outcome:
        case "opened":
            now = f"{found.registry} v{found.version}, {found.alias}"
            return f"opens: {found.reason} → {now}"
        case "closed":
            return f"stays closed: {found.reason}"
        case "would open":
            return f"would open: {found.reason}{elsewhere}"
        case "would close":
            return f"would stay closed: {found.reason}{elsewhere}"
        case "held":
            return f"{found.reason}. Release: lineal models release {found.registry}"
        case _:
            return found.reason


def once(found: Decided) -> str:
    """A decision that was taken over: `decided 22 Nov 16:30: stays closed, 0.81 vs 0.82 of …`."""
    was = {
        "opened": f"opened as {found.registry} v{found.version}",
        "closed": "stays closed",
        "kept": f"is {found.registry} v{found.version}",
        "would open": "would open",
        "would close": "would stay closed",
    }.get(found.outcome, found.outcome)
    reason = "" if found.outcome == "kept" else f", {found.reason}"
    return f"decided {moment(found.at)}: {was}{reason}"


def behind(found: Decided) -> list[tuple[str, str]]:
    """What stands behind a decision: (word, text) in the order in which they are told."""
    others = f"{found.registry} v{found.compared}" if found.compared else ""
    rows = [("decided", f"{moment(found.at)} (run {found.run}): {told(found)}")]
    rows += [("" if i else "rule", f"{m}: {rule}") for i, (m, rule) in enumerate(found.rules)]
    for i, score in enumerate(found.scores):
        rival = "" if score.production is None else f"   {score.production:g} of {others}"
        rows.append(("" if i else "scores", f"{score.metric} {score.candidate:g}{rival}"))
    return [*rows, ("model", f"@{found.content[:6]} ({found.candidate})")]


def still(reports: Iterable[StepReport]) -> list[str]:
    """`delays@production is still v3.`, of each alias that a gate did not move, or came not to.

    And `delays@production is v3.` where what a gate decided earlier is of another version.
    """
    found: dict[str, str] = {}
    for report in reports:
        told = _standing(report)
        if told is not None:
            found[told[0]] = f"{told[0]} {told[1]}."
        elif report.gate is not None:
            found.pop(f"{report.gate.registry}@{report.gate.alias}", None)
    return list(found.values())


def _standing(report: StepReport) -> tuple[str, str] | None:
    """An alias and what it names, if the gate did not just settle that."""
    gate = report.gate
    if report.earlier is not None:
        was, live = report.earlier
        there = f"is v{live}" if live else "names nothing"
        return None if was.version == live else (f"{was.registry}@{was.alias}", there)
    if report.stays is not None:
        name, version = report.stays
    elif gate is not None and report.outcome == "closed":
        name, version = f"{gate.registry}@{gate.alias}", gate.compared
    else:
        return None
    return name, f"is still v{version}" if version else "names nothing yet"


def named(version: int | None) -> str | None:
    """A registered version in `--json`: `v3`."""
    return None if version is None else f"v{version}"


def gate_document(found: Decided | None) -> dict[str, Any] | None:
    """A decision for `--json`."""
    if found is None:
        return None
    return {
        "registry": found.registry,
        "alias": found.alias,
        "outcome": found.outcome,
        "reason": found.reason,
        "version": named(found.version),
        "compared": named(found.compared),
        "scores": scores_document(found.scores),
    }


def scores_document(scores: Iterable[Score]) -> list[dict[str, Any]]:
    """What was compared, by metric."""
    return [score._asdict() for score in scores]
