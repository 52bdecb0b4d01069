"""What every implementation of ports.Journal holds: the one on disk and the fake of the tests."""

import contextlib
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from lineal.assets.errors import IntegrityError, StoreError
from lineal.assets.records import Acceptance, RunStarted
from lineal.lineage.journal import Journal
from tests.fakes import MemoryJournal


def said(text, at=1.0):
    return Acceptance("a", "old", "new", text, "ada", at)


def started(run):
    return RunStarted(run, "default", "ada", "host", ("x",), 1.0, "3.12", "1")


@pytest.fixture(params=["disk", "memory"])
def journal(request, tmp_path):
    return Journal(tmp_path / ".lineal") if request.param == "disk" else MemoryJournal()


@pytest.fixture
def disk(tmp_path):
    return Journal(tmp_path / ".lineal")


def texts(journal, after=0):
    return [[fact.reason for fact in facts] for _, facts in journal.read(after)]


def test_entries_are_numbered_from_one_without_gaps(journal):
    assert [journal.append([said("a")]), journal.append([said("b")])] == [1, 2]


def test_the_entry_that_starts_a_run_names_it(journal):
    journal.append([said("a")])
    seen = []
    assert journal.start_run(lambda run: [seen.append(run) or started(run)]) == "r2"
    assert seen == ["r2"]


# ------------------------------------------------------------------------------------------- disk


def test_reading_where_nothing_is_creates_nothing(tmp_path):
    journal = Journal(tmp_path / ".lineal")
    assert journal.head() == 0
    assert list(journal.read()) == []
    assert not (tmp_path / ".lineal").exists()


def test_what_was_appended_is_read_in_order_by_another(disk):
    disk.append([said("a"), said("b")])
    disk.append([])
    disk.append([said("ü\u2028\n")])
    other = Journal(disk.root)
    assert texts(other) == [["a", "b"], [], ["ü\u2028\n"]]
    assert texts(other, after=2) == [["ü\u2028\n"]]
    assert [n for n, _ in other.read(1)] == [2, 3]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9, 40])
def test_the_head_is_found_from_any_hint(disk, count):
    for n in range(count):
        disk.append([said(str(n))])
    for hint in (0, 1, count // 2, count, count + 5):
        assert Journal(disk.root).head(hint) == count


def test_nothing_is_left_in_tmp_and_the_format_is_said(disk):
    disk.append([said("a")])
    assert list((disk.root / "tmp").iterdir()) == []
    assert (disk.root / "format").read_text() == "1\n"


@pytest.mark.parametrize("text, says", [("2", "newer lineal"), ("one", "no number")])
def test_a_store_of_another_format_is_refused(disk, text, says):
    disk.append([said("a")])
    (disk.root / "format").chmod(0o644)
    (disk.root / "format").write_text(text)
    for act in (lambda j: list(j.read()), lambda j: j.append([said("b")]), lambda j: j.head()):
        with pytest.raises(IntegrityError, match=says) as caught:
            act(Journal(disk.root))
        assert caught.value.where == str(disk.root / "format")
        assert caught.value.advice


def rewrite(path, change):
    path.chmod(0o644)
    path.write_bytes(change(path.read_bytes()))


DAMAGE = {
    "deleted": (lambda path: path.unlink(), "is missing"),
    "emptied": (lambda path: rewrite(path, lambda b: b""), "cut short"),
    "half": (lambda path: rewrite(path, lambda b: b[: len(b) // 2]), "cut short"),
    "without its last byte": (lambda path: rewrite(path, lambda b: b[:-1]), "cut short"),
    "without its end line": (
        lambda path: rewrite(path, lambda b: b"".join(b.splitlines(True)[:-1])),
        "cut short",
    ),
    "without a fact": (
        lambda path: rewrite(path, lambda b: b"".join(b.splitlines(True)[i] for i in (0, 2))),
        "lines",
    ),
    "edited": (lambda path: rewrite(path, lambda b: b.replace(b'"ada"', b'"eve"')), "changed"),
}


@pytest.mark.parametrize("entry", [1, 3, 5])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_named_exactly(disk, damage, entry):
    for n in range(5):
        disk.append([said(f"fact {n}")])
    act, says = DAMAGE[damage]
    path = disk.path(entry)
    act(path)
    if damage == "deleted" and entry == 5:
        assert len(texts(Journal(disk.root))) == 4  # nothing later proves that it was there
        return
    with pytest.raises(IntegrityError, match=f"entry {entry} .*{says}") as caught:
        list(Journal(disk.root).read())
    assert caught.value.where == str(path)
    assert "backup" in caught.value.advice


def test_an_entry_of_another_journal_breaks_the_chain(tmp_path):
    one, other = Journal(tmp_path / "one"), Journal(tmp_path / "other")
    for n in range(3):
        one.append([said(f"one {n}")])
        other.append([said(f"other {n}")])
    one.path(2).unlink()
    other.path(2).rename(one.path(2))
    with pytest.raises(IntegrityError, match=r"entry 2 .* does not follow entry 1"):
        list(Journal(one.root).read())


def test_an_entry_under_another_number_is_found_out(disk):
    for n in range(3):
        disk.append([said(str(n))])
    disk.path(2).unlink()
    os.link(disk.path(3), disk.path(2))
    with pytest.raises(IntegrityError, match=r"entry 2 .* says that it is entry 3"):
        list(Journal(disk.root).read())


@pytest.mark.parametrize("missing", [[4], [3, 4]])
def test_no_entry_is_read_across_a_gap(disk, missing):
    for n in range(5):
        disk.append([said(str(n))])
    for number in missing:
        disk.path(number).unlink()
    with pytest.raises(IntegrityError, match=f"entry {missing[0]} .* is missing"):
        list(Journal(disk.root).read())


def test_no_entry_is_written_into_a_gap(disk):
    for n in range(3):
        disk.append([said(str(n))])
    other = Journal(disk.root)
    other.append([said("3")])
    other.append([said("4")])
    disk.path(4).unlink()
    with pytest.raises(IntegrityError, match=r"entry 4 .* is missing"):
        disk.append([said("x")])
    assert not disk.path(4).exists()


def test_nothing_is_chained_to_a_damaged_entry(disk):
    disk.append([said("a")])
    rewrite(disk.path(1), lambda b: b[:-5])
    with pytest.raises(IntegrityError, match=r"entry 1 .* cut short"):
        Journal(disk.root).append([said("b")])
    assert not disk.path(2).exists()


def test_a_folder_that_refuses_is_told_as_such(disk):
    disk.append([said("a")])
    (disk.root / "tmp").rmdir()
    with pytest.raises(StoreError, match=r"the journal could not be written"):
        disk.append([said("b")])


# ------------------------------------------------------------------------------- several at once


def _append_many(root, name, count):
    journal = Journal(Path(root))
    for n in range(count):
        journal.append([said(f"{name}.{n}")])


def _start_runs(root, count):
    journal = Journal(Path(root))
    for _ in range(count):
        journal.start_run(lambda run: [started(run)])


def _append_until_killed(root, name, acknowledged):
    journal = Journal(Path(root))
    with Path(acknowledged).open("ab", buffering=0) as log:
        for n in range(100_000):
            journal.append([said(f"{name}.{n}")])
            log.write(f"{name}.{n}\n".encode())


def _pack_until_killed(root):
    while True:
        Journal(Path(root)).compact(keep=1, size=3)


def together(*calls):
    spawn = multiprocessing.get_context("spawn")
    running = [spawn.Process(target=call, args=arguments) for call, *arguments in calls]
    for process in running:
        process.start()
    return running


def test_several_processes_append_without_a_gap_and_nothing_is_lost(disk):
    running = together(
        *[(_append_many, str(disk.root), f"p{p}", 25) for p in range(4)],
        *[(_start_runs, str(disk.root), 10) for _ in range(2)],
    )
    for process in running:
        process.join(60)
        assert process.exitcode == 0
    entries = list(Journal(disk.root).read())
    assert [n for n, _ in entries] == list(range(1, 121))
    spoken = [f.reason for _, facts in entries for f in facts if isinstance(f, Acceptance)]
    assert sorted(spoken) == sorted(f"p{p}.{n}" for p in range(4) for n in range(25))
    for name in ("p0", "p3"):  # each writer's own order is kept
        assert [s for s in spoken if s.startswith(name)] == [f"{name}.{n}" for n in range(25)]
    runs = [(n, f.run) for n, facts in entries for f in facts if isinstance(f, RunStarted)]
    assert len(runs) == 20
    assert all(run == f"r{n}" for n, run in runs)


@pytest.mark.parametrize("packing", [0, 1])
def test_what_was_acknowledged_before_a_kill_is_there_and_the_chain_holds(disk, tmp_path, packing):
    logs = [tmp_path / f"log{p}" for p in range(2)]
    running = together(
        *[(_append_until_killed, str(disk.root), f"p{p}", str(log)) for p, log in enumerate(logs)],
        *[(_pack_until_killed, str(disk.root)) for _ in range(packing)],
    )
    packs = disk.folder / "packs"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (
        any(not log.exists() or log.stat().st_size < 200 for log in logs)
        or (packing and not packs.is_dir())
    ):
        time.sleep(0.01)
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.join(10)
    acknowledged = {line for log in logs for line in log.read_text().splitlines()}
    assert len(acknowledged) > 20
    kept = {text for entry in texts(Journal(disk.root)) for text in entry}
    assert acknowledged <= kept
    assert Journal(disk.root).damages() == []
    assert Journal(disk.root).append([said("after")]) > len(acknowledged)
    if packing:
        assert packs.is_dir()
        Journal(disk.root).compact(keep=0, size=1)
        assert [path.name for path in disk.folder.iterdir()] == ["packs"]
        assert {text for entry in texts(Journal(disk.root)) for text in entry} == kept | {"after"}
