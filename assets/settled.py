"""What is settled of steps: each by itself, and fresh partitions of an asset by briefs.  PURE

A whole version is looked up when somebody asks for it; most readers want its digest only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from lineal.assets.facts import Facts
from lineal.assets.graph import Graph
from lineal.assets.names import Step
from lineal.assets.records import Brief, Materialization, Observation
from lineal.assets.verdicts import Known

_NONE: Mapping[str | None, Brief] = {}


def known_of(
    made: Materialization, observation: Observation | None = None, asset: str | None = None
) -> Known:
    """What is known of a step by its materialization, perhaps one found under another name."""
    return Known(
        asset or made.asset,
        made.partition,
        made.content,
        made.id,
        observation,
        metrics=made.metrics,
    )


class Settled(Mapping[Step, Known]):
    """Known steps.

    Args:
        facts: those under which the briefs were found fresh.
    """

    def __init__(self, graph: Graph, facts: Facts) -> None:
        self._graph, self._facts = graph, facts
        self._each: dict[Step, Known] = {}
        self._briefs: dict[str, dict[str | None, Brief]] = {}  # by output

    def add(self, known: Mapping[Step, Known]) -> None:
        """These are settled, each by itself."""
        for step in known if self._briefs else ():
            self._briefs.get(step.asset, {}).pop(step.partition, None)
        self._each.update(known)

    def __setitem__(self, step: Step, known: Known) -> None:
        self.add({step: known})

    def settle(self, output: str, briefs: Mapping[str | None, Brief]) -> None:
        """These partitions of an output are what their briefs say."""
        self._briefs.setdefault(output, {}).update(briefs)

    def forget(self, step: Step) -> None:
        """It is not settled any more."""
        self._briefs.get(step.asset, {}).pop(step.partition, None)
        self._each.pop(step, None)

    def briefs(self, output: str) -> Mapping[str | None, Brief]:
        """The partitions of an output that are known by their briefs."""
        return self._briefs.get(output, _NONE)

    def __contains__(self, step: object) -> bool:
        return step in self._each or (isinstance(step, Step) and self._is_brief(step))

    def __getitem__(self, step: Step) -> Known:
        known = self._each.get(step)
        return self._whole(step) if known is None else known

    def __iter__(self) -> Iterator[Step]:
        yield from self._each
        for output, briefs in self._briefs.items():
            yield from (Step(output, key) for key in briefs)

    def __len__(self) -> int:
        return len(self._each) + sum(map(len, self._briefs.values()))

    def get(self, step: Step, default: Any = None) -> Any:
        known = self._each.get(step)
        if known is None and self._is_brief(step):
            return self._whole(step)
        return default if known is None else known

    def _is_brief(self, step: Step) -> bool:
        return step.partition in self._briefs.get(step.asset, _NONE)

    def _whole(self, step: Step) -> Known:
        made = self._facts.past.current(*step) if self._is_brief(step) else None
        if made is None:
            raise KeyError(step)
        maker = Step(self._graph.maker[step.asset], step.partition)
        known = known_of(made, self._facts.observations.get(maker), step.asset)
        return replace(known, partition=step.partition)
