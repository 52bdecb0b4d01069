"""CSV files as tables: one parser, and types that hold for every value of the whole file.

Every value is read as text first. A column is then, in this order, the first of
int64 (`-12`, not `+12`, `012`), float64 (`1.5`, `1e3`, `nan` beside numbers; not `+1.5`, `01.5`),
bool (`true`, `False`), date (`2026-01-05`), timestamp (ISO 8601, to the nanosecond; in UTC if all
values have a zone) that *every* value is; else it is text, exactly as it stands. So ids such as
`007`, phone numbers and integers beyond 64 bits lose nothing. A column without any value is text.

Null: `NA` and the empty string, quoted or not, or the `nulls` that are declared. Blank lines are
skipped. The encoding is UTF-8, with or without a byte order mark.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Mapping, Sequence
from typing import IO, NamedTuple, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

from lineal.assets.errors import ContentError, did_you_mean

SCHEME = 1  # part of every ingest's recipe: raise it when the same bytes may give another table
_HEAD = 1 << 16
_BLOCK = 1 << 20
_LARGEST_BLOCK = (1 << 31) - 1
_DELIMITERS = (",", ";", "\t", "|")
_ID = r"^[+]|^-?0[0-9xX]"  # what a number is not written like
_DECIMAL = re.compile(r"(?:decimal|numeric)\((\d+),(\d+)\)\Z")

_TYPES: Mapping[str, pa.DataType] = {
    **dict.fromkeys(("bigint", "int64", "int8", "long"), pa.int64()),
    **dict.fromkeys(("integer", "int", "int4", "int32"), pa.int32()),
    **dict.fromkeys(("smallint", "int16"), pa.int16()),
    "tinyint": pa.int8(),
    **dict.fromkeys(("ubigint", "uint64"), pa.uint64()),
    **dict.fromkeys(("uinteger", "uint32"), pa.uint32()),
    **dict.fromkeys(("double", "float64", "float8"), pa.float64()),
    **dict.fromkeys(("float", "real", "float32", "float4"), pa.float32()),
    **dict.fromkeys(("varchar", "text", "string", "str", "char"), pa.string()),
    **dict.fromkeys(("boolean", "bool"), pa.bool_()),
    "date": pa.date32(),
    **dict.fromkeys(("timestamp", "datetime", "timestamp[us]"), pa.timestamp("us")),
    **dict.fromkeys(("timestamp_ns", "timestamp[ns]"), pa.timestamp("ns")),
    **dict.fromkeys(("timestamptz", "timestampwithtimezone"), pa.timestamp("us", "UTC")),
    "time": pa.time64("us"),
}


class Options(NamedTuple):
    """How a CSV file is read; what is None is found in the file."""

    types: Mapping[str, str]
    nulls: Sequence[str] = ("", "NA")
    delimiter: str | None = None


def read_csv(data: bytes, shown: str, options: Options) -> pa.Table:
    """The bytes of one CSV file, plain or gzipped, as a table.

    Raises:
        ContentError: naming the file as `shown` and the line, when it is no well-formed CSV.
    """
    header, delimiter = _header(data, shown, options.delimiter)
    names = _column_names(header, shown)
    texts = _read_texts(data, shown, len(names), delimiter, options)
    columns = []
    for name, column in zip(names, texts.columns, strict=True):
        declared = options.types.get(name)
        if declared is None:
            columns.append(typed(column))
        else:
            columns.append(_declared(column, declared, f"`{shown}`, column `{name}`"))
    return pa.table(columns, names=names)


def check_types(types: Mapping[str, str], columns: Sequence[str], source: str) -> None:
    """Every column that a type is declared for is there."""
    for name in types:
        if name not in columns:
            raise ContentError(
                f"`{source}` has no column `{name}`{did_you_mean(name, columns)}",
                advice=f"`csv(types=…)` names it; the columns are {', '.join(columns)}",
            )


# ------------------------------------------------------------------------------------- header


def _text(data: bytes) -> IO[str]:
    return io.TextIOWrapper(_unpacked(data), encoding="utf-8-sig", newline="")


def _unpacked(data: bytes) -> IO[bytes]:
    """What the file holds, unpacked if it is gzipped: told by its first bytes, not by its name."""
    file = io.BytesIO(data)
    return cast("IO[bytes]", gzip.open(file)) if _is_packed(data) else file


def _is_packed(data: bytes) -> bool:
    return data[:2] == b"\x1f\x8b"


def _header(data: bytes, shown: str, delimiter: str | None) -> tuple[list[str], str]:
    """The names in the first line that is not blank, and what separates them."""
    try:
        with _unpacked(data) as unpacked:
            head = unpacked.read(_HEAD)
        _check_text(head, shown)
        with _text(data) as file:
            first = next((line for line in file if line.strip()), None)
        if first is None:
            raise ContentError(
                f"`{shown}` is empty: a CSV file begins with a line of column names",
                advice="remove the file, or write its header line",
            )
        if delimiter is None:
            delimiter = max(_DELIMITERS, key=first.count)
        with _text(data) as file:
            return next(row for row in csv.reader(file, delimiter=delimiter) if row), delimiter
    except UnicodeDecodeError as error:
        raise _not_utf8(data, shown) from error
    except (csv.Error, EOFError, gzip.BadGzipFile) as error:
        raise _no_csv(shown, str(error)) from error


def _check_text(head: bytes, shown: str) -> None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ContentError(f"`{shown}` is UTF-16 text, not UTF-8", advice="save it as CSV in UTF-8")
    if b"\0" in head:
        raise _no_csv(shown, "it holds zero bytes")


def _column_names(header: Sequence[str], shown: str) -> list[str]:
    """The header's names; one that is empty (an index of pandas) is `column_<its place>`."""
    names = [name or f"column_{place}" for place, name in enumerate(header, 1)]
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ContentError(
                f"`{shown}` has two columns `{name}`", advice="give each its own name in the header"
            )
        seen.add(name)
    return names


# -------------------------------------------------------------------------------------- parse


def _read_texts(data: bytes, shown: str, width: int, delimiter: str, options: Options) -> pa.Table:
    """All rows under the header, every column as text, with its nulls."""
    names = [str(place) for place in range(width)]
    convert = pv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        null_values=list(options.nulls),
        strings_can_be_null=True,
    )
    parse = pv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    for block in (_BLOCK, _LARGEST_BLOCK):  # a row longer than a block needs a larger one
        read = pv.ReadOptions(column_names=names, block_size=block)
        try:
            with pa.input_stream(
                pa.py_buffer(data), compression="gzip" if _is_packed(data) else None
            ) as file:
                return pv.read_csv(
                    file, read_options=read, parse_options=parse, convert_options=convert
                ).slice(1)  # the header: it was counted as a row
        except pa.ArrowInvalid as error:
            if "straddling" in str(error) and block == _BLOCK:
                continue
            raise _fault(data, shown, width, delimiter, error) from error
        except OSError as error:  # gzip's
            raise _no_csv(shown, str(error)) from error
    raise AssertionError("the largest block was tried")


def _fault(
    data: bytes, shown: str, width: int, delimiter: str, error: pa.ArrowInvalid
) -> ContentError:
    """Find the line that the parser did not like; only its rows count them, so read again."""
    try:
        with _text(data) as file:
            reader = csv.reader(file, delimiter=delimiter)
            for row in reader:
                if row and len(row) != width:
                    return ContentError(
                        f"`{shown}`, line {reader.line_num}: {_fields(len(row))}, "
                        f"but the header has {width}",
                        where=f"{shown}:{reader.line_num}",
                        advice="mend that line; or is it another delimiter? "
                        '`source(…, read=csv(delimiter=";"))`',
                    )
    except UnicodeDecodeError:
        return _not_utf8(data, shown)
    except csv.Error as fault:
        return _no_csv(shown, str(fault))
    return _no_csv(shown, str(error))


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"


def _not_utf8(data: bytes, shown: str) -> ContentError:
    with _unpacked(data) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return ContentError(
                    f"`{shown}`, line {number}: the byte {line[error.start]:#04x} is not UTF-8",
                    where=f"{shown}:{number}",
                    advice="save the file as UTF-8, or read it in a function that takes its Path",
                )
    return _no_csv(shown, "it is not UTF-8")


def _no_csv(shown: str, why: str) -> ContentError:
    return ContentError(
        f"`{shown}` is no CSV file: {why}",
        where=shown,
        advice="if it is no table, annotate the input that reads it as `pathlib.Path`",
    )


# -------------------------------------------------------------------------------------- types


def typed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of text as the first type that each of its values is."""
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column))])
    for attempt in (_integers, _floats, _bools, _moments):
        found = attempt(column)
        if found is not None:
            return found
    return column


def _moments(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    stamps = [pa.timestamp(unit, zone) for zone in (None, "UTC") for unit in ("us", "ns")]
    found = (_cast(column, kind) for kind in (pa.date32(), *stamps))
    return next((each for each in found if each is not None), None)


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    try:
        return column.cast(kind)
    except pa.ArrowInvalid:
        return None


def _integers(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    found = _cast(column, pa.int64())
    if found is None:
        return None
    # Written back it must be what was read, or something was lost: `007` is an id.
    return found if pc.all(pc.equal(found.cast(pa.string()), column)).as_py() else None


def _floats(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    found = _cast(column, pa.float64())
    if found is None or pc.any(pc.match_substring_regex(column, _ID)).as_py():
        return None
    if not pc.any(pc.is_finite(found)).as_py():  # nothing but `nan` and `inf`: may be names
        return None
    # Integers only, and too large for int64: as floats they would lose digits.
    fractions = pc.any(pc.match_substring(column, ".")).as_py()
    if not fractions and not pc.any(pc.match_substring_regex(column, "[eEnN]")).as_py():
        return None
    return found


def _bools(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    found = _cast(column, pa.bool_())
    if found is None or pc.min(pc.binary_length(column)).as_py() == 1:  # `0` and `1` beside words
        return None
    return found


def _declared(column: pa.ChunkedArray, declared: str, where: str) -> pa.ChunkedArray:
    kind = arrow_type(declared, where)
    if kind == pa.string():
        return column
    trimmed = pc.utf8_trim_whitespace(column)
    try:
        return _converted(trimmed, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _unlike(trimmed, kind, declared, where) from error


def _converted(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_time(kind):  # by way of a day: Arrow has no cast from text to a time
        whole = pc.binary_join_element_wise("1970-01-01", column, "T")
        return whole.cast(pa.timestamp("us")).cast(kind)
    if pa.types.is_integer(kind):
        column = pc.replace_substring_regex(column, r"^[+]?(-?)0+([0-9])", r"\1\2")
    return column.cast(kind)


def _unlike(column: pa.ChunkedArray, kind: pa.DataType, declared: str, where: str) -> ContentError:
    """Name the first value that is not of the declared type."""
    for place, value in enumerate(column, 1):
        try:
            _converted(pa.chunked_array([[value.as_py()]], pa.string()), kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return ContentError(
                f"{where}: {value.as_py()!r} in row {place} is no {declared}",
                advice="declare another type in `csv(types=…)`, or the text as a null in `nulls=`",
            )
    return ContentError(f"{where} can't be read as {declared}")


def arrow_type(declared: str, where: str) -> pa.DataType:
    """The type that a declared text names, in SQL's words or Arrow's."""
    text = "".join(declared.split()).casefold()
    decimal = _DECIMAL.match(text)
    if decimal and 1 <= int(decimal[1]) <= 38 and int(decimal[2]) <= int(decimal[1]):
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    if text in _TYPES:
        return _TYPES[text]
    raise ContentError(
        f"{where}: there is no type `{declared}`{did_you_mean(text, _TYPES)}",
        advice="types: BIGINT, INTEGER, DOUBLE, DECIMAL(p, s), VARCHAR, BOOLEAN, DATE, TIMESTAMP, "
        "TIMESTAMPTZ, TIME",
    )
