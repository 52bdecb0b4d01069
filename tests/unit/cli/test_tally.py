"""The live area: who runs, how long, how much is left; it always fits the terminal."""

from __future__ import annotations

import pytest

from lineal.assets.asset import Asset, Where
from lineal.assets.names import Step
from lineal.assets.plan import Plan, PlannedStep
from lineal.assets.records import Reason, StepOutcome
from lineal.assets.run import StepReport
from lineal.assets.verdicts import Stale
from lineal.cli.render import Style, span
from lineal.cli.tally import MANY, Tally

NEVER = Stale((Reason("never_made"),))


def asset(*outputs: str) -> Asset:
    return Asset(outputs[0], "python", Where("pipeline.py", 1), outputs)


def tally(*steps: Step, seconds: float | None = None) -> Tally:
    found = Tally()
    planned = [PlannedStep(s, s.asset, NEVER, "compute", None, None, seconds) for s in steps]
    found.plan(Plan(tuple(planned), {}, ()))
    return found


def days(name: str, count: int) -> list[Step]:
    return [Step(name, f"day-{i:04}") for i in range(count)]


def report(step: Step, outcome: StepOutcome = "made", seconds: float = 1.0) -> StepReport:
    return StepReport(step, step.asset, outcome, seconds=seconds)


def rows(found: Tally, now: float, width: int = 80, height: int = 24) -> list[str]:
    return found.rows(Style(width, ascii=False), width, height, now)


def test_a_running_step_shows_how_long_it_runs_and_what_it_took_before() -> None:
    found = tally(Step("flights", "2013-02"))
    found.start(Step("flights", "2013-02"), asset("flights"), 1, 30.0, now=100.0)
    assert rows(found, 112.4) == ["  ▸ flights 2013-02   12 s of about 30 s"]


def test_what_a_step_took_before_is_known_from_the_plan() -> None:
    found = tally(Step("model"), seconds=200.0)
    found.start(Step("model"), asset("model"), 2, None, now=0.0)
    assert rows(found, 103.0) == ["  ▸ model   1 min 43 s of about 3 min   attempt 2"]


def test_outputs_that_are_made_together_are_one_line() -> None:
    found = tally()
    found.start(Step("split"), asset("train", "test"), 1, None, now=0.0)
    assert rows(found, 5.0) == ["  ▸ train, test   5 s"]


def test_the_last_line_says_how_far_the_run_is() -> None:
    steps = [Step(name) for name in "abcdefgh"]
    found = tally(*steps, seconds=10.0)
    for step, outcome in zip(steps[:3], ("made", "failed", "skipped"), strict=True):
        found.settle(report(step, outcome, 10.0))  # type: ignore[arg-type]
    for step in steps[3:6]:
        found.start(step, asset(step.asset), 1, None, now=0.0)
    found.retry(steps[5])
    told = "  made 1 of 8 · 1 failed · 1 skipped · 2 running"
    assert rows(found, 5.0)[-1] == told  # what doesn't fit is left out, part by part
    # 50 s of work are left, 10 of them done, three at once
    told += " · 1 waiting to be tried again · about 13 s left"
    assert rows(found, 5.0, width=120)[-1] == told
    found.start(steps[5], asset("f"), 2, None, now=5.0)
    assert "waiting" not in rows(found, 5.0)[-1]


def test_nothing_is_guessed_before_anything_is_known() -> None:
    steps = [Step(name) for name in "abcde"]
    found = tally(*steps)
    found.start(steps[0], asset("a"), 1, None, now=0.0)
    assert rows(found, 3.0)[-1] == "  made 0 of 5 · 1 running"
    found.settle(report(steps[0], seconds=6.0))
    assert rows(found, 6.0) == ["  made 1 of 5 · about 24 s left"]


def test_a_few_steps_need_no_line_about_the_whole() -> None:
    found = tally(Step("a"), Step("b"), Step("c"))
    found.start(Step("a"), asset("a"), 1, None, now=0.0)
    assert len(rows(found, 3.0)) == 1


def test_a_run_that_was_interrupted_promises_no_end() -> None:
    found = tally(*days("a", 5), seconds=60.0)
    found.start(Step("a", "day-0000"), asset("a"), 1, None, now=0.0)
    found.stopping = True
    assert rows(found, 1.0)[-1] == "  made 0 of 5 · 1 running · stopping"


@pytest.mark.parametrize("width", [40, 47, 80, 200])
@pytest.mark.parametrize("height", [3, 8, 24])
def test_the_area_fits_any_terminal(width: int, height: int) -> None:
    names = ["mart/finance/the_gross_amounts_of_all_large_orders", "市場/東京の名前" * 5, "a"]
    steps = [Step(name, f"東京-{i}") for i in range(6) for name in names]
    found = tally(*steps, seconds=5000.0)
    for step in steps:
        found.start(step, asset(step.asset), 3, None, now=0.0)
    shown = rows(found, 4000.0, width, height)
    assert len(shown) <= max(2, height - 3)
    assert max(map(span, shown)) <= width - 2
    if height == 8:
        assert shown[-2].strip() == "… and 15 more"


def test_many_partitions_are_counted_in_one_line() -> None:
    steps = days("flights", 1200)
    found = tally(*steps)
    crowd = found.crowds["flights"]
    for i, step in enumerate(steps[:340]):
        found.settle(report(step, "failed" if i == 7 else "made"))
        crowd.settle(report(step, "failed" if i == 7 else "made"))
    first, last = rows(found, 1.0)
    assert first == "  ✓ flights   made 339 of 1,200 · 1 failed"
    assert last.startswith("  made 339 of 1,200 · 1 failed")


def test_the_line_of_a_crowd_names_its_first_and_last_partition() -> None:
    steps = days("flights", 1200)
    crowd = tally(*steps).crowds["flights"]
    for step in reversed(steps):
        crowd.settle(report(step, seconds=0.01))
    assert crowd.done
    (line,) = crowd.line(Style(80, ascii=True), 10)
    assert line.startswith("  ok flights      1,200 partitions made, day-0000 ... day-1199  ")
    assert line.endswith(" 12 s")


def test_a_step_that_is_made_twice_counts_once() -> None:
    steps = days("flights", MANY + 1)
    found = tally(*steps)
    crowd = found.crowds["flights"]
    for outcome in ("failed", "made"):
        found.settle(report(steps[0], outcome))  # type: ignore[arg-type]
        crowd.settle(report(steps[0], outcome))  # type: ignore[arg-type]
    assert rows(found, 1.0)[0] == f"  ✓ flights   made 1 of {MANY + 1}"
    assert rows(found, 1.0)[1].startswith(f"  made 1 of {MANY + 1}")


def test_a_few_partitions_are_no_crowd() -> None:
    assert not tally(*days("flights", MANY)).crowds
