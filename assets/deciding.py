"""One decision of a gate: what is written of it, after the registries as they are at that entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from lineal.assets.asset import Asset, Gate
from lineal.assets.errors import StepError
from lineal.assets.gates import Case, Ruling, rule_on, rule_texts, scored
from lineal.assets.ledger import Ledger
from lineal.assets.perform import Outcome
from lineal.assets.ports import Clock
from lineal.assets.recorder import error_facts
from lineal.assets.records import (
    Decided,
    ErrorFacts,
    Fact,
    Materialization,
    Promotion,
    Registered,
)
from lineal.assets.registries import Registries, Registry
from lineal.assets.unsettled import decided, key_of


class AliasMoved(StepError):
    """The alias names another version than the one that was scored: that is to be scored."""


class Rival(NamedTuple):
    """The version that the alias named when scoring began; its scores, as far as they are known."""

    version: int
    scores: Mapping[str, float] | None = None
    gone: ErrorFacts | None = None


class Candidate(NamedTuple):
    """The model that a gate decides on."""

    asset: str
    materialization: str
    digest: str  # of its content


@dataclass(slots=True)
class Deciding:
    """One decision, made anew whenever somebody else wrote just before it could be written.

    Args:
        who: runs this.
        made: the scores; unwritten: the facts that publish them, if that was not done before.
        rival: the version that the alias named when scoring began.
        outcome: what was scored.
        last: is there no time to score once more?

    Attributes:
        found: what was decided, now or before.
    """

    ledger: Ledger
    clock: Clock
    who: Callable[[], str]
    asset: Asset
    made: Materialization
    unwritten: Sequence[Fact]
    candidate: Candidate
    rival: Rival | None
    outcome: Outcome
    last: bool
    found: Decided | None = None

    def facts(self, registries: Registries, entry: int) -> Sequence[Fact]:
        """What is to be written after this state of the registries, as this entry."""
        ledger, made, asset = self.ledger, self.made, self.asset
        gate = asset.gate
        if gate is None:
            raise RuntimeError(f"`{asset.name}` is no gate")
        registry, promotes = registries[gate.registry], ledger.facts.promotes
        if made.partition not in ledger.facts.forced.get(asset.name, ()):
            self.found = decided(gate, made, registry, promotes=promotes)
            if self.found is not None:  # somebody else did so meanwhile, or it was made again
                return self.unwritten
        case = self._case(gate, registry, promotes)
        ruling, now = rule_on(case), self.clock()
        number = registry.numbered(case.content)
        new: list[Fact] = []
        moved: list[Fact] = []
        if ruling.outcome == "opened":
            if number is None:
                number = self._registered(registry, now)
                new.append(number)
            moved.append(self._promotion(case, ruling, number.version, now, entry))
        self.found = self._decision(case, ruling, number, now)
        return [*self.unwritten, *new, self.found, *moved]

    def _decision(
        self,
        case: Case,
        ruling: Ruling,
        number: Registered | None,
        now: float,
    ) -> Decided:
        gate, made, ledger = case.gate, self.made, self.ledger
        return Decided(
            gate=case.name,
            materialization=made.id,
            registry=gate.registry,
            alias=gate.alias,
            key=key_of(gate, made.fingerprint),
            candidate=self.candidate.materialization,
            content=case.content,
            version=number.version if number is not None else None,
            compared=case.against,
            outcome=ruling.outcome,
            reason=ruling.reason,
            scores=scored(case),
            rules=rule_texts(gate.rules),
            environment=ledger.facts.environment,
            run=ledger.numbering.run,
            at=now,
            unscored=ruling.unscored,
        )

    def _case(self, gate: Gate, registry: Registry, promotes: bool) -> Case:
        """What is to be ruled on; what was scored must be what the alias names now."""
        scores, content = dict(self.made.metrics), self.candidate.digest
        case = Case(self.asset.name, gate, registry, content, scores, promotes=promotes)
        if case.kept or case.against is None or registry.hold is not None:
            return case
        weighed, known = self.outcome.weighed, self.rival
        if known is None or known.version != case.against:
            return self._once_more(case)
        rival = known.scores or (weighed.rival if weighed is not None else None)
        error = weighed.unscored if weighed is not None else None
        why = error_facts(error) if error is not None else known.gone
        if rival is None and why is None:  # it needed no score then: it was held, say
            return self._once_more(case)
        return replace(case, rival=rival or {}, unscored=why)

    def _once_more(self, case: Case) -> Case:
        """What the alias names now is to be scored; in the end it is a version without scores."""
        name = f"{case.gate.registry}@{case.gate.alias}"
        if not self.last:
            raise AliasMoved(f"`{name}` was moved meanwhile")
        told = f"others moved {name} again and again"
        return replace(case, unscored=ErrorFacts("AliasMoved", told))

    def _registered(self, registry: Registry, now: float) -> Registered:
        return Registered(
            registry=registry.name,
            version=registry.next_number,
            asset=self.candidate.asset,
            partition=None,
            materialization=self.candidate.materialization,
            content=self.candidate.digest,
            run=self.ledger.numbering.run,
            at=now,
            who=self.who(),
        )

    def _promotion(
        self, case: Case, ruling: Ruling, version: int, now: float, entry: int
    ) -> Promotion:
        return Promotion(
            id=f"p{entry}",
            registry=case.gate.registry,
            alias=case.gate.alias,
            version=version,
            previous=case.against,
            environment=self.ledger.facts.environment,
            run=self.ledger.numbering.run,
            who=self.who(),
            reason=ruling.reason,
            scores=scored(case),
            at=now,
            how="gate",
            gate=case.name,
        )
