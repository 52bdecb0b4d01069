"""Files set aside in `tmp/` while a table is being made that does not fit in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from lineal.disk import refusals
from lineal.storage.objects import Objects

if TYPE_CHECKING:
    import pyarrow as pa

_SPILL_ROWS = 8_192  # of a block of a table set aside


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

    def copy(self, source: str) -> Path:
        """A copy of a file."""
        path = self.new("source")
        with refusals(path):
            self._objects.disk.copy(source, path)
        return path

    def put(self, pieces: Iterable[pa.Table], schema: pa.Schema) -> Path:
        """Set canonical tables aside, in order."""
        import pyarrow as pa

        path = self.new("arrow")
        with refusals(path), pa.OSFile(str(path), "wb") as file:
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            with pa.ipc.new_stream(file, schema, options=options) as writer:
                for piece in pieces:
                    writer.write_table(piece, max_chunksize=_SPILL_ROWS)
        return path


def read_aside(path: Path) -> Iterator[pa.Table]:
    """What was set aside, block by block."""
    import pyarrow as pa

    with refusals(path), pa.OSFile(str(path), "rb") as file, pa.ipc.open_stream(file) as reader:
        for batch in reader:
            yield pa.Table.from_batches([batch])
