"""What a step leaves behind in its process: nothing that the next one could see."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lineal.logs import Log
from lineal.project import Project

PIPELINE = """
import os

from lineal import asset, secret


@asset
def first() -> str:
    os.environ["LEFT_BEHIND"] = "1"
    return os.environ.pop("HOME", "")


@asset
def second(first) -> list:
    return [os.environ.get("LEFT_BEHIND"), "HOME" in os.environ]


@asset(variables=["STOPS"])
def last(second) -> int:
    if "STOPS" in os.environ:
        raise KeyboardInterrupt
    return 1
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_variables_that_a_step_sets_are_gone_and_its_own_interrupt_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    monkeypatch.setenv("STOPS", "1")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    run = Project(tmp_path).materialize(jobs=jobs)
    assert [s.outcome for s in run.steps] == ["made", "made", "cancelled"]
    assert run.outcome == "cancelled"
    assert Project(tmp_path).load("second") == [None, True]
    assert os.environ["HOME"] == str(tmp_path)


def test_what_is_written_below_python_is_hidden_when_the_log_is_closed(tmp_path: Path) -> None:
    log = Log(tmp_path / "a.log", "a", hide=lambda text: text.replace("hunter22", "***"))
    log.write("before\n")
    os.write(log.descriptor(), b"the word is hunter22\n\xff\n")
    log.close()
    data = (tmp_path / "a.log").read_bytes()
    assert data.startswith(b"before\nthe word is ***\n\xff\n-- lineal: ")
