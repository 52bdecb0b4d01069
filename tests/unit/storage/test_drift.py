"""Drift: published values, what holds of any tables, and an answer for every odd one."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, ks_2samp

from lineal.assets.asset import Check, Input, Where
from lineal.assets.errors import StepError
from lineal.storage.audit import BEFORE, audit
from lineal.storage.drift import CATEGORIES, HEADER, psi
from lineal.storage.finding import Finding

NAN = float("nan")


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    opened = duckdb.connect(config={"threads": 2})
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def compare(connection: duckdb.DuckDBPyConnection) -> Any:
    def compare(reference: Any, table: Any, other: str = "train", **said: Any) -> Finding:
        rule = {"reference": other, "statistic": "psi", "limit": 0.2, "bins": 10, **said}
        inputs = () if other == "previous" else (Input("reference", other),)
        check = Check("d", Where("p.py", 3), rule=("drift", tuple(rule.items())), inputs=inputs)
        name = BEFORE if other == "previous" else other
        others = {} if reference is None else {name: _table(reference)}
        return audit(connection, [check], _table(table), others)[0]

    return compare


def _table(given: Any) -> pa.Table:
    return given if isinstance(given, pa.Table) else pa.table(given)


def value(found: Finding, column: str = "v") -> float:
    (row,) = (row for row in found.sample[1:] if row[0] == column)
    return float(row[2])


# ------------------------------------------------------------------------------ what is published

# feature-engine (tests/test_selection/test_drop_high_psi_features.py): the numbers
# 1 to 6 five times over, the first half beside the second; its values are probatus's.
FEATURE_ENGINE = 0.1621860432432658
# The test suite of strappy 0.0.3 (tests/test_psi.py): 6 a and 5 b beside 5 a and 4 b.
STRAPPY = 0.00041
# A system stability report of credit scoring: actual %, expected %, the row's share of the index,
# as printed, with four digits. (Its total is not used: its expected shares sum up to 102 %.)
REPORT = [
    (7, 8, 0.0013), (8, 10, 0.0045), (7, 9, 0.0050), (9, 13, 0.0147), (11, 13, 0.0033),
    (11, 10, 0.0010), (10, 9, 0.0011), (12, 10, 0.0036), (11, 11, 0.0), (14, 9, 0.0221),
]  # fmt: skip


def test_the_index_is_what_others_published(compare: Any) -> None:
    assert psi([3, 3, 3, 2, 2, 2], [2, 2, 2, 3, 3, 3]) == pytest.approx(FEATURE_ENGINE, rel=1e-12)
    sixes = [1, 2, 3, 4, 5, 6] * 5
    found = compare({"v": sixes[:15]}, {"v": sixes[15:]})
    assert value(found) == pytest.approx(FEATURE_ENGINE, rel=1e-5)
    found = compare({"v": list("aaaaaabbbbb")}, {"v": list("aaaaabbbb")})
    assert round(value(found), 5) == STRAPPY
    for actual, expected, printed in REPORT:
        # The rest of both is put into two more bins, whose shares of the index are taken off.
        rest = psi([0, 100 - expected], [0, 100 - actual])
        whole = psi([expected, 100 - expected], [actual, 100 - actual])
        other = (expected - actual) / 100 * np.log((100 - actual) / (100 - expected))
        assert rest == 0
        assert whole - other == pytest.approx(printed, abs=0.00006)


def test_the_tests_are_those_of_scipy(compare: Any) -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=3000), np.append(rng.normal(0.1, 1, size=2000), [NAN, 7.0])
    told = compare({"v": x}, {"v": y}, statistic="ks", limit=0.05)
    known = ks_2samp(x, y[~np.isnan(y)], method="asymp").pvalue
    assert value(told) == pytest.approx(known, rel=1e-5)
    told = compare({"v": ["a"] * 30 + ["b"] * 70}, {"v": ["a"] * 60 + ["b"] * 40},
                   statistic="chi2", limit=0.05)  # fmt: skip
    known = chi2_contingency([[30, 70], [60, 40]]).pvalue
    assert value(told) == pytest.approx(known, rel=1e-5)
    assert told.message == f"v χ² p {known:.4g} < 0.05"


# -------------------------------------------------------------------------- what holds of any

counts = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=8)


@given(counts)
def test_the_index_is_never_negative_and_the_same_either_way(pairs: list[tuple[int, int]]) -> None:
    expected, actual = zip(*pairs, strict=True)
    found = psi(expected, actual)
    assert found >= 0
    assert found == pytest.approx(psi(actual, expected))
    assert psi(expected, expected) == 0
    assert psi(expected, [3 * n for n in expected]) == pytest.approx(
        0, abs=0 if all(expected) else 1e-9
    )


def _nullable(of: Any, kind: pa.DataType) -> Any:
    return st.lists(st.none() | of, max_size=20).map(lambda values: pa.array(values, kind))


anything = st.one_of(
    _nullable(st.floats(), pa.float64()),
    _nullable(st.integers(-(2**63), 2**63 - 1), pa.int64()),
    _nullable(st.text(max_size=3), pa.string()),
    _nullable(st.booleans(), pa.bool_()),
    _nullable(st.dates(), pa.date32()),
)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(values=anything, seed=st.integers(0, 99), statistic=st.sampled_from(["psi", "ks", "chi2"]))
def test_a_table_never_drifts_from_itself_in_any_order(
    compare: Any, values: pa.Array, seed: int, statistic: str
) -> None:
    number = [float(n) for n in range(len(values))]
    shuffled = random.Random(seed).sample(range(len(values)), len(values))
    table = pa.table({"v": values, "n": pa.array(number, pa.float64())})
    named = ("n",) if statistic == "ks" else ("v", "n")
    for said in ({}, {"columns": named}):
        found = compare(
            table,
            table.take(pa.array(shuffled, pa.int64())),
            statistic=statistic,
            limit=1e-9,
            **said,
        )
        assert found.passed, found


def test_neither_order_nor_how_often_it_is_asked_changes_a_value(compare: Any) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=500), rng.normal(1, 1, size=400)
    words = rng.integers(0, 300, size=500).astype(str)
    once = compare({"v": x, "w": words}, {"v": y, "w": words[:400]})
    again = compare(
        {"v": x[::-1], "w": words[::-1]},
        {"v": rng.permutation(y), "w": rng.permutation(words[:400])},
    )
    assert once == again
    assert not once.passed


# ----------------------------------------------------------------------------------- odd columns


@pytest.mark.parametrize(
    ("reference", "table", "drifts"),
    [
        ([1.0] * 50, [1.0] * 9, False),  # constant
        ([1.0] * 50, [0.0] * 9, True),  # … and what is below or above it
        ([1.0] * 50, [2.0] * 9, True),
        ([0.0] * 5 + [1.0] * 95, [0.0] * 50 + [1.0] * 50, True),  # mostly one value
        ([None] * 50, [None] * 9, False),
        ([None] * 50, [1.0] * 9, True),
        ([1.0, None] * 20, [1.0, NAN] * 20, False),  # NaN is missing, as null is
        ([1.0, 2.0] * 20, [1.0, None] * 20, True),
        ([1.0, float("inf")] * 9, [1.0, float("-inf")] * 9, True),
        ([True, False] * 9, [True] * 9, True),
        (["a", "b"] * 9, ["a", "c"] * 9, True),  # a new category
        ([str(n) for n in range(500)], [str(n) for n in range(500, 1000)], False),  # mere names
        ([2**62 + n for n in range(90)], [2**62 + n for n in range(90)], False),
    ],
)  # fmt: skip
def test_odd_columns_have_an_answer(
    compare: Any, reference: list[Any], table: list[Any], drifts: bool
) -> None:
    told = compare({"v": reference}, {"v": table})
    assert told.passed is not drifts, told
    assert told.sample[0] == HEADER


def test_many_categories_of_one_population_do_not_drift(compare: Any) -> None:
    rng = np.random.default_rng(3)
    x, y = (rng.integers(0, 500, size=20_000).astype(str) for _ in range(2))
    for statistic in ("psi", "chi2"):
        assert compare({"v": x}, {"v": y}, statistic=statistic, limit=0.01).passed


def test_rare_categories_are_one_bin(compare: Any) -> None:
    common = [str(n) for n in range(CATEGORIES)] * 3
    rare = [f"rare {n}" for n in range(40)]
    told = compare({"v": common + rare}, {"v": common + [f"other {n}" for n in range(40)]})
    assert value(told) == 0
    told = compare({"v": common}, {"v": common + ["new"] * 200})
    assert not told.passed


@pytest.mark.parametrize(
    ("reference", "table", "said", "message"),
    [
        ({"v": [1]}, {"v": ["x"]}, {}, "`v` is VARCHAR, and BIGINT in train"),
        ({"v": [1]}, {"w": [1]}, {}, "no column can be compared with one of train"),
        ({"v": [1]}, {"v": [1]}, {"columns": ("w",)}, "this version has no column `w`"),
        ({"wind": [1]}, {"win": [1]}, {"columns": ("win",)}, "train has no column `win`; did you"),
        ({"v": [[1]]}, {"v": [[1]]}, {"columns": ("v",)}, "which has no distribution"),
        ({"v": ["a"]}, {"v": ["a"]}, {"columns": ("v",), "statistic": "ks"}, "use chi2"),
        ({"v": [1, 2]}, {"v": pa.array([], pa.int64())}, {}, "this version has no rows, train 2"),
        ({"v": pa.array([], pa.int64())}, {"v": [1]}, {}, "train has no rows, this version 1"),
        (None, {"v": [1]}, {}, "`train` is not there to be compared with"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_fails_and_says_so(
    compare: Any, reference: Any, table: Any, said: Any, message: str
) -> None:
    told = compare(reference, table, **said)
    assert not told.passed
    assert message in told.message


def test_without_a_version_before_or_rows_on_either_side_nothing_drifts(compare: Any) -> None:
    none = pa.table({"v": pa.array([], pa.int64())})
    assert compare(None, {"v": [1]}, "previous") == Finding(True)
    assert compare(none, {"v": [1]}, "previous") == Finding(True)
    assert compare(none, none) == Finding(True)
    assert not compare({"v": [1, 2] * 9}, {"v": [7, 8] * 9}, "previous").passed


def test_dates_count_where_they_are_named_and_the_worst_is_told_first(compare: Any) -> None:
    days = [dt.date(2026, 1, 1) + dt.timedelta(n) for n in range(100)]
    old = {"day": days[:50], "a": [1, 2] * 25, "b": [1] * 50, "c": [3] * 50, "d": [4] * 50}
    new = {"day": days[50:], "a": [1, 2] * 25, "b": [2] * 50, "c": [4] * 50, "D": [5] * 50}
    told = compare(old, new)
    assert [row[0] for row in told.sample] == ["column", "b", "c", "D", "a"]
    assert told.message.count("PSI") == 3
    assert compare(old, new, columns=("day",)).message.startswith("day PSI ")
    told = compare({"v": [0] * 100 + [1] * 100}, {"v": [0] * 61 + [1] * 139}, limit=0.16)
    assert told.message == "v PSI 0.1606 > 0.16"


def test_without_the_memory_to_count_the_step_fails_and_nothing_is_found() -> None:
    short = {"memory_limit": "4MB", "threads": 1, "max_temp_directory_size": "0MB"}
    rule = (("reference", "t"), ("statistic", "psi"), ("limit", 0.2), ("bins", 10))
    check = Check("d", Where("p.py", 3), rule=("drift", rule), inputs=(Input("reference", "t"),))
    table = pa.table({"v": np.arange(300_000.0)})
    with (
        duckdb.connect(config=short) as connection,
        pytest.raises(StepError, match="drift from t can't be counted: Out of Memory") as caught,
    ):
        audit(connection, [check], table, {"t": table})
    assert "memory" in str(caught.value.advice)
