"""Ctrl-C and SIGTERM: the first asks, the second stops; workers hear neither and outlive nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineal.interrupts import Interrupts, sigterm_as_interrupt

ROOT = Path(__file__).resolve().parents[3]
BOTH = (signal.SIGINT, signal.SIGTERM)

# Waits as a run does, and says what it hears; each line is an event that the test waits for.
RUN = """
import os, queue, signal, sys
from lineal.interrupts import Interrupts
def say(text):
    os.write(1, text.encode() + b"\\n")
woken = queue.SimpleQueue()
before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
interrupts = Interrupts(
    lambda: say("asked"), lambda: say("killing"), lambda: woken.put("woken")
)
try:
    with interrupts:
        say(f"running {interrupts.caught}")
        say(woken.get())
        if "polite" not in sys.argv:
            woken.get()
except KeyboardInterrupt:
    say("stopped")
same = all(signal.getsignal(n) == before[n] for n in before)
say(f"over {interrupts.asked} {interrupts.caught} {same}")
"""


class Child:
    """A Python process that tells its events line by line."""

    def __init__(self, code: str, *words: str, **options: bool) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            **options,
        )

    def hears(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().rstrip("\n")

    def said(self, count: int) -> list[str]:
        return [self.hears() for _ in range(count)]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def children() -> Iterator[list[Child]]:
    started: list[Child] = []
    yield started
    for child in started:
        child.close()


@pytest.mark.parametrize("number", BOTH)
def test_the_first_signal_asks_and_the_run_goes_on_to_its_end(
    number: int, children: list[Child]
) -> None:
    children.append(child := Child(RUN, "polite"))
    assert child.hears() == "running True"
    child.signal(number)
    assert sorted(child.said(2)) == ["asked", "woken"]
    assert child.hears() == "over True False True"
    assert child.process.wait(60) == 0


@pytest.mark.parametrize("first", BOTH)
@pytest.mark.parametrize("second", BOTH)
def test_the_second_signal_kills_and_stops(first: int, second: int, children: list[Child]) -> None:
    children.append(child := Child(RUN))
    assert child.hears() == "running True"
    child.signal(first)
    assert sorted(child.said(2)) == ["asked", "woken"]
    child.signal(second)
    assert child.said(3) == ["killing", "stopped", "over True False True"]


def test_a_request_that_is_sent_twice_at_once_is_one(children: list[Child]) -> None:
    code = RUN.replace('woken.put("woken")', "(woken.put('woken'), signal.raise_signal(15))")
    children.append(child := Child(code, "polite"))
    assert child.hears() == "running True"
    child.signal(signal.SIGTERM)
    assert sorted(child.said(2)) == ["asked", "woken"]
    assert child.hears() == "over True False True"


def test_the_second_signal_interrupts_code_that_runs(children: list[Child]) -> None:
    code = RUN.replace("say(woken.get())", "[0 for _ in iter(int, 1)]")  # for ever
    children.append(child := Child(code))
    assert child.hears() == "running True"
    child.signal(signal.SIGINT)
    assert child.hears() == "asked"
    child.signal(signal.SIGINT)
    assert child.said(3) == ["killing", "stopped", "over True False True"]


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as nohup leaves it
    try:
        with Interrupts(_never, _never, _never) as interrupts:
            signal.raise_signal(signal.SIGINT)
            assert interrupts.caught  # SIGTERM
            assert not interrupts.asked
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_handlers_of_others_are_put_back_after_an_error_too() -> None:
    before = [signal.getsignal(n) for n in BOTH]
    with pytest.raises(KeyboardInterrupt), Interrupts(_never, _never, _never):
        raise KeyboardInterrupt  # by the user's own code
    assert [signal.getsignal(n) for n in BOTH] == before


def test_outside_of_the_main_thread_nothing_is_caught() -> None:
    told: list[bool] = []
    before = [signal.getsignal(n) for n in BOTH]

    def run() -> None:
        with Interrupts(_never, _never, _never) as interrupts:
            told.append(interrupts.caught)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert told == [False]
    assert [signal.getsignal(n) for n in BOTH] == before


def test_sigterm_is_an_interrupt_where_nothing_else_hears_it() -> None:
    with sigterm_as_interrupt():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        with Interrupts(lambda: None, _never, lambda: None) as interrupts:
            signal.raise_signal(signal.SIGTERM)
            assert interrupts.asked
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def _never() -> None:
    raise AssertionError("called")


# ------------------------------------------------------------------------------ worker processes

# A parent with a worker, and what the worker started; it writes their ids, then waits.
FAMILY = """
import os, subprocess, sys, time
worker = '''
import os, subprocess, sys, time
from lineal import interrupts
{without}
interrupts.ignore_in_worker({parent})
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
os.write(1, f"{os.getpid()} {child.pid}\\\\n".encode())
for line in sys.stdin:
    os.write(1, b"heard " + line.encode())
time.sleep(600)
'''.replace("{parent}", str(os.getpid())).replace("{without}", sys.argv[1])
started = subprocess.Popen([sys.executable, "-c", worker], stdin=0)
started.wait()
"""


@pytest.fixture
def family(request: pytest.FixtureRequest, children: list[Child]) -> tuple[Child, int, int]:
    child = Child(FAMILY, getattr(request, "param", ""), start_new_session=True)
    children.append(child)
    worker, grandchild = map(int, child.hears().split())
    return child, worker, grandchild


def test_a_worker_hears_no_signal_meant_for_its_parent(family: tuple[Child, int, int]) -> None:
    child, worker, grandchild = family
    assert os.getpgid(worker) == worker == os.getpgid(grandchild) != os.getpgid(child.process.pid)
    for number in BOTH:
        os.kill(worker, number)
    assert child.process.stdin is not None
    child.process.stdin.write(b"you?\n")
    child.process.stdin.flush()
    assert child.hears() == "heard you?"
    os.kill(grandchild, signal.SIGTERM)  # what a worker starts can be told to end


WITHOUT = {"looking": "interrupts._have_kernel_kill = int"}
if sys.platform == "linux":
    WITHOUT["kernel"] = "interrupts._end_with = lambda parent: None"


@pytest.mark.parametrize("family", WITHOUT.values(), indirect=True, ids=list(WITHOUT))
def test_no_worker_outlives_a_parent_that_is_killed(family: tuple[Child, int, int]) -> None:
    child, _, _ = family
    child.process.kill()
    out, _ = child.process.communicate(timeout=60)  # until nobody has its stdout any more
    assert out == b""
