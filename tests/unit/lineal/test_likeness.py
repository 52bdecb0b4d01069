"""How alike two versions are is told by what differs: bytes, rows, values, predictions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lineal.assets.asset import Contract
from lineal.assets.records import Content
from lineal.likeness import Likening, Trial
from lineal.reproduced import Alike
from lineal.storage.objects import Objects
from lineal.storage.vault import Vault


class Line:
    """Predicts a multiple; as a classifier, whether it is positive."""

    def __init__(self, slope: float, nonce: int = 0) -> None:
        self.slope, self.nonce = slope, nonce
        self.feature_names_in_ = np.array(["x"])

    def predict(self, table: pd.DataFrame) -> Any:
        assert list(table.columns) == ["x"]
        return table["x"] * self.slope


class Signs(Line):
    def decision_function(self, table: pd.DataFrame) -> Any:
        return table["x"] * self.slope

    def predict(self, table: pd.DataFrame) -> Any:
        return np.where(self.decision_function(table) > 0, "up", "down")


class Store:
    """Keeps values, and tells how alike two are."""

    def __init__(self, root: Path) -> None:
        self.vault = Vault(Objects(root))
        self.trials: list[Trial] = []

    def put(self, value: Any, form: str | None = None) -> Content:
        contract = Contract(format=form)
        held = self.vault.canonical(value, contract, rows=False, name="it")
        content = self.vault.write(held)
        self.vault.sync()
        return content

    def alike(
        self, old: Any, new: Any, form: str | None = None, key: tuple[str, ...] = ()
    ) -> Alike:
        likening = Likening(self.vault, key, self.trials)
        return likening.alike(self.put(old, form), self.put(new, form))

    def try_on(self, table: pd.DataFrame) -> None:
        self.trials.append(Trial("test@51ab09", self.put(table)))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    yield Store(tmp_path / "store")


TABLE = pd.DataFrame({"id": [1, 2, 3], "a": [1.0, 2.0, 3.0], "b": ["x", "y", "z"]})
MANY = pd.DataFrame({"junk": range(1000), "x": np.linspace(-1, 1, 1000)})


def test_the_same_bytes_are_the_same(store: Store) -> None:
    assert store.alike(TABLE, TABLE.copy()) == ("bytes", "")
    assert store.alike({"a": 1}, {"a": 1}) == ("bytes", "")
    table, other = store.put(TABLE), store.put(MANY)
    rewritten = Content(table.digest, "parquet", other.objects, 3, table.columns)
    assert Likening(store.vault, (), ()).alike(table, rewritten) == ("content", "")


def test_tables_tell_columns_rows_and_how_far_their_numbers_are_apart(store: Store) -> None:
    near = TABLE.assign(a=[1.0, 2.0, 3.5])
    told = "a differs: 1 of 3 rows are others, at most 0.5 apart"
    assert store.alike(TABLE, near) == ("other", told)
    told = "a differs: of 3 rows 1 changed, at most 0.5 apart"
    assert store.alike(TABLE, near, key=("id",)) == ("other", told)
    assert store.alike(TABLE, near, key=("nothing",)).likeness == "other"
    told = "id, a, b differ: its rows stand in another order"
    assert store.alike(TABLE, TABLE[::-1]) == ("other", told)
    told = "id, a, b and 1 more differ: of 3 rows 1 removed"
    assert store.alike(TABLE, TABLE.assign(c=1)[:2], key=("id",)) == ("other", told)
    assert store.alike(TABLE, {"a": 1}) == ("other", "it is dict, 1 key now, and was a table")


def test_values_and_arrays_tell_where_they_differ(store: Store) -> None:
    told = "another value: a[1] 2 → 5"
    assert store.alike({"a": [1, 2]}, {"a": [1, 5]}) == ("other", told)
    told = "other numbers, at most 2 apart"
    assert store.alike(np.array([1, 2]), np.array([1, 4])) == ("other", told)
    assert store.alike(np.array([1, 2]), np.array([1])) == ("other", "other numbers")
    named = ({"a": np.array([1])}, {"a": np.array([2])})
    assert store.alike(*named) == ("other", "other numbers")


def test_models_in_other_bytes_are_compared_by_what_they_predict(store: Store) -> None:
    store.try_on(pd.DataFrame({"nothing": [1]}))  # it does not fit: the next one is tried
    store.try_on(MANY)
    on = "test@51ab09 (1,000 rows)"
    assert store.alike(Line(2), Line(2, nonce=1), "pickle") == ("predictions", on)
    near = store.alike(Line(2), Line(2 + 1e-15, nonce=1), "pickle")
    assert near.likeness == "predictions"
    assert near.said.startswith(f"{on}, at most ")
    assert near.said.endswith("e-16 apart")
    far = store.alike(Line(2), Line(3), "pickle")
    assert far == ("other", f"1,000 other predictions on {on}, at most 1 apart")
    assert store.alike(Signs(1), Signs(1, nonce=1), "pickle") == ("predictions", on)
    turned = store.alike(Signs(1e-12), Signs(-1e-12), "pickle")  # near zero, but the other side
    assert turned == ("other", f"1,000 other predictions on {on}")


def test_what_can_not_be_compared_is_said_to_be(store: Store) -> None:
    told = store.alike(Line(2), Line(2, nonce=1), "pickle")
    assert told.likeness == "other"
    assert told.said.endswith("; nothing that it was tried or trained on is kept")
    store.try_on(pd.DataFrame({"nothing": [1]}))
    assert "it can't be tried on test@51ab09: AssertionError" in (
        store.alike(Line(2), Line(3), "pickle").said
    )
    told = store.alike({1, 2}, {1, 3}, "pickle")
    assert told.said.endswith("; what they hold can't be compared")
    assert store.alike(Line(2), Signs(2), "pickle").said.endswith("can't be compared")
