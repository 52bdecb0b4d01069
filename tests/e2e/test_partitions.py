"""Partitions from files to the best of a grid: what is read, made, left alone and refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.command_line import Said, Workplace

PAGE = Path(__file__).resolve().parents[2] / "docs" / "partitions.md"

BY_MONTH = """
from pathlib import Path
from typing import Annotated

import pandas as pd

from lineal import Partition, Result, asset, every, last, only, previous, source, sql_asset
from lineal import grid, sql_assets, static

source("raw/orders", "data/orders-{month}.csv")


@asset(partitions="raw/orders")
def clean(raw_orders: pd.DataFrame, partition: Partition) -> pd.DataFrame:
    inside = partition.start <= pd.Timestamp(f"{partition}-02", tz="UTC") < partition.end
    return raw_orders.assign(month=str(partition), inside=inside)


@asset(partitions=clean)
def trend(clean: Annotated[pd.DataFrame, last(2)]) -> list:
    return clean["amount"].tolist()


@asset(partitions=clean)
def before(clean: Annotated[pd.DataFrame, previous()]) -> list | None:
    return None if clean is None else clean["amount"].tolist()


@asset
def total(clean) -> list:
    return clean["amount"].tolist()


@asset
def by_key(clean: dict[str, pd.DataFrame], raw_orders: dict[str, Path]) -> dict:
    names = [path.name for path in raw_orders.values()]
    return {month: len(table) for month, table in clean.items()} | {"names": names}


@asset
def first(clean: Annotated[pd.DataFrame, only("2013-01")]) -> list:
    return clean["amount"].tolist()


@asset(partitions=static(["small", "large"]))
def sized(clean: Annotated[pd.DataFrame, every()], partition: Partition) -> list:
    wanted = clean["amount"] > 15 if partition == "large" else clean["amount"] <= 15
    return clean["amount"][wanted].tolist()


sql_asset(
    "span",
    "select $partition as month, $start as starts, $end as ends, count(*) as orders from clean",
    partitions="clean",
)
sql_assets("sql")
sql_asset("scaled", "select 2 * $factor as twice, $partition key", partitions=grid(factor=[2, 3]))
"""
READERS_OF_ALL = {("total", None), ("by_key", None), ("sized", "small"), ("sized", "large")}
OF_A_MONTH = {"clean", "trend", "before", "span", "recent"}


@pytest.fixture
def shop(empty: Workplace) -> Workplace:
    empty.write("pipeline.py", BY_MONTH)
    empty.write(
        "sql/recent.sql",
        """
        /* lineal
        partitions = "clean"
        inputs = { clean = "last(2)" }
        */
        select sum(amount) as amount, min(month) as since from clean
        """,
    )
    for month, amount in (("2013-01", 10), ("2013-02", 20), ("2013-03", 30)):
        orders(empty, month, amount)
    return empty


def orders(place: Workplace, month: str, amount: int) -> None:
    place.write(f"data/orders-{month}.csv", f"id,amount\n1,{amount}\n2,{amount + 1}\n")


def units(said: Said, outcome: str = "made") -> set[tuple[str, str | None]]:
    return {(s["asset"], s["partition"]) for s in said.json["steps"] if s["outcome"] == outcome}


def values(place: Workplace, *names: str, partition: str | None = None) -> list[object]:
    import lineal

    project = lineal.open(place.root)
    return [project.load(name, partition=partition) for name in names]


def test_each_reader_gets_the_months_it_asks_for(shop: Workplace) -> None:
    run = shop.make()
    assert run.json["counts"] == run.json["counts"] | {"made": 3 + 3 * 5 + 5 + 2, "failed": 0}
    assert values(shop, "total", "first") == [[10, 11, 20, 21, 30, 31], [10, 11]]
    files = [f"orders-2013-0{n}.csv" for n in (1, 2, 3)]
    assert values(shop, "by_key") == [
        {"2013-01": 2, "2013-02": 2, "2013-03": 2, "names": files},
    ]
    assert values(shop, "trend", "before", partition="2013-01") == [[10, 11], None]
    assert values(shop, "trend", "before", partition="2013-03") == [[20, 21, 30, 31], [20, 21]]
    assert values(shop, "sized", partition="large") == [[20, 21, 30, 31]]
    spans = shop.lineal(
        "sql", "select month, orders, date_diff('day', starts, ends) as days from span", "--json"
    ).json
    assert spans == [
        {"month": "2013-01", "orders": 2, "days": 31},
        {"month": "2013-02", "orders": 2, "days": 28},
        {"month": "2013-03", "orders": 2, "days": 31},
    ]
    scaled = shop.lineal("sql", "select twice, key from scaled", "--json").json
    assert [tuple(row.values()) for row in scaled] == [(4, "factor=2"), (6, "factor=3")]
    windows = shop.lineal("sql", "from recent order by since, amount", "--json").json
    assert [row["amount"] for row in windows] == [21, 62, 102]
    rows = shop.lineal("sql", "select count(*) as n, bool_and(inside) as i from clean", "--json")
    assert rows.json == [{"n": 6, "i": True}]
    assert shop.make().json["counts"]["fresh"] == 25


def test_accepting_a_change_makes_every_partition_fresh_whatever_code_made_it(
    shop: Workplace,
) -> None:
    assert "never made" in shop.lineal("accept", "clean", "--reason", "none").err
    shop.make("trend")
    shop.edit("pipeline.py", "month=str(partition)", "month=partition[:]")
    shop.make("clean", "--partition", "2013-01")
    shop.edit("pipeline.py", "month=partition[:]", "month=f'{partition}'")
    assert len(shop.plan("clean").steps("stale")) == 1
    assert shop.lineal("accept", "clean", "--reason", "columns alike").code == 0
    assert {s["verdict"] for s in shop.plan("clean").json["steps"]} == {"fresh"}


def test_what_happens_to_a_month_happens_to_what_reads_it_and_nothing_else(
    shop: Workplace,
) -> None:
    shop.make()
    orders(shop, "2013-03", 40)  # corrected
    unread = {"before", "span"}  # span counts the rows, of which there are as many
    march = {(name, "2013-03") for name in OF_A_MONTH - unread} | {("raw/orders", "2013-03")}
    assert units(shop.make()) == march | READERS_OF_ALL
    orders(shop, "2013-04", 50)  # late
    april = {(name, "2013-04") for name in OF_A_MONTH | {"raw/orders"}}
    assert units(shop.make()) == april | READERS_OF_ALL
    (shop.root / "data/orders-2013-02.csv").unlink()  # gone
    plan = shop.lineal("plan").out
    assert re.search(r"total .*clean 2013-02 +→ gone", " ".join(plan.split())), plan
    # March has January before it now.
    assert units(shop.make()) == READERS_OF_ALL | {
        ("trend", "2013-03"), ("before", "2013-03"), ("recent", "2013-03"),
    }  # fmt: skip
    retired = shop.lineal(
        "sql", "--json",
        "select distinct partition, reason from lineage.retirement where asset = 'raw/orders'",
    ).json  # fmt: skip
    assert [row["partition"] for row in retired] == ["2013-02"]
    assert "gone" in retired[0]["reason"]
    assert values(shop, "total") == [[10, 11, 40, 41, 50, 51]]
    assert shop.lineal("sql", "select count(*) as n from clean", "--json").json == [{"n": 6}]
    assert not units(shop.make())


def test_words_of_partition_choose_and_what_does_not_exist_is_told(shop: Workplace) -> None:
    run = shop.make("clean", "--partition", "2013-01..2013-02")
    assert {key for _, key in units(run)} == {"2013-01", "2013-02"}
    assert {key for _, key in units(shop.make("trend", "--partition", "2013-03"))} == {"2013-03"}
    assert {key for _, key in units(shop.make("trend", "--partition", "2013-*"))} == {
        "2013-01", "2013-02",
    }  # fmt: skip
    for word, told in (
        ("2013-07", "2013-07"),
        ("2013-03..2013-01", "runs backwards"),
        ("2013-3", "2013-03"),
    ):
        said = shop.lineal("materialize", "clean", "--partition", word)
        assert (said.code, told in said.err) == (2, True), said.err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "@asset(partitions=static(['eu']))\ndef x(clean): return 1",
            "last(7), every(), previous() or only",
        ),
        ("sql_asset('x', 'from clean', partitions=static(['eu']))", "last(7), every()"),
        ("sql_asset('x', 'from clean', inputs={'total': last(2)})", "its SQL does not read"),
        ("sql_asset('x', 'from clean', inputs={'clean': 'total'})", "which partitions are read"),
        ("@asset\ndef x(total: Annotated[list, last(2)]): return 1", "`last(2)` says nothing"),
        (
            "@asset\ndef x(clean: Annotated[list, only('2013-1')]): return 1",
            "`clean` of `x`",
        ),
    ],
)
def test_a_reading_that_is_not_settled_is_refused_before_anything_runs(
    shop: Workplace, text: str, told: str
) -> None:
    shop.write("pipeline.py", BY_MONTH.lstrip() + "\n\n" + text + "\n")
    said = shop.lineal("plan")
    assert said.code == 2
    assert told in " ".join(said.err.split()), said.err
    assert "``" not in said.err


def test_a_header_says_what_is_wrong_with_its_marker(shop: Workplace) -> None:
    shop.edit("sql/recent.sql", "last(2)", "lst(2)")
    said = shop.lineal("plan")
    assert said.code == 2
    assert "recent.sql:3" in said.err
    assert "'lst(2)' is not a marker" in said.err


def test_one_result_of_several_partitions_is_refused(empty: Workplace) -> None:
    empty.write(
        "pipeline.py",
        """
        from lineal import Result, asset, static

        @asset(partitions=static(["a", "b"]))
        def one():
            return 1

        @asset
        def x(one: Result):
            return 1
        """,
    )
    said = empty.lineal("materialize")
    assert said.code == 1
    assert "dict[str, Result]" in said.out + said.err


# ------------------------------------------------------------------------------- the best of a grid

GRID = """
from pathlib import Path

import pandas as pd

from lineal import Result, asset, best_of, check, grid


@asset
def train() -> pd.DataFrame:
    return pd.DataFrame({"x": [1, 2, 3]})


@asset(partitions=grid(rate=[0.1, 0.3], depth=[2, 3]))
def candidate(train: pd.DataFrame, *, rate: float, depth: int, scale: int = 1) -> Result:
    table = train.assign(x=train["x"] * rate * depth)[::-1]
    return Result(table, {"auc": 1 - abs(rate - 0.25), "loss": rate * depth * scale})


best_of(candidate, metric="auc")
best_of("candidate", metric="loss", direction="min", name="leanest")


@asset
def use(best_candidate: pd.DataFrame) -> float:
    return float(best_candidate["x"].sum())


@check("best_candidate")
def none_is_better(best_candidate, candidate: dict[str, Result]) -> bool:
    best = max(candidate.values(), key=lambda each: each.metrics["auc"])
    return best.value.equals(best_candidate)


@asset
def values_of(candidate: dict[str, Result]) -> Result:
    good = next(each for each in candidate.values() if each.metrics["auc"] > 0.9)
    assert good.value is good.value
    return Result(float(good.value["x"].sum()), good.metrics)
"""


def contents(place: Workplace) -> dict[tuple[str, str | None], str]:
    query = "select current.asset, current.partition, m.content from lineage.current"
    found = place.lineal(
        "sql", "--json", f"{query} join lineage.materialization m on m.id = materialization"
    )
    assert found.code == 0, found.err
    return {(row["asset"], row["partition"]): row["content"] for row in found.json}


def test_a_grid_is_made_point_by_point_and_its_best_is_one_of_them(empty: Workplace) -> None:
    empty.write("pipeline.py", GRID)
    run = empty.make()
    assert len(units(run)) == 9
    found = contents(empty)
    assert found["best_candidate", None] == found["candidate", "rate=0.3,depth=2"]
    assert found["leanest", None] == found["candidate", "rate=0.1,depth=2"]
    assert len({found["candidate", key] for _, key in found if key}) == 4
    (chosen,) = empty.lineal(
        "sql", "--json",
        """select metadata->>'partition' as partition, len(metadata->'candidates'->'$[*]') as of,
        (select value from lineage.metric where materialization = m.id and name = 'loss') as loss
        from lineage.materialization m where asset = 'best_candidate'""",
    ).json  # fmt: skip
    assert chosen == {"partition": "rate=0.3,depth=2", "of": 4, "loss": 0.6}
    assert empty.make().json["counts"]["fresh"] == 9

    empty.edit("pipeline.py", "rate=[0.1, 0.3]", "rate=[0.1, 0.3, 0.5]")  # more of them
    assert units(empty.make("--jobs", "2")) == {
        ("candidate", "rate=0.5,depth=2"), ("candidate", "rate=0.5,depth=3"),
        ("best_candidate", None), ("leanest", None), ("values_of", None),
    }  # fmt: skip
    assert contents(empty) == contents(empty) | found  # the same won: what reads it is fresh

    empty.edit("pipeline.py", "rate=[0.1, 0.3, 0.5]", "rate=[0.1, 0.5]")  # the winner is gone
    run = empty.lineal("materialize", "--json", "--exclude", "values_of")
    assert units(run) == {("best_candidate", None), ("leanest", None), ("use", None)}
    assert "order" not in run.out
    retired = empty.lineal("sql", "select partition from lineage.retirement order by all", "--json")
    assert [row["partition"] for row in retired.json] == ["rate=0.3,depth=2", "rate=0.3,depth=3"]


def test_the_best_is_handed_on_without_being_opened(empty: Workplace) -> None:
    empty.write(
        "pipeline.py",
        """
        from lineal import Result, asset, best_of, register, static


        class Sealed:
            pass


        def load(path):
            raise AssertionError("it was opened")


        register(Sealed, "seal", lambda sealed, path: path.write_bytes(b"sealed"), load)


        @asset(partitions=static(["a", "b"]))
        def sealed(partition):
            return Result(Sealed(), {"size": 1 + (partition == "b")})


        @asset
        def mine(sealed: dict[str, Result]):
            return sealed["a"]


        best_of(sealed, metric="size")
        """,
    )
    for words in (), ("--force", "best_sealed", "--force", "mine", "--jobs", "2"):
        assert {("best_sealed", None), ("mine", None)} <= units(empty.make(*words))
        found = contents(empty)
        assert found["best_sealed", None] == found["sealed", "b"]
        assert found["mine", None] == found["sealed", "a"]


def test_another_metric_or_direction_is_another_choice(empty: Workplace) -> None:
    empty.write("pipeline.py", GRID)
    empty.make("best_candidate")
    empty.edit("pipeline.py", 'each.metrics["auc"])', 'each.metrics["loss"])')
    empty.edit("pipeline.py", 'metric="auc")', 'metric="loss")')
    assert "metric" in empty.lineal("plan", "best_candidate").out
    assert units(empty.make("best_candidate", "--jobs", "2")) == {("best_candidate", None)}
    assert (
        contents(empty)["best_candidate", None] == contents(empty)["candidate", "rate=0.3,depth=3"]
    )
    empty.edit("pipeline.py", 'metric="loss")', 'metric="los")')
    said = empty.lineal("materialize", "best_candidate", "use")
    assert said.code == 1
    told = " ".join((said.out + said.err).split())
    assert "`rate=0.1,depth=2` has no metric `los`; did you mean `loss`?" in told
    assert "pipeline.py:19" in told
    assert ("best_candidate", None) in contents(empty)  # the choice before stays


def test_a_setting_of_an_axis_is_refused_and_says_why(empty: Workplace) -> None:
    empty.write("pipeline.py", GRID)
    said = empty.lineal("plan", "-p", "candidate.rate=0.2")
    assert said.code == 2
    assert "it is an axis of the grid of `candidate`" in said.err
    empty.write("lineal.toml", "[parameters.candidate]\nscale = 2\ndepth = 3\n")
    said = empty.lineal("plan")
    assert said.code == 2
    assert "`candidate.depth` can't be set" in said.err


# -------------------------------------------------------------------------------------- the page


def test_the_blocks_of_the_page_on_partitions_are_one_project(empty: Workplace) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    empty.write("pipeline.py", "\n\n".join(blocks))
    for month, delay in (("2013-01", 5), ("2013-02", 25)):
        times = f"{month}-01T10:00:00Z,{delay}\n{month}-02T10:00:00Z,{delay + 1}\n"
        empty.write(f"data/flights-{month}.csv", f"time,delay\n{times}")
    run = empty.make()
    assert len(units(run)) == 6 + 1 + 6 + 1 + 1 + 1
    assert values(empty, "busiest", "sentence", "simplest") == [
        "2013-01", "Count on 26 minutes.", 25.5,
    ]  # fmt: skip


def remade(place: Workplace, before: str, after: str) -> set[tuple[str, str | None]]:
    """The steps that are made once a text in the pipeline is another."""
    text = (place.root / "pipeline.py").read_text()
    assert before in text
    place.write("pipeline.py", text.replace(before, after))
    return units(place.make())


def test_a_partition_in_another_zone_is_seen_where_its_times_are_handed_over(
    empty: Workplace,
) -> None:
    days = 'partitions=daily("2013-01-30", "2013-01-30", tz="Europe/Berlin")'
    empty.write(
        "pipeline.py",
        f"""
        from lineal import Partition, asset, daily, sql_asset

        @asset({days})
        def zone(partition: Partition) -> str:
            return str(partition.start.tzinfo)

        @asset({days})
        def blind() -> str:
            return "the same"

        sql_asset("moment", "select $start as start", {days})
        """,
    )
    empty.make()
    assert remade(empty, "Berlin", "Paris") == {("zone", "2013-01-30")}
    assert values(empty, "zone", partition="2013-01-30") == ["Europe/Paris"]


def test_what_a_key_stands_for_is_seen_by_its_name(empty: Workplace) -> None:
    empty.write("data/eu.csv", "a\n1\n")
    empty.write(
        "pipeline.py",
        """
        import pandas as pd

        from lineal import Partition, asset, by_column, source

        source("raw/rows", "data/{region}.csv")

        @asset(partitions="raw/rows")
        def here(raw_rows, partition: Partition) -> str:
            return "region" if "region" in vars_of(partition) else "zone"

        @asset(partitions=by_column("old"))
        def split() -> pd.DataFrame:
            return pd.DataFrame({"old": ["a"], "new": ["a"]})

        @asset(partitions="split")
        def part(split, partition: Partition) -> str:
            return " ".join(vars_of(partition))

        def vars_of(partition):
            found = []
            for name in ("region", "zone", "old", "new"):
                try:
                    partition[name]
                except KeyError:
                    continue
                found.append(name)
            return found
        """,
    )
    empty.make()
    assert remade(empty, "{region}", "{zone}") >= {("here", "eu")}
    assert remade(empty, 'by_column("old")', 'by_column("new")') >= {("part", "a")}
    assert values(empty, "here", partition="eu") == ["zone"]
    assert values(empty, "part", partition="a") == ["new"]


def test_nothing_to_read_arrives_in_different_ways(empty: Workplace) -> None:
    empty.write("data/2013-02.csv", "a\n1\n")
    empty.write(
        "pipeline.py",
        """
        from typing import Annotated

        import pandas as pd

        from lineal import asset, every, monthly, previous, source

        source("raw/rows", "data/{month}.csv")

        @asset(partitions=monthly("2013-02", "2013-02"))
        def none(raw_rows: pd.DataFrame) -> pd.DataFrame:
            return raw_rows

        @asset(partitions=monthly("2013-01", "2013-01"))
        def late(none: Annotated[pd.DataFrame, previous()]) -> str:
            return str(none)
        """,
    )
    empty.make()
    assert values(empty, "late", partition="2013-01") == ["None"]
    (empty.root / "data/2013-02.csv").rename(empty.root / "data/2012-02.csv")
    empty.make()
    one, many = "pd.DataFrame, previous()", "dict[str, pd.DataFrame], every()"
    assert remade(empty, one, many) == {("late", "2013-01")}
    assert values(empty, "late", partition="2013-01") == ["{}"]
