from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from blake3 import blake3

from lineal.assets.errors import IntegrityError, StoreError
from lineal.assets.records import StoredObject
from lineal.disk import digest_file
from lineal.storage.objects import Objects


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(tmp_path / ".lineal")


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_an_object_lies_under_its_byte_digest(objects: Objects) -> None:
    stored = objects.put_bytes(b"hello", "txt")
    objects.sync()
    digest = blake3(b"hello").hexdigest()
    assert stored == StoredObject(digest, "txt", 5)
    place = objects.root / "objects" / digest[:2] / f"{digest}.txt"
    assert objects.path(stored) == place
    assert place.read_bytes() == b"hello"


def test_nothing_is_made_before_the_first_write(objects: Objects) -> None:
    objects.sync()
    assert objects.present([StoredObject("ab" * 32, "txt", 1)]) == frozenset()
    assert not objects.root.exists()


def test_an_object_is_read_only(objects: Objects) -> None:
    stored = objects.put_bytes(b"hello", "txt")
    assert not stat.S_IMODE(objects.path(stored).stat().st_mode) & 0o222


def test_a_suffix_may_be_absent(objects: Objects) -> None:
    stored = objects.put_bytes(b"hello", "")
    assert objects.path(stored).name == stored.digest


def test_nothing_has_a_name_before_sync(objects: Objects) -> None:
    objects.put_bytes(b"hello", "txt")
    assert not (objects.root / "objects").exists()


def test_a_staged_object_is_read_and_present_before_sync(objects: Objects) -> None:
    stored = objects.put_bytes(b"hello", "txt")
    assert objects.read(stored) == b"hello"
    assert objects.present([stored]) == {stored.digest}
    objects.verify(stored)


def test_a_path_asked_for_before_sync_stays_valid_after_it(objects: Objects) -> None:
    path = objects.path(objects.put_bytes(b"hello", "txt"))
    assert path.read_bytes() == b"hello"
    objects.sync()
    assert path.read_bytes() == b"hello"


def test_equal_bytes_share_one_file(objects: Objects) -> None:
    first = objects.put_bytes(b"hello", "txt")
    assert objects.put_bytes(b"hello", "txt") == first
    objects.sync()
    assert objects.put_bytes(b"hello", "txt") == first
    objects.sync()
    assert len(files_in(objects.root)) == 1


def test_sync_leaves_nothing_in_tmp(objects: Objects) -> None:
    for number in range(40):
        objects.put_bytes(str(number).encode(), "txt")
    objects.sync()
    assert files_in(objects.root / "tmp") == []
    assert len(files_in(objects.root / "objects")) == 40


def test_a_copied_file_does_not_follow_later_changes(objects: Objects, tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    path.write_text("a\n1\n")
    stored = objects.stage_file(path, "csv")
    path.write_text("a\n2\n")
    assert objects.read(stored) == b"a\n1\n"
    assert path.exists()


def test_an_adopted_file_is_moved(objects: Objects) -> None:
    path = objects.scratch("bin")
    path.write_bytes(b"12345")
    stored = objects.adopt(path, "bin")
    objects.sync()
    assert not path.exists()
    assert objects.path(stored).read_bytes() == b"12345"


def test_an_adopted_file_that_is_there_already_is_dropped(objects: Objects) -> None:
    objects.put_bytes(b"12345", "bin")
    objects.sync()
    path = objects.scratch("bin")
    path.write_bytes(b"12345")
    objects.adopt(path, "bin")
    objects.sync()
    assert len(files_in(objects.root)) == 1


def test_a_truncated_object_is_not_present_and_is_mended_by_the_next_write(
    objects: Objects,
) -> None:
    stored = objects.put_bytes(b"hello", "txt")
    objects.sync()
    path = objects.path(stored)
    path.chmod(0o644)
    path.write_bytes(b"he")
    assert objects.present([stored]) == frozenset()
    other = Objects(objects.root)
    other.put_bytes(b"hello", "txt")
    other.sync()
    assert path.read_bytes() == b"hello"
    assert objects.present([stored]) == {stored.digest}


def test_a_digest_is_present_only_if_all_objects_of_it_are(objects: Objects) -> None:
    stored = objects.put_bytes(b"hello", "txt")
    assert objects.present([stored, stored._replace(suffix="csv")]) == frozenset()


def damage(objects: Objects) -> StoredObject:
    stored = objects.put_bytes(b"hello", "txt")
    objects.sync()
    path = objects.path(stored)
    path.chmod(0o644)
    path.write_bytes(b"jello")
    return stored


def test_damage_is_found_at_the_first_read_in_a_process(objects: Objects) -> None:
    stored = damage(objects)
    for look in (Objects(objects.root).read, Objects(objects.root).verify):
        with pytest.raises(IntegrityError) as caught:
            look(stored)
        assert str(objects.path(stored)) in str(caught.value)
        assert caught.value.exit_code == 3


def test_any_bit_flipped_is_found_by_every_way_to_read(objects: Objects) -> None:
    stored = objects.put_bytes(b"twelve bytes", "bin")
    objects.sync()
    path = objects.path(stored)
    path.chmod(0o644)
    for place in range(stored.bytes):
        for bit in range(8):
            data = bytearray(b"twelve bytes")
            data[place] ^= 1 << bit
            path.write_bytes(data)
            fresh = Objects(objects.root)
            for look in (fresh.read, fresh.verify, fresh.intact):
                with pytest.raises(IntegrityError, match="damaged") as caught:
                    look(stored)
                assert caught.value.where == str(path)
                assert "lineal fsck --repair" in str(caught.value.advice)
    path.write_bytes(b"twelve bytes")
    assert Objects(objects.root).intact(stored) == path


def test_a_missing_object_is_an_integrity_error_with_its_whole_path(objects: Objects) -> None:
    stored = StoredObject("ab" * 32, "parquet", 9)
    for look in (objects.read, objects.verify):
        with pytest.raises(IntegrityError, match=str(objects.path(stored))):
            look(stored)


def test_an_object_staged_by_one_process_is_shared_by_another(objects: Objects) -> None:
    other = Objects(objects.root)
    mine, theirs = objects.put_bytes(b"same", "bin"), other.put_bytes(b"same", "bin")
    objects.sync()
    other.sync()
    assert mine == theirs
    assert len(files_in(objects.root)) == 1
    assert other.read(theirs) == b"same"


def test_threads_may_write_and_sync_at_the_same_time(objects: Objects) -> None:
    made: list[StoredObject] = []
    faults: list[BaseException] = []

    def work(start: int) -> None:
        try:
            for number in range(start, start + 30):
                stored = objects.put_bytes(f"{number % 50}".encode(), "txt")
                assert objects.read(stored) == f"{number % 50}".encode()
                if number % 7 == 0:
                    objects.sync()
                made.append(stored)
        except BaseException as fault:  # noqa: BLE001  told below
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 10, 20, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    objects.sync()
    assert faults == []
    assert len(files_in(objects.root / "objects")) == len(set(made)) == 50
    assert files_in(objects.root / "tmp") == []


def test_a_failed_fsync_is_told_once_and_for_all(objects: Objects) -> None:
    objects.put_bytes(b"hello", "txt")
    (staged,) = files_in(objects.root / "tmp")
    staged.unlink()  # the disk lost it
    with pytest.raises(StoreError, match=str(staged)):
        objects.sync()
    staged.write_bytes(b"hello")  # a second fsync would find nothing wrong
    with pytest.raises(StoreError, match=str(staged)):
        objects.sync()
    assert not (objects.root / "objects").exists()


def test_a_full_disk_is_a_store_error_that_leaves_nothing_behind(tmp_path: Path) -> None:
    # A limit of the size of files stands in for the full disk; it needs a process of its own.
    script = f"""
import resource, signal, sys
from pathlib import Path
from lineal.assets.errors import StoreError
from lineal.disk import digest_file
from lineal.storage.objects import Objects
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
objects = Objects(Path({str(tmp_path)!r}))
try:
    objects.put_bytes(b"x" * 5000, "bin")
except StoreError as error:
    print(error.where)
"""
    assert resource.RLIMIT_FSIZE is not None
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    assert done.stdout.startswith(str(tmp_path / "tmp"))
    assert files_in(tmp_path) == []


def test_a_killed_writer_leaves_only_a_leftover_that_is_cleared(objects: Objects) -> None:
    script = f"""
import os
from pathlib import Path
from lineal.disk import digest_file
from lineal.storage.objects import Objects
Objects(Path({str(objects.root)!r})).put_bytes(b"lost", "bin")
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", script], check=False, cwd=Path.cwd())
    assert len(files_in(objects.root)) == 1
    kept = objects.put_bytes(b"kept", "bin")
    later = objects.root.stat().st_mtime + 1000
    assert objects.clear_leftovers(before=0) == 0
    assert objects.clear_leftovers(before=later) == 1
    objects.sync()
    assert objects.read(kept) == b"kept"


def test_the_digest_of_a_large_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    data = os.urandom(1 << 20) * 20
    (tmp_path / "large").write_bytes(data)
    assert digest_file(tmp_path / "large") == (blake3(data).hexdigest(), len(data))


def test_a_folder_without_the_right_to_write_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        Objects(tmp_path / "file" / ".lineal").put_bytes(b"x", "bin")
