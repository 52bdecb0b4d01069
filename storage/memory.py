"""How much memory and how many threads a run may use when nobody says."""

from __future__ import annotations

import os
from pathlib import Path

_THREAD = 1 << 28  # bytes that a thread of DuckDB wants
_UNKNOWN = 4 << 30  # bytes of a machine that does not say how many it has
_CONTROLLED = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def quarter() -> int:
    """A quarter of the machine's memory in bytes, or of what its container may use of it."""
    return min(_physical(), *(_limit(Path(path)) for path in _CONTROLLED)) // 4


def _physical() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return _UNKNOWN


def _limit(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such file, or `max`
        return 1 << 62


def threads_in(memory: int) -> int:
    """As many threads of DuckDB as there are cores, and as have room."""
    return max(1, min(os.cpu_count() or 1, memory // _THREAD))
