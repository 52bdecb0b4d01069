"""Answers to SQL as text, and the shell that reads statements."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

import pytest

from lineal.cli.render import Style
from lineal.cli.shell import answer_text, shell
from lineal.project import Answer, Project
from tests.e2e.command_line import Workplace

STYLE = Style(80, ascii=True)
ANSWER = Answer(("a|b", "c"), ((1, None), ("x, \"y\"\nz", 0.5)))  # fmt: skip


def test_csv_is_read_back_by_a_csv_reader() -> None:
    rows = list(csv.reader(io.StringIO(answer_text(STYLE, ANSWER, "csv"))))
    assert rows == [["a|b", "c"], ["1", ""], ['x, "y"\nz', "0.5"]]


def test_markdown_cells_keep_to_their_rows() -> None:
    assert answer_text(STYLE, ANSWER, "markdown").splitlines() == [
        "| a\\|b | c |",
        "| --- | --- |",
        "| 1 | null |",
        '| x, "y" z | 0.5 |',
    ]


def test_a_table_ends_with_how_many_rows() -> None:
    assert answer_text(STYLE, ANSWER, "table").splitlines()[-1] == "2 rows"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    place = Workplace(tmp_path / "project")
    place.write("n.csv", "k,v\n1,10\n2,20\n")
    place.write("pipeline.py", 'from lineal import source\n\nsource("raw/n", "n.csv")\n')
    place.make()
    return Project(place.root)


def typed(
    project: Project,
    lines: Iterable[str | BaseException],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> tuple[str, str]:
    """What the shell says when these lines are typed; an exception stands for a key."""
    waiting = iter(lines)

    def read(prompt: str) -> str:
        line = next(waiting, EOFError())
        if isinstance(line, BaseException):
            raise line
        return line

    monkeypatch.setattr("builtins.input", read)
    capsys.readouterr()
    shell(project)
    said = capsys.readouterr()
    return said.out, said.err


def test_the_shell_says_what_is_there_and_answers_statements(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = typed(project, ["select sum(v) as total", "from raw.n;"], monkeypatch, capsys)
    assert out.startswith("1 table ")
    assert "total" in out
    assert "30" in out
    assert err == ""


def test_an_error_does_not_end_the_shell(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["from nowhere;", 'from "raw/n@2999-01-01";', "select 41 + 1 as n;"]
    out, err = typed(project, lines, monkeypatch, capsys)
    assert "no table `nowhere`" in err
    assert "still to come" in err
    assert "42" in out


def test_each_table_is_listed_once_by_the_name_of_its_asset(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = typed(project, [".tables", ".schema raw/n"], monkeypatch, capsys)
    assert "raw/n" in out
    assert "raw_n" not in out
    assert "BIGINT" in out


def test_commands_are_known_in_the_middle_of_a_statement(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = typed(project, ["select 1", ".help", ".quit", "select 2;"], monkeypatch, capsys)
    assert "a statement ends with ;" in out
    assert "2" not in out.splitlines()[-1]


def test_an_interrupt_forgets_the_statement_and_goes_on(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["select nonsense", KeyboardInterrupt(), "select 43 as n;"]
    out, err = typed(project, lines, monkeypatch, capsys)
    assert "43" in out
    assert err == ""
