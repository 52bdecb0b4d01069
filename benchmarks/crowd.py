"""What a project of 100,000 partitions costs when there is nothing, or little, to do:
`python -m benchmarks.crowd`.

The first run is told by the recorder's own facts, with fingerprints that the plan gives and objects
that the vault encodes, but without running 100,000 functions; what reads all partitions of another
asset is made in earnest.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.measure import LINEAL, Process, against_budget, interleaved, row, spend, told
from lineal.assets.asset import Contract
from lineal.assets.content import content_digest
from lineal.assets.digest import digest_bytes
from lineal.assets.facts import Facts
from lineal.assets.names import Step
from lineal.assets.perform import Outcome
from lineal.assets.plan import Plan, plan
from lineal.assets.recorder import Recorder
from lineal.assets.records import Column, Content, Fact, RunEnded, RunStarted, StoredObject
from lineal.project import Project
from lineal.snapshot import Snapshot
from lineal.storage.vault import HeldBytes, Vault

CPU, PEAK, FORCED = 5.0, 500.0, 8.0  # budgets: seconds, megabytes, seconds
_AN_ENTRY = 1000  # materializations

_ONE_ASSET = """\
from lineal import asset, hourly


@asset(partitions=hourly("2000-01-01T00", "{last}"))
def first(partition):
    return {{"hour": str(partition)}}
"""
_THREE_ASSETS = (
    _ONE_ASSET
    + """

@asset(partitions=hourly("2000-01-01T00", "{last}"))
def second(first):
    return {{"hour": first["hour"], "n": 1}}


@asset
def total(second: dict[str, dict]):
    return {{"n": len(second)}}
"""
)
_A_QUERY = """\
import pandas as pd

from lineal import asset, hourly, sql_asset

HOURS = hourly("2000-01-01T00", "{last}")


@asset(partitions=HOURS)
def measured(partition):
    return pd.DataFrame({{f"c{{n}}": range(24) for n in range(12)}})


sql_asset("picked", "select c1, c3 from measured where c5 > 0", partitions=HOURS)
"""
# Tables by their columns: as many as are told, which nobody reads here.
_TABLES = {"measured": [f"c{n}" for n in range(12)], "picked": ["c1", "c3"]}
_VALUES: dict[str, Callable[[str], Any]] = {
    "first": lambda key: {"hour": key},
    "second": lambda key: {"hour": key, "n": 1},
}


def write(folder: Path, text: str, count: int) -> None:
    """A project whose assets have so many partitions each."""
    last = time.strftime("%Y-%m-%dT%H", time.gmtime(946_684_800 + 3600 * (count - 1)))
    folder.mkdir(parents=True)
    (folder / "pipeline.py").write_text(text.format(last=last), encoding="utf-8")


def fill(folder: Path, text: str) -> None:
    """As if runs had made all that has partitions."""
    project = Project(folder)
    for name in (*_VALUES, *_TABLES):
        if f"def {name}(" in text or f'"{name}"' in text:
            _made(project, name)


def _made(project: Project, name: str) -> None:
    journal = project.journal
    with project.look() as seen:
        facts = seen.facts(seen.graph.needed_by([name]))
        found = plan(seen.graph, facts, [name])
        run = journal.start_run(lambda run: [_started(run)])
        told = list(_facts(seen, found, facts, run, name))
        for begin in range(0, len(told), 2 * _AN_ENTRY):
            journal.append(told[begin : begin + 2 * _AN_ENTRY])
        journal.append([RunEnded(run, "done", {"made": len(found.selected)}, 2e9)])
    journal.compact()


def _started(run: str) -> RunStarted:
    return RunStarted(run, "default", "ada", "host", ("lineal", "materialize"), 1e9, "3.12", "1")


def _facts(seen: Snapshot, found: Plan, facts: Facts, run: str, name: str) -> Iterator[Fact]:
    recorder, asset = Recorder(seen.graph, run), seen.graph.assets[name]
    vault, store = Vault(seen.objects), seen.objects.root
    yield from recorder.named(facts, asset, ())
    for step in found.selected:
        decision = found.decisions[step]
        if step.asset == name and decision.fingerprints is not None:
            drafts = recorder.drafts(
                facts, step, decision, decision.used, Outcome({}, 0.01), decision.fingerprints, 1e9
            )
            made = replace(drafts[name], content=_content(store, vault, step))
            yield made
            yield recorder.publication(made)


def _content(store: Path, vault: Vault, step: Step) -> Content:
    """The content of a value; its object is written without an fsync of its own."""
    if step.asset in _TABLES:
        return _table(store, step)
    value = _VALUES[step.asset](step.partition or "")
    held = vault.canonical(value, Contract(), rows=False, name=step.asset)
    assert isinstance(held, HeldBytes)
    stored = StoredObject(digest_bytes(held.data), held.suffix, len(held.data))
    folder = store / "objects" / stored.digest[:2]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stored.digest}.{stored.suffix}").write_bytes(held.data)
    return replace(held.content, objects=(stored,))


def _table(store: Path, step: Step) -> Content:
    """Of a table only what is recorded of it: its object holds the name of the step."""
    names = _TABLES[step.asset]
    columns = tuple(Column(n, "int64", digest_bytes(f"{step} {n}".encode())) for n in names)
    data = str(step).encode()
    stored = StoredObject(digest_bytes(data), "parquet", len(data))
    folder = store / "objects" / stored.digest[:2]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stored.digest}.parquet").write_bytes(data)
    return Content(content_digest(24, columns), "parquet", (stored,), 24, columns)


def measure(folder: Path, title: str, text: str, count: int, runs: int) -> None:
    """Prints what commands cost that find everything fresh, or are to make one partition."""
    write(folder, text, count)
    # In a process of its own: those measured would begin with the memory of this one.
    filling = multiprocessing.get_context("spawn").Process(target=fill, args=(folder, text))
    filling.start()
    filling.join()
    first = spend(Process((*LINEAL, "materialize", "-q"), folder))
    one = "2000-01-02T03"
    costs = interleaved(
        {
            "materialize, nothing to do": Process((*LINEAL, "materialize"), folder),
            "plan, nothing to do": Process((*LINEAL, "plan"), folder),
            "status": Process((*LINEAL, "status"), folder),
            "materialize of one partition": Process(
                (*LINEAL, "materialize", "--partition", one), folder
            ),
            "materialize --force of one": Process(
                (*LINEAL, "materialize", "--force", "--partition", one), folder
            ),
        },
        runs,
    )
    print(f"{title}, medians of {runs}")
    for name, cost in costs.items():
        row(name, cost)
    row("(the first materialize)", first)
    nothing, forced = costs["materialize, nothing to do"], costs["materialize --force of one"]
    against_budget("nothing to do", nothing.cpu, CPU, "s of CPU")
    against_budget("nothing to do, peak memory", nothing.peak, PEAK, "MB")
    against_budget("one made by force", forced.cpu, FORCED, "s of CPU")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    words = parser.parse_args()
    told("Many partitions, nothing to do: whole processes")
    count, half = words.partitions, words.partitions // 2
    with tempfile.TemporaryDirectory() as folder:
        title = f"one asset of {count:,} partitions"
        measure(Path(folder) / "one", title, _ONE_ASSET, count, words.runs)
        title = f"two assets of {half:,} partitions, key by key, and a reader of all"
        measure(Path(folder) / "three", title, _THREE_ASSETS, half, words.runs)
        title = f"a table and a query of some of its columns, {half:,} partitions each"
        measure(Path(folder) / "query", title, _A_QUERY, half, words.runs)


if __name__ == "__main__":
    main()
