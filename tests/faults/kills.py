"""Real processes, killed at random moments of their lives; and what must hold of their store then.

A trial puts the project into some state, starts one or two processes there, and kills one: at a
random part of the time that such a life takes, or shortly after something was seen to happen. The
store must keep its promises after every kill, and after one to three of them in a row a fresh
process must bring it to what a run in a clean store gives. All choices come from the seed.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults.doomed import IMPORTED, Line, live, read_diary
from tests.faults.doomed_project import TOGETHER, State
from tests.faults.promises import Promises, Told, promise
from tests.faults.sights import SIGHTS, Scene, phase_of

PATIENCE = 180.0  # seconds, on a busy machine, until a process counts as hung
KILLS_IN_A_STORE = 12
LIVES = {
    ("materialize",): 9,
    ("materialize", "sql"): 4,
    ("materialize", "sql", "materialize"): 1,
    ("sql",): 2,
    ("rebuild",): 1,
    ("compact",): 1,
    ("compact", "materialize", "compact"): 3,
}


class Trial(NamedTuple):
    """All choices of one trial, made before it begins."""

    state: int
    deeds: tuple[str, ...]
    moment: str  # "time", "disk", or a sight
    part: float  # of the life; of its operations on the disk; of a short while after the sight
    crowd: bool  # two processes at once, one of which is killed
    in_a_row: bool  # the next trial follows without a clean run between

    @classmethod
    def of(cls, seed: int, number: int) -> Trial:
        rng = random.Random(f"{seed} {number}")
        deeds = rng.choices(list(LIVES), list(LIVES.values()))[0]
        # In turn, so that few trials already have all of them.
        moment = ("time", "disk", list(SIGHTS)[number // 3 % len(SIGHTS)])[number % 3]
        needed = SIGHTS[moment].deeds if moment in SIGHTS else {"materialize"}
        if moment != "time" and not needed & set(deeds):
            deeds = next(lives for lives in LIVES if needed & set(lives) and len(lives) > 1)
        return cls(
            state=rng.randrange(5 + number // 20),
            deeds=deeds,
            moment=moment,
            part=rng.random(),
            crowd=rng.random() < 0.2,
            in_a_row=rng.random() < 0.7,
        )


@dataclass
class Figures:
    """What was done so far."""

    kills: int = 0
    survived: int = 0  # processes that ended before they could be killed
    recoveries: int = 0
    crowds: int = 0
    stores: int = 0
    phases: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        rows = [f"  {count:5d}  {phase}" for phase, count in sorted(self.phases.items())]
        told = (
            f"{self.kills} kills in {self.stores} stores, {self.recoveries} clean runs after them; "
            f"{self.crowds} had another process beside, {self.survived} came too late"
        )
        return "\n".join([told, *rows])


class Life(NamedTuple):
    """A process of the trial and its diary."""

    process: ForkServerProcess
    diary: Path

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid


class Torture:
    """Trials in a folder, one store after the other. `kill` does one, and raises Broken."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed = seed
        self.folder = folder
        self.figures = Figures()
        self.number = 0  # of the trial
        self._context = _forks()
        self._clean: dict[int, dict[str, str]] = {}  # by state: content digests of a clean run
        self._seconds: dict[str, list[float]] = defaultdict(list)  # of each deed, lately
        self._operations: list[int] = []  # on the disk, in whole lives lately
        self._new_store()

    # ---------------------------------------------------------------------------------- trials

    def kill(self) -> None:
        """One trial: a life that is ended, what must hold then, and perhaps a clean run."""
        trial = Trial.of(self.seed, self.number)
        if self.number and trial.state == Trial.of(self.seed, self.number - 1).state:
            trial = trial._replace(state=trial.state + 1)  # else there may be nothing to do
        self.number += 1
        wanted = self._wanted(trial.state)
        State.of(trial.state).write(self.root)
        lives = [self._start(trial.deeds, last=self._last(trial))]
        if trial.crowd:
            lives.append(self._start(trial.deeds))
        try:
            killed = self._kill_one(trial, lives)
        finally:
            for life in lives:
                life.process.kill()
                life.process.join()
        self._count(trial, killed)
        self._check(lives)
        if killed and (not trial.in_a_row or self._since_clean > 3):
            self._recover(wanted)
        if killed and self.figures.kills % KILLS_IN_A_STORE == 0:
            self._clear(10_000 + self.number)  # a state that never was: there is work
            self._new_store()

    def _count(self, trial: Trial, killed: str | None) -> None:
        if killed is None:
            self.figures.survived += 1
            return
        self._since_clean += 1
        self.figures.kills += 1
        self.figures.phases[killed] += 1
        self.figures.crowds += trial.crowd

    def _kill_one(self, trial: Trial, lives: Sequence[Life]) -> str | None:
        """The phase in which the first was killed, None if it had ended; others end well."""
        doomed, *others = lives
        scene = Scene(self.root / ".lineal", doomed.pid, doomed.diary, self.promises.head)
        self._wait_to_kill(trial, doomed, scene)
        doomed.process.kill()
        doomed.process.join()
        phase = None
        if doomed.process.exitcode == -signal.SIGKILL:
            phase = phase_of(scene, read_diary(doomed.diary))
        else:
            self._ended_well(doomed)
        for other in others:
            other.process.join(PATIENCE)
            self._ended_well(other)
        return phase

    def _wait_to_kill(self, trial: Trial, doomed: Life, scene: Scene) -> None:
        life = sum(self._expected(deed) for deed in trial.deeds)
        if trial.moment == "disk":
            doomed.process.join(PATIENCE)
            promise(not doomed.process.is_alive(), f"a process hangs at {trial}")
        elif trial.moment == "time":
            doomed.process.join(trial.part * life)
        else:
            until = time.monotonic() + PATIENCE
            while doomed.process.is_alive() and not SIGHTS[trial.moment].seen(scene):
                promise(time.monotonic() < until, f"a process hangs at {trial}")
                time.sleep(0.0005)  # else looking takes the core that it needs
            doomed.process.join(trial.part * life / 40)

    def _last(self, trial: Trial) -> int | None:
        """The operation on the disk at which the process kills itself."""
        if trial.moment != "disk":
            return None
        return 1 + int(trial.part**2 * max(self._operations))  # few lives have that many

    # ----------------------------------------------------------------------------- what must hold

    def _check(self, lives: Sequence[Life]) -> None:
        """What must hold whatever happened, read from the journal and the objects alone."""
        before = self.promises.head
        self.promises.check()
        for life in lives:
            self.promises.check_told(_told(read_diary(life.diary)), before)

    def _recover(self, wanted: dict[str, str], *, thorough: bool = False) -> None:
        """A fresh process must finish what is left, and see what a clean run gives."""
        thorough = thorough or self.figures.recoveries % 3 == 0
        deeds = ["materialize", "sql", "look", *(["compare", "fsck"] if thorough else [])]
        life = self._start(deeds)
        life.process.join(PATIENCE)
        self._ended_well(life)
        if thorough:
            self.promises.forget_verified()
        self._check([life])
        lines = {line.word: line.details for line in read_diary(life.diary)}
        (current,), (idle,) = lines["current"], lines["idle"]
        rows, differing = lines.get("catalogs", (1, []))
        promise(current == wanted, f"not what a clean run gives: {_difference(wanted, current)}")
        promise(idle, "after a run that ended well there is still something to do")
        promise(rows > 0 and not differing, f"the catalog differs from a rebuild: {differing}")
        self._since_clean = 0
        self.figures.recoveries += 1

    def _clear(self, state: int) -> None:
        """A run that has work removes what killed processes left, once it is a day old, and leaves
        nothing itself."""
        tmp, cache = (self.root / ".lineal" / name for name in ("tmp", "cache"))
        for path in [*tmp.rglob("*"), *_staged(cache)]:
            os.utime(path, (0, 0))
        wanted = self._wanted(state)
        State.of(state).write(self.root)
        self._recover(wanted, thorough=True)
        left = sorted(str(path) for path in [*tmp.iterdir(), *_staged(cache)])
        promise(not left, f"left for ever: {left}")

    def _ended_well(self, life: Life) -> None:
        lines = read_diary(life.diary)
        said = f"{life.diary} says {lines[-1:]}"
        promise(life.process.exitcode is not None, f"a process hangs: {said}")
        promise(life.process.exitcode == 0, f"a process ended with an error: {said}")
        for line in lines:
            if line.word == "ran":
                run, outcome, _ = line.details
                promise(outcome == "done", f"run {run} ended as {outcome}: {said}")
        self._learn(lines)

    def _wanted(self, number: int) -> dict[str, str]:
        """What a run in a clean store gives, in this state: the content digest of each asset."""
        if number not in self._clean:
            root = self.folder / "clean"
            _empty(root / ".lineal")
            State.of(number).write(root)
            life = self._start(("materialize",), root)
            life.process.join(PATIENCE)
            self._ended_well(life)
            (steps,) = [x.details[2] for x in read_diary(life.diary) if x.word == "ran"]
            self._clean[number] = {asset: version for asset, (_, version) in steps.items()}
        return self._clean[number]

    # ----------------------------------------------------------------------------------- processes

    def _start(
        self, deeds: Sequence[str], root: Path | None = None, last: int | None = None
    ) -> Life:
        self._lives += 1
        diary = self.folder / "diaries" / f"{self.number:06d}-{self._lives}"
        diary.parent.mkdir(exist_ok=True)
        arguments = (str(root or self.root), str(diary), tuple(deeds), last)
        process = self._context.Process(target=live, args=arguments, daemon=True)
        process.start()
        return Life(process, diary)

    def _new_store(self) -> None:
        """The next trials begin with nothing, in a folder of their own."""
        shutil.rmtree(self.folder / "project", ignore_errors=True)
        shutil.rmtree(self.folder / "diaries", ignore_errors=True)
        self.root = self.folder / "project"
        self.promises = Promises(self.root / ".lineal", [TOGETHER])
        self._since_clean = 0
        self._lives = 0
        self.figures.stores += 1

    def _learn(self, lines: Sequence[Line]) -> None:
        """How long each deed took here and now: what a random moment is a part of."""
        begun: dict[str, float] = {}
        for line in lines:
            if line.word == "begins":
                begun[line.details[0]] = line.at
            if line.word == "ends":
                lately = self._seconds[line.details[0]]
                lately.append(line.at - begun[line.details[0]])
                del lately[:-9]
        written = sum(line.word == "disk" for line in lines)
        if written > 5:  # not where nothing was to do
            self._operations = [*self._operations[-8:], written]

    def _expected(self, deed: str) -> float:
        return statistics.median(self._seconds[deed] or self._seconds["materialize"])


def _empty(store: Path) -> None:
    """As if nothing had ever been made there; only what is known of code and packages stays."""
    kept = {store / "cache", store / "cache" / "code", store / "cache" / "packages.json"}
    for path in [*store.glob("*"), *store.glob("cache/*")]:
        if path not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _staged(cache: Path) -> list[Path]:
    """What was written for the cache, and has not got its name."""
    return [path for path in cache.rglob("*.*-????????") if not path.is_dir()]


def _told(lines: Sequence[Line]) -> list[Told]:
    return [tuple(step) for line in lines if line.word == "told" for step in line.details[0]]


def _difference(wanted: dict[str, str], found: dict[str, str]) -> list[tuple[str, Any, Any]]:
    names = sorted({*wanted, *found})
    return [(n, wanted.get(n), found.get(n)) for n in names if wanted.get(n) != found.get(n)]


def _forks() -> Any:
    """Processes that are forked from one that has imported the heavy libraries and no project."""
    os.environ["OMP_NUM_THREADS"] = "1"  # no threads in what is forked
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context
