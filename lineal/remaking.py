"""The fresh process of `reproduce`: computes steps again with kept code, from recorded inputs.

It is told in a file what to do, and answers in another. All that it writes lies in the folder that
it is given: nothing is recorded, and the project's own store is not known here.
"""

from __future__ import annotations

import ast
import json
import os
import pickle
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from lineal.assets.asset import Asset, Input
from lineal.assets.decide import is_many
from lineal.assets.errors import LinealError, SettingsError, StepError
from lineal.assets.facts import parameter_texts
from lineal.assets.names import Step
from lineal.assets.parameters import convert_parameter
from lineal.assets.perform import Made, Task, Workshop, work
from lineal.assets.ports import Sight
from lineal.assets.records import (
    EnvironmentFacts,
    Materialization,
    Observation,
    Recipe,
    Used,
)
from lineal.assets.verdicts import Handed, Known
from lineal.assets.weighing import Weighing
from lineal.definitions import load
from lineal.likeness import Likening, Trial
from lineal.lineage.journal import Journal
from lineal.opening import opened
from lineal.reproduced import REPRODUCED, Alike, Remade
from lineal.settings import load_settings
from lineal.snapshot import Snapshot
from lineal.storage.scratch import Folders
from lineal.storage.vault import Vault
from lineal.workshop import workshop

_SHOWN = 3


class Order(NamedTuple):
    """A computation to be done again.

    Attributes:
        wanted: the materializations that it made, of one or several outputs.
        inputs: what it read, by id; paths: of files that it read in place, the absolute ones.
        recipe, environment: as recorded; None if that is lost.
        trials: what its models are tried on.
        notes: what is known already not to be as it was.
    """

    wanted: tuple[Materialization, ...]
    inputs: Mapping[str, Materialization]
    paths: Mapping[str, tuple[str, ...]]
    recipe: Recipe | None
    environment: EnvironmentFacts | None
    trials: tuple[Trial, ...]
    notes: tuple[str, ...] = ()


class Assignment(NamedTuple):
    """All that one process is to do: `root` holds the code, `store` the objects."""

    root: Path
    store: Path
    environment: str
    orders: tuple[Order, ...]


def main(told: str, answer: str) -> None:
    """Do what a file says; say in another what came of it."""
    assignment = pickle.loads(Path(told).read_bytes())
    Path(answer).write_bytes(pickle.dumps(tuple(_remade(assignment))))


def _remade(assignment: Assignment) -> Iterator[Remade]:
    root, cache = assignment.root, assignment.store / "cache"
    try:
        settings = load_settings(root, cache, assignment.environment)
        definitions = load(root, settings.definitions, cache)
        journal = Journal(assignment.store)
        with (
            opened(root, settings, definitions, journal, ()) as seen,
            closing(Folders(assignment.store / "tmp")) as folders,
        ):
            bench, resources = workshop(seen, folders.new, memory=settings.memory)
            for order in assignment.orders:
                yield from _Remaking(seen, bench, order).remade()
            resources.close()
    except LinealError as error:
        told = f"its code can't be loaded: {_said(error, root)}"
        for order in assignment.orders:
            yield from refused(order.wanted, told)


def refused(wanted: tuple[Materialization, ...], why: str) -> Iterator[Remade]:
    """Versions that can't be computed again."""
    for made in wanted:
        yield _of(made, Alike("impossible", why), 0.0, ())


def _of(made: Materialization, alike: Alike, seconds: float, notes: tuple[str, ...]) -> Remade:
    digest = made.content.digest if made.content is not None else ""
    return Remade(made.step, made.id, made.run, digest, alike, seconds, notes)


def _said(error: LinealError, root: Path) -> str:
    """With its place in the project: where that lies just now tells nothing."""
    said = f"{error.where}: {error.message}" if error.where else error.message
    return said.replace(f"{root}{os.sep}", "")


class _Remaking(NamedTuple):
    """One computation, done again."""

    seen: Snapshot
    bench: Workshop
    order: Order

    @property
    def made(self) -> Materialization:
        return self.order.wanted[0]

    def remade(self) -> Iterator[Remade]:
        maker = self.seen.graph.maker.get(self.made.asset)
        if maker is None:
            yield from refused(self.order.wanted, f"its code declares no `{self.made.asset}`")
            return
        asset = self.seen.graph.assets[maker]
        began = time.perf_counter()
        try:
            recipe = self.seen.recipe(asset)
            task = self._task(asset, recipe)
        except LinealError as error:
            yield from refused(self.order.wanted, _said(error, self.seen.root))
            return
        notes = (*self.order.notes, *self._code(recipe), *self._environment(asset, recipe))
        done = work(task, self.bench)
        seconds = time.perf_counter() - began
        known = {path for path, _, _ in self.made.unwatched}
        notes += tuple(
            f"{place} reads {path}, as it did not when it was made"
            for path, _, place in done.outcome.unwatched
            if path not in known
        )
        if done.error is not None:
            told = Alike("failed", f"it failed: {_said(done.error, self.seen.root)}")
            yield from (_of(made, told, seconds, notes) for made in self.order.wanted)
            return
        for made in self.order.wanted:
            alike = self._alike(asset, made, done.outcome.made)
            more = () if alike.likeness in REPRODUCED else tuple(_restless(asset, recipe))
            yield _of(made, alike, seconds, (*notes, *more))

    def _alike(self, asset: Asset, made: Materialization, found: Mapping[str, Made]) -> Alike:
        vault = self.bench.vault
        assert made.content is not None
        assert isinstance(vault, Vault)
        whole = found[made.asset]
        parts = dict(whole.parts)
        if made.partition is not None and asset.sliced_by is not None:
            if made.partition not in parts:
                return Alike("other", f"there is no slice `{made.partition}` now")
            written = vault.write(parts[made.partition])
        else:
            written = vault.write(whole.canonical)
        vault.sync()
        likening = Likening(vault, asset.contract.primary_key or (), self.order.trials)
        return likening.alike(made.content, written)

    # ------------------------------------------------------------------ as it was, or otherwise

    def _code(self, recipe: Recipe) -> Iterator[str]:
        """Is it the code by which the version is known, and which its seeds come from?"""
        if recipe.digest == self.made.recipe:
            return
        before = {(p.kind, p.name): p for p in (self.order.recipe or Recipe("")).parts}
        after = {(p.kind, p.name): p for p in recipe.parts}
        names = [
            name
            for kind, name in {**before, **after}
            if (b := before.get((kind, name))) is None
            or (a := after.get((kind, name))) is None
            or a.digest != b.digest
        ]
        what = f": {_few(names)}" if names and self.order.recipe is not None else ""
        yield f"the code is not what was recorded{what}; the seeds are those of then"

    def _environment(self, asset: Asset, recipe: Recipe) -> Iterator[str]:
        then, now = self.order.environment, self.seen.environment_of(asset, recipe)
        if then is None or then.digest == now.digest:
            return
        if then.python != now.python:
            yield f"Python {then.python} → {now.python}"
        before, after = dict(then.packages), dict(now.packages)
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                yield f"{name} {before.get(name, 'not there')} → {after.get(name, 'not there')}"
        values, present = dict(then.variables), dict(now.variables)
        for name in sorted({*values, *present}):
            if values.get(name) != present.get(name):
                yield f"the environment variable {name} has another value"

    # ---------------------------------------------------------------------------------- the task

    def _task(self, asset: Asset, recipe: Recipe) -> Task:
        made, seen = self.made, self.seen
        used = {given.parameter: self._used(given) for given in asset.inputs}
        key = None if asset.sliced_by is not None else made.partition
        return Task(
            step=Step(asset.name, key),
            asset=asset,
            recipe=replace(recipe, digest=made.recipe),  # the seeds come from it
            parameters=self._parameters(asset, key),
            inputs={name: self._handed(each) for name, each in used.items()},
            held={},
            observation=None,
            paths=self._paths(),
            log=f"reproduce/{made.id}",
            timeout=asset.timeout,
            resources={
                resource.name: seen.parameters_of(resource) for _, resource in asset.resources
            },
            sights=_sights(made.inputs) if asset.query is not None else {},
            weighing=None if asset.gate is None else Weighing(candidate=True),
        )

    def _used(self, given: Input) -> list[Used]:
        found = [used for used in self.made.inputs if used.parameter == given.parameter]
        if not found:
            raise StepError(f"its code reads `{given.parameter}`, of which nothing was recorded")
        return found

    def _handed(self, used: list[Used]) -> Handed:
        versions = tuple(self._known(each) for each in used if each.mode != "none")
        return Handed(versions, is_many(used[0].arrival))

    def _known(self, used: Used) -> Known:
        source = self.order.inputs[used.materialization]
        observation = None
        if used.mode == "files":
            observation = Observation(used.asset, source.files, used.content)
        return Known(
            used.asset,
            used.partition,
            source.content,
            source.id,
            observation,
            metrics=source.metrics,
        )

    def _paths(self) -> dict[Step, tuple[str, ...]]:
        found: dict[Step, tuple[str, ...]] = {}
        for used in self.made.inputs:
            if used.mode == "files":
                maker = self.seen.graph.maker.get(used.asset, used.asset)
                paths = self.order.paths[used.materialization]
                found |= {
                    Step(maker, used.partition): paths,
                    Step(used.asset, used.partition): paths,
                }
        return found

    def _parameters(self, asset: Asset, key: str | None) -> dict[str, Any]:
        """As they were recorded: settings say most of them, and `-p` said the others."""
        try:
            values = dict(self.seen.parameters_of(asset))
        except SettingsError:  # one has a value only where `-p` says so
            values = dict(asset.parameters)
        if key is not None and asset.partitions is not None:
            values.update(asset.partitions.parameters(key))
        for name, text in self.made.parameters:
            known = dict(parameter_texts({name: values[name]})) if name in values else {}
            if known.get(name) != text:
                values[name] = _as_recorded(asset, name, text)
        return values


def _restless(asset: Asset, recipe: Recipe) -> Iterator[str]:
    """Why it may come out otherwise each time, as far as that is known."""
    if asset.volatile:
        yield f"`{asset.name}` is volatile"
    yield from recipe.impure


def _as_recorded(asset: Asset, name: str, text: str) -> Any:
    """The value of a parameter that was said for one run only, by the text that is recorded."""
    for read in (json.loads, ast.literal_eval):
        try:
            value = convert_parameter(asset, name, read(text), error=StepError)
        except (ValueError, SyntaxError, StepError):
            continue
        if dict(parameter_texts({name: value}))[name] == text:
            return value
    raise StepError(f"its parameter `{name}` was {text}, which can't be said again")


def _sights(used: tuple[Used, ...]) -> dict[str, Sight]:
    of_columns = (each for each in used if each.mode in ("columns", "shape"))
    return {each.asset: Sight(each.columns, each.mode == "shape") for each in of_columns}


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(f"`{name}`" for name in names[:_SHOWN]) + more
