"""Waiting for others always ends: for the killed, the stopped, the interrupted, the broken."""

from __future__ import annotations

import fcntl
import signal
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import lineal.project
from tests.faults.commands import PATIENCE, Place, has_open, place_in, wait_until
from tests.faults.crowd_proofs import forbidden
from tests.faults.test_two_processes import SLOW, WAITING, assert_well, assert_well_but_held


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with place_in(tmp_path) as found:
        yield found


def test_a_killed_process_frees_its_steps_at_once(place: Place) -> None:
    place.pipeline(SLOW)
    first = place.start("materialize")
    place.at("slow")
    second = place.start("materialize")
    second.hears(WAITING)
    first.signal(signal.SIGKILL)
    first.end()
    place.at("slow")  # the second one is there now
    place.open("slow")
    assert_well(place, second.end())
    assert place.computed() == ["slow", "late"]
    assert place.outcomes("slow") == ["made"]


def test_who_waits_for_a_process_that_stands_still_goes_on_with_it(place: Place) -> None:
    place.pipeline(SLOW)
    first = place.start("materialize")
    place.at("slow")
    first.signal(signal.SIGSTOP)
    place.open("slow")
    second = place.start("materialize")
    second.hears(WAITING)
    first.signal(signal.SIGCONT)
    assert_well(place, first.end(), second.end())
    assert sorted(place.computed()) == ["late", "slow"]


# -------------------------------------------------------------------------------------- one process


def test_two_runs_in_two_threads_of_one_process(place: Place) -> None:
    place.pipeline(SLOW)
    code = """
        import threading, traceback
        import lineal

        project = lineal.open()
        told = []

        def make():
            try:
                told.append(lineal.open().materialize().outcome)
            except BaseException:
                told.append(traceback.format_exc())

        threads = [threading.Thread(target=make) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(*told, project.load("late"))
        """
    both = place.python("-c", textwrap.dedent(code))
    place.at("slow")
    place.open("slow")
    ended = both.end()
    assert_well(place, ended)
    assert ended.out.split() == ["done", "done", "2"]
    assert sorted(place.computed()) == ["late", "slow"]


# ------------------------------------------------------------------------------------- interrupted


def test_an_interrupt_while_waiting_for_a_step_leaves_nothing(place: Place) -> None:
    place.pipeline(SLOW)
    first = place.start("materialize")
    place.at("slow")
    second = place.start("materialize")
    second.hears(WAITING)
    second.signal(signal.SIGINT)
    ended = second.end()
    assert ended.code == 130
    assert list(forbidden(ended.out + ended.err, "")) == []
    place.open("slow")
    assert_well(place, first.end())
    assert place.outcomes("slow") == ["made"]
    past = place.past()
    assert sorted(past.started) == sorted(past.ended)


def test_an_interrupt_while_waiting_to_start_leaves_nothing(place: Place) -> None:
    place.pipeline(SLOW)
    place.open("slow")
    lock = place.store / "locks" / "start.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        waits = place.start("materialize")
        wait_until(lambda: has_open(waits.process.pid, lock), "it never came to the lock")
        waits.signal(signal.SIGINT)
        ended = waits.end()
    assert ended.code == 130
    assert list(forbidden(ended.out + ended.err, "")) == []
    assert not (place.store / "journal").exists()
    assert_well(place, place.run("materialize"))


def test_a_step_whose_folder_of_locks_is_gone_is_made_all_the_same(place: Place) -> None:
    place.pipeline(SLOW)
    place.open("slow")
    place.store.mkdir()
    (place.store / "locks").write_text("not a folder")
    ended = place.run("materialize")
    assert ended.code == 0, ended
    assert place.computed() == ["slow", "late"]


def test_threads_that_wait_hold_up_nobody_else(place: Place) -> None:
    """A lock is of a run, not of a process: another project in this process goes on."""
    place.pipeline(SLOW)
    first = place.start("materialize")
    place.at("slow")
    told: list[str] = []
    waits = threading.Thread(
        target=lambda: told.append(lineal.project.open(place.root).materialize().outcome)
    )
    waits.start()
    place.open("slow")
    assert_well_but_held(first.end())
    waits.join()
    assert told == ["done"]


# -------------------------------------------------------------------------------------- left behind


def test_a_child_that_outlives_a_killed_process_holds_nothing(place: Place) -> None:
    place.pipeline(
        """
        @asset
        def slow():
            if not os.path.exists(OUTSIDE + "/forked"):
                open(OUTSIDE + "/forked", "w").close()
                if os.fork() == 0:
                    gate("child")
                    os._exit(0)
            gate("slow")
            computed("slow")
            return 1
        """
    )
    first = place.start("materialize", "-q")
    place.at("slow")
    place.at("child")
    second = place.start("materialize")
    second.hears(WAITING)
    first.signal(signal.SIGKILL)
    place.at("slow")  # the second one is there now, and the child still at its gate
    place.open("slow")
    assert second.process.wait(PATIENCE) == 0
    place.open("child")
    first.end()
    assert_well(place, second.end())


BROKEN_DISK = """
    import errno
    from pathlib import Path

    from lineal.assets.errors import StoreError
    from lineal.disk import Disk
    from lineal.project import Project


    class Full(Disk):
        '''Takes the entry that starts a run, and nothing after.'''

        def create(self, path, data):
            if b'"fact":"materialization"' in data:
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            super().create(path, data)


    try:
        Project(Path.cwd(), Full()).materialize()
    except StoreError as error:
        print(error.message)
    """


def test_who_can_write_no_more_waits_for_nobody(place: Place) -> None:
    """Two such would wait for each other: each holds what it could not write."""
    place.pipeline(
        """
        @asset
        def early():
            computed("early")
            return 1


        @asset
        def slow():
            gate("slow")
            return 1
        """
    )
    first = place.start("materialize", "slow")
    place.at("slow")
    full = place.python("-c", textwrap.dedent(BROKEN_DISK))
    ended = full.end()  # while the first one still holds its step
    assert "No space left on device" in ended.out
    assert place.computed() == ["early"]
    place.open("slow")
    assert_well(place, first.end())
