"""Which statements at the top of a module count for every function of the project."""

from __future__ import annotations

import decimal
import os
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lineal.assets.records import Recipe
from lineal.definitions import load

HEAD = """
    import decimal, functools, logging, os, re
    from pathlib import Path
    import numpy as np
    import pandas as pd
    from lineal import asset, check, source, sql_asset
    import effects_other
    def plain(): return 1
"""
OTHER = """
    import pandas as pd
    import decimal
    def ctx(): return decimal.getcontext()
    def setopt(n=3):
        pd.set_option("display.precision", n)
    def install(cls):
        setattr(cls, "wobble", 1)
    class Registry:
        def __init__(self): self.d = {}
        def register(self, name):
            def deco(f):
                self.d[name] = f
                return f
            return deco
    REG = Registry()
    def settings(): return {"a": 1}
"""
ACTS = {
    "in a condition": """
        FLAG = True
        if FLAG:
            pd.set_option('display.precision', 4)
    """,
    "in a loop": """
        for k in (1,2):
            pd.set_option('display.precision', k)
    """,
    "on each class of a loop": """
        for c in (pd.DataFrame, pd.Series):
            setattr(c, 'wob', 1)
    """,
    "in a with": """
        with open(__file__) as f:
            pd.set_option('display.precision', 3)
    """,
    "in a try": """
        try:
            pd.set_option('display.precision', 3)
        except Exception: pass
    """,
    "an attribute of a library": """
        pd.options.display.precision = 3
    """,
    "by another name": """
        so = pd.set_option
        so('display.precision', 3)
    """,
    "an object of a library by another name": """
        o = pd.options
        o.display.precision = 3
    """,
    "an object of a library that a function gives": """
        c = effects_other.ctx()
        c.prec = 7
    """,
    "a function of another module": """
        effects_other.setopt(4)
    """,
    "a result that is kept": """
        x0 = effects_other.setopt(4)
    """,
    "a class handed to a function that changes it": """
        effects_other.install(pd.DataFrame)
    """,
    "a function imported by another name": """
        from effects_other import setopt as so2
        so2()
    """,
    "a function from a star import": """
        from effects_other import *
        setopt()
    """,
    "a constructor": """
        class C:
            def __init__(self): pd.set_option('display.precision', 3)
        c = C()
    """,
    "a method": """
        class C:
            def go(self): pd.set_option('display.precision', 3)
        C().go()
    """,
    "a method that calls a method": """
        class C:
            def go(self): self.inner()
            def inner(self): pd.set_option('display.precision', 3)
        c = C()
        c.go()
    """,
    "a class method": """
        class C:
            @classmethod
            def go(cls): pd.set_option('display.precision', 3)
        C.go()
    """,
    "a nested function": """
        def outer():
            def inner(): pd.set_option('display.precision', 3)
            inner()
        outer()
    """,
    "an object of a library inside a function": """
        def outer():
            c = decimal.getcontext()
            c.prec = 5
        outer()
    """,
    "a decorator": """
        def patched(f):
            pd.DataFrame.wob = f
            return f
        @patched
        def g(df): return 1
    """,
    "a maker of decorators": """
        def patched(n):
            def deco(f):
                setattr(pd.DataFrame, n, f)
                return f
            return deco
        @patched('wob')
        def g(df): return 1
    """,
    "a partial of a library's function": """
        p = functools.partial(pd.set_option, 'display.precision')
        p(3)
    """,
    "a partial of a function": """
        p = functools.partial(effects_other.setopt, 3)
        p()
    """,
    "a lambda": """
        f0 = lambda: pd.set_option('display.precision', 3)
        f0()
    """,
    "exec": """
        exec('import pandas')
    """,
    "an augmented assignment": """
        decimal.getcontext().prec += 1
    """,
    "a context manager entered": """
        pd.option_context('display.precision', 3).__enter__()
    """,
    "an old value that is kept": """
        old = np.seterr(all='warn')
    """,
    "an environment variable": """
        os.environ['ATT'] = '3'
    """,
    "behind an and": """
        True and pd.set_option('display.precision', 3)
    """,
    "one of a tuple": """
        a, b = 1, pd.set_option('display.precision', 3)
    """,
    "in a comprehension": """
        [pd.set_option('display.precision', n) for n in (3,)]
    """,
    "in a lambda that is handed on": """
        list(map(lambda n: pd.set_option('display.precision', n), [3]))
    """,
    "in a named expression": """
        if (q := pd.set_option('display.precision', 3)) is None: pass
    """,
    "in a default": """
        def h(a=pd.set_option('display.precision', 3)): return a
    """,
    "a deletion": """
        pd.DataFrame.wob3 = 1
        del pd.DataFrame.wob3
    """,
    "a class made on the spot": """
        pd.DataFrame.__dict__.get('x')
        mixin = type('M', (), {})
        pd.DataFrame.wob = mixin
    """,
    "a method of what a library made": """
        from unittest.mock import patch as ptch
        ptch.object(pd, 'foo', 1, create=True).start()
    """,
    "in __init_subclass__": """
        class B:
            def __init_subclass__(cls): pd.set_option('display.precision', 3)
        class D(B): pass
    """,
    "a function held in a table": """
        T = {'a': effects_other.setopt}
        T['a']()
    """,
}
DOES_NOT_ACT = {
    "plain values": """
        X = 3
        Y = [1]
        Y.append(2)
        Z = {}
        Z['a'] = 1
    """,
    "arrays": """
        A = np.array([1,2])
        A[0] = 3
    """,
    "tables": """
        D = pd.DataFrame({'a': [1]})
        D['b'] = 2
        E = D.assign(c=1)
        E.columns = ['x','y','z']
    """,
    "paths": """
        P = Path('x')
        Q = P / 'a'
        R = os.path.join('a','b')
    """,
    "patterns and loggers": """
        W = re.compile('a')
        L = logging.getLogger('x')
        L.setLevel('INFO')
        logging.basicConfig()
    """,
    "classes and instances": """
        class C:
            def __init__(self): self.a = 1
        c = C()
        c.b = 2
        C.z = 3
        c.a += 1
    """,
    "a value that a function gives": """
        S = effects_other.settings()
        S['x'] = 1
    """,
    "a registry of the project": """
        @effects_other.REG.register('a')
        def g(x): return 1
    """,
    "a decorator whose wrapper acts later": """
        def timed(f):
            @functools.wraps(f)
            def w(*a):
                os.getpid()
                pd.set_option('display.precision', 3)
                return f(*a)
            return w
        @timed
        def g(x): return 1
    """,
    "a factory of assets": """
        def make(n):
            @asset(name=n)
            def inner():
                pd.set_option('display.precision', 3)
                d = pd.DataFrame()
                d.drop(columns=[], inplace=True)
                return d
            return inner
        make('a')
        for n in ('b', 'c'):
            make(n)
    """,
    "a factory that is handed a class": """
        def train(m):
            np.seterr(all='warn')
        def make(n, model):
            @asset(name=n)
            def inner():
                return train(model)
            return inner
        make('a', pd.DataFrame)
    """,
    "assets bound by globals": """
        for n in 'ab':
            globals()[n] = asset(name=n+'q')(lambda: 1)
    """,
    "printing": """
        print('x')
        assert isinstance(3, int)
    """,
    "the guard of a script": """
        if __name__ == '__main__':
            pd.set_option('display.precision', 3)
    """,
    "types": """
        from typing import TypeVar, NamedTuple
        T = TypeVar('T')
        class N(NamedTuple):
            a: int = 1
    """,
    "a dataclass": """
        from dataclasses import dataclass, field
        @dataclass
        class N:
            a: list = field(default_factory=list)
    """,
    "a function with several forms": """
        @functools.singledispatch
        def s(x): return 1
        @s.register
        def _(x: int): return 2
    """,
    "a function with a memory": """
        @functools.lru_cache
        def s(x): return 1
        V = s(1)
    """,
    "an estimator": """
        from sklearn.preprocessing import StandardScaler
        S = StandardScaler().set_output(transform='default')
    """,
    "random numbers": """
        R = np.random.default_rng(1).normal(size=3)
        DT = pd.date_range('2020','2021').day_name()
        M = np.ones(3).sum()
    """,
    "timestamps": """
        T = pd.Timestamp('2020-01-01').normalize()
        U = pd.to_datetime('2020-01-01')
    """,
    "questions to the system": """
        if os.path.exists('nofile'):
            pass
        V = os.environ.get('ZZZ')

    """,
    "an enum": """
        import enum
        class E(enum.Enum):
            A = 1
        E.A.foo = 1
    """,
    "declarations": """
        a0 = source('r', 'x.csv')
        b0 = sql_asset('q', 'select 1 as a')
        @check(b0)
        def ok(q): return True
    """,
    "a function that builds a table": """
        def load():
            d = pd.DataFrame({'a': [1]})
            d['b'] = 1
            d.insert(0, 'c', 2)
            return d
        REF = load()
    """,
    "a function that builds a list": """
        def load():
            out = []
            for r in range(3):
                out.append(r)
            d = dict(a=1)
            d.update(b=2)
            return out
        REF = load()
    """,
}


@pytest.fixture(autouse=True)
def _process_as_it_was() -> Iterator[None]:
    """What these modules do to libraries is undone."""
    classes = (pd.DataFrame, pd.Series)
    held = [set(vars(c)) for c in classes]
    precision, errors = decimal.getcontext().prec, np.geterr()
    had_foo = hasattr(pd, "foo")
    yield
    for cls, names in zip(classes, held, strict=True):
        for name in set(vars(cls)) - names:
            delattr(cls, name)
    if not had_foo and hasattr(pd, "foo"):
        delattr(pd, "foo")
    decimal.getcontext().prec = precision
    np.seterr(**errors)
    pd.reset_option("display.precision")
    os.environ.pop("ATT", None)


def _plain(root: Path, text: str) -> Recipe:
    """The recipe of a function that reaches none of what its module says beside it."""
    (root / "pipeline.py").write_text(textwrap.dedent(HEAD) + textwrap.dedent(text))
    (root / "effects_other.py").write_text(textwrap.dedent(OTHER))
    with load(root, ["pipeline.py"], None) as definitions:
        module = definitions.module("pipeline")
        assert module is not None
        return definitions.walker.recipe(module.plain)


def _effects(recipe: Recipe) -> list[str]:
    return [part.name for part in recipe.parts if part.name.endswith("(top level)")]


@pytest.mark.parametrize("case", [*ACTS], ids=str)
def test_what_loading_does_to_a_library_counts(tmp_path: Path, case: str) -> None:
    recipe = _plain(tmp_path, ACTS[case])
    assert "pipeline (top level)" in _effects(recipe)
    assert recipe.digest != _plain(tmp_path, "").digest


@pytest.mark.parametrize("case", [*DOES_NOT_ACT], ids=str)
def test_what_loading_makes_for_itself_does_not_count(tmp_path: Path, case: str) -> None:
    recipe = _plain(tmp_path, DOES_NOT_ACT[case])
    assert _effects(recipe) == []
    assert recipe.digest == _plain(tmp_path, "").digest


def test_what_an_effect_reaches_and_cant_be_compared_does_not_stop_the_project(
    tmp_path: Path,
) -> None:
    held = """
        import threading
        CLIENT = threading.Lock()
        def configure():
            CLIENT.locked()
            pd.set_option("display.precision", %d)
        configure()
        """
    before, after = (_plain(tmp_path, held % number).digest for number in (3, 5))
    assert before != after
