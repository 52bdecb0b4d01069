"""Planning: (graph, facts, selection) → plan, a value made before anything runs.  PURE

`decide` is the one place where a verdict is made; the run calls it again for what was pending.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, NamedTuple

from lineal.assets import reasons
from lineal.assets.asset import Asset, Check, Input
from lineal.assets.content import used_digest
from lineal.assets.digest import SCHEME, digest_of
from lineal.assets.facts import CheckId, Facts, contract_digest, parameters_of
from lineal.assets.graph import Graph
from lineal.assets.names import Step
from lineal.assets.notebook import as_html, as_text
from lineal.assets.records import (
    CheckResult,
    Column,
    Content,
    Materialization,
    Observation,
    Reason,
    Recipe,
    Used,
)


@dataclass(frozen=True, slots=True)
class Fresh:
    """The current version is what a recomputation could give."""

    name: ClassVar[str] = "fresh"


@dataclass(frozen=True, slots=True)
class Stale:
    """Must be made, for these reasons."""

    reasons: tuple[Reason, ...]
    name: ClassVar[str] = "stale"


@dataclass(frozen=True, slots=True)
class Pending:
    """No reason of its own, but inputs will be remade: decided once their content is known.

    `columns`: what it declares to read of them, when it declares so for each; else empty.
    """

    inputs: tuple[str, ...]
    columns: tuple[str, ...] = ()
    name: ClassVar[str] = "pending"


Verdict = Fresh | Stale | Pending

# What the run does about a verdict. `recheck`: run checks on a kept version; `blocked`: nothing, a
# kept version is known to fail an error check; `wait`: inputs are not known yet.
Action = Literal["none", "compute", "reuse", "recheck", "blocked", "wait"]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a step whose content is decided: enough for a reader to be decided."""

    asset: str
    partition: str | None
    content: Content | None  # None: a file source known by its files only
    materialization: str
    observation: Observation | None = None
    moved: bool = False  # the files are no longer those that this version was made of


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict on all outputs of one asset, with what the run needs to act on it."""

    verdict: Verdict
    action: Action
    used: tuple[Used, ...] = ()
    fingerprints: Mapping[str, str] | None = None  # by output; None while inputs are pending
    kept: Mapping[str, Materialization] | None = None  # what is reused, rechecked or blocked
    failing: tuple[CheckResult, ...] = ()  # known failures of error checks


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
    decisions: Mapping[str, Decision]  # by asset name
    selected: tuple[str, ...]  # asset names in graph order
    excluded: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return as_text(self._title, _COLUMNS, self._rows)

    def _repr_html_(self) -> str:
        return as_html(self._title, _COLUMNS, self._rows)

    @property
    def _title(self) -> str:
        counts = {v: len(self.named(v)) for v in ("stale", "pending", "fresh")}
        return "Plan: " + ", ".join(f"{n} {v}" for v, n in counts.items() if n)

    @property
    def _rows(self) -> list[tuple[str, str, str]]:
        return [(str(s.step), s.verdict.name, _why(s.verdict)) for s in self.steps]

    def named(self, verdict: str) -> list[PlannedStep]:
        return [s for s in self.steps if s.verdict.name == verdict]

    @property
    def has_work(self) -> bool:
        """Is there anything to make? A step that is only blocked again is none."""
        return any(d.action not in ("none", "blocked", "wait") for d in self.decisions.values())


_COLUMNS = ("step", "verdict", "why")


def _why(verdict: Verdict) -> str:
    if isinstance(verdict, Stale):
        return "; ".join(f"{r.kind.replace('_', ' ')}  {r.detail}".strip() for r in verdict.reasons)
    return condition(verdict) if isinstance(verdict, Pending) else ""


def condition(pending: Pending) -> str:
    """`if a column it reads changes: rush`, or `if features changes`."""
    if pending.columns:
        shown = ", ".join(pending.columns[:4]) + (", …" if len(pending.columns) > 4 else "")
        return f"if a column it reads of {', '.join(pending.inputs)} changes: {shown}"
    verb = "changes" if len(pending.inputs) == 1 else "change"
    return f"if {', '.join(pending.inputs)} {verb}"


def plan(graph: Graph, facts: Facts, selected: Iterable[str], excluded: Iterable[str] = ()) -> Plan:
    """Decide every selected asset and all it needs, in graph order."""
    left_out = frozenset(excluded)
    wanted = graph.needed_by(set(selected) - left_out)
    decisions: dict[str, Decision] = {}
    known: dict[str, Known] = {}
    steps: list[PlannedStep] = []
    order = tuple(name for name in graph.order if name in wanted and name not in left_out)
    for name in graph.order:
        if name not in wanted:
            continue
        asset = graph.assets[name]
        if name in left_out:
            known.update(current_versions(asset, facts))
            continue
        decision = decide(graph, asset, known, facts)
        decisions[name] = decision
        known.update(outcome_known(asset, decision, facts))
        steps.extend(_planned(asset, decision, facts))
    return Plan(tuple(steps), decisions, order, left_out)


def _planned(asset: Asset, decision: Decision, facts: Facts) -> Iterable[PlannedStep]:
    for output in asset.outputs:
        current = facts.past.current(output, None)
        last = facts.past.last(output, None)
        content = current.content if current else None
        yield PlannedStep(
            Step(output),
            asset.name,
            decision.verdict,
            decision.action,
            content.digest if content else None,
            last.outcome if last else None,
            last.seconds if last else None,
        )


def current_versions(asset: Asset, facts: Facts) -> dict[str, Known]:
    """What is current of an asset, where it is."""
    found = {}
    for output in asset.outputs:
        current = facts.past.current(output, None)
        if current is not None and current.content is not None:
            seen = facts.observations.get(asset.name)
            moved = seen is not None and seen.digest not in {u.digest for u in current.inputs}
            found[output] = replace(known_of(current, seen), moved=moved)
    return found


def known_of(
    made: Materialization, observation: Observation | None = None, asset: str | None = None
) -> Known:
    """What is known of a step by its materialization, perhaps one found under another name."""
    return Known(asset or made.asset, made.partition, made.content, made.id, observation)


def outcome_known(asset: Asset, decision: Decision, facts: Facts) -> dict[str, Known]:
    """The outputs whose content is settled by the decision alone, before anything runs."""
    observation = facts.observations.get(asset.name)
    if decision.kept is not None and decision.action in ("none", "reuse"):
        # What is reused may have been made as another asset: here it is this one's.
        return {o: known_of(m, observation, o) for o, m in decision.kept.items()}
    if observation is not None and decision.action == "compute":
        # Readers of the files themselves needn't wait for the table.
        return {o: Known(o, None, None, "", observation) for o in asset.outputs}
    return {}


# ------------------------------------------------------------------------------------- decide


def decide(graph: Graph, asset: Asset, known: Mapping[str, Known], facts: Facts) -> Decision:
    """The verdict on one asset, given what is known of its inputs.

    Args:
        known: outputs whose content is settled; an input not in it is pending.
    """
    if asset.kind == "fetch":
        return _decide_fetch(graph, asset, known, facts)
    used, pending = inputs_used(graph, asset, known, facts)
    current = {o: facts.past.current(o, None) for o in asset.outputs}
    own = reasons.own(asset, current, facts, kind=kind_of(graph, asset))
    now = {n: k.content for n, k in _inputs_known(asset, known) if k.content is not None}
    if pending:
        why = (
            *own,
            *reasons.inputs(current, used, now, facts, partial=True),
            *reasons.lost(current, facts),
        )
        if why:
            return Decision(Stale(reasons.distinct(why)), "wait", used)
        return Decision(Pending(pending, _columns_of(asset, pending)), "wait", used)
    prints = fingerprints(graph, asset, used, facts)
    never_reuse = reasons.never_reuse(asset, current, facts)
    if not never_reuse:
        kept = _kept(graph, asset, used, prints, current, facts)
        if kept is not None:
            moved = not _is_current(kept, current)
            why = (*own, *reasons.inputs(current, used, now, facts)) if moved else ()
            return _judge(graph, asset, kept, current, why, known, facts, used, prints)
    why = (*never_reuse, *own, *reasons.inputs(current, used, now, facts))
    told = reasons.distinct((*why, *reasons.lost(current, facts))) or reasons.UNEXPLAINED
    return Decision(Stale(told), "compute", used, prints)


def _inputs_known(asset: Asset, known: Mapping[str, Known]) -> Iterable[tuple[str, Known]]:
    for given in asset.inputs:
        name = given.asset or given.parameter
        if name in known:
            yield name, known[name]


def _columns_of(asset: Asset, pending: Sequence[str]) -> tuple[str, ...]:
    read = [given.columns for given in asset.inputs if given.asset in pending]
    if any(columns is None for columns in read):
        return ()
    return tuple(dict.fromkeys(name for columns in read for name in columns or ()))


def kind_of(graph: Graph, asset: Asset) -> str:
    """What an asset's contract is about; a source read only as paths promises no table."""
    if asset.kind == "files" and not graph.reads_as_table(asset.name):
        return "files in place"
    return asset.kind


def inputs_used(
    graph: Graph, asset: Asset, known: Mapping[str, Known], facts: Facts
) -> tuple[tuple[Used, ...], tuple[str, ...]]:
    """What the asset reads of each known input, and the names of those that are pending."""
    if asset.kind == "files":
        seen = facts.observations[asset.name]
        return (Used("files", asset.name, None, "files", seen.digest, seen.digest, ""),), ()
    return _used_of(graph, asset.inputs, known)


def _used_of(
    graph: Graph, inputs: Sequence[Input], known: Mapping[str, Known]
) -> tuple[tuple[Used, ...], tuple[str, ...]]:
    used: list[Used] = []
    pending: list[str] = []
    for given in inputs:
        name = given.asset or given.parameter
        version = known.get(name)
        found = None if version is None else one_used(given, version)
        if found is None:
            pending.append(name)
        else:
            used.append(found)
    return tuple(used), tuple(pending)


def one_used(given: Input, version: Known) -> Used | None:
    """What one reader reads of one version; None while its table is not known yet."""
    place = (given.parameter, version.asset, version.partition)
    if given.arrival in ("path", "paths") and version.observation is not None:
        if version.moved:  # left out of the run: the files at hand have no version
            return None
        seen = version.observation.digest
        origin = (seen, version.materialization)
        return Used(*place, "files", seen, *origin, arrival=given.arrival)
    content = version.content
    if content is None:
        return None
    if given.columns is not None:
        by_name = {c.name: c for c in content.columns}
        # A missing column has a digest of its own, so that the step is stale, runs, and says so.
        read = [by_name.get(n, Column(n, "missing", "")) for n in given.columns]
        digest = used_digest(content.rows or 0, read)
        return Used(
            *place, "columns", digest, content.digest, version.materialization, given.columns
        )
    return Used(*place, "all", content.digest, content.digest, version.materialization)


def fingerprints(
    graph: Graph, asset: Asset, used: Sequence[Used], facts: Facts, recipe: str | None = None
) -> dict[str, str]:
    """The fingerprint of each output: everything that determines it, and nothing else."""
    base = digest_of(
        (
            SCHEME,
            recipe or facts.recipes[asset.name].digest,
            facts.environments[asset.name].digest,
            sorted(parameters_of(asset, facts).items()),
            None,  # partition
            _reads(used),
            contract_digest(asset, kind_of(graph, asset)),
        )
    )
    return {o: digest_of((SCHEME, base, o if asset.several else None)) for o in asset.outputs}


def _reads(used: Sequence[Used]) -> list[tuple[str, str, str, str]]:
    """What is read and how it arrives: one digest as a frame or as a list is two inputs."""
    return [(u.parameter, u.mode, u.arrival, u.digest) for u in used]


def _kept(
    graph: Graph,
    asset: Asset,
    used: Sequence[Used],
    prints: Mapping[str, str],
    current: Mapping[str, Materialization | None],
    facts: Facts,
) -> dict[str, Materialization] | None:
    """Materializations of this computation whose objects exist: the current, else others."""
    accepted = _accepted_recipe(asset, current, facts)
    wanted = prints
    if accepted is not None:
        wanted = fingerprints(graph, asset, used, facts, recipe=accepted)
    present = {o: m for o, m in current.items() if m is not None and m.fingerprint == wanted[o]}
    together = len({_computation(asset, o, m) for o, m in present.items()}) == 1
    if len(present) == len(prints) and together and _exist(present, facts):
        return present
    first = asset.outputs[0]
    for candidate in facts.past.by_fingerprint(prints[first]):
        family = {first: candidate}
        for output in asset.outputs[1:]:
            for other in facts.past.by_fingerprint(prints[output]):
                if _computation(asset, output, other) == _computation(asset, first, candidate):
                    family[output] = other
                    break
        if len(family) == len(prints) and _exist(family, facts) and _proved(family, facts):
            # Found under another asset's name it is still this step's content.
            return family
    return None


def _accepted_recipe(
    asset: Asset, current: Mapping[str, Materialization | None], facts: Facts
) -> str | None:
    made = current[asset.outputs[0]]
    now = facts.recipes[asset.name].digest
    if made is None or made.recipe == now:
        return None
    return made.recipe if facts.past.accepted(asset.name, made.recipe, now) else None


def _computation(asset: Asset, output: str, made: Materialization) -> tuple[str, int]:
    """The call that made the bytes: several outputs of one function count only as one call's.

    The outputs of a call are recorded one after the other, in the order of the outputs.
    """
    run, _, position = made.origin.rpartition(".")
    return run, int(position) - asset.outputs.index(output)


def _exist(family: Mapping[str, Materialization], facts: Facts) -> bool:
    return all(m.content is not None and facts.present(m.content) for m in family.values())


def _proved(family: Mapping[str, Materialization], facts: Facts) -> bool:
    """Did they read nothing unasked? A file that was only looked for must still be absent."""
    return not any(
        digest or any(reasons.moved(made.unwatched, facts))
        for made in family.values()
        for _, digest, _ in made.unwatched
    )


def known_result(fingerprint: str, facts: Facts) -> CheckResult | None:
    """What a check found before, unless a file it read unasked has another content now."""
    result = facts.past.check(fingerprint)
    if result is None or any(reasons.moved(result.unwatched, facts)):
        return None
    return result


def _is_current(
    kept: Mapping[str, Materialization], current: Mapping[str, Materialization | None]
) -> bool:
    return all(current[o] is m for o, m in kept.items())


# ------------------------------------------------------------------------------------- checks


class PlannedCheck(NamedTuple):
    """A check bound to the content it judges; `fingerprint` identifies its result for ever."""

    check: Check
    fingerprint: str
    recipe: Recipe


def planned_checks(
    graph: Graph, output: str, content: Content, known: Mapping[str, Known], facts: Facts
) -> tuple[tuple[PlannedCheck, ...], tuple[str, ...]]:
    """The checks of one output on one content, and the inputs of checks that are pending."""
    bound: list[PlannedCheck] = []
    pending: list[str] = []
    itself = Known(output, None, content, "", None)
    for check in graph.checks.get(output, ()):
        used, missing = _used_of(graph, check.inputs, {**known, output: itself})
        pending.extend(missing)
        if not missing:
            bound.append(_bind_check(check, output, content, used, facts))
    return tuple(bound), tuple(dict.fromkeys(pending))


def _bind_check(
    check: Check, output: str, content: Content, used: Sequence[Used], facts: Facts
) -> PlannedCheck:
    recipe = facts.check_recipes[CheckId(output, check.name)]
    reads = _reads(used)
    if all(u.asset != output for u in used):
        reads.append(("", "all", "", content.digest))  # a ready-made check reads the version itself
    parts = (
        SCHEME,
        "check",
        recipe.digest,
        check.severity,
        sorted(check.parameters.items()),
        facts.check_environments[CheckId(output, check.name)].digest,
        reads,
    )
    return PlannedCheck(check, digest_of(parts), recipe)


def _judge(
    graph: Graph,
    asset: Asset,
    kept: Mapping[str, Materialization],
    current: Mapping[str, Materialization | None],
    why: tuple[Reason, ...],
    known: Mapping[str, Known],
    facts: Facts,
    used: tuple[Used, ...],
    prints: Mapping[str, str],
) -> Decision:
    """A kept version is worth what its checks say of it."""
    failing: list[CheckResult] = []
    unknown: list[PlannedCheck] = []
    pending: list[str] = []
    for output, made in kept.items():
        if made.content is None:
            continue
        bound, waiting = planned_checks(graph, output, made.content, known, facts)
        pending.extend(waiting)
        for one in bound:
            result = known_result(one.fingerprint, facts)
            if result is None:
                unknown.append(one)
            elif not result.passed and one.check.severity == "error":
                failing.append(result)
    found = Decision(Fresh(), "none", used, prints, kept)
    if failing:
        told = tuple(reasons.check_failed(r) for r in failing)
        return replace(found, verdict=Stale(told), action="blocked", failing=tuple(failing))
    if pending:
        waits = Stale(why) if why else Pending(tuple(dict.fromkeys(pending)))
        return replace(found, verdict=waits, action="wait")
    if unknown:
        told = (*why, *(reasons.check_changed(one.check) for one in unknown))
        return replace(found, verdict=Stale(told), action="recheck")
    if _is_current(kept, current):
        return found
    return replace(found, verdict=Stale(why or reasons.UNEXPLAINED), action="reuse")


# -------------------------------------------------------------------------------------- fetch


def _decide_fetch(graph: Graph, asset: Asset, known: Mapping[str, Known], facts: Facts) -> Decision:
    """A fetched observation is a fact: only its absence, its age or a person make it stale."""
    current = {o: facts.past.current(o, None) for o in asset.outputs}
    last = {o: facts.past.last(o, None) for o in asset.outputs}
    why = reasons.fetch(asset, current, facts)
    kept = {o: m for o, m in current.items() if m is not None and m.content is not None}
    if "forced" not in {r.kind for r in why}:
        refused = {o: m for o, m in last.items() if m is not None and m.outcome == "blocked"}
        same = all(m.recipe == facts.recipes[asset.name].digest for m in refused.values())
        recent = all(not reasons.is_due(asset, m, facts) for m in refused.values())
        if len(refused) == len(asset.outputs) and same and recent and _exist(refused, facts):
            kept, why = refused, ()
    if why:
        return Decision(Stale(why), "compute", (), None)
    prints = {o: m.fingerprint for o, m in kept.items()}
    return _judge(graph, asset, kept, current, (), known, facts, (), prints)


def fetched_fingerprints(graph: Graph, asset: Asset, facts: Facts, run: str) -> dict[str, str]:
    """The outside world can't be fingerprinted: each fetch is a computation of its own."""
    unique = Used("fetched", asset.name, None, "fetch", run, run, "")
    return fingerprints(graph, asset, (unique,), facts)
