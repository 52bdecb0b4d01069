"""Which edits change which recipes: exactly those of the functions that reach the edited code."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

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
            if callable(function) and not isinstance(function, type) and name[0] != "_":
                if getattr(function, "__module__", "pipeline") == "pipeline":
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
    "late.py": "def __getattr__(name):\n    return 1\n",
    "pkg/__init__.py": "from pkg.sub.mod import deep as again\n",
    "pkg/user.py": "def relative(x):\n    from .sub.mod import deep\n    return deep(x)\n",
    "pkg/sub/__init__.py": "",
    "pkg/sub/mod.py": "def deep(x):\n    return 1\n",
}


@pytest.mark.parametrize(("pipeline", "edit", "expected"), [e[1:] for e in EDITS], ids=[e[0] for e in EDITS])
def test_an_edit_changes_exactly_the_functions_that_reach_it(
    project: Project, pipeline: str, edit: tuple[str, str, str], expected: set[str]
) -> None:
    project.write({**PACKAGE, "pipeline.py": pipeline})
    assert project.changed_by(*edit) == expected
