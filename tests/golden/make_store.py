"""Make the stores in `tests/golden`: of the first format, to be read by every later lineal.

    python -m tests.golden.make_store store FOLDER
    python -m tests.golden.make_store mended FOLDER

Both were made once for format 1: `store` before there were packs, `mended` with packs and with
entries and an object that are lost. Make them again only for another format, into other folders.
"""

from __future__ import annotations

import io
import json
import shutil
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
from lineal.disk import sealed
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


def write_mended(root: Path) -> None:
    """Entries 1 to 4 and 5 to 8 in packs, the rest as files; 2, 10 and 11 lost; an object too."""
    journal = Journal(root)
    first = Run(journal, at=7000.0)
    for number in range(3):  # entry 2 is the first of these
        stored = put(root, parquet([number]), "parquet")
        first.make("counted", table(f"counted {number}", "id", objects=[stored]))
    stored = put(root, parquet([1, 2, 3]), "parquet")
    numbers = first.make("numbers", table("numbers", "id", objects=[stored]))
    first.end()
    second = Run(journal, at=8000.0)
    for month in ("2026-01", "2026-02", "2026-03", "2026-04"):  # two are entries 10 and 11
        part = put(root, parquet([int(month[-2:])]), "parquet")
        second.make("monthly", table(month, "id", objects=[part]), used(numbers), partition=month)
    gone = put(root, json.dumps({"n": 3}).encode(), "json")
    second.make("forgotten", table("forgotten", "id", objects=[gone]))
    second.end()
    assert journal.compact(keep=4, size=4) == 8
    _lose(root, gone)


def _lose(root: Path, gone: StoredObject) -> None:
    """Damage what a repair then says is lost."""
    (root / "objects" / gone.digest[:2] / f"{gone.digest}.{gone.suffix}").unlink()
    (root / "lost").write_bytes(sealed(json.dumps([gone.digest]).encode()))
    pack = root / "journal" / "packs" / "000000000001-000000000004.pack"
    data = pack.read_bytes()
    pack.chmod(0o644)
    pack.write_bytes(data.replace(b'"asset":"counted"', b'"asset":"Counted"', 1))
    for number in (10, 11):
        (root / "journal" / f"{number:012d}.jsonl").unlink()
    Journal(root).mend(root / "trash" / "now")
    for folder in ("trash", "locks", "tmp"):  # no part of a store
        shutil.rmtree(root / folder, ignore_errors=True)


if __name__ == "__main__":
    {"store": write, "mended": write_mended}[sys.argv[1]](Path(sys.argv[2]))
