"""Rows compared by DuckDB are the rows that a naive comparison in Python finds to differ."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineal.assets.asset import Contract
from lineal.assets.content import content_digest
from lineal.assets.errors import UsageError
from lineal.assets.records import Content
from lineal.storage.compare import RowsDifference, Table, compare
from lineal.storage.content import canonical_table, column_digests
from lineal.storage.formats.parquet import write_parquet

FEW = settings(
    deadline=None, max_examples=30, suppress_health_check=list(HealthCheck), database=None
)
NAN = float("nan")
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("at", pa.string()),
        ("x", pa.float64()),
        ("l", pa.list_(pa.float64())),
        ("s", pa.struct([("a", pa.int64())])),
    ]
)
ROW = st.tuples(
    st.sampled_from([None, 0, 1, 2, 2**62]),
    st.sampled_from([None, "a", "b", "ä'\""]),
    st.sampled_from([None, NAN, 0.0, -0.0, 1.5]),
    st.sampled_from([None, [], [NAN], [1.0, None]]),
    st.sampled_from([None, {"a": None}, {"a": 1}]),
)
ROWS = st.lists(ROW, max_size=6)


def stored(table: pa.Table, folder: Path, name: str) -> Table:
    """A table as the store has it."""
    known = canonical_table(table, Contract(), rows=False, name=name)
    path = folder / f"{name}.parquet"
    write_parquet(known, path)
    columns = column_digests(known)
    digest = content_digest(known.num_rows, columns)
    content = Content(digest, "parquet", rows=known.num_rows, columns=columns)
    return Table(content, [path])


def compared(
    before: pa.Table, after: pa.Table, key: list[str], most: int = 100, memory: int = 1 << 28
) -> RowsDifference:
    with tempfile.TemporaryDirectory() as folder:
        sides = stored(before, Path(folder), "b"), stored(after, Path(folder), "a")
        return compare(*sides, key, most, memory)


def rows_of(table: list[Any]) -> pa.Table:
    columns = zip(*table, strict=True) if table else [[] for _ in SCHEMA]
    return pa.table([list(c) for c in columns], schema=SCHEMA)


def plain(value: Any) -> str:
    """A text that is equal for equal values: NaN for NaN, 0.0 for -0.0."""
    return repr(value).replace("-0.0", "0.0")


def by_key(table: list[Any]) -> dict[str, list[str]]:
    return {plain(row[:2]): [plain(v) for v in row[2:]] for row in table}


@FEW
@given(ROWS, ROWS)
def test_by_a_key_rows_are_added_removed_and_changed_as_a_naive_comparison_says(
    before: list[Any], after: list[Any]
) -> None:
    unique = [list({plain(row[:2]): row for row in side}.values()) for side in (before, after)]
    found = compared(rows_of(unique[0]), rows_of(unique[1]), ["id", "at"])
    old, new = by_key(unique[0]), by_key(unique[1])
    both = [key for key in new if key in old]
    changed = [key for key in both if old[key] != new[key]]
    assert found.added == len(new.keys() - old.keys()) == len(found.added_rows)
    assert found.removed == len(old.keys() - new.keys()) == len(found.removed_rows)
    assert found.changed == len(changed) == len(found.changed_rows)
    counts = {c.name: c.rows for c in found.columns}
    for i, name in enumerate(("x", "l", "s")):
        assert counts.get(name, 0) == sum(old[key][i] != new[key][i] for key in both)
    assert {plain(row.key) for row in found.changed_rows} == set(changed)
    for row in found.changed_rows:
        told = {name: (plain(was), plain(now)) for name, was, now in row.values}
        pairs = zip(("x", "l", "s"), old[plain(row.key)], new[plain(row.key)], strict=True)
        assert told == {name: (was, now) for name, was, now in pairs if was != now}
    if not (found.added or found.removed):
        assert found.in_order is (list(old) == list(new))


def test_a_column_of_the_same_values_differs_where_its_rows_belong_to_other_keys() -> None:
    before = [(1, "a", None, [], None), (2, "b", None, None, None)]
    after = [(2, "b", None, [], None), (1, "a", None, None, None)]
    found = compared(rows_of(before), rows_of(after), ["id", "at"])
    assert found.changed == 2
    assert [(c.name, c.rows) for c in found.columns if c.rows] == [("l", 2)]


@FEW
@given(ROWS, ROWS)
def test_without_a_key_rows_are_counted_as_they_are(before: list[Any], after: list[Any]) -> None:
    found = compared(rows_of(before), rows_of(after), [])
    old = Counter(plain(row) for row in before)
    new = Counter(plain(row) for row in after)
    assert found.added == (new - old).total()
    assert found.removed == (old - new).total()
    assert {plain(row) for row in found.added_rows} == set(new - old)
    assert {plain(row) for row in found.removed_rows} == set(old - new)
    if not (found.added or found.removed):
        assert found.in_order is ([plain(row) for row in before] == [plain(row) for row in after])


def test_numbers_of_another_type_are_compared_by_value_and_exactly() -> None:
    before = pa.table({"id": [1, 2, 3, 4], "n": [1, 2**53 + 1, None, 7]})
    after = pa.table({"id": pa.array([1, 2, 3, 4], pa.int8()), "n": [1.0, float(2**53), None, 7.5]})
    for found in (compared(before, after, ["id"]),):
        assert (found.added, found.removed, found.changed) == (0, 0, 2)
        assert [row.key for row in found.changed_rows] == [(2,), (4,)]
    back = compared(after, before, ["id"])
    assert back.changed == 2


def test_other_types_are_not_compared_and_said_so() -> None:
    before = pa.table({"id": [1, 2], "t": ["1", "2"], "x": [1.0, 2.0]})
    after = pa.table({"id": [1, 2], "t": [1, 2], "x": [1.0, 3.0]})
    found = compared(before, after, ["id"])
    assert found.not_compared == ("t",)
    assert found.changed == 1
    with pytest.raises(UsageError, match="the key `t` is string in one table and int64"):
        compared(before, after, ["t"])


def test_a_key_that_is_no_key_is_refused_with_a_row_that_proves_it() -> None:
    one = pa.table({"id": [1, 2], "x": [1.0, 2.0]})
    two = pa.table({"id": [1, 1], "x": [1.0, 2.0]})
    with pytest.raises(UsageError, match="the second table has 2 rows with id = 1"):
        compared(one, two, ["id"])
    with pytest.raises(UsageError, match="the first table has 2 rows with id = 1"):
        compared(two, one, ["id"])
    with pytest.raises(UsageError, match=r"no column `idd`.*did you mean `id`"):
        compared(one, two, ["idd"])


def test_statistics_leave_out_nulls_and_nan() -> None:
    before = pa.table({"id": [1, 2, 3], "x": [1.0, 2.0, 3.0], "s": ["a", "b", None]})
    after = pa.table({"id": [1, 2, 3], "x": [NAN, None, 9.0], "s": ["c", "c", None]})
    found = compared(before, after, ["id"])
    stats = {c.name: (c.before, c.after) for c in found.columns}
    old, new = stats["x"]
    assert (old.least, old.greatest, old.mean, old.nulls, old.nans, old.distinct) == (
        1.0, 3.0, 2.0, 0, 0, 3,
    )  # fmt: skip
    assert (new.least, new.greatest, new.mean, new.nulls, new.nans) == (9.0, 9.0, 9.0, 1, 1)
    assert (stats["s"][1].distinct, stats["s"][1].nulls) == (1, 1)


def test_times_with_a_zone_and_names_that_need_quotes_can_be_shown() -> None:
    hours = pa.array([0, 3_600_000_000], pa.timestamp("us", "Europe/Berlin"))
    before = pa.table({'a "key"': hours, "here": [1, 2], "count(*)": [1, 2]})
    after = before.set_column(2, "count(*)", pa.array([1, 5]))
    found = compared(before, after, ['a "key"'])
    assert [(n, was, now) for row in found.changed_rows for n, was, now in row.values] == [
        ("count(*)", 2, 5)
    ]


def test_more_rows_than_fit_into_memory_are_compared() -> None:
    n = 500_000
    numbers = pa.array(range(n))
    texts = pa.array([f"text number {i * 7919 % n:012}" for i in range(n)])
    before = pa.table({"id": numbers, "t": texts})
    after = pa.table({"id": pa.array(range(1, n + 1)), "t": texts})
    found = compared(before, after, ["id"], 2, memory=64 << 20)
    assert (found.added, found.removed, found.changed) == (1, 1, n - 1)
    bags = compared(before, after, [], 2, memory=64 << 20)
    assert (bags.added, bags.removed) == (n, n)
