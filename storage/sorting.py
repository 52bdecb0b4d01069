"""Sorts tables that don't fit in memory: sorted runs set aside in `tmp/`, merged block by block."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from lineal.storage.aside import Aside, read_aside
from lineal.storage.contract import Key, sorted_places

_LEAST_ROWS = 1_024  # of a run that are in memory while it is merged


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
