"""A study as an asset: its trials are recorded, and only its best parameters count."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

from lineal import study
from lineal.assets.errors import StepError
from tests.e2e.command_line import Workplace

PIPELINE = """
import lineal
import optuna
from lineal import Result, asset, study

EXPONENT = 2


def loss(x, target):
    return abs(x - target) ** EXPONENT


@asset
def train() -> list:
    return [2.0, 3.0, 4.0]


@asset
def tuned(train, trials: int = 12, seed: int = 0) -> Result:
    def objective(trial):
        x = trial.suggest_int("x", 0, 6)
        if trial.number == 3:
            raise optuna.TrialPruned
        return float("nan") if trial.number == 4 else loss(x, sum(train) / len(train))

    return study(objective, trials=trials, seed=seed, direction="min")


@asset
def quick() -> Result:
    return lineal.study(lambda trial: 1.0, trials=1)


@asset
def delay_model(train, tuned: dict) -> float:
    return sum(train) * tuned["x"]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    place = Workplace(tmp_path_factory.mktemp("tuning") / "project")
    place.write("pipeline.py", PIPELINE)
    place.make()
    return place


def ask(place: Workplace, statement: str) -> list[dict[str, Any]]:
    said = place.lineal("sql", statement, "--format", "json")
    assert said.code == 0, said.err
    rows: list[dict[str, Any]] = said.json
    return rows


def trials(place: Workplace) -> list[dict[str, Any]]:
    """The last study's: each trial with its metric, and with its parameters and state."""
    return ask(place, TRIALS)


TRIALS = """
with last as (
    from lineage.materialization where asset = 'tuned' order by entry desc limit 1
), trial as (
    select id, unnest(from_json(metadata->'trials', '["json"]')) as t from last
)
select (t->>'number')::int as number, t->>'state' as state, (t->'params'->>'x')::int as x, m.value
from trial left join lineage.metric m
    on m.materialization = trial.id and m.name = 'trial.' || (t->>'number')
order by number
"""


def test_trials_are_told_and_only_the_best_counts(place: Workplace) -> None:
    first = trials(place)
    assert [t["number"] for t in first] == list(range(12))
    assert [(t["state"], t["value"]) for t in first[3:5]] == [("pruned", None), ("fail", None)]
    assert all(t["value"] == abs(t["x"] - 3) ** 2 for t in (*first[:3], *first[5:]))
    assert {t["value"] for t in first if t["x"] == 3 and t["state"] == "complete"} == {0}

    # The version of the library that searched is a part of what the step rests on.
    for asset in ("tuned", "quick"):
        used = ask(
            place,
            "select o.value from lineage.current c, lineage.made_of(c.materialization) o where "
            f"c.asset = '{asset}' and (o.asset, o.kind, o.name) = (c.asset, 'package', 'optuna')",
        )
        assert used == [{"value": optuna.__version__}]

    # Optuna writes into nobody's log.
    assert "[W" not in place.lineal("logs", "tuned").out

    # Another process, other hashes: the same trials, and nothing after them is remade.
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(Path.cwd())}
    words = ["materialize", "--force", "tuned", "--json"]
    code = f"import sys; sys.argv[1:] = {words!r}; from lineal.cli import main; main()"
    subprocess.run([sys.executable, "-c", code], cwd=place.root, env=environment, check=True,
                   capture_output=True)  # fmt: skip
    assert trials(place) == first
    assert len(ask(place, "select distinct version from lineage.materialization "
                          "where asset = 'tuned'")) == 1  # fmt: skip
    assert place.plan().steps("stale") == set()

    # More trials, the same best: what is trained with it stays as it is.
    said = place.make("-p", "tuned.trials=20")
    assert said.steps("made") == {"tuned"}
    assert "delay_model" in said.steps("fresh")
    assert len(trials(place)) == 20
    assert "and 7 more" in place.lineal("show", "tuned").out

    # What the objective reaches is its code.
    place.edit("pipeline.py", "EXPONENT = 2", "EXPONENT = 4")
    assert place.lineal("why", "tuned").out.count("EXPONENT") > 0
    assert place.plan("-p", "tuned.trials=20").steps("stale") == {"tuned"}


# ---------------------------------------------------------------------------- the function itself


def test_the_best_is_the_first_of_equals_and_the_seed_decides_the_trials() -> None:
    def objective(trial: Any) -> float:
        return min(trial.suggest_float("x", 0, 1), 0.5)

    most = study(objective, trials=15, seed=1)
    assert most.metrics["best"] == 0.5
    first = next(t for t in most.metadata["trials"] if t["value"] == 0.5)
    assert (most.metadata["best"], most.value) == (first["number"], first["params"])
    assert study(objective, trials=15, seed=1) == most
    assert study(objective, trials=15, seed=2) != most
    assert study(objective, trials=15, seed=1, direction="min").metrics["best"] < 0.5


def test_what_is_no_number_is_told_as_what_it_is() -> None:
    def objective(trial: Any) -> float:
        return [math.nan, -math.inf, 1.0][trial.number]

    found = study(objective, trials=3)
    assert (found.value, found.metrics) == ({}, {"best": 1.0, "trial.1": -math.inf, "trial.2": 1.0})
    assert [(t["state"], t["value"]) for t in found.metadata["trials"]] == [
        ("fail", None), ("complete", "-inf"), ("complete", 1.0)
    ]  # fmt: skip


def pruned(trial: Any) -> float:
    raise optuna.TrialPruned


@pytest.mark.parametrize(
    ("objective", "options", "says"),
    [
        (pruned, {"trials": 2}, "none of 2 trials gave a number (0 pruned, 1 pruned)"),
        (lambda trial: math.nan, {"trials": 1}, "none of 1 trials gave a number (0 fail)"),
        (lambda trial: (1, 2), {"trials": 1}, "none of 1 trials gave a number"),
        (lambda trial: 1, {"trials": 0}, "trials is 0"),
        (lambda trial: 1, {"trials": 1, "direction": "mix"}, "'mix'; did you mean `min`?"),
    ],
)
def test_a_study_without_an_answer_fails_and_says_why(
    objective: Any, options: Any, says: str
) -> None:
    with pytest.raises(StepError) as caught:
        study(objective, **options)
    assert says in caught.value.message
    assert caught.value.advice


def test_an_exception_of_the_objective_goes_through() -> None:
    def objective(trial: Any) -> float:
        raise ZeroDivisionError("no rides")

    with pytest.raises(ZeroDivisionError, match="no rides"):
        study(objective, trials=3)


def test_without_optuna_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(StepError, match="not installed") as caught:
        study(lambda trial: 1, trials=1)
    assert caught.value.advice == 'install it: pip install "lineal[optuna]"'
