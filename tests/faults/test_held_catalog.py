"""The catalog in other hands: held, watched, left or torn. Answers stay right, nobody waits."""

from __future__ import annotations

import json
import signal
import textwrap
from collections.abc import Iterator
from pathlib import Path

import duckdb
import filelock
import pytest

from tests.faults.commands import Command, Ended, Place, has_open, place_in, wait_until
from tests.faults.crowd_proofs import forbidden, held_locks

COUNT = "select count(*) as n from lineage.run"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A project with one run, its catalog up to date."""
    with place_in(tmp_path) as found:
        found.write("n.csv", "v\n1\n")
        found.pipeline(
            """
            source("raw/n", "n.csv")


            @asset
            def total(raw_n):
                return int(raw_n["v"].sum())
            """
        )
        assert found.run("materialize").code == 0
        assert counted(found.run("sql", COUNT, "--json")) == 1
        yield found


@pytest.fixture
def catalog(place: Place) -> Path:
    return place.store / "catalog.duckdb"


def counted(ended: Ended) -> int:
    assert ended.code == 0, ended
    ((name, count),) = json.loads(ended.out)[0].items()
    assert name == "n"
    return int(count)


def outsider(place: Place, code: str) -> Command:
    """A program that has nothing to do with lineal; it says `held`, and stays."""
    stays = "import sys, time\nprint('held', file=sys.stderr, flush=True)\ntime.sleep(600)\n"
    command = place.python("-c", textwrap.dedent(code) + stays)
    command.hears("held")
    return command


def writer(place: Place, catalog: Path) -> Command:
    """Holds the catalog open for writing, in the middle of a transaction."""
    return outsider(
        place,
        f"""
        import duckdb
        held = duckdb.connect({str(catalog)!r})
        held.execute("begin")
        held.execute("create table mine as from range(10)")
        """,
    )


def run_again(place: Place, number: int) -> Ended:
    place.write("n.csv", f"v\n{number}\n")
    return place.run("materialize")


def calm(ended: Ended, code: int = 0) -> None:
    """Ended so, without a word that only a programmer understands."""
    assert ended.code == code, ended
    assert list(forbidden(ended.out + ended.err, "")) == []


# ------------------------------------------------------------------------------- held by others


def test_questions_are_answered_from_a_copy_that_names_who_holds_the_catalog(
    place: Place, catalog: Path
) -> None:
    holder = writer(place, catalog)
    calm(run_again(place, 2))
    asked = place.run("sql", COUNT, "--json")
    assert counted(asked) == 2
    assert f"PID {holder.process.pid}" in asked.err
    assert "answered from a copy built from the journal" in asked.err
    assert list(forbidden(asked.err, "")) == []
    assert len(asked.err.strip().splitlines()) == 1
    holder.signal(signal.SIGTERM)
    holder.end()
    after = place.run("sql", COUNT, "--json")
    assert counted(after) == 2
    assert after.err == ""


def test_what_needs_no_catalog_just_works_while_it_is_held(place: Place, catalog: Path) -> None:
    writer(place, catalog)
    for words in (
        ("plan",),
        ("status",),
        ("runs",),
        ("why", "total"),
        ("show", "total"),
        ("lineage", "total"),
        ("path", "total"),
        ("materialize", "--force"),
    ):
        ended = place.run(*words)
        calm(ended)
        assert ended.err == "", words


def test_a_held_catalog_is_not_rebuilt_and_the_reason_is_told(place: Place, catalog: Path) -> None:
    holder = writer(place, catalog)
    before = catalog.read_bytes()
    refused = place.run("rebuild")
    calm(refused, code=1)
    first = refused.err.splitlines()[0]
    assert first.startswith("error: the catalog is held by ")
    assert f"PID {holder.process.pid}" in first
    assert catalog.read_bytes() == before
    holder.signal(signal.SIGTERM)
    holder.end()
    calm(place.run("rebuild"))
    assert counted(place.run("sql", COUNT, "--json")) == 1


def test_an_outside_reader_sees_its_own_moment_and_stops_nobody(
    place: Place, catalog: Path
) -> None:
    reader = outsider(
        place, f"import duckdb\nheld = duckdb.connect({str(catalog)!r}, read_only=True)\n"
    )
    same = place.run("sql", COUNT, "--json")
    assert (counted(same), same.err) == (1, "")
    calm(run_again(place, 2))
    asked = place.run("sql", COUNT, "--json")
    assert counted(asked) == 2
    assert list(forbidden(asked.err, "")) == []
    reader.signal(signal.SIGTERM)
    reader.end()
    after = place.run("sql", COUNT, "--json")
    assert (counted(after), after.err) == (2, "")


def test_what_an_outside_writer_left_in_the_catalog_is_never_believed(
    place: Place, catalog: Path
) -> None:
    with duckdb.connect(catalog) as connection:
        connection.execute("delete from lineage.run")
    assert counted(place.run("sql", COUNT, "--json")) == 1


# ---------------------------------------------------------------------------------- killed and torn


def test_what_a_killed_outside_writer_left_beside_the_catalog_does_no_harm(
    place: Place, catalog: Path
) -> None:
    holder = outsider(
        place,
        f"""
        import duckdb
        held = duckdb.connect({str(catalog)!r})
        held.execute("set checkpoint_threshold = '1TB'")
        held.execute("delete from lineage.run")
        """,
    )
    log = catalog.with_name("catalog.duckdb.wal")
    assert log.exists()
    holder.signal(signal.SIGKILL)
    holder.end()
    assert log.exists()
    asked = place.run("sql", COUNT, "--json")
    assert counted(asked) == 1
    assert not log.exists()


def test_a_log_beside_the_catalog_that_is_not_its_own_does_no_harm(
    place: Place, catalog: Path
) -> None:
    log = catalog.with_name("catalog.duckdb.wal")
    log.write_bytes(b"something else" * 100)
    calm(run_again(place, 2))
    assert counted(place.run("sql", COUNT, "--json")) == 2
    assert not log.exists()


def test_a_command_that_is_killed_while_it_has_the_catalog_keeps_nobody_out(
    place: Place, catalog: Path
) -> None:
    lock = place.store / "locks" / "catalog.lock"
    killed = False
    while not killed:  # until one was caught in the act
        rebuilds = place.start("rebuild")
        while rebuilds.process.poll() is None and not killed:
            killed = has_open(rebuilds.process.pid, lock)
        rebuilds.signal(signal.SIGKILL)
        killed = rebuilds.end().code == -signal.SIGKILL and killed
    assert list(held_locks(place.store)) == []
    asked = place.run("sql", COUNT, "--json")
    assert (counted(asked), asked.err) == (1, "")
    calm(place.run("rebuild"))


def test_who_waits_for_a_command_that_stands_still_goes_on_with_it(place: Place) -> None:
    lock = place.store / "locks" / "catalog.lock"
    stopped = False
    while not stopped:
        rebuilds = place.start("rebuild")
        while rebuilds.process.poll() is None and not stopped:
            stopped = has_open(rebuilds.process.pid, lock)
        if stopped:
            rebuilds.signal(signal.SIGSTOP)
            stopped = held_locks_are(place, "catalog.lock")
            if not stopped:
                rebuilds.signal(signal.SIGCONT)
        if not stopped:
            calm(rebuilds.end())
    there = len(list(place.temporary.iterdir()))
    waits = place.start("sql", COUNT, "--json")
    asks_for_the_catalog(place, there)
    rebuilds.signal(signal.SIGCONT)
    calm(rebuilds.end())
    asked = waits.end()
    assert (counted(asked), asked.err) == (1, "")


def asks_for_the_catalog(place: Place, there: int) -> None:
    """A question makes a folder for its copy, then waits for the lock."""
    wait_until(
        lambda: len(list(place.temporary.glob("lineal-*"))) > there,
        "it never asked for the catalog",
    )


def held_locks_are(place: Place, *names: str) -> bool:
    return [Path(told.split(" is held")[0]).name for told in held_locks(place.store)] == [*names]


def test_an_interrupt_while_waiting_for_the_catalog_leaves_nothing(place: Place) -> None:
    lock = place.store / "locks" / "catalog.lock"
    with filelock.FileLock(lock):
        waits = place.start("sql", COUNT)
        asks_for_the_catalog(place, 0)
        waits.signal(signal.SIGINT)
        ended = waits.end()
    assert (ended.code, ended.out) == (130, ""), ended.err
    assert list(forbidden(ended.err, "")) == []
    assert list(place.temporary.iterdir()) == []
    assert counted(place.run("sql", COUNT, "--json")) == 1


def test_an_interrupt_while_a_library_makes_a_dataclass_ends_with_the_same_code(
    place: Place,
) -> None:
    """Python runs a text for that, and would end by the signal although it was caught."""
    place.write("click.py", 'exec("raise KeyboardInterrupt")\n')  # stands in for the library
    calm(place.run("status"), 130)
