"""Ready-made checks: the rule each makes, its name, and what it refuses."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lineal.assets import checks
from lineal.assets.asset import Check, Input, Where, gathering
from lineal.assets.check_texts import parse_check
from lineal.assets.checks import make_check
from lineal.assets.declare import source
from lineal.assets.errors import DefinitionError

HEADER = Where("/project/sql/a.sql", 3)
DAY = dt.date(2026, 1, 5)


@pytest.mark.parametrize(
    ("made", "name", "rule"),
    [
        (checks.not_null("a", "b"), "not_null(a, b)", ("not_null", (("columns", ("a", "b")),))),
        (checks.unique("a"), "unique(a)", ("unique", (("columns", ("a",)),))),
        (
            checks.accepted("s", ["x", "y"]),
            "accepted(s, [x, y])",
            ("accepted", (("column", "s"), ("values", ("x", "y")))),
        ),
        (
            checks.references("origin", "raw/airports", to="faa"),
            "references(origin, raw/airports, faa)",
            ("references", (("column", "origin"), ("asset", "raw/airports"), ("to", "faa"))),
        ),
        (
            checks.between("d", DAY),
            "between(d, low=2026-01-05)",
            ("between", (("column", "d"), ("low", DAY), ("high", None))),
        ),
        (
            checks.matches("tail", "^N"),
            "matches(tail, ^N)",
            ("matches", (("column", "tail"), ("pattern", "^N"))),
        ),
        (
            checks.rows(1, 9),
            "rows(minimum=1, maximum=9)",
            ("rows", (("minimum", 1), ("maximum", 9))),
        ),
        (
            checks.drift("train", ["a"]),
            "drift(train, a)",
            (
                "drift",
                (
                    ("reference", "train"),
                    ("columns", ("a",)),
                    ("statistic", "psi"),
                    ("limit", 0.2),
                    ("bins", 10),
                ),
            ),
        ),
        (
            checks.drift("previous", statistic="ks"),
            "drift(previous, ks)",
            (
                "drift",
                (("reference", "previous"), ("statistic", "ks"), ("limit", 0.05), ("bins", 10)),
            ),
        ),
        (checks.not_shrunk(0.1), "not_shrunk(0.1)", ("not_shrunk", (("fraction", 0.1),))),
        (checks.expression("a > b"), "expression(a > b)", ("expression", (("sql", "a > b"),))),
        (
            checks.schema({"id": "BIGINT"}),
            "schema(id: BIGINT)",
            ("schema", (("columns", (("id", "BIGINT"),)),)),
        ),
    ],
)
def test_a_ready_made_check_is_a_rule_with_a_name_that_reads_as_it_is_written(
    made: Check, name: str, rule: Any
) -> None:
    severity = "warn" if rule[0] == "drift" else "error"
    assert (made.name, made.rule, made.severity, made.function) == (name, rule, severity, None)


def test_a_check_of_references_has_the_other_asset_as_an_input() -> None:
    airports = source("raw/airports", "airports.csv")
    made = checks.references("origin", airports)
    assert made.inputs == (Input(parameter="references", asset="raw/airports"),)
    assert made.name == "references(origin, raw/airports)"
    assert dict(made.rule[1])["to"] == "origin" if made.rule else False
    made = checks.drift(airports, ["lat"])
    assert made.inputs == (Input(parameter="reference", asset="raw/airports", columns=("lat",)),)
    assert checks.drift("previous").inputs == ()


def test_severity_name_and_place_are_kept() -> None:
    made = checks.rows(1, severity="warn", name="some rows")
    assert (made.severity, made.name) == ("warn", "some rows")
    assert made.where.file == str(Path(__file__).absolute())


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: checks.not_null(), "needs the name of a column"),
        (lambda: checks.not_null("a", "a"), "named twice"),
        (lambda: checks.not_null(1), "`column` needs a text"),
        (lambda: checks.accepted("a", []), "needs the list of values"),
        (lambda: checks.accepted("a", "abc"), "needs the list of values"),
        (lambda: checks.accepted("a", [object()]), "no plain value"),
        (lambda: checks.references("a", "no name"), "not an asset name"),
        (lambda: checks.between("a"), "needs `low` or `high`"),
        (lambda: checks.between("a", 3, 1), "`low` 3 is above `high` 1"),
        (lambda: checks.between("a", 3, "x"), "not supported"),
        (lambda: checks.rows(), "needs `minimum` or `maximum`"),
        (lambda: checks.rows(-1), "needs a number of rows"),
        (lambda: checks.rows(True), "needs a number of rows"),
        (lambda: checks.not_shrunk(1), "`fraction` is 1"),
        (lambda: checks.drift("train", statistic="pis"), "no statistic 'pis'; did you mean `psi`"),
        (lambda: checks.drift(source("previous", "a.csv")), "an asset called `previous`"),
        (lambda: checks.drift("train", limit=0), "`limit` is 0"),
        (lambda: checks.drift("train", statistic="ks", limit=1), "`limit` is 1"),
        (lambda: checks.drift("train", bins=1), "`bins` is 1"),
        (lambda: checks.drift("train", []), "needs the name of a column"),
        (lambda: checks.expression(" "), "`sql` needs a text"),
        (lambda: checks.schema({}), "each column's type"),
        (lambda: checks.schema({"a": 1}), "`a` needs a text"),
        (lambda: checks.rows(1, severity="fatal"), "severity is 'fatal'"),
        (lambda: checks.rows(1, nme="x"), "unexpected keyword argument 'nme'"),
    ],
)
def test_a_check_that_can_not_be_right_is_refused_with_its_place(
    make: Callable[[], Check], says: str
) -> None:
    with pytest.raises(DefinitionError) as caught:
        make()
    assert says in caught.value.message
    assert (caught.value.where or "").startswith(f"{Path(__file__).absolute()}:")


def test_while_a_project_is_loaded_a_refused_check_does_not_stop_it() -> None:
    with gathering() as found:
        stand_in = checks.rows()
        checks.not_null()
    assert isinstance(stand_in, Check)
    assert [type(each) for each in found] == [DefinitionError, DefinitionError]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("not_null(id)", checks.not_null("id")),
        ("not_null(id, 'a column')", checks.not_null("id", "a column")),
        ("accepted(state, [open, 'closed', 3])", checks.accepted("state", ["open", "closed", 3])),
        ("references(a, raw/b, to=c)", checks.references("a", "raw/b", "c")),
        ("between(delay, -5, high=5.5)", checks.between("delay", -5, 5.5)),
        ("rows(minimum=1)", checks.rows(1)),
        ("drift(train, [temp], limit=0.1)", checks.drift("train", ["temp"], limit=0.1)),
        ("expression('a > b', name=later)", checks.expression("a > b", name="later")),
        ("schema({id: BIGINT})", checks.schema({"id": "BIGINT"})),
        ("unique(id, severity=warn)", checks.unique("id", severity="warn")),
    ],
)  # fmt: skip
def test_the_text_of_a_check_is_the_check(text: str, same: Check) -> None:
    made = parse_check(text, HEADER)
    assert (made.name, made.rule, made.severity, made.inputs) == (
        same.name, same.rule, same.severity, same.inputs,
    )  # fmt: skip
    assert made.where == HEADER


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("notnull(id)", "did you mean `not_null`"),
        ("not_null", "it is no call"),
        ("not_null(from)", "is not a check"),
        ("not_null(__import__('os'))", "is not a check"),
        ("not_null()", "needs the name of a column"),
        ("rows(least=1)", "unexpected keyword"),
        ("rows(**x)", "unexpected keyword"),
    ],
)
def test_a_text_that_is_no_check_is_refused_with_its_line(text: str, says: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_check(text, HEADER)
    assert says in caught.value.message
    assert caught.value.where == "/project/sql/a.sql:3"


def test_every_ready_made_check_can_be_made_by_name() -> None:
    for kind in checks.__all__:
        with pytest.raises(DefinitionError) as caught:
            make_check(kind, (), {"no_such_argument": 1}, HEADER)
        assert "there is no check" not in caught.value.message
