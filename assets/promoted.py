"""The promotion as an action gets it: the model that an alias was moved to, and what led to it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lineal.assets import records
from lineal.assets.asset import Arrival
from lineal.assets.errors import StepError
from lineal.assets.ports import Vault
from lineal.assets.records import Content


def _nothing(arrival: Arrival) -> Any:
    raise StepError("this promotion was made by hand: it has no stored model")


@dataclass(frozen=True, repr=False)
class Promotion:
    """One move of an alias of a registry, as an action gets it.

    Attributes:
        id: names it to the outside world: it is the same whenever the action runs for this move.
        registry, alias: what was moved.
        number: of the version that the alias names now; `version` is its name, `"v3"`.
        previous: the version that it named before, or None.
        reason: why it was moved.
        how: "gate", "person" or "rollback".
        scores: the metrics of this version; compared: those of the version before, on the same
            data, as far as the two were compared.
    """

    id: str
    registry: str
    alias: str
    number: int
    previous: str | None = None
    reason: str = ""
    how: Literal["gate", "person", "rollback"] = "gate"
    scores: Mapping[str, float] = field(default_factory=dict)
    compared: Mapping[str, float] = field(default_factory=dict)
    _load: Callable[[Arrival], Any] = _nothing

    @property
    def version(self) -> str:
        """`"v3"`."""
        return f"v{self.number}"

    @functools.cached_property
    def model(self) -> Any:
        """The model itself, loaded when it is first asked for, its bytes and its code checked."""
        return self._load("auto")

    @functools.cached_property
    def path(self) -> Path:
        """The absolute path of the stored model, its bytes checked; the file is read-only."""
        found: Path = self._load("path")
        return found

    def __repr__(self) -> str:
        moved = f"{self.previous} → {self.version}" if self.previous else self.version
        return f"<Promotion {self.id}: {self.registry}@{self.alias} {moved}, by {self.how}>"


class Promoted(NamedTuple):
    """What a worker needs to make it: the parameter that gets it, the fact, the stored model."""

    parameter: str
    fact: records.Promotion
    content: Content | None

    def opened(self, vault: Vault) -> Promotion:
        """The promotion as the function gets it."""
        fact, content = self.fact, self.content

        def load(arrival: Arrival) -> Any:
            if content is None:
                raise StepError(f"{fact.registry} v{fact.version} has no stored model")
            if arrival != "path" and not vault.runs_as_stored(content):
                raise StepError(
                    f"{fact.registry} v{fact.version} is made of classes of the project that have "
                    "other code now than when it was made",
                    advice="put that code back, or use its file: `promotion.path`",
                )
            return vault.load(content, arrival)

        return Promotion(
            id=fact.id,
            registry=fact.registry,
            alias=fact.alias,
            number=fact.version,
            previous=None if fact.previous is None else f"v{fact.previous}",
            reason=fact.reason,
            how=fact.how,
            scores={score.metric: score.candidate for score in fact.scores},
            compared={s.metric: s.production for s in fact.scores if s.production is not None},
            _load=load,
        )
