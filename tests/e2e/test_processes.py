"""The command line as real processes: streams, encodings, signals, crashes, and other folders."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.command_line import Workplace

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0  # seconds, on a busy machine


@dataclass(frozen=True)
class Ended:
    """What a process that has ended said, as bytes decoded by no one but us."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        return self.stdout.decode("utf-8")

    @property
    def err(self) -> str:
        return self.stderr.decode("utf-8")


class Commands:
    """Runs `lineal` in processes of their own, as a shell would, in one project."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.children: list[subprocess.Popen[bytes]] = []

    def environment(self) -> dict[str, str]:
        """Little is inherited: who runs these tests may have set TERM, NO_COLOR or LC_ALL."""
        kept = ("PATH", "HOME", "SYSTEMROOT", "TMPDIR")
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        inherited = {name: os.environ[name] for name in kept if name in os.environ}
        return {**inherited, "PYTHONPATH": path, "LC_ALL": "C.UTF-8"}

    def start(self, *words: str, **variables: str) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-m", "lineal.cli", *words],
            cwd=self.root,
            env={**self.environment(), **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.children.append(child)
        return child

    def run(self, *words: str, **variables: str) -> Ended:
        return self.end(self.start(*words, **variables))

    def end(self, child: subprocess.Popen[bytes]) -> Ended:
        out, err = child.communicate(timeout=PATIENCE)
        return Ended(child.returncode, out, err)

    def make(self, *words: str, **variables: str) -> Any:
        ended = self.run("materialize", "--json", *words, **variables)
        assert ended.code == 0, ended.out + ended.err
        return json.loads(ended.out)

    def hears(self, child: subprocess.Popen[bytes], words: str) -> None:
        """Until a process says these words on its standard error."""
        assert child.stderr is not None
        for line in child.stderr:
            if words in line.decode():
                return
        raise AssertionError(f"it ended without a word of {words!r}")

    def wait_for(self, name: str) -> None:
        """Until a step says, by a file, that it is running."""
        until = time.monotonic() + PATIENCE
        while not (self.root / name).exists():
            assert time.monotonic() < until, f"{name} never appeared"
            time.sleep(0.01)


def outcomes(document: Mapping[str, Any]) -> dict[str, str]:
    return {step["asset"]: step["outcome"] for step in document["steps"]}


def versions(document: Mapping[str, Any]) -> dict[str, str]:
    return {step["asset"]: step["version"] for step in document["steps"]}


@pytest.fixture
def lineal(empty: Workplace) -> Iterator[Commands]:
    commands = Commands(empty.root)
    yield commands
    for child in commands.children:
        if child.poll() is None:
            child.kill()
        child.communicate()


SMALL = """
from lineal import asset


@asset
def numbers() -> list[int]:
    print("counting …")
    return [1, 2, 3]


@asset
def total(numbers):
    return sum(numbers)
"""


@pytest.fixture
def small(empty: Workplace, lineal: Commands) -> Commands:
    empty.write("pipeline.py", SMALL)
    return lineal


# ------------------------------------------------------------------------------------ a whole day


def test_init_then_materialize_then_nothing_to_do(tmp_path: Path, empty: Workplace) -> None:
    commands = Commands(tmp_path)
    begun = commands.run("init", "wine")
    assert begun.code == 0
    assert begun.out.splitlines()[-1].strip() == "cd wine && lineal materialize"
    again = commands.run("init", "wine")
    assert again.code == 2
    assert "exists already" in again.err
    commands.root = tmp_path / "wine"
    first = commands.run("materialize")
    assert first.code == 0, first.err
    assert "7 made in" in first.out
    place = Workplace(tmp_path / "wine")
    before = place.files()
    second = commands.run("materialize")
    assert second.code == 0
    assert second.out.startswith("Nothing to do: 7 fresh, checked in")
    assert second.stderr == b""
    assert place.files() == before


def test_an_error_is_told_on_standard_error_with_exit_code_2(lineal: Commands) -> None:
    for words in (["materialize"], ["plan"], ["materalize"], ["plan", "--nonsense"]):
        ended = lineal.run(*words)
        assert ended.code == 2, words
        assert ended.stdout == b""
        assert ended.stderr
        assert b"Traceback" not in ended.stderr


def test_a_failed_step_is_an_answer_with_exit_code_1(empty: Workplace, lineal: Commands) -> None:
    empty.write("pipeline.py", SMALL.replace("sum(numbers)", "sum(numbers) / 0"))
    ended = lineal.run("materialize")
    assert ended.code == 1
    assert "ZeroDivisionError" in ended.out
    assert "1 failed, 1 made" in ended.out
    assert json.loads(lineal.run("materialize", "--json").out)["outcome"] == "failed"


# ---------------------------------------------------------------------------------------- streams


def test_what_a_step_prints_is_on_standard_error_with_its_name_and_in_the_log(
    small: Commands,
) -> None:
    ended = small.run("materialize")
    assert "counting" not in ended.out
    assert "numbers │ counting …\n" in ended.err
    assert small.run("logs", "numbers").out == "counting …\n"


def test_quiet_hides_what_a_step_prints_but_the_log_has_it(small: Commands) -> None:
    assert small.run("materialize", "-q").stderr == b""
    assert "counting …" in small.run("logs", "numbers").out


def test_json_is_the_whole_of_standard_output(small: Commands) -> None:
    ended = small.run("materialize", "--json")
    assert outcomes(json.loads(ended.out)) == {"numbers": "made", "total": "made"}
    assert ended.stderr == b""


def test_piped_output_has_no_escape_codes_and_is_utf_8(small: Commands) -> None:
    ended = small.run("materialize")
    assert b"\x1b" not in ended.stdout + ended.stderr
    assert "✓ numbers" in ended.out


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_plain_terminals_get_ascii(small: Commands, variables: dict[str, str]) -> None:
    ended = small.run("materialize", **variables)
    assert ended.stdout.isascii()
    assert "ok numbers" in ended.out
    assert small.run("plan", "--force", **variables).stdout.isascii()


def test_output_that_is_not_utf_8_breaks_nothing(small: Commands) -> None:
    ended = small.run("materialize", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert ended.code == 0, ended.stderr
    assert b"ok numbers" in ended.stdout


def test_a_reader_that_goes_away_is_told_nothing(small: Commands) -> None:
    small.make()
    query = "from range(200000)"
    child = small.start("sql", query, "--format", "csv")
    assert child.stdout is not None
    assert child.stderr is not None
    assert child.stdout.readline() == b"range\n"
    child.stdout.close()
    assert child.stderr.read() == b""
    child.wait(PATIENCE)


# ------------------------------------------------------------------------------ signals and crashes

SLOW = """
import time
from pathlib import Path

from lineal import asset


@asset
def early():
    return 1


@asset
def slow(early):
    print("half")
    Path("running").touch()
    while not Path("go").exists():
        time.sleep(0.01)
    return early + 1


@asset
def late(slow):
    return slow + 1
"""


@pytest.fixture
def interrupted(empty: Workplace, lineal: Commands) -> Commands:
    """A project whose second step runs until a file `go` is there."""
    empty.write("pipeline.py", SLOW)
    return lineal


JOBS = pytest.mark.parametrize("jobs", ["1", "2"])


@JOBS
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_lets_the_running_step_end_and_starts_nothing_more(
    interrupted: Commands, number: signal.Signals, jobs: str
) -> None:
    child = interrupted.start("materialize", "--jobs", jobs)
    interrupted.wait_for("running")
    child.send_signal(number)
    interrupted.hears(child, "Ctrl-C: 1 step runs to its end (slow)")
    (interrupted.root / "go").touch()
    ended = interrupted.end(child)
    assert ended.code == 130
    assert "Traceback" not in ended.out + ended.err
    assert "Stopped: 2 made, 1 cancelled" in ended.out
    again = interrupted.make()
    assert outcomes(again) == {"early": "fresh", "slow": "fresh", "late": "made"}
    runs = json.loads(interrupted.run("runs", "--json").out)
    assert [run["outcome"] for run in runs] == ["cancelled", "done"]


@JOBS
def test_a_second_interrupt_keeps_what_was_made_and_the_next_run_carries_on(
    interrupted: Commands, jobs: str
) -> None:
    child = interrupted.start("materialize", "--jobs", jobs)
    interrupted.wait_for("running")
    child.send_signal(signal.SIGINT)
    interrupted.hears(child, "again to stop it at once")
    child.send_signal(signal.SIGINT)
    ended = interrupted.end(child)
    assert ended.code == 130
    assert "Traceback" not in ended.out + ended.err
    assert "exit 130" in ended.out
    (interrupted.root / "go").touch()
    again = interrupted.make()
    assert outcomes(again) == {"early": "fresh", "slow": "made", "late": "made"}


def test_what_a_killed_run_had_made_is_kept_and_the_next_run_carries_on(
    interrupted: Commands,
) -> None:
    child = interrupted.start("materialize")
    interrupted.wait_for("running")
    child.kill()
    interrupted.end(child)
    (interrupted.root / "go").touch()
    again = outcomes(interrupted.make())
    assert again["slow"] == again["late"] == "made"
    assert outcomes(interrupted.make()) == dict.fromkeys(again, "fresh")
    runs = json.loads(interrupted.run("runs", "--json").out)
    assert runs[0]["outcome"] is None
    assert runs[-1]["outcome"] == "done"


def test_a_step_told_as_made_survives_a_kill(interrupted: Commands) -> None:
    child = interrupted.start("materialize", PYTHONUNBUFFERED="1")
    assert child.stdout is not None
    assert "early" in child.stdout.readline().decode()  # told: so it is durable
    child.kill()
    child.wait(PATIENCE)
    (interrupted.root / "go").touch()
    assert outcomes(interrupted.make())["early"] == "fresh"


def test_two_runs_at_once_both_end_well(interrupted: Commands) -> None:
    one = interrupted.start("materialize", "--json")
    interrupted.wait_for("running")
    two = interrupted.start("materialize", "--json")
    time.sleep(0.2)
    (interrupted.root / "go").touch()
    ended = [interrupted.end(one), interrupted.end(two)]
    assert [e.code for e in ended] == [0, 0], [e.err for e in ended]
    assert versions(json.loads(ended[0].out)) == versions(json.loads(ended[1].out))
    assert set(outcomes(interrupted.make()).values()) == {"fresh"}


# ------------------------------------------------------------------------------- other processes


def test_a_project_that_was_moved_has_nothing_to_do(shop: Workplace, lineal: Commands) -> None:
    lineal.root = shop.root
    assert set(outcomes(lineal.make()).values()) == {"made"}
    moved = shop.root.parent / "elsewhere" / "renamed"
    moved.parent.mkdir()
    shutil.move(shop.root, moved)
    lineal.root = moved
    again = lineal.make()
    assert again["run"] is None
    assert set(outcomes(again).values()) == {"fresh"}


def test_hash_seeds_change_nothing(shop: Workplace, lineal: Commands) -> None:
    shop.write(
        "more.py",
        """
        from lineal import asset

        WORDS = {"a", "b", "c", "d", "e"}
        NESTED = {"x": frozenset({1, 2, "three", (4, 5)}), "y": {"k": {"m", "n"}}}


        @asset
        def counted():
            return {"words": len(WORDS), "nested": len(NESTED)}
        """,
    )
    shop.write("lineal.toml", '[project]\ndefinitions = ["pipeline.py", "more.py"]\n')
    lineal.root = shop.root
    first = lineal.make(PYTHONHASHSEED="0")
    assert set(outcomes(first).values()) == {"made"}
    again = lineal.make(PYTHONHASHSEED="1")
    assert again["run"] is None
    shutil.rmtree(shop.root / ".lineal")
    assert versions(lineal.make(PYTHONHASHSEED="1")) == versions(first)


def test_the_same_project_in_two_folders_has_the_same_recipes(
    shop: Workplace, lineal: Commands
) -> None:
    lineal.root = shop.root
    lineal.make()
    other = shop.root.parent / "copy"
    shutil.copytree(shop.root, other, ignore=shutil.ignore_patterns(".lineal"))

    def recipes() -> list[str]:
        names = ("raw/orders", "priced", "by_city")
        told = [json.loads(lineal.run("why", name, "--json").out) for name in names]
        return [one["recipe"]["digest"] for one in told]

    here = recipes()
    lineal.root = other
    lineal.make()
    assert recipes() == here


def test_python_and_the_command_line_agree_that_nothing_is_to_do(small: Commands) -> None:
    code = textwrap.dedent("""
        import lineal
        project = lineal.open()
        print(project.materialize().counts["made"], project.load("total"))
    """)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=small.root,
        env=small.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split()[-2:] == ["2", "6"], done.stderr
    assert small.make()["run"] is None
