"""What small tables cost above a plain script that writes them: `python -m benchmarks.cold`."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import LINEAL, Process, against_budget, interleaved, row, told
from benchmarks.projects import small_tables, small_tables_by_hand

BUDGET = 2.0  # milliseconds of CPU a table over the script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    words = parser.parse_args()
    told("The first `materialize` of small tables: whole-process CPU")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small_tables(folder / "project", words.assets)
        small_tables_by_hand(folder / "script", words.assets)

        def again() -> None:
            shutil.rmtree(folder / "project" / ".lineal", ignore_errors=True)

        costs = interleaved(
            {
                "script": Process((sys.executable, "script.py"), folder / "script"),
                "lineal": Process((*LINEAL, "materialize", "-q"), folder / "project", again),
            },
            words.runs,
        )
    print(f"{words.assets:,} tables of 100 rows × 2, medians of {words.runs}")
    row("a script with to_parquet", costs["script"])
    row("the first materialize", costs["lineal"], costs["script"])
    over = 1e3 * (costs["lineal"].cpu - costs["script"].cpu) / words.assets
    against_budget("over the script", over, BUDGET, "ms of CPU a table")


if __name__ == "__main__":
    main()
