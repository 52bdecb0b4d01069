"""Says at the end how many faults were injected.

A fault that leads to the very store and promises of one before needs no second judging.
"""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [r for kept in terminalreporter.stats.values() for r in kept]
    told = [p for r in reports for p in getattr(r, "user_properties", ()) if r.when == "teardown"]
    faults = sum(count for name, count in told if name == "faults")
    states = sum(count for name, count in told if name == "states")
    if faults:
        terminalreporter.write_line(
            f"{faults:,} faults injected, {states:,} distinct states judged"
        )
