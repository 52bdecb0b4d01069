"""Estimators as skops files: the same bytes everywhere, and nothing that a file names is run."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from lineal.assets.asset import Contract
from lineal.assets.errors import ContentError
from lineal.assets.ports import Canonical
from lineal.storage.formats import skops
from lineal.storage.inspection import prove
from lineal.storage.objects import Objects
from lineal.storage.vault import Vault


def data() -> tuple[pd.DataFrame, pd.Series]:
    numbers = np.random.default_rng(0).normal(size=(50, 3))
    table = pd.DataFrame(numbers, columns=["hour", "wind", "rain"])
    return table, table["wind"] > table["rain"]


def model() -> Any:
    steps = (SimpleImputer(), SelectKBest(k=2), RandomForestClassifier(5, random_state=0))
    found = make_pipeline(*steps).fit(*data())
    found.words_ = {f"word {n}" for n in range(20)}  # in another order in every process
    found.shared_ = [found.words_, found.words_]
    return found


def hold(vault: Vault, value: Any) -> Canonical:
    return vault.canonical(value, Contract("skops"), rows=False, name="model")


def digest() -> str:
    return skops.encode(model(), "model").digest


def test_a_model_comes_back_as_it_was_and_its_digest_is_proved(tmp_path: Path) -> None:
    vault = Vault(Objects(tmp_path))
    content = vault.write(hold(vault, model()))
    vault.sync()
    assert (content.format, content.summary) == ("skops", "Pipeline")
    assert content.objects[0].suffix == "skops"
    found = vault.load(content, "auto")
    table, _ = data()
    assert list(found.predict(table)) == list(model().predict(table))
    assert found.shared_[0] is found.shared_[1]
    assert found.words_ == model().words_
    assert prove(content, vault.objects).proved
    assert not Vault.is_of_project(content)


def test_the_same_training_gives_the_same_bytes_in_every_process() -> None:
    program = "from tests.unit.storage.test_skops import digest; print(digest())"
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed},
        cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == digest()
    assert skops.encode(skops.decode(skops.encode(model(), "m").data), "m").digest == digest()


# ------------------------------------------------------------------------------------ not storable


class Own(LogisticRegression):
    """A class of a project."""


def double(x: Any) -> Any:
    return 2 * x


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Own(), f"{__name__}.Own"),
        (FunctionTransformer(double), f"{__name__}.double"),
        (FunctionTransformer(np.load), "numpy.load"),
        (FunctionTransformer(pd.read_pickle), "`pandas.read_pickle`"),
        ({1: "one", "1": "text"}, "what is read back is not what was stored"),
    ],
)
def test_what_loading_would_run_or_lose_is_refused_as_it_is_stored(value: Any, named: str) -> None:
    with pytest.raises(ContentError, match=r"`thing` is a .* that can't be stored as skops") as it:
        skops.encode(value, "thing")
    assert named in it.value.message
    assert 'format="joblib"' in (it.value.advice or "")


def test_without_the_package_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "skops", None)
    with pytest.raises(ContentError, match="needs the package skops") as caught:
        hold(Vault(Objects(tmp_path)), LogisticRegression())
    assert caught.value.advice == "pip install 'lineal[skops]'"


# ------------------------------------------------------------------------------------ forged files


def call(module: str, name: str, *arguments: str, loader: str) -> dict[str, Any]:
    """A node that makes skops call something, if it is let to."""
    texts = [
        {"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode",
         "content": json.dumps(each), "is_json": True}
        for each in arguments
    ]  # fmt: skip
    given = {"__class__": "tuple", "__module__": "builtins", "__loader__": "TupleNode"}
    empty = {"__class__": "dict", "__module__": "builtins", "__loader__": "DictNode", "content": {}}
    keys = {"__class__": "list", "__module__": "builtins", "__loader__": "ListNode", "content": []}
    node = {"__class__": name, "__module__": module, "__loader__": loader}
    if loader == "ConstructorFromReduceNode":
        return {**node, "content": {**given, "content": texts}}
    reduced = {"args": {**given, "content": texts}}
    return {**node, "__reduce__": reduced, "content": {**empty, "key_types": keys}}


def forged(node: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("schema.json", json.dumps({**node, "protocol": 2, "_skops_version": "0"}))
    return buffer.getvalue()


class Payload:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("loader", ["ConstructorFromReduceNode", "LossNode"])
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "mkdir"), ("pandas", "read_pickle"), ("pandas.io.pickle", "read_pickle"),
        ("joblib", "load"), ("sklearn.utils._joblib", "load"), ("numpy", "fromfile"),
        ("scipy.io._netcdf", "netcdf_file"), ("sklearn.utils._testing", "TempMemmap"),
        ("sklearn.os", "mkdir"),
    ],
)  # fmt: skip
def test_nothing_that_a_forged_file_names_is_called(
    tmp_path: Path, module: str, name: str, loader: str
) -> None:
    mark, pickled = tmp_path / "it ran", tmp_path / "payload"
    pickled.write_bytes(pickle.dumps(Payload(mark)))
    argument = str(mark) if name == "mkdir" else str(pickled)
    with pytest.raises(ContentError, match=f"`{module}.{name}`: nothing of it was loaded"):
        skops.decode(forged(call(module, name, argument, loader=loader)))
    assert not mark.exists()


def test_a_pickle_that_is_named_so_is_not_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    with pytest.raises(ContentError, match="can't be read back"):
        skops.decode(pickle.dumps(Payload(mark)))
    assert not mark.exists()


def test_an_array_of_pickled_objects_is_not_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    body = io.BytesIO()
    np.save(body, np.array([Payload(mark)], dtype=object), allow_pickle=True)
    node = {"__class__": "ndarray", "__module__": "numpy", "__loader__": "NdArrayNode"}
    data = forged({**node, "type": "numpy", "file": "a.npy"})
    with zipfile.ZipFile(buffer := io.BytesIO(data), "a") as archive:
        archive.writestr("a.npy", body.getvalue())
    with pytest.raises(ContentError, match="can't be read back"):
        skops.decode(buffer.getvalue())
    assert not mark.exists()
