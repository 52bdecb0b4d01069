"""Partitions: which slices an asset has, and what a function is told of one.  PURE"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from lineal.assets.errors import DefinitionError, UsageError, did_you_mean
from lineal.assets.keys import Keys, Listed, unknown
from lineal.assets.periods import Period


class Partition(str):
    """The key of one slice, as the function receives it: a text with what it stands for."""

    __slots__ = ("_span", "_values")
    _span: tuple[dt.datetime, dt.datetime] | None
    _values: dict[str, Any]

    def __new__(
        cls,
        key: str,
        times: tuple[dt.datetime, dt.datetime] | None = None,
        values: Mapping[str, Any] = MappingProxyType({}),
    ) -> Partition:
        made = super().__new__(cls, key)
        made._span = times
        made._values = dict(values)
        return made

    @property
    def start(self) -> dt.datetime:
        """When it begins, in its zone."""
        return self._times("start")[0]

    @property
    def end(self) -> dt.datetime:
        """When the next one begins: its own last moment is before."""
        return self._times("end")[1]

    def _times(self, word: str) -> tuple[dt.datetime, dt.datetime]:
        if self._span is None:
            raise AttributeError(f"the partition `{self}` is no time, so it has no `.{word}`")
        return self._span

    def __getitem__(self, place: Any) -> Any:
        if not isinstance(place, str):
            return super().__getitem__(place)
        if place not in self._values:
            known = ", ".join(f"`{name}`" for name in self._values) or "none"
            raise KeyError(f"the partition `{self}` has no `{place}`; it has: {known}")
        return self._values[place]

    def __reduce__(self) -> tuple[Any, ...]:
        return Partition, (str(self), self._span, self._values)


class Partitions(Protocol):
    """The slices of an asset: a definition, from which the keys of a moment follow."""

    @property
    def period(self) -> Period | None:
        """What its keys are, when they are times."""
        ...

    def keys(self, now: float, found: Sequence[str] = ()) -> Keys:
        """The keys as of `now` (UTC seconds since 1970), in order.

        `found`: those that files or data have, for definitions that don't know them.
        """
        ...

    def partition(self, key: str) -> Partition:
        """What the function receives for a key; raises UsageError when there can't be such one."""
        ...

    def parameters(self, key: str) -> dict[str, Any]:
        """Values that a key gives to parameters of the function (a grid); else none."""
        ...

    @property
    def called(self) -> tuple[str, ...]:
        """The names of what a key stands for: what `partition["…"]` may ask for."""
        ...

    def canonical(self) -> tuple[Any, ...]:
        """Plain values that say all of it."""
        ...

    def describe(self) -> str:
        """`monthly from 2013-01`."""
        ...


# ------------------------------------------------------------------------------------ known keys


def key_problem(key: object) -> str | None:
    """Why a text can't be the key of a partition; None when it can."""
    if not isinstance(key, str):
        return "it is no text"
    if not key:
        return "it is empty"
    if not key.isprintable():
        return "it holds what can't be printed"
    if key != key.strip():
        return "it begins or ends with a blank"
    held = next((each for each in ("/", "..") if each in key), None)
    return held and f"it holds `{held}`"


@dataclass(frozen=True, slots=True)
class Static:
    """Slices that are listed."""

    listed: tuple[str, ...]

    @property
    def period(self) -> None:
        return None

    def keys(self, now: float, found: Sequence[str] = ()) -> Keys:
        return Listed(self.listed)

    def partition(self, key: str) -> Partition:
        if key not in self.listed:
            raise unknown(key, Listed(self.listed), self.describe())
        return Partition(key)

    def parameters(self, key: str) -> dict[str, Any]:
        return {}

    @property
    def called(self) -> tuple[str, ...]:
        return ()

    def canonical(self) -> tuple[Any, ...]:
        return ("static", *self.listed)

    def describe(self) -> str:
        shown = ", ".join(self.listed[:6])
        return f"static {shown}" + (f", … ({len(self.listed)})" if len(self.listed) > 6 else "")


def static(keys: Sequence[str]) -> Static:
    """One slice for each of these texts, in this order."""
    if isinstance(keys, str) or not isinstance(keys, Sequence) or not keys:
        raise DefinitionError(f"static needs a list of keys, not {keys!r}", advice='["eu", "us"]')
    for key in keys:
        problem = key_problem(key)
        if problem:
            raise DefinitionError(f"static: {key!r} can't be a key: {problem}")
    key, count = Counter(keys).most_common(1)[0]
    if count > 1:
        raise DefinitionError(f"static names `{key}` {count} times", advice="each key once")
    return Static(tuple(keys))


@dataclass(frozen=True, slots=True)
class Grid:
    """Every combination of the values of some parameters: (name, ((text, value), …)), …"""

    axes: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]

    @property
    def period(self) -> None:
        return None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.axes)

    def keys(self, now: float, found: Sequence[str] = ()) -> Keys:
        pieces = ([f"{name}={text}" for text, _ in values] for name, values in self.axes)
        return Listed(map(",".join, itertools.product(*pieces)))

    def partition(self, key: str) -> Partition:
        return Partition(key, None, self.parameters(key))

    def parameters(self, key: str) -> dict[str, Any]:
        pieces = key.split(",")
        found: dict[str, Any] = {}
        if len(pieces) == len(self.axes):
            for piece, (name, values) in zip(pieces, self.axes, strict=True):
                known = {f"{name}={text}": value for text, value in values}
                if piece in known:
                    found[name] = known[piece]
        if len(found) < len(self.axes):
            raise unknown(key, self.keys(0), self.describe())
        return found

    @property
    def called(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.axes)

    def canonical(self) -> tuple[Any, ...]:
        return ("grid", *((name, *(value for _, value in values)) for name, values in self.axes))

    def describe(self) -> str:
        shown = (f"{name}={len(values)}" for name, values in self.axes)
        return f"grid {' × '.join(shown)}"


def grid(**axes: Sequence[Any]) -> Grid:
    """One slice for every combination: `grid(learning_rate=[0.1, 0.3], depth=[3, 5])`.

    A key is `learning_rate=0.1,depth=3`; its values become the parameters of those names.
    """
    if not axes:
        raise DefinitionError("grid has no axis", advice="grid(depth=[3, 5])")
    return Grid(tuple((_axis_name(name), _axis(name, values)) for name, values in axes.items()))


def _axis_name(name: str) -> str:
    if not name.isidentifier() or name == "partition":
        raise DefinitionError(
            f"grid: `{name}` can't be the name of an axis",
            advice="it is the name of the parameter that the values are for",
        )
    return name


def _axis(name: str, values: Any) -> tuple[tuple[str, Any], ...]:
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise DefinitionError(
            f"grid: `{name}` is {values!r}", advice=f"it is a list of values: {name}=[1, 2]"
        )
    found: dict[str, Any] = {}
    for value in values:
        text = _spelt(name, value)
        if text in found:
            raise DefinitionError(f"grid: `{name}` has {value!r} twice", advice="each value once")
        found[text] = value
    return tuple(found.items())


def _spelt(name: str, value: Any) -> str:
    """How a value is written in a key."""
    if type(value) not in (int, float, str, bool, type(None)):
        raise DefinitionError(
            f"grid: `{name}` holds a {type(value).__name__}: {value!r}",
            advice="values are plain: numbers, texts, True, False, None (`.tolist()` of an array)",
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise DefinitionError(f"grid: `{name}` holds {value!r}", advice="use a finite number")
    text = str(value)
    problem = "it holds `,`" if "," in text else key_problem(text)
    if problem:
        raise DefinitionError(f"grid: {value!r} of `{name}` can't be part of a key: {problem}")
    return text


# --------------------------------------------------------------------------- found in other things


@dataclass(frozen=True, slots=True)
class ByColumn:
    """One slice for each value of a column: computed once, published as one version a slice."""

    column: str

    @property
    def period(self) -> None:
        return None

    def keys(self, now: float, found: Sequence[str] = ()) -> Keys:
        return Listed(found)

    def partition(self, key: str) -> Partition:
        problem = key_problem(key)
        if problem:
            raise UsageError(f"{key!r} of the column `{self.column}` is no partition: {problem}")
        return Partition(key, None, {self.column: key})

    def parameters(self, key: str) -> dict[str, Any]:
        return {}

    @property
    def called(self) -> tuple[str, ...]:
        return (self.column,)

    def canonical(self) -> tuple[Any, ...]:
        return ("by_column", self.column)

    def describe(self) -> str:
        return f"by column {self.column}"


def by_column(column: str) -> ByColumn:
    """One slice for each value of a column of the table that the function returns."""
    if not isinstance(column, str) or not column.strip():
        raise DefinitionError(
            f"by_column needs the name of a column, not {column!r}", advice='by_column("month")'
        )
    return ByColumn(column)


@dataclass(frozen=True, slots=True)
class SameAs:
    """The slices of another asset, which the graph puts in place of this."""

    asset: str

    @property
    def period(self) -> None:
        return None

    def keys(self, now: float, found: Sequence[str] = ()) -> Keys:
        raise self._unresolved()

    def partition(self, key: str) -> Partition:
        raise self._unresolved()

    def parameters(self, key: str) -> dict[str, Any]:
        raise self._unresolved()

    @property
    def called(self) -> tuple[str, ...]:
        raise self._unresolved()

    def canonical(self) -> tuple[Any, ...]:
        return ("same_as", self.asset)

    def describe(self) -> str:
        return f"same as {self.asset}"

    def _unresolved(self) -> TypeError:
        return TypeError(f"the slices of `{self.asset}` were not put in place of `same_as`")


def same_as(asset: str) -> SameAs:
    """The slices that the asset of this name has."""
    return SameAs(asset)


def unfilled(definition: Partitions, parameters: Sequence[str]) -> DefinitionError | None:
    """What is wrong when a grid has an axis that is no parameter of the function."""
    axes = definition.names if isinstance(definition, Grid) else ()
    lost = next((name for name in axes if name not in parameters), None)
    if lost is None:
        return None
    return DefinitionError(
        f"the grid has an axis `{lost}`, which is no parameter{did_you_mean(lost, parameters)}",
        advice=f"give the function a parameter: `*, {lost}`",
    )
