"""Random edits of a generated project, each held against the oracle: nothing missed, nothing extra.

    python -m tests.campaign --edits 2000 --seed 7

Each edit is planned, materialized, compared with a full recomputation through every reader, and
materialized again, which must do and write nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
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
from tests.warm import LIBRARIES, CallFailed, Warm

Shown = dict[str, Any]
LINEAL = (*LIBRARIES, "lineal.cli.main", "lineal.cli.make", "lineal.cli.ask", "lineal.project")


class Fault(NamedTuple):
    """Something lineal did that it should not have, or did not do."""

    kind: str
    what: str
    after: str


# ------------------------------------------------------- lineal's side, in forks of a warm process


def command(folder: str, *words: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `lineal WORDS` in the folder."""
    from lineal.cli.main import run

    os.chdir(folder)
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run(words)
        except SystemExit as end:
            code = end.code
    return code, out.getvalue(), err.getvalue()


def loaded(folder: str, names: list[str]) -> Shown:
    """Every asset as `lineal.open(folder).load(name)` gives it."""
    import lineal
    from lineal.assets.errors import LinealError
    from tests.oracle import shown

    project = lineal.open(folder)
    found: Shown = {}
    for name in names:
        try:
            found[name] = shown(project.load(name))
        except LinealError as error:
            found[name] = f"an error: {error}"
    return found


def on_disk(folder: str, names: list[str]) -> Shown:
    """Every table as plain pyarrow reads the file that `lineal path` tells."""
    import pyarrow.parquet as pq

    from tests.oracle import shown

    found = {}
    for name in names:
        code, out, err = command(folder, "path", name)
        assert code == 0, err
        (path,) = out.splitlines()
        found[name] = shown(pq.ParquetFile(path).read())
    return found


def queried(folder: str, name: str) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """A table as `lineal sql` gives it, as JSON and as CSV."""
    query = f'select * from "{name}"'
    code, text, err = command(folder, "sql", query, "--format", "json")
    assert code == 0, err
    code, separated, err = command(folder, "sql", query, "--format", "csv")
    assert code == 0, err
    return json.loads(text), list(csv.DictReader(io.StringIO(separated)))


def readers(
    folder: str, names: list[str], tables: list[str], asked: list[str]
) -> tuple[Shown, Shown, dict[str, Any]]:
    """What `load`, the file at `path` and `sql` show, each of these assets."""
    answers = {name: queried(folder, name) for name in asked}
    return loaded(folder, names), on_disk(folder, tables), answers


# ------------------------------------------------------------------------------------- comparing


def _is_table(value: Any) -> bool:
    return isinstance(value, tuple) and value[0] == "table"


def _plain(value: Any) -> Any:
    """A table without what only a reader of categoricals can see."""
    columns = [(n, "text" if isinstance(k, tuple) else k, v) for n, k, v in value[1]]
    return ("table", columns)


def _queried_faults(wanted: Any, rows: list[dict[str, Any]], texts: list[dict[str, str]]) -> str:
    """What differs between a table and its rows as JSON and as CSV, in simple columns."""
    for name, kind, values in wanted[1]:
        if kind not in ("number", "text", "bool") and not isinstance(kind, tuple):
            continue
        if [row[name] for row in rows] != values:
            return f"column {name} in JSON: {[row[name] for row in rows]} for {values}"
        told = [row[name] for row in texts]
        same = [
            t == ""
            if v is None
            else float(t) == v
            if kind == "number"
            else t.lower() == str(v).lower()
            for t, v in zip(told, values, strict=True)
        ]
        if not all(same):
            return f"column {name} in CSV: {told} for {values}"
    return ""


def _read_slice(value: Any, columns: tuple[str, ...] | None, ordered: bool) -> Any:
    """What a reader of these columns reads of a table, row count included."""
    if columns is None or not _is_table(value):
        return value
    found = {name: (name, kind, values) for name, kind, values in value[1]}
    names = columns if ordered else [name for name in found if name in columns]
    rows = len(value[1][0][2]) if value[1] else 0
    return rows, [found.get(name) for name in names]


def _snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file of the project outside lineal's cache: size and modification time."""
    found = {}
    for file in folder.rglob("*"):
        path = file.relative_to(folder)
        if path.parts[:2] != (".lineal", "cache") and not file.is_dir():
            state = file.stat()
            found[str(path)] = (state.st_size, state.st_mtime_ns)
    return found


# -------------------------------------------------------------------------------------- campaign


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
            "tests.campaign:command", str(self.folder), *words, "--json"
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
                python = asset not in self._sql_assets
                old = _read_slice(self.expected[name], columns, python)
                new = _read_slice(expected[name], columns, python)
                remade = name in self.project.objects and name in allowed
                if old != new or remade:
                    allowed.add(asset)
        return allowed

    @property
    def _sql_assets(self) -> set[str]:
        return {
            a for a in self.project.reads if a.startswith(("filter", "group", "join", "counted"))
        }

    def _compare_readers(self) -> None:
        names = sorted(self.expected)
        tables = [name for name in names if _is_table(self.expected[name])]
        some = self.rng.sample(tables, min(4, len(tables)))
        asked = some[:1] if self.rng.random() < 0.25 else []
        shown, files, answers = self.lineal.call(
            "tests.campaign:readers", str(self.folder), names, some, asked
        )
        for name, got in shown.items():
            if got != self.expected[name]:
                self._fault("wrong", f"load({name!r}): {_difference(self.expected[name], got)}")
        for name, got in files.items():
            wanted = _plain(self.expected[name])
            if _plain(got) != wanted:
                self._fault("wrong", f"file of {name}: {_difference(wanted, _plain(got))}")
        for name, answer in answers.items():
            told = _queried_faults(self.expected[name], *answer)
            if told:
                self._fault("wrong", f"sql over {name}: {told}")

    def _run_again(self) -> None:
        before = _snapshot(self.folder)
        again = self._json("materialize")
        if again["run"] is not None or again["counts"].get("fresh") != len(again["steps"]):
            self._fault("second run", f"{again['run']} {again['counts']}")
        after = _snapshot(self.folder)
        for path in sorted(before.keys() | after.keys()):
            if before.get(path) != after.get(path):
                self._fault("second run", f"wrote {path}")


def _difference(wanted: Any, got: Any) -> str:
    """The first place where two shown values differ."""
    if _is_table(wanted) and _is_table(got):
        names = [c[0] for c in wanted[1]], [c[0] for c in got[1]]
        if names[0] != names[1]:
            return f"columns {names[1]} for {names[0]}"
        for one, other in zip(wanted[1], got[1], strict=True):
            if one != other:
                return f"column {other} for {one}"
    return f"{got!r:.600} for {wanted!r:.600}"


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
        if stop and campaign.faults:
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
