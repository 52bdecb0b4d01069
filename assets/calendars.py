"""Slices of time: every hour, day, week or month from one to another.  PURE"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from lineal.assets.errors import DefinitionError, UsageError
from lineal.assets.keys import Keys, Periods, unknown
from lineal.assets.partitions import Partition
from lineal.assets.periods import EXAMPLES, Kind, Period, period, span


@dataclass(frozen=True, slots=True)
class Calendar:
    """Hours, days, weeks or months from one number to another, or to the last that is over."""

    period: Period
    first: int
    last: int | None = None

    def keys(self, now: float, found: Sequence[str] = ()) -> Keys:
        last = self.period.complete(now) if self.last is None else self.last
        return Periods(self.period, range(self.first, max(self.first, last + 1)))

    def partition(self, key: str) -> Partition:
        try:
            number = self.period.number(key)
        except ValueError:
            number = self.first - 1
        if number < self.first or (self.last is not None and number > self.last):
            if self.last is not None:
                raise unknown(key, self.keys(0), self.describe())
            raise UsageError(
                f"`{key}` is no partition of those {self.describe()}",
                advice=f"a key is such as {EXAMPLES[self.period.kind]}",
            )
        return timed(self.period, key, number)

    def parameters(self, key: str) -> dict[str, Any]:
        return {}

    @property
    def called(self) -> tuple[str, ...]:
        return ()

    def canonical(self) -> tuple[Any, ...]:
        every = self.period
        return every.kind, self._first, self._last, every.tz, every.offset

    def describe(self) -> str:
        every = self.period
        until = f"from {self._first}" if self._last is None else f"{self._first} to {self._last}"
        where = "" if every.tz == "UTC" else f" in {every.tz}"
        late = "" if every.offset == 0 else f", {every.offset} h later"
        return f"{every.kind} {until}{where}{late}"

    @property
    def _first(self) -> str:
        return self.period.key(self.first)

    @property
    def _last(self) -> str | None:
        return None if self.last is None else self.period.key(self.last)


def timed(
    period: Period, key: str, number: int, values: Mapping[str, Any] = MappingProxyType({})
) -> Partition:
    """The slice of time of a number."""
    return Partition(key, (period.start(number), period.start(number + 1)), values)


def hourly(start: str, end: str | None = None, tz: str = "UTC", offset: int = 0) -> Calendar:
    """One slice an hour: `2013-01-05T07`. See `daily`."""
    return _calendar("hourly", start, end, tz, offset)


def daily(start: str, end: str | None = None, tz: str = "UTC", offset: int = 0) -> Calendar:
    """One slice a day: `2013-01-05`.

    Args:
        start: the first, by its key or by a date in it.
        end: the last, likewise; else the last one that is over.
        tz: the IANA zone whose days they are.
        offset: how many hours later than the calendar says they begin.
    """
    return _calendar("daily", start, end, tz, offset)


def weekly(start: str, end: str | None = None, tz: str = "UTC", offset: int = 0) -> Calendar:
    """One slice an ISO week, from Monday: `2013-W05`. See `daily`."""
    return _calendar("weekly", start, end, tz, offset)


def monthly(start: str, end: str | None = None, tz: str = "UTC", offset: int = 0) -> Calendar:
    """One slice a month: `2013-01`. See `daily`."""
    return _calendar("monthly", start, end, tz, offset)


def _calendar(kind: Kind, start: Any, end: Any, tz: Any, offset: Any) -> Calendar:
    since = span(start) if isinstance(start, str) else None
    every = period(kind, tz, offset, since.first if since else dt.date(2000, 1, 1))
    first = _edge(every, "start", start, 0)
    last = None if end is None else _edge(every, "end", end, 1)
    if last is not None and last < first:
        raise DefinitionError(
            f"`{kind}` ends at {end}, before it starts at {start}", advice="change them round"
        )
    return Calendar(every, first, last)


def _edge(every: Period, word: str, given: Any, days: int) -> int:
    """The number of the first (or, with a day more, of the last) slice."""
    meant = span(given) if isinstance(given, str) else None
    try:
        if meant is not None and meant.unit == "day":
            if every.kind == "hourly":
                return every.first_of(meant.first + dt.timedelta(days)) - days
            return every.first_of(meant.first)
        return every.number(given if meant is not None else "")
    except ValueError as error:
        twice = every.twice(given) if meant is not None else ()
        day = "" if every.kind == "daily" else ", or a date in it, 2013-01-05"
        advice = f"write its key, {EXAMPLES[every.kind]}{day}"
        if twice:
            advice = f"say which of the two: {', '.join(twice)}"
        raise DefinitionError(f"`{word}` of `{every.kind}` is {given!r}", advice=advice) from error
