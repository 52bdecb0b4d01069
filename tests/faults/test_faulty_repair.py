"""Wherever a repair stops, the next one ends well: what was whole stays, what was not is kept."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineal.assets.records import Content
from tests.faults.dozen import ONE_BY_ONE, Dozen, Worker
from tests.faults.platters import ALL_TORN, ONLY_SYNCED, Image, Platters, Tree
from tests.faults.simulated_disk import SimulatedDisk

PARTS = 2  # each a test of its own, so that several processes share them


class Stage:
    """A store with a damaged object, entry and cache; its repair, recorded at each operation."""

    def __init__(self, folder: Path) -> None:
        self.dozen = Dozen.load(folder / "project")
        self.platters = Platters(folder / "store")
        worker = Worker(self.dozen, self.platters.store, pace=ONE_BY_ONE)
        worker.make()
        self.currents: dict[str, Content] = worker.currents()
        (stored,) = self.currents["income"].objects
        place = f"store/objects/{stored.digest[:2]}/{stored.digest}.{stored.suffix}"
        damaged = {place, "store/journal/000000000007.jsonl", "store/cache/facts-4.jsonl"}
        whole = self.platters.image().present
        self.hurt: dict[str, bytes] = {}
        begin: Tree = dict(whole)
        for path in damaged:
            file = whole[path]
            assert file is not None
            self.hurt[path] = b"?" + file.data[1:]
            begin[path] = file._replace(data=self.hurt[path])
        self.whole = {
            path: file.data
            for path, file in whole.items()
            if file and path not in damaged and path.startswith(("store/objects", "store/journal"))
        }
        self.platters.become(begin)
        self.images: list[Image] = []
        disk = SimulatedDisk(self.platters, watch=lambda _: self._watch())
        assert Worker(self.dozen, self.platters.store, disk).fsck(repair=True).ok
        self._watch()

    def _watch(self) -> None:
        self.images.append(self.platters.image())

    def check(self, tree: Tree) -> None:
        """A new process repairs what is left to repair, and makes what is left to make."""
        self.platters.become(tree)
        worker = Worker(self.dozen, self.platters.store)
        report = worker.fsck(repair=True)
        assert report.ok, report
        store = self.platters.base
        for path, data in self.whole.items():
            assert (store / path).read_bytes() == data, f"{path} was whole"
        trash = [p for p in (store / "store" / "trash").rglob("*") if p.is_file()]
        for path, data in self.hurt.items():
            moved = [p for p in trash if p.match(f"trash/*/{path.removeprefix('store/')}")]
            kept = [p.read_bytes() for p in moved]
            assert data in kept, f"{path} is gone"
        assert worker.make().outcome == "done"
        assert worker.currents() == self.currents


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Stage(Path(folder).resolve())


def key(tree: Tree) -> str:
    """Alike where anything is ever read."""
    kept = {p: f and f.data for p, f in tree.items() if not p.startswith("store/tmp/")}
    return repr(sorted(kept.items()))


@pytest.mark.parametrize("part", range(PARTS))
def test_wherever_a_repair_stops_the_next_one_ends_well(stage: Stage, part: int) -> None:
    """Killed before each operation, and with the power cut at its worst and at random."""
    seen: set[str] = set()
    count = len(stage.images)
    for at in range(count * part // PARTS, count * (part + 1) // PARTS):
        image = stage.images[at]
        seeds = (ONLY_SYNCED, ALL_TORN, 2 + at)
        for tree in (image.present, *map(image.after_power_cut, seeds)):
            if key(tree) not in seen:
                seen.add(key(tree))
                stage.check(tree)
    assert len(seen) > 10
