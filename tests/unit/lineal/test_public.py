"""The public names, what importing them costs, and the packages that are built."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import lineal

ROOT = Path(__file__).parents[3]
NAMES = {
    "Folder", "Partition", "Promotion", "Result", "Retry", "Rule", "__version__", "action", "asset",
    "best_of", "by_column", "by_file", "check", "checks", "columns", "csv", "daily", "every",
    "gate", "grid", "hourly", "json", "last", "load", "monthly", "only", "opaque", "open",
    "parquet", "previous", "register", "resource", "secret", "source", "sql_asset", "sql_assets",
    "static", "study", "weekly",
}  # fmt: skip
HEAVY = "click rich pandas pyarrow duckdb numpy sklearn sqlglot tomllib importlib.metadata"


def run(program: str) -> str:
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_public_names_are_these() -> None:
    assert set(lineal.__all__) == NAMES
    assert set(dir(lineal)) >= NAMES
    assert list(lineal.__all__) == sorted(lineal.__all__)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(lineal, name) is not None
    assert name in vars(lineal)  # found once


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'materialise'"):
        _ = lineal.materialise  # type: ignore[attr-defined]


def test_importing_lineal_imports_nothing_heavy() -> None:
    heavy = HEAVY.split()
    found = run(f"import sys, lineal; print([m for m in {heavy} if m in sys.modules])")
    assert found == "[]"
    assert run("import sys, lineal; print([m for m in sys.modules if m[:7] == 'lineal.'])") == "[]"


def test_declaring_imports_nothing_heavy() -> None:
    program = (
        "import sys, lineal\n"
        "@lineal.asset(checks=[lineal.checks.rows(1)])\n"
        "def a(x: int = 1): return x\n"
        "lineal.source('raw/x', 'x.csv'); lineal.sql_asset('q', 'select 1')\n"
        f"print([m for m in {HEAVY.split()} if m in sys.modules])"
    )
    assert run(program) == "[]"


def test_the_folders_are_imported_by_one_name_only() -> None:
    assert not {"assets", "cli", "lineage", "storage"} & set(sys.modules)


def test_the_packages_that_are_built_are_the_folders() -> None:
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {"lineal"}
    for top in ("assets", "cli", "lineage", "storage"):
        for folder in (ROOT / top, *(ROOT / top).rglob("*/")):
            if any(folder.glob("*.py")):
                found.add(".".join(["lineal", *folder.relative_to(ROOT).parts]))
    assert set(built["packages"]) == found
    for name, folder in built["package-dir"].items():
        assert (ROOT / "lineal" / name.removeprefix("lineal").lstrip(".")).resolve() == (
            ROOT / folder
        ).resolve()


def test_no_import_is_relative_or_names_a_folder_at_the_top() -> None:
    for top in ("assets", "cli", "lineage", "storage", "lineal"):
        for file in (ROOT / top).glob("*.py"):
            for number, line in enumerate(file.read_text().splitlines(), 1):
                words = line.split()
                if len(words) > 1 and words[0] == "from" and "import" in words:
                    first = words[1].split(".")[0]
                    assert first not in ("", "assets", "cli", "lineage", "storage"), (
                        f"{file}:{number}"
                    )
