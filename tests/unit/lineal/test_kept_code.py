"""The code of a run is kept with it: the bytes that were loaded, one object for equal code."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest

from lineal.assets.errors import IntegrityError, UsageError
from lineal.disk import Disk
from lineal.kept_code import keep, lay_out
from lineal.lineage.journal import Journal
from lineal.project import Project
from lineal.storage.objects import Objects
from tests.unit.lineage.story import Run

PIPELINE = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent.parent / "shared"))
import outer
from lineal import asset, sql_asset
from parts.inner import rate

@asset
def base():
    import late
    return {"value": late.three() * rate() * outer.K}

sql_asset("one", path="sql/one.sql")
"""
FILES = {
    "project/pipeline.py": PIPELINE,
    "project/parts/__init__.py": "",
    "project/parts/inner.py": "def rate(): return 2\n",
    "project/late.py": "def three(): return 3\n",
    "project/unused.py": "raise SystemExit\n",
    "project/sql/one.sql": "select 1 as x",
    "project/lineal.toml": '[project]\ndefinitions = ["pipeline.py"]\n',
    "project/data.csv": "a\n1\n",
    "shared/outer.py": "K = 5\n",
}


def written(folder: Path) -> Path:
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "project"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(written(tmp_path_factory.mktemp("made")))
    assert project.materialize("base").outcome == "done"
    return project


@pytest.fixture
def copy(made: Project, tmp_path: Path) -> Project:
    """The same project elsewhere, with its store."""
    shutil.copytree(made.root.parent, tmp_path / "there")
    return Project(tmp_path / "there" / "project")


def objects(project: Project) -> list[Path]:
    return sorted((project.store / "objects").glob("*/*.zip"))


def laid_out(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in found}


def test_a_run_keeps_what_it_loaded_and_nothing_else(made: Project, tmp_path: Path) -> None:
    root = made.code("r1", tmp_path / "code")
    left_out = {"project/unused.py", "project/data.csv"}
    assert laid_out(tmp_path / "code") == {k: v for k, v in FILES.items() if k not in left_out}
    assert root == tmp_path / "code" / "project"
    (archive,) = map(zipfile.ZipFile, objects(made))
    with archive:
        about = json.loads(archive.read("about.json"))
    assert about["modules"] == {
        "late": "project/late.py",
        "outer": "outside/1/shared/outer.py",
        "parts": "project/parts/__init__.py",
        "parts.inner": "project/parts/inner.py",
        "pipeline": "project/pipeline.py",
    }
    assert (about["texts"], about["settings"]) == (["project/sql/one.sql"], "project/lineal.toml")


def test_the_same_code_is_the_same_object_in_every_folder_and_at_every_time(copy: Project) -> None:
    (before,) = objects(copy)
    status = before.stat()
    assert copy.materialize().outcome == "done"  # more of it is made
    assert copy.materialize("base", force=True).outcome == "done"
    (after,) = objects(copy)
    assert after == before
    assert (after.stat().st_ino, after.stat().st_mtime_ns) == (status.st_ino, status.st_mtime_ns)
    runs = [story.started.sources for story in copy.runs()]
    assert len(runs) == 3
    assert {kept.digest for kept in runs if kept} == {before.stem}

    (copy.root / "late.py").write_text("def three(): return 3  # still\n")
    assert copy.materialize("base").id is None  # nothing was to do: no run, and nothing is kept
    assert objects(copy) == [before]
    assert copy.materialize("base", force=True).id is not None
    assert len(objects(copy)) == 2


def test_what_is_kept_is_what_was_loaded_whatever_became_of_the_files(
    copy: Project, tmp_path: Path
) -> None:
    with copy.look() as seen:
        for name in FILES:
            (copy.root.parent / name).write_text("changed = True\n")
        kept = keep(seen.definitions, seen.settings, seen.objects)
    assert [kept.digest] == [path.stem for path in objects(copy)]


def test_the_modules_that_are_no_part_of_the_root_have_their_folders(
    made: Project, tmp_path: Path
) -> None:
    (story,) = made.runs()
    assert story.started.sources is not None
    kept = lay_out(story.started.sources, Objects(made.store), tmp_path / "a")
    assert kept.homes() == [tmp_path / "a" / "shared"]
    assert kept.modules["parts"] == kept.root / "parts" / "__init__.py"


@pytest.mark.parametrize(
    "member",
    ["outside/0/x", "outside/-1/x", "outside/x", "outside", "outside/99999999/x",
     "outside/1/../../x", "project/../x", "/x", "x"],
)  # fmt: skip
def test_no_archive_writes_outside_of_the_folder(member: str, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(
            "about.json", '{"format": 1, "modules": {}, "texts": [], "settings": null}'
        )
        archive.writestr(member, "attack")
    objects = Objects(tmp_path / "store")
    stored = objects.put_bytes(packed.getvalue(), "zip")
    objects.sync()
    with pytest.raises(IntegrityError, match=f"holds a file `{member}`, which has no place"):
        lay_out(stored, objects, tmp_path / "a" / "b")
    assert not [path for path in (tmp_path / "a").rglob("*") if path.is_file()]


def test_code_is_not_written_over_what_is_there(made: Project, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(UsageError, match="is not empty"):
        made.code("r1", tmp_path)
    with pytest.raises(UsageError, match="no run `r7`"):
        made.code("r7", tmp_path / "new")
    Run(Journal(tmp_path / ".lineal"))
    (tmp_path / "pipeline.py").write_text("")
    with pytest.raises(UsageError, match="the code of r1 was not kept"):
        Project(tmp_path).code("r1", tmp_path / "new")


def test_an_object_of_code_is_looked_over_and_told_by_its_runs(copy: Project) -> None:
    assert copy.materialize("base", force=True).outcome == "done"
    assert copy.fsck("content").ok
    assert not [note for note in copy.fsck("bytes").notes if note.kind == "orphans"]
    (place,) = objects(copy)
    data = place.read_bytes()
    place.chmod(0o644)
    place.write_bytes(data[:-1] + b"?")
    (found,) = copy.fsck("bytes").damages
    assert (found.path, found.what.partition("; ")[2]) == (place, "it is the code of r1 and r4")
    with pytest.raises(IntegrityError, match="damaged"):
        copy.code("r1", copy.root.parent / "new")

    place.unlink()
    (found,) = copy.fsck("objects").damages
    assert found.what == "is missing; it is the code of r1 and r4"
    repaired = copy.fsck("objects", repair=True)
    assert repaired.ok
    assert [action.kind for action in repaired.actions] == ["lost"]
    assert "the code of r1 and r4 is lost" in repaired.actions[0].what
    assert any("the code of r1 and r4" in note.what for note in copy.fsck("objects").notes)

    assert copy.materialize("base", force=True).outcome == "done"  # the same code: it is back
    assert objects(copy) == [place]
    assert place.read_bytes() == data
    assert copy.fsck("bytes").ok


class Recorder(Disk):
    """Notes in which order names come into being."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def link(self, source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
        super().link(source, target)
        self.names.append(Path(target).suffix)


def test_the_object_is_there_before_the_entry_that_names_it(copy: Project) -> None:
    (copy.root / "late.py").write_text("def three(): return 4\n")
    disk = Recorder()
    assert Project(copy.root, disk).materialize("base").outcome == "done"
    assert disk.names[:2] == [".zip", ".jsonl"]
