"""What a format makes of a value that is no table: canonical bytes and what identifies them."""

from __future__ import annotations

from typing import NamedTuple


class Encoded(NamedTuple):
    """The canonical bytes of a value; every reader gets what `decode` makes of them."""

    data: bytes
    suffix: str
    digest: str  # of what a reader sees
    summary: str
    names: tuple[tuple[str, str], ...] = ()  # (module, qualname) a pickle needs to come back
