"""Hours, days, weeks and months of a time zone, each known by its ISO key and by its number.  PURE

Numbers make all of it arithmetic: the key of a number, the number of a key, when it begins. An hour
is counted from 1970 in UTC, so none is lost or doubled when clocks are put back; the two hours that
a clock then shows alike are told apart by the distance from UTC: `2013-11-03T01-04:00`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple

from lineal.assets.errors import DefinitionError, did_you_mean

Kind = Literal["hourly", "daily", "weekly", "monthly"]

EXAMPLES: Mapping[Kind, str] = MappingProxyType(
    {"hourly": "2013-01-05T07", "daily": "2013-01-05", "weekly": "2013-W05", "monthly": "2013-01"}
)
UNITS: Mapping[str, Kind] = MappingProxyType(
    {"hour": "hourly", "day": "daily", "week": "weekly", "month": "monthly"}
)
# How long the shortest one is, in hours: what a later beginning must stay below. Hours move along
# with the days, weeks or months that they lie in.
_LENGTH: Mapping[Kind, int] = MappingProxyType(
    {"hourly": 672, "daily": 24, "weekly": 168, "monthly": 672}
)
_YEARS = range(1000, 3000)
_HOUR = 3600
_UTC = dt.timezone.utc  # noqa: UP017  the very same object, by the name that `tzinfo` has
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=_UTC)
_EPOCH_DAY = _EPOCH.toordinal()
_TIME = re.compile(r"T[0-9]{2}\Z")
_WORD = re.compile(
    r"(?P<year>[0-9]{4})(?:-W(?P<week>[0-9]{2})|-(?P<month>[0-9]{2})(?:-(?P<day>[0-9]{2})"
    r"(?:T(?P<hour>[0-9]{2})(?P<shift>[+-][0-9]{2}:[0-9]{2})?)?)?)?\Z"
)


class Span(NamedTuple):
    """What `2013`, `2013-W05` or `2013-01-05` stands for: from a date to before another."""

    unit: Literal["year", "month", "week", "day", "hour"]
    first: dt.date
    beyond: dt.date


def span(word: str) -> Span | None:
    """The dates a word stands for, or None when it is no date."""
    found = _WORD.match(word)
    if found is None or int(found["year"]) not in _YEARS:
        return None
    year = int(found["year"])
    try:
        if found["week"]:
            monday = dt.date.fromisocalendar(year, int(found["week"]), 1)
            return Span("week", monday, monday + dt.timedelta(7))
        if found["day"]:
            day = dt.date(year, int(found["month"]), int(found["day"]))
            return Span("hour" if found["hour"] else "day", day, day + dt.timedelta(1))
        if found["month"]:
            first = dt.date(year, int(found["month"]), 1)
            return Span("month", first, _date("monthly", _number("monthly", first) + 1))
        return Span("year", dt.date(year, 1, 1), dt.date(year + 1, 1, 1))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Period:
    """How long slices are, in which zone, and how many hours late they begin."""

    kind: Kind
    tz: str = "UTC"
    offset: int = 0
    phase: int = 0  # hours: seconds after a full hour of UTC at which one begins in this zone

    def key(self, number: int) -> str:
        """The ISO key of a number."""
        if self.kind == "daily":
            return dt.date.fromordinal(number).isoformat()
        if self.kind == "monthly":
            return f"{number // 12:04}-{number % 12 + 1:02}"
        if self.kind == "weekly":
            week = _date("weekly", number).isocalendar()
            return f"{week.year:04}-W{week.week:02}"
        if self._is_plain:
            day, hour = divmod(number, 24)
            return f"{dt.date.fromordinal(_EPOCH_DAY + day).isoformat()}T{hour:02}"
        shown = self._shown(number)
        text = f"{shown:%Y-%m-%dT%H}"
        if shown.replace(fold=1 - shown.fold).utcoffset() == shown.utcoffset():
            return text
        return text + shown.isoformat(timespec="seconds")[19:]

    def number(self, key: str) -> int:
        """The number of an ISO key.

        Raises:
            ValueError: no key of this kind; also an hour that the zone skips, or has twice.
        """
        if self.kind == "daily":  # without a detour: there are many
            day = dt.date.fromisoformat(key)
            if day.year in _YEARS and day.isoformat() == key:
                return day.toordinal()
        if self._is_plain and len(key) == 13 and _TIME.match(key, 10):
            day = dt.date.fromisoformat(key[:10])
            number = (day.toordinal() - _EPOCH_DAY) * 24 + int(key[11:])
            if day.year in _YEARS and self.key(number) == key:
                return number
        meant = span(key)
        if meant is None or UNITS.get(meant.unit) != self.kind:
            raise ValueError(key)
        if self.kind != "hourly":
            return _number(self.kind, meant.first)
        for number in self._hours(key):
            if self.key(number) == key:
                return number
        raise ValueError(key)

    @property
    def _is_plain(self) -> bool:
        """Are they hours whose keys need no look at a clock? Such keys are many."""
        return self.kind == "hourly" and self.tz == "UTC" and not self.phase

    def has(self, key: str) -> bool:
        """Is this a key of this kind?"""
        try:
            self.number(key)
        except ValueError:
            return False
        return True

    def twice(self, key: str) -> tuple[str, ...]:
        """The keys of an hour that the zone has twice and that is said without which of them."""
        meant = span(key)
        if self.kind != "hourly" or meant is None or meant.unit != "hour" or len(key) != 13:
            return ()
        found = tuple(self.key(number) for number in self._hours(key))
        return found if len(found) == 2 and all(each.startswith(key) for each in found) else ()

    def begins(self, number: int) -> int:
        """When it begins, in seconds since 1970."""
        if self.kind == "hourly":
            return (number + self.offset) * _HOUR + self.phase
        midnight = dt.datetime.combine(_date(self.kind, number), dt.time())
        return self._seconds(midnight + dt.timedelta(hours=self.offset))

    def start(self, number: int) -> dt.datetime:
        """When it begins, in its zone. It ends when the next one begins."""
        return dt.datetime.fromtimestamp(self.begins(number), zone(self.tz))

    def complete(self, now: float) -> int:
        """The number of the last one that is over."""
        if self.kind == "hourly":
            return int((now - self.phase) // _HOUR) - self.offset - 1
        shown = dt.datetime.fromtimestamp(now, zone(self.tz)).replace(tzinfo=None)
        number = _number(self.kind, (shown - dt.timedelta(hours=self.offset)).date())
        while self.begins(number) > now:
            number -= 1
        while self.begins(number + 1) <= now:
            number += 1
        return number - 1

    def inside(self, word: str) -> range | None:
        """The numbers inside a longer time: `2013` or `2013-01` for days; None if it is none."""
        meant = span(word)
        longer = _LONGER[self.kind]
        if meant is None or meant.unit not in longer:
            return None
        if self.kind == "weekly":  # those of the ISO year
            first = dt.date.fromisocalendar(meant.first.year, 1, 1)
            beyond = dt.date.fromisocalendar(meant.first.year + 1, 1, 1)
            return range(_number("weekly", first), _number("weekly", beyond))
        return self._between(meant.first, meant.beyond)

    def within(self, outer: Period, number: int) -> range:
        """The numbers of those that lie in one of `outer`, which is longer: see `fits`."""
        if self.kind == "hourly":
            late = self.offset * _HOUR + self.phase
            first, beyond = (outer.begins(each) - late for each in (number, number + 1))
            return range(-(-first // _HOUR), -(-beyond // _HOUR))
        return self._between(_date(outer.kind, number), _date(outer.kind, number + 1))

    def fits(self, outer: Period) -> bool:
        """Do several of these make up exactly one of the other?"""
        longer = _LONGER[self.kind]
        aligned = (self.tz, self.offset) == (outer.tz, outer.offset)
        return aligned and any(UNITS.get(unit) == outer.kind for unit in longer)

    def first_of(self, day: dt.date) -> int:
        """The number of the one that holds a date, or of the first in it."""
        return self._between(day, day).start if self.kind == "hourly" else _number(self.kind, day)

    def _between(self, first: dt.date, beyond: dt.date) -> range:
        """Hours, days or months that begin on dates from one to before another."""
        if self.kind != "hourly":
            return range(_number(self.kind, first), _number(self.kind, beyond))
        midnights = (dt.datetime.combine(day, dt.time()) for day in (first, beyond))
        one, other = (-(-(self._seconds(each) - self.phase) // _HOUR) for each in midnights)
        return range(one, other)

    def _shown(self, number: int) -> dt.datetime:
        """What a clock shows when an hour begins that is not moved."""
        return dt.datetime.fromtimestamp(number * _HOUR + self.phase, zone(self.tz))

    def _hours(self, key: str) -> list[int]:
        """The hours that a clock may show like this, in order."""
        try:
            shown = dt.datetime.fromisoformat(f"{key[:13]}:00:00")
        except ValueError:
            return []
        both = {(self._seconds(shown.replace(fold=f)) - self.phase) // _HOUR for f in (0, 1)}
        return sorted(both)

    def _seconds(self, shown: dt.datetime) -> int:
        """When a clock shows this (for the first time; if never, when it went past it)."""
        since = shown.replace(tzinfo=zone(self.tz)) - _EPOCH
        return since.days * 86400 + since.seconds


_LONGER: Mapping[Kind, tuple[str, ...]] = MappingProxyType(
    {
        "hourly": ("day", "week", "month", "year"),
        "daily": ("week", "month", "year"),
        "weekly": ("year",),
        "monthly": ("year",),
    }
)


def _date(kind: Kind, number: int) -> dt.date:
    if kind == "monthly":
        return dt.date(number // 12, number % 12 + 1, 1)
    return dt.date.fromordinal(number * 7 + 1 if kind == "weekly" else number)


def _number(kind: Kind, day: dt.date) -> int:
    if kind == "monthly":
        return day.year * 12 + day.month - 1
    return (day.toordinal() - 1) // 7 if kind == "weekly" else day.toordinal()


def zone(name: str) -> dt.tzinfo:
    """The time zone of an IANA name.

    Raises:
        DefinitionError: without a place; there is none.
    """
    if name == "UTC":
        return _UTC
    import zoneinfo

    try:
        return zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # OSError: the name of a folder of zones
        raise DefinitionError(
            f"there is no time zone `{name}`{did_you_mean(name, zoneinfo.available_timezones())}",
            advice='give an IANA name, such as tz="Europe/Berlin"',
        ) from error


def period(kind: Kind, tz: object, offset: object, since: dt.date) -> Period:
    """Slices of a kind, from about a date on.

    Raises:
        DefinitionError: without a place; no such zone, a beginning that is too late, or hours in a
            zone whose distance from UTC changes by less than an hour.
    """
    if not isinstance(tz, str) or not tz:
        raise DefinitionError(f"`tz=` is {tz!r}", advice='give an IANA name: tz="Europe/Berlin"')
    place = zone(tz)
    if type(offset) is not int or not 0 <= offset < _LENGTH[kind]:
        raise DefinitionError(
            f"`offset=` is {offset!r}",
            advice=f"it is a whole number of hours from 0 to {_LENGTH[kind] - 1}: how much later "
            f"than the calendar says a slice of `{kind}` begins",
        )
    if kind != "hourly" or tz == "UTC":
        return Period(kind, tz, offset)
    phases = {_phase(place, since + dt.timedelta(days)) for days in range(0, 366 * 40, 28)}
    if len(phases) > 1:
        raise DefinitionError(
            f"`{tz}` does not keep to full hours from {since} on: its distance from UTC changes by "
            "less than an hour",
            advice='count hours in tz="UTC"',
        )
    return Period(kind, tz, offset, phases.pop())


def _phase(place: dt.tzinfo, day: dt.date) -> int:
    distance = dt.datetime.combine(day, dt.time(12), place).utcoffset() or dt.timedelta()
    return int(-distance.total_seconds()) % _HOUR
