"""What `plan` says: one sentence, what is stale and why, what stays fresh; as lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lineal.assets.plan import Plan, PlannedStep, condition
from lineal.assets.records import Reason, Retirement
from lineal.assets.verdicts import Pending, Stale, Verdict
from lineal.cli.render import (
    Style,
    duration,
    item,
    listed,
    name_column,
    plural,
    step_names,
)

_MOST = 4  # lines of partitions of one asset, each with reasons of its own
_ENDS = 48  # the most that the first and the last partition may take on a line
_AGAIN = {
    "reuse": "   (kept from before: no computation)",
    "rule": "   (its scores are kept)",
    "blocked": "   (blocked again)",
}


def plan_lines(style: Style, plan: Plan) -> list[str]:
    """What `plan` prints: one sentence, the evidence, what stays fresh."""
    stale, pending, fresh = (plan.named(v) for v in ("stale", "pending", "fresh"))
    if not stale and not pending:
        whole = f"{plural(len(fresh), 'step')}, all fresh"
        if not plan.retired:
            return [f"Nothing to do: {whole}."]
        told = f"Nothing to make: {whole}; {plural(len(plan.retired), 'partition')} to retire."
        return [*style.folded(told, ""), "", *retired_lines(style, plan.retired)]
    sentence = _plan_sentence if plan.has_work else _blocked_sentence
    lines = [*style.folded(sentence(stale, pending, fresh), ""), ""]
    groups = _by_maker([s for s in plan.steps if s.verdict.name != "fresh"])
    width = name_column(_outputs(group) for group in groups)
    for group in groups:
        lines.extend(asset_lines(style, group, width))
    if plan.retired:
        lines.extend(("", *retired_lines(style, plan.retired)))
    if fresh:
        names = listed(style, step_names(s.step for s in fresh), 8)
        lines.extend(("", *style.folded(f"{names}: fresh", f"  {style.glyph('fresh')} ")))
    return [style.text(row) for row in lines]


def retired_lines(style: Style, found: Iterable[Retirement]) -> list[str]:
    """`· retired  raw/flights  2013-02   its file is gone`: a line an asset, and a reason."""
    groups: dict[tuple[str, str], list[str]] = {}
    for one in found:
        keys = groups.setdefault((one.asset, one.reason), [])
        if one.partition is not None:
            keys.append(one.partition)
    rows: list[str] = []
    for (asset, reason), keys in groups.items():
        told = "   ".join(part for part in (partitions_text(keys), reason) if part)
        rows.extend(style.folded(f"{asset}  {told}", f"  {style.glyph('retired')} retired  "))
    return [style.text(row) for row in rows]


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


def _outputs(group: Sequence[PlannedStep]) -> str:
    return ", ".join(dict.fromkeys(s.step.asset for s in group))


def asset_lines(style: Style, group: Sequence[PlannedStep], width: int) -> list[str]:
    """The steps of one asset: a line for all of which the same is to be said."""
    alike: dict[tuple[object, ...], dict[str | None, PlannedStep]] = {}
    for step in group:
        key = _told(step.verdict, step.step.partition), step.action
        alike.setdefault(key, {})[step.step.partition] = step
    clusters = list(alike.values())
    shown = clusters if len(clusters) <= _MOST else clusters[: _MOST - 1]
    name = _outputs(group)
    rows = [row for cluster in shown for row in _cluster(style, name, cluster, width)]
    others = sum(map(len, clusters[len(shown) :]))
    if others:
        rows.append(f"{style.pad(width)}… and {others:,} more, each for reasons of its own")
    return rows


def _cluster(
    style: Style, name: str, cluster: dict[str | None, PlannedStep], width: int
) -> list[str]:
    first = next(iter(cluster.values()))
    keys = [key for key in cluster if key is not None]
    which = f"{partitions_text(keys)}   " if keys else ""
    if isinstance(first.verdict, Pending):
        told = [which + _condition(first.verdict, first.step.partition if len(keys) > 1 else None)]
    elif isinstance(first.verdict, Stale):
        told = reason_lines(_common(list(cluster.values())))
        told[0] = which + told[0] + _AGAIN.get(first.action, "")
    else:
        return []
    glyph = style.glyph("pending" if isinstance(first.verdict, Pending) else "stale")
    right = _cost([s.seconds for s in cluster.values()]) if keys else ""
    rows = item(style, glyph, name, width, told[0], right)
    for more in told[1:]:
        rows.extend(style.folded(more, style.pad(width)))
    return rows


def _cost(seconds: Sequence[float | None]) -> str:
    """`12 × 4.0 s`, when all were made before."""
    known = [s for s in seconds if s is not None]
    if len(known) < 2 or len(known) < len(seconds):
        return ""
    return f"{len(known):,} × {duration(sum(known) / len(known))}"


def partitions_text(keys: Sequence[str]) -> str:
    """`2013-01`, `2013-01, 2013-05`, `12 partitions, 2013-01 … 2013-12`."""
    if len(keys) < 3:
        return ", ".join(keys)
    ends = f", {keys[0]} … {keys[-1]}"
    return plural(len(keys), "partition") + (ends if len(ends) <= _ENDS else "")


def _told(verdict: Verdict, partition: str | None) -> object:
    """What is said of a verdict, the partition and digests apart: those of one line are equal."""
    if isinstance(verdict, Stale):
        return tuple(without(reason, partition) for reason in verdict.reasons)
    return _condition(verdict, partition) if isinstance(verdict, Pending) else verdict.name


def without(reason: Reason, partition: str | None) -> Reason:
    """The reason as it holds for several partitions: without this one's name and digests."""
    if partition is None:
        return reason
    digests = reason.old.startswith("@") or reason.new.startswith("@")
    change = ("", "") if digests else (reason.old, reason.new)
    return Reason(reason.kind, _unnamed(reason.culprit, partition), reason.where, *change)


def _unnamed(text: str, partition: str | None) -> str:
    return text if partition is None else text.replace(f" {partition}", "")


def _condition(pending: Pending, partition: str | None) -> str:
    return _unnamed(condition(pending), partition)


def _common(steps: Sequence[PlannedStep]) -> tuple[Reason, ...]:
    """The reasons of these steps: of several, without what is each one's own."""
    verdict = steps[0].verdict
    found = verdict.reasons if isinstance(verdict, Stale) else ()
    if len({s.step.partition for s in steps}) < 2:
        return found
    return tuple(without(reason, steps[0].step.partition) for reason in found)


def reason_lines(reasons: Sequence[Reason], most: int = 4, *, past: bool = False) -> list[str]:
    """Reasons as `kind   place  culprit  old → new`, a few of them."""
    if not reasons:
        return ["stale"]
    rows = [_row(r, past) for r in reasons[:most]]
    if len(reasons) > most:
        rows.append(f"and {plural(len(reasons) - most, 'more reason')}")
    return rows


def _row(reason: Reason, past: bool) -> str:
    if reason.kind == "promoted":
        own, _, _ = reason.culprit.partition(", then ")  # the others are runs of their own
        return f"ran for {own}" if past else f"will run for {reason.culprit}"
    return f"{reason.kind.replace('_', ' ')}   {_detail(reason)}".rstrip()


def _detail(reason: Reason) -> str:
    if reason.kind == "check_failed":  # there is no old and new: what is refused was never current
        return "  ".join(part for part in (reason.culprit, reason.new) if part)
    return reason.detail
