"""Where steps run: the port behind which executors stand, and the one that runs in this process.

An executor performs tasks; it decides nothing and records nothing. Every executor runs the very
same `work`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from lineal.assets.names import Step
from lineal.assets.perform import Done, Task, Workshop, work


class Finished(NamedTuple):
    """A task that was performed, or could not be."""

    step: Step
    done: Done


class Executor(Protocol):
    """Performs tasks, some at once. Implemented here (inline) and by lineal.workers (processes)."""

    @property
    def slots(self) -> int:
        """How many tasks may be under way at once, 1 at least."""
        ...

    @property
    def hands_over(self) -> bool:
        """Can a task read what an earlier one made from memory? Else all is read from the store."""
        ...

    def submit(self, task: Task) -> None:
        """Begin to perform a task. Its `timeout` is kept: it ends as StepTimeout."""
        ...

    def wait(self, seconds: float | None) -> Sequence[Finished]:
        """What finished: at least one, or none when the time is over. Sleeps if nothing runs."""
        ...

    def wake(self) -> None:
        """End a `wait`, at once or the next. May be called in a signal handler."""
        ...

    def give_up(self) -> None:
        """Kill what is under way, now: nothing more of it finishes."""
        ...


class Inline:
    """One task at a time, in this process: values are handed over in memory, `--pdb` works."""

    slots = 1
    hands_over = True

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._finished: deque[Finished] = deque()

    def submit(self, task: Task) -> None:
        self._finished.append(Finished(task.step, work(task, self._workshop)))

    def wait(self, seconds: float | None) -> Sequence[Finished]:
        found = tuple(self._finished)
        self._finished.clear()
        if not found and seconds:
            time.sleep(seconds)
        return found

    def wake(self) -> None:
        """Whoever waits here sleeps for a moment only."""

    def give_up(self) -> None:
        """Nothing is under way between two calls."""
