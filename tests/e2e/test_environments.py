"""Environments: one store, shared versions, and what is current in each."""

from __future__ import annotations

import shutil
from pathlib import Path

import click
import pytest

from lineal.assets.errors import SettingsError
from lineal.cli.environment import OPTION, WITHOUT
from lineal.cli.main import GROUPS, lineal
from lineal.project import Project
from tests.e2e.command_line import Said, Workplace

REPOSITORY = Path(__file__).parents[2]
MONTHS = ("2024-01", "2024-02")

PIPELINE = """
import pandas as pd
from lineal import asset, resource, source

source("raw/orders", "data/{month}.csv")


@resource
def shop(*, city: str = "Rome"):
    return city


@asset(partitions="raw/orders")
def orders(raw_orders: pd.DataFrame) -> pd.DataFrame:
    return raw_orders


@asset
def priced(orders: pd.DataFrame, shop, rate: float = 1.0) -> pd.DataFrame:
    print("rate", rate)
    return orders.assign(gross=orders["amount"] * rate, shop=shop)


@asset
def total(priced: pd.DataFrame) -> dict:
    return {"gross": float(priced["gross"].sum()), "shop": priced["shop"].iloc[0]}
"""

SETTINGS = """
[project]
name = "shop"

[parameters.priced]
rate = 2.0

[environments.prod]
promote = true

[environments.dev.parameters]
priced = {rate = 0.5}
shop = {city = "Oslo"}
"""


GATED = """
import pandas as pd
from sklearn.linear_model import LinearRegression

from lineal import asset, gate


@asset
def train() -> pd.DataFrame:
    return pd.DataFrame({"id": [1, 2, 3], "amount": [1.0, 2.0, 3.5]})


@asset
def model(train: pd.DataFrame):
    return LinearRegression().fit(train[["id"]], train["amount"])


@gate("prices", candidate="model", margin=0.0)
def fit(model, train: pd.DataFrame) -> float:
    print("scoring")
    return float(model.score(train[["id"]], train["amount"]))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workplace, dict[str, Said]]:
    """Made in dev, in prod, in default, then again in each."""
    place = Workplace(tmp_path_factory.mktemp("environments") / "shop")
    for month in MONTHS:
        place.write(f"data/{month}.csv", "id,amount\n1,10.0\n2,20.0\n")
    place.write("pipeline.py", PIPELINE)
    place.write("lineal.toml", SETTINGS)
    said = {
        "dev": place.lineal("materialize", "--env", "dev", "--jobs", "2", "--json"),
        "prod": place.lineal("materialize", "--env", "prod", "--json"),
        "default": place.lineal("materialize"),
    }
    said["entries"] = Said(0, str(Project(place.root).journal.head()), "")
    said["again in dev"] = place.lineal("materialize", "--env", "dev")
    said["again in prod"] = place.lineal("materialize", "--env", "prod")
    said["again in default"] = place.lineal("materialize")
    return place, said


def at(place: Workplace, environment: str | None = None) -> Project:
    return Project(place.root, environment=environment)


def test_each_environment_shows_its_own_versions(made: tuple[Workplace, dict[str, Said]]) -> None:
    place, _ = made
    for name, gross, city in (("dev", 30.0, "Oslo"), ("prod", 120.0, "Rome")):
        project = at(place, name)
        assert project.load("total") == {"gross": gross, "shop": city}
        assert project.sql("select sum(gross) from priced").rows == ((gross,),)
        shown = "select getvariable('environment'), count(*) from lineage.current "
        shown += "where environment = getvariable('environment')"
        assert project.sql(shown).rows == ((name, 6),)
    paths = [at(place, name).path("total") for name in ("dev", "prod", "default")]
    assert paths[0] != paths[1] == paths[2]
    words = place.lineal("show", "total", "--env", "dev", "--json").json
    assert words["version"] == at(place, "dev").version("total").content.digest  # type: ignore[union-attr]
    assert place.lineal("sql", "--env", "dev", "select shop from priced limit 1").out == (
        "shop\nOslo\n"
    )


def test_what_one_environment_made_another_takes_over_and_a_rerun_writes_nothing(
    made: tuple[Workplace, dict[str, Said]],
) -> None:
    place, said = made
    outcomes = {name: said[name].json["counts"] for name in ("dev", "prod")}
    assert outcomes["dev"]["made"] == 6
    # The code and the files are the same, and two steps have other parameters.
    assert (outcomes["prod"]["reused"], outcomes["prod"]["made"]) == (4, 2)
    assert "6 reused in " in said["default"].out
    for name in ("dev", "prod", "default"):
        told = said[f"again in {name}"].out
        assert told.startswith(f"environment {name}\nNothing to do: 6 fresh")
    assert str(Project(place.root).journal.head()) == said["entries"].out


def test_runs_tell_their_environment(made: tuple[Workplace, dict[str, Said]]) -> None:
    place, _ = made
    runs = Project(place.root).runs()
    assert [r.started.environment for r in runs] == ["dev", "prod", "default"]
    lines = place.lineal("runs").out.splitlines()
    assert [row.partition(" · ")[2] for row in lines[:3]] == [
        "environment dev",
        "environment prod",
        "",
    ]
    assert [run["environment"] for run in place.lineal("runs", "--json").json] == [
        "dev",
        "prod",
        "default",
    ]
    assert [place.lineal("logs", "priced", "--env", e).out for e in ("dev", "prod")] == [
        "rate 0.5\n",
        "rate 2.0\n",
    ]
    first = runs[1].started.run
    refused = place.lineal("diff", first)
    assert refused.code == 2
    assert f"`{first}` is the first run in environment prod" in refused.err
    found = Project(place.root).diff(runs[0].started.run, runs[1].started.run)
    versions = {s.step.asset: s.versions for s in found.steps}  # type: ignore[union-attr]
    assert None not in versions["total"]
    assert versions["total"][0] != versions["total"][1]
    assert versions["orders"][0] == versions["orders"][1]


def test_status_and_the_variable_name_the_environment(
    made: tuple[Workplace, dict[str, Said]], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, _ = made
    assert place.lineal("status", "--env", "dev").out == (
        "environment dev · 4 assets, 6 steps: all fresh.\n"
    )
    monkeypatch.setenv("LINEAL_ENV", "prod")
    assert at(place).settings.environment[:2] == ("prod", True)
    assert at(place, "dev").settings.environment[:2] == ("dev", False)
    rows = place.lineal("settings", "--json").json
    assert {"setting": "environment", "value": "prod", "source": "the variable LINEAL_ENV"} in rows
    assert {
        "setting": "parameters.priced.rate",
        "value": "2.0",
        "source": f"{place.root}/lineal.toml:5",
    } in rows
    monkeypatch.setenv("LINEAL_ENV", "porod")
    wrong = place.lineal("status")
    assert wrong.code == 2
    assert "which the variable LINEAL_ENV names; did you mean `prod`?" in wrong.err
    assert "there are default, prod, dev" in wrong.err


def test_a_partition_is_retired_where_a_run_saw_that_its_file_is_gone(
    made: tuple[Workplace, dict[str, Said]], tmp_path: Path
) -> None:
    place = Workplace(tmp_path / "shop")
    shutil.copytree(made[0].root, place.root, dirs_exist_ok=True)
    (place.root / "data" / "2024-02.csv").unlink()
    assert place.lineal("materialize", "--env", "dev").code == 0
    assert len(at(place, "dev").load("orders")) == 2
    assert len(at(place, "prod").load("orders")) == 4


def test_a_repair_makes_again_in_the_environment_that_shows_it(
    made: tuple[Workplace, dict[str, Said]], tmp_path: Path
) -> None:
    place = Workplace(tmp_path / "shop")
    shutil.copytree(made[0].root, place.root, dirs_exist_ok=True)
    for name in ("dev", "prod"):
        at(place, name).path("total")[0].unlink()
    repaired = place.lineal("fsck", "--repair", "--level", "objects")
    assert repaired.code == 0, repaired.out
    assert repaired.out.count("is back, byte for byte") == 2
    assert [at(place, name).load("total")["gross"] for name in ("dev", "prod")] == [30.0, 120.0]


def test_only_an_environment_that_promotes_opens_a_gate_and_scores_nothing_again(
    tmp_path: Path,
) -> None:
    place = Workplace(tmp_path / "shop")
    place.write("pipeline.py", GATED)
    place.write("lineal.toml", "[environments.prod]\npromote = true\n")
    tried = place.lineal("materialize", "--env", "default")
    assert (tried.code, tried.err.count("scoring")) == (0, 1)
    assert "would open" in tried.out
    assert tried.out.endswith("Try it again:  lineal materialize --env default\n")
    registry = Project(place.root).history().registries()["prices"]
    assert (dict(registry.versions), registry.promotions) == ({}, ())
    assert place.lineal("models").out == "prices   no version yet\n"
    promoted = place.lineal("materialize", "--env", "prod")
    assert (promoted.code, promoted.err.count("scoring")) == (0, 0)
    assert "opens" in promoted.out
    registry = Project(place.root).history().registries()["prices"]
    (move,) = registry.promotions
    assert (move.version, move.environment, move.how) == (1, "prod", "gate")
    head = Project(place.root).journal.head()
    for words in ([], ["--env", "prod"], []):
        assert "Nothing to do" in place.lineal("materialize", *words).out
    assert Project(place.root).journal.head() == head


def commands(group: click.Group) -> list[click.Command]:
    found: list[click.Command] = []
    for each in group.commands.values():
        found += commands(each) if isinstance(each, click.Group) else [each]
    return found


def test_every_verb_that_looks_at_what_is_current_takes_the_environment() -> None:
    context = click.Context(lineal)
    for _, verbs in GROUPS:
        for verb, *_ in verbs:
            command = lineal.get_command(context, verb)
            assert command is not None
            each = commands(command) if isinstance(command, click.Group) else [command]
            assert [OPTION in one.params for one in each] == [verb not in WITHOUT] * len(each), verb
    sources = {path.name: path.read_text() for path in (REPOSITORY / "cli").glob("*.py")}
    assert [name for name, text in sources.items() if "project.open(" in text] == ["environment.py"]


@pytest.mark.parametrize(
    ("said", "where", "says"),
    [
        ("[environments.dev.parameters.pricd]\nrate = 1\n", 2, "did you mean `priced`"),
        ("[environments.dev.parameters.priced]\nrat = 1\n", 2, "did you mean `rate`"),
        ("[environments.dev.parameters.priced]\nrate = 'x'\n", 2, "`priced.rate` is 'x'"),
        ("[parameters.pricd]\nrate = 1\n", 2, "did you mean `priced`"),
    ],
)
def test_a_wrong_parameter_of_any_environment_is_refused_with_its_line(
    made: tuple[Workplace, dict[str, Said]], tmp_path: Path, said: str, where: int, says: str
) -> None:
    shutil.copy(made[0].root / "pipeline.py", tmp_path)
    (tmp_path / "lineal.toml").write_text(said)
    with pytest.raises(SettingsError) as caught:
        Project(tmp_path, environment="default").plan()
    assert says in str(caught.value)
    assert caught.value.where == f"{tmp_path}/lineal.toml:{where}"


def test_what_is_advised_is_for_the_environment_that_was_asked_for(tmp_path: Path) -> None:
    place = Workplace(tmp_path / "p")
    place.write("lineal.toml", "[environments.production-of-the-north]\n")
    place.write("pipeline.py", "from lineal import asset\n\n@asset\ndef one():\n    return 1 / 0\n")
    env = "--env production-of-the-north"
    failed = place.lineal("materialize", *env.split())
    assert f"  lineal materialize {env}    carries on from here" in failed.out
    assert f"  lineal logs one {env}" in failed.out
    assert "lineal materialize    carries on" in place.lineal("materialize").out
    assert place.lineal("status", *env.split()).out.endswith(f"  lineal plan {env}\n")
