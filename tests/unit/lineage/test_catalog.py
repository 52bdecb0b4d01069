import math
import subprocess
import sys
from collections import Counter

import duckdb
import pytest

from lineal.assets.records import (
    Acceptance,
    AssetFacts,
    Attempt,
    CheckResult,
    ErrorFacts,
    Reason,
)
from lineal.lineage.catalog import Catalog, CatalogBusy, add_view
from lineal.lineage.journal import Journal
from tests.unit.lineage.story import (
    Run,
    digest,
    model,
    model_pipeline,
    source_file,
    table,
    used,
)

TABLES = (
    "acceptance", "asset", "attempt", "check_result", "code", "code_part", "column_edge",
    "derivation_edge", "edge_set", "ingested", "input", "materialization", "metric", "package",
    "parameter", "promotion", "publication", "registered_version", "retirement", "run",
    "source_file", "version", "version_column", "version_edge",
)  # fmt: skip


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / ".lineal")


@pytest.fixture
def catalog(journal):
    return Catalog(journal.root, journal)


def answer(catalog, query, *arguments):
    connection, note = catalog.connect_for_questions()
    assert note is None
    try:
        return connection.execute(query, list(arguments)).fetchall()
    finally:
        connection.close()


def everything(catalog):
    connection, _ = catalog.connect_for_questions()
    try:
        return {
            name: Counter(map(repr, connection.execute(f"from lineage.{name}").fetchall()))
            for name in TABLES
        }
    finally:
        connection.close()


def odd_past(journal):
    """One of everything: failures, refusals, reuse, partitions, odd text, an end without a run."""
    run = Run(journal, "prod")
    result = CheckResult(
        digest("check"), "rows", "b", None, digest("bad"), "error", False, digest("rule"),
        3, "3 rows", (("id",), ("1",)), 0.1,
    )  # fmt: skip
    first = run.make("a", table("one", "id"), partition="2026-01", metrics=(("auc", math.nan),))
    run.make("b", table("bad", "id"), used(first, "id"), outcome="blocked", checks=[result])
    run.make("b", None, outcome="failed", error=ErrorFacts("KeyError", "'x'", "p.py:3", "x['x']"))
    Run(journal).reuse(first, partition="2026-01", reasons=(Reason("code_changed", "f"),))
    run.observe("raw", table("raw"), source_file("caf\udce9.csv", "x"))
    tried = Attempt(1, 5.0, 0.5, ErrorFacts("OSError", "no"))
    late = run.make("a", table("late"), partition="2026-02", attempts=(tried,))
    run.retire(late)
    declared = AssetFacts("a", "python", "A.", "ada", ("daily",), "p.py:1")
    journal.append([declared, declared._replace(description="B.")])
    journal.append([Acceptance("a", "c1", "c2", "renamed", "ada", 5.0)])
    run.end("failed")


# ------------------------------------------------------------------------------ the three questions


def test_which_file_versions_trained_this_model_is_one_statement(journal, catalog):
    made = model_pipeline(journal)
    query = """
        select asset, path, digest from lineage.model_training_data
        where materialization = ? order by all
    """
    assert answer(catalog, query, made["model 2"].id) == [
        ("raw/flights", "data/a.csv", digest("a")),
        ("raw/flights", "data/b.csv", digest("b2")),
        ("raw/holidays", None, digest("holidays 2")),
    ]


def test_which_models_contain_this_file_version_is_one_statement(journal, catalog):
    made = model_pipeline(journal)
    query = """
        select distinct d.asset, d.id from lineage.source_file f,
            lineage.downstream_of(f.version) d
        where f.digest = ? and d.format in ('joblib', 'pickle') order by all
    """
    both = sorted(f"delay_model@{made[m].content.digest}" for m in ("model 1", "model 2"))
    # features came out equal in both runs, so the bytes of b1 may be in either model …
    assert [v for _, v in answer(catalog, query, digest("b1"))] == both
    # … while the derivation on record is exact.
    exact = "select materialization from lineage.model_training_data where digest = ?"
    assert answer(catalog, exact, digest("b1")) == [(made["model 1"].id,)]
    assert len(answer(catalog, exact, digest("a"))) == 2


def test_what_changed_between_two_versions_of_a_model_is_one_statement(journal, catalog):
    made = model_pipeline(journal)
    query = """
        with aspect as (
            select m.id, 'code' as kind, p.name, p.digest, p.value as shown
            from lineage.materialization m join lineage.code_part p on p.code = m.code
            union all
            select materialization, 'parameter', name, value, value from lineage.parameter
            union all
            select m.id, 'package', p.name, p.version, p.version
            from lineage.materialization m
            join lineage.package p on p.environment = m.environment
            union all
            select materialization, 'column', asset || '.' || name, digest, digest
            from lineage.input_column
        ),
        before as (from aspect where id = ?), since as (from aspect where id = ?)
        select kind, name, before.shown, since.shown
        from before full join since using (kind, name)
        where before.digest is distinct from since.digest order by all
    """
    assert answer(catalog, query, made["model 1"].id, made["model 2"].id) == [
        ("code", "helpers.DEPTH", "1.1", "1.2"),
        ("column", "clean.delay", digest("delay1"), digest("delay2")),
        ("package", "scikit-learn", "1.8.0", "1.9.1"),
        ("parameter", "rate", "0.1", "0.2"),
    ]


# ---------------------------------------------------------------------------------------- closures


def test_upstream_is_any_way_and_derivation_the_one_way_it_was(journal, catalog):
    made = model_pipeline(journal)
    version = f"delay_model@{made['model 2'].content.digest}"
    any_way = answer(catalog, "select id from lineage.upstream_of(?)", version)
    names = {f"{m.asset}@{m.content.digest}" for k, m in made.items() if not k.startswith("model")}
    assert {v for (v,) in any_way} == names
    assert len(any_way) == len(names)
    derived = answer(catalog, "select id from lineage.derived_from(?)", made["model 2"].id)
    assert {d for (d,) in derived} == {
        made[f"{a} 2"].id for a in ("raw/flights", "raw/holidays", "clean", "features")
    }


def test_a_reused_version_is_derived_from_what_made_its_bytes(journal, catalog):
    run = Run(journal)
    raw1 = run.observe("raw", table("raw 1", "id=i", "note=1"), source_file("x.csv", "1"))
    first = run.make("m", model("m"), used(raw1, "id"))
    later = Run(journal)
    raw2 = later.observe("raw", table("raw 2", "id=i", "note=2"), source_file("x.csv", "2"))
    reused = later.reuse(first, used(raw2, "id"))
    derived = answer(catalog, "select id from lineage.derived_from(?) order by id", reused.id)
    assert derived == [(raw1.id,), (first.id,)]
    query = "select digest from lineage.model_training_data where materialization = ?"
    assert answer(catalog, query, reused.id) == [(digest("1"),)]
    # Bytes that could have come from either observation must go when either must.
    down = "select count(*) from lineage.downstream_of(?)"
    for raw in (raw1, raw2):
        assert answer(catalog, down, f"raw@{raw.content.digest}") == [(1,)]


def test_an_observation_made_again_is_told_by_its_own_files(journal, catalog):
    first = Run(journal).observe("raw", table("raw"), source_file("old/x.csv", "1"))
    run = Run(journal)
    again = run.make(
        "raw", first.content, kind="files", outcome="reused", origin=first.id,
        fingerprint=first.fingerprint, files=(source_file("new/x.csv", "1"),),
    )  # fmt: skip
    run.make("m", model("m"), used(again))
    assert answer(catalog, "select path from lineage.model_training_data") == [("new/x.csv",)]


def test_equal_contents_of_different_assets_are_not_one_version(journal, catalog):
    run = Run(journal)
    a, b = run.make("a", table("empty")), run.make("b", table("empty"))
    run.make("of_a", table("x"), used(a))
    run.make("of_b", table("y"), used(b))
    found = answer(catalog, "select asset from lineage.downstream_of(?)", f"a@{digest('empty')}")
    assert found == [("of_a",)]


def test_a_prefix_names_every_version_that_begins_so(journal, catalog):
    made = model_pipeline(journal)
    count = "select count(*) from lineage.downstream_of(?)"
    assert answer(catalog, count, "raw/flights@") == [(5,)]
    one = made["raw/flights 1"].content.digest
    assert answer(catalog, count, f"raw/flights@{one[:12]}") == [(4,)]


def test_versions_that_come_from_each_other_do_not_loop(journal, catalog):
    run = Run(journal)
    a = run.make("a", table("a"))
    b = run.make("b", table("b"), used(a))
    run.make("a", table("a"), used(b))
    ids = answer(catalog, "select id from lineage.upstream_of('a@') order by id")
    assert ids == [(f"a@{digest('a')}",), (f"b@{digest('b')}",)]


# ------------------------------------------------------------------------------------------- views


def test_current_is_of_the_run_planned_last(journal, catalog):
    early, late = Run(journal), Run(journal)
    shown = late.make("a", table("late"))
    early.make("a", table("early"))
    part = early.make("p", table("p"), partition="1")
    query = "select asset, partition, materialization, digest, rows from lineage.current order by 1"
    assert answer(catalog, query) == [
        ("a", None, shown.id, digest("late"), 10),
        ("p", "1", part.id, digest("p"), 10),
    ]


def test_what_was_retired_is_not_current_until_it_is_published_again(journal, catalog):
    early, run = Run(journal), Run(journal)
    gone, stays = (run.make("p", table(p), partition=p) for p in ("1", "2"))
    run.retire(gone, "data/1.csv is gone")
    early.retire(stays)
    shown = "select partition, version from lineage.current order by 1"
    assert answer(catalog, shown) == [("2", f"p 2@{digest('2')}")]
    told = "select partition, reason, run_number from lineage.retirement order by run_number desc"
    assert answer(catalog, told) == [("1", "data/1.csv is gone", 2), ("2", "its file is gone", 1)]
    catalog.bring_up_to_date()
    journal.append([Run(journal).publication(gone)])
    assert [partition for partition, _ in answer(catalog, shown)] == ["1", "2"]


def test_every_attempt_has_its_row(journal, catalog):
    run = Run(journal)
    tried = tuple(
        Attempt(n, 1000.0 + n, 0.5, ErrorFacts("OSError", f"try {n}", "p.py:3")) for n in (1, 2)
    )
    made = run.make("a", table("a"), partition="1", attempts=tried)
    failed = run.make("b", None, outcome="failed", error=ErrorFacts("KeyError", "x"))
    run.reuse(made, partition="1")
    query = "select * exclude (started_at, seconds) from lineage.attempt order by 1, number"
    assert answer(catalog, query) == [
        (made.id, "a", "1", 1, "OSError", "try 1", "p.py:3"),
        (made.id, "a", "1", 2, "OSError", "try 2", "p.py:3"),
        (made.id, "a", "1", 3, None, None, None),
        (failed.id, "b", None, 1, "KeyError", "x", ""),
    ]
    times = "select epoch(started_at), seconds from lineage.attempt where number = 2"
    assert answer(catalog, times) == [(1002.0, 0.5)]


def test_table_lineage_says_which_columns_of_which_version_were_read(journal, catalog):
    made = model_pipeline(journal)
    query = """
        select source_asset, source_version, columns, mode from lineage.table_lineage
        where materialization = ? order by all
    """
    raw, clean = made["raw/holidays 1"], made["clean 1"]
    assert answer(catalog, query, made["features 1"].id) == [
        ("clean", f"clean@{clean.content.digest}", ["id"], "columns"),
        ("raw/holidays", f"raw/holidays@{raw.content.digest}", ["day"], "columns"),
    ]


def test_odd_facts_have_their_rows(journal, catalog):
    odd_past(journal)
    runs = answer(catalog, "select outcome, made, epoch(ended_at) from lineage.run order by number")
    assert runs == [("failed", 5, 1060.0), (None, None, None)]
    assert answer(catalog, "select name, description from lineage.asset") == [("a", "B.")]
    assert answer(catalog, "select path from lineage.source_file") == [("caf\\udce9.csv",)]
    failed = "select error_type, version from lineage.materialization where outcome = 'failed'"
    assert answer(catalog, failed) == [("KeyError", None)]
    checks = answer(
        catalog, "select version, passed, failing_rows, sample from lineage.check_result"
    )
    assert checks == [(f"b@{digest('bad')}", False, 3, [["id"], ["1"]])]
    reason = "select reasons[1].culprit from lineage.materialization where outcome = 'reused'"
    assert answer(catalog, reason) == [("f",)]
    assert answer(catalog, "select isnan(value) from lineage.metric") == [(True,)]


# ------------------------------------------------------------------------------------ up to date


def test_rows_that_came_bit_by_bit_equal_those_of_a_rebuild(journal, catalog):
    for tell in (model_pipeline, odd_past, model_pipeline, odd_past):
        tell(journal)
        catalog.bring_up_to_date()
    Run(journal)
    stepwise = everything(catalog)
    assert all(
        stepwise[t] for t in ("run", "input", "derivation_edge", "version_edge", "code_part")
    )
    catalog.rebuild()
    assert everything(catalog) == stepwise


def test_each_entry_by_itself_gives_the_same_rows_as_all_at_once(journal, catalog, tmp_path):
    model_pipeline(journal)
    odd_past(journal)
    copy = Journal(tmp_path / "copy")
    stepwise = Catalog(copy.root, copy)
    for _, facts in journal.read():
        copy.append(facts)
        stepwise.bring_up_to_date()
    expected = everything(catalog)
    assert {t: r for t, r in everything(stepwise).items() if t != "ingested"} == {
        t: r for t, r in expected.items() if t != "ingested"
    }


def test_a_deleted_catalog_comes_back_row_for_row(journal, catalog):
    model_pipeline(journal)
    expected = everything(catalog)
    catalog.path.unlink()
    assert everything(catalog) == expected


@pytest.mark.parametrize("content", [b"", b"garbage" * 5000, None])
def test_a_damaged_or_foreign_file_is_built_anew(journal, catalog, content):
    model_pipeline(journal)
    expected = everything(catalog)
    catalog.path.unlink()
    if content is None:
        with duckdb.connect(catalog.path) as foreign:
            foreign.execute("create schema lineage; create table lineage.ingested as select 1 as x")
    else:
        catalog.path.write_bytes(content)
    assert everything(catalog) == expected


def test_a_file_cut_in_half_is_built_anew(journal, catalog):
    model_pipeline(journal)
    expected = everything(catalog)
    data = catalog.path.read_bytes()
    catalog.path.write_bytes(data[: len(data) // 2])
    assert everything(catalog) == expected


def test_a_catalog_of_another_journal_is_built_anew(journal, catalog, tmp_path):
    other = Journal(tmp_path / "other")
    odd_past(other)
    Catalog(other.root, other).bring_up_to_date()
    model_pipeline(journal)
    catalog.path.write_bytes((other.root / "catalog.duckdb").read_bytes())
    assert {a for (a,) in answer(catalog, "select distinct asset from lineage.version")} == {
        "raw/flights", "raw/holidays", "clean", "features", "delay_model",
    }  # fmt: skip


def test_without_a_store_the_answer_is_empty_and_no_store_appears(tmp_path):
    journal = Journal(tmp_path / ".lineal")
    catalog = Catalog(journal.root, journal)
    assert catalog.bring_up_to_date() == 0
    assert answer(catalog, "select count(*) from lineage.run") == [(0,)]
    assert not journal.root.exists()


HOLD = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def test_when_another_program_holds_it_the_answer_says_who_and_comes_from_the_journal(
    journal, catalog
):
    made = model_pipeline(journal)
    catalog.bring_up_to_date()
    Run(journal)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(catalog.path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as holder:  # fmt: skip
        assert holder.stdout.readline().strip() == "held"
        with pytest.raises(CatalogBusy, match=f"PID {holder.pid}"):
            catalog.bring_up_to_date()
        with pytest.raises(CatalogBusy):
            catalog.rebuild()
        connection, note = catalog.connect_for_questions()
        assert f"PID {holder.pid}" in note
        assert "journal" in note
        runs = connection.execute("select count(*) from lineage.run").fetchall()
        models = connection.execute("select count(*) from lineage.model_training_data").fetchall()
        connection.close()
        holder.stdin.close()
        holder.wait(30)
    assert (runs, models) == ([(3,)], [(6,)])
    assert catalog.bring_up_to_date() == journal.head()
    assert made["model 1"].id


def test_a_long_session_of_questions_keeps_nobody_out(journal, catalog):
    Run(journal)
    connection, _ = catalog.connect_for_questions()
    Run(journal)
    assert catalog.bring_up_to_date() == 2
    with duckdb.connect(catalog.path) as another:  # as another program would
        assert another.execute("select count(*) from lineage.run").fetchall() == [(2,)]
    assert connection.execute("select count(*) from lineage.run").fetchall() == [(1,)]
    connection.close()


def test_several_processes_bring_it_up_to_date_at_once(journal, catalog):
    model_pipeline(journal)
    code = (
        "import pathlib, sys\n"
        "from lineal.lineage.catalog import Catalog\n"
        "from lineal.lineage.journal import Journal\n"
        "root = pathlib.Path(sys.argv[1])\n"
        "print(Catalog(root, Journal(root)).bring_up_to_date())\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(journal.root)], stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    for process in running:
        out, _ = process.communicate(timeout=60)
        assert (process.returncode, int(out)) == (0, journal.head())
    stepwise = everything(catalog)
    catalog.rebuild()
    assert everything(catalog) == stepwise


# ------------------------------------------------------------------------------------- questions


def test_lineage_is_read_only_and_views_come_first(journal, catalog, tmp_path):
    Run(journal)
    file = tmp_path / "o'brien.parquet"
    duckdb.sql("select 7 as x").write_parquet(str(file))
    connection, _ = catalog.connect_for_questions()
    add_view(connection, [("catalog", "version"), (None, "run"), (None, "a/b")], [str(file)])
    for name in ("catalog.version", "run", '"a/b"'):
        assert connection.execute(f"from {name}").fetchall() == [(7,)]
    assert connection.execute("select id from lineage.run").fetchall() == [("r1",)]
    assert connection.execute("select count(*) from publication").fetchall() == [(0,)]
    for change in ("delete from lineage.run", "create table lineage.x (i integer)"):
        with pytest.raises(duckdb.Error, match="read-only"):
            connection.execute(change)
    variable = duckdb.sql("select 7 as x")
    with pytest.raises(duckdb.CatalogException, match="variable does not exist"):
        connection.execute("from variable")
    assert variable.columns == ["x"]
    connection.close()


def test_the_file_answers_by_itself_in_any_program_with_duckdb(journal, catalog):
    made = model_pipeline(journal)
    catalog.bring_up_to_date()
    with duckdb.connect(catalog.path, read_only=True) as plain:
        query = "select count(*) from lineage.derived_from(?)"
        assert plain.execute(query, [made["model 1"].id]).fetchall() == [(4,)]
