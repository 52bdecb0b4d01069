"""Versions registered and aliases moved in a store, without any command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lineal
from lineal.assets.records import Promotion, Registered, Score
from lineal.assets.registries import Registries
from lineal.lineage.registry import Registrar


def register(root: Path, asset: str = "model", registry: str = "delays") -> int:
    """Number the current version of an asset; a content that has a number keeps it."""
    project = lineal.open(root)
    history = project.history()
    made = history.current(asset, None)
    assert made is not None
    assert made.content is not None
    content = made.content.digest

    def numbered(registries: Registries, entry: int) -> Sequence[Registered]:
        known = registries[registry]
        if known.numbered(content) is not None:
            return []
        number = known.next_number
        return [Registered(registry, number, asset, None, made.id, content, made.run, 1.0, "me")]

    registries, _ = Registrar(project.journal, history).record(numbered)
    history.close()
    known = registries[registry].numbered(content)
    assert known is not None
    return known.version


def move(root: Path, version: int, how: Any = "person", registry: str = "delays") -> str:
    """Move `production` to a version; returns the id of the promotion."""
    project = lineal.open(root)
    history = project.history()

    def moved(registries: Registries, entry: int) -> Sequence[Promotion]:
        before = registries[registry].at("production")
        previous = None if before is None else before.version
        scores = (Score("auc", 0.5 + version / 8, None if previous is None else 0.5),)
        told = (version, previous, "default", "r1", "me", "looked at", scores, 1.0, how)
        return [Promotion(f"p{entry}", registry, "production", *told)]

    _, written = Registrar(project.journal, history).record(moved)
    history.close()
    (fact,) = written
    assert isinstance(fact, Promotion)
    return fact.id
