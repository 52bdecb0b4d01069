"""The keys of slices in order: listed, or a stretch of a calendar that nobody writes out.  PURE"""

from __future__ import annotations

import re
from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import overload

from lineal.assets.errors import UsageError, did_you_mean
from lineal.assets.periods import Period

_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?)")


class Keys(Sequence[str]):
    """Keys in order, each once. Those of time know their period."""

    __slots__ = ()

    @property
    @abstractmethod
    def period(self) -> Period | None:
        """What they are keys of, when it is time."""

    @abstractmethod
    def between(self, numbers: range) -> Keys:
        """Those of time whose numbers are in a range."""

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Keys: ...
    @abstractmethod
    def __getitem__(self, place: int | slice) -> str | Keys: ...

    @abstractmethod
    def place(self, key: str) -> int | None:
        """Where a key stands; None when it is not among them."""

    def index(self, key: str, start: int = 0, stop: int | None = None) -> int:
        found = self.place(key)
        if found is None or found not in range(len(self))[start:stop]:
            raise ValueError(f"{key!r} is not among the keys")
        return found

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.place(key) is not None

    def inside(self, word: str) -> Keys:
        """Those inside a longer time: `2013-01` of days. Nothing if it is none."""
        numbers = None if self.period is None else self.period.inside(word)
        return Listed(()) if numbers is None else self.between(numbers)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # equal to lists, which have none

    def __repr__(self) -> str:
        return f"<{reach(self)}>"


class Listed(Keys):
    """Keys that were given, or found in files or data."""

    __slots__ = ("_keys", "_period", "_places")

    def __init__(self, keys: Iterable[str], period: Period | None = None) -> None:
        self._keys = tuple(keys)
        self._period = period
        self._places: dict[str, int] | None = None

    @property
    def period(self) -> Period | None:
        return self._period

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Keys: ...
    def __getitem__(self, place: int | slice) -> str | Keys:
        if isinstance(place, slice):
            return Listed(self._keys[place], self._period)
        return self._keys[place]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def place(self, key: str) -> int | None:
        if self._places is None:
            self._places = {each: place for place, each in enumerate(self._keys)}
        return self._places.get(key)

    def between(self, numbers: range) -> Keys:
        if self._period is None:
            return Listed(())
        number = self._period.number
        first = bisect_left(self._keys, numbers.start, key=number)
        return self[first : bisect_left(self._keys, max(numbers.start, numbers.stop), key=number)]


class Periods(Keys):
    """Keys of a calendar, by arithmetic: none is made before it is asked for."""

    __slots__ = ("_numbers", "_period")

    def __init__(self, period: Period, numbers: range) -> None:
        self._period = period
        self._numbers = numbers

    @property
    def period(self) -> Period:
        return self._period

    @property
    def numbers(self) -> range:
        """Of the keys, one after the other."""
        return self._numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Keys: ...
    def __getitem__(self, place: int | slice) -> str | Keys:
        if not isinstance(place, slice):
            return self._period.key(self._numbers[place])
        numbers = self._numbers[place]
        if numbers.step == 1:
            return Periods(self._period, numbers)
        # With gaps, or backwards: no stretch of time.
        return Listed(map(self._period.key, numbers), self._period if numbers.step > 0 else None)

    def __iter__(self) -> Iterator[str]:
        return map(self._period.key, self._numbers)

    def place(self, key: str) -> int | None:
        try:
            number = self._period.number(key)
        except ValueError:
            return None
        return self._numbers.index(number) if number in self._numbers else None

    def between(self, numbers: range) -> Keys:
        first = bisect_left(self._numbers, numbers.start)
        return self[first : bisect_left(self._numbers, max(numbers.start, numbers.stop))]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Periods):
            return (self._period, self._numbers) == (other._period, other._numbers) or (
                not self and not other
            )
        return super().__eq__(other)

    __hash__ = None  # equal to lists, which have none


def in_order(keys: Iterable[str | None]) -> list[str]:
    """Keys of which no definition says the order: as people would have them, numbers by value."""
    known = (key for key in keys if key is not None)
    return sorted(known, key=lambda key: ([_part(part) for part in _NUMBER.split(key)], key))


def _part(text: str) -> tuple[int, float, str]:
    return (0, float(text), "") if _NUMBER.fullmatch(text) else (1, 0.0, text)


def reach(keys: Keys) -> str:
    """`12 partitions, 2013-01 to 2013-12`."""
    if not keys:
        return "no partitions"
    if len(keys) == 1:
        return f"1 partition, {keys[0]}"
    if keys.period is None and len(keys) <= 6:
        return f"{len(keys)} partitions: {', '.join(keys)}"
    return f"{len(keys)} partitions, {keys[0]} to {keys[-1]}"


def unknown(key: str, keys: Keys, who: str) -> UsageError:
    """`who` has no such partition: the nearest, and what there is."""
    return UsageError(
        f"`{who}` has no partition `{key}`{_nearest(key, keys)}", advice=f"it has {reach(keys)}"
    )


def _nearest(key: str, keys: Keys) -> str:
    if not keys:
        return ""
    if keys.period is None:
        return did_you_mean(key, islice(keys, 10_000))
    twice = keys.period.twice(key)
    if twice:
        return f"; clocks show it twice: `{twice[0]}` and `{twice[1]}`"
    try:
        number = keys.period.number(key)
    except ValueError:
        return did_you_mean(key, (keys[0], keys[-1]))
    later = len(keys.between(range(number)))
    return f"; the nearest is `{keys[min(later, len(keys) - 1)]}`"
