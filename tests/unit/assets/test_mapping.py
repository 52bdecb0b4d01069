"""Mapping: which slices of an input a slice of its reader reads, and how that is said."""

from __future__ import annotations

import types
from typing import Any

import pytest

from lineal.assets.asset import Input
from lineal.assets.calendars import daily, hourly, monthly, weekly
from lineal.assets.errors import DefinitionError
from lineal.assets.file_partitions import ByFile, by_file
from lineal.assets.keys import Listed, Periods
from lineal.assets.mapping import Marker, check_mapping, every, last, only, previous, reads
from lineal.assets.options import read_options
from lineal.assets.partitions import Partitions, by_column, grid, static
from lineal.assets.signature import Signature, read_signature

MONTHS = monthly("2013-01", "2013-06")
DAYS = daily("2012-12-25", "2013-02-10")
FOUND = ("2013-01", "2013-02", "2013-05")  # of files: some are missing


def read(
    reader: Partitions | None,
    key: str | None,
    source: Partitions | None,
    marker: Marker | None = None,
    found: tuple[str, ...] = (),
) -> list[str | None]:
    keys = Listed(()) if source is None else source.keys(0, found)
    return list(reads(reader, key, source, keys, marker, "raw/orders"))


# ------------------------------------------------------------------------------------------ rules


def test_what_has_no_partitions_is_read_whole() -> None:
    assert read(MONTHS, "2013-01", None) == [None]
    assert read(None, None, None) == [None]


def test_a_reader_without_partitions_reads_all_in_order_without_making_them() -> None:
    assert read(None, None, static(["b", "a"])) == ["b", "a"]
    keys = daily("1000-01-01", "2999-12-31").keys(0)
    assert reads(None, None, daily("1000-01-01", "2999-12-31"), keys, None) is keys
    assert isinstance(reads(None, None, DAYS, keys, last(3)), Periods)


@pytest.mark.parametrize(
    ("reader", "key", "source", "found", "expected"),
    [
        (monthly("2013-03"), "2013-04", MONTHS, (), ["2013-04"]),
        (monthly("2013-03"), "2013-07", MONTHS, (), []),
        (static(["eu", "us"]), "us", static(["us", "asia"]), (), ["us"]),
        (static(["eu", "us"]), "eu", static(["us", "asia"]), (), []),
        (grid(a=[1, 2]), "a=2", grid(a=[2, 3]), (), ["a=2"]),
        (by_column("m"), "x", by_column("n"), ("w", "x"), ["x"]),
        (static(["x"]), "x", by_column("n"), ("w", "x"), ["x"]),
        (ByFile("region"), "x", static(["x"]), (), ["x"]),
        (monthly("2013-01"), "2013-02", ByFile("month"), FOUND, ["2013-02"]),
        (monthly("2013-01"), "2013-03", ByFile("month"), FOUND, []),
        (by_file(3), "0002", by_file(3), ("0001", "0002"), ["0002"]),
    ],
)
def test_the_same_slice_of_the_same_kind_is_read_if_it_exists(
    reader: Any, key: str, source: Any, found: tuple[str, ...], expected: list[str]
) -> None:
    assert read(reader, key, source, found=found) == expected


def test_finer_time_is_read_inside_coarser() -> None:
    january = read(monthly("2012-01"), "2013-01", DAYS)
    assert (january[0], january[-1], len(january)) == ("2013-01-01", "2013-01-31", 31)
    assert read(monthly("2012-01"), "2012-12", DAYS) == [f"2012-12-{day}" for day in range(25, 32)]
    assert read(monthly("2012-01"), "2014-01", DAYS) == []
    assert read(weekly("2012-01-01"), "2013-W01", DAYS)[0] == "2012-12-31"
    files = ("2013-01-31", "2013-02-01", "2013-02-03")
    assert read(MONTHS, "2013-02", ByFile("day"), found=files) == list(files[1:])


def test_hours_are_read_inside_days_that_are_longer_or_shorter() -> None:
    place = {"tz": "America/New_York", "offset": 6}
    hours, days = hourly("2013-11-01", "2013-11-30", **place), daily("2013-11-01", **place)  # type: ignore[arg-type]
    inside = read(days, "2013-11-02", hours)  # from 06:00 to 06:00, clocks go back between
    assert len(inside) == 25
    assert hours.partition(str(inside[0])).start == days.partition("2013-11-02").start
    assert hours.partition(str(inside[-1])).end == days.partition("2013-11-02").end


@pytest.mark.parametrize(
    ("reader", "source"),
    [
        (weekly("2013-01-01"), MONTHS),
        (MONTHS, weekly("2013-01-01")),
        (DAYS, MONTHS),
        (MONTHS, daily("2013-01-01", tz="Europe/Berlin")),
        (MONTHS, daily("2013-01-01", offset=6)),
        (MONTHS, monthly("2013-01", tz="Europe/Berlin")),
        (MONTHS, static(["2013-01"])),
        (MONTHS, by_column("month")),
        (ByFile("day"), ByFile("region")),
        (grid(a=[1]), grid(b=[1])),
        (grid(a=[1]), static(["a=1"])),
        (by_file(2), by_file(3)),
        (by_file(2), static(["0001"])),
    ],
)
def test_where_no_rule_applies_the_error_lists_the_markers(reader: Any, source: Any) -> None:
    with pytest.raises(DefinitionError) as caught:
        check_mapping(reader, source, None, "raw/orders")
    assert "raw/orders" in caught.value.message
    for marker in ("last(7)", "every()", "previous()", "only("):
        assert marker in str(caught.value.advice)
    with pytest.raises(DefinitionError):
        read(reader, "2013-01", source)
    check_mapping(reader, source, every(), "raw/orders")


# ---------------------------------------------------------------------------------------- markers


def test_last_reads_so_many_up_to_and_including_the_same() -> None:
    assert read(MONTHS, "2013-04", MONTHS, last(3)) == ["2013-02", "2013-03", "2013-04"]
    assert read(MONTHS, "2013-02", MONTHS, last(3)) == ["2013-01", "2013-02"]
    assert read(MONTHS, "2013-02", MONTHS, last(1)) == ["2013-02"]
    assert read(None, None, MONTHS, last(2)) == ["2013-05", "2013-06"]
    assert read(None, None, MONTHS, last(99)) == list(MONTHS.keys(0))
    assert read(MONTHS, "2013-05", ByFile("month"), last(2), FOUND) == ["2013-02", "2013-05"]


def test_last_reads_nothing_where_the_same_is_missing() -> None:
    assert read(MONTHS, "2013-04", ByFile("month"), last(2), FOUND) == []
    assert read(monthly("2013-01"), "2013-07", MONTHS, last(2)) == []


def test_previous_reads_the_one_before_and_nothing_for_the_first() -> None:
    assert read(MONTHS, "2013-04", MONTHS, previous()) == ["2013-03"]
    assert read(MONTHS, "2013-01", MONTHS, previous()) == []
    assert read(MONTHS, "2013-05", ByFile("month"), previous(), FOUND) == ["2013-02"]
    # Its own month is missing: only the month right before it will do.
    assert read(MONTHS, "2013-03", ByFile("month"), previous(), FOUND) == ["2013-02"]
    assert read(MONTHS, "2013-04", ByFile("month"), previous(), FOUND) == []
    assert read(static(["a", "b", "x"]), "b", static(["a", "b"]), previous()) == ["a"]
    assert read(static(["a", "b", "x"]), "x", static(["a", "b"]), previous()) == []


def test_every_reads_all_whatever_the_kinds() -> None:
    assert read(static(["eu"]), "eu", MONTHS, every()) == list(MONTHS.keys(0))


def test_only_reads_those_that_are_said() -> None:
    assert read(MONTHS, "2013-04", MONTHS, only("2013-02", "2013-01")) == ["2013-02", "2013-01"]
    assert read(None, None, MONTHS, only("2013-02")) == ["2013-02"]
    for source, found in ((MONTHS, ()), (ByFile("month"), FOUND)):
        with pytest.raises(DefinitionError) as caught:
            read(None, None, source, only("2013-09"), found)
        assert "2013-09" in caught.value.message
    with pytest.raises(DefinitionError, match="did you mean `eu`"):
        check_mapping(None, static(["eu"]), only("eux"), "raw/orders")


@pytest.mark.parametrize(
    ("reader", "source", "marker", "said"),
    [
        (MONTHS, None, last(7), "has no partitions, so `last(7)` says nothing"),
        (None, MONTHS, previous(), "for a reader that has no partitions"),
        (DAYS, MONTHS, last(2), "`last(2)`: `raw/orders` is monthly"),
        (MONTHS, DAYS, previous(), "`previous()`: `raw/orders` is daily"),
        (None, MONTHS, only("January"), "January"),
    ],
)
def test_a_marker_that_says_nothing_here_is_an_error(
    reader: Any, source: Any, marker: Marker, said: str
) -> None:
    with pytest.raises(DefinitionError) as caught:
        check_mapping(reader, source, marker, "`raw/orders`")
    assert said in caught.value.message


@pytest.mark.parametrize(
    "make",
    [lambda: last(0), lambda: last(-1), lambda: last(True), lambda: last("7"), lambda: only(),
     lambda: only("a", "a"), lambda: only("a/b"), lambda: only(3)],  # type: ignore[arg-type]
)  # fmt: skip
def test_a_marker_that_can_not_be_is_an_error(make: Any) -> None:
    with pytest.raises(DefinitionError):
        make()


def test_markers_are_values() -> None:
    assert last(7) == last(7, of="raw/orders") != last(8)
    assert hash(only("a")) == hash(only("a"))
    assert [str(m) for m in (last(7), every(), previous(), only("a", "b"))] == [
        "last(7)", "every()", "previous()", 'only("a", "b")',
    ]  # fmt: skip
    assert last(7).canonical() == ("last", 7)
    assert only("a", "b").canonical() == ("only", 0, "a", "b")


# ------------------------------------------------------------------------- in signatures, inputs=

SEEN = """
from __future__ import annotations
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Dict
import pandas as pd
from lineal import Partition, Result, asset, columns, every, last, only, previous
import lineal
if TYPE_CHECKING:
    from collections.abc import Mapping as Unseen
    import typing as t
    from lineal import last as latest
WEEK = last(7)
N = 3
"""


def signature(text: str, partitioned: bool = False, **inputs: Any) -> Signature:
    module = types.ModuleType("a_pipeline")
    exec(compile(SEEN + text, "pipeline.py", "exec", dont_inherit=True), module.__dict__)
    named = read_options({"inputs": inputs}, ("inputs",), "@asset")["inputs"]
    return read_signature(module.__dict__["f"], named, "pipeline.py:1", partitioned=partitioned)


def the_input(annotation: str, **inputs: Any) -> Input:
    return signature(f"def f(x: {annotation}): ...", **inputs).inputs[0]


@pytest.mark.parametrize(
    ("annotation", "marker"),
    [
        ("Annotated[pd.DataFrame, last(7)]", last(7)),
        ("Annotated[pd.DataFrame, lineal.last(N)]", last(3)),
        ("Annotated[pd.DataFrame, WEEK]", last(7)),
        ("Annotated[pd.DataFrame, 'a note', only('a', 'b')]", only("a", "b")),
        ("Annotated[pd.DataFrame, every()] | None", every()),
        ("dict[str, Annotated[pd.DataFrame, last(2)]]", last(2)),
        ("Annotated[Annotated[pd.DataFrame, last(2)], columns('a')]", last(2)),
        ("pd.DataFrame", None),
    ],
)
def test_a_marker_is_read_from_an_annotation(annotation: str, marker: Marker | None) -> None:
    found = the_input(annotation)
    assert found.marker == marker


def test_a_marker_stands_beside_columns_in_any_order() -> None:
    for notes in ("columns('a'), last(7)", "last(7), columns('a')"):
        found = the_input(f"Annotated[pd.DataFrame, {notes}]")
        assert found == Input("x", None, "pandas", ("a",), last(7))
        inside = the_input(f"dict[str, Annotated[pd.DataFrame, {notes}]]")
        assert (inside.columns, inside.marker) == (("a",), last(7))


def test_a_marker_that_would_have_to_be_run_is_an_error_and_never_ignored() -> None:
    for text in ("last(2 * 3)", "last(MISSING)", "last()", "only(*WEEK)"):
        with pytest.raises(DefinitionError) as caught:
            the_input(f"Annotated[pd.DataFrame, {text}]")
        assert "can't be read" in caught.value.message
    with pytest.raises(DefinitionError, match=r"`f`: last\(0\)") as caught:
        the_input("Annotated[pd.DataFrame, last(0)]")
    assert caught.value.where == "pipeline.py:1"
    with pytest.raises(DefinitionError, match="one marker, not"):
        the_input("Annotated[pd.DataFrame, last(1), every()]")


def test_annotations_as_objects_say_the_same() -> None:
    text = "def f(x: Annotated[dict[str, pd.DataFrame], last(7)]): ..."
    module = types.ModuleType("a_pipeline")
    exec(compile(SEEN.replace("from __future__ import annotations", "") + text, "p", "exec",
                 dont_inherit=True), module.__dict__)  # fmt: skip
    found = read_signature(module.__dict__["f"], {}, "p:1").inputs
    assert found == signature(text).inputs
    assert found[0].marker == last(7)


def test_a_marker_in_inputs_names_its_asset_or_the_parameter_does() -> None:
    assert the_input("pd.DataFrame", x=last(7)) == Input("x", None, "pandas", None, last(7))
    found = the_input("pd.DataFrame", x=last(7, of="raw/orders"))
    assert (found.asset, found.marker, found.marker.of) == ("raw/orders", last(7), None)  # type: ignore[union-attr]
    said = the_input("Annotated[pd.DataFrame, last(7, of='raw/orders')]")
    assert (said.asset, said.marker) == ("raw/orders", last(7))
    both = the_input("Annotated[pd.DataFrame, last(7)]", x="raw/orders")
    assert (both.asset, both.marker) == ("raw/orders", last(7))
    rest = signature("def f(**rest): ...", history=last(2, of="raw/a"), other="raw/b").inputs
    assert rest == (Input("history", "raw/a", marker=last(2)), Input("other", "raw/b"))


def test_two_words_for_one_input_must_agree() -> None:
    with pytest.raises(DefinitionError, match=r"inputs= says `every\(\)`"):
        the_input("Annotated[pd.DataFrame, last(7)]", x=every())
    with pytest.raises(DefinitionError, match="names two assets"):
        the_input("Annotated[pd.DataFrame, last(7, of='raw/a')]", x="raw/b")
    with pytest.raises(DefinitionError, match="is not an asset name"):
        the_input("pd.DataFrame", x=last(7, of="no name"))


@pytest.mark.parametrize(
    ("annotation", "arrival", "each"),
    [
        ("dict[str, pd.DataFrame]", "object", "pandas"),
        ("dict[str, Result]", "object", "result"),
        ("dict[Partition, Result]", "object", "result"),
        ("Mapping[str, list[dict]]", "object", "rows"),
        ("Dict[str, Any]", "object", "auto"),
        ("dict[str, pd.DataFrame] | None", "object", "pandas"),
        ("Annotated[dict[str, pd.DataFrame], columns('a')]", "object", "pandas"),
        ("dict[str, Annotated[pd.DataFrame, columns('a')]]", "object", "pandas"),
        ("Unseen[str, pd.DataFrame]", "auto", None),
        ("t.Mapping[str, pd.DataFrame]", "auto", "pandas"),
        ("dict[int, pd.DataFrame]", "object", None),
        ("dict", "object", None),
        ("list[dict]", "rows", None),
        ("Result", "result", None),
        ("lineal.Result", "result", None),
    ],
)
def test_a_dict_by_key_says_how_each_partition_arrives(
    annotation: str, arrival: str, each: str | None
) -> None:
    found = the_input(annotation)
    assert (found.arrival, found.each) == (arrival, each is not None)
    assert found.each_arrival == (each or "auto")


def test_a_parameter_called_partition_receives_the_slice() -> None:
    for written in (
        "partition",
        "partition: Partition = None",
        "*, partition",
        "x, *, partition=3",
    ):
        found = signature(f"def f({written}): ...", partitioned=True)
        assert found.takes_partition
        assert "partition" not in found.parameter_types
        assert "partition" not in [each.parameter for each in found.inputs]
    assert not signature("def f(x): ...", partitioned=True).takes_partition


def test_what_has_no_partitions_can_not_receive_one() -> None:
    with pytest.raises(DefinitionError) as caught:
        signature("def f(partition): ...")
    assert "`f`: `partition` receives the partition that is made" in caught.value.message
    assert "partitions=" in str(caught.value.advice)


def test_an_input_may_be_called_partition_when_inputs_says_so() -> None:
    found = signature("def f(partition): ...", partition="raw/partition")
    assert found.inputs == (Input("partition", "raw/partition"),)
    assert not found.takes_partition
