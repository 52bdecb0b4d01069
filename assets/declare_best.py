"""The word for a choice: of the partitions of an asset, the one with the best metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from lineal.assets.asset import Asset, Check, Input, Result, caller, declared, refused
from lineal.assets.declare import placed
from lineal.assets.errors import DefinitionError, StepError, did_you_mean
from lineal.assets.names import check_name
from lineal.assets.options import DESCRIPTIVE, asset_name, read_options

_DIRECTIONS = ("max", "min")


def best_of(
    of: Asset | str,
    *,
    metric: str,
    name: str | None = None,
    direction: Literal["max", "min"] = "max",
    checks: Sequence[Check] | None = None,
    tags: str | Sequence[str] | None = None,
    owner: str | None = None,
    description: str | None = None,
    **unknown: Any,
) -> Asset:
    """Declare an asset that is the best partition of another: the best model of a grid.

    It is that very version, whatever it is, with its metrics; its metadata say which partition it
    is, and the metric of each. Of equals the first wins; one whose metric is NaN never does.

    Args:
        of: the asset to choose from, which has partitions.
        metric: a number that each of its partitions records in a `Result`.
        name: of the asset; else `best_` and the name of the other.
        direction: "max" if the greatest is the best, or "min".
        checks, tags, owner, description: as for `asset`.
    """
    where = caller()
    given = {
        "name": name, "checks": checks, "tags": tags, "owner": owner, "description": description,
        **unknown,
    }  # fmt: skip
    called = name if isinstance(name, str) else "best"
    try:
        source = asset_name(of)
        options = read_options(
            given, ("name", *(word for word in DESCRIPTIVE if word != "columns")), "best_of"
        )
        folder, slash, last = source.rpartition("/")
        called = check_name(options.pop("name", f"{folder}{slash}best_{last}"))
        word = _word(metric, direction)
    except DefinitionError as error:
        refused(placed(error, where))
        return declared(Asset(called, "python", where, (called,), function=choose))
    options.setdefault("description", f"The partition of {source} with the {word} {metric}.")
    return declared(
        Asset(
            name=called,
            kind="python",
            where=where,
            outputs=(called,),
            function=choose,
            inputs=(Input("candidates", source, each=True, each_arrival="result"),),
            parameters={"metric": metric, "direction": direction},
            parameter_types={"metric": str, "direction": str},
            **options,
        )
    )


def _word(metric: Any, direction: Any) -> str:
    if not isinstance(metric, str) or not metric:
        raise DefinitionError(f"`metric=` is {metric!r}", advice='the name of one: metric="auc"')
    if direction not in _DIRECTIONS:
        raise DefinitionError(f"`direction=` is {direction!r}", advice='it is "max" or "min"')
    return "greatest" if direction == "max" else "least"


def choose(candidates: Mapping[str, Result], *, metric: str, direction: str) -> Result:
    """The candidate that is the best by a metric; only which it is, is decided."""
    if direction not in _DIRECTIONS:
        raise StepError(f"the parameter `direction` is {direction!r}", advice='"max" or "min"')
    if not candidates:
        raise StepError("there is no partition to choose from")
    found = {key: _metric(key, candidate, metric) for key, candidate in candidates.items()}
    numbers = {key: value for key, value in found.items() if not math.isnan(value)}
    if not numbers:
        raise StepError(f"the metric `{metric}` is NaN in every partition: none is the best")
    best = (max if direction == "max" else min)(numbers, key=numbers.__getitem__)
    table = [{"partition": key, "value": _plain(value)} for key, value in found.items()]
    metadata = {"partition": best, "metric": metric, "candidates": table}
    return Result(candidates[best], candidates[best].metrics, metadata)


def _metric(key: str, candidate: Result, metric: str) -> float:
    if metric not in candidate.metrics:
        known = ", ".join(f"`{name}`" for name in candidate.metrics) or "none"
        raise StepError(
            f"the partition `{key}` has no metric `{metric}`"
            f"{did_you_mean(metric, candidate.metrics)}",
            advice=f"its metrics: {known}; "
            f'return Result(value, metrics={{"{metric}": …}}) for each partition',
        )
    return candidate.metrics[metric]


def _plain(value: float) -> float | str:
    """JSON has no other numbers."""
    return value if math.isfinite(value) else str(value)
