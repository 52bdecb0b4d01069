"""Register a format for a type of one's own: how its values become a file and come back."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from lineal.assets.asset import CustomFormat, caller, declared
from lineal.assets.errors import DefinitionError


def register(
    type: type,  # noqa: A002  (it is a type)
    suffix: str,
    save: Callable[[Any, Any], object],
    load: Callable[[Any], Any],
) -> CustomFormat:
    """Store values of a type of your own: `save(value, path)` writes a file, `load(path)` reads it.

    Args:
        type: the class; its subclasses too, unless they are registered themselves.
        suffix: of the file, such as `"onnx"`.

    Raises:
        DefinitionError: not a class, no suffix, or what can't be called.
    """
    where = caller()
    if not isinstance(type, builtins.type):
        raise DefinitionError(f"register({type!r}, …): that is no class", where=str(where))
    if not isinstance(suffix, str) or not suffix.strip(".").isalnum():
        raise DefinitionError(f"register: {suffix!r} is no suffix of a file", where=str(where))
    for word, function in (("save", save), ("load", load)):
        if not callable(function):
            raise DefinitionError(f"register: `{word}` can't be called", where=str(where))
    return declared(CustomFormat(type, suffix.strip("."), save, load))
