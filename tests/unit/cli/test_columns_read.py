"""Which columns a reader reads, as `why`, `plan` and `lineage` tell it."""

from __future__ import annotations

import click

from lineal.answers import Explanation, InputNow
from lineal.assets.names import Step
from lineal.assets.plan import PlannedStep, condition
from lineal.assets.records import Column, Content, EnvironmentFacts, Materialization, Recipe, Used
from lineal.assets.verdicts import Decision, Fresh, Pending, Verdict
from lineal.cli.describe import why_document, why_lines
from lineal.cli.render import Style
from lineal.lineage.tree import Derivation, Edge, to_tree

NAMES = ("id", "day", "origin", "dest", "delay", "gust", "rain", "wind")


def content(digest: str, **changed: str) -> Content:
    columns = tuple(Column(name, "int64", changed.get(name, name)) for name in NAMES)
    return Content(digest * 32, "parquet", (), 3, columns)


BEFORE, NOW = content("aa"), content("bb", gust="another")


def read(asset: str, mode: str, *columns: str, doubt: str = "") -> InputNow:
    used = Used(asset, asset, None, mode, "digest", NOW.digest, "r2.1", columns)
    return InputNow(used, NOW, BEFORE, doubt)


def explained(verdict: Verdict, *inputs: InputNow) -> Explanation:
    step = PlannedStep(Step("late"), "late", verdict, "none", None, None, None)
    environment = EnvironmentFacts("e", "3.12", (), ())
    decision = Decision(verdict, "none")
    return Explanation(
        step, decision, Recipe("r"), environment, (), None, None, inputs, upstream=()
    )


def told(*inputs: InputNow) -> list[str]:
    rows = [
        click.unstyle(row) for row in why_lines(Style(80, ascii=False), explained(Fresh(), *inputs))
    ]
    start = next(n for n, row in enumerate(rows) if row.startswith("    inputs"))
    return [row[18:] for row in rows[start : rows.index("    not followed  nothing")]]


def test_why_names_the_columns_read_and_what_changed_unread() -> None:
    assert told(read("flights", "columns", "origin", "delay")) == [
        "flights           2 of 8 columns read        @bbbbbb",
        "  origin, delay",
        "  not read: column gust",
    ]
    assert told(read("flights", "columns", *NAMES[:7]))[1] == (
        "  id, day, origin, dest, delay, gust, …"
    )
    assert len(told(read("flights", "columns", *NAMES))) == 2


def test_why_tells_what_else_is_seen_of_a_table() -> None:
    assert told(read("flights", "shape", "origin"))[1] == "  origin; and the names of the others"
    assert told(read("flights", "columns"))[1] == "  how many rows it has"
    assert told(read("flights", "all"))[0].startswith("flights           8 of 8 columns read ")


def test_why_says_why_all_columns_are_read() -> None:
    doubtful = read("flights", "all", doubt="`rowid` numbers the rows")
    assert told(doubtful)[1] == "  all columns: `rowid` numbers the rows"
    (document,) = why_document(explained(Fresh(), doubtful))["inputs"]
    assert document["doubt"] == "`rowid` numbers the rows"
    assert (document["mode"], document["columns"]) == ("all", [])


def test_a_pending_step_tells_of_each_input_what_of_it_counts() -> None:
    several = {
        Pending(("a",)): "if a changes",
        Pending(("a", "b")): "if a, b change",
        Pending(("a",), (("a", ("x", "y")),)): "if a column it reads of a changes: x, y",
        Pending(("a",), (("a", ()),)): "if a has more or fewer rows",
        Pending(("a", "b"), (("a", ("x",)), ("b", ("x",)))): (
            "if a column it reads of a, b changes: x"
        ),
        Pending(("a", "b", "c", "d"), (("b", ("x",)), ("c", ("y",)), ("d", ()))): (
            "if a changes, or d has more or fewer rows, or a column it reads of b changes: x, "
            "or of c: y"
        ),
    }
    assert {pending: condition(pending) for pending in several} == several
    assert [p.read for p in several] == [(), (), ("x", "y"), (), ("x",), ()]
    (first, *_) = why_lines(Style(200, ascii=False), explained([*several][2]))
    assert first == "late is pending: it will be made if a column it reads of a changes: x, y."


def test_the_tree_says_of_one_who_counts_that_he_counts() -> None:
    made = [
        Materialization(f"r1.{n}", "r1", name, None, "made", "sql", "f", "r", "e", "c", content=NOW)
        for n, name in enumerate(("flights", "counted"), 1)
    ]
    edge = Edge("r1.1", "r1.2", "flights", "columns", ())
    found = Derivation(("r1.2",), "up", {m.id: m for m in made}, (edge,))
    assert to_tree(found, columns=True).splitlines()[1].endswith("how many rows")
