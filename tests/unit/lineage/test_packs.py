"""Packs: what compaction leaves, what readers and writers in flight see, and crashes in between."""

import contextlib
import json
import os
import shutil
import threading
from pathlib import Path

import filelock
import pytest
from blake3 import blake3

from lineal.assets.errors import IntegrityError, StoreError
from lineal.assets.records import Acceptance
from lineal.disk import Disk
from lineal.lineage import compaction
from lineal.lineage.journal import Journal

FIRST = "000000000001.jsonl"


def said(text):
    return Acceptance("a", "old", "new", text, "ada", 1.0)


def texts(journal, after=0):
    return [fact.reason for _, facts in journal.read(after) for fact in facts]


class Quick(Disk):
    """What is on it need not outlive the machine."""

    def sync(self, paths):
        pass


def filled(root, count):
    journal = Journal(root, Quick())
    for n in range(1, count + 1):
        journal.append([said(f"fact {n}")])
    return Journal(root)


def numbered(count):
    return [f"fact {n}" for n in range(1, count + 1)]


def files(journal):
    return [int(name[:12]) for name in sorted(os.listdir(journal.folder)) if name != "packs"]


def ranges(journal):
    journal.packs.look()
    return [(pack.first, pack.last) for pack in journal.packs]


@pytest.fixture
def root(tmp_path):
    return tmp_path / ".lineal"


# ------------------------------------------------------------------------------------- compaction


def test_old_entries_are_packed_and_the_newest_stay_files(root):
    journal = filled(root, 20)
    assert journal.compact(keep=5, size=4) == 12
    assert ranges(journal) == [(1, 4), (5, 8), (9, 12)]
    assert files(journal) == list(range(13, 21))
    assert list((root / "tmp").iterdir()) == []
    assert journal.compact(keep=5, size=4) == 0


@pytest.mark.parametrize("count", [0, 1, 8])
def test_nothing_is_packed_before_a_range_is_full(root, count):
    journal = filled(root, count)
    assert journal.compact(keep=5, size=4) == 0
    assert not journal.packs.folder.exists()


def test_a_journal_that_was_never_written_stays_so(root):
    assert Journal(root).compact() == 0
    assert not root.exists()


@pytest.mark.parametrize("keep", [0, 1, 5])
def test_everything_reads_the_same_across_packs(root, keep):
    journal = filled(root, 21)
    digests = [journal.digest(n) for n in range(22)]
    journal.compact(keep, size=4)
    for now in (journal, Journal(root)):
        assert texts(now) == numbered(21)
        assert [texts(now, after) for after in (3, 4, 17)] == [
            numbered(21)[after:] for after in (3, 4, 17)
        ]
        assert [now.digest(n) for n in range(22)] == digests
        assert [now.entry(n).number for n in (1, 4, 5, 21)] == [1, 4, 5, 21]
        assert [Journal(root).head(hint) for hint in (0, 1, 8, 21, 500)] == [21] * 5
        assert now.holds(4, digests[4])
        assert not now.holds(4, digests[5])
        assert not now.holds(22, digests[5])
        assert not now.holds(0, "")
    assert journal.append([said("fact 22")]) == 22
    assert Journal(root).append([said("fact 23")]) == 23
    assert texts(Journal(root)) == numbered(23)


def test_a_journal_that_is_packed_whole_goes_on(root):
    filled(root, 4).compact(keep=0, size=4)
    journal = Journal(root)
    assert journal.head() == 4
    assert files(journal) == []
    assert journal.append([said("fact 5")]) == 5
    assert texts(Journal(root)) == numbered(5)


def test_a_pack_of_large_entries_holds_fewer_of_them(root, monkeypatch):
    journal = filled(root, 12)
    monkeypatch.setattr(compaction, "_LARGEST", 3 * len(journal.entry(1).data))
    assert journal.compact(keep=0, size=6) == 9
    assert ranges(journal) == [(1, 3), (4, 6), (7, 9)]
    assert texts(Journal(root)) == numbered(12)


def test_a_damaged_entry_is_never_packed(root):
    journal = filled(root, 8)
    path = journal.path(3)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"fact 3", b"fact 9"))
    with pytest.raises(IntegrityError, match=r"entry 3 .* changed"):
        Journal(root).compact(keep=0, size=4)
    assert files(journal) == list(range(1, 9))


def test_only_one_process_packs_at_a_time(root):
    journal = filled(root, 8)
    (root / "locks").mkdir()
    with filelock.FileLock(root / "locks" / "pack.lock"):
        assert journal.compact(keep=0, size=4) == 0
    assert journal.compact(keep=0, size=4) == 8


def test_a_pack_can_be_read_by_what_the_page_says(root):
    """Only the standard library, blake3, and docs/format.md."""
    journal = filled(root, 8)
    kept = {n: journal.path(n).read_bytes() for n in range(1, 9)}
    journal.compact(keep=0, size=4)
    data = (root / "journal" / "packs" / "000000000005-000000000008.pack").read_bytes()
    end = data[-184:]
    told = json.loads(end)
    assert told["digest"] == blake3(data[:-184]).hexdigest()
    index = data[told["index"] : -184]
    assert told["index_digest"] == blake3(index).hexdigest()
    assert json.loads(index)["first"] == 5
    assert json.loads(index)["last"] == 8
    places = [*json.loads(index)["places"], told["index"]]
    for number, begin, after in zip(range(5, 9), places, places[1:], strict=False):
        assert data[begin:after] == kept[number]


# -------------------------------------------------------------------------------------- in flight


def test_a_reader_that_began_before_goes_on_across_what_is_packed(root):
    filled(root, 20)
    reader = Journal(root).read()
    seen = [next(reader)[0] for _ in range(3)]
    Journal(root).compact(keep=2, size=4)
    assert seen + [number for number, _ in reader] == list(range(1, 21))


def test_a_point_look_up_finds_what_was_packed_since(root):
    filled(root, 9)
    old = Journal(root)
    assert old.entry(2).number == 2
    Journal(root).compact(keep=0, size=4)
    assert old.entry(2).number == 2
    assert old.digest(8) == Journal(root).digest(8)
    assert old.head() == 9


def test_the_head_is_found_when_all_that_was_known_is_packed(root):
    filled(root, 3)
    old = Journal(root)
    assert old.head() == 3
    for n in range(4, 21):
        Journal(root).append([said(f"fact {n}")])
    Journal(root).compact(keep=0, size=10)
    assert old.head() == 20
    assert old.append([said("fact 21")]) == 21
    assert texts(Journal(root)) == numbered(21)


class At(Disk):
    """Something happens right before, or right after, the first link of an entry."""

    def __init__(self, before=None, after=None):
        self.before, self.after = before, after

    def link(self, source, target):
        entry = Path(target).suffix == ".jsonl"
        if entry and self.before:
            act, self.before = self.before, None
            act()
        super().link(source, target)
        if entry and self.after:
            act, self.after = self.after, None
            act()


def others(root, count, keep=0):
    """Other processes append, and pack."""

    def act():
        first = Journal(root).head() + 1
        for n in range(first, first + count):
            Journal(root, Quick()).append([said(f"other {n}")])
        Journal(root).compact(keep, size=4)

    return act


@pytest.mark.parametrize("count, keep", [(4, 0), (7, 0), (8, 0), (8, 2), (40, 3)])
def test_a_writer_that_slept_while_its_number_was_packed_starts_over(root, count, keep):
    filled(root, 4)
    slow = Journal(root, disk := At())
    assert slow.head() == 4
    disk.before = others(root, count, keep)
    assert slow.append([said("slow")]) == 4 + count + 1
    assert files(slow)[0] == ranges(slow)[-1][1] + 1
    expected = [*numbered(4), *(f"other {n}" for n in range(5, 5 + count)), "slow"]
    assert texts(Journal(root)) == expected
    assert Journal(root).damages() == []


def test_a_writer_whose_new_entry_is_packed_before_it_looks_knows_it_as_its_own(root):
    filled(root, 3)
    slow = Journal(root, At(after=others(root, 6)))
    assert slow.append([said("slow")]) == 4
    assert texts(Journal(root)) == [*numbered(3), "slow", *(f"other {n}" for n in range(5, 11))]


def test_a_bogus_file_is_read_by_nobody(root):
    """Its writer died before it could take it away."""
    journal = filled(root, 4)
    late = journal.path(5)
    filled_more = others(root, 8)
    staged = root / "tmp" / "late"
    other = Journal(root)
    other.append([said("never told")])
    os.link(late, staged)
    late.unlink()
    in_flight = journal.read()
    assert [next(in_flight)[0] for _ in range(4)] == [1, 2, 3, 4]
    filled_more()
    os.link(staged, late)
    expected = [*numbered(4), *(f"other {n}" for n in range(5, 13))]
    assert [f.reason for _, facts in in_flight for f in facts] == expected[4:]
    assert texts(Journal(root)) == expected
    assert journal.digest(5) == Journal(root).digest(5)
    assert Journal(root).append([said("next")]) == 13
    Journal(root).compact(keep=0, size=4)
    assert late.exists()  # not the bytes of the pack: nobody but its writer takes it away
    assert Journal(root).damages() == []


class Meanwhile(Journal):
    """Something happens right before the file of one entry is looked at for the first time."""

    def __init__(self, root, number, act):
        super().__init__(root)
        self.number, self.act = number, act

    def path(self, number):
        if number == self.number and self.act is not None:
            act, self.act = self.act, None
            act()
        return super().path(number)


def test_an_entry_that_is_packed_between_two_looks_is_found(root):
    filled(root, 9)
    reader = Meanwhile(root, 6, lambda: Journal(root).compact(keep=0, size=4))
    assert reader.entry(6).number == 6


@pytest.mark.parametrize("number", [1, 3, 5, 6, 7])
def test_the_head_is_found_though_its_files_go_away_while_it_is_looked_for(root, number):
    filled(root, 6)
    assert Meanwhile(root, number, others(root, 6)).head() == 12


@pytest.mark.parametrize("number", range(1, 8))
def test_a_reader_sees_no_gap_while_entries_are_packed(root, number):
    filled(root, 6)
    seen = [n for n, _ in Meanwhile(root, number, others(root, 6)).read()]
    assert seen in ([*range(1, 7)], [*range(1, 13)])


class Stops(Disk):
    """The process that packs dies before it removes the file of entry 8."""

    def unlink(self, path):
        if Path(path).name == "000000000008.jsonl":
            raise OSError(5, "Input/output error", os.fspath(path))
        super().unlink(path)


def half_removed(root):
    for n in range(7, 13):
        Journal(root).append([said(f"fact {n}")])
    with pytest.raises(StoreError):
        Journal(root, Stops()).compact(keep=0, size=4)


@pytest.mark.parametrize("number", [7, 8])
def test_a_writer_sees_no_gap_while_entries_are_packed(root, number):
    filled(root, 6)
    assert Meanwhile(root, number, lambda: half_removed(root)).append([said("fact 13")]) == 13
    assert files(Journal(root)) == list(range(8, 14))
    assert texts(Journal(root)) == numbered(13)


def test_appenders_readers_and_a_packer_at_once_lose_nothing(root):
    def appends(name):
        journal = Journal(root, Quick())
        for n in range(40):
            journal.append([said(f"{name}.{n}")])

    def packs():
        while not done.is_set():
            Journal(root, Quick()).compact(keep=1, size=3)

    def reads():
        reader = Journal(root)
        while not done.is_set():
            seen = [number for number, _ in reader.read()]
            assert seen == list(range(1, len(seen) + 1))
            heads.append((reader.head(), len(seen)))

    def watched(target, *arguments):
        def run():
            try:
                target(*arguments)
            except BaseException as error:
                wrong.append(error)
                raise

        return threading.Thread(target=run)

    done, wrong, heads = threading.Event(), [], []
    Journal(root).append([said("first")])
    writing = [watched(appends, f"w{n}") for n in range(3)]
    rest = [watched(packs), watched(reads)]
    for thread in [*writing, *rest]:
        thread.start()
    for thread in writing:
        thread.join()
    done.set()
    for thread in rest:
        thread.join()
    assert wrong == []
    assert all(head >= seen for head, seen in heads)
    said_now = texts(Journal(root))
    assert sorted(said_now) == sorted(
        ["first", *(f"w{p}.{n}" for p in range(3) for n in range(40))]
    )
    for p in range(3):
        assert [s for s in said_now if s.startswith(f"w{p}")] == [f"w{p}.{n}" for n in range(40)]
    assert Journal(root).damages() == []


# ---------------------------------------------------------------------------------------- crashes


class Crash(BaseException):
    """The process ends here."""


class Dies(Disk):
    """Ends at the n-th operation; what follows in the process does nothing any more."""

    def __init__(self, at, error=Crash):
        self.left = at
        self.error = error
        self.dead = False

    def _count(self):
        self.left -= 1
        if self.left == 0 or (self.dead and self.error is Crash):
            self.dead = True
            raise self.error()

    def create(self, path, data):
        self._count()
        super().create(path, data)

    def sync(self, paths):
        self._count()
        super().sync(paths)

    def link(self, source, target):
        self._count()
        super().link(source, target)

    def unlink(self, path):
        self._count()
        super().unlink(path)

    def mkdir(self, path):
        self._count()
        super().mkdir(path)

    def replace(self, source, target):
        self._count()
        super().replace(source, target)


def operations(act, error=Crash):
    """Run `act(disk, at)` with a disk that dies at operation 1, 2, … up to the last one."""
    whole = Dies(0, error)
    act(whole, 0)
    for at in range(1, 1 - whole.left):
        with contextlib.suppress(Crash, StoreError):  # it may do without a name being removed
            act(Dies(at, error), at)
        yield at


@pytest.mark.parametrize("error", [Crash, OSError])
def test_wherever_packing_stops_all_is_readable_and_the_next_one_finishes(tmp_path, error):
    filled(tmp_path / "whole", 11)

    def act(disk, at):
        root = shutil.copytree(tmp_path / "whole", tmp_path / str(at))
        Journal(root, disk).compact(keep=2, size=4)

    stopped = 0
    for at in operations(act, error):
        stopped += 1
        root = tmp_path / str(at)
        assert texts(Journal(root)) == numbered(11)
        assert Journal(root).damages() == []
        Journal(root).compact(keep=2, size=4)
        assert files(Journal(root)) == [9, 10, 11]
        assert ranges(Journal(root)) == [(1, 4), (5, 8)]
        assert texts(Journal(root)) == numbered(11)
    assert stopped >= 15


class Told(Disk):
    """Says what was done, in order."""

    def __init__(self):
        self.done = []

    def sync(self, paths):
        self.done.extend(("sync", Path(p).name.partition("-")[0]) for p in paths)
        super().sync(paths)

    def link(self, source, target):
        self.done.append(("link", Path(target).suffix))
        super().link(source, target)

    def unlink(self, path):
        self.done.append(("unlink", Path(path).name.partition("-")[0]))
        super().unlink(path)


def test_no_file_goes_before_its_pack_is_durable(root):
    """What a lost power supply may undo is never all there is."""
    filled(root, 4)
    journal = Journal(root, disk := Told())
    journal.compact(keep=0, size=4)
    linked, first = disk.done.index(("link", ".pack")), disk.done.index(("unlink", FIRST))
    assert ("sync", "pack") in disk.done[:linked]  # its bytes
    assert ("sync", "journal") in disk.done[:linked]  # the name of the folder of packs
    assert ("sync", "packs") in disk.done[linked:first]
    assert disk.done[-1] == ("sync", "journal")


def test_the_name_of_a_pack_that_another_process_made_is_synced_before_files_go(root):
    class DiesBeforeItIsSynced(Disk):
        def sync(self, paths):
            if any(Path(p).name == "packs" for p in paths):
                raise Crash
            super().sync(paths)

    filled(root, 4)
    with pytest.raises(Crash):
        Journal(root, DiesBeforeItIsSynced()).compact(keep=0, size=4)
    assert (ranges(Journal(root)), files(Journal(root))) == ([(1, 4)], [1, 2, 3, 4])
    journal = Journal(root, disk := Told())
    journal.compact(keep=0, size=4)
    assert ("sync", "packs") in disk.done[: disk.done.index(("unlink", FIRST))]
    assert files(journal) == []


def test_a_pack_whose_name_may_not_be_durable_is_taken_back(root):
    class Fails(Disk):
        def sync(self, paths):
            if any(Path(p).name == "packs" for p in paths):
                raise OSError(5, "Input/output error", os.fspath(paths[0]))
            super().sync(paths)

    filled(root, 4)
    with pytest.raises(StoreError, match="Input/output"):
        Journal(root, Fails()).compact(keep=0, size=4)
    assert ranges(Journal(root)) == []
    assert texts(Journal(root)) == numbered(4)
