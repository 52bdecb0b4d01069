"""Logs a registered model as a run in an MLflow tracking store, with its lineage as inputs.

A run is known again by a tag that names the store and the version, so a version is logged once.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from lineal.assets.digest import digest_of
from lineal.assets.errors import IntegrityError, UsageError
from lineal.assets.names import Step
from lineal.assets.records import Materialization, Registered, RunStarted
from lineal.assets.registries import Registry
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from lineal.lineage.tree import upstream
from lineal.models import training_of
from lineal.storage.objects import Objects

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

_One = TypeVar("_One")
_ID = "lineal.id"
_DIGITS = 36  # of a digest: MLflow takes no more
_NAME = 500  # characters of that of a dataset
_LONGEST = 6000  # characters of a parameter
_BATCH = 100  # parameters or inputs at a time
_REFUSED = re.compile(r"[^\w\-. :/]")  # in the name of a metric


@dataclass(frozen=True, slots=True)
class Logged:
    """Where a version is in MLflow; `new`: it was not there before."""

    name: str
    run: str
    experiment: str
    uri: str
    inputs: int
    new: bool


class Dataset(NamedTuple):
    """Something a model was made from: `use` is `source` (a file) or `training` (it was read)."""

    name: str
    digest: str
    path: str
    use: str


class _Model(NamedTuple):
    """A registered version, with all that is told of it."""

    registry: Registry
    registered: Registered
    made: Materialization
    trained: Materialization  # what computed its bytes: `made` may have chosen it
    started: RunStarted | None
    datasets: tuple[Dataset, ...]

    @property
    def name(self) -> str:
        return f"{self.registry.name} v{self.registered.version}"


def log(
    root: Path, journal: Journal, project: str, name: str, uri: str | None, experiment: str | None
) -> Logged:
    """Log a registered version, `delays@v3`; one that is there already stays as it is.

    Args:
        uri: of the tracking store; else as MLflow's own settings say.
        experiment: in which to log it; else it has the name of the project.

    Raises:
        UsageError: there is no such version; MLflow is not installed, or refuses.
        IntegrityError: the bytes of the model are not what was recorded.
    """
    with _mlflow() as connected:
        objects = Objects(journal.root, journal.disk)
        with closing(History.open(journal, journal.root / "cache")) as history:
            model = _model(history, name, lambda path: str(root / path), objects)
        client = connected(uri)
        into = experiment or project
        place = client.get_experiment_by_name(into)
        known = place.experiment_id if place is not None else client.create_experiment(into)
        own = digest_of(("mlflow", journal.digest(1), *model.registered[:6]))
        found = client.search_runs([known], filter_string=f"tags.`{_ID}` = '{own}'")
        new = not found or found[0].info.status != "FINISHED"
        # One that was cut off is gone through again: what is there already is not logged twice.
        run = found[0] if found else _begun(client, known, model, own)
        if new:
            _tell(client, run.info.run_id, model, objects)
        uri = client.tracking_uri
    return Logged(model.name, run.info.run_id, into, uri, len(model.datasets), new)


@contextmanager
def _mlflow() -> Iterator[Callable[[str | None], MlflowClient]]:
    """Connects to a tracking store; what MLflow says of its errors is told as ours."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # before it is imported
    try:
        import mlflow.exceptions
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    logging.getLogger("mlflow").setLevel(logging.WARNING)  # the import set another level
    try:
        with warnings.catch_warnings():  # of MLflow and its libraries among themselves
            warnings.simplefilter("ignore", DeprecationWarning)
            yield lambda uri: mlflow.MlflowClient(tracking_uri=uri)
    except ModuleNotFoundError as error:  # what a store of that kind needs
        raise _missing(error) from error
    except mlflow.exceptions.MlflowException as error:
        told = str(error.message).strip().splitlines()
        raise UsageError(
            f"MLflow: {told[0] if told else error}",
            advice="is it the right store? lineal export mlflow NAME --uri sqlite:///mlflow.db",
        ) from error


def _missing(error: ModuleNotFoundError) -> UsageError:
    return UsageError(
        f"MLflow can't be used: there is no module `{error.name}`",
        advice='pip install "lineal[mlflow]"',
    )


# ------------------------------------------------------------------------------------ what is told


def _model(history: History, name: str, absolute: Callable[[str], str], objects: Objects) -> _Model:
    registries = history.registries()
    registered = registries.named(name).registered
    made = history.materialization(registered.materialization)
    if made is None or made.content is None:
        raise IntegrityError(f"nothing is recorded of `{name}`", advice="lineal fsck")
    trained = training_of(history, made)
    return _Model(
        registries[registered.registry],
        registered,
        made,
        trained,
        history.started(trained.run),
        _told_apart(_datasets(history, trained, absolute, objects)),
    )


def _datasets(
    history: History, made: Materialization, absolute: Callable[[str], str], objects: Objects
) -> Iterator[Dataset]:
    """What the model read, then the files and what was fetched, however far up."""
    derivation = upstream(history, made)
    direct = {edge.source for edge in derivation.edges if edge.target in derivation.roots}
    nodes = sorted(derivation.nodes.values(), key=lambda node: (node.asset, node.partition or ""))
    read = [node for node in nodes if node.id in direct and node.kind not in ("files", "fetch")]
    for node in (*read, *(node for node in nodes if node.kind == "fetch")):
        if node.content is not None:
            stored = node.content.objects
            path = str(objects.path(stored[0])) if stored else f"lineal:{node.step}"
            use = "training" if node.id in direct else "source"
            yield Dataset(str(node.step), node.content.digest, path, use)
    for node in nodes:
        for file in node.files:
            yield Dataset(str(node.step), file.digest, absolute(file.path), "source")


def _told_apart(found: Iterator[Dataset]) -> tuple[Dataset, ...]:
    """MLflow takes those of one name and digest for one: of equal files the path is added."""
    known: dict[tuple[str, str], Dataset] = {}
    for one in found:
        taken = known.get((one.name, one.digest[:_DIGITS]), one)
        name = one.name if taken.path == one.path else f"{one.name} ({one.path})"[:_NAME]
        known[name, one.digest[:_DIGITS]] = one._replace(name=name)
    return tuple(known.values())


def _tags(model: _Model) -> dict[str, str]:
    registered, made, started = model.registered, model.made, model.started
    aliases = [a for a, p in model.registry.aliases().items() if p.version == registered.version]
    assert made.content is not None
    tags = {
        "lineal.registry": registered.registry,
        "lineal.version": f"v{registered.version}",
        "lineal.aliases": ", ".join(aliases),
        "lineal.tags": ", ".join(registered.tags),
        "lineal.asset": str(Step(registered.asset, registered.partition)),
        "lineal.content": made.content.digest,
        "lineal.recipe": model.trained.recipe,
        "lineal.materialization": made.id,
        "mlflow.user": registered.who,
    }
    if started is not None and started.git_commit:
        tags["mlflow.source.git.commit"] = started.git_commit
        tags["lineal.git_dirty"] = str(started.git_dirty).lower()
    return {name: value for name, value in tags.items() if value}


def _params(made: Materialization) -> Iterator[tuple[str, str]]:
    for name, text in made.parameters:
        value = json.loads(text)
        told = value if isinstance(value, str) else text
        yield name, told if len(told) <= _LONGEST else f"{told[: _LONGEST - 1]}…"


def _metrics(model: _Model) -> Iterator[tuple[str, float, float]]:
    """(name, value, when): its own, and what gates scored it."""
    own = dict((*model.trained.metrics, *model.made.metrics))
    for name, value in own.items():
        yield _REFUSED.sub("_", name), value, model.trained.started_at
    for decided in model.registry.decisions.values():
        if decided.content == model.registered.content:
            for score in decided.scores:
                name = _REFUSED.sub("_", f"{decided.gate}/{score.metric}")
                yield name, score.candidate, decided.at


# --------------------------------------------------------------------------------------- telling


def _begun(client: MlflowClient, experiment: str, model: _Model, own: str) -> Run:
    tags: dict[str, Any] = {**_tags(model), _ID: own}
    started = _millis(model.trained.started_at)
    return client.create_run(experiment, start_time=started, tags=tags, run_name=model.name)


def _tell(client: MlflowClient, run: str, model: _Model, objects: Objects) -> None:
    from mlflow.entities import Metric, Param

    params = [Param(name, value) for name, value in _params(model.trained)]
    metrics = [Metric(name, v, _millis(at), 0) for name, v, at in _metrics(model)]
    for some_params in _some(params):
        client.log_batch(run, params=some_params)
    for some_metrics in _some(metrics):
        client.log_batch(run, metrics=some_metrics)
    for some_inputs in _some([_input(one) for one in model.datasets]):
        client.log_inputs(run, datasets=some_inputs)
    _log_files(client, run, model, objects)
    ended = model.trained.started_at + model.trained.seconds
    client.set_terminated(run, "FINISHED", end_time=_millis(ended))


def _input(one: Dataset) -> DatasetInput:
    from mlflow.entities import Dataset as Entity
    from mlflow.entities import DatasetInput, InputTag

    source = json.dumps({"uri": one.path})
    entity = Entity(one.name, one.digest[:_DIGITS], source_type="local", source=source)
    tags = [InputTag("mlflow.data.context", one.use), InputTag("lineal.digest", one.digest)]
    return DatasetInput(entity, tags)


def _log_files(client: MlflowClient, run: str, model: _Model, objects: Objects) -> None:
    """The model as it is stored, under a name that people know again."""
    assert model.made.content is not None
    with tempfile.TemporaryDirectory(prefix="lineal-") as folder:
        for stored in model.made.content.objects:
            name = stored.path or f"{model.name.replace(' ', '-')}.{stored.suffix}"
            target = Path(folder) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(objects.intact(stored), target)
        client.log_artifacts(run, folder, "model")


def _some(found: Sequence[_One]) -> Iterator[Sequence[_One]]:
    return (found[i : i + _BATCH] for i in range(0, len(found), _BATCH))


def _millis(seconds: float) -> int:
    return int(seconds * 1000)
