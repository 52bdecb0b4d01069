"""Which failures are tried again, and how long is waited before."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lineal.assets.asset import Retry
from lineal.assets.errors import (
    ContentError,
    DefinitionError,
    InputsChanged,
    IntegrityError,
    LinealError,
    QueryError,
    StepError,
    StepTimeout,
    StoreError,
    UserCodeError,
    WorkerDied,
)
from lineal.retrying import pause, wants


def raised(error: BaseException) -> UserCodeError:
    kinds = tuple(f"{c.__module__}.{c.__qualname__}" for c in type(error).__mro__)
    return UserCodeError(type(error).__name__, str(error), types=kinds)


class Throttled(ConnectionError):
    """What a client of a project may raise."""


def test_without_jitter_waits_double_up_to_the_maximum() -> None:
    retry = Retry(9, delay=1, backoff=2, maximum=10, jitter=0)
    assert [pause(retry, n) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_lengths_of_time_may_still_be_texts() -> None:
    assert pause(Retry(3, delay="2m", maximum="3m", backoff=3, jitter=0), 2) == 180


def test_after_very_many_failures_it_still_waits_the_maximum() -> None:
    assert pause(Retry(10_000, jitter=0), 9_999) == 60


def test_jitter_adds_up_to_its_share_and_takes_nothing_away() -> None:
    retry = Retry(3, delay=4, jitter=0.5)
    found = [pause(retry, 1) for _ in range(200)]
    assert 4 <= min(found) < max(found) <= 6


def test_no_delay_is_no_wait() -> None:
    assert pause(Retry(3, delay=0), 3) == 0


def test_by_default_any_exception_of_user_code_is_tried_again_but_no_exit() -> None:
    assert wants(Retry(1), raised(ValueError("x")))
    assert wants(Retry(1), raised(Throttled("x")))
    assert not wants(Retry(1), raised(SystemExit(3)))
    assert not wants(Retry(1), raised(KeyboardInterrupt()))


def test_exceptions_are_known_by_their_class_and_its_bases() -> None:
    assert wants(Retry(1, on=OSError), raised(Throttled("x")))
    assert wants(Retry(1, on=(Throttled,)), raised(Throttled("x")))
    assert not wants(Retry(1, on=(Throttled,)), raised(ConnectionError("x")))
    assert not wants(Retry(1, on=(TypeError, KeyError)), raised(ValueError("x")))


def test_a_timeout_and_a_dead_worker_count_as_what_python_calls_them() -> None:
    assert wants(Retry(1), StepTimeout("slow"))
    assert wants(Retry(1), WorkerDied("killed"))
    assert wants(Retry(1, on=TimeoutError), StepTimeout("slow"))
    assert not wants(Retry(1, on=TimeoutError), WorkerDied("killed"))
    assert not wants(Retry(1, on=RuntimeError), StepTimeout("slow"))


def test_a_query_that_fails_counts_as_what_the_engine_raised() -> None:
    error = QueryError("the file is gone")
    assert wants(Retry(1), error)
    error.__cause__ = FileNotFoundError("x")
    assert wants(Retry(1, on=OSError), error)
    assert not wants(Retry(1, on=KeyError), error)


@pytest.mark.parametrize(
    "kind",
    [ContentError, InputsChanged, IntegrityError, DefinitionError, StoreError, StepError],
)
def test_what_would_fail_the_same_way_is_not_tried_again(kind: type[LinealError]) -> None:
    assert not wants(Retry(1, on=(BaseException,)), kind("no"))


def test_what_waits_is_imported_only_to_wait() -> None:
    program = "import sys, lineal.retrying; print('tenacity' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
