"""Heavy imports wait until they are needed; nothing but time tells the difference."""

from __future__ import annotations

import ast
import contextlib
import pickle
import re
import subprocess
import sys
import textwrap
import threading
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lineal.assets.asset import Asset, Check
from lineal.assets.deferred import MARK
from lineal.assets.errors import DefinitionError
from lineal.assets.records import Recipe
from lineal.assets.scopes import binding_lines
from lineal.definitions import Definitions, load
from tests.generated_project import generated

REPOSITORY = Path(__file__).parents[3]

# Stands for a library that is not installed here, so that its import can be seen to happen.
TORCH = {
    "torch/__init__.py": """
        import os
        import trail
        trail.STEPS.append("torch")
        THREADS = os.environ.get("TORCH_THREADS")
        RATE = 3
        NAME = "SOME.csv"
        class Tensor:
            pass
        class Module:
            pass
        def sin(x):
            return x * RATE
        def use(f):
            return f
        def hints(f):
            import typing
            trail.STEPS.append(typing.get_type_hints(f))
            return f
    """,
    "torch/nn.py": "import trail\ntrail.STEPS.append('torch.nn')\ndef relu(x):\n    return x\n",
    "lightgbm/__init__.py": "from trail import STEPS\nSTEPS.append('lightgbm')\n"
    "class Booster: ...\n",
    "trail/__init__.py": "STEPS = []\ndef patch():\n    import torch\n    torch.RATE = 7\n",
}
FAKES = ("torch", "lightgbm", "trail")


class Project:
    """A project in a folder, loaded as often as is asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.opened: list[Definitions] = []

    def write(self, files: Mapping[str, str]) -> Project:
        for name, text in files.items():
            file = self.root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text))
        return self

    def load(self, *, defer: bool = True) -> Definitions:
        self.close()
        cache = self.root / ".lineal" / "cache"
        self.opened = [load(self.root, ["pipeline.py"], cache, defer=defer)]
        return self.opened[0]

    def warm(self) -> Any:
        """pipeline.py, loaded when all its imports were seen to work, nothing imported yet."""
        self.load()
        self.close()
        forget()
        return self.load().module("pipeline")

    def close(self) -> None:
        for definitions in self.opened:
            definitions.close()
        self.opened = []


def forget() -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] in FAKES]:
        del sys.modules[name]


def imported() -> list[Any]:
    """What the libraries that stand in said while they were imported, in order."""
    trail = sys.modules.get("trail")
    return list(trail.STEPS) if trail is not None else []


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    libraries = tmp_path / "site-packages"  # what lies elsewhere on the path is the project's
    Project(libraries).write(TORCH)
    monkeypatch.syspath_prepend(str(libraries))
    found = Project(tmp_path / "project")
    yield found
    found.close()
    forget()


# ------------------------------------------------------------------------- what no longer waits


SLOW = ("pandas", "numpy", "sklearn", "matplotlib", "scipy", "pyarrow", "duckdb", "joblib")


def lineal(root: Path, *words: str) -> str:
    program = (
        "import sys; from lineal.cli import main\n"
        "try: main()\n"
        f"finally: print('LOADED', [n for n in sys.modules if n in {SLOW}])"
    )
    said = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=root, capture_output=True, text=True,
        env={"PYTHONPATH": str(REPOSITORY), "HOME": str(root)},
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    return said.stdout


def test_no_heavy_import_on_a_no_op(tmp_path: Path) -> None:
    Project(tmp_path).write(
        {
            "pipeline.py": """
                from typing import Annotated
                import matplotlib
                import numpy as np
                import pandas as pd
                import scipy.stats
                from models import fit
                from matplotlib.figure import Figure
                from sklearn.linear_model import LinearRegression
                from lineal import asset, columns

                Numbers = Annotated[pd.DataFrame, columns("x", "y")]

                @asset(primary_key="x")
                def numbers() -> pd.DataFrame:
                    return pd.DataFrame({"x": [1, 2, 3], "y": np.array([2.0, 4.0, 6.0])})

                @asset
                def model(numbers: Numbers, rows: int = 3) -> LinearRegression:
                    return fit(numbers.head(rows))

                @asset
                def slope(model: LinearRegression, numbers: Annotated[pd.DataFrame, columns("x")]):
                    return {"slope": float(model.coef_[0]), "mean": scipy.stats.tmean(numbers.x)}

                @asset
                def picture(numbers: pd.DataFrame) -> Figure:
                    return Figure()
            """,
            "models.py": """
                import pandas as pd
                from sklearn.linear_model import LinearRegression
                def fit(frame: pd.DataFrame, weights: pd.Series | None = None) -> LinearRegression:
                    return LinearRegression().fit(frame[["x"]], frame["y"])
            """,
        }
    )
    assert "4 made" in lineal(tmp_path, "materialize")
    assert "LOADED []" in lineal(tmp_path, "materialize")
    assert "LOADED []" in lineal(tmp_path, "plan")
    assert "LOADED []" in lineal(tmp_path, "why", "model")
    file = tmp_path / "models.py"
    file.write_text(file.read_text().replace('frame["y"])', 'frame["y"] * 2)'))
    assert "LOADED []" in lineal(tmp_path, "plan")
    assert "2 made" in lineal(tmp_path, "materialize")


# -------------------------------------------------------------------------- the same recipes

MODULE = """
    from typing import Annotated
    import other
    import torch
    import torch as t
    import torch.nn
    import torch.nn as nn
    from torch import RATE, Tensor, sin as sine
    from lightgbm import Booster
    from lineal import asset, check, columns

    NAMES = ["a", "b"]
    Rows = Annotated[Tensor, columns(*NAMES)]
    Many = dict[str, torch.Tensor]

    @asset
    def whole():
        return torch.sin(1) + t.sin(2) + torch.nn.relu(1) + nn.relu(2) + sine(RATE)
    @asset
    def typed(whole: Tensor, rows: Rows, rest: Annotated["list[t.Tensor]", columns("c")],
              n: int = 1) -> Booster:
        return lambda: torch.sin(1)
    @asset
    def through():
        return other.torch.sin(1), other.helper(2), other.Tool().go
    @asset
    def typed_inside():
        return Rows, Many
    @asset
    def documented():
        return typed.function.__doc__
    @asset
    def anything():
        return getattr(other, NAMES[0])
    @asset
    def queries(whole):
        return whole.query("x > @RATE and y > @torch")
    @check(whole)
    def sound(whole: Tensor, rows: Rows):
        return isinstance(whole, Tensor)
    def plain(x: Many, y: t.Tensor = None) -> "Tensor":
        def inner(z: Tensor) -> Tensor:
            return sine(z)
        return [sine(i) for i in x], inner
"""
OTHER = """
    import torch
    from torch import nn, sin
    class Tool:
        def __init__(self, kind: torch.Tensor | None = None):
            self.kind = kind
        def go(self) -> torch.Tensor:
            return nn.relu(self)
        @staticmethod
        def still(x: "torch.Tensor"):
            return torch.sin(x)
    def helper(x: torch.Tensor) -> torch.Tensor:
        return sin(x)
"""


def recipes(definitions: Definitions, modules: tuple[str, ...]) -> dict[str, tuple[Any, ...]]:
    """All that is known of every function of these modules, and of every declaration."""
    found: dict[str, tuple[Any, ...]] = {}
    for name in modules:
        module = definitions.module(name)
        names = types_names(module)
        for label, value in sorted(names.items()):
            function = value.function if isinstance(value, Asset | Check) else value
            if callable(function) and getattr(function, "__module__", "") == name:
                recipe: Recipe | str
                try:
                    recipe = definitions.walker.recipe(function)
                except DefinitionError as error:
                    recipe = str(error)
                said = (value.inputs, value.parameters) if isinstance(value, Asset | Check) else ()
                found[f"{name}.{label}"] = (recipe, said)
    return found


def types_names(module: Any) -> dict[str, Any]:
    """What a module holds, without asking it: that would have it import."""
    names: dict[str, Any] = vars(type(sys))["__dict__"].__get__(module)
    return dict(names)


def three_ways(
    project: Project, modules: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """As written; with imports that wait; with imports that waited."""
    written = recipes(project.load(defer=False), modules)
    project.warm()
    waiting = recipes(project.opened[0], modules)
    project.warm()
    project.opened[0].settle()
    return written, waiting, recipes(project.opened[0], modules)


def test_recipes_are_the_same_whether_imports_wait_or_not(project: Project) -> None:
    project.write({"pipeline.py": MODULE, "other.py": OTHER})
    written, waiting, settled = three_ways(project, ("pipeline", "other"))
    assert len(written) == 11
    assert waiting == written
    assert settled == written


# What a module does to libraries while it loads is told by looking at live modules, some waiting.
DOING = {
    "a call through a module that waits": "import helpers\nhelpers.configure()\n",
    "a call in a function": "from helpers import configure\ndef go():\n    configure()\ngo()\n",
    "a library through a module": "import helpers\nhelpers.sys.setrecursionlimit(999)\n"
    "helpers.decimal.setcontext(helpers.decimal.Context())\n",
    "a wrapper that is never called": "import helpers\n@helpers.wrap(1)\ndef go(): ...\n",
    "names as values": "import os, helpers\n@asset\ndef go():\n    return os.environ[helpers.NAME]"
    ", os.environ[helpers.torch.NAME], open(helpers.torch.NAME)\n",
    "names of its own": "import os, torch\nfrom torch import NAME\n@asset\ndef go():\n"
    "    return os.environ[NAME], os.environ[torch.NAME]\n",
    "a type in a query": "from torch import Tensor\nMany = dict[str, Tensor]\n@asset\n"
    "def go(whole):\n    return whole.query('x > @Many')\n",
    "a class through a module": "import helpers\n@asset\n"
    "def go(x: 'helpers.Kind', y: 'helpers.torch.Tensor'):\n    return x\n",
}
HELPERS = """
    import decimal, sys
    import torch
    from torch import sin
    NAME = "SOME.csv"
    class Kind: ...
    def configure():
        decimal.setcontext(decimal.Context(prec=28))
    def wrap(n):
        def around(f):
            def inner():
                torch.sin(n)
                sin(n)
                return helpers_own()
            return inner
        return around
    def helpers_own():
        torch.RATE = 5
"""


@pytest.mark.parametrize("name", DOING)
def test_what_is_told_from_live_modules_is_the_same(project: Project, name: str) -> None:
    text = f"from lineal import asset\n{DOING[name]}\n@asset\ndef first():\n    return 1\n"
    project.write({"pipeline.py": text, "helpers.py": HELPERS})
    written, waiting, settled = three_ways(project, ("pipeline", "helpers"))
    assert "pipeline.first" in written
    assert waiting == written
    assert settled == written


@pytest.mark.parametrize("name", ["whole", "typed", "through", "sound", "plain"])
def test_the_recipe_of_a_function_needs_no_import(project: Project, name: str) -> None:
    project.write({"pipeline.py": MODULE, "other.py": OTHER})
    written = recipes(project.load(defer=False), ("pipeline",))[f"pipeline.{name}"]
    project.warm()
    value = types_names(project.opened[0].module("pipeline"))[name]
    waiting = project.opened[0].walker.recipe(getattr(value, "function", value))
    assert imported() == []
    assert waiting == written[0]


@pytest.mark.parametrize("first", ["typed_inside", "anything", "queries", "documented"])
def test_the_order_in_which_recipes_are_asked_for_does_not_matter(
    project: Project, first: str
) -> None:
    project.write({"pipeline.py": MODULE, "other.py": OTHER})
    written = recipes(project.load(defer=False), ("pipeline", "other"))
    project.warm()
    definitions = project.opened[0]
    function = types_names(definitions.module("pipeline"))[first].function
    definitions.walker.recipe(function)
    assert recipes(definitions, ("pipeline", "other")) == written


def test_recipes_of_real_projects_are_the_same(tmp_path: Path) -> None:
    import shutil

    flights = Project(tmp_path / "flights")
    shutil.copytree(REPOSITORY / "examples" / "flights", flights.root)
    golden = Project(tmp_path / "golden")
    shutil.copytree(REPOSITORY / "tests" / "golden" / "recipe_project", golden.root)
    for project, modules in (
        (flights, ("pipeline", "models", "features")),
        (golden, ("pipeline", "features.shapes", "features.text")),
    ):
        with contextlib.closing(project):
            written, waiting, settled = three_ways(project, modules)
        assert written
        assert waiting == written
        assert settled == written


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("used", ["return torch_rate and ", "return "])
def test_recipes_of_every_shape_of_code_are_the_same(
    project: Project, seed: int, used: str
) -> None:
    """The shapes of tests/code_shapes.py; some call at load what uses a library, most don't."""
    files = generated(seed).rendered()
    names = ", ".join(binding_lines(ast.parse(files["shaping.py"])))
    files["pipeline.py"] = files["pipeline.py"].replace(
        "from shaping import *", f"from shaping import {names}" if names else "pass"
    )
    for name, text in files.items():
        place = project.root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".py") and name != "pipeline.py":
            text = re.sub(r"(?m)^((?:import|from) (?!__future__))", f"{IMPORT}\\1", text, count=1)
            text = text if IMPORT in text else f"{IMPORT}{text}"
            text = text.replace("return ", used)
        place.write_text(text)
    modules = ("pipeline", "shaping", "kinds", "lib.numbers", "lib.late")
    present = tuple(m for m in modules if f"{m.replace('.', '/')}.py" in files)
    written, waiting, settled = three_ways(project, present)
    assert len(written) > 10
    assert waiting == written
    assert settled == written


IMPORT = "from torch import RATE as torch_rate\n"


# ------------------------------------------------------------------------- the same behaviour


def test_the_first_function_that_needs_one_makes_all_imports_in_their_order(
    project: Project,
) -> None:
    pipeline = project.write(
        {
            "pipeline.py": "from lightgbm import Booster\nimport late\nimport torch\n"
            "def f(x):\n    return torch.sin(x)\n",
            "late.py": "from torch import nn\n",
        }
    ).warm()
    assert imported() == []
    assert pipeline.f(2) == 6
    assert imported() == ["lightgbm", "torch", "torch.nn"]
    assert type(pipeline) is type(sys)
    assert pipeline.torch is sys.modules["torch"]
    assert vars(pipeline)[MARK] is None


ASKED: dict[str, Callable[[Any], Any]] = {
    "attribute": lambda m: m.torch.RATE,
    "hasattr": lambda m: 3 if hasattr(m, "sin") else None,
    "vars": lambda m: vars(m)["torch"].RATE,
    "__dict__": lambda m: m.__dict__["torch"].RATE,
    "dir": lambda m: 3 if "torch" in dir(m) else None,
    "function": lambda m: m.f(),
    "method": lambda m: m.C().go(),
    "property": lambda m: m.C().rate,
    "generator": lambda m: next(m.g()),
    "alias": lambda m: 3 if m.Many == dict[str, m.torch.Tensor] else None,
    "globals of a function": lambda m: m.outer()(),
}


@pytest.mark.parametrize("way", ASKED)
def test_whoever_asks_a_module_for_what_waits_has_it(project: Project, way: str) -> None:
    pipeline = project.write(
        {
            "pipeline.py": """
                import torch
                from torch import sin
                Many = dict[str, torch.Tensor]
                def f(x: torch.Tensor = 1) -> torch.Tensor:
                    "Its text."
                    return torch.RATE
                def g():
                    yield torch.RATE
                def outer():
                    return lambda: torch.RATE
                class C:
                    def go(self, x: Many = ()):
                        return torch.RATE
                    @property
                    def rate(self):
                        return torch.RATE
            """
        }
    ).warm()
    assert imported() == []
    assert ASKED[way](pipeline) == 3
    assert imported() == ["torch"]
    assert pipeline.f.__doc__ == "Its text."
    assert pipeline.f.__annotations__["x"] is pipeline.torch.Tensor
    assert typing.get_type_hints(pipeline.C.go)["x"] == dict[str, pipeline.torch.Tensor]


def test_another_name_of_a_module_that_waits_imports_nothing(project: Project) -> None:
    pipeline = project.write({"pipeline.py": "import torch\nN = 1\n"}).warm()
    assert pipeline.N == 1
    assert not hasattr(pipeline, "missing")
    with pytest.raises(AttributeError, match="module 'pipeline' has no attribute 'missing'"):
        pipeline.missing  # noqa: B018
    assert imported() == []


def test_a_name_set_from_outside_stays_what_it_was_set_to(project: Project) -> None:
    pipeline = project.write({"pipeline.py": "import torch\ndef f():\n    return torch\n"}).warm()
    pipeline.torch = 5
    assert pipeline.f() == 5
    del pipeline.torch
    with pytest.raises(NameError):
        pipeline.f()


def test_re_exports_and_star_imports_have_the_real_things(project: Project) -> None:
    project.write(
        {
            "pipeline.py": "from helpers import *\nfrom others import sin\n",
            "helpers.py": "import torch\nfrom torch import Tensor\n",
            "others.py": "from torch import sin\n",
        }
    )
    pipeline = project.warm()
    assert pipeline.torch is sys.modules["torch"]
    assert pipeline.Tensor is sys.modules["torch"].Tensor
    assert pipeline.sin is sys.modules["torch"].sin


def test_many_threads_at_once_find_what_they_need(project: Project) -> None:
    pipeline = project.write(
        {"pipeline.py": "import torch\nimport torch.nn\ndef f():\n    return torch.nn.relu(1)\n"}
    ).warm()
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(pipeline.f())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 8
    assert imported() == ["torch", "torch.nn"]


def test_functions_and_instances_are_pickled_as_ever(project: Project) -> None:
    pipeline = project.write(
        {
            "pipeline.py": "import torch\ndef f():\n    return torch.RATE\n"
            "class C:\n    def __init__(self):\n        self.x = torch.RATE\n"
        }
    ).warm()
    assert pickle.loads(pickle.dumps(pipeline.f)) is pipeline.f
    assert pickle.loads(pickle.dumps(pipeline.C())).x == 3


def test_a_traceback_has_the_lines_that_are_written(project: Project) -> None:
    pipeline = project.write(
        {
            "pipeline.py": "import torch\n\n\ndef f(x):\n    '''Text.'''\n"
            "    y = torch.sin(x)\n    return 1 / (y - 3)\n"
        }
    ).warm()
    seen: list[tuple[str, int]] = []

    def watch(frame: Any, event: str, _: Any) -> Any:
        if frame.f_code.co_filename.endswith("pipeline.py") and frame.f_code.co_name == "f":
            seen.append((event, frame.f_lineno))
            return watch
        return None

    before = sys.gettrace()
    for _ in range(2):
        seen.clear()
        sys.settrace(watch)
        try:
            with pytest.raises(ZeroDivisionError) as caught:
                pipeline.f(1)
        finally:
            sys.settrace(before)
        lines = [line for event, line in seen if event == "line"]
        assert lines == [6, 7]
        assert caught.traceback[-1].lineno + 1 == 7
        assert pipeline.f.__code__.co_firstlineno == 4


# ------------------------------------------------------------------------- what does not wait

EAGER = {
    "a base class": "import torch\nclass Net(torch.Module):\n    pass\n",
    "a class body": "import torch\nclass Net:\n    rate = torch.RATE\n",
    "an attribute's annotation": "import torch\nclass Net:\n    x: torch.Tensor\n",
    "a decorator": "import torch\n@torch.use\ndef f():\n    pass\n",
    "a default": "import torch\ndef f(x=torch.RATE):\n    pass\n",
    "a lambda": "import torch\nf = lambda: torch.RATE\n",
    "a constant": "import torch\nx = [torch.sin(i) for i in range(3)]\n",
    "state of the library": "import torch\ntorch.RATE = 4\n",
    "a function called while loading": "import torch\ndef f():\n    return torch.RATE\nx = f()\n",
    "a method called while loading": "import torch\nclass C:\n    def f(self):\n"
    "        return torch.RATE\nx = C().f()\n",
    "globals": "import torch\ndef f():\n    return globals()['torch']\n",
    "eval": "import torch\ndef f():\n    return eval('torch')\n",
    "names here": "import torch\nx = sorted(dir())\n",
    "try": "try:\n    import torch\nexcept ImportError:\n    torch = None\n",
    "if": "if True:\n    import torch\n",
    "bound anew": "import torch\ntorch = 5\n",
    "deleted": "import torch\ndel torch\n",
    "global": "import torch\ndef f():\n    global torch\n    torch = 5\n",
    "a star": "from torch import *\n",
    "a name of a builtin": "from torch import sin as sum\n",
    "annotations read": "import torch, typing\ndef f(x: torch.Tensor): ...\n"
    "H = typing.get_type_hints\n",
    "annotations under another's decorator": "import torch, atexit\n@atexit.register\n"
    "def f(x: torch.Tensor = 0): ...\n",
    "annotations handed on": "import torch\ndef f(x: torch.Tensor): ...\nG = [f]\n",
    "annotations that compute": "import torch\ndef f(x: torch.sin(1)): ...\n",
    "annotations of a dataclass": "import torch\nfrom dataclasses import dataclass\n@dataclass\n"
    "class C:\n    x: torch.Tensor\n",
    "a named tuple": "import torch\nfrom typing import NamedTuple\n"
    "class C(NamedTuple):\n    x: torch.Tensor\n",
    "a parameter's class": "import torch\nfrom lineal import asset\n@asset\n"
    "def f(*, x: torch.Tensor): ...\n",
    "a library of the project's own": "import torch, trail\n",
}


@pytest.mark.parametrize("name", EAGER)
def test_what_is_needed_while_loading_is_imported_while_loading(
    project: Project, name: str
) -> None:
    files = {"pipeline.py": EAGER[name]}
    if "own" in name:
        files["torch.py"] = "import trail\ntrail.STEPS.append('own')\n"
    project.write(files).warm()
    assert imported() == (["own"] if "own" in name else ["torch"])


LAZY = {
    "a main guard": "import torch\nif __name__ == '__main__':\n    torch.sin(1)\n",
    "a local name": "import torch\ndef f(torch):\n    return torch\n",
    "the same import twice": "import torch\nimport torch.nn\n",
    "two libraries": "import torch as t, lightgbm\n",
    "annotations as texts": "from __future__ import annotations\nimport torch\n"
    "def f(x: torch.Tensor, y: torch.sin(1) = 0): ...\n",
    "vars of something": "import torch\ndef f(x):\n    return vars(x), dir(x), locals()\n",
    "a generic type": "import torch\ndef f(x: list[torch.Tensor] | None, *, y: tuple[int, "
    "torch.Tensor] = ()) -> dict[str, torch.Tensor]: ...\n",
    "an input's class": "import torch\nfrom lineal import asset\n@asset\n"
    "def f(x: torch.Tensor | None) -> torch.Tensor: ...\n",
    "a declaration called": "import torch\nfrom lineal import asset\n"
    "def f(x: torch.Tensor): ...\nasset(name='g')(f)\n",
    "a safe decorator": "import torch\nimport functools\n@functools.cache\n"
    "def f(x: torch.Tensor):\n    return torch\n",
    "a submodule": "import torch.nn as nn\nfrom torch.nn import relu\n",
}


@pytest.mark.parametrize("name", LAZY)
def test_what_is_not_needed_waits(project: Project, name: str) -> None:
    project.write({"pipeline.py": LAZY[name]}).warm()
    assert imported() == []


def test_a_library_that_nobody_installed_does_not_wait(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its code is the project's: what it does while it is imported counts."""
    (tmp_path / "site-packages" / "torch").rename(tmp_path / "torch")
    monkeypatch.syspath_prepend(str(tmp_path))
    project.write({"pipeline.py": "import torch\nimport lightgbm\n"}).warm()
    assert imported() == ["torch", "lightgbm"]


SETUPS = {
    "directly": "import torch\ntorch.RATE = 7\n",
    "in a function": "import torch\ndef go():\n    torch.RATE = 7\ngo()\n",
    "by an import in a function": "def go():\n    import torch\n    torch.RATE = 7\nX = go()\n",
    "in a function elsewhere": "import setting\nsetting.go()\n",
    "by another library": "import trail\ntrail.patch()\n",
}


@pytest.mark.parametrize("how", SETUPS)
def test_state_set_on_a_library_is_set_when_it_would_be(project: Project, how: str) -> None:
    pipeline = project.write(
        {
            "pipeline.py": "import early\nimport setup\nimport late\n",
            "early.py": "from torch import RATE\ndef f():\n    return RATE\n",
            "setup.py": SETUPS[how],
            "setting.py": "def go():\n    from torch import nn\n    import torch\n"
            "    torch.RATE = 7\n",
            "late.py": "from torch import RATE\ndef f():\n    return RATE\n",
        }
    ).warm()
    assert (pipeline.early.f(), pipeline.late.f()) == (3, 7)


def test_an_import_waits_for_those_before_it_of_its_library(project: Project) -> None:
    project.write(
        {
            "pipeline.py": "import enable\nfrom torch import sin\nX = sin(1)\n",
            "enable.py": "import lightgbm\nimport torch.nn\n",
        }
    ).warm()
    assert imported() == ["torch", "torch.nn"]


def test_the_environment_that_a_module_sets_is_there_when_its_imports_are_made(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TORCH_THREADS", raising=False)
    pipeline = project.write(
        {
            "pipeline.py": "import os\nos.environ['TORCH_THREADS'] = '2'\nimport torch\n"
            "def f():\n    return torch.THREADS\n"
        }
    ).warm()
    assert pipeline.f() == "2"


def test_annotations_wanted_by_a_library_while_loading_are_there(project: Project) -> None:
    """The names in the annotations of another module's function: nothing in sight says so."""
    pipeline = project.write(
        {
            "pipeline.py": "import typing, helpers\n"
            "HINTS = getattr(typing, 'get_' + 'type_hints')(helpers.f)\n",
            "helpers.py": "import torch\ndef f(x: torch.Tensor): ...\n",
        }
    ).warm()
    assert pipeline.HINTS == {"x": sys.modules["torch"].Tensor}


# --------------------------------------------------------------------------- imports that fail


def test_a_missing_package_is_told_when_the_module_is_loaded(project: Project) -> None:
    project.write({"pipeline.py": "import os\nimport catboost\ndef f():\n    catboost.x\n"})
    for _ in range(2):
        with pytest.raises(DefinitionError) as caught:
            project.load()
        assert "ModuleNotFoundError: No module named 'catboost'" in caught.value.message
        assert "import catboost" in caught.value.message
        assert caught.value.where == "pipeline.py:2"


def test_a_misspelt_name_is_told_when_the_module_is_loaded(project: Project) -> None:
    project.write({"pipeline.py": "from torch import sin\nimport torch\n"}).warm()
    for line in ("from torch import sinn\n", "def f(x: torch.Tensr): ...\n"):
        project.write({"pipeline.py": f"from torch import sin\nimport torch\n{line}"})
        for _ in range(2):
            with pytest.raises(DefinitionError) as caught:
                project.load()
            assert caught.value.where == "pipeline.py:3"


def test_a_package_that_is_gone_is_told_when_the_module_is_loaded(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write({"pipeline.py": "import torch\n"}).warm()
    project.close()
    library = str(project.root.parent / "site-packages")
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != library])
    with pytest.raises(DefinitionError, match="No module named 'torch'"):
        project.load()


def test_the_list_of_imports_that_worked_is_only_a_cache(project: Project) -> None:
    project.write({"pipeline.py": "import torch\n"}).warm()
    assert imported() == []
    for damage in ("", "{", '{"stamp": 1}', '{"stamp": "", "proved": 3}'):
        (project.root / ".lineal/cache/imports.json").write_text(damage)
        forget()
        project.load()
        assert imported() == ["torch"]


def test_without_a_cache_nothing_waits(project: Project) -> None:
    project.write({"pipeline.py": "import torch\n"})
    with load(project.root, ["pipeline.py"], None):
        assert imported() == ["torch"]


# ------------------------------------------------------------------------------ types by name

KINDS = """
    import duckdb, numpy as np, pandas as pd, polars as pl, pyarrow as pa, scipy.stats
    import numpy.typing as npt
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray
    from sklearn.pipeline import Pipeline
    from lineal import asset

    @asset
    def f(a: pd.DataFrame, b: pd.Series, c: pa.Table, d: pa.RecordBatchReader, e: np.ndarray,
          g: duckdb.DuckDBPyRelation, h: pl.DataFrame, i: Pipeline, j: Figure, k: np.float64,
          l: "pd.DataFrame", m: list[pd.DataFrame], n: pd.DataFrame | None, NDARRAYS
          r: dict[str, pl.DataFrame], s: np.ndarray[tuple[int], np.dtype[np.float64]]):
        return 1
"""


@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
@pytest.mark.parametrize(
    "odd",
    ["o: NDArray[np.float64], p: npt.NDArray[np.int8],", "o: npt.ArrayLike,",
     "o: NDArray | None, p: ArrayLike | None,", "o: 'Pipeline | None', p: np.True_,"],
)  # fmt: skip
def test_a_value_arrives_as_its_class_says_before_the_class_is_there(
    tmp_path: Path, odd: str, future: str
) -> None:
    text = future + textwrap.dedent(KINDS.replace("NDARRAYS", odd))
    with contextlib.closing(Project(tmp_path)) as project:
        project.write({"pipeline.py": text})
        written = recipes(project.load(defer=False), ("pipeline",))
        project.warm()
        assert recipes(project.opened[0], ("pipeline",)) == written
        if "NDArray[" in odd:
            assert type(project.opened[0].module("pipeline")) is not type(sys)
