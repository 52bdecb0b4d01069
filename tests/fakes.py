"""The ports of the core, in memory: for tests of planning and of the loop, without a disk.

A value is a table, a dict of columns (name → tuple), or any other plain value.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from lineal.assets.asset import Arrival, Asset, Check, Contract, Files, Query
from lineal.assets.content import content_digest
from lineal.assets.digest import digest_of
from lineal.assets.errors import ContentError, IntegrityError, LinealError, UserCodeError
from lineal.assets.facts import Past
from lineal.assets.names import Step
from lineal.assets.perform import Trace, UserCode
from lineal.assets.ports import (
    Canonical,
    Engine,
    Journal,
    Locks,
    Observer,
    Registrar,
    Shape,
    Sight,
    Vault,
    Verdict,
    Versions,
)
from lineal.assets.records import (
    Acceptance,
    Brief,
    CheckResult,
    Column,
    Content,
    EnvironmentFacts,
    Fact,
    Materialization,
    Observation,
    Publication,
    Recipe,
    Retirement,
    RunEnded,
    RunStarted,
    SourceFile,
    StoredObject,
    Used,
)
from lineal.assets.registries import Registries
from lineal.assets.run import Announcer, StepReport
from lineal.assets.verdicts import Decision
from lineal.lineage.shelf import brief


@dataclass
class Ticks:
    """A clock that moves by a second whenever it is asked."""

    now: float = 1_000_000.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@dataclass
class Held(Canonical):
    """A value in canonical form."""

    value: Any
    digested: Content

    @property
    def content(self) -> Content:
        return self.digested

    @property
    def nbytes(self) -> int:
        return 100


@dataclass
class MemoryVault(Vault):
    """Values by digest; what was written since the last `sync` is lost in a crash."""

    objects: dict[str, Any] = field(default_factory=dict)
    unsynced: set[str] = field(default_factory=set)

    def canonical(
        self, value: Any, contract: Contract, *, rows: bool, name: str, by: str | None = None
    ) -> Held:
        if isinstance(value, Held):
            return value
        if isinstance(value, Content):
            return Held(self.load(value, "auto"), value)
        if not isinstance(value, dict) or contract.format == "json":
            return Held(copy.deepcopy(value), Content(digest_of(value), "json"))
        columns = tuple(Column(n, "int", digest_of(v)) for n, v in value.items())
        length = len(next(iter(value.values()), ()))
        digest = content_digest(length, columns)
        return Held(dict(value), Content(digest, "parquet", (), length, columns))

    def write(self, canonical: Canonical) -> Content:
        assert isinstance(canonical, Held)
        if canonical.content.objects:
            return canonical.content  # a worker wrote it
        stored = StoredObject(digest_of(("object", canonical.content.digest)), "parquet", 100)
        self.objects[stored.digest] = canonical.value
        self.unsynced.add(stored.digest)
        return replace(canonical.content, objects=(stored,))

    def sync(self) -> None:
        self.unsynced.clear()

    def load(
        self,
        content: Versions,
        arrival: Arrival,
        columns: Sequence[str] | None = None,
    ) -> Any:
        if isinstance(content, Mapping):
            return [self.load(each, arrival, columns) for each in content.values()]
        if isinstance(content, Held):
            value = content.value
        else:
            assert isinstance(content, Content)
            value = self._stored(content.objects[0])
        missing = [name for name in columns or () if name not in value]
        if missing:
            raise ContentError(f"no column `{missing[0]}`")
        return copy.deepcopy(value if columns is None else {n: value[n] for n in columns})

    def _stored(self, stored: StoredObject) -> Any:
        if stored.digest not in self.objects:
            raise IntegrityError(f"the object {stored.digest[:12]} is gone")
        return self.objects[stored.digest]

    def runs_as_stored(self, content: Content) -> bool:
        return True

    def holds(self, content: Content) -> bool:
        return all(o.digest in self.objects for o in content.objects)


class Found(NamedTuple):
    """What a check found."""

    passed: bool
    failing_rows: int | None = None
    message: str = ""
    sample: tuple[tuple[str, ...], ...] = ()


class FakeQuery(NamedTuple):
    """A query as a function of tables, and what it reads by the names of their columns."""

    run: Callable[..., Any]
    reads: Callable[..., Mapping[str, Sight]]


def _seen(table: dict[str, Any], sight: Sight) -> dict[str, Any]:
    if sight.columns is None:
        return table
    if sight.shape:
        return {n: v if n in sight.columns else (None,) * len(v) for n, v in table.items()}
    return {n: table[n] for n in table if n in sight.columns} or {"": next(iter(table.values()))}


@dataclass
class MemoryFiles(Engine, Observer):
    """The files of sources, by source: what they hold, as tables. Also judges functions' checks."""

    vault: MemoryVault = field(default_factory=MemoryVault)
    queries: dict[str, FakeQuery] = field(default_factory=dict)  # by text
    tables: dict[str, dict[str, tuple[int, ...]]] = field(default_factory=dict)
    moves: dict[str, dict[str, tuple[int, ...]]] = field(default_factory=dict)

    def observe(self, source: str, files: Files) -> Observation:
        digest = digest_of(self.tables[source])
        return Observation(source, (SourceFile(f"{source}.csv", digest, 1, (1,)),), digest)

    def unchanged(self, observation: Observation) -> bool:
        return observation.digest == digest_of(self.tables[observation.source])

    def digest(self, path: str) -> str | None:
        return None

    def query(
        self,
        query: Query,
        inputs: Mapping[str, Versions],
        parameters: Mapping[str, Any],
        contract: Contract,
        sights: Mapping[str, Sight],
    ) -> Any:
        """Over views that hold what is seen of each input, and no more."""
        shown: dict[str, dict[str, Any]] = {}
        for name, held in inputs.items():
            whole = self.vault.load(held, "auto")
            parts = whole if isinstance(held, Mapping) else [whole]
            table: dict[str, Any] = {n: () for part in parts for n in part}
            for part in parts:
                rows = len(next(iter(part.values())))
                table = {n: (*v, *part.get(n, (None,) * rows)) for n, v in table.items()}
            shown[name] = _seen(table, sights.get(name, Sight()))
        return self.queries[query.text].run(**shown)

    def sights(
        self, query: Query, shapes: Mapping[str, Shape], parameters: Mapping[str, Any]
    ) -> Mapping[str, Sight]:
        """What the query says that it reads of inputs of these columns."""
        names = {asset: tuple(name for name, _ in shape) for asset, shape in shapes.items()}
        return self.queries[query.text].reads(**names)

    def ingest(self, files: Files, observation: Observation) -> Any:
        """Read a source; one in `moves` has its files changed just after, under the reader."""
        read = dict(self.tables[observation.source])
        if observation.source in self.moves:
            self.tables[observation.source] = self.moves.pop(observation.source)
        return read

    def audit(
        self,
        checks: Sequence[Check],
        version: Content | Canonical,
        others: Mapping[str, Versions],
        previous: Content | None,
    ) -> list[Verdict]:
        raise AssertionError("the graphs of these tests hold no ready-made checks")

    def judge(self, returned: Callable[[], Any], name: str) -> Verdict:
        return Found(bool(returned()))


@dataclass
class MemoryJournal(Journal):
    """Entries in a list; `past` is what it says up to now and stays so."""

    entries: list[tuple[Fact, ...]] = field(default_factory=list)

    def append(self, facts: Sequence[Fact]) -> int:
        self.entries.append(tuple(facts))
        return len(self.entries)

    def start_run(self, facts: Callable[[str], Sequence[Fact]]) -> str:
        run = f"r{len(self.entries) + 1}"
        self.append(facts(run))
        return run

    def past(self) -> MemoryPast:
        return MemoryPast(self)

    @property
    def facts(self) -> tuple[Fact, ...]:
        return tuple(fact for entry in self.entries for fact in entry)


class MemoryRegistrar(Registrar):
    """Registries by looking through all facts of a journal in memory."""

    def __init__(self, journal: MemoryJournal):
        self.journal = journal

    def now(self) -> Registries:
        return Registries().after(self.journal.facts)

    def record(
        self, build: Callable[[Registries, int], Sequence[Fact]]
    ) -> tuple[Registries, Sequence[Fact]]:
        facts = build(self.now(), len(self.journal.entries) + 1)
        if facts:
            self.journal.append(facts)
        return self.now(), facts

    def materialization(self, materialization: str) -> Materialization | None:
        return self.journal.past().materialization(materialization)


class MemoryPast(Past):
    """History and archive by looking through all facts."""

    def __init__(self, journal: MemoryJournal):
        self.journal = journal
        self.facts = self.later = journal.facts
        self.made = {f.id: f for f in self.facts if isinstance(f, Materialization)}
        self.digests = {f.digest: f for f in self.facts if isinstance(f, Recipe | EnvironmentFacts)}

    def made_meanwhile(self, fingerprints: Iterable[str]) -> bool:
        self.later = self.journal.facts
        news = self.later[len(self.facts) :]
        found = {f.fingerprint for f in news if isinstance(f, Materialization)}
        return not found.isdisjoint(fingerprints)

    def current(self, asset: str, partition: str | None) -> Materialization | None:
        runs = [f.run for f in self.facts if isinstance(f, RunStarted)]
        if partition in self.retired(asset):
            return None
        published = [f for f in self.facts if isinstance(f, Publication)]
        own = [f for f in published if (f.asset, f.partition) == (asset, partition)]
        own.sort(key=lambda f: runs.index(f.run))  # stable: within a run, by position
        return self.made[own[-1].materialization] if own else None

    def last(self, asset: str, partition: str | None) -> Materialization | None:
        found = [m for m in self.made.values() if (m.asset, m.partition) == (asset, partition)]
        return found[-1] if found else None

    def partitions(self, asset: str) -> Mapping[str | None, Brief]:
        keys = {f.partition for f in self.facts if isinstance(f, Publication) and f.asset == asset}
        found = {}
        for key in keys.difference(self.retired(asset)):
            made = self.current(asset, key)
            told = None if made is None else brief(made)
            assert told is not None
            found[key] = told
        return found

    def used(self, asset: str, partition: str | None) -> tuple[Used, ...]:
        made = self.current(asset, partition)
        return () if made is None else made.inputs

    def tried(self, asset: str) -> set[str]:
        keys = {m.partition for m in self.made.values() if m.asset == asset}
        return {k for k in keys if k is not None and self.last(asset, k) != self.current(asset, k)}

    def retired(self, asset: str) -> Mapping[str | None, Retirement]:
        found: dict[str | None, Retirement] = {}
        for fact in self.facts:
            if isinstance(fact, Retirement) and fact.asset == asset:
                found[fact.partition] = fact
            elif isinstance(fact, Publication) and fact.asset == asset:
                found.pop(fact.partition, None)
        return found

    def by_fingerprint(self, fingerprint: str) -> Sequence[Materialization]:
        made = [f for f in self.later if isinstance(f, Materialization)]
        return [m for m in reversed(made) if m.fingerprint == fingerprint and m.content]

    def check(self, fingerprint: str) -> CheckResult | None:
        for fact in reversed(self.later):
            if isinstance(fact, CheckResult) and fact.fingerprint == fingerprint:
                return fact
        return None

    def accepted(self, asset: str, old_recipe: str, new_recipe: str) -> bool:
        return any(
            isinstance(f, Acceptance)
            and (f.asset, f.old_recipe, f.new_recipe) == (asset, old_recipe, new_recipe)
            for f in self.facts
        )

    def knows(self, digest: str) -> bool:
        return digest in self.digests

    def recipe(self, digest: str) -> Recipe | None:
        found = self.digests.get(digest)
        return found if isinstance(found, Recipe) else None

    def environment_facts(self, digest: str) -> EnvironmentFacts | None:
        found = self.digests.get(digest)
        return found if isinstance(found, EnvironmentFacts) else None

    def materialization(self, materialization: str) -> Materialization | None:
        return self.made.get(materialization)

    def broken_off(self, asset: str) -> int | None:
        ended = {f.run for f in self.facts if isinstance(f, RunEnded) and f.outcome != "cancelled"}
        started = [f.run for f in self.facts if isinstance(f, RunStarted)]
        return next((int(run[1:]) for run in started if run not in ended), None)


class Unwatched(NamedTuple):
    """A trace of user code that read nothing undeclared."""

    unwatched: tuple[tuple[str, str, str], ...] = ()
    written: tuple[str, ...] = ()


class PlainCalls(UserCode):
    """User code run as it is; what it raises becomes a UserCodeError."""

    @contextlib.contextmanager
    def running(
        self, recipe: Recipe, step: str, log: str, declared: Sequence[str]
    ) -> Iterator[Trace]:
        try:
            yield Unwatched()
        except (ValueError, KeyError) as error:
            raise UserCodeError(type(error).__name__, str(error)) from error

    def drift(self, asset: Asset) -> str | None:
        return None


class NoLocks(Locks):
    """Nobody else is there."""

    def take(self, step: str) -> Callable[[], None]:
        return lambda: None


class Listener(Announcer):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.awaited: list[str] = []
        self.tried_again: list[tuple[str, int]] = []
        self.seen_moving: list[list[str]] = []
        self.told: list[StepReport] = []

    def started(
        self, step: Step, asset: Asset, decision: Decision, attempt: int, expected: float | None
    ) -> None:
        self.begun.append(str(step))

    def retrying(self, step: Step, error: LinealError, attempt: int, of: int, pause: float) -> None:
        self.tried_again.append((str(step), attempt))

    def tick(self) -> None:
        """Time goes by."""

    def waiting(self, asset: Asset) -> None:
        self.awaited.append(asset.name)

    def moved(self, sources: Sequence[str]) -> None:
        self.seen_moving.append(list(sources))

    def settled(self, reports: Sequence[StepReport]) -> None:
        self.told.extend(reports)
