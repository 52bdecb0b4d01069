"""Which files a text or an expression of code may name."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from lineal.assets.scopes import bindings
from lineal.assets.watching import files, pattern, resolved, spelt

VALUES = {"HERE": Path("/project/src"), "DATA": "data", "N": 3}


def _named(code: str, folder: str = "") -> list[str]:
    tree = ast.parse(f"import os\nfrom pathlib import Path\n{code}")
    statement = tree.body[-1]
    assert isinstance(statement, ast.Expr)
    text = pattern(statement.value, [bindings(tree, "")], VALUES.__contains__, set())
    return files(resolved(text, VALUES.get), "/project", folder)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ('"data/a.csv"', ["data/a.csv"]),
        ('Path("data") / "a.csv"', ["data/a.csv"]),
        ('os.path.join("data", "a.csv")', ["data/a.csv"]),
        ('Path("data", "x").joinpath("a.csv")', ["data/x/a.csv"]),
        ('HERE / "a.csv"', ["src/a.csv"]),
        ('HERE / ".." / "a.csv"', ["a.csv"]),
        ('f"{DATA}/{N}.csv"', ["data/3.csv"]),
        ('f"data/{n}.parquet"', ["data/*.parquet"]),
        ('"data/" + n + ".json"', ["data/*.json"]),
        ('"data/%s.csv" % n', ["data/*.csv"]),
        ('"data/{}.csv".format(n)', ["data/*.csv"]),
        ('f"data/{a}{b}.csv"', ["data/*.csv"]),
        ('folder / "a.csv"', ["*/a.csv", "a.csv"]),
        ("\"select * from 'data/a.parquet' where x = 1\"", ["data/a.parquet"]),
        ("f\"from 'data/{n}.parquet'\"", ["data/*.parquet"]),
        ('"/elsewhere/a.csv"', []),
        ('"/project/data/a.csv"', ["data/a.csv"]),
        ('f"{n}"', []),
        ('f"{n}.{m}"', []),
        ('"plain words"', []),
        ('"http://x/y.csv"', []),
        ('"code.py"', []),
    ],
)
def test_an_expression_names_the_files_it_may_give(code: str, expected: list[str]) -> None:
    assert [
        name for name in _named(code) if "select" not in name and "from" not in name
    ] == expected


def test_a_relative_path_is_meant_from_the_root_and_from_the_module() -> None:
    assert _named('"a.csv"', "src") == ["a.csv", "src/a.csv"]


def test_texts_and_paths_are_found_at_any_depth() -> None:
    class Held:
        def __init__(self) -> None:
            self.paths = {"a": [Path("x/a.csv")], ("b.csv",): 1}

    assert sorted(spelt((Held(), {"c.csv"}))) == ["b.csv", "c.csv", "x/a.csv"]
