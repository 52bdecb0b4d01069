"""Time in any zone: keys in order, each once, without a gap or an overlap; choices are slices."""

from __future__ import annotations

import datetime as dt
import itertools
import zoneinfo
from bisect import bisect_right

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from lineal.assets.calendars import Calendar, daily, hourly, monthly, weekly
from lineal.assets.choosing import choose
from lineal.assets.errors import DefinitionError, UsageError
from lineal.assets.file_partitions import ByFile
from lineal.assets.keys import Keys, Listed
from lineal.assets.mapping import last, previous, reads
from lineal.assets.periods import UNITS

MAKERS = {"hourly": hourly, "daily": daily, "weekly": weekly, "monthly": monthly}
# Zones with all that is odd: midnights that are skipped, or shown twice; a day that never was; half
# hours; changes by 30 minutes; summer time that is negative.
ODD = ("UTC", "America/New_York", "Europe/Berlin", "America/Sao_Paulo", "America/Havana",
       "Pacific/Apia", "Asia/Kolkata", "Australia/Lord_Howe", "Europe/Dublin", "Asia/Gaza",
       "Africa/Casablanca", "America/St_Johns", "Asia/Kathmandu")  # fmt: skip

zones = st.sampled_from(ODD) | st.sampled_from(
    sorted(zoneinfo.available_timezones() - {"localtime"})
)
kinds = st.sampled_from(list(MAKERS))
days = st.dates(dt.date(1990, 1, 1), dt.date(2035, 1, 1))


@st.composite
def calendars(draw: st.DrawFn, kind: str | None = None) -> Calendar:
    start = draw(days)
    kind = kind or draw(kinds)
    end = start + dt.timedelta(draw(st.integers(0, 20 if kind == "hourly" else 800)))
    offset = draw(st.integers(0, 23))
    try:
        return MAKERS[kind](str(start), str(end), draw(zones), offset)
    except DefinitionError as error:
        assume("full hours" not in error.message)
        raise


@given(calendars())
@example(hourly("2013-11-01", "2013-11-05", "America/New_York", 6))
@example(daily("2011-12-28", "2012-01-02", "Pacific/Apia", 6))
@example(daily("2013-10-18", "2013-10-22", "America/Sao_Paulo"))
@settings(max_examples=60, deadline=None)
def test_slices_follow_each_other_without_gap_or_overlap(calendar: Calendar) -> None:
    keys = list(calendar.keys(0))
    assert len(set(keys)) == len(keys)
    parts = [calendar.partition(key) for key in keys]
    for part, after in itertools.pairwise(parts):
        assert part.start.timestamp() <= part.end.timestamp() == after.start.timestamp()
    if calendar.period.kind == "hourly":
        assert {p.end.timestamp() - p.start.timestamp() for p in parts} == {3600.0}
    elif not calendar.period.tz.endswith(("Apia", "Fakaofo", "Kwajalein", "Samoa", "Enderbury",
                                          "Kanton", "Kiritimati")):  # fmt: skip
        assert all(part.start.timestamp() < part.end.timestamp() for part in parts)


@given(calendars())
@settings(max_examples=60, deadline=None)
def test_keys_say_their_own_number(calendar: Calendar) -> None:
    keys = calendar.keys(0)
    numbers = [calendar.period.number(key) for key in keys]
    assert numbers == list(range(calendar.first, calendar.first + len(keys)))
    shown = [key[:13] for key in keys]
    assert calendar.period.offset or calendar.period.kind != "hourly" or shown == sorted(shown)
    assert calendar.period.kind == "hourly" or list(keys) == sorted(keys)


@given(calendars(), st.slices(40), st.integers(-40, 40))
@settings(max_examples=60, deadline=None)
def test_places_agree_with_what_iteration_gives(
    calendar: Calendar, part: slice, place: int
) -> None:
    keys = calendar.keys(0)
    written = list(keys)
    for found in (keys, Listed(written, calendar.period)):
        assert list(found[part]) == written[part]
        assert len(found[part]) == len(written[part])
        for key in written[part]:
            assert key in found
            assert found[found.index(key)] == key
            assert (key in found[part][::2]) == (key in written[part][::2])
        if -len(written) <= place < len(written):
            assert found[place] == written[place]


@given(calendars(), st.floats(-1e9, 1e9))
@settings(max_examples=60, deadline=None)
def test_the_last_that_is_over_is_over_and_the_next_is_not(
    calendar: Calendar, later: float
) -> None:
    now = calendar.period.start(calendar.first).timestamp() + later
    period = calendar.period
    number = period.complete(now)
    assert period.begins(number + 1) <= now < period.begins(number + 2)


@given(st.sampled_from(["daily", "weekly", "monthly"]), st.data())
@settings(max_examples=40, deadline=None)
def test_finer_inside_coarser_is_all_that_begins_in_it_and_nothing_twice(
    kind: str, data: st.DataObject
) -> None:
    reader = data.draw(calendars(kind))
    finer = [k for k in ("hourly", "daily") if k != kind]
    period = reader.period
    first = period.start(reader.first)
    until = first + dt.timedelta(40)
    name = data.draw(st.sampled_from(finer))
    try:
        source = MAKERS[name](str(first.date()), str(until.date()), period.tz, period.offset)
    except DefinitionError as error:
        assume("full hours" not in error.message)
        raise
    keys = source.keys(0)
    starts = [period.begins(reader.first + place) for place in range(42)]
    expected: dict[int, list[str]] = {}
    for key in keys:
        begins = int(source.partition(key).start.timestamp())
        expected.setdefault(bisect_right(starts, begins) - 1, []).append(key)
    everything = MAKERS[kind](str(first.date()), None, period.tz, period.offset)
    for place in range(41):
        key = period.key(reader.first + place)
        found = list(reads(everything, key, source, keys, None))
        if starts[place] < starts[place + 1]:
            assert found == expected.get(place, [])
        else:
            assert found == []


@given(calendars(), st.data())
@settings(max_examples=40, deadline=None)
def test_a_range_is_a_slice(calendar: Calendar, data: st.DataObject) -> None:
    keys = calendar.keys(0)
    places = st.integers(0, len(keys) - 1)
    first, final = data.draw(places), data.draw(places)
    word = f"{keys[first]}..{keys[final]}"
    if final < first:
        with pytest.raises(UsageError, match="backwards"):
            choose([word], keys)
        return
    assert choose([word], keys) == keys[first : final + 1]
    assert choose([keys[first] + ".."], keys) == keys[first:]
    assert choose([".." + keys[final]], keys) == keys[: final + 1]
    assert choose([keys[final], keys[first]], keys) == [keys[p] for p in sorted({first, final})]
    assert choose(["*"], keys) == keys


@given(st.sets(st.dates(dt.date(2012, 12, 1), dt.date(2013, 3, 1)), min_size=1))
@settings(max_examples=40, deadline=None)
def test_a_longer_time_chooses_those_whose_keys_begin_with_it(found: set[dt.date]) -> None:
    written = sorted(map(str, found))
    keys: Keys = ByFile("day").keys(0, written)
    for word in ("2013", "2012", "2013-01", "2012-12"):
        expected = [key for key in written if key.startswith(word)]
        if expected:
            assert choose([word], keys) == expected
        else:
            with pytest.raises(UsageError):
                choose([word], keys)


@given(calendars(), st.integers(1, 5), st.data())
@settings(max_examples=40, deadline=None)
def test_last_and_previous_are_those_that_stand_before(
    calendar: Calendar, count: int, data: st.DataObject
) -> None:
    keys = list(calendar.keys(0))
    place = data.draw(st.integers(0, len(keys) - 1))
    for source_keys in (calendar.keys(0), Listed(keys, calendar.period)):
        key = keys[place]
        found = list(reads(calendar, key, calendar, source_keys, last(count)))
        assert found == keys[: place + 1][-count:]
        assert list(reads(calendar, key, calendar, source_keys, previous())) == keys[:place][-1:]


@given(st.sampled_from(sorted(UNITS)), st.data())
@settings(max_examples=30, deadline=None)
def test_files_come_in_the_order_of_time_however_they_are_found(
    unit: str, data: st.DataObject
) -> None:
    calendar = MAKERS[UNITS[unit]]("2012-12-20", "2013-01-20")
    keys = list(calendar.keys(0))
    mixed = data.draw(st.permutations(keys[:40]))
    found = ByFile(unit).keys_of_files([f"d/{key}.csv" for key in mixed], f"d/{{{unit}}}.csv")
    assert list(found.items()) == [(key, (f"d/{key}.csv",)) for key in keys[:40]]
