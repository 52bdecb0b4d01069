"""What a project does with its registered models: asked about, moved by hand, handed out."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lineal.answers import Models, ModelsDifference, ModelShown, Moved
from lineal.asking import Asking
from lineal.assets.errors import LinealError
from lineal.assets.records import Hold, Registered
from lineal.assets.registries import PRODUCTION
from lineal.assets.run import Run
from lineal.disk import Disk
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from lineal.settings import Settings
from lineal.storage.objects import Objects
from lineal.user_code import Echo

if TYPE_CHECKING:
    from lineal.model_export import Exported
    from lineal.registering import Made, Registering


class ProjectModels(ABC):
    """The part of a project that is about registered models."""

    root: Path
    store: Path
    journal: Journal
    settings: Settings
    environment: str
    _disk: Disk

    @property
    @abstractmethod
    def _asking(self) -> Asking: ...

    @property
    @abstractmethod
    def _version(self) -> str: ...  # our own

    @abstractmethod
    def history(self) -> History: ...

    @abstractmethod
    def _followed_by(self, registry: str, alias: str, echo: Echo | None) -> Run:
        """Run the actions of an alias, and nothing else."""

    def models(self) -> Models:
        """All registries, each with its versions, newest first."""
        return self._asking.models()

    def model(self, name: str) -> ModelShown:
        """A registered version with all that is known of it: `delays@v3`, `delays@production`.

        Raises:
            UsageError: there is none.
        """
        return self._asking.model(name)

    def compare_models(self, first: str, second: str) -> ModelsDifference:
        """How two registered versions differ: metrics, parameters, data, code, packages.

        Raises:
            UsageError: there is no such version.
        """
        return self._asking.compare_models(first, second)

    def promote(
        self,
        name: str,
        alias: str = PRODUCTION,
        reason: str = "",
        *,
        asset: str | None = None,
        echo: Echo | None = None,
    ) -> Moved:
        """Move an alias of a registry to a version (`delays@v3`), and run what follows promotions.

        Args:
            asset: a version of it (`delay_model`, `delay_model@9f3a2c`) is registered first, if it
                has no number; `name` is then the registry alone.
            echo: gets what actions print, as (step, text).

        Raises:
            UsageError: there is no such version, or the alias names it already.
            IntegrityError: its bytes are gone or damaged.
        """
        return self._followed(self._registering.promote(name, alias, reason, asset), echo)

    def rollback(
        self,
        name: str,
        alias: str = PRODUCTION,
        reason: str = "",
        *,
        echo: Echo | None = None,
    ) -> Moved:
        """Move an alias of a registry back to the version before; the one it leaves is withdrawn:
        no gate promotes it again.

        Args:
            echo: gets what actions print, as (step, text).

        Raises:
            UsageError: there is none before.
            IntegrityError: its bytes are gone or damaged.
        """
        return self._followed(self._registering.rollback(name, alias, reason), echo)

    def _followed(self, made: Made, echo: Echo | None) -> Moved:
        """What was moved, and the run of the actions after it: the move stands if that fails."""
        try:
            run = self._followed_by(made.promotion.registry, made.promotion.alias, echo)
        except LinealError as error:
            return Moved(*made, None, error)
        return Moved(*made, run if run.steps else None)

    def register(self, name: str, asset: str, tags: Sequence[str] = ()) -> Registered:
        """Give a version of an asset the next number in a registry; no alias moves.

        Raises:
            UsageError: it has a number already, or is no model.
        """
        return self._registering.register(name, asset, tags)

    def tag(self, name: str, add: Sequence[str] = (), remove: Sequence[str] = ()) -> Registered:
        """Change the tags of a registered version; it is returned as it is then.

        Raises:
            UsageError: there is no such version, or its tags are so already.
        """
        return self._registering.tag(name, add, remove)

    def hold(self, name: str, reason: str = "") -> Hold:
        """Suspend promotion by gates in a registry: they score and record, and never open.

        Raises:
            UsageError: there is no such registry, or it is held.
        """
        return self._registering.hold(name, True, reason)

    def release(self, name: str, reason: str = "") -> Hold:
        """Let the gates of a registry promote again.

        Raises:
            UsageError: there is no such registry, or it is not held.
        """
        return self._registering.hold(name, False, reason)

    def export_model(
        self, name: str, folder: str | os.PathLike[str], *, force: bool = False
    ) -> Exported:
        """Write a registered version into a folder: its file, a model card, requirements.

        Args:
            force: write although other files are there, in place of those of the same names.

        Raises:
            UsageError: there is no such version, or other files are in the folder.
            IntegrityError: its bytes are gone or damaged.
        """
        from lineal.model_export import export

        version = self._version
        return export(self.root, self.journal, name, Path(folder), version, force=force)

    @property
    def _registering(self) -> Registering:
        from lineal.registering import Registering

        return Registering(
            self.root,
            self.journal,
            self.history,
            Objects(self.store, self._disk).intact,
            self._version,
            self.environment,
            self.settings.environment.promotes,
        )
