"""Resources of one process: each opened at most once, when first needed, and closed at the end.

Something may stand in for a resource in one run: then what that run makes is known as such.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from lineal.assets.asset import Resource
from lineal.assets.digest import digest_of
from lineal.assets.errors import StepError, UsageError, UserCodeError, did_you_mean
from lineal.assets.graph import Graph
from lineal.assets.perform import call_by_name
from lineal.assets.secrets import reveal
from lineal.user_code import seeded

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Replaced(NamedTuple):
    """What stands in for resources in one run, and the text that makes their recipes its own."""

    objects: Mapping[str, Any]
    tokens: Mapping[str, str]


def replaced(graph: Graph, given: Mapping[str, Any]) -> Replaced:
    """Stand-ins by the name of the resource, checked.

    Raises:
        UsageError: there is no such resource.
    """
    import uuid

    for name in given:
        if name not in graph.resources:
            known = ", ".join(f"`{each}`" for each in graph.resources) or "none"
            raise UsageError(
                f"no resource `{name}` to replace{did_you_mean(name, graph.resources)}",
                advice=f"the resources of this project: {known}",
            )
    return Replaced(dict(given), {name: uuid.uuid4().hex for name in given})


class _Open(NamedTuple):
    resource: Resource
    value: Any
    generator: Generator[Any, Any, Any] | None


class Opened:
    """The resources that are open in this process, for one run.

    Args:
        locate: tells an exception of the user's code with their own line, as `UserCode.locate`.
        replaced: objects that stand in for resources, by name: neither opened nor closed.
    """

    def __init__(
        self,
        locate: Callable[[BaseException], UserCodeError],
        replaced: Mapping[str, Any] = _NOTHING,
    ) -> None:
        self._locate = locate
        self._replaced = replaced
        self._open: dict[tuple[str, str], _Open] = {}

    def get(self, resource: Resource, parameters: Mapping[str, Any]) -> Any:
        """The object of a resource with these parameters, opened if it is not yet.

        To be asked where user code runs, so that what opening prints, reads and raises belongs to
        the step that was first. Its randomness is its own: no step's depends on who came first.

        Raises:
            StepError: it yields nothing, or a secret of its has no value.
        """
        if resource.name in self._replaced:
            return self._replaced[resource.name]
        key = (resource.name, digest_of(dict(parameters)))
        found = self._open.get(key)
        if found is None:
            with seeded(digest_of(key)):
                found = self._open[key] = _opened(resource, parameters)
        return found.value

    def close(self) -> tuple[str, ...]:
        """Close all, the last opened first; to be called where user code runs.

        What goes wrong is told, one sentence a resource, and stops nothing.
        """
        told = []
        while self._open:
            _, each = self._open.popitem()
            try:
                problem = _closed(each)
            except (Exception, SystemExit) as error:  # noqa: BLE001  (of the user's code)
                located = self._locate(error)
                place = f"  {located.where}" if located.where else ""
                problem = f"it raised {located.message}{place}"
            if problem:
                told.append(f"closing the resource `{each.resource.name}`: {problem}")
        return tuple(told)


def _opened(resource: Resource, parameters: Mapping[str, Any]) -> _Open:
    who = f"the resource `{resource.name}`"
    values = reveal(parameters, who, str(resource.where))
    made = call_by_name(resource.function, values)
    if not inspect.isgenerator(made):
        return _Open(resource, made, None)
    for value in made:
        return _Open(resource, value, made)
    raise StepError(
        f"{who} ended without a `yield`",
        where=str(resource.where),
        advice="yield what it opens, once; what follows the `yield` closes it",
    )


def _closed(opened: _Open) -> str:
    """Run what follows the `yield`; says what is wrong with it."""
    if opened.generator is None:
        return ""
    for _ in opened.generator:
        opened.generator.close()
        return f"it yields more than once  {opened.resource.where}"
    return ""
