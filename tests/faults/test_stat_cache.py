"""The cache of digests never answers for bytes that are not there, whatever clocks say."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lineal.assets.asset import Files
from lineal.assets.errors import InputsChanged, SourceMissing
from lineal.assets.records import Observation
from lineal.disk import AnyPath, Disk
from lineal.storage.sources import Identity, Observer, identity_of

SECOND = 1_000_000_000
MINUTE, HOUR = 60 * SECOND, 3_600 * SECOND
NAMES = ("a", "b", "c")


class FileSystemTime:
    """The times a file system writes into files: the real ones, coarser, and later as we wish.

    Hours pass when a test says so; times never go back.
    """

    def __init__(self, tick: int, folder: Path):
        self.tick = tick
        self._probe = folder / ".probe"
        self._steps = [(0, 0)]  # from this real time on, so much later

    def now(self) -> int:
        return self.stamp(self._real())

    def passes(self, nanoseconds: int) -> None:
        self._steps.append((self._real() + 1, self._steps[-1][1] + nanoseconds))

    def stamp(self, real: int) -> int:
        later = next(shift for start, shift in reversed(self._steps) if start <= real)
        return (real + later) // self.tick * self.tick

    def identity(self, status: os.stat_result) -> Identity:
        device, inode, size, modified, changed = identity_of(status)
        return device, inode, size, self.stamp(modified), self.stamp(changed)

    def _real(self) -> int:
        self._probe.write_bytes(b"")
        return self._probe.stat().st_ctime_ns


class NoProbes(Disk):
    """A store in which no file can be created to see what time it gets."""

    def create(self, path: AnyPath, data: bytes) -> None:
        if not data:
            raise OSError(errno.EROFS, "read-only")
        super().create(path, data)


def digest_of_bytes(path: Path) -> str:
    return blake3(path.read_bytes()).hexdigest()


class AnyClock(RuleBasedStateMachine):
    """Files changed in all ways that leave their sizes as they are, by any clock of ours."""

    disk = Disk()
    reach = 10 * 24 * HOUR  # how far our clock may be from the file system's

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.there = FileSystemTime(2 * SECOND, self.folder)
        self.ours = self.there.now()
        self.cache = self.folder / "store" / "cache" / "stat.json"
        self.living = self.fresh()
        self.seen: list[Observation] = []

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def fresh(self) -> Observer:
        return Observer(
            self.folder,
            self.cache,
            self.disk,
            clock=lambda: self.ours,
            identity=self.there.identity,
        )

    # ------------------------------------------------------------------------ what happens to files

    @rule(name=st.sampled_from(NAMES), content=st.sampled_from((b"one", b"two", b"six")))
    def write(self, name: str, content: bytes) -> None:
        (self.folder / name).write_bytes(content)

    @rule(name=st.sampled_from(NAMES), content=st.sampled_from((b"one", b"two", b"six")))
    def put_in_its_place(self, name: str, content: bytes) -> None:
        (self.folder / "new").write_bytes(content)
        os.replace(self.folder / "new", self.folder / name)

    @rule(name=st.sampled_from(NAMES), content=st.sampled_from((b"one", b"two")))
    def write_and_put_the_time_back(self, name: str, content: bytes) -> None:
        path = self.folder / name
        if path.exists():
            before = path.stat()
            path.write_bytes(content)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    @rule(name=st.sampled_from(NAMES), other=st.sampled_from(NAMES))
    def copy_with_times(self, name: str, other: str) -> None:
        one, two = self.folder / name, self.folder / other
        if one.exists() and not (two.exists() and one.samefile(two)):
            shutil.copy2(one, two)

    @rule(name=st.sampled_from(NAMES), other=st.sampled_from(NAMES))
    def take_the_times_of(self, name: str, other: str) -> None:
        if (self.folder / name).exists() and (self.folder / other).exists():
            times = (self.folder / other).stat()
            os.utime(self.folder / name, ns=(times.st_atime_ns, times.st_mtime_ns))

    @rule(name=st.sampled_from(NAMES), other=st.sampled_from(NAMES))
    def swap(self, name: str, other: str) -> None:
        one, two = self.folder / name, self.folder / other
        if name != other and one.exists() and two.exists():
            one.rename(self.folder / "aside")
            two.rename(one)
            (self.folder / "aside").rename(two)

    @rule(name=st.sampled_from(NAMES), other=st.sampled_from(NAMES))
    def link(self, name: str, other: str) -> None:
        if (self.folder / name).exists() and not (self.folder / other).exists():
            os.link(self.folder / name, self.folder / other)

    @rule(name=st.sampled_from(NAMES))
    def remove(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)

    # ------------------------------------------------------------------------ what happens to time

    @rule(span=st.sampled_from((1, SECOND, 2 * SECOND, 3 * SECOND, HOUR + 5 * SECOND)))
    def time_passes(self, span: int) -> None:
        self.there.passes(span)
        self.ours += span

    @rule(step=st.sampled_from((SECOND, 3 * SECOND, 10 * MINUTE)), back=st.booleans())
    def our_clock_is_set(self, step: int, back: bool) -> None:
        moved = self.ours - step if back else self.ours + step
        if abs(moved - self.there.now()) < self.reach:
            self.ours = moved

    # ------------------------------------------------------------------------------- what we know

    @rule()
    def look(self) -> None:
        """As the next process does."""
        observer = self.fresh()
        for name in NAMES:
            observer.digest(name)
        observer.save()
        self.living = observer
        if any((self.folder / name).exists() for name in NAMES):
            self.seen.append(observer.observe("x", Files("[abc]", str(self.folder))))

    @invariant()
    def every_digest_is_that_of_the_bytes(self) -> None:
        for observer in (self.fresh(), self.living):
            for name in NAMES:
                path = self.folder / name
                assert observer.digest(name) == (digest_of_bytes(path) if path.exists() else None)

    @invariant()
    def what_is_called_unchanged_holds_the_same_bytes(self) -> None:
        for observation in self.seen:
            if self.living.unchanged(observation):
                for file in observation.files:
                    assert file.digest == digest_of_bytes(self.folder / file.path)


class OurClockWithinAnHour(AnyClock):
    """Without a file of our own to tell the time: sources on another device, a read-only store."""

    disk = NoProbes()
    reach = HOUR - 10 * SECOND


RUNS = settings(
    max_examples=80,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestAnyClock = AnyClock.TestCase
TestAnyClock.settings = RUNS
TestOurClockWithinAnHour = OurClockWithinAnHour.TestCase
TestOurClockWithinAnHour.settings = RUNS


# ------------------------------------------------------------------------- single cases, by name


@pytest.fixture
def there(tmp_path: Path) -> FileSystemTime:
    return FileSystemTime(2 * SECOND, tmp_path)


def process(folder: Path, there: FileSystemTime, ours: int, disk: Disk | None = None) -> Observer:
    """An observer as a process of its own has it, on the cache in the folder."""
    cache = folder / "cache" / "stat.json"
    return Observer(folder, cache, disk, clock=lambda: ours, identity=there.identity)


def seen_then_rewritten(
    folder: Path, there: FileSystemTime, ours: int, pause: int = 0, disk: Disk | None = None
) -> bool:
    """Is an edit of equal size noticed, that comes after a look whose digest was kept?"""
    path = folder / "x"
    path.write_bytes(b"one")
    there.passes(pause)
    observer = process(folder, there, ours, disk)
    observer.digest("x")
    observer.save()
    path.write_bytes(b"two")
    return process(folder, there, ours, disk).digest("x") == digest_of_bytes(path)


@pytest.mark.parametrize("ahead", [-10 * MINUTE, 0, 10 * MINUTE, 90 * 24 * HOUR])
def test_our_clock_may_be_wrong_by_anything(
    tmp_path: Path, there: FileSystemTime, ahead: int
) -> None:
    assert seen_then_rewritten(tmp_path, there, there.now() + ahead)


@pytest.mark.parametrize("ahead", [-10 * MINUTE, 0, 10 * MINUTE, 59 * MINUTE])
def test_without_a_probe_our_clock_may_be_wrong_by_an_hour(
    tmp_path: Path, there: FileSystemTime, ahead: int
) -> None:
    assert seen_then_rewritten(tmp_path, there, there.now() + ahead, disk=NoProbes())


def reads_again(folder: Path, there: FileSystemTime, disk: Disk | None = None) -> bool:
    """Does a second process open a file that did not change since the first looked at it?"""
    first = process(folder, there, there.now(), disk)
    first.digest("x")
    first.save()
    opened: list[int] = []

    def counted(status: os.stat_result) -> Identity:
        opened.append(status.st_ino)
        return there.identity(status)

    cache = folder / "cache" / "stat.json"
    Observer(folder, cache, disk, clock=there.now, identity=counted).digest("x")
    return opened.count((folder / "x").stat().st_ino) > 1  # looked at once: trusted


def test_a_file_that_rested_is_not_read_again(tmp_path: Path, there: FileSystemTime) -> None:
    (tmp_path / "x").write_bytes(b"one")
    assert reads_again(tmp_path, there)
    there.passes(4 * SECOND)
    assert not reads_again(tmp_path, there)


def test_without_a_probe_a_file_has_to_rest_for_an_hour(
    tmp_path: Path, there: FileSystemTime
) -> None:
    (tmp_path / "x").write_bytes(b"one")
    there.passes(59 * MINUTE)
    assert reads_again(tmp_path, there, NoProbes())
    there.passes(2 * MINUTE)
    assert not reads_again(tmp_path, there, NoProbes())


def test_a_file_from_the_future_is_read_each_time(tmp_path: Path, there: FileSystemTime) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"one")
    os.utime(path, (time.time() + 86_400, time.time() + 86_400))
    there.passes(HOUR)
    assert reads_again(tmp_path, there)


def test_a_time_that_was_put_back_makes_no_file_old(tmp_path: Path, there: FileSystemTime) -> None:
    """Its other time, which nobody can set, says that it changed just now."""
    path = tmp_path / "x"

    def write(content: bytes) -> None:
        path.write_bytes(content)
        os.utime(path, (1e9, 1e9))

    write(b"one")
    observer = process(tmp_path, there, there.now())
    observer.digest("x")
    observer.save()
    write(b"two")
    assert process(tmp_path, there, there.now()).digest("x") == digest_of_bytes(path)


def test_the_file_that_tells_the_time_is_removed(tmp_path: Path, there: FileSystemTime) -> None:
    (tmp_path / "x").write_bytes(b"one")
    observer = process(tmp_path, there, there.now())
    observer.digest("x")
    observer.save()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["stat.json"]


def test_files_that_changed_places_are_told_apart(tmp_path: Path, there: FileSystemTime) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    os.utime(two, ns=(one.stat().st_atime_ns, one.stat().st_mtime_ns))
    there.passes(HOUR)
    observer = process(tmp_path, there, there.now())
    files = Files("*.csv", str(tmp_path))
    before = observer.observe("x", files)
    observer.save()
    one.rename(tmp_path / "aside")
    two.rename(one)
    (tmp_path / "aside").rename(two)
    assert not observer.unchanged(before)
    after = process(tmp_path, there, there.now()).observe("x", files)
    assert [file.digest for file in after.files] == [digest_of_bytes(one), digest_of_bytes(two)]


def test_a_file_observed_twice_in_one_tick_is_not_unchanged(
    tmp_path: Path, there: FileSystemTime
) -> None:
    """The second look found other bytes under the same identity: the first is no longer true."""
    path = tmp_path / "x"
    path.write_bytes(b"one")
    observer = process(tmp_path, there, there.now())
    first = observer.observe("x", Files("x", str(tmp_path)))
    path.write_bytes(b"two")
    second = observer.observe("x", Files("x", str(tmp_path)))
    assert first.files[0].identity == second.files[0].identity
    assert observer.unchanged(second)
    assert not observer.unchanged(first)


# ----------------------------------------------------------------------- changed while it is read


def interrupted(folder: Path, when: int, change: Callable[[], object]) -> Observer:
    """An observer under which a file changes each time it has looked so often at its identity."""
    looks: list[None] = []

    def identity(status: os.stat_result) -> Identity:
        looks.append(None)
        found = identity_of(status)
        if len(looks) == when:
            change()
        return found

    return Observer(folder, identity=identity)


@pytest.mark.parametrize("when", [1, 2, 3, 4])
@pytest.mark.parametrize("change", ["rewrite", "grow", "shrink", "replace", "put back"])
def test_a_file_that_changes_while_it_is_digested_is_digested_again(
    tmp_path: Path, when: int, change: str
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    before = path.stat()

    def changed() -> None:
        if change == "replace":
            (tmp_path / "new").write_bytes(b"abcde")
            os.replace(tmp_path / "new", path)
            return
        path.write_bytes({"grow": b"1234567", "shrink": b"1"}.get(change, b"abcde"))
        if change == "put back":
            path.write_bytes(b"12345")
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    observer = interrupted(tmp_path, when, changed)
    found = observer.observe("x", Files("x", str(tmp_path)))
    if when < 4:  # looks: at the path, before reading, after it, at the path again
        assert found.files[0].digest == digest_of_bytes(path)
        assert found.files[0].identity == identity_of(path.stat())
        assert observer.unchanged(found)
    else:
        assert not observer.unchanged(found)


def test_a_file_that_never_rests_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"1")

    def identity(status: os.stat_result) -> Identity:
        with path.open("ab") as file:
            file.write(b"1")
        return identity_of(status)

    observer = Observer(tmp_path, identity=identity)
    with pytest.raises(InputsChanged, match="changes while it is read"):
        observer.observe("x", Files("x", str(tmp_path)))
    assert observer.digest("x") not in (None, digest_of_bytes(path), observer.digest("x"))


def test_reading_less_than_the_size_says_is_no_digest(tmp_path: Path) -> None:
    """The size is that of another moment than the bytes, whatever the times say."""
    path = tmp_path / "x"
    path.write_bytes(b"12345")

    def identity(status: os.stat_result) -> Identity:
        device, inode, size, *times = identity_of(status)
        return device, inode, size + 1, *times

    with pytest.raises(InputsChanged):
        Observer(tmp_path, identity=identity).observe("x", Files("x", str(tmp_path)))


def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x")
    assert Observer(tmp_path).digest("x") is None
    with pytest.raises(SourceMissing):
        Observer(tmp_path).observe("x", Files("x", str(tmp_path)))


def test_a_file_that_becomes_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"1")

    def to_pipe() -> None:
        path.unlink()
        os.mkfifo(path)

    with pytest.raises(SourceMissing, match="no regular file"):
        interrupted(tmp_path, 1, to_pipe).observe("x", Files("x", str(tmp_path)))


def test_doubt_is_kept(tmp_path: Path, there: FileSystemTime) -> None:
    """Bytes that changed under the same identity (a disk that fails) are found out by reading."""
    (tmp_path / "x").write_bytes(b"one")
    there.passes(HOUR)
    assert not reads_again(tmp_path, there)
    observer = process(tmp_path, there, there.now())
    observer.doubt(observer.observe("x", Files("x", str(tmp_path))))
    opened: list[None] = []

    def counted(status: os.stat_result) -> Identity:
        opened.append(None)
        return there.identity(status)

    Observer(tmp_path, tmp_path / "cache" / "stat.json", identity=counted).digest("x")
    assert len(opened) > 1
