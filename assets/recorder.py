"""What a step leaves in the journal: its records, before anything is written.  PURE"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lineal.assets.actions import noted
from lineal.assets.asset import Asset
from lineal.assets.decide import kind_of, slice_fingerprint
from lineal.assets.errors import LinealError, UserCodeError
from lineal.assets.facts import CheckId, Facts, contract_digest, parameter_texts, parameters_of
from lineal.assets.graph import Graph
from lineal.assets.names import Step
from lineal.assets.notebook import size_text
from lineal.assets.perform import Outcome
from lineal.assets.records import (
    Attempt,
    CheckResult,
    Content,
    EnvironmentFacts,
    ErrorFacts,
    Fact,
    Materialization,
    Observation,
    Publication,
    Reason,
    Recipe,
    Retirement,
    Used,
)
from lineal.assets.secrets import scrubbed
from lineal.assets.verdicts import Decision, Stale


@dataclass(slots=True)
class Recorder:
    """Numbers the materializations of one run, and tells each recipe and environment once."""

    graph: Graph
    run: str
    environment: str  # in which the run publishes
    _position: int = 0
    _told: set[str] = field(default_factory=set)

    def drafts(
        self,
        facts: Facts,
        step: Step,
        decision: Decision,
        used: Sequence[Used],
        outcome: Outcome,
        prints: Mapping[str, str],
        started: float,
        attempts: Sequence[Attempt] = (),
    ) -> dict[str, Materialization]:
        """The records of this computation by output, but for their content and verdicts."""
        asset = self.graph.assets[step.asset]
        names = {output: self._next_id() for output in asset.outputs}
        observation = facts.observations.get(step)
        move = {} if decision.promotion is None else noted(decision.promotion)
        drafts = {}
        for output in asset.outputs:
            made = outcome.made.get(output)
            drafts[output] = Materialization(
                id=names[output],
                run=self.run,
                asset=output,
                partition=step.partition,
                outcome="made",
                kind=asset.kind,
                fingerprint=prints[output],
                recipe=facts.recipes[asset.name].digest,
                environment=facts.environments[asset.name].digest,
                contract=contract_digest(asset, kind_of(self.graph, asset)),
                parameters=parameter_texts(parameters_of(asset, facts, step.partition)),
                inputs=decision.used if move else tuple(used),
                files=observation.files if observation is not None else (),
                unwatched=outcome.unwatched,
                metrics=tuple(sorted(made.metrics.items())) if made else (),
                metadata={**(made.metadata if made else {}), **move},
                reasons=reasons_of(decision),
                attempts=tuple(attempts),
                origin=names[output],
                started_at=started,
                seconds=outcome.seconds,
            )
        return drafts

    def slices(
        self, whole: Materialization, parts: Iterable[tuple[str, Content]]
    ) -> list[Materialization]:
        """The records of the slices in which a table is published: of one computation."""
        found = []
        for key, content in parts:
            name = self._next_id()
            found.append(
                replace(
                    whole,
                    id=name,
                    partition=key,
                    fingerprint=slice_fingerprint(whole.fingerprint, key),
                    content=content,
                    checks=(),
                    metrics=(),
                    metadata={},
                    origin=name,
                )
            )
        return found

    def retirement(self, gone: Step, materialization: str, why: str) -> Retirement:
        """A partition that is no more."""
        return Retirement(
            self.environment, gone.asset, gone.partition, materialization, why, self.run
        )

    def _next_id(self) -> str:
        self._position += 1
        return f"{self.run}.{self._position}"

    def reused(
        self,
        facts: Facts,
        step: Step,
        decision: Decision,
        before: Materialization,
        *,
        output: str,
        used: Sequence[Used],
        results: Sequence[CheckResult],
        started: float,
    ) -> Materialization:
        observation = facts.observations.get(step)
        return replace(
            before,
            id=self._next_id(),
            run=self.run,
            asset=output,
            partition=step.partition,
            outcome="reused",
            kind=self.graph.assets[step.asset].kind,
            inputs=tuple(used),
            files=observation.files if observation is not None else before.files,
            checks=tuple(r.fingerprint for r in results) or before.checks,
            reasons=reasons_of(decision),
            attempts=(),
            started_at=started,
            seconds=0.0,
        )

    def publication(self, made: Materialization) -> Publication:
        digest = made.content.digest if made.content is not None else ""
        return Publication(self.environment, made.asset, made.partition, made.id, digest, self.run)

    def named(self, facts: Facts, asset: Asset, checks: Iterable[Fact]) -> list[Fact]:
        """The recipes and environments that these facts name; the journal keeps each once."""
        named: list[Recipe | EnvironmentFacts] = [
            facts.recipes[asset.name],
            facts.environments[asset.name],
        ]
        judged = [r for r in checks if isinstance(r, CheckResult)]
        named += [facts.check_recipes[CheckId(r.asset, r.name)] for r in judged]
        found: list[Fact] = []
        for one in named:
            if one.digest not in self._told and not facts.past.knows(one.digest):
                found.append(one)
            self._told.add(one.digest)
        return found


def reasons_of(decision: Decision) -> tuple[Reason, ...]:
    return decision.verdict.reasons if isinstance(decision.verdict, Stale) else ()


def content_in_place(observation: Observation) -> Content:
    size = sum(f.bytes for f in observation.files)
    count = len(observation.files)
    return Content(
        digest=observation.digest,
        format="files",
        summary=f"{count} file{'s' if count != 1 else ''}, {size_text(size)}",
    )


def error_facts(error: LinealError) -> ErrorFacts:
    if isinstance(error, UserCodeError):
        said = error.message.removeprefix(error.error_type).removeprefix(": ")
        return ErrorFacts(error.error_type, said, error.where or "", error.line or "")
    return ErrorFacts(error.kind, scrubbed(error.message), error.where or "", "")
