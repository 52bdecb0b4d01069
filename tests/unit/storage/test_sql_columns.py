"""Which columns a query is found to read, and what makes it see more than that."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest

from lineal.assets.asset import Contract, Macro, MacroFile, Query, Where
from lineal.assets.errors import QueryError
from lineal.assets.ports import Shape, Sight
from lineal.assets.secrets import Secret
from lineal.storage.content import type_text
from lineal.storage.engine import Engine
from lineal.storage.kinds import kind_of
from lineal.storage.objects import Objects
from lineal.storage.sql import Queries
from lineal.storage.type_texts import UnknownType, arrow_of
from lineal.storage.vault import Vault

QUERIES = Queries()
SHAPES: dict[str, Shape] = {
    "t": (("a", "int64"), ("b", "int32"), ("c", "string"), ("d", "date")),
    "u": (("a", "int64"), ("x", "int32"), ("l", "list<int32>"), ("s", 'struct<"p": int32>')),
    "raw/w": (("a", "int64"), ('we"ird,\n', "string"), ("Ünï", "int32")),
}
PARAMETERS = {
    "n": 5, "word": "x", "flag": True, "at": dt.datetime(2026, 1, 1), "hidden": Secret("H"),
    "nothing": None, "many": [1, 2],
}  # fmt: skip
ALL = None


def seen(text: str, **shapes: Shape) -> dict[str, Sight]:
    """What a query sees of the tables that it names."""
    query = Query(text, Where("x.sql", 1))
    parts = {".".join(table.parts).replace(".", "/") for table in QUERIES.describe(query).tables}
    known = {name: shape for name, shape in {**SHAPES, **shapes}.items() if name in parts}
    return dict(QUERIES.sights(query, known, PARAMETERS))


def of(text: str, table: str = "t") -> tuple[tuple[str, ...] | None, bool]:
    sight = seen(text)[table]
    return sight.columns, sight.shape


# What a statement reads of `t`, and whether the names and types of the others are seen.
READ = [
    ("select a from t", ("a",), False),
    ("select A, T.B from t", ("a", "b"), False),
    ("select b, a from t", ("a", "b"), False),  # in the order of the table
    ("select * from t", ALL, False),
    ("select * exclude (b) from t", ("a", "c", "d"), True),
    ("select columns('^[ab]$') from t", ("a", "b"), False),
    ("select count(*) from t", (), False),
    ("select 1 from t", (), False),
    ("select count(b) from t", ("b",), False),
    ("select a from t where b > 3 and c like 'x%'", ("a", "b", "c"), False),
    ("select a from t order by c, a", ("a", "c"), False),
    ("select a + 1 as b from t order by b", ("a",), False),
    ("select a from t order by b + 1, a", ("a", "b"), False),
    ("select a from (select * from t)", ("a",), False),
    ("with x as (select * from t) select a from x", ("a",), False),
    ("with x as (select a, b from t) select a from x", ("a",), True),
    ("select t from t", ALL, False),
    ("select to_json(t)::varchar from t", ALL, False),
    ("select count(*) from (select distinct * from t)", ALL, False),
    ("select a from t group by all having max(d) > '2026-01-01'", ("a", "d"), False),
    ("select typeof(b) from t", (), True),
    ("describe t", (), True),
    ("select x.b from t as x(b)", ("a",), False),  # the first column, under another name
    ("select b.x from t as a(b), (select 1 as x) as b", (), False),
    ("select a from t union select a from u", ("a",), False),
    ("select a from (from t union all by name from u)", ("a",), False),
    ("select a from t where exists (select * from u where u.a = t.b)", ("a", "b"), False),
    ("select [b for b in [1, 2]] from t", (), False),
    ("select list_transform([1], lambda b: b + a) from t", ("a",), False),
    ("select any_value(a order by d) filter (b > 1) over () from t", ("a", "b", "d"), False),
    ("from t tablesample reservoir (3 rows) repeatable (1) select a", ("a",), False),
    ("from t positional join u select x", (), False),
    ("unpivot (select a, b from t) on b", ("a", "b"), False),
    ("pivot t on b in (1, 2) using sum(a) group by c", ("a", "b", "c"), False),
    ("select a from t where b = $n and c = $word", ("a", "b", "c"), False),
    ("select a from t where $flag or b > 3", ("a", "b"), False),
    ("select a from t where d >= $at limit $n", ("a", "d"), False),
    ("select a from t where d > $word", ("a", "d"), False),  # a text that is compared is a date
    ("select $nothing as w, a from t", ("a",), False),
    ("select a from t where $nothing or c is not distinct from $nothing", ("a", "c"), False),
    ("select a, $word as w from t where '$b' = c -- $n", ("a", "c"), False),
    ("select a from t where c = $hidden and b in $many", ("a", "b", "c"), False),
]


@pytest.mark.parametrize(("text", "columns", "shape"), READ, ids=[text for text, _, _ in READ])
def test_a_query_reads(text: str, columns: tuple[str, ...] | None, shape: bool) -> None:
    assert of(text) == (columns, shape)
    assert seen(text)["t"].doubt == ""


DOUBTED = [
    (
        "pivot t on b using sum(a)",
        "a PIVOT without `in (…)` has columns for the values it finds: list",
    ),
    ("summarize t", "`SUMMARIZE` reads every column, and estimates"),
    ("select rowid, a from t", "it numbers the rows of its tables: `rowid`"),
    ("select stats(a) from t", "`stats` may see more of a table than the columns it is given"),
    ("select columns($word) from t", "DuckDB can't plan it before it has rows and parameters"),
    ("select a from t where false and missing", "DuckDB can't plan it: Referenced column"),
    ("select a from t, t x", "DuckDB can't plan it: Ambiguous reference to column name"),
    ("select json_serialize_plan('from t'), a from t", "`json_serialize_plan` may see more"),
]


@pytest.mark.parametrize(("text", "doubt"), DOUBTED, ids=[text for text, _ in DOUBTED])
def test_whatever_is_in_doubt_sees_everything_and_says_why(text: str, doubt: str) -> None:
    sight = seen(text)["t"]
    assert (sight.columns, sight.shape) == (None, False)
    assert sight.doubt.startswith(doubt)


def test_names_of_any_letters_are_found_as_they_are() -> None:
    found = seen('select "we""ird,\n", "Ünï" from raw.w')["raw/w"]
    assert found == Sight(('we"ird,\n', "Ünï"))


def test_names_that_differ_only_in_capitals_are_in_doubt() -> None:
    found = seen("select a from t", t=(("a", "int64"), ("A", "int64"), ("b", "int64")))
    assert found["t"] == Sight(doubt="two columns of `t` differ only in capital letters")


def test_a_table_may_be_called_as_a_function_that_sees_more() -> None:
    assert seen("select a from stats", stats=SHAPES["t"])["stats"] == Sight(("a",))


def test_a_column_that_is_new_may_be_the_one_that_is_meant() -> None:
    text = "select a, (select count(*) from u where b = 1) as n from t"
    before = seen(text)
    assert before["t"] == Sight(("a", "b"))  # `b` is a column of the outer query
    assert before["u"] == Sight(())
    after = seen(text, u=(*SHAPES["u"], ("b", "int32")))
    assert after["t"] == Sight(("a",))
    assert after["u"] == Sight(("b",))


def test_a_new_column_makes_a_natural_join_another() -> None:
    text = "select c from t natural join u"
    assert seen(text) == {"t": Sight(("a", "c")), "u": Sight(("a",))}
    grown = (*SHAPES["u"], ("d", "date"))
    assert seen(text, u=grown) == {"t": Sight(("a", "c", "d")), "u": Sight(("a", "d"))}


def test_an_alias_gives_way_to_a_new_column() -> None:
    text = "select a as z, z + 1 as more from t"
    assert seen(text)["t"] == Sight(("a",))
    assert seen(text, t=(*SHAPES["t"], ("z", "int64")))["t"] == Sight(("a", "z"))


def test_what_a_macro_reads_is_read() -> None:
    where = Where("macros.sql", 1)
    macros = (
        Macro("twice", "create macro twice(v) as v * (select max(x) from u)", where),
        Macro("few", "create macro few(n) as table select * from t where b < n", where, table=True),
    )
    query = Query("select twice(a) as r from few(3)", Where("x.sql", 1), macros)
    shapes = {name: SHAPES[name] for name in ("t", "u")}
    found = QUERIES.sights(query, shapes, {})
    assert found == {"t": Sight(("a", "b")), "u": Sight(("x",))}
    again = Query("select twice(a) as r from few(3)", Where("x.sql", 1), (macros[0], _few("c")))
    assert QUERIES.sights(again, shapes, {})["t"] == Sight(("a", "c"))


def _few(column: str) -> Macro:
    text = f"create macro few(n) as table select * from t where {column} < n::varchar"
    return Macro("few", text, Where("macros.sql", 1), table=True)


KEYED = (
    "with recursive r(k, v) using key (k) as ({0} union select r.k, t.a from r join t on t.a = r.v)"
    " from r"
)  # DuckDB has no other plan of it than the one for people


def test_a_field_is_not_taken_for_a_column_that_is_called_like_it() -> None:
    shape = (("a", "int64"), ("s", 'struct<"p": int64>'), ("s.p", "int64"), ("b", "int64"))
    found = seen(KEYED.format("select a, s.p from t"), t=shape)["t"]
    assert found == Sight(("a", "s", "s.p"), shape=True)


def test_a_name_of_two_lines_is_not_taken_for_two_columns() -> None:
    shape = (("a", "int64"), ("a\nb", "int64"), ("b", "int64"))
    found = seen(KEYED.format('select a, "a\nb" from t'), t=shape)["t"]
    assert found == Sight(doubt="a column of `t` has a line break in its name")


def test_no_comment_hides_what_a_macro_sees() -> None:
    text = "create macro told(q) as json_serialize_plan /* of */ (q)"
    macro = Macro("told", text, Where("macros.sql", 1))
    query = Query("select told('from t') as plan from t", Where("x.sql", 1), (macro,))
    sight = QUERIES.sights(query, {"t": SHAPES["t"]}, {})["t"]
    assert sight.doubt.startswith("`json_serialize_plan` may see more")


@pytest.mark.parametrize(
    "name", ["", "a.b", "lineal rows", "rowid", "null", 'q"', "e\u0301", "x" * 300]
)
def test_a_column_may_have_any_name(name: str) -> None:
    shapes = {"t": (*SHAPES["t"], (name, "int64"))}
    spelt = '"' + name.replace('"', '""') + '"'
    sight = QUERIES.sights(Query("select a from t", Where("x.sql", 1)), shapes, {})["t"]
    assert sight == Sight(("a",)) or sight.doubt
    if name:
        sight = QUERIES.sights(Query(f"select {spelt} from t", Where("x", 1)), shapes, {})["t"]
        assert sight == Sight((name,)) or sight.doubt


def test_a_failure_of_duckdb_leaves_nothing_behind() -> None:
    """What it is asked next is answered as ever."""
    shapes: dict[str, Shape] = {"t": (("", "int64"), ("", "int64"))}
    query = Query("select a from t", Where("x.sql", 1))
    assert QUERIES.sights(query, shapes, {})["t"].doubt
    assert QUERIES.sights(query, {"t": (("a", "int64"), ("b", "odd<1>"))}, {})["t"].doubt
    assert QUERIES.sights(query, {"t": (("a", "int64"), ("q", "int8"))}, {})["t"] == Sight(("a",))


def test_only_the_types_of_parameters_count() -> None:
    kinds = {name: kind_of(value) for name, value in PARAMETERS.items()}
    assert kinds == {
        "n": "INTEGER", "word": "VARCHAR", "flag": "BOOLEAN", "at": "TIMESTAMP",
        "hidden": "VARCHAR", "nothing": "NULL", "many": "INTEGER[]",
    }  # fmt: skip
    assert [kind_of(v) for v in (2**31, -(2**31), 2**63, 2**127)] == [
        "BIGINT", "INTEGER", "HUGEINT", "",
    ]  # fmt: skip


# ------------------------------------------------------------------------------------- types


KINDS: list[pa.DataType] = [
        pa.null(), pa.bool_(), pa.uint64(), pa.float16(), pa.large_string(), pa.large_binary(),
        pa.binary(3), pa.date32(), pa.time64("ns"), pa.timestamp("ms"), pa.uuid(),
        pa.timestamp("us", "Europe/Oslo"), pa.duration("s"), pa.decimal128(10, 2),
        pa.decimal256(40, 1), pa.large_list(pa.int8()), pa.list_(pa.float32(), 3),
        pa.map_(pa.large_string(), pa.large_list(pa.int64())),
        pa.struct([('q"\n<', pa.int8()), ("ü, b", pa.struct([("c", pa.date32())]))]),
        pa.dictionary(pa.int32(), pa.large_string()),
        pa.dictionary(pa.int32(), pa.int64(), ordered=True),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_type_comes_back_from_its_text(kind: pa.DataType) -> None:
    assert arrow_of(type_text(kind)) == kind


@pytest.mark.parametrize("text", ["", "int65", "list<", "list<int8", "struct<>", "int8 int8"])
def test_a_text_of_no_type_is_refused(text: str) -> None:
    with pytest.raises(UnknownType):
        arrow_of(text)


# ----------------------------------------------------------------------------------- the run


@pytest.fixture(scope="module", params=[None, 0], ids=["in memory", "from files"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> object:
    """Runs a query over `t`, of which it sees what it is told to see."""
    folder = tmp_path_factory.mktemp("run")
    vault = Vault(Objects(folder / "objects"))
    engine = Engine(vault, folder, temporary=folder / "tmp", threads=1, large=request.param)
    table = pa.table({"a": [1, 2, 2], "b": [3, None, 5], "c": pa.array(["x", "y", None])})
    held = vault.canonical(table, Contract(), rows=False, name="t")
    content = vault.write(held)
    parts = {"p": content, "q": content}

    def ask(text: str, sight: Sight, several: bool = False, macros: str = "") -> pa.Table:
        known = QUERIES.macros(MacroFile(macros, Where("macros.sql", 1))) if macros else ()
        query = Query(text, Where("x.sql", 1), tuple(known))
        tables = {"t": parts if several else content}
        found = engine.query(query, tables, {}, Contract(), {"t": sight})
        return found if isinstance(found, pa.Table) else pa.concat_tables(list(found))

    return ask


def test_a_run_sees_no_column_but_those_in_sight(run) -> None:  # type: ignore[no-untyped-def]
    assert run("select * from t", Sight(("a",))).to_pydict() == {"a": [1, 2, 2]}
    with pytest.raises(QueryError, match='"b" not found'):
        run("select b from t", Sight(("a",)))


def test_a_run_over_no_column_has_all_rows(run) -> None:  # type: ignore[no-untyped-def]
    assert run("select count(*) as n from t", Sight(())).to_pydict() == {"n": [3]}
    assert run("select count(*) as n from t", Sight(()), several=True).to_pydict() == {"n": [6]}


def test_of_a_shape_the_values_are_null(run) -> None:  # type: ignore[no-untyped-def]
    whole = run("select * from t", Sight())
    shaped = run("select * from t", Sight(("b",), shape=True))
    assert shaped.schema == whole.schema
    assert shaped.column("b").null_count == whole.column("b").null_count == 1
    assert shaped.column("a").null_count == shaped.column("c").null_count == 3
    kinds = "select typeof(a) as a, typeof(c) as c from t limit 1"
    assert run(kinds, Sight((), shape=True)).equals(run(kinds, Sight()))


def test_a_null_of_any_type_has_this_type(tmp_path: Path) -> None:
    vault = Vault(Objects(tmp_path / "objects"))
    engine = Engine(vault, tmp_path, temporary=tmp_path / "tmp", threads=1)
    unread = (pa.float16(), pa.decimal256(40, 1), pa.duration("s"))  # DuckDB has others, or none
    kinds = [kind for kind in KINDS if kind not in unread]
    table = pa.table({f"c{n}": pa.nulls(2, kind) for n, kind in enumerate(kinds)})
    held = {"t": vault.canonical(table, Contract(), rows=False, name="t")}
    query = Query("select * from t", Where("x.sql", 1))
    whole = engine.query(query, held, {}, Contract())
    shaped = engine.query(query, held, {}, Contract(), {"t": Sight(("c1",), shape=True)})
    assert shaped.schema == whole.schema


def test_a_parameter_of_a_macro_may_have_the_name_of_a_column(run) -> None:  # type: ignore[no-untyped-def]
    macros = "create macro top(a integer) as (select max(t.a) from t), (a varchar) as 0"
    for sight in (Sight(), Sight(("a",)), Sight(("a",), shape=True)):
        assert run("select top(3)::int as n", sight, macros=macros).to_pydict() == {"n": [2]}


def test_rows_may_be_numbered(run) -> None:  # type: ignore[no-untyped-def]
    for _ in range(2):  # nothing of the first is left behind
        found = run("select rowid as n, a from t where rowid > 0", Sight())
        assert found.to_pydict() == {"n": [1, 2], "a": [2, 2]}
    assert run("select sum(rowid)::int as n from t", Sight(), several=True).to_pydict() == {
        "n": [15]
    }


# ------------------------------------------------------------------------------------- cache


def test_sights_are_kept_by_text_shapes_and_types(tmp_path: Path) -> None:
    path, query = tmp_path / "queries.json", Query("select a from t where b = $n", Where("x", 1))
    shapes = {"t": SHAPES["t"]}
    first = Queries(path, "2.0.0")
    found = first.sights(query, shapes, {"n": 1})
    first.save()
    written = path.read_bytes()
    again = Queries(path, "2.0.0")
    again._scratch = None  # it would not get far without one
    assert again.sights(query, shapes, {"n": 2}) == found == {"t": Sight(("a", "b"))}
    again.save()
    assert path.read_bytes() == written
    with pytest.raises(AttributeError):
        again.sights(query, shapes, {"n": "x"})
    with pytest.raises(AttributeError):
        again.sights(query, {"t": SHAPES["t"][:3]}, {"n": 1})
