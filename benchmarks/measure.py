"""How the benchmarks measure: CPU of whole processes, interleaved, told with date and machine."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LINEAL = (sys.executable, "-m", "lineal.cli")
PACKAGES = ("lineal", "duckdb", "pandas", "pyarrow", "click")


class Cost(NamedTuple):
    """What one process cost: seconds of CPU (its children's too), seconds of wall, peak MB."""

    cpu: float
    wall: float
    peak: float


class Process(NamedTuple):
    """A command to measure, where it runs, and what must be done before each run."""

    words: Sequence[str]
    folder: Path
    before: Callable[[], object] = lambda: None


def spend(process: Process) -> Cost:
    """Run a command to its end; it must succeed."""
    process.before()
    with tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        child = subprocess.Popen(
            process.words, cwd=process.folder, env=_environment(), stdout=said, stderr=said
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            said.seek(0)
            last = said.read().decode("utf-8", "replace")[-2000:]
            raise SystemExit(f"{last}\n{' '.join(process.words)} ended with {child.returncode}")
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def _environment() -> dict[str, str]:
    """As a person's shell: compiled files are kept, nothing is coloured, this lineal is found."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}


def interleaved(processes: Mapping[str, Process], runs: int) -> dict[str, Cost]:
    """The medians of several runs, taken in turns, so that a busy moment hits all alike."""
    found: dict[str, list[Cost]] = {name: [] for name in processes}
    for _ in range(runs):
        for name, process in processes.items():
            found[name].append(spend(process))
    return {
        name: Cost(*(statistics.median(part) for part in zip(*costs, strict=True)))
        for name, costs in found.items()
    }


def told(title: str) -> None:
    """The heading: what is measured, when, where, with which versions."""
    versions = [f"python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{package} (not installed)")
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    now = dt.datetime.now(tz=dt.UTC)
    print(f"{title}\n{now:%Y-%m-%d %H:%M} UTC · {platform.system()} {platform.machine()}, "
          f"{os.cpu_count()} cores{load}\n{' · '.join(versions)}\n")  # fmt: skip


def row(name: str, cost: Cost, against: Cost | None = None) -> None:
    """One line: what it cost, and how many times a reference."""
    times = f"   {cost.cpu / against.cpu:5.1f} ×" if against is not None else ""
    print(f"  {name:<34} {cost.cpu * 1e3:8.0f} ms CPU {cost.wall * 1e3:8.0f} ms wall "
          f"{cost.peak:6.0f} MB{times}")  # fmt: skip


def against_budget(what: str, figure: float, budget: float, unit: str) -> None:
    """One line: a figure beside its budget. A busy machine may exceed it; nothing is asserted."""
    word = "within" if figure <= budget else "OVER"
    print(f"  {what}: {figure:.3g} {unit}, {word} the budget of {budget:g} {unit}")
