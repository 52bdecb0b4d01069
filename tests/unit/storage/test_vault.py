from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lineal.assets.asset import Arrival, Contract, CustomFormat
from lineal.assets.errors import ContentError, IntegrityError
from lineal.assets.ports import Canonical
from lineal.assets.records import Content
from lineal.storage.objects import Objects
from lineal.storage.vault import Vault


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(Objects(tmp_path / ".lineal"))


def hold(vault: Vault, value: Any, *, rows: bool = False, form: str | None = None) -> Canonical:
    return vault.canonical(value, Contract(format=form), rows=rows, name="thing")


def stored(vault: Vault, value: Any, *, rows: bool = False, form: str | None = None) -> Content:
    content = vault.write(hold(vault, value, rows=rows, form=form))
    vault.sync()
    return content


def everywhere(vault: Vault, value: Any, arrival: Arrival = "auto", **options: Any) -> list[Any]:
    """The value as it comes from memory, from staged files, and from disk in another process."""
    held = hold(vault, value, **options)
    content = vault.write(held)
    found = [vault.load(held, arrival), vault.load(content, arrival)]
    vault.sync()
    return [*found, Vault(Objects(vault.objects.root)).load(content, arrival)]


# ------------------------------------------------------------------------------------ tables


def test_a_table_is_parquet_with_its_columns_rows_and_summary(vault: Vault) -> None:
    content = stored(vault, pd.DataFrame({"a": range(1200), "b": "x"}))
    assert content.format == "parquet"
    assert content.rows == 1200
    assert [column.name for column in content.columns] == ["a", "b"]
    assert content.summary == "1,200 rows × 2"
    assert [each.suffix for each in content.objects] == ["parquet"]


def test_a_table_is_the_same_from_memory_and_from_disk(vault: Vault) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    first, *others = everywhere(vault, frame)
    assert isinstance(first, pd.DataFrame)
    for other in others:
        pd.testing.assert_frame_equal(first, other)


@pytest.mark.parametrize("from_disk", [False, True])
def test_only_the_declared_columns_arrive_in_that_order(vault: Vault, from_disk: bool) -> None:
    held = hold(vault, pd.DataFrame({"a": [1], "b": [2], "c": [3]}))
    source = vault.write(held) if from_disk else held
    assert vault.load(source, "arrow", ["c", "a"]).column_names == ["c", "a"]


def test_a_column_that_is_not_there_is_told_alike_from_memory_and_disk(vault: Vault) -> None:
    held = hold(vault, pd.DataFrame({"delay": [1]}))
    for source in (held, vault.write(held)):
        with pytest.raises(ContentError, match="did you mean `delay`"):
            vault.load(source, "pandas", ["dellay"])


def test_the_kinds_of_table_have_one_content(vault: Vault) -> None:
    table = pa.table({"a": [1, 2]})
    kinds = [
        table,
        table.to_pandas(),
        table.to_batches()[0],
        table.to_reader(),
        table["a"].to_pandas().rename("a"),
        duckdb.from_arrow(table),
        iter(table.to_batches()),
    ]
    digests = {hold(vault, kind).content.digest for kind in kinds[:-1]}
    digests.add(hold(vault, [{"a": 1}, {"a": 2}], rows=True).content.digest)
    assert len(digests) == 1


def test_an_equal_table_is_one_object(vault: Vault) -> None:
    first = stored(vault, pd.DataFrame({"a": [1]}))
    assert stored(vault, pd.DataFrame({"a": [1]})) == first
    assert len(list((vault.objects.root / "objects").rglob("*.parquet"))) == 1


# ------------------------------------------------------------------------------------- plain


@pytest.mark.parametrize(
    ("value", "summary"),
    [
        (0.97222, "0.9722"),
        (12345, "12,345"),
        (True, "True"),
        (None, "None"),
        ("short", "'short'"),
        ({"a": 1, "b": 2, "c": 3}, "dict, 3 keys"),
        ([1], "list, 1 item"),
        (np.float64(0.5), "0.5"),
    ],
)
def test_plain_values_are_json(vault: Vault, value: Any, summary: str) -> None:
    content = stored(vault, value)
    assert (content.format, content.summary) == ("json", summary)
    assert everywhere(vault, value) == [value] * 3


def test_a_reader_that_changes_a_plain_value_changes_only_its_own(vault: Vault) -> None:
    held = hold(vault, {"a": [1]})
    vault.load(held, "auto")["a"].append(2)
    assert vault.load(held, "auto") == {"a": [1]}


def test_rows_declared_as_a_table_are_one_and_else_json(vault: Vault) -> None:
    rows = [{"a": 1}]
    assert stored(vault, rows, rows=True).format == "parquet"
    assert stored(vault, rows).format == "json"
    assert everywhere(vault, rows, "rows") == [rows] * 3


def test_what_is_no_table_does_not_arrive_as_one(vault: Vault) -> None:
    for arrival in ("pandas", "arrow", "polars", "relation", "batches", "rows"):
        with pytest.raises(ContentError, match="no table"):
            vault.load(hold(vault, {"a": 1}), arrival)  # type: ignore[arg-type]  # a Literal
    with pytest.raises(ContentError, match="no columns"):
        vault.load(hold(vault, {"a": 1}), "auto", ["a"])


def test_the_format_counts_in_the_content(vault: Vault) -> None:
    as_json, as_bytes = hold(vault, {"a": 1}), hold(vault, b'{"a":1}')
    assert vault.write(as_json).objects[0].digest == vault.write(as_bytes).objects[0].digest
    assert as_json.content.digest != as_bytes.content.digest


def test_a_value_without_a_format_names_its_type_and_the_way_out(vault: Vault) -> None:
    with pytest.raises(ContentError, match=r"io\.StringIO") as caught:
        import io

        hold(vault, io.StringIO())
    assert 'format="pickle"' in (caught.value.advice or "")


def test_an_unknown_format_is_told_with_the_nearest(vault: Vault) -> None:
    with pytest.raises(ContentError, match="did you mean `pickle`"):
        hold(vault, 1, form="pikle")


# ------------------------------------------------------------------------------------ models


def model() -> Any:
    x = np.arange(20.0).reshape(10, 2)
    return make_pipeline(StandardScaler(), LinearRegression()).fit(x, x[:, 0])


def test_a_model_is_joblib_and_comes_back(vault: Vault) -> None:
    content = stored(vault, model())
    assert (content.format, content.summary) == ("joblib", "Pipeline")
    assert content.objects[0].suffix == "joblib"
    for found in everywhere(vault, model()):
        assert found.predict([[2.0, 3.0]]) == pytest.approx([2.0])


def test_every_reader_has_its_own_model(vault: Vault) -> None:
    held = hold(vault, model())
    vault.load(held, "object").named_steps["linearregression"].coef_[:] = 0
    assert vault.load(held, "object").predict([[2.0, 3.0]]) == pytest.approx([2.0])


def test_the_code_that_a_pickle_names_counts(tmp_path: Path) -> None:
    def vault(version: str) -> Vault:
        known = {("sklearn.linear_model._base", "LinearRegression"): version}
        return Vault(Objects(tmp_path), identify=lambda m, q: known.get((m, q)))

    first, second = hold(vault("1.9"), model()), hold(vault("2.0"), model())
    assert first.content.digest != second.content.digest
    assert first.content.digest == hold(vault("1.9"), model()).content.digest


def test_any_object_can_be_pickled_on_demand(vault: Vault) -> None:
    content = stored(vault, {1, 2}, form="pickle")
    assert (content.format, content.objects[0].suffix) == ("pickle", "pickle")
    assert everywhere(vault, {1, 2}, form="pickle") == [{1, 2}] * 3


def test_what_cant_be_pickled_is_an_error_that_names_it(vault: Vault) -> None:
    with pytest.raises(ContentError, match="thing"):
        hold(vault, lambda: 1, form="pickle")


def test_a_class_that_is_gone_is_an_error_that_says_so(vault: Vault) -> None:
    content = stored(vault, pd.Timestamp, form="pickle")
    path = vault.objects.path(content.objects[0])
    data = path.read_bytes().replace(b"Timestamp", b"Timestomp")
    gone = vault.objects.put_bytes(data, "pickle")
    with pytest.raises(ContentError, match="Timestomp"):
        vault.load(Content("0" * 64, "pickle", (gone,)), "auto")


# ------------------------------------------------------------------------------------ arrays


def test_arrays_arrive_as_arrays_that_may_be_changed(vault: Vault) -> None:
    value = np.arange(12.0).reshape(3, 4)
    content = stored(vault, value)
    assert (content.format, content.summary) == ("array", "array (3, 4) float64")
    for found in everywhere(vault, value, "array"):
        np.testing.assert_array_equal(found, value)
        found[0, 0] = 9


def test_a_list_of_numbers_may_arrive_as_an_array(vault: Vault) -> None:
    np.testing.assert_array_equal(vault.load(hold(vault, [1, 2]), "array"), [1, 2])
    with pytest.raises(ContentError, match="numpy array"):
        vault.load(hold(vault, [[1], [1, 2]]), "array")
    with pytest.raises(ContentError, match="numpy array"):
        vault.load(hold(vault, {"a": 1}), "array")


# ------------------------------------------------------------------------- files and folders


def test_bytes_are_a_file(vault: Vault) -> None:
    content = stored(vault, b"\0" * 2_100_000)
    assert (content.format, content.summary) == ("file", "file, 2.1 MB")
    assert everywhere(vault, b"abc") == [b"abc"] * 3
    for path in everywhere(vault, b"abc", "path"):
        assert path.read_bytes() == b"abc"


def test_a_written_file_is_taken_in_with_its_suffix(vault: Vault, tmp_path: Path) -> None:
    path = tmp_path / "report.csv.gz"
    path.write_bytes(b"packed")
    content = stored(vault, path)
    path.unlink()
    assert content.objects[0].suffix == "csv.gz"
    found = vault.load(content, "path")
    assert found.name.endswith(".csv.gz")
    assert found.read_bytes() == b"packed"
    assert vault.load(content, "auto") == b"packed"


def test_the_suffix_of_a_file_counts(vault: Vault, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "b.txt"):
        (tmp_path / name).write_text("same")
    first, equal, other = (hold(vault, tmp_path / n) for n in ("a.csv", "b.csv", "b.txt"))
    assert first.content.digest == equal.content.digest != other.content.digest


def test_a_path_that_is_not_there_is_an_error(vault: Vault, tmp_path: Path) -> None:
    with pytest.raises(ContentError, match=r"nothing\.txt"):
        hold(vault, tmp_path / "nothing.txt")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    (made / "inner").mkdir(parents=True)
    (made / "b.txt").write_text("b")
    (made / "inner" / "a.txt").write_text("a")
    (made / "a.txt").write_text("a")
    return made


def test_a_folder_arrives_as_a_folder(vault: Vault, folder: Path) -> None:
    content = stored(vault, folder)
    assert (content.format, content.summary) == ("folder", "folder, 3 files, 3 B")
    assert [each.path for each in content.objects] == ["a.txt", "b.txt", "inner/a.txt"]
    for arrival in ("auto", "path", "object"):
        found = vault.load(content, arrival)  # type: ignore[arg-type]  # a Literal
        assert (found / "inner" / "a.txt").read_text() == "a"
    assert [path.read_text() for path in vault.load(content, "paths")] == ["a", "b", "a"]


def test_equal_files_of_a_folder_are_one_object(vault: Vault, folder: Path) -> None:
    stored(vault, folder)
    assert len(list((vault.objects.root / "objects").rglob("*.txt"))) == 2


def test_a_folders_content_is_its_paths_and_bytes(vault: Vault, folder: Path) -> None:
    first = hold(vault, folder).content.digest
    assert hold(vault, folder.rename(folder.with_name("other"))).content.digest == first
    other = folder.with_name("other")
    (other / "b.txt").rename(other / "c.txt")
    assert hold(vault, other).content.digest != first


def test_what_a_reader_does_in_a_folder_no_other_reader_sees(vault: Vault, folder: Path) -> None:
    content = stored(vault, folder)
    for spoil in (
        lambda found: (found / "more.txt").write_text("more"),
        lambda found: (found / "a.txt").unlink(),
        lambda found: (found / "a.txt").rename(found / "b.txt"),
        lambda found: (found / "empty").mkdir(),
    ):
        spoil(vault.load(content, "path"))
        again = vault.load(content, "path")
        names = sorted(path.relative_to(again).as_posix() for path in again.rglob("*"))
        assert names == ["a.txt", "b.txt", "inner", "inner/a.txt"]
        assert (again / "b.txt").read_text() == "b"


def test_the_laid_out_folder_may_be_deleted(vault: Vault, folder: Path) -> None:
    import shutil

    content = stored(vault, folder)
    shutil.rmtree(vault.load(content, "path"))
    assert (vault.load(content, "path") / "a.txt").read_text() == "a"


def test_an_empty_folder_is_a_folder(vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    held = hold(vault, tmp_path / "empty")
    content = vault.write(held)
    for source in (held, content):
        assert list(vault.load(source, "path").iterdir()) == []
        assert vault.load(source, "paths") == []


def test_a_link_to_a_folder_is_refused(vault: Vault, folder: Path, tmp_path: Path) -> None:
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(ContentError, match="link to a folder"):
        hold(vault, folder)


# ------------------------------------------------------------------------------------ figures


def test_a_figure_is_a_picture_without_a_date(vault: Vault) -> None:
    from matplotlib.figure import Figure

    def draw() -> Figure:
        figure = Figure()
        figure.subplots().plot([1, 2])
        return figure

    first, second = stored(vault, draw()), stored(vault, draw())
    assert first == second
    assert first.format == "figure"
    assert first.summary.startswith("figure, ")
    assert vault.load(first, "auto").startswith(b"\x89PNG")
    assert vault.load(first, "path").suffix == ".png"
    assert b"matplotlib" not in vault.load(first, "auto").lower()


def test_axes_stand_for_their_figure(vault: Vault) -> None:
    from matplotlib.figure import Figure

    assert hold(vault, Figure().subplots()).content.format == "figure"


# ------------------------------------------------------------------------- registered formats


class Point:
    def __init__(self, x: int):
        self.x = x


class Finer(Point):
    pass


def save(value: Point, path: Path) -> None:
    path.write_text(str(value.x))


def load(path: Path) -> Point:
    return Point(int(path.read_text()))


def test_a_registered_format_is_used_for_its_type_and_subclasses(tmp_path: Path) -> None:
    vault = Vault(Objects(tmp_path), customs=[CustomFormat(Point, "point", save, load)])
    held = hold(vault, Finer(3))
    content = vault.write(held)
    assert content.objects[0].suffix == "point"
    assert content.summary == "Finer, 1 B"
    for source in (held, content):
        assert vault.load(source, "object").x == 3
    with pytest.raises(ContentError, match="no format is registered"):
        Vault(Objects(tmp_path)).load(content, "object")


def test_the_nearest_registered_class_decides(tmp_path: Path) -> None:
    customs = [CustomFormat(Point, "p", save, load), CustomFormat(Finer, "f", save, load)]
    held = hold(Vault(Objects(tmp_path), customs=customs), Finer(3))
    assert held.content.format.endswith("Finer")


def test_a_registered_save_that_fails_is_told(tmp_path: Path) -> None:
    def broken(value: Point, path: Path) -> None:
        raise OSError("no")

    for bad in (broken, lambda value, path: None):
        vault = Vault(Objects(tmp_path), customs=[CustomFormat(Point, "p", bad, load)])
        with pytest.raises(ContentError, match="Point"):
            hold(vault, Point(1))


# ------------------------------------------------------------------------------------ the whole


def test_a_damaged_table_is_never_handed_over(vault: Vault) -> None:
    content = stored(vault, pd.DataFrame({"a": range(1000)}))
    path = vault.objects.path(content.objects[0])
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    for arrival in ("pandas", "path"):
        with pytest.raises(IntegrityError, match=str(path)):
            Vault(Objects(vault.objects.root)).load(content, arrival)  # type: ignore[arg-type]


DIGESTS = """
    import datetime as dt
    import numpy as np
    from pathlib import Path
    from sklearn.preprocessing import OneHotEncoder
    from lineal.assets.asset import Contract
    from lineal.storage.objects import Objects
    from lineal.storage.vault import Vault
    vault = Vault(Objects(Path("ROOT")))
    words = OneHotEncoder().fit([["a"], ["b"]])
    words.seen_ = {"a", "few", "other", "words"}
    for value in ({"a": 1, "when": dt.date(2026, 1, 5)}, np.arange(3), b"x", words):
        print(vault.canonical(value, Contract(), rows=False, name="x").content.digest)
"""


# Changing one of these makes every stored value of that format stale in every project.
GOLDEN = [
    "d81e633e5e88ef9eb00d8215cbc10fa9b88b2b5652dfa241a67bcc11d5949655",
    "e44fb18fe8c9c4d680d4f41ad047b6be4353d76afef4973b57ac24ecdfc8a1df",
    "5b4382e49196ae985504377fb5c5e5e7112ff2e701e785d5898f43c18ea60c12",
]


def test_digests_are_the_same_in_every_process(tmp_path: Path) -> None:
    script = textwrap.dedent(DIGESTS).replace("ROOT", str(tmp_path))
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    (lines,) = found
    assert lines.split()[:3] == GOLDEN


def test_importing_the_vault_imports_nothing_heavy() -> None:
    script = (
        "import sys, lineal.storage.vault, lineal.storage.sources, lineal.storage.ingest\n"
        "heavy = {'pandas', 'pyarrow', 'numpy', 'duckdb', 'joblib', 'sklearn', 'matplotlib'}\n"
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
