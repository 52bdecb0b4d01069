"""A version is computed again from what is recorded of it, whatever became of the project since."""

from __future__ import annotations

import io
import json
import shutil
import sys
import zipfile
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import pytest

import lineal
from lineal.assets.errors import UsageError
from lineal.assets.names import Step
from lineal.assets.records import (
    EnvironmentFacts,
    Fact,
    Materialization,
    Recipe,
    RecipePart,
    Registered,
    RunStarted,
    StoredObject,
)
from lineal.cli.main import lineal as command_line
from lineal.cli.render import Style
from lineal.cli.reproduce import reproduction_lines
from lineal.project import Project
from lineal.reproduced import Alike, Likeness, Remade, Reproduction
from lineal.reproduction import computed, named
from lineal.storage.objects import Objects

PIPELINE = """
import os
from pathlib import Path
import numpy as np
import pandas as pd
from lineal import Result, asset, best_of, gate, grid, secret, source, sql_assets
from helpers import RATE, Mean, scaled

source("raw", "data.csv")
sql_assets("sql")

@asset
def train(clean):
    return scaled(clean).assign(noise=np.random.random(len(clean)))  # seeded by the code's digest

@asset
def test(clean):
    return clean.iloc[::2]

@asset(partitions=grid(depth=[1, 2]), format="pickle")
def forest(train, *, depth: int, trees: int = 5):
    model = Mean(train["x"].mean() * depth + trees)
    return Result(model, metrics={"far": abs(model.value)})

best = best_of(forest, metric="far", name="best")

@asset(format="pickle")
def nonced(train):
    model = Mean(train["x"].mean())
    model.nonce = os.urandom(8)
    return model

@gate("delays", candidate=best)
def worth(best, test):
    return best.value

@gate("nonces", candidate=nonced, direction="min")
def score(nonced, test):
    return float(np.abs(nonced.predict(test) - test["x"]).mean())

@asset
def wobbly(train):
    return train[["x"]] + os.urandom(1)[0] + np.arange(len(train))[:, None]

@asset
def peeks(train, *, rest: tuple[int, ...]):
    assert not Path("not/there.csv").exists()  # noticed as well: it is stale once there is one
    return {"words": Path("extra.txt").read_text().split(), "rows": len(train), "rest": rest}

@asset
def counted(raw: Path, key: str = secret("REPRODUCE_KEY")):
    return {"lines": raw.read_text().count("\\n"), "letters": len(key)}

@asset(format="pickle")
def kept(nonced):
    return nonced

@asset
def same(clean):
    return clean

@asset(outputs=["low", "high"])
def halves(clean):
    return {"low": clean[clean.x < 5], "high": clean[clean.x >= 5]}

@asset
def report(nonced, wobbly, peeks, counted, low, high):
    return {"all": [nonced.value, len(wobbly), peeks, counted, len(low), len(high)]}
"""
ROWS = "x,y,other\n" + "".join(f"{n},{n % 3},no\n" for n in range(1, 13))
HELPERS = """
import beside

try:
    import later
except ImportError:  # as it was when all this was made
    later = None
RATE = 3

def scaled(table):
    return table.assign(x=table.x * RATE + beside.SHIFT + (later is not None))

class Mean:
    def __init__(self, value):
        self.value = value

    def predict(self, table):
        return table["x"] * 0 + self.value
"""


@dataclass(frozen=True)
class Story:
    """A project that was made, whose working folder then became another altogether."""

    project: Project
    lib: Path  # on `sys.path` in all runs
    before: dict[str, Materialization]
    files: frozenset[str]  # in the store, when it was left alone

    def names(self, *assets: str) -> list[str]:
        return [self.before[name].content.digest for name in assets]  # type: ignore[union-attr]


def everything(folder: Path) -> frozenset[str]:
    return frozenset(
        f"{p.relative_to(folder)} {p.stat().st_mtime_ns} {p.stat().st_ino}"
        for p in folder.rglob("*")
        if p.is_file() and not {"cache", "locks"} & {*p.parts}
    )


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    root = tmp_path_factory.mktemp("project")
    lib, data = root / ".." / "lib", root / "data.csv"
    files = {
        "sql/clean.sql": "select x, y from raw where x > 1", "extra.txt": "some words",
        "pipeline.py": PIPELINE, "helpers.py": HELPERS, "../lib/beside.py": "SHIFT = 5",
        "lineal.toml": "[parameters.forest]\ntrees = 7\n", "data.csv": ROWS,
    }  # fmt: skip
    for name, text in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPRODUCE_KEY", "open sesame")
        patch.syspath_prepend(lib.resolve())
        said = ["forest.trees=9", "peeks.rest=1,2"]
        assert Project(root).materialize(parameters=said).outcome == "done"
        project = Project(root)
        with closing(project.history()) as history:
            before = {str(step): found for step, found in history.currents().items()}
        (root / "helpers.py").write_text(HELPERS.replace("RATE = 3", "RATE = 4"))
        data.write_text(ROWS + "90,1,no\n")
        assert project.materialize(parameters=said).outcome == "done"  # all is current otherwise
    data.write_text(ROWS)
    (root / "helpers.py").write_text("RATE = 1000\n")
    (root / "pipeline.py").write_text("raise ValueError('another project')\n")
    (root / "lineal.toml").write_text("[run]\njobs = 2\n")
    (root / "sql" / "clean.sql").unlink()
    (lib / "beside.py").write_text("SHIFT = 6")
    (lib / "later.py").write_text("")
    return Story(Project(root), lib.resolve(), before, everything(project.store))


def forged(
    story: Story,
    asset: str,
    sources: StoredObject | None,
    code: Recipe | None = None,
    environment: EnvironmentFacts | None = None,
) -> Materialization:
    """The same computation, as another run would have recorded it: `forged@v` and its number."""
    journal = story.project.journal
    started = RunStarted("", "default", "ada", "here", (), 1.0, "3.11.0", "0", sources=sources)
    run = journal.start_run(lambda run: [started._replace(run=run)])
    name, before = f"{run}.1", story.before[asset]
    assert before.content is not None
    made = replace(before, id=name, run=run, origin=name)
    facts: list[Fact] = []
    if code is not None and environment is not None:
        made = replace(made, recipe=code.digest, environment=environment.digest)
        facts += [code, environment]
    told = Registered(
        "forged", int(run[1:]), asset, None, name, before.content.digest, run, 1.0, "ada"
    )
    journal.append([*facts, made, told])
    return made


def outcomes(found: Reproduction) -> dict[str, str]:
    return {str(step.step): step.alike.likeness for step in found.steps}


def step(found: Reproduction, name: str) -> Remade:
    return next(each for each in found.steps if str(each.step) == name)


def test_a_registered_model_comes_out_in_the_same_bytes(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(story.lib)  # a module there is another now
    found = story.project.reproduce("delays@v1", whole=True, keep=tmp_path / "again")
    assert found.sentence() == "delays v1 is reproduced: the same bytes"
    order = list(outcomes(found))
    assert set(order) == {"clean", "train", "forest depth=1", "forest depth=2", "best"}
    assert order[:2] == ["clean", "train"]
    assert order[-1] == "best"
    assert set(outcomes(found).values()) == {"bytes"}
    assert [each.notes for each in found.steps] == [()] * 5
    assert found.kept == tmp_path / "again"
    assert "RATE = 3" in (tmp_path / "again" / "code-r1" / "project" / "helpers.py").read_text()
    assert everything(story.project.store) == story.files  # nothing was written


def test_what_was_reused_or_chosen_is_computed_as_it_first_was(story: Story) -> None:
    with closing(story.project.history()) as history:
        chosen = computed(history, story.before["best"])
        again = replace(story.before["train"], id="r9.1", origin=story.before["train"].id)
        assert (chosen.asset, chosen.partition) == ("forest", "depth=2")
        assert computed(history, again) == story.before["train"]
        assert named(history, "delays@v1") == ("delays v1", story.before["best"])
        assert computed(history, story.before["kept"]).asset == "nonced"  # it is to be trained
        assert computed(history, story.before["same"]).asset == "same"
        called, now = named(history, "delays@production")
        assert (called, now.asset) == ("delays v2", "best")


def test_what_can_come_out_otherwise_is_told_by_step(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPRODUCE_KEY", "open sesame")
    (digest,) = story.names("report")
    found = story.project.reproduce(f"report@{digest}", whole=True)
    assert outcomes(found) == {
        "clean": "bytes", "train": "bytes", "nonced": "predictions",
        "wobbly": "other", "peeks": "bytes", "counted": "bytes",
        "low": "bytes", "high": "bytes", "report": "bytes",
    }  # fmt: skip
    assert not found.ok
    assert [each.notes for each in found.steps if each.ok] == [()] * (len(found.steps) - 1)
    wobbly, nonced = step(found, "wobbly"), step(found, "nonced")
    assert found.sentence().endswith(f"the same bytes; before it, {wobbly.name} is not")
    assert wobbly.told().startswith("x differs: 11 of 11 rows are others, at most ")
    assert any("draws at random" in note and "os.urandom" in note for note in wobbly.notes)
    test = story.before["test"].content
    assert test is not None
    assert nonced.told() == (
        f"other bytes, equal predictions on test@{test.digest[:6]} (6 rows)"  # as the gate did
    )


def test_packages_python_and_code_that_are_not_as_recorded_are_told(story: Story) -> None:
    then = EnvironmentFacts("e" * 64, "2.7", (("pandas", "0.1"), ("gone", "1.0")), (("TZ", "x"),))
    code = Recipe("c" * 64, (RecipePart("helpers.RATE", "constant", "0" * 64),))
    kept = story.project.run("r1").started.sources
    made = forged(story, "score", kept, code, then)  # of a gate: what it scored
    found = story.project.reproduce(f"forged@v{made.run[1:]}")
    assert found.ok
    (told,) = found.steps
    assert told.alike.likeness == "bytes"
    now = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for note in (
        f"lineal 0 → {lineal.__version__}", f"Python 2.7 → {now}", "gone 1.0 → not there",
        f"pandas 0.1 → {version('pandas')}", "the environment variable TZ has another value",
    ):  # fmt: skip
        assert note in told.notes
    (changed,) = [note for note in told.notes if note.startswith("the code is not")]
    assert "`helpers.RATE`" in changed


ABOUT = {"format": 1, "modules": {"pipeline": "project/pipeline.py"}, "texts": [], "settings": None}


def archive(project: Project, pipeline: str) -> StoredObject:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("about.json", json.dumps(ABOUT))
        file.writestr("project/pipeline.py", pipeline)
    objects = Objects(project.store)
    stored = objects.put_bytes(packed.getvalue(), "zip")
    objects.sync()
    return stored


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [
        ("open('words.txt')", "its code can't be loaded: pipeline.py:1: FileNotFoundError"),
        (
            "import os; os.kill(os.getpid(), 9)",
            "the process that computed it was killed by SIGKILL",
        ),
        ("from lineal import asset", "its code declares no `test`"),
    ],
)
def test_code_that_can_not_be_run_again_is_told(story: Story, pipeline: str, said: str) -> None:
    made = forged(story, "test", archive(story.project, pipeline))
    found = story.project.reproduce(f"forged@v{made.run[1:]}")
    assert not found.ok
    assert said in found.sentence()
    assert found.steps[0].alike.likeness == "impossible"


def test_what_is_gone_is_told_by_name(story: Story, tmp_path: Path) -> None:
    shutil.copytree(story.project.root, tmp_path / "copy")
    project = Project(tmp_path / "copy")

    def said(name: str) -> str:
        (asked,) = project.reproduce(name).steps
        assert asked.alike.likeness == "impossible"
        return asked.told()

    made = forged(story_of(project, story), "test", None)
    assert (
        said(f"forged@v{made.run[1:]}")
        == f"the code of {made.run}, which computed it, was not kept"
    )
    (digest, counted) = story.names("train", "counted")
    (project.root / "data.csv").write_text("edited")
    assert said(f"counted@{counted}").startswith(
        "the file data.csv of `raw`, which it read in place"
    )
    kept = project.run("r1").started.sources
    assert kept is not None
    place(project, kept.digest, "zip").unlink()
    assert "is missing" in said(f"train@{digest}")
    clean = story.before["clean"].content
    assert clean is not None
    lies = place(project, clean.objects[0].digest, "parquet")
    lies.chmod(0o644)
    lies.write_bytes(lies.read_bytes()[:-1] + b"?")
    assert said(f"train@{digest}") == "`clean`, which it read, is damaged in the store: lineal fsck"
    lies.unlink()
    assert said(f"train@{digest}") == "`clean`, which it read, is no longer in the store"


def story_of(project: Project, story: Story) -> Story:
    return replace(story, project=project)


def place(project: Project, digest: str, suffix: str) -> Path:
    return project.store / "objects" / digest[:2] / f"{digest}.{suffix}"


def test_a_file_that_is_read_undeclared_is_told_if_it_is_another(
    story: Story, tmp_path: Path
) -> None:
    shutil.copytree(story.project.root, tmp_path / "copy")
    (tmp_path / "copy" / "extra.txt").write_text("other words")
    (digest,) = story.names("peeks")
    found = Project(tmp_path / "copy").reproduce(f"peeks@{digest}")
    assert "it failed" in found.sentence()
    assert found.steps[0].alike.likeness == "failed"
    (note,) = found.steps[0].notes
    assert "read extra.txt without declaring it, which is not as it was" in note


def test_only_what_was_computed_can_be_computed_again(story: Story, tmp_path: Path) -> None:
    for name, said in (
        ("raw", "comes from a source"),
        ("delays@v7", "has no version v7"),
        ("trian", "nothing was ever made of `trian`"),
    ):
        with pytest.raises(UsageError, match=said):
            story.project.reproduce(name)
    (tmp_path / "mine").write_text("")
    with pytest.raises(UsageError, match="is not empty"):
        story.project.reproduce("train", keep=tmp_path)


def test_the_command_says_it_in_one_line_and_by_its_exit_code(
    story: Story, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = forged(story, "test", None)
    name = f"forged@v{made.run[1:]}"
    monkeypatch.chdir(story.project.root)

    def run(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            command_line.main(args=["reproduce", name, *words], standalone_mode=False)
        assert ended.value.code == 1
        return capsys.readouterr().out

    version = made.content.digest if made.content is not None else ""
    first, second = run().splitlines()
    why = f"the code of {made.run}, which computed it, was not kept"
    assert first.startswith(f"forged v{made.run[1:]} is not reproduced: {why} (")
    assert second == f"  test@{version[:6]}, computed in {made.run}"
    document = json.loads(run("--json"))
    assert document["reproduced"] is False
    (told,) = document["steps"]
    assert (told["outcome"], told["detail"], told["version"]) == ("impossible", why, version)


def test_of_very_many_steps_those_are_shown_that_are_not_as_they_were() -> None:
    def made(number: int, likeness: Likeness, *notes: str) -> Remade:
        name = f"{number:064x}"[::-1]
        return Remade(
            Step("a", f"{number}"), "", "r1", name, Alike(likeness, "x differs"), 1, notes
        )

    steps = [made(n, "bytes") for n in range(50)]
    steps[7], steps[9] = made(7, "other"), made(9, "content", "pandas 2 → 3")
    found = Reproduction("it", tuple(steps), 61.0, Path("/kept"))
    shown = "\n".join(reproduction_lines(Style.of_terminal(), found))
    assert shown.startswith(
        f"it is reproduced: the same bytes; before it, {steps[7].name} is not ("
    )
    assert [word in shown for word in ("a 7@", "a 9@", "a 49@", "a 8@")] == [
        True,
        True,
        True,
        False,
    ]
    assert "pandas 2 → 3" in shown
    assert "and 47 more came out as they were" in shown
    assert shown.endswith("kept in /kept")
    assert not found.ok
