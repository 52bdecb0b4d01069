"""What is known of the names that a module of the project binds only when they are needed."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any, Protocol

MARK = (
    "__lineal_deferred__"  # in the namespace of a module: its Deferred, or None when all is bound
)


class Deferred(Protocol):
    """The names that one module has yet to bind: by imports, and types written with these."""

    @property
    def paths(self) -> Mapping[str, tuple[str, ...]]:
        """Name → import path, for imports."""
        ...

    @property
    def aliases(self) -> Mapping[str, tuple[str, tuple[Any, ...]]]:
        """Name → the text of a type, and what is noted about it (`Annotated`)."""
        ...

    @property
    def arrivals(self) -> Mapping[str, str]:
        """Path of a class → how a value annotated with it arrives, as it was once seen."""
        ...

    def settle(self) -> None:
        """Bind them, and those of every other module.

        Raises:
            DefinitionError: an import fails.
        """
        ...


def deferred_in(names: Mapping[str, Any]) -> Deferred | None:
    """What a namespace has yet to bind."""
    found: Deferred | None = names.get(MARK)
    return found


def waits(names: Mapping[str, Any], name: str) -> bool:
    """Has a namespace yet to bind this name?"""
    deferred = deferred_in(names)
    return (
        deferred is not None
        and name not in names
        and (name in deferred.paths or name in deferred.aliases)
    )


def bound(names: Mapping[str, Any], name: str, default: Any) -> Any:
    """The value of a name, for a question that its import path does not answer: it is bound."""
    deferred = deferred_in(names)
    if deferred is not None and waits(names, name):
        deferred.settle()
    return names.get(name, default)


def names_of(module: types.ModuleType) -> dict[str, Any]:
    """The names that a module has bound. `vars` would have it bind all the others first."""
    found: dict[str, Any] = vars(types.ModuleType)["__dict__"].__get__(module)
    return found
