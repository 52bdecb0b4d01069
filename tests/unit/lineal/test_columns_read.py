"""From files through SQL and Python to a model: no column that nobody reads remakes anything."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lineal.answers import Explanation
from lineal.assets.plan import condition
from lineal.assets.verdicts import Pending, Stale
from lineal.cli.describe import why_document
from lineal.project import Project

PIPELINE = '''
from typing import Annotated

import pandas as pd
from lineal import asset, columns, source, sql_asset, static

source("raw/orders", "orders-{shop}.csv")
source("raw/people", "people.csv")

orders = sql_asset("orders", "select * exclude (note) from raw.orders", partitions="raw/orders")
sql_asset("cities", """
    select city, sum(amount) as amount, count(*) as n
    from orders join raw.people using (person) group by all
""")
sql_asset("counted", "select count(*) as n from raw.people")
sql_asset("doubtful", "select rowid as place from raw.people")


@asset
def model(cities: Annotated[pd.DataFrame, columns("amount")]):
    return {"total": int(cities["amount"].sum())}
'''


class Shop:
    def __init__(self, folder: Path):
        self.folder, self.project = folder, Project(folder)

    def orders(self, shop: str, *rows: str, head: str = "id,person,amount,note") -> None:
        text = "\n".join((head, *rows, ""))
        (self.folder / f"orders-{shop}.csv").write_text(text)

    def people(self, *rows: str, head: str = "person,name,city") -> None:
        (self.folder / "people.csv").write_text("\n".join((head, *rows, "")))

    def made(self) -> set[str]:
        steps = self.project.materialize().steps
        assert not {s.outcome for s in steps} & {"failed", "skipped", "blocked"}
        return {str(s.step) for s in steps if s.outcome != "fresh"}

    def why(self, name: str) -> Explanation:
        found = self.project.why(name, None)
        assert isinstance(found, Explanation)
        return found

    def condition(self, name: str) -> str:
        (step,) = (s for s in self.project.plan().steps if s.step.asset == name)
        assert isinstance(step.verdict, Pending)
        return condition(step.verdict)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    (folder / "pipeline.py").write_text(PIPELINE)
    shop = Shop(folder)
    shop.orders("north", "1,1,10,a", "2,2,20,b")
    shop.orders("south", "3,1,30,c")
    shop.people("1,ann,Rome", "2,bob,Oslo")
    shop.made()
    return folder


@pytest.fixture
def shop(made_once: Path, tmp_path: Path) -> Shop:
    shutil.copytree(made_once, tmp_path / "shop")
    return Shop(tmp_path / "shop")


def test_a_change_goes_as_far_as_it_is_read(shop: Shop) -> None:
    shop.orders("north", "1,1,10,other", "2,2,20,b")
    assert shop.made() == {"raw/orders north"}
    shop.people("1,anna,Rome", "2,bob,Oslo")
    assert shop.condition("cities") == "if a column it reads of raw/people changes: person, city"
    assert shop.condition("counted") == "if raw/people has more or fewer rows"
    assert shop.condition("model") == "if a column it reads of cities changes: amount"
    assert shop.made() == {"raw/people", "doubtful"}
    shop.people("1,anna,Pisa", "2,bob,Oslo")
    assert shop.made() == {"raw/people", "doubtful", "cities"}
    shop.orders("north", "1,1,10,other", "7,2,20,b")
    assert shop.made() == {"raw/orders north", "orders north"}
    shop.orders("south", "3,1,35,c")
    assert shop.made() == {"raw/orders south", "orders south", "cities", "model"}
    shop.orders("south", "3,1,30,c")
    assert {s.outcome for s in shop.project.materialize().steps} == {"fresh", "reused"}


def test_a_new_column_is_read_by_those_who_take_all(shop: Shop) -> None:
    for name, row in (("north", "1,1,10,a,9"), ("south", "3,1,30,c,9")):
        shop.orders(name, row, *(["2,2,20,b,9"] if name == "north" else []),
                    head="id,person,amount,note,tip")  # fmt: skip
    made = {f"{name} {key}" for name in ("raw/orders", "orders") for key in ("north", "south")}
    assert shop.made() == made
    # A column that both inputs have is another join condition, or none at all: all is read.
    shop.people("1,ann,Rome,9", "2,bob,Oslo,9", head="person,name,city,tip")
    assert shop.made() == {"raw/people", "doubtful"}


def test_partitions_of_different_columns_are_read_whole_and_it_is_said(shop: Shop) -> None:
    shop.orders("south", "3,1,30,c,9", head="id,person,amount,note,tip")
    shop.project.materialize("orders")
    found = shop.why("cities")
    assert isinstance(found.step.verdict, Stale)
    told = {r.detail for r in found.step.verdict.reasons}
    assert "orders north: reads all columns now, before person, amount" in told
    doubts = {i["asset"]: i["doubt"] for i in why_document(found)["inputs"]}
    assert doubts["orders"] == "the partitions of `orders` differ in their columns"
    assert "rowid" in why_document(shop.why("doubtful"))["inputs"][0]["doubt"]
