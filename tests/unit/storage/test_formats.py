from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import io
import json as stdlib_json
import math
import uuid
import zipfile
from collections import Counter, OrderedDict
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.assets.errors import ContentError
from lineal.assets.notebook import size_text
from lineal.storage.formats import array, joblib, json
from lineal.storage.formats.files import suffix_of


def through(value: Any) -> Any:
    """What every reader gets for a plain value."""
    return json.decode(json.encode(value, "thing").data)


# -------------------------------------------------------------------------------------- json


@dataclasses.dataclass
class Score:
    name: str
    values: tuple[float, ...]


class Pair(NamedTuple):
    left: int
    right: int


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    "value",
    [
        'é ☃ \0 " \\ \ud800',
        -0.0,
        1e300,
        2**70,
        {"b": 1, "a": [1, 2.0, None, True]},
        {2013: 0.8, 2014: 0.9},
        {None: 1, True: 2, 1.5: 3, "x": 4, dt.date(2026, 1, 5): 5},
        {"$type": "date", "value": "no date"},
        {"$type": {"$type": 1}},
        dt.date(2026, 1, 5),
        dt.datetime(2026, 1, 5, 1, 2, 3, 4),
        dt.datetime(2026, 1, 5, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        dt.time(1, 2),
        dt.timedelta(days=-1, seconds=3, microseconds=5),
        Decimal("1.20"),
        uuid.UUID(int=5),
        1 + 2j,
        {"raw": b"\0\xff"},
        math.inf,
        [],
        {},
    ],
)
def test_plain_values_come_back_as_they_are(value: Any) -> None:
    found = through(value)
    assert found == value
    assert type(found) is type(value)
    assert list(found) == list(value) if isinstance(value, dict) else True


def test_nan_comes_back() -> None:
    assert math.isnan(through({"x": math.nan})["x"])


@pytest.mark.parametrize(
    ("value", "normal"),
    [
        ((1, (2, 3)), [1, [2, 3]]),
        (Score("a", (1.0,)), {"name": "a", "values": [1.0]}),
        (Pair(1, 2), [1, 2]),
        (Colour.RED, "red"),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.float32(0.5), 0.5),
        (np.str_("x"), "x"),
        (np.datetime64("2026-01-05"), dt.date(2026, 1, 5)),
        (np.datetime64("2026-01-05T01:02"), dt.datetime(2026, 1, 5, 1, 2)),
        (np.timedelta64(90, "s"), dt.timedelta(seconds=90)),
        (np.datetime64("NaT"), None),
        ({"m": np.array([[1, 2]])}, {"m": [[1, 2]]}),
        (pd.NaT, None),
        ([pd.NA], [None]),
        (pd.Timestamp("2026-01-05"), dt.datetime(2026, 1, 5)),
        (OrderedDict(a=1), {"a": 1}),
        (Counter("aa"), {"a": 2}),
        ({np.int64(1): 2}, {1: 2}),
    ],
)
def test_other_values_are_normalised_for_every_reader(value: Any, normal: Any) -> None:
    found = through(value)
    assert found == normal
    assert type(found) is type(normal)


def cyclic() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({1, 2}, "sorted"),
        ({"t": pd.DataFrame()}, "outputs="),
        ({(1, 2): 3}, "key"),
        (object(), "pickle"),
        ([Path("x")], "holds a pathlib"),
        (cyclic(), "flatter"),
        (pd.Timestamp(1), "nanoseconds"),
        (np.datetime64(1, "ns"), "nanoseconds"),
        ({Colour.RED: 1, "red": 2}, "two keys"),
        (np.array([object()]), "ndarray"),
        (np.longdouble(1), "longdouble"),
        ([10**5000], "digits"),
    ],
)
def test_what_json_cant_hold_is_an_error_that_says_how_to_mend_it(value: Any, said: str) -> None:
    with pytest.raises(ContentError) as caught:
        json.encode(value, "thing")
    assert said in f"{caught.value.message} {caught.value.advice}"


def test_any_tool_can_read_the_json() -> None:
    data = json.encode({"auc": 0.8, "bad": math.nan, "é": 1}, "thing").data
    assert stdlib_json.loads(data)["auc"] == 0.8
    assert "é" in data.decode()
    assert b"NaN" not in data


def test_the_order_of_keys_counts() -> None:
    one, other = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    assert json.encode(one, "x").digest != json.encode(other, "x").digest


@pytest.mark.parametrize("pair", [(1, 1.0), (1, True), (None, "None"), ("1", 1), ({}, [])])
def test_different_values_have_different_digests(pair: tuple[Any, Any]) -> None:
    assert json.encode(pair[0], "x").digest != json.encode(pair[1], "x").digest


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.dates() | st.datetimes() | st.timedeltas() | st.binary() | st.decimals(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text() | st.just("$type") | st.integers(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(plain)
def test_every_plain_value_comes_back_and_its_form_is_final(value: Any) -> None:
    first = json.encode(value, "x")
    assert json.decode(first.data) == value
    assert json.encode(json.decode(first.data), "x").data == first.data


# ------------------------------------------------------------------------------------- array


@pytest.mark.parametrize(
    "value",
    [
        np.arange(6).reshape(2, 3).T,
        np.arange(6)[::2],
        np.array(5.0),
        np.array([], dtype="float32"),
        np.array(["a", "bc"]),
        np.array([b"a"]),
        np.array(["2026-01-05", "NaT"], dtype="M8[ns]"),
        np.array([1 + 2j]),
        np.array([True, False]),
        np.arange(3, dtype=">i4"),
    ],
)
def test_arrays_come_back_equal_in_one_layout(value: np.ndarray[Any, Any]) -> None:
    made = array.encode(value, "x")
    found = array.decode(made.data)
    np.testing.assert_array_equal(found, value)
    assert found.flags.writeable
    assert found.flags.c_contiguous
    assert found.dtype.isnative
    assert array.encode(np.array(value, order="F"), "x").data == made.data
    assert np.load(io.BytesIO(made.data)).shape == value.shape


def test_dicts_of_arrays_are_npz_with_the_same_bytes_each_time() -> None:
    value = {"train": np.arange(3), "a/b.npy": np.zeros((2, 2))}
    made = array.encode(value, "x")
    assert (made.suffix, made.summary) == ("npz", "2 arrays")
    members = zipfile.ZipFile(io.BytesIO(made.data)).infolist()
    assert {member.date_time for member in members} == {(1980, 1, 1, 0, 0, 0)}
    found = array.decode(made.data)
    assert list(found) == list(value)
    np.testing.assert_array_equal(found["train"], value["train"])
    np.testing.assert_array_equal(np.load(io.BytesIO(made.data))["train"], value["train"])


def test_the_digest_of_an_array_sees_type_shape_and_values() -> None:
    values = [
        np.arange(4), np.arange(4).reshape(2, 2), np.arange(4, dtype="i4"), np.arange(1, 5),
        np.arange(4).view("M8[s]"), np.zeros(0), np.zeros((0, 1)),
    ]  # fmt: skip
    assert len({array.encode(value, "x").digest for value in values}) == len(values)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.ma.masked_array([1], [True]), "mask"),
        (np.zeros(2, dtype=[("a", int)]), "DataFrame"),
        (np.array([object()]), "astype"),
        (np.zeros(2, dtype="longdouble"), "astype"),
        ({1: np.zeros(2)}, "text keys"),
    ],
)
def test_arrays_without_canonical_bytes_are_refused(value: Any, said: str) -> None:
    with pytest.raises(ContentError) as caught:
        array.encode(value, "thing")
    assert said in f"{caught.value.message} {caught.value.advice}"


# ------------------------------------------------------------------------------------ pickles


class Plain:
    """A class of a project."""


def helper() -> None: ...


@pytest.mark.parametrize("encode", [joblib.encode, joblib.encode_pickle])
def test_a_pickle_tells_the_classes_and_functions_it_names(encode: Any) -> None:
    thing = Plain()
    thing.parts = [helper, np.zeros(3), Counter]  # type: ignore[attr-defined]
    names = encode(thing, "x").names
    assert (__name__, "Plain") in names
    assert (__name__, "helper") in names
    assert ("collections", "Counter") in names
    assert ("numpy", "ndarray") in names
    assert not any(module == "builtins" for module, _ in names)


def test_a_set_in_a_model_is_written_in_one_order() -> None:
    words = [f"word {number}" for number in range(50)]
    backwards = set()
    for word in reversed(words):
        backwards.add(word)
    assert joblib.encode(set(words), "x").data == joblib.encode(backwards, "x").data
    assert joblib.decode(joblib.encode({1, 2}, "x").data) == {1, 2}


# -------------------------------------------------------------------------------------- small


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (812, "812 B"), (999, "999 B"), (1000, "1.0 kB"), (14_200, "14 kB"),
     (2_100_000, "2.1 MB"), (999_600, "1.0 MB"), (5 * 10**12, "5.0 TB")],
)  # fmt: skip
def test_sizes_are_short(count: int, text: str) -> None:
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.csv", "csv"), ("a.tar.gz", "tar.gz"), ("a.b.txt", "txt"), ("a", ""), ("a.x y", ""),
     (".hidden", ""), ("a.gz", "gz")],
)  # fmt: skip
def test_the_suffix_of_a_file_is_kept_if_it_is_a_plain_word(name: str, suffix: str) -> None:
    assert suffix_of(Path(name)) == suffix
