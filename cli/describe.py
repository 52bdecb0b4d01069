"""What the asking verbs say: status, why, show; as lines for people and values for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lineal.answers import Explanation, InputNow, Shown
from lineal.assets.actions import told_of
from lineal.assets.content import columns_difference
from lineal.assets.names import Step
from lineal.assets.notebook import size_text
from lineal.assets.plan import condition
from lineal.assets.records import AssetFacts, CheckResult, Content, Materialization, Reason, Used
from lineal.assets.verdicts import Pending, Stale
from lineal.cli.columns import column_lines
from lineal.cli.documents import planned_step
from lineal.cli.gates import behind, gate_document
from lineal.cli.outcomes import SEVERAL, sample_table
from lineal.cli.planned import reason_lines, without
from lineal.cli.render import (
    Style,
    duration,
    moment,
    plural,
    shorten,
    step_names,
)

_COLUMNS = 6  # of the columns read, those that are named
_METRICS = 12  # that are named

# ------------------------------------------------------------------------------------------- why


def why_lines(style: Style, found: Explanation) -> list[str]:
    step = found.step
    name = str(step.step)
    verdict = step.verdict
    lines: list[str] = []
    if found.part is not None:
        told = f"{name} is made as a whole, {found.part} with all its other partitions."
        lines.extend(style.folded(told, "", "  "))
    if isinstance(verdict, Stale):
        headline = f"{name} is stale: {_headline(verdict.reasons, found)}"
        lines.extend(style.folded(headline, "", "  "))
        lines.append("")
        for reason in verdict.reasons:
            lines.extend(_reason(style, reason))
    elif isinstance(verdict, Pending):
        told = f"{name} is pending: it will be made {condition(verdict)}"
        told += "" if told.endswith("…") else "."
        lines.extend(style.folded(told, "", "  "))
        lines.extend(_upstream(style, found))
    elif found.made is None or found.made.kind == "action":
        lines.extend(style.folded(f"{name} is fresh: {_acted(found)}.", "", "  "))
    else:
        told = f"{name} is fresh: nothing it reads has changed{_since(found)}."
        lines.extend(style.folded(told, "", "  "))
        if found.made is not None and found.made.recipe != found.recipe.digest:
            told = "Its code is another: a person accepted it as equal (lineage.acceptance)."
            lines.extend(style.folded(told, "  ", "  "))
        lines.extend(_unread_changes(style, found))
    if found.decided is not None:
        lines.append("")
        for word, text in behind(found.decided):
            lines.extend(style.folded(text, f"    {word:<13} "))
    lines.extend(("", *_rest(style, found)))
    if isinstance(verdict, Stale) and {r.kind for r in verdict.reasons} == {"code_changed"}:
        lines.extend(
            ("", f'  Same result, you are sure?   lineal accept {step.step.asset} --reason "…"')
        )
    return [style.text(row) for row in lines]


def _acted(found: Explanation) -> str:
    """What there is to say of an action that has nothing to do; only one may never have run."""
    if found.made is None:
        return "nothing was promoted that it is to run for"
    return f"it ran for {told_of(found.made)}, and nothing was promoted since"


def _headline(found: Sequence[Reason], explanation: Explanation) -> str:
    kinds = list(dict.fromkeys(r.kind for r in found))
    if explanation.decision.action == "rule":
        return "its scores are known, and it has to decide on them."
    if kinds == ["never_made"]:
        return "it was never made."
    if kinds == ["code_changed"]:
        parts = len(explanation.recipe.parts)
        return f"its code changed in {len(found)} of {plural(parts, 'part')}."
    words = {
        "code_changed": "its code changed",
        "parameter_changed": "a parameter changed",
        "environment_changed": "its environment changed",
        "input_changed": "an input changed",
        "contract_changed": "its contract changed",
        "check_changed": "a check, or what it reads, is new or changed",
        "check_failed": "an error check refuses this version",
        "object_missing": "its object is missing from the store",
        "unproved": "it read a file that no source declares, and that file changed",
        "volatile": "it is volatile, so stale in every run",
        "due": "it is due to be fetched again",
        "forced": "it was forced",
        "promoted": "its alias was moved",
        "given_up": "it failed for an older move",
        "never_made": "it was never published",
    }
    return " and ".join(words[k] for k in kinds) + "."


def _reason(style: Style, reason: Reason) -> list[str]:
    if (reason.old or reason.new) and reason.kind != "check_failed":
        head = f"  {reason.where or reason.kind.replace('_', ' ')}   {reason.culprit}"
        return [head.rstrip(), f"    - {reason.old or '(none)'}", f"    + {reason.new or '(none)'}"]
    return style.folded(reason_lines([reason])[0], "  ", "    ")


def _upstream(style: Style, found: Explanation) -> list[str]:
    alike: dict[str, list[Step]] = {}  # by what is said of them
    for step in found.upstream:
        if isinstance(step.verdict, Stale):
            reasons = [without(r, step.step.partition) for r in step.verdict.reasons[:1]]
            alike.setdefault(reason_lines(reasons)[0], []).append(step.step)
    rows = [
        row
        for told, steps in alike.items()
        for name in step_names(steps)
        for row in style.folded(told, f"  {name}   ", "      ")
    ]
    return ["", *rows] if rows else []


def _unread_changes(style: Style, found: Explanation) -> list[str]:
    """What changed on the way here without being read."""
    rows = []
    for used, now, before, _ in found.inputs:
        if now is not None and before is not None and now.digest != before.digest:
            what = columns_difference(before, now)
            told = f"{Step(used.asset, used.partition)} got new content, {what}; "
            told += "nothing on the way here reads it."
            rows.extend(style.folded(told, "  "))
    return ["", *rows] if rows else []


def _since(found: Explanation) -> str:
    if found.made is None:
        return ""
    return f" since {moment(found.made.started_at)} (run {found.made.run})"


def _rest(style: Style, found: Explanation) -> list[str]:
    made = found.made
    cost = f", {duration(made.seconds)}" if made is not None and made.seconds else ""
    past = f"compared with {moment(made.started_at)} (run {made.run}{cost})" if made else "now"
    code = [p.name for p in found.recipe.parts]
    shown = ", ".join(code[:4]) + (", …" if len(code) > 4 else "")
    packages = dict(found.environment.packages)
    main = [f"{n} {packages[n]}" for n in ("pandas", "scikit-learn", "duckdb") if n in packages]
    versions = ", ".join([f"python {found.environment.python}", *main[:2]])
    told = [
        ("code", f"{plural(len(code), 'part'):<10}  {shown}"),
        ("packages", f"{len(packages):<10}  {versions}"),
        ("parameters", ", ".join(f"{n}={v}" for n, v in found.parameters) or "none"),
    ]
    told.extend(("" if i else "inputs", read) for i, read in enumerate(_inputs(found)))
    told.append(("not followed", "; ".join(found.recipe.opaque) or "nothing"))
    if found.recipe.impure:
        told.append(("impure", "; ".join(found.recipe.impure)))
    rows = style.folded(f"what it rests on, {past}:", "  ")
    for word, text in told:
        rows.extend(style.folded(text, f"    {word:<13} "))
    return rows


def _inputs(found: Explanation) -> list[str]:
    """What is read of each input; many partitions of one are told together."""
    groups: dict[str, list[InputNow]] = {}
    for one in found.inputs:
        groups.setdefault(one.used.parameter, []).append(one)
    rows = []
    for group in groups.values():
        (used, content, _, doubt), count = group[0], len(group)
        which = f"all columns: {doubt}" if doubt else _which(used, content)
        told = [f"  {which}"] if which else []  # once: it is the same of all partitions
        if count > SEVERAL:
            rows += [_input(used, content, f"{used.asset} [{count:,} partitions]", ""), *told]
            continue
        for one in group:
            name, version = str(Step(one.used.asset, one.used.partition)), one.used.content[:6]
            rows += [_input(one.used, one.content, name, f"@{version}"), *told]
            told = []
            unread = _unread(one.used, one.content, one.before)
            rows += [f"  not read: {unread}"] if unread else []
    return rows


def _input(used: Used, content: Content | None, name: str, version: str) -> str:
    whole = len(content.columns) if content is not None and content.columns else 0
    if used.mode in ("columns", "shape"):
        read = f"{len(used.columns)} of {plural(whole, 'column')} read"
    elif used.mode == "files":
        read = "its files, by their bytes"
    else:
        read = f"{whole} of {plural(whole, 'column')} read" if whole else "read whole"
    return f"{name:<17} {read:<26} {version}".rstrip()


def _which(used: Used, content: Content | None) -> str:
    """`origin, dep_delay`: the columns read, unless those are all."""
    if used.mode not in ("columns", "shape"):
        return ""
    if content is not None and len(used.columns) == len(content.columns):
        return ""
    shown = ", ".join(used.columns[:_COLUMNS]) + (", …" if len(used.columns) > _COLUMNS else "")
    told = shown or "how many rows it has"
    return f"{told}; and the names of the others" if used.mode == "shape" else told


def _unread(used: Used, now: Content | None, before: Content | None) -> str:
    """`column wind_gust`: what changed of an input that is not read."""
    if used.mode != "columns" or now is None or before is None or now.digest == before.digest:
        return ""
    return columns_difference(before, now)


def why_document(found: Explanation) -> dict[str, Any]:
    """One step as in `plan`, with its inputs and recipe parts."""
    return {
        **planned_step(found.step),
        "gate": gate_document(found.decided),
        "parameters": dict(found.parameters),
        "environment": {
            "python": found.environment.python,
            "packages": dict(found.environment.packages),
        },
        "inputs": [
            {
                "parameter": used.parameter,
                "asset": used.asset,
                "partition": used.partition,
                "mode": used.mode,
                "columns": list(used.columns),
                "version": used.content,
                "used": used.digest,
                "doubt": doubt,
            }
            for used, _, _, doubt in found.inputs
        ],
        "recipe": {
            "digest": found.recipe.digest,
            "parts": [
                {
                    "name": p.name,
                    "kind": p.kind,
                    "digest": p.digest,
                    "value": p.value,
                    "where": p.where,
                    "via": p.via,
                }
                for p in found.recipe.parts
            ],
            "opaque": list(found.recipe.opaque),
            "impure": list(found.recipe.impure),
        },
    }


# ------------------------------------------------------------------------------------------ show


def show_lines(style: Style, found: Shown, verbose: bool) -> list[str]:
    made = found.made
    content = made.content
    told = found.told
    head = [version_text(made) if found.asked else str(made.step), *declared(told)]
    if content is not None:
        head.append(content.summary)
        if content.bytes:
            head.append(size_text(content.bytes))
    lines = style.folded("   ".join(head), "", "  ")
    if content is not None and content.columns:
        lines.extend(column_lines(found.value, content, verbose, style, told))
    elif content is not None and content.format == "json":
        lines.append(f"  {shorten(repr(found.value), style.width - 4)}")
    for word, text in _facts_of(found):
        lines.extend(style.folded(text, f"{word:<9}"))
    if found.checks:
        results = "  ".join(_check(style, c) for c in found.checks)
        lines.extend(style.folded(results, "checks   "))
        for check in found.checks:
            lines.extend(f"         {row}" for row in sample_table(check))
    if made.inputs:
        lines.extend(style.folded("   ".join(_reads(made.inputs)), "reads    "))
    if found.feeds:
        lines.extend(style.folded(", ".join(found.feeds), "feeds    "))
    lines.extend(style.folded("   ".join(_versions(found, verbose)), "versions "))
    return [style.text(row) for row in lines]


def _facts_of(found: Shown) -> Iterator[tuple[str, str]]:
    """What a version is for, its metrics, what a gate decided of it, its parameters: in words."""
    made = found.made
    if found.registered:
        yield "models", ", ".join(found.registered)
    if made.kind == "action":
        yield "for", told_of(made)
    if made.metrics:
        shown = [f"{n} {v:.4g}" for n, v in made.metrics[:_METRICS]]
        more = len(made.metrics) - len(shown)
        yield "metrics", "   ".join([*shown, *([f"and {more:,} more"] if more else [])])
    if found.decided is not None:
        yield from behind(found.decided)
    if made.parameters:
        yield "set", "   ".join(f"{n}={v}" for n, v in made.parameters)


def version_text(made: Materialization) -> str:
    """`flights 2013-12@9f3a2c`."""
    return f"{made.step}@{made.content.digest[:6]}" if made.content is not None else str(made.step)


def _reads(inputs: Sequence[Used]) -> list[str]:
    """`flights (origin, dep_delay)`, `weather`: each input, with the columns read of it."""
    each: dict[str, str] = {}
    for used in inputs:
        which = _which(used, None)
        each.setdefault(used.parameter, f"{used.asset} ({which})" if which else used.asset)
    return list(each.values())


def declared(told: AssetFacts | None) -> list[str]:
    """`"The flights of a month."`, `pipeline.py:14`."""
    if told is None:
        return []
    described = told.description.splitlines()[:1]
    return [*(f'"{row}"' for row in described), *([told.where] if told.where else [])]


def _check(style: Style, check: CheckResult) -> str:
    from lineal.cli.render import GLYPHS

    glyph, twin, _ = GLYPHS["made" if check.passed else "failed"]
    return f"{check.name} {twin if style.ascii else glyph}"


def _versions(found: Shown, verbose: bool) -> list[str]:
    seen: dict[str, Materialization] = {}
    for made in found.versions:
        if made.content is not None:
            seen.setdefault(made.content.digest, made)
    current = next((m for m in found.versions if m.id == found.current), None)
    now = current.content.digest if current is not None and current.content else None
    rows = []
    for digest, made in list(seen.items())[: None if verbose else 4]:
        mark = " ●" if digest == now else (" blocked" if made.outcome == "blocked" else "")
        rows.append(f"{digest[:6]} {moment(made.started_at)}{mark}")
    return rows


def show_document(found: Shown) -> dict[str, Any]:
    made, content, told = found.made, found.made.content, found.told
    said = dict(told.columns) if told is not None else {}
    return {
        "asset": made.asset,
        "partition": made.partition,
        "kind": made.kind,
        "description": told.description if told is not None else "",
        "where": told.where if told is not None else "",
        "version": content.digest if content is not None else None,
        "format": content.format if content is not None else None,
        "rows": content.rows if content is not None else None,
        "columns": [
            {
                "name": c.name,
                "type": c.type,
                "digest": c.digest,
                "description": said.get(c.name, ""),
            }
            for c in (content.columns if content is not None else ())
        ],
        "registered": list(found.registered),
        "metrics": dict(made.metrics),
        "gate": gate_document(found.decided),
        "metadata": dict(made.metadata),
        "parameters": dict(made.parameters),
        "checks": [
            {
                "name": c.name,
                "severity": c.severity,
                "passed": c.passed,
                "failing_rows": c.failing_rows,
                "message": c.message,
            }
            for c in found.checks
        ],
        "feeds": list(found.feeds),
        "versions": [
            {
                "version": m.content.digest,
                "run": m.run,
                "outcome": m.outcome,
                "current": m.id == found.current,
            }
            for m in found.versions
            if m.content is not None
        ],
    }
