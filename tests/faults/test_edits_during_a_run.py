"""Code, SQL, settings and undeclared files edited during a run: recorded is what really counted."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lineal
from lineal.assets.errors import DefinitionError, DefinitionErrors, SettingsError
from lineal.assets.records import Recipe
from lineal.assets.run import Run
from lineal.project import Project
from lineal.settings import load_settings
from tests.e2e.command_line import Workplace
from tests.faults.moments import once, reached


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path / "project")


def outcomes(run: Run) -> dict[str, str]:
    return {step.step.asset: step.outcome for step in run.steps}


def at(project: Project, moment: str, act: Callable[[], object]) -> Run:
    """A run during which something happens at a moment: `planned`, or one that its code names."""
    with reached(once(moment, act)):
        return project.materialize(planned=lambda _: act() if moment == "planned" else None)


def quietly(project: Project) -> Run:
    with reached(lambda _: None):
        return project.materialize()


def is_at_rest(project: Project) -> bool:
    return set(outcomes(quietly(project)).values()) == {"fresh"}


def recipe_of(project: Project, asset: str) -> Recipe:
    """The recipe that the current version was recorded with."""
    history = project.history()
    try:
        recipe = history.recipe(project.version(asset).recipe)
    finally:
        history.close()
    assert recipe is not None
    return recipe


# ----------------------------------------------------------------------------------------- code

ONE = """
import moments
from lineal import asset


@asset
def first():
    moments.reach("running")
    return 1


@asset
def answer(first):
    from helpers import number  # edited before this line runs
    return number() + first
"""
HELPERS = "def number():\n    return 10\n"
LATE = {
    "imported above": ONE.replace(
        "from lineal", "from helpers import number\nfrom lineal", 1
    ).replace("    from helpers import number  # edited before this line runs\n", ""),
    "imported late": ONE,
    "imported late, as a module": ONE.replace(
        "from helpers import number  # edited before this line runs", "import helpers"
    ).replace("number()", "helpers.number()"),
    "imported by name": ONE.replace(
        "from helpers import number  # edited before this line runs",
        'import importlib\n    number = importlib.import_module("helpers").number',
    ),
    "imported by a computed name": ONE.replace(
        "from helpers import number  # edited before this line runs",
        'import importlib\n    number = importlib.import_module("".join(["help", "ers"])).number',
    ),
}


@pytest.mark.parametrize("moment", ["planned", "running"])
@pytest.mark.parametrize("how", LATE)
def test_the_code_that_runs_is_the_code_that_was_digested(
    place: Workplace, how: str, moment: str
) -> None:
    place.write("pipeline.py", LATE[how])
    place.write("helpers.py", HELPERS)
    project = lineal.open(place.root)
    at(project, moment, lambda: place.edit("helpers.py", "10", "20"))
    assert project.load("answer") == 11
    before = recipe_of(project, "answer")
    assert "made" in outcomes(quietly(project)).values()
    assert project.load("answer") == 21
    assert recipe_of(project, "answer").digest != before.digest
    assert is_at_rest(project)
    place.edit("helpers.py", "20", "10")
    assert outcomes(quietly(project))["answer"] == "reused"
    assert project.load("answer") == 11


@pytest.mark.parametrize("moment", ["planned", "running"])
@pytest.mark.parametrize("how", ["imported above", "imported late", "imported by name"])
def test_a_module_removed_during_a_run_is_there_until_its_end(
    place: Workplace, how: str, moment: str
) -> None:
    place.write("pipeline.py", LATE[how])
    helpers = place.write("helpers.py", HELPERS)
    project = lineal.open(place.root)
    at(project, moment, helpers.unlink)
    assert project.load("answer") == 11
    if how == "imported above":
        with pytest.raises(DefinitionError, match="helpers"):
            quietly(project)
    else:
        assert outcomes(quietly(project))["answer"] == "failed"


@pytest.mark.parametrize("moment", ["planned", "running"])
def test_the_file_of_the_definitions_may_be_edited_during_a_run(
    place: Workplace, moment: str
) -> None:
    place.write("pipeline.py", ONE)
    place.write("helpers.py", HELPERS)
    project = lineal.open(place.root)
    at(project, moment, lambda: place.edit("pipeline.py", "+ first", "- first"))
    assert project.load("answer") == 11
    assert outcomes(quietly(project)) == {"first": "fresh", "answer": "made"}
    assert project.load("answer") == 9
    assert is_at_rest(project)


@pytest.mark.parametrize("module", ["extra", "kit.extra"])
@pytest.mark.parametrize("moment", ["planned", "running"])
def test_a_module_that_appears_during_a_run_does_not_take_part_in_it(
    place: Workplace, moment: str, module: str
) -> None:
    code = f"""
        try:
            from {module} import number
        except ImportError:
            return first
        return number + first
    """
    place.write("kit/__init__.py", "")
    place.write("pipeline.py", ONE.partition("    from helpers")[0] + code.replace("\n    ", "\n"))
    project = lineal.open(place.root)
    file = f"{module.replace('.', '/')}.py"
    at(project, moment, lambda: place.write(file, "number = 10\n"))
    assert project.load("answer") == 1
    assert outcomes(quietly(project))["answer"] == "made"
    assert project.load("answer") == 11
    assert is_at_rest(project)
    (place.root / file).unlink()
    quietly(project)
    assert project.load("answer") == 1


def test_an_edit_that_leaves_size_and_time_is_seen_by_the_next_run(place: Workplace) -> None:
    place.write("pipeline.py", ONE)
    path = place.write("helpers.py", HELPERS)
    project = lineal.open(place.root)

    def edit() -> None:
        before = path.stat()
        place.edit("helpers.py", "10", "20")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    at(project, "running", edit)
    assert project.load("answer") == 11
    quietly(project)
    assert project.load("answer") == 21


# ------------------------------------------------------------------------------------------ SQL

SQL = """
import moments
from lineal import asset, sql_asset
import pandas as pd


@asset
def rows():
    moments.reach("running")
    return pd.DataFrame({"n": [1, 2, 3]})


sql_asset("top", path="top.sql")
"""


@pytest.mark.parametrize("moment", ["planned", "running"])
@pytest.mark.parametrize("change", ["edit", "break", "remove"])
def test_a_query_is_the_one_that_was_read(place: Workplace, moment: str, change: str) -> None:
    place.write("pipeline.py", SQL)
    path = place.write("top.sql", "select max(n) as n from rows\n")
    project = lineal.open(place.root)
    acts: dict[str, Callable[[], Any]] = {
        "edit": lambda: path.write_text("select min(n) as n from rows\n"),
        "break": lambda: path.write_text("select from where\n"),
        "remove": path.unlink,
    }
    at(project, moment, acts[change])
    assert project.load("top")["n"].tolist() == [3]
    assert "max" in recipe_of(project, "top").parts[0].value
    if change != "edit":
        with pytest.raises((DefinitionErrors, DefinitionError)):
            quietly(project)
        path.write_text("select min(n) as n from rows\n")
    assert outcomes(quietly(project)) == {"rows": "fresh", "top": "made"}
    assert project.load("top")["n"].tolist() == [1]
    assert is_at_rest(project)


# ----------------------------------------------------------------------- files nobody declared


def others_write(path: Path, text: str) -> None:
    """Not this process: what a step writes itself is its own affair."""
    subprocess.run(["sh", "-c", 'printf %s "$1" > "$2"', "sh", text, str(path)], check=True)


READS = """
from pathlib import Path

import moments
from lineal import asset

HERE = Path(__file__).parent


@asset
def text():
    name = "".join(["asi", "de.txt"])
    moments.reach("before")
    with open(HERE / "data" / name) as file:
        moments.reach("opened")
        found = file.read()
        moments.reach("read")
    return found
"""
NAMED = READS.replace('"".join(["asi", "de.txt"])', '"aside.txt"').replace(
    'HERE / "data" / name', '"data/aside.txt"'
)


@pytest.mark.parametrize("code", [READS, NAMED], ids=["found by opening", "named"])
@pytest.mark.parametrize("moment", ["planned", "before", "opened", "read"])
def test_a_file_changed_between_its_digest_and_its_reading_is_read_again_next_time(
    place: Workplace, code: str, moment: str
) -> None:
    """Also when it holds by then what it held when it was digested."""
    place.write("pipeline.py", code)
    path = place.write("data/aside.txt", "one")
    project = lineal.open(place.root)
    at(project, moment, lambda: others_write(path, "two"))
    assert project.load("text") == ("one" if moment == "read" else "two")
    path.write_text("one")
    quietly(project)
    assert project.load("text") == "one"
    assert is_at_rest(project)
    path.write_text("two")
    quietly(project)
    assert project.load("text") == "two"


def test_a_file_that_was_other_only_while_it_was_read_is_read_again(place: Workplace) -> None:
    place.write("pipeline.py", READS)
    path = place.write("data/aside.txt", "one")
    project = lineal.open(place.root)
    before = path.stat()

    def put_back() -> None:
        others_write(path, "one")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    acts: dict[str, Callable[[], Any]] = {
        "opened": lambda: others_write(path, "two"),
        "read": put_back,
    }
    with reached(lambda moment: acts.get(moment, int)()):
        project.materialize()
    assert project.load("text") == "two"
    assert outcomes(quietly(project)) == {"text": "made"}
    assert project.load("text") == "one"
    assert is_at_rest(project)


def test_a_file_that_never_rests_makes_no_step_fail_nor_rest(place: Workplace) -> None:
    place.write("pipeline.py", READS)
    path = place.write("data/aside.txt", "one")
    project = lineal.open(place.root)
    with reached(lambda moment: others_write(path, moment)):
        assert outcomes(project.materialize()) == {"text": "made"}
    assert outcomes(quietly(project)) == {"text": "made"}
    assert project.load("text") == "read"


def test_a_folder_that_changes_while_it_is_listed_is_listed_again(place: Workplace) -> None:
    place.write(
        "pipeline.py",
        """
        import os
        import moments
        from lineal import asset

        @asset
        def names():
            os.listdir("data")
            moments.reach("between")
            return sorted(os.listdir("data"))
        """,
    )
    place.write("data/a.txt", "")
    project = lineal.open(place.root)
    at(project, "between", lambda: others_write(place.root / "data" / "b.txt", ""))
    assert project.load("names") == ["a.txt", "b.txt"]
    (place.root / "data/b.txt").unlink()
    quietly(project)
    assert project.load("names") == ["a.txt"]
    assert is_at_rest(project)


@pytest.mark.parametrize(
    "update",
    [
        "found = Path(path).read_text(); Path(path).write_text(found)",
        "with open(path, 'r+') as file: found = file.read(); file.seek(0); file.write(found)",
    ],
)
def test_a_file_that_the_step_itself_writes_does_not_make_it_stale(
    place: Workplace, update: str
) -> None:
    place.write(
        "pipeline.py",
        f"""
        from pathlib import Path
        from lineal import asset

        @asset
        def count():
            path = "/".join(["data", "count.txt"])
            {update}
            return found
        """,
    )
    place.write("data/count.txt", "1")
    project = lineal.open(place.root)
    quietly(project)
    assert is_at_rest(project)


# ------------------------------------------------------------------------------------- settings

SET = """
import moments
from lineal import asset


@asset
def first():
    moments.reach("running")
    return 1


@asset
def answer(first, times: int = 2):
    return first * times
"""
TOML = "[parameters.answer]\ntimes = 3\n"


def with_times(place: Workplace) -> tuple[Project, Path]:
    place.write("pipeline.py", SET)
    settings = place.write("lineal.toml", TOML)
    return lineal.open(place.root), settings


@pytest.mark.parametrize("moment", ["planned", "running"])
def test_settings_are_those_of_the_plan_until_the_run_ends(place: Workplace, moment: str) -> None:
    project, settings = with_times(place)
    at(project, moment, lambda: settings.write_text(TOML.replace("3", "5")))
    assert project.load("answer") == 3
    assert project.version("answer").parameters == (("times", "3"),)
    assert outcomes(quietly(project)) == {"first": "fresh", "answer": "made"}
    assert project.load("answer") == 5
    assert is_at_rest(project) and is_at_rest(lineal.open(place.root))


@pytest.mark.parametrize("moment", ["planned", "running"])
@pytest.mark.parametrize("text", ["[parameters", "[project]\nstores = 1\n"])
def test_settings_broken_during_a_run_are_told_by_the_next(
    place: Workplace, moment: str, text: str
) -> None:
    project, settings = with_times(place)
    at(project, moment, lambda: settings.write_text(text))
    assert project.load("answer") == 3
    for again in (lambda: quietly(project), lambda: quietly(lineal.open(place.root))):
        with pytest.raises(SettingsError):
            again()
    settings.write_text(TOML)
    assert is_at_rest(project)


def test_settings_removed_during_a_run_are_missed_by_the_next(place: Workplace) -> None:
    project, settings = with_times(place)
    at(project, "running", settings.unlink)
    assert project.load("answer") == 3
    assert outcomes(quietly(project)) == {"first": "fresh", "answer": "made"}
    assert project.load("answer") == 2
    settings.write_text(TOML)
    assert outcomes(quietly(project)) == {"first": "fresh", "answer": "reused"}


@pytest.mark.parametrize("moment", ["planned", "running"])
def test_another_store_set_during_a_run_is_the_next_ones(place: Workplace, moment: str) -> None:
    project, settings = with_times(place)
    moved = '[project]\nstore = "elsewhere"\n' + TOML
    at(project, moment, lambda: settings.write_text(moved))
    assert project.load("answer") == 3
    assert not (place.root / "elsewhere").exists()
    with pytest.raises(SettingsError, match="elsewhere") as caught:
        quietly(project)
    assert caught.value.where == f"{settings}:2"
    other = lineal.open(place.root)
    assert outcomes(quietly(other)) == {"first": "made", "answer": "made"}
    assert other.store == place.root / "elsewhere"
    settings.write_text(TOML)
    assert is_at_rest(project)


def test_settings_of_equal_size_and_time_are_told_apart(place: Workplace) -> None:
    project, settings = with_times(place)
    quietly(project)
    before = settings.stat()
    for times in (5, 3, 7):
        settings.write_text(TOML.replace("3", str(times)))
        os.utime(settings, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert load_settings(place.root).parameters["answer"]["times"] == times
        quietly(project)
        assert project.load("answer") == times
