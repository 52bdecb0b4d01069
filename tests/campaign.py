"""Random edits of a generated project, each held against the oracle: nothing missed, nothing extra.

    python -m tests.campaign --edits 2000 --seed 7

Each edit is planned, materialized, compared with a full recomputation through every reader, and
materialized again, which must do and write nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from tests.generated_project import Edit, Project, generated
from tests.readers import (
    LINEAL,
    Shown,
    difference,
    is_table,
    plain,
    queried_faults,
    read_slice,
    snapshot,
)
from tests.warm import CallFailed, Warm


class Fault(NamedTuple):
    """Something lineal did that it should not have, or did not do."""

    kind: str
    what: str
    after: str


class Campaign:
    """One generated project under random edits; `faults` gathers what went wrong."""

    def __init__(self, seed: int, folder: Path, oracle: Warm, lineal: Warm):
        self.rng = random.Random(seed)
        self.seed = seed
        self.folder = folder / "project"
        self.oracle = oracle
        self.lineal = lineal
        self.project: Project = generated(seed)
        self.expected: Shown = {}
        self.faults: list[Fault] = []
        self.counts: Counter[str] = Counter()
        self._undo: dict[str, int] | None = None
        self._after = "the first run"
        self._threads = ThreadPoolExecutor(1)

    def start(self) -> None:
        self.folder.mkdir(parents=True)
        self.project.write(self.folder)
        self._round(None)

    def edit(self) -> None:
        """One random edit, and everything that must hold after it."""
        edit = self._make_edit()
        self.counts[edit.kind] += 1
        self._after = (
            f"seed {self.seed}, edit {sum(self.counts.values())}: {edit.kind}: {edit.what}"
        )
        self._round(edit)

    # ---------------------------------------------------------------------------------- editing

    def _make_edit(self) -> Edit:
        kind = self.rng.choices(
            ["slot", "undo", "touch", "move", "cache", "several"], [80, 8, 4, 3, 2, 3]
        )[0]
        if kind == "undo" and self._undo is not None:
            self.project.state, self._undo = self._undo, None
            self.project.write(self.folder)
            return Edit("the last edit undone", "undo", frozenset(self.project.reads), False)
        if kind == "touch":
            for file in self.folder.rglob("*"):
                if ".lineal" not in file.parts and file.is_file():
                    os.utime(file)
            return Edit("every file touched", "cosmetic", frozenset(), True)
        if kind == "move":
            new = self.folder.with_name(f"moved{sum(self.counts.values())}")
            self.folder.rename(new)
            self.folder = new
            return Edit("project folder moved", "cosmetic", frozenset(), True)
        if kind == "cache":
            shutil.rmtree(self.folder / ".lineal" / "cache", ignore_errors=True)
            return Edit("cache/ deleted", "cosmetic", frozenset(), True)
        return self._move_slots(2 if kind == "several" else 1)

    def _move_slots(self, count: int) -> Edit:
        self._undo = dict(self.project.state)
        edits = [self.project.edit(self.rng) for _ in range(count)]
        same_second = self.rng.random() < 0.5
        self.project.write(self.folder, same_second=same_second)
        if count == 1:
            return edits[0]
        worst = max(
            (e.kind for e in edits), key=["cosmetic", "check", "unreached", "changing"].index
        )
        reached = frozenset[str]().union(*(e.reached for e in edits))
        return Edit("several: " + " and ".join(e.what for e in edits), worst, reached, False)

    # --------------------------------------------------------------------------------- checking

    def _fault(self, kind: str, what: str) -> None:
        self.faults.append(Fault(kind, what, self._after))

    def _json(self, *words: str) -> Any:
        code, out, err = self.lineal.call(
            "tests.readers:command", str(self.folder), *words, "--json"
        )
        if code != 0:
            raise CallFailed(f"lineal {' '.join(words)} ended with {code}\n{out}\n{err}")
        return json.loads(out)

    def _round(self, edit: Edit | None) -> None:
        try:
            future = self._threads.submit(
                self.oracle.call, "tests.oracle:compute", str(self.folder)
            )
            plan = self._json("plan")
            expected = future.result()
            run = self._json("materialize")
            self._compare_decisions(edit, plan, run, expected)
            self.expected = expected
            self._compare_readers()
            self._run_again()
        except CallFailed as failure:
            self._fault("error", str(failure))

    def _compare_decisions(self, edit: Edit | None, plan: Any, run: Any, expected: Shown) -> None:
        verdicts = {s["asset"]: s["verdict"] for s in plan["steps"]}
        outcomes = {s["asset"]: s["outcome"] for s in run["steps"]}
        if set(outcomes) != set(expected) or set(verdicts) != set(expected):
            self._fault("steps", f"{set(expected) ^ set(outcomes)} {set(expected) ^ set(verdicts)}")
            return
        self._compare_plan(edit, verdicts, outcomes)
        worked = {asset for asset, outcome in outcomes.items() if outcome != "fresh"}
        if edit is None:
            if worked != set(expected):
                self._fault("first run", f"did not make {set(expected) - worked}")
            return
        reasons = {s["asset"]: (s["outcome"], s["reasons"]) for s in run["steps"]}
        allowed = self._allowed(edit, expected)
        for asset in sorted(worked - allowed):
            self._fault("false staleness", f"{asset} {reasons[asset]}")
        if edit.kind == "changing" and edit.certain:
            for asset in sorted(edit.reached - worked):
                self._fault("missed staleness", f"{asset} was left fresh")
        if edit.kind in ("undo", "check"):
            made = {asset for asset, outcome in outcomes.items() if outcome == "made"}
            for asset in sorted(made - self.project.loose - self.project.unproved):
                self._fault(f"not reused after {edit.kind}", f"{asset} {reasons[asset]}")

    def _compare_plan(
        self, edit: Edit | None, verdicts: dict[str, str], outcomes: dict[str, str]
    ) -> None:
        """A dry run can't disagree with the run."""
        possible = {
            "fresh": {"fresh"},
            "stale": {"made", "reused"},
            "pending": {"fresh", "made", "reused"},
        }
        for asset, outcome in outcomes.items():
            if outcome not in possible[verdicts[asset]]:
                self._fault("plan", f"{asset} was planned as {verdicts[asset]}, then {outcome}")
            if (
                verdicts[asset] == "fresh"
                or edit is None
                or edit.kind not in ("cosmetic", "unreached")
            ):
                continue
            if edit.is_layout or asset not in self.project.after_loose:
                self._fault("false staleness in plan", f"{asset} {verdicts[asset]}")

    def _allowed(self, edit: Edit, expected: Shown) -> set[str]:
        """The assets that may be remade: their own code changed, or what they read did."""
        allowed: set[str] = set(edit.reached)
        if not edit.is_layout:
            allowed |= self.project.loose
        allowed |= {a for a, s in self.project.path_readers.items() if s in edit.reached}
        for asset, inputs in self.project.reads.items():  # inputs were declared first
            for name, columns in inputs.items():
                in_order = asset not in self.project.queries
                old = read_slice(self.expected[name], columns, in_order)
                new = read_slice(expected[name], columns, in_order)
                remade = name in self.project.objects and name in allowed
                if old != new or remade:
                    allowed.add(asset)
        return allowed

    def _compare_readers(self) -> None:
        names = sorted(self.expected)
        tables = [name for name in names if is_table(self.expected[name])]
        some = self.rng.sample(tables, min(4, len(tables)))
        asked = some[:1] if self.rng.random() < 0.25 else []
        shown, files, answers = self.lineal.call(
            "tests.readers:readers", str(self.folder), names, some, asked
        )
        for name, got in shown.items():
            if got != self.expected[name]:
                self._fault("wrong", f"load({name!r}): {difference(self.expected[name], got)}")
        for name, got in files.items():
            wanted = plain(self.expected[name])
            if plain(got) != wanted:
                self._fault("wrong", f"file of {name}: {difference(wanted, plain(got))}")
        for name, answer in answers.items():
            told = queried_faults(self.expected[name], *answer)
            if told:
                self._fault("wrong", f"sql over {name}: {told}")

    def _run_again(self) -> None:
        before = snapshot(self.folder)
        again = self._json("materialize")
        if again["run"] is not None or again["counts"].get("fresh") != len(again["steps"]):
            self._fault("second run", f"{again['run']} {again['counts']}")
        after = snapshot(self.folder)
        for path in sorted(before.keys() | after.keys()):
            if before.get(path) != after.get(path):
                self._fault("second run", f"wrote {path}")


@contextlib.contextmanager
def warm_pair() -> Iterator[tuple[Warm, Warm]]:
    """The oracle's interpreter (which caches no bytecode) and lineal's."""
    with Warm(["-B"]) as oracle, Warm(preload=LINEAL) as lineal:
        yield oracle, lineal


def run(
    seed: int, edits: int, folder: Path, pair: tuple[Warm, Warm], stop: bool = True
) -> Campaign:
    """A project of this seed under this many edits, until the first faulty one if `stop`."""
    campaign = Campaign(seed, folder, *pair)
    campaign.start()
    for _ in range(edits):
        if campaign.faults and (stop or campaign.faults[-1].kind == "error"):
            break
        campaign.edit()
    return campaign


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", type=int, default=25, help="edits of one project")
    parser.add_argument("--keep", action="store_true", help="keep the folders of faulty projects")
    options = parser.parse_args()
    faults: list[Fault] = []
    counts: Counter[str] = Counter()
    begun = time.monotonic()
    with warm_pair() as pair:
        for number in range(-(-options.edits // options.each)):
            folder = Path(tempfile.mkdtemp(prefix="lineal-campaign-"))
            campaign = run(options.seed * 1000 + number, options.each, folder, pair)
            counts += campaign.counts
            faults += campaign.faults
            for fault in campaign.faults:
                print(f"\n{fault.kind} after {fault.after}\n  {fault.what}", flush=True)
            if campaign.faults and options.keep:
                print(f"  in {campaign.folder}", flush=True)
            else:
                shutil.rmtree(folder)
    kinds = Counter(fault.kind for fault in faults)
    print(f"\n{counts.total()} edits {dict(counts)} in {time.monotonic() - begun:.0f} s")
    print(f"{len(faults)} faults {dict(kinds)}" if faults else "no fault")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
