"""Which step is next: each when all it needs is done; what others make is put off.  PURE"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence, Set

from lineal.assets.names import Step


class Worklist:
    """The steps of a run, each handed out when all it needs of them is done.

    Args:
        order: all of them, inputs first; of those that are ready, the first in it goes first.
        needs: the steps that one reads; those outside of `order` don't count.
        seconds: how long a step is expected to take; if given, the one at the head of the longest
            path goes first.
        done: those of them with which nothing is to be done, unless `again` says so.

    Attributes:
        patient: nothing is left but what others make: the next one is to be waited for.
    """

    def __init__(
        self,
        order: Sequence[Step],
        needs: Callable[[Step], Iterable[Step]],
        seconds: Callable[[Step], float] | None = None,
        done: Set[Step] = frozenset(),
    ) -> None:
        self._needs = needs
        self._order: Sequence[Step] = order
        self._place = {step: i for i, step in enumerate(order)}
        self._left: set[Step] = set(order).difference(
            done
        )  # not done: handed out, put off or still to be
        self._out: set[Step] = set()
        self._put_off: list[Step] = []
        self._progress = False  # was anything done since those put off were handed out?
        self.patient = False
        self._feeds: dict[Step, list[Step]] = {}
        self._missing: dict[Step, int] = {}
        self._ready: list[tuple[float, int]] = []
        self._urgency: dict[Step, float] = {}
        self._count()
        if seconds is not None:
            self._urgency = self._longest_paths(seconds)
        self._line_up()

    def _count(self) -> None:
        """Who waits for how many of those that are left."""
        self._feeds, self._missing = {}, {}
        for step in sorted(self._left, key=self._place.__getitem__):
            needed = [n for n in self._needs(step) if n in self._left]
            self._missing[step] = len(needed)
            for each in needed:
                self._feeds.setdefault(each, []).append(step)

    def _longest_paths(self, seconds: Callable[[Step], float]) -> dict[Step, float]:
        found: dict[Step, float] = {}
        for step in reversed(self._order):
            behind = max((found[fed] for fed in self._feeds.get(step, ())), default=0.0)
            found[step] = seconds(step) + behind
        return found

    def _line_up(self) -> None:
        waiting = self._out.union(self._put_off)
        self._ready = [
            self._rank(step)
            for step, missing in self._missing.items()
            if not missing and step not in waiting
        ]
        heapq.heapify(self._ready)

    def _rank(self, step: Step) -> tuple[float, int]:
        return -self._urgency.get(step, 0.0), self._place[step]

    # -------------------------------------------------------------------------------- who is next

    def next(self, fits: Callable[[Step], bool] = lambda _: True) -> Step | None:
        """The first ready step that fits; None if there is none at the moment."""
        passed: list[tuple[float, int]] = []
        found: Step | None = None
        while self._ready and found is None:
            rank = heapq.heappop(self._ready)
            step = self._order[rank[1]]
            if fits(step):
                found = step
            else:
                passed.append(rank)
        for rank in passed:
            heapq.heappush(self._ready, rank)
        if found is not None:
            self._out.add(found)
        return found

    def done(self, step: Step) -> None:
        """What it feeds may go."""
        self._out.discard(step)
        self._left.discard(step)
        self._progress, self.patient = True, False
        for fed in self._feeds.pop(step, ()):
            self._missing[fed] -= 1
            # One that is under way on what holds no more comes back by `again`.
            if not self._missing[fed] and fed not in self._out:
                heapq.heappush(self._ready, self._rank(fed))

    def put_off(self, step: Step) -> None:
        """The one just handed out can't be done now; what needs it has to wait too."""
        self._out.discard(step)
        self._put_off.append(step)

    def turn(self) -> bool:
        """Nothing else is ready: those put off are handed out again. False if there are none."""
        if not self._put_off:
            return False
        self.patient = not self._progress
        self._progress = False
        for step in self._put_off:
            heapq.heappush(self._ready, self._rank(step))
        self._put_off = []
        return True

    def again(self, steps: Iterable[Step]) -> None:
        """These are to be done once more, and before all that needs them; none is under way."""
        again = set(steps)
        self._left |= again
        self._out -= again
        self._put_off = [step for step in self._put_off if step not in again]
        self._count()
        self._line_up()

    def change(self, order: Sequence[Step], new: Iterable[Step], gone: Iterable[Step]) -> None:
        """There are other steps than it seemed: `order` is that of all of them now."""
        self._order = order
        self._place = {step: i for i, step in enumerate(order)}
        self._left.difference_update(gone)
        self._put_off = [step for step in self._put_off if step in self._left]
        self.again(new)

    @property
    def left(self) -> Set[Step]:
        """What is not done, as it changes."""
        return self._left

    @property
    def ready(self) -> bool:
        """Could one be handed out now, if it fits?"""
        return bool(self._ready)
