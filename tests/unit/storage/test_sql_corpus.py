"""What a query is found to read is what its result depends on, whatever it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from lineal.assets.asset import Contract, Query, Where
from lineal.assets.content import shape_digest, used_digest
from lineal.assets.errors import LinealError
from lineal.assets.ports import Canonical, Shape, Sight
from lineal.assets.records import Content
from lineal.storage.engine import Engine
from lineal.storage.objects import Objects
from lineal.storage.sql import Queries, spellings
from lineal.storage.vault import Vault
from tests.corpus import MUTATIONS, TABLES, changed, names_in, statements, with_columns

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
            return rows(self.connection.sql(text).to_arrow_table())
        except duckdb.Error:
            return None


def rows(table: pa.Table) -> list[str]:
    """Without the names of columns, and with one for the fields of a row that has none."""
    columns = [column.to_pylist() for column in table.columns]
    return sorted(
        repr(row).replace("element1", "").replace("element2", "")
        for row in zip(*columns, strict=True)
    )


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


def read(tables: Tables, sights: Mapping[str, Sight]) -> Iterator[tuple[str, str]]:
    for name in tables:
        yield from ((name, column) for column in sights[name].columns or ())


@pytest.mark.parametrize("number", range(PARTS), ids=IDS)
def test_a_column_that_is_not_in_sight_changes_no_result(bench: Bench, number: int) -> None:
    for query in part(number):
        tables = bench.read(query)
        sights = bench.sights(query, bench.held(tables))
        others = unread(tables, sights)
        whole = bench.plain.rows(query.text, tables)
        for change in MUTATIONS if any(others.values()) else ():
            mutated = {
                name: changed(table, others.get(name, []), change) for name, table in tables.items()
            }
            assert bench.plain.rows(query.text, mutated) == whole, (query.text, sights)


def used(content: Content, sight: Sight) -> str:
    """What a fingerprint holds of an input."""
    if sight.columns is None:
        return content.digest
    if sight.shape:
        return shape_digest(content.rows or 0, content.columns, sight.columns)
    by_name = {column.name: column for column in content.columns}
    return used_digest(content.rows or 0, [by_name[name] for name in sight.columns])


def test_a_changed_column_changes_what_is_used_only_if_it_is_in_sight(bench: Bench) -> None:
    other = MUTATIONS[0]
    before = {name: held.content for name, held in bench.held(TABLES).items()}
    after = {
        (name, column): bench.held({name: changed(table, [column], other)})[name].content
        for name, table in TABLES.items()
        for column in table.column_names
    }
    for query in (query for number in range(PARTS) for query in part(number)):
        tables = bench.read(query)
        sights = bench.sights(query, bench.held(tables))
        seen = set(read(tables, sights))
        for (name, column), content in after.items():
            if name in tables and sights[name].columns is not None:
                same = used(content, sights[name]) == used(before[name], sights[name])
                assert same != ((name, column) in seen), (query.text, name, column)


@pytest.mark.parametrize("number", range(PARTS), ids=IDS)
def test_a_run_over_what_is_in_sight_is_a_run_over_everything(bench: Bench, number: int) -> None:
    for query in part(number):
        tables = bench.read(query)
        held = bench.held(tables)
        seen = bench.run(query, held, bench.sights(query, held))
        whole = bench.run(query, held, {})
        assert not isinstance(seen, str), (query.text, seen)
        assert seen.equals(whole), query.text
        assert rows(seen) == bench.plain.rows(query.text, tables), query.text


def test_nearly_every_column_in_sight_matters(bench: Bench) -> None:
    idle = []
    for query in (query for number in range(PARTS) for query in part(number)):
        tables = bench.read(query)
        sights = bench.sights(query, bench.held(tables))
        whole = bench.plain.rows(query.text, tables)
        for name, column in read(tables, sights):
            mutated = (
                {**tables, name: changed(tables[name], [column], change)} for change in MUTATIONS
            )
            if all(bench.plain.rows(query.text, each) == whole for each in mutated):
                idle.append((query.text, name, column))
    assert len(idle) <= 22, idle  # by chance, or as only the order of rows shows it


@pytest.mark.parametrize("number", range(PARTS), ids=IDS)
def test_a_new_column_of_any_name_changes_no_result_unnoticed(bench: Bench, number: int) -> None:
    for query in part(number):
        names = names_in(query.text)
        before = bench.read(query)
        for grown in (before, list(before)[:1]) if len(before) > 1 else (before,):
            tables = {
                name: with_columns(table, names) if name in grown else table
                for name, table in before.items()
            }
            held = bench.held(tables)
            seen = bench.run(query, held, bench.sights(query, held))
            plain = bench.plain.rows(query.text, tables)
            assert (None if isinstance(seen, str) else rows(seen)) == plain, (query.text, grown)
