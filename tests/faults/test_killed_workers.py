"""Worker processes that are killed, and parents that are: nothing is lost, nothing is left."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.commands import Command, Ended, Place, place_in, wait_until


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with place_in(tmp_path) as found:
        yield found


def steps(ended: Ended) -> dict[str, Any]:
    return {step["asset"]: step for step in json.loads(ended.out)["steps"]}


def outcomes(ended: Ended) -> dict[str, str]:
    return {name: step["outcome"] for name, step in steps(ended).items()}


def assert_sound(place: Place) -> None:
    """The store holds together, and nothing is left to do."""
    checked = place.run("fsck")
    assert checked.code == 0, checked
    idle = place.run("materialize", "--jobs", "3", "--json")
    assert (idle.code, json.loads(idle.out)["run"]) == (0, None), idle


def alive(pid: int) -> bool:
    """Does a process run? One that was not waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def assert_gone(pids: list[int]) -> None:
    assert pids
    wait_until(lambda: not any(map(alive, pids)), f"some of {pids} run on")


# ------------------------------------------------------------------------------ in every phase

PHASES = """
    import signal
    import subprocess
    import threading
    from multiprocessing.connection import Connection
    from pathlib import Path

    from lineal import Retry, register


    def killed(phase):
        \"\"\"Die, once for each name.\"\"\"
        path = Path(OUTSIDE, phase + ".killed")
        if not path.exists():
            path.touch()
            os.kill(os.getpid(), signal.SIGKILL)


    class Note(str):
        \"\"\"A text that says what happens when it is written, and when it is read.\"\"\"


    def save(note, path):
        Path(path).write_text(note)
        if note.startswith("writing"):
            killed(note)


    def load(path):
        found = Path(path).read_text()
        if found.startswith("loading"):
            killed(found)
        return Note(found)


    register(Note, ".note", save, load)


    def killed_at_each_phase(name, **options):
        @asset(name=f"kept_{name}")
        def kept() -> Note:
            return Note(f"loading {name}")

        @asset(name=f"loading_{name}", inputs={"note": f"kept_{name}"}, **options)
        def loading(note: Note):
            return str(note)

        @asset(name=f"running_{name}", **options)
        def running():
            print("half way")
            subprocess.Popen(["sleep", "1000"])
            killed(f"running {name}")
            return 1

        @asset(name=f"writing_{name}", **options)
        def writing() -> Note:
            return Note(f"writing {name}")

        @asset(name=f"replying_{name}", outputs=[f"one_{name}", f"two_{name}"], **options)
        def replying():
            # What follows is the reply, when all objects are durable.
            before = Connection._send_bytes
            Connection._send_bytes = lambda *given: (killed(f"replying {name}"), before(*given))
            return 1, 2

        @asset(name=f"after_{name}", inputs={"two": f"two_{name}"})
        def after(two):
            return two + 1


    killed_at_each_phase("once")
    killed_at_each_phase("twice", retry=Retry(1, delay=0))


    @asset
    def quiet():
        return 0
"""
DIE = ("loading_once", "running_once", "writing_once", "one_once", "two_once")


def test_a_worker_killed_in_any_phase_loses_nothing(place: Place) -> None:
    place.pipeline(PHASES)
    first = place.run("materialize", "--jobs", "3", "--json")
    assert first.code == 1, first
    told = outcomes(first)
    assert {name for name in told if told[name] == "failed"} == set(DIE), place.run("runs", "r1")
    assert {name for name in told if told[name] == "skipped"} == {"after_once"}
    story = json.loads(place.run("runs", "r1", "--json").out)
    errors = {s["asset"]: s["error"] for s in story["steps"]}
    for name in DIE:
        assert "killed by SIGKILL" in errors[name]["message"], name
    attempts = {s["asset"]: s["attempts"] for s in story["steps"]}
    for name in (each.replace("once", "twice") for each in DIE):
        assert told[name] == "made"
        assert ["SIGKILL" in a["error"]["message"] for a in attempts[name]] == [True]
    log = place.run("logs", "running_once")
    assert log.out.splitlines()[0] == "half way"
    assert "killed by SIGKILL" in log.out
    assert "not closed" not in log.out
    assert place.run("fsck").code == 0
    again = place.run("materialize", "--jobs", "3", "--json")
    told = outcomes(again)
    assert again.code == 0, again
    assert {name for name in told if told[name] == "made"} == set(DIE)
    assert told["after_once"] == "reused"  # what `after_twice` made of an equal input
    assert_sound(place)


def test_what_a_killed_worker_had_started_is_killed_too(place: Place) -> None:
    place.pipeline(
        """
    import signal
    import subprocess

    @asset
    def starts():
        child = subprocess.Popen(["sleep", "1000"])
        open(OUTSIDE + "/child", "w").write(str(child.pid))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    )
    ended = place.run("materialize", "--jobs", "2")
    assert ended.code == 1, ended
    assert_gone([int((place.outside / "child").read_text())])


IDLE = """
    from pathlib import Path


    def met(name):
        Path(OUTSIDE, name + ".pid").write_text(str(os.getpid()))
        gate(name)


    @asset
    def early():
        Path(OUTSIDE, "early.pid").write_text(str(os.getpid()))
        return 1


    @asset
    def long():
        met("long")
        return 2


    @asset
    def left(long):
        met("left")
        return long


    @asset
    def right(long, early):
        met("right")
        return long


    @asset
    def behind(left, right):
        return left + right
"""


def pids(place: Place) -> dict[str, int]:
    return {path.stem: int(path.read_text()) for path in place.outside.glob("*.pid")}


def test_a_worker_killed_while_it_has_nothing_to_do_is_replaced(place: Place) -> None:
    place.pipeline(IDLE)
    run = place.start("materialize", "--jobs", "2")
    place.at("long")
    run.says("early")
    os.kill(pids(place)["early"], signal.SIGKILL)
    for gate in ("long", "left", "right"):
        place.open(gate)
    ended = run.end()
    assert ended.code == 0, ended
    assert_sound(place)


# ----------------------------------------------------------------------------- the parent itself


def test_no_worker_outlives_its_parent_and_the_next_run_carries_on(place: Place) -> None:
    place.pipeline(IDLE)
    run = place.start("materialize", "--jobs", "2")
    place.open("long")
    place.at("left")
    place.at("right")
    for told in ("early", "long"):
        run.says(told)
    family = [*pids(place).values(), *children(run.process.pid)]
    run.signal(signal.SIGKILL)
    run.end()
    assert_gone(family)
    place.open("left")
    place.open("right")
    again = place.run("materialize", "--jobs", "2", "--json")
    assert again.code == 0, again
    told = outcomes(again)
    assert (told["early"], told["long"]) == ("fresh", "fresh")
    assert (told["left"], told["right"]) == ("made", "made")
    assert_sound(place)


def children(pid: int) -> list[int]:
    """Those of a process, and theirs."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for child in map(int, found) for each in (child, *children(child))]


# --------------------------------------------------------------------------------------- asked to


def signal_group(run: Command, number: signal.Signals) -> None:
    """As a terminal does: to the command, and to what it started that is of its group."""
    group = os.getpgid(run.process.pid)
    for pid in (run.process.pid, *children(run.process.pid)):
        if os.getpgid(pid) == group:
            os.kill(pid, number)


def test_the_first_signal_lets_running_steps_end_and_the_next_run_carries_on(place: Place) -> None:
    place.pipeline(IDLE)
    run = place.start("materialize", "--jobs", "3")
    place.open("long")
    place.at("left")
    place.at("right")
    for told in ("early", "long"):
        run.says(told)
    signal_group(run, signal.SIGTERM)
    run.hears("2 steps run to their end (left, right)")
    place.open("left")
    place.open("right")
    ended = run.end()
    assert ended.code == 130, ended
    assert place.outcomes("left") == place.outcomes("right") == ["made"]
    assert place.past().ended == ["r1"]
    assert_gone(list(pids(place).values()))
    again = place.run("materialize", "--jobs", "3", "--json")
    assert {name for name, told in outcomes(again).items() if told == "made"} == {"behind"}


def test_the_second_signal_kills_the_workers_at_once(place: Place) -> None:
    place.pipeline(IDLE)
    run = place.start("materialize", "--jobs", "3")
    place.open("long")
    place.at("left")
    place.at("right")
    for told in ("early", "long"):
        run.says(told)
    family = [*pids(place).values(), *children(run.process.pid)]
    signal_group(run, signal.SIGINT)
    run.hears("again to stop them at once")
    run.signal(signal.SIGTERM)
    ended = run.end()
    assert ended.code == 130, ended
    assert "Traceback" not in ended.out + ended.err
    assert_gone(family)
    assert place.outcomes("left") == []
    place.open("left")
    place.open("right")
    again = place.run("materialize", "--jobs", "3", "--json")
    assert outcomes(again) == {
        "early": "fresh", "long": "fresh", "left": "made", "right": "made", "behind": "made",
    }  # fmt: skip
    assert_sound(place)
