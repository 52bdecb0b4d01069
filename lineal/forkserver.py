"""Starts processes as forks of one that has imported what is installed, and nothing of the project.

See docs/decisions/0012-worker-processes.md.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from multiprocessing import util
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from lineal.finder import ProjectFinder
from lineal.heavy import HEAVY
from lineal.interrupts import STOPPING

# What every worker needs, whatever the project imports.
_ALWAYS = ("numpy", "pandas", "pyarrow.parquet", "duckdb", "lineal.worker", "lineal.storage.engine",
           "lineal.storage.content", "lineal.storage.arrivals")  # fmt: skip
# OpenMP has as many threads as in one process, for their number shows in the last bits of results;
# but those of several workers share the cores, so that one that waits must not spin.
PATIENT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
_LONG = 60  # characters of the folder for temporary files, from which on another one is taken
_SHORT = ("/tmp", "/var/tmp")


class Server:
    """Starts workers: forks of a process that has imported what is installed, and no more.

    No thread of ours is copied, and none of the project's modules: those a worker imports itself.
    """

    def __init__(self, finder: ProjectFinder) -> None:
        known = multiprocessing.get_all_start_methods()
        self._context: Any = multiprocessing.get_context(
            "forkserver" if "forkserver" in known else "spawn"
        )
        self._finder = finder

    def start(self, target: Callable[..., None], *words: Any) -> tuple[BaseProcess, Connection]:
        """A process that calls `target` with its end of a pipe and these words; and our end."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=target, args=(theirs, *words), name="lineal-worker")
        with _without_main():
            self._ensure_running()
            process.start()
        theirs.close()
        return process, ours

    def _ensure_running(self) -> None:
        """Nothing if it runs. It looks for modules where we do, but not in the project."""
        if self._context.get_start_method() != "forkserver":
            return
        from multiprocessing import resource_tracker
        from multiprocessing.forkserver import ensure_running

        resource_tracker.ensure_running()  # it unblocks signals when it has started
        self._context.set_forkserver_preload(self._installed())
        folders = [
            entry for entry in sys.path if entry and not self._is_projects(Path(entry).resolve())
        ]
        given = {"PYTHONPATH": os.pathsep.join(folders), "PYTHONSAFEPATH": "1"}
        given |= {name: os.environ.get(name, value) for name, value in PATIENT.items()}
        before = {name: os.environ.get(name) for name in given}
        os.environ.update(given)
        # It inherits that: what stops a run, or a whole process group, must not reach it first.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            with _room_for_a_socket():
                ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value

    def _is_projects(self, folder: Path) -> bool:
        return folder == self._finder.root or self._finder.searches(folder)

    def _installed(self) -> list[str]:
        """The libraries that take long to import, as far as the project says it needs them."""
        said = {
            name
            for source in list(self._finder.sources.values())
            for name in source.analysis.modules
            if name.partition(".")[0] in HEAVY
        }
        wanted = [*_ALWAYS, *sorted(said)]
        return [name for name in wanted if not self._finder.is_project(name)]


@contextlib.contextmanager
def _room_for_a_socket() -> Iterator[None]:
    """The name of a socket has some hundred characters at most: a long TMPDIR leaves too few.

    Python makes the folder that it lies in once a process.
    """
    before = tempfile.tempdir
    if len(os.fsencode(tempfile.gettempdir())) > _LONG:
        short = (folder for folder in _SHORT if os.access(folder, os.W_OK | os.X_OK))
        tempfile.tempdir = next(short, before)
    try:
        util.get_temp_dir()
        yield
    finally:
        tempfile.tempdir = before


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """multiprocessing has a child run the `__main__` of its parent again, which for a script means
    to start all over. A worker needs nothing of it.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
