"""The words people declare SQL assets with: one by its text or file, or a whole folder of files.

SQL files are code, and a load reads each once, through the `Texts` that `gathering` was given: the
bytes declared are the bytes run. Outside of a load (a unit test that imports the module) nothing is
read: an asset from a file has an empty text then, a folder gives no assets.
"""

from __future__ import annotations

import ast
import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any

from lineal.assets.asset import (
    Asset,
    Check,
    Input,
    MacroFile,
    Query,
    Retry,
    Texts,
    Where,
    caller,
    declared,
    is_gathering,
    refused,
    texts_of_the_load,
)
from lineal.assets.check_texts import parse_check
from lineal.assets.checks import make_check
from lineal.assets.declare import folder_of
from lineal.assets.errors import DefinitionError, did_you_mean
from lineal.assets.mapping import Marker, every, last, only, previous
from lineal.assets.names import check_name
from lineal.assets.options import CONTRACT, DESCRIPTIVE, RUNNING, contract, read_options

SQL_OPTIONS = ("inputs", *CONTRACT, *DESCRIPTIVE, *RUNNING, "parameters")
_HEADER = re.compile(r"\s*/\*\s*lineal\b(.*?)\*/", re.DOTALL)
_OPENING = re.compile(r"\s*(/\*)\s*lineal\b")
_MARKERS: Mapping[str, Callable[..., Marker]] = MappingProxyType(
    {"last": last, "every": every, "previous": previous, "only": only}
)
_MACROS = "macros.sql"
_BUILT_IN = frozenset({"partition", "start", "end"})


def sql_asset(
    name: str,
    text: str | None = None,
    *,
    path: str | None = None,
    inputs: Mapping[str, Marker] | None = None,
    primary_key: str | Sequence[str] | None = None,
    order_by: str | Sequence[str] | None = None,
    keep_order: bool | None = None,
    schema: Mapping[str, str] | None = None,
    checks: Sequence[Check] | None = None,
    parameters: Mapping[str, Any] | None = None,
    retry: int | Retry | None = None,
    timeout: str | float | dt.timedelta | None = None,
    pools: str | Mapping[str, int] | None = None,
    exclusive: bool | None = None,
    partitions: Any = None,
    columns: Mapping[str, str] | None = None,
    tags: str | Sequence[str] | None = None,
    owner: str | None = None,
    description: str | None = None,
    **unknown: Any,
) -> Asset:
    """Declare a table by a SQL query over other assets.

    `raw/orders` is written `raw.orders`, `raw_orders` or `"raw/orders"`; `$name` stands for a
    parameter, which is bound, never pasted.

    Args:
        name: of the asset.
        text: the query; or
        path: its file, relative to the folder of the file that says it. A header in it counts,
            and what is said here counts before the header.
        parameters: names and values; settings can change them.
        inputs: which partitions of an asset are read, where that is to be said:
            {"orders": last(7)}; in a header `inputs = {orders = "last(7)"}`.
        primary_key, order_by, keep_order, schema, checks, columns, tags, owner, description: as
            for `asset`.
        retry, timeout, pools, exclusive, partitions: likewise.
    """
    where = caller()
    given = {
        "inputs": inputs, "primary_key": primary_key, "order_by": order_by,
        "keep_order": keep_order, "schema": schema, "checks": checks, "parameters": parameters,
        "retry": retry, "timeout": timeout, "pools": pools, "exclusive": exclusive,
        "partitions": partitions, "columns": columns, "tags": tags, "owner": owner,
        "description": description,
        **unknown,
    }  # fmt: skip
    try:
        check_name(name)
        if (text is None) == (path is None):
            raise DefinitionError(
                f"the SQL asset `{name}` needs its text or its path",
                advice='write sql_asset("name", "select …") or sql_asset("name", path="x.sql")',
            )
        options = read_options(given, SQL_OPTIONS, "sql_asset")
        if path is not None:
            return _from_file(name, str(Path(folder_of(where), path)), options, where)
        if not isinstance(text, str) or not text.strip():
            raise DefinitionError(f"the text of the SQL asset `{name}` is empty")
        return _declare(name, Query(text, where), options, where)
    except DefinitionError as error:
        return _refuse(name, error, where)


def sql_assets(folder: str, **unknown: Any) -> tuple[Asset, ...]:
    """Declare every `*.sql` file below a folder: `sql/stg/orders.sql` is `stg/orders` for "sql".

    Options stand at the top of a file, as TOML in a comment:

        /* lineal
        primary_key = "id"
        checks = ["not_null(origin)", "rows(minimum=1)"]
        [columns]
        origin = "where it starts"
        [parameters]
        minimum = 5
        */

    `macros.sql` in the folder itself is no asset: it holds `create macro name(a, b := 5) as …`, and
    every SQL asset of the project may call what it creates.

    Args:
        folder: relative to the folder of the file that says it.
    """
    where = caller()
    try:
        read_options(unknown, (), "sql_assets")
        if not isinstance(folder, str) or not folder:
            raise DefinitionError(f"sql_assets needs a folder, not {folder!r}")
        if not is_gathering():
            return ()
        root = str(Path(folder_of(where), folder))
        files = _texts(where).below(root, ".sql")
        if not files:
            raise DefinitionError(f"no .sql file below `{folder}`", advice=f"looked in {root}")
    except DefinitionError as error:
        refused(_placed(error, where))
        return ()
    made: list[Asset] = []
    for file in files:
        if PurePath(file) == PurePath(root, _MACROS):
            _declare_macros(file)
            continue
        name = PurePath(file).relative_to(root).with_suffix("").as_posix()
        try:
            made.append(_from_file(check_name(name), file, {}, Where(file, 1)))
        except DefinitionError as error:
            made.append(_refuse(name, error, Where(file, 1)))
    return tuple(made)


def _declare_macros(file: str) -> None:
    top = Where(file, 1)
    try:
        declared(MacroFile(_text_of("the macros", file, top), top))
    except DefinitionError as error:
        refused(_placed(error, top))


def _from_file(name: str, file: str, options: Mapping[str, Any], where: Where) -> Asset:
    if not is_gathering():
        return _declare(name, Query("", Where(file, 1)), options, Where(file, 1))
    text = _text_of(f"the file of `{name}`", file, where)
    if not text.strip():
        raise DefinitionError("the file is empty", where=file)
    top = Where(file, 1)
    return _declare(name, Query(text, top), {**_header(text, top), **options}, top)


def _text_of(what: str, file: str, where: Where) -> str:
    try:
        text = _texts(where).read(file).decode()
    except OSError as error:
        raise DefinitionError(
            f"{what} can't be read: {file}: {error.strerror}", where=str(where)
        ) from error
    except UnicodeDecodeError as error:
        raise DefinitionError(f"{what} is not UTF-8", where=file) from error
    return text.removeprefix("\ufeff")


def _declare(name: str, query: Query, options: Mapping[str, Any], where: Where) -> Asset:
    read = [_marked(name, said) for name, said in options.get("inputs", {}).items()]
    parameters = options.get("parameters", {})
    _check_parameters(parameters)
    return declared(
        Asset(
            name=name,
            kind="sql",
            where=where,
            outputs=(name,),
            query=query,
            inputs=tuple(read),
            parameters=parameters,
            parameter_types={
                key: Any if value is None else type(value) for key, value in parameters.items()
            },
            contract=contract(options),
            **{key: options[key] for key in (*DESCRIPTIVE, *RUNNING) if key in options},
        )
    )


def _check_parameters(parameters: Iterable[str]) -> None:
    for parameter in parameters:
        if not parameter.isidentifier() or parameter in _BUILT_IN:
            raise DefinitionError(
                f"`{parameter}` can't be the name of a parameter",
                advice="it is a word such as `minimum`; lineal gives partition, start and end",
            )


def _marked(name: str, said: Any) -> Input:
    """An input of which it is said which partitions are read."""
    if not isinstance(said, Marker) or said.of is not None:
        raise DefinitionError(
            f"inputs= says {said!r} of `{name}`",
            advice=f'say which partitions are read: {{"{name}": last(7)}}',
        )
    return Input(name, name, "arrow", marker=said)


def _texts(where: Where) -> Texts:
    found = texts_of_the_load()
    if found is None:
        raise DefinitionError(
            "SQL files can't be read here: nothing that reads them was given", where=str(where)
        )
    return found


def _refuse(name: Any, error: DefinitionError, where: Where) -> Asset:
    refused(_placed(error, where))
    shown = name if isinstance(name, str) else "invalid"
    return declared(Asset(shown, "sql", where, (shown,), query=Query("select 1 as refused", where)))


def _placed(error: DefinitionError, where: Where) -> DefinitionError:
    if error.where is None:
        error.where = str(where)
    return error


# --------------------------------------------------------------------------------------- header


def _header(text: str, top: Where) -> dict[str, Any]:
    """The options in the comment at the top of a SQL file.

    Raises:
        DefinitionError: with the line of what is wrong.
    """
    matched = _HEADER.match(text)
    if matched is None:
        _check_open(text, top)
        return {}
    import tomllib

    body = matched[1]
    first = text.count("\n", 0, matched.start(1)) + 1
    try:
        given = tomllib.loads(body)
    except tomllib.TOMLDecodeError as error:
        inside = re.search(r"at line (\d+)", str(error))
        line = first + (int(inside[1]) - 1 if inside else 0)
        said = str(error).partition(" (at ")[0]
        raise DefinitionError(
            f"the header is not TOML: {said}",
            where=str(Where(top.file, line)),
            advice='write lines such as primary_key = "id"',
        ) from error
    options: dict[str, Any] = {}
    for option, value in given.items():
        line = _line_of(option, body)
        where = Where(top.file, first + line)
        try:
            options.update(_option(option, value, where))
        except DefinitionError as error:
            line += _line_of(_wrong_entry(option, value, where), body, line)
            raise _placed(error, Where(top.file, first + line)) from None
    return options


def _check_open(text: str, top: Where) -> None:
    begun = _OPENING.match(text)
    if begun is None:
        return
    line = text.count("\n", 0, begun.start(1)) + 1
    raise DefinitionError(
        "the header is never closed",
        where=str(Where(top.file, line)),
        advice="write `*/` between its last line and the query",
    )


def _option(option: str, value: Any, where: Where) -> dict[str, Any]:
    options = read_options({option: _read_as(option, value, where)}, SQL_OPTIONS, "a header")
    _check_parameters(options.get("parameters", {}))
    return options


def _wrong_entry(option: str, value: Any, where: Where) -> str | None:
    """The key of a table in which a single entry is wrong."""
    for key, each in value.items() if isinstance(value, dict) else ():
        try:
            _option(option, {key: each}, where)
        except DefinitionError:
            return str(key)
    return None


def _read_as(option: str, value: Any, where: Where) -> Any:
    """What TOML says, as Python says it: checks and markers are written as calls."""
    if option == "checks":
        return _checks(value, where)
    if option == "inputs" and isinstance(value, dict):
        return {name: _marker(said) for name, said in value.items()}
    return value


def _marker(text: Any) -> Marker:
    """A marker from its text: `last(7)`, `only("eu", "us")`."""
    try:
        call = ast.parse(text.strip(), mode="eval").body if isinstance(text, str) else None
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.keywords:
            raise ValueError("it is no call")
        arguments = [ast.literal_eval(each) for each in call.args]
        return _MARKERS[call.func.id](*arguments)
    except (SyntaxError, ValueError, TypeError, KeyError) as error:
        raise DefinitionError(
            f"{text!r} is not a marker", advice='write last(7), every(), previous() or only("…")'
        ) from error


def _line_of(option: str | None, body: str, below: int = 0) -> int:
    """How many lines below the start of the header, or below another line, an option stands."""
    if option is None:
        return 0
    pattern = rf"^\s*(?:\[\[?\s*)?[\"']?{re.escape(option)}\b"
    start = sum(map(len, body.splitlines(keepends=True)[:below]))
    matched = re.compile(pattern, re.MULTILINE).search(body, start)
    return body.count("\n", start, matched.end()) if matched else 0


def _checks(given: Any, where: Where) -> list[Check]:
    """Checks as texts, or as tables: `[[checks]]` with `kind` and its arguments."""
    if not isinstance(given, list):
        raise DefinitionError("`checks` is no list", advice='write checks = ["not_null(id)"]')
    return [_check(each, where) for each in given]


def _check(given: Any, where: Where) -> Check:
    if isinstance(given, str):
        return parse_check(given, where)
    if not isinstance(given, dict) or not isinstance(given.get("kind"), str):
        near = did_you_mean("kind", given) if isinstance(given, dict) else ""
        raise DefinitionError(
            f"{given!r} is not a check{near}",
            advice='write "not_null(id)" or {kind = "not_null", columns = ["id"]}',
        )
    arguments = {key: value for key, value in given.items() if key != "kind"}
    columns = arguments.pop("columns", ())
    spread = [columns] if isinstance(columns, str | dict) else columns
    return make_check(given["kind"], spread, arguments, where)
