"""Which version of an asset a name means: what may stand after its `@`.  PURE

`flights@2026-11-01`, `flights@2026-11-01T12:00`, `flights@9f3a2c`, `flights@r12.7`. Names in
registries, `delays@v3`, are spelt so before they come here: `spelled` of lineage.questions.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import NamedTuple

from lineal.assets.errors import UsageError

_DIGEST = re.compile(r"[0-9a-f]{6,64}\Z")
_MADE = re.compile(r"r[0-9]+\.[0-9]+\Z")
_NUMBERED = re.compile(r"v[0-9]+\Z")
_LIKE_A_TIME = re.compile(r"[0-9]{4}-")
_TIME = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?P<time>\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?) ?(?P<zone>Z|[+-]\d{2}:?\d{2})?)?\Z"
)
_FORMS = "2026-11-01 (the end of that day), 2026-11-01T12:00 or 2026-11-01T12:00+01:00"


When = str | dt.date  # a date or a time, as text or as Python has them


class Moment(NamedTuple):
    """A moment that somebody asks about, as it was written and in UTC."""

    text: str
    instant: dt.datetime


class Meant(NamedTuple):
    """A name taken apart, `flights 2013-12@9f3a2c`: an asset, its partition, what follows @."""

    asset: str
    partition: str | None
    at: str  # empty: what is current

    @property
    def is_digest(self) -> bool:
        return _DIGEST.match(self.at) is not None

    @property
    def is_made(self) -> bool:
        """Is it the id of a materialization?"""
        return _MADE.match(self.at) is not None

    @property
    def is_moment(self) -> bool:
        return _LIKE_A_TIME.match(self.at) is not None


def meant(text: str, partition: str | None = None) -> Meant:
    """What a name means. The partition may be told apart as well.

    Raises:
        UsageError: two partitions are named, or no kind of version looks like what follows the @.
    """
    step, at, version = text.rpartition("@") if "@" in text else (text, "", "")
    asset, _, named = step.partition(" ")
    if partition and named and partition != named:
        raise UsageError(f"`{text}` is not of the partition {partition}")
    found = Meant(asset, partition or named or None, version)
    if at and not (found.is_digest or found.is_moment or found.is_made):
        raise _no_version(text, version)
    return found


def _no_version(text: str, version: str) -> UsageError:
    told = f"`@{version}` in `{text}` is no version"
    if _NUMBERED.match(version):
        told = f"`{text}`: there is no registry `{text.rpartition('@')[0]}` (see `lineal models`)"
    return UsageError(
        told,
        advice="give at least 6 hex digits of its digest, such as `flights@9f3a2c`, or a date, "
        "such as `flights@2026-11-01`",
    )


def moment(when: When, now: dt.datetime) -> Moment:
    """The moment meant by a date, its last one in UTC, or by a time, in UTC unless it says else.

    Raises:
        UsageError: it is no date or time, or is still to come.
    """
    if isinstance(when, str):
        text, begin, instant = when, *_parsed(when)
    elif isinstance(when, dt.datetime):
        if when.tzinfo is None:
            raise UsageError(
                f"{when!r} does not say in which time zone",
                advice="give it one: `datetime(2026, 11, 1, 12, tzinfo=timezone.utc)`",
            )
        text, begin, instant = when.isoformat(), when, when
    elif isinstance(when, dt.date):
        text, begin, instant = when.isoformat(), *_day(when)
    else:
        raise UsageError(
            f"{when!r} is no date or time",
            advice=f"give a text ({_FORMS}), a `datetime.date` or a `datetime.datetime`",
        )
    if begin > now:
        told = f"{now.astimezone(dt.UTC):%Y-%m-%dT%H:%M}"
        raise UsageError(f"`{text}` is still to come: it is {told} (UTC)")
    return Moment(text, instant.astimezone(dt.UTC))


def _parsed(text: str) -> tuple[dt.datetime, dt.datetime]:
    """Where the moment begins, and the moment itself."""
    parts = _TIME.match(text.strip())
    try:
        if parts is not None and parts["time"] is None:
            return _day(dt.date.fromisoformat(parts["day"]))
        if parts is not None:
            zone = parts["zone"] or "Z"
            instant = dt.datetime.fromisoformat(f"{parts['day']}T{parts['time']}{zone}")
            return instant, instant
    except ValueError as error:
        raise UsageError(
            f"`{text}` is no date or time: {error}", advice=f"write {_FORMS}"
        ) from error
    raise UsageError(f"`{text}` is no date or time", advice=f"write {_FORMS}")


def _day(day: dt.date) -> tuple[dt.datetime, dt.datetime]:
    begin = dt.datetime.combine(day, dt.time(0), dt.UTC)
    return begin, begin.replace(hour=23, minute=59, second=59, microsecond=999_999)
