"""Kill real runs at random moments until one breaks a promise, or for as long as is asked.

    python -m tests.torture --kills 2000 --seed 7 --minutes 30

Prints how far it is and in which phases of their lives the processes were killed. A broken promise
ends it with exit code 1; the project with its store, and the diaries of the processes, are kept.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.kills import Torture
from tests.faults.promises import Broken


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0)
    options = parser.parse_args()
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="lineal-torture-"))
    torture = Torture(options.seed, folder)
    try:
        while _left(torture, options.kills, began + 60 * options.minutes):
            torture.kill()
            _progress(torture, options.kills, began)
    except Broken as broken:
        print(f"\nBROKEN, trial {torture.number - 1} of seed {options.seed}: {broken}")
        print(f"The store and all diaries are kept in {folder}")
        print(torture.figures)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", end="")
    print(f"\n{torture.figures}\n  {time.monotonic() - began:5.0f}  seconds, seed {options.seed}")
    print(_verdict(torture.figures.kills, options.kills, options.minutes))
    shutil.rmtree(folder)
    return 0


def _verdict(kills: int, wanted: int, minutes: float) -> str:
    if kills >= wanted:
        return f"No promise was broken in {kills} kills."
    return (
        f"No promise was broken in {kills} kills; the {wanted} asked for were not reached: "
        f"it was interrupted, or the {minutes:g} minutes were over."
    )


def _left(torture: Torture, kills: int, until: float) -> bool:
    return torture.figures.kills < kills and time.monotonic() < until


def _progress(torture: Torture, kills: int, began: float) -> None:
    figures = torture.figures
    end = "\r" if sys.stdout.isatty() else "\n"
    if end == "\r" or torture.number % 50 == 0:
        seconds = time.monotonic() - began
        told = f"{figures.kills} of {kills} kills, {figures.recoveries} recoveries, {seconds:.0f} s"
        print(told, end=end, flush=True)


if __name__ == "__main__":
    sys.exit(main())
