"""The observed files of a source as one table: CSV, Parquet or JSON, one after the other.

A file is read once, as a whole: what is parsed are the very bytes that have the observed digest,
whatever happens to the file meanwhile.

The files of a glob are one table, in the order of their paths. Its columns are those of all files,
in the order in which they first appear; a file without one has nulls there. Types of a column that
differ are widened where nothing is lost (null → any, int → larger int or float64, float32 →
float64, date → timestamp, a coarser timestamp → a finer one); any other difference is an error that
names the file and the column. In JSON a value has the type it is written in: text stays text.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineal.assets.asset import Files
from lineal.assets.digest import digest_bytes
from lineal.assets.errors import ContentError, InputsChanged, did_you_mean
from lineal.assets.records import Observation, SourceFile
from lineal.storage.sources import read_regular

if TYPE_CHECKING:
    import pyarrow as pa

    from lineal.storage.csv_files import Options

_SCHEME = 1  # raise it when the same bytes may give another table
_SUFFIXES = {
    ".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".pq": "parquet",
    ".json": "json", ".jsonl": "json", ".ndjson": "json",
}  # fmt: skip
_OPTIONS = {"csv": ("types", "nulls", "delimiter"), "parquet": (), "json": (), "auto": ()}


def is_table(files: Files, observation: Observation) -> bool:
    """Are these files read as a table? As declared, else if the names of all of them say so."""
    if files.reader.format != "auto":
        return True
    return all(_format_of(file.path) is not None for file in observation.files)


def reader_identity(files: Files) -> str:
    """What stands for the reader in the recipe of an ingest: format, options, our own scheme."""
    options = [[key, _plain(value)] for key, value in sorted(files.reader.options)]
    return f"ingest/{_SCHEME} {files.reader.format} {json.dumps(options, ensure_ascii=False)}"


def read_files(files: Files, observation: Observation, root: str | Path) -> pa.Table:
    """The observed files as one table.

    Args:
        files: the declaration, with its reader.
        observation: which files, in which order.
        root: the project's folder, to which their paths are relative.

    Raises:
        ContentError: naming the file (and line or column) that is no such table, and what to do.
        InputsChanged: a file no longer holds what was observed.
    """
    reader = files.reader
    options = dict(reader.options)
    known = _OPTIONS.get(reader.format, ())
    for name in options:
        if name not in known:
            raise ContentError(
                f"`{observation.source}`: the {reader.format} reader has no option `{name}`"
                f"{did_you_mean(name, known)}"
            )
    parts = []
    for file in observation.files:
        form = _format_of(file.path) if reader.format == "auto" else reader.format
        if form is None:
            raise ContentError(
                f"`{observation.source}`: `{file.path}` does not say what kind of table it is",
                advice="declare it: `source(…, read=csv())`, `parquet()` or `json()`",
            )
        data = _observed(file, root)
        parts.append((file.path, _READERS[form](data, file.path, options)))
    table = _joined(parts)
    if "types" in options:
        from lineal.storage.csv_files import check_types

        check_types(dict(options["types"]), table.column_names, observation.source)
    return table


def _observed(file: SourceFile, root: str | Path) -> bytes:
    """The bytes of a file, which have the digest it was observed with."""
    advice = "run again when whoever writes it is done"
    try:
        data = read_regular(str(Path(root) / file.path))
    except OSError as error:  # it could be read when it was observed
        raise InputsChanged(
            f"`{file.path}` can't be read any more: {error.strerror}",
            where=file.path,
            advice=advice,
        ) from error
    if digest_bytes(data) != file.digest:
        raise InputsChanged(
            f"`{file.path}` changed after the run looked at it", where=file.path, advice=advice
        )
    return data


def _format_of(path: str) -> str | None:
    bare = path.casefold().removesuffix(".gz")
    return _SUFFIXES.get(Path(bare).suffix)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return [[key, _plain(item)] for key, item in value.items()]
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


# ------------------------------------------------------------------------------------ readers


def _read_csv(data: bytes, shown: str, options: dict[str, Any]) -> pa.Table:
    from lineal.storage.csv_files import read_csv

    return read_csv(data, shown, _csv_options(shown, options))


def _csv_options(shown: str, options: dict[str, Any]) -> Options:
    from lineal.storage.csv_files import Options

    found = Options(dict(options.get("types", ())))
    if "nulls" in options:
        found = found._replace(nulls=tuple(options["nulls"]))
    bare = shown.casefold().removesuffix(".gz")
    delimiter = options.get("delimiter") or ("\t" if bare.endswith(".tsv") else None)
    return found._replace(delimiter=delimiter)


def _read_parquet(data: bytes, shown: str, options: dict[str, Any]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            table = file.read()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise ContentError(
            f"`{shown}` can't be read as Parquet: {error}",
            where=shown,
            advice="is it whole, and is it Parquet? Else annotate its reader as `pathlib.Path`",
        ) from error
    _check_names(table.column_names, shown)
    return table


def _read_json(data: bytes, shown: str, options: dict[str, Any]) -> pa.Table:
    rows = _rows(_text_of(data, shown), shown)
    names: dict[str, None] = {}
    for place, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ContentError(
                f"`{shown}`: row {place} is a {type(row).__name__}, not an object",
                where=shown,
                advice='a table in JSON is `[{"column": value}, …]`, or one such object a line',
            )
        names.update(dict.fromkeys(row))
    import pyarrow as pa

    columns = [_json_column([row.get(name) for row in rows], name, shown) for name in names]
    return pa.table(columns, names=list(names))


def _json_column(values: list[Any], name: str, shown: str) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise ContentError(
            f"`{shown}`, column `{name}` has values of several types: {error}",
            where=shown,
            advice="write it in one type, or read the file in a function that takes its Path",
        ) from error


def _text_of(data: bytes, shown: str) -> str:
    try:
        return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8-sig")
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        raise ContentError(
            f"`{shown}` is no JSON file: {error}", where=shown, advice="save it as UTF-8"
        ) from error


def _rows(text: str, shown: str) -> list[Any]:
    """An array of objects, or one object a line."""
    if text.lstrip().startswith("["):
        return list(_parsed(text, shown, 1))
    lines = enumerate(text.split("\n"), 1)
    return [_parsed(line, shown, number) for number, line in lines if line.strip()]


def _parsed(text: str, shown: str, first: int) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object)
    except ValueError as error:
        line = first + getattr(error, "lineno", 1) - 1
        raise ContentError(
            f"`{shown}`, line {line}: {getattr(error, 'msg', error)}",
            where=f"{shown}:{line}",
            advice='a table in JSON is `[{"column": value}, …]`, or one such object a line; '
            "if it is no table, annotate the input that reads it as `pathlib.Path`",
        ) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has the same key twice")
    return found


_READERS: dict[str, Callable[[bytes, str, dict[str, Any]], Any]] = {
    "csv": _read_csv,
    "parquet": _read_parquet,
    "json": _read_json,
}


def _check_names(names: Sequence[str], shown: str) -> None:
    for name in names:
        if list(names).count(name) > 1:
            raise ContentError(
                f"`{shown}` has two columns `{name}`", advice="give each its own name"
            )


# ---------------------------------------------------------------------------- several as one


def _joined(parts: Sequence[tuple[str, pa.Table]]) -> pa.Table:
    """The tables one below the other, with the columns of all."""
    import pyarrow as pa

    fields: dict[str, tuple[pa.DataType, str]] = {}  # the type so far, and the file it is from
    for shown, table in parts:
        for field in table.schema:
            kind, first = fields.get(field.name, (field.type, shown))
            fields[field.name] = (_wider(kind, field.type, field.name, first, shown), first)
    # A column in which nobody ever wrote a value: text, as it would be in a CSV file.
    kinds = {n: pa.string() if pa.types.is_null(k) else k for n, (k, _) in fields.items()}
    schema = pa.schema(list(kinds.items()))
    return pa.concat_tables([_fitted(table, schema, shown) for shown, table in parts])


def _fitted(table: pa.Table, schema: pa.Schema, shown: str) -> pa.Table:
    import pyarrow as pa

    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        try:
            columns.append(table[field.name].cast(field.type))
        except pa.ArrowInvalid as error:
            raise ContentError(
                f"`{shown}`, column `{field.name}`: {error}",
                where=shown,
                advice=f"its type is {field.type} because of the other files",
            ) from error
    return pa.Table.from_arrays(columns, schema=schema)


def _wider(one: pa.DataType, other: pa.DataType, name: str, first: str, shown: str) -> pa.DataType:
    """The type that holds the values of both."""
    import pyarrow as pa
    import pyarrow.types as pt

    one, other = (k.value_type if pt.is_dictionary(k) and one != other else k for k in (one, other))
    if one == other:
        return one
    dates = [k for k in (one, other) if pt.is_date(k)]
    stamps = [k for k in (one, other) if pt.is_timestamp(k) and k.tz is None]
    if dates and stamps:
        return stamps[0]
    schemas = [pa.schema([(name, kind)]) for kind in (one, other)]
    try:
        if pt.is_binary(one) == pt.is_binary(other):
            return pa.unify_schemas(schemas, promote_options="permissive").field(name).type
    except pa.ArrowTypeError:
        pass
    raise ContentError(
        f"`{shown}`, column `{name}` is {other}, but {one} in `{first}`",
        where=shown,
        advice=f'mend the file, or declare one type: `read=csv(types={{"{name}": "VARCHAR"}})`',
    )
