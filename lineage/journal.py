"""The journal: numbered, chained, immutable entries of facts; the only truth.

An entry is a file `journal/000000000042.jsonl`: a header line with its number and the digest of its
predecessor's file, one fact a line, and an end line with the number of lines and the digest of all
that stands before it. It is staged, synced and linked exclusively, so there is one total order
without a clock, and a gap, an edit or a torn file can be named.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from blake3 import blake3

from lineal.assets.errors import IntegrityError, StoreError
from lineal.assets.records import Fact
from lineal.disk import Disk, advice_for
from lineal.lineage.fact_json import from_json, to_json

__all__ = ["FORMAT", "Entry", "Journal", "from_json", "to_json"]

FORMAT = 1  # the format of everything below the store's folder
_NO_PREDECESSOR = "0" * 64


class Entry(NamedTuple):
    """One entry as it stands on disk: its number, the digest of its file, one JSON text a fact."""

    number: int
    digest: str
    lines: tuple[bytes, ...]
    previous: str


class Journal:
    """The entries below `<root>/journal`; `root` is the store's folder (`.lineal`).

    Nothing is created before the first append; reading where nothing is sees an empty journal.
    """

    def __init__(self, root: Path, disk: Disk | None = None):
        self.root = Path(root)
        self.disk = Disk() if disk is None else disk
        self._folder = self.root / "journal"
        self._head = 0  # a number known to exist; entries never go away
        self._head_digest = _NO_PREDECESSOR
        self._format_checked = False
        self._syncing = False
        self._broken: StoreError | None = None  # once an fsync failed

    # -------------------------------------------------------------------------------- writing

    def append(self, facts: Sequence[Fact]) -> int:
        """Write one durable entry after all others; returns its number."""
        lines = [_line(to_json(fact)) for fact in facts]
        return self._append(lambda _: lines)

    def start_run(self, facts: Callable[[str], Sequence[Fact]]) -> str:
        """Append the entry that starts a run: its number names the run. Returns the run's id."""
        number = self._append(lambda n: [_line(to_json(fact)) for fact in facts(f"r{n}")])
        return f"r{number}"

    def _append(self, make_lines: Callable[[int], list[bytes]]) -> int:
        if self._broken is not None:
            raise self._broken
        try:
            self._prepare()
            while True:
                number = self.head() + 1
                previous = self._digest_of_head(number - 1)
                # In this order: others may link both between the two looks.
                if self._exists(number + 1) and not self._exists(number):
                    raise self._gap(number)
                data = _seal(number, previous, make_lines(number))
                if self._link(number, data):
                    self._head, self._head_digest = number, blake3(data).hexdigest()
                    return number
        except OSError as error:
            refused = StoreError(
                f"the journal could not be written: {error.strerror or error}",
                where=os.fspath(error.filename2 or error.filename or self._folder),
                advice=advice_for(error),
            )
            if self._syncing:  # nobody knows what is on the disk: no file is synced a second time
                self._broken = refused
            raise refused from error

    def _digest_of_head(self, number: int) -> str:
        if number != self._head:
            # Read whole, so that nothing is ever chained to a damaged entry; and it must be as
            # durable as what is chained to it.
            self._head, self._head_digest = number, self.digest(number)
            self._sync([self._folder])
        return self._head_digest

    def _link(self, number: int, data: bytes) -> bool:
        """Make the bytes entry `number`, durably; False when that number is taken."""
        staged = self._stage(f"entry-{os.getpid()}-{os.urandom(8).hex()}", data)
        try:
            self.disk.link(staged, self.path(number))
        except FileExistsError:
            return False
        finally:
            self.disk.forget(staged)
        self._sync([self._folder])
        return True

    def _stage(self, name: str, data: bytes) -> Path:
        staged = self.root / "tmp" / name
        try:
            self.disk.create(staged, data)
            self._sync([staged])
        except OSError:
            self.disk.forget(staged)
            raise
        return staged

    def _sync(self, paths: Sequence[str | Path]) -> None:
        self._syncing = True
        self.disk.sync(paths)
        self._syncing = False

    def _prepare(self) -> None:
        """Create what is missing below the root, and refuse a format from the future."""
        if self._format_checked and self._head:
            return
        changed = [
            *self.disk.make_folders(self._folder),
            *self.disk.make_folders(self.root / "tmp"),
        ]
        self._sync(sorted(set(changed)))
        written = self.root / "format"
        if not written.exists():
            staged = self._stage(
                f"format-{os.getpid()}-{os.urandom(8).hex()}", f"{FORMAT}\n".encode()
            )
            with contextlib.suppress(FileExistsError):
                self.disk.link(staged, written)
            self.disk.forget(staged)
            self._sync([self.root])
        self._check_format()

    # -------------------------------------------------------------------------------- reading

    def path(self, number: int) -> Path:
        """Where entry `number` stands, or will."""
        return self._folder / f"{number:012d}.jsonl"

    def head(self, hint: int = 0) -> int:
        """The number of the newest entry, 0 when there is none.

        Looks at about 2·log₂(new entries) names, never at the whole folder. `hint`: a number that
        may exist; a wrong one costs time, not truth.
        """
        self._check_format()
        low = max(self._head, hint)
        if low and not self._exists(low):
            low = 0  # the journal was replaced by another
            self._head, self._head_digest = 0, _NO_PREDECESSOR
        step = 1
        while self._exists(low + step):
            low += step
            step *= 2
        while step > 1:
            step //= 2
            if self._exists(low + step):
                low += step
        return low

    def read(self, after: int = 0) -> Iterator[tuple[int, list[Fact]]]:
        """All facts of the entries after `after`, in order, the chain verified.

        Raises IntegrityError naming the file that is missing, cut short or changed.
        """
        for entry in self.entries(after):
            yield entry.number, self.facts(entry)

    def facts(self, entry: Entry) -> list[Fact]:
        """The facts of an entry."""
        try:
            return [from_json(json.loads(line)) for line in entry.lines]
        except IntegrityError as error:
            where = str(self.path(entry.number))
            raise IntegrityError(error.message, where=where, advice=error.advice) from error

    def entries(self, after: int = 0, digest: str | None = None) -> Iterator[Entry]:
        """The entries after `after`, in order, the chain verified; see `read`.

        `digest`: that of entry `after`, when the caller has just seen it.
        """
        self._check_format()
        previous = self.digest(after) if digest is None else digest
        number = after + 1
        while True:
            try:
                entry = self.entry(number)
            except FileNotFoundError:
                self._check_no_gap(number, whole=after == 0)
                return
            if entry.previous != previous:
                raise self._damaged(
                    number, f"does not follow entry {number - 1}: one of the two was replaced"
                )
            yield entry
            previous = entry.digest
            number += 1

    def digest(self, number: int) -> str:
        """The digest of the file of an entry; of entry 0, what the first one is chained to."""
        if number == 0:
            return _NO_PREDECESSOR
        try:
            return self.entry(number).digest
        except FileNotFoundError:
            raise self._damaged(number, "is missing") from None

    def entry(self, number: int) -> Entry:
        """One entry by itself, its seal verified, not its chain. FileNotFoundError when missing."""
        with self.path(number).open("rb") as file:
            data = file.read()
        return self._unseal(number, data)

    def _unseal(self, number: int, data: bytes) -> Entry:
        lines = data.split(b"\n")
        if lines.pop() != b"" or len(lines) < 2:
            raise self._damaged(number, "is cut short: its end line is missing")
        header, end = _object(lines[0]), _object(lines[-1])
        if "end" not in end:
            raise self._damaged(number, "is cut short: its end line is missing")
        if end["end"] != len(lines):
            raise self._damaged(number, f"has {len(lines)} lines, not the {end['end']} it had")
        hasher = blake3(data[: -len(lines[-1]) - 1])
        if end.get("digest") != hasher.hexdigest():
            raise self._damaged(number, "was changed after it was written")
        if header.get("entry") != number:
            raise self._damaged(number, f"says that it is entry {header.get('entry')}")
        hasher.update(lines[-1] + b"\n")
        return Entry(number, hasher.hexdigest(), tuple(lines[1:-1]), header["previous"])

    # --------------------------------------------------------------------------------- proofs

    def _check_format(self) -> None:
        if self._format_checked:
            return
        path = self.root / "format"
        try:
            text = path.read_text("ascii", errors="replace").strip()
        except FileNotFoundError:
            return  # nothing was ever written here
        if not text.isdecimal():
            raise IntegrityError(
                f"the format of the store reads {text[:20]!r}, which is no number",
                where=str(path),
                advice=f"write `{FORMAT}` into it if this is a store of this lineal",
            )
        if int(text) > FORMAT:
            raise IntegrityError(
                f"the store has format {text}, written by a newer lineal; this one knows {FORMAT}",
                where=str(path),
                advice="update lineal",
            )
        self._format_checked = True

    def _exists(self, number: int) -> bool:
        return os.path.lexists(self.path(number))

    def _check_no_gap(self, missing: int, *, whole: bool) -> None:
        """Raise if an entry stands beyond a missing one; `whole` looks at every name there is."""
        if self._exists(missing):
            return  # linked a moment ago: the next reader sees it
        if whole:
            try:
                names = os.listdir(self._folder)  # noqa: PTH208 (a million names)
            except FileNotFoundError:
                return
            beyond = any(name[:12] > f"{missing:012d}" for name in names if name[:12].isdecimal())
        else:
            beyond = self._exists(missing + 1)
        # An entry and its successor may both have been linked since the first look.
        if beyond and not self._exists(missing):
            raise self._gap(missing)

    def _gap(self, number: int) -> IntegrityError:
        return self._damaged(number, "is missing, but later ones exist")

    def _damaged(self, number: int, what: str) -> IntegrityError:
        return IntegrityError(
            f"entry {number} of the journal {what}",
            where=str(self.path(number)),
            advice="restore this file from a backup; without one, move it and all later entries "
            f"out of the folder: what entries 1 to {number - 1} say still holds, the rest is "
            "made again",
        )


def _line(value: dict[str, Any]) -> bytes:
    # ASCII only: text with lone surrogates or odd line separators survives, a line stays a line.
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _seal(number: int, previous: str, facts: Sequence[bytes]) -> bytes:
    header = _line({"entry": number, "previous": previous})
    body = b"\n".join([header, *facts]) + b"\n"
    end = {"end": len(facts) + 2, "digest": blake3(body).hexdigest()}
    return body + _line(end) + b"\n"
