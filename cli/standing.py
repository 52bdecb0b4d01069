"""What `status` says: how the whole project stands, as lines."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from lineal.answers import ModelStanding, Status
from lineal.assets.names import Step
from lineal.assets.notebook import size_text
from lineal.assets.plan import PlannedStep
from lineal.assets.records import ErrorFacts
from lineal.assets.registries import PRODUCTION
from lineal.assets.verdicts import Stale
from lineal.cli.documents import plan_document
from lineal.cli.environment import asked, named
from lineal.cli.model_lines import held_text, hold_document, number, promotion_document
from lineal.cli.planned import reason_lines, retired_lines
from lineal.cli.render import (
    Style,
    clipped,
    item,
    listed,
    moment,
    name_column,
    plural,
    span,
    step_names,
)
from lineal.cli.story import said
from lineal.project import Project

_STATES = ("fresh", "stale", "due", "pending", "blocked", "failed")  # the worst last
_WORDS = 50  # columns of what is said of an error
_CELLS = {
    "fresh": "█=", "stale": "▒-", "due": "▒-", "pending": "░?", "blocked": "■#", "failed": "✗x",
}  # fmt: skip


def status_lines(style: Style, project: Project, found: Status, verbose: bool) -> list[str]:
    steps = found.plan.steps
    makers = {s.maker for s in steps}
    whole = f"{plural(len(makers), 'asset')}, {plural(len(steps), 'step')}"
    groups = _by_state(steps, found.failing)
    gone = retired_lines(style, found.plan.retired)
    where = f"{named(project)} · " if named(project) else ""
    if set(groups) == {"fresh"} and not gone and not verbose:
        return style.folded(f"{where}{whole}: all fresh.{_serving(found)}", "", "  ")
    if not steps and not gone:
        return _empty(style, project)
    lines = [f"{project.name} · {where}{whole}", ""]
    if verbose:
        lines.extend(_every_step(style, steps, found))
    else:
        for name, group in groups.items():
            lines.extend(_state(style, name, group, found))
    lines.extend(gone)
    count, size = found.usage
    shown = project.store.relative_to(project.root) if _inside(project) else project.store
    lines.extend(_models(style, found))
    lines.extend(("", f"store    {shown}  {size_text(size)}, {plural(count, 'object')}"))
    if gone or any(name != "fresh" for name in groups):
        lines.extend(("", f"  lineal plan{asked()}"))
    return [style.text(row) for row in lines]


def _serving(found: Status) -> str:
    """` delays@production = v3. delays is held since 21 Nov 18:03.`"""
    live = [m for m in found.models if m.production is not None]
    told = [f"{m.registry}@{PRODUCTION} = v{m.production.version}" for m in live if m.production]
    held = "".join(f" {m.registry} is {held_text(m.hold)}." for m in found.models if m.hold)
    return (f" {', '.join(told)}." if told else "") + held


def _models(style: Style, found: Status) -> list[str]:
    """`models   delays   production v3 (21 Nov 18:03, auc 0.8124) · 2 candidates closed since`"""
    rows: list[str] = []
    width = name_column(m.registry for m in found.models)
    for standing in found.models:
        told = ["nothing in production"]
        if standing.production is not None:
            score = standing.score
            measured = f", {score[0]} {number(score[1])}" if score is not None else ""
            when = f"({moment(standing.production.at)}{measured})"
            told = [f"{PRODUCTION} v{standing.production.version} {when}"]
        if standing.closed:
            told.append(f"{plural(standing.closed, 'candidate')} closed since")
        if standing.hold is not None:
            told.append(held_text(standing.hold))
        head = f"{'' if rows else 'models':<8} {style.name(standing.registry, width)}   "
        rows += style.folded(" · ".join(told), head)
    return ["", *rows] if rows else []


def status_document(found: Status) -> dict[str, Any]:
    """As `plan`, and what is in production of each registry."""
    return {**plan_document(found.plan), "models": [_model_document(m) for m in found.models]}


def _model_document(standing: ModelStanding) -> dict[str, Any]:
    return {
        "registry": standing.registry,
        "production": promotion_document(standing.production),
        "held": hold_document(standing.hold),
        "closed_since": standing.closed,
    }


def _empty(style: Style, project: Project) -> list[str]:
    told = f"{project.name} declares no assets yet."
    advice = "begin with an `@asset` or a `source(…)`; `lineal init DIR` writes an example"
    return [*style.folded(told, "", "  "), *style.folded(advice, "  ")]


def _inside(project: Project) -> bool:
    return project.store.is_relative_to(project.root)


def _by_state(
    steps: Iterable[PlannedStep], failing: frozenset[Step]
) -> dict[str, list[PlannedStep]]:
    found: dict[str, list[PlannedStep]] = {}
    for step in steps:
        found.setdefault(_state_of(step, failing), []).append(step)
    return {name: found[name] for name in _STATES if name in found}


def _state_of(step: PlannedStep, failing: frozenset[Step]) -> str:
    if step.action == "blocked":
        return "blocked"
    if step.step in failing and step.verdict.name != "fresh":
        return "failed"
    if isinstance(step.verdict, Stale) and {r.kind for r in step.verdict.reasons} == {"due"}:
        return "due"
    return step.verdict.name


def _state(style: Style, name: str, group: Sequence[PlannedStep], found: Status) -> list[str]:
    told = f"  {name:<8} {len(group):>3}"
    if name == "fresh":
        return [told]
    names = listed(style, step_names(s.step for s in group), 4)
    return style.folded(f"{names}{_because(style, name, group[0], found)}", f"{told}    ")


def _first_words(style: Style, error: ErrorFacts) -> str:
    words = said(error)
    if style.piped or span(words) <= _WORDS:
        return words
    return clipped(words, _WORDS).rstrip() + style.mark


def _because(style: Style, name: str, step: PlannedStep, found: Status) -> str:
    last = found.lasts.get(step.step)
    if name == "failed" and last is not None and last.error is not None:
        return f" ← {_first_words(style, last.error)}, since {moment(last.started_at)}"
    if isinstance(step.verdict, Stale) and step.verdict.reasons:
        return f" ← {reason_lines(step.verdict.reasons, 1)[0]}"
    return ""


def _every_step(style: Style, steps: Sequence[PlannedStep], found: Status) -> list[str]:
    """One line a step; of an asset in partitions, one line for all."""
    crowds: dict[str, list[PlannedStep]] = {}
    for step in steps:
        crowds.setdefault(step.step.asset, []).append(step)
    width = name_column(crowds)
    rows: list[str] = []
    for asset, group in crowds.items():
        if group[0].step.partition is not None:
            rows.extend(_strip(style, asset, group, found, width))
        else:
            rows.extend(_step(style, group[0], found, width))
    return rows


def _step(style: Style, step: PlannedStep, found: Status, width: int) -> list[str]:
    state = _state_of(step, found.failing)
    current = found.currents.get(step.step)
    content = current.content if current is not None else None
    what = content.summary if content is not None else "never published"
    version = f"@{content.digest[:6]}" if content is not None else ""
    told = f"{state:<8} {what:<18} {version}"
    return item(style, style.glyph(state), str(step.step), width, told)


def _strip(
    style: Style, asset: str, group: Sequence[PlannedStep], found: Status, width: int
) -> list[str]:
    """`████████▒▒▒■  8 fresh · 3 stale · 1 blocked`: the partitions in their order."""
    states = [_state_of(step, found.failing) for step in group]
    worst = max(states, key=_STATES.index)
    cells = min(len(states), max(8, style.width // 4))
    edges = [len(states) * i // cells for i in range(cells + 1)]
    shown = [max(states[a:b], key=_STATES.index) for a, b in itertools.pairwise(edges)]
    bar = "".join(_CELLS[state][style.ascii] for state in shown)
    told = " · ".join(f"{states.count(s):,} {s}" for s in _STATES if s in states)
    return item(style, style.glyph(worst), asset, width, f"{bar}  {told}")
