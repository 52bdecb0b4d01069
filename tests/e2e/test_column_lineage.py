"""`lineal lineage ASSET --columns`, `ASSET.COLUMN`, and `derives=`, on a project that was made."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest

from tests.e2e.command_line import Workplace

CODE = """
    from typing import Annotated

    import pandas as pd

    from lineal import asset, columns, source, sql_asset

    source("raw/orders", "orders.csv")
    sql_asset("orders", "select id, cents / 100 as amount, md5(who) as who from raw.orders")


    @asset(derives={"double": "orders.amount"})
    def doubled(orders: Annotated[pd.DataFrame, columns("id", "amount")]) -> pd.DataFrame:
        return pd.DataFrame({"double": orders["amount"] * 2, "n": orders["id"]})
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    folder = Workplace(tmp_path_factory.mktemp("columns"))
    folder.write("pipeline.py", CODE)
    folder.write("orders.csv", "id,cents,who\n1,100,ann\n2,250,bob\n")
    said = folder.lineal("materialize")
    assert said.code == 0, said.err
    yield folder


def test_what_each_column_comes_from_is_told_up_to_the_source(place: Workplace) -> None:
    told = place.lineal("lineage", "orders", "--columns").out.splitlines()
    assert told[2:] == [
        "id",
        "└─ raw/orders.id",
        "amount",
        "└─ raw/orders.cents  transformed",
        "who",
        "└─ raw/orders.who  transformed, masked",
    ]
    told = place.lineal("lineage", "doubled", "--columns").out.splitlines()
    assert told[2:] == [
        "double",
        "└─ orders.amount  declared ← raw/orders.cents  transformed",
        "n",
        "└─ orders  opaque: any of amount, id ← raw/orders  opaque: any of cents, id",
    ]


def test_where_one_column_flows_is_told_and_given_as_json(place: Workplace) -> None:
    down = place.lineal("lineage", "raw/orders.cents", "--down")
    assert down.out.splitlines()[2:] == [
        "cents",
        "└─ orders.amount  transformed",
        "   ├─ doubled.double  declared",
        "   └─ doubled  opaque",
    ]
    found = place.lineal("lineage", "orders.who", "--json").json
    assert found["columns"] == [{"asset": "orders", "column": "who"}]
    assert found["edges"] == [
        {
            "source_asset": "raw/orders", "source_name": "who", "target_asset": "orders",
            "target_name": "who", "type": "DIRECT", "subtype": "TRANSFORMATION", "masking": True,
            "known": "parsed",
        }
    ]  # fmt: skip
    today = f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"
    for name in (f"orders@{today}.who", f"orders.who@{today}"):
        assert place.lineal("lineage", name, "--json").json == found
    early = place.lineal("lineage", "orders@2020-01-01T12:00.who")
    assert (early.code, "2020-01-01T12:00" in early.err, ".who" in early.err) == (2, True, False)
    twice = place.lineal("lineage", f"orders@{today}.who@{today}")
    assert (twice.code, "says twice which version" in twice.err) == (2, True)
    every = place.lineal("lineage", "--columns")
    assert (every.code, "which asset?" in every.err) == (2, True)
    edges = place.lineal("lineage", "--json").json["edges"]
    assert [e["columns"] for e in edges] == [["id", "cents", "who"], ["id", "amount"]]
    wrong = place.lineal("lineage", "orders.whom")
    assert wrong.code == 2
    assert "did you mean `who`" in wrong.err


def test_how_a_query_begins_is_told_as_it_is_written(place: Workplace) -> None:
    told = place.lineal("sql", "select value from lineage.code_part where kind = 'sql'", "--json")
    assert [row["value"][:44] for row in told.json] == [
        "select id, cents / 100 as amount, md5(who) a"
    ]


def test_a_declaration_makes_nothing_stale_and_a_false_one_is_not_recorded(
    place: Workplace,
) -> None:
    place.edit("pipeline.py", '"orders.amount"', '["orders.amount", "orders.id"]')
    assert "Nothing to do" in place.lineal("materialize").out
    place.edit("pipeline.py", '"orders.id"', '"orders.idd"')
    failed = place.lineal("materialize", "--force", "doubled")
    assert failed.code == 1
    assert "`orders.idd`" in failed.out + failed.err
    assert "did you mean `id`" in failed.out + failed.err
    place.edit("pipeline.py", '"orders.idd"', '"orders.id"')
    assert place.lineal("materialize", "--force", "doubled").code == 0
    told = place.lineal("lineage", "doubled.double").out
    assert "├─ orders.amount  declared" in told
    assert "└─ orders.id  declared ← raw/orders.id" in told
