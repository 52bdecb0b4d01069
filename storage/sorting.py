"""Sorts tables that don't fit in memory: sorted runs set aside in `tmp/`, merged block by block."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa

from lineal.disk import refusals
from lineal.storage.contract import Key, sorted_places
from lineal.storage.objects import Objects

_SPILL_ROWS = 8_192  # of a block of a file set aside
_LEAST_ROWS = 1_024  # of a run that are in memory while it is merged


class Aside:
    """Files in `tmp/` for as long as something is being made; what is not kept goes away."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._paths: list[Path] = []

    def __enter__(self) -> Aside:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for path in self._paths:
            self._objects.disk.forget(path)

    def new(self, suffix: str) -> Path:
        path = self._objects.scratch(suffix)
        self._paths.append(path)
        return path

    def keep(self, path: Path) -> None:
        """It is another's from now on."""
        self._paths.remove(path)

    def put(self, pieces: Iterable[pa.Table], schema: pa.Schema) -> Path:
        """Set canonical tables aside, in order."""
        path = self.new("arrow")
        with refusals(path), pa.OSFile(str(path), "wb") as file:
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            with pa.ipc.new_stream(file, schema, options=options) as writer:
                for piece in pieces:
                    writer.write_table(piece, max_chunksize=_SPILL_ROWS)
        return path


def read_aside(path: Path) -> Iterator[pa.Table]:
    """What was set aside, block by block."""
    with refusals(path), pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as reader:
        for batch in reader:
            yield pa.Table.from_batches([batch])


class Sorter:
    """Sorts tables by keys that leave no two different rows equal.

    Args:
        keys: chosen by the first table.
        fit: gives a table the types that the columns have by now.
        budget: bytes of memory that are sorted at once.
    """

    def __init__(
        self,
        keys: Sequence[Key],
        fit: Callable[[pa.Table], pa.Table],
        aside: Aside,
        budget: int,
    ) -> None:
        self._keys = keys
        self._fit = fit
        self._aside = aside
        self._budget = budget
        self._held: list[pa.Table] = []
        self._bytes = 0
        self._widest = 1.0  # bytes of a row
        self._runs: list[list[Path]] = []  # each a file, or several that follow each other
        self._last: pa.Table | None = None  # row of the last run

    def add(self, table: pa.Table) -> None:
        if not table.num_rows:
            return
        self._held.append(table)
        self._bytes += table.nbytes
        if self._bytes >= self._budget:
            self._set_aside()

    def merged(self) -> Iterator[pa.Table]:
        """All rows in order; nothing can be added any more."""
        if not self._runs:
            if self._held:
                yield self._sorted_held()
            return
        if self._held:
            self._set_aside()
        if len(self._runs) == 1:
            yield from self._blocks(self._runs[0])
            return
        share = self._budget / len(self._runs) / self._widest
        rows = max(_LEAST_ROWS, int(share))
        yield from _merged(
            [self._blocks(run) for run in self._runs],
            lambda table: sorted_places(table, self._keys),
            rows,
        )

    def _sorted_held(self) -> pa.Table:
        table = pa.concat_tables([self._fit(each) for each in self._held])
        self._held, self._bytes = [], 0
        return table.take(sorted_places(table, self._keys))

    def _set_aside(self) -> None:
        self._widest = max(self._widest, self._bytes / sum(t.num_rows for t in self._held))
        table = self._sorted_held()
        path = self._aside.put([table], table.schema)
        if self._follows(table.slice(0, 1)):
            self._runs[-1].append(path)
        else:
            self._runs.append([path])
        self._last = table.slice(table.num_rows - 1).combine_chunks()

    def _follows(self, first: pa.Table) -> bool:
        """Does a run begin where the one before ends? Sorted input is one run then."""
        if self._last is None:
            return False
        pair = pa.concat_tables([self._fit(self._last), first])
        return bool(sorted_places(pair, self._keys).to_pylist() == [0, 1])

    def _blocks(self, run: Sequence[Path]) -> Iterator[pa.Table]:
        for path in run:
            for block in read_aside(path):
                yield self._fit(block)


def _merged(
    runs: Sequence[Iterator[pa.Table]], places: Callable[[pa.Table], pa.Array], rows: int
) -> Iterator[pa.Table]:
    """Sorted runs as one: each step sorts what is in memory of all of them, and gives what no row
    still to be read can come before.
    """
    unread = dict(enumerate(runs))
    table: pa.Table | None = None
    owner = np.empty(0, np.int32)  # the run of each row
    while True:
        for number in list(unread):
            have = int((owner == number).sum())
            if have > rows // 2:
                continue
            loaded = _next_rows(unread[number], rows)
            if not loaded:
                del unread[number]
                continue
            table = pa.concat_tables(loaded if table is None else [table, *loaded])
            owner = np.concatenate([owner, np.full(table.num_rows - len(owner), number, np.int32)])
        if table is None or not table.num_rows:
            return
        order = places(table)
        owner = owner[order.to_numpy()]
        safe = min((_last_of(owner, number) for number in unread), default=math.inf)
        count = int(min(safe, len(owner)))
        yield table.take(order.slice(0, count))
        table, owner = table.take(order.slice(count)), owner[count:]


def _next_rows(run: Iterator[pa.Table], rows: int) -> list[pa.Table]:
    """The next blocks of a run, with about so many rows; none at its end."""
    found: list[pa.Table] = []
    while sum(each.num_rows for each in found) < rows:
        block = next(run, None)
        if block is None:
            break
        found.append(block)
    return found


def _last_of(owner: np.ndarray[tuple[int], np.dtype[np.int32]], number: int) -> int:
    """How many rows stand up to the last one of a run, itself included."""
    return int(np.flatnonzero(owner == number)[-1]) + 1
