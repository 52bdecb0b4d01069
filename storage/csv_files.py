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
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

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


Data = bytes | Path  # a file in memory, or a file that nobody else changes


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
    names, delimiter = header_of(data, shown, options)
    texts = _read_texts(data, shown, len(names), delimiter, options)
    columns = []
    for name, column in zip(names, texts.columns, strict=True):
        declared = options.types.get(name)
        if declared is None:
            columns.append(typed(column))
        else:
            columns.append(declared_as(column, declared, f"`{shown}`, column `{name}`"))
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


def header_of(data: Data, shown: str, options: Options) -> tuple[list[str], str]:
    """The names of the columns, and what separates them."""
    header, delimiter = _header(data, shown, options.delimiter)
    return _column_names(header, shown), delimiter


def _text(data: Data) -> IO[str]:
    return io.TextIOWrapper(_unpacked(data), encoding="utf-8-sig", newline="")


def _unpacked(data: Data) -> IO[bytes]:
    """What the file holds, unpacked if it is gzipped: told by its first bytes, not by its name."""
    if is_packed(data):
        return cast("IO[bytes]", gzip.open(io.BytesIO(data) if isinstance(data, bytes) else data))
    return io.BytesIO(data) if isinstance(data, bytes) else data.open("rb")


def is_packed(data: Data) -> bool:
    """Is it gzipped?"""
    if isinstance(data, bytes):
        return data[:2] == b"\x1f\x8b"
    with data.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _header(data: Data, shown: str, delimiter: str | None) -> tuple[list[str], str]:
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
        raise no_csv(shown, str(error)) from error


def _check_text(head: bytes, shown: str) -> None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ContentError(f"`{shown}` is UTF-16 text, not UTF-8", advice="save it as CSV in UTF-8")
    if b"\0" in head:
        raise no_csv(shown, "it holds zero bytes")


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
    for block in (_BLOCK, _LARGEST_BLOCK):  # a row longer than a block needs a larger one
        rules = parsing(width, delimiter, options, block)
        try:
            with pa.input_stream(
                pa.py_buffer(data), compression="gzip" if is_packed(data) else None
            ) as file:
                return pv.read_csv(file, **rules).slice(1)  # the header: it was counted as a row
        except pa.ArrowInvalid as error:
            if is_too_long(error) and block == _BLOCK:
                continue
            raise fault(data, shown, width, delimiter, error) from error
        except OSError as error:  # gzip's
            raise no_csv(shown, str(error)) from error
    raise AssertionError("the largest block was tried")


def parsing(width: int, delimiter: str, options: Options, block: int) -> dict[str, Any]:
    """How Arrow reads the rows: every column as text, with its nulls."""
    names = [str(place) for place in range(width)]
    return {
        "read_options": pv.ReadOptions(column_names=names, block_size=block),
        "parse_options": pv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        "convert_options": pv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=list(options.nulls),
            strings_can_be_null=True,
        ),
    }


def is_too_long(error: pa.ArrowInvalid) -> bool:
    """Is a row longer than the block it was read with?"""
    return "straddling" in str(error)


def fault(
    data: Data, shown: str, width: int, delimiter: str, error: pa.ArrowInvalid
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
        return no_csv(shown, str(fault))
    return no_csv(shown, str(error))


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"


def _not_utf8(data: Data, shown: str) -> ContentError:
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
    return no_csv(shown, "it is not UTF-8")


def no_csv(shown: str, why: str) -> ContentError:
    """The error for a file that is no CSV."""
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


MOMENTS = (
    pa.date32(),
    *(pa.timestamp(unit, zone) for zone in (None, "UTC") for unit in ("us", "ns")),
)


def _moments(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    found = (cast_text(column, kind) for kind in MOMENTS)
    return next((each for each in found if each is not None), None)


def cast_text(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    """A column of text as another type; None when a value is not of it."""
    try:
        return column.cast(kind)
    except pa.ArrowInvalid:
        return None


def _integers(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    found = cast_text(column, pa.int64())
    if found is None:
        return None
    # Written back it must be what was read, or something was lost: `007` is an id.
    return found if pc.all(pc.equal(found.cast(pa.string()), column)).as_py() else None


class Signs(NamedTuple):
    """What shows that numbers are floats: some are finite, and some have more than digits."""

    finite: bool = False
    more: bool = False

    def with_those(self, others: Signs) -> Signs:
        return Signs(self.finite or others.finite, self.more or others.more)

    @property
    def are_enough(self) -> bool:
        # Nothing but `nan` and `inf` may be names; integers only, too large for int64, would lose
        # digits.
        return self.finite and self.more


def signs_of_floats(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, Signs] | None:
    """A column of text as floats, and what shows that it is; None when a value is no float."""
    found = cast_text(column, pa.float64())
    if found is None or pc.any(pc.match_substring_regex(column, _ID)).as_py():
        return None
    finite = bool(pc.any(pc.is_finite(found)).as_py())
    more = pc.any(pc.match_substring(column, ".")).as_py()
    more = more or pc.any(pc.match_substring_regex(column, "[eEnN]")).as_py()
    return found, Signs(finite, bool(more))


def _floats(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    seen = signs_of_floats(column)
    return seen[0] if seen is not None and seen[1].are_enough else None


def _bools(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    found = cast_text(column, pa.bool_())
    if found is None or pc.min(pc.binary_length(column)).as_py() == 1:  # `0` and `1` beside words
        return None
    return found


class Guess:
    """The type of a column of text that is seen piece by piece: what `typed` says of the whole."""

    def __init__(self) -> None:
        self._seen = False
        self._integers = self._floats = self._bools = True  # may be, as far as was seen
        self._signs = Signs()
        self._moments = list(MOMENTS)

    def see(self, column: pa.ChunkedArray) -> None:
        if column.null_count == len(column):
            return
        self._seen = True
        self._integers = self._integers and _integers(column) is not None
        self._bools = self._bools and _bools(column) is not None
        self._moments = [k for k in self._moments if cast_text(column, k) is not None]
        if self._floats:
            seen = signs_of_floats(column)
            self._floats = seen is not None
            self._signs = self._signs if seen is None else self._signs.with_those(seen[1])

    def kind(self) -> pa.DataType:
        if not self._seen:
            return pa.null()
        if self._integers:
            return pa.int64()
        if self._floats and self._signs.are_enough:
            return pa.float64()
        if self._bools:
            return pa.bool_()
        return self._moments[0] if self._moments else pa.string()


def declared_as(
    column: pa.ChunkedArray, declared: str, where: str, before: int = 0
) -> pa.ChunkedArray:
    """A column of text as the type it is declared with; `before` is how many rows stand above."""
    kind = arrow_type(declared, where)
    if kind == pa.string():
        return column
    trimmed = pc.utf8_trim_whitespace(column)
    try:
        return _converted(trimmed, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _unlike(trimmed, kind, declared, where, before) from error


def _converted(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_time(kind):  # by way of a day: Arrow has no cast from text to a time
        whole = pc.binary_join_element_wise("1970-01-01", column, "T")
        return whole.cast(pa.timestamp("us")).cast(kind)
    if pa.types.is_integer(kind):
        column = pc.replace_substring_regex(column, r"^[+]?(-?)0+([0-9])", r"\1\2")
    return column.cast(kind)


def _unlike(
    column: pa.ChunkedArray, kind: pa.DataType, declared: str, where: str, before: int
) -> ContentError:
    """Name the first value that is not of the declared type."""
    for place, value in enumerate(column, before + 1):
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
