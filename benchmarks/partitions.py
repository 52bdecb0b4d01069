"""What 100,000 partitions of one asset cost to remember: `python -m benchmarks.partitions`.

The past is written without running anything: one run that made every partition of one asset, each
with eight columns, one input and an object of its own in the store.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from blake3 import blake3

from benchmarks.long_journal import write_entries
from benchmarks.measure import ROOT, against_budget, told
from lineal.assets.records import (
    Column,
    Content,
    Fact,
    Materialization,
    Publication,
    RunEnded,
    RunStarted,
    StoredObject,
    Used,
)
from lineal.lineage.entries import line
from lineal.lineage.fact_json import to_json
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from lineal.storage.objects import Objects

ASSET = "hourly"
CPU, PEAK = 0.5, 250.0  # budgets for 100,000: seconds to open and see all, megabytes
_AN_ENTRY = 200  # materializations
_TYPES = ("timestamp", "string", "int64", "float64")


def digest(text: str) -> str:
    """The digest of a text, as of anything else."""
    return blake3(text.encode()).hexdigest()


def keys(count: int) -> list[str]:
    """The keys of so many hours."""
    hours = (time.gmtime(1_000_000_000 + 3600 * n) for n in range(count))
    return [time.strftime("%Y-%m-%dT%H", hour) for hour in hours]


def made(number: int, key: str, stored: StoredObject) -> Materialization:
    """One partition, as it was made in the first run."""
    columns = tuple(Column(f"column_{n}", _TYPES[n % 4], digest(f"{key} {n}")) for n in range(8))
    rows = 100 + number % 7
    content = Content(digest(key), "parquet", (stored,), rows, columns, f"{rows} rows × 8")
    read = digest(f"input {key}")
    used = Used("raw", "raw", key, "all", read, read, f"r1.{10_000_000 + number}")
    name = f"r1.{number}"
    return Materialization(
        name, "r1", ASSET, key, "made", "python", digest(f"fingerprint {key}"), digest("code"),
        digest("environment"), digest("contract"), inputs=(used,), content=content,
        metadata={"rows": rows}, origin=name, started_at=1e9 + number, seconds=0.01 * (number % 90),
    )  # fmt: skip


def facts(root: Path, count: int) -> Iterator[list[Fact]]:
    """The facts of each entry; the objects are written on the way."""
    command = ("lineal", "materialize")
    yield [RunStarted("r1", "default", "ada", "host", command, 1e9, "3.12", "1", planned=count)]
    entry: list[Fact] = []
    for number, key in enumerate(keys(count)):
        data = f"the table of {key}".encode()
        stored = StoredObject(blake3(data).hexdigest(), "parquet", len(data))
        folder = root / "objects" / stored.digest[:2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{stored.digest}.parquet").write_bytes(data)
        one = made(number, key, stored)
        entry += [one, Publication("default", ASSET, key, one.id, digest(key), "r1")]
        if len(entry) >= 2 * _AN_ENTRY:
            yield entry
            entry = []
    yield [*entry, RunEnded("r1", "done", {"made": count}, 2e9)]


def build(root: Path, count: int) -> None:
    """A store in which so many partitions were made."""
    entries = ([line(to_json(fact)) for fact in entry] for entry in facts(root, count))
    number, packs, size = write_entries(Journal(root), entries)
    print(f"{count:,} partitions: {number:,} entries, {packs:,} packs, {size / 1e6:.0f} MB\n")


def spent(title: str, act: Callable[[], object]) -> float:
    """Do it, tell what it cost, and return the CPU it took."""
    cpu, wall = time.process_time(), time.perf_counter()
    act()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  {title:<44} {cpu:6.2f} s CPU {wall:6.2f} s wall {peak:6.0f} MB", flush=True)
    return cpu


def look(root: Path, *, budgets: bool) -> None:
    """One process that asks what a no-op asks."""
    opened: list[History] = []
    journal = Journal(root)
    total = spent("history opened", lambda: opened.append(History.open(journal, root / "cache")))
    (history,) = opened
    total += spent("all partitions", lambda: history.partitions(ASSET))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if budgets:
        against_budget("both", total, CPU, "s of CPU")
        against_budget("peak memory until then", peak, PEAK, "MB")
    briefs = history.partitions(ASSET)
    spent("all partitions, once more", lambda: history.partitions(ASSET))
    stored = [o for brief in briefs.values() for o in brief.objects]
    spent("presence of all objects", lambda: Objects(root).present(stored))
    spent("one fact looked at", lambda: history.current(ASSET, next(iter(briefs))))
    history.close()


def append(root: Path, count: int) -> None:
    """A small run on top: so many partitions published again, one an entry."""
    journal = Journal(root)
    run = journal.start_run(
        lambda name: [RunStarted(name, "default", "ada", "host", (), 2e9, "3.12", "1")]
    )
    for number, key in enumerate(keys(count)):
        stored = StoredObject(digest(f"again {key}"), "parquet", 10)
        one = made(number, key, stored)
        journal.append([Publication("default", ASSET, key, one.id, digest(key), run)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, default=100_000)
    parser.add_argument("--looking-at", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--budgets", action="store_true", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.looking_at:
        look(words.looking_at, budgets=words.budgets)
        return
    told(f"{words.partitions:,} partitions of one asset, remembered")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / ".lineal"
        # In a process of its own: those measured would begin with the memory of this one.
        building = multiprocessing.get_context("spawn").Process(
            target=build, args=(root, words.partitions)
        )
        building.start()
        building.join()
        _in_another_process("folded from nothing", root)
        for title in ("from the checkpoint", "from the checkpoint, again"):
            _in_another_process(title, root, "--budgets")
        append(root, 10)
        _in_another_process("after a small run: folded", root, "--budgets")
        append(root, 100)
        _in_another_process("after more: folded and saved", root)


def _in_another_process(title: str, root: Path, *more: str) -> None:
    print(title, flush=True)
    command = (sys.executable, "-m", "benchmarks.partitions", "--looking-at", str(root), *more)
    subprocess.run(command, cwd=ROOT, check=True)
    print()


if __name__ == "__main__":
    main()
