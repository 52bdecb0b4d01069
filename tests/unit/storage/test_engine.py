"""SQL assets run in a shut-off DuckDB; their rows come in one order, whatever the threads."""

from __future__ import annotations

import datetime as dt
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from lineal.assets.asset import Check, Contract, Query, Where
from lineal.assets.errors import ContentError, QueryError
from lineal.assets.ports import Canonical
from lineal.assets.records import Content
from lineal.storage.engine import Engine
from lineal.storage.objects import Objects
from lineal.storage.vault import Vault

NONE = Contract()


class Bench:
    """An engine over a vault in a folder."""

    def __init__(
        self,
        folder: Path,
        threads: int = 4,
        memory: int | None = None,
        large: int | None = None,
    ):
        self.vault = Vault(Objects(folder / "objects"))
        self.folder = folder
        self.engine = Engine(
            self.vault,
            folder,
            temporary=folder / "tmp",
            threads=threads,
            memory=memory,
            large=large,
        )

    def table(self, table: pa.Table | None = None, **columns: Any) -> Canonical:
        value = pa.table(columns) if table is None else table
        return self.vault.canonical(value, NONE, rows=False, name="x")

    def run(
        self,
        text: str,
        contract: Contract = NONE,
        parameters: dict[str, Any] | None = None,
        /,
        **inputs: Canonical | Content,
    ) -> pa.Table:
        named = {name.replace("__", "/"): table for name, table in inputs.items()}
        query = Query(text, Where("/p/sql/x.sql", 1))
        result = self.engine.query(query, named, parameters or {}, contract)
        return result if isinstance(result, pa.Table) else pa.concat_tables(list(result))

    def digest(self, table: pa.Table, contract: Contract = NONE) -> str:
        return self.vault.canonical(table, contract, rows=False, name="x").content.digest


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def shuffled(table: pa.Table, seed: int, chunk: int = 700) -> pa.Table:
    order = list(range(table.num_rows))
    random.Random(seed).shuffle(order)
    return pa.Table.from_batches(table.take(order).combine_chunks().to_batches(max_chunksize=chunk))


# -------------------------------------------------------------------------------- inputs


@pytest.mark.parametrize("text", ["raw.orders", "raw_orders", '"raw/orders"', "RAW.Orders"])
def test_an_input_is_there_under_every_spelling(bench: Bench, text: str) -> None:
    orders = bench.table(id=[2, 1])
    assert bench.run(f"select id from {text}", raw__orders=orders).to_pydict() == {"id": [2, 1]}


def test_spellings_of_two_inputs_do_not_collide(bench: Bench) -> None:
    text = "select (select sum(v) from raw.t) a, (select sum(v) from raw_t) b, (select 3) c"
    found = bench.run(text, raw__t=bench.table(v=[1]), raw_t=bench.table(v=[2]))
    assert found.to_pylist() == [{"a": 1, "b": 2, "c": 3}]


def test_a_result_is_equal_from_memory_and_from_disk(bench: Bench) -> None:
    held = bench.table(
        k=["b", "a", None],
        t=pa.array([dt.datetime(2026, 1, 1, tzinfo=dt.UTC)] * 3),
        c=pa.array(["x", "y", "x"]).dictionary_encode(),
    )
    written = bench.vault.write(held)
    text = "select *, c || k as both from t"
    assert bench.run(text, t=held) == bench.run(text, t=written)


def test_the_inputs_of_one_query_are_not_seen_by_the_next(bench: Bench) -> None:
    bench.run("select * from raw.orders", raw__orders=bench.table(id=[1]))
    for table in ("raw.orders", "raw_orders", '"raw/orders"'):
        with pytest.raises(QueryError):
            bench.run(f"select * from {table}")


def test_a_query_after_a_failed_one_runs(bench: Bench) -> None:
    orders = bench.table(id=[1])
    with pytest.raises(QueryError):
        bench.run("select error('no') from orders", orders=orders)
    assert bench.run("from orders", orders=orders).num_rows == 1


def test_python_variables_are_not_tables(bench: Bench) -> None:
    hidden = pa.table({"id": [1]})
    with pytest.raises(QueryError, match="no table `hidden`"):
        bench.run("from hidden")
    assert hidden.num_rows == 1


# ----------------------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    "value",
    [1, 2.5, "it's'; drop table t --", True, None, dt.date(2026, 1, 5), Decimal("1.50"), [1, 2]],
)
def test_parameters_are_bound_never_pasted(bench: Bench, value: Any) -> None:
    found = bench.run(
        "select $p as v, v as w from t", NONE, {"p": value, "q": 1}, t=bench.table(v=[7])
    )
    assert found.to_pylist() == [{"v": value, "w": 7}]


def test_a_parameter_without_a_value_is_named_with_the_nearest(bench: Bench) -> None:
    with pytest.raises(QueryError, match=r"\$minimun.*did you mean `minimum`"):
        bench.run("select $minimun", NONE, {"minimum": 1})


# ---------------------------------------------------------------------------- shut off


def table_functions() -> list[str]:
    rows = duckdb.connect().sql(
        "select distinct function_name from duckdb_functions() where function_type = 'table'"
    )
    return sorted(name for (name,) in rows.fetchall())


def test_no_table_function_reads_a_file(bench: Bench, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("word\nhunter2\n")
    spill = tmp_path / "tmp" / "left.csv"
    spill.parent.mkdir()
    spill.write_text("word\nhunter2\n")
    names = table_functions()
    assert {"read_csv", "read_text", "read_blob", "glob"} <= set(names)
    for name in names:
        for path in (secret, spill) if name.startswith("read_") else (secret,):
            answer = asked(bench, f"from {name}('{path}')")
            assert "hunter2" not in answer, name
            assert "secret.csv" not in answer, name
            assert "left.csv" not in answer, name


def asked(bench: Bench, text: str) -> str:
    try:
        return str(bench.run(text).to_pydict())
    except (QueryError, ContentError):
        return ""


@pytest.mark.parametrize(
    "text",
    [
        "from query('from read_' || 'csv(''{path}'')')",
        "from query_table('{path}')",
        "from json_execute_serialized_sql(json_serialize_sql('from read_csv(''{path}'')'))",
        "select * from '{path}'",
        "from 'file://{path}'",
        "with x as (from read_csv_auto('{path}')) from x",
        "pivot (from read_csv('{path}')) on word using count(*)",
    ],
)
def test_no_detour_reads_a_file(bench: Bench, tmp_path: Path, text: str) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("word\nhunter2\n")
    with pytest.raises(QueryError):
        bench.run(text.format(path=secret))


@pytest.mark.parametrize(
    "text",
    ["copy (select 1) to '{path}'", "attach '{path}'", "export database '{path}'", "load httpfs"],
)
def test_nothing_is_written_or_loaded(bench: Bench, tmp_path: Path, text: str) -> None:
    target = tmp_path / "tmp" / "out"
    with pytest.raises(QueryError):
        bench.run(text.format(path=target))
    assert not target.exists()


def test_the_session_is_in_utc(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    text = "select strftime(timestamptz '2026-01-01 00:00:00+00', '%H') as hour"
    assert bench.run(text).to_pylist() == [{"hour": "00"}]


# -------------------------------------------------------------------------------- results


def test_sums_of_integers_are_bigint(bench: Bench) -> None:
    found = bench.run("select sum(v) s, sum(v)::uhugeint u from t", t=bench.table(v=[1, 2]))
    assert [str(f.type) for f in found.schema] == ["int64", "int64"]


def test_a_sum_too_large_names_the_column_and_the_cast(bench: Bench) -> None:
    with pytest.raises(ContentError) as caught:
        bench.run("select sum(v) as total from t", t=bench.table(v=[2**62] * 4))
    assert "`total`" in caught.value.message
    assert caught.value.advice is not None
    assert "total::DOUBLE" in caught.value.advice


@pytest.mark.parametrize("order", ["", "order by a.id", "order by id, w"])
def test_columns_of_one_name_are_told_apart_as_duckdb_does(bench: Bench, order: str) -> None:
    a, b = bench.table(id=[2, 1], v=[1, 2]), bench.table(id=[1, 2], w=[3, 4])
    text = f"select a.id, b.id, b.id as ID, w from a join b on a.id = b.id {order}"
    if order == "order by id, w":
        text = text.replace("id, w\n", "1, w")
        text = text.replace("order by id, w", "order by 1, w")
    found = bench.run(text, a=a, b=b)
    assert found.column_names == ["id", "id_1", "ID_2", "w"]
    assert found.column("w").to_pylist() == [3, 4]


def test_an_enum_is_stored_as_text(bench: Bench) -> None:
    found = bench.run("select 'x'::enum('y', 'x') as e")
    assert "string" in str(found.schema.field("e").type)


def test_a_pivot_without_its_list_runs(bench: Bench) -> None:
    table = bench.table(k=["x", "y", "x"], g=[1, 1, 2], v=[1, 2, 3])
    found = bench.run("pivot t on k using sum(v) group by g", t=table)
    assert found.to_pylist() == [{"g": 1, "x": 1, "y": 2}, {"g": 2, "x": 3, "y": None}]
    assert bench.run("pivot t on k using sum(v) group by g", t=table) == found


# --------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("text", "message", "line", "excerpt"),
    [
        ("select a,\n  nope from t", '"nope" not found', 2, "  nope from t\n  ^"),
        ("select a\nfrom tt", "no table `tt`; did you mean `t`?", 2, "from tt\n     ^"),
        ("select a,\n  k::int from t", "Could not convert string 'x'", 2, "  k::int from t\n   ^"),
        ("select summ(a) from t", "summ does not exist", 1, "select summ(a) from t\n       ^"),
        ("select 1\nfrom t where a > 'x'", "Could not convert", 2, None),
        ("select error('boom') from t", "boom", 1, None),
    ],
)
def test_an_error_is_at_the_querys_own_line(
    bench: Bench, text: str, message: str, line: int, excerpt: str | None
) -> None:
    with pytest.raises(QueryError) as caught:
        bench.run(text, t=bench.table(a=[1], k=["x"]))
    assert message in caught.value.message
    assert caught.value.where == f"/p/sql/x.sql:{line}"
    if excerpt is not None:
        assert caught.value.excerpt == excerpt


def test_a_missing_column_is_answered_with_what_there_is(bench: Bench) -> None:
    with pytest.raises(QueryError) as caught:
        bench.run("select orign from t", t=bench.table(origin=["x"]))
    assert "origin" in (caught.value.advice or "")


def test_binding_finds_errors_and_columns_before_anything_runs(bench: Bench) -> None:
    schemas = {"raw/t": pa.schema({"id": pa.int64(), "k": pa.string()})}

    def bind(text: str) -> pa.Schema | None:
        return bench.engine.bind(Query(text, Where("x.sql", 1)), schemas, {"p": 1})

    found = bind("select k, count(*) as n from raw.t where id > $p group by k")
    assert found is not None
    assert found.names == ["k", "n"]
    assert bind("pivot raw.t on k using sum(id)") is None
    with pytest.raises(QueryError, match="nope"):
        bind("select nope from raw.t")


# ---------------------------------------------------------------------------------- order

N = 12_000


@pytest.fixture(scope="module")
def large() -> pa.Table:
    chance = random.Random(1)
    return pa.table(
        {
            "id": list(range(N)),
            "k": [f"k{chance.randrange(300)}" for _ in range(N)],
            "v": [chance.randrange(1000) for _ in range(N)],
        }
    )


@pytest.mark.parametrize(
    "text",
    [
        "select id, v from t where v % 3 = 0",
        "from t",
        "select v + 1 as v, id from t where k like '%1%'",
        "with x as (select id, k from t where v > 10) select id from x where k <> 'k1'",
        "from (from t select id, v) where v < 900",
        "select id, unnest([v, -v]) as v from t",
    ],
)
@pytest.mark.parametrize("threads", [1, 4])
def test_a_scan_filter_or_projection_keeps_its_inputs_order(
    tmp_path: Path, large: pa.Table, text: str, threads: int
) -> None:
    bench = Bench(tmp_path, threads)
    mixed = shuffled(large, 2)
    held = bench.table(mixed)
    places = {v: i for i, v in enumerate(mixed.column("id").to_pylist())}
    for version in (held, bench.vault.write(held)):
        found = [places[v] for v in bench.run(text, t=version).column("id").to_pylist()]
        assert found == sorted(found)
        assert len(found) > 1000


@pytest.mark.parametrize(
    "text",
    [
        "select k, sum(v) s from t group by k",
        "select distinct v from t",
        "select t.id, u.v from t join t u on t.id = u.id + 1 where t.v < 500",
        "select k, list(v order by v, id)[1:3] as l, {'m': max(v)} as s from t group by k",
        "select id, rank() over (partition by k order by v) r from t",
        "select v from t union select -v from t",
        "select v from t where id in (select v from t)",
        "select k collate nocase as k, count(*) n from t group by 1",
        "from t select k, count(*) group by k order by k",
        "from t select k, count(*) n group by k order by n desc",
        "from t select k group by k order by count(*) desc, max(v)",
        "select id, v from t order by v desc",
        "select id from t order by v, k",
        "select id, id from t order by v // 10",
        "select v, k from t order by all",
        "pivot (select k, v % 3 as m from t) on m using count(*)",
    ],
)
def test_the_order_of_the_rows_is_the_same_over_threads_and_shuffled_inputs(
    tmp_path: Path, large: pa.Table, text: str
) -> None:
    digests = set()
    for threads, seed in ((1, 1), (4, 2), (8, 3)):
        bench = Bench(tmp_path / str(threads), threads)
        table = bench.table(shuffled(large, seed))
        digests.add(bench.digest(bench.run(text, t=table)))
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("order", "key"),
    [
        ("n desc", lambda r: -r["n"]), ("2 desc, k", lambda r: (-r["n"], r["k"])),
        ("count(*) desc", lambda r: -r["n"]), ("max(v)", lambda r: r["m"]),
        ("k desc", None), ("lower(k)", lambda r: r["k"]), ("all", lambda r: (r["k"], r["n"])),
    ],
)  # fmt: skip
def test_an_outermost_order_by_is_kept(bench: Bench, large: pa.Table, order: str, key: Any) -> None:
    text = f"select k, count(*) as n, max(v) as m from t group by k order by {order}"
    rows = bench.run(text, t=bench.table(large)).to_pylist()
    if key is None:
        assert [r["k"] for r in rows] == sorted((r["k"] for r in rows), reverse=True)
    else:
        assert [key(r) for r in rows] == sorted(key(r) for r in rows)


@pytest.mark.parametrize("order", ["b", "lower(b)", "b, c", "t.b desc nulls first", "c + 1"])
def test_an_order_by_what_is_not_selected_is_kept(bench: Bench, order: str) -> None:
    table = bench.table(a=[1, 2, 3, 4], b=["y", "x", None, "x"], c=[1, 2, 3, 4])
    found = bench.run(f"select a from t order by {order}", t=table).to_pydict()
    expected = duckdb.connect().sql(
        "with t(a, b, c) as (values (1, 'y', 1), (2, 'x', 2), (3, null, 3), (4, 'x', 4))"
        f" select a from t order by {order}, a"
    )
    assert found == {"a": [a for (a,) in expected.fetchall()]}


def test_an_alias_comes_before_a_column_of_that_name(bench: Bench) -> None:
    table = bench.table(a=[1, 2, 3], b=[9, 8, 9])
    found = bench.run("select -a as b from t order by b", t=table)
    assert found.to_pydict() == {"b": [-3, -2, -1]}
    found = bench.run("select -a as b from t order by t.b, a desc", t=table)
    assert found.to_pydict() == {"b": [-2, -3, -1]}


def test_a_replaced_column_does_not_mislead_the_order(bench: Bench) -> None:
    table = bench.table(a=[1, 2, 3], b=[3, 2, 1])
    found = bench.run("select * replace (0 as a) from t order by t.a", t=table)
    assert found.column("b").to_pylist() == [3, 2, 1]


def test_rows_that_an_order_by_leaves_equal_come_in_the_order_of_all_columns(bench: Bench) -> None:
    table = bench.table(k=["b", "a", "b", "a"], v=[4, 3, 2, None])
    found = bench.run("select k, v from t order by k desc", t=table)
    assert found.to_pydict() == {"k": ["b", "b", "a", "a"], "v": [2, 4, 3, None]}


def test_with_a_primary_key_rows_come_in_its_order(bench: Bench) -> None:
    table = bench.table(a=[1, 2, 3], id=[3, 1, 2])
    contract = Contract(primary_key=("ID",))
    for text in ("select a, id from t", "select max(a) as a, id from t group by id"):
        assert bench.run(text, contract, t=table).column("id").to_pylist() == [1, 2, 3]
    ordered = bench.run("select a, id from t order by a", contract, t=table)
    assert ordered.column("a").to_pylist() == [1, 2, 3]


def test_sorting_is_total_for_every_kind_of_value(bench: Bench) -> None:
    nan, inf = float("nan"), float("inf")
    table = pa.table(
        {
            "f": [nan, None, 0.0, -0.0, inf, -inf, nan, 1.5],
            "s": pa.array([{"x": 1, "y": [2]}, None, {"x": None, "y": None}] * 2 + [None] * 2),
            "l": [[1], [], None, [None], [2], [1, 2], [1], [1]],
            "t": ["b", "", None, "é", "Z", "a\0b", "b", "a"],
            "y": [b"b", b"", None, b"\xff", b"\x00", b"a", b"b", b"a"],
            "d": pa.array([1, None, 3, 4, 5, 6, 1, 2], pa.date32()),
            "m": pa.array([Decimal("1.5")] * 4 + [None] * 4, pa.decimal128(10, 2)),
        }
    )
    digests = set()
    for seed in range(6):
        held = bench.table(shuffled(table, seed, 3))
        found = bench.run("select distinct * from t union all from t", t=held)
        digests.add(bench.digest(found))
        assert found.num_rows == 16
    assert len(digests) == 1


def test_keep_order_leaves_the_rows_as_duckdb_gives_them(bench: Bench) -> None:
    table = bench.table(v=[3, 1, 2])
    found = bench.run("from t union all from t", Contract(keep_order=True), t=table)
    assert found.column("v").to_pylist() == [3, 1, 2, 3, 1, 2]


# --------------------------------------------------------------------------------- checks


def test_ready_made_checks_of_what_is_no_table_fail_and_say_so(bench: Bench) -> None:
    model = bench.vault.canonical({"a": 1}, NONE, rows=False, name="x")
    check = Check("rows", Where("x.py", 1), rule=("rows", (("minimum", 1), ("maximum", None))))
    (finding,) = bench.engine.audit([check], model, {}, None)
    assert not finding.passed
    assert "table" in finding.message


def test_checks_read_other_assets_and_the_version_before(bench: Bench) -> None:
    orders, customers = bench.table(customer=[1, 2, 3]), bench.table(id=[1, 2])
    given = (("column", "customer"), ("asset", "raw/customers"), ("to", "id"))
    checks = [
        Check("references", Where("x.py", 1), rule=("references", given)),
        Check("not_shrunk", Where("x.py", 1), rule=("not_shrunk", (("fraction", 0.5),))),
    ]
    before = bench.table(customer=list(range(7))).content
    found = bench.engine.audit(checks, orders, {"raw/customers": customers}, before)
    assert [(f.passed, f.failing_rows) for f in found] == [(False, 1), (False, None)]
    assert found[0].sample == (("customer",), ("3",))


# ------------------------------------------------------------------------------ large tables


def odd_types(rows: int) -> pa.Table:
    """Columns that DuckDB would read from a file as another type, and some that are special."""
    numbers = list(range(rows))
    return pa.table({
        "id": numbers,
        "k": [n * 7 % 5 if n % 11 else None for n in numbers],
        "v": [n * 13 % 101 / 4 for n in numbers],
        "ms": pa.array(numbers, pa.timestamp("ms")),
        "pair": pa.array([[n % 3, n] for n in numbers], pa.list_(pa.int16(), 2)),
        "when": pa.array([[n] for n in numbers], pa.list_(pa.timestamp("ms"))),
        "c": pa.array([str(n % 3) for n in numbers]).dictionary_encode(),
        "nothing": pa.nulls(rows),
    })  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "from t",
        'select pair, ms, typeof(pair), typeof(ms), typeof("when"), c from t where id % 2 = 0',
        "select k, count(*) n, sum(id) s, max(ms) from t group by k",
        "select distinct c, k from t",
        "select * from t order by k",
        "select id, id from t order by v",
        "select v from t order by k desc nulls first, c",
        "select id, v as w from t order by k, v desc",
        "from t order by id desc",
        "select k, v, from t order by all",
    ],
)
def test_a_large_result_over_files_is_that_of_a_small_one(tmp_path: Path, text: str) -> None:
    small, large = Bench(tmp_path / "a"), Bench(tmp_path / "b", memory=1 << 28, large=0)
    table = shuffled(odd_types(3_000), seed=1)
    found = large.run(text, t=large.vault.write(large.table(table)))
    assert found.num_rows > 1
    assert found.equals(small.run(text, t=small.table(table)))


@pytest.mark.parametrize(
    "kind",
    [
        pa.null(), pa.bool_(), pa.uint8(), pa.int64(), pa.float64(), pa.string(),
        pa.binary(), pa.binary(4), pa.date32(), pa.time32("ms"), pa.time64("us"), pa.time64("ns"),
        pa.timestamp("ms"), pa.timestamp("us"), pa.timestamp("ns"), pa.timestamp("us", "UTC"),
        pa.timestamp("ns", "Europe/Berlin"), pa.duration("s"), pa.duration("ns"), pa.uuid(),
        pa.decimal128(38, 2), pa.list_(pa.int8()), pa.list_(pa.int8(), 2),
        pa.struct([("a", pa.list_(pa.int8(), 2))]), pa.map_(pa.string(), pa.timestamp("ms")),
        pa.struct([("a", pa.string())]), pa.map_(pa.string(), pa.date32()),
    ],
)  # fmt: skip
def test_a_column_has_one_type_from_memory_and_from_a_file(
    tmp_path: Path, kind: pa.DataType
) -> None:
    bench = Bench(tmp_path, large=0)
    held = bench.table(a=pa.nulls(3, kind))
    text = "select typeof(a) as told from t"
    assert bench.run(text, t=bench.vault.write(held)).equals(bench.run(text, t=held))


def test_an_error_in_a_large_result_is_at_its_line(tmp_path: Path) -> None:
    bench = Bench(tmp_path, large=0)
    table = bench.table(v=[*range(200_000), 7])
    text = "select case when v > 199998 then error('too much') else v end as v from t"
    for wanted in (text, f"{text} order by v"):
        with pytest.raises(QueryError, match="too much"):
            bench.run(wanted, t=table)
    assert bench.run("from t limit 1", t=table).num_rows == 1


def test_a_large_result_that_nobody_reads_lets_go(tmp_path: Path) -> None:
    bench = Bench(tmp_path, large=0)
    query = Query("from t", Where("/p/sql/x.sql", 1))
    result = bench.engine.query(query, {"t": bench.table(v=[1])}, {}, NONE)
    assert not isinstance(result, pa.Table)
    del result
    assert bench.run("from t", t=bench.table(v=[2])).to_pydict() == {"v": [2]}


def test_a_query_reads_no_file_but_its_inputs(tmp_path: Path) -> None:
    bench = Bench(tmp_path, large=0)
    mine, other = (bench.vault.write(bench.table(v=[n])) for n in (1, 2))
    bench.vault.sync()
    path = bench.vault.load(other, "path")
    with pytest.raises(QueryError):
        bench.run(f"select * from t, '{path}'", t=mine)
    assert bench.run("from t", t=mine).to_pydict() == {"v": [1]}


def test_a_large_version_is_checked_as_a_small_one(tmp_path: Path) -> None:
    small, large = Bench(tmp_path / "a"), Bench(tmp_path / "b", memory=1 << 28, large=0)
    rules: list[tuple[str, dict[str, Any]]] = [
        ("not_null", {"columns": ("k", "nothing")}),
        ("unique", {"columns": ("k",)}),
        ("unique", {"columns": ("id",)}),
        ("references", {"column": "id", "asset": "o", "to": "id"}),
        ("between", {"column": "v", "low": 3}),
        ("schema", {"columns": (("id", "BIGINT"), ("ms", "TIMESTAMP_MS"))}),
        ("rows", {"minimum": 5_000}),
    ]
    where = Where("/p/x.py", 1)
    checks = [Check(str(n), where, rule=(k, tuple(a.items()))) for n, (k, a) in enumerate(rules)]
    told = []
    for bench in (small, large):
        tables = [bench.table(odd_types(3_000)), bench.table(id=[1, 2, 3])]
        versions = [bench.vault.write(each) for each in tables] if bench is large else tables
        found = bench.engine.audit(checks, versions[0], {"o": versions[1]}, None)
        told.append([(each.passed, each.failing_rows, each.message) for each in found])
    assert told[0] == told[1]
    assert [passed for passed, _, _ in told[0]].count(False) == 6


def test_a_query_without_enough_memory_says_how_to_give_it_more(tmp_path: Path) -> None:
    bench = Bench(tmp_path, threads=1, memory=16 << 20)
    with pytest.raises(QueryError) as error:
        bench.run("select list(i) from range(20_000_000) as r(i)")
    assert 'memory = "' in str(error.value.advice)


def test_what_does_not_fit_into_memory_is_sorted_on_disk(tmp_path: Path) -> None:
    """The result has twice the memory that DuckDB gets; what it can't hold it sets aside."""
    bench = Bench(tmp_path, threads=1, memory=80 << 20, large=1 << 20)
    query = Query(
        "select hash(i) as h, i, repeat('x', 96) || i as text from range(1_500_000) as r(i)",
        Where("/p/sql/x.sql", 1),
    )
    rows = bench.engine.query(query, {}, {}, Contract(primary_key=("h",)))
    assert not isinstance(rows, pa.Table)
    before, count, size = -1, 0, 0
    for piece in rows:
        keys = piece.column("h").to_numpy()
        assert before < keys[0]
        assert (keys[:-1] < keys[1:]).all()
        before, count, size = keys[-1], count + len(keys), size + piece.nbytes
    assert count == 1_500_000
    assert size > 2 * (80 << 20)
