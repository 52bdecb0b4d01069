"""200 assets of which a tenth fail, with workers and without: `python -m tests.faults.foreman`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.flaky import compared

ROOT = Path(__file__).resolve().parents[2]


def lineal(folder: Path, *words: str) -> Any:
    """Run a command in a folder; the JSON it says."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "lineal.cli", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}\n{words} ended with {done.returncode}")
    print(f"  {folder.name}: {' '.join(words)}: {time.perf_counter() - began:.1f} s", flush=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=200)
    parser.add_argument("--graphs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    for seed in range(words.seed, words.seed + words.graphs):
        print(f"seed {seed}: {words.assets} assets")
        with tempfile.TemporaryDirectory() as name:
            failed = compared(Path(name), words.assets, seed, lineal)
        print(f"  {len(failed)} assets failed, {sum(failed.values())} times; the same in the end")


if __name__ == "__main__":
    main()
