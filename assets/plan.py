"""Planning: (graph, facts, selection) → plan, a value made before anything runs.  PURE"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lineal.assets.actions import waiting
from lineal.assets.asset import Asset
from lineal.assets.crowds import fresh
from lineal.assets.decide import decide, know_current, outcome_known
from lineal.assets.facts import Facts
from lineal.assets.graph import Graph
from lineal.assets.names import Step
from lineal.assets.notebook import as_html, as_text
from lineal.assets.records import Brief, Retirement
from lineal.assets.settled import Settled
from lineal.assets.verdicts import PLAINLY_FRESH, Action, Decision, Pending, Stale, Verdict


class PlannedStep(NamedTuple):
    """One line of a plan. `version`: content digest of the current publication, or None."""

    step: Step
    maker: str
    verdict: Verdict
    action: Action
    version: str | None
    last: str | None  # outcome of the last attempt
    seconds: float | None  # what the last computation took


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """Ordered (step, verdict) pairs: what a run would do, and why."""

    steps: tuple[PlannedStep, ...]
    decisions: Mapping[Step, Decision]  # by step of an asset as a whole
    selected: tuple[Step, ...]  # those, inputs first
    excluded: frozenset[str] = frozenset()
    retired: tuple[Retirement, ...] = ()  # partitions that are no more; the run has no name yet
    assets: frozenset[str] = frozenset()  # all that were decided, be there no partition of one
    in_part: frozenset[str] = frozenset()  # those of which only some partitions are wanted

    def __repr__(self) -> str:
        return as_text(self._title, _COLUMNS, self._rows)

    def _repr_html_(self) -> str:
        return as_html(self._title, _COLUMNS, self._rows)

    @property
    def _title(self) -> str:
        counts = {v: len(self.named(v)) for v in ("stale", "pending", "fresh")}
        counts["retired"] = len(self.retired)
        return "Plan: " + ", ".join(f"{n} {v}" for v, n in counts.items() if n)

    @property
    def _rows(self) -> list[tuple[str, str, str]]:
        return [(str(s.step), s.verdict.name, _why(s.verdict)) for s in self.steps]

    def named(self, verdict: str) -> list[PlannedStep]:
        return [s for s in self.steps if s.verdict.name == verdict]

    @property
    def has_work(self) -> bool:
        """Is there anything to make? A step that is only blocked again is none."""
        idle = ("none", "blocked", "wait")
        return bool(self.retired) or any(d.action not in idle for d in self.decisions.values())


_COLUMNS = ("step", "verdict", "why")


def _why(verdict: Verdict) -> str:
    if isinstance(verdict, Stale):
        return "; ".join(f"{r.kind.replace('_', ' ')}  {r.detail}".strip() for r in verdict.reasons)
    return condition(verdict) if isinstance(verdict, Pending) else ""


def condition(pending: Pending) -> str:
    """`if features changes, or a column it reads of planes changes: year, or of rates: rate`."""
    read = dict(pending.columns)
    whole = [name for name in pending.inputs if name not in read]
    told = [f"{', '.join(whole)} {_changes(whole)}"] if whole else []
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in pending.inputs:
        if name in read:
            groups.setdefault(read[name], []).append(name)
    if counted := groups.pop((), []):
        told.append(
            f"{', '.join(counted)} {'has' if len(counted) == 1 else 'have'} more or fewer rows"
        )
    for number, (columns, names) in enumerate(groups.items()):
        shown = ", ".join(columns[:4]) + (", …" if len(columns) > 4 else "")
        of = f"of {', '.join(names)}"
        told.append(f"{of}: {shown}" if number else f"a column it reads {of} changes: {shown}")
    return f"if {', or '.join(told)}"


def _changes(names: Sequence[str]) -> str:
    if all("@" in name for name in names):  # an alias
        return "moves"
    return "changes" if len(names) == 1 else "change"


def plan(
    graph: Graph,
    facts: Facts,
    selected: Iterable[str],
    excluded: Iterable[str] = (),
    partitions: Mapping[str, Sequence[str | None]] | None = None,
) -> Plan:
    """Decide every selected asset and all it needs, in graph order.

    Args:
        partitions: of selected assets, those that are wanted; of the others all are.
    """
    left_out = frozenset(excluded)
    wanted = _wanted(graph, facts, set(selected) - left_out, partitions or {})
    decisions: dict[Step, Decision] = {}
    known = Settled(graph, facts)
    steps: list[PlannedStep] = []
    for name, found in wanted.items():
        if name in left_out:
            know_current(graph.assets[name], known, facts)
            continue
        keys = tuple(found)  # a calendar writes them out anew each time
        plain = fresh(graph, name, keys, known, facts)
        known.settle(name, plain)
        tried = facts.past.tried(name) if plain else frozenset()
        for key in keys:
            step = Step(name, key)
            if key in plain and key not in tried:
                decisions[step] = PLAINLY_FRESH
                steps.append(_plain(step, plain[key]))
                continue
            decision = decide(graph, step, known, facts)
            decision = waiting(graph, step, decision, decisions, facts)
            decisions[step] = decision
            known.add(outcome_known(graph, step, decision, facts))
            steps.extend(_planned(graph, step, decision, facts))
    gone = tuple(_retired(graph, facts, (n for n in wanted if n not in left_out)))
    units = facts.slices.units
    in_part = frozenset(n for n, keys in wanted.items() if len(keys) < len(units(n)))
    return Plan(
        tuple(steps), decisions, tuple(decisions), left_out, gone, frozenset(wanted), in_part
    )


def _retired(graph: Graph, facts: Facts, names: Iterable[str]) -> Iterator[Retirement]:
    """What is current of partitions that are no more, and why."""
    for name in names:
        asset = graph.assets[name]
        if asset.sliced_by is not None:
            continue
        keys = facts.slices.keys(name)
        for output in asset.outputs:
            briefs = facts.past.partitions(output)
            # To look up a few in a calendar costs less than to write it out; many, more.
            there = keys if len(briefs) < len(keys) // 4 else frozenset(keys)
            for key, brief in briefs.items():
                if key not in there:
                    why = _gone(asset, key, facts)
                    yield Retirement(facts.environment, output, key, brief.materialization, why, "")


def _gone(asset: Asset, key: str | None, facts: Facts) -> str:
    if key is None:
        return "it has partitions now"
    if asset.partitions is None:
        return "it has no partitions any more"
    if asset.files is not None:
        return "its file is gone"
    if asset.partitions_of is not None:
        return f"{asset.partitions_of} has it no more"
    if key in asset.partitions.keys(facts.now):
        return "an input has nothing for it"
    return "its definition has it no more"


def _wanted(
    graph: Graph,
    facts: Facts,
    selected: set[str],
    partitions: Mapping[str, Sequence[str | None]],
) -> dict[str, Sequence[str | None]]:
    """The units to decide of each asset, inputs first: those asked for, and all that they read."""
    needed = graph.needed_by(selected)
    read: dict[str, dict[str | None, None]] = {}
    found: dict[str, Sequence[str | None]] = {}
    for name in reversed(graph.order):
        if name not in needed:
            continue
        units = facts.slices.units(name)
        if name in selected and name not in partitions:
            found[name] = units
        else:
            asked = read.get(name, {})
            asked.update(dict.fromkeys(partitions.get(name, ()) if name in selected else ()))
            found[name] = units if len(asked) == len(units) else [u for u in units if u in asked]
        for other in graph.upstream[name]:
            _read_by(graph, facts, name, other, found[name], read.setdefault(other, {}))
    return dict(reversed(found.items()))


def _read_by(
    graph: Graph,
    facts: Facts,
    reader: str,
    other: str,
    units: Sequence[str | None],
    into: dict[str | None, None],
) -> None:
    """Note the units of another asset that these units of a reader read."""
    slices = facts.slices
    everything = slices.units(other)
    if len(everything) == 1:
        into.update(dict.fromkeys(everything))
        return
    inputs = graph.reads_of(reader, other)
    if all(slices.alike(reader, given) for given in inputs):
        into.update(dict.fromkeys(units))
        return
    for unit in units:
        if len(into) == len(everything):
            return
        for given in inputs:
            keys = slices.read(reader, unit, given).keys
            into.update(dict.fromkeys(slices.unit(given.asset or "", key) for key in keys))


def _plain(step: Step, brief: Brief) -> PlannedStep:
    fresh = PLAINLY_FRESH
    told = (brief.content, brief.outcome, brief.seconds)
    return PlannedStep(step, step.asset, fresh.verdict, fresh.action, *told)


def _planned(graph: Graph, step: Step, decision: Decision, facts: Facts) -> Iterator[PlannedStep]:
    for output in graph.assets[step.asset].outputs:
        current = facts.past.current(output, step.partition)
        last = facts.past.last(output, step.partition)
        content = current.content if current else None
        yield PlannedStep(
            Step(output, step.partition),
            step.asset,
            decision.verdict,
            decision.action,
            content.digest if content else None,
            last.outcome if last else None,
            last.seconds if last else None,
        )
