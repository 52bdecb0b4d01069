"""Damage to the journal is named file by file, and mending keeps all the rest."""

import os
import random
import shutil
from pathlib import Path

import pytest
from blake3 import blake3

from lineal.assets.errors import IntegrityError, StoreError
from lineal.assets.records import Acceptance
from lineal.disk import Disk
from lineal.lineage.catalog import Catalog
from lineal.lineage.entries import seal, unseal
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from lineal.lineage.packs import pack_bytes, pack_name
from tests.unit.lineage.story import model_pipeline


def said(text):
    return Acceptance("a", "old", "new", text, "ada", 1.0)


class Quick(Disk):
    """What is on it need not outlive the machine."""

    def sync(self, paths):
        pass


def filled(root, count, packed=0, size=4, word="fact"):
    """Entries that say their number, the first `packed` of them in packs."""
    journal = Journal(root, Quick())
    for n in range(1, count + 1):
        journal.append([said(f"{word} {n}")])
    if packed:
        assert journal.compact(keep=count - packed, size=size) == packed
    return Journal(root)


def numbers(journal):
    """The numbers of the entries whose fact is still there; each must say its own."""
    read = [(n, [fact.reason for fact in facts]) for n, facts in Journal(journal.root).read()]
    assert [n for n, _ in read] == list(range(1, len(read) + 1))
    assert all(facts in ([], [f"fact {n}"]) for n, facts in read)
    return [n for n, facts in read if facts]


def told(journal, seen=0):
    """Damages as (path below the store, first, last), and their words."""
    found = Journal(journal.root).damages(seen)
    assert all(damage.what for damage in found)
    places = [(d.path.relative_to(journal.root).as_posix(), d.first, d.last) for d in found]
    return places, [damage.what for damage in found]


def entry_file(number):
    return f"journal/{number:012d}.jsonl"


def pack_file(first, last):
    return f"journal/packs/{pack_name(first, last)}"


def change(path, how):
    path.chmod(0o644)
    path.write_bytes(how(path.read_bytes()))


def flip(path, place, bit):
    def how(data):
        return data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]

    change(path, how)


@pytest.fixture
def root(tmp_path):
    return tmp_path / ".lineal"


@pytest.fixture
def trash(root):
    return root / "trash" / "today"


def listed(folder):
    return sorted(os.listdir(folder)) if folder.exists() else []


# ----------------------------------------------------------------------------------------- damages


@pytest.mark.parametrize("packed", [0, 4, 8])
def test_a_journal_that_is_whole_has_no_damage(root, packed):
    journal = filled(root, 8, packed)
    assert journal.damages() == []
    assert journal.damages(seen=8) == []
    assert Journal(root / "nothing").damages() == []


def test_files_that_are_none_of_the_journals_are_no_damage(root):
    journal = filled(root, 6, packed=4)
    for name in (".DS_Store", "README", "000000000003.jsonl~", "12.jsonl", "packs/x.pack"):
        (journal.folder / name).write_text("x")
    assert journal.damages() == []
    assert numbers(journal) == [1, 2, 3, 4, 5, 6]


DAMAGE = {
    "deleted": (os.unlink, "is missing, but later ones exist"),
    "emptied": (lambda p: change(p, lambda b: b""), "is cut short"),
    "half": (lambda p: change(p, lambda b: b[: len(b) // 2]), "is cut short"),
    "longer": (lambda p: change(p, lambda b: b + b"x"), "goes on after"),
    "edited": (lambda p: change(p, lambda b: b.replace(b"ada", b"eve")), "was changed after"),
    "misnumbered": (
        lambda p: change(p, lambda b: p.with_name("000000000005.jsonl").read_bytes()),
        "says that it is entry 5",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_every_damaged_entry_is_named_and_the_first_stops_nothing(root, damage):
    journal = filled(root, 9)
    act, words = DAMAGE[damage]
    for number in (1, 3, 4, 8):
        act(journal.path(number))
    places, what = told(journal)
    assert places == [(entry_file(n), n, n) for n in (1, 3, 4, 8)]
    assert all(text.startswith(words) for text in what), what


@pytest.mark.parametrize("number, culprit", [(1, 1), (4, 4), (8, 8), (9, 9)])
def test_an_entry_of_another_journal_is_the_one_that_is_named(root, tmp_path, number, culprit):
    journal, other = filled(root, 9), filled(tmp_path / "other", 9, word="other")
    change(journal.path(number), lambda _: other.path(number).read_bytes())
    places, [what] = told(journal)
    assert places == [(entry_file(culprit), culprit, culprit)]
    assert "one of the two was replaced" in what


@pytest.mark.parametrize("header", [b'{"entry":2}', b"[]", b'{"entry":2,"previous":null}', b"{{"])
def test_an_entry_that_is_sealed_but_no_entry_is_named(root, header):
    journal = filled(root, 3)
    body = header + b"\n"
    end = b'{"end":2,"digest":"%s"}\n' % blake3(body).hexdigest().encode()
    change(journal.path(2), lambda _: body + end)
    assert told(journal)[0] == [(entry_file(2), 2, 2)]


def test_a_forged_entry_that_follows_the_one_before_it_is_the_one_that_is_named(root, tmp_path):
    journal = filled(root, 9)
    fork = Journal(shutil.copytree(root, tmp_path / "fork"))
    for n in range(5, 10):
        fork.path(n).unlink()
    fork.append([said("forged")])
    change(journal.path(5), lambda _: fork.path(5).read_bytes())
    places, [what] = told(journal)
    assert places == [(entry_file(5), 5, 5)]
    assert what == "is not what entry 6 follows: one of the two was replaced"


def test_the_entries_that_are_left_can_be_read_without_mending(root):
    journal = filled(root, 14, packed=8)
    change(root / pack_file(1, 4), lambda b: b.replace(b"fact 2", b"fact 9"))
    flip(root / pack_file(5, 8), -1, 0)
    journal.path(10).unlink()
    DAMAGE["half"][0](journal.path(14))
    left = list(Journal(root).entries_left())
    assert [entry.number for entry in left] == [1, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13]
    assert all(f'"fact {entry.number}"'.encode() in entry.data for entry in left)


def test_an_entry_that_a_cache_has_seen_and_that_is_gone_is_named(root):
    journal = filled(root, 6)
    journal.path(5).unlink()
    journal.path(6).unlink()
    assert told(journal) == ([], [])
    places, what = told(journal, seen=6)
    assert places == [(entry_file(5), 5, 5), (entry_file(6), 6, 6)]
    assert what == ["is missing at the end: it was there"] * 2


def test_a_damage_in_a_pack_names_the_pack_and_the_entry(root):
    journal = filled(root, 10, packed=8)
    change(root / pack_file(5, 8), lambda b: b.replace(b"fact 6", b"fact 9"))
    places, what = told(journal)
    assert places == [(pack_file(5, 8), 6, 6)]
    assert what == ["entry 6 in it was changed after it was written"]


def test_a_pack_that_is_cut_short_is_named_with_what_is_gone(root):
    journal = filled(root, 10, packed=8)
    at = (root / pack_file(5, 8)).read_bytes().index(b'{"entry":7')
    change(root / pack_file(5, 8), lambda b: b[:at])
    places, what = told(journal)
    assert places == [(pack_file(5, 8), 5, 8), (pack_file(5, 8), 7, 8)]
    assert what == [
        "is cut short, or its end line was changed",
        "each of the entries 7 to 8 in it is not there",
    ]


def test_missing_packs_are_named(root):
    journal = filled(root, 13, packed=12)
    (root / pack_file(5, 8)).unlink()
    assert told(journal)[0] == [(pack_file(5, 8), 5, 8)]
    (root / pack_file(9, 12)).unlink()
    assert told(journal)[0] == [(entry_file(n), n, n) for n in range(5, 13)]


def test_a_long_gap_is_one_damage(root):
    journal = filled(root, 60, packed=50, size=50)
    (root / pack_file(1, 50)).unlink()
    places, what = told(journal)
    assert places == [(entry_file(1), 1, 50)]
    assert what[0].endswith("so are all up to entry 50, or the pack that held them")


def test_damage_to_a_pack_and_to_files_is_told_together(root):
    journal = filled(root, 16, packed=12)
    change(root / pack_file(1, 4), lambda b: b.replace(b"fact 2", b"fact 9"))
    (root / pack_file(5, 8)).unlink()
    flip(root / pack_file(9, 12), -1, 0)
    journal.path(14).unlink()
    (root / "format").unlink()
    assert told(journal)[0] == [
        ("format", 0, 0),
        (pack_file(1, 4), 2, 2),
        (pack_file(5, 8), 5, 8),
        (pack_file(9, 12), 9, 12),
        (entry_file(14), 14, 14),
    ]


@pytest.mark.parametrize("text", ["", "0", "one", "1.0", "\u0661", "1\n1"])
def test_another_format_is_damage_unless_it_is_newer(root, text):
    journal = filled(root, 2)
    change(root / "format", lambda _: text.encode())
    places, [what] = told(journal)
    assert places == [("format", 0, 0)]
    assert what.startswith("reads ")
    change(root / "format", lambda _: b"2\n")
    for act in (lambda j: j.damages(), lambda j: j.mend(root / "trash"), lambda j: j.compact()):
        with pytest.raises(IntegrityError, match="written by a newer lineal") as caught:
            act(Journal(root))
        assert caught.value.advice == "update lineal"
    assert not (root / "trash").exists()


def test_who_may_not_read_a_file_is_told_so_and_nothing_is_called_lost(root):
    journal = filled(root, 3)

    class Refused(Journal):
        def bytes_of(self, number):
            raise PermissionError(13, "Permission denied", str(self.path(number)))

    with pytest.raises(StoreError, match="Permission denied"):
        Refused(root).damages()
    assert journal.damages() == []


def test_a_file_that_the_disk_cannot_give_is_damage(root):
    class Bad(Journal):
        def bytes_of(self, number):
            if number == 2:
                raise OSError(5, "Input/output error", str(self.path(number)))
            return super().bytes_of(number)

    filled(root, 3)
    [damage] = Bad(root).damages()
    assert damage == (root / entry_file(2), "can't be read: Input/output error", 2, 2)


def test_one_flipped_bit_anywhere_is_found(root):
    """One in every byte of a pack and of two entries; all of `format`."""
    filled(root, 4, packed=2, size=2)
    for name, concerned in (
        (pack_file(1, 2), {1, 2}),
        (entry_file(3), {3}),
        (entry_file(4), {4}),
        ("format", {0}),
    ):
        path = root / name
        path.chmod(0o644)
        data = path.read_bytes()
        for place in range(len(data)):
            bits = range(8) if name == "format" else [place % 8]
            for bit in bits:
                flipped = bytes([data[place] ^ (1 << bit)])
                path.write_bytes(data[:place] + flipped + data[place + 1 :])
                try:
                    found = Journal(root).damages()
                except IntegrityError:  # `format` as it would be in a later lineal
                    assert name == "format"
                    continue
                assert found, (name, place, bit)
                assert {damage.path for damage in found} == {path}, (name, place, bit)
                assert all({d.first, d.last} <= concerned for d in found), (name, place, bit)
        path.write_bytes(data)
    assert Journal(root).damages() == []


def test_an_end_line_that_means_the_same_in_other_bytes_is_damage_too(root):
    journal = filled(root, 4, packed=4)
    change(root / pack_file(1, 4), lambda b: b.replace(b'"index":  ', b'"index":\t '))
    assert told(journal)[0] == [(pack_file(1, 4), 1, 4)]


def test_a_pack_that_is_cut_anywhere_is_found(root):
    journal = filled(root, 4, packed=4)
    path = root / pack_file(1, 4)
    path.chmod(0o644)
    data = path.read_bytes()
    for end in [*range(0, len(data) - 250, 5), *range(len(data) - 250, len(data))]:
        path.write_bytes(data[:end])
        assert {damage.path for damage in journal.damages()} == {path}


def test_no_read_of_a_damaged_pack_gives_anything_wrong(root):
    filled(root, 4, packed=4)
    path = root / pack_file(1, 4)
    path.chmod(0o644)
    data = path.read_bytes()
    whole = [Journal(root).entry(n).data for n in range(1, 5)]
    for place in range(0, len(data), 3):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        journal, told_so = Journal(root), 0
        for number in range(1, 5):
            try:
                assert journal.entry(number).data == whole[number - 1]
            except IntegrityError as error:
                told_so += 1
                assert error.where == str(path)
                assert "backup" in error.advice
        assert told_so or place >= len(data) - 67  # the digest of all, and its quote and brace


# -------------------------------------------------------------------------------------- mending


def test_mending_what_is_whole_does_nothing(root, trash):
    assert filled(root, 5, packed=4).mend(trash) == []
    assert not trash.exists()


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_lost_entry_is_stood_in_for_and_the_rest_is_kept(root, trash, damage):
    journal = filled(root, 9)
    digests = {n: journal.digest(n) for n in range(10)}
    before = {n: journal.path(n).read_bytes() for n in (3, 4)}
    for number in (3, 4, 7):
        DAMAGE[damage][0](journal.path(number))
    done = journal.mend(trash)
    assert len(done) == 3
    assert [done.path for done in done] == [root / entry_file(n) for n in (3, 4, 7)]
    assert journal.damages() == []
    assert numbers(journal) == [1, 2, 5, 6, 8, 9]
    now = Journal(root)
    assert {n: now.digest(n) for n in range(10) if n != 3} == {
        n: digest for n, digest in digests.items() if n != 3
    }
    assert now.append([said("fact 10")]) == 10
    assert journal.head() == 10
    names = [] if damage == "deleted" else [f"{n:012d}.jsonl" for n in (3, 4, 7)]
    assert listed(trash / "journal") == names
    assert before[4] != journal.path(4).read_bytes()
    assert journal.mend(trash) == []


def test_a_stand_in_says_what_it_is(root, trash):
    journal = filled(root, 4)
    digests = [journal.digest(n) for n in range(5)]
    journal.path(2).unlink()
    journal.mend(trash)
    header, end, rest = journal.path(2).read_bytes().split(b"\n")
    assert header.decode() == (
        f'{{"entry":2,"previous":"{digests[1]}","lost":true,"stands_for":"{digests[2]}"}}'
    )
    assert end.startswith(b'{"end":2,"digest":"')
    assert rest == b""
    assert journal.entry(2)[:4] == (2, digests[2], (), digests[1])


def test_damaged_entries_at_the_end_are_only_moved_away(root, trash):
    journal = filled(root, 6)
    DAMAGE["edited"][0](journal.path(5))
    DAMAGE["half"][0](journal.path(6))
    done = journal.mend(trash)
    assert len(done) == 2
    assert numbers(journal) == [1, 2, 3, 4]
    assert journal.damages() == []
    assert listed(trash / "journal") == ["000000000005.jsonl", "000000000006.jsonl"]
    assert journal.append([said("fact 5")]) == 5  # by the very journal that knew six


def test_an_old_file_in_the_trash_is_kept(root, trash):
    journal = filled(root, 3)
    for _ in range(3):
        DAMAGE["edited"][0](journal.path(3))
        journal.mend(trash)
        journal.append([said("fact 3")])
    assert listed(trash / "journal") == [
        "000000000003.2.jsonl",
        "000000000003.3.jsonl",
        "000000000003.jsonl",
    ]


def test_a_damaged_entry_in_a_pack_costs_that_entry_only(root, trash):
    journal = filled(root, 10, packed=8)
    change(root / pack_file(5, 8), lambda b: b.replace(b"fact 6", b"fact 9"))
    bad = (root / pack_file(5, 8)).read_bytes()
    [done] = journal.mend(trash)
    assert done == (
        root / pack_file(5, 8),
        f"was moved to trash/today/{pack_file(5, 8)}; "
        "a pack with all its entries but 1 stands in its place",
        True,
    )
    assert numbers(journal) == [1, 2, 3, 4, 5, 7, 8, 9, 10]
    assert journal.damages() == []
    assert (trash / pack_file(5, 8)).read_bytes() == bad


def test_who_has_read_a_pack_reads_the_one_that_stands_in_its_place(root, trash):
    journal = filled(root, 10, packed=8)
    kept = {n: journal.entry(n).data for n in (5, 7, 8)}
    change(root / pack_file(5, 8), lambda b: b.replace(b"fact 6", b"a word that is longer"))
    with pytest.raises(IntegrityError):
        journal.entry(7)
    assert Journal(root).mend(trash)
    assert {n: journal.entry(n).data for n in (5, 7, 8)} == kept
    assert journal.entry(6).lines == ()


def test_a_pack_whose_index_or_end_is_damaged_loses_nothing(root, trash):
    journal = filled(root, 10, packed=8)
    flip(root / pack_file(1, 4), -190, 0)
    flip(root / pack_file(5, 8), -1, 0)
    assert len(told(journal)[0]) == 2
    assert len(journal.mend(trash)) == 2
    assert numbers(journal) == list(range(1, 11))
    assert journal.damages() == []


def test_a_pack_that_is_cut_short_keeps_what_stood_before(root, trash):
    journal = filled(root, 10, packed=8)
    at = (root / pack_file(5, 8)).read_bytes().index(b'{"entry":7')
    change(root / pack_file(5, 8), lambda b: b[: at + 5])
    assert len(journal.mend(trash)) == 1
    assert numbers(journal) == [1, 2, 3, 4, 5, 6, 9, 10]
    assert journal.damages() == []


def test_a_pack_whose_end_is_damaged_and_after_which_nothing_comes_is_made_shorter(root, trash):
    journal = filled(root, 8, packed=8)
    change(root / pack_file(5, 8), lambda b: b[: b.index(b'{"entry":7')])
    journal.mend(trash)
    assert numbers(journal) == [1, 2, 3, 4, 5, 6]
    assert sorted(os.listdir(journal.packs.folder)) == [pack_name(1, 4), pack_name(5, 6)]
    assert journal.damages() == []
    assert Journal(root).append([said("fact 7")]) == 7
    assert numbers(journal) == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    "gone", [[(1, 4)], [(5, 8)], [(9, 12)], [(5, 8), (9, 12)], [(1, 4), (9, 12)]]
)
def test_missing_packs_are_stood_in_for(root, trash, gone):
    journal = filled(root, 14, packed=12)
    digests = [journal.digest(n) for n in range(15)]
    for first, last in gone:
        (root / pack_file(first, last)).unlink()
    assert journal.mend(trash)
    lost = [n for first, last in gone for n in range(first, last + 1)]
    assert numbers(journal) == [n for n in range(1, 15) if n not in lost]
    assert journal.damages() == []
    assert journal.digest(14) == digests[14]
    for last in {last for _, last in gone}:
        if last + 1 not in lost:
            assert journal.digest(last) == digests[last]
    for n in range(15, 20):
        journal.append([said(f"fact {n}")])
    journal.compact(keep=0, size=4)
    assert numbers(journal)[-5:] == [15, 16, 17, 18, 19]


def test_a_long_gap_is_filled_with_a_pack(root, trash):
    journal = filled(root, 60, packed=50, size=50)
    (root / pack_file(1, 50)).unlink()
    [done] = journal.mend(trash)
    assert done.what.startswith("was missing; entries that say that they are lost")
    assert os.listdir(journal.packs.folder) == [pack_name(1, 50)]
    assert numbers(journal) == list(range(51, 61))


@pytest.mark.parametrize("text", [None, b"0\n", b""])
def test_the_format_is_written_anew(root, trash, text):
    journal = filled(root, 2)
    (root / "format").unlink()
    if text is not None:
        (root / "format").write_bytes(text)
    [done] = journal.mend(trash)
    assert (done.path, done.lost) == (root / "format", False)
    assert (root / "format").read_bytes() == b"1\n"
    assert journal.damages() == []
    assert (text is None) == (listed(trash) == [])
    assert numbers(journal) == [1, 2]


def test_everything_else_works_on_a_mended_journal(tmp_path, trash):
    root = tmp_path / ".lineal"
    journal = Journal(root)
    model_pipeline(journal)
    count = journal.head()
    shutil.copytree(root, tmp_path / "kept")
    for lost in (1, 2, 3, count // 2, count - 1, count):
        place = shutil.copytree(tmp_path / "kept", tmp_path / f"lost{lost}")
        journal = Journal(place)
        journal.path(lost).chmod(0o644)
        journal.path(lost).write_bytes(b"")
        journal.mend(place / "trash")
        expected = count - 1 if lost == count else count
        assert journal.head() == expected
        history = History.open(Journal(place), place / "cache")
        assert history.through == expected
        history.currents()
        history.lasts()
        history.close()
        catalog = Catalog(place, Journal(place))
        connection, _ = catalog.connect_for_questions()
        connection.execute("select count(*) from lineage.materialization").fetchall()
        connection.close()
        assert journal.append([said("next")]) == expected + 1


# ------------------------------------------------------------------------------------- at random


def test_whatever_is_damaged_only_that_is_lost(tmp_path):
    """Journals, packed or not, with several damages each: told, mended, whole, and kept."""
    for seed in range(40):
        chance = random.Random(seed)
        count, size = chance.randint(1, 24), chance.randint(1, 6)
        root = tmp_path / str(seed)
        journal = filled(root, count)
        journal.compact(keep=chance.randint(0, count), size=size)
        data = {n: journal.entry(n).data for n in range(1, count + 1)}
        files = [p for p in journal.folder.rglob("*") if p.suffix in (".jsonl", ".pack")]
        hurt = set(chance.choices(files, k=chance.randint(1, 4)))
        for path in sorted(hurt):
            spoil(path, chance)
        found = Journal(root).damages(seen=count)
        concerned = {n for d in found for n in range(d.first, d.last + 1)}
        assert found
        # What is missing may be told under another name, of the pack or of the files.
        assert hurt >= {d.path for d in found if d.path.exists()}, seed
        Journal(root).mend(root / "trash")
        assert Journal(root).damages() == [], seed
        kept = numbers(Journal(root))
        assert {*data} - {*kept} <= concerned, seed
        for number in kept:
            assert Journal(root).entry(number).data == data[number]
        for path in hurt:
            whole = [n for n, text in data.items() if lies_in(text, path, root / "trash")]
            assert {*whole} <= {*kept}, seed
        Journal(root).append([said("next")])
        assert Journal(root).damages() == []
        assert Journal(root).compact(keep=0, size=1) >= 0
        assert Journal(root).damages() == []


def spoil(path, chance):
    match chance.choice(["delete", "cut", "flip", "zeros"]):
        case "delete":
            path.unlink()
        case "cut":
            change(path, lambda b: b[: chance.randrange(len(b))])
        case "flip":
            flip(path, chance.randrange(path.stat().st_size), chance.randrange(8))
        case "zeros":
            change(path, lambda b: b"\0" * len(b))


def lies_in(text, path, trash):
    """Are these bytes still whole in a file that was moved away?"""
    moved = trash / path.relative_to(trash.parent)
    return moved.exists() and text in moved.read_bytes()


# ------------------------------------------------------------------------------------ whole copies


def mended(root, trash, seen=0):
    """Mend, and see that this leaves nothing to mend; what entries it says are lost."""
    found = Journal(root).damages(seen)
    done = Journal(root).mend(trash)
    assert (found == []) == (done == [])
    assert Journal(root).damages(seen) == []
    assert Journal(root).mend(trash) == []
    return [action for action in done if action.lost]


def beside(root, count, numbers):
    """The bytes of entries, as the files they were before they were packed."""
    return {Journal(root).path(n): Journal(root).entry(n).data for n in numbers if n <= count}


@pytest.mark.parametrize("number", [5, 6, 8, 12])
def test_an_entry_that_is_damaged_in_a_pack_is_taken_from_its_file(root, trash, number):
    journal = filled(root, 12, packed=12)
    digests = [journal.digest(n) for n in range(13)]
    left = beside(root, 12, [number])
    bad = root / pack_file(*((9, 12) if number > 8 else (5, 8)))
    change(bad, lambda b: b.replace(b"fact %d" % number, b"fact 0"))
    for path, data in left.items():
        path.write_bytes(data)
    assert mended(root, trash) == []
    assert numbers(journal) == list(range(1, 13))
    assert [Journal(root).digest(n) for n in range(13)] == digests


def test_a_file_that_is_not_what_the_next_entry_names_stands_for_nothing(root, trash):
    journal = filled(root, 10, packed=8)
    change(root / pack_file(5, 8), lambda b: b.replace(b"fact 6", b"fact 9"))
    journal.path(6).write_bytes(seal(6, journal.digest(5), [b'{"fact":"of one overtaken"}']))
    assert [action.path for action in mended(root, trash)] == [root / pack_file(5, 8)]
    assert numbers(journal) == [1, 2, 3, 4, 5, 7, 8, 9, 10]


def test_a_copy_of_a_pack_under_another_name_is_only_moved_away(root, trash):
    journal = filled(root, 24, packed=24, size=6)
    shutil.copy(root / pack_file(7, 12), root / pack_file(10, 15))
    assert told(journal)[0] == [(pack_file(10, 15), 10, 15)]
    assert mended(root, trash) == []
    assert numbers(journal) == list(range(1, 25))
    assert listed(journal.packs.folder) == [pack_name(n, n + 5) for n in (1, 7, 13, 19)]


@pytest.mark.parametrize("name", [(7, 99), (7, 999999999999), (1, 6), (8, 12), (12, 7), (0, 0)])
@pytest.mark.parametrize("packed", [12, 18, 24])
def test_a_pack_that_has_another_name_loses_nothing(root, trash, name, packed):
    journal = filled(root, 24, packed=packed, size=6)
    if name != (1, 6):
        (root / pack_file(7, 12)).rename(root / pack_file(*name))
    else:
        (root / pack_file(1, 6)).rename(root / pack_file(25, 30))
    assert mended(root, trash) == []
    assert numbers(journal) == list(range(1, 25))
    assert Journal(root).append([said("fact 25")]) == 25
    Journal(root).compact(keep=0, size=1)
    assert numbers(journal) == list(range(1, 26))


@pytest.mark.parametrize("name", [(7, 99), (7, 999999999999), (4, 9)])
def test_a_renamed_pack_that_can_not_be_read_by_its_index_loses_nothing(root, trash, name):
    journal = filled(root, 24, packed=18, size=6)
    flip(root / pack_file(7, 12), -190, 0)
    (root / pack_file(7, 12)).rename(root / pack_file(*name))
    assert mended(root, trash) == []
    assert numbers(journal) == list(range(1, 25))


@pytest.mark.parametrize("first, last", [(0, 0), (0, 4), (5, 4), (9, 3)])
def test_a_file_with_a_name_that_no_pack_has_is_moved_away(root, trash, first, last):
    journal = filled(root, 10, packed=8)
    stray = root / pack_file(first, last)
    stray.write_bytes(b"x")
    assert numbers(journal) == list(range(1, 11))
    assert told(journal) == ([(pack_file(first, last), 0, 0)], ["has a name that no pack can have"])
    assert mended(root, trash) == []
    assert (trash / pack_file(first, last)).read_bytes() == b"x"
    assert numbers(journal) == list(range(1, 11))


def test_an_entry_that_is_lost_from_a_pack_is_taken_from_one_that_overlaps(root, trash):
    journal = filled(root, 12, packed=12)
    entries = [journal.entry(n).data for n in range(6, 11)]
    (root / pack_file(6, 10)).write_bytes(pack_bytes(6, entries))
    (root / pack_file(9, 12)).rename(root / pack_file(13, 16))
    change(root / pack_file(5, 8), lambda b: b.replace(b"fact 7", b"fact 9"))
    assert mended(root, trash) == []
    assert numbers(journal) == list(range(1, 13))


def test_a_pack_of_another_journal_is_not_taken_for_the_end_of_this_one(root, trash, tmp_path):
    journal = filled(root, 6, packed=4)
    filled(tmp_path / "other", 12, packed=12, word="other")
    shutil.copy(tmp_path / "other" / pack_file(9, 12), root / pack_file(7, 10))
    mended(root, trash)
    assert numbers(journal) == [1, 2, 3, 4, 5, 6]
    assert journal.head() == 6


def test_nothing_is_lost_while_each_entry_lies_whole_somewhere(tmp_path):
    """Packs and files copied, renamed, overlapping and damaged, but never the last whole copy."""
    for seed in [*range(60), 2543]:
        chance = random.Random(seed)
        root, count = tmp_path / str(seed), chance.randint(4, 20)
        journal = filled(root, count)
        data = {n: journal.entry(n).data for n in range(1, count + 1)}
        journal.compact(keep=chance.randint(0, count // 2), size=chance.randint(1, 5))
        for _ in range(chance.randint(1, 6)):
            disturb(journal, chance, data)
        found = Journal(root).damages(seen=count)
        lost = mended(root, root / "trash", seen=count)
        # A name may say more than there ever was, of a file that says nothing: who can know?
        assert lost == [] or any(damage.last > count for damage in found), seed
        assert numbers(journal) == [*data], seed
        assert {n: Journal(root).entry(n).data for n in data} == data, seed
        Journal(root).append([said(f"fact {count + 1}")])
        Journal(root).compact(keep=0, size=2)
        assert Journal(root).damages() == [], seed


def disturb(journal, chance, data):
    """One thing that goes wrong; taken back if an entry would then be nowhere."""
    files = sorted(p for p in journal.folder.rglob("*") if p.suffix in (".jsonl", ".pack"))
    path, number = chance.choice(files), chance.choice([*data])
    first = chance.randint(0, len(data) + 2)
    other = journal.packs.folder / pack_name(first, max(0, first + chance.randint(-1, 6)))
    before = path.read_bytes()
    journal.packs.folder.mkdir(exist_ok=True)
    match chance.choice(["spoil", "file", "overlap", "copy", "rename"]):
        case "spoil":
            spoil(path, chance)
        case "file" if not journal.path(number).exists():
            journal.path(number).write_bytes(data[number])
        case "overlap" if not other.exists() and 1 <= first <= len(data):
            held = [data[n] for n in range(first, min(len(data), first + 4) + 1)]
            (journal.packs.folder / pack_name(first, first + len(held) - 1)).write_bytes(
                pack_bytes(first, held)
            )
        case "copy" if path.suffix == ".pack" and not other.exists():
            shutil.copy(path, other)
        case "rename" if path.suffix == ".pack" and not other.exists():
            path.rename(other)
    there = [p for p in journal.folder.rglob("*") if p.suffix in (".jsonl", ".pack")]
    texts = [(p, p.read_bytes()) for p in there]
    held = {n for n, text in data.items() for p, t in texts if text in t and fits(p, n, text, t)}
    if held != {*data}:
        path.unlink(missing_ok=True)
        path.write_bytes(before)


def fits(path, number, text, data):
    """A file must have the number of its entry; a pack may have any name."""
    return path.suffix == ".pack" or (int(path.stem) == number and text == data)


# --------------------------------------------------------------------------------------- crashes


class Crash(BaseException):
    """The process ends here."""


class Dies(Disk):
    def __init__(self, at):
        self.left = at

    def _count(self):
        self.left -= 1
        if self.left == 0:
            raise Crash

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

    def replace(self, source, target):
        self._count()
        super().replace(source, target)


def test_wherever_the_mending_of_the_newest_pack_stops_the_next_one_finishes(tmp_path):
    filled(whole := tmp_path / "whole", 12, packed=12)
    (whole / pack_file(1, 4)).unlink()
    change(whole / pack_file(9, 12), lambda b: b[: b.index(b'{"entry":11')])
    for at in range(1, 200):
        root = shutil.copytree(whole, tmp_path / str(at))
        disk = Dies(at)
        try:
            Journal(root, disk).mend(root / "trash")
        except Crash:
            Journal(root).mend(root / "trash")
        assert numbers(Journal(root)) == [5, 6, 7, 8, 9, 10]
        assert Journal(root).damages() == []
        assert Journal(root).append([said("fact 11")]) == 11
        if disk.left > 0:
            break
    assert at > 10


def test_wherever_the_rescue_of_whole_copies_stops_the_next_one_finishes(tmp_path):
    journal = filled(whole := tmp_path / "whole", 14, packed=12)
    kept = {n: journal.entry(n).data for n in (6, 7)}
    change(whole / pack_file(5, 8), lambda b: b.replace(b"fact 6", b"fact 0"))
    journal.path(6).write_bytes(kept[6])
    journal.path(7).write_bytes(kept[6])
    (whole / pack_file(9, 12)).rename(whole / pack_file(9, 99))
    for at in range(1, 200):
        root = shutil.copytree(whole, tmp_path / str(at))
        disk = Dies(at)
        try:
            Journal(root, disk).mend(root / "trash")
        except Crash:
            Journal(root).mend(root / "trash")
        assert numbers(Journal(root)) == list(range(1, 15))
        assert Journal(root).damages() == []
        if disk.left > 0:
            break
    assert at > 20


def test_wherever_mending_stops_the_next_one_finishes_and_loses_no_more(tmp_path):
    whole = tmp_path / "whole"
    journal = filled(whole, 14, packed=8)
    change(whole / pack_file(1, 4), lambda b: b.replace(b"fact 2", b"fact 9"))
    flip(whole / pack_file(5, 8), -1, 0)
    DAMAGE["edited"][0](journal.path(10))
    DAMAGE["deleted"][0](journal.path(12))
    DAMAGE["half"][0](journal.path(14))
    for at in range(1, 200):
        root = shutil.copytree(whole, tmp_path / str(at))
        journal = Journal(root)
        disk = Dies(at)
        try:
            Journal(root, disk).mend(root / "trash")
        except Crash:
            Journal(root).mend(root / "trash")
        assert numbers(journal) == [1, 3, 4, 5, 6, 7, 8, 9, 11, 13]
        assert journal.damages() == []
        if disk.left > 0:
            break
    assert at > 20


def test_a_lost_entry_without_a_known_digest_counts_as_itself(root, trash):
    journal = filled(root, 5)
    journal.path(2).unlink()
    journal.path(3).unlink()
    journal.mend(trash)
    first, second = (journal.path(n).read_bytes() for n in (2, 3))
    assert b"stands_for" not in first
    assert unseal(3, second).previous == unseal(2, first).digest
    assert numbers(journal) == [1, 4, 5]
    assert Path(journal.path(2)).stat().st_size < 400
