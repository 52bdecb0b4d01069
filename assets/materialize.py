"""The loop: decide each step over the facts of the plan, perform what is stale, record it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from lineal.assets.asset import Asset
from lineal.assets.errors import (
    InputsChanged,
    IntegrityError,
    LinealError,
    QueryError,
    SourceMissing,
    StepError,
)
from lineal.assets.facts import Facts, parameters_of
from lineal.assets.graph import Graph
from lineal.assets.judge import Judged, failing, judge
from lineal.assets.names import Step, identifier
from lineal.assets.perform import Made, Outcome, Task, Workshop, perform
from lineal.assets.plan import (
    Decision,
    Known,
    Pending,
    Plan,
    current_versions,
    decide,
    fetched_fingerprints,
    fingerprints,
    inputs_used,
    kind_of,
    known_of,
    outcome_known,
)
from lineal.assets.ports import Canonical, Clock, Journal, Locks, Observer
from lineal.assets.recorder import Recorder, content_in_place, error_facts, reasons_of
from lineal.assets.records import (
    CheckResult,
    Content,
    Fact,
    Materialization,
    Observation,
    RunEnded,
    StepOutcome,
)
from lineal.assets.run import Announcer, Run, StepReport, is_told
from lineal.assets.scribe import Page, Scribe
from lineal.assets.worklist import Worklist


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the loop speaks to: ports only."""

    workshop: Workshop
    journal: Journal
    observer: Observer
    clock: Clock
    announcer: Announcer
    locks: Locks
    start: Callable[[], str]  # appends the entry that opens the run; its id
    made_meanwhile: Callable[[Iterable[str]], bool]  # any of these fingerprints, since the plan?
    paths: Callable[[Observation], Sequence[str]]  # the files of an observation, absolute
    file_digest: Callable[[str], str | None]  # of a project file, as it is now
    strict: bool = False


def materialize(graph: Graph, plan: Plan, facts: Facts, around: Surroundings) -> Run:
    """Make what is stale. One failure never stops independent branches.

    Raises:
        StoreError: the disk said no; what was told as made is kept.
        KeyboardInterrupt: passed on after what was made is recorded.
    """
    began = time.perf_counter()
    loop = _Loop(graph, plan, facts, around)
    if not plan.has_work:
        reports = loop.idle()
        outcome: Literal["done", "failed"] = "failed" if _bad(reports) else "done"
        return Run(None, outcome, tuple(reports), time.perf_counter() - began)
    return loop.run(began)


def _bad(reports: Iterable[StepReport]) -> bool:
    return any(r.outcome in ("failed", "blocked", "skipped") for r in reports)


@dataclass(slots=True)
class _Loop:
    graph: Graph
    plan: Plan
    facts: Facts
    around: Surroundings
    run_id: str = ""
    recorder: Recorder = field(init=False)
    known: dict[str, Known] = field(default_factory=dict)
    held: dict[str, Canonical] = field(default_factory=dict)
    broken: dict[str, StepOutcome] = field(default_factory=dict)  # by asset: failed, blocked, …
    reports: list[StepReport] = field(default_factory=list)
    readers_left: dict[str, int] = field(default_factory=dict)
    checked: dict[str, CheckResult] = field(default_factory=dict)  # by fingerprint, in this run
    worklist: Worklist = field(init=False)
    taken: dict[str, Callable[[], None]] = field(default_factory=dict)  # locks, by asset
    published: set[str] = field(default_factory=set)  # outputs this run made current
    looked_again: set[str] = field(default_factory=set)  # sources observed a second time
    undecided: set[str] = field(default_factory=set)  # those to which the plan applies no more

    # ---------------------------------------------------------------------------- the whole run

    def idle(self) -> list[StepReport]:
        """Nothing to do: what is fresh, and what stays blocked."""
        for name in self.plan.selected:
            self._settle_without_work(self.graph.assets[name], self.plan.decisions[name])
        return self.reports

    def run(self, began: float) -> Run:
        around = self.around
        self.run_id = around.start()
        self.recorder = Recorder(self.graph, self.run_id)
        self._begin()
        outcome: Literal["done", "failed", "cancelled"] = "cancelled"
        try:
            with Scribe(around.workshop.vault, around.journal, around.clock) as scribe:
                try:
                    for name in self.worklist:
                        self._one(self.graph.assets[name], scribe)
                    outcome = "failed" if _bad(self.reports) else "done"
                except KeyboardInterrupt:
                    self._cancel_rest()
                scribe.finish()
        finally:
            for name in list(self.taken):
                self._let_go(name)
        run = Run(self.run_id, outcome, tuple(self._ordered()), time.perf_counter() - began)
        ended = RunEnded(self.run_id, outcome, run.counts, around.clock())
        around.journal.append([ended])
        return run

    def _begin(self) -> None:
        self.worklist = Worklist(self.graph, self.plan.selected)
        for name in self.plan.excluded:
            self.known.update(current_versions(self.graph.assets[name], self.facts))
        self._expect_readers(self.plan.selected)

    def _expect_readers(self, names: Iterable[str]) -> None:
        for name in names:
            for needed in self.graph.upstream[name]:
                for output in self.graph.assets[needed].outputs:
                    self.readers_left[output] = self.readers_left.get(output, 0) + 1

    def _ordered(self) -> list[StepReport]:
        place = {step.step: i for i, step in enumerate(self.plan.steps)}
        return sorted(self.reports, key=lambda r: place[r.step])

    def _cancel_rest(self) -> None:
        told = {r.step for r in self.reports}
        for planned in self.plan.steps:
            if planned.step not in told:
                self.reports.append(StepReport(planned.step, planned.maker, "cancelled"))

    # -------------------------------------------------------------------------------- one asset

    def _one(self, asset: Asset, scribe: Scribe) -> None:
        name = asset.name
        decision = self.plan.decisions[name]
        because = self._broken_inputs(asset)
        if because:
            self._skip(asset, decision, because, scribe)
        else:
            if decision.action == "wait" or name in self.undecided:
                # The same function over the same facts; only the inputs are known by now.
                decision = decide(self.graph, asset, self.known, self.facts)
            if decision.action in ("compute", "recheck"):
                if not self._take(asset, scribe):
                    self.worklist.put_off(name)
                    return
                if self.around.made_meanwhile((decision.fingerprints or {}).values()):
                    decision = decide(self.graph, asset, self.known, self.facts)
            self._act(asset, decision, scribe)
        self._release(asset)

    def _take(self, asset: Asset, scribe: Scribe) -> bool:
        """Hold the step against other processes; one that is held is waited for at the end."""
        if asset.name in self.taken:  # done before in this run: until that is durable
            scribe.finish()
        let_go = self.around.locks.take(asset.name, wait=False)
        if let_go is None and self.worklist.patient:
            scribe.finish()  # who waits holds nothing: no two ever wait for each other
            self.around.announcer.waiting(asset)
            let_go = self.around.locks.take(asset.name, wait=True)
        if let_go is None:
            return False
        self.taken[asset.name] = let_go
        return True

    def _let_go(self, name: str) -> None:
        self.taken.pop(name, _nothing)()

    def _broken_inputs(self, asset: Asset) -> tuple[str, ...]:
        return tuple(n for n in self.graph.upstream[asset.name] if n in self.broken)

    def _act(self, asset: Asset, decision: Decision, scribe: Scribe) -> None:
        again = not self.published.isdisjoint(asset.outputs)
        if decision.action == "blocked" or (decision.action == "none" and not again):
            self._settle_without_work(asset, decision, scribe)
        elif decision.action in ("none", "reuse"):
            self._reuse(asset, decision, (), scribe)
        elif decision.action == "recheck":
            self._attempt(asset, decision, scribe, self._recheck)
        elif decision.action == "wait":
            _, missing = inputs_used(self.graph, asset, self.known, self.facts)
            self._skip(asset, decision, missing, scribe)
        else:
            self._attempt(asset, decision, scribe, self._compute)

    def _release(self, asset: Asset) -> None:
        """Forget values in memory that no later step reads."""
        for needed in self.graph.upstream[asset.name]:
            for output in self.graph.assets[needed].outputs:
                self.readers_left[output] -= 1
                if not self.readers_left[output]:
                    self.held.pop(output, None)

    def _skip(
        self,
        asset: Asset,
        decision: Decision,
        because: tuple[str, ...],
        scribe: Scribe | None = None,
    ) -> None:
        self.broken[asset.name] = "skipped"
        for output in asset.outputs:
            self.reports.append(
                StepReport(
                    Step(output),
                    asset.name,
                    "skipped",
                    reasons_of(decision),
                    because=because,
                    current=self._current_digest(output),
                )
            )
        self._tell(self.reports[-len(asset.outputs) :], scribe)

    def _settle_without_work(
        self, asset: Asset, decision: Decision, scribe: Scribe | None = None
    ) -> None:
        """Fresh, blocked again, or behind something blocked: nothing is written."""
        if decision.action == "wait":
            waits = self._broken_inputs(asset) or _waiting(decision)
            self._skip(asset, decision, waits, scribe)
            return
        self.known.update(outcome_known(asset, decision, self.facts))
        blocked = decision.action == "blocked"
        if blocked:
            self.broken[asset.name] = "blocked"
        for output in asset.outputs:
            kept = (decision.kept or {}).get(output)
            content = kept.content if kept is not None else None
            own = tuple(f for f in decision.failing if f.asset == output)
            self.reports.append(
                StepReport(
                    Step(output),
                    asset.name,
                    "blocked" if blocked else "fresh",
                    reasons_of(decision),
                    content.digest if content else None,
                    summary=content.summary if content else "",
                    checks=own,
                    current=self._current_digest(output),
                )
            )
        self._tell(self.reports[-len(asset.outputs) :], scribe)

    def _tell(self, reports: Sequence[StepReport], scribe: Scribe | None) -> None:
        """In the order of the steps: behind those whose facts are not durable yet."""
        if scribe is None:
            self._told(reports)
        else:
            scribe.post(Page({}, lambda _: (), lambda: self._told(reports)))

    def _told(self, reports: Sequence[StepReport]) -> None:
        """What became of a step is durable: tell it, and let others have the step."""
        self.around.announcer.settled(reports)
        self._let_go(reports[0].maker)

    def _current_digest(self, output: str) -> str | None:
        current = self.facts.past.current(output, None)
        return current.content.digest if current is not None and current.content else None

    def _attempt(
        self,
        asset: Asset,
        decision: Decision,
        scribe: Scribe,
        work: Callable[[Asset, Decision, Scribe], None],
    ) -> None:
        self.around.announcer.started(Step(asset.name), asset, decision, 1, None)
        started = self.around.clock()
        began = time.perf_counter()
        try:
            try:
                work(asset, decision, scribe)
            except (StepError, QueryError, SourceMissing):
                if not self._look_again(asset):  # whatever went wrong, it may come of the change
                    raise
                self._let_go(asset.name)
        except (StepError, QueryError, SourceMissing, IntegrityError) as error:
            seconds = time.perf_counter() - began
            self._fail(asset, decision, error, started, seconds, scribe)

    # ---------------------------------------------------------------------------------- compute

    def _look_again(self, asset: Asset) -> bool:
        """A source's files moved since the plan: observe them, and do what rests on them again.

        Once a source and run: one that never rests is told as the step's failure.
        """
        moved = self._moved(asset)
        if not moved or moved & self.looked_again:
            return False
        self.looked_again |= moved
        observations = dict(self.facts.observations)
        for source in moved:
            files = self.graph.assets[source].files
            if files is not None:
                observations[source] = self.around.observer.observe(source, files)
        self.facts = replace(self.facts, observations=observations)
        for source in moved & self.plan.excluded:
            self.known.update(current_versions(self.graph.assets[source], self.facts))
        self.around.announcer.moved(sorted(moved))
        self._again(self.graph.fed_by(moved).intersection(self.plan.selected))
        return True

    def _moved(self, asset: Asset) -> set[str]:
        seen, unchanged = self.facts.observations, self.around.observer.unchanged
        return {source for source in self._sources_read(asset) if not unchanged(seen[source])}

    def _again(self, names: set[str]) -> None:
        """Decide these again, on what is known now; what became of them before was true too."""
        self._expect_readers(names - self.worklist.left)
        self.worklist.again(names)
        self.undecided |= names
        self.reports = [r for r in self.reports if r.maker not in names]
        for name in names:
            self.broken.pop(name, None)
            for output in self.graph.assets[name].outputs:
                self.held.pop(output, None)
                self.known.pop(output, None)

    def _sources_read(self, asset: Asset) -> list[str]:
        """The file sources whose files this computation itself opens."""
        read = [asset.name] if asset.kind == "files" else []
        for given in asset.inputs:
            maker = self.graph.maker.get(given.asset or "", "")
            if maker in self.facts.observations and given.arrival in ("path", "paths"):
                read.append(maker)
        return read

    def _compute(self, asset: Asset, decision: Decision, scribe: Scribe) -> None:
        started = self.around.clock()
        used, _ = inputs_used(self.graph, asset, self.known, self.facts)
        in_place = kind_of(self.graph, asset) == "files in place"
        task = self._task(asset, scribe)
        outcome = Outcome({}, 0.0) if in_place else perform(task, self.around.workshop)
        for source in sorted(self._moved(asset)):
            raise InputsChanged(
                f"the files of `{source}` changed while they were read",
                where=str(asset.where),
                advice="run again when whoever writes them is done",
            )
        if outcome.written:
            self._forget(outcome.written)
        undeclared = [u for u in outcome.unwatched if is_told(u)]
        if undeclared and self.around.strict:
            path, _, place = undeclared[0]
            raise StepError(
                f"`{asset.name}` reads {path}, which no source declares",
                where=place,
                advice="declare it with source(…) and take it as a parameter",
            )
        prints = decision.fingerprints or fingerprints(self.graph, asset, used, self.facts)
        if asset.kind == "fetch":
            prints = fetched_fingerprints(self.graph, asset, self.facts, self.run_id)
        drafts = self.recorder.drafts(self.facts, asset, decision, used, outcome, prints, started)
        contents = {o: m.canonical.content for o, m in outcome.made.items()}
        if in_place:
            contents = {asset.name: content_in_place(self.facts.observations[asset.name])}
        judged = self._judge(asset, contents, outcome.made, task)
        self._record(asset, decision, drafts, contents, outcome, judged, scribe)

    def _forget(self, written: Sequence[str]) -> None:
        """A step wrote these files: steps after it are decided on what they hold now."""
        before, anew = self.facts.file_digest, self.around.file_digest

        def file_digest(path: str) -> str | None:
            return anew(path) if path in written else before(path)

        self.facts = replace(self.facts, file_digest=file_digest)

    def _task(self, asset: Asset, scribe: Scribe) -> Task:
        inputs: dict[str, Known] = {}
        for given in asset.inputs:
            name = given.asset or given.parameter
            if given.arrival in ("path", "paths") and name in self.held:
                self._put_down(name, scribe)
            inputs[given.parameter] = self.known[name]
        observed = self.facts.observations
        if asset.kind == "files":
            inputs["files"] = Known(asset.name, None, None, "", observed[asset.name])
        paths = {s: self.around.paths(observed[s]) for s in self._sources_read(asset)}
        return Task(
            asset=asset,
            recipe=self.facts.recipes[asset.name],
            parameters=parameters_of(asset, self.facts),
            inputs=inputs,
            held=self.held,
            paths=paths,
            log=f"{self.run_id}/{identifier(asset.outputs[0])}",
        )

    def _put_down(self, output: str, scribe: Scribe) -> None:
        """A reader wants the file itself: wait until it is written."""
        scribe.finish()
        content = scribe.written(output)
        if content is not None:
            self.known[output] = replace(self.known[output], content=content)
            self.held.pop(output, None)

    # ----------------------------------------------------------------------------------- checks

    def _judge(
        self, asset: Asset, contents: Mapping[str, Content], made: Mapping[str, Made], task: Task
    ) -> Judged:
        bench = (self.graph, self.known, self.facts, self.around.workshop)
        return judge(asset, contents, made, task, bench, self.checked)

    def _recheck(self, asset: Asset, decision: Decision, scribe: Scribe) -> None:
        """A kept version is judged again; nothing is recomputed."""
        kept = decision.kept or {}
        contents = {o: m.content for o, m in kept.items() if m.content is not None}
        judged = self._judge(asset, contents, {}, self._task(asset, scribe))
        refused = failing(judged)
        if not refused:
            self._reuse(asset, decision, judged, scribe)
            return
        new = [r for results in judged.values() for r, is_new in results if is_new]
        reports = self._blocked_reports(asset, decision, contents, judged, 0.0)
        self.broken[asset.name] = "blocked"
        told = [*self.recorder.named(self.facts, asset, new), *new]
        self._post(asset, scribe, {}, lambda _: told, reports)

    def _reuse(
        self,
        asset: Asset,
        decision: Decision,
        judged: Judged | tuple[()],
        scribe: Scribe,
    ) -> None:
        """Publish a version that was made before; or only keep what its checks said."""
        kept = decision.kept or {}
        results = dict(judged) if judged else {}
        new: list[Fact] = [r for found in results.values() for r, is_new in found if is_new]
        facts: list[Fact] = [*self.recorder.named(self.facts, asset, new), *new]
        reports: list[StepReport] = []
        for output, before in kept.items():
            current = self.facts.past.current(output, None)
            made = before
            if current is not before or output in self.published:
                made = self.recorder.reused(
                    self.facts,
                    asset,
                    decision,
                    before,
                    output=output,
                    used=inputs_used(self.graph, asset, self.known, self.facts)[0],
                    results=[r for r, _ in results.get(output, ())],
                    started=self.around.clock(),
                )
                facts.extend((made, self.recorder.publication(made)))
                self.published.add(output)
            self.known[output] = known_of(made, self.facts.observations.get(asset.name))
            content = made.content
            reports.append(
                StepReport(
                    Step(output),
                    asset.name,
                    "reused",
                    reasons_of(decision),
                    content.digest if content else None,
                    summary=content.summary if content else "",
                    metrics=made.metrics,
                    checks=tuple(r for r, _ in results.get(output, ())),
                )
            )
        self._post(asset, scribe, {}, lambda _: facts, reports)

    # ------------------------------------------------------------------------------------ record

    def _record(
        self,
        asset: Asset,
        decision: Decision,
        drafts: Mapping[str, Materialization],
        contents: Mapping[str, Content],
        outcome: Outcome,
        judged: Judged,
        scribe: Scribe,
    ) -> None:
        blocked = bool(failing(judged))
        canonicals = {o: m.canonical for o, m in outcome.made.items()}
        new = [r for results in judged.values() for r, is_new in results if is_new]
        finished = {
            o: replace(
                draft,
                outcome="blocked" if blocked else "made",
                content=contents[o],
                checks=tuple(r.fingerprint for r, _ in judged[o]),
            )
            for o, draft in drafts.items()
        }

        named = [*self.recorder.named(self.facts, asset, new), *new]

        def facts(written: Mapping[str, Content]) -> list[Fact]:
            found: list[Fact] = list(named)
            for output, made in finished.items():
                durable = replace(made, content=written.get(output, made.content))
                found.append(durable)
                if not blocked:
                    found.append(self.recorder.publication(durable))
            return found

        if blocked:
            self.broken[asset.name] = "blocked"
            reports = self._blocked_reports(asset, decision, contents, judged, outcome.seconds)
        else:
            self._take_up(asset, finished, canonicals)
            self.published.update(finished)
            reports = [
                StepReport(
                    Step(output),
                    asset.name,
                    "made",
                    made.reasons,
                    contents[output].digest,
                    outcome.seconds,
                    contents[output].summary,
                    made.metrics,
                    checks=tuple(r for r, _ in judged[output]),
                    unwatched=tuple(u for u in made.unwatched if is_told(u)),
                )
                for output, made in finished.items()
            ]
        self._post(asset, scribe, canonicals, facts, reports)

    def _take_up(
        self,
        asset: Asset,
        finished: Mapping[str, Materialization],
        canonicals: Mapping[str, Canonical],
    ) -> None:
        """Later steps read what was just made; from memory while someone will."""
        observation = self.facts.observations.get(asset.name)
        for output, made in finished.items():
            self.known[output] = known_of(made, observation)
            if output in canonicals and self.readers_left.get(output):
                self.held[output] = canonicals[output]

    def _blocked_reports(
        self,
        asset: Asset,
        decision: Decision,
        contents: Mapping[str, Content],
        judged: Judged,
        seconds: float,
    ) -> list[StepReport]:
        return [
            StepReport(
                Step(output),
                asset.name,
                "blocked",
                reasons_of(decision),
                content.digest,
                seconds,
                content.summary,
                checks=tuple(r for r, _ in judged[output]),
                current=self._current_digest(output),
            )
            for output, content in contents.items()
        ]

    def _post(
        self,
        asset: Asset,
        scribe: Scribe,
        canonicals: Mapping[str, Canonical],
        facts: Callable[[Mapping[str, Content]], Sequence[Fact]],
        reports: Sequence[StepReport],
    ) -> None:
        self.reports.extend(reports)
        scribe.post(Page(canonicals, facts, lambda: self._told(reports)))

    def _fail(
        self,
        asset: Asset,
        decision: Decision,
        error: LinealError,
        started: float,
        seconds: float,
        scribe: Scribe,
    ) -> None:
        self.broken[asset.name] = "failed"
        used, _ = inputs_used(self.graph, asset, self.known, self.facts)
        outcome = Outcome({}, seconds)
        prints = decision.fingerprints or dict.fromkeys(asset.outputs, "")
        drafts = self.recorder.drafts(self.facts, asset, decision, used, outcome, prints, started)
        told = error_facts(error)
        failed = [replace(d, outcome="failed", error=told, origin="") for d in drafts.values()]
        reports = [
            StepReport(
                Step(made.asset),
                asset.name,
                "failed",
                made.reasons,
                None,
                seconds,
                error=error,
                current=self._current_digest(made.asset),
            )
            for made in failed
        ]
        facts = [*self.recorder.named(self.facts, asset, ()), *failed]
        self._post(asset, scribe, {}, lambda _: facts, reports)


def _nothing() -> None:
    """There is nothing to let go of."""


def _waiting(decision: Decision) -> tuple[str, ...]:
    return decision.verdict.inputs if isinstance(decision.verdict, Pending) else ()
