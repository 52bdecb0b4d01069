"""Views and macros of the lineage schema that answer questions, over told histories."""

import math

import pytest

from lineal.assets.records import Promotion, Registered, Score, Used
from lineal.lineage.catalog import Catalog
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from tests.unit.lineage.story import Run, digest, model, model_pipeline, source_file, table, used


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / ".lineal")


@pytest.fixture
def catalog(journal):
    return Catalog(journal.root, journal)


def answer(catalog, query, *arguments):
    connection, _ = catalog.connect_for_questions()
    try:
        return connection.execute(query, list(arguments)).fetchall()
    finally:
        connection.close()


def registered(made, version):
    return Registered(
        "delays", version, made.asset, None, made.id, made.content.digest, made.run, 50.0, "ada",
        ("daily",),
    )  # fmt: skip


def promotion(number, version, previous, how="gate", environment="default", score=0.5):
    return Promotion(
        f"p{number}", "delays", "production", version, previous, environment, "r1", "ada", "better",
        (Score("auc", score, math.nan),), 60.0 + number, how,
    )  # fmt: skip


# ------------------------------------------------------------------------------- registered models


def test_registered_versions_and_promotions_have_their_rows(journal, catalog):
    made = model_pipeline(journal)
    journal.append([registered(made["model 1"], 1), promotion(1, 1, None)])
    query = "select * exclude (entry, position, registered_at), epoch(registered_at) from {}"
    assert answer(catalog, query.format("lineage.registered_version")) == [
        ("delays", 1, "delay_model", None, made["model 1"].id, digest("model 1"),
         made["model 1"].run, "ada", ["daily"], 50.0)
    ]  # fmt: skip
    row = answer(
        catalog,
        "select id, alias, version, previous, environment, how, reason, epoch(promoted_at),"
        "scores[1].metric, scores[1].candidate, isnan(scores[1].production) from lineage.promotion",
    )
    assert row == [
        ("p1", "production", 1, None, "default", "gate", "better", 61.0, "auc", 0.5, True)
    ]


def test_an_alias_points_where_its_last_move_put_it_in_whichever_environment(journal, catalog):
    made = model_pipeline(journal)
    journal.append([registered(made[f"model {n}"], n) for n in (1, 2)])
    journal.append([promotion(1, 1, None), promotion(2, 2, 1)])
    journal.append([promotion(3, 2, None, environment="prod")])
    query = "select environment, version, materialization, promotion from lineage.alias order by 1"
    second = made["model 2"].id
    assert answer(catalog, query) == [("prod", 2, second, "p3")]
    journal.append([promotion(4, 1, 2, "rollback")])
    assert answer(catalog, query) == [("default", 1, made["model 1"].id, "p4")]


def test_they_are_no_news_to_what_planning_reads(journal, tmp_path):
    made = model_pipeline(journal)
    shown = History.open(journal, tmp_path / "cache").currents()
    journal.append([registered(made["model 1"], 1), promotion(1, 1, None)])
    assert dict(History.open(journal, tmp_path / "cache").currents()) == dict(shown)
    assert dict(History.open(journal, tmp_path / "new").currents()) == dict(shown)


def test_what_trained_a_registered_model_is_asked_by_its_number(journal, catalog):
    made = model_pipeline(journal)
    journal.append([registered(made[f"model {n}"], n) for n in (1, 2)])
    query = "select path, digest from lineage.model_training_data where version = ? order by all"
    assert answer(catalog, query, 2) == [
        ("data/a.csv", digest("a")),
        ("data/b.csv", digest("b2")),
        (None, digest("holidays 2")),
    ]
    assert [d for _, d in answer(catalog, query, 1)][1] == digest("b1")


# ------------------------------------------------------------------------------------------- edges


def test_the_derivation_by_name_is_that_of_the_edges(journal, catalog):
    run = Run(journal)
    raw = run.observe("raw", table("raw"), source_file("x.csv", "x"))
    first = run.make("a", table("a"), used(raw), partition="1")
    reused = Run(journal).reuse(first, partition="1")
    edges = answer(catalog, "from lineage.derivation order by all")
    assert sorted(edges) == sorted([(first.id, raw.id), (reused.id, first.id)])
    down = answer(catalog, "select id from lineage.derived_into(?) order by id", raw.id)
    assert down == [(first.id,), (reused.id,)]


@pytest.mark.parametrize("name", ["", "r1", "nonsense", "r1.x", "rr.1", "r9.9"])
def test_of_a_name_that_no_materialization_has_nothing_comes(journal, catalog, name):
    model_pipeline(journal)
    for macro in ("derived_from", "derived_into", "made_of"):
        assert answer(catalog, f"from lineage.{macro}(?)", name) == []


def test_an_input_of_which_nothing_was_read_is_no_edge(journal, catalog):
    run = Run(journal)
    raw = run.make("raw", table("raw"))
    nothing = used(raw)._replace(mode="none", materialization="", content="", digest="")
    run.make("a", table("a"), nothing)
    assert answer(catalog, "from lineage.derivation") == []
    assert answer(catalog, "select count(*) from lineage.input") == [(1,)]
    assert answer(catalog, "select id from lineage.upstream_of('a@')") == []


# ------------------------------------------------------------------------------------------- times


def test_what_was_current_at_a_moment(journal, catalog):
    first, second = Run(journal, at=1000.0), Run(journal, at=2000.0)
    old = first.make("a", table("old"))
    gone = first.make("p", table("p"), partition="1")
    new = second.make("a", table("new"), seconds=100.0)
    second.retire(gone)
    query = "select materialization from lineage.current_at(make_timestamp(?::bigint)) order by 1"

    def shown(moment):
        return [name for (name,) in answer(catalog, query, int(moment * 1e6))]

    assert shown(1000.4) == []  # each took half a second
    assert shown(1000.5) == [old.id, gone.id]
    assert shown(2000.0) == [old.id]  # retired as the run began
    assert shown(2099.9) == [old.id]
    assert shown(2100.0) == [new.id]
    for day in ("'1970-01-01'", "date '1970-01-01'", "timestamp '1970-01-02'"):  # its end
        query = f"select materialization from lineage.current_at({day})"
        assert answer(catalog, query) == [(new.id,)]
    query = "select materialization from lineage.current_at(timestamp '1970-01-01')"
    assert answer(catalog, query) == []


def test_a_run_planned_earlier_never_overrides_a_later_one_at_any_moment(journal, catalog):
    early, late = Run(journal, at=1000.0), Run(journal, at=2000.0)
    shown = late.make("a", table("late"))
    early.make("a", table("early"), started_at=3000.0)
    query = "select materialization from lineage.current_at(timestamp '2000-01-01')"
    assert answer(catalog, query) == [(shown.id,)]


# ---------------------------------------------------------------------------------- superseded, cut


def test_superseded_says_which_columns_that_are_read_changed(journal, catalog):
    run = Run(journal)
    raw = run.make("raw", table("raw 1", "id=i", "delay=1", "note=1"))
    reads = {
        "whole": run.make("whole", table("w"), used(raw)),
        "some": run.make("some", table("s"), used(raw, "id", "delay")),
        "other": run.make("other", table("o"), used(raw, "id")),
    }
    assert answer(catalog, "from lineage.superseded") == []
    Run(journal).make("raw", table("raw 2", "id=i", "delay=2", "more=1"))
    query = (
        "select asset, materialization, columns_changed, matters from lineage.superseded order by 1"
    )
    assert answer(catalog, query) == [
        ("other", reads["other"].id, [], False),
        ("some", reads["some"].id, ["delay"], True),
        ("whole", reads["whole"].id, ["delay", "note"], True),
    ]


def test_one_that_saw_the_names_of_other_columns_minds_a_new_one_and_not_their_values(
    journal, catalog
):
    run = Run(journal)
    raw = run.make("raw", table("raw 1", "id=i", "note=1"))
    first = run.make("seen", table("s"), used(raw, "id")._replace(mode="shape"))
    query = "select columns_changed, matters from lineage.superseded"
    Run(journal).make("raw", table("raw 2", "id=i", "note=2"))
    assert answer(catalog, query) == [([], False)]
    run = Run(journal)
    raw = run.make("raw", table("raw 3", "id=i", "note=2", "more"))
    assert answer(catalog, query) == [([], True)]
    second = run.make("seen", table("s"), used(raw, "id")._replace(mode="shape"))
    changes = "select name, matters from lineage.changes(?, ?) order by all"
    assert answer(catalog, changes, first.id, second.id) == [
        ("raw.more", True),
        ("raw.note", False),
    ]


def test_a_reader_of_what_was_retired_rests_on_nothing_current(journal, catalog):
    run = Run(journal)
    part = run.make("raw", table("raw", "id=i"), partition="1")
    run.make("all", table("all"), used(part, "id"))
    run.retire(part)
    query = "select source_partition, current_version, matters from lineage.superseded"
    assert answer(catalog, query) == [("1", None, True)]


def test_a_reader_of_files_has_read_the_version_that_is_named_after_their_table(journal, catalog):
    def observed(text):
        seen = Used(
            "files", "raw", None, "files", digest(f"{text} file"), digest(f"{text} file"), ""
        )
        return seen, Run(journal).make("raw", table(text, "id=i"), seen, kind="files")

    seen, raw = observed("raw 1")
    path = seen._replace(parameter="raw", materialization=raw.id)
    reader = Run(journal).make("reader", model("reader 1"), path)
    Run(journal).make("beyond", model("beyond"), used(reader))
    ids = "select asset from lineage.{}(?) order by 1"
    assert answer(catalog, ids.format("upstream_of"), "beyond@") == [("raw",), ("reader",)]
    assert answer(catalog, ids.format("downstream_of"), "raw@") == [("beyond",), ("reader",)]
    superseded = "select materialization, matters from lineage.superseded"
    assert answer(catalog, superseded) == []
    observed("raw 2")
    assert answer(catalog, superseded) == [(reader.id, True)]


def test_cutoff_tells_who_was_spared_and_not_who_was_made_anyway(journal, catalog):
    first = Run(journal)
    a = first.make("a", table("a"), recipe="one")
    first.make("b", table("b"), used(a), seconds=3.0)
    first.make("c", table("c"), used(a), seconds=4.0)
    second = Run(journal)
    again = second.make("a", table("a"), recipe="two")
    second.make("c", table("c"), used(a), recipe="other")
    Run(journal).make("a", table("a"), recipe="two")  # by force: its reason was no change
    query = "select run, materialization, spared, seconds_saved from lineage.cutoff"
    assert answer(catalog, query) == [(second.id, again.id, ["b"], 3.0)]


def test_one_fingerprint_with_two_results_is_nondeterministic(journal, catalog):
    for text in ("x", "y"):
        run = Run(journal)
        run.make("random", table(text))
        run.make("steady", table("same"))
        run.make("raw", table(text), kind="fetch")
    query = "select asset, versions, made from lineage.nondeterministic"
    assert answer(catalog, query) == [("random", 2, 2)]


def test_what_differs_between_two_materializations_also_beside_a_table(journal, catalog):
    run = Run(journal)
    raw = run.make("raw", table("raw", "id=1", "note=1"))
    fitted = run.make("fit", model("fit 1"))
    one = run.make("m", model("m"), used(raw, "id"), used(fitted), parameters=(("k", "1"),))
    later = Run(journal)
    raw = later.make("raw", table("raw 2", "id=2", "note=2"))
    fitted = later.make("fit", model("fit 2"))
    two = later.make("m", model("m 2"), used(raw, "id"), used(fitted))
    query = """
        select x.kind, x.name, x.before is null, x.since is null, x.matters
        from (select ? as one, ? as two) pair, lineage.changes(pair.one, pair.two) x order by all
    """
    assert answer(catalog, query, one.id, two.id) == [
        ("column", "raw.id", False, False, True),
        ("column", "raw.note", False, False, False),
        ("input", "fit", False, False, True),
        ("parameter", "k", False, True, True),
    ]
    assert answer(catalog, query, one.id, one.id) == []
