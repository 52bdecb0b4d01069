"""A worker process: loads the project once, works on the tasks it is sent, writes what they make.

It is sent bytes and answers with bytes: `BEGUN` once it begins, then what became of the task. Sent
`END`, it closes its resources and says what was wrong with that. It writes objects and logs; facts
and locks are its parent's.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import multiprocessing
import os
import pickle
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from lineal.assets.asset import Asset, CustomFormat
from lineal.assets.errors import InputsChanged, LinealError, StepError
from lineal.assets.perform import Done, Made, Outcome, Task, Workshop, work
from lineal.assets.ports import Vault
from lineal.assets.records import Recipe, RecipePart
from lineal.binding import bind
from lineal.crossing import Crossing
from lineal.definitions import Definitions, load
from lineal.disk import Disk
from lineal.forkserver import PATIENT
from lineal.interrupts import ignore_in_worker
from lineal.resources import Opened
from lineal.snapshot import digest_in
from lineal.storage.objects import Objects
from lineal.storage.scratch import Folders
from lineal.storage.sources import Observer
from lineal.storage.sql import Queries
from lineal.storage.vault import Written
from lineal.workshop import workshop

BEGUN = END = b""


class Filter(NamedTuple):
    """A filter of warnings, its category named, for it may be a class of the project."""

    action: str
    message: str
    module_of_category: str
    category: str
    module: str
    line: int


class Setup(NamedTuple):
    """What a worker has to know of its parent; all of it can be read before any project code."""

    root: Path
    store: Path
    definitions: tuple[str, ...]
    modules: Mapping[str, str]  # digests of the project's modules that the plan was made with
    texts: Mapping[str, str]  # and of the text files, by path
    duckdb: str  # its version
    environment: Mapping[str, str]
    path: tuple[str, ...]  # `sys.path`
    filters: tuple[Filter, ...]  # of warnings
    memory: int  # bytes that tables may take before they spill
    threads: int  # for each of Arrow and DuckDB
    stand_ins: Mapping[str, bytes]  # pickled, in place of resources


class Reply(NamedTuple):
    """What became of a task; `raised` is for the whole run: the disk said no."""

    done: Done | None
    raised: LinealError | None = None
    interrupted: bool = False  # the step itself raised KeyboardInterrupt: the run ends


def serve(connection: Connection, setup: Setup) -> None:
    """The life of a worker: it ends when its parent hangs up."""
    _stand_alone()
    _be_as(setup)
    with contextlib.ExitStack() as stack:
        bench: _Bench | LinealError | None = None
        with contextlib.suppress(EOFError, OSError):  # the parent is gone, or hears no more
            while (data := connection.recv_bytes()) != END:
                if bench is None:
                    bench = _opened(setup, stack)
                connection.send_bytes(BEGUN)
                connection.send_bytes(_answer(bench, data))
            told = bench.close() if isinstance(bench, _Bench) else ()
            # As Python ends a process; multiprocessing would wait for joblib's for ever.
            threading._shutdown()  # type: ignore[attr-defined]  # typeshed leaves it out
            atexit._run_exitfuncs()
            connection.send_bytes(pickle.dumps(told))


def _answer(bench: _Bench | LinealError, data: bytes) -> bytes:
    if isinstance(bench, LinealError):
        reply = Reply(Done(Outcome({}, 0.0), error=bench))
    else:
        reply = bench.work_on(data)
    return pickle.dumps(reply, pickle.HIGHEST_PROTOCOL)


# ------------------------------------------------------------------------------- the process


def _stand_alone() -> None:
    """Ends with its parent, however that ends, and hears nobody else."""
    parent = multiprocessing.parent_process()
    ignore_in_worker(until_gone=None if parent is None else parent.join)


def _be_as(setup: Setup) -> None:
    """What the parent has set, as far as code may look at it."""
    os.environ.clear()
    os.environ.update({**PATIENT, **setup.environment})
    if hasattr(time, "tzset"):
        time.tzset()
    sys.path[:] = setup.path
    os.dup2(2, 1)  # what a step prints goes to its log; what a parent prints may be JSON


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Below Python, so that a handler of logging that is made meanwhile can be heard later."""
    kept = [os.dup(1), os.dup(2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for descriptor, before in zip((1, 2), kept, strict=True):
            os.dup2(before, descriptor)
            os.close(before)


def _warn_as(filters: tuple[Filter, ...]) -> None:
    warnings.resetwarnings()
    for each in reversed(filters):
        found: object = importlib.import_module(each.module_of_category)
        for name in each.category.split("."):
            found = getattr(found, name, None)
        if isinstance(found, type) and issubclass(found, Warning):
            warnings.filterwarnings(
                each.action,  # type: ignore[arg-type] # it was one of the parent's
                each.message,
                found,
                each.module,
                each.line,
            )


# ------------------------------------------------------------------------------- the project


@dataclass(frozen=True, slots=True)
class _Loaded:
    """Implements lineal.workshop.Loaded."""

    root: Path
    definitions: Definitions
    queries: Queries
    objects: Objects
    observer: Observer
    formats: tuple[CustomFormat, ...]

    def file_digest(self, path: str) -> str | None:
        return digest_in(self.root, self.observer, path)


def _opened(setup: Setup, stack: contextlib.ExitStack) -> _Bench | LinealError:
    """The project as the plan knows it, or what is wrong with it: then no task can be made."""
    try:
        return stack.enter_context(_bench(setup))
    except InputsChanged as error:
        return error
    except LinealError as error:
        return StepError(
            f"a worker can't load the project: {error.message}",
            where=error.where,
            advice="it could be loaded to be planned: does its code do something else the "
            "second time? `--jobs 1` loads it only once",
        )


@contextlib.contextmanager
def _bench(setup: Setup) -> Iterator[_Bench]:
    cache = setup.store / "cache"
    with _unheard():  # what modules print as they load was seen when the parent loaded them
        definitions = load(setup.root, setup.definitions, cache, setup.modules)
    with definitions, contextlib.closing(Folders(setup.store / "tmp")) as folders:
        _as_planned(definitions, setup)
        queries = Queries(cache / "queries.json", setup.duckdb)
        crossing = Crossing(bind(definitions.declared, queries))
        _warn_as(setup.filters)
        disk = Disk()
        loaded = _Loaded(
            setup.root,
            definitions,
            queries,
            Objects(setup.store, disk),
            Observer(setup.root, cache / "stat.json", disk),
            tuple(d for d in definitions.declared if isinstance(d, CustomFormat)),
        )
        _use_threads(setup.threads)
        try:
            place = workshop(
                loaded,
                folders.new,
                memory=setup.memory,
                threads=setup.threads,
                alone=True,
                stand_ins={name: pickle.loads(data) for name, data in setup.stand_ins.items()},
            )
            yield _Bench(setup.root, definitions, crossing, *place)
        finally:
            loaded.objects.abandon()


def _as_planned(definitions: Definitions, setup: Setup) -> None:
    """The finder has compared the modules that the parent knows: there may be no other.

    Raises:
        InputsChanged: naming a file.
    """
    for name, source in definitions.sources.items():
        if name not in setup.modules:
            raise _changed(source.path)
    now = definitions.texts.digests()
    for path in sorted({*now, *setup.texts}):
        if now.get(path) != setup.texts.get(path):
            raise _changed(os.path.relpath(path, setup.root))


def _changed(path: str) -> InputsChanged:
    return InputsChanged(f"`{path}` changed since the plan", where=path, advice="run again")


def _use_threads(count: int) -> None:
    """Of Arrow; those of OpenMP and BLAS stay as they are."""
    import pyarrow as pa

    pa.set_cpu_count(count)


class _Bench(NamedTuple):
    """Where a worker works: all that stays open from task to task."""

    root: Path
    definitions: Definitions
    crossing: Crossing
    workshop: Workshop
    resources: Opened

    def close(self) -> tuple[str, ...]:
        """Close the resources, where user code runs; what was wrong with that, in sentences."""
        with contextlib.chdir(self.root):
            return self.resources.close()

    def work_on(self, data: bytes) -> Reply:
        try:
            task = self.crossing.unpack(data)
            self._confirm(task)
        except StepError as error:
            return Reply(Done(Outcome({}, 0.0), error=error))
        try:
            done = work(task, self.workshop)
            return Reply(self._written(done) if done.error is None else done)
        except LinealError as error:
            return Reply(None, error)
        except KeyboardInterrupt:  # no signal raises it here: the step did
            return Reply(None, interrupted=True)

    def _written(self, done: Done) -> Done:
        """Its objects are durable when the parent hears of them."""
        vault = self.workshop.vault
        made = {output: _as_written(each, vault) for output, each in done.outcome.made.items()}
        vault.sync()
        return replace(done, outcome=replace(done.outcome, made=made))

    # Modules are compared by their bytes; what they compute as they load is compared by recipes.

    def _confirm(self, task: Task) -> None:
        """Raises InputsChanged: the code is not what the plan was made with."""
        if task.kept is None:
            _same(task.asset, task.recipe, self._recipe(task.asset))
        walker = self.definitions.walker
        for bound in (bound for checks in task.checks.values() for bound in checks):
            check = bound.check
            if check.function is not None:
                found = walker.recipe(check.function, parameters=check.parameters)
                _same(task.asset, bound.recipe, found)

    def _recipe(self, asset: Asset) -> Recipe:
        if asset.function is None:
            return Recipe("")  # what it says was compared
        return self.definitions.walker.recipe(
            asset.function,
            version=asset.version,
            ignore=asset.ignore,
            parameters=asset.parameter_types,
        )


def _as_written(made: Made, vault: Vault) -> Made:
    whole = vault.write(made.canonical)
    if not made.parts:
        return made._replace(canonical=Written(whole))
    parts = tuple(
        (key, Written(replace(part.content, objects=(stored,))))
        for (key, part), stored in zip(made.parts, whole.objects, strict=True)
    )
    return made._replace(canonical=Written(whole), parts=parts)


def _identity(part: RecipePart) -> tuple[str, str, str]:
    """What functions share, as those of one factory do, is called after whichever came first."""
    shared = part.kind in ("constant", "function")
    return part.kind, part.name.rpartition(".")[2] if shared else part.name, part.digest


def _same(asset: Asset, planned: Recipe, found: Recipe) -> None:
    known = {_identity(part) for part in planned.parts}
    for part in found.parts:
        if _identity(part) not in known:
            raise InputsChanged(
                f"`{asset.name}`: the {part.kind} `{part.name}` is another in a worker than when "
                "the plan was made",
                where=part.where or str(asset.where),
                advice="what code computes as it loads must be the same each time "
                "(no clock, no random number); or run with --jobs 1",
            )
