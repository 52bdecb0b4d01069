"""The journal folded into what planning needs: current, last and judged, kept between commands.

The folded state stands in `cache/facts-<scheme>.jsonl`: a header, then one fact a line, parsed only
when asked for. It is valid while the journal still holds the entry it was folded through; anything
else, damage included, and it is folded again from the first entry.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from lineal.assets.records import DEFAULT_ENVIRONMENT
from lineal.disk import Disk, keep, kept
from lineal.lineage.journal import Entry, Journal

_SCHEME = 1
_CHECKS_AT_ONCE = 10_000

StepKey = tuple[str, str, str | None]  # environment, asset, partition
Rank = tuple[int, int, int]  # number of its run, number of its entry, position


class Shown(NamedTuple):
    """What an environment shows for a step, and where it stands in the order of planning."""

    rank: Rank
    materialization: str
    line: bytes | None  # None: named by a publication long after it was made; found by the index


class State:
    """The journal through one entry, folded. Lines are facts as JSON, parsed by who asks."""

    def __init__(self) -> None:
        self.entry = 0
        self.digest = ""
        self.current: dict[StepKey, Shown] = {}
        self.last: dict[StepKey, bytes] = {}
        self.checks: dict[str, bytes] = {}
        self.accepted: list[tuple[str, str, str]] = []
        self.open_runs: dict[str, str] = {}  # run → environment, until it ended

    def fold(self, entry: Entry) -> None:
        """Take in the next entry."""
        made: dict[str, bytes] = {}
        for position, line in enumerate(entry.lines):
            raw = json.loads(line)
            match raw["fact"]:
                case "materialization":
                    made[raw["id"]] = line
                    environment = self.open_runs.get(raw["run"], DEFAULT_ENVIRONMENT)
                    self.last[environment, raw["asset"], raw.get("partition")] = line
                case "publication":
                    self._publish(raw, (_run_number(raw["run"]), entry.number, position), made)
                case "check_result":
                    self.checks[raw["fingerprint"]] = line
                case "run_started":
                    self.open_runs[raw["run"]] = raw["environment"]
                case "run_ended":
                    self.open_runs.pop(raw["run"], None)
                case "acceptance":
                    self.accepted.append((raw["asset"], raw["old_recipe"], raw["new_recipe"]))
        self.entry, self.digest = entry.number, entry.digest

    def _publish(self, raw: dict[str, Any], rank: Rank, made: dict[str, bytes]) -> None:
        step = (raw["environment"], raw["asset"], raw["partition"])
        shown = self.current.get(step)
        # A run planned earlier never overrides one planned later, whenever it ends.
        if shown is None or rank > shown.rank:
            name = raw["materialization"]
            line = made.get(name)
            if line is None:
                line = self._known_line(name, step)
            self.current[step] = Shown(rank, name, line)

    def _known_line(self, materialization: str, step: StepKey) -> bytes | None:
        shown, last = self.current.get(step), self.last.get(step)
        if shown is not None and shown.materialization == materialization:
            return shown.line
        if last is not None and json.loads(last)["id"] == materialization:
            return last
        return None

    def forget_superseded_checks(self) -> None:
        """Keep only the results that judged a content which is current or last of its step.

        Any other result is found by the index; this is only about how much a no-op reads.
        """
        kept = set()
        for line in [s.line for s in self.current.values()] + list(self.last.values()):
            raw = json.loads(line) if line else {}
            if raw.get("content"):
                kept.add((raw["asset"], raw.get("partition"), raw["content"]["digest"]))
        for fingerprint, line in list(self.checks.items()):
            raw = json.loads(line)
            if (raw["asset"], raw["partition"], raw["content"]) not in kept:
                del self.checks[fingerprint]


def _run_number(run: str) -> int:
    """`r42` → 42: runs are named by the number of the entry that started them."""
    return int(run[1:])


def catch_up(journal: Journal, cache: Path) -> State:
    """The journal folded through its newest entry; the checkpoint is saved when that is news."""
    path = _place(cache)
    state = _load(path)
    if state is None or not _still_holds(state, journal):
        state = State()
    before, most = state.entry, _CHECKS_AT_ONCE
    for entry in journal.entries(state.entry, state.digest or None):
        state.fold(entry)
        if len(state.checks) > most:  # memory stays that of what is shown, however long the past
            state.forget_superseded_checks()
            most = 2 * len(state.checks) + _CHECKS_AT_ONCE
    if state.entry > before:
        state.forget_superseded_checks()
        _save(state, path, journal.disk)
    return state


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
    fresh = State()
    for entry in journal.entries():
        if entry.number > saved.entry:
            break
        fresh.fold(entry)
        if len(fresh.checks) > len(saved.checks) + _CHECKS_AT_ONCE:
            fresh.checks = {f: line for f, line in fresh.checks.items() if f in saved.checks}
    # Checks of what is shown no more are forgotten, at one time or another.
    same = saved.checks.items() <= fresh.checks.items() and all(
        getattr(saved, name) == getattr(fresh, name)
        for name in ("current", "last", "accepted", "open_runs")
    )
    return None if same else f"`{path}` says other things than entries 1 to {saved.entry} do"


def _place(cache: Path) -> Path:
    return cache / f"facts-{_SCHEME}.jsonl"


def _still_holds(state: State, journal: Journal) -> bool:
    return journal.holds(state.entry, state.digest)


def _save(state: State, path: Path, disk: Disk) -> None:
    lines: dict[bytes, int] = {}

    def number(line: bytes | None) -> int | None:
        return None if line is None else lines.setdefault(line, len(lines))

    folded = {
        "scheme": _SCHEME,
        "entry": state.entry,
        "digest": state.digest,
        "current": [
            [*step, *shown.rank, shown.materialization, number(shown.line)]
            for step, shown in state.current.items()
        ],
        "last": [[*step, number(line)] for step, line in state.last.items()],
        "checks": {fingerprint: number(line) for fingerprint, line in state.checks.items()},
        "accepted": state.accepted,
        "open_runs": state.open_runs,
    }
    body = b"\n".join([json.dumps(folded, separators=(",", ":")).encode(), *lines])
    keep(path, body, disk)


def _load(path: Path) -> State | None:
    """The saved state, or None when there is none, it is damaged or of another scheme."""
    body = kept(path)
    if body is None:
        return None
    first, *lines = body.split(b"\n")
    folded = json.loads(first)
    state = State()
    state.entry, state.digest = folded["entry"], folded["digest"]
    for environment, asset, partition, run, entry, position, name, line in folded["current"]:
        shown = Shown((run, entry, position), name, None if line is None else lines[line])
        state.current[environment, asset, partition] = shown
    for environment, asset, partition, line in folded["last"]:
        state.last[environment, asset, partition] = lines[line]
    state.checks = {fingerprint: lines[line] for fingerprint, line in folded["checks"].items()}
    state.accepted = [(asset, old, new) for asset, old, new in folded["accepted"]]
    state.open_runs = folded["open_runs"]
    return state
