"""Facts: the immutable snapshot of what is known when planning begins, the clock included."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from lineal.assets.asset import Asset, Contract, Input, Query
from lineal.assets.digest import SCHEME, digest_of
from lineal.assets.names import Step
from lineal.assets.ports import Archive, History, Shape, Sight, Sights, Slices
from lineal.assets.records import (
    DEFAULT_ENVIRONMENT,
    Content,
    EnvironmentFacts,
    Observation,
    Recipe,
    StoredObject,
)
from lineal.assets.registries import Registries


class Past(History, Slices, Archive, Protocol):
    """History with its partitions and its explanations: one object in practice."""


class CheckId(NamedTuple):
    """A check of one output."""

    asset: str
    check: str


class Reading(NamedTuple):
    """Which slices of an input a step reads, in order; `many`: as a table of them, or a dict."""

    keys: Sequence[str | None]
    many: bool


class Slicing(Protocol):
    """Which partitions there are when planning begins, and which of an input each reads."""

    def keys(self, asset: str) -> Sequence[str | None]:
        """What an asset publishes, in order: None alone when it has no partitions."""
        ...

    def units(self, asset: str) -> Sequence[str | None]:
        """What is computed at once: the keys, or None alone for slices by a column."""
        ...

    def unit(self, asset: str, key: str | None) -> str | None:
        """The unit that makes a key."""
        ...

    def behind(self, asset: str) -> Sequence[Step]:
        """The steps that have to be settled before its keys are known."""
        ...

    def read(self, reader: str, key: str | None, given: Input) -> Reading:
        """What one step of a reader reads of an input."""
        ...

    def alike(self, reader: str, given: Input) -> bool:
        """Does every partition of a reader read the one of an input that has its key?"""
        ...

    def sliced(self, asset: str, keys: Sequence[str]) -> Slicing:
        """The same, now that an asset that is published by a column has these keys."""
        ...


class Whole:
    """Nothing has partitions."""

    def keys(self, asset: str) -> Sequence[str | None]:
        return (None,)

    def units(self, asset: str) -> Sequence[str | None]:
        return (None,)

    def unit(self, asset: str, key: str | None) -> str | None:
        return None

    def behind(self, asset: str) -> Sequence[Step]:
        return ()

    def read(self, reader: str, key: str | None, given: Input) -> Reading:
        return Reading((None,), many=False)

    def alike(self, reader: str, given: Input) -> bool:
        return False

    def sliced(self, asset: str, keys: Sequence[str]) -> Slicing:
        return self


def everything(
    query: Query, shapes: Mapping[str, Shape], parameters: Mapping[str, Any]
) -> Mapping[str, Sight]:
    """Sights of one who knows nothing of SQL."""
    return {}


def _nothing(_: object) -> None:
    """One may ask for each by itself."""


class Acted(NamedTuple):
    """What a run did of an action last: for which promotion, and did it succeed?"""

    promotion: str
    done: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known when planning begins; the run decides over the very same snapshot.

    Attributes:
        past: what the journal says.
        recipes: by asset name; for file sources the recipe of the reader.
        check_recipes: of each check of each output.
        environments: by asset name; check_environments likewise for checks.
        parameters: resolved values by asset name (defaults, settings, `-p`).
        observations: file sources as seen now, by step.
        present: does every object of a content exist? Asked once a content, then remembered: an
            object that a run brings back does not change what was decided.
        file_digest: digest of a project file now, or None; remembered likewise.
        now: UTC seconds since 1970.
        forced: what a person asked to make whatever the verdict: units, by asset name.
        slices: which partitions there are.
        resources: resolved parameters of each resource, by name.
        look: told of the objects of many contents for which `present` will be asked.
        sights: which columns a query reads.
        registries: of models; empty where nothing that is planned has to do with them.
        environment: its name; promotes: whether gates move aliases and actions run in it.
        acted: what the run that asks did of its actions, by name.
    """

    past: Past
    recipes: Mapping[str, Recipe]
    check_recipes: Mapping[CheckId, Recipe]
    environments: Mapping[str, EnvironmentFacts]
    check_environments: Mapping[CheckId, EnvironmentFacts]
    parameters: Mapping[str, Mapping[str, Any]]
    observations: Mapping[Step, Observation]
    present: Callable[[Content], bool]
    file_digest: Callable[[str], str | None]
    now: float
    forced: Mapping[str, Container[str | None]] = field(default_factory=dict)
    slices: Slicing = field(default_factory=Whole)
    resources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    look: Callable[[Iterable[tuple[StoredObject, ...]]], None] = _nothing
    sights: Sights = everything
    registries: Registries = field(default_factory=Registries)
    environment: str = DEFAULT_ENVIRONMENT
    promotes: bool = True
    acted: Mapping[str, Acted] = field(default_factory=dict)


class Presence:
    """Do objects exist? Asked at most once for the same ones: equal content may lie in others.

    Args:
        ask: which of these objects exist, by byte digest.
    """

    def __init__(self, ask: Callable[[Iterable[StoredObject]], Container[str]]) -> None:
        self._ask = ask
        self._known: dict[tuple[StoredObject, ...], bool] = {}

    def __call__(self, content: Content) -> bool:
        objects = content.objects
        if objects not in self._known:
            there = self._ask(objects)
            self._known[objects] = all(each.digest in there for each in objects)
        return self._known[objects]

    def look(self, contents: Iterable[tuple[StoredObject, ...]]) -> None:
        """Ask for the objects of many contents at once; what is missing is asked for by itself."""
        new = [objects for objects in contents if objects not in self._known]
        there = self._ask(each for objects in new for each in objects)
        for objects in new:
            if all(each.digest in there for each in objects):
                self._known[objects] = True


def contract_digest(asset: Asset, kind: str) -> str:
    """The digest of what an asset promises of its outputs, and how they are taken from a return.

    A returned tuple is matched to the outputs by position. `kind` separates a table from files
    left in place.
    """
    outputs = asset.outputs if asset.several else None
    shape: tuple[object, ...] = (outputs, asset.returns_rows, asset.folder_parameter)
    if asset.sliced_by is not None:
        shape = (*shape, asset.sliced_by)
    return _contract_digest(asset.contract, kind, shape)


@lru_cache(maxsize=65_536)
def _contract_digest(contract: Contract, kind: str, shape: object) -> str:
    return digest_of(
        (
            SCHEME,
            kind,
            contract.format,
            contract.primary_key,
            contract.order_by,
            contract.keep_order,
            contract.schema,
            shape,
        )
    )


def parameter_texts(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Parameters as recorded: (name, text) by name. JSON where it is faithful, else repr."""
    return tuple((name, _text(values[name])) for name in sorted(values))


def _text(value: Any) -> str:
    return json.dumps(value) if _is_json(value) else repr(value)


def _is_json(value: Any) -> bool:
    if type(value) is list:
        return all(_is_json(item) for item in value)
    if type(value) is dict:
        return all(type(k) is str and _is_json(v) for k, v in value.items())
    return value is None or type(value) in (str, int, float, bool)


def parameters_of(asset: Asset, facts: Facts, partition: str | None = None) -> Mapping[str, Any]:
    """The values of its parameters; those of a grid come from the partition."""
    values = facts.parameters.get(asset.name, asset.parameters)
    if partition is None or asset.partitions is None:
        return values
    return {**values, **asset.partitions.parameters(partition)}


def partition_parameters(asset: Asset, partition: str | None) -> dict[str, Any]:
    """`$partition`, and of a time `$start` and `$end`, as SQL may use them."""
    definition = asset.partitions
    if definition is None or partition is None:
        return {}
    told = definition.partition(partition)
    found: dict[str, Any] = {"partition": str(told)}
    if definition.period is not None:
        found.update(start=told.start, end=told.end)
    return found


def query_parameters(asset: Asset, facts: Facts, partition: str | None) -> dict[str, Any]:
    """All that SQL may use as `$name`; secrets are not revealed."""
    return {**parameters_of(asset, facts, partition), **partition_parameters(asset, partition)}
