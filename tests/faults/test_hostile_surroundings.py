"""What the world does to a run beside failing disks: told in words, and nothing is wrong."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.command_line import Workplace

ROOT = Path(__file__).resolve().parents[2]
TWO = """
    from lineal import asset

    @asset
    def one(k: int = 1):
        return k

    @asset
    def two(one):
        return one + 1
    """


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path / "project")


def test_an_older_store_put_in_place_of_the_one_in_use_ends_the_run(place: Workplace) -> None:
    place.write(
        "pipeline.py",
        """
        import shutil
        from lineal import asset

        @asset
        def one(k: int = 1):
            if k == 2:  # somebody restores a backup, just now
                shutil.rmtree(".lineal")
                shutil.copytree("../backup", ".lineal")
            return k
        """,
    )
    place.make()
    (place.root / ".lineal").rename(place.root.parent / "backup")
    place.make("--force")
    place.make("--force")
    said = place.lineal("materialize", "-p", "one.k=2")
    assert said.code == 1
    assert "the journal was replaced by another" in said.err
    assert place.make("-p", "one.k=3").steps("made") == {"one"}
    assert place.lineal("sql", "select * from lineage.current", "--json").code == 0
    assert place.make("-p", "one.k=3").steps("fresh") == {"one"}
    assert place.lineal("fsck").code == 0


def test_a_source_file_that_can_t_be_looked_at_is_not_gone(place: Workplace) -> None:
    place.write("pipeline.py", "from lineal import source\nsource('parts', 'data/*/part.csv')\n")
    for name in ("a", "b"):
        place.write(f"data/{name}/part.csv", f"id\n{name}\n")
    place.make()
    part = place.root / "data" / "b" / "part.csv"
    part.unlink()
    part.symlink_to(part)  # a link to itself: the system refuses to say what it is
    for words in (["plan"], ["materialize"]):
        said = place.lineal(*words)
        assert said.code == 2
        assert "can't be looked at" in said.err
        assert "data/b/part.csv" in said.err


def test_what_lineal_itself_raises_inside_a_step_fails_that_step_alone(place: Workplace) -> None:
    place.write("pipeline.py", TWO)
    place.edit("pipeline.py", "return k", 'import lineal; return lineal.open("/nowhere")')
    place.write(
        "pipeline.py",
        (place.root / "pipeline.py").read_text() + "\n@asset\ndef free():\n    return 1\n",
    )
    said = place.lineal("materialize", "--json")
    assert said.code == 1
    assert said.steps("failed") == {"one"}
    assert said.steps("skipped") == {"two"}
    assert said.steps("made") == {"free"}
    assert [run["outcome"] for run in place.lineal("runs", "--json").json] == ["failed"]


def test_a_damaged_input_fails_the_step_that_reads_it_and_no_other(place: Workplace) -> None:
    place.write("pipeline.py", TWO)
    place.make("one")
    (stored,) = (place.root / ".lineal" / "objects").glob("*/*.json")
    stored.chmod(0o644)
    stored.write_bytes(b"2")
    place.edit("pipeline.py", "def two(one):", "def free():\n    return 1\n\n@asset\ndef two(one):")
    said = place.lineal("materialize", "--json", "two")
    assert (said.code, said.steps("failed")) == (3, {"two"})
    said = place.lineal("materialize")
    assert said.code == 3
    assert stored.name in said.out
    assert "1 failed, 1 made, 1 fresh" in said.out
    assert "exit 3" in said.out
    assert place.lineal("fsck", "--repair").code == 0
    assert place.make().steps("made") == {"two"}


def command(place: Workplace, *words: str, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "lineal.cli", *words]
    return subprocess.run(  # type: ignore[call-overload,no-any-return]  # options vary
        line, cwd=place.root, env=environment, stderr=subprocess.PIPE, text=True, **options
    )


def test_a_closed_output_is_no_error(place: Workplace) -> None:
    place.write("pipeline.py", TWO)
    shell = f"exec {sys.executable} -m lineal.cli materialize >&-"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        ["sh", "-c", shell], cwd=place.root, env=environment, stderr=subprocess.PIPE, text=True
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert place.make().steps("fresh") == {"one", "two"}


def test_an_output_that_takes_nothing_is_told_without_a_traceback(place: Workplace) -> None:
    place.write("pipeline.py", TWO)
    with open("/dev/full", "w") as full:
        ended = command(place, "materialize", stdout=full)
    assert ended.returncode == 1
    assert "No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert place.lineal("materialize").code == 0


@pytest.mark.parametrize("size", [8_000, 60_000, 300_000, 2_000_000])
def test_a_question_without_room_for_its_answer_is_told_or_answered(
    place: Workplace, size: int
) -> None:
    """The catalog and every copy of it may grow to so many bytes, not more."""
    place.write("pipeline.py", TWO)
    place.make()

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    question = "select count(*) as n from lineage.current"
    ended = command(place, "sql", question, stdout=subprocess.PIPE, preexec_fn=limited)
    assert "Traceback" not in ended.stderr
    assert "Catalog Error" not in ended.stderr
    if ended.returncode == 0:
        assert "2" in ended.stdout
    else:
        assert "make room" in ended.stderr
    assert "2" in command(place, "sql", question, stdout=subprocess.PIPE).stdout
