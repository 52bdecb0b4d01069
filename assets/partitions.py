"""Partitions: which slices an asset has, and which slices of an input each of them reads.  PURE"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Partition(str):
    """The key of one slice, as the function receives it: a text with what it stands for."""

    __slots__ = ()


class Partitions(Protocol):
    """The slices of an asset: a definition, from which the keys of a moment follow."""

    def keys(self, now: float) -> Sequence[str]:
        """The keys as of `now` (UTC seconds since 1970), in order."""
        ...

    def partition(self, key: str) -> Partition:
        """What the function receives for a key."""
        ...

    def parameters(self, key: str) -> dict[str, Any]:
        """Values that a key gives to parameters of the function (a grid); else none."""
        ...


class Marker(Protocol):
    """Says which partitions of an input one partition of its reader reads."""
