"""What a function's signature declares: its inputs, its parameters, how it returns."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from lineal.assets.annotations import (
    Meaning,
    UnreadColumns,
    Unsettled,
    arrival,
    is_folder,
    meaning,
    returns_rows,
)
from lineal.assets.asset import Input
from lineal.assets.deferred import deferred_in
from lineal.assets.digest import NoCanonicalFormError, encode
from lineal.assets.errors import DefinitionError, did_you_mean

RESERVED_PARAMETERS = frozenset({"partition"})


class Signature(NamedTuple):
    """What a signature declares; the fields are those of Asset."""

    inputs: tuple[Input, ...]
    takes_rest: bool
    folder_parameter: str | None
    parameters: Mapping[str, Any]
    parameter_types: Mapping[str, Any]
    returns_rows: bool


def read_signature(
    function: Callable[..., Any], named: Mapping[str, str], where: str, *, yields: bool = True
) -> Signature:
    """Read a signature.

    Args:
        function: of the user; a wrapper is looked through.
        named: `inputs=`: parameter → asset name.
        where: for errors.
        yields: may it be a generator function: the batches of a table?

    Raises:
        DefinitionError: `*args`, a coroutine, a default without canonical form, …
    """
    if not yields and inspect.isgeneratorfunction(inspect.unwrap(function)):
        name = getattr(function, "__name__", repr(function))
        raise DefinitionError(
            f"`{name}`: it can't `yield`",
            where=where,
            advice="a check returns a bool, or the rows that fail",
        )
    try:
        return _Reading(function, named, where).read()
    except Unsettled:
        deferred = deferred_in(_namespace(function))
        if deferred is not None:
            deferred.settle()
        return _Reading(function, named, where).read()


def _namespace(function: Callable[..., Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = getattr(inspect.unwrap(function), "__globals__", {})
    return found


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        import annotationlib

        forms = annotationlib.Format.FORWARDREF
        return inspect.signature(function, annotation_format=forms)
    return inspect.signature(function)


class _Reading:
    """One signature being read: sorts its parameters into inputs, parameters and a folder."""

    def __init__(self, function: Callable[..., Any], named: Mapping[str, str], where: str) -> None:
        self.function = function
        self.named = named
        self.where = where
        self.namespace = _namespace(function)
        self.inputs: list[Input] = []
        self.takes_rest = False
        self.folder: str | None = None
        self.parameters: dict[str, Any] = {}
        self.types: dict[str, Any] = {}

    def read(self) -> Signature:
        self._refuse_other_kinds()
        try:
            signature = _signature(self.function)
        except (TypeError, ValueError) as error:
            raise self._error(f"its signature can't be read: {error}") from error
        for parameter in signature.parameters.values():
            self._sort(parameter)
        self._name_inputs()
        returned = self._meaning(signature.return_annotation, "rows")
        return Signature(
            inputs=tuple(self.inputs),
            takes_rest=self.takes_rest,
            folder_parameter=self.folder,
            parameters=self.parameters,
            parameter_types=self.types,
            returns_rows=returns_rows(returned.type),
        )

    def _error(self, message: str, advice: str | None = None) -> DefinitionError:
        name = getattr(self.function, "__name__", repr(self.function))
        return DefinitionError(f"`{name}`: {message}", where=self.where, advice=advice)

    def _refuse_other_kinds(self) -> None:
        plain = inspect.unwrap(self.function)
        if inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain):
            raise self._error(
                "an asset can't be `async`", "write `def`, and `asyncio.run(…)` inside"
            )

    def _sort(self, parameter: inspect.Parameter) -> None:
        name = parameter.name
        if parameter.kind is parameter.VAR_POSITIONAL:
            raise self._error(
                f"`*{name}` can't be an input: nothing says which asset it is",
                f'name them: `**{name}` with inputs={{"…": "…"}}',
            )
        if parameter.kind is parameter.VAR_KEYWORD:
            self.takes_rest = True
            return
        if name in RESERVED_PARAMETERS:
            raise self._error(
                f"`{name}` can't be the name of a parameter: it is kept for partitions, "
                "which are not built yet",
                "give it another name",
            )
        takes = parameter.default is parameter.empty and (
            parameter.kind is not parameter.KEYWORD_ONLY or name in self.named
        )
        said = self._meaning(parameter.annotation, "arrival" if takes else "class")
        if is_folder(said.type):
            self._take_folder(name)
        elif parameter.default is not parameter.empty:
            self._take_parameter(name, parameter.default, said)
        elif parameter.kind is parameter.KEYWORD_ONLY and name not in self.named:
            self.types[name] = said.type
        else:
            self.inputs.append(Input(name, self.named.get(name), arrival(said.type), said.columns))

    def _meaning(self, annotation: Any, seen: Literal["class", "arrival", "rows"]) -> Meaning:
        try:
            said = meaning(annotation, self.namespace, seen=seen)
        except UnreadColumns as error:
            raise self._error(
                f"the names in `{error}` can't be read without running it",
                "write them out as texts, or give them a name: `READ = columns(…)`",
            ) from error
        names = said.columns
        if names is not None:
            if not names or not all(isinstance(n, str) for n in names):
                raise self._error("`columns(…)` needs the names of columns, as texts")
            if len(set(names)) < len(names):
                raise self._error(f"`columns(…)` names a column twice: {', '.join(names)}")
        return said

    def _take_folder(self, name: str) -> None:
        if self.folder is not None:
            raise self._error(f"one folder to write into, not two: `{self.folder}`, `{name}`")
        self.folder = name

    def _take_parameter(self, name: str, default: Any, said: Meaning) -> None:
        if name in self.named:
            raise self._error(
                f"`{name}` is named in inputs= but has a default, so it is a parameter",
                "remove its default",
            )
        try:
            encode(default)
        except NoCanonicalFormError as error:
            raise self._error(
                f"the default of `{name}` can't be compared from run to run: {error}",
                "use a plain value (number, text, date, list, …); "
                "what has to be computed is an asset of its own",
            ) from error
        self.parameters[name] = default
        guess = Any if default is None else type(default)
        self.types[name] = guess if said.type is Any else said.type

    def _name_inputs(self) -> None:
        known = {given.parameter for given in self.inputs}
        for name, asset in self.named.items():
            if name in known:
                continue
            if not self.takes_rest:
                raise self._error(
                    f"inputs= names `{name}`, which is no parameter{did_you_mean(name, known)}"
                )
            if not name.isidentifier() or name in self.types:
                raise self._error(f"inputs= names `{name}`, which can't be an input's parameter")
            self.inputs.append(Input(name, asset))
        if self.takes_rest and len(self.inputs) == len(known):
            raise self._error(
                "`**` takes the inputs that inputs= names beside the parameters, and it names none",
                'write inputs={"parameter": "asset/name"}',
            )
