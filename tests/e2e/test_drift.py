"""Drift as people meet it: a warning, a blocker, a reference that changes, and how it developed."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from tests.e2e.command_line import Said, Workplace

PIPELINE = """
from lineal import asset, checks, source

source("raw/past", "data/past-{month}.csv")
source("raw/rides", "data/rides.csv")


@asset(partitions="raw/past")
def training_set(raw_past):
    return raw_past


@asset(partitions="raw/past", checks=[checks.drift("training_set", ["temp"])])
def month(raw_past):
    return raw_past


@asset(checks=[
    checks.drift("training_set", ["temp"], name="no_drift"),
    checks.drift("previous", name="steady"),
])
def features(raw_rides):
    print("made")
    return raw_rides
"""


def rides(mean: float, rows: int = 200) -> str:
    chance = random.Random(mean)
    lines = (f"{chance.gauss(mean, 5):.4f},{n % 7},{n % 3}" for n in range(rows))
    return "\n".join(("temp,day,note", *lines)) + "\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    place = Workplace(tmp_path_factory.mktemp("drift") / "project")
    place.write("pipeline.py", PIPELINE)
    for month in ("2026-01", "2026-02"):
        place.write(f"data/past-{month}.csv", rides(15, 400))
    place.write("data/rides.csv", rides(15))
    place.make()
    return place


def warnings(said: Said) -> set[str]:
    """The checks that warn."""
    return set(re.findall(r"! features +check (\w+): temp PSI .* \(warning\)", said.out))


def ask(place: Workplace, statement: str) -> list[list[object]]:
    return [list(r.values()) for r in place.lineal("sql", statement, "--format", "json").json]


def test_drift_as_a_project_lives(place: Workplace) -> None:
    assert "features" in place.plan().steps("fresh")

    # It is told as one line, and only when the version is judged.
    place.write("data/rides.csv", rides(25))
    said = place.lineal("materialize")
    assert said.code == 0
    assert "  ! features    check no_drift: temp PSI " in said.out
    assert "> 0.20 (warning)" in said.out
    assert place.plan().steps("stale") == set()

    # What was before is compared anew: going back drifts too, although that version is known.
    place.write("data/rides.csv", rides(15))
    said = place.lineal("materialize")
    assert "= features" in said.out
    assert warnings(said) == {"steady"}
    assert place.plan().steps("stale") == set()

    # A column that the check does not read changes in the reference: nothing is asked again. One
    # that it reads: it is asked again, and the features are not computed again.
    past = place.root / "data" / "past-2026-02.csv"
    past.write_text(past.read_text().replace(",0\n", ",9\n"))
    assert place.make().steps("made") == {"raw/past", "training_set", "month"}
    place.write("data/past-2026-02.csv", rides(25, 400))
    place.make("training_set")
    assert "no_drift reads `training_set`, which changed" in place.lineal("plan").out
    said = place.lineal("materialize", "--jobs", "2")
    assert "= features" in said.out
    assert "no_drift" in warnings(said)
    assert re.search(r"! month 2026-01 .*temp PSI", said.out)  # held against all months
    assert place.plan().steps("stale") == set()

    # How it developed, as the page of questions asks it.
    found = ask(place, HOW_IT_DEVELOPED)
    assert [column for column, _ in found] == ["temp"] * 3
    drift = [float(str(value)) for _, value in found]
    assert drift[0] < 0.2 < drift[2] < drift[1]


HOW_IT_DEVELOPED = """
select t.cells[1], t.cells[3]::double
from lineage.check_result c, unnest(c.sample[2:]) t(cells)
where c.asset = 'features' and c.name = 'no_drift'
order by c.entry, c.position
"""


def test_a_blocker_lets_nothing_become_current(tmp_path: Path) -> None:
    place = Workplace(tmp_path / "project")
    pipeline = PIPELINE.replace('name="steady"', 'name="steady", severity="error"')
    place.write("pipeline.py", pipeline)
    place.write("data/past-2026-01.csv", rides(15))
    place.write("data/rides.csv", rides(15))
    place.make()
    place.write("data/rides.csv", rides(30))
    said = place.lineal("materialize", "--json", "--jobs", "2")
    assert (said.code, said.steps("blocked")) == (1, {"features"})
    assert ask(place, "select max(temp) < 40 from features") == [[True]]
    assert place.lineal("materialize", "--json").steps("blocked") == {"features"}
    # What was refused beside one version is judged anew beside another.
    place.write("data/rides.csv", rides(21))
    place.edit("pipeline.py", 'severity="error"', 'severity="error", limit=9')
    place.make()
    place.write("data/rides.csv", rides(30))
    place.edit("pipeline.py", "limit=9", "limit=5")
    assert "features" in place.make().steps("reused")
    assert ask(place, "select max(temp) > 40 from features") == [[True]]


def test_a_table_that_was_small_before_is_not_let_through_for_that(tmp_path: Path) -> None:
    place = Workplace(tmp_path / "project")
    place.write(
        "pipeline.py",
        """
        from lineal import checks, source

        source("rides", "data/rides.csv", checks=[checks.not_shrunk(0.1)])
        """,
    )
    for rows in (100, 200):
        place.write("data/rides.csv", rides(15, rows))
        place.make()
    assert place.plan().steps("fresh") == {"rides"}
    place.write("data/rides.csv", rides(15, 100))  # it passed when it was the first
    assert place.lineal("materialize", "--json").steps("blocked") == {"rides"}
    place.write("data/rides.csv", rides(15, 190))
    place.make()
    place.edit("pipeline.py", "0.1", "0.2")
    assert place.make().steps("failed") == set()


def test_a_table_is_not_compared_with_itself_nor_with_what_is_not_there(tmp_path: Path) -> None:
    place = Workplace(tmp_path / "project")
    for name, told in (
        ("features", "check `drift(features)` compares `features` with itself"),
        ("trainin_set", "did you mean `training_set`?"),
    ):
        place.write(
            "pipeline.py", PIPELINE.replace('drift("previous", name="steady")', f'drift("{name}")')
        )
        said = place.lineal("plan")
        assert said.code == 2
        assert told in said.out + said.err
