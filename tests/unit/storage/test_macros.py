"""Macros of a project: how their file is read, which of them a query reaches, and how they run."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from lineal.assets.asset import Asset, Contract, Macro, MacroFile, Query, Where
from lineal.assets.errors import DefinitionError, DefinitionErrors, QueryError
from lineal.binding import bind
from lineal.storage.engine import Engine
from lineal.storage.objects import Objects
from lineal.storage.sql import Queries, SqlFacts
from lineal.storage.sql_macros import Library
from lineal.storage.vault import Vault

QUERIES = Queries()
PLACE = Where("/p/sql/macros.sql", 1)


def macros(text: str) -> list[Macro]:
    return QUERIES.macros(MacroFile(text, PLACE))


def only(text: str) -> SqlFacts:
    (macro,) = macros(text)
    return QUERIES.describe_macro(macro)


def library(text: str) -> Library:
    return Library(macros(text), lambda macro: QUERIES.describe_macro(macro).calls)


def query(text: str, macro_texts: str = "") -> Query:
    bare = Query(text, Where("/p/sql/x.sql", 1))
    found = library(macro_texts).reached(QUERIES.describe(bare).calls)
    return Query(text, bare.where, found)


def names(found: Query) -> list[str]:
    return [macro.name for macro in found.macros]


# ------------------------------------------------------------------------------- the file


def test_a_file_is_cut_into_its_macros_with_their_lines() -> None:
    found = macros(
        "-- é: money\ncreate macro euros(c, digits := 2) as round(c / 100, digits);\n\n"
        "/* ; */ create or replace macro pays(k) as table\n  select * from pay where cur = k;\n"
        'create function "Big one"() as 1; -- the end'
    )
    assert [(m.name, m.where.line, m.table) for m in found] == [
        ("euros", 2, False), ("pays", 4, True), ("Big one", 6, False),
    ]  # fmt: skip
    assert found[0].text == "create macro euros(c, digits := 2) as round(c / 100, digits)"
    assert macros("") == macros("-- nothing\n") == []


@pytest.mark.parametrize(
    ("text", "line", "said", "caret"),
    [
        ("create macro m(a) as a + ;", 1, "syntax error", ";"),
        ("create macro m(a) as a;\n\n select 1;", 3, "`SELECT` can't be among", "select"),
        ("create macro m(a) as a;\ncreate table t(a int)", 2, "`CREATE TABLE` can't", "create"),
        ("create temp macro m(a) as a", 1, "`CREATE TEMP` can't", "create"),
        ("create macro main.m(a) as a", 1, "a name and nothing else", "main"),
        ("create macro if not exists m(a) as a", 1, "a name and nothing else", "if"),
        ("create macro lower(a) as a", 1, "`lower` is a word of DuckDB's own", "lower"),
        ("create macro Coalesce(a) as a", 1, "`Coalesce` is a word", "Coalesce"),
        ("create macro read_mine(a) as a", 1, "`read_mine` is a word", "read_mine"),
        ("create macro m(a) as\n a + $p", 2, "can't see the parameters of a query", "$p"),
        ("create macro m(a) as\n (from 'x.csv')", 2, "`x.csv` is a file", "'x.csv'"),
        ("create macro m() as table\nfrom read_csv('x')", 2, "`read_csv` reads files", "read_csv"),
        ("create macro é(a) as a; create macro m(a) as getenv(a)", 1, "`getenv` is not", "getenv"),
    ],
)
def test_what_is_no_macro_is_told_at_its_place(text: str, line: int, said: str, caret: str) -> None:
    with pytest.raises(QueryError, match=said.replace("$", r"\$")) as caught:
        macros(text)
    assert caught.value.where == f"/p/sql/macros.sql:{line}"
    shown, mark = str(caught.value.excerpt).split("\n")
    assert shown[mark.index("^") :].startswith(caret)


def test_two_of_one_name_and_circles_are_refused() -> None:
    with pytest.raises(DefinitionError, match="two macros are called `M`") as caught:
        library("create macro m(a) as a;\ncreate macro M(a) as a")
    assert caught.value.where == "/p/sql/macros.sql:2"
    with pytest.raises(DefinitionError, match="circle: a → b → a"):
        library("create macro a(x) as b(x);\ncreate macro b(x) as a(x);")


# ------------------------------------------------------------------------------- the facts


def test_comments_and_form_are_not_part_of_a_macro() -> None:
    one = only("create macro m(a, b := 5) as a + b")
    same = only("/* x */ CREATE  macro m(a,b := 5) AS -- y\n a+b ;")
    assert one.tokens_digest == same.tokens_digest
    assert one.text == "create macro m(a, b := 5) as a + b"
    others = ("create macro m(a, b := 6) as a + b", "create macro m(a, b := 5) as b + a")
    assert one.tokens_digest not in {only(text).tokens_digest for text in others}


@pytest.mark.parametrize(
    ("text", "tables", "calls"),
    [
        ("create macro m(a) as a", "", ""),
        ("create macro m(a) as F(a) + (select max(x) from t)", "t", "f"),
        ("create macro m(k) as table select * from raw.t join u using (id), g(k)", "raw.t u", "g"),
        ("create macro m(a) as f(a), (a, b) as (select max(b) from t where x = a)", "t", "f"),
        ("create macro m(a) as table (select a), (a, b) as table (select a from t)", "t", ""),
        ("create macro m(a) as table with t as (select a) select x, (y) from t, u", "u", ""),
        ("create macro m(a) as table select a, (select 1) as b from t order by a, (b)", "t", ""),
        ("create macro m(l) as list_transform(l, lambda x: f(x))", "", "f"),
        ("create macro m(l := [1, 2], k := 'a,b') as [l[1], f(k)]", "", "f"),
        ("create macro m(a integer, b varchar := 'x') as(a.f(b))", "", "f"),
    ],
)
def test_tables_and_calls_of_every_body_are_found(text: str, tables: str, calls: str) -> None:
    found = only(text)
    assert " ".join(table.text for table in found.tables) == tables
    assert " ".join(found.calls) == calls
    assert not found.volatile


def test_a_query_has_what_its_macros_have() -> None:
    texts = (
        "create macro euros(c) as c / 100;"
        "create macro best(c) as euros(c) * (select max(rate) from rates);"
        "create macro rolled(c) as random() + c;"
        "create macro told() as table from duckdb_settings();"
        "create macro unused() as (select 1 from elsewhere)"
    )
    plain = query("select EUROS(cents) from pay", texts)
    assert names(plain) == ["euros"]
    assert QUERIES.describe(plain).order.kind == "plain"
    nested = query("select p.cents.best() from pay p", texts)
    assert names(nested) == ["euros", "best"]
    found = QUERIES.describe(nested)
    assert [table.text for table in found.tables] == ["pay", "rates"]
    assert (found.order.kind, found.volatile) == ("free", False)
    assert found.tokens_digest == QUERIES.describe(Query(nested.text, PLACE)).tokens_digest
    assert QUERIES.describe(query("select rolled(1)", texts)).volatile
    opaque = QUERIES.describe(query("from told()", texts))
    assert opaque.volatile and opaque.opaque[0].startswith("in the macro `told`: ")
    assert names(query("pivot pay on cur using euros(sum(cents))", texts)) == ["euros"]


def sql_asset(name: str, text: str) -> Asset:
    return Asset(name, "sql", PLACE, (name,), query=Query(text, PLACE))


@pytest.mark.parametrize(
    ("text", "reached"),
    [
        ("pivot stg.loans on member using sum(late)", []),
        ("pivot stg.loans on late_day using sum(b) as latedays", []),
        ("with price as (from stg.loans) pivot price on late using count(*)", []),
        ("pivot stg.loans on member using sum(LATE_DAYS /* now */ (a, b))", ["late_days"]),
    ],
)
def test_a_pivot_reaches_the_macros_that_it_calls(text: str, reached: list[str]) -> None:
    """No other word of it, be it a table, a column or an alias, is a misspelt macro."""
    texts = MacroFile("create macro late_days(o, b) as o - b; create macro prices(a) as a;", PLACE)
    loans = sql_asset("stg/loans", "select 1 as member, 2 as late, 3 as a, 4 as b, 5 as late_day")
    wide = bind([texts, loans, sql_asset("wide", text)], QUERIES).assets["wide"]
    assert [each.asset for each in wide.inputs] == ["stg/loans"]
    assert wide.query is not None and names(wide.query) == reached


def test_one_fault_of_a_query_is_one_error() -> None:
    reader = sql_asset("reader", "from own")
    for text, said in [
        ("select 1 as a\nunion all from own", "`own` takes itself as an input"),
        ("select 1 as a\nunion all from ownn", "no asset `ownn`, a table of `own`"),
        ("select 1 as a /* more\nof it", "unterminated /* comment"),
    ]:
        with pytest.raises(DefinitionErrors) as caught:
            bind([sql_asset("own", text), reader], QUERIES)
        (error,) = caught.value.errors
        assert error.message.startswith(said) and error.excerpt and error.excerpt.endswith("^")
        assert "of it" not in (error.advice or "")


TABLES = (
    "create macro count_of(t) as table select count(*) as n from query_table(t);"
    "create macro kept(k, t, d := 1) as table select k, n + d as n from count_of(t);"
    "create macro of_pay(a) as table from kept(a, t := 'raw.pay');"
    "create macro odd(t) as table from query_table(t || 's');"
    "create macro rows_of(t) as (select n from count_of(t));"
)


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("from count_of('orders')", "orders"),
        ("from count_of('raw.orders') join u using (n)", "u raw.orders"),
        ("from kept('x', 'orders', 3)", "orders"),
        ("from kept(d := 2, t := '\"raw/o\"', k := 'y')", "raw/o"),
        ("from of_pay('x')", "raw.pay"),
        ("from count_of(raw.orders)", "raw.orders"),
        ("select rows_of('t'), rows_of(u)", "t u"),
        ("with w as (select 1) from count_of('w')", ""),
        ("with w as (from kept(1, 't')) from count_of('u'), w", "t u"),
    ],
)
def test_tables_named_by_arguments_are_found(text: str, tables: str) -> None:
    found = QUERIES.describe(query(text, TABLES))
    assert " ".join(sorted(t.text for t in found.tables)) == " ".join(sorted(tables.split()))
    assert (found.opaque, found.volatile) == ((), False)


def test_a_computed_name_of_a_table_is_told() -> None:
    for text in ("from count_of('a' || 'b')", "from odd('order')"):
        found = QUERIES.describe(query(text, TABLES))
        assert found.volatile and found.opaque, text


def test_facts_of_macros_are_remembered_without_duckdb(tmp_path: Path) -> None:
    path = tmp_path / "queries.json"
    file = MacroFile("create macro m(a) as (select max(a) from t);\n-- end", PLACE)
    first = Queries(path, "2.0")
    made = first.macros(file), [first.describe_macro(macro) for macro in first.macros(file)]
    first.macros(MacroFile("-- nothing", PLACE))
    first.save()

    class Silent(Queries):
        @property
        def _parser(self) -> None:  # type: ignore[override]  # must not be asked
            raise AssertionError("DuckDB was asked")

    again = Silent(path, "2.0")
    assert (again.macros(file), [again.describe_macro(m) for m in again.macros(file)]) == made
    assert again.macros(MacroFile("-- nothing", PLACE)) == []


# ---------------------------------------------------------------------------------- running


class Bench:
    """An engine and two tables."""

    def __init__(self, folder: Path) -> None:
        vault = Vault(Objects(folder / "objects"))
        self.engine = Engine(vault, folder, threads=2)
        tables = {
            "pay": pa.table({"id": [2, 1, 3], "cents": [250, 100, 300], "cur": ["b", "a", "b"]}),
            "rates": pa.table({"cur": ["a", "b"], "rate": [1, 2]}),
        }
        self.inputs = {
            name: vault.canonical(table, Contract(), rows=False, name=name)
            for name, table in tables.items()
        }

    def run(self, text: str, macro_texts: str = "") -> list[tuple[object, ...]]:
        found = self.engine.query(query(text, macro_texts), self.inputs, {}, Contract())
        assert isinstance(found, pa.Table)
        return [tuple(row.values()) for row in found.to_pylist()]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


def test_macros_run_whatever_their_order_in_the_file(bench: Bench) -> None:
    texts = (
        "create macro worth(c, k) as euros(c) * rate_of(k);"
        "create macro rate_of(k) as (select max(rate) from rates where cur = k);"
        "create macro of(k) as table select id, cents from pay where cur = k;"
        "create macro euros(c, per := 100) as c // per, (c, per, more) as c // per + more;"
    )
    assert bench.run("select id, worth(cents, cur) as w from pay", texts) == [
        (1, 1), (2, 4), (3, 6),
    ]  # fmt: skip
    assert bench.run("select id, euros(cents, per := 50), euros(1, 1, 1) from of('b')", texts) == [
        (2, 5, 2), (3, 6, 2),
    ]  # fmt: skip


def test_a_macro_is_gone_after_its_query(bench: Bench) -> None:
    assert bench.run("select m(1)", "create macro m(a) as a + 1") == [(2,)]
    assert bench.run("select m(1)", "create or replace macro m(a) as a + 2") == [(3,)]
    assert bench.run("from m(1)", "create macro m(a) as table select a") == [(1,)]
    assert bench.run("select M(1)", "create macro m(a) as a + 3") == [(4,)]
    with pytest.raises(QueryError, match="m does not exist"):
        bench.run("select m(1)")
    assert bench.run("from count_of('rates')", TABLES) == [(2,)]
    assert bench.run('select "a B"(1)', 'create macro "a B"(a) as a') == [(1,)]


def test_a_macro_is_bound_with_its_query(bench: Bench) -> None:
    schemas = {"pay": pa.schema([("id", pa.int64()), ("cents", pa.int64())])}
    bound = query("select euros(cents) as e from pay", "create macro euros(c) as c / 100")
    found = bench.engine.bind(bound, schemas, {})
    assert found == pa.schema([("e", pa.float64())])


@pytest.mark.parametrize(
    ("body", "where", "said", "caret"),
    [
        ("(a) as nosuch + a", "macros.sql:2", "in the macro `m`: Referenced column", "nosuch"),
        ("(a) as (select no from pay)", "macros.sql:2", "in the macro `m`: Ref", "no from"),
        ("(id) as (select id from pay)", "macros.sql:2", "Conflicting column names", "id from"),
        ("(a) as nosuch(a)", "macros.sql:2", "in the macro `m`: Scalar Function", "nosuch"),
        ("(a) as (select sum(length(a)) from pay)", "x.sql:2", "No function matches", "m(cents)"),
        ("(a) as length(a)", "macros.sql:2", "in the macro `m`: No function", "length"),
        ("(a, b) as a", "x.sql:2", "Macro m\\(\\) does not support", "m(cents)"),
        ("(a) as (a || 'x')::int", "x.sql:2", "Could not convert string", "m(cents)"),
    ],
)  # fmt: skip
def test_an_error_in_a_macro_is_told_there_or_where_it_is_called(
    bench: Bench, body: str, where: str, said: str, caret: str
) -> None:
    with pytest.raises(QueryError, match=said) as caught:
        bench.run("select id,\n  m(cents) as e from pay", f"-- mine\ncreate macro m{body}")
    assert str(caught.value.where).endswith(where)
    shown, mark = str(caught.value.excerpt).split("\n")
    assert shown[mark.index("^") :].startswith(caret)
    if where == "x.sql:2":
        assert "`m` is the macro at /p/sql/macros.sql:2" in str(caught.value.advice)
