import os

import duckdb
import pytest
from blake3 import blake3

from lineal.assets.errors import QueryError, UsageError
from lineal.assets.records import Content, StoredObject
from lineal.lineage.catalog import Catalog
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from lineal.lineage.questions import (
    ask,
    mentioned_versions,
    resolve_version,
    table_views,
    version_name,
)
from tests.unit.lineage.story import Run, digest, model, table


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / ".lineal")


def opened(journal):
    return History.open(Journal(journal.root), journal.root / "cache")


def written(journal, text, values):
    """A table with a real Parquet file, at the path its digest says."""
    path = journal.root / "objects" / "new.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    duckdb.sql(f"select unnest({values}) as id").write_parquet(str(path))
    stored = StoredObject(blake3(path.read_bytes()).hexdigest(), "parquet", path.stat().st_size)
    path.rename(path.with_name(stored.digest))
    return table(text, "id", objects=[stored])


def asked(journal, query):
    catalog = Catalog(journal.root, Journal(journal.root))
    return ask(catalog, opened(journal), lambda o: journal.root / "objects" / o.digest, query)


# ------------------------------------------------------------------------------------- versions


def test_a_version_is_found_by_any_prefix_of_its_digest(journal):
    run = Run(journal)
    old, new = run.make("a", table("one")), run.make("a", table("two"))
    history = opened(journal)
    assert resolve_version(history, f"a@{digest('one')[:6]}") == old
    assert resolve_version(history, f"a@{digest('one')}") == old
    assert resolve_version(history, "a") == new
    assert version_name(old) == f"a@{digest('one')[:6]}"


def test_of_several_materializations_of_a_version_the_current_one_is_meant(journal):
    early, late = Run(journal), Run(journal)
    shown = late.make("a", table("one"))
    early.make("a", table("one"))
    again = late.make("b", table("x"))
    newest = late.make("b", table("x"), publish=False)
    history = opened(journal)
    assert resolve_version(history, f"a@{digest('one')[:8]}") == shown
    assert resolve_version(history, f"b@{digest('x')[:8]}") == again != newest


def test_a_partition_may_be_named_or_found(journal):
    run = Run(journal)
    first = run.make("a", table("one"), partition="2026-01")
    refused = run.make("a", table("two"), partition="2026-02", outcome="blocked")
    history = opened(journal)
    assert resolve_version(history, f"a 2026-01@{digest('one')[:6]}") == first
    assert resolve_version(history, f"a@{digest('two')[:6]}") == refused
    assert resolve_version(history, "a 2026-01") == first
    with pytest.raises(UsageError, match="no version"):
        resolve_version(history, f"a 2026-02@{digest('one')[:6]}")
    with pytest.raises(UsageError, match="1 partitions") as caught:
        resolve_version(history, "a")
    assert "lineal show a --partition 2026-01" in caught.value.advice
    assert resolve_version(history, "a", "2026-01") == first
    assert resolve_version(history, f"a@{digest('one')[:6]}", "2026-01") == first
    with pytest.raises(UsageError, match="no version `a 2026-02@"):
        resolve_version(history, f"a@{digest('one')[:6]}", "2026-02")
    with pytest.raises(UsageError, match="not of the partition 2026-02"):
        resolve_version(history, "a 2026-01", "2026-02")


def test_a_partition_that_is_not_there_is_told_with_the_nearest_or_why_it_went(journal):
    run = Run(journal)
    gone, _ = (run.make("a", table(m), partition=m) for m in ("2026-01", "2026-12"))
    run.retire(gone, "data/2026-01.csv is gone")
    history = opened(journal)
    with pytest.raises(UsageError, match="no partition `2026-11`; did you mean `2026-12`"):
        resolve_version(history, "a", "2026-11")
    with pytest.raises(UsageError, match=r"retired: data/2026-01\.csv is gone") as caught:
        resolve_version(history, "a 2026-01")
    last = f"a 2026-01@{digest('2026-01')[:6]}"
    assert last in caught.value.advice
    assert resolve_version(history, last) == gone


def test_what_is_published_in_slices_has_no_version_as_a_whole(journal):
    run = Run(journal)
    run.make("a", Content(digest("whole"), "slices"))
    slices = [run.make("a", table(m), partition=m) for m in ("01", "02")]
    history = opened(journal)
    with pytest.raises(UsageError, match="2 partitions"):
        resolve_version(history, "a")
    (view,) = table_views(history)
    assert view.objects == tuple(o for m in slices for o in m.content.objects)


def test_an_ambiguous_prefix_is_told_with_what_it_could_be(journal):
    run = Run(journal)
    same = table("one")
    run.make("a", same, partition="1")
    run.make("a", same, partition="2")
    with pytest.raises(UsageError) as caught:
        resolve_version(opened(journal), f"a@{digest('one')[:6]}")
    short = digest("one")[:6]
    assert caught.value.message == f"`a@{short}` could be a 1@{short}, a 2@{short}"


def test_an_unknown_asset_or_version_is_told_as_such(journal):
    Run(journal).make("flights", table("one"))
    history = opened(journal)
    with pytest.raises(UsageError, match="did you mean `flights`"):
        resolve_version(history, "flihgts@123456")
    with pytest.raises(UsageError, match="there is no version `flights@000000`"):
        resolve_version(history, "flights@000000")
    for text in ("flights@12", "flights@production", "flights@"):
        with pytest.raises(UsageError, match="is no version"):
            resolve_version(history, text)


# ---------------------------------------------------------------------------------------- tables


def names(journal):
    return {view.names[0][1]: set(view.names) for view in table_views(opened(journal))}


def test_a_table_has_a_view_in_every_spelling(journal):
    run = Run(journal)
    for asset in ("flights", "raw/orders", "a/b/c"):
        run.make(asset, table(asset))
    run.make("model", model("m"))
    assert names(journal) == {
        "flights": {(None, "flights")},
        "raw/orders": {(None, "raw/orders"), (None, "raw_orders"), ("raw", "orders")},
        "a/b/c": {(None, "a/b/c"), (None, "a_b_c"), ("a", "b_c")},
    }


def test_a_spelling_of_two_assets_belongs_to_the_one_so_called_or_to_none(journal):
    run = Run(journal)
    for asset in ("x/y", "X_y", "a/b_c", "a/b/c"):
        run.make(asset, table(asset))
    assert names(journal) == {
        "x/y": {(None, "x/y"), ("x", "y")},
        "X_y": {(None, "X_y")},
        "a/b_c": {(None, "a/b_c")},
        "a/b/c": {(None, "a/b/c")},
    }


def test_partitions_are_one_view_over_their_files_in_order(journal):
    run = Run(journal)
    for month in ("2", "1"):
        run.make("p", table(month), partition=month)
    (view,) = table_views(opened(journal))
    assert [o.digest for o in view.objects] == [digest("1bytes"), digest("2bytes")]


def test_a_query_may_name_any_kept_version(journal):
    run = Run(journal)
    run.make("a", table("one"))
    refused = run.make("a/b", table("two"), outcome="blocked", partition="2026-01")
    name = f"a/b 2026-01@{digest('two')[:6]}"
    (view,) = mentioned_versions(opened(journal), f'from "{name}" join "{name}" using (id)')
    assert view.names == ((None, name),)
    assert view.objects == refused.content.objects
    assert mentioned_versions(opened(journal), "select 'a@b.org' as \"x@y\"") == []


def test_a_version_that_is_no_table_is_told_in_a_query(journal):
    Run(journal).make("m", model("m"))
    with pytest.raises(UsageError, match="is no table: joblib"):
        mentioned_versions(opened(journal), f'from "m@{digest("m")[:6]}"')


# ------------------------------------------------------------------------------------------- SQL


def test_sql_sees_tables_versions_and_lineage_together(journal):
    run = Run(journal)
    run.make("raw/orders", written(journal, "old", [1]))
    run.make("raw/orders", written(journal, "new", [1, 2, 3]))
    for spelling in ("raw.orders", "raw_orders", '"raw/orders"', "RAW_Orders"):
        answer = asked(journal, f"select count(*) as n from {spelling}")
        assert (answer.columns, answer.rows, answer.note) == (["n"], [(3,)], None)
    old = f'select id from "raw/orders@{digest("old")[:6]}"'
    assert asked(journal, old).rows == [(1,)]
    assert asked(journal, "select asset from lineage.current").rows == [("raw/orders",)]
    assert ("raw_orders",) in asked(journal, "show tables").rows


def test_only_the_tables_that_a_query_names_are_opened(journal):
    run = Run(journal)
    names = {}
    for n, asset in enumerate(("a", "flights", "raw/orders")):
        content = written(journal, asset, [n])
        names[content.objects[0].digest] = asset
        run.make(asset, content)

    def opened_for(query):
        found = set()

        def path_of(stored):
            found.add(names[stored.digest])
            return journal.root / "objects" / stored.digest

        ask(Catalog(journal.root, journal), opened(journal), path_of, query)
        return found

    assert opened_for("select count(*) as all_flights from lineage.run") == set()
    assert opened_for("select count(*) from FLIGHTS") == {"flights"}
    assert opened_for('from "raw/orders" join a using (id)') == {"a", "raw/orders"}
    assert opened_for("from query_table('fli' || 'ghts')") == {"a", "flights", "raw/orders"}
    assert opened_for("show tables") == set()


def test_tables_that_are_only_listed_are_told_without_a_look_at_their_bytes(journal):
    run = Run(journal)
    run.make("flights", written(journal, "f", [1]))
    run.make("a/b", written(journal, "ab", [1, 2]))

    def asked_lazily(query):
        checked = []
        folder = journal.root / "objects"
        place_of = lambda o: folder / o.digest  # noqa: E731
        path_of = lambda o: checked.append(o) or place_of(o)  # noqa: E731
        catalog = Catalog(journal.root, journal)
        return ask(catalog, opened(journal), path_of, query, place_of).rows, len(checked)

    columns = "select table_name, column_name from information_schema.columns where table_schema = "
    assert asked_lazily(columns + "'main' order by 1") == (
        [("a/b", "id"), ("a_b", "id"), ("flights", "id")], 0,
    )  # fmt: skip
    assert asked_lazily("describe flights")[1] == 1
    assert asked_lazily("show tables")[1] == 0
    names = {name for (name,) in asked_lazily("SHOW tables;")[0]}
    assert {"flights", "a/b", "a_b"} <= names


def test_the_partitions_of_a_table_are_read_as_one_in_their_order(journal):
    run = Run(journal)
    for key, values in (("2026-02", [3, 1]), ("2026-01", [9, 2]), ("2026-03", [7])):
        made = run.make("p", written(journal, key, values), partition=key)
    run.retire(made)
    assert asked(journal, "from p").rows == [(9,), (2,), (3,), (1,)]
    version = f'from "p@{digest("2026-02")[:6]}"'
    assert asked(journal, version).rows == [(3,), (1,)]
    wider = journal.root / "objects" / "wider.parquet"
    duckdb.sql("select 5 as id, 'x' as note").write_parquet(str(wider))
    stored = StoredObject(wider.name, "parquet", wider.stat().st_size)
    run.make("p", table("wider", "id", "note", objects=[stored]), partition="2026-04")
    answer = asked(journal, "select * from p where id > 3")
    assert answer.columns == ["id", "note"]
    assert answer.rows == [(9, None), (5, "x")]


def test_a_misspelt_table_is_told_with_the_nearest_and_its_place(journal):
    Run(journal).make("flights", written(journal, "f", [1]))
    with pytest.raises(QueryError) as caught:
        asked(journal, "select *\nfrom flihgts where id = 4")
    assert caught.value.message == "no table `flihgts`; did you mean `flights`?"
    line, caret = caught.value.excerpt.split("\n")
    assert line == "from flihgts where id = 4"
    assert caret.index("^") == line.index("flihgts")


def test_an_asset_of_which_there_is_no_table_is_told_as_such(journal):
    run = Run(journal)
    run.make("flights", written(journal, "f", [1]))
    run.make("failed", table("x"), outcome="failed", publish=False)
    catalog = Catalog(journal.root, Journal(journal.root))
    for query, asset in (
        ("from wine", "wine"),
        ("from raw.wine", "raw/wine"),
        ("from raw_wine", "raw/wine"),
        ("from failed", "failed"),
    ):
        with pytest.raises(QueryError, match=f"is current of `{asset}`") as caught:
            ask(catalog, opened(journal), str, query, declared=lambda: ["wine", "raw/wine"])
        assert caught.value.advice.startswith(f"lineal why {asset} ")
    with pytest.raises(QueryError, match=r"you mean `lineage[.]materialization`"):
        asked(journal, "from lineage.materialisation")


def test_only_questions_are_answered_and_nothing_else_is_run(journal, tmp_path):
    Run(journal).make("flights", written(journal, "f", [1]))
    target = tmp_path / "answer.csv"
    copy = f"copy (select 1) to '{target}'"
    for statement in (
        copy,
        f"explain analyze {copy}",
        f"/* a */ explain (analyze, format json) {copy}",
        f"export database '{tmp_path / 'all'}'",
        f"attach '{target}'",
        "install json",
        "set threads = 1",
        "create table t as select 1",
        "insert into flights values (1)",
        "drop view flights",
        "call pragma_version()",
        "pragma import_database('x')",
        "checkpoint",
    ):
        with pytest.raises(QueryError, match="`lineal sql` only reads") as caught:
            asked(journal, statement)
        assert caught.value.advice
    with pytest.raises(QueryError, match="2 statements"):
        asked(journal, f"select 1; {copy}")
    assert {path.name for path in tmp_path.iterdir()} == {".lineal"}
    for question in (
        "explain select 1",
        "explain analyze from flights",
        "show tables",
        "describe flights",
        "summarize flights",
        "pragma table_info('flights')",
        "pivot flights on id using count(*)",
        "values (1);",
    ):
        assert asked(journal, question).rows


def test_a_statement_that_cannot_be_parsed_is_shown_with_a_caret(journal):
    with pytest.raises(QueryError) as caught:
        asked(journal, "select from where")
    assert "syntax error" in caught.value.message
    assert "^" in caught.value.excerpt


def test_a_damaged_catalog_is_mended_before_the_answer_wherever_the_damage_is(journal):
    run = Run(journal)
    for n in range(40):
        run.make("a", table(f"t{n}"), publish=False)
    query = "select count(distinct id), count(distinct digest) from lineage.version"
    assert asked(journal, query).rows == [(40, 40)]
    path = journal.root / "catalog.duckdb"
    whole = path.read_bytes()
    for block in range(12_288, len(whole), 262_144):
        path.write_bytes(whole[: block + 8] + os.urandom(4096) + whole[block + 8 + 4096 :])
        assert asked(journal, query).rows == [(40, 40)], block
