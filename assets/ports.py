"""The seams: what the core asks of storage, lineage and the machine. Five members at most each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, NamedTuple, Protocol

from lineal.assets.asset import Arrival, Check, Contract, Files, Query
from lineal.assets.records import (
    Brief,
    CheckResult,
    Content,
    EnvironmentFacts,
    Fact,
    Materialization,
    Observation,
    Recipe,
    Retirement,
    Used,
)
from lineal.assets.registries import Registries


class Canonical(Protocol):
    """A value in canonical form, held in memory: digested, not yet written."""

    @property
    def content(self) -> Content:
        """Digests, rows, columns and summary; `objects` is empty until written."""
        ...

    @property
    def nbytes(self) -> int:
        """About how much memory it holds."""
        ...


# What is read of one input: one version, or those of several partitions by key, in order.
Versions = Content | Canonical | Mapping[str, Content | Canonical]


class Vault(Protocol):
    """The memory of bytes: values in, values out. Implemented by storage.vault.Vault."""

    def canonical(
        self, value: Any, contract: Contract, *, rows: bool, name: str, by: str | None = None
    ) -> Canonical:
        """Bring a returned value into canonical form and digest it.

        `rows`: the function says it returns `list[dict]` as a table. `name`: for messages. `by`: a
        column by which it is published in slices: what comes back has them as `parts`, each with
        its key, in order. A version (Content or Canonical) as the value is handed on as it is.
        Raises ContentError naming the type or the column.
        """
        ...

    def write(self, canonical: Canonical) -> Content:
        """Stage and link its objects durably-on-sync; returns the content with its objects."""
        ...

    def sync(self) -> None:
        """Make everything written since the last sync durable: files, then folders."""
        ...

    def load(
        self,
        content: Versions,
        arrival: Arrival,
        columns: Sequence[str] | None = None,
    ) -> Any:
        """A reader's own copy of a version; equal whether it comes from memory or disk.

        Of several versions: their rows one after the other, as one table.
        """
        ...

    def runs_as_stored(self, content: Content) -> bool:
        """Is the project's code that a value brings along what it was when that was stored?"""
        ...


class Sight(NamedTuple):
    """What a query sees of an input.

    Attributes:
        columns: those whose values it reads, in the order of the table; None: all there are.
        shape: of the others the names and types are seen too; the query runs as if they held null.
        doubt: a sentence: why all are read.
    """

    columns: tuple[str, ...] | None = None
    shape: bool = False
    doubt: str = ""


# The columns of a table: (name, canonical type), in order.
Shape = tuple[tuple[str, str], ...]


class Sights(Protocol):
    """What a query reads, by its text and the shapes of its inputs. Implemented by storage.sql."""

    def __call__(
        self, query: Query, shapes: Mapping[str, Shape], parameters: Mapping[str, Any]
    ) -> Mapping[str, Sight]:
        """What is seen of each of these inputs, by asset; of one that is left out, everything.

        `parameters`: only their types count, as no fingerprint holds the value of a secret.
        """
        ...


class Engine(Protocol):
    """Work done by DuckDB and the readers of files. Implemented by storage.engine.Engine."""

    def query(
        self,
        query: Query,
        inputs: Mapping[str, Versions],
        parameters: Mapping[str, Any],
        contract: Contract,
        sights: Mapping[str, Sight],
    ) -> Any:
        """Run a SQL asset over its inputs (asset name → versions); an Arrow table, ordered.

        Of an input that `sights` tells of, it sees no more than that.
        """
        ...

    def ingest(self, files: Files, observation: Observation) -> Any:
        """Read the observed files of a source as one table (Arrow)."""
        ...

    def audit(
        self,
        checks: Sequence[Check],
        version: Content | Canonical,
        others: Mapping[str, Versions],
        previous: Content | None,
    ) -> Sequence[Verdict]:
        """Run ready-made checks over a version in one scan; one (failing rows, sample) each."""
        ...

    def judge(self, returned: Callable[[], Any], name: str) -> Verdict:
        """What a user's check found: calls it and reads a bool, a table of failing rows, a raise.

        UserCodeError from the call is a failed check; other errors go through.
        """
        ...


class Verdict(Protocol):
    """What one check found."""

    @property
    def passed(self) -> bool: ...
    @property
    def failing_rows(self) -> int | None: ...
    @property
    def message(self) -> str: ...
    @property
    def sample(self) -> tuple[tuple[str, ...], ...]: ...


class Observer(Protocol):
    """Eyes on the files of sources. Implemented by storage.sources.Observer."""

    def observe(self, source: str, files: Files) -> Observation:
        """List and digest the files of a source now; raises SourceMissing."""
        ...

    def unchanged(self, observation: Observation) -> bool:
        """Do the files still have the identity under which they were observed?"""
        ...

    def digest(self, path: str) -> str | None:
        """Byte digest of one project file, or None when it is not there."""
        ...


class Journal(Protocol):
    """The memory of facts, append-only. Implemented by lineage.journal.Journal."""

    def append(self, facts: Sequence[Fact]) -> int:
        """Write one durable entry; returns its number."""
        ...

    def start_run(self, facts: Callable[[str], Sequence[Fact]]) -> str:
        """Append the entry that starts a run: its number names the run. Returns the run's id."""
        ...


class History(Protocol):
    """What the journal says about the past, frozen at planning. Implemented by lineage.facts."""

    def current(self, asset: str, partition: str | None) -> Materialization | None:
        """The materialization behind the current publication of a step."""
        ...

    def last(self, asset: str, partition: str | None) -> Materialization | None:
        """The last attempt at a step, whatever its outcome."""
        ...

    def by_fingerprint(self, fingerprint: str) -> Sequence[Materialization]:
        """Successful or blocked materializations of a computation, newest first."""
        ...

    def check(self, fingerprint: str) -> CheckResult | None:
        """The result of a check, if it was ever run."""
        ...

    def accepted(self, asset: str, old_recipe: str, new_recipe: str) -> bool:
        """Did a person say these two recipes are equivalent?"""
        ...


class Slices(Protocol):
    """The same past, for all partitions of an asset at once."""

    def partitions(self, asset: str) -> Mapping[str | None, Brief]:
        """What is current of an asset, by partition, in no order; None for the asset as a whole."""
        ...

    def used(self, asset: str, partition: str | None) -> tuple[Used, ...]:
        """What the current version of a partition read; nothing is remembered of the answer."""
        ...

    def tried(self, asset: str) -> Set[str]:
        """The partitions whose last attempt is another than what is current."""
        ...

    def retired(self, asset: str) -> Mapping[str | None, Retirement]:
        """The partitions that were current and are no more, by partition."""
        ...


class Archive(Protocol):
    """The same past, for explanations: what a digest or an id stood for."""

    def knows(self, digest: str) -> bool:
        """Is a recipe or an environment of this digest in the journal?"""
        ...

    def recipe(self, digest: str) -> Recipe | None: ...

    def environment_facts(self, digest: str) -> EnvironmentFacts | None: ...

    def materialization(self, materialization: str) -> Materialization | None: ...

    def broken_off(self, asset: str) -> int | None:
        """The number of the first run that knew of an asset and did not come to its end."""
        ...


class Registrar(Protocol):
    """Writes what is true only of the newest state of the registries. By lineage.registry."""

    def now(self) -> Registries:
        """The registries as the newest entry of the journal leaves them."""
        ...

    def record(
        self, build: Callable[[Registries, int], Sequence[Fact]]
    ) -> tuple[Registries, Sequence[Fact]]:
        """Append facts that rest on the registries, as one durable entry.

        `build` is given the registries as they are just before the entry, and its number; it is
        asked again if another process wrote meanwhile. No facts: nothing is written. What comes
        back: the registries after the entry, and the facts that were written.
        """
        ...

    def materialization(self, materialization: str) -> Materialization | None:
        """That of this id, be it as new as can be: what another process registered just now."""
        ...


class Locks(Protocol):
    """One computation of a step at a time, among all processes. Implemented by storage.locks."""

    def take(self, step: str) -> Callable[[], None] | None:
        """Hold a step; returns what lets go of it, or None if another process holds it."""
        ...


class Clock(Protocol):
    def __call__(self) -> float:
        """UTC seconds since 1970."""
        ...
