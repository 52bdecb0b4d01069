"""Tasks as bytes for another process: what the project declares is named, the rest is pickled.

A declaration holds functions, which exist in each process anew: it is found again by its name, in a
graph bound from the very same code. What it says of the step is compared, for code may compute it.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lineal.assets.asset import Asset, Check, Resource
from lineal.assets.digest import digest_of
from lineal.assets.errors import InputsChanged, LinealError, StepError
from lineal.assets.facts import parameter_texts
from lineal.assets.graph import Graph
from lineal.assets.perform import Task

_Declared = Asset | Check | Resource
_Name = tuple[str, str, str, str]  # kind, name, the output it checks, what it says


class Crossing:
    """Packs and unpacks the tasks of one graph."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        checks = ((output, each) for output, found in graph.checks.items() for each in found)
        self._outputs = {id(check): output for output, check in checks}

    def pack(self, task: Task) -> bytes:
        """A task as bytes.

        Raises:
            StepError: a value can't be pickled; it names the parameter.
        """
        needed = {**task.resources, "": task.parameters}
        values: dict[str, dict[str, bytes]] = {}
        for whose in ("", *_resources(task)):
            values[whose] = {}
            for name, value in needed[whose].items():
                try:
                    values[whose][name] = self._dumped(value)
                except Exception as error:  # the user's class may raise anything
                    raise _stuck(task, whose, name, error) from error
        return self._dumped((replace(task, parameters={}, resources={}), values))

    def unpack(self, data: bytes) -> Task:
        """The task, with the declarations of this process.

        Raises:
            InputsChanged: a declaration is not here, or says something else.
            StepError: a value can't be read.
        """
        task, values = self._loaded(data)
        found: dict[str, dict[str, Any]] = {whose: {} for whose in values}
        for whose, name, value in (
            (w, n, v) for w, each in values.items() for n, v in each.items()
        ):
            try:
                found[whose][name] = self._loaded(value)
            except LinealError:
                raise
            except Exception as error:  # the user's class may raise anything
                raise _stuck(task, whose, name, error) from error
        whole: Task = replace(task, parameters=found.pop(""), resources=found)
        return whole

    # ------------------------------------------------------------------------------ names

    def name(self, thing: _Declared) -> _Name:
        output = self._outputs[id(thing)] if isinstance(thing, Check) else ""
        return _kind(thing), thing.name, output, _said(thing)

    def find(self, name: _Name) -> _Declared:
        kind, called, output, said = name
        for thing in self._declared(kind, called, output):
            if thing.name == called:
                if _said(thing) == said:
                    return thing
                break
        raise InputsChanged(
            f"`{called}` is declared otherwise in a worker than when the plan was made",
            advice="what code computes as it loads must be the same each time "
            "(no clock, no random number); or run with --jobs 1",
        )

    def _declared(self, kind: str, name: str, output: str) -> Sequence[_Declared]:
        if kind == "check":
            return self._graph.checks.get(output, ())
        known: Mapping[str, Asset | Resource]
        known = self._graph.assets if kind == "asset" else self._graph.resources
        return [known[name]] if name in known else []

    def _dumped(self, value: Any) -> bytes:
        buffer = io.BytesIO()
        _Pickler(buffer, self).dump(value)
        return buffer.getvalue()

    def _loaded(self, data: bytes) -> Any:
        return _Unpickler(io.BytesIO(data), self).load()


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, crossing: Crossing) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._crossing = crossing

    def persistent_id(self, value: Any) -> _Name | None:
        return self._crossing.name(value) if isinstance(value, _Declared) else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, crossing: Crossing) -> None:
        super().__init__(file)
        self._crossing = crossing

    def persistent_load(self, name: _Name) -> _Declared:
        return self._crossing.find(name)


def _kind(thing: _Declared) -> str:
    if isinstance(thing, Asset):
        return "asset"
    return "check" if isinstance(thing, Check) else "resource"


def _said(thing: _Declared) -> str:
    """A digest of what a declaration says beside its code, which its recipe tells."""
    if isinstance(thing, Resource):
        return digest_of(sorted(thing.parameters))
    if isinstance(thing, Check):
        judged = (thing.severity, thing.inputs, thing.rule)
        return digest_of((repr(judged), parameter_texts(thing.parameters)))
    query = thing.query and (thing.query.text, *(macro.text for macro in thing.query.macros))
    said = (thing.kind, thing.outputs, query, thing.files, thing.inputs, thing.contract, thing.gate)
    return digest_of(repr((*said, thing.folder_parameter, thing.returns_rows)))


def _resources(task: Task) -> list[str]:
    """The names of the resources that the step and its checks take."""
    readers: list[Asset | Check] = [task.asset]
    readers += [bound.check for each in task.checks.values() for bound in each]
    return sorted({resource.name for reader in readers for _, resource in reader.resources})


def _stuck(task: Task, resource: str, name: str, error: Exception) -> StepError:
    of = f" of the resource `{resource}`" if resource else ""
    return StepError(
        f"`{task.asset.name}`: the parameter `{name}`{of} can't be sent to a worker: "
        f"{type(error).__name__}: {error}",
        where=str(task.asset.where),
        advice="run it with --jobs 1, or give it a value that pickle can write and read",
    )
