"""How gates are told: one line each, what stays in production, what stands behind it."""

from __future__ import annotations

import json
from typing import Any

from lineal.assets.names import Step
from lineal.assets.records import Content, Decided, Score
from lineal.assets.run import Earlier, Run, StepReport
from lineal.assets.verdicts import Known
from lineal.cli import documents
from lineal.cli.gates import behind, gate_lines, still
from lineal.cli.outcomes import run_summary, settled
from lineal.cli.render import Style

WIDE, PLAIN = Style(200, ascii=False), Style(200, ascii=True)
CLOSED = Decided(
    "auc", "r1.2", "delays", "production", "key", "r1.1", "51c2ee" * 10, None, 3, "closed",
    "0.8117 vs 0.8124 of delays v3 (needs ≥ 0.8144)", (Score("auc", 0.8117, 0.8124),),
    (("auc", "max, margin 0.002"),), "dev", "r1", 1.0,
)  # fmt: skip


def report(**told: Any) -> StepReport:
    found = CLOSED._replace(**told)
    outcome = "made" if found.outcome in ("opened", "kept") else "closed"
    return StepReport(Step("auc"), "auc", outcome, version="ab" * 32, seconds=0.5, gate=found)


def line(style: Style = WIDE, **told: Any) -> str:
    (found,) = settled(style, [report(**told)], 4)
    return " ".join(found.split())


def test_a_closed_gate_is_one_line_and_production_stays() -> None:
    assert line() == (
        "\x1b[33m◇\x1b[0m auc stays closed: 0.8117 vs 0.8124 of delays v3 (needs ≥ 0.8144) 0.5 s"
    )
    assert line(PLAIN).startswith("o auc stays closed: 0.8117 vs 0.8124 of delays v3 (needs >= ")
    rows = run_summary(WIDE, Run("r1", "done", (report(),), 1.0))
    assert rows == ["1 closed in 1.0 s · run r1", "delays@production is still v3."]


def test_each_outcome_has_its_words() -> None:
    assert "opens: why → delays v4, production" in line(outcome="opened", reason="why", version=4)
    assert line(PLAIN, outcome="opened", reason="why", version=4).startswith("* auc opens: why ->")
    elsewhere = "why; the environment dev does not promote"
    assert f"would open: {elsewhere}" in line(outcome="would open", reason="why")
    assert f"would stay closed: {elsewhere}" in line(outcome="would close", reason="why")
    held = line(outcome="held", reason="held since 22 Nov")
    assert "held since 22 Nov. Release: lineal models release delays" in held
    kept = line(PLAIN, outcome="kept", reason="production is delays v3: this very one")
    assert kept == "ok auc production is delays v3: this very one 0.5 s"


def test_what_stays_is_told_of_each_alias_unless_another_gate_moved_it() -> None:
    assert still([report(), report(compared=None, alias="canary")]) == [
        "delays@production is still v3.", "delays@canary names nothing yet.",
    ]  # fmt: skip
    assert still([report(), report(outcome="opened", version=4)]) == []


def test_what_stays_is_told_of_a_gate_that_came_not_to_decide() -> None:
    stays = ("delays@production", 3)
    skipped = StepReport(Step("auc"), "auc", "skipped", because=("train",), stays=stays)
    assert still([skipped]) == ["delays@production is still v3."]
    assert still([skipped._replace(stays=("delays@production", None))]) == [
        "delays@production names nothing yet."
    ]


def test_scores_taken_over_tell_what_was_decided_and_what_the_alias_names_now() -> None:
    def again(live: int | None, **found: Any) -> StepReport:
        earlier = Earlier(CLOSED._replace(**found), live)
        return report()._replace(outcome="reused", gate=None, earlier=earlier)

    opened = again(2, outcome="opened", version=4, reason="why")
    (row,) = settled(PLAIN, [opened], 4)
    assert row.startswith("  =  auc    decided ") and row.endswith(": opened as delays v4, why")
    assert still([opened]) == ["delays@production is v2."]
    assert still([opened._replace(earlier=Earlier(opened.earlier.decided, 4))]) == []
    (row,) = settled(PLAIN, [again(3)], 4)
    assert row.endswith(": stays closed, " + CLOSED.reason.replace("≥", ">="))
    assert still([again(3)]) == ["delays@production is v3."]
    (row,) = settled(PLAIN, [again(3, outcome="kept", version=3)], 4)
    assert row.endswith(": is delays v3")


def test_what_both_were_scored_on_is_told_of_a_closed_gate() -> None:
    test = Known("test", None, Content("51ab09" * 10, "parquet", rows=82_609), "r1.1")
    on = report()._replace(scored_on=(test,))
    assert gate_lines(WIDE, on, CLOSED, 4)[1].strip() == "both scored on test@51ab09, 82,609 rows"
    alone = CLOSED._replace(scores=(Score("auc", 0.1),))
    assert len(gate_lines(WIDE, on, alone, 4)) == 1


def test_attempts_are_told() -> None:
    again = report()._replace(attempts=2)
    (found,) = gate_lines(PLAIN, again, CLOSED, 4)
    assert "(needs >= 0.8144)   2 attempts" in found


def test_what_stands_behind_a_decision() -> None:
    told = dict(behind(CLOSED._replace(rules=(("auc", "max, margin 0.002"),))))
    assert told["rule"] == "auc: max, margin 0.002"
    assert told["scores"] == "auc 0.8117   0.8124 of delays v3"
    assert told["decided"].endswith("(run r1): stays closed: " + CLOSED.reason)
    assert told["model"] == "@51c2ee (r1.1)"


def test_the_document_of_a_run_has_the_decision() -> None:
    nan = report(scores=(Score("auc", float("nan")),))
    text = documents.dumps(documents.run_document(Run("r1", "done", (nan,), 1.0)))
    (step,) = json.loads(text)["steps"]
    assert (step["outcome"], step["gate"]) == (
        "closed",
        {
            "registry": "delays", "alias": "production", "outcome": "closed",
            "reason": CLOSED.reason, "version": None, "compared": "v3",
            "scores": [{"metric": "auc", "candidate": None, "production": None}],
        },
    )  # fmt: skip
