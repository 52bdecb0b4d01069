"""The log of a step is found and followed, also while another process makes it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineal.assets.errors import IntegrityError, UsageError
from lineal.project import Project
from lineal.step_logs import find_log, follow

ROOT = Path(__file__).resolve().parents[3]
PIPELINE = """
import sys
from pathlib import Path
from lineal import asset

@asset(outputs=["first", "second"])
def both():
    print("both made")
    return 1, 2

@asset
def slow(second):
    print("begun …")
    if Path("hangs").exists():
        print("half", flush=True)
        sys.__stderr__.write("running\\n")
        sys.__stderr__.flush()
        sys.__stdin__.readline()
    print("ended")
    return 1

@asset
def bad(first):
    raise ValueError("no good")

@asset
def later(slow, first):
    print("never reached by a run that is killed")
    return 1
"""


class Place:
    """A project, and processes that make it; a slow step waits for a word from the test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.children: list[subprocess.Popen[bytes]] = []
        (root / "pipeline.py").write_text(PIPELINE, encoding="utf-8")

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-m", "lineal.cli", *words],
            cwd=self.root,
            env={"PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8", "PATH": ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.children.append(child)
        return child

    def hanging(self) -> subprocess.Popen[bytes]:
        """A run in the middle of the step `slow`."""
        (self.root / "hangs").touch()
        child = self.start("materialize", "slow", "--quiet")
        assert child.stderr is not None
        assert child.stderr.readline() == b"running\n"
        return child


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    for child in place.children:
        child.kill()
        child.communicate()


def followed(place: Place, name: str) -> list[str]:
    """What following says, by one who is not patient with the dead."""
    project = Project(place.root)
    history = project.history()
    try:
        found = find_log(project.store, history, name, None, None)
    finally:
        history.close()
    wait = lambda seconds: False  # noqa: E731
    return list(follow(found, project.journal, project.history, wait, quiet=0.0))


def test_a_step_that_runs_for_the_first_time_is_followed_to_its_end(place: Place) -> None:
    making = place.hanging()
    assert Project(place.root).log("slow").endswith(": the step still runs\n")
    following = place.start("logs", "slow", "--follow")
    assert following.stdout is not None
    assert following.stdout.readline() == "begun …\n".encode()
    assert following.stdout.readline() == b"half\n"
    making.communicate(b"go on\n", timeout=60)
    assert following.communicate(timeout=60) == (b"ended\n", b"")
    assert following.returncode == 0
    assert Project(place.root).log("slow") == "begun …\nhalf\nended\n"


def test_the_log_of_a_run_that_was_killed_is_shown_and_its_end_is_told(place: Place) -> None:
    making = place.hanging()
    making.kill()
    making.communicate()
    told = "begun …\nhalf\n-- lineal: this log was not closed: its process died\n"
    assert Project(place.root).log("slow") == told
    assert "".join(followed(place, "slow")) == told


def test_logs_that_are_over_are_followed_to_their_end(place: Place) -> None:
    Project(place.root).materialize()
    project = Project(place.root)
    for name in ("first", "second"):  # one call made both
        assert project.log(name) == "both made\n" == "".join(followed(place, name))
    assert "ValueError: no good" in project.log("bad")
    assert project.log("bad") == "".join(followed(place, "bad"))
    log = place.root / ".lineal" / "logs" / "r1" / "slow.log"
    log.write_bytes(log.read_bytes().replace(b"ended", b"endet"))
    with pytest.raises(IntegrityError):
        followed(place, "slow")


def test_what_was_never_attempted_is_refused(place: Place) -> None:
    Project(place.root).materialize("slow")
    project = Project(place.root)
    with pytest.raises(UsageError, match="`slaw` never ran; did you mean `slow`"):
        project.log("slaw")
    with pytest.raises(UsageError, match="the partition 2024-01 of `slow` never ran"):
        project.log("slow", partition="2024-01")
    with pytest.raises(UsageError, match="`slow` was not attempted in r99"):
        project.log("slow", "r99")
