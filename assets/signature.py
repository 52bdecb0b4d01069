"""What a function's signature declares: its inputs, its parameters, how it returns."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from lineal.assets.annotations import (
    Meaning,
    UnreadNote,
    Unsettled,
    arrival,
    each_arrival,
    is_folder,
    meaning,
    returns_rows,
)
from lineal.assets.asset import Input
from lineal.assets.deferred import deferred_in
from lineal.assets.digest import NoCanonicalFormError, encode
from lineal.assets.errors import DefinitionError, did_you_mean
from lineal.assets.mapping import Marker
from lineal.assets.options import asset_name

_NOTHING_SAID = Meaning(Any)
PARTITION = "partition"  # the parameter that receives the slice that is made


class Signature(NamedTuple):
    """What a signature declares; the fields are those of Asset."""

    inputs: tuple[Input, ...]
    takes_rest: bool
    folder_parameter: str | None
    parameters: Mapping[str, Any]
    parameter_types: Mapping[str, Any]
    returns_rows: bool
    takes_partition: bool


def read_signature(
    function: Callable[..., Any],
    named: Mapping[str, str | Marker],
    where: str,
    *,
    partitioned: bool = False,
    yields: bool = True,
) -> Signature:
    """Read a signature.

    Args:
        function: of the user; a wrapper is looked through.
        named: `inputs=`: parameter → asset name, or a marker.
        where: for errors.
        partitioned: has it partitions? Then a parameter may be called `partition`.
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
        return _Reading(function, named, where, partitioned).read()
    except Unsettled:
        deferred = deferred_in(_namespace(function))
        if deferred is not None:
            deferred.settle()
        return _Reading(function, named, where, partitioned).read()


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

    def __init__(
        self,
        function: Callable[..., Any],
        named: Mapping[str, str | Marker],
        where: str,
        partitioned: bool,
    ) -> None:
        self.function = function
        self.named = named
        self.where = where
        self.partitioned = partitioned
        self.takes_partition = False
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
            takes_partition=self.takes_partition,
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
        if name == PARTITION and name not in self.named:
            self._take_partition()
            return
        takes = parameter.default is parameter.empty and (
            parameter.kind is not parameter.KEYWORD_ONLY or name in self.named
        )
        said = self._meaning(parameter.annotation, "arrival" if takes else "class")
        if is_folder(said.type):
            self._take_folder(name)
        elif parameter.default is not parameter.empty:
            if said.markers or said.columns:
                note = said.markers[0] if said.markers else "columns(…)"
                raise self._error(
                    f"`{name}` has a default, so it is a parameter, and `{note}` says nothing",
                    "remove its default, if it is to read an asset",
                )
            self._take_parameter(name, parameter.default, said)
        elif parameter.kind is parameter.KEYWORD_ONLY and name not in self.named:
            self.types[name] = said.type
        else:
            self.inputs.append(self._input(name, said))

    def _meaning(self, annotation: Any, seen: Literal["class", "arrival", "rows"]) -> Meaning:
        try:
            said = meaning(annotation, self.namespace, seen=seen)
        except UnreadNote as error:
            raise self._error(
                f"what stands in `{error}` can't be read without running it",
                "write it out, or give all of it a name: `READ = columns(…)`",
            ) from error
        except DefinitionError as error:
            raise self._error(error.message, error.advice) from error
        if len(said.markers) > 1:
            raise self._error(f"one marker, not {', '.join(f'`{each}`' for each in said.markers)}")
        names = said.columns
        if names is not None:
            if not names or not all(isinstance(n, str) for n in names):
                raise self._error("`columns(…)` needs the names of columns, as texts")
            if len(set(names)) < len(names):
                raise self._error(f"`columns(…)` names a column twice: {', '.join(names)}")
        return said

    def _input(self, name: str, said: Meaning = _NOTHING_SAID) -> Input:
        """An input, from its annotation and what inputs= says of it."""
        named = self.named.get(name)
        asset = named if isinstance(named, str) else None
        markers = [*said.markers, *([named] if isinstance(named, Marker) else [])]
        if len({*markers}) > 1:
            raise self._error(
                f"`{name}`: inputs= says `{markers[1]}`, its annotation `{markers[0]}`"
            )
        for each in markers:
            own = None if each.of is None else asset_name(each.of)
            if own and asset and own != asset:
                raise self._error(
                    f"`{name}` names two assets: `{asset}`, and `{own}` by its marker"
                )
            asset = asset or own
        parts = each_arrival(said.type)
        return Input(
            name,
            asset,
            arrival(said.type),
            said.columns,
            marker=replace(markers[0], of=None) if markers else None,
            each=parts is not None,
            each_arrival=parts or "auto",
        )

    def _take_partition(self) -> None:
        if not self.partitioned:
            raise self._error(
                f"`{PARTITION}` receives the partition that is made, and it has none",
                "say which partitions there are (partitions=…), or give it another name",
            )
        self.takes_partition = True

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
        for name in self.named:
            if name in known:
                continue
            if not self.takes_rest:
                raise self._error(
                    f"inputs= names `{name}`, which is no parameter{did_you_mean(name, known)}"
                )
            if not name.isidentifier() or name in self.types:
                raise self._error(f"inputs= names `{name}`, which can't be an input's parameter")
            self.inputs.append(self._input(name))
        if self.takes_rest and len(self.inputs) == len(known):
            raise self._error(
                "`**` takes the inputs that inputs= names beside the parameters, and it names none",
                'write inputs={"parameter": "asset/name"}',
            )
