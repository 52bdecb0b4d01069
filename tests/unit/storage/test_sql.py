"""What is known of a query from its text: held against DuckDB itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from lineal.assets.asset import Query, Where
from lineal.assets.errors import DefinitionError, QueryError
from lineal.disk import kept
from lineal.storage.sql import Queries, SqlFacts, TableReference, describe, resolve, spellings

QUERIES = Queries()
CONNECTION = duckdb.connect(config={"threads": 1})
CONNECTION.execute("create schema raw")

# Each with the tables it reads; every one of them has the columns a, b, k and v.
STATEMENTS = [
    ("select 1", ""),
    ("values (1), (2)", ""),
    ("select a from t", "t"),
    ("from t", "t"),
    ("from t select a where b > 1", "t"),
    ("table t", "t"),
    ("select T.a from T", "T"),
    ('select a from "t"', "t"),
    ("select a from raw.orders", "raw.orders"),
    ("select orders.a from raw.orders", "raw.orders"),
    ('select a from "raw/orders"', "raw/orders"),
    ("select a from raw_orders", "raw_orders"),
    ("select a from main.t", "main.t"),
    ("select a from memory.main.t", "memory.main.t"),
    ("select * from t, u", "t u"),
    ("select * from t join u using (k)", "t u"),
    ("from t natural join u", "t u"),
    ("from t asof join u on t.a >= u.a", "t u"),
    ("from t positional join u", "t u"),
    ("from t semi join u using (k)", "t u"),
    ("select * from t left join (select * from u) x on x.k = t.k", "t u"),
    ("select * from (t join u using (k)) join w using (k)", "t u w"),
    ("select (select max(a) from u) from t", "t u"),
    ("select a from t where exists (select 1 from u where u.k = t.k)", "t u"),
    ("select a from t where a in (from u select a)", "t u"),
    ("select a from t where a > all (select b from u)", "t u"),
    ("select a from t order by (select max(a) from u)", "t u"),
    ("select a from t group by a having a > (select min(a) from u)", "t u"),
    ("select a from t qualify row_number() over (order by a) > (select 0 from u limit 1)", "t u"),
    ("select a from t limit (select count(*) from u)", "t u"),
    ("select * from t, lateral (select a from u where u.k = t.k) x", "t u"),
    ("select a from t union all select b from u", "t u"),
    ("from t union by name from u", "t u"),
    ("(select a from t) intersect (select a from u) except select a from w", "t u w"),
    ("with t as (select 1 as a) select a from t", ""),
    ("with t as (select a + 1 as a from t) select a from t", "t"),
    ("with x as (from t), y as (from x) from y", "t"),
    ("with y as (from x), x as (from t) select * from y, x as other", "t x"),
    ("with t as (select 1 as a) select * from t, main.t as other", "main.t"),
    ('with T as (select 1 as a) from "t"', ""),
    ("with x as (with t as (select 1 as a) from t) select * from x, t", "t"),
    ("with t as (select 1 a) select * from (with t as (select a * 2 as a from t) from t)", ""),
    ("with x as (from t) (from x) union all (with x as (from u) from x)", "t u"),
    ("with recursive r as (select 1 as a union all select a + 1 from r where a < 3) from r", ""),
    ("with recursive r(a) as (select a from t union select a from r) select r.a from r, u", "t u"),
    ("with recursive t as (select a from u) from t", "u"),
    ("with recursive r using key (a) as (from t union from recurring.r) from r", "t"),
    ("with x as materialized (from t) from x", "t"),
    ("with x as (select 1 as a) select * from x as t", ""),
    ("select t.a from u as t", "u"),
    ("select t from t", "t"),
    ("from t pivot (sum(a) for k in ('x', 'y'))", "t"),
    ("pivot t on k in ('x') using sum(a)", "t"),
    ("pivot t on k using sum(a)", "t"),
    ("pivot (from t join u using (k)) on k using count(*)", "t u"),
    ("with p as (pivot t on k using sum(a)) from p, u", "t u"),
    ("unpivot (select a, b from t) on a, b", "t"),
    ("select * from range(3)", ""),
    ("select * from t, generate_series(1, 2) g", "t"),
    ("select unnest([a, b]) from t", "t"),
    ("select * from unnest([1, 2]) x", ""),
    ("from query_table('t')", "t"),
    ("from query_table(['t', 'u'])", "t u"),
    ("from query_table('raw.orders')", "raw.orders"),
    ("from query_table([t, main.u], true)", "t main.u"),
    ("from query_table(t)", "t"),
    ("with t as (select 1) from query_table(t)", ""),
    ("from histogram(t, a)", "t"),
    ("from histogram_values(col_name := a, source := 'main.t')", "main.t"),
    ("from query('select a from t')", "t"),
    ("describe t", "t"),
    ("show t", "t"),
    ("from (show main.t)", "main.t"),
    ("summarize t", "t"),
    ("select list_transform([1], lambda t: t + 1) from u", "u"),
    ("select count(*) filter (where a > (select 1 from u limit 1)) from t", "t u"),
    ("select case when exists (from u) then 1 else (select max(a) from w) end from t", "t u w"),
    ("select columns('a|b') from t", "t"),
    ("select * exclude (a) replace (b + 1 as b) from t", "t"),
    ("select * from (values (1)) as t(a)", ""),
    ("from t select a -- from u\n /* from w */ where k <> 'from x'", "t"),
    ("select a from t;", "t"),
    (" ; select a from t ; ; ", "t"),
    ("select $minimum from t where a > $minimum", "t"),
]


def facts(text: str, line: int = 1) -> SqlFacts:
    return QUERIES.describe(Query(text, Where("/p/pipeline.py", line)))


def ident(part: str) -> str:
    return '"' + part + '"'


@pytest.mark.parametrize(("text", "tables"), STATEMENTS)
def test_the_tables_of_a_statement_are_found(text: str, tables: str) -> None:
    assert {t.text for t in facts(text).tables} == set(tables.split())


@pytest.mark.parametrize(("text", "tables"), STATEMENTS)
def test_duckdb_needs_each_of_these_tables_and_no_other(text: str, tables: str) -> None:
    found = [t.parts for t in facts(text).tables]
    assert runs(text, found)
    for table in found:
        assert not runs(text, [other for other in found if other != table])


def runs(text: str, tables: list[tuple[str, ...]]) -> bool:
    CONNECTION.execute("begin")
    try:
        for parts in tables:
            spelt = ".".join(map(ident, parts))
            CONNECTION.execute(f"create table {spelt} as select 1 a, 2 b, 'x' k, 3 v")
        parameters = dict.fromkeys(facts(text).parameters, 1)
        CONNECTION.sql(text, params=parameters or None).fetchall()
    except duckdb.CatalogException:
        return False
    except duckdb.BinderException as error:
        assert "Circular reference" in str(error)  # a WITH named as the table it reads
        return False
    finally:
        CONNECTION.execute("rollback")
    return True


def test_tables_come_once_and_in_the_order_of_the_text() -> None:
    found = facts("select * from b join a using (k) join b as c using (k)").tables
    assert [t.text for t in found] == ["b", "a"]


def test_a_statement_no_parser_shows_falls_back_to_its_words() -> None:
    # sqlglot does not read this; DuckDB does.
    text = "with x as (from raw.t), p as (pivot x on k using sum(a)) from p positional join u"
    assert {t.text for t in facts(text).tables} == {"raw.t", "u"}
    assert facts(text).opaque


# ------------------------------------------------------------------------------- recipes

SAME = [
    ("select a from t", "SELECT a  -- why\nFROM t;"),
    ("select a from t group by a", "select a\n from t Group By a"),
    ("select a from t where b is not null", "select a from t /* x /* y */ */ where b IS NOT null"),
    ("select cast(a as integer) from t", "select CAST(a AS INTEGER) from t"),
    ("select a, b from t", "select a ,b from t"),
    ("select 'é' from t", "select   'é'   FROM t"),
]
DIFFERENT = [
    ("select a as x from t", "select a as y from t"),
    ("select a as Date from t", "select a as date from t"),
    ("select a as Year from t", "select a as YEAR from t"),
    ("select a Value from t", "select a value from t"),
    ("select A from t", "select a from t"),
    ("select {'Key': a} from t", "select {'key': a} from t"),
    ("select a::struct(Key int) from t", "select a::struct(key int) from t"),
    ("select 'x' from t", "select 'X' from t"),
    ("select 'a  b' from t", "select 'a b' from t"),
    ("select 1 from t", "select 1.0 from t"),
    ("select a - -1 from t", "select a from t"),
    ('select "a" from t', "select a from t"),
    ("pivot t on k using sum(a) as Total", "pivot t on k using sum(a) as total"),
    ("select a from t", "select a from u"),
    ("select a from t order by a", "select a from t order by a desc"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_a_comment_a_format_or_the_case_of_a_keyword_changes_nothing(one: str, other: str) -> None:
    assert facts(one).tokens_digest == facts(other).tokens_digest


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_a_change_that_shows_in_the_result_changes_the_recipe(one: str, other: str) -> None:
    assert facts(one).tokens_digest != facts(other).tokens_digest


def test_the_recipe_does_not_change_between_releases() -> None:
    known = "c5d4cb65158e2ce945124ac52292428b"
    digest = facts(
        "select k, count(*) as n from raw.orders where a > $low group by k"
    ).tokens_digest
    assert digest[:32] == known


# ------------------------------------------------------------------------------ volatile


@pytest.mark.parametrize(
    "text",
    [
        "select now()", "select current_date", "select CURRENT_TIMESTAMP, a from t",
        "select localtime", "select today()", "select random() from t", "select uuid()",
        "select a from t where b > (select now())", "select gen_random_uuid()",
        "from t using sample 10%", "from t tablesample 5 rows", "select age(a) from t",
        "select get_current_timestamp()", "select current_localtimestamp()", "select nextval('s')",
        "with x as (select random() r) from x", "from duckdb_settings()", "show tables",
        "from information_schema.tables", "select current_setting('threads')",
        "pivot (select k, a from t where b < now()) on k using sum(a)",
        'pivot t on k using sum("random"())', "pivot t on k using max(age(a))",
        "select reservoir_quantile(a, 0.5) from t", "from query('select ' || 'random()')",
    ],
)  # fmt: skip
def test_a_clock_chance_or_the_state_of_duckdb_makes_a_query_volatile(text: str) -> None:
    assert facts(text).volatile


def test_what_makes_a_query_volatile_is_told() -> None:
    told = facts("select now(), RANDOM(), now(), current_date from t using sample 5 rows").clocks
    assert sorted(told) == ["`SAMPLE` without a seed", "`current_date`", "`now()`", "`random()`"]
    assert facts("pivot t on k using max(uuid())").clocks == ("`uuid()`",)
    assert facts("select 1").clocks == ()


@pytest.mark.parametrize(
    "text",
    [
        "select a from t", "select age(a, b) from t", "select 'now()' from t",
        "select t.now from t",
        "select date '2026-01-01', strftime(a, '%Y') from t", "select error('x') from t",
        "from t tablesample 10% (bernoulli, 42)", "select sum(a) over (order by b) from t",
        "select hash(a), md5(k) from t", "pivot t on k using sum(a)",
    ],
)  # fmt: skip
def test_what_gives_the_same_answer_again_is_not_volatile(text: str) -> None:
    assert not facts(text).volatile


# ------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from 'x.csv'", "`x.csv` is a file"), ('from "data/x.parquet"', "is a file"),
        ("from 's3://bucket/x'", "is a file"), ("from 'data/*'", "is a file"),
        ("from '/etc/passwd'", "is a file"),
        ("from read_csv('x.csv')", "`read_csv` reads files"),
        ("from read_parquet(['a', 'b'])", "reads files"), ("from glob('*')", "reads files"),
        ("select * from t, (from read_json_auto('x'))", "reads files"),
        ("from parquet_metadata('x')", "reads files"), ("from read_text('x')", "reads files"),
        ("from sniff_csv('x')", "reads files"), ("from parquet_scan('x')", "reads files"),
        ("from query('from read_csv(''x'')')", "reads files"),
        ("pivot 'x.csv' on k using sum(a)", "is a file"),
        ("select getenv('HOME')", "`getenv`"), ("select write_log('x')", "`write_log`"),
        ("with x as (delete from t returning *) from x", "`DELETE`"),
        ("with x as (select 1) insert into t from x", "`WITH`"),
        ("attach 'x.db'", "`ATTACH`"), ("copy t to 'x'", "`COPY`"), ("copy t from 'x'", "`COPY`"),
        ("insert into t values (1)", "`INSERT`"), ("update t set a = 1", "`UPDATE`"),
        ("create table x as from t", "`CREATE`"), ("drop table t", "`DROP`"),
        ("pragma threads = 1", "`PRAGMA`"), ("set threads = 1", "`SET`"),
        ("call checkpoint()", "`CALL`"), ("install httpfs", "`INSTALL`"),
        ("load httpfs", "`LOAD`"), ("explain select 1", "`EXPLAIN`"), ("begin", "`BEGIN`"),
        ("export database 'x'", "`EXPORT`"), ("use memory", "`USE`"), ("vacuum", "`VACUUM`"),
        ("prepare p as select 1", "`PREPARE`"), ("execute p", "`EXECUTE`"),
        ("select 1; select 2", "2 statements"), ("", "no statement"),
        ("-- only this", "no statement"),
        ("select ?", "parameters of a SQL asset have names"), ("select $1", "have names"),
    ],
)  # fmt: skip
def test_what_is_not_one_select_over_assets_is_refused(text: str, message: str) -> None:
    with pytest.raises(QueryError) as caught:
        facts(text)
    assert message in caught.value.message
    assert caught.value.advice


def test_a_file_in_a_query_is_answered_with_the_source_to_declare() -> None:
    with pytest.raises(QueryError) as caught:
        facts("select a\nfrom 'data/orders-2026.csv'", line=7)
    error = caught.value
    assert error.advice is not None
    assert 'source("orders_2026", "data/orders-2026.csv")' in error.advice
    assert error.where == "/p/pipeline.py:8"
    assert error.excerpt == "from 'data/orders-2026.csv'\n     ^"


@pytest.mark.parametrize(
    ("text", "where", "excerpt"),
    [
        ("select a\nfrom t wher x = 1\norder by a", 11, "from t wher x = 1\n            ^"),
        ("select 'é', a\n  frm t u v", 11, "  frm t u v\n      ^"),
        ("select\n\n\tselec from", 12, "\tselec from\n\t      ^"),
        ("select '日日', '\t' a b c", 10, "select '日日', '\t' a b c\n              \t    ^"),
        (f"select '{'x' * 300}', a\nb c d", 11, "b c d\n  ^"),
        (f"select '{'x' * 300}' a b c", 10, f"select '{'x' * 300}' a b c\n{' ' * 312}^"),
    ],
)
def test_a_syntax_error_shows_the_querys_own_line(text: str, where: int, excerpt: str) -> None:
    with pytest.raises(QueryError) as caught:
        facts(text, line=10)
    assert caught.value.where == f"/p/pipeline.py:{where}"
    assert caught.value.excerpt == excerpt
    assert "syntax error" in caught.value.message


# ------------------------------------------------------------------------------ parameters


def test_parameters_are_found_once_wherever_they_stand() -> None:
    found = facts("select $low, '$no', $$ $nor $$ from t where a > $low and b < $high")
    assert found.parameters == ("high", "low")


# ---------------------------------------------------------------------------------- names


def reference(text: str) -> TableReference:
    return facts(f"from {text}").tables[0]


@pytest.mark.parametrize("text", ["raw.orders", "raw_orders", '"raw/orders"', "Raw.ORDERS"])
def test_an_asset_is_found_by_all_its_spellings(text: str) -> None:
    assert resolve(reference(text), ["orders", "raw/orders", "raw"]) == "raw/orders"


def test_an_unknown_table_is_no_asset() -> None:
    assert resolve(reference("ordes"), ["orders"]) is None
    assert resolve(reference("stg.orders"), ["orders", "raw/orders"]) is None


def test_the_main_schema_may_be_written() -> None:
    assert resolve(reference("main.orders"), ["orders"]) == "orders"


def test_an_underscore_that_may_mean_two_assets_is_an_error_naming_both() -> None:
    names = ["raw_orders", "raw/orders"]
    with pytest.raises(DefinitionError, match="`raw/orders` or `raw_orders`"):
        resolve(reference("raw_orders"), names)
    assert resolve(reference("raw.orders"), names) == "raw/orders"
    assert resolve(reference('"raw/orders"'), names) == "raw/orders"


def test_three_segments_are_not_written_with_points() -> None:
    assert resolve(reference("a_b_c"), ["a/b/c"]) == "a/b/c"
    with pytest.raises(DefinitionError, match="three parts"):
        resolve(reference("a.b.c"), ["a/b/c"])


def test_spellings_are_told() -> None:
    assert spellings("raw/orders") == ("raw.orders", "raw_orders", '"raw/orders"')
    assert spellings("orders") == ("orders",)
    assert spellings("a/b/c") == ("a_b_c", '"a/b/c"')


# ---------------------------------------------------------------------------------- cache


def test_facts_come_back_equal_from_the_cache_without_any_parser(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "queries.json"
    first = Queries(path, "2.0.0")
    texts = [text for text, _ in STATEMENTS] + ["select a from t order by b, lower(k)"]
    made = [first.describe(Query(text, Where("x.py", 1))) for text in texts]
    first.save()
    program = (
        "import json, sys; from pathlib import Path\n"
        "from lineal.storage.sql import Queries; from lineal.assets.asset import Query, Where\n"
        "texts, queries = json.loads(sys.argv[2]), Queries(Path(sys.argv[1]), '2.0.0')\n"
        "print(json.dumps([queries.describe(Query(t, Where('y.py', 9))) for t in texts]))\n"
        "heavy = {'duckdb', 'sqlglot', 'pyarrow', 'pandas', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), json.dumps(texts)],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(json.dumps(made))
    again = Queries(path, "2.0.0")
    assert [again.describe(Query(text, Where("x.py", 1))) for text in texts] == made


@pytest.mark.parametrize("torn", ["", "{", "[]", '{"x": 1}'])
def test_a_torn_cache_only_costs_time(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "queries.json"
    path.write_text(torn)
    queries = Queries(path, "2.0.0")
    assert describe(Query("from t", Where("x.py", 1)), queries).tables[0].text == "t"
    queries.save()
    assert len(json.loads(kept(path) or b"")) == 1


def test_an_edited_cache_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "queries.json"
    query = Query("select rank from t", Where("x.py", 1))
    queries = Queries(path, "2.0.0")
    facts = queries.describe(query)
    queries.save()
    edited = path.read_bytes().replace(b"rank", b"bank")
    path.unlink()
    path.write_bytes(edited)
    assert Queries(path, "2.0.0").describe(query) == facts


def test_another_duckdb_has_other_facts(tmp_path: Path) -> None:
    path = tmp_path / "queries.json"
    for version in ("2.0.0", "2.1.0"):
        queries = Queries(path, version)
        queries.describe(Query("from t", Where("x.py", 1)))
        queries.save()
    assert len(json.loads(kept(path) or b"")) == 2
