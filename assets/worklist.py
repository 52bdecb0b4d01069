"""Which asset is next: in graph order; what others make just now is put off.  PURE"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from lineal.assets.graph import Graph


class Worklist:
    """The selected assets, each handed out when all it needs of them is done.

    Attributes:
        patient: nothing is left but what others make: the next one is to be waited for.
    """

    def __init__(self, graph: Graph, order: Sequence[str]):
        self._graph = graph
        self._order = order
        self._left = deque(order)
        self._put_off: dict[str, None] = {}  # a set in the order of the assets
        self.patient = False

    def __iter__(self) -> Iterator[str]:
        while self._left:
            handed_out = put_off = 0
            while self._left:
                name = self._left.popleft()
                if self._put_off.keys().isdisjoint(self._graph.upstream[name]):
                    before = len(self._put_off)
                    yield name
                    handed_out += 1
                    put_off += len(self._put_off) - before
                    self.patient = False
                else:
                    self.put_off(name)
            self.patient = handed_out == put_off
            self._left, self._put_off = deque(self._put_off), {}

    def put_off(self, name: str) -> None:
        """The one just handed out can't be done now; what needs it has to wait too."""
        self._put_off[name] = None

    def again(self, names: Iterable[str]) -> None:
        """These are to be done once more."""
        wanted = {*self._left, *names}.difference(self._put_off)
        self._left = deque(name for name in self._order if name in wanted)

    @property
    def left(self) -> frozenset[str]:
        """What is still to be handed out."""
        return frozenset((*self._left, *self._put_off))
