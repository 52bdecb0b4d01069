"""Ready-made checks: each is a rule that is run together with the others in one scan of a table.

Every one takes `severity="error" | "warn"` (an error blocks publication) and `name=`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal, NoReturn, ParamSpec

from lineal.assets.asset import Asset, Check, Input, Where, caller, refused
from lineal.assets.digest import NoCanonicalFormError, encode
from lineal.assets.errors import DefinitionError, did_you_mean
from lineal.assets.names import check_name

Severity = Literal["error", "warn"]
Statistic = Literal["psi", "ks", "chi2"]
PREVIOUS = "previous"  # a reference: the version that is current until the new one is
_LIMITS = MappingProxyType({"psi": 0.2, "ks": 0.05, "chi2": 0.05})

__all__ = [
    "accepted",
    "between",
    "drift",
    "expression",
    "matches",
    "not_null",
    "not_shrunk",
    "references",
    "rows",
    "schema",
    "unique",
]


_P = ParamSpec("_P")


def _ready_made(make: Callable[_P, Check]) -> Callable[_P, Check]:
    """A mistake in a check is told with its place, together with all others of the load."""

    @functools.wraps(make)
    def made(*args: _P.args, **kwargs: _P.kwargs) -> Check:
        where = caller()
        try:
            check = make(*args, **kwargs)
        except (DefinitionError, TypeError) as error:
            message = getattr(error, "message", str(error))
            advice = getattr(error, "advice", None)
            refused(DefinitionError(message, where=str(where), advice=advice))
            return Check(make.__name__, where, rule=("expression", (("sql", "true"),)))
        return replace(check, where=where)

    return made


def _rule(kind: str, given: Mapping[str, Any], severity: Severity, name: str | None) -> Check:
    """The check of a rule.

    Raises:
        DefinitionError: without a place; the caller knows it.
    """
    if severity not in ("error", "warn"):
        raise DefinitionError(
            f"`{kind}`: severity is {severity!r}", advice='it is "error" or "warn"'
        )
    if name is not None and (not isinstance(name, str) or not name):
        raise DefinitionError(f"`{kind}`: name= needs a text")
    for argument, value in given.items():
        _ARGUMENTS[argument](kind, argument, value)
    _agree(kind, given)
    return Check(
        name=name or _name(kind, given),
        where=Where("", 0),
        severity=severity,
        rule=(kind, tuple(given.items())),
        inputs=_inputs(kind, given),
    )


def _inputs(kind: str, given: Mapping[str, Any]) -> tuple[Input, ...]:
    """The other asset that a rule reads; what was current before is no input of the graph."""
    if kind == "references":
        return (Input(parameter="references", asset=check_name(given["asset"])),)
    if kind == "drift" and given["reference"] != PREVIOUS:
        name = check_name(given["reference"])
        return (Input(parameter="reference", asset=name, columns=given.get("columns")),)
    return ()


def _refuse(kind: str, problem: str, example: str) -> NoReturn:
    raise DefinitionError(f"`{kind}`: {problem}", advice=f"write {example}")


def _check_text(kind: str, argument: str, value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise DefinitionError(f"`{kind}`: `{argument}` needs a text, not {value!r}")


def _check_columns(kind: str, argument: str, value: Any) -> None:
    if kind == "schema":
        if not isinstance(value, tuple) or not value:
            _refuse(kind, "it needs each column's type", 'schema({"id": "BIGINT"})')
        for column, type_name in value:
            _check_text(kind, "column", column)
            _check_text(kind, column, type_name)
        return
    if not value:
        _refuse(kind, "it needs the name of a column", f'{kind}("id")')
    for column in value:
        _check_text(kind, "column", column)
    if len(set(value)) < len(value):
        raise DefinitionError(f"`{kind}`: a column is named twice")


def _check_values(kind: str, argument: str, value: Any) -> None:
    if not isinstance(value, tuple) or not value:
        _refuse(kind, "it needs the list of values", 'accepted("state", ["open", "closed"])')
    _check_plain(kind, argument, value)


def _check_plain(kind: str, argument: str, value: Any) -> None:
    try:
        encode(value)
    except NoCanonicalFormError as error:
        raise DefinitionError(
            f"`{kind}`: `{argument}` is no plain value: {error}",
            advice="use numbers, texts or dates",
        ) from error


def _check_count(kind: str, argument: str, value: Any) -> None:
    if value is not None and (type(value) is not int or value < 0):
        raise DefinitionError(f"`{kind}`: `{argument}` needs a number of rows, not {value!r}")


def _check_fraction(kind: str, argument: str, value: Any) -> None:
    if type(value) not in (int, float) or not 0 <= value < 1:
        raise DefinitionError(
            f"`{kind}`: `{argument}` is {value!r}",
            advice="it is the share of rows that may be lost, from 0 to less than 1",
        )


def _check_bins(kind: str, argument: str, value: Any) -> None:
    if type(value) is not int or not 2 <= value <= 100:
        raise DefinitionError(f"`{kind}`: `{argument}` is {value!r}", advice="it is 2 to 100")


_ARGUMENTS: Mapping[str, Callable[[str, str, Any], None]] = MappingProxyType(
    {
        "columns": _check_columns,
        "column": _check_text,
        "values": _check_values,
        "asset": _check_text,
        "to": _check_text,
        "low": _check_plain,
        "high": _check_plain,
        "pattern": _check_text,
        "minimum": _check_count,
        "maximum": _check_count,
        "fraction": _check_fraction,
        "sql": _check_text,
        "reference": _check_text,
        "statistic": _check_text,
        "limit": _check_plain,
        "bins": _check_bins,
    }
)


def _agree(kind: str, given: Mapping[str, Any]) -> None:
    """Arguments that only make sense together."""
    if kind == "drift":
        statistic, limit = given["statistic"], given["limit"]
        if statistic not in _LIMITS:
            near = did_you_mean(statistic, _LIMITS)
            raise DefinitionError(f"`drift`: there is no statistic {statistic!r}{near}")
        most = float("inf") if statistic == "psi" else 1
        if type(limit) not in (int, float) or not 0 < limit < most:
            advice = "of a PSI it is above 0; of a test it is a p-value, between 0 and 1"
            raise DefinitionError(f"`drift`: `limit` is {limit!r}", advice=advice)
    ends = {"between": ("low", "high"), "rows": ("minimum", "maximum")}.get(kind)
    if ends is None:
        return
    low, high = (given[end] for end in ends)
    if low is None and high is None:
        raise DefinitionError(f"`{kind}`: it needs `{ends[0]}` or `{ends[1]}`")
    if low is not None and high is not None and low > high:
        raise DefinitionError(f"`{kind}`: `{ends[0]}` {low!r} is above `{ends[1]}` {high!r}")


def _name(kind: str, given: Mapping[str, Any]) -> str:
    """How the check is shown: `not_null(origin)`, `between(delay, 0, 24)`."""
    shown: list[str] = []
    if kind == "drift":
        test = () if given["statistic"] == "psi" else (given["statistic"],)
        return f"drift({', '.join((given['reference'], *test, *given.get('columns', ())))})"
    for argument, value in given.items():
        if argument == "columns" and kind == "schema":
            shown.extend(f"{column}: {type_name}" for column, type_name in value)
        elif argument == "columns":
            shown.extend(value)
        elif argument == "values":
            shown.append(f"[{', '.join(str(each) for each in value)}]")
        elif argument in ("low", "high", "minimum", "maximum"):
            if value is not None:
                shown.append(f"{argument}={value}")
        elif argument != "to" or value != given["column"]:
            shown.append(str(value))
    return f"{kind}({', '.join(shown)})"


@_ready_made
def not_null(*columns: str, severity: Severity = "error", name: str | None = None) -> Check:
    """No value of these columns is null."""
    return _rule("not_null", {"columns": columns}, severity, name)


@_ready_made
def unique(*columns: str, severity: Severity = "error", name: str | None = None) -> Check:
    """No two rows agree in all of these columns."""
    return _rule("unique", {"columns": columns}, severity, name)


@_ready_made
def accepted(
    column: str, values: Iterable[Any], severity: Severity = "error", name: str | None = None
) -> Check:
    """Every value that is not null is one of these."""
    given = values if isinstance(values, str) else tuple(values)
    return _rule("accepted", {"column": column, "values": given}, severity, name)


@_ready_made
def references(
    column: str,
    asset: Asset | str,
    to: str | None = None,
    severity: Severity = "error",
    name: str | None = None,
) -> Check:
    """Every value that is not null is found in a column of another asset (of the same name)."""
    target = asset.name if isinstance(asset, Asset) else asset
    given = {"column": column, "asset": target, "to": column if to is None else to}
    return _rule("references", given, severity, name)


@_ready_made
def between(
    column: str,
    low: Any = None,
    high: Any = None,
    severity: Severity = "error",
    name: str | None = None,
) -> Check:
    """Every value that is not null is at least `low` and at most `high`."""
    return _rule("between", {"column": column, "low": low, "high": high}, severity, name)


@_ready_made
def matches(
    column: str, pattern: str, severity: Severity = "error", name: str | None = None
) -> Check:
    """Every text that is not null is matched whole by the regular expression (RE2)."""
    return _rule("matches", {"column": column, "pattern": pattern}, severity, name)


@_ready_made
def rows(
    minimum: int | None = None,
    maximum: int | None = None,
    severity: Severity = "error",
    name: str | None = None,
) -> Check:
    """The table has at least `minimum` and at most `maximum` rows."""
    return _rule("rows", {"minimum": minimum, "maximum": maximum}, severity, name)


@_ready_made
def not_shrunk(
    fraction: float = 0.0, severity: Severity = "error", name: str | None = None
) -> Check:
    """At most this fraction of the current version's rows is lost: 0.1 lets 100 rows become 90."""
    return _rule("not_shrunk", {"fraction": fraction}, severity, name)


@_ready_made
def drift(
    reference: Asset | str,
    columns: Sequence[str] | None = None,
    statistic: Statistic = "psi",
    limit: float | None = None,
    bins: int = 10,
    severity: Severity = "warn",
    name: str | None = None,
) -> Check:
    """No column is distributed otherwise than in another asset, or in the version before.

    Args:
        reference: an asset, all of its partitions; "previous": the current version.
        columns: None: all that both have, but for dates, times and what is nested.
        statistic: the population stability index ("psi"); or the p-value of a test, that of
            Kolmogorov and Smirnov for numbers ("ks") or the χ² test ("chi2").
        limit: a PSI above it is drift (0.2 unless said), or a p-value below it (0.05).
        bins: into how many parts numbers are cut, by the quantiles of the reference.
    """
    if isinstance(reference, Asset) and reference.name == PREVIOUS:
        raise DefinitionError(
            "`drift`: the reference is an asset called `previous`, which means the version before",
            advice="give the asset another name",
        )
    given: dict[str, Any] = {
        "reference": reference.name if isinstance(reference, Asset) else reference
    }
    if columns is not None:
        given["columns"] = (columns,) if isinstance(columns, str) else tuple(columns)
    given |= {"statistic": statistic, "limit": limit, "bins": bins}
    if limit is None:
        given["limit"] = _LIMITS.get(statistic, 0.2)
    return _rule("drift", given, severity, name)


@_ready_made
def expression(sql: str, severity: Severity = "error", name: str | None = None) -> Check:
    """A SQL condition over the columns holds in every row: `"arrived >= departed"`."""
    return _rule("expression", {"sql": sql}, severity, name)


@_ready_made
def schema(
    columns: Mapping[str, str], severity: Severity = "error", name: str | None = None
) -> Check:
    """The table has exactly these columns, of these SQL types."""
    given = tuple(columns.items()) if isinstance(columns, Mapping) else columns
    return _rule("schema", {"columns": given}, severity, name)


_MAKERS: Mapping[str, Callable[..., Check]] = MappingProxyType(
    {
        make.__name__: make
        for make in (
            not_null,
            unique,
            accepted,
            references,
            between,
            matches,
            rows,
            not_shrunk,
            drift,
            expression,
            schema,
        )
    }
)


def make_check(
    kind: str, arguments: Sequence[Any], options: Mapping[str, Any], where: Where
) -> Check:
    """A ready-made check by the name of its function.

    Raises:
        DefinitionError: with `where`.
    """
    maker = _MAKERS.get(kind)
    if maker is None:
        near = did_you_mean(kind, _MAKERS)
        raise DefinitionError(
            f"there is no check `{kind}`{near}",
            where=str(where),
            advice=f"there are {', '.join(_MAKERS)}",
        )
    try:
        check: Check = inspect.unwrap(maker)(*arguments, **options)
    except DefinitionError as error:
        raise DefinitionError(error.message, where=str(where), advice=error.advice) from error
    except TypeError as error:
        raise DefinitionError(str(error), where=str(where)) from error
    return replace(check, where=where)
