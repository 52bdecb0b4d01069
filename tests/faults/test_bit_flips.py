"""`fsck` finds every flipped bit and every cut, empty and missing file; no answer is ever wrong."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lineal.assets.errors import IntegrityError, LinealError
from lineal.disk import seal_of
from lineal.fsck_report import FsckReport
from lineal.project import Project
from tests.faults.rich_project import answers, make

FLIPS = 160  # in all, at least one a file
SETTINGS = Path("cache/settings.json")
OF_THE_PAST = ("runs", "lineage", "show", "log", "traceback")  # a repair adds to it
PARTS = 4  # each a test of its own, so that several processes share them


class Store:
    """A project and a whole copy of its store, to put back."""

    def __init__(self, root: Path) -> None:
        self.root, self.store, self.whole = root, root / ".lineal", root.parent / "whole"
        make(root)
        self.expected = answers(root)
        shutil.rmtree(self.store / "cache" / "folders")  # links: a copy has none
        shutil.copytree(self.store, self.whole)
        self.files = sorted(
            path.relative_to(self.whole)
            for path in self.whole.rglob("*")
            if path.is_file() and path.stat().st_size
        )

    def put_back(self) -> None:
        shutil.rmtree(self.store)
        shutil.copytree(self.whole, self.store)

    def fsck(self, level: str = "bytes") -> FsckReport | LinealError:
        try:
            return Project(self.root).fsck(level)
        except LinealError as error:
            return error

    def finds(self, name: Path, level: str = "bytes") -> bool:
        """Does a look name this file, as damaged or missing, by its whole path?"""
        found, path = self.fsck(level), self.store / name
        if isinstance(found, LinealError):  # a `format` that only a newer lineal can have written
            return isinstance(found, IntegrityError) and found.where == str(path)
        told = {finding.path for finding in found.damages}
        return (
            path in told
            or path in {Path(seal_of(p)) for p in told}
            or (name.suffix == ".pack" and told >= self.entries_of(name))
            # Whoever opens a project replaces this one if it is not whole.
            or (name == SETTINGS and path.read_bytes() == (self.whole / name).read_bytes())
        )

    def entries_of(self, pack: Path) -> set[Path]:
        """The files that entries of a pack would have, were it not for the pack."""
        first, last = (int(number) for number in pack.stem.split("-"))
        return {Project(self.root).journal.path(n) for n in range(first, last + 1)}

    def wrong(self) -> dict[str, Any]:
        """The questions that are answered neither as before nor with an error."""
        return {
            name: answer
            for name, answer in answers(self.root).items()
            if not isinstance(answer, LinealError) and answer != self.expected[name]
        }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("rich") / "project")


@pytest.fixture
def store(made: Store) -> Iterator[Store]:
    made.put_back()
    yield made
    made.put_back()


def flips(files: list[Path], store: Path) -> list[tuple[Path, int, int]]:
    """(file, byte, bit), the same ones every time for the same files."""
    chosen = random.Random(20261122)
    names = [*files, *(chosen.choice(files) for _ in range(FLIPS - len(files)))]
    return [
        (name, chosen.randrange((store / name).stat().st_size), chosen.randrange(8))
        for name in names
    ]


def overwrite(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def test_the_store_holds_every_kind_of_file(made: Store) -> None:
    kinds = {path.suffix for path in made.files if path.parts[0] == "objects"}
    assert kinds == {
        ".bin", ".joblib", ".json", ".npy", ".parquet", ".pickle", ".png", ".txt", ".zip",
    }  # fmt: skip
    tops = {path.parts[0] for path in made.files}
    assert tops == {
        "cache", "catalog.duckdb", "catalog.duckdb.seal", "format", "journal", "logs", "objects",
    }  # fmt: skip
    assert {path.suffix for path in made.files if path.parts[0] == "journal"} == {".jsonl", ".pack"}
    assert {path.name for path in made.files if path.parts[0] == "cache"} >= {
        "facts-4.jsonl", "imports.json", "packages.json", "places-1.sqlite",
        "places-1.sqlite.seal", "queries.json", "settings.json", "stat.json",
    }  # fmt: skip


def test_a_whole_store_is_told_to_be(store: Store) -> None:
    found = store.fsck("catalog")
    assert isinstance(found, FsckReport)
    assert found.damages == ()
    assert {note.kind for note in found.notes} <= {"unproved"}
    assert found.counts.catalog
    assert answers(store.root) == store.expected


def test_a_look_changes_nothing(store: Store) -> None:
    name = next(path for path in store.files if path.parts[0] == "objects")
    overwrite(store.store / name, b"damaged")
    before = {p: p.read_bytes() for p in store.store.rglob("*") if p.is_file()}
    store.fsck("catalog")
    after = {p: p.read_bytes() for p in store.store.rglob("*") if p.is_file()}
    assert after == before


@pytest.mark.parametrize("part", range(PARTS))
def test_every_flipped_bit_is_found_and_changes_no_answer(store: Store, part: int) -> None:
    missed, wrong = [], []
    chosen = flips(store.files, store.whole)
    assert len(chosen) >= 150
    for name, byte, bit in chosen[part::PARTS]:
        path = store.store / name
        data = bytearray(path.read_bytes())
        data[byte] ^= 1 << bit
        overwrite(path, bytes(data))
        if not store.finds(name):
            missed.append((name, byte, bit))
        if found := store.wrong():
            wrong.append((name, byte, bit, found))
        store.put_back()
    print(f"{len(chosen[part::PARTS])} flipped, {len(missed)} missed")
    assert not missed
    assert not wrong


@pytest.mark.parametrize("part", range(PARTS))
def test_every_flipped_bit_is_repaired(store: Store, part: int) -> None:
    """After the repair all is well, and what is current is what it was, made again where needed."""
    left, wrong = [], []
    chosen = flips(store.files, store.whole)[: len(store.files)]
    for name, byte, bit in chosen[part::PARTS]:
        if name == Path("format"):
            continue  # it may be another number, of a newer lineal: nothing to repair
        data = bytearray((store.store / name).read_bytes())
        data[byte] ^= 1 << bit
        overwrite(store.store / name, bytes(data))
        report = Project(store.root).fsck("bytes", repair=True)
        if not report.ok:
            left.append((name, report))
        if name.parts[0] == "journal":  # what the entry said is made again
            Project(store.root).materialize()
        if found := {k: v for k, v in store.wrong().items() if k not in OF_THE_PAST}:
            wrong.append((name, found))
        store.put_back()
    assert not left
    assert not wrong


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("kept", [0.0, 0.5], ids=["emptied", "cut short"])
def test_every_empty_and_every_cut_file_is_found(store: Store, part: int, kept: float) -> None:
    missed, wrong = [], []
    for name in store.files[part::PARTS]:
        path = store.store / name
        overwrite(path, path.read_bytes()[: int(path.stat().st_size * kept)])
        # How long a log was stands at its end: one without an end is open, as of a run that died.
        found = store.fsck()
        assert isinstance(found, FsckReport)
        opened = {p for note in found.notes if note.kind == "open" for p in note.paths}
        if name == Path("format") and kept:
            continue  # it is a number still, only without a line end
        if not store.finds(name) and not (name.parts[0] == "logs" and path in opened):
            missed.append(name)
        for question, answer in store.wrong().items():
            if not (question in ("log", "traceback") and "not closed" in answer):
                wrong.append((name, question, answer))
        store.put_back()
    assert not missed
    assert not wrong


@pytest.mark.parametrize("part", range(PARTS))
def test_every_missing_file_is_found_but_those_that_may_be_deleted(store: Store, part: int) -> None:
    missed, wrong = [], []
    for name in store.files[part::PARTS]:
        (store.store / name).unlink()
        free = name.parts[0] in ("cache", "logs") or name.name.startswith("catalog")
        if name != SETTINGS and store.finds(name) == free:
            missed.append(name)
        # Without a log there is none to show. Only a cache knows that there was a last entry.
        last = name == max(p for p in store.files if p.parent.name == "journal")
        if name.parts[0] != "logs" and not last and (found := store.wrong()):
            wrong.append((name, found))
        store.put_back()
    assert not missed
    assert not wrong


@pytest.mark.parametrize("name", ["catalog.duckdb", "cache/places-1.sqlite", "cache/facts-4.jsonl"])
def test_a_resealed_index_that_lies_is_found(store: Store, name: str) -> None:
    """Its bytes are those that were sealed: only the journal knows better."""
    import duckdb

    from lineal.disk import Disk, keep, kept, seal

    path = store.store / name
    if name.startswith("catalog"):
        with duckdb.connect(str(path)) as connection:
            connection.execute("delete from lineage.materialization where asset = 'mean'")
        seal(path, Disk())
    elif name.endswith("sqlite"):
        import sqlite3

        with sqlite3.connect(path) as places:
            places.execute("delete from place where kind = 'check'")
        places.close()
        seal(path, Disk())
    else:
        body = kept(path)
        assert body is not None
        keep(path, body.replace(b'"mean"', b'"gone"'), Disk())
    assert not store.finds(Path(name), "content")
    assert store.finds(Path(name), "catalog")
