from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from blake3 import blake3

from lineal.assets.asset import Files
from lineal.assets.errors import SourceMissing
from lineal.assets.records import Observation
from lineal.disk import sealed, unsealed
from lineal.storage.sources import Observer

DAY = 86_400


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "data" / "deep").mkdir(parents=True)
    for name in ("flights2.csv", "flights1.csv", "deep/flights3.csv", "notes.txt", ".hidden.csv"):
        write(root / "data" / name, name)
    return root


def write(path: Path, text: str, age: float = DAY) -> None:
    path.write_text(text)
    then = time.time() - age
    os.utime(path, (then, then))


def observe(root: Path, pattern: str, base: Path | None = None) -> Observation:
    return Observer(root).observe("raw/flights", Files(pattern, str(base or root)))


def paths(root: Path, pattern: str) -> list[str]:
    return [file.path for file in observe(root, pattern).files]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("data/notes.txt", ["data/notes.txt"]),
        ("data/flights*.csv", ["data/flights1.csv", "data/flights2.csv"]),
        ("data/*", ["data/flights1.csv", "data/flights2.csv", "data/notes.txt"]),
        (
            "data/**/*.csv",
            ["data/deep/flights3.csv", "data/flights1.csv", "data/flights2.csv"],
        ),
        ("data/**", ["data/deep/flights3.csv", "data/flights1.csv", "data/flights2.csv",
                     "data/notes.txt"]),
        ("**/flights3.csv", ["data/deep/flights3.csv"]),
        ("*/deep/*.csv", ["data/deep/flights3.csv"]),
        ("data/flights[13].csv", ["data/flights1.csv"]),
        ("data/flights?.csv", ["data/flights1.csv", "data/flights2.csv"]),
        ("data/.*.csv", ["data/.hidden.csv"]),
        ("./data/../data/notes.txt", ["data/notes.txt"]),
    ],
)  # fmt: skip
def test_a_pattern_finds_files_in_the_order_of_their_paths(
    project: Path, pattern: str, found: list[str]
) -> None:
    assert paths(project, pattern) == found


def test_a_file_whose_name_looks_like_a_pattern_is_found(project: Path) -> None:
    write(project / "data" / "[x].csv", "")
    assert paths(project, "data/[x].csv") == ["data/[x].csv"]


def test_a_file_is_recorded_with_its_digest_and_size(project: Path) -> None:
    (file,) = observe(project, "data/notes.txt").files
    assert file.digest == blake3(b"notes.txt").hexdigest()
    assert file.bytes == 9


def test_paths_are_relative_to_the_file_that_says_them(project: Path) -> None:
    found = observe(project, "deep/*.csv", project / "data")
    assert [file.path for file in found.files] == ["data/deep/flights3.csv"]


def test_moving_the_project_changes_no_digest(project: Path) -> None:
    before = observe(project, "data/*.csv").digest
    moved = project.rename(project.with_name("elsewhere"))
    assert observe(moved, "data/*.csv").digest == before


def test_moving_data_named_by_its_whole_path_changes_no_digest(
    project: Path, tmp_path: Path
) -> None:
    root = tmp_path / "other"
    root.mkdir()
    first = observe(root, str(project / "data" / "*.csv"))
    assert first.files[0].path == str(project / "data" / "flights1.csv")
    shutil.copytree(project, tmp_path / "copy")
    assert observe(root, str(tmp_path / "copy" / "data" / "*.csv")).digest == first.digest


def test_data_beside_the_project_is_found_again(project: Path) -> None:
    root = project / "code"
    root.mkdir()
    found = observe(root, "../data/notes.txt")
    assert found.files[0].path == "../data/notes.txt"
    assert Observer(root).unchanged(found)


@pytest.mark.parametrize("change", ["edit", "rename", "add", "remove"])
def test_what_a_reader_could_see_changes_the_digest(project: Path, change: str) -> None:
    before = observe(project, "data/*.csv").digest
    file = project / "data" / "flights1.csv"
    if change == "edit":
        write(file, "other")
    elif change == "rename":
        file.rename(file.with_name("flights0.csv"))
    elif change == "add":
        write(file.with_name("flights9.csv"), "")
    else:
        file.unlink()
    assert observe(project, "data/*.csv").digest != before


def test_a_touched_file_has_the_digest_it_had(project: Path) -> None:
    before = observe(project, "data/*.csv").digest
    (project / "data" / "flights1.csv").touch()
    assert observe(project, "data/*.csv").digest == before


# ------------------------------------------------------------------------------------ missing


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("data/flihgts1.csv", "did you mean `flights1.csv`"),
        ("daat/flights1.csv", "did you mean `data`"),
        ("data/flights*.parquet", "looked in"),
        ("data", "is a folder"),
    ],
)
def test_a_missing_source_says_where_was_looked_and_what_is_there(
    project: Path, pattern: str, said: str
) -> None:
    with pytest.raises(SourceMissing) as caught:
        observe(project, pattern)
    error = caught.value
    assert "raw/flights" in error.message
    assert pattern in error.message
    assert said in f"{error.message} {error.advice}"
    assert error.exit_code == 2


def test_a_dangling_link_is_a_missing_file(project: Path) -> None:
    (project / "link.csv").symlink_to("nowhere.csv")
    with pytest.raises(SourceMissing):
        observe(project, "link.csv")


# -------------------------------------------------------------------------------------- cache


def spoil(cache: Path) -> None:
    """Give every cached file a wrong digest, to see whether the cache is asked."""
    document = json.loads(unsealed(cache.read_bytes()))
    for entry in document["files"].values():
        entry[5] = "0" * 64
    cache.write_bytes(sealed(json.dumps(document).encode()))


def age(cache: Path, seconds: int) -> None:
    """Make it look as if the digests had been taken that much later."""
    document = json.loads(unsealed(cache.read_bytes()))
    for entry in document["files"].values():
        entry[6] += seconds * 10**9
    cache.write_bytes(sealed(json.dumps(document).encode()))


@pytest.fixture
def cache(project: Path) -> Path:
    """A saved cache of `data/notes.txt`, digested long after its last change."""
    path = project / ".lineal" / "cache" / "files.json"
    observer = Observer(project, path)
    observer.observe("notes", Files("data/notes.txt", str(project)))
    observer.save()
    age(path, 10)
    return path


def test_an_unchanged_file_is_not_read_again(project: Path, cache: Path) -> None:
    spoil(cache)
    assert Observer(project, cache).digest("data/notes.txt") == "0" * 64


def test_a_file_changed_just_before_it_was_digested_is_read_again(
    project: Path, cache: Path
) -> None:
    spoil(cache)
    age(cache, -10)
    assert Observer(project, cache).digest("data/notes.txt") == blake3(b"notes.txt").hexdigest()


@pytest.mark.parametrize("keep_times", [False, True])
def test_an_edit_of_equal_length_is_seen(project: Path, cache: Path, keep_times: bool) -> None:
    path = project / "data" / "notes.txt"
    before = path.stat()
    path.write_text("NOTES.txt")
    if keep_times:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert Observer(project, cache).digest("data/notes.txt") == blake3(b"NOTES.txt").hexdigest()


@pytest.mark.parametrize("content", ["", "[", '{"scheme": "other", "files": {}}', '{"files": 3}'])
def test_a_cache_that_is_not_whole_is_not_used(project: Path, cache: Path, content: str) -> None:
    cache.write_text(content)
    assert Observer(project, cache).digest("data/notes.txt") == blake3(b"notes.txt").hexdigest()


def test_the_cache_may_be_deleted(project: Path, cache: Path) -> None:
    shutil.rmtree(cache.parent)
    observer = Observer(project, cache)
    assert observer.digest("data/notes.txt") == blake3(b"notes.txt").hexdigest()
    observer.save()
    assert cache.exists()


def test_the_cache_is_written_only_when_something_is_new(project: Path, cache: Path) -> None:
    before = cache.stat().st_mtime_ns
    observer = Observer(project, cache)
    observer.digest("data/notes.txt")
    observer.save()
    assert cache.stat().st_mtime_ns == before
    assert [path.name for path in cache.parent.iterdir()] == [cache.name]


def test_the_cache_forgets_files_that_are_gone(project: Path, cache: Path) -> None:
    (project / "data" / "notes.txt").unlink()
    observer = Observer(project, cache)
    observer.digest("data/flights1.csv")
    observer.save()
    assert list(json.loads(unsealed(cache.read_bytes()))["files"]) == [
        str(project / "data" / "flights1.csv")
    ]


# ---------------------------------------------------------------------------------- unchanged


def test_an_observation_is_unchanged_until_a_file_is(project: Path) -> None:
    observer = Observer(project)
    found = observer.observe("raw/flights", Files("data/*.csv", str(project)))
    assert observer.unchanged(found)
    write(project / "data" / "flights1.csv", "FLIGHTS1.csv")
    assert not observer.unchanged(found)


def test_a_removed_file_is_a_change(project: Path) -> None:
    observer = Observer(project)
    found = observer.observe("raw/flights", Files("data/*.csv", str(project)))
    (project / "data" / "flights1.csv").unlink()
    assert not observer.unchanged(found)


def test_a_change_within_one_tick_of_the_clock_is_seen(project: Path) -> None:
    path = project / "data" / "flights1.csv"
    observer = Observer(project)
    path.write_text("one")
    found = observer.observe("raw/flights", Files("data/flights1.csv", str(project)))
    path.write_text("two")
    status = path.stat()
    identity = (
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )  # fmt: skip
    # As on a file system with a coarse clock: the same identity for other bytes.
    same = Observation(found.source, (found.files[0]._replace(identity=identity),), found.digest)
    assert not observer.unchanged(same)


def test_the_digest_of_what_is_no_file_is_none(project: Path) -> None:
    observer = Observer(project)
    assert observer.digest("data") is None
    assert observer.digest("nothing.txt") is None
    whole = str(project / "data" / "notes.txt")
    assert observer.digest(whole) == observer.digest("data/notes.txt") is not None


def test_observing_imports_nothing_heavy(project: Path) -> None:
    script = (
        "import sys\nfrom lineal.assets.asset import Files\n"
        "from lineal.storage.sources import Observer\n"
        f"Observer({str(project)!r}).observe('x', Files('data/*', {str(project)!r}))\n"
        "print({'pandas', 'pyarrow', 'numpy', 'duckdb', 'shutil'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
