"""Partitions as one table, and one table as partitions: in memory and from files alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from lineal.assets.asset import Contract, Query, Where
from lineal.assets.errors import ContentError
from lineal.assets.records import Content
from lineal.storage.arrivals import hand_over
from lineal.storage.content import canonical_table
from lineal.storage.engine import Engine
from lineal.storage.objects import Objects
from lineal.storage.slices import split, together
from lineal.storage.vault import Vault

QUERY = Query("select n, t from parts where n % 2 = 1", Where("q.sql", 1))


def stored(vault: Vault, *tables: pa.Table) -> dict[str, Content]:
    held = [vault.canonical(table, Contract(), rows=False, name="parts") for table in tables]
    written = [vault.write(each) for each in held]
    vault.sync()
    return {str(key): each for key, each in enumerate(written)}


def numbers(first: int, last: int) -> pa.Table:
    n = list(range(first, last))
    return pa.table({"n": n, "t": [f"row {each}" for each in n]})


@pytest.mark.parametrize("large", [1, 1 << 30])
def test_a_query_reads_all_partitions_in_order_from_memory_or_files(
    tmp_path: Path, large: int
) -> None:
    vault = Vault(Objects(tmp_path))
    parts = stored(vault, numbers(90, 100), numbers(0, 10), numbers(50, 55))
    engine = Engine(vault, tmp_path, temporary=tmp_path / "tmp", large=large)
    found = engine.query(QUERY, {"parts": parts}, {}, Contract())
    table = found if isinstance(found, pa.Table) else pa.concat_tables(found)
    assert table.column("n").to_pylist() == [91, 93, 95, 97, 99, 1, 3, 5, 7, 9, 51, 53]


def test_batches_of_partitions_come_one_after_the_other(tmp_path: Path) -> None:
    vault = Vault(Objects(tmp_path))
    parts = stored(vault, numbers(0, 3), numbers(3, 5))
    batches = list(vault.load(parts, "batches", ["t"]))
    assert [b.column("t").to_pylist() for b in batches] == [
        ["row 0", "row 1", "row 2"],
        ["row 3", "row 4"],
    ]


def test_a_column_without_values_takes_the_type_of_the_others() -> None:
    some, none = pa.table({"n": [1, 2]}), pa.table({"n": pa.array([None], pa.null())})
    assert together([none, some], ["a", "b"]).schema.field("n").type == pa.int64()


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"n": pa.array(["x"], pa.large_string())}, "`n` is int64 there, string here"),
        ({"m": [1]}, "is in one only"),
    ],
)
def test_partitions_that_make_no_table_are_named(other: dict[str, Any], says: str) -> None:
    with pytest.raises(ContentError, match=says) as caught:
        together([pa.table({"n": [1]}), pa.table(other)], ["2013-01", "2013-02"])
    assert "`2013-02`" in caught.value.message


def test_a_table_is_split_by_the_values_of_a_column_in_their_order() -> None:
    table = pa.table({"key": [10, 9, 10, 2], "n": [1, 2, 3, 4]})
    parts = split(table, "key", "t")
    assert [(key, part.column("n").to_pylist()) for key, part in parts] == [
        ("2", [4]),
        ("9", [2]),
        ("10", [1, 3]),
    ]


def categories(values: list[Any], listed: list[Any], *, ordered: bool = False) -> pa.Table:
    column = pd.Categorical(values, categories=listed, ordered=ordered)
    frame = pd.DataFrame({"kind": column})
    return canonical_table(frame, Contract(), rows=False, name="x")


def read(*tables: pa.Table) -> pd.Series:
    found = hand_over(together(tables, [str(i) for i in range(len(tables))]), "pandas")
    return found["kind"]


def test_categories_of_partitions_are_those_of_all_as_they_come() -> None:
    column = read(
        categories(["b", "c"], ["b", "c"]),
        categories([], ["z"]),
        categories(["a", None, "b"], ["a", "b"]),
    )
    assert list(column.cat.categories) == ["b", "c", "z", "a"]
    assert column.fillna("a").tolist() == ["b", "c", "a", "a", "b"]
    assert column.isna().sum() == 1


def test_a_partition_without_any_value_has_the_categories_of_the_others() -> None:
    empty = canonical_table(pd.DataFrame({"kind": [None]}), Contract(), rows=False, name="x")
    assert read(empty, categories(["b"], ["b"])).tolist()[1:] == ["b"]


def test_ordered_categories_must_be_equal() -> None:
    low = categories(["b", "a"], ["b", "a"], ordered=True)
    assert read(low, low).max() == "a"
    with pytest.raises(ContentError, match="ordered categories of `kind` differ"):
        read(low, categories(["a"], ["a"], ordered=True))
