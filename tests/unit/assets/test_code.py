"""Which edits change which recipes: exactly those of the functions that reach the edited code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lineal.assets.asset import Asset
from lineal.assets.code import Opaque, opaque
from lineal.assets.errors import DefinitionError
from lineal.assets.records import Recipe, RecipePart
from lineal.definitions import Definitions, load


@dataclass
class Project:
    """A project of a few files; each look at it loads it anew."""

    root: Path
    opened: list[Definitions] = field(default_factory=list)

    def write(self, files: Mapping[str, str]) -> Project:
        for name, text in files.items():
            file = self.root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text))
        return self

    def edit(self, name: str, old: str, new: str) -> None:
        file = self.root / name
        text = file.read_text()
        assert old in text, f"{old!r} is not in {name}"
        file.write_text(text.replace(old, new))

    def load(self) -> Definitions:
        for definitions in self.opened:
            definitions.close()
        self.opened = [load(self.root, ["pipeline.py"], self.root / ".lineal" / "cache")]
        return self.opened[0]

    def recipes(self) -> dict[str, Recipe]:
        """The recipes of all assets and functions that pipeline.py names."""
        definitions = self.load()
        module = definitions.module("pipeline")
        found = {}
        for name, value in vars(module).items():
            function = value.function if isinstance(value, Asset) else value
            ours = getattr(function, "__module__", "pipeline") == "pipeline" and name[0] != "_"
            if ours and callable(function) and not isinstance(function, type):
                found[name] = definitions.walker.recipe(function)
        return found

    def recipe(self, name: str = "f") -> Recipe:
        return self.recipes()[name]

    def changed_by(self, name: str, old: str, new: str) -> set[str]:
        """The functions of pipeline.py whose recipes an edit changes."""
        before = self.recipes()
        self.edit(name, old, new)
        after = self.recipes()
        assert before.keys() == after.keys()
        return {key for key, recipe in after.items() if recipe.digest != before[key].digest}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    found = Project(tmp_path)
    yield found
    for definitions in found.opened:
        definitions.close()


def parts(recipe: Recipe) -> dict[str, RecipePart]:
    return {part.name: part for part in recipe.parts}


# -------------------------------------------------------------------------- edits that count

UTIL = """
    import json
    import math as m

    RATE = 1.1
    LIMITS = {"a": 1, "b": (2, 3)}

    def leaf(x):
        return x + 1

    def middle(x):
        return leaf(x) * 2

    def other(x):
        return x - 1

    class Base:
        def shared(self):
            return 1

    class Child(Base):
        width: int = 3

        @property
        def area(self):
            return leaf(self.width)

        @staticmethod
        def still(x):
            return other(x)

        @classmethod
        def made(cls):
            return cls()
"""

# what is edited · pipeline.py · the edit of a file · the functions whose recipes change
EDITS: list[tuple[str, str, tuple[str, str, str], set[str]]] = [
    (
        "a helper in another module",
        """
        from util import middle, other
        def f(x): return middle(x)
        def g(x): return other(x)
        """,
        ("util.py", "return x + 1", "return x + 2"),
        {"f"},
    ),
    (
        "a constant in another module",
        """
        from util import RATE
        import util
        def f(x): return x * RATE
        def g(x): return x * util.RATE
        def h(x): return util.LIMITS
        """,
        ("util.py", "1.1", "1.2"),
        {"f", "g"},
    ),
    (
        "a constant behind an attribute chain of an import inside the body",
        """
        def f(x):
            import util as u
            return u.RATE
        def g(x):
            import util
            return util.LIMITS
        """,
        ("util.py", "1.1", "1.2"),
        {"f"},
    ),
    (
        "what a from-import inside the body names",
        """
        def f(x):
            from util import leaf as grow
            return grow(x)
        def g(x):
            from util import other
            return other(x)
        """,
        ("util.py", "return x + 1", "return x + 2"),
        {"f"},
    ),
    (
        "a module deep in a package",
        """
        import pkg.sub.mod
        def f(x): return pkg.sub.mod.deep(x)
        def g(x): return x
        """,
        ("pkg/sub/mod.py", "return 1", "return 2"),
        {"f"},
    ),
    (
        "what a re-export names",
        """
        from pkg import again
        def f(x): return again(x)
        def g(x): return x
        """,
        ("pkg/sub/mod.py", "return 1", "return 2"),
        {"f"},
    ),
    (
        "what a relative import inside a package's function names",
        """
        import pkg.user
        def f(x): return pkg.user.relative(x)
        def g(x): return x
        """,
        ("pkg/sub/mod.py", "return 1", "return 2"),
        {"f"},
    ),
    (
        "what a star import brings",
        """
        from util import *
        def f(x): return x * RATE
        def g(x): return leaf(x)
        """,
        ("util.py", "1.1", "1.2"),
        {"f"},
    ),
    (
        "the method of a base class",
        """
        from util import Child, other
        def f(x): return Child()
        def g(x): return other(x)
        """,
        ("util.py", "return 1\n", "return 2\n"),
        {"f"},
    ),
    (
        "a helper of a property",
        "from util import Child\ndef f(x): return Child().area\n",
        ("util.py", "return x + 1", "return x + 2"),
        {"f"},
    ),
    (
        "a helper of a static method",
        "from util import Child\ndef f(x): return Child.still(x)\n",
        ("util.py", "return x - 1", "return x - 2"),
        {"f"},
    ),
    (
        "a class attribute",
        "from util import Child, Base\ndef f(x): return Child()\ndef g(x): return Base()\n",
        ("util.py", "width: int = 3", "width: int = 4"),
        {"f"},
    ),
    (
        "an annotation in a class body",
        "from util import Child\ndef f(x): return Child()\n",
        ("util.py", "width: int = 3", "width: float = 3"),
        {"f"},
    ),
    (
        "a metaclass",
        """
        class Meta(type):
            def __call__(cls, *a):
                return 1
        class Thing(metaclass=Meta):
            pass
        def f(x): return Thing()
        def g(x): return x
        """,
        ("pipeline.py", "return 1", "return 2"),
        {"f"},
    ),
    (
        "a closure's value",
        """
        def _make(n):
            def inner(x):
                return x + n
            return inner
        f, g = _make(1), _make(2)
        """,
        ("pipeline.py", "_make(2)", "_make(3)"),
        {"g"},
    ),
    (
        "a function in a closure",
        """
        from util import leaf, other
        def _make(fn):
            return lambda x: fn(x)
        f, g = _make(leaf), _make(other)
        """,
        ("util.py", "return x + 1", "return x + 2"),
        {"f"},
    ),
    (
        "a default",
        "def f(x, k=3): return x + k\ndef g(x, *, k=3): return x\n",
        ("pipeline.py", "f(x, k=3)", "f(x, k=4)"),
        {"f"},
    ),
    (
        "a keyword default",
        "def f(x, k=3): return x + k\ndef g(x, *, k=3): return x\n",
        ("pipeline.py", "*, k=3", "*, k=4"),
        {"g"},
    ),
    (
        "a function as a default",
        "from util import leaf\ndef f(x, fn=leaf): return fn(x)\ndef g(x): return x\n",
        ("util.py", "return x + 1", "return x + 2"),
        {"f"},
    ),
    (
        "the wrapper that a project decorator makes",
        """
        import functools
        def _twice(fn):
            @functools.wraps(fn)
            def wrapper(*a):
                return fn(*a) * 2
            return wrapper
        @_twice
        def f(x): return x
        def g(x): return x
        """,
        ("pipeline.py", "fn(*a) * 2", "fn(*a) * 3"),
        {"f"},
    ),
    (
        "the function inside a project decorator's wrapper",
        """
        def _twice(fn):
            def wrapper(*a):
                return fn(*a) * 2
            wrapper.__module__ = "pipeline"
            return wrapper
        @_twice
        def f(x): return x + 10
        @_twice
        def g(x): return x
        """,
        ("pipeline.py", "x + 10", "x + 11"),
        {"f"},
    ),
    (
        "an argument of a foreign decorator",
        """
        import functools
        @functools.lru_cache(maxsize=10)
        def f(x): return x
        """,
        ("pipeline.py", "=10", "=11"),
        {"f"},
    ),
    (
        "what a partial holds",
        """
        import functools
        from util import leaf
        _bound = functools.partial(leaf, 3)
        def f(x): return _bound()
        def g(x): return leaf(x)
        """,
        ("pipeline.py", "leaf, 3", "leaf, 4"),
        {"f"},
    ),
    (
        "the function in a partial",
        """
        import functools
        from util import leaf
        _bound = functools.partial(leaf, 3)
        def f(x): return _bound()
        def g(x): return x
        """,
        ("util.py", "return x + 1", "return x + 2"),
        {"f"},
    ),
    (
        "a helper behind lru_cache",
        """
        import functools
        from util import leaf
        @functools.lru_cache
        def _kept(x): return leaf(x)
        def f(x): return _kept(x)
        def g(x): return x
        """,
        ("util.py", "return x + 1", "return x + 2"),
        {"f"},
    ),
    (
        "an implementation in a singledispatch registry",
        """
        import functools
        @functools.singledispatch
        def _show(x): return 0
        @_show.register
        def _(x: int): return 1
        @_show.register(str)
        def _text(x): return 2
        def f(x): return _show(x)
        def g(x): return x
        """,
        ("pipeline.py", "return 1", "return 3"),
        {"f"},
    ),
    (
        "a partial method",
        """
        import functools
        class _Thing:
            def put(self, n): return n
            one = functools.partialmethod(put, 1)
        def f(x): return _Thing().one()
        """,
        ("pipeline.py", "put, 1", "put, 2"),
        {"f"},
    ),
    (
        "the instance of a bound method",
        """
        class _Adder:
            def __init__(self, n): self.n = n
            def add(self, x): return x + self.n
        _add = _Adder(3).add
        def f(x): return _add(x)
        def g(x): return x
        """,
        ("pipeline.py", "_Adder(3)", "_Adder(4)"),
        {"f"},
    ),
    (
        "one of several lambdas on a line",
        "f, g, h = (lambda x: x + 1), (lambda x: x + 2), lambda x: x + 3\n",
        ("pipeline.py", "x + 2", "x + 5"),
        {"g"},
    ),
    (
        "a lambda inside a lambda",
        "f, g = (lambda x: (lambda y: y + 1)(x)), (lambda x: x)\n",
        ("pipeline.py", "y + 1", "y + 2"),
        {"f"},
    ),
    (
        "a helper used only in a nested function",
        """
        from util import leaf
        def f(x):
            def inner(y):
                return [leaf(z) for z in y]
            return inner(x)
        def g(x): return x
        """,
        ("util.py", "return x + 1", "return x + 2"),
        {"f"},
    ),
    (
        "a helper used in a generator, an async function and a walrus",
        """
        from util import leaf
        def f(xs): return (leaf(x) for x in xs)
        async def g(x): return leaf(x)
        def h(x):
            if (y := leaf(x)) > 1:
                return y
        def i(x): return x
        """,
        ("util.py", "return x + 1", "return x + 2"),
        {"f", "g", "h"},
    ),
    (
        "the first value of a global variable",
        """
        _count = 1
        def f(x):
            global _count
            _count += 1
            return _count
        def g(x): return x
        """,
        ("pipeline.py", "_count = 1", "_count = 2"),
        {"f"},
    ),
    (
        "a field of a dataclass instance",
        """
        from dataclasses import dataclass
        @dataclass(frozen=True)
        class _Config:
            rate: float
        _config = _Config(1.0)
        def f(x): return x * _config.rate
        def g(x): return x
        """,
        ("pipeline.py", "_Config(1.0)", "_Config(2.0)"),
        {"f"},
    ),
    (
        "a method of the class of an instance",
        """
        class _Config:
            def rate(self): return 1
        _config = _Config()
        def f(x): return x * _config.rate()
        def g(x): return x
        """,
        ("pipeline.py", "return 1", "return 2"),
        {"f"},
    ),
    (
        "an enum member",
        """
        import enum
        class _Colour(enum.Enum):
            RED = 1
            BLUE = 2
        def f(x): return _Colour.RED
        def g(x): return x
        """,
        ("pipeline.py", "RED = 1", "RED = 3"),
        {"f"},
    ),
    (
        "a regular expression",
        """
        import re
        _word = re.compile("a+")
        def f(x): return _word.match(x)
        def g(x): return x
        """,
        ("pipeline.py", "a+", "b+"),
        {"f"},
    ),
    (
        "a date, a decimal, a path and a numpy array",
        """
        import datetime as dt, decimal, pathlib
        import numpy as np
        _day = dt.date(2026, 1, 1)
        _price = decimal.Decimal("1.10")
        _place = pathlib.Path("/data/in")
        _table = np.arange(5)
        def f(x): return _day
        def g(x): return _price
        def h(x): return _place
        def i(x): return _table
        def j(x): return x
        """,
        ("pipeline.py", "arange(5)", "arange(6)"),
        {"i"},
    ),
    (
        "a function inside a dict of functions",
        """
        from util import leaf, other
        _table = {"leaf": leaf, "len": len}
        def f(x): return _table[x](x)
        def g(x): return other(x)
        """,
        ("util.py", "return x + 1", "return x + 2"),
        {"f"},
    ),
    (
        "a monkeypatched attribute",
        """
        import util
        from util import middle
        def _better(x): return x + 5
        util.leaf = _better
        def f(x): return middle(x)
        def g(x): return util.other(x)
        """,
        ("pipeline.py", "x + 5", "x + 6"),
        {"f"},
    ),
    (
        "a method put on a class later",
        """
        from util import Base
        def _shown(self): return 5
        Base.show = _shown
        def f(x): return Base().show()
        def g(x): return x
        """,
        ("pipeline.py", "return 5", "return 6"),
        {"f"},
    ),
    (
        "the branch of a conditional definition that is live",
        """
        import sys
        if sys.version_info > (3,):
            def _helper(x): return 1
        else:
            def _helper(x): return 2
        def f(x): return _helper(x)
        def g(x): return x
        """,
        ("pipeline.py", "return 1", "return 3"),
        {"f"},
    ),
    (
        "the last of two definitions of a name",
        """
        def _helper(x): return 1
        def _helper(x): return 2
        def f(x): return _helper(x)
        """,
        ("pipeline.py", "return 2", "return 3"),
        {"f"},
    ),
    (
        "a module-level __getattr__",
        """
        import late
        def f(x): return late.something
        def g(x): return x
        """,
        ("late.py", "return 1", "return 2"),
        {"f"},
    ),
    (
        "a literal getattr",
        "import util\ndef f(x): return getattr(util, 'RATE')\ndef g(x): return util.LIMITS\n",
        ("util.py", "1.1", "1.2"),
        {"f"},
    ),
    (
        "a name that a query text looks up in its caller",
        """
        _limit = 3
        def f(x): return x.query("a > @_limit")
        def g(x): return x
        """,
        ("pipeline.py", "_limit = 3", "_limit = 4"),
        {"f"},
    ),
    (
        "a setting of a library at the top level",
        """
        import numpy as np
        np.seterr(all="warn")
        def f(x): return x
        """,
        ("pipeline.py", "warn", "ignore"),
        {"f"},
    ),
    (
        "an asset that is called as a plain function",
        """
        from lineal import asset
        @asset
        def one(raw): return raw + 1
        @asset
        def two(raw): return one(raw)
        """,
        ("pipeline.py", "raw + 1", "raw + 2"),
        {"one", "two"},
    ),
    (
        "one of two functions that call each other",
        """
        def f(n): return n == 0 or g(n - 1)
        def g(n): return n != 0 and f(n - 1)
        def h(n): return g(n)
        def i(n): return n
        """,
        ("pipeline.py", "n != 0", "n > 0"),
        {"f", "g", "h"},
    ),
    (
        "a docstring that reached code reads",
        """
        def _named(fn): return fn.__doc__
        def f(x):
            "One."
            return _named(f)
        def g(x):
            "One."
            return x
        """,
        ("pipeline.py", "One.", "Two."),
        {"f"},
    ),
    (
        "annotations under a decorator that is not lineal's",
        """
        import atexit
        @atexit.register
        def f(x: int = 1): return x
        def g(x: int = 1): return x
        """,
        ("pipeline.py", "x: int", "x: float"),
        {"f"},
    ),
    (
        "an attribute set on a function",
        """
        def _helper(x): return _helper.rate
        _helper.rate = 1
        def f(x): return _helper(x)
        def g(x): return x
        """,
        ("pipeline.py", "rate = 1", "rate = 2"),
        {"f"},
    ),
    (
        "an import in a body whose name is bound otherwise too",
        """
        def f(x):
            try:
                from util import leaf
            except ImportError:
                def leaf(x): return x
            return leaf(x)
        def g(x): return x
        """,
        ("util.py", "return x + 1", "return x + 2"),
        {"f"},
    ),
    (
        "a module that one of two imports gives",
        """
        try:
            import not_there as impl
        except ImportError:
            import util as impl
        def f(x): return impl.leaf(x)
        def g(x): return impl.other(x)
        """,
        ("util.py", "return x + 1", "return x + 2"),
        {"f"},
    ),
    (
        "a name looked up in the dictionary of a module",
        "import util\ndef f(x): return util.__dict__['RATE']\ndef g(x): return util.LIMITS\n",
        ("util.py", "1.1", "1.2"),
        {"f"},
    ),
    (
        "a module imported by a literal name",
        """
        import importlib
        def f(x): return importlib.import_module("util").leaf(x)
        def g(x): return importlib.import_module("util").other(x)
        """,
        ("util.py", "return x + 1", "return x + 2"),
        {"f"},
    ),
    (
        "a setting of a library inside a condition",
        """
        import numpy as np
        import util
        if util.RATE:
            np.seterr(all="warn")
        if __name__ == "__main__":
            np.seterr(all="raise")
        def f(x): return x
        """,
        ("pipeline.py", "warn", "ignore"),
        {"f"},
    ),
    (
        "the value of an instance whose class is built on an array or a date",
        """
        import datetime as dt
        import numpy as np
        class _Array(np.ndarray): pass
        class _Day(dt.date): pass
        _array = np.arange(3).view(_Array)
        _day = _Day(2026, 1, 1)
        def f(x): return _array
        def g(x): return _day
        """,
        ("pipeline.py", "arange(3)", "arange(4)"),
        {"f"},
    ),
    (
        "the value of an instance whose class is built on a builtin",
        """
        class _Names(list): pass
        class _Text(str): pass
        _names, _text = _Names(["a"]), _Text("t")
        def f(x): return _names
        def g(x): return _text
        """,
        ("pipeline.py", '["a"]', '["b"]'),
        {"f"},
    ),
    (
        "a private attribute put on a class later",
        """
        class _Thing:
            def go(self): return self._rates
        _Thing._rates = {"a": 1}
        def f(x): return _Thing().go()
        """,
        ("pipeline.py", '"a": 1', '"a": 2'),
        {"f"},
    ),
    (
        "a class made by a function",
        """
        def _make(n):
            class Made:
                def go(self): return n
            return Made
        _One, _Two = _make(1), _make(2)
        def f(x): return _One()
        def g(x): return _Two()
        """,
        ("pipeline.py", "_make(2)", "_make(3)"),
        {"g"},
    ),
    (
        "a class made without a class statement",
        """
        import collections, dataclasses
        _Made = type("_Made", (), {"rate": 1})
        _Row = dataclasses.make_dataclass("_Row", [("a", int, 1)])
        def f(x): return _Made.rate
        def g(x): return _Row()
        """,
        ("pipeline.py", '"rate": 1', '"rate": 2'),
        {"f"},
    ),
    (
        "the factory of a dataclass field",
        """
        import dataclasses
        def _names(): return ["a"]
        @dataclasses.dataclass
        class _Row:
            names: list = dataclasses.field(default_factory=_names)
        def f(x): return _Row()
        """,
        ("pipeline.py", '["a"]', '["b"]'),
        {"f"},
    ),
    (
        "a function that numpy or joblib wrapped",
        """
        import joblib
        import numpy as np
        from util import leaf, other
        _many = np.vectorize(leaf)
        _kept = joblib.Memory(None).cache(leaf)
        def f(x): return _many(x)
        def g(x): return _kept(x)
        def h(x): return other(x)
        """,
        ("util.py", "return x + 1", "return x + 2"),
        {"f", "g"},
    ),
    (
        "an argument that a library's wrapper was made with",
        """
        import contextlib
        from util import leaf
        class _Live(contextlib.ContextDecorator):
            def __init__(self, n): self.n = n
            def __enter__(self): return self.n
            def __exit__(self, *a): pass
        @_Live(3)
        def _helper(x): return leaf(x)
        def f(x): return _helper(x)
        """,
        ("pipeline.py", "_Live(3)", "_Live(4)"),
        {"f"},
    ),
    (
        "a global that only an f-string or a comprehension's first iterable names",
        """
        _rate = 1
        def f(x): return f"{_rate:>3}"
        def g(x): return [_rate for _rate in _rate]
        def h(x): return [_rate for _rate in x]
        """,
        ("pipeline.py", "_rate = 1", "_rate = 2"),
        {"f", "g"},
    ),
    (
        "the module that a late import registers with",
        """
        from registry import table
        def f(x):
            import plugin
            return table["go"](x)
        def g(x): return table
        """,
        ("plugin.py", "return 1", "return 2"),
        {"f", "g"},
    ),
    (
        "match captures and shadowed names are not globals",
        """
        from util import leaf, other
        def f(x):
            match x:
                case {"a": leaf}:
                    return leaf
        def g(x):
            leaf = 1
            return [leaf for leaf in x]
        def h(leaf): return leaf
        def i(x): return leaf(x)
        def j(x):
            del x
            try:
                pass
            except ValueError as leaf:
                raise leaf
        """,
        ("util.py", "return x + 1", "return x + 2"),
        {"i"},
    ),
]

PACKAGE = {
    "util.py": UTIL,
    "registry.py": "table = {}\n",
    "plugin.py": "import registry\ndef go(x): return 1\nregistry.table['go'] = go\n",
    "late.py": "def __getattr__(name):\n    return 1\n",
    "pkg/__init__.py": "from pkg.sub.mod import deep as again\n",
    "pkg/user.py": "def relative(x):\n    from .sub.mod import deep\n    return deep(x)\n",
    "pkg/sub/__init__.py": "",
    "pkg/sub/mod.py": "def deep(x):\n    return 1\n",
}


@pytest.mark.parametrize(
    ("pipeline", "edit", "expected"), [e[1:] for e in EDITS], ids=[e[0] for e in EDITS]
)
def test_an_edit_changes_exactly_the_functions_that_reach_it(
    project: Project, pipeline: str, edit: tuple[str, str, str], expected: set[str]
) -> None:
    project.write({**PACKAGE, "pipeline.py": pipeline})
    assert project.changed_by(*edit) == expected


@pytest.mark.filterwarnings("ignore:registration of accessor")
def test_an_edit_of_a_class_registered_with_a_library_is_seen(project: Project) -> None:
    project.write(
        {
            "pipeline.py": """
            import pandas as pd
            @pd.api.extensions.register_dataframe_accessor("leafy")
            class _Leafy:
                def __init__(self, frame): self.frame = frame
                def go(self): return 1
            def f(x): return x.leafy.go()
            """
        }
    )
    assert project.changed_by("pipeline.py", "return 1", "return 2") == {"f"}


# -------------------------------------------------------------------------- edits that don't

COSMETIC = {
    "a comment": ("x = 1\n", "x = 1  # one\n"),
    "a blank line": ("    return y", "\n    return y"),
    "parentheses": ("y = x * 2 + K", "y = ((x * 2) + K)"),
    "quotes": ("'text'", '"text"'),
    "line breaks": ("helper(y, 'text')", "helper(\n        y,\n        'text',\n    )"),
    "an f-string's quotes": ('f"{x!r:>{K}} {x}"', "f'{x!r:>{K}} {x}'"),
    "a docstring": ('"""What it does."""', '"""What it does, at length."""'),
    "no docstring": ('    """What it does."""\n', ""),
    "the annotation of a parameter": ("x: int", "x: float"),
    "the annotation of a result": ("-> int", "-> float"),
    "the annotation of a local variable": ("y: int = x", "y: str = x"),
    "the annotation of a helper": ("b: str", "b: bytes"),
    "the docstring of a method": ('"""A method."""', '"""The method."""'),
    "the docstring of a class": ('"""A class."""', '"""The class."""'),
    "tags, owner and checks": ("@asset", '@asset(tags=["a"], owner="me", name="f")'),
    "another function": ("def other(): return 1", "def other(): return 2"),
    "a new function": ("def other(): return 1", "def new(): pass\ndef other(): return 1"),
    "a new import": ("import json", "import json, csv"),
    "the name of an imported module": ("import json", "import json as json"),
}

PLAIN = '''
import json
from lineal import asset

K = 3
x = 1

class Thing:
    """A class."""
    def method(self, a: int = 1) -> int:
        """A method."""
        return a

def helper(a, b: str):
    """Helps."""
    return json.dumps([a, b])

def other(): return 1

@asset
def f(x: int) -> int:
    """What it does."""
    y: int = x
    y = x * 2 + K
    z = f"{x!r:>{K}} {x}"
    Thing().method()
    helper(y, 'text')
    return y
'''


@pytest.mark.parametrize(("old", "new"), COSMETIC.values(), ids=COSMETIC.keys())
def test_a_cosmetic_edit_changes_no_recipe(project: Project, old: str, new: str) -> None:
    project.write({"pipeline.py": PLAIN})
    before = project.recipes()["f"].digest
    project.edit("pipeline.py", old, new)
    assert project.recipes()["f"].digest == before


def test_a_function_that_only_is_called_can_move_to_another_module(project: Project) -> None:
    project.write({"pipeline.py": "def helper(x):\n    return 1\ndef f(x): return helper(x)\n"})
    before = project.recipe().digest
    project.write({"helpers.py": "def helper(x):\n    return 1\n"})
    project.write({"pipeline.py": "from helpers import helper\ndef f(x): return helper(x)\n"})
    assert project.recipe().digest == before


def test_the_name_of_the_root_function_is_not_part_of_its_recipe(project: Project) -> None:
    project.write({"pipeline.py": "def f(x): return x\ndef g(x): return x\n"})
    found = project.recipes()
    assert found["f"].digest == found["g"].digest


def test_the_name_of_a_function_counts_where_it_is_looked_at(project: Project) -> None:
    text = "def helper(x): return x\ndef f(x): return helper.__name__\n"
    project.write({"pipeline.py": text})
    before = project.recipe().digest
    project.write({"pipeline.py": text.replace("def helper", "def aide") + "helper = aide\n"})
    assert project.recipe().digest != before


def test_a_same_second_edit_of_equal_length_is_seen(project: Project) -> None:
    project.write({"pipeline.py": "def f(x): return 1\n"})
    file = project.root / "pipeline.py"
    stat = file.stat()
    before = project.recipe().digest
    project.edit("pipeline.py", "return 1", "return 2")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert project.recipe().digest != before


def test_a_moved_project_has_the_same_recipes(project: Project, tmp_path: Path) -> None:
    files = {
        "pipeline.py": """
            from pathlib import Path
            import os
            HERE = Path(__file__).parent / "in.csv"
            THERE = os.path.dirname(__file__)
            def f(x): return HERE, THERE, __file__
        """
    }
    one = Project(tmp_path / "one").write(files)
    two = Project(tmp_path / "elsewhere" / "two").write(files)
    first = one.recipe().digest
    one.opened[0].close()
    second = two.recipe().digest
    two.opened[0].close()
    assert first == second


def test_kept_analyses_give_the_same_recipes(project: Project) -> None:
    project.write({**PACKAGE, "pipeline.py": PLAIN})
    cold = project.recipes()
    assert list((project.root / ".lineal" / "cache").rglob("*.bin"))
    assert project.recipes() == cold


# -------------------------------------------------------------------------- what a recipe tells


def test_every_part_tells_its_place_its_value_and_who_uses_it(project: Project) -> None:
    project.write(
        {**PACKAGE, "pipeline.py": "import util\ndef f(x): return util.middle(x) * util.RATE\n"}
    )
    found = parts(project.recipe())
    assert next(iter(found)) == "pipeline.f"
    rate = found["util.RATE"]
    assert (rate.kind, rate.value, rate.where, rate.via) == (
        "constant", "1.1", "util.py:5", "pipeline.f",
    )  # fmt: skip
    leaf = found["util.leaf"]
    assert (leaf.kind, leaf.value, leaf.where, leaf.via) == (
        "function", "", "util.py:8", "util.middle",
    )  # fmt: skip


def test_only_the_part_that_was_edited_has_another_digest(project: Project) -> None:
    project.write(
        {**PACKAGE, "pipeline.py": "from util import middle\ndef f(x): return middle(x)\n"}
    )
    before = parts(project.recipe())
    project.edit("util.py", "return x + 1", "return x + 2")
    after = parts(project.recipe())
    assert [n for n in before if before[n].digest != after[n].digest] == ["util.leaf"]


def test_third_party_names_count_by_import_path_and_name_the_module(project: Project) -> None:
    project.write(
        {
            "helpers.py": "import numpy as np\ndef total(x):\n    return np.sum(x)\n",
            "pipeline.py": """
                import json
                from helpers import total
                def f(x):
                    import pandas as pd
                    return pd.read_csv(x), total(x), json.dumps(x)
                def g(x): return json.dumps(x)
            """,
        }
    )
    found = project.recipes()
    assert found["f"].imports == ("numpy", "pandas")
    assert found["g"].imports == ()
    kinds = {n: p.kind for n, p in parts(found["f"]).items()}
    assert kinds["pandas.read_csv"] == kinds["numpy.sum"] == "external"
    assert kinds["json.dumps"] == "builtin"


def test_a_third_party_module_need_not_be_installed(project: Project) -> None:
    project.write({"pipeline.py": "def f(x):\n    import not_there as n\n    return n.go(x)\n"})
    found = project.recipe()
    assert found.imports == ("not_there",)
    assert "not_there.go" in parts(found)


def test_secrets_and_long_values_are_not_shown(project: Project) -> None:
    project.write(
        {
            "pipeline.py": """
            API_TOKEN = "abc"
            URL = "postgres://me:word@host/db"
            LONG = list(range(40))
            def f(x): return API_TOKEN, URL, LONG
            """
        }
    )
    found = parts(project.recipe())
    assert found["pipeline.API_TOKEN"].value == found["pipeline.URL"].value == "…"
    assert len(found["pipeline.LONG"].value) == 60


def test_a_version_adds_a_part(project: Project) -> None:
    project.write({"pipeline.py": "def f(x): return x\n"})
    definitions = project.load()
    function = definitions.module("pipeline").f  # type: ignore[union-attr] # it is there
    plain, versioned = (definitions.walker.recipe(function, version=v) for v in (None, "3"))
    assert plain.digest != versioned.digest
    assert parts(versioned)["version"].value == "'3'"


def test_an_ignored_helper_and_what_only_it_reaches_are_left_out(project: Project) -> None:
    project.write(
        {**PACKAGE, "pipeline.py": "from util import middle\ndef f(x): return middle(x)\n"}
    )

    def ignoring() -> Recipe:
        module = project.load().module("pipeline")
        return project.opened[0].walker.recipe(module.f, ignore=[module.middle])  # type: ignore[union-attr] # it is there

    before = ignoring()
    assert [part.name for part in before.parts] == ["pipeline.f"]
    project.edit("util.py", "return x + 1", "return x + 2")
    assert ignoring().digest == before.digest


def test_the_defaults_of_parameters_can_be_left_to_the_fingerprint(project: Project) -> None:
    project.write({"pipeline.py": "def f(x, rate=1.0, *, n=2): return x\n"})

    def bare() -> str:
        module = project.load().module("pipeline")
        walker = project.opened[0].walker
        return walker.recipe(module.f, parameters=["rate", "n"]).digest  # type: ignore[union-attr] # it is there

    before = bare()
    project.edit("pipeline.py", "rate=1.0, *, n=2", "rate=2.0, *, n=3")
    assert bare() == before


def test_environment_variables_read_by_a_literal_name_are_listed(project: Project) -> None:
    project.write(
        {
            "pipeline.py": """
            import os
            from os import environ, getenv
            def _helper(): return environ.get("B", "x"), getenv("C")
            def f(x): return os.environ["A"], _helper(), "D" in os.environ
            def g(x): return os.environ[x]
            """
        }
    )
    found = project.recipes()
    assert found["f"].variables == ("A", "B", "C", "D")
    assert found["f"].opaque == ()
    assert "computed name" in found["g"].opaque[0]
    assert "pipeline.py:6" in found["g"].opaque[0]


ENVIRONMENT = {
    "a constant": ("os.environ.get(KEY)", ("K",)),
    "a constant of another module": ("os.getenv(util.NAME)", ("N",)),
    "a computed name": ("os.environ[x]", ("*",)),
    "a name of its own": ("(lambda e: e.get(KEY))(os.environ)", ("*",)),
    "a copy": ("os.environ.copy()", ("*",)),
    "a reader by another name": ("list(map(os.getenv, x))", ("*",)),
    "a text with variables in it": ("os.path.expandvars(x)", ("*",)),
}


@pytest.mark.parametrize("case", [*ENVIRONMENT], ids=str)
def test_environment_variables_are_known_by_constant_names_else_all_count(
    project: Project, case: str
) -> None:
    said, expected = ENVIRONMENT[case]
    text = f"import os, util\nKEY = 'K'\ndef f(x): return {said}\n"
    project.write({"util.py": "NAME = 'N'\n", "pipeline.py": text})
    assert project.recipe().variables == expected


OPENED = [
    "import pickle\ndef f(x): return pickle.loads(x)\n",
    "from pickle import load as take\ndef f(x): return take(x)\n",
    "import pandas as pd\ndef f(x): return pd.read_pickle(x)\n",
    "import joblib\ndef f(x): return joblib.load(x)\n",
    "from importlib.machinery import SourceFileLoader\ndef f(x): return SourceFileLoader('a', x)\n",
    "import importlib.util as u\ndef f(x): return u.spec_from_file_location('a', x)\n",
    "import runpy\ndef f(x): return runpy.run_path(x)\n",
]


@pytest.mark.parametrize("text", OPENED)
def test_code_that_a_file_names_may_be_any_of_the_project(project: Project, text: str) -> None:
    project.write({"pipeline.py": text, "never.py": "def g(): return 1\n"})
    before = project.recipe()
    assert "all of it counts" in before.opaque[0]
    project.edit("never.py", "1", "2")
    assert project.recipe().digest != before.digest


QUERIES = {
    "a function": ("x.query('v > @limit(1)')", "util.py", "x + 1", "x + 2"),
    "a module": ("x.query('v > @util.LIMIT')", "util.py", "LIMIT = 3", "LIMIT = 4"),
    "a text of another module": ("x.query(util.TEXT)", "util.py", "v > @K", "v < @K"),
    "a name in a text of another module": ("x.query(util.TEXT)", "pipeline.py", "K = 1", "K = 2"),
    "a computed text": ("x.eval('v > ' + x.name)", "pipeline.py", "K = 1", "K = 2"),
    "a list of tables": ("x.sql('select * from a, ROWS')", "pipeline.py", "[1]", "[2]"),
}


@pytest.mark.parametrize("case", [*QUERIES], ids=str)
def test_what_a_query_text_may_name_counts(project: Project, case: str) -> None:
    said, *edit = QUERIES[case]
    head = "import util\nfrom util import limit\nK = 1\nROWS = [1]\n"
    other = "LIMIT = 3\nTEXT = 'v > @K'\ndef limit(x): return x + 1\n"
    project.write({"util.py": other, "pipeline.py": f"{head}def f(x): return {said}\n"})
    assert project.changed_by(*edit) == {"f"}


def test_the_clock_and_unseeded_randomness_are_listed_with_their_place(project: Project) -> None:
    project.write(
        {
            "pipeline.py": """
            import datetime as dt, random, time, uuid
            from datetime import datetime
            import numpy as np
            def f(x):
                return time.time(), datetime.now(), dt.date.today(), uuid.uuid4(), random.random()
            def g(x):
                return np.random.default_rng(), np.random.rand(3)
            def h(x):
                return np.random.default_rng(3), random.Random(1), time.perf_counter()
            """
        }
    )
    found = project.recipes()
    assert len(found["f"].impure) == 5
    assert all("pipeline.py:6" in sentence for sentence in found["f"].impure)
    assert len(found["g"].impure) == 2
    assert found["h"].impure == ()


def test_literals_that_look_like_paths_are_listed_with_their_place(project: Project) -> None:
    project.write(
        {
            "pipeline.py": '''
            from pathlib import Path
            REF = "data/ref.csv"
            ROOT = Path("x")
            def f(x):
                """See notes.txt."""
                return open("in.txt"), REF, ROOT / "a" / "b.csv", "plain words", "http://x/y.csv"
            '''
        }
    )
    found = dict(project.recipe().watched)
    assert found["in.txt"] == "pipeline.py:7"
    assert found["data/ref.csv"] == "pipeline.py:3"
    assert "x/a/b.csv" in found
    assert not {"notes.txt", "plain words", "http://x/y.csv"} & found.keys()


# -------------------------------------------------------------------------- what can't be followed


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("getattr(util, x)", "util"),
        ("vars(util)", "util"),
        ("eval(x)", "eval"),
        ("exec(x)", "exec"),
        ("globals()[x]", "globals"),
        ("importlib.import_module(x)", "import_module"),
        ("__import__(x)", "__import__"),
        ("sys.modules[x]", "sys.modules"),
        ("alias(x)", "eval"),
    ],
)
def test_what_cant_be_followed_counts_as_the_whole_module_and_is_told(
    project: Project, body: str, told: str
) -> None:
    text = f"import importlib, sys, util\ndef f(x): return {body}\ndef g(x): return x\n"
    text += "K = 1\nalias = eval\n"
    project.write({**PACKAGE, "pipeline.py": text})
    found = project.recipe()
    assert told in found.opaque[0]
    assert f"pipeline.py:{5 if 'alias' in body else 2}" in found.opaque[0]
    edit = ("pipeline.py", "K = 1", "K = 2") if told == "globals" else ("util.py", "x + 1", "x + 2")
    assert project.changed_by(*edit) == {"f"}


def test_code_that_may_reach_any_module_counts_modules_that_were_never_imported(
    project: Project,
) -> None:
    project.write({"plugins/one.py": "def go(x): return 1\n"})
    project.write(
        {"pipeline.py": "import importlib\ndef f(x): return importlib.import_module(x).go(x)\n"}
    )
    assert project.changed_by("plugins/one.py", "return 1", "return 2") == {"f"}


def test_a_whole_module_counts_with_what_it_imports(project: Project) -> None:
    project.write({**PACKAGE, "front.py": "from util import leaf\n"})
    project.write({"pipeline.py": "import front\ndef f(x): return getattr(front, x)\n"})
    assert project.changed_by("util.py", "return x + 1", "return x + 2") == {"f"}


CAPTURED = {
    "a database connection": "import sqlite3\nclient = sqlite3.connect(':memory:')",
    "a lock": "import threading\nclient = threading.Lock()",
    "an open file": "client = open(__file__)",
    "a socket": "import socket\nclient = socket.socket()",
    "a DataFrame": "import pandas as pd\nclient = pd.DataFrame({'a': [1]})",
    "a random generator": "import numpy as np\nclient = np.random.default_rng(3)",
    "a fitted model": (
        "from sklearn.linear_model import LinearRegression\n"
        "client = LinearRegression().fit([[0], [1]], [0, 1])"
    ),
}


@pytest.mark.parametrize("text", CAPTURED.values(), ids=CAPTURED.keys())
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_captured_live_thing_is_an_error_that_says_what_to_do(
    project: Project, text: str
) -> None:
    project.write({"pipeline.py": f"{text}\ndef f(x): return client\n"})
    definitions = project.load()
    module = definitions.module("pipeline")
    with pytest.raises(DefinitionError) as caught:
        definitions.walker.recipe(module.f)  # type: ignore[union-attr] # it is there
    error = caught.value
    close: Callable[[], None] = getattr(module.client, "close", lambda: None)  # type: ignore[union-attr] # it is there
    close()
    assert "pipeline.client" in error.message
    assert " at 0x" not in error.message
    assert error.where == f"pipeline.py:{len(text.splitlines())}"
    assert "opaque(" in (error.advice or "")


def test_a_live_thing_inside_an_instance_is_named_by_its_attribute(project: Project) -> None:
    project.write(
        {
            "pipeline.py": """
            import threading
            class _Client:
                def __init__(self): self.lock = threading.Lock()
            client = _Client()
            def f(x): return client
            """
        }
    )
    with pytest.raises(DefinitionError, match=r"pipeline\.client\.lock"):
        project.recipe()


def test_an_opaque_value_is_told_and_does_not_count(project: Project) -> None:
    project.write(
        {
            "pipeline.py": """
            from lineal.assets.code import opaque
            import threading
            client = opaque(threading.Lock())
            def f(x): return client.value
            """
        }
    )
    found = project.recipe()
    assert "pipeline.client" in found.opaque[0]
    assert project.changed_by("pipeline.py", "threading.Lock()", "threading.RLock()") == set()


def test_opaque_keeps_its_value() -> None:
    assert opaque(3) == Opaque(3)


def test_harmless_captures_need_no_word(project: Project) -> None:
    project.write(
        {
            "pipeline.py": """
            import collections, contextvars, datetime as dt, decimal, enum, fractions, functools
            import logging, operator, pathlib, re, types, typing, uuid, zoneinfo
            import numpy as np
            import pandas as pd
            from sklearn.linear_model import LogisticRegression
            from sklearn.pipeline import make_pipeline
            from sklearn.preprocessing import StandardScaler
            T = typing.TypeVar("T")
            Row = dict[str, typing.Optional[int]]
            Point = collections.namedtuple("Point", "x y")
            held = [
                logging.getLogger("x"), re.compile("a"), dt.date(2026, 1, 1), dt.timezone.utc,
                zoneinfo.ZoneInfo("UTC"), np.dtype("int8"), np.float64(2), pd.Int64Dtype(),
                pd.CategoricalDtype(["a"]), pd.Timestamp("2026-01-01"), pathlib.Path("/x"),
                functools.partial(len), lambda x: x, T, Row, Point(1, 2), np.mean, np.add,
                collections.OrderedDict(a=1), collections.defaultdict(list), collections.deque([1]),
                collections.Counter("aab"), types.MappingProxyType({"a": 1}), {1, 2}, object(),
                types.SimpleNamespace(a=1), fractions.Fraction(1, 3), decimal.Decimal(1),
                uuid.UUID(int=3), operator.itemgetter(1), contextvars.ContextVar("v"),
                LogisticRegression(C=2), make_pipeline(StandardScaler(), LogisticRegression()),
                str.upper, "a".join, __import__("json").dumps, ..., range(3), b"x", 10**5000,
                np.array(["a", None], dtype=object), pd.offsets.BDay(2), int | str,
            ]
            def f(x): return held
            """
        }
    )
    first = project.recipe()
    assert first.opaque == ()
    assert project.recipe().digest == first.digest
    assert project.changed_by("pipeline.py", "LogisticRegression(C=2)", "LogisticRegression(C=3)")
    assert project.changed_by("pipeline.py", '"Point", "x y"', '"Point", "x z"')
    assert project.changed_by("pipeline.py", 'Dtype(["a"])', 'Dtype(["b"])')


def test_a_function_without_source_is_an_error(project: Project) -> None:
    project.write({"pipeline.py": "exec('def f(x): return 1')\n"})
    with pytest.raises(DefinitionError, match=r"source of `pipeline\.f`"):
        project.recipe()


def test_a_function_that_a_library_wrapped_is_followed(project: Project) -> None:
    project.write(
        {
            **PACKAGE,
            "pipeline.py": """
            import contextlib
            from util import leaf, other
            @contextlib.contextmanager
            def _around(x):
                yield leaf(x)
            def f(x):
                with _around(x): pass
            def g(x): return other(x)
            """,
        }
    )
    assert project.changed_by("util.py", "return x + 1", "return x + 2") == {"f"}


# -------------------------------------------------------------------------- drift and identity


def test_a_constant_that_a_run_changes_is_found(project: Project) -> None:
    project.write(
        {
            "pipeline.py": "seen = [1]\nclass C:\n    n = 1\n"
            "def f(x): return seen\ndef g(x): return C\n"
        }
    )
    definitions = project.load()
    module = definitions.module("pipeline")
    assert module is not None
    assert definitions.walker.drifted(module.f) is None
    module.seen.append(2)
    found = definitions.walker.drifted(module.f)
    assert found is not None
    assert (found.name, found.value) == ("pipeline.seen", "[1, 2]")
    definitions.walker.recipe(module.g)
    module.C.n = 2
    assert definitions.walker.drifted(module.g) is not None


def test_a_pickled_class_is_identified_by_its_recipe(project: Project) -> None:
    project.write({**PACKAGE, "pipeline.py": "import util\ndef f(x): return x\n"})

    def identity(module: str, name: str) -> str | None:
        return project.load().walker.identify(module, name)

    before = identity("util", "Child"), identity("util", "leaf"), identity("util", "Base.shared")
    assert len(set(before)) == 3
    assert identity("collections", "OrderedDict") is None
    assert identity("util", "leaf.<locals>.made") is not None
    project.edit("util.py", "return 1\n", "return 2\n")
    after = identity("util", "Child"), identity("util", "leaf"), identity("util", "Base.shared")
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, True, False]


# -------------------------------------------------------------------------- golden recipes

REPOSITORY = Path(__file__).parents[3]
GOLDEN = REPOSITORY / "tests" / "golden"

# BLAKE3 stands aside for SHA-256 here, so that an interpreter without any package can run it.
DIGESTS = """
import hashlib, json, pathlib, sys, types
sys.dont_write_bytecode = True
stand_in = types.ModuleType("blake3")
stand_in.blake3 = hashlib.sha256
sys.modules["blake3"] = stand_in
from lineal.assets.asset import Asset, Check
from lineal.definitions import load
definitions = load(pathlib.Path(sys.argv[1]), ["pipeline.py"], None)
found = {}
for name, value in vars(definitions.module("pipeline")).items():
    function = value.function if isinstance(value, Asset | Check) else value
    if callable(function) and getattr(function, "__module__", "") == "pipeline":
        recipe = definitions.walker.recipe(function)
        found[name] = {"digest": recipe.digest, "parts": {p.name: p.digest for p in recipe.parts}}
print(json.dumps(found, indent=1, sort_keys=True))
"""


def interpreters() -> list[str]:
    """Every Python from 3.11 that is here."""
    places = [shutil.which(f"python3.{minor}") for minor in range(11, 20)]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    places += [str(p) for p in pyenv.glob("3.1[1-9].*/bin/python")] if pyenv.is_dir() else []
    found = {sys.version_info[:2]: sys.executable}
    for place in filter(None, places):
        said = subprocess.run(
            [place, "-c", "import sys; print(*sys.version_info[:2])"],
            capture_output=True,
            text=True,
        )
        if said.returncode == 0:
            major, minor = map(int, said.stdout.split())
            found.setdefault((major, minor), place)
    return list(found.values())


def digests(python: str, project: Path, seed: str = "0") -> dict[str, Any]:
    environment = {"PYTHONPATH": str(REPOSITORY), "PYTHONHASHSEED": seed, "HOME": "/"}
    said = subprocess.run(
        [python, "-c", DIGESTS, str(project)], capture_output=True, text=True, env=environment
    )
    assert said.returncode == 0, said.stderr
    return dict(json.loads(said.stdout))


@pytest.mark.parametrize("python", interpreters())
def test_recipes_are_the_same_on_every_python(python: str) -> None:
    golden = json.loads((GOLDEN / "recipes.json").read_text())
    assert digests(python, GOLDEN / "recipe_project") == golden


@pytest.mark.parametrize("seed", ["1", "random"])
def test_recipes_are_the_same_under_every_hash_seed_and_in_every_folder(
    tmp_path: Path, seed: str
) -> None:
    shutil.copytree(GOLDEN / "recipe_project", tmp_path / "moved")
    golden = json.loads((GOLDEN / "recipes.json").read_text())
    assert digests(sys.executable, tmp_path / "moved", seed) == golden
