"""What a `materialize` with nothing to do costs: run `python -m benchmarks.no_op`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import LINEAL, Process, against_budget, interleaved, row, spend, told
from benchmarks.projects import small_assets

BUDGET = 0.15  # seconds of CPU for 1,000 assets


def measure(folder: Path, count: int, runs: int) -> float:
    """Prints what a no-op costs beside bare Python; returns its cost above Python and click."""
    project = folder / f"p{count}"
    small_assets(project, count)
    first = spend(Process((*LINEAL, "materialize", "-q"), project))
    costs = interleaved(
        {
            "python": Process((sys.executable, "-c", "pass"), project),
            "click": Process((sys.executable, "-c", "import click"), project),
            "no-op": Process((*LINEAL, "materialize"), project),
            "plan": Process((*LINEAL, "plan"), project),
        },
        runs,
    )
    print(f"{count:,} assets, medians of {runs}")
    row("python -c pass", costs["python"])
    row("python -c 'import click'", costs["click"], costs["python"])
    row("materialize, nothing to do", costs["no-op"], costs["python"])
    row("plan, nothing to do", costs["plan"], costs["python"])
    row("(the first materialize)", first)
    return costs["no-op"].cpu - costs["click"].cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--large", type=int, default=10_000, help="0: leave it out")
    words = parser.parse_args()
    told("A second `materialize`: whole-process CPU")
    with tempfile.TemporaryDirectory() as folder:
        small = measure(Path(folder), words.assets, words.runs)
        against_budget("above python and click", small, BUDGET * words.assets / 1000, "s of CPU")
        if words.large:
            print()
            large = measure(Path(folder), words.large, max(3, words.runs // 2))
            times = words.large / words.assets
            against_budget(f"{times:g} × the assets cost", large / small, times, "×")


if __name__ == "__main__":
    main()
