"""One bit of any file of a store flips: each answer is the one before, or names that file."""

from __future__ import annotations

import random
import shutil
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lineal.assets.errors import IntegrityError
from lineal.project import Project

PIPELINE = """
    from pathlib import Path

    import pandas as pd
    from lineal import Folder, asset, checks, register, source, sql_asset

    source("raw/n", "data/n.csv")


    class Note:
        def __init__(self, text):
            self.text = text


    def save(note, path):
        Path(path).write_text(note.text)


    def load(path):
        return Note(Path(path).read_text())


    register(Note, "note", save, load)


    @asset
    def doubled(raw_n):
        print("doubling", len(raw_n))
        return raw_n.assign(w=raw_n.v * 2)


    sql_asset(
        "total",
        "select k, sum(w) as w from doubled group by k order by k",
        checks=[checks.rows(minimum=1)],
    )


    @asset
    def figures(doubled):
        return {"mean": float(doubled.w.mean()), "rows": [1, 2, 3]}


    @asset(format="joblib")
    def fitted(doubled):
        return {"weights": [0.1, 0.2], "of": "fitted"}


    @asset
    def note(doubled):
        return Note("a note of some length")


    @asset
    def folder(doubled, out: Folder):
        (out / "a.txt").write_text("one")
        (out / "b.txt").write_text("two")
        return out
"""


def settle(root: Path) -> None:
    project = Project(root)
    run = project.materialize()
    assert run.outcome == "done", run
    project.plan()  # so that every cache is filled
    project.sql("select count(*) from lineage.version")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    (root / "data").mkdir()
    (root / "data" / "n.csv").write_text("k,v\n1,10\n2,20\n3,30\n")
    (root / "pipeline.py").write_text(textwrap.dedent(PIPELINE))
    (root / "lineal.toml").write_text("[run]\njobs = 1\n")
    settle(root)
    return root


QUESTIONS: dict[str, Callable[[Project], Any]] = {
    "sql": lambda p: p.sql("select * from doubled join total using (k) order by k").rows,
    "lineage": lambda p: p.sql("select asset, digest, rows from lineage.current order by all").rows,
    "table": lambda p: p.load("doubled").to_dict("list"),
    "json": lambda p: p.load("figures"),
    "joblib": lambda p: p.load("fitted"),
    "custom": lambda p: p.load("note").text,
    "folder": lambda p: [x.read_text() for x in sorted(p.load("folder").iterdir())],
    "path": lambda p: [x.read_bytes() for name in ("total", "note") for x in p.path(name)],
    "log": lambda p: p.log("doubled"),
    "plan": lambda p: [(s.step, s.verdict) for s in p.plan().steps],
    "show": lambda p: [v.id for v in p.show("doubled").versions],
    "run": lambda p: [m.id for m in p.run("r1").made],
}


def answers(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, ask in QUESTIONS.items():
        try:
            found[name] = ask(Project(root))
        except IntegrityError as error:
            found[name] = error
    return found


def flip(path: Path, seed: int) -> None:
    chosen = random.Random(f"{path.name[-12:]} {seed}")
    data = bytearray(path.read_bytes())
    data[chosen.randrange(len(data))] ^= 1 << chosen.randrange(8)
    path.unlink()
    path.write_bytes(data)


@pytest.fixture
def spoilt(made: Path) -> Iterator[Path]:
    """The project, its store put back afterwards."""
    before = made.parent / "before"
    shutil.copytree(made / ".lineal", before, symlinks=True)
    yield made
    shutil.rmtree(made / ".lineal")
    before.rename(made / ".lineal")


def files(root: Path, part: str) -> list[Path]:
    found = (p for p in (root / ".lineal").glob(part) if p.is_file() and p.stat().st_size)
    return sorted(found)


@pytest.mark.parametrize("seed", range(2))
def test_a_flipped_bit_of_what_can_be_made_anew_changes_no_answer(spoilt: Path, seed: int) -> None:
    expected = answers(spoilt)
    assert not [e for e in expected.values() if isinstance(e, Exception)]
    anew = [*files(spoilt, "catalog*"), *files(spoilt, "cache/*"), *files(spoilt, "cache/code/*")]
    kinds = {p.name for p in anew}
    assert kinds >= {
        "catalog.duckdb", "catalog.duckdb.seal", "facts-4.jsonl", "imports.json", "packages.json",
        "places-1.sqlite", "places-1.sqlite.seal", "queries.json", "settings.json", "stat.json",
    }  # fmt: skip
    for path in anew:
        flip(path, seed)
        assert answers(spoilt) == expected, path


def test_a_flipped_bit_of_an_object_is_an_error_that_names_its_file(spoilt: Path) -> None:
    expected = answers(spoilt)
    readers = {
        "doubled": {"sql", "table", "show"}, "total": {"sql", "path"}, "figures": {"json"},
        "fitted": {"joblib"}, "note": {"custom", "path"}, "folder": {"folder"}, "raw/n": set(),
    }  # fmt: skip
    project = Project(spoilt)
    for asset, needed in readers.items():
        for path in project.path(asset) if asset != "raw/n" else []:
            whole = path.read_bytes()
            flip(path, 0)
            found = answers(spoilt)
            wrong = {name for name, answer in found.items() if answer != expected[name]}
            assert wrong == needed, path
            for name in wrong:
                assert isinstance(found[name], IntegrityError), (name, found[name])
                assert found[name].where == str(path)
                assert found[name].exit_code == 3
                assert "lineal fsck --repair" in str(found[name].advice)
            path.unlink()
            path.write_bytes(whole)
    assert answers(spoilt) == expected


@pytest.mark.parametrize("asset", ["doubled", "total"])
def test_nothing_is_computed_from_a_damaged_input(spoilt: Path, asset: str) -> None:
    (path,) = Project(spoilt).path(asset)
    flip(path, 1)
    text = (spoilt / "pipeline.py").read_text()
    try:
        more = f"\n\n@asset\ndef copied({asset}):\n    return len({asset})\n"
        (spoilt / "pipeline.py").write_text(text + more)
        run = Project(spoilt).materialize()
        (failed,) = [step for step in run.steps if step.outcome == "failed"]
        assert failed.step.asset == "copied"
        assert isinstance(failed.error, IntegrityError)
        assert failed.error.where == str(path)
    finally:
        (spoilt / "pipeline.py").write_text(text)


@pytest.mark.parametrize("seed", range(8))
def test_a_flipped_bit_of_a_log_is_an_error_that_names_its_file(spoilt: Path, seed: int) -> None:
    (path,) = files(spoilt, "logs/*/*.log")
    flip(path, seed)
    with pytest.raises(IntegrityError) as caught:
        Project(spoilt).log("doubled")
    assert caught.value.where == str(path)
