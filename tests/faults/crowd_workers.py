"""What the processes of a crowd do: make in a loop, ask in a loop, and write down what they heard.

They are forked from a server that has imported the libraries but nothing of a project.
"""

from __future__ import annotations

import faulthandler
import json
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lineal.assets.run import Announcer
from tests.faults.crowd_project import ASSETS, SELECTIONS

PRELOADED = (
    "numpy", "pandas", "pyarrow.csv", "pyarrow.parquet", "duckdb", "sklearn.tree", "sqlglot",
    "filelock", "joblib", "lineal.project", "lineal.storage.engine", "lineal.storage.vault",
    "lineal.lineage.catalog", "tests.faults.crowd_workers",
)  # fmt: skip
QUERIES = (
    "select count(*) from lineage.run",
    "select count(*) from lineage.materialization",
    "select count(*) from lineage.publication",
)


class Station(NamedTuple):
    """Where one process works: the project, its own file of what it heard, the sign to stop."""

    root: Path
    told: Path
    stop: Path
    seed: int

    @property
    def output(self) -> Path:
        return self.told.with_suffix(".output")


class _Ears(Announcer):
    """Writes what is heard to a file at once, a line each: it survives a kill."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, **what: Any) -> None:
        os.write(self._descriptor, (json.dumps(what) + "\n").encode())

    # ---------------------------------------------------------------- an announcer of a run

    def waiting(self, asset: Any) -> None:
        self.note(waited=asset.name)

    def moved(self, sources: Sequence[str]) -> None:
        self.note(moved=list(sources))

    def settled(self, reports: Sequence[Any]) -> None:
        for one in reports:
            if one.outcome in ("made", "reused"):
                self.note(heard=one.outcome, asset=one.step.asset, version=one.version)


def _begin(station: Station) -> _Ears:
    """All that is printed goes to a file; a stuck process can be asked where it is."""
    file = os.open(station.output, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    return _Ears(station.told)


def _forever(station: Station, ears: _Ears, act: Callable[[], None]) -> None:
    while not station.stop.exists():
        try:
            act()
        except Exception:  # noqa: BLE001  (whatever it is, the crowd has found something)
            ears.note(error=traceback.format_exc())


def make(station: Station) -> None:
    """Materialize one selection after another, until the sign."""
    import lineal.project

    ears = _begin(station)
    chance = random.Random(station.seed)
    project = lineal.project.open(station.root)

    def act() -> None:
        run = project.materialize(*chance.choice(SELECTIONS), announcer=ears)
        steps = [(s.step.asset, s.outcome, s.version) for s in run.steps]
        errors = [type(s.error).__name__ + ": " + str(s.error) for s in run.steps if s.error]
        ears.note(run=run.id, outcome=run.outcome, steps=steps, errors=errors)

    _forever(station, ears, act)


def ask(station: Station) -> None:
    """Ask one thing after another, until the sign. What is counted never gets less."""
    import lineal.project

    ears = _begin(station)
    chance = random.Random(station.seed)
    project = lineal.project.open(station.root)
    counted: dict[str, int] = {}

    def grows(what: str, count: int) -> None:
        if count < counted.get(what, 0):
            ears.note(error=f"{what}: {count}, after {counted[what]}")
        counted[what] = count

    def sql() -> None:
        query = chance.choice(QUERIES)
        answer = project.sql(query)
        grows(query, answer.rows[0][0])
        if answer.note:
            ears.note(answered=answer.note)

    def table() -> None:
        ((orders,),) = project.sql("select orders from totals").rows
        if orders != 40:
            ears.note(error=f"totals: {orders} orders")

    verbs: dict[str, Callable[[], Any]] = {
        "sql": sql,
        "sql of a table": table,
        "status": project.status,
        "plan": project.plan,
        "rebuild": lambda: grows("entries in the catalog", project.rebuild()),
        "runs": lambda: grows("runs", len(project.runs())),
        "lineage": lambda: project.lineage(chance.choice(ASSETS)),
    }
    weights = (4, 2, 2, 2, 1, 2, 2)

    def act() -> None:
        (verb,) = chance.choices(list(verbs), weights)
        verbs[verb]()
        ears.note(asked=verb)

    _forever(station, ears, act)


COMMANDS: tuple[tuple[str, ...], ...] = (
    ("sql", QUERIES[0], "--json"),
    ("sql", "select * from totals", "--json"),
    ("status",),
    ("plan",),
    ("runs", "--json"),
    ("lineage", "report"),
    ("rebuild",),
    ("why", "priced"),
    ("show", "by_city"),
    ("fsck",),
)


def main_words(chance: random.Random, makes: bool) -> list[str]:
    """The words of one command: of a person who makes, or of one who asks."""
    if not makes:
        return list(chance.choice(COMMANDS))
    return ["materialize", "--json", *chance.choice(SELECTIONS)]
