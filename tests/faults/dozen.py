"""A project of a dozen assets, small enough to be made hundreds of times, and ways to judge it.

Its code is loaded once a process and version; each `Worker` then stands for a new process: nothing
it knows is older than itself but what is in the store.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lineal.assets.facts import Facts, Presence
from lineal.assets.materialize import Surroundings
from lineal.assets.records import (
    DEFAULT_ENVIRONMENT,
    AssetFacts,
    Content,
    Fact,
    Materialization,
    Publication,
    RunStarted,
)
from lineal.assets.run import Announcer, Run, StepReport
from lineal.disk import Disk, digest_file
from lineal.lineage.journal import Journal
from lineal.project import Project
from lineal.running import Runner
from lineal.snapshot import Snapshot
from lineal.storage.engine import Engine
from lineal.storage.objects import Objects
from lineal.storage.sources import Observer
from lineal.storage.vault import Vault

PIPELINE = '''
import pathlib
import statistics

import pyarrow as pa

from lineal import Folder, Result, asset, check, source

source("raw/orders", "data/orders.csv")
source("raw/prices", "data/prices.csv")


@asset
def orders(raw_orders: pa.Table) -> pa.Table:
    """Without those that were taken back."""
    return raw_orders.filter([n > 0 for n in raw_orders["amount"].to_pylist()])


@check(orders)
def orders_have_amounts(orders: pa.Table):
    return all(n > 0 for n in orders["amount"].to_pylist())


@asset
def prices(raw_prices: pathlib.Path) -> dict:
    lines = raw_prices.read_text().split()[1:]
    return {name: int(price) for name, price in (line.split(",") for line in lines)}


@asset(outputs=["even", "odd"])
def split(orders: pa.Table):
    kept = [n % 2 == 0 for n in orders["id"].to_pylist()]
    return orders.filter(kept), orders.filter([not k for k in kept])


@asset
def again(even: pa.Table) -> pa.Table:
    """Bytes that another asset has too."""
    return even


@asset(format="joblib")
def model(orders: pa.Table):
    fitted = statistics.NormalDist.from_samples(orders["amount"].to_pylist())
    return Result(fitted, metrics={"mean": fitted.mean})


@asset
def guesses(model, odd: pa.Table) -> pa.Table:
    chances = [round(model.cdf(n), 9) for n in odd["amount"].to_pylist()]
    return pa.table({"id": odd["id"], "chance": chances})


@asset
def income(orders: pa.Table, prices: dict) -> float:
    pairs = zip(orders["item"].to_pylist(), orders["amount"].to_pylist())
    return float(sum(prices[item] * n for item, n in pairs)) * FACTOR


@check(income, severity="warn")
def income_is_high(income):
    return income > 1e9


@asset
def seal(income: float) -> bytes:
    return b"%d\\n" % income * 300


@asset
def pages(guesses: pa.Table, income: float, folder: Folder) -> pathlib.Path:
    (folder / "inner").mkdir()
    (folder / "income.txt").write_text(str(income))
    (folder / "inner" / "guesses.txt").write_text(str(guesses.num_rows))
    return folder


@asset
def letters(pages: pathlib.Path) -> int:
    return sum(len(p.read_text()) for p in pages.rglob("*.txt"))
'''
QUERY = '''
from lineal import sql_asset

sql_asset("totals", """
    select item, sum(amount) as amount from orders group by item
""")
'''
ORDERS = "id,item,amount\n1,nut,3\n2,fig,4\n3,nut,-1\n4,pea,6\n5,fig,2\n6,nut,9\n"
PRICES = "item,price\nnut,3\nfig,5\npea,7\n"
# The other state: an order that `orders` leaves out is another, and `income` has other code.
CHANGED = {"orders": ORDERS.replace("3,nut,-1", "3,nut,-2"), "factor": "2"}

BATCHED, ONE_BY_ONE = "batched", "one by one"  # how the scribe gathers pages into entries


class Clock:
    """Stands still (pages wait until somebody wants them), or makes every page its own entry."""

    def __init__(self, pace: str) -> None:
        self._ticks = itertools.count(1_700_000_000)
        self._stands = pace == BATCHED

    def __call__(self) -> float:
        return 1_700_000_000.0 if self._stands else float(next(self._ticks))


class Told(Announcer):
    """The announcer that remembers: what was told is what must be kept."""

    def __init__(self) -> None:
        self.reports: list[StepReport] = []

    def settled(self, reports: Sequence[StepReport]) -> None:
        self.reports.extend(reports)

    @property
    def promised(self) -> dict[str, str]:
        """The steps told as made or reused, with the version that was told."""
        kept = (r for r in self.reports if r.outcome in ("made", "reused"))
        return {r.step.asset: r.version or "" for r in kept}


class Lent:
    """The vault of whichever worker works just now: opening DuckDB costs as much as all the rest,
    so the engine outlives the workers.
    """

    def __init__(self) -> None:
        self.vault: Any = None

    @property
    def objects(self) -> Any:
        return self.vault.objects

    def load(self, content: Any, arrival: Any, columns: Any = None) -> Any:
        return self.vault.load(content, arrival, columns)


@dataclass(frozen=True)
class Dozen:
    """The code of the project in one state of its files, loaded and bound."""

    root: Path
    seen: Snapshot
    code: Facts
    engine: Engine
    lent: Lent

    @classmethod
    def load(cls, root: Path, *, orders: str = ORDERS, factor: str = "1") -> Dozen:
        """Write the project's files to a new folder and load them."""
        (root / "data").mkdir(parents=True)
        (root / "lineal.toml").write_text('[project]\ndefinitions = ["pipeline.py", "query.py"]\n')
        (root / "pipeline.py").write_text(PIPELINE.replace("FACTOR", factor))
        (root / "query.py").write_text(QUERY)
        (root / "data" / "orders.csv").write_text(orders)
        (root / "data" / "prices.csv").write_text(PRICES)
        with Project(root).look() as seen:
            seen.definitions.settle()
            lent = Lent()
            engine = Engine(lent, root, temporary=root / "tmp", queries=seen.queries)
            return cls(root, seen, seen.facts(seen.graph.order), engine, lent)


class _Seen(Snapshot):
    """A snapshot whose code is known; what is in the store and the sources is asked anew."""

    code: Facts

    def facts(self, wanted: Iterable[str]) -> Facts:
        asked, presence = set(wanted), Presence(self.objects.present)
        return replace(
            self.code,
            past=self.history,
            observations=self._observe(
                self.graph.assets[n] for n in self.graph.order if n in asked
            ),
            present=presence,
            look=presence.look,
            file_digest=self.file_digest,
        )


class Worker(Project):
    """One process that works on a store: a project whose code is loaded, and whose disk is given.

    Args:
        pace: how its scribe gathers pages.
    """

    def __init__(
        self, dozen: Dozen, store: Path, disk: Disk | None = None, pace: str = BATCHED
    ) -> None:
        super().__init__(dozen.root, disk)
        self.dozen = dozen
        self.store = store
        self.journal = Journal(store, self._disk)
        self.told = Told()
        self.clock = Clock(pace)

    def make(self) -> Run:
        """Materialize everything; what is told on the way stays in `told`."""
        return self.materialize(announcer=self.told)

    @contextmanager
    def look(self, overrides: Iterable[str] = ()) -> Iterator[Snapshot]:
        known = self.dozen.seen
        with closing(self.history()) as history:
            seen = _Seen(
                root=self.root,
                settings=self.settings,
                definitions=known.definitions,
                graph=known.graph,
                queries=known.queries,
                history=history,
                objects=Objects(self.store, self._disk),
                observer=Observer(self.root, self.cache / "stat.json", self._disk),
                packages=known.packages,
                overrides={},
                formats=(),
            )
            seen.code = self.dozen.code
            yield seen

    def _runner(self, look: Callable[[], AbstractContextManager[Snapshot]]) -> Runner:
        return _Runner(self, look)

    def currents(self) -> dict[str, Content]:
        """What is current of every step, by what the store says."""
        with closing(self.history()) as history:
            found = history.currents().items()
            return {step.asset: m.content for step, m in found if m.content is not None}

    def values(self) -> dict[str, Any]:
        """Every current version, loaded; `files` stay where they are."""
        vault = Vault(Objects(self.store))
        found = self.currents().items()
        return {n: _plain(vault.load(c, "auto")) for n, c in found if c.format != "files"}


class _Runner(Runner):
    """Runs with the clock of a worker, and with an engine that others use too."""

    def __init__(
        self, worker: Worker, look: Callable[[], AbstractContextManager[Snapshot]]
    ) -> None:
        super().__init__(worker.root, worker.journal, look, lambda: "1")
        self._worker = worker

    def surroundings(self, *given: Any) -> Surroundings:
        around, dozen = super().surroundings(*given), self._worker.dozen
        dozen.lent.vault = around.workshop.vault
        workshop = replace(around.workshop, engine=dozen.engine)
        return replace(around, workshop=workshop, clock=self._worker.clock)

    def opening(self, seen: Snapshot) -> tuple[RunStarted, list[AssetFacts]]:
        """Without asking git and the system who works here."""
        now = self._worker.clock()
        return RunStarted("", DEFAULT_ENVIRONMENT, "me", "here", (), now, "3", "1"), []


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return {str(p.relative_to(value)): p.read_bytes() for p in value.rglob("*.txt")}
    if hasattr(value, "to_dict"):
        return value.to_dict("list")
    return value


# ------------------------------------------------------------------------------------ judgement


def facts_of(store: Path) -> list[list[Fact]]:
    """The facts of the entries of a store, its chain and seals verified from the first one."""
    return [facts for _, facts in Journal(store).read()]


def judge(store: Path, promises: Iterable[Mapping[str, str]] = ()) -> None:
    """Assert that a store holds together, and that it holds what was told as made.

    Every object that any materialization names is there; whatever lies in `objects/` has the bytes
    that its name says; outputs of one computation are published in one entry; each promise
    (step → version) is published.
    """
    known = {"cache", "catalog", "format", "journal", "locks", "logs", "objects", "tmp"}
    assert not store.exists() or {p.name.partition(".")[0] for p in store.iterdir()} <= known
    whole = _whole_objects(store)
    made: dict[str, Materialization] = {}
    published: set[tuple[str, str]] = set()
    for facts in facts_of(store):
        made |= {f.id: f for f in facts if isinstance(f, Materialization)}
        shown = {f.asset for f in facts if isinstance(f, Publication)}
        assert shown.isdisjoint({"even", "odd"}) or shown >= {"even", "odd"}, shown
        for fact in facts:
            if isinstance(fact, Publication):
                assert made[fact.materialization].content is not None
                published.add((fact.asset, fact.content))
    named = {o for m in made.values() if m.content is not None for o in m.content.objects}
    missing = {(o.digest, o.bytes) for o in named} - whole
    assert not missing, f"objects are missing: {missing}"
    for promise in promises:
        assert promise.items() <= published, f"lost: {sorted(promise.items() - published)}"


def _whole_objects(store: Path) -> set[tuple[str, int]]:
    found = set()
    for place in (store / "objects").glob("*/*"):
        digest, size = digest_file(place)
        assert place.name.partition(".")[0] == digest, f"{place} is not whole"
        found.add((digest, size))
    return found
