"""Which columns of its inputs a query reads, as a verdict asks for it.  PURE"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lineal.assets.asset import Asset, Input
from lineal.assets.facts import Facts, query_parameters
from lineal.assets.names import Step
from lineal.assets.ports import Shape, Sight
from lineal.assets.records import Content, Materialization
from lineal.assets.settled import Settled
from lineal.assets.verdicts import Known

_EVERYTHING = Sight()


def sighted(
    asset: Asset, key: str | None, known: Mapping[Step, Known], facts: Facts
) -> tuple[Input, ...]:
    """The inputs of a step, those of a query with the columns that it reads.

    Which these are follows from what all of its inputs look like: of one that is pending, as it was
    last. So it is a guess as long as one is, and settled with the last of them.
    """
    if asset.query is None:
        return asset.inputs
    found = seen(asset, key, known, facts)
    return tuple(_with(given, found.get(_name(given), _EVERYTHING)) for given in asset.inputs)


def as_recorded(asset: Asset, made: Materialization | None) -> tuple[Input, ...]:
    """The inputs of a query with the columns that a version of it read.

    An input that differs in them can't be what that version read, whichever columns will be read
    once all inputs are known; and of one that doesn't, nothing is certain until then.
    """
    if asset.query is None or made is None:
        return asset.inputs
    was = {used.parameter: used for used in made.inputs if used.mode in ("columns", "shape")}
    read = {name: Sight(used.columns, used.mode == "shape") for name, used in was.items()}
    return tuple(_with(given, read.get(given.parameter, _EVERYTHING)) for given in asset.inputs)


def seen(
    asset: Asset, key: str | None, known: Mapping[Step, Known], facts: Facts
) -> Mapping[str, Sight]:
    """What a query sees of its inputs, by asset; of one that is left out, everything."""
    if asset.query is None or not asset.inputs:
        return {}
    shapes: dict[str, Shape] = {}
    for given in asset.inputs:
        found = _shapes(asset, key, given, known, facts)
        if found is None:
            return {}
        if len(found) > 1:
            doubt = Sight(doubt=f"the partitions of `{_name(given)}` differ in their columns")
            return {_name(each): doubt for each in asset.inputs}
        shapes.update((_name(given), shape) for shape in found)
    if len(shapes) < len(asset.inputs):  # one has no partition at all
        return {}
    sights = facts.sights(asset.query, shapes, query_parameters(asset, facts, key))
    return {name: _named(sights[name], shape) for name, shape in shapes.items() if name in sights}


def _named(sight: Sight, shape: Shape) -> Sight:
    """All columns that there are, by name, unless that is a doubt: one more is not read then."""
    if sight.columns is not None or sight.doubt:
        return sight
    return sight._replace(columns=tuple(name for name, _ in shape))


def _name(given: Input) -> str:
    return given.asset or given.parameter


def _with(given: Input, sight: Sight) -> Input:
    if (given.columns, given.shape) == (sight.columns, sight.shape):
        return given
    return replace(given, columns=sight.columns, shape=sight.shape)


def _shapes(
    asset: Asset, key: str | None, given: Input, known: Mapping[Step, Known], facts: Facts
) -> set[Shape] | None:
    """The columns of an input, those of each of its partitions; None if they aren't known."""
    found: set[Shape] = set()
    alike = _like_another(asset, key, given, known, facts)
    for each in facts.slices.read(asset.name, key, given).keys:
        if each not in alike:
            content = _content(Step(_name(given), each), known, facts)
            if content is None or content.rows is None:
                return None
            found.add(tuple((column.name, column.type) for column in content.columns))
    return found


def _like_another(
    asset: Asset, key: str | None, given: Input, known: Mapping[Step, Known], facts: Facts
) -> set[str | None]:
    """The partitions that have the columns of another one, without a look at them.

    A query reads by columns only where all partitions that it reads have the same. Those that are
    what the version at hand read so still do.
    """
    briefs = known.briefs(_name(given)) if isinstance(known, Settled) else {}
    made = facts.past.current(asset.outputs[0], key) if len(briefs) > 1 else None
    if made is None or made.kind != "sql":
        return set()
    there = facts.slices.read(asset.name, key, given).keys
    same = [
        used.partition
        for used in made.inputs
        if used.parameter == given.parameter
        and used.mode in ("columns", "shape")
        and used.partition in briefs
        and used.content == briefs[used.partition].content
        and used.partition in there
    ]
    return set(same[1:])


def _content(step: Step, known: Mapping[Step, Known], facts: Facts) -> Content | None:
    """What is known of it; of one that is still to be made, what it was last."""
    settled = known.get(step)
    if settled is not None and settled.content is not None:
        return settled.content
    current = facts.past.current(*step)
    return None if current is None else current.content
