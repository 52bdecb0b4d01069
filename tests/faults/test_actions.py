"""Actions whose process is killed, and two processes at once: at least once, and none left out."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import lineal.project
from tests.faults.commands import Place, place_in
from tests.faults.test_two_processes import WAITING, assert_well
from tests.moves import move, register

PIPELINE = """
    from lineal import action


    @asset
    def model(size: int = 1):
        return {"size": size}


    @action("delays@production")
    def deploy(promotion):
        gate("deploy")
        computed(f"{promotion.id}:{promotion.version}")
    """
# Killed with the action done and its entry not there yet.
BEFORE_THE_ENTRY = """
import os, signal, sys
from pathlib import Path

from lineal.disk import Disk
from lineal.project import Project


class Deadly(Disk):
    def link(self, source, path):
        if "journal" in str(path) and os.path.exists(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
        super().link(source, path)


Project(Path("."), Deadly()).materialize("deploy")
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with place_in(tmp_path) as found:
        found.write("lineal.toml", '[project]\nname = "deployed"\n')
        found.pipeline(PIPELINE)
        yield found


def _trained(place: Place, size: int) -> None:
    lineal.project.open(place.root).materialize("model", parameters=[f"model.size={size}"])
    register(place.root)


def test_killed_in_the_middle_or_right_after_it_runs_again_with_the_same_id(place: Place) -> None:
    _trained(place, 1)
    _trained(place, 2)
    first = move(place.root, 1)
    killed = place.start("materialize", "deploy")
    place.at("deploy")
    killed.signal(signal.SIGKILL)
    killed.end()
    assert place.outcomes("deploy") == []
    second = move(place.root, 2)  # the first one is not left out for it
    place.open("deploy")
    late = place.python("-c", BEFORE_THE_ENTRY, str(place.outside / "computed"))
    assert late.end().code == -signal.SIGKILL
    assert place.computed() == [f"{first}:v1"]
    assert place.outcomes("deploy") == []
    third = move(place.root, 1, how="rollback")
    assert lineal.project.open(place.root).materialize("deploy").outcome == "done"
    assert place.computed() == [
        f"{first}:v1", f"{first}:v1", f"{second}:v2", f"{third}:v1",
    ]  # fmt: skip
    assert place.outcomes("deploy") == ["made", "made", "made"]
    assert lineal.project.open(place.root).materialize("deploy").id is None


def test_two_processes_at_once_run_it_once_for_one_move(place: Place) -> None:
    _trained(place, 1)
    moved = move(place.root, 1)
    first = place.start("materialize", "deploy")
    place.at("deploy")
    second = place.start("materialize", "deploy")
    second.hears(WAITING)
    place.open("deploy")
    assert_well(place, first.end(), second.end())
    assert place.computed() == [f"{moved}:v1"]
    assert place.outcomes("deploy") == ["made"]
