"""Says at the end how many faults were injected."""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [r for kept in terminalreporter.stats.values() for r in kept]
    told = [p for r in reports for p in getattr(r, "user_properties", ()) if r.when == "teardown"]
    counts = [count for name, count in told if name == "faults"]
    if counts:
        terminalreporter.write_line(f"{sum(counts):,} faults injected")
