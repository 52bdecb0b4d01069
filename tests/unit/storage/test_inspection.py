from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from matplotlib.figure import Figure
from sklearn.linear_model import LinearRegression

from lineal.assets.asset import Contract, CustomFormat
from lineal.assets.digest import digest_of
from lineal.assets.records import Content
from lineal.storage.inspection import (
    fault_of_bytes,
    is_laid_out,
    list_objects,
    place_of,
    prove,
    read_bytes,
    walk,
)
from lineal.storage.objects import Objects
from lineal.storage.vault import Vault


class Note:
    """A value with a format of its own."""


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(Objects(tmp_path / ".lineal"))


def stored(vault: Vault, value: Any, form: str | None = None) -> Content:
    held = vault.canonical(value, Contract(format=form), rows=False, name="thing")
    content = vault.write(held)
    vault.sync()
    return content


def place(vault: Vault, content: Content) -> Path:
    (one,) = content.objects
    return place_of(vault.objects.root, one.digest, one.suffix)


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def flip(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    overwrite(path, bytes(data))


def faults(vault: Vault) -> list[str]:
    root = vault.objects.root
    return [seen.fault for seen in read_bytes(root, list_objects(root).objects) if seen.fault]


# ------------------------------------------------------------------------------------ listing


def test_a_store_without_objects_has_an_empty_list(tmp_path: Path) -> None:
    assert list_objects(tmp_path) == ({}, [])


def test_objects_are_listed_with_their_sizes(vault: Vault) -> None:
    one = vault.objects.put_bytes(b"hello", "txt")
    other = vault.objects.put_bytes(b"", "")
    vault.sync()
    found = list_objects(vault.objects.root)
    assert found.objects == {(one.digest, "txt"): 5, (other.digest, ""): 0}
    assert found.strangers == []


@pytest.mark.parametrize("name", ["ab/notes.txt", f"00/{'ab' * 32}.txt", f"{'ab' * 32}.txt", "x"])
def test_a_file_that_has_no_objects_name_is_a_stranger(tmp_path: Path, name: str) -> None:
    path = tmp_path / "objects" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"?")
    assert list_objects(tmp_path) == ({}, [path])


def test_a_walk_tells_links_and_does_not_follow_them(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "b").write_bytes(b"12")
    (tmp_path / "c").symlink_to(tmp_path / "b")
    (tmp_path / "d").symlink_to(tmp_path / "gone")
    found = [(path.name, size) for path, size in walk(tmp_path)]
    assert found[:2] == [("b", 2), ("c", 2)]
    assert [name for name, _ in found[2:]] == ["loop"]


# -------------------------------------------------------------------------------------- bytes


def test_whole_objects_have_no_fault(vault: Vault) -> None:
    for number in range(600):  # more than are in flight at a time
        vault.objects.put_bytes(b"%d" % number, "txt")
    vault.sync()
    root = vault.objects.root
    seen = list(read_bytes(root, list_objects(root).objects))
    assert len(seen) == 600
    assert {one.fault for one in seen} == {""}
    assert sum(one.bytes for one in seen) == 10 * 1 + 90 * 2 + 500 * 3


@pytest.mark.parametrize("bit", range(8))
def test_one_flipped_bit_is_a_fault(vault: Vault, bit: int) -> None:
    path = place(vault, stored(vault, b"some bytes"))
    data = bytearray(path.read_bytes())
    data[bit] ^= 1 << bit
    overwrite(path, bytes(data))
    assert faults(vault) == ["is damaged: its bytes don't have the digest that is its name"]


def test_a_file_that_was_cut_short_emptied_or_removed_is_a_fault(vault: Vault) -> None:
    content = stored(vault, b"some bytes")
    (one,) = content.objects
    path, root = place(vault, content), vault.objects.root
    overwrite(path, b"some")
    assert "damaged" in fault_of_bytes(root, one.digest, one.suffix)
    overwrite(path, b"")
    assert fault_of_bytes(root, one.digest, one.suffix) == "is empty"
    path.unlink()
    assert fault_of_bytes(root, one.digest, one.suffix) == "is missing"


def test_a_file_that_can_not_be_read_is_a_fault(vault: Vault) -> None:
    content = stored(vault, b"some bytes")
    path = place(vault, content)
    path.unlink()
    path.mkdir()
    (one,) = content.objects
    assert "can't be read: " in fault_of_bytes(vault.objects.root, one.digest, one.suffix)


# ------------------------------------------------------------------------------------ content

VALUES: dict[str, Any] = {
    "table": pd.DataFrame({"a": [1, 2, None], "b.c": ["x", None, "z"], "d": [[1], [], None]}),
    "categories": pd.DataFrame({"a": pd.Categorical(["x", "y"], ["z", "y", "x"], ordered=True)}),
    "struct": pa.table({"a": [{"b": 1}], "a.b": [2]}),
    "no rows": pd.DataFrame({"a": pd.Series([], dtype="float64")}),
    "no columns": pd.DataFrame(index=range(3)),
    "json": {"a": [1, float("nan"), None]},
    "text": "hello",
    "array": np.arange(12.0).reshape(3, 4),
    "scalar array": np.array(5),
    "arrays": {"x": np.zeros(3), "y": np.array(["a", "b"])},
    "bytes": b"\x00\x01",
    "empty": b"",
    "model": LinearRegression().fit([[0.0], [1.0]], [1.0, 2.0]),
}


@pytest.mark.parametrize("name", VALUES)
def test_the_content_of_every_format_is_proved(vault: Vault, name: str) -> None:
    content = stored(vault, VALUES[name])
    assert prove(content, vault.objects) == (True, "")


@pytest.mark.parametrize("name", VALUES)
def test_another_content_digest_than_the_recorded_one_is_seen(vault: Vault, name: str) -> None:
    lie = replace(stored(vault, VALUES[name]), digest=digest_of("another"))
    assert not prove(lie, vault.objects).proved


def test_a_figure_a_pickle_a_file_and_a_folder_are_proved(vault: Vault, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    (folder / "in").mkdir(parents=True)
    (folder / "a.csv").write_text("a")
    (folder / "in" / "b").write_text("b")
    for value, form in (
        (Figure(), None),
        ({1, 2}, "pickle"),
        (folder, None),
        (folder / "a.csv", None),
    ):
        content = stored(vault, value, form)
        assert prove(content, vault.objects) == (True, ""), content
        if form is None:
            assert prove(replace(content, digest="0" * 64), vault.objects).fault


def test_a_column_that_is_not_what_was_recorded_is_named(vault: Vault) -> None:
    content = stored(vault, pd.DataFrame({"a": [1], "b": [2]}))
    a, b = content.columns
    lie = replace(content, columns=(a, b._replace(digest=a.digest)))
    assert prove(lie, vault.objects).fault.startswith("column `b` gives int64 ")
    lie = replace(content, columns=(a, b._replace(type="double")))
    assert "recorded is double" in prove(lie, vault.objects).fault
    lie = replace(content, columns=(b, a))
    assert prove(lie, vault.objects).fault == "has the columns a, b; recorded are b, a"
    lie = replace(content, rows=2)
    assert prove(lie, vault.objects).fault == "has 1 rows; recorded are 2"


def test_an_object_that_is_no_table_is_seen(vault: Vault) -> None:
    content = stored(vault, pd.DataFrame({"a": [1]}))
    other = stored(vault, b"no table")
    lie = replace(content, objects=other.objects)
    assert prove(lie, vault.objects).fault.startswith("can't be read as a table: ")


def test_an_object_that_is_no_array_is_seen(vault: Vault) -> None:
    content = stored(vault, np.zeros(3))
    lie = replace(content, objects=stored(vault, b"no array").objects)
    assert prove(lie, vault.objects).fault.startswith("can't be read as an array: ")


@pytest.mark.parametrize("name", ["files", "slices"])
def test_what_has_no_object_of_its_own_is_no_damage(vault: Vault, name: str) -> None:
    assert prove(Content(digest_of("any"), name), vault.objects) == (True, "")


def test_what_rests_on_the_code_of_the_project_is_neither_proved_nor_refuted(
    tmp_path: Path,
) -> None:
    vault = Vault(Objects(tmp_path / ".lineal"), identify=lambda module, name: digest_of("code"))
    content = stored(vault, LinearRegression())
    assert prove(content, vault.objects) == (False, "")
    custom = CustomFormat(Note, "note", _save, _load)
    content = stored(Vault(vault.objects, customs=[custom]), Note())
    assert prove(content, vault.objects) == (False, "")


def _save(value: object, path: Path) -> None:
    path.write_text("note")


def _load(path: Path) -> object:
    return Note()


def test_a_large_table_is_proved_a_few_columns_at_a_time(vault: Vault) -> None:
    rows = 1 << 20
    wide = pa.table({name: np.arange(rows) * factor for factor, name in enumerate("abcdefghijkl")})
    content = stored(vault, wide)
    del wide
    before = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(before)
    pa.set_memory_pool(pool)
    try:
        assert prove(content, vault.objects).proved
    finally:
        pa.set_memory_pool(before)
    assert 8 * rows <= (pool.max_memory() or 0) < 12 * 8 * rows


# -------------------------------------------------------------------------------------- cache


def test_a_folder_is_laid_out_when_it_holds_just_its_objects(vault: Vault, tmp_path: Path) -> None:
    made = tmp_path / "made"
    (made / "in").mkdir(parents=True)
    (made / "in" / "b").write_text("b")
    content = stored(vault, made)
    root = vault.objects.root
    assert is_laid_out(root, content)  # there is none
    folder = vault.load(content, "path")
    assert is_laid_out(root, content)
    (folder / "more").write_text("more")
    assert not is_laid_out(root, content)
    os.unlink(folder / "more")
    os.unlink(folder / "in" / "b")
    assert not is_laid_out(root, content)
    (folder / "in" / "b").write_text("b")
    assert not is_laid_out(root, content)
