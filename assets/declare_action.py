"""The word people declare actions with: what is done for each move of an alias of a registry."""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lineal.assets.asset import (
    Action,
    Asset,
    Contract,
    Input,
    Retry,
    Where,
    caller,
    declared,
    refused,
)
from lineal.assets.declare import own_name, placed, refuse_no_function, where_of
from lineal.assets.errors import DefinitionError
from lineal.assets.names import check_alias, check_name
from lineal.assets.options import read_options
from lineal.assets.registries import PRODUCTION
from lineal.assets.signature import Signature, read_signature

Function = Callable[..., Any]

_RUNNING = ("retry", "timeout", "pools", "exclusive")
ACTION_OPTIONS = ("name", *_RUNNING, "tags", "owner", "description")


def action(
    alias: str,
    *,
    name: str | None = None,
    retry: int | Retry | None = None,
    timeout: str | float | dt.timedelta | None = None,
    pools: str | Mapping[str, int] | None = None,
    exclusive: bool = False,
    tags: str | Sequence[str] | None = None,
    owner: str | None = None,
    description: str | None = None,
    **unknown: Any,
) -> Callable[[Function], Asset]:
    """Declare what is done once for each promotion to an alias: `@action("delays@production")`.

    The first parameter of the function gets the `Promotion`; others are parameters with defaults,
    secrets and resources. It may return plain values, which are kept. It runs at least once for
    each move of the alias, rollbacks included, in their order; `promotion.id` tells the outside
    world when it is the same one again.

    Args:
        alias: of a registry; "delays" means "delays@production".
        name: of the action; else the function's.
        retry, timeout, pools, exclusive, tags, owner, description: as for `asset`.
    """
    where = caller()
    options = {
        "name": name, "retry": retry, "timeout": timeout, "pools": pools,
        "exclusive": exclusive or None, "tags": tags, "owner": owner, "description": description,
        **unknown,
    }  # fmt: skip
    if callable(alias):
        wrong = DefinitionError(
            "@action needs the alias that it runs for",
            where=str(where_of(alias, where)),
            advice='write @action("delays@production")',
        )
        refused(wrong)
        return lambda function: _stand_in(function, where, options)
    return lambda function: _action(alias, function, options, where)


def _action(alias: Any, function: Function, options: Mapping[str, Any], called: Where) -> Asset:
    where = where_of(function, called)
    try:
        refuse_no_function("@action", function)
        given = read_options(options, ACTION_OPTIONS, "@action")
        registry, of = _target(alias)
        name = check_name(given.pop("name", None) or own_name(function))
        first, signature = _signature(function, name, str(where))
        given.setdefault("description", inspect.cleandoc(getattr(function, "__doc__", None) or ""))
        made = Asset(
            name=name,
            kind="action",
            where=where,
            outputs=(name,),
            function=function,
            contract=Contract(format="json"),
            action=Action(registry, of, first),
            inputs=signature.inputs[1:],
            parameters=signature.parameters,
            parameter_types=signature.parameter_types,
            **given,
        )
    except DefinitionError as error:
        refused(placed(error, where))
        return _stand_in(function, where, options)
    return declared(made)


def _stand_in(function: Any, where: Where, options: Mapping[str, Any]) -> Asset:
    """A harmless asset in place of an action that was refused."""
    name = options["name"] if isinstance(options["name"], str) else own_name(function)
    known = function if callable(function) else None
    return declared(Asset(name, "python", where, (name,), function=known))


def _target(alias: Any) -> tuple[str, str]:
    """The registry and the alias that a text names.

    Raises:
        DefinitionError: without a place.
    """
    if not isinstance(alias, str):
        raise DefinitionError(f"{alias!r} is no alias", advice='write "delays@production"')
    registry, at, named = alias.partition("@")
    try:
        check_name(registry)
    except DefinitionError as error:
        raise DefinitionError(
            f"`{alias}`: `{registry}` can't be the name of a registry",
            advice='write "delays@production"',
        ) from error
    return registry, check_alias(named) if at else PRODUCTION


def _signature(function: Function, name: str, where: str) -> tuple[str, Signature]:
    """The parameter that gets the promotion, and all that the signature says."""
    if inspect.isgeneratorfunction(inspect.unwrap(function)):
        raise DefinitionError(
            f"the action `{name}` can't `yield`",
            advice="do what is to be done, and return None or plain values",
        )
    found = read_signature(function, {}, where)
    if found.folder_parameter is not None:
        raise DefinitionError(
            f"`{found.folder_parameter}` of the action `{name}` is a folder to write into, "
            "which an action has not",
            advice="use tempfile.TemporaryDirectory()",
        )
    parameters = list(inspect.signature(function).parameters)
    first = found.inputs[0] if found.inputs else None
    if first is None or first.parameter != parameters[0]:
        raise DefinitionError(
            f"the action `{name}` has no first parameter for the promotion",
            advice=f"write def {own_name(function)}(promotion, …), without a default",
        )
    if first != Input(first.parameter, arrival=first.arrival):
        raise DefinitionError(
            f"`{first.parameter}` of the action `{name}` is the promotion, "
            "which has no columns or partitions",
            advice="annotate it lineal.Promotion",
        )
    return first.parameter, found
