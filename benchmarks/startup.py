"""What starting lineal costs: run `python -m benchmarks.startup`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import LINEAL, Process, against_budget, interleaved, row, told

BUDGET = 0.15  # seconds of CPU for `lineal --help`


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    words = parser.parse_args()
    told("Starting: whole-process CPU")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        costs = interleaved(
            {
                "python": Process((sys.executable, "-c", "pass"), folder),
                "click": Process((sys.executable, "-c", "import click"), folder),
                "help": Process((*LINEAL, "--help"), folder),
                "verb": Process((*LINEAL, "materialize", "--help"), folder),
                "import": Process((sys.executable, "-c", "import lineal"), folder),
            },
            words.runs,
        )
    print(f"medians of {words.runs}")
    row("python -c pass", costs["python"])
    row("python -c 'import click'", costs["click"], costs["python"])
    row("lineal --help", costs["help"], costs["python"])
    row("lineal materialize --help", costs["verb"], costs["python"])
    row("python -c 'import lineal'", costs["import"], costs["python"])
    against_budget("lineal --help", costs["help"].cpu, BUDGET, "s of CPU")


if __name__ == "__main__":
    main()
