"""What a query is found to read is what its result depends on, whatever it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from lineal.assets.asset import Contract, Query, Where
from lineal.assets.errors import LinealError
from lineal.assets.ports import Canonical, Shape, Sight
from lineal.storage.engine import Engine
from lineal.storage.objects import Objects
from lineal.storage.sql import Queries, spellings
from lineal.storage.vault import Vault
from tests.corpus import MUTATIONS, TABLES, changed, statements

STATEMENTS = statements()
PARTS = 5
IDS = [f"part {part + 1}" for part in range(PARTS)]
Tables = Mapping[str, pa.Table]


class Plain:
    """DuckDB as it is, over tables that are all there."""

    def __init__(self) -> None:
        self.connection = duckdb.connect(
            ":memory:", config={"threads": 1, "python_enable_replacements": False}
        )
        self.connection.execute("create schema raw")

    def show(self, tables: Tables) -> None:
        for name, table in tables.items():
            self.connection.register("arriving", table)
            first, *others = spellings(name)
            self.connection.execute(f"create or replace table {first} as from arriving")
            for other in others:
                self.connection.execute(f"create or replace view {other} as from {first}")

    def rows(self, text: str, tables: Tables) -> list[str] | None:
        """The rows, as texts in an order of their own; None for an error."""
        try:
            self.show(tables)
            return sorted(map(repr, self.connection.execute(text).fetchall()))
        except duckdb.Error:
            return None


class Bench:
    def __init__(self, folder: Path, large: int | None = None) -> None:
        self.queries, self.plain = Queries(), Plain()
        self.vault = Vault(Objects(folder / "objects"))
        self.engine = Engine(
            self.vault,
            folder,
            temporary=folder / "tmp",
            queries=self.queries,
            threads=1,
            large=large,
        )

    def held(self, tables: Tables) -> dict[str, Canonical]:
        return {
            name: self.vault.canonical(table, Contract(), rows=False, name=name)
            for name, table in tables.items()
        }

    def read(self, query: Query) -> dict[str, pa.Table]:
        """The tables that a statement names."""
        written = {reference.text.casefold() for reference in self.queries.describe(query).tables}
        return {
            name: table
            for name, table in TABLES.items()
            if written & {spelling.strip('"') for spelling in spellings(name)}
        }

    def sights(self, query: Query, held: Mapping[str, Canonical]) -> Mapping[str, Sight]:
        shapes: dict[str, Shape] = {
            name: tuple((c.name, c.type) for c in table.content.columns)
            for name, table in held.items()
        }
        return self.queries.sights(query, shapes, {})

    def run(
        self, query: Query, held: Mapping[str, Canonical], sights: Mapping[str, Sight]
    ) -> pa.Table | str:
        try:
            found = self.engine.query(query, held, {}, Contract(), sights)
        except LinealError as error:
            return error.message
        return found if isinstance(found, pa.Table) else pa.concat_tables(list(found))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("corpus"))


def part(number: int) -> Iterator[Query]:
    for place, text in enumerate(STATEMENTS):
        if place % PARTS == number:
            yield Query(text, Where("corpus.sql", place))


def unread(tables: Tables, sights: Mapping[str, Sight]) -> dict[str, list[str]]:
    return {
        name: [c for c in table.column_names if c not in (sights[name].columns or ())]
        for name, table in tables.items()
        if sights[name].columns is not None
    }


def values(table: pa.Table | str) -> Any:
    return table if isinstance(table, str) else (table.schema, table.to_pylist())


@pytest.mark.parametrize("number", range(PARTS), ids=IDS)
def test_a_column_that_is_not_in_sight_changes_no_result(bench: Bench, number: int) -> None:
    for query in part(number):
        tables = bench.read(query)
        held = bench.held(tables)
        sights = bench.sights(query, held)
        whole = bench.plain.rows(query.text, tables)
        others = unread(tables, sights)
        assert whole is not None, query.text
        for change in MUTATIONS if any(others.values()) else ():
            mutated = {
                name: changed(table, others.get(name, []), change) for name, table in tables.items()
            }
            assert bench.plain.rows(query.text, mutated) == whole, (query.text, sights)
