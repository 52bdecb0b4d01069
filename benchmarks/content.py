"""Speed of canonical form and digests on one core: run `python benchmarks/content.py`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pandas as pd
import pyarrow as pa

from lineal.assets.asset import Contract
from lineal.storage.arrivals import hand_over
from lineal.storage.content import canonical_table, column_digests

ROWS = 5_000_000


def columns() -> dict[str, pa.Array]:
    """One column of each kind that has a target."""
    random = np.random.default_rng(0)
    numbers = random.integers(0, 1 << 40, ROWS)
    floats = random.random(ROWS)
    gaps = random.random(ROWS) < 0.1
    words = np.array([f"word {n} of some length" for n in range(1000)])
    return {
        "int64": pa.array(numbers),
        "int64 with nulls": pa.array(numbers, mask=gaps),
        "float64": pa.array(floats),
        "float64 with nulls": pa.array(floats, mask=gaps),
        "timestamp": pa.array(numbers.view("datetime64[us]")),
        "bool": pa.array(gaps),
        "string": pa.array(words[numbers % 1000], pa.large_string()),
        "string with nulls": pa.array(words[numbers % 1000], pa.large_string(), mask=gaps),
        "short string": pa.array((numbers % 1000).astype("U3"), pa.large_string()),
        "list": pa.LargeListArray.from_arrays(np.arange(0, ROWS + 1, 5), numbers),
        "struct": pa.StructArray.from_arrays([numbers, floats], names=["a", "b"]),
    }


def best(work: Callable[[], Any], times: int = 3) -> float:
    """The least seconds of a few runs."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def large() -> None:
    print(f"{'column':20} {'canonical':>11} {'digest':>11}   (GB/s of Arrow memory)")
    for name, array in columns().items():
        table = pa.table({"a": array})
        canonical = canonical_table(table, Contract(), rows=False, name="bench")
        form = best(lambda t=table: canonical_table(t, Contract(), rows=False, name="bench"))
        digest = best(lambda t=canonical: column_digests(t))
        size = table.nbytes / 1e9
        print(f"{name:20} {size / form:11.1f} {size / digest:11.2f}")


def frames() -> None:
    wide = pd.DataFrame(np.random.default_rng(0).random((ROWS, 4)), columns=list("abcd"))
    table = canonical_table(wide, Contract(), rows=False, name="bench")
    size = table.nbytes / 1e9
    form = best(lambda: canonical_table(wide, Contract(), rows=False, name="bench"))
    arrive = best(lambda: hand_over(table, "pandas", None))
    print(f"\npandas floats → canonical {size / form:.2f} GB/s, back {size / arrive:.2f}")


def small() -> None:
    frame = pd.DataFrame({"a": np.arange(100), "b": np.random.default_rng(0).random(100)})
    table = canonical_table(frame, Contract(), rows=False, name="bench")

    def milliseconds(work: Callable[[], Any]) -> float:
        return 1e3 * best(lambda: [work() for _ in range(200)]) / 200

    form = milliseconds(lambda: canonical_table(frame, Contract(), rows=False, name="bench"))
    digest = milliseconds(lambda: column_digests(table))
    arrive = milliseconds(lambda: hand_over(table, "pandas", None))
    print(f"100 rows × 2, ms: canonical {form:.3f}, digests {digest:.3f}, to pandas {arrive:.3f}")


if __name__ == "__main__":
    large()
    frames()
    small()
