"""What must hold after a crowd has worked on a project: nothing lost, nothing done twice."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from blake3 import blake3

import lineal.project
from lineal.assets.names import Step
from lineal.assets.records import Materialization, Publication, RunEnded, RunStarted
from lineal.lineage.facts import History
from lineal.lineage.journal import Journal
from tests.faults.crowd_project import computed

# Words that no person may ever read because others work on the same project.
_FORBIDDEN = re.compile(
    r"Traceback|IntegrityError|integrity|[Dd]eadlock|database is locked|Could not set lock|"
    r"Conflicting lock|BlockingIOError|FileNotFoundError|FileExistsError|PermissionError|"
    r"IO Error|Fatal|Segmentation|Warning:"
)


class Past(NamedTuple):
    """The whole journal, read without any cache, its chain verified."""

    made: dict[str, tuple[int, Materialization]]  # by id, with the number of its entry
    published: list[tuple[tuple[int, int, int], Publication]]  # with what orders them
    started: list[str]
    ended: list[str]


def read_past(store: Path) -> Past:
    past = Past({}, [], [], [])
    journal = Journal(store)
    for entry in journal.entries():
        for position, fact in enumerate(journal.facts(entry)):
            if isinstance(fact, Materialization):
                past.made[fact.id] = (entry.number, fact)
            elif isinstance(fact, Publication):
                past.published.append(((int(fact.run[1:]), entry.number, position), fact))
            elif isinstance(fact, RunStarted):
                past.started.append(fact.run)
            elif isinstance(fact, RunEnded):
                past.ended.append(fact.run)
    return past


def taken_over(past: Past) -> int:
    """Versions that a run reused though they were recorded only after it had started."""
    return sum(
        m.outcome == "reused" and m.origin in past.made and past.made[m.origin][0] > int(m.run[1:])
        for _, m in past.made.values()
    )


# ------------------------------------------------------------------------------- what people read


def forbidden(text: str, where: str) -> Iterator[str]:
    for line in text.splitlines():
        if _FORBIDDEN.search(line):
            yield f"{where}: {line.strip()}"


def bad_documents(said: str, where: str) -> Iterator[str]:
    """An error told as JSON, or no JSON, where an answer was to be expected."""
    try:
        document = json.loads(said)
    except ValueError:
        yield f"{where}: no JSON: {said}"
        return
    if isinstance(document, dict) and "error" in document:
        yield f"{where}: {document['error']['message']}"


def heard(path: Path) -> list[dict[str, Any]]:
    """What one process wrote down; a line that a kill cut short is left out."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


# ----------------------------------------------------------------------------------- nothing lost


def lost_tellings(told: Counter[tuple[str, str, str]], past: Past) -> Iterator[str]:
    """Steps told as made or reused, more often than the journal has them."""
    there = Counter(
        (m.asset, m.outcome, m.content.digest) for _, m in past.made.values() if m.content
    )
    for key, count in told.items():
        if there[key] < count:
            yield f"told {count} times, in the journal {there[key]} times: {key}"


def lost_steps(run: str, steps: Iterable[tuple[str, str, str]], past: Past) -> Iterator[str]:
    """Steps of a run's answer that the journal doesn't have of that run."""
    there = {
        (m.asset, m.outcome, m.content.digest if m.content else None)
        for _, m in past.made.values()
        if m.run == run
    }
    for step in steps:
        if step[1] in ("made", "reused") and tuple(step) not in there:
            yield f"{run} told {step}, which the journal doesn't have"


def damaged_objects(store: Path, past: Past) -> Iterator[str]:
    objects = {o for _, m in past.made.values() if m.content for o in m.content.objects}
    for stored in objects:
        path = store / "objects" / stored.digest[:2] / f"{stored.digest}.{stored.suffix}"
        if not path.exists():
            yield f"object {path.name} is missing"
        elif blake3(path.read_bytes()).hexdigest() != stored.digest:
            yield f"object {path.name} is damaged"


def unpublished(past: Past) -> Iterator[str]:
    """Made or reused means published, in the same breath."""
    published = {p.materialization for _, p in past.published}
    for name, (_, made) in past.made.items():
        if made.outcome in ("made", "reused") and name not in published:
            yield f"{name} ({made.asset}) was made and not published"


# ------------------------------------------------------------------------------- nothing done twice


def computed_twice(past: Past) -> Iterator[str]:
    """Fingerprints of which the journal has more than one computation that ended well."""
    by: dict[str, list[str]] = {}
    for name, (_, made) in past.made.items():
        if made.outcome in ("made", "blocked") and made.origin == name:
            by.setdefault(f"{made.asset} {made.fingerprint}", []).append(name)
    for what, names in by.items():
        if len(names) > 1:
            yield f"{what[:40]} was computed by {', '.join(names)}"


def done_twice(outside: Path, killed: Collection[int]) -> Iterator[str]:
    """The same, as the record outside has it; a killed process may have computed in vain."""
    by: dict[str, list[int]] = {}
    for process, what in computed(outside):
        if process not in killed:
            by.setdefault(what, []).append(process)
    for what, processes in by.items():
        if len(processes) > 1:
            yield f"{what} was computed by processes {processes}"


def other_failures(past: Past) -> Iterator[str]:
    """Failures that are not of the project's own making."""
    for name, (_, made) in past.made.items():
        if made.error is not None and made.error.type not in ("Flaky", "inputs_changed"):
            yield f"{name} ({made.asset}) failed: {made.error.type}: {made.error.message}"


# ------------------------------------------------------------------------------------ all is right


def wrong_currents(store: Path, past: Past) -> Iterator[str]:
    """`current` is the publication with the greatest (run, entry, line), for each step."""
    newest: dict[Step, tuple[tuple[int, int, int], Publication]] = {}
    for rank, one in past.published:
        step = Step(one.asset, one.partition)
        if step not in newest or rank > newest[step][0]:
            newest[step] = (rank, one)
    expected = {step: one.materialization for step, (_, one) in newest.items()}
    for cache in (store / "cache", store / "no-such-cache"):  # the one kept, and none
        history = History.open(Journal(store), cache)
        found = {step: m.id for step, m in history.currents().items()}
        history.close()
        if found != expected:
            yield f"current is {found}, by the journal {expected} ({cache.name})"
    shutil.rmtree(store / "no-such-cache", ignore_errors=True)


def leftovers(store: Path, killed: Collection[int]) -> Iterator[str]:
    """Files in tmp/ that no killed process can have left."""
    for path in (store / "tmp").iterdir() if (store / "tmp").exists() else ():
        owner = re.search(r"(?:^|-)(\d+)-", path.name)
        if owner is None or int(owner[1]) not in killed:
            yield f"tmp/{path.name} was left"


def catalog_rows(project: lineal.project.Project) -> Mapping[str, list[tuple[Any, ...]]]:
    """Every table of the lineage schema, sorted."""
    import duckdb

    project.sql("select max(entry) from lineage.ingested")  # brings it up to date
    with duckdb.connect(project.store / "catalog.duckdb", read_only=True) as connection:
        tables = connection.execute(
            "select table_name from duckdb_tables() where schema_name = 'lineage' order by all"
        ).fetchall()
        return {
            table: connection.execute(f"from lineage.{table} order by all").fetchall()
            for (table,) in tables
        }


def catalog_differs(project: lineal.project.Project) -> Iterator[str]:
    """The catalog that many brought up to date by turns equals one made anew."""
    before = catalog_rows(project)
    project.rebuild()
    after = catalog_rows(project)
    for table in before.keys() | after.keys():
        if before.get(table) != after.get(table):
            yield f"lineage.{table} differs from one made anew"


def differs_from_a_clean_run(root: Path, outside: Path) -> Iterator[str]:
    """After one more run: what a copy without memory makes, and nothing more to do."""
    (outside / "calm").touch()
    project = lineal.project.open(root)
    run = project.materialize()
    if run.outcome != "done":
        yield f"the run after the crowd {run.outcome}: {run!r}"
    copy = outside / "copy"
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns(".lineal"))
    clean = lineal.project.open(copy).materialize()
    here = {s.step.asset: s.version for s in run.steps}
    there = {s.step.asset: s.version for s in clean.steps}
    for asset in here.keys() | there.keys():
        if here.get(asset) != there.get(asset):
            yield f"{asset} is {here.get(asset)}, in a clean copy {there.get(asset)}"
    again = project.materialize()
    if again.id is not None:
        yield f"there was more to do: {again!r}"


def held_locks(store: Path) -> Iterator[str]:
    """Every lock can be had at once when nobody is left."""
    import fcntl

    import filelock

    for path in sorted((store / "locks").glob("*")):
        try:
            filelock.FileLock(path, timeout=0).acquire().lock.release()
            with path.open("r+") as file:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (filelock.Timeout, BlockingIOError):
            yield f"{os.fspath(path)} is held by nobody known"
