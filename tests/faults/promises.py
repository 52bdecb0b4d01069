"""What must hold of a store at any moment, whatever was killed: the journal held against its files.

Only reads, and only the journal and the objects: what is asked here is never answered by a cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from lineal.assets.errors import IntegrityError
from lineal.assets.records import (
    CheckResult,
    Content,
    Fact,
    Materialization,
    Publication,
    RunStarted,
    StoredObject,
)
from lineal.lineage.journal import Journal

Told = tuple[str, str, str | None]  # asset, outcome, version


class Broken(AssertionError):
    """A promise that the store did not keep."""


def promise(kept: bool, otherwise: str) -> None:
    """Raise Broken unless it holds."""
    if not kept:
        raise Broken(otherwise)


class _Line(NamedTuple):
    entry: int
    fact: Fact


class Promises:
    """One store as it was seen so far. `check` looks again, and raises Broken.

    Args:
        together: the outputs of calls that have several; each is published with all of its own.
    """

    def __init__(self, store: Path, together: Iterable[frozenset[str]] = ()):
        self.store = store
        self._together = tuple(together)
        self._digests: list[str] = []  # of the entries seen so far
        self._lines: list[_Line] = []
        self._sound: set[StoredObject] = set()

    @property
    def head(self) -> int:
        """The number of the newest entry seen."""
        return len(self._digests)

    def check(self) -> None:
        """The journal has all it had, is chained, and names nothing that is not there."""
        self._read()
        made = [line for line in self._lines if isinstance(line.fact, Materialization)]
        self._check_objects(made)
        self._check_references()
        self._check_whole_calls(made)
        self._check_computed_once(made)

    def check_told(self, told: Sequence[Told], after: int) -> None:
        """Everything a process told since an entry is in the journal, with its objects."""
        durable = [
            (m.asset, m.outcome, None if m.content is None else m.content.digest)
            for m in self._made_after(after)
        ]
        for asset, outcome, version in told:
            if outcome in ("made", "reused"):
                missing = f"`{asset}` was told as {outcome} ({version}), but no entry says so"
                # A version may be told as reused when only its checks were judged again.
                again = outcome == "reused" and self.is_current(asset, version)
                promise(again or (asset, outcome, version) in durable, missing)

    def is_current(self, asset: str, version: str | None) -> bool:
        """Was this version of an asset ever published?"""
        return any(
            isinstance(fact, Publication) and (fact.asset, fact.content) == (asset, version)
            for _, fact in self._lines
        )

    def forget_verified(self) -> None:
        """Digest all objects once more at the next check."""
        self._sound.clear()

    # --------------------------------------------------------------------------------- reading

    def _read(self) -> None:
        journal = Journal(self.store)
        digests: list[str] = []
        lines: list[_Line] = []
        try:
            for entry in journal.entries():
                digests.append(entry.digest)
                promise(entry.number == len(digests), f"entry {entry.number} is out of its place")
                lines.extend(_Line(entry.number, fact) for fact in journal.facts(entry))
        except IntegrityError as error:
            raise Broken(f"the journal is damaged: {error}") from error
        before = len(self._digests)
        promise(digests[:before] == self._digests, "entries that were there are gone or changed")
        self._digests, self._lines = digests, lines

    def _made_after(self, after: int) -> list[Materialization]:
        return [
            line.fact
            for line in self._lines
            if line.entry > after and isinstance(line.fact, Materialization)
        ]

    # -------------------------------------------------------------------------------- promises

    def _check_objects(self, made: Sequence[_Line]) -> None:
        """All objects that the journal names are there, byte by byte."""
        for _, fact in made:
            if isinstance(fact, Materialization) and fact.content is not None:
                for stored in fact.content.objects:
                    if stored not in self._sound:
                        self._check_object(stored, fact.content)
                        self._sound.add(stored)

    def _check_object(self, stored: StoredObject, content: Content) -> None:
        place = self.store / "objects" / stored.digest[:2] / f"{stored.digest}.{stored.suffix}"
        name = str(place).removesuffix(".")
        try:
            data = Path(name).read_bytes()
        except FileNotFoundError:
            raise Broken(f"{name} is named by the journal ({content.summary}), and gone") from None
        promise(len(data) == stored.bytes, f"{name} has {len(data)} bytes, not {stored.bytes}")
        promise(blake3(data).hexdigest() == stored.digest, f"{name} has other bytes than its name")

    def _check_references(self) -> None:
        """Publications, checks and runs are named only when they are in the journal already."""
        made: dict[str, Materialization] = {}
        results: set[str] = set()
        runs: set[str] = set()
        for entry, fact in self._lines:
            match fact:
                case RunStarted():
                    promise(fact.run == f"r{entry}", f"run {fact.run} starts in entry {entry}")
                    runs.add(fact.run)
                case CheckResult():
                    results.add(fact.fingerprint)
                case Materialization():
                    promise(fact.run in runs, f"{fact.id} is of a run that never started")
                    unknown = set(fact.checks) - results
                    promise(not unknown, f"{fact.id} was judged by checks in no entry: {unknown}")
                    made[fact.id] = fact
                case Publication():
                    shown = made.get(fact.materialization)
                    promise(
                        shown is not None
                        and shown.content is not None
                        and shown.content.digest == fact.content,
                        f"entry {entry} publishes {fact.materialization}, which was not made",
                    )

    def _check_whole_calls(self, made: Sequence[_Line]) -> None:
        """Outputs of one call are in one entry, all or none, and so are their publications."""
        published = {
            (line.entry, line.fact.materialization)
            for line in self._lines
            if isinstance(line.fact, Publication)
        }
        for together in self._together:
            for entry in {m.entry for m in made}:
                found = [m.fact for m in made if m.entry == entry]
                names = [f for f in found if isinstance(f, Materialization) and f.asset in together]
                for outcome in ("made", "reused"):
                    own = [f for f in names if f.outcome == outcome]
                    promise(
                        {f.asset for f in own} in (set(), together),
                        f"entry {entry} has half a call: {[f.asset for f in own]} of {together}",
                    )
                    told = {f.asset for f in own if (entry, f.id) in published}
                    promise(told in (set(), together), f"entry {entry} publishes only {told}")

    def _check_computed_once(self, made: Sequence[_Line]) -> None:
        """What is in the journal is never computed again."""
        before: dict[tuple[str, str], str] = {}
        for _, fact in made:
            if isinstance(fact, Materialization) and fact.outcome == "made":
                key = (fact.asset, fact.fingerprint)
                promise(
                    key not in before,
                    f"`{fact.asset}` was computed by {before.get(key)} and again by {fact.id}",
                )
                before[key] = fact.id
