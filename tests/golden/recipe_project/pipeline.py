# ruff: noqa: F403, F405, RUF059, C416
# fmt: off
"""Code of every kind that a recipe can meet; its recipes are the same on every Python."""

import dataclasses
import datetime as dt
import enum
import functools
import logging
import os
import re
from collections import OrderedDict, defaultdict, namedtuple
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from features import *
from features import text as txt
from features.shapes import Circle, Shape

from lineal import asset, check

RATE = 1.1
HUGE = 10**5000
LIMITS = {"a": 1, "b": (2.5, None), "c": {1, 2, 3}, "d": [True, b"x", 1j]}
DAY = dt.date(2026, 1, 1)
WORD = re.compile(r"\w+", re.IGNORECASE)
LOG = logging.getLogger(__name__)
HERE = Path(__file__).parent / "data"
POINT = namedtuple("POINT", "x y")
T = TypeVar("T")
Row = dict[str, int | None]


class Colour(enum.Enum):
    """A colour."""

    RED = 1
    BLUE = "blue"

    def shown(self):
        return self.name.lower()


class Flags(enum.IntFlag):
    A = 1
    B = 2


class Pair(NamedTuple):
    left: int
    right: str = "r"

    def swapped(self):
        return Pair(self.right, self.left)


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings."""

    rate: float = 1.0
    names: list[str] = dataclasses.field(default_factory=list)

    @property
    def double(self) -> float:
        return self.rate * 2


@dataclasses.dataclass(slots=True, order=True)
class Slotted:
    a: int
    b: int = 2


CONFIG = Config(2.0, ["a"])
SLOTTED = Slotted(1)


def timed(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        LOG.info("%s", args)
        return function(*args, **kwargs)

    return wrapper


@functools.lru_cache(maxsize=8)
def kept(x):
    return x + 1


@functools.singledispatch
def shown(x):
    return str(x)


@shown.register
def _(x: int):
    return hex(x)


def strings(x):
    name, width, parts = "n", 10, ["a"]
    a = f"{x}{x!r:>{width}}tail"
    b = f"{x = }{{literal}}{x:%Y-%m-%d}"
    c = f"{name!s}" + f"{', '.join(p for p in parts)}" + f"{'quoted'}"
    d = rf"\d{x}" + b"bytes".decode() + "\N{BULLET}\t\\" + f"{x:}" + "" + "ab"
    return a + b + c + d + f"{x:{'>'}{width}}" + f"""{x}"""


def numbers(x):
    return x + 0x10 + 1_000 - -1 + 1e-7 + 1j + 10**3 + True + ~x << 2 if x is not None else ...


def structures(x, /, a, *args, b=1, **kwargs):
    first, *rest = args
    (y := [z for z in rest if z for _ in range(2)])
    d = {**kwargs, "k": x, **{i: j for i, j in kwargs.items()}}
    s = {*rest, 1}
    x[1:2, ::3] = d
    del x[0]
    assert s, "no"
    global COUNT
    COUNT = 1
    return lambda p, *q, r=2, **t: (p, *q, r), y


def statements(x):
    match x:
        case {"a": 1, **rest}:
            return rest
        case [1, 2, *others] | (1, *others):
            return others
        case Config(rate=r) as c if r > 1:
            return c
        case "a" | None | -1 | 1 + 2j:
            return 0
        case _:
            pass
    try:
        with open("in.txt") as f, open("b.txt") as g:
            for i in f:
                if not i:
                    continue
                break
            else:
                while g:
                    pass
    except (ValueError, KeyError) as error:
        raise RuntimeError("no") from error
    finally:
        x = None
    return x


def groups(x):
    try:
        return x
    except* OSError as found:
        print(found.exceptions)


async def waiting(x):
    async with x as y:
        async for z in y:
            yield await z
    [w async for w in x]


def classes(x):
    class Inner(Shape):
        """Inner."""

        size: int = 1

        def area(self) -> float:
            return super().area() * self.size

    return Inner(), Circle(2), Pair(1), POINT(1, 2), Colour.RED.shown(), Flags.A | Flags.B


def values(x):
    return RATE, LIMITS, DAY, WORD, HERE, CONFIG.double, SLOTTED, T, Row, HUGE, TABLES


TABLES = OrderedDict(a=defaultdict(list), b=functools.partial(kept, 1), c=POINT(1, 2), d=Pair(1))


def reaching(x):
    from features.text import clean as tidy

    return tidy(txt.clean(x)) + star(x) + shown(x) + kept(x) + os.environ["HOME"] + tail(x)


def tail(n):
    return n and head(n - 1)


def head(n: Any) -> int:
    """Mutual recursion."""
    return n and tail(n - 1)


@timed
def wrapped(x: int) -> int:
    """Wrapped."""
    return x


@asset(tags=["a"])
def made(raw, limit: int = 3):
    return strings(raw) + limit


@check(made)
def sound(made) -> bool:
    return bool(made)


def opened(name):
    return getattr(txt, name)
