"""docs/questions.md: every statement is run over one past, and answers what the page says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command_line import Workplace
from tests.e2e.delays_past import tell

PAGE = Path(__file__).parents[2] / "docs" / "questions.md"
# What is another on another machine or day: a model's bytes, a time as the result, sizes, people.
VARYING = {
    "What may hold anything of this file, and must go if it must?": {"digest"},
    "What was current then?": {"digest"},
    "What takes how much room, and does anybody read it?": {"bytes"},
    "Who put what into production, and why?": {"promoted_at", "who"},
    "Who ran what, and when?": {"who", "command", "started_at"},
    "What does each asset cost?": {"seconds", "longest"},
    "Which were the slowest steps of the last run?": {"seconds"},
}
VERSION = re.compile(r"\d+(\.\d+)+")  # of a package
ELIDED = "…"


def sections() -> Iterator[tuple[str, str, str]]:
    """Each question, its statement and its answer on the page."""
    text = PAGE.read_text("utf-8")
    for section in re.split(r"^### ", text, flags=re.M)[1:]:
        title, _, rest = section.partition("\n")
        (statement,) = re.findall(r"```sql\n(.*?)```", rest, flags=re.S)
        yield title, statement, "\n".join(re.findall(r"^\|.*\|$", rest, flags=re.M))


QUESTIONS = {title: (statement, answer) for title, statement, answer in sections()}


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return tell(tmp_path_factory.mktemp("past") / "project")


@pytest.fixture(scope="module")
def runs(past: Workplace) -> list[str]:
    return [row["id"] for row in past.lineal("sql", RUNS, "--format", "json").json]


RUNS = "select id from lineage.run order by number"


def rows(markdown: str) -> list[list[str]]:
    """The cells of a table, its header first."""
    lines = [line.strip().strip("|") for line in markdown.splitlines() if line.startswith("|")]
    found = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in lines]
    return [cells for cells in found if not set("".join(cells)) <= {"-", ":"}]


def comparable(
    table: list[list[str]], varying: set[str], runs: list[str]
) -> Counter[tuple[str, ...]]:
    """The rows in no order; a run is told by its turn, which the timing of entries doesn't move."""
    header, *body = table

    def cell(column: str, text: str) -> str:
        if column in varying or VERSION.fullmatch(text):
            return "#"
        return re.sub(r"\br\d+\b", lambda found: f"run {runs.index(found[0])}", text)

    return Counter(tuple(map(cell, header, cells)) for cells in body)


def runs_of_the_page() -> list[str]:
    _, answer = QUESTIONS["Who ran what, and when?"]
    return [cells[0] for cells in reversed(rows(answer)[1:])]


@pytest.mark.parametrize("title", QUESTIONS)
def test_the_statement_answers_as_the_page_says(
    title: str, past: Workplace, runs: list[str]
) -> None:
    statement, answer = QUESTIONS[title]
    said = past.lineal("sql", statement, "--format", "markdown")
    assert said.code == 0, said.err
    told, found = rows(answer), rows(said.out)
    assert told[0] == found[0]
    varying = VARYING.get(title, set())
    whole = told[-1] != [ELIDED] * len(told[0])
    expected = comparable(told if whole else told[:-1], varying, runs_of_the_page())
    answered = comparable(found, varying, runs)
    assert expected
    assert expected == answered if whole else expected < answered


def test_the_code_of_an_asset_with_one_recipe_did_not_change_and_a_function_has_a_digest(
    past: Workplace,
) -> None:
    statement, _ = QUESTIONS["What changed in the code between the last two recipes of an asset?"]
    one = past.lineal("sql", statement.replace("'flights'", "'codes'"), "--format", "json")
    assert (one.code, one.json) == (0, [])
    all_parts = statement.replace("a.digest is distinct from b.digest", "true")
    told = past.lineal("sql", all_parts, "--format", "json").json
    since = {row["part"]: row["since"] for row in told}
    assert re.fullmatch("[0-9a-f]{8}", since["pipeline.flights"])


def test_there_are_twenty_questions_at_least_and_none_twice() -> None:
    assert len(QUESTIONS) >= 20
    assert [title for title, _, _ in sections()] == list(QUESTIONS)
