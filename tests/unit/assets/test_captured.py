"""Values that code captures: all that may change a result is part of the recipe."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from lineal.assets.asset import Asset
from lineal.assets.errors import DefinitionError
from lineal.definitions import load


def recipe(root: Path, text: str) -> str:
    """The digest of the recipe of `f`, or of the asset `x` with its declared parameters."""
    (root / "pipeline.py").write_text(textwrap.dedent(text), encoding="utf-8")
    with load(root, ["pipeline.py"], None) as definitions:
        found = vars(definitions.module("pipeline"))
        if "x" not in found:
            return definitions.walker.recipe(found["f"]).digest
        asset = found["x"]
        assert isinstance(asset, Asset)
        given = asset.parameter_types
        return definitions.walker.recipe(asset.function, parameters=given).digest


EDITS = {
    "the holidays of a business day": (
        "import pandas as pd\nB = pd.offsets.CustomBusinessDay(holidays=['2026-01-05'])\n",
        "01-05",
        "01-06",
    ),
    "the week of a business day": (
        "import pandas as pd\nB = pd.offsets.CustomBusinessDay(weekmask='Mon Tue')\n",
        "Mon Tue",
        "Mon Wed",
    ),
    "the hours of a business hour": (
        "import pandas as pd\nB = pd.offsets.BusinessHour(start='09:00')\n",
        "09:00",
        "10:00",
    ),
    "the weekday of an offset": (
        "import pandas as pd\nfrom dateutil.relativedelta import MO, TU\n"
        "B = pd.DateOffset(weekday=MO(1))\n",
        "MO(1)",
        "TU(1)",
    ),
    "the days of an offset": ("import pandas as pd\nB = pd.DateOffset(days=1)\n", "=1", "=2"),
    "the unit of a duration": (
        "import pandas as pd\nB = pd.Timedelta('1h').as_unit('s')\n",
        "'s'",
        "'ms'",
    ),
    "the zone of a timestamp": (
        "import pandas as pd\nB = pd.Timestamp('2026-01-01 12:00', tz='Europe/Paris')\n",
        "Europe/Paris",
        "Europe/Berlin",
    ),
    "the ends of an interval": ("import pandas as pd\nB = pd.Interval(1, 2)\n", "1, 2", "1.0, 2"),
    "the frequency of a period": (
        "import pandas as pd\nB = pd.Period('2026-01', freq='M')\n",
        "'M'",
        "'2M'",
    ),
    "the zone of a type": (
        "import pandas as pd\nB = pd.DatetimeTZDtype('ns', 'UTC')\n",
        "UTC",
        "Europe/Paris",
    ),
    "an Arrow type": (
        "import pandas as pd, pyarrow as pa\nB = pd.ArrowDtype(pa.timestamp('us', 'UTC'))\n",
        "us",
        "ns",
    ),
    "a calendar": (
        "import numpy as np\nB = np.busdaycalendar(holidays=['2026-01-05'])\n",
        "01-05",
        "01-06",
    ),
    "a method of a logger": (
        "import logging\nclass L(logging.Logger):\n    def rate(self): return 1\nB = L('a')\n",
        "return 1",
        "return 2",
    ),
    "an attribute of a path": (
        "import pathlib\nclass P(type(pathlib.Path())): pass\nB = P('a')\nB.n = 1\n",
        "n = 1",
        "n = 2",
    ),
    "a default of a made dataclass": (
        "import dataclasses as d\nB = d.make_dataclass('P', [('a', int, d.field(default=1))])\n",
        "default=1",
        "default=2",
    ),
    "a method of a made dataclass": (
        "import dataclasses as d\n"
        "B = d.make_dataclass('P', ['a'], namespace={'rate': lambda self: 1})\n",
        "self: 1",
        "self: 2",
    ),
    "what was put in place of a cached property": (
        "import functools\nclass C:\n    @functools.cached_property\n    def p(self): return 0\n"
        "B = C()\nB.p = 1\n",
        "B.p = 1",
        "B.p = 2",
    ),
}


@pytest.mark.parametrize("edit", [*EDITS])
def test_what_a_constant_holds_counts(tmp_path: Path, edit: str) -> None:
    text, old, new = EDITS[edit]
    text += "def f(): return B\n"
    assert recipe(tmp_path, text) == recipe(tmp_path, text)
    assert recipe(tmp_path, text) != recipe(tmp_path, text.replace(old, new))


OF_PARAMETERS = {
    "in a list": "def x(c=[C()]): return c\n",
    "declared, with no value in the code": "def x(*, c: C): return c\n",
    "declared, inside another type": "def x(*, c: 'list[C]'): return c\n",
}


@pytest.mark.parametrize("where", [*OF_PARAMETERS])
def test_the_class_of_a_parameter_counts(tmp_path: Path, where: str) -> None:
    text = "import enum, dataclasses\nfrom lineal import asset\n@dataclasses.dataclass\n"
    text += (
        f"class C:\n    a: int = 1\n    def rate(self): return 1\n@asset\n{OF_PARAMETERS[where]}"
    )
    assert recipe(tmp_path, text) != recipe(tmp_path, text.replace("return 1", "return 2"))


def test_the_value_of_a_parameter_counts_elsewhere(tmp_path: Path) -> None:
    text = "from lineal import asset\n@asset\ndef x(n=1): return n\n"
    assert recipe(tmp_path, text) == recipe(tmp_path, text.replace("n=1", "n=2"))


OF_EXEC = {
    "a function": "f = made['f']",
    "a class": "f = made['K']",
    "an instance": "f = made['K']()",
    "inside a library's wrapper": "import contextlib\nf = contextlib.contextmanager(made['f'])",
    "an attribute of a class": "class f:\n    rate = made['f']",
    "an attribute set on a class": "class f: ...\nf.rate = made['f']",
    "a property": "class f:\n    rate = property(made['f'])",
    "a method of a dataclass": (
        "import dataclasses\n@dataclasses.dataclass\nclass f:\n    a: int\n    rate = made['f']"
    ),
}


@pytest.mark.parametrize("use", [*OF_EXEC])
@pytest.mark.parametrize("names", ["{}", "{'__name__': 'numpy'}", "{'__name__': 'pipeline'}"])
def test_code_made_by_exec_is_refused(tmp_path: Path, use: str, names: str) -> None:
    code = "def f(self=0): yield 1\nclass K:\n    f = f\n"
    text = f"made = {names}\nexec({code!r}, made)\n{OF_EXEC[use].replace('f = ', 'g = ', 1)}\n"
    text = text.replace("class f", "class g").replace("f.rate", "g.rate")
    with pytest.raises(DefinitionError, match=r"exec|source|compared"):
        recipe(tmp_path, f"{text}def f(): return g\n")


DRIFTS = {
    "a default": ("def g(a=[]): return a\n", "g().append(1)"),
    "an own parameter": ("def g(): ...\n", "f.__defaults__[0].append(1)"),
    "a new attribute of a function": ("def g(): ...\n", "g.n = 1"),
    "a new attribute of a class": ("class g:\n    pass\n", "g.n = 1"),
    "an attribute of an instance": ("class C: ...\ng = C()\n", "g.n = 1"),
}


@pytest.mark.parametrize("case", [*DRIFTS])
def test_a_value_that_a_run_changes_is_found(tmp_path: Path, case: str) -> None:
    text, change = DRIFTS[case]
    (tmp_path / "pipeline.py").write_text(f"{text}def f(own=[]): return g\n", encoding="utf-8")
    with load(tmp_path, ["pipeline.py"], None) as definitions:
        names = vars(definitions.module("pipeline"))
        definitions.walker.recipe(names["f"], parameters=["own"])
        assert definitions.walker.drifted(names["f"]) is None
        exec(change, names)
        assert definitions.walker.drifted(names["f"]) is not None


def test_a_cached_property_that_is_computed_is_no_change(tmp_path: Path) -> None:
    text = (
        "import functools\nclass C:\n    @functools.cached_property\n    def p(self): return [0]\n"
    )
    (tmp_path / "pipeline.py").write_text(text + "B = C()\ndef f(): return B.p\n", encoding="utf-8")
    with load(tmp_path, ["pipeline.py"], None) as definitions:
        f = vars(definitions.module("pipeline"))["f"]
        definitions.walker.recipe(f)
        f()
        assert definitions.walker.drifted(f) is None
