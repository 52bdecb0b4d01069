"""Where in the journal a fact stands, found by what one knows of it: a SQLite file in `cache/`.

It holds places only, never facts, and is brought up to date from the journal when first asked; a
damaged, foreign or missing one is built anew, and where none can be written it lives in memory.
Its bytes are proved by a seal beside it. Reading a large one whole takes longer than most questions
do, so what proves itself is asked without: a place by the fact that stands there.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lineal.disk import break_seal, seal, seal_of, state_of_seal
from lineal.lineage.journal import Journal

_SCHEME = 1  # in the file's name: another scheme never meets this file
_SMALL = 1 << 24
_PATIENCE = 30  # seconds for another process to finish

Kind = Literal[
    "fingerprint", "materialization", "check", "recipe", "environment", "asset", "run", "of_run",
    "version", "read_from", "reuse_of",
]  # fmt: skip


# A fact of these kinds is the only one with its key, or as good as any other: who finds it has the
# proof. That there is none, and any other answer, is believed of a whole file only; but a
# computation that is not found is just made again.
_PROVED_BY_FACT = frozenset({"fingerprint", "materialization", "recipe", "environment"})
_MISSED_AT_NO_HARM = frozenset({"fingerprint"})


class Place(NamedTuple):
    """A fact's place in the journal: its entry's number, its position among the facts there."""

    entry: int
    line: int


def keys_of(raw: dict[str, Any]) -> Iterator[tuple[Kind, str]]:
    """All (kind, key) under which a fact, as JSON, is found."""
    match raw["fact"]:
        case "materialization":
            yield "materialization", raw["id"]
            yield "of_run", raw["run"]
            content = raw.get("content")
            if content is not None:
                yield "fingerprint", raw["fingerprint"]
                yield "version", f"{raw['asset']}@{content['digest']}"
            for used in raw.get("inputs", ()):
                yield "read_from", used["materialization"]
            if raw.get("origin", raw["id"]) not in ("", raw["id"]):
                yield "reuse_of", raw["origin"]
        case "check_result":
            yield "check", raw["fingerprint"]
        case "recipe":
            yield "recipe", raw["digest"]
        case "environment":
            yield "environment", raw["digest"]
        case "asset":
            yield "asset", raw["asset"]
        case "run_started" | "run_ended":
            yield "run", raw["run"]


class Index:
    """An index of the journal through the entry it was asked for; open until `close`.

    `small`: bytes up to which the file is read whole whenever it is opened.
    """

    def __init__(self, journal: Journal, cache: Path, small: int = _SMALL):
        self._journal = journal
        self._small = small
        self._path = cache / f"places-{_SCHEME}.sqlite"
        self._lock = journal.root / "locks" / "places.lock"
        self._connection: sqlite3.Connection | None = None
        self._through = -1
        self._is_whole = False  # its bytes are known to be those that were written

    def find(self, kind: Kind, key: str, through: int) -> list[Place]:
        """The places of all facts with this key in entries up to `through`, newest first.

        The caller proves each by the fact that stands there, and calls `distrust` if it is another.
        """
        if through == 0:
            return []
        query = (
            "select entry, line from place where kind = ? and key = ? and entry <= ? "
            "order by entry desc, line desc"
        )
        found = self._ask(query, (kind, key, through), through, whole=kind not in _PROVED_BY_FACT)
        if not found and not self._is_whole and kind not in _MISSED_AT_NO_HARM:
            found = self._ask(query, (kind, key, through), through, whole=True)
        return found

    def find_prefix(self, kind: Kind, prefix: str, through: int) -> list[Place]:
        """As `find`, for every key that begins so."""
        if through == 0:
            return []
        return self._ask(
            "select entry, line from place where kind = ? and key >= ? and key < ? "
            "and entry <= ? order by entry desc, line desc",
            (kind, prefix, prefix + "\U0010ffff", through),
            through,
            whole=True,
        )

    def distrust(self) -> None:
        """A place was not that of the fact: the file is damaged, the next answer from a new one."""
        self.close()
        with contextlib.suppress(sqlite3.Error, OSError), self._locked():
            self._discard()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def damage(self) -> str | None:
        """What is wrong with the file, in a sentence; None if it is whole, open or missing.

        Changes nothing. Raises IntegrityError when the journal does not hold together.
        """
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError, sqlite3.Error):  # where nothing can be written
                stack.enter_context(self._locked())
            return self._damage()

    def _damage(self) -> str | None:
        state = state_of_seal(self._path)
        if state == "open" or not self._path.exists():
            return None
        if state == "damaged":
            return f"`{self._path}` is not what was written"
        with contextlib.closing(_connect(self._path)) as kept:
            through = self._stands(kept)
        if through is None:  # of another journal: nobody believes it
            return None
        fresh = Index(self._journal, self._path.parent)
        with contextlib.closing(fresh._fill(_connect(":memory:"), through)) as connection:
            connection.execute("attach ? as kept", (str(self._path),))
            for one, other in (("main", "kept"), ("kept", "main")):
                query = f"select * from {one}.place except select * from {other}.place limit 1"
                if connection.execute(query).fetchone() is not None:
                    return f"`{self._path}` says other things than entries 1 to {through} do"
        return None

    # ------------------------------------------------------------------------------------- within

    def _ask(
        self, query: str, arguments: tuple[Any, ...], through: int, *, whole: bool
    ) -> list[Place]:
        for _ in range(2):
            try:
                rows = self._ready(through, whole=whole).execute(query, arguments).fetchall()
            except sqlite3.DatabaseError:
                self.distrust()
                continue
            if all(type(number) is int for row in rows for number in row):
                return [Place(entry, line) for entry, line in rows]
            self.distrust()
        # Damaged again, or locked for too long: the answer comes from one in memory.
        rows = self._in_memory().execute(query, arguments).fetchall()
        return [Place(entry, line) for entry, line in rows]

    def _in_memory(self) -> sqlite3.Connection:
        self.close()
        self._connection = self._fill(_connect(":memory:"))
        self._is_whole = True
        return self._connection

    def _ready(self, through: int, *, whole: bool) -> sqlite3.Connection:
        proved = self._is_whole or not whole
        if self._connection is not None and self._through >= through and proved:
            return self._connection
        self.close()
        try:
            with self._locked():
                self._connection = self._open(through, whole=whole)
            return self._connection
        except (OSError, sqlite3.OperationalError):  # it can't be written, or is locked for long
            return self._in_memory()

    def _open(self, through: int, *, whole: bool) -> sqlite3.Connection:
        """The file, holding all entries up to `through`: as it is, filled up, or built anew."""
        self._is_whole = False
        if self._path.exists():
            self._check(whole=whole or self._path.stat().st_size <= self._small)
        if self._path.exists():
            connection = _connect(self._path)
            try:
                self._through = self._stands(connection) or 0
                if self._through >= through:
                    return connection
            except sqlite3.DatabaseError:
                self._is_whole = False
            connection.close()
            self._check(whole=True)  # before something is added, and all of it sealed
        self._journal.disk.make_folders(self._path.parent)
        break_seal(self._path, self._journal.disk)
        self._fill(_connect(self._path)).close()
        seal(self._path, self._journal.disk)
        self._is_whole = True
        return _connect(self._path)

    def _check(self, *, whole: bool) -> None:
        """Remove the file if it has no seal, so that its writer died; `whole`: or a wrong one."""
        if whole and not self._is_whole:
            self._is_whole = state_of_seal(self._path) == "whole"
        if not (self._is_whole if whole else Path(seal_of(self._path)).exists()):
            self._discard()

    def _discard(self) -> None:
        break_seal(self._path, self._journal.disk)
        with contextlib.suppress(FileNotFoundError):
            self._journal.disk.unlink(self._path)  # what SQLite left beside it, SQLite drops

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time fills, seals or removes the file; the kernel ends a dead one's.

        SQLite's lock of an empty file beside: the lock of the file itself would end when its bytes
        are read for the seal.
        """
        self._journal.disk.make_folders(self._lock.parent)
        with contextlib.closing(_connect(self._lock)) as guard:
            guard.execute("pragma journal_mode = memory")
            guard.execute("begin exclusive")
            yield

    def _fill(self, connection: sqlite3.Connection, last: int | None = None) -> sqlite3.Connection:
        """Add what the journal holds beyond the index, in one transaction."""
        try:
            connection.execute("begin immediate")
            connection.execute(
                "create table if not exists place (kind text, key text, entry integer, "
                "line integer, primary key (kind, key, entry, line)) without rowid"
            )
            connection.execute("create table if not exists through (entry integer, digest text)")
            after = self._stands(connection)
            if after is None:
                connection.execute("delete from place")
            self._through, digest = after or 0, ""
            for entry in self._journal.entries(self._through):
                if last is not None and entry.number > last:
                    break
                connection.executemany(
                    "insert or ignore into place values (?, ?, ?, ?)",
                    [
                        (kind, key, entry.number, position)
                        for position, line in enumerate(entry.lines)
                        for kind, key in keys_of(json.loads(line))
                    ],
                )
                self._through, digest = entry.number, entry.digest
            if digest:
                connection.execute("delete from through")
                connection.execute("insert into through values (?, ?)", (self._through, digest))
            connection.execute("commit")
        except BaseException:
            connection.close()
            raise
        return connection

    def _stands(self, connection: sqlite3.Connection) -> int | None:
        """The entry the index stands at; None when it is of another journal, or of none."""
        row = connection.execute("select entry, digest from through").fetchone()
        if row is None or type(row[0]) is not int:
            return None
        number, digest = row
        return number if self._journal.holds(number, digest) else None


def _connect(path: Path | str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
    connection.execute("pragma synchronous = normal")
    return connection
