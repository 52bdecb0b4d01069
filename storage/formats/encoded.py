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


def size_text(count: int) -> str:
    """`812 B`, `14 kB`, `2.1 MB`: as short as is useful."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if size >= 9.95 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
