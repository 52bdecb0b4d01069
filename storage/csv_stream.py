"""A CSV file that does not fit in memory: read once for the types of its columns, then for rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pv

from lineal.storage.csv_files import (
    Guess,
    Options,
    arrow_type,
    declared_as,
    fault,
    header_of,
    is_packed,
    is_too_long,
    no_csv,
    parsing,
)

_BLOCKS = (1 << 22, 1 << 26, (1 << 31) - 1)  # bytes: a row longer than a block needs a larger one


class LargeCsv:
    """A CSV file, read batch by batch into the table that `read_csv` gives of it.

    Args:
        path: a file that nobody else changes.
        shown: what messages call it.

    Raises:
        ContentError: naming the file and the line, when it is no well-formed CSV.
    """

    def __init__(self, path: Path, shown: str, options: Options) -> None:
        self._path = path
        self._shown = shown
        self._options = options
        self._names, self._delimiter = header_of(path, shown, options)
        self._block = _BLOCKS[0]
        self.schema = self._seen()

    def batches(self) -> Iterator[pa.Table]:
        before = 0
        for texts in self._texts(self._block):
            columns = [
                self._typed(name, column, before)
                for name, column in zip(self._names, texts.columns, strict=True)
            ]
            before += texts.num_rows
            yield pa.table(columns, schema=self.schema)

    def _typed(self, name: str, column: pa.ChunkedArray, before: int) -> pa.ChunkedArray:
        declared = self._options.types.get(name)
        if declared is not None:
            return declared_as(column, declared, self._where(name), before)
        kind = self.schema.field(name).type
        return (
            pa.chunked_array([pa.nulls(len(column))])
            if pa.types.is_null(kind)
            else column.cast(kind)
        )

    def _where(self, name: str) -> str:
        return f"`{self._shown}`, column `{name}`"

    def _seen(self) -> pa.Schema:
        """The columns and their types, which every value of the file has."""
        for block in _BLOCKS:
            self._block = block
            guesses = {n: Guess() for n in self._names if n not in self._options.types}
            try:
                for texts in self._texts(block):
                    for name, column in zip(self._names, texts.columns, strict=True):
                        if name in guesses:
                            guesses[name].see(column)
            except _TooLong:
                continue
            break
        return pa.schema(
            [
                (name, guesses[name].kind() if name in guesses else self._declared(name))
                for name in self._names
            ]
        )

    def _declared(self, name: str) -> pa.DataType:
        return arrow_type(self._options.types[name], self._where(name))

    def _texts(self, block: int) -> Iterator[pa.Table]:
        """The rows under the header, every column as text."""
        width = len(self._names)
        rules = parsing(width, self._delimiter, self._options, block)
        packed = "gzip" if is_packed(self._path) else None
        header = 1  # it counts as a row
        try:
            with (
                pa.input_stream(str(self._path), compression=packed) as file,
                pv.open_csv(file, **rules) as reader,
            ):
                for batch in reader:
                    table = pa.Table.from_batches([batch])
                    yield table.slice(header)
                    header -= min(header, table.num_rows)
        except pa.ArrowInvalid as error:
            if is_too_long(error) and block != _BLOCKS[-1]:
                raise _TooLong from error
            raise fault(self._path, self._shown, width, self._delimiter, error) from error
        except OSError as error:  # gzip's
            raise no_csv(self._shown, str(error)) from error


class _TooLong(Exception):
    """A row is longer than the block it was read with."""
