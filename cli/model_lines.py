"""What `models` says of registries and of moves by hand: lines for people, values for JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lineal.answers import Models, ModelVersion, Moved, RegistryShown
from lineal.assets.records import Hold, Promotion
from lineal.assets.registries import PRODUCTION
from lineal.assets.run import StepReport
from lineal.cli.documents import instant, run_document
from lineal.cli.environment import asked
from lineal.cli.gates import named, scores_document
from lineal.cli.render import Style, duration, error_lines, moment, padded, plural, span

_VERSIONS = 20  # of a registry


def models_lines(style: Style, found: Models) -> list[str]:
    """A table for each registry, its newest version first."""
    if not found.registries:
        told = "No model is registered: a gate registers what it lets through, or you do."
        rows = style.folded(told, "", "  ")
        return [*rows, "", "  lineal models promote REGISTRY --from ASSET"]
    rows = []
    for registry in found:
        rows += [*([""] if rows else []), *_registry(style, registry)]
    return [style.text(row).rstrip() for row in rows]


def _registry(style: Style, found: RegistryShown) -> list[str]:
    versions = found.versions if style.piped else found.versions[:_VERSIONS]
    if not versions:  # a gate scored, and let nothing through
        return [f"{found.name}   no version yet", *_below(style, found)]
    head = (found.name, found.metric or "metric", "trained on", "code", "when")
    table = [head, *_cells(versions, found.metric)]
    filled = [i for i in range(len(head)) if any(row[i] for row in table[1:])]
    widths = {i: max(span(row[i]) for row in table) for i in filled}
    lines = ["  ".join(padded(row[i], widths[i]) for i in filled).rstrip() for row in table]
    rows = lines[:1]
    for version, line in zip(versions, lines[1:], strict=True):
        rows += _with_notes(style, line, "   ".join(_notes(version)), widths[0] + 2)
    if len(found.versions) > len(versions):
        rows.append(f"  … and {len(found.versions) - len(versions):,} more (--json has all)")
    return [*rows, *_below(style, found)]


def _cells(versions: Sequence[ModelVersion], metric: str) -> list[tuple[str, ...]]:
    """Of each version: its number, metric, what it was trained on, commit, when it was made."""
    numbers = max((span(str(v.registered.version)) for v in versions), default=1)
    rows = [plural(v.rows, "row") if v.rows is not None else "" for v in versions]
    widest = max(map(span, rows), default=0)
    found: list[tuple[str, ...]] = []
    for version, count in zip(versions, rows, strict=True):
        value, run = version.metrics.get(metric), version.run
        mark = "●" if PRODUCTION in version.aliases else " "
        found.append((
            f"  v{version.registered.version:<{numbers}}  {mark} ",
            number(value) if value is not None else "",
            f"{count:>{widest}}{_of(version.partitions)}",
            f"{run.git_commit[:7]}{'+' if run.git_dirty else ''}" if run and run.git_commit else "",
            moment(version.registered.at),
        ))  # fmt: skip
    return found


def _of(partitions: Sequence[str]) -> str:
    """` of 2013-01…09`: they stand behind the rows, which may be but some of theirs."""
    return f" of {span_of(partitions)}" if partitions else ""


def _with_notes(style: Style, line: str, notes: str, indent: int) -> list[str]:
    whole = f"{line}   {notes}".rstrip()
    if style.piped or span(whole) <= style.width:
        return [whole]
    return [line, " " * indent + notes]


def _notes(version: ModelVersion) -> list[str]:
    """Aliases, tags, and what else is to be known."""
    told = [*version.aliases, *(f"#{tag}" for tag in version.tags)]
    if version.withdrawn is not None:
        told.append(f"withdrawn {_later(version.registered.at, version.withdrawn.at)}")
    if version.made is None:
        told.append("nothing is recorded of it any more")
    return told


def _later(first: float, then: float) -> str:
    """`09:04` on the same day, `23 Nov` on another."""
    day, _, time = moment(then).rpartition(" ")
    return time if moment(first).startswith(day) else day


def _below(style: Style, found: RegistryShown) -> list[str]:
    told = [held_text(found.hold)] if found.hold is not None else []
    there = {version.registered.version for version in found.versions}
    told += [
        f"{alias} is v{move.version}, and nothing is recorded of that: "
        f"lineal models promote {found.name} vN"
        for alias, move in found.aliases.items()
        if move.version not in there
    ]
    if len(found.versions) > 1:
        one, other = found.versions[1].registered.version, found.versions[0].registered.version
        told.append(f"lineal models compare {found.name} v{one} v{other}")
    return ["", *style.folded("  ·  ".join(told), "", "  ")] if told else []


def held_text(hold: Hold) -> str:
    reason = f': "{hold.reason}"' if hold.reason else ""
    return f"held since {moment(hold.at)}{reason}"


def span_of(keys: Sequence[str]) -> str:
    """`2013-01…09`: the first partition and the last, without what both begin with."""
    if len(keys) < 2:
        return "".join(keys)
    first, last = keys[0], keys[-1]
    pairs = enumerate(zip(first, last, strict=False))
    same = next((i for i, (one, other) in pairs if one != other), 0)
    begin = max((first.rfind(sign, 0, same) + 1 for sign in "-/T:"), default=0)
    return f"{first}…{last[begin:]}"


def number(value: float) -> str:
    """A metric, with four digits behind the point where it is small."""
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) >= 10:
        return f"{int(value):,}"
    return f"{value:.4f}" if abs(value) < 100 else f"{value:,.1f}"


# ------------------------------------------------------------------------------------------- moves


def moved_lines(style: Style, moved: Moved, source: str | None = None) -> list[str]:
    """`delays@production: v4 → v3. deploy ran with v3 in 1.2 s.`, and what follows from it."""
    move = moved.promotion
    name, to = f"{move.registry}@{move.alias}", f"v{move.version}"
    told = [
        f"{name}: v{move.previous} → {to}." if move.previous is not None else f"{name} is {to}."
    ]
    if moved.is_new and source is not None:
        told.insert(0, f"{source} is {move.registry} {to}.")
    reports = moved.actions.steps if moved.actions is not None else ()
    told += [_acted(report) for report in reports if report.outcome in ("made", "reused")]
    rows = style.folded("  ".join(told), "", "  ")
    failed = [report for report in reports if report.outcome not in ("made", "reused", "fresh")]
    for report in failed:
        rows += style.folded(_failed(report), f"  {style.glyph(report.outcome)} ", "    ")
    if moved.error is not None:
        rows += error_lines(style, moved.error)
    if not moved.ok:
        then = "What follows it, again:" if failed else "What follows it, once that is mended:"
        rows += style.folded(f"The move stands: {name} is {to}. {then}", "")
        rows.append(" ".join(("  lineal materialize", *(f.step.asset for f in failed))) + asked())
    if move.how == "rollback" and move.previous is not None:
        gone, registry = f"v{move.previous}", move.registry
        again = f"(lineal models promote {registry} {gone} does)"
        rows += style.folded(
            f"{gone} is withdrawn: no gate will promote it again {again}.", "", "  "
        )
    return [style.text(row) for row in rows]


def _acted(report: StepReport) -> str:
    return f"{_action(report)} in {duration(report.seconds)}."


def _action(report: StepReport) -> str:
    """`deploy ran with v3`: one that was pending ran for the version before as well."""
    known = report.promotion
    return f"{report.step} ran with v{known['version']}" if known else f"{report.step} ran"


def _failed(report: StepReport) -> str:
    if report.error is None:
        return f"{report.step}: {report.outcome}"
    where = f"   {report.error.where}" if report.error.where else ""
    message = next(iter(report.error.message.splitlines()), "")
    known = report.promotion
    version = f" for v{known['version']}" if known else ""
    return f"{report.step} failed{version}: {message}{where}"


# -------------------------------------------------------------------------------------------- JSON


def models_document(found: Models) -> list[dict[str, Any]]:
    return [
        {
            "registry": registry.name,
            "held": hold_document(registry.hold),
            "aliases": {alias: f"v{p.version}" for alias, p in registry.aliases.items()},
            "versions": [version_document(version) for version in registry.versions],
        }
        for registry in found
    ]


def hold_document(hold: Hold | None) -> dict[str, Any] | None:
    if hold is None:
        return None
    return {"who": hold.who, "reason": hold.reason, "at": instant(hold.at)}


def version_document(version: ModelVersion) -> dict[str, Any]:
    registered, run = version.registered, version.run
    return {
        "version": f"v{registered.version}",
        "aliases": list(version.aliases),
        "tags": list(registered.tags),
        "asset": registered.asset,
        "partition": registered.partition,
        "content": registered.content,
        "materialization": registered.materialization,
        "trained_as": version.trained.id if version.trained is not None else None,
        "registered_at": instant(registered.at),
        "who": registered.who,
        "withdrawn": promotion_document(version.withdrawn),
        "metrics": dict(version.metrics),
        "rows": version.rows,
        "partitions": list(version.partitions),
        "git_commit": run.git_commit if run is not None else "",
        "git_dirty": run.git_dirty if run is not None else False,
    }


def promotion_document(move: Promotion | None) -> dict[str, Any] | None:
    if move is None:
        return None
    return {
        "id": move.id,
        "alias": move.alias,
        "version": f"v{move.version}",
        "previous": named(move.previous),
        "how": move.how,
        "who": move.who,
        "reason": move.reason,
        "environment": move.environment,
        "run": move.run,
        "at": instant(move.at),
        "gate": move.gate or None,
        "scores": scores_document(move.scores),
    }


def moved_document(moved: Moved) -> dict[str, Any]:
    return {
        "registry": moved.promotion.registry,
        "promotion": promotion_document(moved.promotion),
        "registered": moved.is_new,
        "actions": run_document(moved.actions) if moved.actions is not None else None,
        "error": moved.error.as_json() if moved.error is not None else None,
    }
