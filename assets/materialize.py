"""The loop: decide each step over the facts of the plan, have stale ones performed, record them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from lineal.assets.actions import acted_on
from lineal.assets.actions import handed as promoted
from lineal.assets.asset import Asset, Input, Retry
from lineal.assets.decide import (
    bound_checks,
    decide,
    handed,
    inputs_used,
    kind_of,
    steps_read,
)
from lineal.assets.deciding import AliasMoved
from lineal.assets.errors import (
    InputsChanged,
    IntegrityError,
    LinealError,
    QueryError,
    SourceMissing,
    StepError,
)
from lineal.assets.executors import Executor
from lineal.assets.facts import Facts, parameters_of
from lineal.assets.gate_steps import GateSteps, unscored_by
from lineal.assets.graph import Graph
from lineal.assets.ledger import Ledger, failing
from lineal.assets.names import Step
from lineal.assets.perform import Done, Outcome, Task, Workshop
from lineal.assets.plan import Plan
from lineal.assets.ports import Clock, Journal, Locks, Observer, Registrar, Sight
from lineal.assets.recorder import Recorder, content_in_place, error_facts
from lineal.assets.records import (
    Attempt,
    Content,
    Observation,
    Retirement,
    RunEnded,
    Used,
)
from lineal.assets.run import Announcer, Run, StepReport, is_told
from lineal.assets.scribe import Scribe
from lineal.assets.verdicts import (
    PLAINLY_FRESH,
    BoundCheck,
    Decision,
    Handed,
    Known,
    Pending,
)
from lineal.assets.weighing import NOTHING_TO_WEIGH
from lineal.assets.worklist import Worklist

_OF_THE_STEP = (StepError, QueryError, SourceMissing, IntegrityError)
_TICK = 0.2  # seconds between two looks at what runs
_POLL = 0.05  # seconds between two looks at a step that another process makes


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the loop speaks to: ports only.

    Attributes:
        executor: performs the tasks; given the workshop of this process and the known results.
        observe: the files of a source's step, as they are now.
        start: appends the entry that opens the run; its id.
        made_meanwhile: was any of these fingerprints recorded since the plan?
        paths: the files of an observation, absolute.
        log: the name of a step's log in a run.
        file_digest: of a project file, as it is now.
        pause: seconds until an attempt that failed so, for the n-th time, is tried again, or None.
        stopping: was the run asked to end? What is under way may end by itself.
        registrar: writes what gates decide.
        who: runs this, for the record.
        pools: how many places each pool has.
    """

    workshop: Workshop
    executor: Callable[[Workshop], Executor]
    journal: Journal
    observer: Observer
    observe: Callable[[Step], Observation]
    clock: Clock
    announcer: Announcer
    locks: Locks
    start: Callable[[], str]
    made_meanwhile: Callable[[Iterable[str]], bool]
    paths: Callable[[Observation], Sequence[str]]
    log: Callable[[Step], str]
    file_digest: Callable[[str], str | None]
    pause: Callable[[Retry, LinealError, int], float | None]
    stopping: Callable[[], bool]
    registrar: Callable[[], Registrar]
    who: Callable[[], str]
    pools: Mapping[str, int] = field(default_factory=dict)
    strict: bool = False


def materialize(graph: Graph, plan: Plan, facts: Facts, around: Surroundings) -> Run:
    """Make what is stale. One failure never stops independent branches.

    Raises:
        StoreError: the disk said no; what was told as made is kept.
        KeyboardInterrupt: passed on after what was made is recorded.
    """
    began = time.perf_counter()
    if not plan.has_work:
        return _idle(Ledger(graph, plan, facts, around.announcer.settled), began)
    return _Loop(graph, plan, facts, around).run(began)


def _idle(ledger: Ledger, began: float) -> Run:
    """Nothing to do: what is fresh, and what stays blocked."""
    plan = ledger.plan
    for step in plan.selected:
        decision = plan.decisions[step]
        fresh = decision is PLAINLY_FRESH
        because = _broken(step, ledger) if ledger.broken and not fresh else ()
        if because:
            ledger.skip(step, decision, because)
        else:
            ledger.leave(step, decision)
    outcome: Literal["done", "failed"] = "failed" if _bad(ledger.reports) else "done"
    return Run(None, outcome, tuple(ledger.reports), time.perf_counter() - began)


def _bad(reports: Iterable[StepReport]) -> bool:
    return any(r.outcome in ("failed", "blocked", "skipped") for r in reports)


def _broken(step: Step, ledger: Ledger) -> tuple[str, ...]:
    """The steps that this one reads and that gave nothing."""
    read = steps_read(ledger.graph, step, ledger.facts)
    return tuple(str(s) for s in read if s in ledger.broken)


@dataclass(slots=True)
class _Attempt:
    """A step that is under way, or waits to be tried again."""

    decision: Decision
    started: float  # UTC seconds, of this attempt
    began: float  # by the performance counter, likewise
    failed: tuple[Attempt, ...] = ()  # those before it
    error: LinealError | None = None  # of the last of them


class _Loop:
    """One run. Steps are named as assets as a whole; their outputs have the same partition."""

    def __init__(self, graph: Graph, plan: Plan, facts: Facts, around: Surroundings) -> None:
        self.graph, self.plan, self.around = graph, plan, around
        self.ledger = Ledger(graph, plan, facts, self._settled)
        self.running: dict[Step, _Attempt] = {}
        self.resting: dict[Step, tuple[float, _Attempt]] = {}  # until when, by the counter
        self.taken: dict[Step, Callable[[], None]] = {}  # locks
        self.looked_again: set[Step] = set()  # sources observed a second time
        self.undecided: set[Step] = set()  # those to which the plan applies no more
        self.void: set[Step] = set()  # under way on what holds no more: to be done once more
        self.used: dict[str, int] = {}  # places of each pool
        self.selected: Sequence[Step] = plan.selected
        self.decisions = dict(plan.decisions)  # those of the plan, and of steps found since
        self.reads: dict[Step, tuple[Step, ...]] = {}
        self.expecting: dict[Step, tuple[Step, ...]] = {}  # whose values it will read

    @property
    def facts(self) -> Facts:
        return self.ledger.facts

    # ---------------------------------------------------------------------------- the whole run

    def run(self, began: float) -> Run:
        around, ledger = self.around, self.ledger
        run_id = around.start()
        self.run_id = run_id
        self.recorder = ledger.recorder = Recorder(self.graph, run_id, self.facts.environment)
        self.executor = around.executor(replace(around.workshop, known_result=ledger.known_result))
        outcome: Literal["done", "failed", "cancelled"] = "cancelled"
        try:
            with Scribe(around.workshop.vault, around.journal, around.clock) as scribe:
                self.scribe = scribe
                ledger.hand_on = scribe.post
                self.gates = GateSteps(
                    ledger,
                    around.workshop.vault,
                    around.clock,
                    around.who,
                    around.registrar,
                    scribe.finish,
                )
                try:
                    self._carry_out()
                    if not self.worklist.left:
                        outcome = "failed" if _bad(ledger.reports) else "done"
                except BaseException as error:
                    self.executor.give_up()  # before others may take its steps
                    if not isinstance(error, KeyboardInterrupt):
                        raise
                self._end_the_rested()
                if outcome == "cancelled":
                    told = {(r.maker, r.step.partition) for r in ledger.reports}
                    ledger.cancel(s for s in self.selected if s not in told)
                scribe.finish()
        finally:
            for step in list(self.taken):
                self._let_go(step)
        seconds = time.perf_counter() - began
        run = Run(run_id, outcome, tuple(self._ordered()), seconds, tuple(self._retired()))
        ended = RunEnded(run_id, outcome, run.counts, around.clock())
        around.journal.append([ended])
        return run

    def _carry_out(self) -> None:
        ledger = self.ledger
        ledger.keeps_values = self.executor.hands_over
        at_rest = self._at_rest()
        self.worklist = Worklist(
            self.selected,
            self._reads,
            self._expected if self.executor.slots > 1 else None,
            at_rest.keys(),
        )
        ledger.know_excluded(self.plan.excluded)
        self._retire()
        ledger.leave_plain(at_rest)
        self._expect(step for step in self.selected if step not in at_rest)
        while self.worklist.left:
            self._start_what_is_ready()
            if self.running:
                self._finish(self._pause())
            elif self.around.stopping():
                break
            elif self.resting:
                self.executor.wait(self._pause())
            elif not (self.worklist.ready or self.worklist.turn()) and self.worklist.left:
                raise RuntimeError("no step can go on, and some are left")

    def _at_rest(self) -> dict[Step, None]:
        """Fresh partitions that can be told so at once: only files that move would change that.

        What reads files that are to be taken in is fresh only if these are still there then.
        """
        graph, decisions = self.graph, self.decisions
        taken_in = {s.asset for s, d in decisions.items() if d.action == "compute"}
        waits = graph.fed_by(name for name in taken_in if graph.assets[name].files is not None)
        plain = (step for step, decision in decisions.items() if decision is PLAINLY_FRESH)
        return {step: None for step in plain if step.asset not in waits}

    def _retire(self) -> None:
        """Partitions that are no more go before anything else is told."""
        if self.plan.retired:
            self.ledger.retire([f._replace(run=self.run_id) for f in self.plan.retired])

    def _reads(self, step: Step) -> tuple[Step, ...]:
        if step not in self.reads:
            found = (*steps_read(self.graph, step, self.facts), *self._before(step))
            self.reads[step] = tuple(s for s in found if s in self.decisions)
        return self.reads[step]

    def _before(self, step: Step) -> list[Step]:
        """The gates that are to be done before an action, whatever becomes of them."""
        names = self.graph.after.get(step.asset, ())
        return [Step(name, key) for name in names for key in self.facts.slices.units(name)]

    def _expect(self, steps: Iterable[Step]) -> None:
        """These will read values: they are kept in memory until then."""
        for step in steps:
            self.expecting[step] = self._reads(step)
            self.ledger.expect(self.expecting[step])

    def _expected(self, step: Step) -> float:
        """How long a step will take, by its last time; one that is fresh takes none."""
        if self.decisions[step].action == "none":
            return 0.0
        return self._last_seconds(step) or 0.001

    def _last_seconds(self, step: Step) -> float | None:
        first = self.graph.assets[step.asset].outputs[0]
        made = self.facts.past.current(first, step.partition)
        return made.seconds if made is not None and made.seconds else None

    def _ordered(self) -> list[StepReport]:
        outputs = (output for step in self.selected for output in self.ledger.outputs(step))
        place = {output: i for i, output in enumerate(outputs)}
        return sorted(self.ledger.reports, key=lambda r: place[r.step])

    def _retired(self) -> list[Retirement]:
        """By asset in the order of the graph, whichever of the steps ended first."""
        place = {name: i for i, name in enumerate(self.graph.order)}
        maker = self.graph.maker
        return sorted(self.ledger.retired, key=lambda r: place.get(maker.get(r.asset, ""), -1))

    # --------------------------------------------------------------------------- who may start

    def _start_what_is_ready(self) -> None:
        """Begin with steps while there is room; those that need no work are settled at once."""
        self._wake_rested()
        while not self.around.stopping() and len(self.running) < self.executor.slots:
            step = self.worklist.next(self._fits)
            if step is None:
                return
            self._one(step)

    def _fits(self, step: Step) -> bool:
        """Do its pools have room, and may it run beside what runs?"""
        asset = self.graph.assets[step.asset]
        if asset.exclusive and self.running:
            return False
        if any(self.graph.assets[s.asset].exclusive for s in self.running):
            return False
        pools = self.around.pools
        return all(self.used.get(p, 0) + n <= pools.get(p, n) for p, n in asset.pools)

    def _occupy(self, step: Step, places: int) -> None:
        for pool, count in self.graph.assets[step.asset].pools:
            self.used[pool] = self.used.get(pool, 0) + places * count

    def _pause(self) -> float | None:
        """How long to wait for what runs: until one that rests is due, or there is news to tell."""
        now = time.perf_counter()
        due = [until - now for until, _ in self.resting.values() if until > now]
        return min(_TICK, *due) if due else _TICK  # one that is due waits for room

    def _wake_rested(self) -> None:
        now = time.perf_counter()
        for step, (until, attempt) in list(self.resting.items()):
            full = len(self.running) >= self.executor.slots
            if until <= now and not full and not self.around.stopping() and self._fits(step):
                del self.resting[step]
                self._attempt(step, attempt.decision, attempt.failed)

    def _end_the_rested(self) -> None:
        """The run ends before these are tried again: what became of their attempts is told."""
        for step, (_, attempt) in self.resting.items():
            *before, last = attempt.failed
            if attempt.error is not None:
                told = (last.started_at, last.seconds, before)
                self.ledger.fail(step, attempt.decision, attempt.error, *told)
        self.resting.clear()

    # --------------------------------------------------------------------------------- one step

    def _one(self, step: Step) -> None:
        decision = self.decisions[step]
        because = _broken(step, self.ledger) if self.ledger.broken else ()
        if because:
            self.ledger.skip(step, decision, because)
            self._done(step)
            return
        acts = self.graph.assets[step.asset].action is not None
        if decision.action == "wait" or step in self.undecided or acts:
            # The same function over the same facts; only the inputs are known by now.
            decision = self._decided(step)
        if decision.action in ("compute", "recheck", "rule"):
            if not self._take(step):
                self.worklist.put_off(step)
                return
            news = self.gates.look_again(self.graph.assets[step.asset]) or acts
            if self.around.made_meanwhile((decision.fingerprints or {}).values()) or news:
                decision = self._decided(step)
        self._act(step, decision)

    def _decided(self, step: Step) -> Decision:
        """Decide it now; for an action every move counts that was recorded by now."""
        if self.graph.assets[step.asset].action is not None:
            self.ledger.facts = replace(self.facts, registries=self.gates.registrar.now())
        return decide(self.graph, step, self.ledger.known, self.facts)

    def _act(self, step: Step, decision: Decision) -> None:
        again = not self.ledger.published.isdisjoint(self.ledger.outputs(step))
        if decision.action == "none" and step.asset in self.facts.acted:
            self._let_go(step)  # another process did the rest
        elif decision.action == "blocked" or (decision.action == "none" and not again):
            self.ledger.leave(step, decision)
        elif decision.action in ("none", "reuse"):
            self.ledger.reuse(step, decision, {}, self.around.clock())
        elif decision.action == "wait":
            _, missing = inputs_used(self.graph, step, self.ledger.known, self.facts)
            self.ledger.skip(step, decision, missing)
        else:
            self._attempt(step, decision, ())
            return
        self._done(step)

    def _done(self, step: Step) -> None:
        self.worklist.done(step)
        self.ledger.release(self.expecting.pop(step, ()))
        keys = self.ledger.new_slices.pop(step.asset, None)
        if keys is not None:
            self._slice(step.asset, keys)

    def _take(self, step: Step) -> bool:
        """Hold a step against other processes; one that is held is waited for at the end."""
        if step in self.taken:  # done before in this run: until that is durable
            self.scribe.finish()
        let_go = self.around.locks.take(str(step))
        if let_go is None and self.worklist.patient and not self.running and not self.resting:
            let_go = self._wait_for(step)
        if let_go is None:
            return False
        self.taken[step] = let_go
        return True

    def _wait_for(self, step: Step) -> Callable[[], None] | None:
        """Until another process lets go of a step; None if the run is asked to end before."""
        self.scribe.finish()  # who waits holds nothing: no two ever wait for each other
        self.around.announcer.waiting(self.graph.assets[step.asset])
        let_go = None
        while let_go is None and not self.around.stopping():
            self.executor.wait(_POLL)
            let_go = self.around.locks.take(str(step))
        return let_go

    def _let_go(self, step: Step) -> None:
        self.taken.pop(step, _nothing)()

    def _settled(self, reports: Sequence[StepReport]) -> None:
        """What became of a step is durable: tell it, and let others have the step."""
        self.around.announcer.settled(reports)
        self._let_go(Step(reports[0].maker, reports[0].step.partition))

    # ---------------------------------------------------------------------------------- attempts

    def _attempt(self, step: Step, decision: Decision, failed: tuple[Attempt, ...]) -> None:
        asset = self.graph.assets[step.asset]
        attempt = _Attempt(decision, self.around.clock(), time.perf_counter(), failed)
        self.around.announcer.started(
            step, asset, decision, len(failed) + 1, self._last_seconds(step)
        )
        self.running[step] = attempt
        self._occupy(step, 1)
        if kind_of(self.graph, asset) == "files in place" and decision.action == "compute":
            self._take_in(step, Done(Outcome({}, 0.0)))
            return
        try:
            task = self._task(step, decision)
        except _OF_THE_STEP as error:
            self._take_in(step, Done(Outcome({}, 0.0), error=error))
            return
        if task.weighing == NOTHING_TO_WEIGH:
            self._take_in(step, Done(Outcome({}, 0.0)))
            return
        self.executor.submit(task)

    def _finish(self, seconds: float | None) -> None:
        for step, done in self.executor.wait(seconds):
            self._take_in(step, done)
        self.around.announcer.tick()

    def _take_in(self, step: Step, done: Done) -> None:
        """A task is done: record what it gave, try it again, or say that it failed."""
        attempt = self.running.pop(step)
        self._occupy(step, -1)
        self.around.announcer.ended(step)
        if step in self.void:
            self.void.discard(step)
            self._let_go(step)
            self._done(step)
            if step in self.decisions:  # else it is a partition that is no more
                self._again({step})
            return
        unscored = unscored_by(done.outcome)
        if unscored is not None and self._rest(step, attempt, unscored):
            return
        error = self._error_of(step, attempt, done)
        if isinstance(error, AliasMoved):
            self._attempt(step, attempt.decision, attempt.failed)
            return
        if error is not None:
            try:
                seen = self._observed_anew(step, error)
            except SourceMissing as gone:
                seen, error = {}, gone
            if seen:
                self._let_go(step)
                self._done(step)
                self._look_again(seen)
                return
            if self._rest(step, attempt, error):
                return
            seconds = time.perf_counter() - attempt.began
            told = (attempt.started, seconds, attempt.failed)
            self.ledger.fail(step, attempt.decision, error, *told)
        if not self._goes_on(step, attempt.decision, done=error is None):
            self._done(step)

    def _goes_on(self, step: Step, decision: Decision, *, done: bool) -> bool:
        """Is there another move for which an action runs? Then it does, or the run is to end."""
        if decision.promotion is None:
            return False
        acted = acted_on(self.facts, decision, step, done=done)
        self.ledger.facts = replace(self.facts, acted=acted)
        if self._decided(step).action == "none":
            return False
        if not self.around.stopping():
            self._one(step)
        return True

    def _error_of(self, step: Step, attempt: _Attempt, done: Done) -> LinealError | None:
        """Accept what a task gave; the error if it failed, or can't be accepted."""
        if done.error is None:
            try:
                self._accept(step, attempt, done)
            except _OF_THE_STEP as error:
                return error
        return done.error

    def _rest(self, step: Step, attempt: _Attempt, error: LinealError) -> bool:
        """Is the step to be tried again? Then it waits a while, and others go on."""
        retry = self.graph.assets[step.asset].retry
        number = len(attempt.failed) + 1
        if retry is None or number > retry.times or self.around.stopping():
            return False
        pause = self.around.pause(retry, error, number)
        if pause is None:
            return False
        seconds = time.perf_counter() - attempt.began
        told = Attempt(number, attempt.started, seconds, error_facts(error))
        again = _Attempt(attempt.decision, 0.0, 0.0, (*attempt.failed, told), error)
        self.resting[step] = (time.perf_counter() + pause, again)
        self.around.announcer.retrying(step, error, number + 1, retry.times + 1, pause)
        return True

    def _accept(self, step: Step, attempt: _Attempt, done: Done) -> None:
        """What a task gave is recorded, if nothing moved under it."""
        asset, decision = self.graph.assets[step.asset], attempt.decision
        ledger, outcome = self.ledger, done.outcome
        if decision.action == "recheck":
            judged = ledger.judged(done.results)
            if failing(judged):
                ledger.refuse(step, decision, _contents(decision), judged)
            else:
                ledger.reuse(step, decision, judged, self.around.clock())
            return
        for source in sorted(self._moved(step)):
            raise InputsChanged(
                f"the files of `{source}` changed while they were read",
                where=str(asset.where),
                advice="run again when whoever writes them is done",
            )
        if outcome.written:
            self._forget(outcome.written)
        self._refuse_undeclared(asset, outcome)
        if asset.gate is not None:
            self.gates.record(step, decision, outcome, attempt.started, attempt.failed)
            return
        contents = {o: m.canonical.content for o, m in outcome.made.items()}
        if kind_of(self.graph, asset) == "files in place":
            contents = {asset.name: content_in_place(self.facts.observations[step])}
        judged = ledger.judged(done.results)
        ledger.record(step, decision, contents, outcome, judged, attempt.started, attempt.failed)

    def _refuse_undeclared(self, asset: Asset, outcome: Outcome) -> None:
        undeclared = [u for u in outcome.unwatched if is_told(u)]
        if undeclared and self.around.strict and asset.action is None:  # that is done by now
            path, _, place = undeclared[0]
            raise StepError(
                f"`{asset.name}` reads {path}, which no source declares",
                where=place,
                advice="declare it with source(…) and take it as a parameter",
            )

    def _forget(self, written: Sequence[str]) -> None:
        """A step wrote these files: steps after it are decided on what they hold now."""
        before, anew = self.facts.file_digest, self.around.file_digest

        def file_digest(path: str) -> str | None:
            return anew(path) if path in written else before(path)

        self.ledger.facts = replace(self.facts, file_digest=file_digest)

    # -------------------------------------------------------------- files that move meanwhile

    def _moved(self, step: Step) -> set[Step]:
        """The sources whose files this step itself opens, and that changed since the plan."""
        seen, unchanged = self.facts.observations, self.around.observer.unchanged
        return {source for source in self._sources_read(step) if not unchanged(seen[source])}

    def _observed_anew(self, step: Step, error: LinealError) -> dict[Step, Observation]:
        """Sources that moved under a step that failed: whatever went wrong, it may come of it.

        Once a source and run: one that never rests is told as the step's failure.
        """
        moved = self._moved(step)
        if isinstance(error, IntegrityError) or moved & self.looked_again:
            return {}
        return {source: self.around.observe(source) for source in moved}

    def _look_again(self, seen: Mapping[Step, Observation]) -> None:
        """Sources were observed anew: do what rests on them again."""
        self.looked_again |= seen.keys()
        self.ledger.facts = replace(self.facts, observations={**self.facts.observations, **seen})
        self.ledger.know_excluded({s.asset for s in seen} & self.plan.excluded)
        self.around.announcer.moved(sorted(str(s) for s in seen))
        self._again(self._fed_by(set(seen)))

    def _fed_by(self, moved: set[Step]) -> set[Step]:
        """These steps, and all that read them, at any distance."""
        found = set(moved)
        for step in self.selected:
            if not found.isdisjoint(steps_read(self.graph, step, self.facts)):
                found.add(step)
        return found.intersection(self.decisions)

    def _again(self, steps: set[Step]) -> None:
        """Decide these again, on what is known now; what became of them before was true too."""
        ledger = self.ledger
        under_way = steps & self.running.keys()
        self.void |= under_way
        for step in steps & self.resting.keys():
            del self.resting[step]
            self._let_go(step)
        self._expect(steps - self.worklist.left)
        self.worklist.again(steps - under_way)
        self.undecided |= steps
        ledger.reports = [r for r in ledger.reports if Step(r.maker, r.step.partition) not in steps]
        for step in steps:
            ledger.forget(step)

    # ------------------------------------------------------------------------ slices of a column

    def _slice(self, asset: str, keys: tuple[str, ...]) -> None:
        """A table was published by a column: what reads it key by key has these keys now."""
        before = self.facts.slices
        if tuple(before.keys(asset)) == keys:
            return
        self.ledger.facts = replace(self.facts, slices=before.sliced(asset, keys))
        self.reads.clear()
        wanted = self.plan.assets - self.plan.excluded
        new: list[Step] = []
        gone: list[Step] = []
        for name in self.graph.fed_by([asset]) & wanted - self.plan.in_part:
            now = {Step(name, key): None for key in self.facts.slices.units(name)}
            new += [step for step in now if step not in self.decisions]
            gone += [s for s in self.decisions if s.asset == name and s not in now]
        for step in gone:
            del self.decisions[step]
            self.ledger.release(self.expecting.pop(step, ()))
        waits = Decision(Pending((asset,)), "wait")
        self.decisions.update(dict.fromkeys(new, waits))
        self.selected = self._in_order()
        self.worklist.change(self.selected, new, gone)
        self._expect(new)
        self._retire_now(gone)

    def _in_order(self) -> list[Step]:
        """All steps: of assets as in the graph, of each its partitions in their order."""
        names = {step.asset for step in self.decisions}
        units = self.facts.slices.units
        steps = (Step(n, key) for n in self.graph.order if n in names for key in units(n))
        return [step for step in steps if step in self.decisions]

    def _retire_now(self, gone: Iterable[Step]) -> None:
        """Partitions that are no more since what they were made of is published otherwise."""
        outputs = (output for step in gone for output in self.ledger.outputs(step))
        currents = {output: self.facts.past.current(*output) for output in outputs}
        why = "its input has it no more"
        found = [self.recorder.retirement(o, m.id, why) for o, m in currents.items() if m]
        if found:
            self.ledger.retire(found)

    # ------------------------------------------------------------------------------------- tasks

    def _sources_read(self, step: Step) -> list[Step]:
        """The file sources whose files this computation itself opens."""
        asset, observed = self.graph.assets[step.asset], self.facts.observations
        read = [step] if asset.kind == "files" else []
        for given in asset.inputs:
            found = self.facts.slices.read(step.asset, step.partition, given)
            way = given.alone if found.many else given
            if way.arrival in ("path", "paths"):
                maker = self.graph.maker.get(given.asset or "", "")
                read += [Step(maker, k) for k in found.keys if Step(maker, k) in observed]
        return read

    def _task(self, step: Step, decision: Decision) -> Task:
        asset, facts = self.graph.assets[step.asset], self.facts
        inputs = {given.parameter: self._handed(step, given) for given in asset.inputs}
        kept = _contents(decision) if decision.action == "recheck" else None
        outputs = self.ledger.outputs(step)
        currents = {o.asset: facts.past.current(*o) for o in outputs}
        return Task(
            step=step,
            asset=asset,
            recipe=facts.recipes[asset.name],
            parameters=parameters_of(asset, facts, step.partition),
            inputs=inputs,
            held=self.ledger.held,
            observation=facts.observations.get(step),
            paths={s: self.around.paths(facts.observations[s]) for s in self._sources_read(step)},
            log=f"{self.run_id}/{self.around.log(Step(asset.outputs[0], step.partition))}",
            kept=kept,
            checks={o.asset: self._bound_checks(asset, o) for o in outputs},
            previous={o: m.content for o, m in currents.items() if m and m.content},
            timeout=asset.timeout,
            resources=facts.resources,
            sights=_sights(decision.used) if asset.query is not None else {},
            weighing=self.gates.weighing(step, decision),
            promoted=promoted(asset, decision, facts, self.gates.materialization),
        )

    def _handed(self, step: Step, given: Input) -> Handed:
        found = handed(step.asset, step.partition, given, self.ledger.known, self.facts)
        way = given.alone if found.many else given
        return found._replace(versions=tuple(self._put_down(v, way) for v in found.versions))

    def _bound_checks(self, asset: Asset, output: Step) -> tuple[BoundCheck, ...]:
        bound, pending = bound_checks(self.graph, output, self.ledger.known, self.facts)
        if pending:
            raise StepError(
                f"a check of `{output}` needs {', '.join(pending)}, which was never made",
                where=str(asset.where),
            )
        return bound

    def _put_down(self, version: Known, given: Input) -> Known:
        """The version as it can be read: who wants the file itself, or is too late for the value in
        memory, waits for the file.
        """
        output, held = Step(version.asset, version.partition), self.ledger.held
        in_memory = output in held and given.arrival not in ("path", "paths")
        content = version.content
        if in_memory or content is None or content.objects or content.format == "files":
            return version
        self.scribe.finish()
        written = self.scribe.written(output)
        if written is None:
            return version
        held.pop(output, None)
        self.ledger.known[output] = replace(version, content=written)
        return self.ledger.known[output]


def _sights(used: Iterable[Used]) -> dict[str, Sight]:
    """What a query is to see: what the fingerprint says that it sees."""
    of_columns = (each for each in used if each.mode in ("columns", "shape"))
    return {each.asset: Sight(each.columns, each.mode == "shape") for each in of_columns}


def _contents(decision: Decision) -> dict[str, Content]:
    kept = decision.kept or {}
    return {o: m.content for o, m in kept.items() if m.content is not None}


def _nothing() -> None:
    """There is nothing to let go of."""
