"""The view `column_lineage`, and the lineage of columns as it is drawn."""

import pytest

from lineal.assets.errors import UsageError
from lineal.assets.records import AssetFacts, Recipe, RecipePart
from lineal.lineage.catalog import Catalog
from lineal.lineage.column_tree import lineage_of, to_json, to_text
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from lineal.lineage.tree import resting_on, upstream
from tests.unit.lineage.story import Run, digest, model, source_file, table, used

ORDERS = "select id, cents / 100 as amount, status from raw.orders"
REVENUE = "select sum(doubled(amount)) as revenue, count(id) as n from orders where status > 0"
DOUBLED = "create macro doubled(x) as x * 2"


def sql(text, *macros):
    parts = [RecipePart("q", "sql", digest(text), text=text)]
    parts += [RecipePart("m", "macro", digest(m), text=m) for m in macros]
    return Recipe(digest(text), tuple(parts))


def tell(journal):
    """A source, two queries on it (the first by partitions, in two runs), two Python assets."""
    recipes = [sql(ORDERS), sql(REVENUE, DOUBLED)]
    told = AssetFacts("speeds", "python", "", "", (), "p.py:1")
    journal.append([*recipes, told._replace(derives=(("speed", "orders", "nothing_there"),))])
    journal.append(
        [
            told._replace(derives=(("speed", "orders", "amount"), ("gone", "orders", "id"))),
            told._replace(asset="some", derives=(("t", "orders", "status"),)),
            told._replace(asset="each", derives=(("t", "orders", "status"),)),
        ]
    )
    made = {}
    for n in (1, 2):
        run = Run(journal)
        raw = run.observe(
            "raw/orders", table(f"raw {n}", "id", "cents", "status"), source_file("o.csv", str(n))
        )
        parts = [
            run.make(
                "orders", table(f"orders {n}{p}", "id", "amount", "status"), used(raw), kind="sql",
                recipe=recipes[0].digest, partition=p,
            )
            for p in ("a", "b")
        ]  # fmt: skip
        revenue = run.make(
            "revenue", table(f"revenue {n}", "revenue", "n"), *map(used, parts), kind="sql",
            recipe=recipes[1].digest,
        )  # fmt: skip
        speeds = run.make("speeds", table(f"speeds {n}", "speed", "other"), used(parts[0]))
        few = used(parts[0], "id", "status")
        partly = run.make("some", table(f"some {n}", "t", "p"), few)
        fully = run.make("each", table(f"each {n}", "t"), few)
        scores = run.make("scores", table(f"scores {n}", "score"), used(speeds, "speed"))
        made = {"model": run.make("model", model(f"m {n}"), used(scores), used(speeds, "other"))}
        made |= {m.asset: m for m in (raw, revenue, speeds, scores, partly, fully)} | {
            "orders a": parts[0]
        }
        run.end()
    return made


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    journal = Journal(tmp_path_factory.mktemp("past") / ".lineal")
    made = tell(journal)
    history = History.open(journal, journal.root / "cache")
    yield Catalog(journal.root, journal), history, made
    history.close()


def answer(catalog, query):
    connection, _ = catalog.connect_for_questions()
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def seen(past, materialization):
    catalog, _, made = past
    found = answer(
        catalog,
        "select distinct source_asset || coalesce(' ' || source_partition, '') || '.' ||"
        " coalesce(source_name, '?'), coalesce(target_name, '*'), type, subtype, masking, known"
        f" from lineage.column_lineage where materialization = '{made[materialization].id}'",
    )
    return {(a, b, subtype or kind, mask, known) for a, b, kind, subtype, mask, known in found}


def test_of_a_query_its_text_says_what_each_column_comes_from(past):
    assert seen(past, "orders a") == {
        ("raw/orders.id", "id", "IDENTITY", False, "parsed"),
        ("raw/orders.cents", "amount", "TRANSFORMATION", False, "parsed"),
        ("raw/orders.status", "status", "IDENTITY", False, "parsed"),
    }
    assert seen(past, "revenue") == {
        (f"orders {p}.{name}", *rest)
        for p in "ab"
        for name, *rest in [
            ("amount", "revenue", "AGGREGATION", False, "parsed"),
            ("id", "n", "AGGREGATION", True, "parsed"),
            ("status", "*", "FILTER", False, "parsed"),
        ]
    }


def test_of_python_only_what_is_declared_is_known_and_the_rest_is_opaque(past):
    assert seen(
        past, "speeds"
    ) == {  # the newest declaration; nothing of a column that is not there
        ("orders a.amount", "speed", "DIRECT", False, "declared"),
        ("orders a.?", "other", None, False, "opaque"),
    }
    assert seen(past, "scores") == {("speeds.speed", "*", None, False, "declared")}
    assert seen(past, "model") == {
        ("scores.?", "*", None, False, "opaque"),
        ("speeds.other", "*", None, False, "declared"),
    }
    assert seen(past, "raw/orders") == set()


def test_what_is_derived_of_some_columns_opens_no_others(past):
    derived = ("orders a.status", "t", "DIRECT", False, "declared")
    assert seen(past, "some") == {
        derived,
        ("orders a.id", "p", None, False, "declared"),
        ("orders a.status", "p", None, False, "declared"),
    }
    assert seen(past, "each") == {derived, ("orders a.id", "*", None, False, "declared")}
    catalog, history, made = past
    told = lineage_of(upstream(history, made["some"]), catalog, None, down=False)
    assert to_text(told, 80).splitlines()[2:6] == [
        "t",
        "└─ orders.status  declared ← raw/orders.status",
        "p",
        "└─ orders  opaque: any of id, status ← raw/orders  opaque: any of id, status",
    ]


def test_equal_queries_over_equal_columns_are_read_once(past):
    catalog, _, made = past
    sets = "select edges, count(*) from lineage.edge_set group by all order by 2"
    assert [count for _, count in answer(catalog, sets)] == [2, 4]
    assert answer(catalog, "select count(*) from lineage.column_edge") == [(6,)]
    version = f"revenue@{made['revenue'].content.digest}"
    count = f"select count(*) from lineage.column_lineage where target_version = '{version}'"
    assert answer(catalog, count) == [(6,)]


def test_entry_by_entry_the_edges_are_the_same_as_all_at_once(past, tmp_path):
    catalog, _, _ = past
    journal = Journal(tmp_path / "copy")
    stepwise = Catalog(journal.root, journal)
    for _, facts in catalog._journal.read():
        journal.append(facts)
        stepwise.bring_up_to_date()
    for name in ("column_edge", "edge_set", "column_lineage"):
        query = f"select * from lineage.{name} order by all"
        assert answer(stepwise, query) == answer(catalog, query) != []
    assert stepwise.damage() is None


def test_a_column_is_followed_up_to_the_sources(past):
    catalog, history, made = past
    told = lineage_of(upstream(history, made["revenue"]), catalog, None, down=False)
    assert to_text(told, 80).splitlines()[2:] == [
        "revenue",
        "└─ orders.amount  aggregated ← raw/orders.cents  transformed",
        "n",
        "└─ orders.id  aggregated, masked ← raw/orders.id",
        "rows of revenue",
        "└─ orders.status  filter ← raw/orders.status",
    ]
    one = lineage_of(upstream(history, made["revenue"]), catalog, "n", down=False)
    assert to_json(one)["columns"] == [{"asset": "revenue", "column": "n"}]
    assert {edge["source_name"] for edge in to_json(one)["edges"]} == {"id", "status"}
    with pytest.raises(UsageError, match=r"no column `revenu`; did you mean `revenue`"):
        lineage_of(upstream(history, made["revenue"]), catalog, "revenu", down=False)


def test_a_column_is_followed_down_to_where_it_is_not_known_any_more(past):
    catalog, history, made = past
    told = lineage_of(resting_on(history, made["raw/orders"]), catalog, "cents", down=True)
    assert to_text(told, 80).splitlines()[2:] == [
        "cents",
        "└─ orders.amount  transformed",
        "   ├─ revenue.revenue  aggregated",
        "   ├─ speeds.speed  declared → scores  opaque → model  opaque",
        "   └─ speeds  opaque",
        "      ├─ model  opaque",
        "      └─ scores  opaque  (above)",
    ]


def test_of_a_model_it_says_which_columns_were_read(past):
    catalog, history, made = past
    told = lineage_of(upstream(history, made["model"]), catalog, None, down=False)
    assert to_text(told, 60).splitlines()[2:] == [
        "model",
        "├─ scores  opaque ← speeds.speed  opaque",
        "│  └─ orders.amount  declared",
        "│     └─ raw/orders.cents  transformed",
        "└─ speeds.other  opaque ← orders  opaque",
        "   └─ raw/orders  opaque: any of cents, id, status",
    ]
