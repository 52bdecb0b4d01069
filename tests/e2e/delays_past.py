"""A small project with a rich past: what the page of questions asks has an answer here."""

from __future__ import annotations

from pathlib import Path

from lineal.project import Project
from tests.e2e.command_line import Workplace

PIPELINE = '''
"""Flights and their delays."""

import time
from pathlib import Path
from typing import Annotated

import pandas as pd
from sklearn.tree import DecisionTreeRegressor

from helpers import LATE
from lineal import Result, Retry, asset, check, checks, columns, source, sql_asset

source("raw/flights", "data/flights-{month}.csv")
source("raw/airports", "data/airports.csv")


@asset(partitions="raw/flights", checks=[checks.drift("previous", ["delay", "distance"])])
def flights(raw_flights: pd.DataFrame) -> pd.DataFrame:
    """Flights of a month; late ones are marked."""
    return raw_flights.assign(late=raw_flights["delay"] > LATE)


@check(flights)
def distances_are_positive(flights: pd.DataFrame):
    return flights[flights["distance"] <= 0]


by_city = sql_asset(
    "by_city",
    """select a.city, count(*) as flights, avg(f.delay) as delay
    from flights f join raw_airports a on a.code = f.origin group by a.city""",
    primary_key="city",
)


@check(by_city, severity="warn")
def cities_have_flights(by_city: pd.DataFrame):
    return by_city[by_city["flights"] < 2]


@asset
def codes(raw_airports: Annotated[pd.DataFrame, columns("code")]) -> list:
    """All codes."""
    return list(raw_airports["code"])


@asset
def report(by_city: pd.DataFrame) -> str:
    return by_city.to_csv(index=False)


@asset
def delay_model(
    flights: Annotated[pd.DataFrame, columns("distance", "delay")], depth: int = 1
) -> Result:
    """Predicts the delay."""
    model = DecisionTreeRegressor(max_depth=depth, random_state=0)
    return Result(
        model.fit(flights[["distance"]], flights["delay"]), metrics={"rows": len(flights)}
    )


@asset(retry=Retry(2, delay=0, jitter=0))
def weather() -> list:
    asked = Path(__file__).with_name("asked")
    if not asked.exists():
        asked.touch()
        raise ConnectionError("no answer")
    return [1, 2]


@asset
def stamp() -> int:
    return time.time_ns()


@asset
def notes() -> str:
    return (Path(__file__).parent / "notes.txt").read_text() + more()


def more() -> str:
    try:
        return (Path(__file__).parent / "more.txt").read_text()
    except FileNotFoundError:  # a file that was looked for, and none
        return ""
'''
MONTHS = {
    "2026-01": "id,origin,distance,delay\n1,JFK,100,5\n2,JFK,200,20\n3,LGA,300,40\n",
    "2026-02": "id,origin,distance,delay\n4,JFK,100,9999\n5,EWR,200,30\n",  # the bad file
    "2026-03": "id,origin,distance,delay\n6,EWR,400,50\n",
}
GOOD = "id,origin,distance,delay\n4,JFK,100,10\n5,EWR,200,30\n"
AIRPORTS = "code,city,note\nJFK,New York,a\nLGA,New York,b\nEWR,Newark,c\n"


def tell(root: Path) -> Workplace:
    """Live through it: nine runs, two registered models, and an edit that nobody made real yet."""
    place = Workplace(root)
    for month, text in MONTHS.items():
        place.write(f"data/flights-{month}.csv", text)
    place.write("data/airports.csv", AIRPORTS)
    place.write("notes.txt", "remember\n")
    place.write("helpers.py", "LATE = 15\n")
    place.write("pipeline.py", PIPELINE)
    place.make()
    Project(root).promote("delays", reason="the first", asset="delay_model")
    # The bad file is replaced, a file goes away, a late one arrives, and the model grows.
    place.write("data/flights-2026-02.csv", GOOD)
    (root / "data" / "flights-2026-03.csv").unlink()
    place.write("data/flights-2025-12.csv", "id,origin,distance,delay\n0,LGA,500,60\n")
    place.edit("pipeline.py", "depth: int = 1", "depth: int = 2")
    place.make()
    Project(root).promote("delays", reason="more months", asset="delay_model")
    # Code that gives the same marks: whoever reads them is spared.
    place.edit("helpers.py", "LATE = 15", "LATE = 16")
    place.make()
    place.make("--force", "stamp")
    # A file that a check refuses, and takes back.
    place.write("data/flights-2026-01.csv", MONTHS["2026-01"].replace("300", "-300"))
    assert place.lineal("materialize", "flights").code == 1
    place.write("data/flights-2026-01.csv", MONTHS["2026-01"])
    place.make()
    # A column that some read changed, and only the source was looked at.
    place.write("data/airports.csv", AIRPORTS.replace("Newark,c", "Newark NJ,d"))
    place.make("raw/airports")
    return place
