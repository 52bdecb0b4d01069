"""What is wrong with the files of the journal, each by its name; and how all the rest is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lineal.disk import refusals
from lineal.lineage.compaction import numbers
from lineal.lineage.entries import NO_PREDECESSOR, Broken, Entry, unseal
from lineal.lineage.packs import CHANGED, MisnamedPack, Pack, Packs, examined, pack_name, unreadable
from lineal.lineage.store_format import wrong_format

if TYPE_CHECKING:
    from lineal.lineage.journal import Journal

_MANY = 32  # a longer gap is told in one line
_MOST = 1 << 20  # entries that no pack is large enough for


class Damage(NamedTuple):
    """One file that is missing or not what was written.

    `what` reads on from the path; `first` to `last` are the entries concerned (0, 0: `format`).
    """

    path: Path
    what: str
    first: int
    last: int


class Finding(NamedTuple):
    """A damage, and whether its entries are lost: those of a pack may all be there."""

    damage: Damage
    lost: bool


class Examined(NamedTuple):
    """What reading the whole journal showed."""

    findings: list[Finding]  # in the order of the entries
    newest: int  # the last entry that is good
    claims: dict[int, str]  # lost entry → its digest, as the good one after it has it


class _Seen(NamedTuple):
    """An entry as it was read; `what` is empty when it is good."""

    number: int
    path: Path
    packed: bool
    what: str
    entry: Entry | None = None


def damages(journal: Journal, seen: int) -> list[Damage]:
    """See `Journal.damages`."""
    with refusals(journal.folder):
        return [finding.damage for finding in examine(journal, seen).findings]


def entries_left(journal: Journal) -> Iterator[Entry]:
    """See `Journal.entries_left`."""
    with refusals(journal.folder):
        for seen in _judged(_entries(journal, _greatest(journal), [])):
            if seen.entry is not None and not seen.what:
                yield seen.entry


def examine(journal: Journal, seen: int = 0) -> Examined:
    """Read everything."""
    reached = _greatest(journal)
    found = _format(journal, written=reached > 0)
    claims: dict[int, str] = {}
    newest = before = 0
    bad: list[_Seen] = []
    for now in _judged(_entries(journal, reached, found)):
        if now.what or now.entry is None:
            if bad and not _alike(bad[-1], now):
                found.append(_told(bad))
                bad.clear()
            bad.append(now)
            continue
        if before + 1 < now.number or bad:
            claims[now.number - 1] = now.entry.previous
        if bad:
            found.append(_told(bad))
            bad.clear()
        before = newest = now.number
    if bad:
        found.append(_told(bad))
    if reached < seen:
        found.extend(_missing(journal, reached + 1, seen, "is missing at the end: it was there"))
    found.sort(key=lambda f: (f.damage.first, f.damage.path))
    return Examined(found, newest, claims)


# ------------------------------------------------------------------------------------- the entries


def told_apart(journal: Journal) -> tuple[Packs, list[Finding]]:
    """The packs that hold the entries of their names, and what is wrong with those that don't.

    Of two that overlap, the one that is read by its index counts, else the first one.
    """
    journal.packs.look()
    faults = {pack: journal.packs.fault(pack) for pack in journal.packs}
    counting: list[Pack] = []
    aside = [
        Finding(Damage(pack.path, "has a name that no pack can have", 0, 0), lost=False)
        for pack in journal.packs.strays
    ]
    for pack, fault in sorted(faults.items(), key=lambda each: (each[1] is not None, each[0])):
        over = [p.path.name for p in counting if p.first <= pack.last and pack.first <= p.last]
        if isinstance(fault, MisnamedPack) or (fault and over):
            what = str(fault)
        elif over:
            what = f"overlaps {over[0]}"
        elif pack.last - pack.first >= _MOST:
            what = "has a name that no pack can have"
        else:
            counting.append(pack)
            continue
        aside.append(Finding(Damage(pack.path, what, pack.first, pack.last), lost=False))
    return journal.packs.only(counting), aside


def _greatest(journal: Journal) -> int:
    packs, _ = told_apart(journal)
    return max([*numbers(journal.folder)[-1:], packs.last])


def _entries(journal: Journal, reached: int, found: list[Finding]) -> Iterator[_Seen]:
    """All entries up to `reached`, good or not; what is missing, or wrong with packs, is found."""
    # In this order: what was linked before `reached` has a name now, unless a pack has it.
    names = numbers(journal.folder)
    packs, aside = told_apart(journal)
    found.extend(aside)
    units: list[tuple[int, Pack | None]] = [(pack.first, pack) for pack in packs]
    units += [(n, None) for n in names if n <= reached and packs.covering(n) is None]
    expected = 1
    for first, pack in sorted(units, key=lambda unit: unit[0]):
        if first > expected:
            found.extend(_gap(journal, packs.last, expected, first - 1))
        if pack is None:
            yield _of_file(journal, first, alone=bool(aside))
            expected = first + 1
        else:
            yield from _of_pack(pack, found)
            expected = pack.last + 1


def _of_file(journal: Journal, number: int, *, alone: bool) -> _Seen:
    """`alone`: a pack that doesn't count may say that it holds the entry."""
    path = journal.path(number)
    try:
        entry = unseal(number, path.read_bytes() if alone else journal.bytes_of(number))
    except Broken as broken:
        return _Seen(number, path, False, str(broken))
    except FileNotFoundError:
        return _Seen(number, path, False, "is missing")
    except OSError as error:
        return _Seen(number, path, False, unreadable(error))
    return _Seen(number, path, False, "", entry)


def _of_pack(pack: Pack, found: list[Finding]) -> Iterator[_Seen]:
    what, entries = examined(pack)
    good = True
    for number in range(pack.first, pack.last + 1):
        try:
            entry = unseal(number, entries.get(number, b""))
        except Broken as broken:
            good = False
            why = str(broken) if number in entries else "is not there"
            yield _Seen(number, pack.path, True, why)
        else:
            yield _Seen(number, pack.path, True, "", entry)
    # That all of it has another digest says no more than that one entry has.
    if what and (good or what != CHANGED):
        found.append(Finding(Damage(pack.path, what, pack.first, pack.last), lost=False))


def _judged(seen: Iterable[_Seen]) -> Iterator[_Seen]:
    """The same, and where two good ones don't follow each other, the one that is wrong is not good.

    An entry is believed if the one after it follows it: else it is the one that was replaced.
    """
    before = _Seen(0, Path(), False, "", Entry(0, NO_PREDECESSOR, (), "", b""))
    waiting = iter(seen)
    now = next(waiting, None)
    while now is not None:
        after = next(waiting, None)
        if _follows(before, now) is False:
            if before.number and after is not None and _follows(now, after):
                told = f"is not what entry {now.number} follows: one of the two was replaced"
                before = before._replace(what=told)
            else:
                told = f"does not follow entry {before.number}: one of the two was replaced"
                now = now._replace(what=told)
        if before.number:
            yield before
        before, now = now, after
    if before.number:
        yield before


def _follows(before: _Seen, now: _Seen) -> bool | None:
    """Does one follow the other? None: it can't be said."""
    if before.what or now.what or now.number != before.number + 1:
        return None
    if before.entry is None or now.entry is None:
        return None
    return now.entry.previous == before.entry.digest


# -------------------------------------------------------------------------------------- the words


def _alike(before: _Seen, now: _Seen) -> bool:
    """Two neighbours in a pack with the same fault are told together."""
    return now.packed and (before.path, before.what, before.number + 1) == (
        now.path,
        now.what,
        now.number,
    )


def _told(bad: list[_Seen]) -> Finding:
    first, last = bad[0], bad[-1]
    what = first.what
    if first.packed:
        which = f"entry {first.number} in it"
        if len(bad) > 1:
            which = f"each of the entries {first.number} to {last.number} in it"
        what = f"{which} {what}"
    return Finding(Damage(first.path, what, first.number, last.number), lost=True)


def _gap(journal: Journal, packed: int, first: int, last: int) -> list[Finding]:
    if last < packed:
        path = journal.packs.folder / pack_name(first, last)
        what = f"is missing, with entries {first} to {last}"
        return [Finding(Damage(path, what, first, last), lost=True)]
    return _missing(journal, first, last, "is missing, but later ones exist")


def _missing(journal: Journal, first: int, last: int, what: str) -> list[Finding]:
    if last - first < _MANY:
        numbers_told = range(first, last + 1)
        return [Finding(Damage(journal.path(n), what, n, n), lost=True) for n in numbers_told]
    told = f"{what}; so are all up to entry {last}, or the pack that held them"
    return [Finding(Damage(journal.path(first), told, first, last), lost=True)]


def _format(journal: Journal, *, written: bool) -> list[Finding]:
    """What is wrong with the file `format`. IntegrityError when it is of a newer lineal."""
    path = journal.root / "format"
    try:
        wrong = wrong_format(path)
    except FileNotFoundError:
        wrong = "is missing" if written else None
    return [Finding(Damage(path, wrong, 0, 0), lost=False)] if wrong else []
