"""A search for the best parameters, as what an asset returns: Optuna's study, its trials kept."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any, Literal

from lineal.assets.asset import Result
from lineal.assets.errors import StepError, did_you_mean

_DIRECTIONS = {"max": "maximize", "min": "minimize"}


def study(
    objective: Callable[[Any], float],
    *,
    trials: int,
    seed: int = 0,
    direction: Literal["max", "min"] = "max",
) -> Result:
    """The best parameters of a study, to be returned by an asset: `{"depth": 7, "rate": 0.1}`.

    They alone are the content, so what is trained with them stays fresh while the best is the same,
    however many trials there were. The metrics are `best` and, of each trial that gave a number,
    `trial.0`, `trial.1`, …; the metadata have all trials with parameters and state. The same seed
    and an objective that does the same give the same trials; of equal ones the first is the best.

    Args:
        objective: called once a trial with Optuna's `Trial`; returns a number. It may raise
            `optuna.TrialPruned`; any other exception fails the step. NaN is a failed trial.
        trials: how many there are.
        seed: of the sampler (TPE).
        direction: "max" if the greatest value is the best, or "min".

    Raises:
        StepError: Optuna is not installed; no trial gave a number; an argument can't be right.
    """
    optuna = _optuna()
    if direction not in _DIRECTIONS:
        near = did_you_mean(str(direction), _DIRECTIONS)
        raise StepError(f"study: direction is {direction!r}{near}", advice='it is "max" or "min"')
    if type(trials) is not int or trials < 1:
        raise StepError(f"study: trials is {trials!r}", advice="a number of trials, 1 or more")
    sampler = optuna.samplers.TPESampler(seed=seed)
    with _quiet(optuna):
        made = optuna.create_study(direction=_DIRECTIONS[direction], sampler=sampler)
        made.optimize(objective, n_trials=trials)
    found = made.get_trials(deepcopy=False)
    complete = [t for t in found if t.state.name == "COMPLETE" and not math.isnan(t.value)]
    if not complete:
        states = ", ".join(f"{t.number} {t.state.name.lower()}" for t in found[:5])
        raise StepError(
            f"study: none of {trials} trials gave a number ({states})",
            advice="the objective returns one number; NaN is a failed trial, TrialPruned none",
        )
    best = (max if direction == "max" else min)(complete, key=lambda trial: trial.value)
    metrics = {"best": best.value, **{f"trial.{t.number}": t.value for t in complete}}
    return Result(best.params, metrics, {"best": best.number, "trials": [_told(t) for t in found]})


def _optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise StepError(
            "study needs Optuna, which is not installed",
            advice='install it: pip install "lineal[optuna]"',
        ) from None
    return optuna


@contextlib.contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Without a line for each trial: they are recorded.

    Its handler keeps the stream that it found when it was imported: in a process that runs several
    steps its lines would go to the log of another.
    """
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.ERROR))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _told(trial: Any) -> dict[str, Any]:
    """A trial as plain values; what is none in JSON is told as text."""
    params = {name: _plain(value) for name, value in trial.params.items()}
    value = trial.value if trial.state.name == "COMPLETE" else None
    state = trial.state.name.lower()
    return {"number": trial.number, "state": state, "value": _plain(value), "params": params}


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | None) else repr(value)
