"""JSON documents: their fields are a promise."""

from __future__ import annotations

import datetime as dt
import decimal
import json

from lineal.assets.errors import DefinitionError, DefinitionErrors, UsageError
from lineal.assets.names import Step
from lineal.assets.plan import Plan, PlannedStep
from lineal.assets.records import Reason
from lineal.assets.run import Run, StepReport
from lineal.assets.verdicts import Decision, Fresh, Pending, Stale
from lineal.cli import documents

DIGEST = "9f3a2c1d" * 8
CHANGED = Reason("code_changed", "helpers.RATE", "helpers.py:1", "1.1", "1.2")


def test_a_plan_lists_every_step_in_order_with_whole_digests() -> None:
    steps = (
        PlannedStep(Step("raw/n"), "raw/n", Fresh(), "none", DIGEST, "made", 0.1),
        PlannedStep(Step("a"), "a", Stale((CHANGED,)), "compute", None, None, None),
        PlannedStep(Step("b"), "b", Pending(("a",)), "wait", None, "failed", None),
    )
    makers = {Step(s.maker): Decision(s.verdict, s.action) for s in steps}
    plan = Plan(steps, makers, tuple(makers))
    assert documents.plan_document(plan) == {
        "steps": [
            {
                "asset": "raw/n",
                "partition": None,
                "verdict": "fresh",
                "reasons": [],
                "version": DIGEST,
                "last": "made",
            },
            {
                "asset": "a",
                "partition": None,
                "verdict": "stale",
                "reasons": [
                    {"kind": "code_changed", "detail": "helpers.py:1  helpers.RATE  1.1 → 1.2"}
                ],
                "version": None,
                "last": None,
            },
            {
                "asset": "b",
                "partition": None,
                "verdict": "pending",
                "reasons": [],
                "version": None,
                "last": "failed",
            },
        ],
        "retired": [],
    }


def test_a_run_has_counts_for_every_outcome_and_seconds_a_step() -> None:
    made = StepReport(Step("a"), "a", "made", (CHANGED,), DIGEST, 0.123456789)
    document = documents.run_document(Run("r3", "done", (made,), 1.0))
    assert list(document) == ["run", "outcome", "counts", "steps", "retired"]
    assert document["counts"] == {
        "fresh": 0,
        "made": 1,
        "reused": 0,
        "failed": 0,
        "skipped": 0,
        "blocked": 0,
        "closed": 0,
        "cancelled": 0,
    }
    (step,) = document["steps"]
    assert list(step) == ["asset", "partition", "outcome", "reasons", "version", "seconds", "gate"]
    assert step["version"] == DIGEST
    assert step["seconds"] == 0.123457


def test_a_run_in_which_nothing_was_to_do_has_no_name() -> None:
    idle = Run(None, "done", (StepReport(Step("a"), "a", "fresh"),), 0.1)
    assert documents.run_document(idle)["run"] is None


def test_an_error_has_four_fields() -> None:
    error = UsageError("no asset `x`", advice="`lineal status -v` lists every asset")
    assert documents.error_document(error) == {
        "error": {
            "kind": "usage",
            "message": "no asset `x`",
            "where": None,
            "advice": "`lineal status -v` lists every asset",
        }
    }


def test_all_definition_errors_are_listed() -> None:
    errors = DefinitionErrors([DefinitionError("a", where="p.py:1"), DefinitionError("b")])
    told = documents.error_document(errors)["error"]
    assert told["kind"] == "definition"
    assert [(e["message"], e["where"]) for e in told["errors"]] == [("a", "p.py:1"), ("b", None)]


def test_rows_are_objects_and_what_json_lacks_is_text_or_null() -> None:
    row = (
        float("nan"),
        [1.0, float("inf")],
        {"deep": float("-inf"), 3: "x"},
        dt.datetime(2026, 1, 5, 12, 30),
        dt.date(2026, 1, 5),
        b"\x01\xff",
        decimal.Decimal("1.10"),
        "Ærø",
    )
    text = documents.dumps(documents.rows_document(list("abcdefgh"), [row]))
    assert "Ærø" in text
    assert json.loads(text, parse_constant=lambda word: word) == [
        {
            "a": None,
            "b": [1.0, None],
            "c": {"deep": None, "3": "x"},
            "d": "2026-01-05T12:30:00",
            "e": "2026-01-05",
            "f": "01ff",
            "g": "1.10",
            "h": "Ærø",
        }
    ]
