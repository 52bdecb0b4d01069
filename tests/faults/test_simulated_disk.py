"""The simulated disk itself: what it counts, how it fails, and what it forgets in a power cut."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.platters import ALL_TORN, ONLY_SYNCED, Platters, Tree
from tests.faults.simulated_disk import Crashed, Fault, SimulatedDisk, SyncedAgain

SEEDS = range(40)
DATA = bytes(range(256)) * 8  # four sectors


@pytest.fixture
def store(tmp_path: Path) -> Path:
    found = tmp_path / "store"
    found.mkdir()
    return found


@pytest.fixture
def platters(store: Path) -> Platters:
    return Platters(store)


@pytest.fixture
def disk(platters: Platters) -> SimulatedDisk:
    return SimulatedDisk(platters)


def files(tree: Tree) -> dict[str, bytes]:
    return {path: file.data for path, file in tree.items() if file is not None}


def survivors(platters: Platters) -> list[dict[str, bytes]]:
    """The files of every store that some power cut leaves now."""
    image = platters.image()
    found: list[dict[str, bytes]] = []
    for seed in SEEDS:
        each = files(image.after_power_cut(seed))
        if each not in found:
            found.append(each)
    return found


def test_what_stands_there_at_the_beginning_is_durable(store: Path) -> None:
    (store / "inner").mkdir()
    (store / "inner" / "a").write_bytes(DATA)
    assert survivors(Platters(store)) == [{"store/inner/a": DATA}]


def test_a_file_that_nobody_synced_is_gone_torn_empty_or_whole(
    store: Path, platters: Platters, disk: SimulatedDisk
) -> None:
    disk.create(store / "a", DATA)
    found = survivors(platters)
    assert {} in found
    assert {"store/a": b""} in found
    assert {"store/a": DATA} in found
    assert {"store/a": bytes(len(DATA))} in found
    torn = [f["store/a"] for f in found if f.get("store/a", b"\1")[:1] == b"\0" and len(f) == 1]
    assert any(0 < len(t) < len(DATA) and t == DATA[: len(t)] for t in torn)


def test_synced_bytes_are_nothing_without_a_synced_name(
    store: Path, platters: Platters, disk: SimulatedDisk
) -> None:
    disk.create(store / "a", DATA)
    disk.sync([store / "a"])
    found = survivors(platters)
    assert found == [{}, {"store/a": DATA}]
    assert files(platters.image().after_power_cut(ONLY_SYNCED)) == {}


def test_a_synced_name_is_nothing_without_synced_bytes(
    store: Path, platters: Platters, disk: SimulatedDisk
) -> None:
    disk.create(store / "a", DATA)
    disk.sync([store])
    assert files(platters.image().after_power_cut(ONLY_SYNCED)) == {"store/a": b""}
    assert files(platters.image().after_power_cut(ALL_TORN)) == {"store/a": DATA[: len(DATA) // 2]}


def test_synced_bytes_by_a_synced_name_survive_everything(
    store: Path, platters: Platters, disk: SimulatedDisk
) -> None:
    disk.create(store / "a", DATA)
    disk.sync([store / "a", store])
    assert survivors(platters) == [{"store/a": DATA}]


def test_a_name_is_synced_by_its_own_folder_only(
    store: Path, platters: Platters, disk: SimulatedDisk
) -> None:
    disk.mkdir(store / "inner")
    disk.create(store / "inner" / "a", DATA)
    disk.sync([store / "inner" / "a", store / "inner"])
    assert survivors(platters) == [{}, {"store/inner/a": DATA}]
    disk.sync([store])
    assert survivors(platters) == [{"store/inner/a": DATA}]


def test_the_name_of_the_store_is_to_be_synced_too(tmp_path: Path) -> None:
    platters = Platters(tmp_path / "store")
    disk = SimulatedDisk(platters)
    disk.mkdir(tmp_path / "store")
    disk.sync([tmp_path / "store"])
    assert platters.image().after_power_cut(ONLY_SYNCED) == {}
    disk.sync([tmp_path])
    assert platters.image().after_power_cut(ONLY_SYNCED) == {"store": None}


def test_links_share_their_bytes(store: Path, platters: Platters, disk: SimulatedDisk) -> None:
    disk.create(store / "a", DATA)
    disk.link(store / "a", store / "b")
    disk.sync([store])
    for found in survivors(platters):
        assert found["store/a"] == found["store/b"]
    disk.sync([store / "b"])
    assert survivors(platters) == [{"store/a": DATA, "store/b": DATA}]
    platters.power_cut(ONLY_SYNCED)
    assert os.path.samefile(store / "a", store / "b")


def test_a_link_that_is_not_synced_may_be_missing(
    store: Path, platters: Platters, disk: SimulatedDisk
) -> None:
    disk.create(store / "a", DATA)
    disk.sync([store / "a", store])
    disk.link(store / "a", store / "b")
    assert survivors(platters) == [{"store/a": DATA}, {"store/a": DATA, "store/b": DATA}]


def test_a_removed_name_may_come_back_until_its_folder_is_synced(
    store: Path, platters: Platters, disk: SimulatedDisk
) -> None:
    disk.create(store / "a", DATA)
    disk.sync([store / "a", store])
    disk.unlink(store / "a")
    assert survivors(platters) == [{"store/a": DATA}, {}]
    disk.sync([store])
    assert survivors(platters) == [{}]


def test_a_name_made_and_removed_may_come_back(
    store: Path, platters: Platters, disk: SimulatedDisk
) -> None:
    disk.create(store / "a", DATA)
    disk.unlink(store / "a")
    assert {"store/a": DATA} in survivors(platters)
    assert {} in survivors(platters)


def test_a_replaced_name_is_the_old_file_or_the_new_one(
    store: Path, platters: Platters, disk: SimulatedDisk
) -> None:
    for name, data in [("a", b"old"), ("b", b"new")]:
        disk.create(store / name, data)
    disk.sync([store / "a", store / "b", store])
    disk.replace(store / "b", store / "a")
    assert {found["store/a"] for found in survivors(platters)} == {b"old", b"new"}
    disk.sync([store])
    assert survivors(platters) == [{"store/a": b"new"}]


def test_a_file_written_by_a_library_is_seen(
    store: Path, platters: Platters, disk: SimulatedDisk
) -> None:
    (store / "a").write_bytes(DATA)
    disk.complete(store / "a")
    assert {} in survivors(platters)
    disk.sync([store / "a", store])
    assert survivors(platters) == [{"store/a": DATA}]


def test_a_power_cut_is_what_the_folder_then_holds(
    store: Path, platters: Platters, disk: SimulatedDisk
) -> None:
    disk.create(store / "a", DATA)
    disk.sync([store / "a", store])
    disk.create(store / "b", DATA)
    platters.power_cut(ONLY_SYNCED)
    assert os.listdir(store) == ["a"]
    assert survivors(platters) == [{"store/a": DATA}]


def test_a_restored_image_is_as_durable_as_it_was(
    store: Path, platters: Platters, disk: SimulatedDisk
) -> None:
    disk.create(store / "a", DATA)
    disk.sync([store])
    disk.create(store / "b", DATA)
    image = platters.image()
    disk.sync([store / "a", store / "b", store])
    platters.restore(image)
    assert (store / "a").read_bytes() == DATA
    assert platters.image() == image


def test_a_torn_file_is_torn_by_all_its_names(
    store: Path, platters: Platters, disk: SimulatedDisk
) -> None:
    disk.create(store / "a", DATA)
    disk.link(store / "a", store / "b")
    half = DATA[: len(DATA) // 2]
    assert files(platters.image().torn("store/a")) == {"store/a": half, "store/b": half}


# ---------------------------------------------------------------------------------------- failing

Doing = Callable[[SimulatedDisk, Path], None]
EACH: dict[str, Doing] = {
    "create": lambda disk, store: disk.create(store / "new", DATA),
    "copy": lambda disk, store: disk.copy(store / "old", store / "new"),
    "complete": lambda disk, store: disk.complete(store / "old"),
    "sync": lambda disk, store: disk.sync([store / "old"]),
    "link": lambda disk, store: disk.link(store / "old", store / "new"),
    "replace": lambda disk, store: disk.replace(store / "old", store / "new"),
    "unlink": lambda disk, store: disk.unlink(store / "old"),
    "mkdir": lambda disk, store: disk.mkdir(store / "new"),
}


def state(store: Path) -> dict[str, object]:
    return {p.name: p.read_bytes() if p.is_file() else p.stat().st_mode for p in store.iterdir()}


@pytest.fixture
def old(store: Path) -> Path:
    (store / "old").write_bytes(DATA)
    return store


@pytest.mark.parametrize("name", EACH)
def test_every_operation_is_counted_and_done(old: Path, name: str) -> None:
    numbers: list[int] = []
    disk = SimulatedDisk(Platters(old), watch=numbers.append)
    EACH[name](disk, old)
    assert [operation.name for operation in disk.operations] == [name]
    assert numbers == [1]


@pytest.mark.parametrize("name", EACH)
def test_a_crash_before_an_operation_leaves_it_undone(old: Path, name: str) -> None:
    disk = SimulatedDisk(Platters(old), Fault("crash before", 1))
    before = state(old)
    with pytest.raises(Crashed):
        EACH[name](disk, old)
    assert state(old) == before
    assert disk.is_dead


@pytest.mark.parametrize("name", EACH)
def test_a_crash_after_an_operation_leaves_it_done(old: Path, name: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "old").write_bytes(DATA)
    EACH[name](SimulatedDisk(Platters(other)), other)
    with pytest.raises(Crashed):
        EACH[name](SimulatedDisk(Platters(old), Fault("crash after", 1)), old)
    assert state(old) == state(other)


def test_the_dead_do_nothing(old: Path) -> None:
    disk = SimulatedDisk(Platters(old), Fault("crash before", 1))
    with pytest.raises(Crashed):
        disk.unlink(old / "old")
    for doing in EACH.values():
        with pytest.raises(Crashed):
            doing(disk, old)
    with pytest.raises(Crashed):
        disk.forget(old / "old")
    assert state(old) == {"old": DATA}


@pytest.mark.parametrize("name", ["create", "copy", "complete"])
def test_a_torn_operation_leaves_a_part(old: Path, name: str) -> None:
    disk = SimulatedDisk(Platters(old), Fault("tear", 1))
    with pytest.raises(Crashed):
        EACH[name](disk, old)
    torn = old / ("old" if name == "complete" else "new")
    assert torn.read_bytes() == DATA[: len(DATA) // 2]


@pytest.mark.parametrize("name", EACH)
def test_a_refused_operation_is_not_done_and_names_its_file(old: Path, name: str) -> None:
    disk = SimulatedDisk(Platters(old), Fault("refuse once", 1, errno.ENOSPC))
    before = state(old)
    with pytest.raises(OSError, match="No space left") as told:
        EACH[name](disk, old)
    assert told.value.errno == errno.ENOSPC
    assert str(told.value.filename).startswith(str(old))
    assert state(old) == before
    if name != "sync":
        EACH[name](disk, old)


def test_a_full_disk_refuses_until_there_is_room_and_lets_files_be_removed(old: Path) -> None:
    disk = SimulatedDisk(Platters(old), Fault("refuse on", 2))
    disk.create(old / "a", DATA)
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            disk.create(old / "b", DATA)
    disk.unlink(old / "old")
    disk.free()
    disk.create(old / "b", DATA)
    assert state(old) == {"a": DATA, "b": DATA}


def test_all_of_several_are_synced_though_one_fails(old: Path) -> None:
    platters = Platters(old)
    disk = SimulatedDisk(platters, Fault("refuse once", 3, errno.EIO))
    for name in ("a", "b"):
        disk.create(old / name, DATA)
    with pytest.raises(OSError, match="Input/output"):
        disk.sync([old / "a", old / "b", old])
    assert files(platters.image().after_power_cut(ONLY_SYNCED)) == {
        "store/old": DATA,
        "store/a": b"",
        "store/b": DATA,
    }


def test_what_failed_to_sync_must_not_be_synced_again(old: Path) -> None:
    disk = SimulatedDisk(Platters(old), Fault("refuse once", 1, errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        disk.sync([old / "old"])
    with pytest.raises(SyncedAgain):
        disk.sync([old / "old"])
    assert disk.synced_again == ["store/old"]


def test_bytes_whose_sync_failed_are_lost_whatever_a_later_sync_says(old: Path) -> None:
    platters = Platters(old)
    disk = SimulatedDisk(platters, Fault("refuse once", 2, errno.EIO))
    disk.create(old / "a", DATA)
    with pytest.raises(OSError, match="Input/output"):
        disk.sync([old / "a"])
    SimulatedDisk(platters).sync([old / "a", old])
    assert files(platters.image().after_power_cut(ONLY_SYNCED))["store/a"] == b""
