"""Environments: those that the settings define, and in which of them a project is looked at."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from lineal.assets.errors import SettingsError, UsageError, did_you_mean
from lineal.assets.records import DEFAULT_ENVIRONMENT

VARIABLE = "LINEAL_ENV"  # names the environment where nothing else does

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_KEYS = ("promote", "parameters")
_LATER = frozenset({"sources", "store"})

Where = Callable[[str], str]  # `file:line` of a setting
Parameters = Mapping[str, Mapping[str, Any]]  # asset → parameter → value as TOML has it


class Environment(NamedTuple):
    """`promotes`: gates move aliases in it, and actions run; `parameters`: its own."""

    name: str
    promotes: bool
    parameters: Parameters = MappingProxyType({})


def environments(given: Any, where: Where) -> dict[str, Environment]:
    """What `[environments]` says, by name.

    Raises:
        SettingsError: it says what can't be said there.
    """
    if not isinstance(given, dict):
        raise _no_table("environments", given, where, "environments.prod")
    return {name: _environment(name, each, where) for name, each in given.items()}


def _environment(name: str, given: Any, where: Where) -> Environment:
    path = f"environments.{name}"
    if not isinstance(given, dict):
        advice = "environments.prod" if name in _KEYS else path
        raise _no_table(path, given, where, advice)
    if _NAME.fullmatch(name) is None:
        raise SettingsError(
            f"`{name}` is no name of an environment",
            where=where(path),
            advice="a letter first, then letters, digits, `-` and `_`",
        )
    for key in given:
        if key in _LATER:
            raise SettingsError(
                f"`{path}.{key}` is not built yet",
                where=where(f"{path}.{key}"),
                advice="leave it out: it would do nothing",
            )
        if key not in _KEYS:
            raise SettingsError(
                f"there is no setting `{path}.{key}`{did_you_mean(key, _KEYS)}",
                where=where(f"{path}.{key}"),
                advice=f"there are {', '.join(_KEYS)}",
            )
    promotes = given.get("promote", False)
    if not isinstance(promotes, bool):
        raise SettingsError(
            f"`{path}.promote` is {promotes!r}",
            where=where(f"{path}.promote"),
            advice="it needs true or false",
        )
    return Environment(name, promotes, parameters(given, f"{path}.", where))


def parameters(given: Mapping[str, Any], before: str, where: Where) -> Parameters:
    """The parameters in a table; `before`: the path of that table, with a dot, or nothing.

    Raises:
        SettingsError: they are not of an asset.
    """
    found = given.get("parameters", {})
    if not isinstance(found, dict):
        raise _no_table(f"{before}parameters", found, where, f"{before}parameters.an_asset")
    for asset, values in found.items():
        if not isinstance(values, dict):
            path = f"{before}parameters.{asset}"
            raise SettingsError(
                f"`{path}` is {values!r}",
                where=where(path),
                advice=f"parameters belong to an asset: [{before}parameters.an_asset] {asset} = …",
            )
    return found


def chosen(
    defined: Mapping[str, Environment], asked: str | None, file: str
) -> tuple[Environment, str]:
    """The environment that was asked for, and who asked.

    Else the one that the variable LINEAL_ENV names, else `default`, which is always there. It
    promotes where the settings define no environment; else only if they say so.

    Raises:
        UsageError: there is none of that name.
    """
    origin = "as asked"
    if asked is None:
        asked = os.environ.get(VARIABLE, "").strip() or None
        origin = f"the variable {VARIABLE}"
    if asked is None:
        asked, origin = DEFAULT_ENVIRONMENT, "default"
    if asked in defined:
        return defined[asked], origin
    if asked == DEFAULT_ENVIRONMENT:
        return Environment(asked, promotes=not defined), origin
    known = list(dict.fromkeys([DEFAULT_ENVIRONMENT, *defined]))
    named = f", which {origin} names" if origin != "as asked" else ""
    raise UsageError(
        f"there is no environment `{asked}`{named}{did_you_mean(asked, known)}",
        where=file,
        advice=f"there {'is' if len(known) == 1 else 'are'} {', '.join(known)}; "
        "a table in the settings defines one: [environments.prod] promote = true",
    )


def over(usual: Parameters, own: Parameters) -> Parameters:
    """Parameters, of which an environment says some otherwise."""
    if not own:
        return usual
    return {asset: {**usual.get(asset, {}), **own.get(asset, {})} for asset in {**usual, **own}}


def _no_table(path: str, given: Any, where: Where, table: str) -> SettingsError:
    return SettingsError(
        f"`{path}` is {given!r}", where=where(path), advice=f"it is a table: [{table}]"
    )
