"""Declarations: what should exist. An asset is a frozen value; it does nothing by itself.

Everything constructed while a definitions module is imported counts: `gathering()` collects it in a
context-local list, so assets made in loops and factories are never lost, and there is no registry.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, Protocol, TypeVar

from lineal.assets.errors import DefinitionError
from lineal.assets.mapping import Marker
from lineal.assets.partitions import ByColumn, Partitions


class Where(NamedTuple):
    """A place in the user's files."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def place(file: str, line: int) -> Where:
    """A place; a file that Python knows by a relative path gets its absolute one."""
    # Not `resolve`: a link stays as it is written, and the disk is not asked.
    return Where(file if file.startswith("<") else os.path.abspath(file), line)  # noqa: PTH100


def caller() -> Where:
    """The user's line that is declaring something: the first frame outside `lineal.assets`."""
    frame = sys._getframe(1)
    while frame.f_back and str(frame.f_globals.get("__name__")).startswith("lineal.assets."):
        frame = frame.f_back
    return place(frame.f_code.co_filename, frame.f_lineno)


# How an input arrives in the function; `auto` is pandas for tables, else the object itself.
Arrival = Literal[
    "auto", "pandas", "arrow", "batches", "relation", "polars", "rows", "array", "object",
    "path", "paths", "result",
]  # fmt: skip


class Columns(NamedTuple):
    """`columns("id", "delay")` in an annotation: the only columns handed over, in order."""

    names: tuple[str, ...]


def columns(*names: str) -> Columns:
    """Declare the columns a function reads: only those are handed over and decide its staleness."""
    return Columns(names)


class Folder:
    """Annotation of a parameter that receives an empty folder to write into; return it as output.

    In a task it arrives as a `pathlib.Path`.
    """


@dataclass(frozen=True, slots=True)
class Input:
    """One input of an asset: the parameter it arrives as, and how.

    `asset` is None until the graph finds the asset of that name (`raw_orders` ↔ `raw/orders`).
    """

    parameter: str
    asset: str | None = None
    arrival: Arrival = "auto"
    columns: tuple[str, ...] | None = None
    marker: Marker | None = None  # last(7), every(), …: which partitions are read
    each: bool = False  # annotated `dict[str, …]`: partitions by key, if the asset has any
    each_arrival: Arrival = "auto"  # how each of them arrives then; `arrival`: if it has none
    shape: bool = False  # of the other columns the names and types are seen, not the values

    @property
    def alone(self) -> Input:
        """How one of several partitions arrives."""
        return replace(self, arrival=self.each_arrival) if self.each else self


class Derived(NamedTuple):
    """A column of an output, and a column of an input that it is said to come from."""

    output: str
    column: str
    parameter: str
    source: str


@dataclass(frozen=True, slots=True)
class Contract:
    """What the output promises: format, key, order and schema. Part of the fingerprint."""

    format: str | None = None  # None: chosen by the type of the value
    primary_key: tuple[str, ...] = ()
    order_by: tuple[str, ...] = ()
    keep_order: bool = False
    schema: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Reader:
    """How the files of a source become a table: `csv(types=…, nulls=…)`, `parquet()`, `json()`."""

    format: str  # "auto" | "csv" | "parquet" | "json"
    options: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Files:
    """The files a source watches: a path or glob relative to the folder of the file saying it."""

    pattern: str
    base: str  # absolute folder
    reader: Reader = Reader("auto")


@dataclass(frozen=True, slots=True)
class Fetch:
    """A source that a function fetches; `refetch` seconds after which it is due again."""

    refetch: float | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """When a score is good enough: at least `margin` better than that of the version in production.

    `direction`: "max" if more is better, or "min". `minimum`: the worst score with which any
    version may open, the first one too; with "min" none may be greater. A negative margin allows
    as much less.
    """

    margin: float = 0.0
    direction: Literal["max", "min"] = "max"
    minimum: float | None = None


@dataclass(frozen=True, slots=True)
class Gate:
    """What decides whether a candidate becomes what an alias of a registry names.

    `parameter`: the parameter of the function that gets the model, its first. `rules`: by metric;
    a function that returns one number has one, by the name of the gate.
    """

    registry: str
    alias: str
    parameter: str
    rules: tuple[tuple[str, Rule], ...]


@dataclass(frozen=True, slots=True)
class Action:
    """What is done once for each promotion to an alias of a registry.

    `parameter`: the parameter of the function that gets the promotion, its first.
    """

    registry: str
    alias: str
    parameter: str


class Macro(NamedTuple):
    """A macro of the project: its name, its `create macro …` as written, and where it begins."""

    name: str
    text: str
    where: Where
    table: bool = False  # a macro that is read like a table


class MacroFile(NamedTuple):
    """A file of macros, which serve every SQL asset of the project."""

    text: str
    where: Where


@dataclass(frozen=True, slots=True)
class Query:
    """The text of a SQL asset and where it is written.

    `macros` are those of the project that it reaches, each after those that it calls. They are
    created in this order, once the tables that the query reads are there: DuckDB binds a macro's
    body when it is created.
    """

    text: str
    where: Where
    macros: tuple[Macro, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """A test of a new version before it is published; an error check blocks publication.

    Exactly one of `function` and `rule` is set. A rule is a ready-made check: (kind, arguments).
    """

    name: str
    where: Where
    severity: Literal["error", "warn"] = "error"
    function: Callable[..., Any] | None = None
    rule: tuple[str, tuple[tuple[str, Any], ...]] | None = None
    asset: str | None = None  # the asset it tests, for `@check(asset)`
    inputs: tuple[Input, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    resources: tuple[tuple[str, Resource], ...] = ()  # by parameter; bound by the graph

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.function is None:
            raise TypeError(f"the ready-made check `{self.name}` is not callable")
        return self.function(*args, **kwargs)


AssetKind = Literal["python", "sql", "files", "fetch", "gate", "action"]


class _Docstring:
    """The class's own text on the class, the user's docstring on an instance."""

    def __init__(self, text: str):
        self.text = text

    def __get__(self, instance: Asset | None, owner: type) -> str | None:
        if instance is None:
            return self.text
        return getattr(instance.function, "__doc__", None) or instance.description or None


@dataclass(frozen=True, slots=True, eq=False)
class Asset:
    __doc__ = _Docstring(  # a descriptor, which `type.__doc__` honours
        """A declaration: name, inputs, how to compute it, parameters, checks, metadata.

    `outputs` names what it makes: itself, or the several outputs of one function. `kind` says how
    it is computed; exactly one of `function` (python, fetch, gate, action), `query` (sql) and
    `files` is set.
    """
    )

    name: str
    kind: AssetKind
    where: Where
    outputs: tuple[str, ...]
    function: Callable[..., Any] | None = None
    query: Query | None = None
    files: Files | None = None
    fetch: Fetch | None = None
    inputs: tuple[Input, ...] = ()
    takes_rest: bool = False  # `**inputs` in the signature
    folder_parameter: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)  # those with a default
    # Every parameter, by name; one that is not in `parameters` must be set in the settings.
    parameter_types: Mapping[str, Any] = field(default_factory=dict)
    returns_rows: bool = False  # annotated `-> list[dict]`: a table
    contract: Contract = Contract()
    checks: tuple[Check, ...] = ()
    columns: tuple[tuple[str, str], ...] = ()  # (column, what it is), for people
    version: str | None = None
    ignore: tuple[Any, ...] = ()
    volatile: bool = False
    volatile_by: str = ""  # what of its SQL makes it so, found by the binder
    variables: tuple[str, ...] = ()  # environment variables it is declared to read
    partitions: Partitions | None = None
    partitions_of: str | None = None  # the asset whose very slices these are
    takes_partition: bool = False  # a parameter called `partition` receives its Partition
    resources: tuple[tuple[str, Resource], ...] = ()  # by parameter; bound by the graph
    retry: Retry | None = None
    timeout: float | None = None  # seconds, an attempt
    pools: tuple[tuple[str, int], ...] = ()  # (pool, how many of its places)
    exclusive: bool = False  # runs alone
    tags: tuple[str, ...] = ()
    owner: str | None = None
    description: str = ""
    derives: tuple[Derived, ...] = ()
    gate: Gate | None = None  # of kind gate; its model is the input of that parameter
    action: Action | None = None  # of kind action; it has no inputs

    @property
    def several(self) -> bool:
        return self.outputs != (self.name,)

    @property
    def sliced_by(self) -> str | None:
        """The column by which it is published in slices; it is computed at once."""
        if self.partitions_of is None and isinstance(self.partitions, ByColumn):
            return self.partitions.column
        return None

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        """The plain function: what `inspect.signature`, doctest and IDEs look through."""
        if self.function is None:
            raise AttributeError("__wrapped__")
        return self.function

    @property
    def __name__(self) -> str:
        return str(getattr(self.function, "__name__", self.name))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.function is None:
            raise TypeError(f"`{self.name}` is a {self.kind} asset, not a function")
        return self.function(*args, **kwargs)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a failed attempt is tried again, and how long is waited before each.

    `times` further attempts; the n-th waits `delay * backoff**(n-1)` seconds, `maximum` at most,
    and up to `jitter` of that more. `on`: the exceptions that are tried again. A length of time is
    a number of seconds or a text such as "30s"; in an asset that was declared it is seconds.
    """

    times: int
    delay: float | str = 1.0
    backoff: float = 2.0
    maximum: float | str = 60.0
    jitter: float = 0.5
    on: type[BaseException] | tuple[type[BaseException], ...] = (Exception,)


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """What is opened once a worker and handed to steps: a connection, a client, a big model.

    Its recipe and parameters count in those of its readers; its object doesn't. `function` is a
    generator that yields it and closes it afterwards, or returns it.
    """

    name: str
    where: Where
    function: Callable[..., Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    parameter_types: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)


@dataclass(frozen=True)
class Result:
    """A value and what to record beside it: metrics (numbers) and metadata (plain values)."""

    value: Any
    metrics: Mapping[str, float] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


class LateResult(Result):
    """A version as a reader gets it who asks for its `Result`: its value is loaded when used.

    Returned without having been loaded, alone or as the value of a `Result`, it is handed on: what
    is stored is the very version, not its value anew.
    """

    def __init__(self, load: Callable[[], Any], metrics: Mapping[str, float], version: Any) -> None:
        object.__setattr__(self, "metrics", metrics)
        object.__setattr__(self, "_load", load)
        object.__setattr__(self, "_version", version)

    @functools.cached_property
    def value(self) -> Any:
        load: Callable[[], Any] = self.__dict__["_load"]
        return load()

    @property
    def metadata(self) -> Mapping[str, Any]:
        raise AttributeError("a Result that is read has `metrics` and a `value`, no `metadata`")

    __eq__ = object.__eq__  # to compare or show it must not load its value
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"Result(…, metrics={self.metrics!r})"

    @property
    def untouched(self) -> Any:
        """The version as the store knows it; None once the value was loaded: it may be changed."""
        return None if "value" in self.__dict__ else self.__dict__["_version"]


@dataclass(frozen=True, slots=True)
class CustomFormat:
    """A format that a project adds for a type of its own: `register(Type, suffix, save, load)`.

    `save(value, path)` writes one file; `load(path)` reads it back, a fresh value each time.
    """

    type: type
    suffix: str
    save: Callable[[Any, Any], object]
    load: Callable[[Any], Any]

    @property
    def name(self) -> str:
        return f"custom:{self.type.__module__}.{self.type.__qualname__}"


# ---------------------------------------------------------------------------------- gathering


class Texts(Protocol):
    """The text files that a declaration names: the loader's, which remembers the bytes it gave."""

    def read(self, path: str) -> bytes:
        """The bytes of one file, read once; raises OSError."""
        ...

    def below(self, folder: str, suffix: str) -> Sequence[str]:
        """The absolute paths of all files below a folder with that suffix, sorted."""
        ...


Declaration = Asset | Check | CustomFormat | Resource | MacroFile | DefinitionError
_D = TypeVar("_D", Asset, Check, CustomFormat, Resource, MacroFile)


class _Gathering(NamedTuple):
    found: list[Declaration]
    texts: Texts | None


_current: contextvars.ContextVar[_Gathering | None] = contextvars.ContextVar(
    "lineal_gathering", default=None
)


@contextlib.contextmanager
def gathering(texts: Texts | None = None) -> Iterator[list[Declaration]]:
    """Collect every asset and check constructed inside the block, in order.

    A declaration that can't be right is collected too, as its DefinitionError, so that all are told
    at once: whoever gathers raises them before building a graph. `texts` reads SQL files.
    """
    found: list[Declaration] = []
    token = _current.set(_Gathering(found, texts))
    try:
        yield found
    finally:
        _current.reset(token)


def declared(thing: _D) -> _D:
    """Note a declaration if one is being gathered; returns it."""
    current = _current.get()
    if current is not None:
        current.found.append(thing)
    return thing


def refused(error: DefinitionError) -> None:
    """Note a declaration that can't be right; raises the error when nothing is being gathered."""
    current = _current.get()
    if current is None:
        raise error
    current.found.append(error)


def is_gathering() -> bool:
    return _current.get() is not None


def texts_of_the_load() -> Texts | None:
    """Who reads text files for the declarations being gathered."""
    current = _current.get()
    return current.texts if current is not None else None
