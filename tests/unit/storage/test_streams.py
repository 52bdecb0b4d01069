"""Tables that come in batches have the content, the file and the errors of whole tables."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lineal.assets.asset import Contract
from lineal.assets.errors import ContentError
from lineal.storage.objects import Objects
from lineal.storage.vault import HeldFiles, HeldTable, Vault

NONE = Contract()


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(Objects(tmp_path / ".lineal"), memory=1 << 16)


def held(vault: Vault, value: Any, contract: Contract = NONE) -> HeldTable | HeldFiles:
    found = vault.canonical(value, contract, rows=False, name="thing")
    assert isinstance(found, HeldTable | HeldFiles)
    return found


def cut(table: pa.Table, seed: int) -> Iterator[pa.Table]:
    """A table in batches of random lengths, some of them empty."""
    dice, at = random.Random(seed), 0
    while at < table.num_rows:
        rows = dice.choice([0, 1, 7, 1000, 70_000])
        yield table.slice(at, rows)
        at += rows


def mixed(rows: int) -> pa.Table:
    """Columns of many types, with gaps."""
    numbers = np.random.default_rng(rows).integers(0, max(rows // 3, 1), rows)
    gaps = numbers % 5 == 0
    floats = np.where(numbers % 7 == 0, -0.0, numbers / 3)
    return pa.table({
        "n": pa.array(numbers, mask=gaps),
        "x": pa.array(np.where(numbers % 11 == 0, np.nan, floats)),
        "t": pa.array(numbers.astype("datetime64[ms]"), mask=gaps),
        "s": pa.array(numbers.astype(str), mask=gaps),
        "d": pa.array((numbers % 9).astype(str)).dictionary_encode(),
        "l": pa.array([[int(n), None] if n % 4 else None for n in numbers]),
        "o": pa.nulls(rows),
        "place": pa.array(range(rows)),
    })  # fmt: skip


def stored_file(vault: Vault, held: HeldTable | HeldFiles) -> str:
    (stored,) = vault.write(held).objects
    return stored.digest


@pytest.mark.parametrize("rows", [0, 1, 10, 65_536, 150_000])
def test_any_cut_gives_the_content_and_the_file_of_the_whole(vault: Vault, rows: int) -> None:
    table = mixed(rows)
    whole = held(vault, table)
    readers = [table.to_reader(max_chunksize=1000), iter([table]), cut(table, 1), cut(table, 2)]
    for batches in readers[: 2 if rows == 0 else 4]:
        streamed = held(vault, batches)
        assert isinstance(streamed, HeldFiles)
        assert streamed.nbytes == 0
        assert streamed.content == whole.content
        assert stored_file(vault, streamed) == stored_file(vault, whole)


def test_what_was_streamed_arrives_as_what_was_whole(vault: Vault) -> None:
    table = mixed(70_000).drop_columns(["x"])  # NaN is not equal to itself
    whole, streamed = held(vault, table), held(vault, cut(table, 3))
    for source in (streamed, vault.write(streamed)):
        assert vault.load(source, "arrow").equals(vault.load(whole, "arrow"))
        batches, expected = (list(vault.load(s, "batches")) for s in (source, whole))
        assert [len(batch) for batch in batches] == [len(batch) for batch in expected]
        assert all(one.equals(other) for one, other in zip(batches, expected, strict=True))


def test_only_the_chosen_columns_arrive_in_batches(vault: Vault) -> None:
    streamed = held(vault, cut(mixed(10), 1))
    reader = vault.load(streamed, "batches", ["s", "n"])
    assert reader.schema.names == ["s", "n"]
    assert reader.read_all().num_rows == 10
    with pytest.raises(ContentError, match="did you mean `place`"):
        vault.load(streamed, "batches", ["plac"])


def test_frames_and_tables_are_batches(vault: Vault) -> None:
    frame = pd.DataFrame({"c": pd.Categorical(["a", "b"], ["b", "a", "z"]), "v": [1, 2]})
    whole = held(vault, pd.concat([frame, frame], ignore_index=True))
    assert held(vault, iter([frame, frame])).content == whole.content


# ------------------------------------------------------------------------------------- columns


TYPED = {
    "int64": pa.array([5, 6]),
    "uuid": pa.array([b"a" * 16, None], pa.uuid()),
    "text": pa.array(["x", "y"]),
    "list": pa.array([[1], None]),
    "fixed": pa.array([[1, 2], None], pa.list_(pa.int8(), 2)),
    "struct": pa.array([{"a": 1.5}, None]),
    "time": pa.array([dt.time(1, 2), None]),
}


@pytest.mark.parametrize("kind", TYPED)
@pytest.mark.parametrize("before", [1, 70_000])
def test_a_column_of_nulls_takes_the_type_of_its_first_value(
    vault: Vault, kind: str, before: int
) -> None:
    values = TYPED[kind]
    nothing = pa.table({"id": range(before), "a": pa.nulls(before)})
    something = pa.table({"id": range(2), "a": values})
    batches = [nothing, something, nothing]
    typed = pa.chunked_array([pa.nulls(before, values.type), values, pa.nulls(before, values.type)])
    whole = held(vault, pa.table({"id": pa.concat_tables(batches, promote_options="default")["id"],
                                  "a": typed}))  # fmt: skip
    streamed = held(vault, iter(batches))
    assert streamed.content == whole.content
    assert stored_file(vault, streamed) == stored_file(vault, whole)


def test_a_categorical_may_begin_with_nothing(vault: Vault) -> None:
    nothing = pd.DataFrame({"c": pd.Series([None, None], dtype=object)})
    something = pd.DataFrame({"c": pd.Categorical(["x"], ["y", "x"], ordered=True)})
    found = vault.load(held(vault, iter([nothing, something])), "pandas")["c"]
    assert list(found.cat.categories) == ["y", "x"]
    assert found.isna().tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ({"a": [1.5]}, "column `a` is float64 in batch 2, but int64 in those before"),
        ({"a": ["x"]}, "column `a` is string in batch 2, but int64"),
        ({"b": [1]}, "batch 2 has the columns `b`, but those before have `a`"),
        ({"a": [1], "b": [1]}, "batch 2 has the columns `a`, `b`"),
    ],
)
def test_a_batch_that_does_not_fit_is_named(vault: Vault, second: Any, told: str) -> None:
    with pytest.raises(ContentError, match=told):
        held(vault, iter([pd.DataFrame({"a": [1]}), pd.DataFrame(second)]))
    assert not list((vault.objects.root / "tmp").iterdir())


def test_categories_that_grow_are_refused_and_dictionaries_that_grow_are_not(vault: Vault) -> None:
    first = pd.DataFrame({"c": pd.Categorical(["a"])})
    second = pd.DataFrame({"c": pd.Categorical(["b"])})
    with pytest.raises(ContentError, match="column `c` has other categories in batch 2"):
        held(vault, iter([first, second]))
    tables = [pa.table({"c": pa.array([text]).dictionary_encode()}) for text in "ab"]
    assert held(vault, iter(tables)).content == held(vault, pa.table({"c": ["a", "b"]})).content


@pytest.mark.parametrize(
    ("batches", "told"),
    [
        ([], "an empty sequence of batches"),
        ([{"a": 1}], "batch 1 is a dict, not a table"),
        ([pa.table({"a": [1]}), 5], "batch 2: a int is not a table"),
        ([pa.table([pa.array([1])] * 2, ["a", "A"])], "batch 1: several columns have one name"),
    ],
)
def test_what_is_no_stream_of_tables_is_told(vault: Vault, batches: Any, told: str) -> None:
    with pytest.raises(ContentError, match=told):
        held(vault, iter(batches))


def test_what_the_iterator_raises_is_not_ours_and_leaves_nothing(vault: Vault) -> None:
    def batches() -> Iterator[pa.Table]:
        yield mixed(100_000)
        raise OSError("the users' own")

    with pytest.raises(OSError, match="the users' own"):
        held(vault, batches(), Contract(order_by=("place",)))
    assert not list((vault.objects.root / "tmp").iterdir())


# -------------------------------------------------------------------------------- the contract


def order_free(rows: int) -> pa.Table:
    """A table whose plain columns tell rows apart, with every type that sorts specially."""
    table = mixed(rows).drop_columns(["o"])
    half = pa.array(np.arange(rows) % 9, pa.float16())
    return table.append_column("half", half).take(np.random.default_rng(5).permutation(rows))


@pytest.mark.parametrize(
    "order", [("n",), ("x desc", "s"), ("t desc",), ("d", "half desc"), ("place",), ("place desc",)]
)
def test_a_stream_is_sorted_as_a_table_is(vault: Vault, order: tuple[str, ...]) -> None:
    table, contract = order_free(40_000), Contract(order_by=order)
    whole, streamed = held(vault, table, contract), held(vault, cut(table, 4), contract)
    assert streamed.content == whole.content
    assert stored_file(vault, streamed) == stored_file(vault, whole)


def test_categories_sort_as_they_are_listed(vault: Vault) -> None:
    numbers = np.random.default_rng(1).integers(0, 3, 30_000)
    kind = pd.CategoricalDtype(["z", "a", "m"])
    frame = pd.DataFrame({"c": pd.Categorical.from_codes(numbers, dtype=kind), "i": range(30_000)})
    contract = Contract(order_by=("c desc",), primary_key=("i",))
    batches = (frame[at : at + 999] for at in range(0, len(frame), 999))
    assert held(vault, batches, contract).content == held(vault, frame, contract).content


def test_rows_in_order_already_are_sorted_alike(vault: Vault) -> None:
    table, contract = mixed(60_000), Contract(order_by=("place",), primary_key=("place",))
    assert held(vault, cut(table, 5), contract).content == held(vault, table, contract).content


def test_nested_columns_that_would_decide_an_order_are_refused(vault: Vault) -> None:
    table = pa.table({"a": [1] * 10, "l": [[i] for i in range(10)]})
    for order in ("a", "l"):
        with pytest.raises(ContentError, match="can't be sorted by nested columns"):
            held(vault, iter([table]), Contract(order_by=(order,)))


@pytest.mark.parametrize(
    ("columns", "key"),
    [
        ({"k": [3, 1, 2, 3, 1] * 4000}, ("k",)),
        ({"k": [*range(20_000), 7, 7, 19_999]}, ("k",)),
        ({"count": [*range(20_000), 7], "b": ["x"] * 20_001}, ("b", "count")),
        ({"k": [*range(20_000), None]}, ("k",)),
        ({"k": [[1], [2]]}, ("k",)),
        ({"k": [1]}, ("kk",)),
        ({"k": pd.Categorical(["b", "a", "b", "a"], ["b", "a"])}, ("k",)),
    ],
)
def test_a_broken_key_is_told_as_for_a_table(vault: Vault, columns: Any, key: Any) -> None:
    frame = pd.DataFrame(columns) if "Categorical" in str(columns) else pa.table(columns)
    told = []
    for value in (frame, iter([frame[:3], frame[3:]])):
        with pytest.raises(ContentError) as error:
            held(vault, value, Contract(primary_key=key))
        told.append(error.value.message)
    assert told[0] == told[1]


def test_a_key_that_holds_is_kept(vault: Vault) -> None:
    contract = Contract(primary_key=("place",), schema=(("n", "int64"),))
    table = mixed(100_000)
    with pytest.raises(ContentError, match="differs from its declared schema"):
        held(vault, cut(table, 1), contract)
    kept = Contract(primary_key=("place",))
    shuffled = table.take(np.random.default_rng(2).permutation(100_000))
    assert held(vault, cut(shuffled, 1), kept).content == held(vault, shuffled, kept).content
