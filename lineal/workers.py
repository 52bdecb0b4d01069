"""Performs tasks in worker processes: starts them, sends tasks, hears of their ends, kills them.

Each worker has a pipe of its own, and one thread waits for all: a worker that dies, at any moment,
harms no other. See docs/decisions/0012-worker-processes.md.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import time
import types
import warnings
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from lineal.assets.errors import InputsChanged, LinealError, StepTimeout, UsageError, WorkerDied
from lineal.assets.executors import Finished
from lineal.assets.perform import Done, Outcome, Task
from lineal.assets.secrets import scrubbed
from lineal.crossing import Crossing
from lineal.forkserver import Server
from lineal.logs import Echoing, Log
from lineal.snapshot import Snapshot
from lineal.storage.memory import quarter
from lineal.timeouts import overdue
from lineal.user_code import Echo
from lineal.worker import BEGUN, END, Filter, Reply, Setup, serve

_NOTHING: Mapping[str, Any] = types.MappingProxyType({})
_ENDING = 10.0  # seconds that workers have to close what they opened


class Processes:
    """Implements assets.executors.Executor. Close it, or use it in a `with` block.

    Workers start when they are first needed. One that dies is replaced when it is next needed.

    Args:
        seen: the project as it was planned.
        jobs: how many workers there may be.
        stand_ins: in place of resources, by name.
        echo: gets what steps print, as (step, text).

    Raises:
        UsageError: what stands in for a resource can't be sent to a worker.
    """

    hands_over = False

    def __init__(
        self,
        seen: Snapshot,
        jobs: int,
        stand_ins: Mapping[str, Any] = _NOTHING,
        echo: Echo | None = None,
    ) -> None:
        self.slots = jobs
        self._crossing = Crossing(seen.graph)
        self._setup = _setup(seen, jobs, stand_ins)
        self._server = Server(seen.definitions.finder)
        self._doubt = seen.observer.doubt
        self._logs = seen.objects.root / "logs"
        # What is written below Python comes as it is.
        self._echoing = (
            None if echo is None else Echoing(lambda step, text: echo(step, scrubbed(text)))
        )
        self._workers: list[_Worker] = []
        self._finished: list[Finished] = []
        self._waking, self._wake = multiprocessing.Pipe(duplex=False)

    def submit(self, task: Task) -> None:
        try:
            data = self._crossing.pack(task)
        except LinealError as error:
            self._finished.append(Finished(task.step, Done(Outcome({}, 0.0), error=error)))
            return
        if self._echoing is not None:
            self._echoing.start(str(task.step), self._log(task))
        self._idle().take(task, data)

    def wait(self, seconds: float | None) -> Sequence[Finished]:
        until = None if seconds is None else time.monotonic() + seconds
        while not self._finished:
            busy = [worker for worker in self._workers if worker.task is not None]
            if not busy and until is None:
                break
            ends = [w.deadline for w in busy if w.deadline is not None]
            ends += [] if until is None else [until]
            left = max(0.0, min(ends) - time.monotonic()) if ends else None
            heard = connection.wait([self._waking, *(x for w in busy for x in w.ends)], left)
            if self._echoing is not None:
                self._echoing.poll()
            for worker in busy:
                self._attend(worker, heard)
            if self._waking in heard:
                while self._waking.poll():
                    self._waking.recv_bytes()
                break
            if until is not None and time.monotonic() >= until:
                break
        found, self._finished = tuple(self._finished), []
        return found

    def wake(self) -> None:
        """End a `wait`, at once or the next; may be called in a signal handler."""
        self._wake.send_bytes(b"!")

    def give_up(self) -> None:
        for worker in self._workers:
            worker.kill()
        for task in [w.task for w in self._workers if w.task is not None]:
            if self._log(task).exists():
                self._seal(task, "the run was stopped")
        self._workers.clear()
        self._finished.clear()

    def close(self) -> tuple[str, ...]:
        """Let the workers close what they opened, and end; kill those that don't.

        What went wrong with that is told, one sentence each.
        """
        told: set[str] = set()
        for worker in self._workers:
            worker.dismiss()
        until = time.monotonic() + _ENDING
        for worker in self._workers:
            told.update(worker.last_words(until))
            worker.kill()
        self._workers.clear()
        self._waking.close()
        self._wake.close()
        return tuple(sorted(told))

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------ within

    def _idle(self) -> _Worker:
        """A worker with nothing to do; one that died of itself since is none."""
        for worker in [w for w in self._workers if w.task is None]:
            if worker.process.is_alive():
                return worker
            worker.kill()
            self._workers.remove(worker)
        if len(self._workers) >= self.slots:
            raise RuntimeError(f"more than {self.slots} tasks at once")
        worker = _Worker(*self._server.start(serve, self._setup))
        self._workers.append(worker)
        return worker

    def _attend(self, worker: _Worker, heard: Sequence[Any]) -> None:
        """What a worker said, or that it is dead, or late."""
        task = worker.task
        if task is None:
            return
        try:
            done = worker.hear() if worker.pipe in heard or worker.pipe.poll() else None
        except (EOFError, OSError):
            self._lost(worker, task, _died(task, worker.exit_code()))
            return
        if done is not None:
            if isinstance(done.error, InputsChanged) and task.observation is not None:
                self._doubt(task.observation)  # the worker's own observer is not asked again
            worker.task, worker.deadline = None, None
            self._end(task, done)
        elif worker.is_late():
            self._lost(worker, task, _late(task))
        elif worker.pipe not in heard and worker.process.sentinel in heard:
            self._lost(worker, task, _died(task, worker.exit_code()))

    def _lost(self, worker: _Worker, task: Task, error: LinealError) -> None:
        worker.kill()
        self._workers.remove(worker)
        if worker.was_idle:  # nothing of the step was begun
            self._idle().take(task, worker.data)
            return
        self._end(task, Done(Outcome({}, time.monotonic() - worker.since), error=error))
        self._seal(task, error.message)

    def _end(self, task: Task, done: Done) -> None:
        if self._echoing is not None:
            self._echoing.stop(str(task.step))
        self._finished.append(Finished(task.step, done))

    def _log(self, task: Task) -> Path:
        return self._logs / f"{task.log}.log"

    def _seal(self, task: Task, last: str) -> None:
        """The log of a worker that was killed has no end: give it one, which says why."""
        log = Log(self._log(task), str(task.step))
        with contextlib.suppress(OSError):  # the disk is full: the journal tells it too
            log.write(f"{last}\n")
        log.close()


class _Worker:
    """A worker process and our end of its pipe; `task` is what it works on."""

    def __init__(self, process: BaseProcess, pipe: connection.Connection) -> None:
        self.process, self.pipe = process, pipe
        self.task: Task | None = None
        self.data = b""  # of its task, as it was sent
        self.since = 0.0
        self.deadline: float | None = None
        self.was_idle = False  # it has worked before, and did not begin its task yet

    @property
    def ends(self) -> tuple[Any, ...]:
        """What is ready when it says something, or is dead."""
        return self.pipe, self.process.sentinel

    def take(self, task: Task, data: bytes) -> None:
        self.task, self.data, self.since, self.deadline = task, data, time.monotonic(), None
        with contextlib.suppress(OSError):  # it has died: `wait` will find it so
            self.pipe.send_bytes(data)

    def hear(self) -> Done | None:
        """What became of its task; None if it has but begun, which is when time begins to count.

        Raises:
            EOFError: it is dead.
            LinealError: what ends the whole run.
        """
        said = self.pipe.recv_bytes()
        if said == BEGUN:
            self.since, self.was_idle = time.monotonic(), False
            if self.task is not None and self.task.timeout is not None:
                self.deadline = self.since + self.task.timeout
            return None
        reply: Reply = pickle.loads(said)
        self.was_idle = True
        if reply.interrupted:
            self.task = None
            raise KeyboardInterrupt
        if reply.raised is not None:
            self.task = None
            raise reply.raised
        return reply.done

    def dismiss(self) -> None:
        """Ask it to end. One that works will not be heard: it is killed."""
        if self.task is not None:
            self.kill()
            return
        with contextlib.suppress(OSError):
            self.pipe.send_bytes(END)

    def last_words(self, until: float) -> tuple[str, ...]:
        """What went wrong when it closed what it had opened."""
        told: tuple[str, ...] = ()
        with contextlib.suppress(EOFError, OSError):
            if self.pipe.poll(max(0.0, until - time.monotonic())):
                told = pickle.loads(self.pipe.recv_bytes())
        self.process.join(max(0.0, until - time.monotonic()))
        return told

    def is_late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def exit_code(self) -> int | None:
        self.process.join(_ENDING)
        return self.process.exitcode

    def kill(self) -> None:
        """With all that its step started, also if it is dead; nothing if it ended as it should."""
        if self.process.exitcode != 0 and self.process.pid is not None:
            with contextlib.suppress(AttributeError, ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
        self.process.join(_ENDING)
        self.pipe.close()


# ------------------------------------------------------------------------------------- setting up


def _setup(seen: Snapshot, jobs: int, stand_ins: Mapping[str, Any]) -> Setup:
    duckdb = dict(seen.packages.facts(["duckdb"], [], "exact").packages)["duckdb"]
    return Setup(
        root=seen.root,
        store=seen.objects.root,
        definitions=tuple(seen.settings.definitions),
        modules={name: source.digest for name, source in seen.definitions.sources.items()},
        texts=seen.definitions.texts.digests(),
        duckdb=duckdb,
        environment=dict(os.environ),
        path=tuple(sys.path),
        filters=tuple(_filters()),
        memory=(seen.settings.memory or quarter()) // jobs,
        threads=max(1, (os.cpu_count() or 1) // jobs),
        stand_ins={name: _sent(name, value) for name, value in stand_ins.items()},
    )


def _sent(name: str, value: Any) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception as error:  # the user's class may raise anything
        raise UsageError(
            f"what stands in for the resource `{name}` can't be sent to a worker: "
            f"{type(error).__name__}: {error}",
            advice="run with jobs=1",
        ) from error


def _filters() -> Iterator[Filter]:
    for action, message, category, module, line in warnings.filters:
        if not isinstance(category, type) or category.__module__ == "__main__":
            continue  # no worker has that one
        yield Filter(
            action,
            _pattern(message),
            category.__module__,
            category.__qualname__,
            _pattern(module),
            line,
        )


def _pattern(said: Any) -> str:
    return str(getattr(said, "pattern", said) or "")


# -------------------------------------------------------------------------------------- errors

_ADVICE: Mapping[str, str] = {
    "SIGKILL": "out of memory is the usual reason: see `dmesg`; use fewer --jobs, or hand over "
    "less at once (columns, partitions)",
    "SIGSEGV": "code in C crashed: a library that it uses; `python -X faulthandler` says where",
    "SIGBUS": "a file that it had mapped became shorter, or the disk is full",
}


def _died(task: Task, code: int | None) -> WorkerDied:
    name = str(task.step)
    if code is not None and code < 0:
        signal_name = _signal_name(-code)
        return WorkerDied(
            f"the worker that made `{name}` was killed by {signal_name}",
            where=str(task.asset.where),
            advice=_ADVICE.get(signal_name),
        )
    told = "died" if code is None else f"ended with exit code {code}"
    return WorkerDied(
        f"the worker that made `{name}` {told}",
        where=str(task.asset.where),
        advice="`os._exit`, or a library that calls it, ends a process without a word; "
        "raise an error instead",
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _late(task: Task) -> StepTimeout:
    error = overdue(str(task.step), task.timeout or 0.0, killed=True)
    error.where = str(task.asset.where)
    return error
