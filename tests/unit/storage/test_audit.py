"""Ready-made checks find the failing rows; a check function's answer is judged."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from lineal.assets.asset import Check, Where
from lineal.storage.audit import Finding, audit, judge_value

NAN = float("nan")


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    opened = duckdb.connect(config={"threads": 2})
    yield opened
    opened.close()


@pytest.fixture
def ask(connection: duckdb.DuckDBPyConnection) -> Any:
    def ask(table: dict[str, Any], kind: str, /, **arguments: Any) -> Finding:
        others = arguments.pop("others", {})
        previous = arguments.pop("previous", None)
        key = arguments.pop("key", ())
        found = audit(
            connection, [check(kind, **arguments)], pa.table(table), others, previous, key
        )
        return found[0]

    return ask


def check(kind: str, **arguments: Any) -> Check:
    return Check(kind, Where("pipeline.py", 3), rule=(kind, tuple(arguments.items())))


# ------------------------------------------------------------------------------ row rules


@pytest.mark.parametrize(
    ("kind", "arguments", "values", "failing"),
    [
        ("not_null", {"columns": ("v",)}, [1, None, 3, None], 2),
        ("not_null", {"columns": ("V",)}, [1, 2], 0),
        ("not_null", {"columns": ("v",)}, [1.0, NAN, None], 2),
        ("not_null", {"columns": ("v",)}, ["", "x"], 0),
        ("not_null", {"columns": ("v",)}, [], 0),
        ("accepted", {"column": "v", "values": ("a", "b")}, ["a", "c", None, "b", "c"], 2),
        ("accepted", {"column": "v", "values": (1, 2.5)}, [1, 2, None], 1),
        ("accepted", {"column": "v", "values": ("it's",)}, ["it's", "its"], 1),
        ("accepted", {"column": "v", "values": (None, "a")}, ["a", None, "b"], 1),
        ("accepted", {"column": "v", "values": (1.0,)}, [1.0, NAN], 0),
        ("accepted", {"column": "v", "values": ("2026-01-01",)}, [dt.date(2026, 1, 1)], 0),
        ("between", {"column": "v", "low": 0, "high": 24}, [-1, 0, 24, 25, None], 2),
        ("between", {"column": "v", "low": None, "high": 2}, [1, 2, 3], 1),
        ("between", {"column": "v", "low": 2, "high": None}, [1, 2, 3], 1),
        ("between", {"column": "v", "low": 0, "high": 1}, [0.5, NAN, None, float("inf")], 1),
        ("between", {"column": "v", "low": 0, "high": 2, "inclusive": False}, [0, 1, 2], 2),
        (
            "between",
            {"column": "v", "low": dt.date(2026, 1, 1), "high": "2026-12-31"},
            [dt.date(2025, 12, 31), dt.date(2026, 6, 1), None],
            1,
        ),
        ("matches", {"column": "v", "pattern": "[A-Z]{3}"}, ["JFK", "JFKX", "lga", None], 2),
        ("matches", {"column": "v", "pattern": r"\d+"}, [12, 7], 0),
        ("expression", {"sql": "v > 1"}, [1, 2, None], 1),
        ("expression", {"sql": "v > 1 -- a comment"}, [1, 2], 1),
        ("expression", {"sql": "v in (1, 2) or v is null"}, [1, 3, None], 1),
        ("unique", {"columns": ("v",)}, [1, 2, 1, 1, 3, 3], 5),
        ("unique", {"columns": ("v",)}, [1, 2, None, None], 0),
        ("unique", {"columns": ("v",)}, ["a", "A"], 0),
        ("unique", {"columns": ("v",)}, [], 0),
    ],
)
def test_a_rule_counts_the_rows_that_break_it(
    ask: Any, kind: str, arguments: dict[str, Any], values: list[Any], failing: int
) -> None:
    column = pa.array(values) if values else pa.array(values, pa.int64())
    found = ask({"v": column}, kind, **arguments)
    assert (found.passed, found.failing_rows) == (failing == 0, failing)


def test_the_message_says_how_many_of_how_many(ask: Any) -> None:
    found = ask({"v": [None, None, None, *range(28_132)]}, "not_null", columns=("v",))
    assert found.message == "3 of 28,135 rows"


def test_a_few_failing_rows_are_shown_in_their_order_with_the_column_first(ask: Any) -> None:
    table = {"a": list(range(10)), "id": list(range(10, 20)), "v": [-1.5] * 9 + [None]}
    found = ask(table, "between", column="v", low=0, high=1, key=("ID",))
    assert found.sample[0] == ("id", "v", "a")
    assert found.sample[1:] == tuple((str(10 + i), "-1.5", str(i)) for i in range(5))


def test_a_null_is_shown_as_null(ask: Any) -> None:
    found = ask({"v": [None, "x"]}, "not_null", columns=("v",))
    assert found.sample == (("v",), ("null",))


def test_a_row_fails_once_though_two_of_its_columns_do(ask: Any) -> None:
    found = ask({"a": [None, 1], "b": [None, 1]}, "not_null", columns=("a", "b"))
    assert found.failing_rows == 1


def test_unique_over_several_columns_counts_every_row_of_a_group(ask: Any) -> None:
    table = {"a": [1, 1, 1, 2], "b": ["x", "x", "y", "x"]}
    found = ask(table, "unique", columns=("a", "b"))
    assert found.failing_rows == 2
    assert found.sample == (("a", "b"), ("1", "x"), ("1", "x"))


def test_references_are_looked_up_in_the_other_asset(ask: Any) -> None:
    others = {"raw/customers": pa.table({"id": [1, 2, None]})}
    arguments = {"column": "c", "asset": "raw/customers", "others": others}
    found = ask({"c": [1, 3, None, 2, 4]}, "references", to="id", **arguments)
    assert found.failing_rows == 2
    assert found.sample == (("c",), ("3",), ("4",))
    misspelt = ask({"c": [1]}, "references", to="idd", **arguments)
    assert "did you mean `id`" in misspelt.message


def test_odd_names_of_columns_are_only_names(ask: Any) -> None:
    odd = 'a "b" ? $1 {0}'
    assert ask({odd: [1, None]}, "not_null", columns=(odd,)).failing_rows == 1
    assert ask({odd: [1, 9]}, "between", column=odd, low=0, high=2).failing_rows == 1


# ---------------------------------------------------------------------------- table rules


@pytest.mark.parametrize(
    ("minimum", "maximum", "passed"),
    [(3, None, True), (4, None, False), (None, 3, True), (None, 2, False), (3, 3, True)],
)
def test_rows_are_counted(ask: Any, minimum: Any, maximum: Any, passed: bool) -> None:
    found = ask({"v": [1, 2, 3]}, "rows", minimum=minimum, maximum=maximum)
    assert found.passed == passed
    assert passed or "3 rows" in found.message


@pytest.mark.parametrize(
    ("fraction", "previous", "passed"),
    [
        (0.0, None, True), (0.0, 90, True), (0.0, 91, False), (0.1, 100, True),
        (0.1, 101, False), (0.5, 0, True), (0.0, 10, True),
    ],
)  # fmt: skip
def test_a_table_may_lose_only_a_fraction_of_its_rows(
    ask: Any, fraction: float, previous: int | None, passed: bool
) -> None:
    found = ask({"v": list(range(90))}, "not_shrunk", fraction=fraction, previous=previous)
    assert found.passed == passed


def test_a_shrunk_table_is_told_with_both_numbers(ask: Any) -> None:
    found = ask({"v": [1]}, "not_shrunk", fraction=0.1, previous=2000)
    assert found.message == "1 rows, 100% fewer than the 2,000 before"


def test_a_schema_is_exact(ask: Any) -> None:
    table = {"id": [1], "k": ["x"], "d": [dt.date(2026, 1, 1)]}
    exact = (("ID", "bigint"), ("d", "Date"), ("k", "text"))
    assert ask(table, "schema", columns=exact).passed
    found = ask(table, "schema", columns=(("id", "int"), ("kk", "text"), ("d", "date")))
    assert "`id` is BIGINT, not INTEGER" in found.message
    assert "no column `kk`; did you mean `k`?" in found.message
    assert "not in the schema: `k`" in found.message
    assert "not a SQL type" in ask(table, "schema", columns=(("id", "nope("),)).message


# ------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("not_null", {"columns": ("orign",)}),
        ("unique", {"columns": ("orign",)}),
        ("accepted", {"column": "orign", "values": (1,)}),
        ("between", {"column": "orign", "low": 1, "high": None}),
        ("matches", {"column": "orign", "pattern": "x"}),
    ],
)
def test_a_missing_column_fails_with_the_nearest(
    ask: Any, kind: str, arguments: dict[str, Any]
) -> None:
    found = ask({"origin": ["x"]}, kind, **arguments)
    assert not found.passed
    assert found.message == "there is no column `orign`; did you mean `origin`?"


@pytest.mark.parametrize(
    "sql",
    ["nope > 1", "v >", "v > 'x'", "true) from (select 1", "true), (true", "1; drop table t", ""],
)
def test_a_condition_that_is_none_fails_and_says_so(ask: Any, sql: str) -> None:
    found = ask({"v": [1, 2]}, "expression", sql=sql)
    assert not found.passed
    assert found.message


def test_one_rule_that_cannot_run_does_not_hide_the_others(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    checks = [
        check("not_null", columns=("v",)),
        check("matches", column="v", pattern="("),
        check("rows", minimum=1, maximum=None),
        check("between", column="w", low="x", high=None),
        check("accepted", column="v", values=("a",)),
    ]
    table = pa.table({"v": ["a", None, "b"], "w": [1, 2, 3]})
    found = audit(connection, checks, table, {})
    assert [f.passed for f in found] == [False, False, True, False, False]
    assert [f.failing_rows for f in found] == [1, None, None, None, 1]
    assert "missing" in found[1].message


def test_all_rules_that_hold_pass_together(connection: duckdb.DuckDBPyConnection) -> None:
    checks = [
        check("not_null", columns=("v", "w")),
        check("between", column="w", low=0, high=9),
        check("unique", columns=("v",)),
        check("expression", sql="w < 10"),
    ]
    found = audit(connection, checks, pa.table({"v": ["a", "b"], "w": [1, 2]}), {})
    assert found == [Finding(True, 0)] * 4


# ------------------------------------------------------------------------ check functions


@pytest.mark.parametrize("answer", [True, np.True_, np.bool_(True), np.array([1]).all()])
def test_true_passes(answer: Any) -> None:
    assert judge_value(answer, "c").passed


@pytest.mark.parametrize("answer", [False, np.False_])
def test_false_fails(answer: Any) -> None:
    assert judge_value(answer, "c") == Finding(False, message="returned False")


FRAME = pd.DataFrame({"id": [1, 2], "v": [None, "x"]})


@pytest.mark.parametrize(
    "answer",
    [
        FRAME,
        pa.Table.from_pandas(FRAME, preserve_index=False),
        pl.DataFrame({"id": [1, 2], "v": [None, "x"]}),
        duckdb.connect().sql("select * from (values (1, null), (2, 'x')) t(id, v)"),
    ],
)
def test_a_table_holds_the_failing_rows(answer: Any) -> None:
    found = judge_value(answer, "c")
    assert (found.passed, found.failing_rows, found.message) == (False, 2, "2 failing rows")
    assert found.sample == (("id", "v"), ("1", "null"), ("2", "x"))


@pytest.mark.parametrize("answer", [FRAME.iloc[:0], pa.table({"a": pa.array([], pa.int64())})])
def test_no_failing_rows_pass(answer: Any) -> None:
    assert judge_value(answer, "c") == Finding(True, 0)


@pytest.mark.parametrize("answer", [None, 0, 1, "yes", [], {}, FRAME["id"] > 0])
def test_an_answer_that_decides_nothing_fails_with_advice(answer: Any) -> None:
    found = judge_value(answer, "no_drift")
    assert not found.passed
    assert "`no_drift` returned" in found.message
    assert "return a bool or a table of the failing rows" in found.message


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (AssertionError("too few"), "too few"),
        (AssertionError(), "AssertionError"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
    ],
)
def test_what_a_check_raised_is_its_message(raised: Exception, message: str) -> None:
    assert judge_value(raised, "c") == Finding(False, message=message)
