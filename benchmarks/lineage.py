"""A lineage of a million materializations: how fast it is taken in, and how fast it answers.

The journal is written without running anything, in the format of real runs and by lineal's own
sealing code: every run makes all assets, ten materializations an entry, each with its publication.
Half of the assets stand in layers and read two assets of the layer before and their own version of
the run before, so that the last model of run n comes from all that was made before it; the other
half reads of its own run only. The catalog is then built from that journal, and asked.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from benchmarks.long_journal import write_entries
from benchmarks.measure import against_budget, told
from lineal.assets.records import (
    Column,
    Content,
    EnvironmentFacts,
    Fact,
    Materialization,
    Publication,
    Recipe,
    RecipePart,
    Registered,
    RunEnded,
    RunStarted,
    SourceFile,
    StoredObject,
    Used,
)
from lineal.lineage.catalog import Catalog
from lineal.lineage.entries import line
from lineal.lineage.fact_json import to_json
from lineal.lineage.journal import Journal

INGEST = 50_000  # rows a second, at least
SMALL, LARGE = 10_000, 500_000  # nodes of a closure
SMALL_BUDGET, LARGE_BUDGET, CURRENT_BUDGET = 0.2, 2.0, 0.3  # seconds
_LAYER = 100  # assets, at most
_AN_ENTRY = 10  # materializations
_CODE_CHANGES = 10  # every so many runs


class Shape(NamedTuple):
    """How large the past is: so many assets, each made in so many runs."""

    assets: int
    runs: int

    @property
    def layered(self) -> int:
        """How many assets stand in layers that read their own past."""
        return self.assets // 2

    @property
    def layer(self) -> int:
        return max(2, min(_LAYER, self.layered // 5))

    def run(self, turn: int) -> str:
        entries = 2 + -(-self.assets // _AN_ENTRY)
        return f"r{turn * entries + 1}"

    def inputs(self, turn: int, asset: int) -> list[tuple[int, int]]:
        """The (turn, asset) that a step reads: three or four, but for those of the first layer."""
        first = 0 if asset < self.layered else self.layered
        place = asset - first
        layer, column = divmod(place, self.layer)
        if layer == 0:
            return []
        above = first + (layer - 1) * self.layer
        shift = 1 << (layer - 1) % 7  # in seven layers a step comes from a whole layer
        found = [(turn, above + column), (turn, above + (column + shift) % self.layer)]
        if first:
            found += [(turn, above + (column + n * shift + 1) % self.layer) for n in (2, 3)]
        elif turn:
            found.append((turn - 1, asset))
        return list(dict.fromkeys(found))

    def is_model(self, asset: int) -> bool:
        return asset % _LAYER == self.layered % _LAYER - 1 or asset in (
            self.layered - 1,
            self.assets - 1,
        )


def entries(shape: Shape) -> Iterator[list[bytes]]:
    """The facts of each entry, in order."""
    for turn in range(shape.runs):
        run = shape.run(turn)
        started = RunStarted(
            run, "default", "ada", "host", ("materialize",), _at(turn), "3.12", "1"
        )
        environment = EnvironmentFacts(_digest("environment"), "3.12", (("pandas", "3.0"),), ())
        yield [line(to_json(started)), *([] if turn else [line(to_json(environment))])]
        for begin in range(0, shape.assets, _AN_ENTRY):
            steps = range(begin, min(begin + _AN_ENTRY, shape.assets))
            yield [line(to_json(f)) for asset in steps for f in _made(shape, turn, asset)]
        yield [line(to_json(RunEnded(run, "done", {"made": shape.assets}, _at(turn + 1))))]


def _made(shape: Shape, turn: int, asset: int) -> Iterator[Fact]:
    name, run, code = f"asset_{asset:05d}", shape.run(turn), turn // _CODE_CHANGES
    recipe, content = _digest(f"code {asset} {code}"), _content(shape, turn, asset)
    if turn % _CODE_CHANGES == 0:
        parts = (
            RecipePart(name, "function", recipe, f"def {name}(...):", "pipeline.py:1"),
            RecipePart("helpers.RATE", "constant", _digest("rate"), "0.1", "helpers.py:1", name),
        )
        yield Recipe(recipe, parts)
    inputs = shape.inputs(turn, asset)
    files = () if inputs else (_file(turn, asset),)
    made = Materialization(
        id=f"{run}.{asset}",
        run=run,
        asset=name,
        partition=None,
        outcome="made",
        kind="python" if inputs else "files",
        fingerprint=_digest(f"fingerprint {asset} {turn}"),
        recipe=recipe,
        environment=_digest("environment"),
        contract=_digest("contract"),
        inputs=tuple(_used(shape, *read) for read in inputs),
        content=content,
        files=files,
        metrics=(("auc", 0.9),) if shape.is_model(asset) else (),
        origin=f"{run}.{asset}",
        started_at=_at(turn),
        seconds=0.25,
    )
    yield made
    yield Publication("default", name, None, made.id, content.digest, run)
    if asset == shape.layered - 1:
        yield Registered(
            "best", turn + 1, name, None, made.id, content.digest, run, _at(turn), "ada"
        )


def _content(shape: Shape, turn: int, asset: int) -> Content:
    digest = _digest(f"content {asset} {turn}")
    if shape.is_model(asset):
        return Content(digest, "joblib", (StoredObject(digest, "joblib", 1000),), None, (), "Model")
    columns = (
        Column("id", "int64", _digest(f"id {asset}")),
        Column("x", "float64", _digest(f"x {asset} {turn}")),
    )
    stored = (StoredObject(digest, "parquet", 1000),)
    return Content(digest, "parquet", stored, 100, columns, "100 rows × 2")


def _used(shape: Shape, turn: int, asset: int) -> Used:
    name = f"asset_{asset:05d}"
    content = _digest(f"content {asset} {turn}")
    return Used(name, name, None, "all", content, content, f"{shape.run(turn)}.{asset}")


def _file(turn: int, asset: int) -> SourceFile:
    digest = _digest(f"file {asset} {turn}")
    return SourceFile(f"data/{asset}.csv", digest, 1000, (1, 2, 1000, 1_700_000_000_000_000_000, 0))


def _at(turn: int) -> float:
    return 1_700_000_000.0 + 86_400 * turn


def _digest(text: str) -> str:
    return blake3(text.encode()).hexdigest()


# --------------------------------------------------------------------------------------- measured


def write(root: Path, shape: Shape) -> None:
    count, packs, size = write_entries(Journal(root), entries(shape))
    print(f"  a journal of {count:,} entries, {packs:,} packs, {size / 1e9:.2f} GB", flush=True)


def ingest(root: Path) -> None:
    """Build the catalog; in a process of its own, so that its memory is its own."""
    start = time.perf_counter()
    Catalog(root, Journal(root)).rebuild()
    seconds, spent = time.perf_counter() - start, time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    connection, _ = Catalog(root, Journal(root)).connect_for_questions()
    tables = connection.execute(
        "select table_name from duckdb_tables() where schema_name = 'lineage' order by 1"
    ).fetchall()
    counts = {
        name: connection.execute(f"select count(*) from lineage.{name}").fetchall()[0][0]
        for (name,) in tables
    }
    connection.close()
    total = sum(counts.values())
    print("  " + ", ".join(f"{n:,} {name}" for name, n in counts.items() if n))
    made = counts["materialization"] / seconds
    print(f"  taken in in {seconds:.1f} s ({spent:.1f} s of CPU), {made:,.0f} materializations "
          f"a second, {peak:,.0f} MB at its peak; "
          f"{(root / 'catalog.duckdb').stat().st_size / 1e6:,.0f} MB on disk")  # fmt: skip
    word = "within" if total / seconds >= INGEST else "OVER"
    print(f"  {total / seconds:,.0f} rows a second, {word} the budget of {INGEST:,}", flush=True)


def ask(root: Path, shape: Shape, runs: int) -> None:
    """The questions with a budget, each the best of several: a busy machine is no regression."""
    begin = time.perf_counter()
    connection, _ = Catalog(root, Journal(root)).connect_for_questions()
    print(f"  opened in {time.perf_counter() - begin:.2f} s")

    def timed(what: str, query: str, budget: float) -> None:
        figures = []
        for _ in range(runs):
            start, spent = time.perf_counter(), time.process_time()
            rows = connection.execute(query).fetchall()
            figures.append((time.perf_counter() - start, time.process_time() - spent))
        wall, cpu = map(min, zip(*figures, strict=True))
        against_budget(f"{what}, {rows[0][0]:,} rows ({cpu:.2f} s of CPU)", wall, budget, "s")

    last = shape.layered - 1
    for nodes, budget in ((SMALL, SMALL_BUDGET), (LARGE, LARGE_BUDGET)):
        turn = min(shape.runs, -(-nodes // shape.layered)) - 1
        made = f"{shape.run(turn)}.{last}"
        version = f"asset_{last:05d}@{_digest(f'content {last} {turn}')}"
        timed("derived_from", f"select count(id) from lineage.derived_from('{made}')", budget)
        timed("upstream_of", f"select count(id) from lineage.upstream_of('{version}')", budget)
        source = f"asset_00000@{_digest(f'content 0 {shape.runs - 1 - turn}')}"
        timed("downstream_of", f"select count(id) from lineage.downstream_of('{source}')", budget)
        timed(
            "model_training_data",
            "select count(digest) from lineage.model_training_data "
            f"where materialization = '{made}'",
            budget,
        )
    timed("current", "select count(version) from lineage.current", CURRENT_BUDGET)
    connection.close()


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=10_000)
    parser.add_argument("--versions", type=int, default=100)
    parser.add_argument("--runs", type=int, default=5, help="how often each question is asked")
    parser.add_argument("--keep", type=Path, help="a folder for the store; one there is used")
    chosen = parser.parse_args(words)
    shape = Shape(chosen.assets, chosen.versions)
    told(f"The lineage of {shape.assets:,} assets, {shape.runs:,} versions of each")
    with tempfile.TemporaryDirectory() as folder:
        root = (chosen.keep or Path(folder)) / ".lineal"
        if not root.exists():
            _apart(write, root, shape)
        _apart(ingest, root)
        ask(root, shape, chosen.runs)


def _apart(what: Callable[..., None], *arguments: object) -> None:
    process = multiprocessing.get_context("spawn").Process(target=what, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"`{what.__name__}` ended with {process.exitcode}")


if __name__ == "__main__":
    main(sys.argv[1:])
