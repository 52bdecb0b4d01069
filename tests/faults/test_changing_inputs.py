"""Source files that change under a run: what is recorded is of the very bytes that were read."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blake3 import blake3

import lineal
from lineal.assets.asset import Contract, Files
from lineal.assets.errors import ContentError, InputsChanged, IntegrityError, SourceMissing
from lineal.assets.records import Content, Materialization
from lineal.assets.run import Run
from lineal.disk import sealed, unsealed
from lineal.project import Project
from lineal.storage.ingest import read_files
from lineal.storage.objects import Objects
from lineal.storage.sources import Observer, identity_of
from lineal.storage.vault import Vault
from tests.e2e.command_line import Workplace
from tests.faults.moments import CHANGES, before_opening, once, other, reached, rewrite

PAGE = 4096
ROWS = b"a,b\n1,1\n1,3\n"


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path / "project")


class Witness:
    """Keeps a copy of each file of a folder in every state it is in, by its digest."""

    def __init__(self, folder: Path, aside: Path):
        self.folder = folder
        self.aside = aside
        self.bytes: dict[str, bytes] = {}

    def look(self) -> None:
        for path in self.folder.iterdir():
            data = path.read_bytes()
            self.bytes[blake3(data).hexdigest()] = data

    def content_of(self, made: Materialization) -> str:
        """What a source's recorded files give when they are read from copies, in peace."""
        shutil.rmtree(self.aside, ignore_errors=True)
        self.aside.mkdir(parents=True)
        for file in made.files:
            (self.aside / Path(file.path).name).write_bytes(self.bytes[file.digest])
        return content_of(self.aside, [Path(f.path).name for f in made.files])


def content_of(folder: Path, names: list[str]) -> str:
    """The content digest of the table in these files."""
    observer = Observer(folder)
    suffix = names[0].rpartition(".")[2]
    files = Files(f"*.{suffix}", str(folder))
    table = read_files(files, observer.observe("raw/x", files), folder)
    vault = Vault(Objects(folder / "store"))
    return vault.canonical(table, Contract(), rows=False, name="x").content.digest


def versions(project: Project, asset: str) -> list[Materialization]:
    """Every version of an asset that was ever recorded."""
    history = project.history()
    try:
        return [m for m in history.versions(asset) if m.outcome in ("made", "reused")]
    finally:
        history.close()


def digest_of_content(made: Materialization) -> str:
    assert isinstance(made.content, Content)
    return made.content.digest


def outcomes(run: Run) -> dict[str, str]:
    return {step.step.asset: step.outcome for step in run.steps}


def settles(project: Project) -> Run:
    """With quiet files a run is right, and the next has nothing to do."""
    run = project.materialize()
    if run.outcome == "done":
        assert set(outcomes(project.materialize()).values()) == {"fresh"}
    return run


# ------------------------------------------------------------------------------ ingested tables


def as_parquet(text: bytes) -> bytes:
    header, *rows = text.decode().split()
    columns = zip(*(row.split(",") for row in rows), strict=True)
    sink = pa.BufferOutputStream()
    # Not packed and without statistics: every value stands in the file as it is.
    pq.write_table(
        pa.table({n: list(c) for n, c in zip(header.split(","), columns, strict=True)}),
        sink,
        compression="none",
        use_dictionary=False,
        write_statistics=False,
    )
    return bytes(sink.getvalue())


def as_json(text: bytes) -> bytes:
    header, *rows = text.decode().split()
    names = header.split(",")
    return json.dumps([dict(zip(names, row.split(","), strict=True)) for row in rows]).encode()


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "csv": bytes,
    "json": as_json,
    "parquet": as_parquet,
}

TABLES = """
from lineal import checks, source, sql_asset

source("raw/x", "data/*.{suffix}", checks=[checks.not_null("a")])
sql_asset("total", "select count(*) as n, max(cast(a as bigint)) as top from raw_x")
"""


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("suffix", "opening", "before"),
    [
        ("csv", 1, False),
        ("csv", 2, False),
        ("csv", 2, True),
        ("csv", 3, False),
        ("json", 2, False),
        ("parquet", 2, False),
    ],
)
def test_a_table_and_its_digest_are_of_the_same_bytes(
    place: Workplace, suffix: str, opening: int, change: str, before: bool
) -> None:
    """The first opening is to observe, the second to read, the third to look once more."""
    data = FORMS[suffix](ROWS)
    path = place.root / "data" / f"x.{suffix}"
    place.write("pipeline.py", TABLES.format(suffix=suffix))
    path.parent.mkdir()
    path.write_bytes(FORMS[suffix](b"a,b\n5,5\n") if before else data)
    project = lineal.open(place.root)
    witness = Witness(path.parent, place.root.parent / "aside")
    if before:
        assert project.materialize().outcome == "done"
        witness.look()
        path.write_bytes(data)
    witness.look()

    def act() -> None:
        CHANGES[change](path)
        witness.look()

    with before_opening(path, opening, act) as openings:
        run = None
        try:
            run = project.materialize()
        except SourceMissing as error:
            assert opening == 1 and change == "delete", error
    assert len(openings) >= min(opening, 2)  # a file that has rested by then is known without
    told = versions(project, "raw/x")
    assert [digest_of_content(m) for m in told] == [witness.content_of(m) for m in told]
    if run is not None:
        for step in run.steps:
            if step.outcome == "failed":
                assert any(said in str(step.error) for said in ("raw/x", "data/x", "data/later"))
    if change == "delete":
        path.write_bytes(data)
    last = settles(project)
    try:
        now = content_of(path.parent, sorted(p.name for p in path.parent.iterdir()))
    except ContentError:
        assert last.outcome == "failed"
    else:
        assert last.outcome == "done"
        assert digest_of_content(project.version("raw/x")) == now


def test_a_change_between_looking_and_reading_is_taken_in_by_this_very_run(
    place: Workplace,
) -> None:
    place.write("pipeline.py", TABLES.format(suffix="csv"))
    path = place.write("data/x.csv", ROWS.decode())
    project = lineal.open(place.root)
    run = project.materialize(planned=lambda _: rewrite(path))
    assert outcomes(run) == {"raw/x": "made", "total": "made"}
    assert project.load("total")["top"].tolist() == [2]
    assert set(outcomes(project.materialize()).values()) == {"fresh"}


def test_a_file_that_never_rests_fails_the_step_with_advice(place: Workplace) -> None:
    place.write("pipeline.py", TABLES.format(suffix="csv"))
    path = place.write("data/x.csv", ROWS.decode())
    project = lineal.open(place.root)
    numbers = itertools.count(10)

    def act() -> None:
        path.write_text(f"a,b\n{next(numbers)},1\n")

    with before_opening(path, 2, act, always=True):
        run = project.materialize()
    assert outcomes(run) == {"raw/x": "failed", "total": "skipped"}
    (failed,) = [step for step in run.steps if step.outcome == "failed"]
    assert failed.error is not None
    assert "data/x.csv" in str(failed.error) or "raw/x" in str(failed.error)
    assert failed.error.advice and "run again" in failed.error.advice
    assert versions(project, "raw/x") == []
    assert outcomes(settles(project)) == {"raw/x": "made", "total": "made"}


def mixtures(one: bytes, two: bytes) -> list[bytes]:
    """What a file holds while one is written over the other, a page at a time."""
    places = range(0, len(one) + PAGE, PAGE)
    return [new[:at] + old[at:] for new, old in ((one, two), (two, one)) for at in places]


WRITER = """
import itertools, sys, time
path, page = sys.argv[1], int(sys.argv[2])
one = open(path, "rb").read()
with open(path, "r+b", buffering=0) as file:
    print("ready", flush=True)
    for data in itertools.cycle((one.replace(b"1", b"2"), one)):
        for at in range(0, len(data), page):
            file.seek(at)
            file.write(data[at : at + page])
        time.sleep(0.01)
"""


@contextlib.contextmanager
def racing(path: Path) -> Iterator[None]:
    """A process that writes without a rest while this lasts."""
    words = [sys.executable, "-c", WRITER, str(path), str(PAGE)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        try:
            yield
        finally:
            writer.kill()


def test_a_racing_writer_never_gets_a_mixture_recorded_as_something_else(place: Workplace) -> None:
    """A process rewrites the file in place, without a rest, while runs follow one another."""
    place.write("pipeline.py", TABLES.format(suffix="csv"))
    one = b"a,b\n" + b"1,1\n" * 20_000
    path = place.root / "data" / "x.csv"
    path.parent.mkdir()
    path.write_bytes(one)
    project = lineal.open(place.root)
    with racing(path):
        for _ in range(6):
            with contextlib.suppress(InputsChanged):  # it did not rest even to be looked at
                project.materialize()
    told = versions(project, "raw/x")
    states = {blake3(data).hexdigest(): data for data in mixtures(one, other(one))}
    for made in told:
        data = states[made.files[0].digest]
        aside = place.root.parent / "aside"
        aside.mkdir(exist_ok=True)
        (aside / "x.csv").write_bytes(data)
        assert digest_of_content(made) == content_of(aside, ["x.csv"])
    path.write_bytes(one)
    assert settles(project).outcome == "done"
    assert project.load("total")["top"].tolist() == [1]


# ------------------------------------------------------------------------ files read by a function

PATHS = """
from pathlib import Path

import moments
from lineal import asset, source

source("raw/x", "data/*.txt")


@asset
def texts(raw_x: list[Path]) -> dict:
    moments.reach("before")
    first = [path.read_text() for path in raw_x]
    moments.reach("between")
    second = [path.read_text() for path in raw_x]
    moments.reach("after")
    return {"first": first, "second": second}
"""


def prove_texts(project: Project, witness: Witness) -> None:
    """Every version holds what the files held that its lineage names, and nothing else."""
    history = project.history()
    try:
        for made in versions(project, "texts"):
            source = history.materialization(made.inputs[0].materialization)
            assert source is not None and source.content is not None
            assert made.inputs[0].content == made.inputs[0].digest
            read = [witness.bytes[file.digest].decode() for file in source.files]
            value = project.load(f"texts@{digest_of_content(made)}")
            assert value == {"first": read, "second": read}
    finally:
        history.close()


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("moment", ["planned", "before", "between", "after", "told"])
def test_what_a_function_read_is_what_its_lineage_says(
    place: Workplace, moment: str, change: str
) -> None:
    place.write("pipeline.py", PATHS)
    path = place.write("data/x.txt", "111")
    project = lineal.open(place.root)
    witness = Witness(path.parent, place.root.parent / "aside")
    witness.look()

    def act() -> None:
        CHANGES[change](path)
        witness.look()

    with reached(once(moment, act)):
        planned = (lambda _: act()) if moment == "planned" else None
        run = project.materialize(planned=planned)
        if moment == "told":
            act()
        prove_texts(project, witness)
        failed = [step for step in run.steps if step.outcome == "failed"]
        assert bool(failed) == (change == "delete" and moment != "told"), run
        if change == "delete":
            path.write_text("111")
        assert settles(project).outcome == "done"
        prove_texts(project, witness)
        now = [file.read_text() for file in sorted(path.parent.iterdir())]
        assert project.load("texts") == {"first": now, "second": now}


@pytest.mark.parametrize("rested", [False, True])
def test_a_file_that_was_other_only_while_a_function_read_it_is_read_again(
    place: Workplace, rested: bool
) -> None:
    place.write("pipeline.py", PATHS)
    path = place.write("data/x.txt", "111")
    if rested:
        os.utime(path, (1e9, 1e9))
    project = lineal.open(place.root)
    before = path.stat()

    def put_back() -> None:
        path.write_text("111")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    acts = [("before", lambda: rewrite(path)), ("after", put_back)]

    def reach(moment: str) -> None:
        if acts and acts[0][0] == moment:
            acts.pop(0)[1]()

    with reached(reach):
        assert project.materialize().outcome == "done"
        assert not acts
        assert project.load("texts") == {"first": ["111"], "second": ["111"]}
        assert settles(project).outcome == "done"


def test_a_file_that_a_function_changes_each_time_fails_the_step_with_advice(
    place: Workplace,
) -> None:
    place.write("pipeline.py", PATHS)
    path = place.write("data/x.txt", "1")
    project = lineal.open(place.root)
    with reached(lambda moment: path.open("a").close() if moment == "after" else None):
        assert project.materialize().outcome == "done"  # opened, not changed
    place.edit("pipeline.py", '"second": second}', '"second": second, "third": 3}')

    def grow(moment: str) -> None:
        if moment == "between":
            with path.open("a") as file:
                file.write("1")

    with reached(grow):
        run = project.materialize()
    assert outcomes(run)["texts"] == "failed"
    (failed,) = [step for step in run.steps if step.outcome == "failed"]
    assert failed.error is not None and "raw/x" in failed.error.message
    assert failed.error.advice and "run again" in failed.error.advice
    assert len(versions(project, "texts")) == 1


def test_files_that_are_read_in_place_are_not_handed_out_as_another_version(
    place: Workplace,
) -> None:
    place.write("pipeline.py", PATHS)
    path = place.write("data/x.txt", "111")
    project = lineal.open(place.root)
    with reached(lambda _: None):
        project.materialize()
        old = digest_of_content(project.version("raw/x"))
        assert project.load("raw/x") == path
        rewrite(path)
        for name in ("raw/x", f"raw/x@{old}"):
            with pytest.raises(IntegrityError, match="no longer holds") as caught:
                project.load(name)
            assert caught.value.where == str(path)
        project.materialize()
        assert project.load("raw/x") == path


# --------------------------------------------------------------- digests that were wrong all along


def test_bytes_that_changed_under_an_unchanged_identity_are_found_out_and_mended(
    place: Workplace,
) -> None:
    """As a failing disk does it, or a file system whose times can be set at will."""
    place.write("pipeline.py", TABLES.format(suffix="csv"))
    path = place.write("data/x.csv", ROWS.decode())
    os.utime(path, (1e9, 1e9))
    project = lineal.open(place.root)
    assert project.materialize().outcome == "done"
    remember_wrongly(project.cache / "stat.json", path)
    run = project.materialize()
    assert run.outcome == "done"
    witness = Witness(path.parent, place.root.parent / "aside")
    witness.look()
    told = versions(project, "raw/x")
    assert [digest_of_content(m) for m in told] == [witness.content_of(m) for m in told]
    assert set(outcomes(project.materialize()).values()) == {"fresh"}


def remember_wrongly(cache: Path, path: Path) -> None:
    """Another digest for the file, with every appearance of being right."""
    document = json.loads(unsealed(cache.read_bytes()) or b"")
    identity = identity_of(path.stat())
    far = max(identity) + 10**15
    document["files"] = {str(path): [*identity, blake3(b"other").hexdigest(), far]}
    cache.write_bytes(sealed(json.dumps(document).encode()))


# -------------------------------------------------------------------------- without a whole project


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("change", sorted(set(CHANGES) - {"give_a_sibling", "change_and_put_back"}))
def test_a_file_that_is_not_what_was_observed_is_not_parsed(
    tmp_path: Path, change: str, packed: bool
) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(gzip.compress(ROWS, mtime=1) if packed else ROWS)
    files = Files("x.csv", str(tmp_path))
    observation = Observer(tmp_path).observe("raw/x", files)
    (CHANGES[change] if not packed or change == "delete" else rewrite_packed)(path)
    with pytest.raises(InputsChanged, match=r"x\.csv") as caught:
        read_files(files, observation, tmp_path)
    assert caught.value.advice and "run again" in caught.value.advice


def rewrite_packed(path: Path) -> None:
    path.write_bytes(gzip.compress(other(ROWS), mtime=1))


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(ROWS)
    files = Files("x.csv", str(tmp_path))
    observation = Observer(tmp_path).observe("raw/x", files)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputsChanged, match="no regular file"):
        read_files(files, observation, tmp_path)


def test_a_folder_that_can_t_be_listed_is_told(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(SourceMissing, match="can't be looked at"):
        Observer(tmp_path).observe("raw/x", Files("loop/*.csv", str(tmp_path)))
