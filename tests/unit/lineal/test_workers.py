"""Worker processes: they make what one process makes, and harm nobody but their own step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lineal.assets.errors import InputsChanged, StepTimeout, UsageError, UserCodeError, WorkerDied
from lineal.assets.names import Step
from lineal.assets.perform import Done, Task
from lineal.project import Project
from lineal.snapshot import Snapshot
from lineal.storage.objects import Objects
from lineal.storage.vault import Vault
from lineal.workers import Processes

PIPELINE = """
import ctypes
import os
import signal
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from lineal import asset, check, sql_asset

print("loading")
with (Path(__file__).parent / "pids").open("a") as pids:
    pids.write(f"{os.getpid()}\\n")


def step(number):
    @asset(name=f"number_{number}")
    def made(scale: int = 1) -> pd.DataFrame:
        print("making", number)
        return pd.DataFrame({"n": np.arange(number) * scale, "x": np.random.random(number)})


for number in range(1, 9):
    step(number)


@asset
def product(number_4, number_8):
    return float(number_4["x"].sum() * number_8["x"].sum())


sums = sql_asset("sums", "select sum(n) as n, max(x) as x from number_8", checks=[])


@check(sums)
def one_row(sums: pd.DataFrame, wanted: int = 1) -> bool:
    return len(sums) == wanted


@asset
def dies(how: str = ""):
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "crash":
        ctypes.string_at(0)
    if how == "exit":
        os._exit(3)
    if how == "sys.exit":
        sys.exit(3)
    if how == "hang":
        (Path(__file__).parent / "hangs").write_text(str(os.getpid()))
        while True:
            time.sleep(1)
    return 1


@asset
def process():
    return [os.getpid(), os.environ.get("LINEAL_TEST"), time.tzname[0], threads()]


def threads():
    import pyarrow as pa

    return pa.cpu_count()


@asset
def warned():
    warnings.warn("a warning", UserWarning)
    return 1
"""
SETTINGS = '[project]\nname = "p"\ndefinitions = ["pipeline.py"]\n'


def project(root: Path, text: str = PIPELINE) -> Project:
    root.mkdir()
    (root / "lineal.toml").write_text(SETTINGS)
    (root / "pipeline.py").write_text(text)
    return Project(root)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snapshot]:
    with project(tmp_path_factory.mktemp("workers") / "p").look() as found:
        yield found


@pytest.fixture(scope="module")
def workers(seen: Snapshot) -> Iterator[Processes]:
    with Processes(seen, 2) as found:
        yield found


def task(seen: Snapshot, name: str, **parameters: Any) -> Task:
    asset = seen.graph.assets[name]
    given = {**asset.parameters, **parameters}
    return Task(Step(name), asset, seen.recipe(asset), given, {}, {}, None, {}, f"1/{name}")


def done(workers: Processes, *tasks: Task) -> dict[str, Done]:
    for each in tasks:
        workers.submit(each)
    found: dict[str, Done] = {}
    while len(found) < len(tasks):
        found.update((step.asset, done) for step, done in workers.wait(60))
    return found


def value(seen: Snapshot, done: Done) -> Any:
    assert done.error is None, done.error
    (made,) = done.outcome.made.values()
    return Vault(Objects(seen.objects.root)).load(made.canonical.content, "object")


# --------------------------------------------------------------------------------- one worker dies


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("kill", "was killed by SIGKILL"),
        ("crash", "was killed by SIGSEGV"),
        ("exit", "ended with exit code 3"),
    ],
)
def test_a_worker_that_dies_fails_its_step_and_no_other(
    seen: Snapshot, workers: Processes, how: str, told: str
) -> None:
    found = done(workers, task(seen, "dies", how=how), task(seen, "number_8"))
    error = found["dies"].error
    assert isinstance(error, WorkerDied)
    assert error.message == f"the worker that made `dies` {told}"
    assert found["number_8"].error is None
    again = done(workers, task(seen, "process"), task(seen, "number_4"))
    assert all(each.error is None for each in again.values())


def test_sys_exit_is_an_error_of_the_users_code(seen: Snapshot, workers: Processes) -> None:
    error = done(workers, task(seen, "dies", how="sys.exit"))["dies"].error
    assert isinstance(error, UserCodeError)
    assert error.message == "SystemExit: 3"
    assert error.line == "sys.exit(3)"
    assert "builtins.SystemExit" in error.types


def test_a_step_that_takes_too_long_is_killed(seen: Snapshot, workers: Processes) -> None:
    late = replace(task(seen, "dies", how="hang"), timeout=0.3)
    found = done(workers, late, task(seen, "number_8"))
    error = found["dies"].error
    assert isinstance(error, StepTimeout)
    assert "`dies`" in error.message
    assert "0.3 s" in error.message
    pid = int((seen.root / "hangs").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert found["number_8"].error is None


def test_an_idle_worker_that_is_killed_is_replaced(seen: Snapshot, workers: Processes) -> None:
    pid = value(seen, done(workers, task(seen, "process"))["process"])[0]
    os.kill(pid, signal.SIGKILL)
    assert value(seen, done(workers, task(seen, "process"))["process"])[0] != pid


def test_what_a_worker_did_not_begin_goes_to_another(seen: Snapshot, workers: Processes) -> None:
    pid = value(seen, done(workers, task(seen, "process"))["process"])[0]
    os.kill(pid, signal.SIGSTOP)
    workers.submit(task(seen, "process"))
    os.kill(pid, signal.SIGKILL)
    ((_, found),) = workers.wait(60)
    assert value(seen, found)[0] != pid


def test_a_wait_ends_when_it_is_woken(workers: Processes) -> None:
    workers.wake()
    assert workers.wait(60) == ()
    assert workers.wait(0) == ()


# --------------------------------------------------------------------------------- what is sent


def test_a_parameter_that_cant_be_pickled_is_named(seen: Snapshot, workers: Processes) -> None:
    error = done(workers, task(seen, "number_1", scale=lambda: 1))["number_1"].error
    assert error is not None
    assert error.message.startswith("`number_1`: the parameter `scale` can't be sent to a worker: ")
    assert error.advice is not None
    assert "--jobs 1" in error.advice
    assert error.where == str(seen.graph.assets["number_1"].where)


def test_a_worker_has_what_its_parent_has_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINEAL_TEST", "set")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    made = project(tmp_path / "p")
    with made.look() as seen, Processes(seen, 2) as workers:
        found = done(workers, task(seen, "process"), task(seen, "warned"))
        cores = os.cpu_count() or 1
        assert value(seen, found["process"])[1:] == ["set", "JST", max(1, cores // 2)]
        assert isinstance(found["warned"].error, UserCodeError)  # pytest makes warnings errors


def test_a_step_writes_its_own_log(seen: Snapshot, workers: Processes) -> None:
    done(workers, task(seen, "number_3"))
    text = (seen.objects.root / "logs" / "1" / "number_3.log").read_text()
    assert text.startswith("making 3\n-- lineal: 9 bytes")


# ------------------------------------------------------------------------------- the project


NAMES = [*(f"number_{n}" for n in range(1, 9)), "product", "sums"]


def contents(made: Project) -> dict[str, Any]:
    return {name: made.version(name).content for name in NAMES}


def test_two_workers_make_what_one_process_makes_and_load_the_project_once_each(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = PIPELINE.partition("@asset\ndef dies")[0]
    inline, parallel = project(tmp_path / "inline", text), project(tmp_path / "parallel", text)
    assert inline.materialize().outcome == "done"
    capfd.readouterr()
    assert parallel.materialize(jobs=2).outcome == "done"
    assert capfd.readouterr().out == "loading\n"  # in this process
    assert contents(parallel) == contents(inline)
    pids = (parallel.root / "pids").read_text().split()
    assert pids.count(str(os.getpid())) == 1
    assert len(pids) == len(set(pids)) == 3
    again = parallel.materialize(jobs=2)
    assert again.id is None  # nothing to do


def test_code_that_changed_since_the_plan_is_not_run(tmp_path: Path) -> None:
    made = project(tmp_path / "p")
    with made.look() as seen, Processes(seen, 2) as workers:
        (made.root / "pipeline.py").write_text(PIPELINE.replace('"making"', '"baking"'))
        error = done(workers, task(seen, "number_1"))["number_1"].error
        assert isinstance(error, InputsChanged)
        assert error.where == "pipeline.py"
        again = done(workers, task(seen, "number_2"))["number_2"].error
        assert isinstance(again, InputsChanged)


SQL_PIPELINE = """
import os
from lineal import asset, sql_asset

sql_asset("one", path="one.sql")
sql_asset("other", f"select {os.getpid()} as n")
SEED = os.getpid()

@asset
def seeded():
    return SEED
"""


def test_sql_that_changed_since_the_plan_is_not_run(tmp_path: Path) -> None:
    made = project(tmp_path / "p", SQL_PIPELINE)
    (made.root / "one.sql").write_text("select 1 as n")
    with made.look() as seen, Processes(seen, 1) as workers:
        (made.root / "one.sql").write_text("select 2 as n")
        error = done(workers, task(seen, "one"))["one"].error
        assert isinstance(error, InputsChanged)
        assert error.where == "one.sql"


def test_what_is_computed_to_something_else_in_a_worker_is_named(tmp_path: Path) -> None:
    made = project(tmp_path / "p", SQL_PIPELINE)
    (made.root / "one.sql").write_text("select 1 as n")
    with made.look() as seen, Processes(seen, 1) as workers:
        error = done(workers, task(seen, "seeded"))["seeded"].error
        assert isinstance(error, InputsChanged)
        assert "`pipeline.SEED` is another" in error.message
        error = done(workers, task(seen, "other"))["other"].error
        assert isinstance(error, InputsChanged)
        assert "`other` is declared otherwise in a worker" in error.message


RESOURCES = """
from pathlib import Path
from lineal import asset, resource

@resource
def tool():
    with open(Path(__file__).parent / "tool", "a") as file:
        file.write("opened ")
        yield "a tool"
        file.write("closed")
        raise ValueError("it broke")

@resource
def other():
    yield "another"

@asset
def first(tool, other):
    return f"first with {tool}, {other}"

@asset
def second(tool):
    return f"second with {tool}"
"""


def test_a_worker_opens_a_resource_once_and_closes_it_at_the_end(tmp_path: Path) -> None:
    made = project(tmp_path / "p", RESOURCES)
    with made.look() as seen:
        given: dict[str, Any] = {"tool": {}, "other": {}}
        tasks = [replace(task(seen, name), resources=given) for name in ("first", "second")]
        workers = Processes(seen, 1, {"other": "a stand-in"})
        found = [done(workers, each)[each.step.asset] for each in tasks]
        assert value(seen, found[0]) == "first with a tool, a stand-in"
        assert value(seen, found[1]) == "second with a tool"
        (told,) = workers.close()
        assert told.startswith("closing the resource `tool`: it raised ValueError: it broke")
    assert (made.root / "tool").read_text() == "opened closed"


def test_what_stands_in_for_a_resource_must_be_picklable(seen: Snapshot) -> None:
    with pytest.raises(UsageError, match="what stands in for the resource `tool` can't be sent"):
        Processes(seen, 1, {"tool": lambda: 1})


# ------------------------------------------------------------------------------- the end

SCRIPT = """
import sys
from pathlib import Path
import lineal
from lineal.workers import Processes
from lineal.assets.names import Step
from lineal.assets.perform import Task

print("script")
made = lineal.open(sys.argv[1])
with made.look() as seen, Processes(seen, 1) as workers:
    asset = seen.graph.assets["dies"]
    given = {"how": sys.argv[2]}
    workers.submit(Task(Step("dies"), asset, seen.recipe(asset), given, {}, {}, None, {}, "1/x"))
    print([done.error for _, done in workers.wait(60)])
"""


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    made = project(tmp_path / "p")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    ran = subprocess.run(
        [sys.executable, str(script), str(made.root), ""], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    assert ran.stdout == "script\nloading\n[None]\n", ran.stderr
    assert ran.stderr == ""


def test_when_the_parent_is_killed_no_process_is_left(tmp_path: Path) -> None:
    """And a script that has no file can start workers."""
    made = project(tmp_path / "p")
    started = subprocess.Popen(
        [sys.executable, "-", str(made.root), "hang"], text=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert started.stdin is not None
    started.stdin.write(SCRIPT)
    started.stdin.close()
    told = made.root / "hangs"
    while not (told.exists() and told.read_text()):
        assert started.poll() is None
        time.sleep(0.01)
    worker = int(told.read_text())
    server = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
    started.kill()
    started.wait()
    until = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in (worker, server)):
        assert time.monotonic() < until, "a process was left"
        time.sleep(0.01)
