"""Where in the journal a fact stands, found by what one knows of it: a SQLite file in `cache/`.

It holds places only, never facts, and is brought up to date from the journal when first asked; a
damaged, foreign or missing one is built anew, and where none can be written it lives in memory.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from lineal.lineage.journal import Journal

_SCHEME = 1  # in the file's name: another scheme never meets this file

Kind = Literal[
    "fingerprint", "materialization", "check", "recipe", "environment", "asset", "run", "of_run",
    "version", "read_from", "reuse_of",
]  # fmt: skip


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
    """An index of the journal through the entry it was asked for; open until `close`."""

    def __init__(self, journal: Journal, cache: Path):
        self._journal = journal
        self._path = cache / f"places-{_SCHEME}.sqlite"
        self._connection: sqlite3.Connection | None = None
        self._through = -1

    def find(self, kind: Kind, key: str, through: int) -> list[Place]:
        """The places of all facts with this key in entries up to `through`, newest first."""
        if through == 0:
            return []
        return self._ask(
            "select entry, line from place where kind = ? and key = ? and entry <= ? "
            "order by entry desc, line desc",
            (kind, key, through),
            through,
        )

    def find_prefix(self, kind: Kind, prefix: str, through: int) -> list[Place]:
        """As `find`, for every key that begins so."""
        return self._ask(
            "select entry, line from place where kind = ? and key >= ? and key < ? "
            "and entry <= ? order by entry desc, line desc",
            (kind, prefix, prefix + "\U0010ffff", through),
            through,
        )

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, query: str, arguments: tuple[Any, ...], through: int) -> list[Place]:
        try:
            rows = self._ready(through).execute(query, arguments).fetchall()
        except sqlite3.DatabaseError:
            # Damaged or locked for too long: the answer comes from a new one in memory.
            self._discard()
            self._connection = self._fill(_connect(":memory:"))
            rows = self._connection.execute(query, arguments).fetchall()
        return [Place(entry, line) for entry, line in rows]

    def _ready(self, through: int) -> sqlite3.Connection:
        if self._connection is not None and self._through >= through:
            return self._connection
        self.close()
        if not self._path.parent.is_dir():
            with contextlib.suppress(OSError):
                self._path.parent.mkdir()
        try:
            self._connection = self._fill(_connect(self._path))
        except sqlite3.OperationalError:
            self._connection = self._fill(_connect(":memory:"))
        except sqlite3.DatabaseError:
            self._discard()
            self._connection = self._fill(_connect(self._path))
        return self._connection

    def _discard(self) -> None:
        self.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _fill(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        """Add what the journal holds beyond the index, in one transaction."""
        try:
            connection.execute("begin immediate")
            connection.execute(
                "create table if not exists place (kind text, key text, entry integer, "
                "line integer, primary key (kind, key, entry, line)) without rowid"
            )
            connection.execute("create table if not exists through (entry integer, digest text)")
            after = self._known(connection)
            for entry in self._journal.entries(after):
                connection.executemany(
                    "insert or ignore into place values (?, ?, ?, ?)",
                    [
                        (kind, key, entry.number, position)
                        for position, line in enumerate(entry.lines)
                        for kind, key in keys_of(json.loads(line))
                    ],
                )
                self._through, digest = entry.number, entry.digest
            if self._through > after:
                connection.execute("delete from through")
                connection.execute("insert into through values (?, ?)", (self._through, digest))
            connection.execute("commit")
        except BaseException:
            connection.close()
            raise
        return connection

    def _known(self, connection: sqlite3.Connection) -> int:
        """The entry the index stands at; 0, and emptied, when it is of another journal."""
        row = connection.execute("select entry, digest from through").fetchone()
        self._through = 0
        if row is None:
            connection.execute("delete from place")
            return 0
        number, digest = row
        if not self._journal.path(number).exists() or self._journal.digest(number) != digest:
            connection.execute("delete from place")
            connection.execute("delete from through")
            return 0
        self._through = number
        return int(number)


def _connect(path: Path | str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    connection.execute("pragma synchronous = normal")
    return connection
