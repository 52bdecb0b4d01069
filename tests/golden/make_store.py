"""Make `tests/golden/store`: a store of the first format, to be read by every later lineal.

    python -m tests.golden.make_store FOLDER

It was run once for format 1. Run it again only for another format, into another folder.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

from blake3 import blake3

from lineal.assets.records import (
    Acceptance,
    AssetFacts,
    CheckResult,
    ErrorFacts,
    Reason,
    StoredObject,
)
from lineal.lineage.journal import Journal
from tests.unit.lineage.story import Run, digest, model_pipeline, table, used


def put(root: Path, data: bytes, suffix: str) -> StoredObject:
    name = blake3(data).hexdigest()
    path = root / "objects" / name[:2] / f"{name}.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return StoredObject(name, suffix, len(data))


def parquet(numbers: list[int]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    pq.write_table(pa.table({"id": pa.array(numbers, pa.int64())}), file)
    return file.getvalue()


def write(root: Path) -> None:
    journal = Journal(root)
    model_pipeline(journal)
    run = Run(journal, at=5000.0)
    journal.append([AssetFacts("numbers", "python", "Some numbers.", "ada", ("daily",), "p.py:3")])
    stored = put(root, parquet([1, 2, 3]), "parquet")
    check = CheckResult(
        digest("check"), "rows", "numbers", None, digest("numbers"), "error", True, digest("rule")
    )
    numbers = run.make(
        "numbers",
        table("numbers", "id", objects=[stored]),
        checks=[check],
        metrics=(("mean", 2.0), ("skew", float("nan"))),
        metadata={"unit": "m", "range": (1, 3), "Größe": None},
        reasons=(Reason("never_made"),),
    )
    for month, rows in (("2026-01", [1]), ("2026-02", [2, 3])):
        part = put(root, parquet(rows), "parquet")
        run.make("monthly", table(month, "id", objects=[part]), used(numbers), partition=month)
    put(root, json.dumps({"n": 3}).encode(), "json")
    run.make("broken", None, outcome="failed", error=ErrorFacts("KeyError", "'x'", "p.py:9", "x"))
    run.make("refused", table("refused", "id", objects=[stored]), used(numbers), outcome="blocked")
    journal.append([Acceptance("numbers", digest("old"), digest("new"), "renamed", "ada", 5001.0)])
    run.end("failed")
    Run(journal, at=6000.0).reuse(numbers)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
