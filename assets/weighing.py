"""Scores of models: of a candidate, and of the version that it is held against. Runs in a worker.

Both are scored by the same code on the same data, each with a copy and with random numbers of its
own, so that neither sees what the other did.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

from lineal.assets.asset import Asset, Gate
from lineal.assets.errors import (
    ContentError,
    InputsChanged,
    IntegrityError,
    LinealError,
    StepError,
    StepTimeout,
    did_you_mean,
)
from lineal.assets.verdicts import Handed, Known

if TYPE_CHECKING:
    from lineal.assets.perform import Task, Trace


class Weighing(NamedTuple):
    """What is to be scored: the candidate, unless its scores are known, and another version."""

    candidate: bool
    rival: Known | None = None


NOTHING_TO_WEIGH = Weighing(candidate=False)


@dataclass(frozen=True, slots=True)
class Weighed:
    """What was scored; `unscored`: why the other version could not be."""

    scores: Mapping[str, float] | None = None
    rival: Mapping[str, float] | None = None
    unscored: LinealError | None = None


Call = Callable[["Task"], "tuple[dict[str, Any], Trace]"]


def weigh(task: Task, call: Call) -> tuple[Weighed, list[Trace]]:
    """Score what is to be scored.

    Raises:
        StepError: the candidate can't be scored, or time is up.
    """
    began = time.perf_counter()
    asset, wanted = task.asset, task.weighing
    gate = asset.gate
    if gate is None or wanted is None:
        raise StepError(f"`{asset.name}` is no gate")
    found, traces = Weighed(), []
    if wanted.candidate:
        scores, trace = _score(task, call)
        _refuse_unscored_rules(asset, gate, scores)
        found = Weighed(scores)
        traces.append(trace)
    if wanted.rival is not None:
        inputs = {**task.inputs, gate.parameter: Handed((wanted.rival,))}
        left = None if task.timeout is None else task.timeout - (time.perf_counter() - began)
        other = replace(task, inputs=inputs, timeout=None if left is None else max(left, 0.001))
        try:
            scores, trace = _score(other, call)
        except (StepTimeout, InputsChanged):
            raise
        except (StepError, IntegrityError) as error:
            return replace(found, unscored=error), traces
        found = replace(found, rival=scores)
        traces.append(trace)
    return found, traces


def _score(task: Task, call: Call) -> tuple[dict[str, float], Trace]:
    values, trace = call(task)
    return scores_of(task.asset, values[task.asset.name]), trace


def scores_of(asset: Asset, returned: Any) -> dict[str, float]:
    """The scores that the function of a gate returned: one number, or several by name.

    Raises:
        ContentError: it returned something else.
    """
    try:
        return _numbers(asset, returned)
    except (OverflowError, ValueError) as error:  # an integer or decimal that is no float
        raise ContentError(
            f"the gate `{asset.name}` returned a number that can't be stored: {error}",
            where=str(asset.where),
            advice="scores are floats, up to 1.8e308",
        ) from error


def _numbers(asset: Asset, returned: Any) -> dict[str, float]:
    if _is_number(returned):
        return {metric_of(asset.name): float(returned)}
    if isinstance(returned, Mapping) and returned:
        wrong = next(((n, v) for n, v in returned.items() if not _is_number(v)), None)
        if wrong is None and all(isinstance(name, str) for name in returned):
            return {name: float(value) for name, value in returned.items()}
        told = "names that are no texts" if wrong is None else f"{wrong[0]!r}: {_kind(wrong[1])}"
        what = f"a dict with {told}"
    else:
        what = "an empty dict" if isinstance(returned, Mapping) else _kind(returned)
    raise ContentError(
        f"the gate `{asset.name}` returned {what}, which is no score",
        where=str(asset.where),
        advice='return a number, or a dict of them: {"auc": 0.81, "brier": 0.12}',
    )


def metric_of(name: str) -> str:
    """What the one score of a gate is called: the gate's name, without its folder."""
    return name.rpartition("/")[2]


def _is_number(value: Any) -> bool:
    return isinstance(value, Real | Decimal) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _refuse_unscored_rules(asset: Asset, gate: Gate, scores: Mapping[str, float]) -> None:
    missing = next((metric for metric, _ in gate.rules if metric not in scores), None)
    if missing is not None:
        raise ContentError(
            f"the gate `{asset.name}` has a rule for `{missing}`, which it does not return"
            f"{did_you_mean(missing, scores)}",
            where=str(asset.where),
            advice=f"it returned {', '.join(f'`{name}`' for name in scores)}; "
            'say which of them count: rules={"…": Rule(margin=0.002)}',
        )
