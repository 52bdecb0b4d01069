"""How a stored table arrives in a function."""

from __future__ import annotations

import datetime as dt
import gc
import uuid
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from lineal.assets.asset import Contract
from lineal.assets.errors import ContentError
from lineal.storage.arrivals import hand_over
from lineal.storage.content import canonical_table, column_digests
from lineal.storage.formats.parquet import read_parquet, write_parquet

ALL = ["auto", "pandas", "arrow", "batches", "relation", "polars", "rows", "array"]


def stored(value, rows=False):
    return canonical_table(value, Contract(), rows=rows, name="t")


def dtype(values, kind=None):
    return str(hand_over(stored(pa.table({"a": pa.array(values, kind)})), "pandas")["a"].dtype)


@pytest.fixture
def table():
    frame = pd.DataFrame({"i": [1, 2, 3], "f": [1.5, None, -2.0], "s": ["a", None, "c"]})
    frame["b"] = [True, False, True]
    frame["c"] = pd.Categorical(["y", None, "x"], categories=["y", "unused", "x"], ordered=True)
    frame["t"] = pd.date_range("2020", periods=3, tz="Europe/Berlin")
    frame["l"] = [[1, 2], None, []]
    frame["n"] = [{"x": [1.0]}, None, {"x": [2.0, 3.0]}]
    return stored(frame)


def test_pandas_is_what_a_table_arrives_as_by_default(table):
    pd.testing.assert_frame_equal(hand_over(table, "auto"), hand_over(table, "pandas"))


def test_a_frame_comes_back_as_it_was_returned():
    frame = pd.DataFrame({"i": [1, 2], "f": [1.5, None], "s": ["a", None], "b": [True, False]})
    frame["i8"] = np.array([1, -1], "i1")
    frame["f4"] = np.array([1, -1], "f4")
    frame["when"] = pd.to_datetime(["2020-01-01", None])
    frame["zone"] = pd.date_range("2020", periods=2, tz="Europe/Berlin")
    frame["lasted"] = pd.to_timedelta([1, 2], "s").as_unit("ms")
    frame["c"] = pd.Categorical(["y", None], categories=["y", "unused", "x"], ordered=True)
    frame["ci"] = pd.Categorical([3, 1], categories=[3, 2, 1])
    frame["ct"] = pd.Categorical(pd.to_datetime(["2020", "2021"], utc=True))
    frame["day"] = pd.Series([dt.date(2020, 1, 1), None], dtype=object)
    frame["money"] = pd.Series([Decimal("1.10"), None], dtype=object)
    frame["raw"] = pd.Series([b"a", None], dtype=object)
    frame["id"] = pd.Series([uuid.UUID(int=1), None], dtype=object)
    frame["nothing"] = pd.Series([None, None], dtype=object)
    pd.testing.assert_frame_equal(hand_over(stored(frame), "pandas"), frame)


def test_every_frame_has_a_fresh_range_index():
    frame = pd.DataFrame({"a": [1, 2, 3]}).query("a > 1")
    arrived = hand_over(stored(frame), "pandas")
    pd.testing.assert_index_equal(arrived.index, pd.RangeIndex(2), exact=True)
    empty = hand_over(stored(pd.DataFrame({"a": []})), "pandas")
    pd.testing.assert_index_equal(empty.index, pd.RangeIndex(0), exact=True)


def test_integers_with_nulls_arrive_as_floats_unless_that_would_change_them():
    assert dtype([1, 2]) == "int64"
    assert dtype([1, None]) == "float64"
    assert dtype([1, None], pa.uint8()) == "float64"
    assert dtype([2**53, -(2**53), None]) == "float64"
    assert dtype([2**53 + 1, None]) == "Int64"
    assert dtype([2**63 + 1, None], pa.uint64()) == "UInt64"
    assert dtype([None, None], pa.int64()) == "float64"
    exact = hand_over(stored(pa.table({"a": [2**53 + 1, None]})), "pandas")
    assert exact["a"][0] == 2**53 + 1
    assert exact["a"][1] is pd.NA


def test_booleans_with_nulls_arrive_as_nullable_booleans():
    assert dtype([True, False]) == "bool"
    assert dtype([True, None]) == "boolean"


def test_nullable_and_plain_columns_of_equal_values_arrive_alike():
    plain = stored(pd.DataFrame({"a": [1, 2]}))
    nullable = stored(pd.DataFrame({"a": pd.array([1, 2], dtype="Int64")}))
    assert column_digests(plain) == column_digests(nullable)
    pd.testing.assert_frame_equal(hand_over(plain, "pandas"), hand_over(nullable, "pandas"))


def test_a_reader_may_change_all_it_was_handed_and_nobody_sees_it(table):
    before = column_digests(table)
    first = hand_over(table, "pandas")
    expected = hand_over(table, "pandas")
    first.iloc[0, 0] = 99
    first.loc[:, "f"] = 0.0
    first.loc[0, "s"] = "changed"
    first["b"] = ~first["b"]
    first.loc[0, "c"] = "x"
    first["c"] = first["c"].cat.rename_categories({"y": "z"})
    first.loc[0, "t"] = first.loc[1, "t"]
    first["l"][0][0] = 99
    first["n"][0]["x"][0] = 99.0
    del first["i"]
    assert column_digests(table) == before
    pd.testing.assert_frame_equal(hand_over(table, "pandas"), expected)


def test_a_lone_column_without_nulls_is_writable_in_place():
    for values in ([1, 2], [1.5, 2.5], [True, False], ["2020", "2021"]):
        series = pd.Series(values)
        series = pd.to_datetime(series) if series.dtype == "str" else series
        arrived = hand_over(stored(series.to_frame("a")), "pandas")
        arrived.iloc[0, 0] = arrived.iloc[1, 0]
        assert arrived["a"].nunique() == 1


def test_rows_and_arrays_are_the_readers_own(table):
    rows = hand_over(table, "rows")
    rows[0]["i"] = 99
    rows[0]["l"].append(5)
    assert hand_over(table, "rows")[0]["i"] == 1
    assert hand_over(table, "rows")[0]["l"] == [1, 2]
    array = hand_over(table, "array", ["i", "f"])
    array[0, 0] = 99
    assert hand_over(table, "array", ["i", "f"])[0, 0] == 1


def test_an_array_is_rows_by_columns(table):
    array = hand_over(table, "array", ["i", "f"])
    assert array.shape == (3, 2)
    assert array.dtype == np.float64
    assert hand_over(table, "array", ["i"]).shape == (3, 1)


def test_rows_are_dicts_of_python_values(table):
    rows = hand_over(table, "rows", ["i", "s", "c", "l"])
    assert rows[0] == {"i": 1, "s": "a", "c": "y", "l": [1, 2]}
    assert rows[1] == {"i": 2, "s": None, "c": None, "l": None}


def test_a_relation_outlives_the_call_and_answers_sql(table):
    relation = hand_over(table, "relation", ["i", "s", "c"])
    gc.collect()
    assert relation.filter("i > 1").fetchall() == [(2, None, None), (3, "c", "x")]
    assert relation.aggregate("sum(i)").fetchall() == [(6,)]


def test_batches_arrow_and_polars_hold_the_same_values(table):
    plain = table.drop_columns(["t"])
    assert hand_over(table, "batches").read_all().equals(table)
    assert hand_over(table, "arrow").equals(table)
    assert hand_over(plain, "polars").to_dicts() == hand_over(plain, "rows")
    assert hand_over(table, "polars").schema["t"] == pl.Datetime("us", "Europe/Berlin")


@pytest.mark.parametrize(
    "values",
    [
        pa.array([[1], [2, 3], [None], None]),
        pa.array([[1, 1], [2, 3], [None, 4], None], pa.list_(pa.int64(), 2)),
        pa.array([{"x": 1}, {"x": 2}, {"x": None}, None]),
        pa.array([[{"x": [1]}], [], [{"x": [None]}], None]),
        pa.array([[("k", 1)], [], [("k", None)], None], pa.map_(pa.string(), pa.int64())),
    ],
)
def test_nested_values_arrive_alike_however_the_column_is_cut(values):
    whole = stored(pa.table({"a": values}))
    pieces = stored(pa.table({"a": pa.chunked_array([values[:2], values[2:3], values[3:]])}))
    assert column_digests(whole) == column_digests(pieces)
    for arrival in ("pandas", "rows", "array"):
        one, other = hand_over(whole, arrival), hand_over(pieces, arrival)
        assert repr(getattr(one, "values", one)) == repr(getattr(other, "values", other))


def test_what_lies_under_a_null_is_seen_by_no_reader():
    number, mask = pa.array([7, 0]), pa.array([True, False])
    hidden = pa.StructArray.from_arrays([number], names=["x"], mask=mask)
    clean = pa.array([None, {"x": 0}], hidden.type)
    pair = [stored(pa.table({"a": array})) for array in (hidden, clean)]
    assert column_digests(pair[0]) == column_digests(pair[1])
    for arrival in ALL:
        one, other = (hand_over(table, arrival) for table in pair)
        if arrival == "batches":
            one, other = one.read_all().to_pylist(), other.read_all().to_pylist()
        if arrival in ("pandas", "auto"):
            one, other = one.to_dict("list"), other.to_dict("list")
        assert repr(one) == repr(other) or arrival == "arrow"


@pytest.mark.parametrize("arrival", ALL)
def test_only_the_chosen_columns_arrive_in_their_order(table, arrival):
    arrived = hand_over(table, arrival, ["s", "i"])
    if arrival == "batches":
        arrived = arrived.read_all()
    if arrival == "rows":
        assert list(arrived[0]) == ["s", "i"]
    elif arrival == "array":
        assert arrived[0].tolist() == ["a", 1]
    else:
        names = arrived.column_names if isinstance(arrived, pa.Table) else arrived.columns
        assert list(names) == ["s", "i"]


@pytest.mark.parametrize("arrival", ALL)
def test_a_column_that_is_not_there_is_named_with_the_nearest(arrival):
    table = stored(pa.table({"origin": ["a"], "delay": [1]}))
    with pytest.raises(ContentError, match="no column `orign`; did you mean `origin`") as caught:
        hand_over(table, arrival, ["delay", "orign"])
    assert "origin, delay" in caught.value.advice


def test_a_column_chosen_twice_is_refused(table):
    with pytest.raises(ContentError, match="`i` is chosen twice"):
        hand_over(table, "pandas", ["i", "i"])


def test_a_table_does_not_arrive_as_a_path(table):
    with pytest.raises(ContentError, match="can't arrive as path"):
        hand_over(table, "path")


@pytest.mark.parametrize("arrival", ["relation", "polars"])
def test_decimals_of_more_digits_than_a_reader_has_are_refused_by_column(arrival):
    table = stored(pa.table({"big": pa.array([Decimal(10**50)], pa.decimal256(60, 0))}))
    with pytest.raises(ContentError, match="`big`"):
        hand_over(table, arrival)
    assert hand_over(table, "rows") == [{"big": Decimal(10**50)}]


@pytest.mark.parametrize("arrival", ["pandas", "rows", "array"])
def test_times_finer_than_a_reader_has_are_refused(arrival):
    table = stored(pa.table({"at": pa.array([1], pa.time64("ns"))}))
    with pytest.raises(ContentError, match="nanoseconds"):
        hand_over(table, arrival)


def test_float16_arrives_in_duckdb_as_float():
    table = stored(pa.table({"h": pa.array([1.5, None], pa.float16())}))
    assert hand_over(table, "relation").fetchall() == [(1.5,), (None,)]


def test_a_table_without_rows_or_columns_arrives(tmp_path):
    write_parquet(stored([], rows=True), tmp_path / "t.parquet")
    for table in (stored([], rows=True), read_parquet(tmp_path / "t.parquet")):
        assert hand_over(table, "pandas").shape == (0, 0)
        assert hand_over(table, "rows") == []
        assert hand_over(table, "polars").shape == (0, 0)
    with pytest.raises(ContentError, match="without columns"):
        hand_over(stored([], rows=True), "relation")


def test_more_than_a_hundred_columns_take_a_new_one_without_a_warning():
    table = stored(pa.table({f"c{n}": [n] for n in range(150)}))
    frame = hand_over(table, "pandas")
    frame["new"] = 1
    assert frame.shape == (1, 151)
