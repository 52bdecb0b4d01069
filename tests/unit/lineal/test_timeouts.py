"""Timeouts of steps in lineal's own process: what is interrupted, what is noticed, what is left."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineal.assets.errors import StepTimeout
from lineal.timeouts import TimeIsUp, limited, overdue

ROOT = Path(__file__).resolve().parents[3]
SOON = 0.02  # seconds
NEVER = 600.0


def hang() -> None:
    """Runs until something is raised in it."""
    threading.Event().wait(60)
    raise AssertionError("nothing interrupted it")


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = signal.getsignal(signal.SIGALRM)
    yield
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_step_that_takes_too_long_is_interrupted() -> None:
    with pytest.raises(StepTimeout) as caught, limited(SOON, "slow"):
        hang()
    assert caught.value.message == "`slow` took longer than its timeout of 0.02 s"
    assert "--jobs" in (caught.value.advice or "")
    assert isinstance(caught.value.__cause__, TimeIsUp)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(2, "2 s"), (0.5, "0.5 s"), (90, "90 s"), (600, "10 min"), (7200, "2 h"), (5400, "90 min")],
)
def test_the_timeout_is_told_as_people_write_it(seconds: float, told: str) -> None:
    assert overdue("a", seconds).message == f"`a` took longer than its timeout of {told}"


def test_a_killed_step_is_not_advised_to_be_killed() -> None:
    assert "--jobs" not in (overdue("a", 2, killed=True).advice or "")


def test_what_ends_in_time_is_left_alone() -> None:
    with limited(NEVER, "quick"):
        pass
    with limited(None, "any"):
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    with pytest.raises(KeyError), limited(NEVER, "broken"):
        raise KeyError


def test_code_that_catches_exceptions_is_interrupted_all_the_same() -> None:
    def stubborn() -> None:
        while True:
            try:
                hang()
            except Exception:  # noqa: BLE001
                continue

    with pytest.raises(StepTimeout), limited(SOON, "slow"):
        stubborn()


def test_code_that_swallows_everything_is_interrupted_again() -> None:
    swallowed = []
    with pytest.raises(StepTimeout), limited(SOON, "slow"):
        try:
            hang()
        except BaseException as error:  # noqa: BLE001
            swallowed.append(error)
        hang()
    assert [type(error) for error in swallowed] == [TimeIsUp]


def test_a_timeout_that_was_swallowed_is_one_all_the_same() -> None:
    with pytest.raises(StepTimeout), limited(SOON, "slow"), contextlib.suppress(BaseException):
        hang()


def test_the_wish_to_stop_is_no_timeout() -> None:
    with pytest.raises(KeyboardInterrupt), limited(SOON, "slow"):
        try:
            hang()
        finally:
            raise KeyboardInterrupt


def test_in_a_thread_it_is_noticed_when_the_step_has_ended() -> None:
    raised: list[BaseException] = []

    def step(error: Exception | None) -> None:
        try:
            with limited(SOON, "slow"):
                over = time.monotonic() + SOON
                while time.monotonic() < over:
                    time.sleep(SOON)
                if error is not None:
                    raise error
        except StepTimeout as late:
            raised.append(late)

    for error in (None, KeyError("of its own")):
        thread = threading.Thread(target=step, args=(error,))
        thread.start()
        thread.join()
    assert [type(e.__cause__) for e in raised] == [type(None), KeyError]
    assert {str(e) for e in raised} == {"`slow` took longer than its timeout of 0.02 s"}


# ---------------------------------------------------------------------- one within another


def test_the_inner_of_two_is_the_one_that_is_told() -> None:
    with limited(NEVER, "outer"):
        with pytest.raises(StepTimeout) as caught, limited(SOON, "inner"):
            hang()
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= NEVER
    assert "`inner`" in caught.value.message


@pytest.mark.parametrize("inner", [NEVER, None])
def test_the_outer_of_two_interrupts_the_inner(inner: float | None) -> None:
    with pytest.raises(StepTimeout) as caught, limited(SOON, "outer"), limited(inner, "inner"):
        hang()
    assert "`outer`" in caught.value.message


def test_an_outer_timer_goes_on_after_an_inner_block() -> None:
    with pytest.raises(StepTimeout) as caught, limited(10 * SOON, "outer"):
        with limited(NEVER, "inner"):
            pass
        hang()
    assert "`outer`" in caught.value.message


def test_a_timer_of_somebody_else_rings_in_the_block_and_after_it() -> None:
    rung = threading.Event()
    before = signal.signal(signal.SIGALRM, lambda *_: rung.set())
    try:
        signal.setitimer(signal.ITIMER_REAL, SOON)
        with limited(NEVER, "step"):
            assert rung.wait(60)
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)  # it rings once
        rung.clear()
        signal.setitimer(signal.ITIMER_REAL, 10 * SOON)
        with limited(NEVER, "step"):
            pass
        assert rung.wait(60)
    finally:
        signal.signal(signal.SIGALRM, before)


# ------------------------------------------------------------------------------------- races

RACES = """
import random, signal, sys
from lineal.assets.errors import StepTimeout
from lineal.timeouts import limited
random.seed(1)
late = other = 0
for n in range(3000):
    seconds = random.random() * 60e-6
    try:
        with limited(seconds, "step"):
            sum(range(random.randrange(1500)))
    except StepTimeout:
        late += 1
    for _ in range(20):  # an alarm that came too late would be raised here, or end the process
        other += 1
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
print(late, other)
"""


def test_no_alarm_comes_when_the_block_has_been_left() -> None:
    ended = subprocess.run([sys.executable, "-c", RACES], capture_output=True, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr.decode()
    late, other = map(int, ended.stdout.split())
    assert 0 < late < 3000  # both ways to end were tried
    assert other == 60000
