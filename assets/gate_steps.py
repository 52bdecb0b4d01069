"""What the loop does for gates: which versions are scored, and what is recorded of a decision.

The scores are a version like any other; what the gate makes of them is decided on the registries as
they are at the very entry that records it, together with the scores, the number and the move.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from lineal.assets.asset import Asset, Gate
from lineal.assets.decide import arrival_of, fingerprints, inputs_used, one_used
from lineal.assets.deciding import Candidate, Deciding, Rival
from lineal.assets.errors import LinealError
from lineal.assets.ledger import Ledger
from lineal.assets.names import Step
from lineal.assets.perform import Outcome
from lineal.assets.ports import Clock, Registrar, Vault
from lineal.assets.recorder import reasons_of
from lineal.assets.records import (
    Attempt,
    Decided,
    ErrorFacts,
    Fact,
    Materialization,
    Used,
)
from lineal.assets.registries import Registries, Registry
from lineal.assets.run import StepReport, is_told
from lineal.assets.settled import known_of
from lineal.assets.verdicts import Decision, Known
from lineal.assets.weighing import Weighing

_TRIES = 4  # to score the version in production, while others move the alias


class _Prepared(NamedTuple):
    """The scores of the candidate, made or kept; `facts` are those that are not written yet."""

    decision: Decision
    made: Materialization
    facts: tuple[Fact, ...]
    new: bool
    seconds: float
    attempts: int


@dataclass(slots=True)
class GateSteps:
    """Gates in one run.

    Args:
        finish: waits until all that was made before is durable.
        open_registrar: who writes what rests on the newest state of the registries.
        who: runs this.
    """

    ledger: Ledger
    vault: Vault
    clock: Clock
    who: Callable[[], str]
    open_registrar: Callable[[], Registrar]
    finish: Callable[[], None]
    _registrar: Registrar | None = None
    _rivals: dict[Step, Rival | None] = field(default_factory=dict)
    _prepared: dict[Step, _Prepared] = field(default_factory=dict)
    _tries: dict[Step, int] = field(default_factory=dict)

    @property
    def registrar(self) -> Registrar:
        if self._registrar is None:
            self._registrar = self.open_registrar()
        return self._registrar

    def materialization(self, name: str) -> Materialization | None:
        """That of this id, of this very run too."""
        return self.registrar.materialization(name)

    def look_again(self, asset: Asset) -> bool:
        """Is it a gate? Then from now on the registries are known as they are now."""
        if asset.gate is None:
            return False
        self._learn(self.registrar.now())
        return True

    def _learn(self, registries: Registries) -> None:
        self.ledger.facts = replace(self.ledger.facts, registries=registries)

    # ---------------------------------------------------------------------------- what is scored

    def weighing(self, step: Step, decision: Decision) -> Weighing | None:
        """What a worker has to score for this gate."""
        asset = self.ledger.graph.assets[step.asset]
        if asset.gate is None:
            return None
        wanted = decision.action == "compute" and self._ready(step, decision) is None
        self._learn(self.registrar.now())
        self._rivals[step], rival = self._rival(asset, asset.gate, decision)
        return Weighing(wanted, rival)

    def _rival(
        self, asset: Asset, gate: Gate, decision: Decision
    ) -> tuple[Rival | None, Known | None]:
        """The version in production, and itself if it has to be scored."""
        registry = self.ledger.facts.registries[gate.registry]
        move = registry.at(gate.alias)
        if move is None:
            return None, None
        named = registry.versions.get(move.version)  # a damaged journal may have lost it
        same = named is not None and named.content == self._candidate(asset, gate).digest
        if same or registry.hold is not None:
            return Rival(move.version), None
        model = self.materialization(named.materialization) if named else None
        if named is None or model is None or model.content is None:
            gone = ErrorFacts("IntegrityError", "the journal has no record of it")
            return Rival(move.version, gone=gone), None
        # Under a name of its own: by that of the asset a worker would find the candidate in memory.
        known = known_of(model, asset=f"{gate.registry}@v{named.version}")
        scores = self._known_scores(asset, gate, decision.used, known, registry)
        return Rival(named.version, scores), known if scores is None else None

    def _candidate(self, asset: Asset, gate: Gate) -> Candidate:
        """The model that a gate decides on, as it is known by now."""
        given = next(g for g in asset.inputs if g.parameter == gate.parameter)
        known = self.ledger.known[Step(given.asset or given.parameter)]
        digest = known.content.digest if known.content is not None else ""
        return Candidate(known.asset, known.materialization, digest)

    def _known_scores(
        self,
        asset: Asset,
        gate: Gate,
        used: Sequence[Used],
        rival: Known,
        registry: Registry,
    ) -> Mapping[str, float] | None:
        """Its scores on this very data by this very code, if they were ever recorded."""
        given = next(g for g in asset.inputs if g.parameter == gate.parameter)
        its = one_used(given, rival, arrival_of(given, many=False))
        if its is None:
            return None
        past, named = self.ledger.facts.past, {metric for metric, _ in gate.rules}
        for made in past.by_fingerprint(self._print(asset, gate, used, its)):
            found = dict(made.metrics)
            if made.outcome in ("made", "reused") and not made.unwatched and named <= found.keys():
                return found
        at = registry.at(gate.alias)
        for one in registry.decisions.values():
            if at is None or (one.gate, one.compared) != (asset.name, at.version) or one.unscored:
                continue
            made_then = self.materialization(one.materialization)
            scores = {s.metric: s.production for s in one.scores if s.production is not None}
            known = named <= scores.keys() and len(scores) == len(one.scores)
            if made_then is None or made_then.unwatched or not known:
                continue
            of_model = (u for u in made_then.inputs if u.parameter == gate.parameter)
            model = next(of_model, None)  # its parameter may have had another name then
            if model and self._print(asset, gate, used, model) == made_then.fingerprint:
                return scores
        return None

    def _print(self, asset: Asset, gate: Gate, used: Sequence[Used], model: Used) -> str:
        """The fingerprint of the scores of another model than the candidate."""
        others = [model if u.parameter == gate.parameter else u for u in used]
        found = fingerprints(self.ledger.graph, Step(asset.name), others, self.ledger.facts)
        return found[asset.name]

    # -------------------------------------------------------------------------- what is recorded

    def record(
        self,
        step: Step,
        decision: Decision,
        outcome: Outcome,
        started: float,
        attempts: Sequence[Attempt],
    ) -> None:
        """Decide, and write it down with all that follows from it, as one entry.

        Raises:
            AliasMoved: the alias names another version than the one that was scored.
        """
        self.finish()  # what it rests on is durable before
        prepared = self._ready(step, decision)
        if prepared is None:
            prepared = self._prepare(step, decision, outcome, started, attempts)
            self._prepared[step] = prepared
        asset = self.ledger.graph.assets[step.asset]
        if asset.gate is None:
            raise RuntimeError(f"`{asset.name}` is no gate")
        deciding = Deciding(
            self.ledger,
            self.clock,
            self.who,
            asset,
            prepared.made,
            prepared.facts,
            self._candidate(asset, asset.gate),
            self._rivals[step],
            outcome,
            self._last(step),
        )
        registries, _ = self.registrar.record(deciding.facts)
        del self._prepared[step]
        self._learn(registries)
        made = prepared.made
        self.ledger.known[made.step] = known_of(made)
        if prepared.new:
            self.ledger.published.add(made.step)
        report = _report(made, decision, prepared, deciding.found)
        self.ledger.tell([report._replace(scored_on=self._scored_on(asset, asset.gate))])

    def _scored_on(self, asset: Asset, gate: Gate) -> tuple[Known, ...]:
        """What both models saw: a few inputs that have no partitions."""
        steps = [Step(g.asset or "") for g in asset.inputs if g.parameter != gate.parameter]
        return tuple(self.ledger.known[step] for step in steps if step in self.ledger.known)

    def _ready(self, step: Step, decision: Decision) -> _Prepared | None:
        """The scores of the candidate, if the alias was moved since: by this very decision."""
        found = self._prepared.get(step)
        return found if found is not None and found.decision is decision else None

    def _last(self, step: Step) -> bool:
        """Is it the last time that it is asked? Others move the alias again and again."""
        self._tries[step] = self._tries.get(step, 0) + 1
        return self._tries[step] >= _TRIES

    def _prepare(
        self,
        step: Step,
        decision: Decision,
        outcome: Outcome,
        started: float,
        attempts: Sequence[Attempt],
    ) -> _Prepared:
        """The version that holds the scores, with its objects, and the facts that publish it."""
        ledger, asset = self.ledger, self.ledger.graph.assets[step.asset]
        recorder, facts = ledger.numbering, ledger.facts
        used, _ = inputs_used(ledger.graph, step, ledger.known, facts)
        tries = len(attempts) + 1
        kept = (decision.kept or {}).get(asset.name)
        if decision.action == "rule" and kept is not None:
            if kept is facts.past.current(*step) and step not in ledger.published:
                return _Prepared(decision, kept, (), False, outcome.seconds, tries)
            made = recorder.reused(
                facts, step, decision, kept, output=asset.name, used=used, results=(),
                started=started,
            )  # fmt: skip
        else:
            content = self.vault.write(outcome.made[asset.name].canonical)
            self.vault.sync()
            prints = decision.fingerprints or fingerprints(ledger.graph, step, used, facts)
            drafts = recorder.drafts(
                facts, step, decision, used, outcome, prints, started, attempts
            )
            made = replace(drafts[asset.name], content=content)
        published = (made, recorder.publication(made))
        written = (*recorder.named(facts, asset, ()), *published)
        return _Prepared(decision, made, written, True, outcome.seconds, tries)


def unscored_by(outcome: Outcome) -> LinealError | None:
    """Why the version in production could not be scored: that may be otherwise the next time."""
    return outcome.weighed.unscored if outcome.weighed is not None else None


def _report(
    made: Materialization, decision: Decision, prepared: _Prepared, found: Decided | None
) -> StepReport:
    opened = found is None or found.outcome in ("opened", "kept")
    content = made.content
    return StepReport(
        made.step,
        made.asset,
        "made" if opened else "closed",
        reasons_of(decision),
        content.digest if content else None,
        prepared.seconds,
        content.summary if content else "",
        made.metrics,
        unwatched=tuple(u for u in made.unwatched if is_told(u)),
        attempts=prepared.attempts,
        gate=found,
    )
