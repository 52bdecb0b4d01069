"""Will this flight come late? From the files of 2013 to the model that answers in production."""

import json
import shutil
from pathlib import Path
from typing import Annotated

import pandas as pd
from features import CATEGORIES, NEW_YORK, add_age, add_calendar, add_label, minutes
from matplotlib.figure import Figure
from models import FEATURES, boosted, chance, fit, logistic, ranking, score
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import roc_curve

from lineal import (
    Promotion,
    Result,
    action,
    asset,
    best_of,
    check,
    checks,
    columns,
    gate,
    grid,
    source,
    sql_assets,
)

# Ingest. Sources are watched by content; a CSV is a table, unless its readers take a Path.
source("raw/flights", "data/flights-{month}.csv")  # a partition a month
source("raw/weather", "data/weather.csv")
source("raw/planes", "data/planes.csv")
source("raw/airports", "data/airports.csv")
source("raw/airlines", "data/airlines.csv")

FLIGHT = ("time_hour", "carrier", "flight")  # local dates won't do: a number can fly twice a day


# Validate. A version that fails a check never becomes current: nothing downstream sees it.
@asset(
    partitions="raw/flights",
    primary_key=FLIGHT,
    checks=[
        checks.not_null("origin", "dest", "sched_dep_time"),
        checks.between("distance", 1, 5000),
        checks.references("carrier", "raw/airlines"),
    ],
)
def flights(raw_flights: Path) -> pd.DataFrame:
    """Every flight that should have left New York City in a month of 2013."""
    return pd.read_csv(raw_flights, parse_dates=["time_hour"])


Clock = Annotated[pd.DataFrame, columns(*FLIGHT, "dep_time", "sched_dep_time", "dep_delay")]


@check(flights)
def clock_and_delay_agree(flights: Clock) -> pd.DataFrame:
    """The flights whose delay is not what the clock says, give or take whole days."""
    left = flights[flights["dep_time"].notna()]
    away = minutes(left["dep_time"]) - minutes(left["sched_dep_time"]) - left["dep_delay"]
    return left[away % (24 * 60) != 0]


# Only these columns are handed over: a change in one of the other nine makes nothing stale.
Hours = Annotated[
    pd.DataFrame, columns("origin", "time_hour", "humid", "wind_speed", "precip", "visib")
]


@asset(primary_key=("origin", "time_hour"))  # UTC: in local time an hour of November comes twice
def weather(raw_weather: Hours) -> pd.DataFrame:
    """The weather of each hour at the three airports, without a wind of 1,048 mph."""
    wind = raw_weather["wind_speed"]
    return raw_weather.assign(wind_speed=wind.where(wind < 150))


# Transform, month by month. Each file of sql/ is an asset, named as the file.
sql_assets("sql")


@asset(partitions=flights, primary_key=FLIGHT, checks=[checks.between("age", 0, 60)])
def features(trips: pd.DataFrame) -> pd.DataFrame:
    """What is known of a flight an hour before it leaves, and whether it came late."""
    return add_label(add_age(add_calendar(trips))).astype(dict.fromkeys(CATEGORIES, "category"))


@asset(outputs=["train", "validation", "test"])
def split(features: pd.DataFrame, choose_from: str = "2013-09-01", test_from: str = "2013-10-01"):
    """All months: to learn from, one to choose a model by, and the last three to judge it by."""
    hour = features["time_hour"].dt.tz_convert(NEW_YORK)
    learnt, judged = hour < choose_from, hour >= test_from
    return features[learnt], features[~learnt & ~judged], features[judged]


# Train.
Examples = Annotated[pd.DataFrame, columns(*FEATURES, "late")]


@asset(partitions=grid(leaves=[7, 15, 31]))  # each fills the parameter of that name
def candidate(train: Examples, validation: Examples, *, leaves: int, learning_rate: float = 0.2):
    """Boosted trees."""
    model = fit(boosted(learning_rate, leaves), train)
    return Result(model, metrics={"auc": ranking(model, validation), "train_rows": len(train)})


best_of(candidate, metric="auc", name="delay_model")


@asset
def baseline(train: Examples, strength: float = 1.0):
    """A logistic regression."""
    model = fit(logistic(strength), train)
    return Result(model, metrics={"train_rows": len(train)})


# Evaluate, on flights that no model has seen.
@asset
def predictions(delay_model, baseline, test: Examples) -> pd.DataFrame:
    """Each test flight's chance of coming late, by both models."""
    chances = {"delay_model": chance(delay_model, test), "baseline": chance(baseline, test)}
    return pd.DataFrame({"late": test["late"], **chances})


@asset
def scores(predictions: pd.DataFrame) -> Result:
    """How well each model tells the late flights from the others."""
    models = predictions.drop(columns="late")
    table = pd.DataFrame([score(name, predictions["late"], models[name]) for name in models])
    return Result(table, metrics=dict(zip(table["model"] + "_auc", table["auc"], strict=True)))


@check(scores)
def better_than_chance(scores: pd.DataFrame) -> pd.DataFrame:
    """The models that a coin could replace."""
    return scores[scores["auc"] < 0.6]


@asset
def roc(predictions: pd.DataFrame) -> Figure:
    """Late flights found against false alarms, for both models."""
    figure = Figure(figsize=(5, 5))
    axes = figure.subplots()
    for model in predictions.drop(columns="late"):
        false_alarms, found, _ = roc_curve(predictions["late"], predictions[model])
        axes.plot(false_alarms, found, label=model)
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey", label="a coin")
    axes.set(xlabel="share of punctual flights called late", ylabel="share of late flights found")
    axes.legend()
    return figure


@asset
def calibration(predictions: pd.DataFrame) -> Figure:
    """How often flights came late, of those that were given a like chance of it."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    for model in predictions.drop(columns="late"):
        late, chances = predictions["late"], predictions[model]
        CalibrationDisplay.from_predictions(
            late, chances, n_bins=10, strategy="quantile", name=model, ax=axes
        )
    return figure


# Promote: the model goes into production only if it is better there, on the same flights.
@gate("delays", candidate="delay_model", margin=0.002, minimum=0.65)
def auc(model, test: Examples) -> float:
    """How often a late flight gets a greater chance of being late than a punctual one."""
    return ranking(model, test)


# Deploy: once for each move of delays@production, a rollback too.
@action("delays@production", retry=3)
def deploy(promotion: Promotion, folder: str = "service") -> None:
    """Put the model where the service looks for it."""
    service = Path(folder)
    service.mkdir(exist_ok=True)
    shutil.copy(promotion.path, service / "model.joblib")
    told = {"version": promotion.version, "promotion": promotion.id, "reason": promotion.reason}
    with (service / "deployed.jsonl").open("a") as log:
        log.write(json.dumps(told) + "\n")
