"""What gates have decided, and why one has to decide (again).  PURE"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from lineal.assets.asset import Asset, Gate
from lineal.assets.digest import SCHEME, digest_of
from lineal.assets.facts import Facts
from lineal.assets.gates import rule_texts, words_of
from lineal.assets.records import Decided, Materialization, Reason
from lineal.assets.registries import WOULD, Registry
from lineal.assets.verdicts import Decision, Stale


def key_of(gate: Gate, fingerprint: str) -> str:
    """Which question a gate decides.

    Args:
        fingerprint: of the scores: of what was scored, on what, by which code.
    """
    rules = [(metric, r.margin, r.direction, r.minimum) for metric, r in gate.rules]
    return digest_of((SCHEME, "gate", fingerprint, rules, gate.registry, gate.alias))


def decided(
    gate: Gate, made: Materialization, registry: Registry, *, promotes: bool
) -> Decided | None:
    """What was decided on these very scores, as far as it still counts."""
    found = registry.decisions.get(key_of(gate, made.fingerprint))
    if found is None or _open_again(found, registry, promotes=promotes):
        return None
    metrics = {name: repr(value) for name, value in made.metrics}
    same = all(metrics.get(s.metric) == repr(float(s.candidate)) for s in found.scores)
    return found if same else None


def _open_again(found: Decided, registry: Registry, *, promotes: bool) -> bool:
    """Did it hold only as long as something else did?"""
    return bool(
        _released(found, registry) or _promoting(found, promotes) or _moved(found, registry)
    )


def lacks_scores(asset: Asset, kept: Mapping[str, Materialization]) -> bool:
    """Has what was kept of a gate no score for one of its rules?

    The name of a gate is in no fingerprint, but is what its one score is called: a gate that was
    renamed, or another with the same code, scores for itself.
    """
    if asset.gate is None:
        return False
    scores = dict(kept[asset.name].metrics)
    return any(metric not in scores for metric, _ in asset.gate.rules)


def to_rule(asset: Asset, decision: Decision, facts: Facts) -> Decision:
    """The decision on a gate whose scores are kept: what it decided stays, or it has to decide."""
    if asset.gate is None or decision.kept is None or decision.action not in ("none", "reuse"):
        return decision
    made, registry = decision.kept[asset.name], facts.registries[asset.gate.registry]
    if decided(asset.gate, made, registry, promotes=facts.promotes) is not None:
        return decision
    why = tuple(_reasons(asset.gate, made, registry, promotes=facts.promotes))
    before = decision.verdict.reasons if isinstance(decision.verdict, Stale) else ()
    return replace(decision, verdict=Stale((*before, *why)), action="rule")


def _reasons(
    gate: Gate, made: Materialization, registry: Registry, *, promotes: bool
) -> Iterable[Reason]:
    """Why nothing is decided of these scores."""
    found = registry.decisions.get(key_of(gate, made.fingerprint))
    if found is not None:
        told = [
            *_released(found, registry),
            *_promoting(found, promotes),
            *_moved(found, registry),
        ]
        return told or [Reason("unproved", "its scores are others than those it decided on")]
    before = registry.decided_on(made)
    told = [] if before is None or before.alias != gate.alias else _other_rules(gate, before)
    return told or [Reason("never_made", f"not decided yet for {gate.registry}@{gate.alias}")]


def _released(found: Decided, registry: Registry) -> list[Reason]:
    if found.outcome != "held" or registry.hold is not None:
        return []
    return [Reason("input_changed", f"registry {registry.name}", "", "held", "released")]


def _promoting(found: Decided, promotes: bool) -> list[Reason]:
    if found.outcome not in WOULD or not promotes:
        return []
    return [Reason("never_made", f"decided only where nothing is promoted, in {found.environment}")]


def _moved(found: Decided, registry: Registry) -> list[Reason]:
    """It could not score what the alias named then."""
    if found.unscored is None:
        return []
    named = registry.at(found.alias)
    now = named.version if named is not None else None
    if now == found.compared:
        return []
    which = f"{registry.name}@{found.alias}"
    return [Reason("input_changed", which, "", f"v{found.compared}", f"v{now}" if now else "")]


def _other_rules(gate: Gate, before: Decided) -> list[Reason]:
    old = {metric: words_of(text) for metric, text in before.rules}
    new = {metric: words_of(text) for metric, text in rule_texts(gate.rules)}
    return [
        Reason("parameter_changed", f"{word} of {metric}", "", was, is_)
        for metric in dict.fromkeys([*new, *old])
        for word in ("direction", "margin", "minimum")
        if (was := old.get(metric, {}).get(word, "none"))
        != (is_ := new.get(metric, {}).get(word, "none"))
    ]
