"""Random edits of small projects with partitions, each held against a full recomputation.

    python -m tests.partition_oracle --seeds 200

After each edit the project is planned, materialized (sometimes first in part, or with jobs), and
compared step by step with a copy that is made from nothing: fingerprint, content and metrics. A
second run must do and write nothing, and a plan must have foretold the run.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from tests.generated_project import Edit
from tests.partitioned_project import partitioned
from tests.readers import LINEAL, loaded, snapshot
from tests.warm import CallFailed, Warm

Units = dict[tuple[str, str | None], Any]
BROKEN = ("failed", "blocked", "skipped")
FORETOLD = {
    "fresh": {"fresh"},
    "stale": {"made", "reused", *BROKEN},
    "pending": {"fresh", "made", "reused", *BROKEN},
}


class Part(NamedTuple):
    """What is materialized before all is: words of a selection, partitions, how many jobs."""

    select: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()
    jobs: int | None = None
    exclude: tuple[str, ...] = ()
    force: bool = False


class Made(NamedTuple):
    """What a project shows after it was made; `error`: its definitions are refused."""

    error: str = ""
    planned: Units = {}  # noqa: RUF012  (never changed)
    outcomes: Units = {}  # noqa: RUF012
    reasons: Units = {}  # noqa: RUF012
    current: Units = {}  # noqa: RUF012
    values: dict[str, Any] = {}  # noqa: RUF012
    again: tuple[str, ...] = ()


# -------------------------------------------------------------------------- in a warm interpreter


def make(folder: str, part: Part | None, names: list[str]) -> Made:
    """Plan a project, materialize it, show what is current, and materialize it once more."""
    from lineal.assets.errors import LinealError
    from lineal.project import Project

    root = Path(folder)
    os.chdir(root)
    try:
        if part is not None:
            _make_part(root, part)
        plan = Project(root).plan()
        run = Project(root).materialize()
    except LinealError as error:
        return Made(error="; ".join(map(str, getattr(error, "errors", (error,)))))
    return Made(
        planned={(*s.step,): s.verdict.name for s in plan.steps},
        outcomes={(*s.step,): s.outcome for s in run.steps},
        reasons={(*s.step,): [*map(str, s.reasons), str(s.error or "")] for s in run.steps},
        current=_current(root),
        values=loaded(folder, names),
        again=tuple(_again(root)),
    )


def _make_part(root: Path, part: Part) -> None:
    from lineal.assets.errors import UsageError
    from lineal.project import Project

    try:
        Project(root).materialize(
            *part.select,
            partitions=part.partitions,
            jobs=part.jobs,
            exclude=part.exclude,
            force=part.force,
        )
    except UsageError:
        return  # no such partition now


def _current(root: Path) -> Units:
    """Of every step that is current: fingerprint, content, metrics."""
    from lineal.project import Project

    project = Project(root)
    with project.look() as seen:
        names = list(seen.graph.maker)
    history = project.history()
    found: Units = {}
    for name in names:
        for key, brief in history.partitions(name).items():
            made = history.current(name, key)
            assert made is not None and made.id == brief.materialization
            assert made.content is not None and made.content.digest == brief.content
            found[name, key] = (made.fingerprint, made.content.digest, dict(made.metrics))
    history.close()
    return found


def _again(root: Path) -> list[str]:
    """What a second run does or writes."""
    from lineal.project import Project

    before = snapshot(root)
    run = Project(root).materialize()
    told = [f"{s.step} is {s.outcome}" for s in run.steps if s.outcome in ("made", "reused")]
    if any(s.outcome in BROKEN for s in run.steps):
        return told
    after = snapshot(root)
    changed = [p for p in sorted(before.keys() | after.keys()) if before.get(p) != after.get(p)]
    return [*told, *(f"wrote {path}" for path in changed)]


# ------------------------------------------------------------------------------------ the campaign


class Fault(NamedTuple):
    kind: str
    what: str
    after: str


class Campaign:
    """One generated project under random edits; `faults` gathers what went wrong."""

    def __init__(self, seed: int, folder: Path, warm: Warm, size: int = 4):
        self.rng = random.Random(seed)
        self.seed = seed
        self.folder, self.fresh = folder / "project", folder / "fresh"
        self.warm = warm
        self.project = partitioned(seed, size)
        self.faults: list[Fault] = []
        self.edits = self.refused = 0
        self.kinds: Counter[str] = Counter()
        self._undo: dict[str, int] | None = None
        self._after = f"seed {seed}, first run"
        self._before = Made()

    def start(self) -> None:
        self.folder.mkdir(parents=True)
        self.project.write(self.folder)
        self._round(None, None)

    def edit(self) -> None:
        """One random edit, and everything that must hold after it."""
        before = dict(self.project.state)
        edit = self._make_edit(before)
        part = self._part() if self.rng.random() < 0.4 else None
        self.edits += 1
        self.kinds[edit.kind] += 1
        self._after = f"seed {self.seed}, edit {self.edits}: {edit.kind}: {edit.what}; {part}"
        self._round(edit, part)

    def _make_edit(self, before: dict[str, int]) -> Edit:
        chance = self.rng.random()
        if chance < 0.15 and self._undo is not None:
            self.project.state, self._undo = self._undo, None
            self.project.write(self.folder)
            return Edit("the last edit undone", "undo", frozenset(self.project.upstream), False)
        if chance < 0.2:
            for file in self.folder.rglob("*.*"):
                if ".lineal" not in file.parts:
                    os.utime(file)
            return Edit("every file touched", "cosmetic", frozenset(), True)
        if chance < 0.23:
            shutil.rmtree(self.folder / ".lineal" / "cache", ignore_errors=True)
            return Edit("cache deleted", "cosmetic", frozenset(), True)
        edits = [self.project.edit(self.rng) for _ in range(1 if chance < 0.85 else 2)]
        self._undo = before
        self.project.write(self.folder, same_second=self.rng.random() < 0.3)
        if len(edits) == 1:
            return edits[0]
        worst = max((e.kind for e in edits), key=["cosmetic", "check", "changing"].index)
        reached = frozenset[str]().union(*(e.reached for e in edits))
        return Edit(" and ".join(e.what for e in edits), worst, reached, False)

    def _part(self) -> Part:
        """Something to make before everything is."""
        keys = ("2013-02", "2013-01..2013-02", "2013-02..", "eu*", "a=1*", "0001", "2013-01-31")
        jobs = 2 if self.rng.random() < 0.1 else None
        name = self.rng.choice(sorted(self.project.upstream))
        return self.rng.choice(
            (
                Part((name,), jobs=jobs),
                Part((), (self.rng.choice(keys),)),
                Part(jobs=jobs),
                Part(exclude=(name,)),
                Part((name,), force=True),
            )
        )

    # --------------------------------------------------------------------------------- checking

    def _fault(self, kind: str, what: str) -> None:
        self.faults.append(Fault(kind, what, self._after))

    def _round(self, edit: Edit | None, part: Part | None) -> None:
        shutil.rmtree(self.fresh, ignore_errors=True)
        shutil.copytree(self.folder, self.fresh, ignore=shutil.ignore_patterns(".lineal"))
        names = sorted(self.project.upstream)
        some = self.rng.sample(names, min(3, len(names)))
        try:
            made: Made = self.warm.call("tests.partition_oracle:make", str(self.folder), part, some)
            wanted: Made = self.warm.call(
                "tests.partition_oracle:make", str(self.fresh), None, some
            )
        except CallFailed as failure:
            self._fault("error", str(failure))
            return
        if made.error or wanted.error:
            self.refused += 1
            if bool(made.error) != bool(wanted.error):
                self._fault("refused", f"{made.error or 'accepted'} for {wanted.error}")
            return
        self._compare(made, wanted)
        self._compare_plan(made)
        if edit is not None and part is None:
            self._compare_work(edit, made)
        for told in made.again:
            self._fault("second run", told)
        for told in wanted.again:
            self._fault("second run of the copy", told)
        self._before = made

    def _compare(self, made: Made, wanted: Made) -> None:
        """What is current is what a full recomputation makes current."""
        broken = [_broken(each) for each in (made, wanted)]
        columns = {name for name, _ in broken[1]} & {"sliced", "wobbly"}
        unsure = self.project.fed_by(frozenset(columns)) - columns  # skipped in older partitions
        units = [u for u in broken[0].keys() | broken[1].keys() if u[0] not in unsure]
        told = {
            unit: (broken[0].get(unit), broken[1].get(unit), made.reasons.get(unit))
            for unit in units
            if broken[0].get(unit) != broken[1].get(unit)
        }
        if told:
            self._fault("outcome", f"{told}")
        beyond = self.project.fed_by(frozenset(name for name, _ in broken[1]))
        for unit in sorted(made.current.keys() | wanted.current.keys(), key=str):
            if unit[0] in beyond and unit not in wanted.current:
                continue  # an older version stays current
            got, asked = made.current.get(unit), wanted.current.get(unit)
            if got != asked and not (unit in broken[1] or self._is_behind(unit, beyond, wanted)):
                self._fault("wrong", f"{unit}: {got} for {asked}, {made.outcomes.get(unit)}")
        for name, value in wanted.values.items():
            refused = all(str(v).startswith("an error: ") for v in (value, made.values[name]))
            if name not in beyond and made.values[name] != value and not refused:
                self._fault("wrong", f"load({name!r}): {made.values[name]} for {value}")

    def _is_behind(
        self, unit: tuple[str, str | None], beyond: frozenset[str], wanted: Made
    ) -> bool:
        """Was the step not settled in the copy, because of what is broken before it?"""
        return unit[0] in beyond and wanted.outcomes.get(unit) in (None, *BROKEN)

    def _compare_plan(self, made: Made) -> None:
        """A dry run can't disagree with the run."""
        for unit, outcome in made.outcomes.items():
            verdict = made.planned.get(unit)
            if verdict is None:
                if not self._after_a_column(unit[0]):
                    self._fault("plan", f"{unit} was not planned, and is {outcome}")
            elif outcome not in FORETOLD[verdict] and (verdict, outcome) != ("stale", "blocked"):
                self._fault("plan", f"{unit} was planned as {verdict}, then {outcome}")
        for unit in made.planned.keys() - made.outcomes.keys():
            if not self._after_a_column(unit[0]):
                self._fault("plan", f"{unit} was planned, and nothing became of it")

    def _after_a_column(self, name: str) -> bool:
        """Does a run find out which partitions there are?"""
        return name in self.project.fed_by(frozenset({"sliced", "wobbly"}))

    def _compare_work(self, edit: Edit, made: Made) -> None:
        worked = {u for u, outcome in made.outcomes.items() if outcome in ("made", "reused")}
        unfit = {u for u, outcome in self._before.outcomes.items() if outcome in BROKEN}
        allowed = self.project.fed_by(edit.reached)
        for unit in sorted(worked - unfit, key=str):
            if edit.kind == "cosmetic" or unit[0] not in allowed:
                if unit[0] in self.project.fed_by(frozenset(n for n, _ in unfit)):
                    continue
                self._fault("false staleness", f"{unit} {made.reasons[unit]}")
        if edit.kind in ("undo", "check"):
            for unit in sorted(worked - unfit, key=str):
                if made.outcomes[unit] == "made":
                    self._fault(f"made after {edit.kind}", f"{unit} {made.reasons[unit]}")


def _broken(made: Made) -> Units:
    return {unit: outcome for unit, outcome in made.outcomes.items() if outcome in BROKEN}


def run(seed: int, edits: int, folder: Path, warm: Warm, size: int = 4) -> Campaign:
    """A project of this seed under this many edits, until the first fault."""
    campaign = Campaign(seed, folder, warm, size)
    campaign.start()
    for _ in range(edits):
        if campaign.faults:
            break
        campaign.edit()
    return campaign


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--edits", type=int, default=12, help="edits of one project")
    parser.add_argument("--size", type=int, default=4, help="motifs of one project")
    parser.add_argument("--keep", action="store_true", help="keep the folders of faulty projects")
    options = parser.parse_args()
    begun, faulty, edits, refused = time.monotonic(), 0, 0, 0
    kinds: Counter[str] = Counter()
    with Warm(preload=LINEAL) as warm:
        for seed in range(options.first, options.first + options.seeds):
            folder = Path(tempfile.mkdtemp(prefix="lineal-partitions-"))
            campaign = run(seed, options.edits, folder, warm, options.size)
            edits, refused = edits + campaign.edits, refused + campaign.refused
            kinds += campaign.kinds
            faulty += bool(campaign.faults)
            for fault in campaign.faults[:6]:
                print(f"\n{fault.kind} after {fault.after}\n  {fault.what}", flush=True)
            if campaign.faults and options.keep:
                print(f"  in {folder}", flush=True)
            else:
                shutil.rmtree(folder)
    print(f"\n{edits} edits {dict(kinds)}, {refused} refused, {time.monotonic() - begun:.0f} s")
    print(f"{faulty} faulty projects" if faulty else "no fault")
    return int(bool(faulty))


if __name__ == "__main__":
    from tests import partition_oracle  # what crosses to the warm interpreter has this name there

    sys.exit(partition_oracle.main())
