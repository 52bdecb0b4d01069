"""A gate on real models: opened, closed, tried again, and what it says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lineal.assets.registries import Registry
from lineal.project import Project
from tests.e2e.command_line import Said, Workplace

PIPELINE = '''
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from guesses import Guess
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    from lineal import Retry, asset, gate


    @asset
    def flights() -> pd.DataFrame:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(400, 3))
        late = x[:, 0] + 0.7 * x[:, 1] + rng.normal(scale=0.5, size=400) > 0
        return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "late": late})


    @asset
    def train(flights: pd.DataFrame) -> pd.DataFrame:
        return flights.iloc[:300]


    @asset
    def test(flights: pd.DataFrame, rows: int = 100, without: str = "") -> pd.DataFrame:
        return flights.iloc[300:300 + rows].drop(columns=[without] if without else [])


    @asset(format="pickle")
    def delay_model(train: pd.DataFrame, columns: list = ["c"]):
        if columns == ["guess"]:
            return Guess(0.5)
        return LogisticRegression().fit(train[columns], train["late"])


    @gate("delays", candidate="delay_model", margin=0.002, retry=Retry(1, delay=0, jitter=0))
    def auc(model, test: pd.DataFrame) -> float:
        """How well late flights are told from others."""
        busy = Path(__file__).parents[1] / "busy"
        if busy.exists():
            busy.unlink()
            raise ConnectionError("try later")
        names = list(getattr(model, "feature_names_in_", ["c"]))
        return roc_auc_score(test["late"], model.predict_proba(test[names])[:, 1])
    '''
GUESSES = """
    import numpy as np


    class Guess:
        def __init__(self, chance):
            self.chance = chance

        def predict_proba(self, rows):
            return np.full((len(rows), 2), self.chance)
    """


def columns(*names: str) -> tuple[str, ...]:
    listed = ", ".join(f'"{name}"' for name in names)
    return "-p", f"delay_model.columns=[{listed}]"


class Life:
    """What a project lived through, command by command."""

    def __init__(self, root: Path) -> None:
        self.place = Workplace(root)
        self.place.write("pipeline.py", PIPELINE)
        self.place.write("guesses.py", GUESSES)

    def make(self, *words: str) -> Said:
        return self.place.lineal("materialize", *words)

    def gate(self, *words: str) -> dict[str, Any]:
        """What became of the gate in a run, by `--json`."""
        steps = self.place.make(*words).json["steps"]
        (found,) = [step for step in steps if step["asset"] == "auc"]
        return dict(found)

    @property
    def registry(self) -> Registry:
        return Project(self.place.root).history().registries()["delays"]

    def now(self) -> int:
        """The version in production."""
        at = self.registry.at("production")
        assert at is not None
        return at.version

    def stored(self, version: int) -> Path:
        """The file of a registered model."""
        named = self.registry.versions[version]
        made = Project(self.place.root).history().materialization(named.materialization)
        assert made is not None and made.content is not None
        (one,) = made.content.objects
        objects = self.place.root / ".lineal" / "objects"
        (found,) = objects.rglob(f"*{one.digest}*")
        return found


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    yield Life(tmp_path_factory.mktemp("gate") / "project")


def told(said: Said, pattern: str) -> bool:
    """Does a line say this? `#` stands for a number."""
    return (
        re.search(re.escape(pattern).replace("\\#", r"[-+]?[0-9]+\.[0-9]{4}"), said.out) is not None
    )


def test_a_better_model_goes_live_and_a_worse_one_does_not(life: Life) -> None:
    first = life.make()
    assert told(first, "opens: #, the first of delays → delays v1, production")
    second = life.make(*columns("a", "b"))
    assert told(second, "opens: # vs # of delays v1 (#, needs +0.002) → delays v2, production")
    third = life.make(*columns("a"))
    assert (first.code, second.code, third.code) == (0, 0, 0)
    assert told(third, "stays closed: # vs # of delays v2 (needs ≥ #)")
    assert third.out.splitlines()[-1] == "delays@production is still v2."
    assert "1 made, 1 closed" in third.out
    before = life.place.files()
    assert "Nothing to do" in life.make(*columns("a")).out
    assert life.place.files() == before


def test_what_was_decided_is_told_when_asked(life: Life) -> None:
    worse = columns("a")
    pending = life.place.lineal("plan", *columns("b")).out
    assert "? auc" in pending
    assert "if delay_model changes" in pending
    for words in (("why", "auc"), ("show", "auc")):
        said = life.place.lineal(*words)
        assert told(said, "stays closed: # vs # of delays v2 (needs ≥ #)"), said.out
        assert "auc: max, margin 0.002" in said.out
        gate = life.place.lineal(*words, "--json").json["gate"]
        assert (gate["outcome"], gate["compared"]) == ("closed", "v2")
    last = max(life.registry.decisions.values(), key=lambda each: each.at)
    story = life.place.lineal("runs", last.run)
    assert told(story, "stays closed: # vs # of delays v2 (needs ≥ #)")
    life.place.edit("pipeline.py", "margin=0.002", "margin=-0.5")
    plan = life.place.lineal("plan", *worse).out
    assert "parameter changed   margin of auc  0.002 → -0.5   (its scores are kept)" in plan
    assert "it has to decide on them" in life.place.lineal("why", "auc").out
    life.place.edit("pipeline.py", "margin=-0.5", "margin=0.002")


def test_workers_score_and_a_retry_is_told(life: Life) -> None:
    (life.place.root.parent / "busy").touch()
    found = life.gate(*columns("a", "c"), "--jobs", "2")
    assert (found["outcome"], found["gate"]["outcome"]) == ("closed", "closed")
    assert (found["gate"]["registry"], found["gate"]["alias"]) == ("delays", "production")
    assert (found["gate"]["version"], found["gate"]["compared"]) == (None, "v2")
    ((metric, candidate, production),) = (each.values() for each in found["gate"]["scores"])
    assert (metric, candidate < production) == ("auc", True)
    made = Project(life.place.root).history().current("auc", None)
    assert made is not None
    assert [each.error.type for each in made.attempts] == ["ConnectionError"]


def test_what_production_can_t_be_scored_for_is_told_and_it_stays(life: Life) -> None:
    """Without a column that it needs; damaged; without the class that it is of; gone."""
    gone = life.make(*columns("c"), "-p", "test.without=b")
    assert "delays v2 can't be scored (KeyError: " in gone.out
    assert "try again" not in gone.out
    assert (gone.code, life.now()) == (0, 2)
    model = life.stored(2)
    data = model.read_bytes()
    model.chmod(0o644)
    model.write_bytes(bytes(len(data)))
    damaged = life.make(*columns("a", "b", "c"), "-p", "test.rows=90")
    assert "delays v2 can't be scored (integrity: " in damaged.out
    model.write_bytes(data)
    opened = life.make(*columns("a", "b", "c"), "-p", "test.rows=90", "--force", "auc")
    assert "delays v2 can't" not in opened.out
    model.unlink()
    missing = life.gate(*columns("a", "b", "c"), "-p", "test.rows=80")
    assert (missing["gate"]["outcome"], missing["gate"]["compared"]) == ("closed", "v2")
    assert "integrity: " in missing["gate"]["reason"]
    assert life.now() == 2


def test_a_model_whose_class_is_another_now_or_no_more_can_t_be_scored(tmp_path: Path) -> None:
    life = Life(tmp_path / "project")
    assert life.gate(*columns("guess"))["gate"]["outcome"] == "opened"
    life.place.edit("guesses.py", "2), self.chance", "2), 1 - self.chance")
    other = life.gate(*columns("guess"), "-p", "test.rows=95")
    assert (other["gate"]["outcome"], life.now()) == ("closed", 1)
    assert "have other code now than when it was made" in other["gate"]["reason"]
    life.place.edit("guesses.py", "2), 1 - self.chance", "2), self.chance")
    assert life.gate(*columns("guess"), "-p", "test.rows=95")["gate"]["outcome"] == "kept"
    for name in ("guesses.py", "pipeline.py"):
        life.place.edit(name, "Guess", "Chance")
    found = life.gate(*columns("c"), "-p", "test.rows=90")
    assert found["gate"]["outcome"] == "closed"
    assert "delays v1 can't be scored (content: " in found["gate"]["reason"]
    assert life.now() == 1
