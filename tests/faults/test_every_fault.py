"""Whatever goes wrong at whichever operation: nothing told as made is lost, nothing wrong served.

Runs are recorded operation by operation: what stood on the disk before each, and what had been told
by then. From each such moment follow the crash, the torn operation and the power cuts; refusals are
run through again. Each time a new process must find all that was promised and make the rest.

With LINEAL_EVERY_FAULT=1 in the environment nothing is taken in turn, and what three errors of one
refusal leave is judged thrice (`make torture`).
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest

from lineal.assets.errors import StoreError
from lineal.assets.records import Content, Fact
from lineal.assets.run import Run
from lineal.project import Project
from tests.faults.dozen import BATCHED, CHANGED, ONE_BY_ONE, Dozen, Worker, facts_of, judge
from tests.faults.platters import ALL_TORN, ONLY_SYNCED, Image, Platters, Tree
from tests.faults.simulated_disk import Fault, Kind, Operation, SimulatedDisk

# A run from nothing, one after a change, one with the change taken back; the journal packed.
SCENES = ("cold", "second", "back", "compact")
PACES = (BATCHED, ONE_BY_ONE)
PARTS = 4
REFUSALS: tuple[Kind, ...] = ("refuse once", "refuse on")
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)
EVERY_FAULT = os.environ.get("LINEAL_EVERY_FAULT") == "1"
# What a harness that sees the code's every operation counts at least, by scene and for both paces.
LEAST = {
    "cold": Counter(
        create=10, copy=2, complete=9, sync=38, link=16, unlink=18, mkdir=15, replace=1
    ),
    "second": Counter(create=8, copy=2, complete=4, sync=22, link=7, unlink=10, mkdir=3, replace=2),
    "back": Counter(create=5, sync=8, link=3, unlink=4, replace=2),
    "compact": Counter(create=4, sync=12, link=4, unlink=12, mkdir=1),
}
NEXT_ENTRY = 24  # operations by which a run has written its first entry
MAKES_STORE = Operation("mkdir", "store")
STAGED = re.compile(r"\.\d+-[0-9a-f]{8}\Z")  # what tells the files of two processes apart
TIMES = re.compile(rb'"seconds":[^,}]+|^\{"(?:entry|end)":.*$', re.MULTILINE)


class Moment(NamedTuple):
    """What stood on the disk before an operation, and what had been told as made by then."""

    image: Image
    promised: dict[str, str]


@dataclass(frozen=True)
class Scene:
    """A run, recorded: one more moment than operations."""

    dozen: Dozen
    pace: str
    act: Callable[[Worker], Run | None]
    clean: dict[str, Content]  # what a clean run of the same code and sources leaves
    begin: Tree
    facts: list[list[Fact]]  # which stood in the journal at the beginning
    moments: list[Moment]
    operations: list[Operation]


def pack(worker: Worker) -> None:
    """Pack most of the journal, by so few entries a pack that there are several."""
    worker.journal.compact(keep=1, size=2)


class Stage:
    """Where scenes are recorded and played."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.before = Dozen.load(folder / "before")
        self.after = Dozen.load(folder / "after", **CHANGED)
        self.platters = Platters(folder / "store")
        self.scene = cache(self._scene)

    @property
    def store(self) -> Path:
        return self.platters.store

    def worker(self, scene: Scene, fault: Fault | None = None) -> tuple[Worker, SimulatedDisk]:
        disk = SimulatedDisk(self.platters, fault)
        return Worker(scene.dozen, self.store, disk, scene.pace), disk

    def _scene(self, name: str, pace: str) -> Scene:
        dozen = self.after if name == "second" else self.before
        act = pack if name == "compact" else Worker.make
        begin: Tree = {}
        if name != "cold":
            earlier = self.scene(SCENES[SCENES.index(name) - 1], pace)
            begin = earlier.moments[-1].image.present
        self.platters.become(begin)
        facts = facts_of(self.store)
        moments: list[Moment] = []

        def watch(_: int) -> None:
            moments.append(Moment(self.platters.image(), worker.told.promised))

        disk = SimulatedDisk(self.platters, watch=watch)
        worker = Worker(dozen, self.store, disk, pace)
        act(worker)
        watch(0)
        assert facts_of(self.store)[: len(facts)] == facts
        clean = self._clean(dozen)
        return Scene(dozen, pace, act, clean, begin, facts, moments, disk.operations)

    def _clean(self, dozen: Dozen) -> dict[str, Content]:
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            worker = Worker(dozen, Path(folder) / "clean")
            worker.make()
            return worker.currents()

    def check(self, scene: Scene, promised: dict[str, str]) -> dict[str, str]:
        """A new process finds what was promised and makes the rest; all that is promised then."""
        judge(self.store, [promised])
        worker, disk = self.worker(scene)
        self.check_made(scene, worker, scene.act(worker) or worker.make(), promised)
        assert not disk.synced_again
        self.check_idle(scene)
        return {**promised, **worker.told.promised}

    def check_made(self, scene: Scene, worker: Worker, run: Run, promised: dict[str, str]) -> None:
        """A run made everything but what was promised, as a clean run does."""
        assert facts_of(self.store)[: len(scene.facts)] == scene.facts
        assert run.outcome == "done"
        outcomes = {report.step.asset: report.outcome for report in run.steps}
        anew = {step for step in promised if outcomes[step] not in ("fresh", "reused")}
        assert not anew, f"told as made, and made again: {anew}"
        assert worker.currents() == scene.clean
        judge(self.store, [promised, worker.told.promised])

    def check_idle(self, scene: Scene) -> None:
        """One more run is a no-op."""
        again = self.worker(scene)[0].make()
        assert again.id is None
        assert {report.outcome for report in again.steps} == {"fresh"}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Stage(Path(folder).resolve())


Chunk = tuple[str, str, int]
CHUNKS = [(name, pace, part) for name in SCENES for pace in PACES for part in range(PARTS)]


@pytest.fixture(params=CHUNKS, ids=lambda chunk: f"{chunk[0]}-{chunk[1][:3]}-{chunk[2]}")
def chunk(request: pytest.FixtureRequest) -> Chunk:
    found: Chunk = request.param
    return found


def part_of(count: int, part: int) -> range:
    """Neighbours together: what is equal is tried once."""
    return range(count * part // PARTS, count * (part + 1) // PARTS)


class Tried:
    """Counts faults, and knows which stores were judged already with the same promises."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self.injected = 0

    @property
    def judged(self) -> int:
        return len(self._seen)

    def is_new(self, promised: dict[str, str], *trees: Tree, of: str = "") -> bool:
        """Count a fault that led there; is it to be judged? `of`: what else tells states apart."""
        self.injected += 1
        parts = [of, repr(sorted(promised.items()))]
        for tree in trees:
            parts.extend(
                f"{path} {hashlib.sha1(file.data).hexdigest() if file else '/'}"
                for path, file in sorted(tree.items())
                if "/tmp/" not in path  # nothing is ever read from there
            )
        key = "\n".join(parts)
        new = key not in self._seen
        self._seen.add(key)
        return new


@pytest.fixture
def tried(record_property: Callable[[str, object], None]) -> Iterator[Tried]:
    found = Tried()
    yield found
    record_property("faults", found.injected)
    record_property("states", found.judged)


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("pace", PACES)
def test_a_recording_sees_every_operation(stage: Stage, name: str, pace: str) -> None:
    """Else faults at every operation would prove nothing: writing past the disk must show."""
    scene = stage.scene(name, pace)
    counted = Counter(operation.name for operation in scene.operations)
    assert counted >= LEAST[name], counted
    if name in ("second", "back"):  # the journal, folded for the next process
        assert any(o.name == "replace" and "/cache/facts" in o.path for o in scene.operations)
    named = {o.path for o in scene.operations if o.name in ("create", "link", "mkdir", "replace")}
    end = scene.moments[-1].image.present
    kept = {p for p in end if p.split("/")[1:2] in (["format"], ["journal"], ["objects"])}
    assert kept > {"store/format", "store/journal", "store/objects"}
    assert kept - scene.begin.keys() <= named


def test_a_crash_at_any_operation_loses_nothing(stage: Stage, chunk: Chunk, tried: Tried) -> None:
    """And a power cut after the next process is done takes nothing that either has told."""
    scene = stage.scene(*chunk[:2])
    for at in part_of(len(scene.moments), chunk[2]):
        image, promised = scene.moments[at]
        if not tried.is_new(promised, image.present, image.after_power_cut(ONLY_SYNCED)):
            continue
        stage.platters.restore(image)
        promised = stage.check(scene, promised)
        stage.platters.power_cut(ONLY_SYNCED)
        stage.check(scene, promised)


def test_an_operation_torn_by_a_crash_loses_nothing(
    stage: Stage, chunk: Chunk, tried: Tried
) -> None:
    scene = stage.scene(*chunk[:2])
    for at in part_of(len(scene.operations), chunk[2]):
        name, path = scene.operations[at]
        if name not in ("create", "copy", "complete"):
            continue
        image, promised = scene.moments[at + 1]
        tree = image.torn(path)
        if tried.is_new(promised, tree):
            stage.platters.become(tree)
            stage.check(scene, promised)


def test_a_power_cut_at_any_operation_loses_nothing(
    stage: Stage, chunk: Chunk, tried: Tried
) -> None:
    scene = stage.scene(*chunk[:2])
    for at in part_of(len(scene.moments), chunk[2]):
        image, promised = scene.moments[at]
        seeds = (ONLY_SYNCED, ALL_TORN, 2 + at)
        for seed in seeds if scene.pace == BATCHED or EVERY_FAULT else [seeds[at % 3]]:
            tree = image.after_power_cut(seed)
            if tried.is_new(promised, tree):
                stage.platters.become(tree)
                stage.check(scene, promised)


@pytest.mark.parametrize("pace", PACES)
def test_a_second_crash_loses_nothing_either(stage: Stage, tried: Tried, pace: str) -> None:
    """A process died before an entry was durable; the power goes while the next one follows it."""
    scene = stage.scene("cold", pace)
    for at, (name, path) in enumerate(scene.operations):
        if name != "link" or "/journal/" not in path:
            continue
        image, promised = scene.moments[at + 1]
        stage.platters.restore(image)
        images: list[Image] = []

        def watch(number: int, images: list[Image] = images) -> None:
            if number <= NEXT_ENTRY:
                images.append(stage.platters.image())

        disk = SimulatedDisk(stage.platters, watch=watch)
        Worker(scene.dozen, stage.store, disk, scene.pace).make()
        for each, seed in product(images, range(2, 6)):
            tree = each.after_power_cut(seed)
            if tried.is_new(promised, tree):
                stage.platters.become(tree)
                judge(stage.store, [promised])


def test_the_folders_above_a_store_are_durable_too(tmp_path: Path) -> None:
    """Whatever made them first: the cache and the locks do so without a sync."""
    root = tmp_path.resolve()
    (root / "lineal.toml").write_text('[project]\nstore = "kept/here/.lineal"\n')
    (root / "pipeline.py").write_text(
        "from lineal import asset\n\n@asset\ndef one():\n    return 1\n"
    )
    platters = Platters(root / "kept")
    Project(root, SimulatedDisk(platters)).materialize()
    platters.power_cut(ONLY_SYNCED)
    judge(root / "kept" / "here" / ".lineal")
    assert Project(root).load("one") == 1


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_refusal_of_any_operation_is_told_and_loses_nothing(
    stage: Stage, chunk: Chunk, tried: Tried, kind: Kind
) -> None:
    """And the same project goes on when the disk does, but for what it could not sync.

    With many steps an entry, each operation is refused in all six ways; with one, in one of them.
    """
    scene = stage.scene(*chunk[:2])
    ways = list(product(REFUSALS, ERRORS))
    for at, way in product(part_of(len(scene.operations), chunk[2]), ways):
        in_turn = scene.pace == BATCHED or EVERY_FAULT or way == ways[at % len(ways)]
        if way[0] == kind and in_turn:
            refused(stage, scene, Fault(kind, at + 1, way[1]), tried)


def refused(stage: Stage, scene: Scene, fault: Fault, tried: Tried) -> None:
    """Run into the fault, and go on after it."""
    stage.platters.become(scene.begin)
    worker, disk = stage.worker(scene, fault)
    try:
        scene.act(worker)
    except StoreError as told:
        assert told.where is not None and told.where.startswith(str(stage.store.parent))
        assert told.advice is not None
    else:
        assert disk.struck is None or is_harmless(disk.struck), f"{fault}: {disk.struck}"
    if disk.struck is None:
        return
    promised = worker.told.promised
    not_synced = sorted(path.partition("/tmp/")[0] for path in disk.not_synced)
    one = f"{fault.kind} at {fault.at}: {not_synced}"
    image = stage.platters.image()
    trees = [timeless(t) for t in (image.present, image.after_power_cut(ONLY_SYNCED))]
    if not tried.is_new(promised, *trees, of=one) and not EVERY_FAULT:
        return
    judge(stage.store, [promised])
    disk.free()
    try:
        stage.check_made(scene, worker, scene.act(worker) or worker.make(), promised)
        stage.check_idle(scene)
    except StoreError as told:
        assert disk.not_synced, f"{fault}: the project did not go on"
        assert "open the project anew" in (told.advice or "")
    assert not disk.synced_again
    if disk.not_synced:
        stage.platters.power_cut(fault.at)
        stage.check(scene, worker.told.promised)


def timeless(tree: Tree) -> Tree:
    """A tree without how long things took, and the digests of that: two refusals of one operation
    by different errors are compared. What the cache holds follows from the rest.
    """
    found: Tree = {}
    for path, file in tree.items():
        if file is not None and path.startswith("store/journal/"):
            file = file._replace(data=TIMES.sub(b"", file.data))
        elif file is not None and path.startswith("store/cache/"):
            file, path = file._replace(data=b""), STAGED.sub("", path)
        found[path] = file
    return found


def is_harmless(operation: Operation) -> bool:
    """Nobody needs the cache (nor the store, before there is more to keep), and who can't remove a
    file that is done with leaves it.
    """
    return "/cache" in operation.path or operation in (("unlink", operation.path), MAKES_STORE)
