"""The observed files of a source as one table: CSV, Parquet or JSON, one after the other.

What is parsed are the very bytes that have the observed digest, whatever happens to a file
meanwhile: it is read once, as a whole, or, if the files are large, it is copied first, and the copy
is read batch by batch: first for its types, then for its rows.

The files of a glob are one table, in the order of their paths. Its columns are those of all files,
in the order in which they first appear; a file without one has nulls there. Types of a column that
differ are widened where nothing is lost (null → any, int → larger int or float64, float32 →
float64, date → timestamp, a coarser timestamp → a finer one); any other difference is an error that
names the file and the column. In JSON a value has the type it is written in: text stays text.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lineal.assets.asset import Files
from lineal.assets.digest import digest_bytes
from lineal.assets.errors import ContentError, InputsChanged, did_you_mean
from lineal.assets.records import Observation, SourceFile
from lineal.disk import digest_file
from lineal.storage.aside import Aside
from lineal.storage.objects import Objects
from lineal.storage.sources import open_regular, read_regular

if TYPE_CHECKING:
    import pyarrow as pa

    from lineal.storage.csv_files import Options

HELD = 1 << 27  # bytes of the files of a source from which on they are not held in memory
_SCHEME = 1  # raise it when the same bytes may give another table
_SUFFIXES = {
    ".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".pq": "parquet",
    ".json": "json", ".jsonl": "json", ".ndjson": "json",
}  # fmt: skip
_OPTIONS = {"csv": ("types", "nulls", "delimiter"), "parquet": (), "json": (), "auto": ()}


class Large(Protocol):
    """A file that is read batch by batch."""

    @property
    def schema(self) -> pa.Schema: ...

    def batches(self) -> Iterator[pa.Table]: ...


def is_table(files: Files, observation: Observation) -> bool:
    """Are these files read as a table? As declared, else if the names of all of them say so."""
    if files.reader.format != "auto":
        return True
    return all(_format_of(file.path) is not None for file in observation.files)


def reader_identity(files: Files) -> str:
    """What stands for the reader in the recipe of an ingest: format, options, our own scheme."""
    options = [[key, _plain(value)] for key, value in sorted(files.reader.options)]
    return f"ingest/{_SCHEME} {files.reader.format} {json.dumps(options, ensure_ascii=False)}"


def read_files(
    files: Files,
    observation: Observation,
    root: str | Path,
    objects: Objects | None = None,
    held: int = HELD,
) -> pa.Table | Iterator[pa.Table]:
    """The observed files as one table; large ones in pieces.

    Args:
        files: the declaration, with its reader.
        observation: which files, in which order.
        root: the project's folder, to which their paths are relative.
        objects: where large files are copied to; None: they are read as a whole.
        held: bytes from which on files are large.

    Raises:
        ContentError: naming the file (and line or column) that is no such table, and what to do.
        InputsChanged: a file no longer holds what was observed.
    """
    options = _options_of(files, observation)
    forms = [(file, _form(files, file, observation)) for file in observation.files]
    if objects is not None and sum(file.bytes for file in observation.files) >= held:
        with contextlib.ExitStack() as stack:
            aside = stack.enter_context(Aside(objects))
            large = [
                (file.path, _LARGE[form](_copied(file, root, aside), file.path, options))
                for file, form in forms
            ]
            schema = _schema([(shown, part.schema) for shown, part in large])
            _check_declared(options, schema, observation)
            pieces = _streamed(large, schema, stack.pop_all())
            next(pieces)
            return pieces
    parts = [
        (file.path, _READERS[form](_observed(file, root), file.path, options))
        for file, form in forms
    ]
    table = _joined(parts)
    _check_declared(options, table.schema, observation)
    return table


def _options_of(files: Files, observation: Observation) -> dict[str, Any]:
    options = dict(files.reader.options)
    known = _OPTIONS.get(files.reader.format, ())
    for name in options:
        if name not in known:
            raise ContentError(
                f"`{observation.source}`: the {files.reader.format} reader has no option `{name}`"
                f"{did_you_mean(name, known)}"
            )
    return options


def _form(files: Files, file: SourceFile, observation: Observation) -> str:
    form = _format_of(file.path) if files.reader.format == "auto" else files.reader.format
    if form is None:
        raise ContentError(
            f"`{observation.source}`: `{file.path}` does not say what kind of table it is",
            advice="declare it: `source(…, read=csv())`, `parquet()` or `json()`",
        )
    return form


def _check_declared(options: dict[str, Any], schema: pa.Schema, observation: Observation) -> None:
    if "types" in options:
        from lineal.storage.csv_files import check_types

        check_types(dict(options["types"]), schema.names, observation.source)


def _streamed(
    parts: Sequence[tuple[str, Large]], schema: pa.Schema, held: contextlib.ExitStack
) -> Iterator[Any]:
    """The files one after the other. Holds their copies until the last piece, or until it is
    closed: its first item is nothing, asked for at once, as what never began is never closed.
    """
    with held:
        yield None
        yield schema.empty_table()
        for shown, part in parts:
            for batch in part.batches():
                yield _fitted(batch, schema, shown)


_LATER = "run again when whoever writes it is done"


def _observed(file: SourceFile, root: str | Path) -> bytes:
    """The bytes of a file, which have the digest it was observed with."""
    try:
        data = read_regular(str(Path(root) / file.path))
    except OSError as error:  # it could be read when it was observed
        raise _unreadable(file, error) from error
    if digest_bytes(data) != file.digest:
        raise _changed(file)
    return data


def _copied(file: SourceFile, root: str | Path, aside: Aside) -> Path:
    """A copy of a file that nobody else changes, with the digest it was observed with."""
    source = str(Path(root) / file.path)
    try:
        os.close(open_regular(source))
    except OSError as error:
        raise _unreadable(file, error) from error
    path = aside.copy(source)
    if digest_file(path)[0] != file.digest:
        raise _changed(file)
    return path


def _unreadable(file: SourceFile, error: OSError) -> InputsChanged:
    return InputsChanged(
        f"`{file.path}` can't be read any more: {error.strerror}", where=file.path, advice=_LATER
    )


def _changed(file: SourceFile) -> InputsChanged:
    return InputsChanged(
        f"`{file.path}` changed after the run looked at it", where=file.path, advice=_LATER
    )


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

    with _no_parquet(shown), pq.ParquetFile(pa.BufferReader(data)) as file:
        table = file.read()
    _check_names(table.column_names, shown)
    return table


@contextlib.contextmanager
def _no_parquet(shown: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise ContentError(
            f"`{shown}` can't be read as Parquet: {error}",
            where=shown,
            advice="is it whole, and is it Parquet? Else annotate its reader as `pathlib.Path`",
        ) from error


class _LargeParquet:
    """A Parquet file that is read batch by batch."""

    def __init__(self, path: Path, shown: str, options: dict[str, Any]) -> None:
        import pyarrow.parquet as pq

        self._path, self._shown = path, shown
        with _no_parquet(shown), pq.ParquetFile(path) as file:
            self.schema = file.schema_arrow
        _check_names(self.schema.names, shown)

    def batches(self) -> Iterator[pa.Table]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        with _no_parquet(self._shown), pq.ParquetFile(self._path, pre_buffer=False) as file:
            for batch in file.iter_batches():
                yield pa.Table.from_batches([batch])


class _LargeJson:
    """A JSON file has its types only as a whole: its table is in memory."""

    def __init__(self, path: Path, shown: str, options: dict[str, Any]) -> None:
        self._table = _read_json(path.read_bytes(), shown, options)
        self.schema: pa.Schema = self._table.schema

    def batches(self) -> Iterator[pa.Table]:
        yield self._table


def _large_csv(path: Path, shown: str, options: dict[str, Any]) -> Large:
    from lineal.storage.csv_stream import LargeCsv

    return LargeCsv(path, shown, _csv_options(shown, options))


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


_LARGE: Mapping[str, Callable[[Path, str, dict[str, Any]], Large]] = {
    "csv": _large_csv,
    "parquet": _LargeParquet,
    "json": _LargeJson,
}
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

    schema = _schema([(shown, table.schema) for shown, table in parts])
    return pa.concat_tables([_fitted(table, schema, shown) for shown, table in parts])


def _schema(parts: Sequence[tuple[str, pa.Schema]]) -> pa.Schema:
    """The columns of all, under types that hold the values of each."""
    import pyarrow as pa

    fields: dict[str, tuple[pa.DataType, str]] = {}  # the type so far, and the file it is from
    for shown, schema in parts:
        for field in schema:
            kind, first = fields.get(field.name, (field.type, shown))
            fields[field.name] = (_wider(kind, field.type, field.name, first, shown), first)
    # A column in which nobody ever wrote a value: text, as it would be in a CSV file.
    kinds = {n: pa.string() if pa.types.is_null(k) else k for n, (k, _) in fields.items()}
    return pa.schema(list(kinds.items()))


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
