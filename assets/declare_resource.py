"""The word people declare resources with: what is opened once, and handed to steps."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, overload

from lineal.assets.asset import Resource, Where, caller, declared, refused
from lineal.assets.declare import own_name, placed, refuse_no_function, where_of
from lineal.assets.errors import DefinitionError
from lineal.assets.names import check_name
from lineal.assets.options import read_options
from lineal.assets.signature import read_signature

Function = Callable[..., Any]


@overload
def resource(function: Function, /) -> Resource: ...


@overload
def resource(*, name: str | None = None) -> Callable[[Function], Resource]: ...


def resource(*function: Any, **options: Any) -> Any:
    """Declare what is opened once a process and handed to steps: a connection, a client, a model.

    The function yields it once, and closes it after the `yield`; or it returns it. An asset, check
    or fetching source takes it by a parameter of its name. Its own parameters have defaults, which
    settings can change. Its code and its parameters count for whoever takes it; the object doesn't.

    Args:
        name: else the function's.
    """
    where = caller()
    if not function:
        return lambda made_by: _resource(made_by, options, where)
    if len(function) == 1 and callable(function[0]) and not options:
        return _resource(function[0], options, where)
    refused(
        DefinitionError(
            f"@resource takes options by name, not {function[0]!r}",
            where=str(where),
            advice='write @resource, or @resource(name="…")',
        )
    )
    return lambda made_by: _stand_in(made_by, where)


def _resource(function: Function, options: Mapping[str, Any], called: Where) -> Resource:
    where = where_of(function, called)
    try:
        refuse_no_function("@resource", function)
        given = read_options(options, ("name",), "@resource")
        name = _name(given.get("name") or own_name(function))
        parameters, types_ = _parameters(name, function, str(where))
        made = Resource(name, where, function, parameters, types_)
    except DefinitionError as error:
        refused(placed(error, where))
        return _stand_in(function, where)
    return declared(made)


def _name(name: str) -> str:
    if "/" in name:
        raise DefinitionError(
            f"`{name}` can't be the name of a resource",
            advice="it is that of a parameter: letters, digits and _",
        )
    return check_name(name)


def _parameters(
    name: str, function: Function, where: str
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Its parameters that have defaults, and the types of all.

    Raises:
        DefinitionError: one that has neither a default nor a value in the settings.
    """
    found = read_signature(_unyielding(function), {}, where)
    other = next((given.parameter for given in found.inputs), found.folder_parameter)
    if other is not None or found.takes_rest:
        raise DefinitionError(
            f"the parameter `{other or '**'}` of the resource `{name}` has no default",
            advice="a resource takes parameters only, no assets and no other resources: "
            f"give it a default, or write `*, {other or 'name'}` and set it in lineal.toml",
        )
    return found.parameters, found.parameter_types


def _unyielding(function: Function) -> Function:
    """A function of the same signature that yields nothing, never called: what reads the
    signatures of assets refuses what yields."""
    plain = inspect.unwrap(function)
    if not inspect.isgeneratorfunction(plain) or not isinstance(plain, types.FunctionType):
        return function
    code = plain.__code__.replace(co_flags=plain.__code__.co_flags & ~inspect.CO_GENERATOR)
    made = types.FunctionType(
        code, plain.__globals__, plain.__name__, plain.__defaults__, plain.__closure__
    )
    made.__kwdefaults__ = plain.__kwdefaults__
    if sys.version_info >= (3, 14):
        made.__annotate__ = plain.__annotate__
    else:
        made.__annotations__ = plain.__annotations__
    return made


def _stand_in(function: Any, where: Where) -> Resource:
    """A harmless resource in place of one that was refused, so that what names it finds it."""
    return declared(Resource(own_name(function), where, function))
