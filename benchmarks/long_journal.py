"""What a long past costs a `materialize` with nothing to do: `python -m benchmarks.long_journal`.

The past is told by the journal's own sealing code, but written without an fsync for each entry:
materializations of the assets of the project, ten an entry, in runs over all of them, each with its
publication and a check, with recipes and environments as they change now and then; all in packs but
for the newest entries. On top of it the project is materialized in earnest.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import statistics
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from blake3 import blake3

from benchmarks.measure import LINEAL, Cost, Process, against_budget, row, spend, told
from benchmarks.projects import small_assets
from lineal.lineage.entries import NO_PREDECESSOR, line, seal
from lineal.lineage.journal import Journal
from lineal.lineage.packs import pack_bytes, pack_name

BUDGET = 1.5  # times the CPU of the same on a journal with one run
_FILES, _IN_PACK, _PACK_BYTES = 1024, 4096, 32 << 20
_AN_ENTRY = 10  # materializations
_CODE_CHANGES, _ENVIRONMENT_CHANGES = 5, 20  # every so many runs


class Past:
    """Runs like the one that a journal holds, long ago: other code, other contents."""

    def __init__(self, one_run: Journal):
        facts = [json.loads(text) for entry in one_run.entries() for text in entry.lines]
        self._of = {
            kind: [f for f in facts if f["fact"] == kind] for kind in {f["fact"] for f in facts}
        }
        self._recipes = {recipe["digest"]: recipe for recipe in self._of["recipe"]}
        self._publications = {p["asset"]: p for p in self._of["publication"]}

    def entries(self, materializations: int) -> Iterator[list[bytes]]:
        """The facts of each entry, in order."""
        number = made = turn = 0
        while made < materializations:
            number += 1
            run = f"r{number}"
            yield [line({**self._of["run_started"][0], "run": run}), *self._environment(turn)]
            steps = self._of["materialization"][: materializations - made]
            for begin in range(0, len(steps), _AN_ENTRY):
                number += 1
                batch = steps[begin : begin + _AN_ENTRY]
                yield [text for step in batch for text in self._made(step, run, turn)]
            number += 1
            yield [line({**self._of["run_ended"][0], "run": run})]
            made += len(steps)
            turn += 1

    def _environment(self, turn: int) -> Iterator[bytes]:
        if turn % _ENVIRONMENT_CHANGES == 0:
            yield from (
                line({**e, "digest": _other(e["digest"], turn)}) for e in self._of["environment"]
            )

    def _made(self, step: dict[str, Any], run: str, turn: int) -> Iterator[bytes]:
        """A materialization as it was in that turn, with all that is written beside it."""
        code, surroundings = turn // _CODE_CHANGES, turn // _ENVIRONMENT_CHANGES
        recipe, content = _other(step["recipe"], code), _other(step["content"]["digest"], turn)
        if turn % _CODE_CHANGES == 0:
            yield line({**self._recipes[step["recipe"]], "digest": recipe})
        check = {
            "fact": "check_result",
            "fingerprint": _other("check" + step["fingerprint"], turn),
            "name": "not_null",
            "asset": step["asset"],
            "partition": None,
            "content": content,
            "severity": "error",
            "passed": True,
            "recipe": recipe,
        }
        yield line(check)
        name = f"{run}.{step['id'].partition('.')[2]}"
        inputs = [
            {
                **used,
                "digest": _other(used["digest"], turn),
                "content": _other(used["content"], turn),
                "materialization": f"{run}.{used['materialization'].partition('.')[2]}",
            }
            for used in step.get("inputs", ())
        ]
        changed = {
            "id": name,
            "run": run,
            "fingerprint": _other(step["fingerprint"], turn),
            "recipe": recipe,
            "environment": _other(step["environment"], surroundings * _ENVIRONMENT_CHANGES),
            "inputs": inputs,
            "content": {**step["content"], "digest": content},
            "checks": [check["fingerprint"]],
            "origin": name,
        }
        yield line({**step, **changed})
        shown = {"materialization": name, "content": content, "run": run}
        yield line({**self._publications[step["asset"]], **shown})


def _other(digest: str, turn: int) -> str:
    return blake3(f"{digest} {turn}".encode()).hexdigest()


def write(short: Path, long: Path, materializations: int) -> None:
    """The journal of a long past, made of the one that holds one run."""
    entries = Past(Journal(short)).entries(materializations)
    count, packs, size = write_entries(Journal(long), entries)
    print(f"{count:,} entries, {packs:,} packs, {size / 1e9:.2f} GB, ", end="", flush=True)


def write_entries(journal: Journal, entries: Iterator[list[bytes]]) -> tuple[int, int, int]:
    """Write a journal's entries, the old ones in packs; how many entries, packs and bytes."""
    journal.packs.folder.mkdir(parents=True)
    (journal.root / "format").write_bytes(b"1\n")
    previous, number, packs, size = NO_PREDECESSOR, 0, 0, 0
    newest: deque[bytes] = deque()
    old: list[bytes] = []
    for number, facts in enumerate(entries, start=1):
        newest.append(seal(number, previous, facts))
        previous = blake3(newest[-1]).hexdigest()
        size += len(newest[-1])
        if len(newest) > _FILES:
            old.append(newest.popleft())
        if len(old) == _IN_PACK or (len(old) % 64 == 0 and sum(map(len, old)) >= _PACK_BYTES):
            last = number - len(newest)
            first = last - len(old) + 1
            (journal.packs.folder / pack_name(first, last)).write_bytes(pack_bytes(first, old))
            packs += 1
            old.clear()
    for place, data in enumerate([*old, *newest], start=number - len(newest) - len(old) + 1):
        journal.path(place).write_bytes(data)
    return number, packs, size


def folded_from_nothing(project: Path) -> Cost:
    """A plan without the checkpoint."""

    def forget() -> None:
        for path in (project / ".lineal" / "cache").glob("facts*"):
            path.unlink()

    return spend(Process((*LINEAL, "plan"), project, before=forget))


def compare(short: Path, long: Path, runs: int) -> None:
    """A no-op on each in turns; the budget is on the median of the ratios."""
    nothing = {project: Process((*LINEAL, "materialize"), project) for project in (short, long)}
    pairs = [(spend(nothing[short]), spend(nothing[long])) for _ in range(runs)]
    for title, costs in (
        ("one run", [a for a, _ in pairs]),
        ("the long past", [b for _, b in pairs]),
    ):
        middle = Cost(*(statistics.median(part) for part in zip(*costs, strict=True)))
        row(f"nothing to do, on {title}", middle)
    ratios = sorted(b.cpu / a.cpu for a, b in pairs)
    memory = statistics.median(b.peak / a.peak for a, b in pairs)
    print(f"  each pair: {', '.join(f'{ratio:.2f}' for ratio in ratios)} × the CPU")
    against_budget("CPU over the same on one run", statistics.median(ratios), BUDGET, "×")
    against_budget("peak memory over the same on one run", memory, BUDGET, "×")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--materializations", type=int, default=1_000_000)
    parser.add_argument("--assets", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=7)
    words = parser.parse_args()
    told(f"A past of {words.materializations:,} materializations of {words.assets:,} assets")
    with tempfile.TemporaryDirectory() as folder:
        short, long = Path(folder) / "short", Path(folder) / "long"
        small_assets(short, words.assets)
        first = spend(Process((*LINEAL, "materialize", "-q"), short))
        long.mkdir()
        shutil.copy(short / "pipeline.py", long)
        # In a process of its own: those measured would begin with the memory of this one.
        arguments = short / ".lineal", long / ".lineal", words.materializations
        writing = multiprocessing.get_context("spawn").Process(target=write, args=arguments)
        writing.start()
        writing.join()
        if writing.exitcode:
            raise SystemExit(f"the past was not written: {writing.exitcode}")
        print(f"medians of {words.runs}")
        on_top = spend(Process((*LINEAL, "materialize", "-q"), long))
        compare(short, long, words.runs)
        row("(the first materialize)", first)
        row("(… on the long past: fold and index)", on_top)
        row("(a plan without the checkpoint)", folded_from_nothing(long))


if __name__ == "__main__":
    main()
