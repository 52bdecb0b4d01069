"""Settings: where they are found, what they say, and what is refused with which line."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path

import pytest

from lineal import packages, settings
from lineal.assets.errors import SettingsError
from lineal.settings import find_root, load_settings

REPOSITORY = Path(__file__).parents[3]

FULL = """\
# my project
[project]
name = "delays"
definitions = ["a.py", "b.py"]
store = "memory"
strict = true

[run]
jobs = 4

[parameters.delay_model]
learning_rate = 0.05
since = 2026-01-05

[parameters."raw/orders"]
limit = 3

[packages]
policy = "minor"
pandas = "exact"

[pools]
database = 2
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("pipeline.py", "a.py", "b.py"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("said", "found"),
    [("'1GB'", 1 << 30), ("'1.5 gib'", 3 << 29), ("'256MB'", 1 << 28), ("100_000_000", 10**8)],
)
def test_memory_is_a_size_or_a_number_of_bytes(root: Path, said: str, found: int) -> None:
    assert load_settings(root).memory is None
    (root / "lineal.toml").write_text(f"[run]\nmemory = {said}\n")
    assert load_settings(root).memory == found


def test_no_settings_are_needed_beside_a_pipeline(root: Path) -> None:
    found = load_settings(root)
    assert (found.name, found.definitions) == (root.name, ("pipeline.py",))
    assert (found.store, found.strict, found.jobs) == (root / ".lineal", False, 1)
    assert (dict(found.parameters), dict(found.packages)) == ({}, {"policy": "exact"})
    assert found.file is None


def test_definitions_py_is_found_as_well(tmp_path: Path) -> None:
    (tmp_path / "definitions.py").touch()
    assert load_settings(tmp_path).definitions == ("definitions.py",)


def test_without_definitions_there_is_advice(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no pipeline\.py") as caught:
        load_settings(tmp_path)
    assert "definitions" in (caught.value.advice or "")


def test_everything_that_can_be_set_is_read(root: Path) -> None:
    (root / "lineal.toml").write_text(FULL)
    found = load_settings(root)
    assert (found.name, found.definitions) == ("delays", ("a.py", "b.py"))
    assert (found.store, found.strict, found.jobs) == (root / "memory", True, 4)
    assert found.parameters["delay_model"] == {
        "learning_rate": 0.05,
        "since": dt.date(2026, 1, 5),
    }
    assert found.parameters["raw/orders"] == {"limit": 3}
    assert found.packages == {"policy": "minor", "pandas": "exact"}
    assert found.pools == {"database": 2}


def test_rows_say_each_value_and_the_line_it_is_from(root: Path) -> None:
    (root / "lineal.toml").write_text(FULL)
    rows = {name: (value, origin) for name, value, origin in load_settings(root).as_rows()}
    file = root / "lineal.toml"
    assert rows["run.jobs"] == ("4", f"{file}:9")
    assert rows["parameters.delay_model.learning_rate"] == ("0.05", f"{file}:12")
    assert rows["parameters.raw/orders.limit"] == ("3", f"{file}:16")
    assert rows["packages.pandas"] == ("exact", f"{file}:20")
    assert rows["pools.database"] == ("2", f"{file}:23")
    (root / "lineal.toml").write_text("")
    rows = {name: (value, origin) for name, value, origin in load_settings(root).as_rows()}
    assert rows["run.jobs"] == ("1", "default")


def test_a_table_in_pyproject_is_as_good(root: Path) -> None:
    text = '[project]\nname = "other"\n\n[tool.lineal.project]\nname = "delays"\n'
    (root / "pyproject.toml").write_text(text)
    assert load_settings(root).name == "delays"
    (root / "pyproject.toml").write_text(text + "strct = true\n")
    with pytest.raises(SettingsError, match="did you mean `strict`") as caught:
        load_settings(root)
    assert caught.value.where == f"{root}/pyproject.toml:6"


def test_a_pyproject_that_does_not_speak_of_lineal_is_nobodys(root: Path) -> None:
    (root / "pyproject.toml").write_text('[project]\ndependencies = ["lineal"]\n')
    assert load_settings(root).file is None


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("[projct]\n", 1, "did you mean `project`"),
        ("[project]\n\nstor = 1\n", 3, "did you mean `store`"),
        ("[run]\njob = 1\n", 2, "did you mean `jobs`"),
        ("[run]\njobs = 0\n", 2, "`run.jobs` is 0"),
        ("[run]\njobs = true\n", 2, "`run.jobs` is True"),
        ("[run]\nmemory = '4 bananas'\n", 2, "`run.memory` is '4 bananas'"),
        ("[run]\nmemory = '1MB'\n", 2, "`run.memory` is '1MB'"),
        ("[run]\nmemory = true\n", 2, "`run.memory` is True"),
        ("[project]\nstrict = 1\n", 2, "`project.strict` is 1"),
        ('[project]\ndefinitions = "a.py"\n', 2, "`project.definitions` is 'a.py'"),
        ('[project]\ndefinitions = ["c.py"]\n', 2, "no definitions file `c.py`"),
        ("run = 3\n", 1, "`run` is 3"),
        ("[parameters]\nrate = 3\n", 2, "`parameters.rate` is 3"),
        ('[packages]\npandas = "exct"\n', 2, "did you mean `exact`"),
        ("[packages]\npandas = 3\n", 2, "the policy of `pandas` is 3"),
        ("[packages]\npandas = [3]\n", 2, "the policy of `pandas` is [3]"),
        ("[alerts]\nto = 'me'\n", 1, "[alerts] is not built yet"),
        ("environments = 3\n", 1, "`environments` is 3"),
        ("[environments]\npromote = true\n", 2, "`environments.promote` is True"),
        ("[environments.prod]\npromote = 'yes'\n", 2, "`environments.prod.promote` is 'yes'"),
        ("[environments.prod]\npromotes = true\n", 2, "did you mean `promote`"),
        ("[environments.prod]\nstore = 'x'\n", 2, "`environments.prod.store` is not built yet"),
        ("[environments.'the prod']\npromote = true\n", 1, "is no name of an environment"),
        ("[environments.dev.parameters]\nn = 3\n", 2, "`environments.dev.parameters.n` is 3"),
        ("[pools]\ndatabase = 0\n", 2, "`pools.database` is 0"),
        ("[pools]\ndatabase = true\n", 2, "`pools.database` is True"),
        ("[pools]\ndatabase = '2'\n", 2, "`pools.database` is '2'"),
        ("pools = 2\n", 1, "`pools` is 2"),
        ("[run\n", 1, "not TOML"),
    ],
)
def test_what_can_not_be_right_is_refused_with_its_line(
    root: Path, text: str, line: int, says: str
) -> None:
    (root / "lineal.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(root)
    assert says in caught.value.message
    assert caught.value.where == f"{root}/lineal.toml:{line}"


def test_the_policies_that_can_be_set_are_those_that_are_followed() -> None:
    assert settings.POLICIES == packages.POLICIES


# --------------------------------------------------------------------------------------- cache


def test_settings_are_parsed_once_for_the_same_bytes(root: Path) -> None:
    cache = root / ".lineal" / "cache"
    cache.mkdir(parents=True)
    (root / "lineal.toml").write_text("[run]\njobs = 2\n")
    assert load_settings(root).jobs == 2
    program = (
        "import sys; from pathlib import Path; from lineal.settings import load_settings;"
        "print(load_settings(Path(sys.argv[1])).jobs, 'tomllib' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(root)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"]


def test_a_same_second_edit_of_the_same_length_is_seen(root: Path) -> None:
    (root / ".lineal" / "cache").mkdir(parents=True)
    for jobs in (2, 3, 2):
        (root / "lineal.toml").write_text(f"[run]\njobs = {jobs}\n")
        assert load_settings(root).jobs == jobs


def test_a_damaged_or_edited_cache_is_not_believed(root: Path) -> None:
    cache = root / ".lineal" / "cache"
    cache.mkdir(parents=True)
    (root / "lineal.toml").write_text("[run]\njobs = 2\n")
    load_settings(root)
    edited = (cache / "settings.json").read_text().replace('"jobs": 2', '"jobs": 7')
    assert '"jobs": 7' in edited
    for text in (edited, "{", ""):
        (cache / "settings.json").unlink()
        (cache / "settings.json").write_text(text)
        assert load_settings(root).jobs == 2


def test_dates_are_the_same_with_a_cache(root: Path) -> None:
    (root / ".lineal" / "cache").mkdir(parents=True)
    (root / "lineal.toml").write_text(FULL)
    assert load_settings(root) == load_settings(root)


def test_reading_settings_makes_no_store(root: Path) -> None:
    (root / "lineal.toml").write_text("")
    load_settings(root)
    assert not (root / ".lineal").exists()


# ---------------------------------------------------------------------------------------- root


@pytest.mark.parametrize("marker", ["lineal.toml", "pipeline.py", "pyproject.toml"])
def test_the_nearest_folder_with_a_project_is_found(tmp_path: Path, marker: str) -> None:
    root = tmp_path / "project"
    (root / "deep" / "er").mkdir(parents=True)
    (root / marker).write_text("[tool.lineal]\n" if marker == "pyproject.toml" else "")
    (root / "deep" / "pyproject.toml").write_text("[tool.ruff]\n")
    assert find_root(root / "deep" / "er") == root


def test_where_there_is_no_project_there_is_advice(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no project here") as caught:
        find_root(tmp_path)
    assert "lineal init" in (caught.value.advice or "")
