"""What two workers gain on two branches of pure Python: `python -m benchmarks.jobs`."""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from benchmarks.measure import LINEAL, Process, against_budget, interleaved, told

BUDGET = 0.65  # of the time that one process takes
STEPS = 3  # of each branch, one behind the other

_PIPELINE = """\
import os

from lineal import asset

with open({loads!r}, "a") as file:
    file.write(f"{{os.getpid()}}\\n")


def burned(turns, number):
    for i in range(turns):
        number = (number * 31 + i) % 1_000_003
    return number


def branch(name):
    @asset(name=f"{{name}}0")
    def begins():
        return burned({turns}, len(name))

    for i in range(1, {steps}):

        @asset(name=f"{{name}}{{i}}", inputs={{"number": f"{{name}}{{i - 1}}"}})
        def goes_on(number):
            return burned({turns}, number)


branch("left")
branch("right")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=16.0, help="of each branch")
    parser.add_argument("--runs", type=int, default=3)
    words = parser.parse_args()
    told("Two branches of pure Python, in one process and in two workers: wall time")
    with tempfile.TemporaryDirectory() as name:
        folder, loads = Path(name) / "project", Path(name) / "loads"
        folder.mkdir()
        turns = int(words.seconds / STEPS * _turns_a_second())
        text = _PIPELINE.format(loads=str(loads), turns=turns, steps=STEPS)
        (folder / "pipeline.py").write_text(text, encoding="utf-8")

        def again() -> None:
            shutil.rmtree(folder / ".lineal", ignore_errors=True)
            loads.unlink(missing_ok=True)

        make = (*LINEAL, "materialize", "-q")
        costs = interleaved(
            {
                "inline": Process((*make, "--jobs", "1"), folder, again),
                "workers": Process((*make, "--jobs", "2"), folder, again),
            },
            words.runs,
        )
        loaded = len(loads.read_text().split())
    print(f"two branches of {STEPS} steps, {words.seconds:g} s each, medians of {words.runs}")
    for name, cost in (("--jobs 1", costs["inline"]), ("--jobs 2", costs["workers"])):
        print(f"  {name}: {cost.wall:6.1f} s")
    print(
        f"  processes that loaded the project with --jobs 2: {loaded} (ours and each worker, once)"
    )
    against_budget("--jobs 2 over --jobs 1", costs["workers"].wall / costs["inline"].wall, BUDGET,
                   "of the time")  # fmt: skip


def _turns_a_second() -> float:
    """How often the loop of the branches turns, when nobody disturbs it: the best of five."""
    best, turns = float("inf"), 1_000_000
    for _ in range(5):
        began, number = time.perf_counter(), 1
        for i in range(turns):
            number = (number * 31 + i) % 1_000_003
        best = min(best, time.perf_counter() - began)
    return turns / best


if __name__ == "__main__":
    main()
