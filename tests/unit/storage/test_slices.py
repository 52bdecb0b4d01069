"""Tables of several partitions as one: categories."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from lineal.assets.asset import Contract
from lineal.assets.errors import ContentError
from lineal.storage.arrivals import hand_over
from lineal.storage.content import canonical_table
from lineal.storage.slices import together


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
