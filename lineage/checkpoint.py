"""The journal folded into what planning needs: current, last and judged, kept between commands.

The folded state stands in `cache/facts-<scheme>.jsonl`: a header, then its parts, by column, with
the facts' own lines, parsed only when asked for. It is valid while the journal still holds the
entry it was folded through; anything else, damage included, and it is folded again from the first
entry.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from lineal.assets.records import DEFAULT_ENVIRONMENT, Brief
from lineal.disk import Disk, keep_pieces, kept_pieces
from lineal.lineage.journal import Entry, Journal
from lineal.lineage.judged import Judged, Result
from lineal.lineage.packed import Packed
from lineal.lineage.shelf import Rank, Row, Shelf, brief_of

_SCHEME = 4
_CHECKS_AT_ONCE = 10_000
_LARGE = 1 << 24  # bytes of a checkpoint that takes long to write
_MANY = 64  # entries, or one in so many bytes, for which that is done
_HEADER = 16  # bytes: the length of the header in decimal, and a line end

# Environment, asset; None stands for all assets without partitions, who share a shelf.
ShelfKey = tuple[str, str | None]


class StepKey(NamedTuple):
    """A step in an environment."""

    environment: str
    asset: str
    partition: str | None

    @property
    def shelf(self) -> ShelfKey:
        return self.environment, None if self.partition is None else self.asset

    @property
    def row(self) -> str:
        return self.asset if self.partition is None else self.partition


class State:
    """The journal through one entry, folded. Lines are facts as JSON, parsed by who asks."""

    def __init__(self) -> None:
        self.entry = 0
        self.digest = ""
        self.shelves: dict[ShelfKey, Shelf] = {}
        self.checks = Judged()
        self.accepted: list[tuple[str, str, str]] = []
        self.open_runs: dict[str, str] = {}  # run → environment, until it ended
        self.registries: list[bytes] = []  # the lines of all facts of registries, oldest first
        self.bytes = 0  # of the checkpoint that it was read from

    # ------------------------------------------------------------------------------------- asking

    def shown(self, step: StepKey) -> tuple[str, bytes | None]:
        """The materialization an environment shows, or an empty text; its line, if it is known.

        It is not when it was published long after it was made; the index finds it.
        """
        shelf = self.shelves.get(step.shelf)
        return ("", None) if shelf is None else shelf.shown(step.row)

    def last(self, step: StepKey) -> bytes | None:
        """The line of the last attempt at a step."""
        shelf = self.shelves.get(step.shelf)
        return None if shelf is None else shelf.last(step.row)

    def showing(self, environment: str, asset: str) -> dict[str | None, Brief | None]:
        """All that is shown of an asset, by partition; None where the line is not known."""
        found: dict[str | None, Brief | None] = {}
        shelf = self.shelves.get((environment, asset))
        if shelf is not None:
            found.update(shelf.showing())
        whole = self.shelves.get((environment, None))
        if whole is not None and whole.shown(asset)[0]:
            found[None] = whole.row(asset).brief
        return found

    def tried(self, environment: str, asset: str) -> set[str]:
        """The partitions whose last attempt is another than what is shown."""
        shelf = self.shelves.get((environment, asset))
        return set() if shelf is None else shelf.tried()

    def retired(self, environment: str, asset: str) -> dict[str | None, bytes]:
        """The retirements of an asset that count, by partition."""
        shelf = self.shelves.get((environment, asset))
        found: dict[str | None, bytes] = {}
        if shelf is not None:
            found.update(shelf.retired())
        line = self.row(StepKey(environment, asset, None)).retired
        return found if line is None else {**found, None: line}

    def steps(self, environment: str | None = None) -> Iterator[StepKey]:
        """Every step of which something is known, in an environment or in all."""
        for (of, asset), shelf in self.shelves.items():
            if environment in (None, of):
                for key in shelf.known():
                    yield StepKey(of, key, None) if asset is None else StepKey(of, asset, key)

    def row(self, step: StepKey) -> Row:
        """All that is known of a step."""
        shelf = self.shelves.get(step.shelf)
        return Row() if shelf is None else shelf.row(step.row)

    # ------------------------------------------------------------------------------------ folding

    def fold(self, entry: Entry) -> None:
        """Take in the next entry."""
        made: dict[str, tuple[bytes, Brief | None]] = {}
        for position, line in enumerate(entry.lines):
            raw = json.loads(line)
            match raw["fact"]:
                case "materialization":
                    made[raw["id"]] = line, brief_of(raw)
                    environment = self.open_runs.get(raw["run"], DEFAULT_ENVIRONMENT)
                    step = StepKey(environment, raw["asset"], raw.get("partition"))
                    self._put(step, self.row(step)._replace(last=line))
                case "publication":
                    self._publish(raw, (_run_number(raw["run"]), entry.number, position), made)
                case "retirement":
                    self._retire(raw, (_run_number(raw["run"]), entry.number, position), line)
                case "check_result":
                    self.checks.add(raw, line)
                case "run_started":
                    self.open_runs[raw["run"]] = raw["environment"]
                case "run_ended":
                    self.open_runs.pop(raw["run"], None)
                case "registered" | "tagged" | "hold" | "decided" | "promotion":
                    self.registries.append(line)
                case "acceptance":
                    self.accepted.append((raw["asset"], raw["old_recipe"], raw["new_recipe"]))
        self.entry, self.digest = entry.number, entry.digest

    def _put(self, step: StepKey, row: Row) -> None:
        self.shelves.setdefault(step.shelf, Shelf()).changed[step.row] = row

    # A run planned earlier never overrides one planned later, whenever it ends.

    def _publish(
        self, raw: dict[str, Any], rank: Rank, made: dict[str, tuple[bytes, Brief | None]]
    ) -> None:
        step = StepKey(raw["environment"], raw["asset"], raw["partition"])
        row = self.row(step)
        if rank > row.rank:
            name = raw["materialization"]
            line, brief = made.get(name) or _known(row, name)
            shown = row._replace(rank=rank, materialization=name, brief=brief, shown=line)
            self._put(step, shown._replace(retired=None))

    def _retire(self, raw: dict[str, Any], rank: Rank, line: bytes) -> None:
        step = StepKey(raw["environment"], raw["asset"], raw["partition"])
        row = self.row(step)
        if rank > row.rank:
            self._put(step, Row(rank, retired=line, last=row.last))

    def forget_superseded_checks(self) -> None:
        """Keep only the results that judged a content which is current or last of its step.

        Any other result is found by the index; this is only about how much a no-op reads.
        """
        environments = {environment for environment, _ in self.shelves}

        def matters(result: Result) -> bool:
            return any(
                result.content in _contents(self.row(StepKey(e, result.asset, result.partition)))
                for e in environments
            )

        changed = {
            (key, None) if asset is None else (asset, key)
            for (_, asset), shelf in self.shelves.items()
            for key in shelf.changed
        }
        self.checks.forget(changed, matters)


def _known(row: Row, materialization: str) -> tuple[bytes | None, Brief | None]:
    """The line of a materialization that was recorded earlier, if it is at hand."""
    if row.materialization == materialization:
        return row.shown, row.brief
    if row.last is not None:
        raw = json.loads(row.last)
        if raw["id"] == materialization:
            return row.last, brief_of(raw)
    return None, None


def _contents(row: Row) -> set[str]:
    """The contents that are shown, or were tried last."""
    known = [row.brief]
    if row.last is not None and row.last is not row.shown:
        known.append(brief_of(json.loads(row.last)))
    return {brief.content for brief in known if brief is not None}


def _run_number(run: str) -> int:
    """`r42` → 42: runs are named by the number of the entry that started them."""
    return int(run[1:])


# ------------------------------------------------------------------------------------------- kept


def catch_up(journal: Journal, cache: Path) -> State:
    """The journal folded through its newest entry; what is new is saved, if it is worth it."""
    path = _place(cache)
    state = _load(path)
    if state is None or not _still_holds(state, journal):
        state = State()
    before, most, news = state.entry, _CHECKS_AT_ONCE, 0
    for entry in journal.entries(state.entry, state.digest or None):
        state.fold(entry)
        news += len(entry.data)
        if state.checks.news > most:  # memory stays that of what is shown, however long the past
            state.forget_superseded_checks()
            most = 2 * state.checks.news + _CHECKS_AT_ONCE
    if _is_worth_saving(state, state.entry - before, news):
        state.forget_superseded_checks()
        _save(state, path, journal.disk)
    return state


def _is_worth_saving(state: State, entries: int, news: int) -> bool:
    """A few entries are folded again sooner than a large checkpoint is written."""
    if state.bytes <= _LARGE:
        return entries > 0
    return entries >= _MANY or news >= state.bytes // _MANY


def seen_through(cache: Path) -> int:
    """The entry a saved checkpoint stands at, whatever the journal says; 0 without one."""
    state = _load(_place(cache))
    return 0 if state is None else state.entry


def damage(journal: Journal, cache: Path) -> str | None:
    """What is wrong with the saved checkpoint, in a sentence; None if it is whole, or missing.

    Changes nothing. Raises IntegrityError when the journal does not hold together.
    """
    path = _place(cache)
    saved = _load(path)
    if saved is None:
        return f"`{path}` is not what was written" if path.exists() else None
    if not _still_holds(saved, journal):  # of another journal: nobody believes it
        return None
    known = saved.checks.fingerprints()
    fresh, most = State(), len(known) + _CHECKS_AT_ONCE
    for entry in journal.entries():
        if entry.number > saved.entry:
            break
        fresh.fold(entry)
        if fresh.checks.news > most:
            fresh.checks.keep_only(known)
    # Checks of what is shown no more are forgotten, at one time or another.
    results = dict(fresh.checks.items())
    same = (
        all(results.get(key) == result for key, result in saved.checks.items())
        and set(saved.steps()) == set(fresh.steps())
        and all(saved.row(step) == fresh.row(step) for step in fresh.steps())
        and (saved.accepted, saved.open_runs) == (fresh.accepted, fresh.open_runs)
        and saved.registries == fresh.registries
    )
    return None if same else f"`{path}` says other things than entries 1 to {saved.entry} do"


def _place(cache: Path) -> Path:
    return cache / f"facts-{_SCHEME}.jsonl"


def _still_holds(state: State, journal: Journal) -> bool:
    return journal.holds(state.entry, state.digest)


def _save(state: State, path: Path, disk: Disk) -> None:
    checks = state.checks.written()
    shelves = {key: shelf.written() for key, shelf in state.shelves.items()}
    folded = {
        "scheme": _SCHEME,
        "entry": state.entry,
        "digest": state.digest,
        "accepted": state.accepted,
        "open_runs": state.open_runs,
        "registries": [each.decode("ascii") for each in state.registries],
        "checks": checks.lengths,
        "shelves": [[*key, written.lengths] for key, written in shelves.items()],
    }
    header = json.dumps(folded, separators=(",", ":")).encode("ascii") + b"\n"
    length = f"{len(header):{_HEADER - 1}d}\n".encode("ascii")
    parts = chain.from_iterable(written.pieces for written in (checks, *shelves.values()))
    keep_pieces(path, chain((length, header), parts), disk)


def _load(path: Path) -> State | None:
    """The saved state, or None when there is none, it is damaged or of another scheme."""
    pieces = kept_pieces(path)
    if pieces is None:
        return None
    begin = _HEADER + int(pieces.read(0, _HEADER))
    folded = json.loads(pieces.read(_HEADER, begin))
    state = State()
    state.entry, state.digest = folded["entry"], folded["digest"]
    state.accepted = [(asset, old, new) for asset, old, new in folded["accepted"]]
    state.open_runs = folded["open_runs"]
    state.registries = [each.encode("ascii") for each in folded["registries"]]
    checks = Packed(pieces, begin, Judged.COLUMNS, folded["checks"])
    state.checks = Judged(checks)
    begin = checks.end
    for environment, asset, lengths in folded["shelves"]:
        packed = Packed(pieces, begin, Shelf.COLUMNS, lengths)
        state.shelves[environment, asset] = Shelf(packed)
        begin = packed.end
    state.bytes = begin
    return state
