"""A snapshot of a project: its code loaded and bound into a graph, and the facts about it now."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lineal.assets import watching
from lineal.assets.asset import Asset, Check, CustomFormat, Files, Macro, Resource
from lineal.assets.code import OpenedBy, Walker, with_resources
from lineal.assets.digest import SCHEME, digest_of
from lineal.assets.errors import (
    DefinitionError,
    DefinitionErrors,
    LinealError,
    SettingsError,
    SourceMissing,
    UsageError,
    did_you_mean,
)
from lineal.assets.facts import CheckId, Facts, Presence
from lineal.assets.file_partitions import ByFile
from lineal.assets.graph import Graph
from lineal.assets.names import Step
from lineal.assets.parameters import convert_parameter
from lineal.assets.pools import pool_errors
from lineal.assets.records import (
    EnvironmentFacts,
    Observation,
    Recipe,
    RecipePart,
)
from lineal.assets.registries import Registries
from lineal.assets.secrets import secrets_in
from lineal.assets.slices import Sliced, slices_of
from lineal.binding import axes_of
from lineal.definitions import Definitions
from lineal.environments import Parameters
from lineal.lineage.facts import History
from lineal.packages import Packages
from lineal.settings import Settings
from lineal.storage.ingest import reader_identity
from lineal.storage.objects import Objects
from lineal.storage.sources import Observer
from lineal.storage.sql import Queries

# Beside what the user's code imports, a step depends on what reads and writes its values.
_MACHINERY: Mapping[str, tuple[str, ...]] = {
    "python": ("pandas", "pyarrow"),
    "fetch": ("pandas", "pyarrow"),
    "gate": ("pandas", "pyarrow"),
    "action": (),  # what is done for a promotion is not done again in another environment
    "sql": ("duckdb", "pyarrow"),
    "files": ("pyarrow", "duckdb"),
}

EVERY_VARIABLE = "*"  # in a recipe: the code reads a variable whose name can't be known
_RESTLESS = frozenset({"_", "PWD", "OLDPWD", "SHLVL", "COLUMNS", "LINES", "WINDOWID", "PPID"})


@dataclass(slots=True)
class Snapshot:
    """The graph and the ways to know of it; facts are frozen by `facts`."""

    root: Path
    settings: Settings
    definitions: Definitions
    graph: Graph
    queries: Queries
    history: History
    objects: Objects
    observer: Observer
    packages: Packages
    overrides: Mapping[str, Mapping[str, Any]]
    formats: tuple[CustomFormat, ...]  # what the project registers to store values of its own types
    # Resources that something stands in for, each with a text that is unique to the run.
    replaced: Mapping[str, str] = field(default_factory=dict)
    _resource_recipes: dict[str, Recipe] = field(default_factory=dict)

    def facts(self, wanted: Iterable[str]) -> Facts:
        """Freeze what planning these assets needs to know.

        Raises:
            SourceMissing: a source's files are not there.
        """
        asked = set(wanted)
        shared = {self.graph.assets[n].partitions_of or n for n in asked} - asked
        asked |= self.graph.needed_by(shared)
        names = [n for n in self.graph.order if n in asked]
        assets = [self.graph.assets[n] for n in names]
        environments = _Environments(self)
        recipes = {a.name: self.recipe(a) for a in assets}
        checks = [
            (output, check)
            for asset in assets
            for output in asset.outputs
            for check in self.graph.checks.get(output, ())
        ]
        check_recipes = {CheckId(o, c.name): self._check_recipe(c) for o, c in checks}
        observations, now = self._observe(assets), time.time()
        presence = Presence(self.objects.present)
        return Facts(
            past=self.history,
            recipes=recipes,
            check_recipes=check_recipes,
            environments={a.name: environments.of_asset(a, recipes[a.name]) for a in assets},
            check_environments={
                CheckId(o, c.name): environments.of_check(c, check_recipes[CheckId(o, c.name)])
                for o, c in checks
            },
            parameters={a.name: self.parameters_of(a) for a in assets},
            observations=observations,
            present=presence,
            look=presence.look,
            file_digest=_once(self.file_digest),
            now=now,
            resources={r.name: self.parameters_of(r) for r in self.graph.resources.values()},
            slices=Sliced(self.graph, now, self._found_keys(assets, observations)),
            sights=self.queries.sights,
            registries=self._registries(assets),
            environment=self.history.environment,
            promotes=self.settings.environment.promotes,
        )

    def _registries(self, assets: Iterable[Asset]) -> Registries:
        """Those of models, if any of these has to do with them."""
        asks = any(asset.gate is not None or asset.action is not None for asset in assets)
        return self.history.registries() if asks else Registries()

    def _found_keys(
        self, assets: Iterable[Asset], observations: Iterable[Step]
    ) -> dict[str, list[str]]:
        """The partitions that files and data give: of sources as observed, else as last made."""
        found: dict[str, list[str]] = {}
        for step in observations:
            if step.partition is not None:
                found.setdefault(step.asset, []).append(step.partition)
        for asset in assets:
            if asset.sliced_by is not None:
                found[asset.name] = slices_of(self.history.current(asset.outputs[0], None))
        return found

    def file_digest(self, path: str) -> str | None:
        """The digest of a project file, or of the names in a folder (`data/`); None without it."""
        return digest_in(self.root, self.observer, path)

    def _observe(self, assets: Iterable[Asset]) -> dict[Step, Observation]:
        found: dict[Step, Observation] = {}
        for asset in assets:
            if asset.files is not None:
                found.update(self._observe_all(asset, asset.files))
        self.observer.save()
        return found

    def _observe_all(self, asset: Asset, files: Files) -> dict[Step, Observation]:
        if not isinstance(asset.partitions, ByFile):
            return {Step(asset.name): self.observer.observe(asset.name, files)}
        seen = self.observer.observe_slices(asset.name, files, asset.partitions)
        return {Step(asset.name, key): each for key, each in seen.items()}

    def observe(self, step: Step) -> Observation:
        """The files of a source's step, as they are now.

        Raises:
            SourceMissing: they are not there.
        """
        asset = self.graph.assets[step.asset]
        found = {} if asset.files is None else self._observe_all(asset, asset.files)
        if step not in found:
            raise SourceMissing(f"the files of `{step}` are gone", where=str(asset.where))
        return found[step]

    # ------------------------------------------------------------------------------- recipes

    def recipe(self, asset: Asset) -> Recipe:
        if asset.kind == "sql":
            return self._sql_recipe(asset)
        if asset.files is not None:
            identity = reader_identity(asset.files)
            if not self.graph.reads_as_table(asset.name):
                identity = "in place"
            part = RecipePart("reader", "builtin", digest_of(identity), identity)
            return Recipe(digest_of((SCHEME, "files", identity)), (part,))
        recipe = self.definitions.walker.recipe(
            asset.function,
            version=asset.version,
            ignore=asset.ignore,
            parameters=asset.parameter_types,
        )
        recipe = replace(recipe, watched=self._watched(asset, recipe))
        return self._with_formats(with_resources(recipe, self._opened_by(asset)))

    def _opened_by(self, reader: Asset | Check) -> list[OpenedBy]:
        """The resources of an asset or check, as its recipe sees them."""
        return [
            OpenedBy(
                parameter,
                resource,
                self._resource_recipe(resource),
                self.parameters_of(resource),
                self.replaced.get(resource.name, ""),
            )
            for parameter, resource in reader.resources
        ]

    def _resource_recipe(self, resource: Resource) -> Recipe:
        found = self._resource_recipes.get(resource.name)
        if found is None:
            types = resource.parameter_types
            recipe = self.definitions.walker.recipe(resource.function, parameters=types)
            found = replace(recipe, watched=self._watched(resource, recipe))
            self._resource_recipes[resource.name] = found
        return found

    def _watched(self, asset: Asset | Resource, recipe: Recipe) -> tuple[tuple[str, str], ...]:
        """The files that code may name, with those that values set from outside may."""
        given = {
            **self.settings.parameters.get(asset.name, {}),
            **self.overrides.get(asset.name, {}),
        }
        if not given:
            return recipe.watched
        values = [value for name, value in self.parameters_of(asset).items() if name in given]
        texts = [text for value in values for text in watching.spelt(value)]
        found = [path for text in texts for path in watching.files(text, str(self.root), "")]
        place = f"{_inside(asset.where.file)}:{asset.where.line}"
        return (*recipe.watched, *((path, place) for path in found))

    def _with_formats(self, recipe: Recipe) -> Recipe:
        """What a function returns is known only when it ran: every format counts for each."""
        parts = [self._format_part(each) for each in self.formats]
        if not parts:
            return recipe
        digest = digest_of((SCHEME, recipe.digest, [p.digest for p in parts]))
        return replace(recipe, digest=digest, parts=(*recipe.parts, *parts))

    def _format_part(self, custom: CustomFormat) -> RecipePart:
        codes = []
        for function in (custom.save, custom.load):
            module = getattr(function, "__module__", "") or ""
            if self.definitions.finder.is_project(module):
                codes.append(self.definitions.walker.recipe(function).digest)
            else:
                codes.append(f"{module}.{getattr(function, '__qualname__', '')}")
        digest = digest_of((SCHEME, custom.name, custom.suffix, codes))
        return RecipePart(custom.name, "function", digest, f"format .{custom.suffix}")

    def _sql_recipe(self, asset: Asset) -> Recipe:
        if asset.query is None:
            raise DefinitionError(f"`{asset.name}` has no SQL", where=str(asset.where))
        facts = self.queries.describe(asset.query)
        where = str(asset.query.where)
        shown = " ".join(facts.text.split())
        value, place, text = _cut(shown), _inside(where), facts.text
        parts = [RecipePart(asset.name, "sql", facts.tokens_digest, value, place, text=text)]
        parts += [self._macro_part(macro) for macro in asset.query.macros]
        if asset.version is not None:
            parts.append(RecipePart("version", "version", digest_of(asset.version), asset.version))
        digest = digest_of((SCHEME, "sql", [p.digest for p in parts]))
        return Recipe(digest, tuple(parts), tuple(facts.opaque))

    def _macro_part(self, macro: Macro) -> RecipePart:
        facts = self.queries.describe_macro(macro)
        shown = "(" + " ".join(facts.text.partition("(")[2].split())
        value, where = _cut(shown), _inside(str(macro.where))
        return RecipePart(macro.name, "macro", facts.tokens_digest, value, where, text=facts.text)

    def _check_recipe(self, check: Check) -> Recipe:
        if check.rule is not None:
            digest = digest_of((SCHEME, "rule", check.rule))
            part = RecipePart(check.name, "builtin", digest, check.name, str(check.where))
            return Recipe(digest, (part,))
        walker: Walker = self.definitions.walker
        recipe = walker.recipe(check.function, parameters=check.parameters)
        return with_resources(recipe, self._opened_by(check))

    def environment_of(self, asset: Asset, recipe: Recipe) -> EnvironmentFacts:
        """Python, packages and variables that a step of this code rests on, as they are now."""
        return _Environments(self).of_asset(asset, recipe)

    # ---------------------------------------------------------------------------- parameters

    def parameters_of(self, asset: Asset | Resource) -> dict[str, Any]:
        """The values of its parameters: of defaults, settings and `-p` the last that says one.

        Raises:
            SettingsError: one has no value, or the settings give it one that it can't have.
        """
        values = dict(asset.parameters)
        spoken = self.overrides.get(asset.name, {})
        filled = axes_of(asset)
        for name, given in self.settings.parameters.get(asset.name, {}).items():
            _refuse_axis(asset, name, filled, SettingsError)
            values[name] = convert_parameter(
                asset,
                name,
                given,
                error=SettingsError,
                where=self.settings.origins[f"parameters.{asset.name}.{name}"],
            )
        for name, given in spoken.items():
            _refuse_axis(asset, name, filled, UsageError)
            values[name] = convert_parameter(asset, name, given, spoken=True)
        missing = [n for n in asset.parameter_types if n not in values and n not in filled]
        if missing:
            raise SettingsError(
                f"the parameter `{missing[0]}` of `{asset.name}` has no value",
                where=str(asset.where),
                advice=f"set it in lineal.toml: [parameters.{asset.name}] {missing[0]} = …",
            )
        return values

    def secret_names(self) -> set[str]:
        """The variables that parameters name as secrets: no fingerprint holds their values."""
        declared: list[Asset | Check | Resource] = [
            *self.graph.assets.values(),
            *self.graph.resources.values(),
            *(check for found in self.graph.checks.values() for check in found),
        ]
        return {secret.name for each in declared for secret in secrets_in(each.parameters)}


def digest_in(root: Path, observer: Observer, path: str) -> str | None:
    """The digest of a project file, or of the names in a folder (`data/`); None without it."""
    if not path.endswith("/"):
        return observer.digest(path)
    try:
        return digest_of(sorted(p.name for p in (root / path).iterdir()))
    except OSError:
        return None


@dataclass(frozen=True, slots=True)
class _Environments:
    """The environment of assets and checks, by the policy of the settings."""

    snapshot: Snapshot

    def of_asset(self, asset: Asset, recipe: Recipe) -> EnvironmentFacts:
        return self._of((*recipe.imports, *_MACHINERY[asset.kind]), asset.variables, recipe)

    def of_check(self, check: Check, recipe: Recipe) -> EnvironmentFacts:
        machinery = _MACHINERY["sql" if check.rule is not None else "python"]
        if check.rule is not None and dict(check.rule[1]).get("statistic") in ("ks", "chi2"):
            machinery = (*machinery, "scipy")
        return self._of((*recipe.imports, *machinery), (), recipe)

    def _of(
        self, imports: tuple[str, ...], variables: tuple[str, ...], recipe: Recipe
    ) -> EnvironmentFacts:
        seen = self.snapshot
        names = {*variables, *recipe.variables}
        if EVERY_VARIABLE in names:
            others = {*os.environ} - seen.secret_names()
            names = {*names, *others} - {EVERY_VARIABLE, *_RESTLESS}
        return seen.packages.facts(imports, sorted(names), seen.settings.packages)


def _refuse_axis(
    asset: Asset | Resource, name: str, axes: tuple[str, ...], error: type[LinealError]
) -> None:
    if name in axes:
        raise error(
            f"`{asset.name}.{name}` can't be set: it is an axis of the grid of `{asset.name}`, "
            "whose partitions have a value each",
            where=str(asset.where),
            advice=f"write the value there: grid({name}=[…]); or choose among the partitions: "
            f'--partition "*{name}=…*"',
        )


def overrides_of(pairs: Iterable[str], graph: Graph) -> dict[str, dict[str, str]]:
    """`-p ASSET.NAME=VALUE` words, by asset or resource.

    Raises:
        UsageError: not of that form, or no such asset or resource.
    """
    known = (*graph.assets, *graph.resources)
    found: dict[str, dict[str, str]] = {}
    for pair in pairs:
        target, equals, value = pair.partition("=")
        asset, dot, name = target.rpartition(".")
        if not equals or not dot:
            raise UsageError(f"`-p {pair}` is not ASSET.NAME=VALUE")
        if asset not in known:
            raise UsageError(f"no {_what(graph)} `{asset}`{did_you_mean(asset, known)}")
        found.setdefault(asset, {})[name] = value
    return found


def check_settings(settings: Settings, graph: Graph) -> None:
    """Parameters in settings must be of what exists, and every pool that is named be defined.

    Those of other environments too: a mistake there is seen before it is used.

    Raises:
        SettingsError: parameters of no asset or resource, or values that they can't have.
        DefinitionErrors: pools that nobody defined, or that are too small.
    """
    _check_parameters(settings, settings.parameters, "parameters", graph)
    for each in settings.environments.values():
        before = f"environments.{each.name}.parameters"
        _check_parameters(settings, each.parameters, before, graph)
        for asset, given in each.parameters.items():
            target = graph.assets.get(asset) or graph.resources[asset]
            for name, value in given.items():
                where = settings.origins[f"{before}.{asset}.{name}"]
                convert_parameter(target, name, value, error=SettingsError, where=where)
    errors = pool_errors(graph.assets.values(), settings.pools, settings.origins)
    if errors:
        raise DefinitionErrors(errors)


def _check_parameters(settings: Settings, given: Parameters, table: str, graph: Graph) -> None:
    known = (*graph.assets, *graph.resources)
    for name in given:
        if name not in known:
            spoken = (settings.origins[f"{table}.{name}.{each}"] for each in given[name])
            raise SettingsError(
                f"[{table}.{name}]: no {_what(graph)} `{name}`{did_you_mean(name, known)}",
                where=next(spoken, None),
            )


def _what(graph: Graph) -> str:
    return "asset or resource" if graph.resources else "asset"


def _once(ask: Callable[[str], str | None]) -> Callable[[str], str | None]:
    memory: dict[str, str | None] = {}

    def asked(path: str) -> str | None:
        if path not in memory:
            memory[path] = ask(path)
        return memory[path]

    return asked


def _cut(text: str, width: int = 60) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _inside(where: str) -> str:
    return where.rpartition(os.sep)[2]
