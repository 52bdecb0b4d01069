"""Which of the many partitions of an asset are fresh, seen at once by their briefs.  PURE

It says of a partition what `decide` would say, or nothing: what is constant for all of them is
looked at, encoded and asked for once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from blake3 import blake3

from lineal.assets.asset import Asset, Input
from lineal.assets.decide import (
    arrival_of,
    by_digest,
    inputs_used,
    kind_of,
    one_input,
    reads_of,
    seen_of,
)
from lineal.assets.digest import SCHEME, encode, encode_list, encode_tuple
from lineal.assets.facts import Facts, contract_digest, parameters_of
from lineal.assets.graph import Graph
from lineal.assets.names import Step
from lineal.assets.records import Brief, Content, Used
from lineal.assets.settled import Settled

_NONE: Mapping[str | None, Brief] = {}
# What a partition reads of one input, encoded as in a fingerprint; None while that is not settled.
_Reads = Callable[[str], bytes | None]


def fresh(
    graph: Graph, name: str, keys: Sequence[str | None], known: Settled, facts: Facts
) -> Mapping[str | None, Brief]:
    """Of these partitions of an asset those that are fresh beyond doubt, in their order.

    All others are to be decided one by one: so is what has checks, or is alone.
    """
    asset = graph.assets[name]
    if len(keys) < 2 or not _is_simple(graph, asset):
        return _NONE
    fingerprint = _fingerprints(graph, asset, facts)
    inputs = _inputs(graph, asset, known, facts)
    briefs, forced = facts.past.partitions(name), facts.forced.get(name, ())
    found: dict[str | None, Brief] = {}
    for key in keys:
        brief = briefs.get(key)
        if brief is None or key is None or not brief.plain or key in forced:
            continue
        reads = [each(key) for each in inputs]
        told = [each for each in reads if each is not None]
        if len(told) == len(reads) and fingerprint(key, told) == brief.fingerprint:
            found[key] = brief
    facts.look(brief.objects for brief in found.values())
    lost = [key for key, brief in found.items() if not facts.present(_content(brief))]
    for key in lost:
        del found[key]
    return found


def _content(brief: Brief) -> Content:
    """As far as a brief tells it."""
    return Content(brief.content, "", brief.objects)


def _is_simple(graph: Graph, asset: Asset) -> bool:
    """Does nothing but its fingerprint and its objects decide on a partition of it?"""
    return (
        asset.partitions is not None
        and asset.sliced_by is None
        and asset.kind != "fetch"
        and asset.outputs == (asset.name,)
        and not asset.several
        and not asset.volatile
        and not graph.checks.get(asset.name)
    )


def _fingerprints(
    graph: Graph, asset: Asset, facts: Facts
) -> Callable[[str, Sequence[bytes]], str]:
    """`decide.fingerprints` of one output, with all that is constant encoded before."""
    recipe, environment = facts.recipes[asset.name], facts.environments[asset.name]
    first = b"".join(map(encode, (SCHEME, recipe.digest, environment.digest)))
    constant = encode(sorted(parameters_of(asset, facts).items()))
    last = encode(contract_digest(asset, kind_of(graph, asset)))
    scheme, no_output = encode(SCHEME), encode(None)
    definition = asset.partitions

    def fingerprint(key: str, reads: Sequence[bytes]) -> str:
        parameters = constant
        if definition is not None and definition.parameters(key):
            parameters = encode(sorted(parameters_of(asset, facts, key).items()))
        seen = encode(seen_of(asset, key))
        told = encode_tuple(first, parameters, seen, encode_list(*reads), last)
        base = encode(blake3(told).hexdigest())
        return blake3(encode_tuple(scheme, base, no_output)).hexdigest()

    return fingerprint


def _inputs(graph: Graph, asset: Asset, known: Settled, facts: Facts) -> list[_Reads]:
    if asset.kind == "files":
        return [_files(asset, facts)]
    if any(asset.query is not None or given.columns is not None for given in asset.inputs):
        return [_by_columns(graph, asset, known, facts)]
    return [_input(graph, asset, given, known, facts) for given in asset.inputs]


def _files(asset: Asset, facts: Facts) -> _Reads:
    def read(key: str) -> bytes | None:
        seen = facts.observations.get(Step(asset.name, key))
        return None if seen is None else encode(("files", "files", "auto", seen.digest))

    return read


def _by_columns(graph: Graph, asset: Asset, known: Settled, facts: Facts) -> _Reads:
    """All inputs at once, if columns are read of some.

    What is of the same content as when it was read is read as it was then; but that the same is
    read of such inputs now as then is looked at once for each way of reading.
    """
    ways: dict[tuple[object, ...], bool] = {}

    def decided(key: str) -> bytes | None:
        used, waits = inputs_used(graph, Step(asset.name, key), known, facts)
        return None if waits else _encoded(used)

    def read(key: str) -> bytes | None:
        was = facts.past.used(asset.name, key)
        if not was or _told(was) != _there(asset, key, known, facts):
            return decided(key)
        way = tuple(dict.fromkeys((used.parameter, used.mode, used.columns) for used in was))
        if way not in ways:
            ways[way] = decided(key) == _encoded(was)
        return _encoded(was) if ways[way] else decided(key)

    return read


def _encoded(used: Sequence[Used]) -> bytes:
    return b"".join(map(encode, reads_of(used)))


def _told(was: Sequence[Used]) -> list[tuple[str, str, str | None, str, str]] | None:
    """What was read, if its content tells all that was seen of it."""
    if any(used.mode not in ("all", "columns", "shape") for used in was):
        return None
    return [(u.parameter, u.asset, u.partition, u.content, u.arrival) for u in was]


def _there(
    asset: Asset, key: str, known: Settled, facts: Facts
) -> list[tuple[str, str, str | None, str, str]] | None:
    """What is there to be read now, as `_told` tells it; None while that is not settled."""
    found = []
    for given in asset.inputs:
        name = given.asset or given.parameter
        if facts.slices.behind(name):
            return None
        read = facts.slices.read(asset.name, key, given)
        arrival, briefs = arrival_of(given, many=read.many), known.briefs(name)
        for each in read.keys:
            content = briefs[each].content if each in briefs else _digest(Step(name, each), known)
            if content is None:
                return None
            found.append((given.parameter, name, each, content, arrival))
    return found


def _digest(step: Step, known: Settled) -> str | None:
    version = known.get(step)
    return None if version is None or version.content is None else version.content.digest


def _input(graph: Graph, asset: Asset, given: Input, known: Settled, facts: Facts) -> _Reads:
    def decided(key: str | None) -> bytes | None:
        used, waits = one_input(asset.name, key, given, known, facts)
        return None if waits else b"".join(map(encode, reads_of(used)))

    name = given.asset or given.parameter
    if graph.assets[graph.maker[name]].partitions is None:
        same = decided(None)
        return lambda key: same
    if given.each or not facts.slices.alike(asset.name, given) or not by_digest(given):
        return decided
    if facts.slices.behind(name):  # which there are depends on another asset
        return decided
    arrival = arrival_of(given, many=False)
    told, briefs = b"".join(map(encode, (given.parameter, "all", arrival))), known.briefs(name)

    def read(key: str) -> bytes | None:
        brief = briefs.get(key)
        return decided(key) if brief is None else encode_tuple(told, encode(brief.content))

    return read
