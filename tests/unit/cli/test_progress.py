"""A run as it is told: whole lines from many steps, a live area that leaves nothing behind."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lineal.assets.errors import UserCodeError
from lineal.assets.names import Step
from lineal.assets.plan import Plan, PlannedStep
from lineal.assets.records import Reason
from lineal.assets.run import StepReport
from lineal.assets.verdicts import Stale
from lineal.cli.progress import Live, Teller, retry_line, stopping_line, tamed
from lineal.cli.render import Style
from tests.screen import Screen

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 60.0  # seconds, on a busy machine

# ------------------------------------------------------------------------------------- no terminal


def made(name: str, partition: str | None = None, **rest: object) -> StepReport:
    return StepReport(Step(name, partition), name, "made", seconds=0.5, **rest)  # type: ignore[arg-type]


def planned(*steps: Step) -> Plan:
    stale = Stale((Reason("never_made"),))
    return Plan(tuple(PlannedStep(s, s.asset, stale, "compute", None, None, None) for s in steps), {}, ())  # fmt: skip  # noqa: E501


def test_without_a_terminal_there_are_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Teller(quiet=False) as teller:
        teller.planned(planned(Step("a"), Step("b")))
        teller.echo("a", "one\ntwo, not")
        teller.echo("a", " ended")
        teller.settled([made("a", summary="2 rows × 1", attempts=3)])
        teller.tick()
    told = capsys.readouterr()
    assert told.err == "a │ one\na │ two, not ended\n"
    assert re.fullmatch(r"  ✓ a +2 rows × 1   3 attempts +0\.5 s\n", told.out)


def test_a_quiet_run_hides_what_steps_print(capsys: pytest.CaptureFixture[str]) -> None:
    with Teller(quiet=True) as teller:
        teller.echo("a", "one\n")
        teller.settled([made("a")])
    told = capsys.readouterr()
    assert not told.err
    assert "✓ a" in told.out


def test_steps_that_print_at_once_never_mix_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Teller(quiet=False) as teller:

        def step(name: str) -> None:
            for i in range(200):
                for piece in (f"{name}", f"{i} ", "end", "\n"):
                    teller.echo(name, piece)

        threads = [threading.Thread(target=step, args=(name * 30,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    rows = capsys.readouterr().err.splitlines()
    expected = {f"{n * 30} │ {n * 30}{i} end" for n in "abc" for i in range(200)}
    assert len(rows) == 600
    assert set(rows) == expected


def test_a_last_line_that_is_not_ended_is_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(KeyboardInterrupt), Teller(quiet=False) as teller:
        teller.echo("a 2013", "half")
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "a 2013 │ half\n"


def test_of_a_progress_bar_what_it_wrote_last_counts() -> None:
    assert tamed(" 10%|#  \r 50%|## \r100%|###") == "100%|###"
    assert tamed("windows\r") == "windows"
    assert tamed("\x1b[2A\x1b[Kup\x1b[31m red\x1b[0m\x07") == "up\x1b[31m red\x1b[0m"


def test_many_partitions_are_told_in_one_line_and_failures_each(
    capsys: pytest.CaptureFixture[str],
) -> None:
    days = [Step("flights", f"d{i:02}") for i in range(30)]
    error = UserCodeError("ValueError", "no")
    with Teller(quiet=False) as teller:
        teller.planned(planned(*days, Step("model")))
        for i, day in enumerate(days):
            failed = StepReport(day, "flights", "failed", error=error)
            teller.settled([failed if i == 4 else made(*day)])
        teller.settled([made("model")])
    rows = capsys.readouterr().out.splitlines()
    assert [re.sub(" {2,}", "  ", row.strip()) for row in rows] == [
        "✗ flights d04  ValueError: no  0.00 s",
        "✓ flights  29 partitions made, d00 … d29  14 s",
        "✓ model  0.5 s",
    ]


def test_a_crowd_that_was_interrupted_is_told_too(capsys: pytest.CaptureFixture[str]) -> None:
    days = [Step("flights", f"d{i:02}") for i in range(30)]
    with Teller(quiet=False) as teller:
        teller.planned(planned(*days))
        teller.settled([made(*days[0])])
        teller.settled([made(*days[1])])
    assert "2 partitions made, d00 … d01" in capsys.readouterr().out


def test_slices_of_one_computation_are_told_each(capsys: pytest.CaptureFixture[str]) -> None:
    with Teller(quiet=False) as teller:
        slices = [made("flights", "01"), StepReport(Step("flights", "02"), "flights", "fresh")]
        teller.settled([*slices, made("flights", "03")])
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[1:3] for row in rows] == [["flights", "01"], ["flights", "03"]]


def test_a_retry_names_the_step_the_error_and_the_attempt() -> None:
    error = UserCodeError("ConnectionError", "no route\nto host")
    told = retry_line(Style(80, ascii=False), Step("fetch_rates"), error, 2, 4, 2.0)
    assert told == "fetch_rates  ConnectionError: no route; again in 2 s (attempt 2 of 4)"
    long = UserCodeError("ConnectionError", "no route " * 20)
    told = retry_line(Style(80, ascii=False), Step("fetch_rates"), long, 3, 4, 0.0)
    assert len(told) <= 76
    assert told.endswith("…; again at once (attempt 3 of 4)")


def test_the_first_interrupt_says_what_it_does() -> None:
    one, two = Step("model"), Step("flights", "2013-01")
    assert stopping_line([]) == "Ctrl-C: nothing more is started"
    assert stopping_line([one]) == (
        "Ctrl-C: 1 step runs to its end (model); again to stop it at once"
    )
    assert stopping_line([one, two]) == (
        "Ctrl-C: 2 steps run to their end (model, flights 2013-01); again to stop them at once"
    )


# -------------------------------------------------------------------------------------- a terminal


def test_the_area_is_rewritten_in_place_and_goes_without_a_trace() -> None:
    out, screen = io.StringIO(), Screen(20, 6)
    live = Live(out, lambda: 20)

    def seen() -> list[str]:
        screen.feed(out.getvalue().replace("\n", "\r\n"))
        out.seek(0)
        out.truncate()
        return screen.whole

    screen.feed("before\r\n")
    live.draw(["one", "two", "three"])
    assert seen() == ["before", "one", "two", "three"]
    live.draw(["1", "two, longer"])
    assert seen() == ["before", "1", "two, longer"]
    live.draw(["1", "two, longer"])
    assert not out.getvalue()
    for i in range(5):
        live.clear()
        assert seen()[-1] == ("before" if i == 0 else f"line {i - 1}")
        screen.feed(f"line {i}\r\n")
        live.draw(["東京", "two", "3"])
        assert seen()[-3:] == ["東京", "two", "3"]
    live.clear()
    assert seen() == ["before", *(f"line {i}" for i in range(5))]


def test_a_terminal_that_became_narrower_is_cleared_as_well() -> None:
    out = io.StringIO()
    widths = iter([20, 5])
    live = Live(out, lambda: next(widths))
    live.draw(["twelve chars"])
    out.truncate(0)
    live.clear()
    assert out.getvalue().endswith("\r\x1b[2A\x1b[J")


PIPELINE = """
import time
from pathlib import Path
from lineal import asset


@asset
def quick():
    print("a whole line")
    return {"n": 1}


@asset
def slow(quick):
    print("loading", end="", flush=True)
    while not Path("/GO/go").exists():
        time.sleep(0.01)
    return {"n": 2}
"""


ENDS = re.compile("exit 130|Ctrl-C: 1 step")  # at once, or after a second interrupt


class Terminal:
    """`lineal` on a terminal of its own."""

    def __init__(self, root: Path, width: int = 60, height: int = 12) -> None:
        self.screen = Screen(width, height)
        self.written = ""
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        kept = {n: os.environ[n] for n in ("PATH", "HOME", "TMPDIR") if n in os.environ}
        self.child = subprocess.Popen(
            [sys.executable, "-m", "lineal.cli", "materialize"],
            cwd=root, stdin=theirs, stdout=theirs, stderr=theirs,
            env={**kept, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8", "TERM": "xterm"},
        )  # fmt: skip
        os.close(theirs)

    def read_until(self, seen: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE
        while not seen():
            assert time.monotonic() < until, self.screen.whole
            if select.select([self._ours], [], [], 1.0)[0] and not self._take():
                assert seen(), self.screen.whole
                return

    def _take(self) -> bool:
        try:
            text = os.read(self._ours, 65536).decode()
        except OSError:  # the other end is closed
            return False
        self.written += text
        self.screen.feed(text)
        return bool(text)

    def end(self) -> int:
        while self._take():
            pass
        return self.child.wait(PATIENCE)

    def close(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        os.close(self._ours)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    (tmp_path / "pipeline.py").write_text(PIPELINE.replace("/GO", str(tmp_path.parent)))
    (tmp_path.parent / "go").unlink(missing_ok=True)
    shown = Terminal(tmp_path)
    yield shown
    shown.close()


def test_a_run_on_a_terminal_leaves_only_its_lines(terminal: Terminal, tmp_path: Path) -> None:
    screen = terminal.screen
    terminal.read_until(lambda: any("▸ slow   1 s   loading" in row for row in screen.lines))
    (tmp_path.parent / "go").touch()
    assert terminal.end() == 0
    rows = [re.sub(r" +\d+\.\d+ s$", "", row) for row in screen.whole]
    assert rows[:4] == [
        "quick │ a whole line",
        "  ✓ quick   dict, 1 key",
        "slow │ loading",
        "  ✓ slow    dict, 1 key",
    ]
    assert not any("▸" in row for row in screen.whole)
    assert "\x1b[?25l" not in terminal.written  # the cursor is never hidden
    assert screen.column == 0


def test_an_interrupted_run_leaves_the_terminal_as_it_was(terminal: Terminal) -> None:
    screen = terminal.screen
    terminal.read_until(lambda: any("▸ slow" in row for row in screen.lines))
    terminal.child.send_signal(signal.SIGINT)
    terminal.read_until(lambda: any(ENDS.search(row) for row in screen.lines))
    if any("Ctrl-C" in row for row in screen.lines):
        terminal.child.send_signal(signal.SIGINT)
    assert terminal.end() == 130
    assert not any("▸" in row for row in screen.whole)
    assert any(row.startswith("Stopped: 1 made, 1 cancelled") for row in screen.whole)
    assert screen.column == 0
