"""Registered models in a process that knows nothing of the project but where it lies."""

from __future__ import annotations

import errno
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import lineal
from lineal.assets.errors import (
    ContentError,
    DefinitionError,
    IntegrityError,
    SettingsError,
    UsageError,
)
from lineal.assets.records import Promotion, Registered
from lineal.disk import Disk
from lineal.lineage.registry import Registrar
from lineal.project import Project

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
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from lineal import Result, asset


    class Longest:
        def fit(self, X):
            self.longest_ = X["distance"].max()
            return self


    @asset
    def flights() -> pd.DataFrame:
        late = [n % 7 > 3 for n in range(50)]
        hour = [n % 24 for n in range(50)]
        return pd.DataFrame({"hour": hour, "distance": range(50), "late": late})


    @asset
    def delay_model(flights: pd.DataFrame):
        \"\"\"Will a flight be late?\"\"\"
        model = make_pipeline(StandardScaler(), LogisticRegression())
        model.fit(flights[["hour", "distance"]], flights["late"])
        return Result(model, metrics={"accuracy": 0.75})


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


def register(project: Project, registry: str, asset: str) -> int:
    """The current version of an asset, numbered and in production."""
    made = project.version(asset)
    assert made.content is not None
    content = made.content.digest

    def build(registries: Any, number: int) -> list[Any]:
        known = registries[registry].numbered(content)
        version = known.version if known else registries[registry].next_number
        said = (registry, version, asset, None, made.id, content, "r1", 1.0, "ada")
        before = registries[registry].at("production")
        move = Promotion(
            f"p{number}", registry, "production", version, before.version if before else None,
            "default", "r1", "ada", "", (), 1.0, "person",
        )  # fmt: skip
        return [Registered(*said), move] if known is None else [move]

    past = project.history()
    Registrar(project.journal, past).record(build)
    past.close()
    return int(lineal.load(registry, project.root).registered.version)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("flights")
    (root / "features.py").write_text(dedent(FEATURES))
    (root / "pipeline.py").write_text(dedent(PIPELINE))
    project = lineal.open(root)
    assert project.materialize().outcome == "done"
    for registry, asset in (
        ("delays", "delay_model"), ("own", "own_model"), ("inner", "inner_model"),
        ("rates_used", "rates"),
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


def test_any_stored_object_is_served_not_only_estimators(root: Path) -> None:
    rates = lineal.load("rates_used", root)
    assert (rates.model, rates.features) == ({"late": 0.42}, None)


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
    monkeypatch.setattr("lineal.settings.Disk", Refusing)
    before = sorted(root.rglob("*"))
    assert lineal.load("delays", root).features == ("hour", "distance")
    assert sorted(root.rglob("*")) == before


def test_the_project_is_found_from_a_folder_below_and_is_needed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "notebooks").mkdir()
    monkeypatch.chdir(root / "notebooks")
    assert lineal.load("rates_used").model == {"late": 0.42}
    assert lineal.load("rates_used", "..").model == {"late": 0.42}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="no project here"):
        lineal.load("rates_used")
