"""The scribe: writes objects and facts behind the running steps, a batch at a time, in order.

A step is *made* (told, counted) when its entry is durable. Objects of a batch are written, made
durable together, and only then named by one journal entry: a crash leaves at worst an orphan.
"""

from __future__ import annotations

import enum
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from lineal.assets.names import Step
from lineal.assets.ports import Canonical, Clock, Journal, Vault
from lineal.assets.records import Content, Fact

BATCH_SECONDS = 0.25  # the longest a finished step waits to be told
QUEUE_BYTES = 1 << 29  # computation waits when this much is held for writing


@dataclass(frozen=True, slots=True)
class Page:
    """What one step leaves: values to write, then the facts that name them, then the telling."""

    canonicals: Mapping[Step, Canonical]  # by output
    facts: Callable[[Mapping[Step, Content]], Sequence[Fact]]
    told: Callable[[], None]

    @property
    def nbytes(self) -> int:
        return sum(c.nbytes for c in self.canonicals.values())


class _Mark(enum.Enum):
    """What stands between pages: somebody waits for those before it, or none will follow."""

    HURRY = "hurry"
    END = "end"


class Scribe:
    """Takes pages and makes them durable in the background, in the order they were given.

    The first failure stops it: every later page is refused by `post` and `finish`, which raise it.
    """

    def __init__(self, vault: Vault, journal: Journal, clock: Clock) -> None:
        self._vault = vault
        self._journal = journal
        self._clock = clock
        self._pages: queue.Queue[Page | _Mark] = queue.Queue()
        self._room = threading.Condition()
        self._held = 0
        self._posted = 0
        self._settled = 0
        self._failure: BaseException | None = None
        self._contents: dict[Step, Content] = {}
        self._thread = threading.Thread(target=self._work, name="lineal-scribe", daemon=True)
        self._thread.start()

    def __enter__(self) -> Scribe:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pages.put(_Mark.END)
        self._thread.join()

    def post(self, page: Page) -> None:
        """Hand over a page; waits while too much is held for writing."""
        with self._room:
            self._room.wait_for(
                lambda: self._failure is not None or not self._held or self._held < QUEUE_BYTES
            )
            self._raise_failure()
            self._held += page.nbytes
            # Put before it is counted: an interrupt between the two must not leave `finish` waiting
            # for a page that never comes.
            self._pages.put(page)
            self._posted += 1

    def finish(self) -> None:
        """Wait until every page posted so far is durable and told."""
        self._pages.put(_Mark.HURRY)
        with self._room:
            self._room.wait_for(lambda: self._failure is not None or self._settled >= self._posted)
            self._raise_failure()

    def written(self, output: Step) -> Content | None:
        """The content of an output with its objects, once it is durable."""
        with self._room:
            return self._contents.get(output)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        running = True
        while running:
            batch, running = self._gather()
            if batch and self._failure is None:
                self._settle(batch)

    def _gather(self) -> tuple[list[Page], bool]:
        """Pages until somebody waits for them, or the first of them has waited long enough."""
        batch: list[Page] = []
        deadline = 0.0
        while True:
            left = deadline - self._clock() if batch else None
            if left is not None and left <= 0:
                return batch, True
            try:
                page = self._pages.get(timeout=left)
            except queue.Empty:
                return batch, True
            if isinstance(page, _Mark):
                return batch, page is not _Mark.END
            deadline = deadline or self._clock() + BATCH_SECONDS
            batch.append(page)

    def _settle(self, batch: Sequence[Page]) -> None:
        try:
            facts: list[Fact] = []
            contents: dict[Step, Content] = {}
            for page in batch:
                own = {o: self._vault.write(c) for o, c in page.canonicals.items()}
                contents.update(own)
                facts.extend(page.facts(own))
            self._vault.sync()
            if facts:
                self._journal.append(facts)
            for page in batch:
                page.told()
        except BaseException as error:  # noqa: BLE001  (re-raised by the loop, in its own thread)
            self._fail(error)
            return
        with self._room:
            self._contents.update(contents)
            self._held -= sum(page.nbytes for page in batch)
            self._settled += len(batch)
            self._room.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._room:
            self._failure = error
            self._room.notify_all()
