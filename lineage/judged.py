"""The results of checks that a no-op asks for: those on what is shown, or was tried last."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from lineal.lineage.packed import Packed, Written, write


class Result(NamedTuple):
    """What a check judged, and the fact as JSON."""

    asset: str
    partition: str | None
    content: str
    line: bytes


class Judged:
    """Results by fingerprint: what the checkpoint holds, and beside it what changed since."""

    COLUMNS = ("key", "asset", "partition", "content", "end")

    def __init__(self, packed: Packed | None = None):
        self._packed = Packed.empty(self.COLUMNS) if packed is None else packed
        self._changed: dict[str, Result | None] = {}  # None: forgotten

    @property
    def news(self) -> int:
        """How many results were added since it was read."""
        return len(self._changed)

    def add(self, raw: Mapping[str, Any], line: bytes) -> None:
        """The newest result of a check."""
        result = Result(raw["asset"], raw["partition"], raw["content"], line)
        self._changed[raw["fingerprint"]] = result

    def line(self, fingerprint: str) -> bytes | None:
        """A result, as JSON."""
        if fingerprint in self._changed:
            found = self._changed[fingerprint]
            return None if found is None else found.line
        number = self._packed.number(fingerprint)
        return None if number is None else self._packed.line(number)

    def fingerprints(self) -> set[str]:
        """Those of all results."""
        gone = {key for key, result in self._changed.items() if result is None}
        return {*self._packed.column("key"), *self._changed} - gone

    def forget(
        self, changed: Collection[tuple[str, str | None]], matters: Callable[[Result], bool]
    ) -> None:
        """Forget the results that no longer matter, if they are new or of a step that changed."""
        for key, result in list(self._changed.items()):
            if result is not None and not matters(result):
                self._drop(key)
        if changed:
            columns = (
                self._packed.column(name) for name in ("key", "asset", "partition", "content")
            )
            for key, asset, partition, content in zip(*columns, strict=True):
                suspect = (asset, partition) in changed and key not in self._changed
                if suspect and not matters(Result(asset, partition, content, b"")):
                    self._drop(key)

    def keep_only(self, fingerprints: Collection[str]) -> None:
        """Forget all others."""
        for key in self.fingerprints():
            if key not in fingerprints:
                self._drop(key)

    def _drop(self, key: str) -> None:
        if self._packed.number(key) is None:
            del self._changed[key]
        else:
            self._changed[key] = None

    def written(self) -> Written:
        """Its bytes: as they are in the file, if nothing changed."""
        if not self._changed:
            return self._packed.written()
        rows = dict(self.items())
        columns: dict[str, Sequence[Any]] = {
            "key": list(rows),
            "asset": [r.asset for r in rows.values()],
            "partition": [r.partition for r in rows.values()],
            "content": [r.content for r in rows.values()],
            "end": list(accumulate(len(r.line) + 1 for r in rows.values())),
        }
        return write(columns, (r.line + b"\n" for r in rows.values()))

    def items(self) -> Iterator[tuple[str, Result]]:
        """All results by fingerprint."""
        columns = (self._packed.column(name) for name in ("key", "asset", "partition", "content"))
        for number, (key, asset, partition, content) in enumerate(zip(*columns, strict=True)):
            if key not in self._changed:
                yield key, Result(asset, partition, content, self._packed.line(number) or b"")
        for key, result in self._changed.items():
            if result is not None:
                yield key, result
