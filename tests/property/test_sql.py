"""What is promised of SQL, over random inputs: equal rows in one order, one recipe one meaning."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineal.assets.asset import Contract, Query, Where
from lineal.storage.engine import Engine
from lineal.storage.objects import Objects
from lineal.storage.sql import Queries
from lineal.storage.vault import Vault

WHERE = Where("pipeline.py", 1)
TEXTS = (
    "select k, count(*) n, sum(v) s, min(v) lo from t group by k",
    "select distinct k, v % 5 as m from t",
    "select l.k, r.v from t l join t r on l.v = r.v and l.k <= r.k",
    "select k, v from t order by k desc",
    "select v from t order by k, v % 2",
    "select k, row_number() over (partition by k order by v) as n from t",
    "select k from t union all select v::varchar from t",
    "select {'k': k, 'v': v} as s, [v, 1] as l from t where v in (select max(v) from t group by k)",
    "from t select f, max(v) as v group by f",
)

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "B", "é", "", None]),
        st.one_of(st.none(), st.integers(-5, 5)),
        st.sampled_from([0.0, -0.0, 1.5, float("nan"), float("inf"), None]),
    ),
    max_size=40,
)


@pytest.fixture(scope="module")
def engines() -> Iterator[tuple[Vault, list[Engine]]]:
    with tempfile.TemporaryDirectory() as folder:
        vault = Vault(Objects(Path(folder)))
        queries = Queries()
        made = [Engine(vault, Path(folder), queries=queries, threads=n) for n in (1, 2, 5)]
        yield vault, made


@settings(max_examples=25, deadline=None)
@given(rows=ROWS, seed=st.integers(0, 10_000), text=st.sampled_from(TEXTS), repeat=st.booleans())
def test_shuffled_rows_and_other_threads_give_the_same_content(
    engines: tuple[Vault, list[Engine]], rows: list[Any], seed: int, text: str, repeat: bool
) -> None:
    vault, made = engines
    rows = rows * 150 if repeat and "join" not in text else rows
    chance = random.Random(seed)
    digests = set()
    for engine in made:
        chance.shuffle(rows)
        columns = list(zip(*rows, strict=True)) or [(), (), ()]
        schema = pa.schema({"k": pa.string(), "v": pa.int64(), "f": pa.float64()})
        table = pa.table([list(column) for column in columns], schema=schema)
        held = vault.canonical(table, Contract(), rows=False, name="t")
        found = engine.query(Query(text, WHERE), {"t": held}, {}, Contract())
        digests.add(vault.canonical(found, Contract(), rows=False, name="x").content.digest)
    assert len(digests) == 1


# ------------------------------------------------------------------------------- recipes

PIECES = (
    ("select", "Select", "SELECT"), ("from", "From", "FROM"), ("t", "T"), ("a", "A"),
    ("as", "AS"), ("date", "Date", "DATE"), ("year", "Year"), ("value", "Value", "VALUE"),
    ("group by", "Group BY"), ("order by", "ORDER by"), ("all", "ALL"), (",",), ("*",), ("(",),
    (")",), ("::",), ("int", "INT", "Int"), ("struct", "STRUCT"), ("{'k': 1}", "{'K': 1}"),
    ("time", "Time"), ("case when a then 1 end", "CASE when a THEN 1 End"),
    ("extract(year from a)", "extract(YEAR from a)"),
    ("interval", "INTERVAL"), ("'x'", "'X'"), ("1",), ("limit", "LIMIT"), ("union", "UNION"),
    ("where", "WHERE"), ("is not null", "IS not NULL"), ("left", "LEFT"), ("join", "JOIN"),
    ("using (a)", "USING (a)"), ("filter", "Filter"), ("over ()", "OVER ()"), ("key", "Key"),
)  # fmt: skip
STARTS = (
    "select {} from t", "select a as {} from t", "select a {} from t", "select a::{} from t",
    "select {} as x, a from t", "select a from {}", "select a from t {}", "from t select {}",
    "select a::struct({} int) from t", "select {}(a) from t", "select a.{} from t", "select {}: 1",
)  # fmt: skip


@pytest.fixture(scope="module")
def parser() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as opened:
        yield opened


@pytest.fixture(scope="module")
def queries() -> Queries:
    return Queries()


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_texts_of_one_recipe_have_one_tree(
    parser: duckdb.DuckDBPyConnection, queries: Queries, data: st.DataObject
) -> None:
    """Two texts that differ in the case of some words: an equal recipe is an equal meaning."""
    start = data.draw(st.sampled_from(STARTS))
    words = data.draw(st.lists(st.sampled_from(PIECES), min_size=1, max_size=3))
    one = start.format(" ".join(word[0] for word in words))
    other = start.format(" ".join(data.draw(st.sampled_from(word)) for word in words))
    other = data.draw(st.sampled_from([other, other.replace(" ", "\n ", 1), other + " -- end"]))
    trees = [meaning(parser, text) for text in (one, other)]
    if None in trees:
        return
    facts = [queries.describe(Query(text, WHERE)) for text in (one, other)]
    if facts[0].tokens_digest == facts[1].tokens_digest:
        assert trees[0] == trees[1]


def meaning(parser: duckdb.DuckDBPyConnection, text: str) -> Any:
    """The tree of a text without places; None when it is no statement."""
    rows = parser.sql("select json_serialize_sql($t::varchar)", params={"t": text}).fetchall()
    tree = json.loads(rows[0][0])
    return None if tree["error"] else placeless(tree)


def placeless(tree: Any) -> Any:
    if isinstance(tree, list):
        return [placeless(item) for item in tree]
    if isinstance(tree, dict):
        skip = ("query_location", "query_location_length")
        return {k: placeless(v) for k, v in tree.items() if k not in skip}
    return tree
