"""Actions: for which moves of an alias they run, in which order, and when no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from lineal.assets.asset import Asset, Retry
from lineal.assets.declare_action import action
from lineal.assets.declare_gate import gate
from lineal.assets.executors import Inline
from lineal.assets.names import Step
from lineal.assets.plan import plan
from lineal.assets.promoted import Promotion
from lineal.assets.records import (
    REPLACED,
    Materialization,
    Recipe,
    RecipePart,
    Registered,
    RunStarted,
    Score,
)
from lineal.assets.records import Promotion as Move
from lineal.assets.registries import Registries
from lineal.assets.run import Run
from lineal.assets.verdicts import Pending
from tests.fakes import MemoryRegistrar, NoLocks
from tests.workbench import Workbench, judged, made


class Stage:
    """A model, an action on `delays@production`, and moves that a person makes."""

    def __init__(self, *more: Asset, **options: Any) -> None:
        self.seen: list[Promotion] = []
        self.failing: set[str] = set()
        self.meanwhile: Callable[[], None] | None = None
        self.value = 0
        self.deploy = action("delays@production", name="deploy", **options)(self._deploy)
        self.bench = Workbench(made("model", lambda: {"x": (self.value,)}), self.deploy, *more)

    def _deploy(self, promotion: Promotion) -> Any:
        self.seen.append(promotion)
        if self.meanwhile is not None:
            then, self.meanwhile = self.meanwhile, None
            then()
        if promotion.id in self.failing:
            raise ValueError("the cluster said no")
        return {"deployed": promotion.version}

    def train(self) -> None:
        """Other code: what is trained is another model."""
        self.value += 1
        self.bench.recipes["model"] = Recipe(f"model {self.value}")

    def version(self) -> int:
        """Train and register another version."""
        self.train()
        self.bench.run(["model"])
        last = self.bench.journal.past().current("model", None)
        assert last is not None
        assert last.content is not None
        content = last.content.digest
        registrar = MemoryRegistrar(self.bench.journal)
        number = registrar.now()["delays"].next_number
        told = Registered("delays", number, "model", None, last.id, content, last.run, 1.0, "me")
        registrar.record(lambda registries, entry: [told])
        return number

    def move(self, version: int, alias: str = "production", how: Any = "person") -> str:
        """Move the alias by hand."""
        registrar = MemoryRegistrar(self.bench.journal)

        def moved(registries: Registries, entry: int) -> list[Move]:
            before = registries["delays"].at(alias)
            scores = (Score("auc", 0.8 + version / 100, 0.8),)
            previous = None if before is None else before.version
            told = (version, previous, "default", "r1", "me", "better", scores, 1.0, how)
            return [Move(f"p{entry}", "delays", alias, *told)]

        _, facts = registrar.record(moved)
        return facts[0].id  # type: ignore[union-attr]  # it is a move

    def run(self, *selected: str, **options: Any) -> Run:
        return self.bench.run(selected or None, **options)

    @property
    def ran(self) -> list[str]:
        return [promotion.version for promotion in self.seen]

    @property
    def records(self) -> list[Materialization]:
        facts = self.bench.journal.facts
        return [f for f in facts if isinstance(f, Materialization) and f.asset == "deploy"]

    def broken_off(self) -> None:
        """A run that was killed before anything of it was recorded."""
        started = ("default", "me", "here", (), 1.0, "3.12", "1")
        self.bench.journal.start_run(lambda run: [RunStarted(run, *started)])


@pytest.fixture
def stage() -> Iterator[Stage]:
    yield Stage()


def test_what_a_lost_move_did_outside_is_put_back_once(stage: Stage) -> None:
    for version in (1, 2):
        stage.version()
        move = stage.move(version)
        stage.run()
    journal = stage.bench.journal
    kept = [[f for f in e if getattr(f, "id", None) != move] for e in journal.entries]
    journal.entries[:] = kept  # type: ignore[assignment]  # as after a repair
    assert [stage.run().id is None for _ in range(2)] == [False, True]
    assert stage.ran == ["v1", "v2", "v1"]


def test_it_runs_once_for_each_move_rollbacks_included_and_then_no_more(stage: Stage) -> None:
    ids = []
    for version in (1, 2):
        stage.version()
        ids.append(stage.move(version))
        stage.run()
    ids.append(stage.move(1, how="rollback"))
    run = stage.run()
    assert stage.ran == ["v1", "v2", "v1"]
    assert [p.id for p in stage.seen] == ids
    assert [(s.step.asset, s.outcome) for s in run.steps] == [
        ("model", "fresh"), ("deploy", "made"),
    ]  # fmt: skip
    assert run.steps[-1].summary == f"promotion {ids[2]} of delays v1"
    before = len(stage.bench.journal.entries)
    for _ in range(3):
        again = stage.run()
        assert again.id is None
        assert again.outcome == "done"
    assert len(stage.bench.journal.entries) == before
    assert [m.metadata for m in stage.records] == [
        {"promotion": ids[0], "registry": "delays", "alias": "production", "version": 1,
         "previous": None},
        {"promotion": ids[1], "registry": "delays", "alias": "production", "version": 2,
         "previous": 1},
        {"promotion": ids[2], "registry": "delays", "alias": "production", "version": 1,
         "previous": 2},
    ]  # fmt: skip
    assert stage.bench.current("deploy") == {"deployed": "v1"}
    # What it read is the model: lineage goes on from there.
    models = stage.bench.journal.past().materialization(stage.records[1].inputs[0].materialization)
    assert models is not None
    assert models.asset == "model"


def test_several_moves_are_taken_in_their_order_in_one_run(stage: Stage) -> None:
    stage.version()
    stage.move(1)
    stage.run()
    stage.version()
    ids = [stage.move(2), stage.move(1, how="rollback"), stage.move(2)]
    stage.move(1, alias="staging")
    planned = stage.bench.planned()[1]
    assert [r.culprit for r in stage.bench.reasons("deploy")] == [
        f"promotion {ids[0]} of delays v2, then {ids[1]} of v1, then {ids[2]} of v2"
    ]
    assert planned.has_work
    run = stage.run()
    assert stage.ran == ["v1", "v2", "v1", "v2"]
    assert run.counts["made"] == 3
    assert stage.run().id is None


def test_a_move_that_comes_while_it_runs_is_taken_in_the_same_run(stage: Stage) -> None:
    stage.version()
    stage.move(1)
    stage.version()
    stage.meanwhile = lambda: stage.move(2) and None
    stage.run()
    assert stage.ran == ["v1", "v2"]


def test_a_run_that_is_asked_to_end_leaves_the_other_moves_to_the_next(stage: Stage) -> None:
    stage.version()
    ids = [stage.move(1)]
    stage.run()
    ids += [stage.move(1), stage.move(1)]

    def stop() -> None:
        stage.bench.stopping = True

    stage.meanwhile = stop
    run = stage.run()
    assert (run.outcome, len(stage.seen)) == ("cancelled", 2)
    stage.bench.stopping = False
    stage.run()
    assert [p.id for p in stage.seen] == ids


def test_declared_later_it_begins_with_where_the_alias_is(stage: Stage) -> None:
    for version in (1, 2, 3):
        stage.version()
        stage.move(version)
    stage.bench.journal.append([])
    stage.run()
    assert stage.ran == ["v3"]
    assert stage.run().id is None


def test_a_kill_in_its_very_first_run_lets_no_move_be_left_out(stage: Stage) -> None:
    for version in (1, 2):
        stage.version()
        stage.move(version)
    stage.broken_off()
    stage.version()
    stage.move(3)
    stage.run()
    assert stage.ran == ["v2", "v3"]


def test_one_that_failed_is_tried_again_while_it_is_the_newest(stage: Stage) -> None:
    stage.version()
    first = stage.move(1)
    stage.failing = {first}
    run = stage.run()
    assert run.outcome == "failed"
    assert run.steps[-1].summary == f"promotion {first} of delays v1"
    stage.run()
    assert stage.ran == ["v1", "v1"]
    stage.failing = set()
    assert stage.run().outcome == "done"
    assert stage.run().id is None
    assert [p.id for p in stage.seen] == [first] * 3


def test_one_that_failed_is_given_up_for_a_newer_one_and_says_so(stage: Stage) -> None:
    stage.version()
    first = stage.move(1)
    stage.failing = {first}
    stage.run()
    stage.version()
    stage.move(2)
    given_up = f"promotion {first} of delays v1: it failed, and there is a newer one"
    assert ("given_up", given_up) in [r[:2] for r in stage.bench.reasons("deploy")]
    assert stage.run().outcome == "done"
    assert stage.ran == ["v1", "v2"]
    assert [r.kind for r in stage.records[-1].reasons] == ["promoted", "given_up"]
    assert stage.run().id is None


def test_a_failure_among_several_does_not_keep_the_newest_back(stage: Stage) -> None:
    stage.version()
    stage.move(1)
    stage.run()
    stage.version()
    stage.failing = {stage.move(2)}
    stage.move(1)
    run = stage.run()
    assert stage.ran == ["v1", "v2", "v1"]
    assert run.outcome == "failed"
    assert (run.counts["made"], run.counts["failed"]) == (1, 1)
    assert stage.run().id is None


def test_retries_are_of_one_move(stage: Stage) -> None:
    stage = Stage(retry=Retry(3, delay=0.0))
    stage.version()
    first = stage.move(1)
    stage.failing = {first}

    def heal() -> None:
        if len(stage.seen) == 3:
            stage.failing.clear()
        stage.meanwhile = heal

    stage.meanwhile = heal
    run = stage.run()
    assert [p.id for p in stage.seen] == [first] * 3
    assert (run.outcome, run.steps[-1].attempts) == ("done", 3)
    assert len(stage.records[0].attempts) == 2
    assert stage.run().id is None


def test_its_code_and_its_environment_start_nothing(stage: Stage) -> None:
    stage.version()
    stage.move(1)
    stage.run()
    stage.bench.recipes["deploy"] = Recipe("other code")
    stage.bench.parameters["deploy"] = {"size": 3}
    assert stage.run().id is None


def test_by_force_it_runs_once_more_for_the_newest_move(stage: Stage) -> None:
    stage.version()
    stage.move(1)
    newest = stage.move(1)
    stage.run()
    stage.run("deploy", forced=["deploy"])
    assert [p.id for p in stage.seen] == [newest, newest]
    assert stage.run().id is None


def test_stand_ins_never_count_as_the_real_thing(stage: Stage) -> None:
    stage.version()
    stage.move(1)
    stage.run()
    moved = stage.move(1)
    part = RecipePart("cluster", "resource", "token", REPLACED)
    stage.bench.recipes["deploy"] = Recipe("with a stand-in", (part,))
    stage.run()
    stage.bench.recipes["deploy"] = Recipe("plain")
    stage.run()
    assert [p.id for p in stage.seen][1:] == [moved, moved]
    assert stage.run().id is None


def test_where_nothing_is_promoted_it_never_runs(stage: Stage) -> None:
    stage.version()
    stage.move(1)
    graph, _, facts = stage.bench.planned()
    there = replace(facts, promotes=False)
    run = stage.bench.carry_out(graph, plan(graph, there, graph.assets), there)
    assert (run.id, run.steps[-1].outcome) == (None, "fresh")
    assert stage.seen == []


# ------------------------------------------------------------------------------- other processes


def test_what_another_process_did_meanwhile_is_not_done_again(stage: Stage) -> None:
    stage.version()
    stage.move(1)
    late = stage.bench.planned()
    past = stage.bench.opened
    stage.run()
    stage.bench.opened = past
    run = stage.bench.carry_out(*late)
    assert stage.ran == ["v1"]
    assert run.outcome == "done"


def test_who_comes_late_never_deploys_an_older_version_over_a_newer_one(stage: Stage) -> None:
    stage.version()
    stage.move(1)
    late = stage.bench.planned()  # it has only seen v1
    past = stage.bench.opened
    stage.version()
    stage.move(2)
    stage.run()  # and this one begins with v2
    stage.bench.opened = past
    stage.bench.carry_out(*late)
    assert stage.ran == ["v2"]


class _Busy(NoLocks):
    """Another process is quicker: it does something whenever a step is about to be held."""

    def __init__(self, *others: Callable[[], object]) -> None:
        self.others = list(others)

    def take(self, step: str) -> Callable[[], None]:
        if step == "deploy" and self.others:
            self.others.pop(0)()
        return super().take(step)


def test_between_the_plan_and_the_step_another_process_may_promote_and_deploy(stage: Stage) -> None:
    for _ in (1, 2):
        stage.version()
    stage.move(1)
    others, past = stage.bench.planned(["deploy"]), stage.bench.opened

    def other() -> None:
        stage.move(2)
        ours, stage.bench.opened = stage.bench.opened, past
        stage.bench.carry_out(*others)
        stage.bench.opened = ours

    stage.bench.locks = _Busy(other)
    assert stage.run("deploy").outcome == "done"
    assert stage.ran == ["v2"]


def test_between_two_moves_another_process_may_do_the_second(stage: Stage) -> None:
    stage.version()
    stage.move(1)
    stage.run()
    stage.move(stage.version())
    stage.move(1)

    def other() -> None:
        stage.run("deploy")

    stage.bench.locks = _Busy(lambda: None, other)
    run = stage.run("deploy")
    assert stage.ran == ["v1", "v2", "v1"]
    assert [m.outcome for m in stage.records] == ["made"] * 3
    assert [step.outcome for step in run.steps] == ["made"]


# ------------------------------------------------------------------------------------------ gates


def _gate(*, passes: bool = True) -> Asset:
    def better(model: Any) -> float:
        if not passes:
            raise ValueError("no score")
        return 0.5 + model["x"][0] / 10

    return gate("delays", candidate="model")(better)


def test_what_a_gate_promotes_is_deployed_in_the_same_run() -> None:
    stage = Stage()
    stage.bench.declared.append(_gate())
    graph, planned, _ = stage.bench.planned()
    assert graph.order.index("better") < graph.order.index("deploy")
    assert planned.decisions[Step("deploy")].verdict == Pending(("delays@production",))
    assert "if delays@production moves" in repr(planned)
    models: list[Any] = []
    stage.meanwhile = lambda: models.append(stage.seen[-1].model)
    assert stage.run().counts["made"] == 3
    assert (stage.ran, models) == (["v1"], [{"x": (0,)}])  # the model was made in this very run
    assert (stage.seen[0].how, stage.seen[0].scores) == ("gate", {"better": 0.5})
    assert stage.run().id is None
    stage.train()
    stage.run()
    stage.value = -1
    stage.train()  # and this one is worse: the gate closes
    assert {s.step.asset: s.outcome for s in stage.run().steps} == {
        "model": "made", "better": "reused", "deploy": "fresh",
    }  # fmt: skip
    assert stage.ran == ["v1", "v2"]
    assert set(stage.bench.planned(["deploy"])[1].decisions) == {Step("deploy")}


class _Two(Inline):
    slots = 2


def test_with_several_jobs_it_waits_for_the_gate_too() -> None:
    stage = Stage()
    stage.bench.declared.append(_gate())
    stage.bench.executor = _Two
    assert stage.run().counts["made"] == 3


def test_a_gate_that_fails_does_not_keep_back_what_a_person_promoted() -> None:
    stage = Stage()
    stage.version()
    stage.move(1)
    stage.bench.declared.append(_gate(passes=False))
    outcomes = {s.step.asset: s.outcome for s in stage.run().steps}
    assert outcomes == {"model": "fresh", "better": "failed", "deploy": "made"}


def test_a_gate_that_can_not_be_reached_makes_no_work_for_its_actions() -> None:
    stage = Stage()
    refused = judged("model", lambda value: False)
    stage.bench.declared += [_gate(), refused]
    assert stage.run().outcome == "failed"
    again = stage.run()
    assert again.id is None
    assert {s.step.asset: s.outcome for s in again.steps}["deploy"] == "fresh"


def test_where_nothing_is_promoted_it_waits_for_no_gate() -> None:
    stage = Stage()
    stage.bench.declared.append(_gate())
    graph, _, facts = stage.bench.planned()
    planned = plan(graph, replace(facts, promotes=False), graph.assets)
    assert planned.decisions[Step("deploy")].verdict.name == "fresh"
