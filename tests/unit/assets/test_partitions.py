"""Partitions: their keys, what a function is told of one, and what can't be declared."""

from __future__ import annotations

import copy
import datetime as dt
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from lineal.assets.calendars import daily, hourly, monthly, weekly
from lineal.assets.choosing import choose
from lineal.assets.decide import seen_of
from lineal.assets.errors import DefinitionError, UsageError
from lineal.assets.file_partitions import (
    ByFile,
    by_file,
    file_partitions,
    placeholder,
    placeholder_glob,
    placeholder_key,
)
from lineal.assets.keys import Keys, Listed, in_order
from lineal.assets.options import read_options
from lineal.assets.partitions import Partition, by_column, grid, same_as, static, unfilled
from tests.workbench import made


def at(text: str) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()


NOW = at("2014-03-10T12:00")


def keys(definition: Any, now: float = NOW) -> list[str]:
    return list(definition.keys(now))


# ---------------------------------------------------------------------------------------- calendar


def test_each_kind_has_iso_keys_with_both_ends() -> None:
    assert keys(monthly("2013-11", "2014-01")) == ["2013-11", "2013-12", "2014-01"]
    assert keys(weekly("2012-W52", "2013-W02")) == ["2012-W52", "2013-W01", "2013-W02"]
    assert keys(daily("2013-02-28", "2013-03-01")) == ["2013-02-28", "2013-03-01"]
    assert keys(hourly("2013-01-05T23", "2013-01-06T00")) == ["2013-01-05T23", "2013-01-06T00"]


def test_a_date_means_the_slice_that_holds_it() -> None:
    assert keys(monthly("2013-11-15", "2013-12-31")) == ["2013-11", "2013-12"]
    assert keys(weekly("2013-01-02", "2013-01-07")) == ["2013-W01", "2013-W02"]
    hours = keys(hourly("2013-01-05", "2013-01-06"))
    assert (hours[0], hours[-1], len(hours)) == ("2013-01-05T00", "2013-01-06T23", 48)


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2014-03-31T23:59:59.999", "2014-02"),
        ("2014-04-01T00:00", "2014-03"),
        ("2012-05-01T00:00", None),
    ],
)
def test_without_an_end_the_last_is_the_last_that_is_over(now: str, last: str | None) -> None:
    found = monthly("2013-01").keys(at(now))
    assert (found[-1] if found else None) == last


def test_the_clock_of_the_zone_says_what_is_over() -> None:
    york = daily("2014-01-01", tz="America/New_York")
    assert york.keys(at("2014-01-02T04:59:59"))[-1:] == []
    assert list(york.keys(at("2014-01-02T05:00"))) == ["2014-01-01"]
    late = daily("2014-01-01", tz="America/New_York", offset=6)
    assert not late.keys(at("2014-01-02T10:59"))
    assert list(late.keys(at("2014-01-02T11:00"))) == ["2014-01-01"]
    assert hourly("2014-01-01").keys(at("2014-01-01T01:00")) == ["2014-01-01T00"]


def test_an_end_that_is_said_holds_before_it_has_come() -> None:
    assert len(monthly("2013-01", "2020-12").keys(0)) == 96


def test_a_slice_of_time_begins_and_ends_in_its_zone() -> None:
    part = daily("2014-01-01", tz="Europe/Berlin", offset=6).partition("2014-03-29")
    assert part.start.isoformat() == "2014-03-29T06:00:00+01:00"
    assert part.end.isoformat() == "2014-03-30T06:00:00+02:00"  # 23 hours
    assert part.end.timestamp() - part.start.timestamp() == 23 * 3600
    week = weekly("2013-01-01").partition("2013-W05")
    assert (week.start.isoformat(), week.end.isoformat()) == (
        "2013-01-28T00:00:00+00:00",
        "2013-02-04T00:00:00+00:00",
    )


def test_no_hour_is_lost_or_doubled_when_clocks_change() -> None:
    back = hourly("2013-11-03T00", "2013-11-03T02", tz="America/New_York")
    assert keys(back) == [
        "2013-11-03T00",
        "2013-11-03T01-04:00",
        "2013-11-03T01-05:00",
        "2013-11-03T02",
    ]
    assert back.partition("2013-11-03T01-05:00").start.timestamp() == at("2013-11-03T06:00")
    ahead = hourly("2014-03-30", "2014-03-30", tz="Europe/Berlin")
    assert keys(ahead)[:4] == ["2014-03-30T00", "2014-03-30T01", "2014-03-30T03", "2014-03-30T04"]
    assert len(keys(ahead)) == 23
    for lost in ("2014-03-30T02", "2014-03-30T03+02:00"):
        assert lost not in ahead.keys(NOW)
    kolkata = hourly("2014-03-30", "2014-03-30", tz="Asia/Kolkata")
    assert kolkata.partition("2014-03-30T00").start.isoformat() == "2014-03-30T00:00:00+05:30"


def test_an_hour_that_clocks_show_twice_has_to_be_told_apart() -> None:
    with pytest.raises(DefinitionError) as caught:
        hourly("2013-11-03T01", tz="America/New_York")
    assert "2013-11-03T01-04:00, 2013-11-03T01-05:00" in str(caught.value.advice)
    with pytest.raises(UsageError, match="clocks show it twice"):
        choose(["2013-11-03T01"], hourly("2013-11-03", tz="America/New_York").keys(NOW))


def test_a_day_that_a_zone_skipped_is_empty() -> None:
    apia = daily("2011-12-29", "2011-12-31", tz="Pacific/Apia")
    skipped = apia.partition("2011-12-30")
    assert skipped.start == skipped.end == apia.partition("2011-12-31").start


def test_keys_of_a_calendar_are_not_made_before_they_are_asked_for() -> None:
    hours = hourly("1000-01-01", "2999-12-31").keys(NOW)
    for _ in range(1000):  # to make them but once takes longer than all the tests
        assert len(hours) == 17_531_640
        assert hours.index("2013-01-05T01") == hours.index("2013-01-05T00") + 1
        assert "2013-01-05T07" in hours
        assert "2013-01-05T7" not in hours
        assert hours[-1] == "2999-12-31T23"
        assert len(hours[1000:400_000][5:]) == 398_995
        assert len(hours.inside("2013")) == 8760


def test_keys_are_a_sequence() -> None:
    days = daily("2013-01-01", "2013-01-05").keys(NOW)
    assert list(days[::2]) == ["2013-01-01", "2013-01-03", "2013-01-05"]
    assert list(days[::-1]) == list(reversed(list(days)))
    assert list(reversed(days[1:3])) == ["2013-01-03", "2013-01-02"]
    assert days == list(days) == Listed(days)
    assert days != list(days)[1:]
    assert pickle.loads(pickle.dumps(days)) == days
    assert days.index("2013-01-03", 1, 3) == 2
    for start, stop in ((3, None), (0, 2)):
        with pytest.raises(ValueError, match="not among"):
            days.index("2013-01-03", start, stop)
    with pytest.raises(IndexError):
        days[5]


def test_definitions_are_values_with_one_form() -> None:
    assert monthly("2013-01-20") == monthly("2013-01")
    assert hash(monthly("2013-01-20")) == hash(monthly("2013-01"))
    assert daily("2013-01-01", tz="Europe/Berlin") != daily("2013-01-01")
    assert monthly("2013-01").canonical() == ("monthly", "2013-01", None, "UTC", 0)
    assert monthly("2013-01").describe() == "monthly from 2013-01"
    shown = daily("2013-01-01", "2013-12-31", tz="Europe/Berlin", offset=6).describe()
    assert shown == "daily 2013-01-01 to 2013-12-31 in Europe/Berlin, 6 h later"
    assert grid(a=[1], b=["x", None]).canonical() == ("grid", ("a", 1), ("b", "x", None))
    for each in (
        monthly("2013-01"),
        static(["a"]),
        grid(a=[1]),
        by_file(2),
        by_column("m"),
    ):
        assert pickle.loads(pickle.dumps(each)) == each


# ------------------------------------------------------------------------------- what it receives


def test_a_partition_is_its_key_with_what_it_stands_for() -> None:
    part = grid(region=["eu", "us"], depth=[3, 5]).partition("region=eu,depth=3")
    assert part == "region=eu,depth=3"
    assert type(str(part)) is str
    assert (part["region"], part["depth"], part[0], part[-1:]) == ("eu", 3, "r", "3")
    with pytest.raises(KeyError, match="no `regoin`"):
        part["regoin"]
    with pytest.raises(AttributeError, match=r"is no time, so it has no `\.start`"):
        part.start  # noqa: B018
    assert not hasattr(part, "end")


@pytest.mark.parametrize(
    "part",
    [
        daily("2013-01-01", tz="Europe/Berlin").partition("2013-05-05"),
        grid(a=[1.5]).partition("a=1.5"),
        Partition("eu"),
    ],
)
def test_a_partition_survives_the_way_to_another_process(part: Partition) -> None:
    for there in (pickle.loads(pickle.dumps(part)), copy.deepcopy(part)):
        assert type(there) is Partition
        assert there == part
        assert getattr(there, "start", None) == getattr(part, "start", None)
        assert there._values == part._values


def test_a_key_that_does_not_belong_names_the_nearest_and_what_there_is() -> None:
    with pytest.raises(UsageError) as caught:
        monthly("2013-01", "2013-12").partition("2014-01")
    assert "the nearest is `2013-12`" in caught.value.message
    assert "12 partitions, 2013-01 to 2013-12" in str(caught.value.advice)
    with pytest.raises(UsageError, match="did you mean `europe`"):
        static(["europe", "asia"]).partition("eurpe")
    for definition, key in (
        (monthly("2013-01"), "2012-12"),
        (monthly("2013-01"), "January"),
        (grid(a=[1, 2]), "a=3"),
        (grid(a=[1, 2]), "a=1,b=2"),
        (ByFile("day"), "2013-01"),
        (by_column("m"), "a/b"),
    ):
        with pytest.raises(UsageError):
            definition.partition(key)  # type: ignore[attr-defined]


# ---------------------------------------------------------------------------------- static, grid


def test_static_keys_keep_their_order() -> None:
    assert keys(static(["us", "eu"])) == ["us", "eu"]
    assert static(["us"]).parameters("us") == {}


def test_a_grid_is_every_combination_with_typed_values() -> None:
    candidates = grid(learning_rate=[0.1, 1e-05], depth=[3, None], fast=[True])
    assert keys(candidates) == [
        "learning_rate=0.1,depth=3,fast=True",
        "learning_rate=0.1,depth=None,fast=True",
        "learning_rate=1e-05,depth=3,fast=True",
        "learning_rate=1e-05,depth=None,fast=True",
    ]
    assert candidates.parameters("learning_rate=1e-05,depth=None,fast=True") == {
        "learning_rate": 1e-05,
        "depth": None,
        "fast": True,
    }


def test_an_axis_that_is_no_parameter_is_told() -> None:
    assert unfilled(grid(depth=[1]), ["depth", "x"]) is None
    assert unfilled(static(["a"]), []) is None
    error = unfilled(grid(dept=[1]), ["depth"])
    assert error is not None
    assert "did you mean `depth`" in error.message


# ----------------------------------------------------------------------------------------- files


def test_a_placeholder_gives_the_key_of_a_file() -> None:
    pattern = "data/flights-{month}.csv"
    assert placeholder(pattern) == "month"
    assert placeholder_glob(pattern) == "data/flights-*.csv"
    assert placeholder_key(pattern, "data/flights-2013-01.csv") == "2013-01"
    assert placeholder_key(pattern, "data/other-2013-01.csv") is None
    assert placeholder_key("./data/{day}/*.csv", "data/2013-01-05/a.csv") == "2013-01-05"
    assert placeholder_key("d/**/{x}-[0-9]?.csv", "d/a/b/eu-12.csv") == "eu"
    assert placeholder_key("d/**/{x}.csv", "d/eu.csv") == "eu"
    assert placeholder_key("d/{x}.csv", "d/a/eu.csv") is None
    assert placeholder("data/[{]x[}].csv") is None
    assert placeholder_glob("data/*.csv") == "data/*.csv"


def test_files_fall_into_slices_in_the_order_of_time() -> None:
    days = ByFile("week")
    found = days.keys_of_files(
        ["d/2013-W10/b.csv", "d/2013-W09/a.csv", "d/2013-W10/a.csv"], "d/{week}/*.csv"
    )
    assert list(found.items()) == [
        ("2013-W09", ("d/2013-W09/a.csv",)),
        ("2013-W10", ("d/2013-W10/a.csv", "d/2013-W10/b.csv")),
    ]
    assert days.partition("2013-W09").start.isoformat() == "2013-02-25T00:00:00+00:00"
    assert days.partition("2013-W09")["week"] == "2013-W09"
    assert days.keys(NOW, ["2013-W10", "2013-W09"]) == ["2013-W09", "2013-W10"]
    assert list(ByFile("x").keys_of_files(["b.csv", "a.csv"], "{x}.csv")) == ["a", "b"]


def test_a_file_whose_text_is_no_key_is_named() -> None:
    with pytest.raises(DefinitionError) as caught:
        ByFile("month").keys_of_files(["f-2013-01.csv", "f-jan.csv"], "f-{month}.csv")
    assert "the file f-jan.csv has 'jan'" in caught.value.message
    assert "such as 2013-01" in caught.value.message
    with pytest.raises(DefinitionError, match=r"the file f-\.csv"):
        ByFile("month").keys_of_files(["f-.csv"], "f-{month}.csv")


def test_every_so_many_files_are_a_slice() -> None:
    found = by_file(2).keys_of_files(["c", "a", "b"], "*")
    assert found == {"0001": ("a", "b"), "0002": ("c",)}


def test_the_slices_of_a_source_come_from_its_path() -> None:
    assert file_partitions("d/{day}.csv", None) == ByFile("day")
    assert file_partitions("d/{day}.csv", by_file()) == ByFile("day")
    assert file_partitions("d/*.csv", by_file(3)) == ByFile(None, 3)
    assert file_partitions("d/*.csv", None) is None
    for pattern, given, said in (
        ("d/*.csv", by_file(), "has none"),
        ("d/{day}.csv", by_file(3), "says otherwise"),
        ("d/{day}.csv", daily("2013-01-01"), "come from the files"),
        ("d/{day}/{x}.csv", None, "2 placeholders"),
        ("d/{}.csv", None, "no placeholder"),
        ("d/{day.csv", None, "no placeholder"),
    ):
        with pytest.raises(DefinitionError, match=said):
            file_partitions(pattern, given)


# ---------------------------------------------------------------------------------------- choosing


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["2013-02"], ["2013-02"]),
        (["2013-02..2013-04"], ["2013-02", "2013-03", "2013-04"]),
        (["..2013-02"], ["2013-01", "2013-02"]),
        (["2013-11.."], ["2013-11", "2013-12"]),
        (["2013-*1"], ["2013-01", "2013-11"]),
        (["2013-12", "2013-01", "2013-01"], ["2013-01", "2013-12"]),
    ],
)
def test_words_choose_partitions(words: list[str], expected: list[str]) -> None:
    assert list(choose(words, monthly("2013-01", "2013-12").keys(NOW))) == expected


def test_a_longer_time_chooses_all_in_it() -> None:
    days = daily("2012-12-20", "2014-02-03").keys(NOW)
    assert len(choose(["2013"], days)) == 365
    assert list(choose(["2012-12-30..2013-W01"], days)) == [
        f"2012-12-{day}" for day in (30, 31)
    ] + [f"2013-01-0{day}" for day in range(1, 7)]
    assert list(choose(["2014-02"], days)) == ["2014-02-01", "2014-02-02", "2014-02-03"]
    weeks = weekly("2012-12-31", "2014-02-03").keys(NOW)
    assert len(choose(["2013"], weeks)) == 52
    hours = hourly("2013-11-01", "2013-11-30", tz="America/New_York").keys(NOW)
    assert len(choose(["2013-11-03"], hours)) == 25
    found = ByFile("day").keys(NOW, ["2013-01-31", "2013-02-01", "2013-02-03"])
    assert list(choose(["2013-02"], found)) == ["2013-02-01", "2013-02-03"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["2014-01"], "the nearest is `2013-12`"),
        (["2013-1"], "did you mean `2013-12`"),
        (["2013-04..2013-02"], "runs backwards"),
        (["2010-01..2013-02"], "no partition `2010-01`"),
        (["x*"], "no partition `x*`"),
        ([""], "names no partition"),
        ([".."], "names no partition"),
        ([], "no partition is named"),
        (["2013-W05"], "no partition `2013-W05`"),
    ],
)
def test_words_that_choose_nothing_say_so(words: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose(words, monthly("2013-01", "2013-12").keys(NOW), "flights")
    assert said in caught.value.message


def test_a_month_says_nothing_about_weeks() -> None:
    with pytest.raises(UsageError, match="no partition `2013-01`"):
        choose(["2013-01"], weekly("2013-01-01", "2013-12-01").keys(NOW))


# --------------------------------------------------------------------------------- what can't be


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: monthly("2013-02", "2013-01"), "before it starts"),
        (lambda: daily("2013-02-30"), "`start` of `daily` is '2013-02-30'"),
        (lambda: daily("2013-02"), "`start` of `daily`"),
        (lambda: daily("0001-01-01"), "`start` of `daily`"),
        (lambda: daily(20130101), "`start` of `daily` is 20130101"),  # type: ignore[arg-type]
        (lambda: monthly("2013-01", "soon"), "`end` of `monthly`"),
        (lambda: weekly("2013-W53"), "`start` of `weekly`"),
        (lambda: hourly("2013-01-01T24"), "`start` of `hourly`"),
        (lambda: hourly("2014-03-30T02", tz="Europe/Berlin"), "`start` of `hourly`"),
        (lambda: daily("2013-01-01", tz="Europe/Berln"), "did you mean `Europe/Berlin`"),
        (lambda: daily("2013-01-01", tz="../UTC"), "no time zone"),
        (lambda: daily("2013-01-01", tz="America"), "no time zone"),
        (lambda: daily("2013-01-01", tz=""), "`tz=` is ''"),
        (lambda: daily("2013-01-01", offset=24), "`offset=` is 24"),
        (lambda: daily("2013-01-01", offset=-1), "`offset=` is -1"),
        (lambda: daily("2013-01-01", offset=True), "`offset=` is True"),
        (lambda: hourly("2013-01-01", tz="Australia/Lord_Howe"), "full hours"),
        (lambda: hourly("1980-01-01", tz="Asia/Kathmandu"), "full hours"),
        (lambda: static([]), "static needs a list"),
        (lambda: static("eu"), "static needs a list"),
        (lambda: static(["eu", "us", "eu"]), "`eu` 2 times"),
        (lambda: static(["a/b"]), "it holds `/`"),
        (lambda: static(["a..b"]), "it holds `..`"),
        (lambda: static([""]), "it is empty"),
        (lambda: static([" a"]), "blank"),
        (lambda: static(["a\n"]), "printed"),
        (lambda: static([1]), "it is no text"),  # type: ignore[list-item]
        (lambda: grid(), "no axis"),
        (lambda: grid(a=[]), "`a` is []"),
        (lambda: grid(a="xy"), "`a` is 'xy'"),
        (lambda: grid(a=[1, 1]), "has 1 twice"),
        (lambda: grid(a=[[1]]), "holds a list"),
        (lambda: grid(a=[float("nan")]), "holds nan"),
        (lambda: grid(a=["x,y"]), "it holds `,`"),
        (lambda: grid(partition=[1]), "can't be the name of an axis"),
        (lambda: by_file(0), "by_file(0)"),
        (lambda: by_file(True), "by_file(True)"),
        (lambda: by_column(""), "the name of a column"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_told_when_it_is_declared(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        make()
    assert said in caught.value.message
    assert caught.value.where is None


def test_partitions_may_be_given_as_those_of_an_asset() -> None:
    def given(value: Any) -> Any:
        return read_options({"partitions": value}, ("partitions",), "@asset")["partitions"]

    assert given("raw/flights") == same_as("raw/flights")
    assert given(monthly("2013-01")) == monthly("2013-01")
    assert given(by_file) == by_file()
    for wrong in (["a"], 3, "no name"):
        with pytest.raises(DefinitionError):
            given(wrong)
    with pytest.raises(TypeError, match="raw/flights"):
        same_as("raw/flights").keys(NOW)


def test_what_there_is_is_told_shortly() -> None:
    shown: list[tuple[Keys, str]] = [
        (Listed(()), "<no partitions>"),
        (Listed(["a"]), "<1 partition, a>"),
        (Listed(["b", "a"]), "<2 partitions: b, a>"),
        (monthly("2013-01", "2013-12").keys(NOW), "<12 partitions, 2013-01 to 2013-12>"),
    ]
    for found, text in shown:
        assert repr(found) == text


def test_keys_without_a_definition_stand_as_people_would_have_them() -> None:
    keys = ["depth=10", "depth=2", None, "2013-02", "2013-01", "rate=0.1", "rate=0.05", "eu"]
    assert in_order(keys) == [
        "2013-01", "2013-02", "depth=2", "depth=10", "eu", "rate=0.05", "rate=0.1",
    ]  # fmt: skip


# ------------------------------------------------------------------------- what code can see of one


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (monthly("2014-01"), monthly("2014-01", offset=1)),
        # In winter clocks show the same in both.
        (monthly("2014-01"), monthly("2014-01", tz="Europe/London")),
        (by_column("month"), by_column("time")),
        (ByFile("region"), ByFile("area")),
        (monthly("2014-01"), by_column("month")),
    ],
)
def test_what_comes_with_a_key_counts_where_code_is_handed_it(before: Any, after: Any) -> None:
    def told(definition: Any, taken: bool) -> object:
        reader = made("reader", len, partitions=definition, takes_partition=taken)
        return seen_of(reader, "2014-01")

    assert told(before, True) != told(after, True)
    assert told(before, False) == told(after, False)
