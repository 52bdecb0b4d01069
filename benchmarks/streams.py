"""Tables four times larger than the memory limit, each step in a process of its own:
`python -m benchmarks.streams`. Needs about 15 times the table on the disk.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from benchmarks.measure import LINEAL, Process, against_budget, row, spend, told

BUDGET = 2048.0  # MB of resident memory, at its peak
BATCH = 500_000
BYTES_A_ROW = 80  # of the source, in Arrow's memory
STEPS = {
    "raw/events": "CSV → Parquet",
    "raw/archive": "Parquet → Parquet",
    "enriched": "Python by batches, order, key",
    "ranked": "SQL, order, key, checks",
    "grouped": "SQL, grouped by a key",
    "summary": "Python by batches",
}
PIPELINE = '''\
import pyarrow as pa
import pyarrow.compute as pc

from lineal import asset, checks, source, sql_asset

source("raw/events", "events.csv")
source("raw/archive", "archive.parquet")


@asset(order_by=["user", "id"], primary_key=["id"],
       checks=[checks.not_null("id", "amount"), checks.unique("id"), checks.between("amount", 0)])
def enriched(raw_events: pa.RecordBatchReader):
    for batch in raw_events:
        table = pa.Table.from_batches([batch])
        yield table.append_column("double", pc.multiply(table["amount"], 2.0))


sql_asset("ranked", """
    select e.id, e.user, e.amount, e.double, e.note, a.note as old
    from enriched e join raw_archive a on a.id = e.id
    order by e.amount desc
""", primary_key="id", checks=[
    checks.unique("id"), checks.not_null("note"), checks.references("id", "raw/archive", "id"),
])

sql_asset("grouped", "select user, id % 1000003 as k, count(*) as n, max(note) as note"
          " from enriched group by all", primary_key=["user", "k"])


@asset
def summary(ranked: pa.RecordBatchReader):
    rows, last = 0, None
    for batch in ranked:
        rows += batch.num_rows
        first = batch.column("amount")[0].as_py()
        assert last is None or first <= last
        last = batch.column("amount")[-1].as_py()
    return {"rows": rows}
'''


def project(folder: Path, rows: int, memory: int) -> int:
    """Write the project; returns the size of its table in Arrow's memory."""
    (folder / "pipeline.py").write_text(PIPELINE, encoding="utf-8")
    (folder / "lineal.toml").write_text(f'[run]\nmemory = "{memory}MB"\n', encoding="utf-8")
    dice, schema, size = np.random.default_rng(0), None, 0
    csv = parquet = None
    places = dice.permutation(rows)
    for at in range(0, rows, BATCH):
        batch = _batch(places[at : at + BATCH], dice)
        size += batch.nbytes
        if csv is None or parquet is None:
            schema = batch.schema
            csv = pyarrow.csv.CSVWriter(str(folder / "events.csv"), schema)
            parquet = pyarrow.parquet.ParquetWriter(folder / "archive.parquet", schema)
        csv.write_table(batch)
        parquet.write_table(batch)
    if csv is not None and parquet is not None:
        csv.close()
        parquet.close()
    return size


def _batch(ids: np.ndarray, dice: np.random.Generator) -> pa.Table:
    notes = np.char.add(ids.astype("U12"), " is the number of this event, and it is a long one")
    return pa.table({
        "id": ids,
        "user": dice.integers(0, 1000, len(ids)),
        "amount": dice.integers(0, 100_000, len(ids)) / 4,
        "note": pa.array(notes),
    })  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", type=int, default=256, help="the limit, in MB")
    parser.add_argument("--times", type=float, default=4.5, help="the table over the limit")
    words = parser.parse_args()
    told("Tables larger than the memory limit: peak resident memory of each step's process")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = int(words.times * words.memory * 2**20 / BYTES_A_ROW)
        size = project(folder, rows, words.memory)
        csv = (folder / "events.csv").stat().st_size
        print(f"{rows:,} rows: {size >> 20} MB in memory, {csv >> 20} MB of CSV; "
              f"limit {words.memory} MB")  # fmt: skip
        peak = 0.0
        for step, what in STEPS.items():
            cost = spend(Process((*LINEAL, "materialize", step, "-q"), folder))
            row(f"{step}: {what}", cost)
            peak = max(peak, cost.peak)
    against_budget("peak resident memory", peak, BUDGET, "MB")


if __name__ == "__main__":
    main()
