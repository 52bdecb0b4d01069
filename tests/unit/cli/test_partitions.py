"""Partitions as they are told: those of which the same is to be said, together."""

from __future__ import annotations

import itertools
import json

import click

from lineal.answers import Explanation, InputNow, Status
from lineal.assets.errors import UserCodeError
from lineal.assets.names import Step, in_partition
from lineal.assets.plan import Plan, PlannedStep
from lineal.assets.records import (
    Column,
    Content,
    EnvironmentFacts,
    Reason,
    Recipe,
    Retirement,
    Used,
)
from lineal.assets.run import Run, StepReport
from lineal.assets.verdicts import Decision, Fresh, Pending, Stale, Verdict
from lineal.cli import outcomes
from lineal.cli.describe import why_lines
from lineal.cli.documents import dumps, plan_document, run_document
from lineal.cli.planned import plan_lines
from lineal.cli.render import Style, joint_name, step_names
from lineal.cli.standing import _every_step

PLAIN = Style(80, ascii=False)
MONTHS = [f"2013-{month:02}" for month in range(1, 13)]
NEVER = Stale((Reason("never_made"),))


def changed(month: str) -> Stale:
    return Stale((Reason("input_changed", f"raw/flights {month}", "", f"@{month}", "@new"),))


def planned(
    name: str, partition: str | None, verdict: Verdict, seconds: float | None = None
) -> PlannedStep:
    action = {"fresh": "none", "stale": "compute", "pending": "wait"}[verdict.name]
    return PlannedStep(Step(name, partition), name, verdict, action, None, None, seconds)  # type: ignore[arg-type]


def told(*steps: PlannedStep, width: int = 80) -> list[str]:
    rows = plan_lines(Style(width, ascii=False), Plan(steps, {}, ()))
    return [click.unstyle(row) for row in rows][2:]


def test_partitions_with_the_same_verdict_share_a_line() -> None:
    rows = told(*(planned("flights", m, NEVER, 4.0) for m in MONTHS))
    (row,) = rows
    assert row.startswith("    flights   12 partitions, 2013-01 … 2013-12   never made ")
    assert row.endswith("  12 × 4.0 s")


def test_reasons_that_differ_by_the_partition_alone_are_the_same() -> None:
    assert told(*(planned("flights", m, changed(m)) for m in MONTHS)) == [
        "    flights   12 partitions, 2013-01 … 2013-12   input changed   raw/flights"
    ]
    (alone,) = told(planned("flights", "2013-05", changed("2013-05")))
    assert alone.endswith("2013-05   input changed   raw/flights 2013-05  @2013-05 → @new")


def test_another_reason_has_a_line_of_its_own() -> None:
    code = Stale((Reason("code_changed", "RUSH", "f.py:1", "7", "8"),))
    steps = [planned("flights", m, code if m == "2013-05" else NEVER) for m in MONTHS]
    assert told(*steps) == [
        "    flights   11 partitions, 2013-01 … 2013-12   never made",
        "    flights   2013-05   code changed   f.py:1  RUSH  7 → 8",
    ]


def test_of_very_many_reasons_a_few_are_told() -> None:
    steps = [
        planned("flights", m, Stale((Reason("parameter_changed", f"p{m}", "", "1", "2"),)))
        for m in MONTHS
    ]
    rows = told(*steps)
    assert len(rows) == 4
    assert rows[-1].strip() == "… and 9 more, each for reasons of its own"


def test_pending_partitions_share_their_condition() -> None:
    steps = [planned("rush", m, Pending((f"flights {m}",))) for m in MONTHS]
    assert told(*steps) == ["  ? rush   12 partitions, 2013-01 … 2013-12   if flights changes"]


def test_fresh_partitions_are_counted() -> None:
    fresh = [planned("flights", m, Fresh()) for m in MONTHS]
    rows = told(planned("model", None, NEVER), *fresh)
    assert rows[-1] == "  = flights [12 partitions]: fresh"


def test_a_plan_as_json_lists_every_partition() -> None:
    steps = tuple(planned("flights", m, NEVER) for m in MONTHS)
    document = json.loads(dumps(plan_document(Plan(steps, {}, ()))))
    assert [step["partition"] for step in document["steps"]] == MONTHS


def test_the_strip_of_an_asset_shows_its_partitions_in_their_order() -> None:
    verdicts = [Fresh()] * 8 + [NEVER] * 3 + [Pending(("raw",))]
    steps = [planned("flights", m, v) for m, v in zip(MONTHS, verdicts, strict=True)]
    found = Status(Plan(tuple(steps), {}, ()), {}, {}, (0, 0))
    (row,) = _every_step(Style(80, ascii=False), steps, found)
    assert click.unstyle(row) == "  ? flights   ████████▒▒▒░  8 fresh · 3 stale · 1 pending"
    many = [planned("days", f"{i:04}", NEVER if i == 700 else Fresh()) for i in range(1000)]
    (row,) = _every_step(Style(80, ascii=True), many, found)
    assert row.split() == ["days", "=" * 14 + "-" + "=" * 5, "999", "fresh", "-", "1", "stale"]


def explained(count: int) -> list[str]:
    content = Content("ab" * 32, "parquet", (), 3, (Column("a", "int64", "x"),))
    inputs = tuple(
        InputNow(Used("flights", "flights", m, "all", "d", "cd" * 32, "r1.1"), content, content)
        for m in MONTHS[:count]
    )
    upstream = tuple(planned("flights", m, changed(m)) for m in MONTHS[:count])
    found = Explanation(
        planned("model", None, Pending(("flights",))), Decision(Fresh(), "none"), Recipe("r"),
        EnvironmentFacts("e", "3.12", (), ()), (), None, None, inputs, upstream,
    )  # fmt: skip
    return why_lines(Style(80, ascii=False), found)


def test_why_tells_many_partitions_of_an_input_in_one_line() -> None:
    rows = explained(12)
    assert "  flights [12 partitions]   input changed   raw/flights" in rows
    (inputs,) = (row for row in rows if row.startswith("    inputs "))
    assert inputs.strip() == "inputs        flights [12 partitions] 1 of 1 column read"
    few = [row.split() for row in explained(2) if "@cdcdcd" in row]
    assert [row[-8:-6] for row in few] == [["flights", "2013-01"], ["flights", "2013-02"]]


# ------------------------------------------------------------------------------------- outcomes


def report(name: str, partition: str | None, outcome: str, **rest: object) -> StepReport:
    return StepReport(Step(name, partition), name, outcome, **rest)  # type: ignore[arg-type]


def skipped(*reports: StepReport) -> list[str]:
    return [click.unstyle(row) for row in outcomes.skipped(Style(80, ascii=False), reports)]


def test_many_skipped_partitions_are_told_in_one_line() -> None:
    failed = [report("flights", m, "failed") for m in MONTHS]
    rush = [report("rush", m, "skipped", because=(f"flights {m}",)) for m in MONTHS]
    model = report("model", None, "skipped", because=tuple(f"rush {m}" for m in MONTHS))
    rows = skipped(*failed, *rush, model)
    assert rows[-1] == "  · rush   skipped 12 partitions, because flights failed"
    assert rows[:-1] == ["  · model   skipped: need flights [12 partitions]"]


def test_skipped_because_of_a_check_says_so() -> None:
    blocked = report("flights", "2013-01", "blocked")
    rush = [report("rush", m, "skipped", because=("flights 2013-01",)) for m in MONTHS]
    assert skipped(blocked, *rush) == [
        "  · rush   skipped 12 partitions, because flights was blocked"
    ]


def test_a_few_skipped_partitions_are_named() -> None:
    failed = report("flights", "2013-01", "failed")
    rush = [report("rush", m, "skipped", because=("flights 2013-01",)) for m in MONTHS[:2]]
    assert skipped(failed, *rush) == [
        "  · rush 2013-01, rush 2013-02   skipped: need flights 2013-01"
    ]


def test_partitions_that_need_the_one_before_lead_back_to_the_first() -> None:
    days = [f"d{i:05}" for i in range(3000)]
    chain = [
        report("state", day, "skipped", because=(f"state {before}",))
        for before, day in itertools.pairwise(days)
    ]
    assert skipped(report("state", days[0], "failed"), *chain) == [
        "  · state   skipped 2,999 partitions, because state failed"
    ]


def test_a_stopped_run_says_what_was_made_what_not_and_how_to_go_on() -> None:
    reports = [report("flights", m, "made" if m < "2013-05" else "cancelled") for m in MONTHS]
    run = Run("r3", "cancelled", tuple(reports), 4.0)
    style = Style(80, ascii=False)
    (row,) = outcomes.cancelled(style, reports)
    assert click.unstyle(row) == "  · flights [8 partitions]   cancelled"
    assert outcomes.run_summary(style, run) == [
        "Stopped: 4 made, 8 cancelled · run r3 · exit 130",
        "  lineal materialize    carries on; the 4 are kept",
    ]
    assert outcomes.exit_code(run) == 130


def test_the_command_for_the_log_names_the_partition() -> None:
    error = UserCodeError("KeyError", "'x'")
    run = Run("r2", "failed", (report("flights", "2013-02", "failed", error=error),), 1)
    assert outcomes.run_summary(Style(80, ascii=False), run)[1] == (
        "  lineal logs flights --partition 2013-02    the whole traceback"
    )


def test_attempts_are_told_beside_what_was_made() -> None:
    style = Style(80, ascii=False)
    (row,) = outcomes.settled(style, [report("fetch", None, "made", attempts=3)], 8)
    assert click.style("3 attempts", dim=True) in row
    (once,) = outcomes.settled(style, [report("fetch", None, "made")], 8)
    assert "attempt" not in once


# ---------------------------------------------------------------------------------------- names


def test_names_of_steps_made_together_say_their_partition_once() -> None:
    assert joint_name([Step("train", "2013-01"), Step("test", "2013-01")]) == "train, test 2013-01"
    assert joint_name([Step("train")]) == "train"
    assert joint_name([Step("f", m) for m in MONTHS]) == "f [12 partitions]"
    assert step_names([Step("f", m) for m in MONTHS[:2]]) == ["f 2013-01", "f 2013-02"]


def test_a_partition_of_an_asset_is_named_before_the_version() -> None:
    assert in_partition("flights", None) == "flights"
    assert in_partition("flights", "2013-12") == "flights 2013-12"
    assert in_partition("flights@9f3a2c", "2013-12") == "flights 2013-12@9f3a2c"


def gone(asset: str, *months: str, why: str = "its file is gone") -> tuple[Retirement, ...]:
    return tuple(Retirement("default", asset, month, "r1.1", why, "") for month in months)


def test_partitions_that_are_no_more_are_told_with_the_reason() -> None:
    steps = (planned("flights", "2013-01", Fresh()), planned("model", None, NEVER))
    retired = (*gone("raw/flights", "2013-02"), *gone("flights", *MONTHS[1:], why="no more"))
    rows = [click.unstyle(r) for r in plan_lines(PLAIN, Plan(steps, {}, (), retired=retired))]
    assert "  · retired  raw/flights  2013-02   its file is gone" in rows
    assert "  · retired  flights  11 partitions, 2013-02 … 2013-12   no more" in rows


def test_a_plan_that_only_retires_has_something_to_do() -> None:
    steps = (planned("flights", "2013-01", Fresh()),)
    plan = Plan(steps, {}, (), retired=gone("flights", "2013-02"))
    assert plan.has_work
    rows = [click.unstyle(row) for row in plan_lines(PLAIN, plan)]
    assert rows[0] == "Nothing to make: 1 step, all fresh; 1 partition to retire."
    assert rows[-1] == "  · retired  flights  2013-02   its file is gone"


def test_a_run_counts_what_it_retired() -> None:
    made = StepReport(Step("model"), "model", "made")
    run = Run("r2", "done", (made,), 1.0, gone("flights", "2013-02", "2013-03"))
    assert outcomes.run_summary(PLAIN, run)[0].startswith("1 made, 2 retired in ")
    assert [each["partition"] for each in run_document(run)["retired"]] == ["2013-02", "2013-03"]
