"""The words people declare Python assets, sources and checks with; each makes a frozen value.

A declaration that can't be right is told with its place. While a project is loaded that doesn't
stop the module: the error is kept, a harmless stand-in returned, and all errors are told at once.
"""

from __future__ import annotations

import datetime as dt
import inspect
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, overload

from lineal.assets.asset import (
    Asset,
    AssetKind,
    Check,
    Fetch,
    Files,
    Reader,
    Resource,
    Retry,
    Where,
    caller,
    declared,
    place,
    refused,
)
from lineal.assets.derives import derived
from lineal.assets.errors import DefinitionError
from lineal.assets.file_partitions import file_partitions
from lineal.assets.names import check_name
from lineal.assets.options import (
    CODE,
    CONTRACT,
    DESCRIPTIVE,
    RUNNING,
    asset_name,
    contract,
    read_options,
)
from lineal.assets.partitions import ByColumn, unfilled
from lineal.assets.signature import Signature, read_signature

Function = Callable[..., Any]

ASSET_OPTIONS = (
    "name", "inputs", "outputs", *CONTRACT, *DESCRIPTIVE, "derives", *CODE, *RUNNING
)  # fmt: skip
FETCH_OPTIONS = ("refetch", *CONTRACT, *DESCRIPTIVE, *CODE, *RUNNING)
FILES_OPTIONS = ("read", "partitions", *CONTRACT, *DESCRIPTIVE)


# -------------------------------------------------------------------------------------- assets


@overload
def asset(function: Function, /, **options: Any) -> Asset: ...


@overload
def asset(
    *,
    name: str | None = None,
    inputs: Mapping[str, str | Asset | Resource] | None = None,
    outputs: Sequence[str] | None = None,
    primary_key: str | Sequence[str] | None = None,
    order_by: str | Sequence[str] | None = None,
    keep_order: bool = False,
    schema: Mapping[str, str] | None = None,
    format: str | None = None,
    checks: Sequence[Check] | None = None,
    version: str | None = None,
    ignore: Sequence[Any] | None = None,
    volatile: bool = False,
    variables: str | Sequence[str] | None = None,
    retry: int | Retry | None = None,
    timeout: str | float | dt.timedelta | None = None,
    pools: str | Mapping[str, int] | None = None,
    exclusive: bool = False,
    partitions: Any = None,
    columns: Mapping[str, str] | None = None,
    tags: str | Sequence[str] | None = None,
    owner: str | None = None,
    description: str | None = None,
) -> Callable[[Function], Asset]: ...


def asset(*function: Any, **options: Any) -> Any:
    """Declare an asset by the function that makes it.

    A parameter without a default is an input: the asset of that name (`raw_flights` takes
    `raw/flights`), or a resource. A default, or keyword-only, makes a parameter that settings can
    change.

    Args:
        name: else the function's.
        inputs: the asset of a parameter, where its name doesn't say: {"left": "raw/orders"}.
        outputs: names of what the function makes, returned as a dict, or a tuple in this order.
        primary_key: columns that are unique and not null.
        order_by: columns the table is ordered by.
        keep_order: the rows stay as they are returned.
        schema: the SQL type of each column.
        format: how to store the value, where its type doesn't say.
        checks: from `lineal.checks`.
        version: a hand-kept part of the recipe, to count a change nothing can see.
        ignore: helpers that don't count in the recipe.
        volatile: stale in every run.
        variables: environment variables it reads.
        retry: how many further attempts follow one that failed; a `Retry` says more.
        timeout: an attempt that takes longer fails: "10m".
        pools: the places it takes in each pool of the settings while it runs: {"database": 1}.
        exclusive: it runs alone.
        partitions: the slices it is made in.
        derives: for people, what a column comes from: {"speed": ["distance", "flights.air_time"]}.
        columns: what each column is: {"origin": "where it starts"}; for people, like
        tags, owner, description: the description is the docstring unless given.
    """
    where = caller()
    if not function:
        return lambda made_by: _asset(made_by, options, where)
    if len(function) == 1 and callable(function[0]):
        return _asset(function[0], options, where)
    refused(
        DefinitionError(
            f"@asset takes options by name, not {function[0]!r}",
            where=str(where),
            advice='write @asset, or @asset(name="…", …)',
        )
    )
    return lambda made_by: declared(_stand_in(made_by, "python", where))


def _asset(function: Function, options: Mapping[str, Any], called: Where) -> Asset:
    where = where_of(function, called)
    try:
        refuse_no_function("@asset", function)
        given = read_options(options, ASSET_OPTIONS, "@asset")
        name = check_name(given.get("name") or own_name(function))
        signature = _signature(function, given, where)
        outputs = given.get("outputs", (name,))
        made = Asset(
            name=name,
            kind="python",
            where=where,
            outputs=outputs,
            function=function,
            contract=contract(given),
            derives=derived(given.get("derives"), outputs, name, signature.inputs),
            **signature._asdict(),
            **_described(function, given),
        )
    except DefinitionError as error:
        refused(placed(error, where))
        return declared(_stand_in(function, "python", where, options))
    return declared(made)


def _signature(function: Function, given: Mapping[str, Any], where: Where) -> Signature:
    """What the signature says, held against the partitions."""
    slices = given.get("partitions")
    found = read_signature(
        function, given.get("inputs", {}), str(where), partitioned=slices is not None
    )
    lost = None if slices is None else unfilled(slices, tuple(found.parameter_types))
    if lost is not None:
        raise lost
    if isinstance(slices, ByColumn) and "outputs" in given:
        raise DefinitionError(
            "a function of several outputs can't be published by a column",
            advice="make the table an asset of its own, with partitions=by_column(…)",
        )
    return found


# ------------------------------------------------------------------------------------- sources


@overload
def source(
    name: str,
    pattern: str | os.PathLike[str],
    *,
    read: Reader | None = None,
    primary_key: str | Sequence[str] | None = None,
    order_by: str | Sequence[str] | None = None,
    keep_order: bool = False,
    schema: Mapping[str, str] | None = None,
    format: str | None = None,
    checks: Sequence[Check] | None = None,
    columns: Mapping[str, str] | None = None,
    tags: str | Sequence[str] | None = None,
    owner: str | None = None,
    description: str | None = None,
) -> Asset: ...


@overload
def source(
    name: str,
    *,
    refetch: str | float | None = None,
    primary_key: str | Sequence[str] | None = None,
    order_by: str | Sequence[str] | None = None,
    keep_order: bool = False,
    schema: Mapping[str, str] | None = None,
    format: str | None = None,
    checks: Sequence[Check] | None = None,
    version: str | None = None,
    ignore: Sequence[Any] | None = None,
    volatile: bool = False,
    variables: str | Sequence[str] | None = None,
    retry: int | Retry | None = None,
    timeout: str | float | dt.timedelta | None = None,
    pools: str | Mapping[str, int] | None = None,
    exclusive: bool = False,
    partitions: Any = None,
    columns: Mapping[str, str] | None = None,
    tags: str | Sequence[str] | None = None,
    owner: str | None = None,
    description: str | None = None,
) -> Callable[[Function], Asset]: ...


def source(name: Any = None, pattern: Any = None, /, **options: Any) -> Any:
    """Declare what comes from outside: files, or what a decorated function fetches.

    `source("raw/flights", "data/flights*.csv")` watches files by content; the path or glob is
    relative to the folder of the file that says it. `@source("raw/wine", refetch="1h")` stands
    above a function that fetches: again when it is older than that, else only when told to.

    Args:
        name: of the source.
        pattern: path or glob of files.
        partitions: `by_file(10)`: so many files each; a `{day}` in the pattern needs nothing.
        read: `csv(…)`, `parquet()` or `json()`; else the ending of the files says.
        refetch: a length of time ("30m", "1h", "2d").
        **options: as those of `asset`.
    """
    where = caller()
    pattern = options.pop("pattern", pattern)
    name = options.pop("name", name)
    if pattern is not None:
        return _files(name, pattern, options, where)
    if callable(name):
        refused(
            DefinitionError(
                "@source needs the name of the source",
                where=str(where_of(name, where)),
                advice=f'write @source("raw/{own_name(name)}")',
            )
        )
        return declared(_stand_in(name, "fetch", where))
    return lambda fetcher: _fetch(name, fetcher, options, where)


def _files(name: Any, pattern: Any, options: Mapping[str, Any], where: Where) -> Asset:
    try:
        check_name(name)
        given = read_options(options, FILES_OPTIONS, "source")
        path = _pattern(pattern)
        made = Asset(
            name=name,
            kind="files",
            where=where,
            outputs=(name,),
            files=Files(path, folder_of(where), given.get("read", Reader("auto"))),
            partitions=file_partitions(path, given.get("partitions")),
            contract=contract(given),
            **{key: given[key] for key in DESCRIPTIVE if key in given},
        )
    except DefinitionError as error:
        refused(placed(error, where))
        stand_in = Files("nothing", folder_of(where))
        shown = name if isinstance(name, str) else "invalid"
        return declared(Asset(shown, "files", where, (shown,), files=stand_in))
    return declared(made)


def _pattern(given: Any) -> str:
    try:
        pattern = os.fspath(given)
    except TypeError:
        pattern = None
    if not isinstance(pattern, str) or not pattern:
        raise DefinitionError(f"{given!r} is not a path", advice='write "data/orders*.csv"')
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", pattern):
        raise DefinitionError(
            f"`{pattern}` is not a path: a source by itself only watches files",
            advice='fetch it: @source("name") above a function that returns what is there',
        )
    return pattern


def folder_of(where: Where) -> str:
    """The folder that paths said at this place are relative to."""
    file = "." if where.file.startswith("<") else where.file
    folder = os.path.abspath(file)  # noqa: PTH100  a link stays as it is written
    return folder if file == "." else os.path.dirname(folder)  # noqa: PTH120


def _fetch(name: Any, function: Function, options: Mapping[str, Any], called: Where) -> Asset:
    where = where_of(function, called)
    try:
        check_name(name)
        refuse_no_function(f'@source("{name}")', function)
        given = read_options(options, FETCH_OPTIONS, "@source")
        signature = _signature(function, given, where)
        made = Asset(
            name=name,
            kind="fetch",
            where=where,
            outputs=(name,),
            function=function,
            fetch=Fetch(given.get("refetch")),
            contract=contract(given),
            **signature._asdict(),
            **_described(function, given),
        )
    except DefinitionError as error:
        refused(placed(error, where))
        return declared(_stand_in(function, "fetch", where, {"name": name}))
    return declared(made)


# -------------------------------------------------------------------------------------- checks


def check(
    asset: Asset | str,
    *,
    severity: Literal["error", "warn"] = "error",
    name: str | None = None,
    **unknown: Any,
) -> Callable[[Function], Check]:
    """Declare a test of an asset: a function that returns True, or the rows that are wrong.

    It is run on a new version before anything else sees it. An error blocks its publication, a
    warning is told and recorded. The asset is one of its inputs; others are handed over as well.
    """
    where = caller()
    if callable(asset) and not isinstance(asset, Asset | Resource):
        refused(
            DefinitionError(
                "@check needs the asset it tests",
                where=str(where_of(asset, where)),
                advice="write @check(flights)",
            )
        )
        return _no_check(asset, where)
    options = {"severity": severity, "name": name, **unknown}
    return lambda function: _check(asset, function, options, where)


def _check(
    target: Asset | str, function: Function, options: Mapping[str, Any], called: Where
) -> Check:
    where = where_of(function, called)
    try:
        refuse_no_function("@check", function)
        severity = options["severity"]
        if severity not in ("error", "warn"):
            raise DefinitionError(f"`severity=` is {severity!r}", advice='it is "error" or "warn"')
        read = {key: value for key, value in options.items() if key != "severity"}
        given = read_options(read, ("name",), "@check")
        if isinstance(target, Resource):
            raise DefinitionError(
                f"@check tests an asset, and `{target.name}` is a resource",
                advice="a check may take a resource as a parameter of its name",
            )
        tested = asset_name(target)
        signature = read_signature(function, {}, str(where), yields=False)
        if signature.takes_rest or signature.folder_parameter:
            raise DefinitionError(
                f"the check `{own_name(function)}` takes `**` or a folder",
                advice="a check takes assets and parameters, by name",
            )
        made = Check(
            name=given.get("name") or own_name(function),
            where=where,
            severity=severity,
            function=function,
            asset=tested,
            inputs=signature.inputs,
            parameters=signature.parameters,
        )
        _refuse_unset(signature.parameter_types, signature.parameters, made.name)
    except DefinitionError as error:
        refused(placed(error, where))
        return _no_check(function, where)
    return declared(made)


def _refuse_unset(types: Mapping[str, Any], values: Mapping[str, Any], name: str) -> None:
    unset = next((parameter for parameter in types if parameter not in values), None)
    if unset is not None:
        raise DefinitionError(
            f"the parameter `{unset}` of the check `{name}` has no value",
            advice="give it a default",
        )


def _no_check(function: Function, where: Where) -> Check:
    return Check(own_name(function), where, function=function)


# ------------------------------------------------------------------------------------- readers


def csv(
    types: Mapping[str, str] | None = None,
    nulls: Sequence[str] | None = None,
    delimiter: str | None = None,
) -> Reader:
    """Files are CSV.

    Args:
        types: the SQL type of some columns; those of the others come from the whole file.
        nulls: the texts that mean null, instead of `NA` and the empty one.
        delimiter: one character; else found.
    """
    options: list[tuple[str, Any]] = []
    try:
        if types is not None:
            given = read_options({"schema": types}, ("schema",), "csv")["schema"]
            options.append(("types", given))
        if nulls is not None:
            if isinstance(nulls, str) or not all(isinstance(each, str) for each in nulls):
                raise DefinitionError(f"`nulls=` is {nulls!r}", advice='write ["NA", "-"]')
            options.append(("nulls", tuple(nulls)))
        if delimiter is not None:
            if not isinstance(delimiter, str) or len(delimiter) != 1:
                raise DefinitionError(
                    f"`delimiter=` is {delimiter!r}", advice="it is one character"
                )
            options.append(("delimiter", delimiter))
    except DefinitionError as error:
        refused(placed(error, caller()))
        return Reader("csv")
    return Reader("csv", tuple(options))


def parquet() -> Reader:
    """Files are Parquet."""
    return Reader("parquet")


def json() -> Reader:
    """Files are JSON: an array of objects, or one object a line."""
    return Reader("json")


# --------------------------------------------------------------------------------------- shared


def placed(error: DefinitionError, where: Where) -> DefinitionError:
    if error.where is None:
        error.where = str(where)
    return error


def where_of(function: Any, otherwise: Where) -> Where:
    """Where a function is written (its first decorator); else where the declaration was called."""
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    return place(code.co_filename, code.co_firstlineno) if code else otherwise


def own_name(function: Any) -> str:
    return str(getattr(function, "__name__", "invalid"))


def refuse_no_function(word: str, function: Any) -> None:
    if isinstance(function, Asset | Check | Resource):
        raise DefinitionError(f"{word} stands above `{function.name}`, which is declared already")
    if not callable(function) or isinstance(function, type):
        raise DefinitionError(
            f"{word} stands above {function!r}, which is no function", advice="write it above `def`"
        )


def _described(function: Function, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an asset that are taken as they are given."""
    fields = {key: given[key] for key in (*DESCRIPTIVE, *CODE, *RUNNING) if key in given}
    fields.setdefault("description", inspect.cleandoc(getattr(function, "__doc__", None) or ""))
    return fields


def _stand_in(
    function: Any, kind: AssetKind, where: Where, options: Mapping[str, Any] | None = None
) -> Asset:
    """A harmless asset in place of one that was refused, so that what names it finds it."""
    options = options or {}
    name = options.get("name")
    name = name if isinstance(name, str) else own_name(function)
    outputs = options.get("outputs")
    several = isinstance(outputs, list | tuple) and all(isinstance(o, str) for o in outputs)
    return Asset(
        name=name,
        kind=kind,
        where=where,
        outputs=tuple(outputs) if outputs and several else (name,),
        function=function if callable(function) else None,
    )
