"""Staleness by column on TPC-H: run `python -m benchmarks.tpch FOLDER`.

FOLDER has the tables as `data/*.parquet` and the queries as `queries/*.sql`. A project is made of
them: each table a source, each query a SQL asset, and on each query another. Then the values of one
column after the other are changed; what a run makes again is held against what a query reads, and
all results against DuckDB over the changed files. Last, every input gets a column of every name
that occurs in a query.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

import lineal
from benchmarks.measure import told
from lineal.assets.asset import Contract, Query, Where
from lineal.assets.ports import Shape, Sight
from lineal.project import Project
from lineal.storage.content import canonical_table, type_text
from lineal.storage.sql import Queries

_Change = Callable[[pa.ChunkedArray], pa.ChunkedArray]
_Rows = list[str]


def _shuffled(column: pa.ChunkedArray) -> pa.ChunkedArray:
    order = list(range(len(column)))
    random.Random(1).shuffle(order)
    return column.take(order)


def _half_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    half = len(column) // 2
    return pa.chunked_array(
        [*column.slice(0, half).chunks, pa.nulls(len(column) - half, column.type)]
    )


CHANGES: tuple[_Change, ...] = (_shuffled, _half_null)


class Bench(NamedTuple):
    """The tables and queries, and the project that is made of them."""

    tables: Mapping[str, pa.Table]
    queries: Mapping[str, str]
    project: Project
    plain: duckdb.DuckDBPyConnection

    def place(self, table: str) -> Path:
        return self.project.root / "data" / f"{table}.parquet"

    def put(self, name: str, table: pa.Table) -> None:
        """Another table in its file, and in plain DuckDB."""
        pq.write_table(table, self.place(name))
        self.plain.register("arriving", table)
        self.plain.execute(f"create or replace table {name} as from arriving")

    def made(self) -> frozenset[str]:
        """What a run makes, or takes from what was made before."""
        run = self.project.materialize()
        if run.outcome != "done":
            raise SystemExit(repr(run))
        return frozenset(step.step.asset for step in run.steps if step.outcome != "fresh")


def opened(folder: Path, root: Path) -> Bench:
    tables = {path.stem: pq.read_table(path) for path in sorted(folder.glob("data/*.parquet"))}
    queries = {}
    for path in sorted(folder.glob("queries/*.sql")):
        queries[path.stem] = path.read_text(encoding="utf-8").strip().rstrip(";")
    if not tables or not queries:
        raise SystemExit(f"{folder} has no data/*.parquet or no queries/*.sql")
    (root / "data").mkdir()
    (root / "sql").mkdir()
    sources = "".join(f'source("{name}", "data/{name}.parquet")\n' for name in tables)
    code = f"from lineal import source, sql_assets\n\n{sources}sql_assets('sql')\n"
    (root / "pipeline.py").write_text(code, encoding="utf-8")
    plain = duckdb.connect(":memory:", config={"threads": 1, "python_enable_replacements": False})
    bench = Bench(tables, queries, lineal.open(root), plain)
    for name, table in tables.items():
        bench.put(name, table)
    for name, text in queries.items():
        (root / "sql" / f"{name}.sql").write_text(text, encoding="utf-8")
        first = plain.sql(text).columns[0]
        top = f'select count(*) as n, count(distinct "{first}") as d from {name}'
        (root / "sql" / f"top_{name}.sql").write_text(top, encoding="utf-8")
    return bench


def rows(table: pa.Table) -> _Rows:
    """The rows, in an order of their own; of floats, the digits that no order of adding changes;
    of sums that DuckDB holds as decimals and lineal as integers, the number."""
    columns = [column.to_pylist() for column in table.columns]
    return sorted(repr(tuple(map(_steady, row))) for row in zip(*columns, strict=True))


def _steady(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.9g}"
    return str(value) if isinstance(value, int | Decimal) else value


def expected(bench: Bench) -> dict[str, _Rows]:
    """What plain DuckDB says to all queries, and to those above them."""
    found = {}
    for name, text in bench.queries.items():
        table = bench.plain.sql(text).to_arrow_table()
        found[name] = rows(table)
        first = table.column(0)
        distinct = len(first.unique()) - (1 if first.null_count else 0)
        found[f"top_{name}"] = [repr((str(table.num_rows), str(distinct)))]
    return found


def loaded(bench: Bench, name: str) -> _Rows:
    return rows(pq.read_table(bench.project.path(name)[0]))


# ------------------------------------------------------------------------------------ sights


class Sights:
    """What the queries read of the tables, as they are or with columns added."""

    def __init__(self, bench: Bench) -> None:
        self._queries = Queries()
        self._bench = bench
        self._shapes: dict[str, Shape] = {}
        for name, table in bench.tables.items():
            none = table.schema.empty_table()
            empty = canonical_table(none, Contract(), rows=False, name=name)
            self._shapes[name] = tuple((f.name, type_text(f.type)) for f in empty.schema)

    def of(self, name: str, added: str = "") -> Mapping[str, Sight]:
        query = Query(self._bench.queries[name], Where(f"{name}.sql", 1))
        more: Shape = ((added, "int64"),) if added else ()
        read = {table.text.casefold() for table in self._queries.describe(query).tables}
        shapes = {
            table: shape + (() if _has(shape, added) else more)
            for table, shape in self._shapes.items()
            if table in read
        }
        return self._queries.sights(query, shapes, {})


def _has(shape: Shape, name: str) -> bool:
    return name.casefold() in {column.casefold() for column, _ in shape}


# ------------------------------------------------------------------------------------ the trial


def changed_one_by_one(bench: Bench, whole: Mapping[str, _Rows]) -> Iterator[tuple[str, ...]]:
    """Faults, as (what, column, asset), of all changes to all columns."""
    sights = Sights(bench)
    seen = {name: sights.of(name) for name in bench.queries}
    for table, column in [(t, c) for t, held in bench.tables.items() for c in held.column_names]:
        place = bench.tables[table].column_names.index(column)
        reading = {
            n for n, sight in seen.items() if table in sight and _reads(sight[table], column)
        }
        for change in CHANGES:
            held = bench.tables[table]
            other = change(held.column(place))
            if other == held.column(place):
                continue
            bench.put(table, held.set_column(place, column, other))
            made, now = bench.made() - bench.tables.keys(), expected(bench)
            for name in whole:
                if now[name] != whole[name] and name not in made:
                    yield "MISSED", f"{table}.{column}", name
                if name in made and loaded(bench, name) != now[name]:
                    yield "DIFFERENT", f"{table}.{column}", name
                if name in made and name.removeprefix("top_") not in reading:
                    yield "FOR NOTHING", f"{table}.{column}", name
                if name in reading and name not in made:
                    yield "NOT MADE", f"{table}.{column}", name
            bench.put(table, held)
            bench.made()


def _reads(sight: Sight, column: str) -> bool:
    return sight.columns is None or column in sight.columns


def added_by_name(bench: Bench, whole: Mapping[str, _Rows]) -> Iterator[tuple[str, ...]]:
    """What happens to a query whose inputs all get a column of a name: (query, name, what)."""
    sights = Sights(bench)
    for name, text in bench.queries.items():
        before = sights.of(name)
        for word in sorted({word.casefold() for word in re.findall(r"[A-Za-z_]\w*", text)}):
            after = sights.of(name, word)
            noticed = any(s.columns is None or s.shape for s in after.values()) or before != after
            plain = _with_column(bench, name, word)
            what = "noticed" if noticed else "no matter" if plain == whole[name] else "UNNOTICED"
            yield name, word, what


def _with_column(bench: Bench, name: str, word: str) -> _Rows | None:
    """What DuckDB says with a column of this name in every table; None for an error."""
    grown = []
    for table, held in bench.tables.items():
        if word not in held.column_names:
            bench.plain.execute(f'alter table {table} add column "{word}" bigint default 7')
            grown.append(table)
    try:
        return rows(bench.plain.sql(bench.queries[name]).to_arrow_table())
    except duckdb.Error:
        return None
    finally:
        for table in grown:
            bench.plain.execute(f'alter table {table} drop column "{word}"')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with data/*.parquet and queries/*.sql")
    words = parser.parse_args()
    told("TPC-H: which columns make a query stale")
    root = Path(tempfile.mkdtemp())
    try:
        _try(opened(words.folder.resolve(), root))
    finally:
        shutil.rmtree(root)


def _try(bench: Bench) -> None:
    start = time.perf_counter()
    bench.made()
    whole = expected(bench)
    others = [name for name in whole if loaded(bench, name) != whole[name]]
    print(f"{len(whole)} assets; not with the rows of plain DuckDB: {', '.join(others) or 'none'}")
    sights = Sights(bench)
    print(
        f"\n{'query':<8}{'columns':>8}{'read':>6}  of which the names and types of others are seen"
    )
    pairs = 0
    for name in bench.queries:
        seen = sights.of(name)
        columns = sum(bench.tables[table].num_columns for table in seen)
        pairs += columns
        read = sum(_reads(seen[t], c) for t in seen for c in bench.tables[t].column_names)
        shaped = [t for t, sight in seen.items() if sight.shape or sight.columns is None]
        print(f"{name:<8}{columns:>8}{read:>6}  {', '.join(shaped)}")
    print(f"{pairs} pairs of a query and a column of its inputs")
    faults = list(changed_one_by_one(bench, whole))
    print(f"\n{len(CHANGES)} changes of each column: {len(faults)} faults, on two levels")
    for fault in faults:
        print("  " + "  ".join(fault))
    found = list(added_by_name(bench, whole))
    for what in ("noticed", "no matter", "UNNOTICED"):
        those = [each for each in found if each[2] == what]
        print(f"{len(those):>6} new columns: {what}")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
