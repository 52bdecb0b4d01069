"""Builds the workshop in which steps are worked on: of this process, or of a worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from lineal.assets.asset import Asset, CustomFormat
from lineal.assets.perform import Workshop
from lineal.definitions import Definitions
from lineal.resources import Opened
from lineal.storage.objects import Objects
from lineal.storage.sources import Observer
from lineal.storage.sql import Queries
from lineal.user_code import Echo, UserCode

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Loaded(Protocol):
    """A project that is loaded, with its store open: a Snapshot, or what a worker has of it."""

    @property
    def root(self) -> Path: ...
    @property
    def definitions(self) -> Definitions: ...
    @property
    def queries(self) -> Queries: ...
    @property
    def objects(self) -> Objects: ...
    @property
    def observer(self) -> Observer: ...
    @property
    def formats(self) -> tuple[CustomFormat, ...]: ...
    def file_digest(self, path: str) -> str | None:
        """The digest of a project file, or of the names in a folder (`data/`)."""
        ...


class Furnished(NamedTuple):
    """A workshop, and the resources that are opened in it: to be closed when it is left."""

    workshop: Workshop
    opened: Opened


def furnished(
    loaded: Loaded,
    scratch: Callable[[], Path],
    *,
    echo: Echo | None = None,
    debugger: bool = False,
    threads: int | None = None,
    mapped: bool = False,
    stand_ins: Mapping[str, Any] = _NOTHING,
) -> Furnished:
    """A workshop over the real store.

    Args:
        scratch: gives a new empty folder.
        echo: gets what steps print, as (step, text).
        debugger: open pdb where a step raises.
        threads: of DuckDB; None: as many as there are cores.
        mapped: tables are read from mapped memory. A file that somebody makes shorter meanwhile
            then ends the process.
        stand_ins: in place of resources, by name.
    """
    from lineal.storage.engine import Engine
    from lineal.storage.vault import Vault

    walker, store = loaded.definitions.walker, loaded.objects.root

    def drifted(asset: Asset) -> str | None:
        part = walker.drifted(asset.function)
        if part is None:
            return None
        return f"the constant `{part.name}` changed while `{asset.name}` ran"

    vault = Vault(loaded.objects, customs=loaded.formats, identify=walker.identify, mapped=mapped)
    engine = Engine(
        vault,
        loaded.root,
        temporary=store / "tmp",
        queries=loaded.queries,
        threads=threads,
        doubt=loaded.observer.doubt,
    )
    user_code = UserCode(
        loaded.root,
        store,
        loaded.file_digest,
        drifted,
        loaded.definitions.settle,
        echo,
        debugger,
    )
    opened = Opened(user_code.locate, stand_ins)
    workshop = Workshop(
        vault,
        engine,
        user_code,
        scratch=scratch,
        as_path=Path,
        open=opened.get,
        known_result=lambda _: None,
    )
    return Furnished(workshop, opened)
