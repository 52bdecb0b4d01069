"""Which partitions there are at a moment, and which of its inputs each step reads.  PURE"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lineal.assets.asset import Asset, Input
from lineal.assets.facts import Reading
from lineal.assets.graph import Graph
from lineal.assets.keys import Keys, Listed, Periods
from lineal.assets.mapping import reads, same_slices
from lineal.assets.names import Step
from lineal.assets.partitions import Partitions
from lineal.assets.records import Materialization

_WHOLE: tuple[None] = (None,)
_AS_A_WHOLE = Reading(_WHOLE, many=False)


@dataclass(frozen=True, slots=True)
class Sliced:
    """Implements `lineal.assets.facts.Slicing` over a graph.

    A partition exists where its definition has the key, and each input that is read key by key
    has something for it.

    Args:
        now: UTC seconds since 1970.
        found: the keys of sources that their files give, and of assets that their data give.
    """

    graph: Graph
    now: float
    found: Mapping[str, Sequence[str]]
    _keys: dict[str, Keys | None] = field(default_factory=dict)
    _behind: dict[str, Sequence[Step]] = field(default_factory=dict)
    _of_all: dict[tuple[str, Input], Reading] = field(default_factory=dict)  # of unpartitioned
    _alike: dict[tuple[str, Input], bool] = field(default_factory=dict)

    def keys(self, asset: str) -> Sequence[str | None]:
        known = self._partitions(self._asset(asset))
        return _WHOLE if known is None else known

    def units(self, asset: str) -> Sequence[str | None]:
        found = self._asset(asset)
        return _WHOLE if found.sliced_by is not None else self.keys(asset)

    def unit(self, asset: str, key: str | None) -> str | None:
        return None if self._asset(asset).sliced_by is not None else key

    def behind(self, asset: str) -> Sequence[Step]:
        found = self._asset(asset)
        if found.name not in self._behind:
            self._behind[found.name] = tuple(dict.fromkeys(self._settling(found)))
        return self._behind[found.name]

    def _settling(self, asset: Asset) -> Iterator[Step]:
        """Its own making, if that tells its keys; else what tells the keys that it reads."""
        if asset.partitions is None:
            return
        if asset.sliced_by is not None:
            yield Step(asset.name)
            return
        if asset.partitions_of is not None:
            yield from self.behind(asset.partitions_of)
        for given in asset.inputs:
            yield from self.behind(given.asset or given.parameter)

    def read(self, reader: str, key: str | None, given: Input) -> Reading:
        source = self._asset(given.asset or given.parameter)
        if source.partitions is None:
            return _AS_A_WHOLE
        if key is not None and self.alike(reader, given):
            return Reading((key,), many=given.each)
        ours = self._asset(reader).partitions if key is not None else None
        if ours is not None:
            return self._reading(reader, ours, key, given, source)
        if (reader, given) not in self._of_all:
            self._of_all[reader, given] = self._reading(reader, None, None, given, source)
        return self._of_all[reader, given]

    def alike(self, reader: str, given: Input) -> bool:
        place = (reader, given)
        if place not in self._alike:
            self._alike[place] = self._are_alike(self._asset(reader), given)
        return self._alike[place]

    def _are_alike(self, reader: Asset, given: Input) -> bool:
        source = self._asset(given.asset or given.parameter)
        ours, theirs = reader.partitions, source.partitions
        if ours is None or theirs is None or given.marker is not None:
            return False
        if reader.sliced_by is not None or source.sliced_by is not None:
            return False  # a run finds out which there are
        same = same_slices(ours, theirs)
        return same and self._partitions(reader) == self._partitions(source)

    def _reading(
        self, reader: str, ours: Partitions | None, key: str | None, given: Input, source: Asset
    ) -> Reading:
        if given.marker is not None and given.marker.word == "only" and self.behind(source.name):
            # A run finds out whether there are these: until then, and if not, they are waited for.
            return Reading(given.marker.keys, many=True)
        known = self._partitions(source) or Listed(())
        who = f"`{given.parameter}` of `{reader}`"
        keys = reads(ours, key, source.partitions, known, given.marker, who)
        if ours is not None and given.marker is None and tuple(keys) == (key,):
            return Reading(keys, many=given.each)
        one = given.marker is not None and given.marker.word == "previous"
        return Reading(keys, many=given.each or not one)

    def sliced(self, asset: str, keys: Sequence[str]) -> Sliced:
        return Sliced(self.graph, self.now, {**self.found, asset: tuple(keys)})

    def _asset(self, name: str) -> Asset:
        """The asset of a name, or that which makes the output of this name."""
        assets = self.graph.assets
        return assets[name] if name in assets else assets[self.graph.maker[name]]

    # --------------------------------------------------------------------------- which there are

    def _partitions(self, asset: Asset) -> Keys | None:
        """The keys of an asset; None when it has no partitions."""
        if asset.partitions is None:
            return None
        if asset.name not in self._keys:
            self._keys[asset.name] = self._now(asset)
        return self._keys[asset.name]

    def _now(self, asset: Asset) -> Keys:
        if asset.partitions is None:
            return Listed(())
        if asset.partitions_of is not None:
            there = self._partitions(self.graph.assets[asset.partitions_of])
            keys = there if there is not None else Listed(())
        else:
            keys = asset.partitions.keys(self.now, self.found.get(asset.name, ()))
        if asset.sliced_by is not None:
            return keys
        for given in asset.inputs:
            keys = self._with_something_to_read(asset, keys, given)
        return keys

    def _with_something_to_read(self, asset: Asset, keys: Keys, given: Input) -> Keys:
        """Those for which an input has something; the first may have none before it."""
        source = self._asset(given.asset or given.parameter)
        if source.partitions is None or (given.marker and given.marker.word != "last"):
            return keys
        there = self._partitions(source) or Listed(())
        if asset.partitions == source.partitions and there == keys:
            return keys
        if isinstance(keys, Periods) and isinstance(there, Periods) and keys.period == there.period:
            return keys.between(there.numbers)
        found = [
            key
            for key in keys
            if len(reads(asset.partitions, key, source.partitions, there, given.marker))
        ]
        return keys if len(found) == len(keys) else Listed(found, keys.period)


def slices_of(whole: Materialization | None) -> list[str]:
    """The keys in which an asset was published by a column, in order."""
    if whole is None:
        return []
    return [key for key, _ in whole.metadata.get("slices", ())]
