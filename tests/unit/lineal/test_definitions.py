"""Loading: the code that runs is the code that was digested, and nothing of it stays behind."""

from __future__ import annotations

import contextlib
import linecache
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lineal.assets.asset import Asset
from lineal.assets.digest import digest_bytes
from lineal.assets.errors import DefinitionError, InputsChanged
from lineal.definitions import Definitions, load


@pytest.fixture
def root(tmp_path: Path) -> Path:
    found = tmp_path / "project"
    found.mkdir()
    return found


def write(root: Path, **files: str) -> None:
    """`pkg__mod="…"` writes pkg/mod.py."""
    for name, text in files.items():
        file = (
            root / f"{name.replace('__', '/')}.py"
            if name != "pkg_init"
            else root / "pkg/__init__.py"
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@contextlib.contextmanager
def loaded(
    root: Path, modules: Sequence[str] = ("pipeline.py",), **options: Any
) -> Iterator[Definitions]:
    definitions = load(root, modules, options.pop("cache_dir", None), **options)
    try:
        yield definitions
    finally:
        definitions.close()


def module(definitions: Definitions, name: str = "pipeline") -> Any:
    return definitions.module(name)


def failure(root: Path, modules: Sequence[str] = ("pipeline.py",)) -> DefinitionError:
    before = set(sys.modules), list(sys.meta_path)
    with pytest.raises(DefinitionError) as caught:
        load(root, modules, None)
    assert (set(sys.modules) - before[0]) & {"pipeline", "helpers"} == set()
    assert list(sys.meta_path) == before[1]
    return caught.value


# -------------------------------------------------------------------------- gathering


def test_everything_declared_is_gathered_in_order(root: Path) -> None:
    write(
        root,
        helpers="from lineal import source\nsource('raw', 'raw.csv')\n",
        pipeline="import helpers\nfrom lineal import asset\n"
        "for n in 'ab':\n    asset(name=n)(lambda raw: raw)\n",
    )
    with loaded(root) as definitions:
        assert [d.name for d in definitions.declared if isinstance(d, Asset)] == ["raw", "a", "b"]


def test_a_declaration_that_cant_be_right_is_kept_as_its_error(root: Path) -> None:
    write(root, pipeline="from lineal import source\nsource('no name', 'raw.csv')\n")
    with loaded(root) as definitions:
        assert DefinitionError in [type(d) for d in definitions.declared]


def test_a_module_in_a_package_and_a_folder_of_modules_can_be_loaded(root: Path) -> None:
    write(root, pkg_init="", pkg__defs="NAME = __name__\n", pkg__more__deep="X = 1\n")
    with loaded(root, ["pkg/defs.py"]) as definitions:
        assert module(definitions, "pkg.defs").NAME == "pkg.defs"
        assert set(definitions.sources) == {"pkg", "pkg.defs"}
    with loaded(root, ["pkg"]) as definitions:
        assert set(definitions.sources) == {"pkg", "pkg.defs", "pkg.more.deep"}


def test_a_source_has_its_path_its_bytes_and_their_digest(root: Path) -> None:
    write(root, pipeline="X = 1\n")
    with loaded(root) as definitions:
        source = definitions.sources["pipeline"]
        assert (source.name, source.path, source.text) == ("pipeline", "pipeline.py", b"X = 1\n")
        assert source.digest == digest_bytes(b"X = 1\n")


# -------------------------------------------------------------------------- what runs


def test_no_pyc_of_a_project_module_is_read_or_written(root: Path) -> None:
    write(root, pipeline="import helpers\nX = helpers.X\n", helpers="X = 1\n")
    stat = (root / "helpers.py").stat()
    subprocess.run(
        [sys.executable, "-c", "import helpers"],
        cwd=root, check=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
    )  # fmt: skip
    kept = sorted((root / "__pycache__").iterdir())
    assert kept
    write(root, helpers="X = 2\n")
    os.utime(root / "helpers.py", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with loaded(root) as definitions:
        assert module(definitions).X == 2
    assert sorted((root / "__pycache__").iterdir()) == kept


def test_a_reload_sees_an_edit_and_two_projects_do_not_see_each_other(
    root: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write(root, pipeline="import helpers\nX = helpers.X\n", helpers="X = 1\n")
    write(other, pipeline="import helpers\nX = helpers.X\n", helpers="X = 3\n")
    with loaded(root) as definitions:
        assert module(definitions).X == 1
    write(root, helpers="X = 2\n")
    with loaded(root) as definitions:
        assert module(definitions).X == 2
        with loaded(other) as inner:
            assert module(inner).X == 3
        assert module(definitions).X == 2
    assert "pipeline" not in sys.modules
    assert "helpers" not in sys.modules


def test_a_module_of_that_name_from_elsewhere_comes_back_at_the_end(root: Path) -> None:
    write(root, pipeline="import helpers_elsewhere as h\nX = h.X\n", helpers_elsewhere="X = 1\n")
    stranger = type(sys)("helpers_elsewhere")
    sys.modules["helpers_elsewhere"] = stranger
    try:
        with loaded(root) as definitions:
            assert module(definitions).X == 1
        assert sys.modules["helpers_elsewhere"] is stranger
    finally:
        del sys.modules["helpers_elsewhere"]


def test_environments_hidden_folders_and_installed_packages_are_not_the_projects(
    root: Path,
) -> None:
    write(root, pipeline="def f(x): return eval(x)\n", env__lib__thing="X = 1\n", data__m="X = 1\n")
    (root / "env" / "pyvenv.cfg").touch()
    for folder in (".venv", ".lineal", "site-packages", "__pycache__"):
        write(root / folder, thing="X = 1\n")
    with loaded(root) as definitions:
        assert definitions.finder.every() == ["data.m", "pipeline"]


def test_a_standard_module_wins_over_a_project_file_and_it_is_told(root: Path) -> None:
    write(root, pipeline="import random\nX = random.random()\n", random="def random(): return 7\n")
    with loaded(root) as definitions:
        assert module(definitions).X != 7
        assert "random.py" in definitions.warnings[0]
        assert "rename" in definitions.warnings[0]


def test_a_definitions_file_named_as_a_standard_module_is_an_error(root: Path) -> None:
    write(root, random="X = 1\n")
    assert "random" in failure(root, ["random.py"]).message


def test_tracebacks_show_the_users_lines_under_the_real_path(root: Path) -> None:
    write(root, pipeline="def f():\n    raise ValueError('no')\n")
    with loaded(root) as definitions:
        linecache.checkcache()
        with pytest.raises(ValueError, match="no") as caught:
            module(definitions).f()
        frame = traceback.extract_tb(caught.tb)[-1]
        assert frame.filename == str(root / "pipeline.py")
        assert frame.line == "raise ValueError('no')"


# -------------------------------------------------------------------------- errors


def test_an_import_error_names_the_users_own_line(root: Path) -> None:
    write(root, pipeline="import helpers\n", helpers="import json\n\nx = json.loads('{')  # here\n")
    error = failure(root)
    assert error.where == "helpers.py:3"
    assert "JSONDecodeError" in error.message
    assert "x = json.loads('{')  # here" in error.message
    assert type(error.__cause__).__name__ == "JSONDecodeError"


def test_a_word_that_cant_be_right_is_told_with_the_users_own_line(root: Path) -> None:
    text = "import lineal\n\nMONTHS = lineal.monthly('2013-13')\n"
    write(root, pipeline="import helpers\n", helpers=text)
    error = failure(root)
    assert (error.where, error.message) == ("helpers.py:3", "`start` of `monthly` is '2013-13'")


def test_a_syntax_error_shows_the_line_and_a_caret(root: Path) -> None:
    write(root, pipeline="import helpers\n", helpers="def f(:\n    pass\n")
    error = failure(root)
    assert error.where == "helpers.py:1"
    line, caret = error.message.splitlines()[1:]
    assert line.strip() == "def f(:"
    assert line[caret.index("^")] == ":"


def test_a_missing_file_is_an_error(root: Path) -> None:
    assert "pipeline.py" in failure(root).message


def test_exiting_while_loading_is_an_error(root: Path) -> None:
    write(root, pipeline="import sys\nsys.exit(3)\n")
    assert failure(root).where == "pipeline.py:2"


# -------------------------------------------------------------------------- changes after planning


def test_modules_whose_files_changed_since_they_were_loaded_are_told(root: Path) -> None:
    write(root, pipeline="import helpers\n", helpers="X = 1\n")
    with loaded(root) as definitions:
        assert definitions.changed() == []
        os.utime(root / "pipeline.py")
        write(root, helpers="X = 2\n")
        assert definitions.changed() == ["helpers"]
        (root / "pipeline.py").unlink()
        assert definitions.changed() == ["helpers", "pipeline"]


def test_a_late_import_of_a_module_that_differs_from_the_plan_fails(root: Path) -> None:
    body = "    name = 'late'\n    return __import__(name).X\n"
    write(root, pipeline=f"def f():\n{body}", late="X = 1\n")
    plan = {"late": digest_bytes(b"X = 1\n")}
    with loaded(root, expected=plan) as definitions:
        assert module(definitions).f() == 1
    write(root, late="X = 2\n")
    with (
        loaded(root, expected=plan) as definitions,
        pytest.raises(InputsChanged, match="late") as caught,
    ):
        module(definitions).f()
    assert caught.value.advice == "run again"


def test_what_a_body_imports_is_loaded_by_the_walk_so_a_later_edit_does_not_run(root: Path) -> None:
    write(root, pipeline="def f():\n    from late import X\n    return X\n", late="X = 1\n")
    with loaded(root) as definitions:
        definitions.walker.recipe(module(definitions).f)
        write(root, late="X = 2\n")
        assert module(definitions).f() == 1
        assert definitions.changed() == ["late"]


def test_a_module_first_imported_late_is_noted(root: Path) -> None:
    write(root, pipeline="def f(name): return __import__(name).X\n", late="X = 1\n")
    with loaded(root) as definitions:
        assert "late" not in definitions.sources
        assert module(definitions).f("late") == 1
        assert "late" in definitions.sources


# -------------------------------------------------------------------------- the kept code


def test_kept_code_is_used_only_for_the_very_bytes(root: Path) -> None:
    cache = root / ".lineal"
    write(root, pipeline="X = 1\n")
    for value in (1, 1, 2, 1):
        write(root, pipeline=f"X = {value}\n")
        with loaded(root, cache_dir=cache) as definitions:
            assert value == module(definitions).X
    assert len(list(cache.rglob("*.bin"))) == 1


def test_a_damaged_kept_file_is_computed_again(root: Path) -> None:
    cache = root / ".lineal"
    write(root, pipeline="X = 1\n")
    for _ in range(2):
        with loaded(root, cache_dir=cache):
            pass
    (kept,) = cache.rglob("*.bin")
    good = kept.read_bytes()
    for damaged in (b"", good[:70], good[:-1] + bytes([good[-1] ^ 1]), b"\0" * len(good)):
        kept.write_bytes(damaged)
        with loaded(root, cache_dir=cache) as definitions:
            assert module(definitions).X == 1
        assert kept.read_bytes() == good


def test_a_cache_folder_that_cant_be_written_is_none(root: Path) -> None:
    write(root, pipeline="X = 1\n")
    (root / "file").touch()
    with loaded(root, cache_dir=root / "file") as definitions:
        assert module(definitions).X == 1


def test_text_files_are_read_once_and_watched(root: Path) -> None:
    write(root, pipeline="X = 1\n")
    (root / "q.sql").write_text("select 1")
    with loaded(root) as definitions:
        path = str(root / "q.sql")
        assert definitions.texts.read(path) == b"select 1"
        (root / "q.sql").write_text("select 2")
        assert definitions.texts.read(path) == b"select 1"
        assert definitions.texts.below(str(root), ".sql") == [path]
        assert definitions.changed() == [path]
