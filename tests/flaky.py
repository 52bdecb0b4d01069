"""A graph of assets of which some fail: how often each does is told outside of the project."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_HEAD = '''\
import os
import signal
from pathlib import Path

import pandas as pd

from lineal import Retry, asset, sql_asset

FAILURES = {failures!r}
AGAIN = Retry(3, delay=0.01)


def flaky(name):
    """Fail in the ways that a file still tells, one after the other."""
    told = Path(FAILURES, name)
    ways = told.read_text().split() if told.exists() else []
    if ways:
        told.write_text(" ".join(ways[1:]))
        if ways[0] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        raise ConnectionError(f"{{len(ways)}} more")


def numbers(given):
    return [int(n) for n in (given["n"] if isinstance(given, pd.DataFrame) else given)]


def mixed(number, *inputs):
    """Depends on each number of each input, and on their order."""
    found = [number, number * number]
    for given in inputs:
        for n in numbers(given):
            found.append((found[-1] * 31 + n) % 1_000_003)
    return found[-40:]
'''


def write_project(folder: Path, failures: Path, count: int, seed: int) -> None:
    """Write `pipeline.py`: assets and tables, each over up to three earlier ones."""
    chance = random.Random(seed)
    parts = [_HEAD.format(failures=str(failures))]
    for i in range(count):
        earlier = [f"a{n}" for n in range(max(0, i - 25), i)]
        read = sorted(chance.sample(earlier, min(len(earlier), chance.randrange(4))))
        if i % 10 == 9:
            first = f"a{chance.choice([n for n in range(i) if n % 4 == 2])}"
            text = f"select n, n * {i} as m from {first}"
            parts.append(f'sql_asset("a{i}", "{text}", order_by="n", retry=AGAIN)\n')
            continue
        value = f"mixed({', '.join([str(i), *read])})"
        head, given = f"def a{i}({', '.join(read)})", f'    flaky("a{i}")\n'
        if i % 4 == 2:
            told = "@asset(retry=AGAIN)"
            gives = f'    return pd.DataFrame({{"n": {value}}})\n'
            head += " -> pd.DataFrame"
        elif i % 7 == 5:
            told = f'@asset(retry=AGAIN, outputs=["a{i}", "a{i}_more"])'
            gives = f"    found = {value}\n    return found, sum(found)\n"
        else:
            told, gives = "@asset(retry=AGAIN)", f"    return {value}\n"
        parts.append(f"{told}\n{head}:\n{given}{gives}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pipeline.py").write_text("\n\n".join(parts), encoding="utf-8")


def have_some_fail(failures: Path, count: int, seed: int) -> Mapping[str, list[str]]:
    """A tenth of the assets fail at first: in which ways, by name. One dies with its process."""
    chance = random.Random(seed)
    able = [i for i in range(count) if i % 10 != 9]
    chosen = chance.sample(able, max(2, count // 10))
    ways = {f"a{i}": ["raise"] * chance.randrange(1, 4) for i in chosen}
    ways[f"a{chosen[0]}"][-1] = "die"
    failures.mkdir(parents=True, exist_ok=True)
    for name, each in ways.items():
        (failures / name).write_text(" ".join(each))
    return ways


def compared(folder: Path, count: int, seed: int, lineal: Callable[..., Any]) -> Mapping[str, int]:
    """Make the graph in one process where nothing fails, and with workers where a tenth does.

    Args:
        lineal: runs a command in a folder, and gives the JSON it says; it must end well.

    Returns: how often each asset failed. Raises AssertionError: a difference.
    """
    failures = folder / "failures"
    for name in ("clean", "flaky"):
        write_project(folder / name, failures, count, seed)
    clean = lineal(folder / "clean", "materialize", "--json")
    ways = have_some_fail(failures, count, seed)
    flaky = lineal(folder / "flaky", "materialize", "--jobs", "4", "--json")
    assert _lasting(flaky) == _lasting(clean)
    assert clean["outcome"] == "done"
    assert clean["counts"]["made"] >= count
    told = {
        step["asset"]: [(a["number"], a["error"]["type"]) for a in step["attempts"]]
        for step in lineal(folder / "flaky", "runs", flaky["run"], "--json")["steps"]
    }
    kinds = {"raise": "ConnectionError", "die": "worker_died"}
    expected = {
        name: list(enumerate((kinds[way] for way in ways.get(name.removesuffix("_more"), ())), 1))
        for name in told
    }
    assert told == expected
    for name in ("clean", "flaky"):
        assert lineal(folder / name, "materialize", "--json")["run"] is None
        lineal(folder / name, "fsck", "--json")
    return {name: len(each) for name, each in ways.items()}


def _lasting(document: Mapping[str, Any]) -> Any:
    """What a run told, in its order, but for the time it took."""
    steps = [{**step, "seconds": None} for step in document["steps"]]
    return {**document, "steps": steps}
