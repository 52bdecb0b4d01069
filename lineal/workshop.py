"""Builds the workshop in which steps are worked on: of this process, or of a worker."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from lineal.assets.asset import Asset, CustomFormat
from lineal.assets.perform import Workshop
from lineal.definitions import Definitions
from lineal.resources import Opened
from lineal.storage.objects import Objects
from lineal.storage.sources import Observer
from lineal.storage.sql import Queries
from lineal.timeouts import limited
from lineal.user_code import Echo, UserCode

_NONE: Mapping[str, Any] = MappingProxyType({})


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


def workshop(
    loaded: Loaded,
    scratch: Callable[[], Path],
    *,
    echo: Echo | None = None,
    debugger: bool = False,
    memory: int | None = None,
    threads: int | None = None,
    stand_ins: Mapping[str, Any] = _NONE,
    alone: bool = False,
) -> tuple[Workshop, Opened]:
    """A workshop over the real store, and the resources that are open in it, to be closed.

    Args:
        scratch: gives a new empty folder.
        echo: gets what steps print, as (step, text).
        debugger: open pdb where a step raises.
        memory: bytes that tables may take before they spill; None: a quarter of the machine's.
        threads: of DuckDB; None: as many as there are cores.
        stand_ins: in place of resources, by name.
        alone: this process has nothing else to do: what is written below Python goes to the log
            too, a step that takes too long is killed with it, and so it is by a stored table that
            somebody makes shorter while it is read.
    """
    from lineal.storage.engine import Engine
    from lineal.storage.vault import Vault

    walker, store = loaded.definitions.walker, loaded.objects.root

    def drifted(asset: Asset) -> str | None:
        for function in (asset.function, *(taken.function for _, taken in asset.resources)):
            part = walker.drifted(function)
            if part is not None:
                return f"the constant `{part.name}` changed while `{asset.name}` ran"
        return None

    vault = Vault(
        loaded.objects,
        customs=loaded.formats,
        identify=walker.identify,
        memory=memory,
        mapped=alone,
    )
    engine = Engine(
        vault,
        loaded.root,
        temporary=store / "tmp",
        queries=loaded.queries,
        threads=threads,
        memory=memory,
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
        descriptors=alone,
    )
    opened = Opened(user_code.locate, stand_ins)
    made = Workshop(
        vault,
        engine,
        user_code,
        scratch=scratch,
        as_path=Path,
        open=opened.get,
        known_result=lambda _: None,
        limited=(lambda seconds, step: contextlib.nullcontext()) if alone else limited,
    )
    return made, opened
