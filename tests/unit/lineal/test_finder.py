"""Which modules are the project's: those below its folder, and those nobody installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineal.assets.errors import DefinitionError
from lineal.definitions import load

ADD = "import sys, pathlib\nHERE = pathlib.Path(__file__).parent\nsys.path.insert(0, str(HERE{}))\n"


@pytest.fixture(autouse=True)
def _path_as_it_was() -> Iterator[None]:
    before = list(sys.path)
    yield
    sys.path[:] = before


@pytest.fixture
def root(tmp_path: Path) -> Path:
    found = tmp_path / "project"
    found.mkdir()
    return found


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def recipe(root: Path) -> str:
    with load(root, ["pipeline.py"], root / ".lineal") as definitions:
        return definitions.walker.recipe(vars(definitions.module("pipeline"))["f"]).digest


def changed(root: Path, file: Path) -> bool:
    """Does an edit of a module change the recipe of `f`?"""
    write(file, "def g(): return 1\n")
    before = recipe(root)
    write(file, "def g(): return 2\n")
    return recipe(root) != before


@pytest.mark.parametrize("folder", ["src", "my-code/src"])
def test_a_module_in_a_folder_that_the_code_adds_counts(root: Path, folder: str) -> None:
    place = "".join(f" / {part!r}" for part in folder.split("/"))
    write(root / "pipeline.py", ADD.format(place) + "import found_a\ndef f(): return found_a.g()\n")
    assert changed(root, root / folder / "found_a.py")


def test_a_module_beside_the_project_counts(root: Path) -> None:
    text = ADD.format(".parent / 'shared'") + "import found_b\ndef f(): return found_b.f()\n"
    write(root / "pipeline.py", text)
    write(root.parent / "shared" / "found_b.py", "from found_c import g\ndef f(): return g()\n")
    assert changed(root, root.parent / "shared" / "found_c.py")


def test_a_module_on_the_path_of_the_process_counts(root: Path) -> None:
    sys.path.append(str(root.parent / "shared"))
    write(root / "pipeline.py", "import found_d\ndef f(): return found_d.g()\n")
    assert changed(root, root.parent / "shared" / "found_d.py")


def test_a_package_of_a_folder_that_the_code_adds_counts(root: Path) -> None:
    text = ADD.format(" / 'src'") + "from found_e.inner import g\ndef f(): return g()\n"
    write(root / "pipeline.py", text)
    write(root / "src" / "found_e" / "__init__.py", "")
    assert changed(root, root / "src" / "found_e" / "inner.py")


def test_what_is_installed_is_not_the_projects(root: Path) -> None:
    installed = root / "venv" / "lib" / "site-packages"
    write(root / "venv" / "pyvenv.cfg", "")
    write(installed / "found_f.py", "")
    sys.path.append(str(installed))
    write(root / "pipeline.py", "import found_f\ndef f(): return found_f.g()\n")
    with load(root, ["pipeline.py"], None) as definitions:
        assert not definitions.finder.is_project("found_f")
        assert not definitions.finder.is_project("pytest")
    del sys.modules["found_f"]


def test_an_installed_package_comes_before_a_folder_later_on_the_path(root: Path) -> None:
    sys.path.append(str(root / "src"))
    write(root / "src" / "click" / "__init__.py", "")
    write(root / "pipeline.py", "")
    with load(root, ["pipeline.py"], None) as definitions:
        assert not definitions.finder.is_project("click")


def test_the_path_is_as_it_was_when_the_project_is_closed(root: Path) -> None:
    write(root / "pipeline.py", ADD.format(" / 'src'"))
    (root / "src").mkdir()
    before = list(sys.path)
    with load(root, ["pipeline.py"], None):
        assert sys.path != before
    assert sys.path == before


def test_a_module_from_outside_that_only_a_body_finds_is_refused(root: Path) -> None:
    body = ADD.format(".parent / 'shared'").replace("\n", "\n    ")
    write(root / "pipeline.py", f"def f():\n    {body}import found_g\n    return found_g.g()\n")
    write(root.parent / "shared" / "found_g.py", "def g(): return 1\n")
    with load(root, ["pipeline.py"], None) as definitions:
        f = vars(definitions.module("pipeline"))["f"]
        with pytest.raises(DefinitionError, match=r"found_g.*not known when the plan was made"):
            f()
