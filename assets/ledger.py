"""What became of each step of a run: its facts for the journal, and its report for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lineal.assets.actions import move_of, told_of
from lineal.assets.asset import Asset
from lineal.assets.decide import (
    fetched_fingerprints,
    fingerprints,
    inputs_used,
    know_current,
    known_result,
    outcome_known,
    slices_made,
)
from lineal.assets.errors import LinealError
from lineal.assets.facts import Facts
from lineal.assets.graph import Graph
from lineal.assets.names import Step
from lineal.assets.perform import Outcome
from lineal.assets.plan import Plan
from lineal.assets.ports import Canonical
from lineal.assets.recorder import Recorder, error_facts, reasons_of
from lineal.assets.records import (
    SLICES,
    Attempt,
    CheckResult,
    Content,
    Fact,
    Materialization,
    Retirement,
    StepOutcome,
)
from lineal.assets.run import Earlier, StepReport, is_told
from lineal.assets.scribe import Page
from lineal.assets.settled import Settled, known_of
from lineal.assets.unsettled import decided
from lineal.assets.verdicts import PLAINLY_FRESH, Decision, Known, Pending

# By output: every check's result, and whether it was found just now (or known from before).
Judged = Mapping[str, tuple[tuple[CheckResult, bool], ...]]


@dataclass(slots=True)
class Ledger:
    """What a run knows by now, and what it has to tell.

    Attributes:
        recorder: numbers the materializations; none while there is nothing to record.
        hand_on: a page for the scribe; told what it says when that is durable.
        settled: hears of steps in the order in which they were settled.
        keeps_values: later steps can read what was made from memory.
    """

    graph: Graph
    plan: Plan
    facts: Facts
    settled: Callable[[Sequence[StepReport]], None]
    recorder: Recorder | None = None
    hand_on: Callable[[Page], None] | None = None
    keeps_values: bool = True
    known: Settled = field(init=False)
    held: dict[Step, Canonical] = field(default_factory=dict)
    broken: dict[Step, StepOutcome] = field(default_factory=dict)  # failed, blocked, skipped
    reports: list[StepReport] = field(default_factory=list)
    checked: dict[str, CheckResult] = field(default_factory=dict)  # by fingerprint, in this run
    published: set[Step] = field(default_factory=set)  # outputs this run made current
    # The keys in which a table was published by a column, until somebody takes notice.
    new_slices: dict[str, tuple[str, ...]] = field(default_factory=dict)
    retired: list[Retirement] = field(default_factory=list)  # partitions that are no more
    _readers_left: dict[Step, int] = field(default_factory=dict)
    _slices_held: dict[Step, list[Step]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known = Settled(self.graph, self.facts)

    def outputs(self, step: Step) -> list[Step]:
        return [Step(o, step.partition) for o in self.graph.assets[step.asset].outputs]

    def know_excluded(self, names: Iterable[str]) -> None:
        """Steps that are left as they are: what is current of them is what others read."""
        for name in names:
            know_current(self.graph.assets[name], self.known, self.facts)

    # ------------------------------------------------------------------------- values in memory

    def expect(self, read: Iterable[Step]) -> None:
        """Some step is going to read the outputs of these."""
        for step in read:
            self._readers_left[step] = self._readers_left.get(step, 0) + 1

    def release(self, read: Iterable[Step]) -> None:
        """A step that read these is done: forget values that no later one reads."""
        for step in read:
            self._readers_left[step] = self._readers_left.get(step, 0) - 1
            if not self._readers_left[step]:
                self._drop(step)

    def _drop(self, step: Step) -> None:
        for output in (*self.outputs(step), *self._slices_held.pop(step, ())):
            self.held.pop(output, None)

    def forget(self, step: Step) -> None:
        """A step is to be done once more: what was told of it, and what it gave, is no more."""
        self.broken.pop(step, None)
        self._drop(step)
        for output in self.outputs(step):
            self.known.forget(output)

    # --------------------------------------------------------------------------- nothing to do

    def skip(self, step: Step, decision: Decision, because: tuple[str, ...]) -> None:
        """An input failed or was blocked."""
        self.broken[step] = "skipped"
        self.tell(
            [
                StepReport(
                    output,
                    step.asset,
                    "skipped",
                    reasons_of(decision),
                    because=because,
                    current=self._current_digest(output),
                    stays=self._stays(step),
                )
                for output in self.outputs(step)
            ]
        )

    def leave(self, step: Step, decision: Decision) -> None:
        """Fresh, blocked again, or behind something blocked: nothing is written."""
        if decision is PLAINLY_FRESH:
            self.leave_plain([step])
            return
        if decision.action == "wait" and self.graph.assets[step.asset].action is None:
            self.skip(step, decision, _waiting(decision))
            return
        self.known.add(outcome_known(self.graph, step, decision, self.facts))
        blocked = decision.action == "blocked"
        if blocked:
            self.broken[step] = "blocked"
        reports = []
        for output in self.outputs(step):
            kept = (decision.kept or {}).get(output.asset)
            content = kept.content if kept is not None else None
            reports.append(
                StepReport(
                    output,
                    step.asset,
                    "blocked" if blocked else "fresh",
                    reasons_of(decision),
                    content.digest if content else None,
                    summary=content.summary if content else "",
                    checks=tuple(f for f in decision.failing if f.asset == output.asset),
                    current=self._current_digest(output),
                )
            )
        self.tell(reports)

    def leave_plain(self, steps: Iterable[Step]) -> None:
        """Partitions that are fresh by their briefs, perhaps many: they are handed on together."""
        reports = []
        for step in steps:
            brief = self.facts.past.partitions(step.asset)[step.partition]
            self.known.settle(step.asset, {step.partition: brief})
            told, kept = brief.summary, brief.content
            reports.append(
                StepReport(step, step.asset, "fresh", version=kept, summary=told, current=kept)
            )
        self.reports.extend(reports)
        if self.hand_on is None:
            self._told_each(reports)
        elif reports:
            self.hand_on(Page({}, lambda _: (), lambda: self._told_each(reports)))

    def cancel(self, steps: Iterable[Step]) -> None:
        """The run ends before these were done."""
        for step in steps:
            for output in self.outputs(step):
                self.reports.append(StepReport(output, step.asset, "cancelled"))

    def tell(self, reports: Sequence[StepReport]) -> None:
        """In the order of the steps: behind those whose facts are not durable yet."""
        self._post({}, lambda _: (), reports)

    # ---------------------------------------------------------------------------------- verdicts

    def judged(self, results: Mapping[str, Sequence[CheckResult]]) -> Judged:
        """Results of checks, each with whether it is news: what was known before stays so."""
        found = {}
        for output, each in results.items():
            pairs = []
            for result in each:
                before = self.known_result(result.fingerprint)
                self.checked[result.fingerprint] = before or result
                told = replace(before or result, asset=output)
                pairs.append((told, before is None))
            found[output] = tuple(pairs)
        return found

    def known_result(self, fingerprint: str) -> CheckResult | None:
        """What a check found before, in this run too."""
        return known_result(fingerprint, self.facts) or self.checked.get(fingerprint)

    # ------------------------------------------------------------------------------------ records

    def reuse(self, step: Step, decision: Decision, judged: Judged, started: float) -> None:
        """Publish a version that was made before; or only keep what its checks said."""
        recorder = self._recorder()
        asset = self.graph.assets[step.asset]
        new: list[Fact] = [r for found in judged.values() for r, is_new in found if is_new]
        facts: list[Fact] = [*recorder.named(self.facts, asset, new), *new]
        reports: list[StepReport] = []
        for name, before in (decision.kept or {}).items():
            output = Step(name, step.partition)
            results = [r for r, _ in judged.get(name, ())]
            current = self.facts.past.current(*output)
            made = before
            if current is not before or output in self.published:
                made = recorder.reused(
                    self.facts,
                    step,
                    decision,
                    before,
                    output=name,
                    used=inputs_used(self.graph, step, self.known, self.facts)[0],
                    results=results,
                    started=started,
                )
                facts.extend((made, recorder.publication(made)))
                self.published.add(output)
                if asset.sliced_by is not None:
                    facts.extend(self._reused_slices(step, decision, before, started))
            elif asset.sliced_by is not None:
                kept = slices_made(before, self.facts) or {}
                self.known.add({Step(name, key): known_of(m) for key, m in kept.items()})
            self.known[output] = known_of(made, self.facts.observations.get(step))
            content = made.content
            reports.append(
                StepReport(
                    output,
                    step.asset,
                    "reused",
                    reasons_of(decision),
                    content.digest if content else None,
                    summary=content.summary if content else "",
                    metrics=made.metrics,
                    checks=tuple(results),
                    earlier=self._earlier(asset, made),
                )
            )
        self._post({}, lambda _: facts, reports)

    def _earlier(self, asset: Asset, made: Materialization) -> Earlier | None:
        """Of a gate: what it decided on these scores when they were new."""
        if asset.gate is None:
            return None
        registry = self.facts.registries[asset.gate.registry]
        found = decided(asset.gate, made, registry, promotes=self.facts.promotes)
        live = registry.at(asset.gate.alias)
        return None if found is None else Earlier(found, live.version if live else None)

    def _reused_slices(
        self, step: Step, decision: Decision, whole: Materialization, started: float
    ) -> list[Fact]:
        recorder = self._recorder()
        used, _ = inputs_used(self.graph, step, self.known, self.facts)
        made = []
        output = self.graph.assets[step.asset].outputs[0]
        for key, before in (slices_made(whole, self.facts) or {}).items():
            place = Step(step.asset, key)
            made.append(
                recorder.reused(
                    self.facts,
                    place,
                    decision,
                    before,
                    output=output,
                    used=used,
                    results=(),
                    started=started,
                )
            )
        return self._publish_slices(step, made)

    def _publish_slices(self, step: Step, slices: Sequence[Materialization]) -> list[Fact]:
        """The facts of slices that are current from now on, and of those that are no more."""
        recorder = self._recorder()
        facts: list[Fact] = []
        for made in slices:
            facts.extend((made, recorder.publication(made)))
        now = {made.step: known_of(made) for made in slices}
        before = {
            Step(output.asset, key): brief.materialization
            for output in self.outputs(step)
            for key, brief in self.facts.past.partitions(output.asset).items()
            if key is not None
        }
        before |= {s: k.materialization for s, k in self._own_slices(step)}
        why = "no row has this value any more"
        retired = [recorder.retirement(s, m, why) for s, m in before.items() if s not in now]
        self.retired.extend(retired)
        facts.extend(retired)
        for gone in before.keys() - now.keys():
            self.known.forget(gone)
        self.known.add(now)
        self.new_slices[step.asset] = tuple(made.partition or "" for made in slices)
        return facts

    def _own_slices(self, step: Step) -> list[tuple[Step, Known]]:
        """The slices of a table that are known by now."""
        names = set(self.graph.assets[step.asset].outputs)
        mine = [s for s in self.known if s.asset in names and s.partition is not None]
        return [(s, self.known[s]) for s in mine]

    def refuse(
        self,
        step: Step,
        decision: Decision,
        contents: Mapping[str, Content],
        judged: Judged,
    ) -> None:
        """A kept version was judged again, and fails."""
        new = [r for results in judged.values() for r, is_new in results if is_new]
        told = [*self._recorder().named(self.facts, self.graph.assets[step.asset], new), *new]
        self.broken[step] = "blocked"
        reports = self._blocked_reports(step, decision, contents, judged, 0.0)
        self._post({}, lambda _: told, reports)

    def record(
        self,
        step: Step,
        decision: Decision,
        contents: Mapping[str, Content],
        outcome: Outcome,
        judged: Judged,
        started: float,
        attempts: Sequence[Attempt],
    ) -> None:
        """What was computed: published, or kept as refused if an error check failed."""
        recorder, asset = self._recorder(), self.graph.assets[step.asset]
        blocked = bool(failing(judged))
        new = [r for results in judged.values() for r, is_new in results if is_new]
        used, _ = inputs_used(self.graph, step, self.known, self.facts)
        prints = decision.fingerprints or self._fingerprints(step)
        drafts = recorder.drafts(
            self.facts, step, decision, used, outcome, prints, started, attempts
        )
        finished = [
            replace(
                draft,
                outcome="blocked" if blocked else "made",
                content=contents[o],
                checks=tuple(r.fingerprint for r, _ in judged.get(o, ())),
            )
            for o, draft in drafts.items()
        ]
        canonicals, slices = self._canonicals(finished, outcome)
        facts: list[Fact] = [*recorder.named(self.facts, asset, new), *new]
        if blocked:
            self.broken[step] = "blocked"
            facts += [*finished, *slices]
            reports = self._blocked_reports(step, decision, contents, judged, outcome.seconds)
        else:
            for made in finished:
                facts += [made, recorder.publication(made)]
            if asset.sliced_by is not None:
                facts += self._publish_slices(step, slices)
            self._take_up(step, finished, canonicals)
            reports = self._made_reports(step, finished, outcome, judged)
        self._post(canonicals, lambda written: _with_objects(facts, written), reports)

    def _canonicals(
        self, finished: Sequence[Materialization], outcome: Outcome
    ) -> tuple[dict[Step, Canonical], list[Materialization]]:
        """What is to be written, by output; and the records of slices, if it is those."""
        canonicals: dict[Step, Canonical] = {}
        slices: list[Materialization] = []
        for made in finished:
            value = outcome.made.get(made.asset)
            if value is None:
                continue
            if not value.parts:
                canonicals[made.step] = value.canonical
                continue
            contents = [(key, part.content) for key, part in value.parts]
            slices += self._recorder().slices(made, contents)
            canonicals.update((Step(made.asset, key), part) for key, part in value.parts)
        return canonicals, slices

    def _fingerprints(self, step: Step) -> dict[str, str]:
        if self.graph.assets[step.asset].kind == "fetch":
            return fetched_fingerprints(self.graph, step, self.facts, self._recorder().run)
        used, _ = inputs_used(self.graph, step, self.known, self.facts)
        return fingerprints(self.graph, step, used, self.facts)

    def _take_up(
        self,
        step: Step,
        finished: Sequence[Materialization],
        canonicals: Mapping[Step, Canonical],
    ) -> None:
        """Later steps read what was just made; from memory while someone will."""
        observation = self.facts.observations.get(step)
        for made in finished:
            self.known[made.step] = known_of(made, observation)
            self.published.add(made.step)
        if self.keeps_values and self._readers_left.get(step):
            self.held.update(canonicals)
            self._slices_held[step] = list(canonicals)

    def _made_reports(
        self,
        step: Step,
        finished: Sequence[Materialization],
        outcome: Outcome,
        judged: Judged,
    ) -> list[StepReport]:
        reports = []
        for made in finished:
            content = made.content
            reports.append(
                StepReport(
                    made.step,
                    step.asset,
                    "made",
                    made.reasons,
                    content.digest if content else None,
                    outcome.seconds,
                    told_of(made) or (content.summary if content else ""),
                    made.metrics,
                    checks=tuple(r for r, _ in judged.get(made.asset, ())),
                    unwatched=tuple(u for u in made.unwatched if is_told(u)),
                    attempts=len(made.attempts) + 1,
                    promotion=move_of(made),
                )
            )
        return reports

    def _blocked_reports(
        self,
        step: Step,
        decision: Decision,
        contents: Mapping[str, Content],
        judged: Judged,
        seconds: float,
    ) -> list[StepReport]:
        return [
            StepReport(
                Step(name, step.partition),
                step.asset,
                "blocked",
                reasons_of(decision),
                content.digest,
                seconds,
                content.summary,
                checks=tuple(r for r, _ in judged.get(name, ())),
                current=self._current_digest(Step(name, step.partition)),
            )
            for name, content in contents.items()
        ]

    def fail(
        self,
        step: Step,
        decision: Decision,
        error: LinealError,
        started: float,
        seconds: float,
        attempts: Sequence[Attempt],
    ) -> None:
        """An error of the step, at its last attempt."""
        recorder = self._recorder()
        self.broken[step] = "failed"
        used, _ = inputs_used(self.graph, step, self.known, self.facts)
        outcome = Outcome({}, seconds)
        outputs = self.graph.assets[step.asset].outputs
        prints = decision.fingerprints or dict.fromkeys(outputs, "")
        drafts = recorder.drafts(
            self.facts, step, decision, used, outcome, prints, started, attempts
        )
        told = error_facts(error)
        failed = [replace(d, outcome="failed", error=told, origin="") for d in drafts.values()]
        reports = [
            StepReport(
                made.step,
                step.asset,
                "failed",
                made.reasons,
                None,
                seconds,
                told_of(made),
                error=error,
                current=self._current_digest(made.step),
                attempts=len(attempts) + 1,
                stays=self._stays(step),
                promotion=move_of(made),
            )
            for made in failed
        ]
        facts = [*recorder.named(self.facts, self.graph.assets[step.asset], ()), *failed]
        self._post({}, lambda _: facts, reports)

    def retire(self, gone: Sequence[Retirement]) -> None:
        """Partitions that are no more."""
        self.retired.extend(gone)
        self._post({}, lambda _: gone, ())

    # ---------------------------------------------------------------------------------- machinery

    @property
    def numbering(self) -> Recorder:
        """Who numbers what this run records."""
        return self._recorder()

    def _recorder(self) -> Recorder:
        if self.recorder is None:
            raise RuntimeError("nothing is recorded outside of a run")
        return self.recorder

    def _stays(self, step: Step) -> tuple[str, int | None] | None:
        """Of a gate the alias that it would have moved, and the version that this names."""
        gate = self.graph.assets[step.asset].gate
        if gate is None:
            return None
        move = self.facts.registries[gate.registry].at(gate.alias)
        return f"{gate.registry}@{gate.alias}", move.version if move is not None else None

    def _current_digest(self, output: Step) -> str | None:
        current = self.facts.past.current(*output)
        return current.content.digest if current is not None and current.content else None

    def _post(
        self,
        canonicals: Mapping[Step, Canonical],
        facts: Callable[[Mapping[Step, Content]], Sequence[Fact]],
        reports: Sequence[StepReport],
    ) -> None:
        self.reports.extend(reports)
        if self.hand_on is None:
            self.settled(reports)
        else:
            self.hand_on(Page(canonicals, facts, lambda: self._told(reports)))

    def _told_each(self, reports: Iterable[StepReport]) -> None:
        for report in reports:
            self.settled((report,))

    def _told(self, reports: Sequence[StepReport]) -> None:
        if reports:
            self.settled(reports)


def _with_objects(facts: Sequence[Fact], written: Mapping[Step, Content]) -> list[Fact]:
    """The same facts, now that it is known which objects hold the contents."""
    return [
        replace(fact, content=_durable(fact, fact.content, written))
        if isinstance(fact, Materialization) and fact.content is not None
        else fact
        for fact in facts
    ]


def _durable(made: Materialization, content: Content, written: Mapping[Step, Content]) -> Content:
    if content.format != SLICES:
        return written.get(made.step, content)
    keys = [key for key, _ in made.metadata["slices"]]
    parts = [written[Step(made.asset, key)] for key in keys]
    return replace(content, objects=tuple(o for part in parts for o in part.objects))


def failing(judged: Judged) -> list[CheckResult]:
    """The failed results that forbid publication."""
    return [
        result
        for results in judged.values()
        for result, _ in results
        if not result.passed and result.severity == "error"
    ]


def _waiting(decision: Decision) -> tuple[str, ...]:
    return decision.verdict.inputs if isinstance(decision.verdict, Pending) else ()
