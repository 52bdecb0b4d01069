"""User code in a worker and inline: where its output goes, and what a timeout leaves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
RUNS = """
import logging, os, sys, threading, time
from pathlib import Path
root = Path(sys.argv[1])
sys.path.insert(0, str(root))
import theirs
from lineal.assets.errors import StepTimeout
from lineal.assets.records import Recipe
from lineal.timeouts import limited
from lineal.user_code import UserCode
code = UserCode(
    root, root / ".lineal", lambda path: None, lambda asset: None, lambda: None,
    descriptors="worker" in sys.argv,
)
recipe = Recipe("0" * 64)
with code.running(recipe, "speaks", "r1/speaks", ()):
    theirs.speaks()
try:
    with code.running(recipe, "hangs", "r1/hangs", ()), limited(0.05, "hangs"):
        theirs.hangs()
except StepTimeout as error:
    print(error.where, error.excerpt, sep=": ")
with code.running(recipe, "silent", "r1/silent", ()):
    pass
"""
THEIRS = """
import logging, subprocess, sys, threading

log = logging.getLogger("theirs")
log.propagate = False
log.addHandler(logging.StreamHandler(sys.stderr))

def speaks():
    print("printed")
    thread = threading.Thread(target=print, args=("by a thread",))
    thread.start()
    thread.join()
    logging.getLogger("other").warning("logged")
    log.warning("logged early")
    subprocess.run([sys.executable, "-c", "print('by a child')"])

def hangs():
    try:
        threading.Event().wait(60)  # too long
    except Exception:
        pass
"""


def told(tmp_path: Path, *words: str) -> tuple[list[str], list[str], list[str]]:
    """The lines of the log of `speaks`, of stderr, and of stdout."""
    (tmp_path / "theirs.py").write_text(THEIRS, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-c", RUNS, str(tmp_path), *words],
        capture_output=True,
        check=True,
        text=True,
        cwd=ROOT,
    )
    log = (tmp_path / ".lineal" / "logs" / "r1" / "speaks.log").read_text(encoding="utf-8")
    return log.splitlines()[:-1], ended.stderr.splitlines(), ended.stdout.splitlines()


def test_a_worker_keeps_all_that_a_step_says(tmp_path: Path) -> None:
    log, err, out = told(tmp_path, "worker")
    assert sorted(log) == [
        "WARNING other: logged", "by a child", "by a thread", "logged early", "printed"
    ]  # fmt: skip
    assert err == []
    assert len(out) == 1


def test_inline_what_goes_past_python_is_left_to_the_terminal(tmp_path: Path) -> None:
    log, err, out = told(tmp_path)
    assert log == ["printed", "by a thread", "WARNING other: logged"]
    assert err == ["logged early"]
    assert out[0] == "by a child"


def test_a_timeout_tells_the_line_where_the_step_was(tmp_path: Path) -> None:
    _, _, out = told(tmp_path, "worker")
    line = THEIRS.splitlines().index("        threading.Event().wait(60)  # too long") + 1
    assert out == [f"theirs.py:{line} in hangs: threading.Event().wait(60)  # too long"]
    log = (tmp_path / ".lineal" / "logs" / "r1" / "hangs.log").read_text(encoding="utf-8")
    assert f"line {line}, in hangs" in log
    assert "`hangs` took longer than its timeout of 0.05 s\n" in log


def test_a_step_that_says_nothing_leaves_no_log(tmp_path: Path) -> None:
    told(tmp_path, "worker")
    assert not (tmp_path / ".lineal" / "logs" / "r1" / "silent.log").exists()
