"""Whether a failed attempt is tried again, and how long to wait before."""

from __future__ import annotations

from lineal.assets.asset import Retry
from lineal.assets.errors import (
    LinealError,
    QueryError,
    StepTimeout,
    UserCodeError,
    WorkerDied,
)
from lineal.assets.options import seconds


def pause(retry: Retry, failures: int) -> float:
    """The seconds to wait after this many failed attempts (from 1) before the next."""
    from tenacity import RetryCallState, wait_exponential, wait_random

    state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]  # waits ask for the number only
    state.attempt_number = failures
    delay, most = seconds("delay", retry.delay), seconds("maximum", retry.maximum)
    waits = wait_exponential(multiplier=delay, max=most, exp_base=retry.backoff)(state)
    return waits + wait_random(0, waits * retry.jitter)(state)


def wants(retry: Retry, error: LinealError) -> bool:
    """Is a step that failed so tried again, its attempts allowing?

    What would fail the same way again is not: a value that can't be stored, inputs that moved, a
    store that doesn't hold together, a declaration that can't be right.
    """
    wanted = retry.on if isinstance(retry.on, tuple) else (retry.on,)
    return not _kinds(error).isdisjoint(_named(each) for each in wanted)


def _kinds(error: LinealError) -> frozenset[str]:
    """The exception classes that an error counts as, by their qualified names."""
    if isinstance(error, UserCodeError):
        return frozenset(error.types)
    if isinstance(error, StepTimeout):
        return _classes(TimeoutError)
    if isinstance(error, WorkerDied):
        return _classes(RuntimeError)
    if isinstance(error, QueryError):
        # What DuckDB said, where that is still known: it is not, of another process.
        return _classes(type(error.__cause__) if error.__cause__ is not None else RuntimeError)
    return frozenset()


def _classes(kind: type[BaseException]) -> frozenset[str]:
    return frozenset(map(_named, kind.__mro__))


def _named(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
