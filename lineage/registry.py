"""Writing to registries: what rests on their newest state, one writer at a time.

Versions get the next number, and an alias moves from where it is: both are true only of the newest
entry of the journal. The entry is linked under its number exclusively, so whoever is late looks
again, and no two ever get one number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lineal.assets.records import Fact, Materialization
from lineal.assets.registries import Registries
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal


class Registrar:
    """The registries at the head of a journal. Implements assets.ports.Registrar.

    Args:
        past: the same journal, folded through some entry.
    """

    def __init__(self, journal: Journal, past: History) -> None:
        self._journal, self._past = journal, past
        self._registries = past.registries()
        self._through, self._digest = past.stands_at

    def now(self) -> Registries:
        """The registries as the newest entry of the journal leaves them."""
        if self._journal.has(self._through + 1):
            for entry in self._journal.entries(self._through, self._digest or None):
                self._registries = self._registries.after(self._journal.facts(entry))
                self._through, self._digest = entry.number, entry.digest
        return self._registries

    def record(
        self, build: Callable[[Registries, int], Sequence[Fact]]
    ) -> tuple[Registries, Sequence[Fact]]:
        """Append facts that rest on the registries as they are then.

        Raises:
            StoreError: the disk refused.
        """
        written: Sequence[Fact] = ()

        def facts(number: int) -> Sequence[Fact]:
            nonlocal written
            written = build(self.now(), number)
            return written

        self._journal.append_after(facts)
        return self.now(), written

    def materialization(self, materialization: str) -> Materialization | None:
        """That of this id, of which the past that was given may know nothing yet."""
        found = self._past.materialization(materialization)
        if found is not None:
            return found
        number, digest = self._past.stands_at
        for entry in self._journal.entries(number, digest or None):
            for fact in self._journal.facts(entry):
                if isinstance(fact, Materialization) and fact.id == materialization:
                    return fact
        return None
