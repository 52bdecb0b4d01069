"""The keyword arguments of declarations: what each may be, and the words that are not built yet."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from lineal.assets.asset import Asset, Check, Contract, Reader, Resource, Retry
from lineal.assets.calendars import Calendar
from lineal.assets.digest import NoCanonicalFormError, encode
from lineal.assets.errors import DefinitionError, did_you_mean
from lineal.assets.file_partitions import ByFile, by_file
from lineal.assets.mapping import Marker
from lineal.assets.names import check_name
from lineal.assets.partitions import (
    ByColumn,
    Grid,
    Partitions,
    SameAs,
    Static,
    same_as,
)

FORMATS = ("parquet", "joblib", "pickle", "skops", "json", "array", "figure", "file", "folder")
CONTRACT = ("format", "primary_key", "order_by", "keep_order", "schema")
DESCRIPTIVE = ("checks", "columns", "tags", "owner", "description")
CODE = ("version", "ignore", "volatile", "variables")
RUNNING = ("retry", "timeout", "pools", "exclusive", "partitions")

_LATER = frozenset({"in_place", "settle", "token", "partition"})
_OTHER_WORDS = MappingProxyType(
    {
        "env": "variables", "environ": "variables", "deps": "inputs", "depends_on": "inputs",
        "parents": "inputs", "key": "primary_key", "keys": "primary_key", "sort": "order_by",
        "doc": "description", "params": "parameters", "retries": "retry",
    }
)  # fmt: skip


def read_options(given: Mapping[str, Any], allowed: Sequence[str], who: str) -> dict[str, Any]:
    """The options in their one form; what is None or not given is left out.

    Raises:
        DefinitionError: without a place; an unknown option, a value that can't be right.
    """
    found: dict[str, Any] = {}
    for option, value in given.items():
        if option not in allowed:
            raise _unknown(option, allowed, who)
        if value is not None:
            found[option] = _READERS[option](option, value)
    return found


def contract(options: Mapping[str, Any]) -> Contract:
    """What the output promises, from options that were read."""
    return Contract(**{option: options[option] for option in CONTRACT if option in options})


def _unknown(option: str, allowed: Sequence[str], who: str) -> DefinitionError:
    if option in _LATER:
        return DefinitionError(
            f"{who}: `{option}=` is not built yet", advice="leave it out: it would do nothing"
        )
    meant = _OTHER_WORDS.get(option)
    near = f"; did you mean `{meant}`?" if meant in allowed else did_you_mean(option, allowed)
    return DefinitionError(
        f"{who} does not take `{option}=`{near}", advice=f"it takes {', '.join(allowed)}"
    )


def _wrong(option: str, value: Any, wanted: str) -> DefinitionError:
    return DefinitionError(f"`{option}=` is {value!r}", advice=f"it needs {wanted}")


def _text(option: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(option, value, "a text")
    return value


def _flag(option: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(option, value, "True or False")
    return value


def _names(option: str, value: Any) -> tuple[str, ...]:
    """A name or several, each once."""
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, Sequence) or not all(isinstance(n, str) and n for n in names):
        raise _wrong(option, value, 'a name or a list of names: ["a", "b"]')
    if len(set(names)) < len(names):
        raise _wrong(option, value, "each name once")
    return tuple(names)


def _outputs(option: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not value:
        raise _wrong(option, value, 'the list of what the function makes: ["train", "test"]')
    names = _names(option, value)
    if len({check_name(name).casefold() for name in names}) < len(names):
        raise _wrong(option, value, "names that differ in more than upper and lower case")
    return names


def _inputs(option: str, value: Any) -> dict[str, str | Marker]:
    if not isinstance(value, Mapping) or not all(isinstance(k, str) for k in value):
        raise _wrong(option, value, 'parameter and asset: {"left": "raw/orders"}')
    return {
        parameter: given if isinstance(given, Marker) else asset_name(given)
        for parameter, given in value.items()
    }


def _partitions(option: str, value: Any) -> Partitions:
    """A definition; an asset, or its name, stands for the partitions that it has."""
    if isinstance(value, Asset | str):
        return same_as(asset_name(value))
    if value is by_file:
        return ByFile()
    if isinstance(value, Calendar | Static | Grid | ByColumn | ByFile | SameAs):
        return value
    raise _wrong(option, value, 'monthly("2024-01"), static(["eu", "us"]), … or an asset')


def asset_name(given: Any) -> str:
    """The name of an asset given as itself or by name.

    Raises:
        DefinitionError: no asset name, or a function with several outputs, which has none.
    """
    if isinstance(given, Resource):
        return given.name
    if not isinstance(given, Asset):
        return check_name(given)
    if given.several:
        raise DefinitionError(
            f"`{given.name}` makes several outputs: {', '.join(given.outputs)}",
            advice=f'say which by name: "{given.outputs[0]}"',
        )
    return given.name


def _schema(option: str, value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, Mapping) or not value:
        raise _wrong(option, value, 'each column and its SQL type: {"id": "BIGINT"}')
    return tuple((_text(option, column), _text(option, kind)) for column, kind in value.items())


def _as_given(option: str, value: Any) -> Any:
    """What can only be read beside the inputs."""
    return value


def _columns(option: str, value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, Mapping):
        raise _wrong(option, value, 'each column and what it is: {"origin": "where it starts"}')
    return tuple((_text(option, name), _text(f"{option} {name}", v)) for name, v in value.items())


def _format(option: str, value: Any) -> str:
    if value not in FORMATS:
        near = did_you_mean(str(value), FORMATS)
        raise DefinitionError(
            f"`format=` is {value!r}{near}", advice=f"it is one of {', '.join(FORMATS)}"
        )
    return str(value)


def _checks(option: str, value: Any) -> tuple[Check, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise _wrong(option, value, 'a list of checks: [checks.not_null("id")]')
    for each in value:
        if not isinstance(each, Check):
            raise DefinitionError(
                f"`checks=` holds {each!r}, which is no check",
                advice="use lineal.checks, or decorate a function with @check(asset)",
            )
        if each.asset is not None:
            raise DefinitionError(
                f"the check `{each.name}` is declared for `{each.asset}` already",
                advice="leave it out of `checks=`",
            )
    names = [each.name for each in value]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DefinitionError(
            f"two checks are called `{twice}`", advice="give one another name (name=…)"
        )
    return tuple(value)


def _ignore(option: str, value: Any) -> tuple[Any, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise _wrong(option, value, "the list of helpers to leave out: [log]")
    return tuple(each.function if isinstance(each, Asset) else each for each in value)


def _parameters(option: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(k, str) for k in value):
        raise _wrong(option, value, 'names and values: {"minimum": 5}')
    for name, each in value.items():
        try:
            encode(each)
        except NoCanonicalFormError as error:
            raise DefinitionError(
                f"the parameter `{name}` can't be compared from run to run: {error}",
                advice="use a plain value: number, text, date, list, …",
            ) from error
    return dict(value)


def _reader(option: str, value: Any) -> Reader:
    if not isinstance(value, Reader):
        raise _wrong(option, value, "csv(…), parquet() or json(), from lineal")
    return value


_SECONDS = MappingProxyType({"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400})


def seconds(option: str, value: Any) -> float:
    """A length of time in seconds: `"1h"`, `"90s"`, a number of seconds, a timedelta.

    Raises:
        DefinitionError: without a place.
    """
    found = math.nan
    if isinstance(value, dt.timedelta):
        found = value.total_seconds()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found = float(value)
    elif isinstance(value, str):
        matched = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", value.strip())
        if matched:
            found = float(matched[1]) * _SECONDS[matched[2]]
    if not 0 <= found < math.inf:
        raise _wrong(option, value, 'a length of time: "1h", "30m", "90s", "2d"')
    return found


# ------------------------------------------------------------------------------- how it is run


def _retry(option: str, value: Any) -> Retry:
    """A number of further attempts, a Retry, or its fields (in a SQL header), in its one form."""
    if isinstance(value, Mapping):
        for name in value:
            if name not in _RETRY_FIELDS:
                raise DefinitionError(
                    f"`{option}=` does not take `{name}`{did_you_mean(str(name), _RETRY_FIELDS)}",
                    advice=f"it takes {', '.join(_RETRY_FIELDS)}",
                )
        if "times" not in value:
            raise _wrong(option, value, "times, the number of further attempts")
        value = Retry(**value)
    elif not isinstance(value, Retry):
        value = Retry(value)
    if type(value.times) is not int or value.times < 0:
        raise _wrong(option, value.times, "a number of further attempts, from 0: retry=3")
    delay = seconds(f"{option} delay", value.delay)
    maximum = seconds(f"{option} maximum", value.maximum)
    if maximum < delay or not maximum:
        raise DefinitionError(
            f"`{option}=` waits {delay:g} s at first, and {maximum:g} s at most",
            advice="give it a `maximum` above 0, and not below its `delay`",
        )
    return Retry(
        value.times,
        delay,
        _number(f"{option} backoff", value.backoff, 1),
        maximum,
        _number(f"{option} jitter", value.jitter, 0),
        _exceptions(f"{option} on", value.on),
    )


_RETRY_FIELDS = ("times", "delay", "backoff", "maximum", "jitter", "on")


def _number(option: str, value: Any, least: int) -> float:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    if not plain or not least <= value < math.inf:
        raise _wrong(option, value, f"a number from {least}")
    return float(value)


def _exceptions(option: str, value: Any) -> tuple[type[BaseException], ...]:
    kinds = value if isinstance(value, tuple | list) else (value,)
    if not kinds or not all(isinstance(k, type) and issubclass(k, BaseException) for k in kinds):
        raise _wrong(option, value, "classes of exceptions: on=(ConnectionError, TimeoutError)")
    return tuple(kinds)


def _timeout(option: str, value: Any) -> float:
    found = seconds(option, value)
    if not found:
        raise _wrong(option, value, 'a length of time above 0: "10m", 90')
    return found


def _pools(option: str, value: Any) -> tuple[tuple[str, int], ...]:
    """A pool, or how many places of each."""
    wanted = {value: 1} if isinstance(value, str) else value
    if not isinstance(wanted, Mapping) or not wanted:
        raise _wrong(option, value, 'a pool or the places it takes in each: {"database": 1}')
    for count in wanted.values():
        if type(count) is not int or count < 1:
            raise _wrong(option, value, 'a whole number of places from 1: {"database": 1}')
    return tuple((_text(option, name), count) for name, count in wanted.items())


_READERS: Mapping[str, Callable[[str, Any], Any]] = MappingProxyType(
    {
        "name": _text,
        "inputs": _inputs,
        "partitions": _partitions,
        "outputs": _outputs,
        "format": _format,
        "primary_key": _names,
        "order_by": _names,
        "keep_order": _flag,
        "schema": _schema,
        "checks": _checks,
        "columns": _columns,
        "derives": _as_given,
        "version": _text,
        "ignore": _ignore,
        "volatile": _flag,
        "variables": _names,
        "tags": _names,
        "owner": _text,
        "description": _text,
        "parameters": _parameters,
        "read": _reader,
        "refetch": seconds,
        "retry": _retry,
        "timeout": _timeout,
        "pools": _pools,
        "exclusive": _flag,
    }
)
