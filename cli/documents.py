"""The JSON documents of the command line: one on standard output, its fields stable."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lineal.assets.errors import DefinitionErrors, LinealError
from lineal.assets.plan import Plan, PlannedStep
from lineal.assets.records import Reason, Retirement
from lineal.assets.run import Run
from lineal.assets.verdicts import Stale
from lineal.cli.gates import gate_document, named


def instant(seconds: float) -> str:
    """A time as documents have it: ISO 8601, UTC."""
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).isoformat()


def reasons(found: Iterable[Reason]) -> list[dict[str, str]]:
    return [{"kind": r.kind, "detail": r.detail} for r in found]


def planned_step(step: PlannedStep) -> dict[str, Any]:
    """One step of `plan`, `status` and `why`. `version`: content digest of what is current."""
    verdict = step.verdict
    return {
        "asset": step.step.asset,
        "partition": step.step.partition,
        "verdict": verdict.name,
        "reasons": reasons(verdict.reasons) if isinstance(verdict, Stale) else [],
        "version": step.version,
        "last": step.last,
    }


def retired(found: Iterable[Retirement]) -> list[dict[str, Any]]:
    return [{"asset": r.asset, "partition": r.partition, "reason": r.reason} for r in found]


def plan_document(plan: Plan) -> dict[str, Any]:
    return {"steps": [planned_step(s) for s in plan.steps], "retired": retired(plan.retired)}


def _promotion(told: Mapping[str, Any]) -> dict[str, Any]:
    """For which move of an alias an action ran."""
    return {**told, "version": named(told["version"]), "previous": named(told["previous"])}


def run_document(run: Run) -> dict[str, Any]:
    return {
        "run": run.id,
        "outcome": run.outcome,
        "counts": run.counts,
        "steps": [
            {
                "asset": s.step.asset,
                "partition": s.step.partition,
                "outcome": s.outcome,
                "reasons": reasons(s.reasons),
                "version": s.version,
                "seconds": round(s.seconds, 6),
                "gate": gate_document(s.gate),
                **({} if s.promotion is None else {"promotion": _promotion(s.promotion)}),
            }
            for s in run.steps
        ],
        "retired": retired(run.retired),
    }


def error_document(error: LinealError) -> dict[str, Any]:
    found: dict[str, Any] = {"error": error.as_json()}
    if isinstance(error, DefinitionErrors):
        found["error"]["errors"] = [e.as_json() for e in error.errors]
    return found


def rows_document(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in rows]


def dumps(document: Any) -> str:
    return json.dumps(_plain(document), ensure_ascii=False, indent=2, default=_other)


def _plain(value: Any) -> Any:
    """NaN and infinity are no JSON: they become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def _other(value: Any) -> Any:
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return str(value)
