"""What words select of a snapshot, assets and partitions of them, and the plan for those."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import cast

from lineal.assets import select as selecting
from lineal.assets.asset import Asset
from lineal.assets.choosing import choose
from lineal.assets.errors import UsageError
from lineal.assets.facts import Facts
from lineal.assets.graph import Graph
from lineal.assets.keys import Keys
from lineal.assets.names import Step
from lineal.assets.plan import Plan, plan
from lineal.assets.records import MODELS, Acceptance, Recipe
from lineal.provenance import who
from lineal.snapshot import Snapshot


def chosen(seen: Snapshot, words: Sequence[str]) -> set[str]:
    """The assets that selections name.

    Raises:
        SelectionError: one that names nothing.
    """
    for word in words:
        if not isinstance(word, str):
            raise UsageError(
                f"a selection is a text, not a {type(word).__name__}",
                advice='name each by itself: plan("model", "raw/")',
            )

    def stale() -> list[str]:
        everything = plan(seen.graph, seen.facts(seen.graph.order), seen.graph.order)
        return [s.maker for s in everything.steps if s.verdict.name != "fresh"]

    def models() -> list[str]:
        return [maker for output, maker in seen.graph.maker.items() if _is_model(seen, output)]

    return selecting.select(seen.graph, words, stale=stale, models=models)


def _is_model(seen: Snapshot, output: str) -> bool:
    briefs = seen.history.partitions(output).values()
    return any(brief.format in MODELS for brief in briefs)


def planned(
    seen: Snapshot,
    select: Sequence[str],
    exclude: Sequence[str] = (),
    force: bool = False,
    partitions: Sequence[str] = (),
) -> tuple[Plan, Facts]:
    """The plan for what is selected, and the facts that it rests on."""
    names = chosen(seen, select)
    left_out = chosen(seen, exclude) if exclude else set()
    facts = seen.facts(seen.graph.needed_by(names))
    keys = _partitions_of(seen.graph, facts, names, partitions) if partitions else {}
    if force:
        facts = _forced(facts, names - left_out, keys)
    return plan(seen.graph, facts, keys or names, left_out, keys), facts


def planned_look(seen: Snapshot, source: str) -> tuple[Plan, Facts]:
    """The plan to look at sources again.

    Raises:
        UsageError: one is none.
    """
    names = chosen(seen, [source])
    for name in names:
        if seen.graph.assets[name].kind not in ("files", "fetch"):
            raise UsageError(
                f"`{name}` is no source: it is computed",
                advice=f"make it with `lineal materialize {name}`",
            )
    fetched = {n for n in names if seen.graph.assets[n].kind == "fetch"}
    facts = _forced(seen.facts(names), fetched, {})
    return plan(seen.graph, facts, names), facts


def planned_steps(seen: Snapshot, steps: Iterable[Step], force: bool) -> tuple[Plan, Facts]:
    """The plan for some steps of outputs, those that are still declared.

    What an action did outside is not done again to have back what it returned.
    """
    graph = seen.graph
    steps = [s for s in steps if s.asset in graph.maker and not _acts(graph, s.asset)]
    facts = seen.facts(graph.needed_by({graph.maker[step.asset] for step in steps}))
    keys: dict[str, list[str | None]] = {}
    for step in steps:
        maker = graph.maker[step.asset]
        unit = facts.slices.unit(maker, step.partition)
        known = keys.setdefault(maker, [])
        if unit in facts.slices.units(maker) and unit not in known:
            known.append(unit)
    keys = {maker: found for maker, found in keys.items() if found}
    if force:
        facts = _forced(facts, keys, keys)
    return plan(graph, facts, keys, (), keys), facts


def _acts(graph: Graph, output: str) -> bool:
    return graph.assets[graph.maker[output]].action is not None


def planned_actions(seen: Snapshot, registry: str, alias: str) -> tuple[Plan, Facts]:
    """The plan for the actions of an alias alone: after it was moved by hand."""
    names = [
        name
        for name, asset in seen.graph.assets.items()
        if asset.action is not None
        and (asset.action.registry, asset.action.alias) == (registry, alias)
    ]
    facts = seen.facts(names)
    return plan(seen.graph, facts, names), facts


def accepted(seen: Snapshot, name: str, reason: str) -> tuple[Recipe, list[Acceptance]]:
    """That the code of an asset means what the code did that made what is current of it.

    Raises:
        UsageError: nothing to accept.
    """
    (asset,) = chosen(seen, [name])
    declared, past = seen.graph.assets[asset], seen.history
    recipe = seen.recipe(declared)
    output = declared.outputs[0]
    made = [past.current(output, key) for key in past.partitions(output)]
    if not any(made):
        raise UsageError(f"`{name}` was never made: there is nothing to be equal to")
    others = dict.fromkeys(m.recipe for m in made if m is not None and m.recipe != recipe.digest)
    if not others:
        raise UsageError(f"the code of `{name}` is what it was: nothing to accept")
    now = time.time()
    return recipe, [Acceptance(asset, old, recipe.digest, reason, who(), now) for old in others]


def _partitions_of(
    graph: Graph, facts: Facts, names: Iterable[str], words: Sequence[str]
) -> dict[str, Sequence[str | None]]:
    """The partitions that words name, of each of these assets that has such.

    Raises:
        UsageError: none has.
    """
    slices = facts.slices
    sliced = [n for n in graph.order if n in names and isinstance(slices.units(n), Keys)]
    if not sliced:
        raise UsageError(
            "nothing that is selected has partitions that are made one by one",
            advice="leave --partition out",
        )
    found: dict[str, dict[str | None, None]] = {}
    for word in words:
        refused: list[UsageError] = []
        for name in sliced:
            keys = slices.units(name)
            try:
                chosen_keys = choose([word], cast("Keys", keys), name)
            except UsageError as error:
                declared = _not_now(graph.assets[name], word, facts)
                refused.insert(0 if declared else len(refused), declared or error)
                continue
            found.setdefault(name, {}).update(dict.fromkeys(chosen_keys))
        if len(refused) == len(sliced):
            raise refused[0]
    return {name: [k for k in slices.units(name) if k in keys] for name, keys in found.items()}


def _not_now(asset: Asset, word: str, facts: Facts) -> UsageError | None:
    """A partition that is declared, and of which there is nothing to be made."""
    definition = asset.partitions
    if definition is None or asset.partitions_of is not None:
        return None
    if word not in definition.keys(facts.now):
        return None
    read = ", ".join(f"`{given.asset}`" for given in asset.inputs)
    return UsageError(
        f"`{asset.name}` has no partition `{word}` now: an input has nothing for it",
        advice=f"it reads {read}",
    )


def _forced(facts: Facts, names: Iterable[str], keys: Mapping[str, Sequence[str | None]]) -> Facts:
    """The same facts, and that these are to be made whatever is known of them."""
    units = {name: keys.get(name) or facts.slices.units(name) for name in names}
    return replace(facts, forced=units)
