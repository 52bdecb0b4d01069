"""The values of parameters: from settings or the command line to the type the function declares."""

from __future__ import annotations

import datetime as dt
import enum
import pathlib
import types
import typing
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from lineal.assets.annotations import Applied, Named
from lineal.assets.asset import Asset, Resource
from lineal.assets.digest import NoCanonicalFormError, encode
from lineal.assets.errors import LinealError, UsageError, did_you_mean
from lineal.assets.secrets import secrets_in

_TRUE = frozenset({"true", "yes", "1", "on"})
_FALSE = frozenset({"false", "no", "0", "off"})


def convert_parameter(
    asset: Asset | Resource,
    name: str,
    value: Any,
    *,
    spoken: bool = False,
    error: type[LinealError] = UsageError,
    where: str | None = None,
) -> Any:
    """The value of a parameter in its declared type.

    Args:
        asset: that has the parameter; or the resource.
        name: of the parameter.
        value: a text, or what TOML gave.
        spoken: a text of the command line, which may mean a number where no type is declared.
        error: what to raise: UsageError for the command line, SettingsError for settings.
        where: the place of the setting.

    Raises:
        LinealError: an `error`; no such parameter, or no such value.
    """
    if name not in asset.parameter_types:
        known = ", ".join(f"`{each}`" for each in asset.parameter_types) or "none"
        near = did_you_mean(name, asset.parameter_types)
        raise error(
            f"`{asset.name}` has no parameter `{name}`{near}",
            where=where,
            advice=f"its parameters: {known}",
        )
    secret = next(iter(secrets_in(asset.parameters.get(name))), None)
    if secret is not None:
        # The value itself is not told: it may be the very secret.
        raise error(
            f"`{asset.name}.{name}` is a secret, which no setting can say",
            where=where,
            advice=f"set the environment variable `{secret.name}`",
        )
    wanted = asset.parameter_types[name]
    try:
        found = _guess(value) if spoken and _says_nothing(wanted) else _convert(value, wanted)
        encode(found)
    except _NotThat as problem:
        raise error(
            f"`{asset.name}.{name}` is {value!r}, which is not {problem}", where=where
        ) from problem
    except NoCanonicalFormError as problem:
        raise error(f"`{asset.name}.{name}`: {problem}", where=where) from problem
    return found


class _NotThat(ValueError):
    """The value can't be that; the message is what was wanted, with its article."""


def _says_nothing(wanted: Any) -> bool:
    return wanted is Any or wanted is object or isinstance(wanted, Named)


def _guess(value: Any) -> Any:
    """A text whose type nobody declared: a number, true, a list or an object in JSON, else text."""
    import json

    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None if value.lower() == "none" else value


def _convert(value: Any, wanted: Any) -> Any:
    if _says_nothing(wanted):
        return value
    if isinstance(wanted, Applied):
        return _convert_applied(value, wanted)
    if wanted is None or wanted is types.NoneType:
        if value is None or (isinstance(value, str) and value.lower() in ("none", "null", "")):
            return None
        raise _NotThat("None")
    if isinstance(wanted, type) and issubclass(wanted, enum.Enum):
        return _enum(value, wanted)
    collection = next((c for c in (list, tuple, set, frozenset, dict) if wanted is c), None)
    if collection is not None:
        return _convert_applied(value, Applied(collection, ()))
    maker = _MAKERS.get(wanted)
    if maker is not None:
        return maker(value)
    if isinstance(wanted, type) and type(value) is wanted:
        return value
    shown = getattr(wanted, "__name__", str(wanted))
    raise _NotThat(f"a {shown}: a value of this type can't be written in settings")


def _convert_applied(value: Any, wanted: Applied) -> Any:
    head, arguments = wanted
    if head is typing.Literal:
        return _literal(value, arguments)
    if head is typing.Union:
        return _first_of(value, arguments)
    if head is dict or (isinstance(head, type) and issubclass(head, Mapping)):
        return _mapping(value, arguments)
    if head is tuple and arguments and arguments[-1] is not Ellipsis:
        items = _items(value)
        if len(items) != len(arguments):
            raise _NotThat(f"a list of {len(arguments)} values")
        return tuple(_convert(item, kind) for item, kind in zip(items, arguments, strict=True))
    inner = arguments[0] if arguments else Any
    convert = _guess if inner is Any and isinstance(value, str) else _convert_to(inner)
    items = [convert(item) for item in _items(value)]
    return head(items) if head in (tuple, set, frozenset) else items


def _convert_to(kind: Any) -> Callable[[Any], Any]:
    return lambda item: _convert(item, kind)


def _items(value: Any) -> list[Any]:
    """A list, from TOML, JSON, or a text with commas."""
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if not isinstance(value, str):
        raise _NotThat("a list")
    if value.strip().startswith("["):
        found = _guess(value)
        if not isinstance(found, list):
            raise _NotThat("a list")
        return found
    return [item.strip() for item in value.split(",")] if value.strip() else []


def _mapping(value: Any, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    found = _guess(value)
    if not isinstance(found, dict):
        raise _NotThat('a table: {"name": value}')
    if len(arguments) != 2:
        return found
    key, item = arguments
    return {_convert(k, key): _convert(v, item) for k, v in found.items()}


def _literal(value: Any, choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        if type(choice) is type(value) and choice == value:
            return choice
    for choice in choices:
        spelt = choice.name if isinstance(choice, enum.Enum) else str(choice)
        if isinstance(value, str) and value == spelt:
            return choice
    shown = [str(choice) for choice in choices]
    near = did_you_mean(str(value), shown)
    raise _NotThat(f"one of {', '.join(shown)}{near}")


def _first_of(value: Any, arms: tuple[Any, ...]) -> Any:
    """The arm whose type the value has; of a text the first that is no text and can be read."""
    wanted = [types.NoneType if arm is None else arm for arm in arms]
    same = [arm for arm in wanted if arm is type(value)]
    if same and not isinstance(value, str):
        return value
    problems: list[str] = []
    for arm in sorted(wanted, key=lambda arm: arm is str):
        try:
            return _convert(value, arm)
        except _NotThat as problem:
            problems.append(str(problem))
    raise _NotThat(" or ".join(problems))


def _enum(value: Any, wanted: type[enum.Enum]) -> enum.Enum:
    for member in wanted:
        if value is member or value == member.name:
            return member
    for member in wanted:
        if value == member.value or (isinstance(value, str) and value == str(member.value)):
            return member
    names = [member.name for member in wanted]
    raise _NotThat(f"one of {', '.join(names)}{did_you_mean(str(value), names)}")


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else None
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise _NotThat("true or false")


def _int(value: Any) -> int:
    if isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return int(value)
        except ValueError:
            pass
    raise _NotThat("a whole number")


def _float(value: Any) -> float:
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    raise _NotThat("a number")


def _str(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise _NotThat("a text: put it in quotes")


def _decimal(value: Any) -> Decimal:
    if isinstance(value, int | str | Decimal) and not isinstance(value, bool):
        try:
            return Decimal(value)
        except InvalidOperation:
            pass
    raise _NotThat("a decimal number; in settings, put it in quotes")


def _time_of(kind: Any, example: str) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if type(value) is kind:
            return value
        if kind is dt.datetime and type(value) is dt.date:
            return dt.datetime(value.year, value.month, value.day)
        if isinstance(value, str):
            try:
                return kind.fromisoformat(value)
            except ValueError:
                pass
        raise _NotThat(f"a {kind.__name__} such as {example}")

    return convert


def _path(value: Any) -> pathlib.Path:
    return pathlib.Path(_str(value))


_MAKERS: Mapping[Any, Callable[[Any], Any]] = types.MappingProxyType(
    {
        bool: _bool,
        int: _int,
        float: _float,
        str: _str,
        Decimal: _decimal,
        dt.date: _time_of(dt.date, "2026-01-05"),
        dt.datetime: _time_of(dt.datetime, "2026-01-05T12:00"),
        dt.time: _time_of(dt.time, "12:30"),
        pathlib.Path: _path,
    }
)
