"""What may stand after the @ of a name."""

from __future__ import annotations

import datetime as dt

import pytest

from lineal.assets.errors import UsageError
from lineal.assets.versions import Meant, meant, moment

NOW = dt.datetime(2026, 11, 22, 10, 30, tzinfo=dt.UTC)
UTC = dt.UTC


@pytest.mark.parametrize(
    ("text", "partition", "found"),
    [
        ("flights", None, Meant("flights", None, "")),
        ("raw/flights 2013-12", None, Meant("raw/flights", "2013-12", "")),
        ("flights 2013-12@9f3a2c", "2013-12", Meant("flights", "2013-12", "9f3a2c")),
        ("flights@2026-11-01 12:00", "eu", Meant("flights", "eu", "2026-11-01 12:00")),
        ("flights@20261101", None, Meant("flights", None, "20261101")),
    ],
)
def test_a_name_is_an_asset_a_partition_and_what_follows_the_at(text, partition, found):
    assert meant(text, partition) == found


def test_digits_without_dashes_are_a_digest_and_with_them_a_moment():
    assert meant("flights@20261101").is_digest
    assert not meant("flights@20261101").is_moment
    assert meant("flights@2026-11-01").is_moment
    assert not meant("flights").is_moment


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("delays@v3", "no registry `delays`"),
        ("delays@production", "is no version"),
        ("flights@9f3a2", "is no version"),
        ("flights@9F3A2C", "is no version"),
        ("flights@-1", "is no version"),
    ],
)
def test_other_words_after_the_at_are_refused_with_what_may_stand_there(text, told):
    with pytest.raises(UsageError, match=told) as caught:
        meant(text)
    assert "6 hex digits" in caught.value.advice
    assert "2026-11-01" in caught.value.advice


def test_two_partitions_are_refused():
    with pytest.raises(UsageError, match="not of the partition 2013-01"):
        meant("flights 2013-12", "2013-01")


@pytest.mark.parametrize(
    ("when", "instant"),
    [
        ("2026-11-01", dt.datetime(2026, 11, 1, 23, 59, 59, 999_999, UTC)),
        (dt.date(2026, 11, 1), dt.datetime(2026, 11, 1, 23, 59, 59, 999_999, UTC)),
        ("2026-11-01T12:00", dt.datetime(2026, 11, 1, 12, tzinfo=UTC)),
        ("2026-11-01 12:00:05.25Z", dt.datetime(2026, 11, 1, 12, 0, 5, 250_000, UTC)),
        ("2026-11-01T00:30+01:00", dt.datetime(2026, 10, 31, 23, 30, tzinfo=UTC)),
        (
            dt.datetime(2026, 11, 1, 9, tzinfo=dt.timezone(dt.timedelta(hours=-5))),
            dt.datetime(2026, 11, 1, 14, tzinfo=UTC),
        ),
        ("2026-11-22", dt.datetime(2026, 11, 22, 23, 59, 59, 999_999, UTC)),  # today, so far
    ],
)
def test_a_date_means_its_end_and_a_time_that_moment_both_in_utc(when, instant):
    assert moment(when, NOW).instant == instant


@pytest.mark.parametrize("when", ["2026-11-23", "2026-11-22T10:31", "2026-11-22T10:00-01:00"])
def test_what_is_still_to_come_is_refused_with_the_time_it_is(when):
    with pytest.raises(UsageError, match=r"still to come: it is 2026-11-22T10:30 \(UTC\)"):
        moment(when, NOW)


@pytest.mark.parametrize(
    "when", ["2026-11-31", "2026-13-01", "2026-11", "2026-11-01T25:00", "2026-11-01T12", "now", ""]
)
def test_what_is_no_date_is_refused_with_how_one_is_written(when):
    with pytest.raises(UsageError, match="no date or time") as caught:
        moment(when, NOW)
    assert "2026-11-01T12:00" in caught.value.advice


def test_a_datetime_without_a_zone_is_refused():
    with pytest.raises(UsageError, match="time zone"):
        moment(dt.datetime(2026, 11, 1, 12), NOW)


def test_what_is_no_date_or_time_at_all_is_told_with_what_may_be_given():
    for when in (5, 2.0, None, ["2026-11-01"]):
        with pytest.raises(UsageError, match="is no date or time") as caught:
            moment(when, NOW)
        assert "`datetime.date`" in caught.value.advice
