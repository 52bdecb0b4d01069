"""A crowd of processes on one project: some make, some ask, one edits, and one kills.

`python -m tests.faults.crowd --processes 8 --askers 4 --seconds 60 --seed 1` lets eight make and
four ask, and prints what was done and what did not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import lineal.project
from tests.faults import crowd_proofs as proofs
from tests.faults.crowd_project import Edits
from tests.faults.crowd_workers import PRELOADED, Station, ask, main_words, make

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0  # seconds until a process that was asked to stop counts as stuck


@dataclass
class Figures:
    """What a crowd did."""

    makers: int = 0
    askers: int = 0
    seconds: float = 0.0
    runs: int = 0
    made: int = 0
    reused: int = 0
    taken_over: int = 0
    waited: int = 0
    moved: int = 0
    failed: int = 0
    blocked: int = 0
    kills: int = 0
    stops: int = 0
    edits: int = 0
    commands: int = 0
    questions: int = 0

    def __str__(self) -> str:
        told = ((f.name.replace("_", " "), getattr(self, f.name)) for f in fields(self))
        return "   ".join(f"{name} {value:.4g}" for name, value in told)


@dataclass
class Crowd:
    """One crowd: what it works on, who is in it, what it has heard."""

    folder: Path
    seed: int
    makers: int
    askers: int
    kills: bool = True
    problems: list[str] = field(default_factory=list)
    figures: Figures = field(default_factory=Figures)
    killed: set[int] = field(default_factory=set)
    workers: dict[int, tuple[BaseProcess, Callable[[Station], None]]] = field(default_factory=dict)
    commands: dict[int, tuple[subprocess.Popen[bytes], Path, list[str]]] = field(
        default_factory=dict
    )
    stopped: dict[int, float] = field(default_factory=dict)  # process → when it goes on
    _numbers: int = 0

    def __post_init__(self) -> None:
        self.root, self.outside = self.folder / "project", self.folder / "outside"
        for path in (self.root, self.outside):
            path.mkdir(parents=True)
        self.store = self.root / ".lineal"
        self.stop = self.outside / "stop"
        self.chance = random.Random(self.seed)
        self.edits = Edits(self.root, self.outside, self.chance)
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(list(PRELOADED))

    # ------------------------------------------------------------------------------- processes

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def start_worker(self, work: Callable[[Station], None]) -> None:
        number = self._number()
        told = self.outside / f"{number:03d}.told"
        station = Station(self.root, told, self.stop, self.seed * 1000 + number)
        process = self.context.Process(target=work, args=(station,))
        process.start()
        assert process.pid is not None
        self.workers[process.pid] = (process, work)

    def start_command(self, makes: bool) -> None:
        output = self.outside / f"{self._number():03d}.said"
        words = main_words(self.chance, makes)
        with output.open("wb") as out, output.with_suffix(".errors").open("wb") as err:
            child = subprocess.Popen(
                [sys.executable, "-m", "lineal.cli", *words],
                cwd=self.root,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        self.commands[child.pid] = (child, output, words)

    def begin(self) -> None:
        """Everything made once; then all come."""
        (self.outside / "calm").touch()
        lineal.project.open(self.root).materialize()
        (self.outside / "calm").unlink()
        for number in range(self.makers + self.askers):
            makes, typed = number < self.makers, number % 3 == 2
            if typed:
                self.start_command(makes)
            else:
                self.start_worker(make if makes else ask)
        self.figures.makers, self.figures.askers = self.makers, self.askers

    def collect(self, *, again: bool) -> None:
        """Take leave of commands that have ended, and start others in their place."""
        for number, (child, output, words) in list(self.commands.items()):
            code = child.poll()
            if code is None:
                continue
            del self.commands[number]
            if number not in self.killed:
                self._inspect(code, output, words)
            if again:
                self.start_command(words[0] == "materialize")

    def _inspect(self, code: int, output: Path, words: list[str]) -> None:
        where = f"`{' '.join(words)}` (exit {code})"
        said = output.read_text()
        errors = output.with_suffix(".errors").read_text()
        self.figures.commands += 1
        if errors:
            self.problems.append(f"{where} on standard error: {errors}")
        if code not in ((0, 1) if words[0] == "materialize" else (0,)):
            self.problems.append(f"{where}: {said}")
        self.problems += proofs.forbidden(said, where)
        if "--json" in words:
            self.problems += proofs.bad_documents(said, where)

    # --------------------------------------------------------------------------------- mischief

    def kill_one(self) -> None:
        """One dies without a word, a maker mostly; another comes."""
        makes = self.chance.random() < 0.8
        chosen = [n for n, (_, work) in self.workers.items() if (work is make) == makes]
        chosen += [
            n for n, (_, _, words) in self.commands.items() if (words[0] == "materialize") == makes
        ]
        number = self.chance.choice(chosen or list(self.workers))
        self.killed.add(number)
        os.kill(number, signal.SIGKILL)
        self.stopped.pop(number, None)
        self.figures.kills += 1
        if number in self.workers:
            process, work = self.workers.pop(number)
            process.join()
            process.close()
            self.start_worker(work)

    def stop_one(self) -> None:
        """A process stands still for a while, whatever it holds."""
        number = self.chance.choice(list(self.workers))
        if number not in self.stopped:
            os.kill(number, signal.SIGSTOP)
            self.stopped[number] = time.monotonic() + self.chance.random()
            self.figures.stops += 1

    def wake(self, *, all_of_them: bool = False) -> None:
        for number, until in list(self.stopped.items()):
            if all_of_them or time.monotonic() > until:
                del self.stopped[number]
                os.kill(number, signal.SIGCONT)

    # -------------------------------------------------------------------------------- the whole

    def run(self, seconds: float) -> None:
        """Work for so long; whatever happens, everybody is sent home."""
        try:
            self.begin()
            began = time.monotonic()
            while time.monotonic() < began + seconds:
                time.sleep(0.05)
                self._mischief()
                self.collect(again=True)
            self.figures.seconds = time.monotonic() - began
            self.figures.edits = self.edits.made
        finally:
            self.end()

    def _mischief(self) -> None:
        if self.chance.random() < 0.15:
            self.edits.edit()
        if self.kills and self.chance.random() < 0.03:
            self.kill_one()
        if self.chance.random() < 0.02:
            self.stop_one()
        self.wake()

    def end(self) -> None:
        """All are asked to stop, and must."""
        self.wake(all_of_them=True)
        self.stop.touch()
        until = time.monotonic() + PATIENCE
        while self.commands and time.monotonic() < until:
            time.sleep(0.02)
            self.collect(again=False)
        for number, (child, _, words) in self.commands.items():
            self.problems.append(f"`{' '.join(words)}` (process {number}) did not end")
            child.kill()
            child.wait()
        for number, (process, _) in self.workers.items():
            process.join(max(0.0, until - time.monotonic()))
            if process.exitcode is None:
                os.kill(number, signal.SIGUSR1)  # it writes where it is into its output
                process.join(2)
                self.problems.append(f"process {number} did not end")
                process.kill()
                process.join()
            elif process.exitcode != 0:
                self.problems.append(f"process {number} ended with {process.exitcode}")
            process.close()

    # ----------------------------------------------------------------------------- what must hold

    def prove(self) -> None:
        """Add to the problems whatever does not hold."""
        past = proofs.read_past(self.store)
        self._count(past)
        self.problems += self._words(past)
        for found in (
            proofs.damaged_objects(self.store, past),
            proofs.unpublished(past),
            proofs.computed_twice(past),
            proofs.done_twice(self.outside, self.killed),
            proofs.other_failures(past),
            proofs.wrong_currents(self.store, past),
            proofs.leftovers(self.store, self.killed),
            proofs.held_locks(self.store),
            proofs.catalog_differs(lineal.project.open(self.root)),
        ):
            self.problems += found
        self.edits.settle()
        self.problems += proofs.differs_from_a_clean_run(self.root, self.outside)
        proofs.read_past(self.store)  # the chain still holds

    def _count(self, past: proofs.Past) -> None:
        outcomes = Counter(m.outcome for _, m in past.made.values())
        for name in ("made", "reused", "failed", "blocked"):
            setattr(self.figures, name, outcomes[name])
        self.figures.runs = len(past.started)
        self.figures.taken_over = proofs.taken_over(past)
        unended = len(past.started) - len(past.ended)
        if unended > len(self.killed):
            self.problems.append(f"{unended} runs never ended, of {len(self.killed)} kills")

    def _words(self, past: proofs.Past) -> Iterator[str]:
        """What was said and heard, against the journal."""
        told: Counter[tuple[str, str, str]] = Counter()
        for path in sorted(self.outside.glob("*.output")):
            yield from proofs.forbidden(path.read_text(), path.name)
        for path in sorted(self.outside.glob("*.told")):
            for one in proofs.heard(path):
                if "error" in one:
                    yield f"{path.name}: {one['error']}"
                if "answered" in one:
                    yield f"{path.name}: {one['answered']}"
                if "heard" in one:
                    told[one["asset"], one["heard"], one["version"]] += 1
                self.figures.questions += "asked" in one
                self.figures.waited += "waited" in one
                self.figures.moved += "moved" in one
                yield from self._answer(one, past)
        yield from proofs.lost_tellings(told, past)
        for path in sorted(self.outside.glob("*.said")):
            document: Any = None
            with contextlib.suppress(ValueError):  # text, or cut short by a kill
                document = json.loads(path.read_text())
            if isinstance(document, dict) and document.get("run"):
                steps = [(s["asset"], s["outcome"], s["version"]) for s in document["steps"]]
                yield from proofs.lost_steps(document["run"], steps, past)

    def _answer(self, one: dict[str, Any], past: proofs.Past) -> Iterator[str]:
        if one.get("run"):
            steps = [(asset, outcome, version) for asset, outcome, version in one["steps"]]
            yield from proofs.lost_steps(one["run"], steps, past)
        for error in one.get("errors", ()):
            if not error.startswith(("UserCodeError: Flaky", "InputsChanged: ")):
                yield f"a run told: {error}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=8, help="that materialize")
    parser.add_argument("--askers", type=int, default=4, help="that ask, plan and rebuild")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=None, help="kept; else a temporary one")
    words = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = words.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        crowd = Crowd(folder.resolve(), words.seed, words.processes, words.askers)
        crowd.run(words.seconds)
        crowd.prove()
        print(crowd.figures)
        for problem in crowd.problems:
            print("✗", problem)
    sys.exit(bool(crowd.problems))


if __name__ == "__main__":
    main()
