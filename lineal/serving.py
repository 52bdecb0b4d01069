"""Registered models for any process: loaded from the store alone, their bytes and code checked."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from lineal import definitions
from lineal.assets.errors import ContentError, IntegrityError, UsageError
from lineal.assets.records import Content, Materialization, Registered
from lineal.disk import Disk
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from lineal.settings import find_root, store_of
from lineal.storage.objects import Objects
from lineal.storage.vault import Vault


@dataclass(frozen=True, slots=True)
class Served:
    """A registered model; it unpacks to the model, its features and its materialization.

    Attributes:
        model: the object itself, this caller's own.
        features: the columns that it was fitted on, in order; None if it doesn't say.
        materialization: how it was made: run, metrics, parameters, inputs.
        registered: its number in the registry, its tags.
        alias: the name by which it was asked for, if it was asked for by one.
    """

    model: Any = field(repr=False)
    features: tuple[str, ...] | None
    materialization: Materialization
    registered: Registered
    alias: str | None = None

    def __iter__(self) -> Iterator[Any]:
        return iter((self.model, self.features, self.materialization))

    def __repr__(self) -> str:
        made, known = self.materialization, self.registered
        name = f"{known.registry} v{known.version}{f' @{self.alias}' if self.alias else ''}"
        kind = type(self.model).__qualname__
        count = "" if self.features is None else f" of {len(self.features)} features"
        day = datetime.fromtimestamp(made.started_at, UTC).date()
        return f"<{name}: {kind}{count}, made as {made.step} in {made.run} on {day}>"


class Found(NamedTuple):
    """A registered version as it is known, not loaded yet."""

    registered: Registered
    materialization: Materialization
    content: Content
    alias: str | None

    def __str__(self) -> str:
        return f"the model {self.registered.registry} v{self.registered.version}"


def load(
    name: str,
    project: str | os.PathLike[str] | None = None,
    *,
    allow_changed_code: bool = False,
) -> Served:
    """A registered model: `delays@production`, `delays@v3`; `delays` is what is in production.

    Nothing of the project is imported. Only if the model is of classes of the project are their
    modules, and those are not left in `sys.modules`.

    Args:
        project: its folder, or one below it; else the project at the working folder or above.
        allow_changed_code: take the model's own classes as they are now, though their code is
            another than what it was made with.

    Raises:
        UsageError: there is no such registry, version or alias; the code is another.
        IntegrityError: the stored bytes are not what was recorded.
        ContentError: it can't be read back here: a package or a class that it needs is not there.
    """
    root = find_root(Path() if project is None else Path(project)).resolve()
    store = store_of(root)
    journal = Journal(store, Disk(), within=root)
    found = find(journal, name, root if project is not None else None)
    model = Loading(root, Objects(store, journal.disk), found, allow_changed_code).model()
    return Served(model, features_of(model), found.materialization, found.registered, found.alias)


def find(journal: Journal, name: str, project: Path | None = None) -> Found:
    """The version of a registry that a name means.

    Raises:
        UsageError: there is none.
    """
    with closing(History.open(journal, journal.root / "cache")) as history:
        registries = history.registries()
        asset = name.partition("@")[0]
        if asset not in registries and any(step.asset == asset for step in history.steps()):
            place = "." if project is None else project
            raise UsageError(
                f"`{asset}` is an asset, and `lineal.load` is for what is in a registry",
                advice=f'lineal.open("{place}").load("{name}")',
            )
        named = registries.named(name)
        made = history.materialization(named.registered.materialization)
    registered, alias = named
    known = f"{registered.registry} v{registered.version}"
    if made is None or made.content is None or made.content.digest != registered.content:
        raise IntegrityError(
            f"the journal knows of no version that is {known}", advice="lineal fsck"
        )
    return Found(registered, made, made.content, alias.alias if alias else None)


def features_of(model: Any) -> tuple[str, ...] | None:
    """The columns that an estimator was fitted on; of a pipeline those of its first step."""
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        steps = getattr(model, "steps", ())
        first = next((step for _, step in steps if step not in (None, "passthrough")), None)
        return None if first is None else features_of(first)
    return tuple(str(name) for name in names)


class Needs(NamedTuple):
    """What a model names, and so needs to be loaded.

    `modules`: all, but those that are Python's own; `project`: files of the project among them.
    """

    modules: frozenset[str]
    project: tuple[str, ...]


class Loading(NamedTuple):
    """One model on its way out of the store."""

    root: Path
    objects: Objects
    found: Found
    allow_changed_code: bool

    def model(self) -> Any:
        """The model, its bytes and its code checked; `lineal.load` says what is raised."""
        return self.with_needs(needs=False)[0]

    def with_needs(self, *, needs: bool = True) -> tuple[Any, Needs]:
        """The model, and what it needs if that is asked for: it is told by writing it again."""
        content = self.found.content
        if content.format.startswith("custom:"):
            raise UsageError(
                f"{self.found} is stored in a format that the project registers",
                advice=f'lineal.open("{self.root}").load("{self.found.materialization.asset}'
                f'@{content.digest[:12]}") loads the project, and with it that format',
            )
        if Vault.is_of_project(content):
            return self._with_code(content)
        model = self._value(Vault(self.objects), content)
        return model, _needs(Vault.names(content, model) if needs else (), ())

    def _with_code(self, content: Content) -> tuple[Any, Needs]:
        """Its classes are the project's: found through its own finder, digested as they are."""
        with (
            definitions.Definitions.turn,
            definitions.load(self.root, (), None, defer=False) as code,
        ):
            vault = Vault(self.objects, identify=code.walker.identify)
            with code.importing(str(self.found)):
                model = self._value(vault, content)
                names = Vault.names(content, model)
                unchanged = vault.is_by_this_code(content, names)
            if not unchanged and not self.allow_changed_code:
                raise self._changed(code)
            return model, _needs(names, sorted(each.path for each in code.sources.values()))

    def _changed(self, code: definitions.Definitions) -> UsageError:
        files = ", ".join(sorted(f"`{source.path}`" for source in code.sources.values()))
        return UsageError(
            f"the code of {self.found} is not what it was made with: {files}",
            where=str(self.root),
            advice="put back that code, and what other modules set in it, train the model again, "
            "or say `allow_changed_code=True`",
        )

    def _value(self, vault: Vault, content: Content) -> Any:
        try:
            return vault.load(content, "auto")
        except IntegrityError as error:
            raise IntegrityError(
                f"{self.found} ({self._place()}) is not what was recorded: {error.message}",
                where=error.where,
                advice="lineal fsck --repair    what can be made again; or go back to an earlier "
                f"version with `lineal models rollback {self.found.registered.registry}`",
            ) from error
        except ContentError as error:
            raise ContentError(
                f"{self.found}: {error.message}", where=error.where, advice=error.advice
            ) from error

    def _place(self) -> str:
        return ", ".join(
            f"objects/{o.digest[:2]}/{o.digest}{f'.{o.suffix}' if o.suffix else ''}"
            for o in self.found.content.objects
        )


def _needs(names: Iterable[tuple[str, str]], project: Iterable[str]) -> Needs:
    tops = {module.partition(".")[0] for module, _ in names}
    return Needs(frozenset(tops - sys.stdlib_module_names), tuple(project))
