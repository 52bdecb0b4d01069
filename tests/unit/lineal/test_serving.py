"""Registered models in a process that knows nothing of the project but where it lies."""

from __future__ import annotations

import errno
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from textwrap import dedent
from typing import Any

import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import lineal
from lineal.assets.errors import (
    ContentError,
    DefinitionError,
    IntegrityError,
    SettingsError,
    UsageError,
)
from lineal.assets.records import Decided, Promotion, Registered, Score, Tagged
from lineal.disk import Disk
from lineal.lineage.registry import Registrar
from lineal.project import Project
from lineal.serving import features_of
from tests.readers import command

FEATURES = """
    from sklearn.base import BaseEstimator

    MARGIN = 0.5


    class Threshold(BaseEstimator):
        def fit(self, X, y):
            self.feature_names_in_ = X.columns.to_numpy()
            self.middle_ = float(X.iloc[:, 0].mean())
            return self

        def predict(self, X):
            return X.iloc[:, 0] > self.middle_ + MARGIN
"""
PIPELINE = """
    import pandas as pd
    from features import Threshold
    from sklearn.linear_model import LogisticRegression
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from lineal import Result, asset, source

    source("raw/flights", "data/flights*.csv")


    class Longest:
        def fit(self, X):
            self.longest_ = X["distance"].max()
            return self


    @asset(inputs={"raw": "raw/flights"})
    def flights(raw: pd.DataFrame) -> pd.DataFrame:
        return raw.assign(late=raw["number"] > 24)


    @asset
    def delay_model(flights: pd.DataFrame, strength=0.5):
        \"\"\"Will a flight be late?\"\"\"
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength))
        model.fit(flights[["hour", "distance"]], flights["late"])
        return Result(model, metrics={"accuracy": 0.75})


    @asset(format="skops")
    def safe_model(flights: pd.DataFrame, trees=5):
        model = RandomForestClassifier(trees, random_state=0)
        return model.fit(flights[["hour", "distance"]], flights["late"])


    @asset(format="skops")
    def scaler(flights: pd.DataFrame):  # in no registry
        return StandardScaler().fit(flights[["hour"]])


    @asset
    def own_model(flights: pd.DataFrame):
        return Threshold().fit(flights[["hour", "distance"]], flights["late"])


    @asset(format="pickle")
    def inner_model(flights: pd.DataFrame):
        return Longest().fit(flights)


    @asset
    def rates(flights: pd.DataFrame) -> dict:
        return {"late": float(flights["late"].mean())}
"""
NEVER_RUN = '\n\nraise RuntimeError("the pipeline was imported")\n'


def register(project: Project, registry: str, asset: str) -> None:
    """The current version of an asset, numbered and in production."""
    made = project.version(asset)
    assert made.content is not None
    content = made.content.digest
    scored = project.version("rates").id

    def build(registries: Any, number: int) -> list[Any]:
        version = registries[registry].next_number
        said = (registry, version, asset, None, made.id, content, "r1", 1.0, "ada")
        move = Promotion(
            f"p{number}", registry, "production", version, None, "default", "r1", "ada",
            "it is | better", (), 1.0, "person",
        )  # fmt: skip
        decided = Decided(
            "auc", scored, registry, "production", "key", made.id, content, version, 7, "opened",
            "better by 0.0123", (Score("auc", 0.7512, 0.7389),), (("auc", "max, by 0.002"),),
            "default", "r1", 1.0,
        )  # fmt: skip
        return [Registered(*said), *([decided] if registry == "delays" else []), move]

    past = project.history()
    Registrar(project.journal, past).record(build)
    past.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("flights")
    (root / "data").mkdir()
    rows = [f"{n % 24},{n},{n}" for n in range(50)]
    (root / "data" / "flights1.csv").write_text("\n".join(["hour,distance,number", *rows]))
    (root / "features.py").write_text(dedent(FEATURES))
    (root / "pipeline.py").write_text(dedent(PIPELINE))
    project = lineal.open(root)
    assert project.materialize().outcome == "done"
    for registry, asset in (
        ("delays", "delay_model"), ("safe", "safe_model"), ("own", "own_model"),
        ("inner", "inner_model"), ("rates_used", "rates"),
    ):  # fmt: skip
        register(project, registry, asset)
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy whose pipeline can't be imported, and nothing of it is left in the process."""
    copy = tmp_path / "copy"
    shutil.copytree(made, copy)
    pipeline = copy / "pipeline.py"
    pipeline.write_text(pipeline.read_text() + NEVER_RUN)
    yield copy
    assert not {"pipeline", "features"} & set(sys.modules)


def test_a_name_gives_the_model_its_features_and_how_it_was_made(root: Path) -> None:
    served = lineal.load("delays@production", root)
    model, features, materialization = served
    project = lineal.open(root)
    flights = project.load("flights")[list(features)]
    assert features == ("hour", "distance")
    assert set(model.predict(flights)) == {True, False}
    assert (materialization.asset, materialization.run) == ("delay_model", "r1")
    assert dict(materialization.metrics) == {"accuracy": 0.75}
    assert (served.registered.version, served.alias) == (1, "production")
    assert repr(served).startswith(
        "<delays v1 @production: Pipeline of 2 features, made as delay_model in r1 on 20"
    )
    assert project.version("delay_model@" + served.registered.content[:8]) == materialization


def test_a_version_by_its_number_has_no_alias_and_the_registry_alone_means_production(
    root: Path,
) -> None:
    assert lineal.load("delays@v1", root).alias is None
    assert lineal.load("delays", root).alias == "production"


def test_the_features_of_a_pipeline_are_those_of_its_first_step() -> None:
    table = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 5.0]})
    passed = make_pipeline("passthrough", StandardScaler()).fit(table)
    assert features_of(passed) == ("a", "b")
    unnamed = make_pipeline(StandardScaler(), StandardScaler()).fit(table.to_numpy())
    assert features_of(unnamed) is None
    # Further steps see what the first makes: their columns are not those that a caller gives.
    renamed = make_pipeline(Renaming(), StandardScaler()).fit(table)
    assert features_of(renamed) is None


class Renaming(TransformerMixin, BaseEstimator):
    """A transformer that doesn't remember the columns that it saw."""

    def fit(self, X: pd.DataFrame, y: None = None) -> Renaming:
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        return X.add_prefix("scaled_")


def test_any_stored_object_is_served_not_only_estimators(root: Path) -> None:
    rates = lineal.load("rates_used", root)
    assert (rates.model, rates.features) == ({"late": 0.5}, None)


def test_a_skops_model_is_served_and_exported_as_any_other(root: Path) -> None:
    model, features, made = lineal.load("safe", root)
    assert made.content is not None
    assert (made.content.format, features) == ("skops", ("hour", "distance"))
    assert len(model.estimators_) == 5


# ------------------------------------------------------------------------------------ what is wrong


def object_of(root: Path, asset: str) -> Path:
    (path,) = lineal.open(root).path(asset)
    return path


@pytest.mark.parametrize("harm", ["other bytes", "shorter", "gone"])
def test_a_file_that_is_not_what_was_recorded_is_refused_by_name(root: Path, harm: str) -> None:
    path = object_of(root, "delay_model")
    data = path.read_bytes()
    path.unlink()
    if harm == "other bytes":
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif harm == "shorter":
        path.write_bytes(data[:100])
    with pytest.raises(IntegrityError, match="not what was recorded") as caught:
        lineal.load("delays@production", root)
    said = caught.value
    assert f"the model delays v1 (objects/{path.parent.name}/{path.name})" in said.message
    assert "lineal fsck" in (said.advice or "")
    assert "lineal models rollback delays" in (said.advice or "")


def test_nothing_of_a_forged_file_is_run(root: Path, tmp_path: Path) -> None:
    path = object_of(root, "delay_model")
    path.unlink()
    mark = tmp_path / "it ran"
    path.write_bytes(f"cos\nmkdir\n(V{mark}\ntR.".encode())
    with pytest.raises(IntegrityError):
        lineal.load("delays@production", root)
    assert not mark.exists()


def test_an_asset_is_no_registry_and_a_misspelt_one_is_told(root: Path) -> None:
    with pytest.raises(UsageError, match="`flights` is an asset") as caught:
        lineal.load("flights", root)
    assert caught.value.advice == f'lineal.open("{root}").load("flights")'
    with pytest.raises(UsageError, match="did you mean `delays`"):
        lineal.load("delay", root)
    with pytest.raises(UsageError, match="`delays` has no version v7"):
        lineal.load("delays@v7", root)
    with pytest.raises(UsageError, match="no alias `staging`"):
        lineal.load("delays@staging", root)


# --------------------------------------------------------------------------- classes of the project


def test_a_class_of_the_project_is_found_without_its_pipeline(root: Path) -> None:
    model, features, _ = lineal.load("own", root)
    assert (type(model).__module__, features) == ("features", ("hour", "distance"))
    assert list(model.predict(lineal.open(root).load("flights").head(2))) == [False, False]


def test_a_class_whose_code_changed_is_refused_unless_that_is_allowed(root: Path) -> None:
    file = root / "features.py"
    file.write_text(file.read_text().replace("MARGIN = 0.5", "MARGIN = 5"))
    with pytest.raises(UsageError, match="code of the model own v1 is not what it was") as caught:
        lineal.load("own@production", root)
    assert "`features.py`" in caught.value.message
    assert "allow_changed_code=True" in (caught.value.advice or "")
    assert lineal.load("own@production", root, allow_changed_code=True).model.middle_ == 11.06
    file.write_text(file.read_text().replace("MARGIN = 5", "MARGIN = 0.5  # of hours"))
    assert lineal.load("own@production", root).model.middle_ == 11.06


def test_a_class_that_is_gone_is_told_with_the_model_that_needs_it(root: Path) -> None:
    (root / "features.py").write_text("")
    with pytest.raises(ContentError, match=r"the model own v1: .*Threshold"):
        lineal.load("own@production", root)


def test_what_its_module_raises_is_told_at_its_line(root: Path) -> None:
    with pytest.raises(DefinitionError, match="the pipeline was imported") as caught:
        lineal.load("inner", root)
    assert (caught.value.where or "").startswith("pipeline.py:")


def test_a_class_of_the_pipeline_itself_loads_that_module_and_declares_nothing(made: Path) -> None:
    model, features, _ = lineal.load("inner", made)
    assert (model.longest_, features) == (49, None)
    assert "pipeline" not in sys.modules


# --------------------------------------------------------------------------------------- the store


class Refusing(Disk):
    """A disk that takes no change."""

    def create(self, path: Any, data: Any) -> None:
        raise PermissionError(errno.EROFS, "read-only", path)

    link = replace = create

    def unlink(self, path: Any) -> None:
        raise PermissionError(errno.EROFS, "read-only", path)

    mkdir = unlink


def test_a_store_that_cannot_be_written_serves_all_the_same(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(root / ".lineal" / "cache")
    shutil.rmtree(root / ".lineal" / "locks")
    monkeypatch.setattr("lineal.serving.Disk", Refusing)
    before = sorted(root.rglob("*"))
    assert lineal.load("delays", root).features == ("hour", "distance")
    assert sorted(root.rglob("*")) == before


def test_the_store_is_enough_without_the_code_of_the_project(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    (root / ".lineal").rename(tmp_path / "alone" / "kept")
    settings = tmp_path / "alone" / "lineal.toml"
    settings.write_text('[project]\nstore = "kept"\ndefinitions = ["flights.py"]\n')
    assert lineal.load("delays", tmp_path / "alone").features == ("hour", "distance")
    with pytest.raises(ContentError, match=r"the model own v1: .*features"):
        lineal.load("own", tmp_path / "alone")


def test_a_skops_file_is_a_model_wherever_models_are_selected_or_asked_for(made: Path) -> None:
    project = lineal.open(made)
    models = {step.maker for step in project.plan("kind:model").steps}
    assert {"safe_model", "delay_model", "scaler"} <= models
    asked = "select path from lineage.model_training_data where model = 'scaler'"
    assert project.sql(asked).rows == (("data/flights1.csv",),)


def test_who_writes_meanwhile_disturbs_nobody(root: Path) -> None:
    project = lineal.open(root)

    def tag(number: int) -> None:
        past = project.history()
        known = past.registries()["rates_used"].versions[1]
        said = Tagged("rates_used", 1, (f"t{number}",), known.run, "ada", 1.0)
        Registrar(project.journal, past).record(lambda registries, entry: [said])
        past.close()

    with ThreadPoolExecutor(1) as writer:
        written = [writer.submit(tag, number) for number in range(15)]
        served = [lineal.load("rates_used", root) for _ in range(15)]
        for each in written:
            each.result()
    assert {each.registered.version for each in served} == {1}
    assert lineal.load("rates_used", root).registered.tags == ("t14",)


def test_the_project_is_found_from_a_folder_below_and_is_needed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "notebooks").mkdir()
    monkeypatch.chdir(root / "notebooks")
    assert lineal.load("rates_used").model == {"late": 0.5}
    assert lineal.load("rates_used", "..").model == {"late": 0.5}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="no project here"):
        lineal.load("rates_used")


# -------------------------------------------------------------------------------------- handed out

PLAIN = """
import json, os, sys
sys.modules["lineal"] = None
import pandas as pd
rows = pd.DataFrame({"hour": [1, 20, 23], "distance": [7, 40, 49]})
for folder, snippet in json.loads(sys.argv[1]):
    os.chdir(folder)
    exec(snippet)
    print(json.dumps([bool(late) for late in model.predict(rows)]))
"""


def handed_out(root: Path, registry: str, file: str, folder: Path) -> str:
    """Python as the card of a model has it; what is in the folder is what is stored and told."""
    out = str(folder)
    code, told, error = command(
        str(root), "models", "export", f"{registry}@production", out, "--json"
    )
    assert (code, error) == (0, "")
    written = {each["path"]: each["bytes"] for each in json.loads(told)["files"]}
    assert set(written) == {f"model.{file}", "requirements.txt", "MODEL_CARD.md"}
    assert {path.name: path.stat().st_size for path in folder.iterdir()} == written
    stored = object_of(root, lineal.load(registry, root).registered.asset)
    assert (folder / f"model.{file}").read_bytes() == stored.read_bytes()
    card = (folder / "MODEL_CARD.md").read_text()
    pins = (folder / "requirements.txt").read_text().splitlines()
    assert f"{file}=={version(file)}" in pins
    (snippet,) = re.findall("```python\n(.*?)```", card, re.DOTALL)
    return str(snippet)


def test_what_is_handed_out_is_loaded_as_its_card_says_without_lineal(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    given = [
        (str(tmp_path / registry), handed_out(root, registry, file, tmp_path / registry))
        for registry, file in (("delays", "joblib"), ("safe", "skops"))
    ]
    plain = subprocess.run(
        [sys.executable, "-I", "-c", PLAIN, json.dumps(given)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    flights = lineal.open(root).load("flights")[["hour", "distance"]].head(3)
    flights = flights.assign(hour=[1, 20, 23], distance=[7, 40, 49])
    served = [lineal.load(registry, root).model.predict(flights) for registry in ("delays", "safe")]
    said = [json.loads(line) for line in plain.stdout.splitlines()]
    assert said == [[bool(late) for late in each] for each in served] == [[False, True, True]] * 2


def test_a_card_says_what_it_is_rests_on_and_how_it_was_judged(root: Path, tmp_path: Path) -> None:
    lineal.open(root).export_model("delays@v1", tmp_path / "out")
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    for said in (
        "# delays v1\n\nWill a flight be late?", "| Kind | `Pipeline` |", "`production`",
        "`hour`, `distance`.", "| `flights` | 50 |", "`data/flights1.csv`", "| `accuracy` | 0.75 |",
        "| `strength` | `0.5` |", "**Opened** for `production` by the gate `auc` against v7",
        "| `auc` | 0.7512 | 0.7389 | max, by 0.002 |", "Scored on `flights`", "it is \\| better",
        "flowchart LR", "`pipeline.delay_model` at `pipeline.py:", "## Limits",
    ):  # fmt: skip
        assert said in card
    pins = (tmp_path / "out" / "requirements.txt").read_text().splitlines()
    assert pins[0] == f"# Python {'.'.join(map(str, sys.version_info[:3]))}"
    for needed in ("scikit-learn", "numpy", "scipy", "joblib"):
        assert f"{needed}=={version(needed)}" in pins
    assert not [pin for pin in pins if pin.startswith(("duckdb", "pyarrow", "lineal"))]
    lineal.open(root).export_model("own", tmp_path / "own")
    pins = (tmp_path / "own" / "requirements.txt").read_text().splitlines()
    assert "# of the project itself: features.py" in pins
    assert f"scikit-learn=={version('scikit-learn')}" in pins
    assert "`features.py`" in (tmp_path / "own" / "MODEL_CARD.md").read_text()


def test_a_folder_with_other_files_is_left_alone_unless_that_is_said(
    root: Path, tmp_path: Path
) -> None:
    project, out = lineal.open(root), tmp_path / "out"
    project.export_model("safe", out)
    project.export_model("delays", out)  # what was exported before gives way
    assert {path.name for path in out.iterdir()} == {
        "model.joblib", "requirements.txt", "MODEL_CARD.md"
    }  # fmt: skip
    (out / "notes.txt").write_text("mine")
    (out / "model.py").write_text("mine")
    with pytest.raises(UsageError, match=r"`model.py`, `notes.txt`") as caught:
        project.export_model("safe", out)
    assert "--force" in (caught.value.advice or "")
    assert (out / "model.joblib").exists()
    project.export_model("safe", out, force=True)
    assert (out / "notes.txt").read_text() == (out / "model.py").read_text() == "mine"
    assert not (out / "model.joblib").exists()
    with pytest.raises(UsageError, match="is in the store"):
        project.export_model("safe", root / ".lineal" / "out")
    with pytest.raises(UsageError, match="is a file"):
        project.export_model("safe", out / "notes.txt")


def test_a_damaged_model_is_not_handed_out(root: Path, tmp_path: Path) -> None:
    path = object_of(root, "delay_model")
    path.unlink()
    path.write_bytes(b"other")
    with pytest.raises(IntegrityError, match="the model delays v1"):
        lineal.open(root).export_model("delays", tmp_path / "out")
    assert not (tmp_path / "out").exists()
