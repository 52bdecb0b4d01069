"""What the processes do that may be killed at any moment, and the diaries they leave.

A diary is a file of lines, each written by one call of the kernel before anything else happens:
what stands in it happened, whatever became of the process.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lineal.disk import Disk
from lineal.project import Project
from tests.readers import LINEAL, command

# What a process finds imported already, so that starting one costs a fork.
IMPORTED = [
    *LINEAL,
    "sklearn.pipeline",
    "joblib",
    "lineal.lineage.catalog",
    "lineal.lineage.questions",
    "lineal.storage.vault",
    "tests.faults.doomed",
]
QUESTION = "select asset, count(*) as n from lineage.materialization group by asset order by asset"

Say = Callable[..., None]


class Line(NamedTuple):
    """One line of a diary: the time on the clock that all processes share, a word, and details."""

    at: float
    word: str
    details: tuple[Any, ...]


def read_diary(path: Path) -> list[Line]:
    """All whole lines."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    whole = text[: text.rfind("\n") + 1].splitlines()
    return [Line(at, word, tuple(rest)) for at, word, *rest in map(json.loads, whole)]


class NotedDisk(Disk):
    """Notes each operation before it is done; at one of them the process is killed.

    Args:
        last: the operation, counted from 1, in place of which the process is killed; one that
            creates a file is done by half.
    """

    def __init__(self, say: Say, last: int | None) -> None:
        self._say = say
        self._left = last

    def _note(self, operation: str, path: Any) -> bool:
        """Is this the last one?"""
        self._say("disk", operation, os.fspath(path))
        if self._left is not None:
            self._left -= 1
        return self._left == 0

    def _do(self, operation: str, path: Any) -> None:
        if self._note(operation, path):
            os.kill(os.getpid(), signal.SIGKILL)

    def create(self, path: Any, data: bytes) -> None:
        last = self._note("create", path)
        super().create(path, data[: len(data) // 2] if last else data)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)

    def copy(self, source: Any, path: Any) -> None:
        self._do("copy", path)
        super().copy(source, path)

    def complete(self, path: Any) -> None:
        self._do("complete", path)
        super().complete(path)

    def sync(self, paths: Sequence[Any]) -> None:
        if paths:
            self._do("sync", paths[0])
        super().sync(paths)

    def link(self, source: Any, path: Any) -> None:
        self._do("link", path)
        super().link(source, path)

    def replace(self, source: Any, target: Any) -> None:
        self._do("replace", target)
        super().replace(source, target)

    def unlink(self, path: Any) -> None:
        self._do("unlink", path)
        super().unlink(path)

    def mkdir(self, path: Any) -> None:
        self._do("mkdir", path)
        super().mkdir(path)


def live(root: str, diary: str, deeds: Sequence[str], last: int | None = None) -> None:
    """Do these deeds in the project, one after the other. The whole life of a process.

    Args:
        last: the operation on the disk at which it is killed.
    """
    descriptor = os.open(diary, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def say(word: str, *details: Any) -> None:
        line = json.dumps([time.monotonic(), word, *details]) + "\n"
        os.write(descriptor, line.encode())

    _settle_in(root, diary)
    disk = NotedDisk(say, last)
    try:
        for deed in deeds:
            say("begins", deed)
            DEEDS[deed](Project(Path(root), disk), say)
            say("ends", deed)
    except BaseException:
        say("error", traceback.format_exc())
        raise


def _settle_in(root: str, diary: str) -> None:
    """In the project's folder, with streams and temporary files that are the trial's own."""
    os.chdir(root)
    streams = os.open(f"{diary}.streams", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number in (1, 2):
        os.dup2(streams, number)
    tempfile.tempdir = os.path.dirname(diary)


class _Teller:
    """Writes every step into the diary, before lineal goes on."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def started(
        self, step: Any, asset: Any, decision: Any, attempt: int, expected: float | None
    ) -> None:
        self._say("started", asset.name)

    def waiting(self, asset: Any) -> None:
        self._say("waiting", asset.name)

    def moved(self, sources: Sequence[str]) -> None:
        self._say("moved", *sources)

    def retrying(self, step: Any, error: Any, attempt: int, of: int, pause: float) -> None:
        self._say("retrying", str(step))

    def stopping(self, running: Sequence[Any]) -> None:
        self._say("stopping")

    def tick(self) -> None:
        """Time passes."""

    def settled(self, reports: Any) -> None:
        self._say("told", [[r.step.asset, r.outcome, r.version] for r in reports])


def _materialize(project: Project, say: Say) -> None:
    run = project.materialize(
        announcer=_Teller(say), planned=lambda plan: say("planned", plan.has_work)
    )
    say("ran", run.id, run.outcome, {r.step.asset: [r.outcome, r.version] for r in run.steps})


def _ask(*words: str) -> Callable[[Project, Say], None]:
    def asked(project: Project, say: Say) -> None:
        code, out, err = command(str(project.root), *words)
        if code != 0:
            raise RuntimeError(f"lineal {words[0]} ended with {code}: {out}{err}")
        say("answered", out)

    return asked


def _compact(project: Project, say: Say) -> None:
    """Packs are small here, so that there is something to pack after a few runs."""
    say("packed", project.journal.compact(keep=3, size=4))


def _look(project: Project, say: Say) -> None:
    """What a later process sees: current versions, and whether anything is to do."""
    history = project.history()
    try:
        currents = history.currents()
    finally:
        history.close()
    say("current", {s.asset: m.content.digest for s, m in currents.items() if m.content})
    say("idle", not project.plan().has_work)


def _compare(project: Project, say: Say) -> None:
    """The catalog that was kept, and one made anew: rows of all tables, tables that differ."""
    with tempfile.TemporaryDirectory() as elsewhere:
        kept, anew = (_catalog(folder, project) for folder in (project.store, Path(elsewhere)))
    say("catalogs", sum(map(len, anew.values())), [t for t in anew if anew[t] != kept.get(t)])


def _catalog(folder: Path, project: Project) -> dict[str, list[Any]]:
    """Every table of the catalog in a folder, brought up to date from the project's journal."""
    from lineal.lineage.catalog import Catalog

    connection, note = Catalog(folder, project.journal).connect_for_questions()
    if note is not None:
        raise RuntimeError(note)
    with connection:
        names = connection.execute(
            "select table_name from duckdb_tables() where schema_name = 'lineage'"
        ).fetchall()
        return {
            name: connection.execute(f"from lineage.{name} order by all").fetchall()
            for (name,) in names
        }


DEEDS: dict[str, Callable[[Project, Say], None]] = {
    "materialize": _materialize,
    "sql": _ask("sql", QUESTION, "--json"),
    "rebuild": _ask("rebuild"),
    "compact": _compact,
    "fsck": _ask("fsck"),
    "look": _look,
    "compare": _compare,
}
