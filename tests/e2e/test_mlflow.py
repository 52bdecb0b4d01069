"""A registered model in MLflow: a run with parameters, metrics, its file, and its lineage."""

from __future__ import annotations

import json
import sys
from contextlib import closing

import pytest

from lineal.assets.digest import digest_bytes
from lineal.assets.records import Decided, Promotion, Registered, Score
from lineal.lineage.registry import Registrar
from lineal.project import Project
from tests.e2e.command_line import Workplace

PIPELINE = """
import pandas as pd
from sklearn.linear_model import LinearRegression

from lineal import Result, asset, best_of, grid, source

source("raw/orders", "data/*.csv")


@asset
def train(raw_orders: pd.DataFrame) -> pd.DataFrame:
    return raw_orders


@asset(partitions=grid(strength=[0.5, 0.7]))
def tried(train: pd.DataFrame, *, strength: float, way: str = "plain"):
    fitted = LinearRegression(fit_intercept=strength < 0.6).fit(train[["id"]], train["amount"])
    return Result(fitted, metrics={"r2 (all)": 1.25 - strength})

model = best_of(tried, metric="r2 (all)", name="model")
"""
STORE = "sqlite:///mlflow.db"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A model of which `prices` v1 is in production, after a gate scored it."""
    place = Workplace(tmp_path_factory.mktemp("mlflow") / "shop")
    for name in ("a", "b", "same_as_b"):
        place.write(f"data/{name}.csv", f"id,amount\n1,{10.0 + (name == 'a')}\n2,20.0\n")
    place.write("pipeline.py", PIPELINE)
    assert place.lineal("materialize").code == 0
    project = Project(place.root)
    made = project.version("model")
    assert made.content is not None
    digest = made.content.digest
    auc = (Score("auc", 0.8),)
    facts = [
        Registered("prices", 1, "model", None, made.id, digest, "r1", 1.0, "ada", ("first", "x")),
        Decided(
            "better", "r1.9", "prices", "production", "key", made.id, digest, 1, None, "opened", "",
            auc, (), "default", "r1", 1.0,
        ),
        Promotion(
            "p1", "prices", "production", 1, None, "default", "r1", "ada", "", auc, 1.0, "gate",
        ),
    ]  # fmt: skip
    with closing(project.history()) as past:
        Registrar(project.journal, past).record(lambda *_: facts)
    return place


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of libraries that MLflow uses
def test_a_version_is_logged_once_with_all_that_it_was_made_from(place: Workplace) -> None:
    first = place.lineal("export", "mlflow", "prices@production", "--uri", STORE)
    assert first.code == 0, first.err
    assert first.out.startswith("Logged prices v1 as run ")
    entries = Project(place.root).journal.head()
    again = place.lineal("export", "mlflow", "prices@v1", "--uri", STORE, "--json").json
    assert (again["new"], again["inputs"], again["experiment"]) == (False, 4, "shop")
    assert again["run"] in first.out
    assert Project(place.root).journal.head() == entries

    from mlflow import MlflowClient
    from mlflow.data import get_source

    client = MlflowClient(f"sqlite:///{place.root}/mlflow.db")
    experiment = client.get_experiment_by_name("shop")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    project = Project(place.root)
    made, train = project.version("model"), project.version("train")
    assert made.content is not None
    assert train.content is not None
    assert (run.info.run_name, run.info.status) == ("prices v1", "FINISHED")
    assert run.data.params == {"strength": "0.5", "way": "plain"}
    assert run.data.metrics == {"r2 _all_": 0.75, "better/auc": 0.8}
    tags = run.data.tags
    assert (tags["lineal.version"], tags["lineal.aliases"]) == ("v1", "production")
    assert (tags["lineal.content"], tags["lineal.tags"]) == (made.content.digest, "first, x")
    files = {p.name: p for p in (place.root / "data").iterdir()}
    known, last = {}, {}
    for one in run.inputs.dataset_inputs:
        said, source = {tag.key: tag.value for tag in one.tags}, json.loads(one.dataset.source)
        digest, last[one.dataset.name] = said["lineal.digest"], one.dataset
        assert one.dataset.digest == digest[:36]
        if "(" not in one.dataset.name:
            known[digest] = (said["mlflow.data.context"], one.dataset.name, source["uri"])
    raw = {
        digest_bytes(files[name].read_bytes()): ("source", "raw/orders", str(files[name]))
        for name in ("a.csv", "b.csv")
    }
    table = ("training", "train", str(project.path("train")[0]))
    assert known == {**raw, train.content.digest: table}
    same = last[f"raw/orders ({files['same_as_b.csv']})"]
    assert get_source(same).uri == str(files["same_as_b.csv"])  # type: ignore[attr-defined]
    logged = client.download_artifacts(run.info.run_id, "model/prices-v1.joblib")
    with open(logged, "rb") as file:
        assert file.read() == project.path("model")[0].read_bytes()

    # Cut off, it is gone through again: nothing is there twice.
    client.update_run(run.info.run_id, "RUNNING")
    resumed = place.lineal("export", "mlflow", "prices@v1", "--uri", STORE, "--json").json
    assert (resumed["new"], resumed["run"]) == (True, run.info.run_id)
    after = client.get_run(run.info.run_id)
    assert (after.data.metrics, after.data.params) == (run.data.metrics, run.data.params)
    assert len(after.inputs.dataset_inputs) == 4
    assert len(client.get_metric_history(run.info.run_id, "better/auc")) == 1

    wrong = place.lineal("export", "mlflow", "prices@v1", "--uri", "file:./runs")
    assert wrong.code == 2
    assert "error: MLflow: " in wrong.err
    assert "Traceback" not in wrong.err
    assert "has no version v2" in place.lineal("export", "mlflow", "prices@v2", "--uri", STORE).err


def test_without_mlflow_it_says_what_to_install(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    said = place.lineal("export", "mlflow", "prices@v1")
    assert said.code == 2
    assert "there is no module `mlflow" in said.err
    assert 'pip install "lineal[mlflow]"' in said.err
