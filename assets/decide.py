"""The one place where a verdict is made: the plan and the run ask it alike.  PURE"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lineal.assets import reasons
from lineal.assets.actions import decide_action
from lineal.assets.asset import Asset, Check, Input
from lineal.assets.checks import PREVIOUS
from lineal.assets.content import shape_digest, used_digest
from lineal.assets.digest import SCHEME, digest_of
from lineal.assets.facts import CheckId, Facts, contract_digest, parameters_of
from lineal.assets.graph import Graph
from lineal.assets.names import Step
from lineal.assets.records import (
    Brief,
    CheckResult,
    Column,
    Content,
    Materialization,
    Reason,
    Used,
)
from lineal.assets.settled import Settled, known_of
from lineal.assets.sights import as_recorded, sighted
from lineal.assets.unsettled import lacks_scores, to_rule
from lineal.assets.verdicts import (
    Before,
    BoundCheck,
    Decision,
    Fresh,
    Handed,
    Known,
    Pending,
    PlannedCheck,
    Stale,
)

# Arrivals that give the same value whenever they give one: nothing is recomputed for them.
_AS_IT_IS = frozenset({"auto", "pandas", "object"})
KnownSteps = Mapping[Step, Known]
_NOTHING: Mapping[tuple[str, str | None], Used] = {}
_NO_BRIEFS: Mapping[str | None, Brief] = {}


def decide(graph: Graph, step: Step, known: KnownSteps, facts: Facts) -> Decision:
    """The verdict on one step of an asset, given what is known of its inputs.

    Args:
        step: the asset's name and a partition; its outputs have the same.
        known: steps whose content is settled; an input not in it is pending.
    """
    asset = graph.assets[step.asset]
    if asset.kind == "fetch":
        return _decide_fetch(graph, step, known, facts)
    if asset.action is not None:
        return decide_action(asset, facts)
    used, pending = inputs_used(graph, step, known, facts)
    current = {o: facts.past.current(o, step.partition) for o in asset.outputs}
    own = reasons.own(asset, step.partition, current, facts, kind=kind_of(graph, asset))
    if pending:
        return _decide_waiting(asset, step, used, pending, current, own, known, facts)
    prints = fingerprints(graph, step, used, facts)
    never_reuse = reasons.never_reuse(asset, step.partition, current, facts)
    why: tuple[Reason, ...] = ()
    if not never_reuse:
        kept = _kept(graph, step, used, prints, current, facts)
        if kept is not None:
            if not _is_current(kept, current):
                why = (*own, *reasons.inputs(step.partition, current, used, known, facts))
            found = _judge(graph, step, kept, current, why, known, facts, used, prints)
            return to_rule(asset, found, facts)
    why = (*never_reuse, *own, *reasons.inputs(step.partition, current, used, known, facts))
    told = reasons.distinct((*why, *reasons.lost(current, facts))) or _unexplained(step, asset)
    return Decision(Stale(told), "compute", used, prints)


def _decide_waiting(
    asset: Asset,
    step: Step,
    used: tuple[Used, ...],
    pending: tuple[str, ...],
    current: Mapping[str, Materialization | None],
    own: tuple[Reason, ...],
    known: KnownSteps,
    facts: Facts,
) -> Decision:
    """Some inputs are pending: it is stale if a reason is certain already."""
    certain = used
    if asset.query is not None:
        made = reasons.compared(asset.outputs[0], current, step.partition, facts)
        certain = _used_as_recorded(asset, step.partition, made, known, facts)
    changed = reasons.inputs(step.partition, current, certain, known, facts, partial=True)
    why = (*own, *changed, *reasons.lost(current, facts))
    if why:
        return Decision(Stale(reasons.distinct(why)), "wait", used)
    given = sighted(asset, step.partition, known, facts)
    return Decision(Pending(pending, _columns_of(given, pending)), "wait", used)


def _columns_of(
    inputs: Sequence[Input], pending: Sequence[str]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The columns read of pending inputs of which nothing else is seen."""
    read: dict[str, tuple[str, ...] | None] = {}
    for given in inputs:
        name = given.asset or given.parameter
        columns = None if given.shape else given.columns
        before = read.setdefault(name, columns)
        if before is None or columns is None:
            read[name] = None
        else:
            read[name] = tuple(dict.fromkeys((*before, *columns)))
    return tuple((name, c) for name, c in read.items() if c is not None and name in pending)


def kind_of(graph: Graph, asset: Asset) -> str:
    """What an asset's contract is about; a source read only as paths promises no table."""
    if asset.kind == "files" and not graph.reads_as_table(asset.name):
        return "files in place"
    return asset.kind


def _unexplained(step: Step, asset: Asset) -> tuple[Reason, ...]:
    """The only part of a fingerprint that no predicate compares is what a partition stands for."""
    if seen_of(asset, step.partition) == step.partition:
        return reasons.UNEXPLAINED
    return reasons.OTHER_SLICE


# --------------------------------------------------------------------------------- what is read


def inputs_used(
    graph: Graph, step: Step, known: KnownSteps, facts: Facts
) -> tuple[tuple[Used, ...], tuple[str, ...]]:
    """What a step reads of each known input, and the names of those that are pending."""
    asset = graph.assets[step.asset]
    if asset.kind == "files":
        digest = facts.observations[step].digest
        return (Used("files", asset.name, step.partition, "files", digest, digest, ""),), ()
    used: list[Used] = []
    pending: dict[str, None] = {}
    made = facts.past.current(asset.outputs[0], step.partition)
    before = {(u.parameter, u.partition): u for u in made.inputs} if made is not None else {}
    for given in sighted(asset, step.partition, known, facts):
        found, waits = one_input(asset.name, step.partition, given, known, facts, before)
        used.extend(found)
        pending.update(dict.fromkeys(waits))
    return tuple(used), tuple(pending)


def _used_as_recorded(
    asset: Asset, key: str | None, made: Materialization | None, known: KnownSteps, facts: Facts
) -> tuple[Used, ...]:
    """What is known of the inputs of a query, in the columns that this version read."""
    found = (
        one_input(asset.name, key, given, known, facts)[0] for given in as_recorded(asset, made)
    )
    return tuple(used for each in found for used in each)


def one_input(
    reader: str,
    key: str | None,
    given: Input,
    known: KnownSteps,
    facts: Facts,
    before: Mapping[tuple[str, str | None], Used] = _NOTHING,
) -> tuple[list[Used], list[str]]:
    """What a step reads of one input, or what it waits for.

    Args:
        before: by parameter and partition what its current version read: of many partitions those
            of the same content need no look at their columns.
    """
    name = given.asset or given.parameter
    waits = [name for step in facts.slices.behind(name) if step not in known]
    if waits:  # which slices there are is known only once it is made
        return [], waits
    read = facts.slices.read(reader, key, given)
    arrival = arrival_of(given, many=read.many)
    way = given.alone if read.many else given
    used: list[Used] = []
    briefs = known.briefs(name) if isinstance(known, Settled) else _NO_BRIEFS
    for each in read.keys:
        if each in briefs:
            was = before.get((given.parameter, each))
            told = _brief_used(way, Step(name, each), briefs[each], arrival, was)
            if told is not None:
                used.append(told)
                continue
        version = known.get(Step(name, each))
        found = None if version is None else one_used(way, version, arrival)
        if found is None:
            waits.append(name)
            break
        used.append(found)
    if not read.keys:
        used.append(Used(given.parameter, name, None, "none", "", "", "", arrival=arrival))
    return used, waits


def by_digest(given: Input) -> bool:
    """Does a reader see a whole content and nothing else, so that its digest is all it takes?"""
    return given.columns is None and given.arrival not in ("path", "paths", "result")


def _brief_used(
    given: Input, step: Step, brief: Brief, arrival: str, was: Used | None
) -> Used | None:
    """As `one_used`, of a version whose digest is enough; or that was read so, being the same."""
    content, origin = brief.content, brief.materialization
    if by_digest(given):
        return Used(given.parameter, *step, "all", content, content, origin, arrival=arrival)
    if was is None or given.columns is None or was.content != content:
        return None
    if (was.mode, was.columns) != ("shape" if given.shape else "columns", given.columns):
        return None
    return Used(given.parameter, *step, was.mode, was.digest, content, origin, was.columns, arrival)


def arrival_of(given: Input, *, many: bool) -> str:
    """How an input arrives, as its reader's fingerprint holds it; `all` or `each` of partitions."""
    way = given.each_arrival if many and given.each else given.arrival
    said = "" if way in _AS_IT_IS else way
    if many:
        return " ".join(filter(None, ("each" if given.each else "all", said)))
    return said or "auto"


def is_many(arrival: str) -> bool:
    """Does it tell of the slices of several partitions?"""
    return arrival.split(" ")[0] in ("all", "each")


def one_used(given: Input, version: Known, arrival: str) -> Used | None:
    """What one reader reads of one version, arriving so; None while its table is not known yet."""
    place = (given.parameter, version.asset, version.partition)
    if given.arrival in ("path", "paths") and version.observation is not None:
        if version.moved:  # left out of the run: the files at hand have no version
            return None
        seen = version.observation.digest
        origin = (seen, version.materialization)
        return Used(*place, "files", seen, *origin, arrival=arrival)
    content = version.content
    if content is None:
        return None
    origin = (content.digest, version.materialization)
    if given.arrival == "result":
        digest = digest_of(("result", content.digest, version.metrics))
        return Used(*place, "result", digest, *origin, arrival=arrival)
    if given.columns is not None:
        by_name = {c.name: c for c in content.columns}
        # A missing column has a digest of its own, so that the step is stale, runs, and says so.
        read = [by_name.get(n, Column(n, "missing", "")) for n in given.columns]
        if given.shape:
            digest = shape_digest(content.rows or 0, content.columns, given.columns)
        else:
            digest = used_digest(content.rows or 0, read)
        mode = "shape" if given.shape else "columns"
        return Used(*place, mode, digest, *origin, given.columns, arrival)
    return Used(*place, "all", content.digest, *origin, arrival=arrival)


def handed(reader: str, key: str | None, given: Input, known: KnownSteps, facts: Facts) -> Handed:
    """The versions that a parameter gets; all of them are known."""
    read = facts.slices.read(reader, key, given)
    name = given.asset or given.parameter
    return Handed(tuple(known[Step(name, each)] for each in read.keys), read.many)


def fingerprints(
    graph: Graph, step: Step, used: Sequence[Used], facts: Facts, recipe: str | None = None
) -> dict[str, str]:
    """The fingerprint of each output: everything that determines it, and nothing else."""
    asset = graph.assets[step.asset]
    base = digest_of(
        (
            SCHEME,
            recipe or facts.recipes[asset.name].digest,
            facts.environments[asset.name].digest,
            sorted(parameters_of(asset, facts, step.partition).items()),
            seen_of(asset, step.partition),
            reads_of(used),
            contract_digest(asset, kind_of(graph, asset)),
        )
    )
    return {o: digest_of((SCHEME, base, o if asset.several else None)) for o in asset.outputs}


def seen_of(asset: Asset, key: str | None) -> object:
    """The partition as far as code can tell: all that it holds, where it is handed over."""
    definition = asset.partitions
    if key is None or definition is None or not (asset.kind == "sql" or asset.takes_partition):
        return key
    # SQL sees moments, which have no zone; and what a grid calls its values are parameters.
    seen: list[object] = [key]
    if definition.period is not None:
        told = definition.partition(key)
        seen += [told.start.isoformat(), told.end.isoformat()]
        seen += [definition.period.tz] if asset.takes_partition else []
    seen += definition.called if asset.takes_partition else ()
    return tuple(seen) if len(seen) > 1 else key


def reads_of(used: Sequence[Used]) -> list[tuple[str | None, ...]]:
    """What is read and how it arrives: one digest as a frame or as a list is two inputs.

    Of several partitions, which one it is counts too.
    """
    return [
        (u.parameter, u.mode, u.arrival, u.digest, *((u.partition,) if is_many(u.arrival) else ()))
        for u in used
    ]


# ------------------------------------------------------------------------------ what was settled


def know_current(asset: Asset, known: Settled, facts: Facts) -> None:
    """Settle an asset as what is current of it, where something is."""
    slices = facts.slices
    if asset.files is None:
        keys = slices.keys(asset.name)
        if asset.sliced_by is not None:
            keys = (*slices.units(asset.name), *keys)
        for output in asset.outputs:
            briefs = facts.past.partitions(output)
            known.settle(output, {key: briefs[key] for key in keys if key in briefs})
    else:
        known.add(_current_files(asset, facts))


def _current_files(asset: Asset, facts: Facts) -> dict[Step, Known]:
    """A source whose files are no longer those of its version has moved."""
    found = {}
    for key in facts.slices.keys(asset.name):
        seen = facts.observations.get(Step(asset.name, key))
        for output in asset.outputs:
            current = facts.past.current(output, key)
            if current is not None and current.content is not None:
                moved = seen is not None and seen.digest not in {u.digest for u in current.inputs}
                found[Step(output, key)] = replace(known_of(current, seen), moved=moved)
    return found


def slice_fingerprint(whole: str, key: str) -> str:
    """The fingerprint of a slice, from that of the table that is published in slices."""
    return digest_of((SCHEME, "slice", whole, key))


def slices_made(whole: Materialization, facts: Facts) -> dict[str, Materialization] | None:
    """The slices in which a table was made, by key in order; None if one is not to be found."""
    found: dict[str, Materialization] = {}
    for key, digest in whole.metadata.get("slices", ()):
        fingerprint = slice_fingerprint(whole.fingerprint, key)
        current = facts.past.current(whole.asset, key)
        others = (
            ()
            if _is_slice(current, fingerprint, digest)
            else facts.past.by_fingerprint(fingerprint)
        )
        made = next((m for m in (current, *others) if _is_slice(m, fingerprint, digest)), None)
        if made is None:
            return None
        found[key] = made
    return found


def _is_slice(made: Materialization | None, fingerprint: str, digest: str) -> bool:
    if made is None or made.content is None or made.fingerprint != fingerprint:
        return False
    return made.content.digest == digest


def outcome_known(graph: Graph, step: Step, decision: Decision, facts: Facts) -> dict[Step, Known]:
    """The outputs whose content is settled by the decision alone, before anything runs."""
    asset = graph.assets[step.asset]
    seen = facts.observations.get(step)
    if asset.sliced_by is not None and decision.action != "none":
        return {}  # published otherwise, it has other slices: its readers are decided in the run
    if decision.kept is not None and decision.action in ("none", "reuse", "rule"):
        # What is reused may have been made as another asset: here it is this one's.
        found = {
            Step(o, step.partition): replace(known_of(m, seen, o), partition=step.partition)
            for o, m in decision.kept.items()
        }
        if asset.sliced_by is not None:
            for o, whole in decision.kept.items():
                slices = slices_made(whole, facts) or {}
                found.update((Step(o, key), known_of(m, None, o)) for key, m in slices.items())
        return found
    if seen is not None and decision.action == "compute":
        # Readers of the files themselves needn't wait for the table.
        return {
            Step(o, step.partition): Known(o, step.partition, None, "", seen) for o in asset.outputs
        }
    return {}


# ------------------------------------------------------------------------------- what is at hand


def _kept(
    graph: Graph,
    step: Step,
    used: Sequence[Used],
    prints: Mapping[str, str],
    current: Mapping[str, Materialization | None],
    facts: Facts,
) -> dict[str, Materialization] | None:
    """Materializations of this computation whose objects exist: the current, else others."""
    asset = graph.assets[step.asset]
    accepted = _accepted_recipe(asset, current, facts)
    wanted = prints
    if accepted is not None:
        as_then = _as_accepted(asset, used, current[asset.outputs[0]])
        wanted = fingerprints(graph, step, as_then, facts, recipe=accepted)
    present = {o: m for o, m in current.items() if m is not None and m.fingerprint == wanted[o]}
    together = len({_computation(asset, o, m) for o, m in present.items()}) == 1
    whole = len(present) == len(prints) and together and _exist(present, facts)
    whole = whole and not lacks_scores(asset, present)
    if whole and (asset.sliced_by is None or all(slices_made(m, facts) for m in present.values())):
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
            if asset.sliced_by is not None and not slices_made(candidate, facts):
                continue
            if lacks_scores(asset, family):
                continue
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


def _as_accepted(
    asset: Asset, used: Sequence[Used], made: Materialization | None
) -> Sequence[Used]:
    """What is read, as the accepted text read it: other columns of the same are no change."""
    if asset.query is None or made is None:
        return used
    before = {(u.parameter, u.partition, u.content, u.arrival): u for u in made.inputs}
    return [before.get((u.parameter, u.partition, u.content, u.arrival), u) for u in used]


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


def _is_current(
    kept: Mapping[str, Materialization], current: Mapping[str, Materialization | None]
) -> bool:
    return all(current[o] is m for o, m in kept.items())


# ------------------------------------------------------------------------------------- checks


def bound_checks(
    graph: Graph, output: Step, known: KnownSteps, facts: Facts
) -> tuple[tuple[BoundCheck, ...], tuple[str, ...]]:
    """The checks of one output with what else they read, and the inputs that are pending."""
    bound: list[BoundCheck] = []
    pending: dict[str, None] = {}
    for check in graph.checks.get(output.asset, ()):
        one, waits = _bind(graph, check, output, known, facts)
        pending.update(dict.fromkeys(waits))
        if one is not None:
            bound.append(one)
    return tuple(bound), tuple(pending)


def _bind(
    graph: Graph, check: Check, output: Step, known: KnownSteps, facts: Facts
) -> tuple[BoundCheck | None, list[str]]:
    used: list[tuple[Used, ...]] = []
    pending: list[str] = []
    others: dict[str, Handed] = {}
    reader = graph.maker[output.asset]
    for given in check.inputs:
        if given.asset == output.asset:
            used.append(())
            continue
        found, waits = one_input(reader, output.partition, given, known, facts)
        used.append(tuple(found))
        pending.extend(waits)
        if not waits:
            others[given.asset or ""] = handed(reader, output.partition, given, known, facts)
    if pending:
        return None, pending
    name = CheckId(output.asset, check.name)
    environment = facts.check_environments[name].digest
    recipe = facts.check_recipes[name]
    before = _before(check, recipe.digest, output, facts)
    return BoundCheck(check, recipe, environment, tuple(used), others, before), []


def _before(check: Check, recipe: str, output: Step, facts: Facts) -> Before | None:
    """What is current, for a check that compares a new version with it."""
    kind, rule = check.rule or ("", ())
    if kind != "not_shrunk" and dict(rule).get("reference") != PREVIOUS:
        return None
    current = facts.past.current(*output)
    if current is None or current.content is None:
        return Before(None)
    results = (facts.past.check(fingerprint) for fingerprint in current.checks)
    judged = (r.fingerprint for r in results if r and (r.name, r.recipe) == (check.name, recipe))
    return Before(current.content, next(judged, ""))


def _compared(before: Before, rule: Mapping[str, Any]) -> str:
    """What a check reads of the version before: its columns, or how many rows it has."""
    if before.content is None:
        return ""
    if "reference" not in rule:
        return str(before.content.rows)
    known = Known("", None, before.content, "", None)
    used = one_used(Input("before", "", columns=rule.get("columns")), known, "auto")
    return "" if used is None else used.digest


def planned_check(bound: BoundCheck, output: str, content: Content) -> PlannedCheck:
    """A check on one content; its fingerprint identifies the result for ever."""
    itself = Known(output, None, content, "", None)
    used: list[Used] = []
    judged = False
    for given, others in zip(bound.check.inputs, bound.used, strict=True):
        if given.asset == output:
            judged = True
            own = one_used(given, itself, arrival_of(given, many=False))
            used.extend(() if own is None else (own,))
        else:
            used.extend(others)
    reads = reads_of(used)
    if not judged:
        reads.append(("", "all", "", content.digest))  # a ready-made check reads the version itself
    before = bound.before
    if before is not None:
        current = before.content is not None and before.content.digest == content.digest
        if current and before.judged:  # when it became current, against the one before it
            return PlannedCheck(bound.check, before.judged, bound.recipe)
        rule = dict(bound.check.rule[1]) if bound.check.rule else {}
        reads.append(("", "before", "", "" if current else _compared(before, rule)))
    parts = (
        SCHEME,
        "check",
        bound.recipe.digest,
        bound.check.severity,
        sorted(bound.check.parameters.items()),
        bound.environment,
        reads,
    )
    return PlannedCheck(bound.check, digest_of(parts), bound.recipe)


def known_result(fingerprint: str, facts: Facts) -> CheckResult | None:
    """What a check found before, unless a file it read unasked has another content now."""
    result = facts.past.check(fingerprint)
    if result is None or any(reasons.moved(result.unwatched, facts)):
        return None
    return result


def _judge(
    graph: Graph,
    step: Step,
    kept: Mapping[str, Materialization],
    current: Mapping[str, Materialization | None],
    why: tuple[Reason, ...],
    known: KnownSteps,
    facts: Facts,
    used: tuple[Used, ...],
    prints: Mapping[str, str],
) -> Decision:
    """A kept version is worth what its checks say of it."""
    failing: list[CheckResult] = []
    unknown: list[Reason] = []
    pending: list[str] = []
    for output, made in kept.items():
        if made.content is None:
            continue
        bound, waiting = bound_checks(graph, Step(output, step.partition), known, facts)
        pending.extend(waiting)
        for one in bound:
            planned = planned_check(one, output, made.content)
            result = known_result(planned.fingerprint, facts)
            if result is None:
                unknown.append(reasons.asked_anew(one.check, one.recipe, made, facts))
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
        return replace(found, verdict=Stale((*why, *unknown)), action="recheck")
    if _is_current(kept, current):
        return found
    return replace(
        found, verdict=Stale(why or _unexplained(step, graph.assets[step.asset])), action="reuse"
    )


# -------------------------------------------------------------------------------------- fetch


def _decide_fetch(graph: Graph, step: Step, known: KnownSteps, facts: Facts) -> Decision:
    """A fetched observation is a fact: only its absence, its age or a person make it stale."""
    asset = graph.assets[step.asset]
    current = {o: facts.past.current(o, step.partition) for o in asset.outputs}
    last = {o: facts.past.last(o, step.partition) for o in asset.outputs}
    why = reasons.fetch(asset, step.partition, current, facts)
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
    return _judge(graph, step, kept, current, (), known, facts, (), prints)


def fetched_fingerprints(graph: Graph, step: Step, facts: Facts, run: str) -> dict[str, str]:
    """The outside world can't be fingerprinted: each fetch is a computation of its own."""
    unique = Used("fetched", step.asset, step.partition, "fetch", run, run, "")
    return fingerprints(graph, step, (unique,), facts)


def steps_read(graph: Graph, step: Step, facts: Facts) -> Iterable[Step]:
    """The steps whose outputs a step reads, for itself or in its checks; as they are made."""
    asset = graph.assets[step.asset]
    inputs = list(asset.inputs)
    for output in asset.outputs:
        for check in graph.checks.get(output, ()):
            inputs.extend(given for given in check.inputs if given.asset != check.asset)
    found: dict[Step, None] = {}
    for given in inputs:
        name = given.asset or given.parameter
        maker = graph.maker[name]
        found.update(dict.fromkeys(facts.slices.behind(name)))
        for key in facts.slices.read(step.asset, step.partition, given).keys:
            found[Step(maker, facts.slices.unit(name, key))] = None
    return found
