"""Lines of text: they fit the terminal, say everything to programs, and have ASCII twins."""

from __future__ import annotations

import click
import pytest

from lineal.assets.errors import (
    ContentError,
    DefinitionError,
    DefinitionErrors,
    LinealError,
    UsageError,
    UserCodeError,
)
from lineal.assets.names import Step
from lineal.assets.plan import Plan, PlannedStep
from lineal.assets.records import CheckResult, Reason, StepOutcome
from lineal.assets.run import Run, StepReport
from lineal.assets.verdicts import Action, Decision, Fresh, Pending, Stale, Verdict
from lineal.cli import outcomes, render
from lineal.cli.planned import plan_lines
from lineal.cli.render import Style

WIDTHS = [50, 80, 100]
LONG = "mart/finance/the_gross_amounts_of_all_large_orders_of_last_year"


def terminal(width: int = 80) -> Style:
    return Style(width, ascii=False)


def plain(width: int = 80) -> Style:
    return Style(width, ascii=True)


def pipe() -> Style:
    return Style(80, ascii=False, piped=True)


def seen(rows: list[str]) -> list[str]:
    return [click.unstyle(row) for row in rows]


def report(
    name: str = "orders", outcome: StepOutcome = "made", seconds: float = 0.01, **rest: object
) -> StepReport:
    return StepReport(Step(name), name, outcome, seconds=seconds, **rest)  # type: ignore[arg-type]


def check(name: str, passed: bool = False, severity: str = "error", **rest: object) -> CheckResult:
    told = dict.fromkeys(("fingerprint", "asset", "content", "recipe"), "x")
    return CheckResult(
        name=name, partition=None, severity=severity, passed=passed, **told, **rest  # type: ignore[arg-type]
    )  # fmt: skip


def planned(name: str, verdict: Verdict, action: Action = "compute") -> PlannedStep:
    return PlannedStep(Step(name), name, verdict, action, None, None, 2.0)


def plan(*steps: PlannedStep) -> Plan:
    decisions = {Step(s.maker): Decision(s.verdict, s.action) for s in steps}
    return Plan(steps, decisions, tuple(decisions))


# ----------------------------------------------------------------------------------- small pieces


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0.00 s"),
        (0.014, "0.01 s"),
        (0.2, "0.2 s"),
        (9.94, "9.9 s"),
        (48.4, "48 s"),
        (100, "1 min 40 s"),
        (3599, "59 min 59 s"),
        (3 * 3600 + 125, "3 h 2 min"),
    ],
)
def test_durations_are_as_exact_as_is_useful(seconds: float, told: str) -> None:
    assert render.duration(seconds) == told


@pytest.mark.parametrize(
    ("count", "noun", "told"),
    [
        (0, "row", "0 rows"),
        (1, "row", "1 row"),
        (1234567, "row", "1,234,567 rows"),
        (1, "journal entry", "1 journal entry"),
        (2, "journal entry", "2 journal entries"),
        (2, "day", "2 days"),
    ],
)
def test_counts_agree_with_their_nouns(count: int, noun: str, told: str) -> None:
    assert render.plural(count, noun) == told


def test_a_long_name_is_shortened_in_the_middle() -> None:
    short = render.shorten(LONG, 24)
    assert len(short) == 24
    assert short.startswith("mart/financ")
    assert short.endswith("_last_year")
    assert short.count("…") == 1
    assert render.shorten("orders", 24) == "orders"


def test_a_program_gets_names_whole() -> None:
    assert pipe().name(LONG).rstrip() == LONG
    assert len(terminal().name(LONG)) == render.NAME_WIDTH
    assert plain().name(LONG).isascii()


def test_folding_loses_no_word_and_keeps_parts_together() -> None:
    text = "code changed   helpers.py:1  helpers.RATE  1.1 → 1.2"
    rows = render.fold(text, 44)
    assert rows == ["code changed   helpers.py:1  helpers.RATE", "1.1 → 1.2"]
    for room in range(8, 60):
        folded = render.fold(text, room)
        assert all(len(row) <= max(room, 12) for row in folded)
        assert " ".join(folded).split() == text.split() or room < 12


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "null"),
        (True, "True"),
        (12, "12"),
        (0.1 + 0.2, "0.3"),
        (12345678.5, "12345678.5"),
        (1200.0, "1200"),
        (1 / 3, "0.333333"),
        (1.5e-9, "1.5e-09"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ("a", "a"),
    ],
)
def test_cells_read_as_people_write_numbers(value: object, told: str) -> None:
    assert render.cell(value) == told


# ------------------------------------------------------------------------------------ materialize


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("as_ascii", [False, True])
def test_every_line_fits_the_terminal(width: int, as_ascii: bool) -> None:
    style = Style(width, as_ascii)
    error = UserCodeError(
        "ValueError",
        "the columns of the left and of the right table are not the same: " + "x " * 40,
        where="pipelines/finance/orders.py:123 in the_gross_amounts",
        line='late = features[features["rush_hour"]]',
    )
    refused = check(
        "between(amount_of_the_order, low=0, high=100)",
        message="3 of 28,135 rows",
        sample=(("flight", "air_time"), ("UA1545", "-4")),
    )
    reports = [
        report(summary="336,776 rows × 19", metrics=(("rows", 3.0), ("auc", 0.81234567))),
        report(LONG, summary="12 rows × 2", checks=(check("not_null(id)", passed=True),)),
        report(LONG, "failed", error=error),
        report(LONG, "blocked", version="a" * 64, current="b" * 64, checks=(refused,)),
        report("b", "reused", summary="12 rows × 2"),
        report(LONG, unwatched=(("data/holidays.csv", "", "pipeline.py:12"),)),
        report(LONG, checks=(check("drift", severity="warn", message="temp PSI 0.27 > 0.20"),)),
    ]
    rows = [row for one in reports for row in outcomes.settled(style, [one], render.NAME_WIDTH)]
    skipped = [report(f"{LONG}_{i}", "skipped", because=(LONG,)) for i in range(9)]
    rows += outcomes.skipped(style, skipped)
    rows += outcomes.run_summary(style, Run("r12", "failed", (*reports, *skipped), 12.0))
    wide = [row for row in seen(rows) if len(row) > width]
    unfoldable = ("source(", "late = ", "lineal logs", ".py:123")  # code, commands, places
    assert [row for row in wide if not any(word in row for word in unfoldable)] == []
    if as_ascii:
        assert all(row.isascii() for row in seen(rows))


def test_times_stand_at_the_right() -> None:
    (row,) = seen(outcomes.settled(terminal(), [report(summary="4 rows × 2")], 10))
    assert len(row) == 80
    assert row.startswith("  ✓ orders       4 rows × 2")
    assert row.endswith("0.01 s")


def test_glyphs_have_ascii_twins_that_keep_the_columns() -> None:
    made = seen(outcomes.settled(plain(), [report("a", summary="1")], 8))[0]
    reused = seen(outcomes.settled(plain(), [report("b", "reused", summary="1")], 8))[0]
    assert made.startswith("  ok a ")
    assert reused.startswith("  =  b ")


def test_a_message_is_never_cut() -> None:
    message = "'DataFrame' object has no attribute 'asign', and " * 3
    error = UserCodeError("AttributeError", message.strip())
    rows = seen(outcomes.settled(terminal(60), [report("a", "failed", error=error)], 24))
    told = " ".join(" ".join(rows).replace("0.01 s", "").split())
    assert " ".join(message.split()) in told


def test_piped_lines_are_whole() -> None:
    error = ContentError("column `x` " + "holds what can't be stored " * 6, advice="make " * 40)
    rows = outcomes.settled(pipe(), [report(LONG, "failed", error=error)], 24)
    assert LONG in rows[0]
    assert error.message.strip() in rows[0]
    assert len(rows) == 2


def test_a_failure_shows_place_code_and_advice() -> None:
    error = UserCodeError("KeyError", "'rush'", where="model.py:22 in split", line='f["rush"]')
    rows = seen(outcomes.settled(terminal(), [report("train", "failed", error=error)], 8))
    assert rows[0].startswith("  ✗ train      KeyError: 'rush'")
    assert [row.strip() for row in rows[1:]] == ["model.py:22 in split", 'f["rush"]']


def test_what_is_skipped_is_told_together_with_the_first_cause() -> None:
    reports = [
        report("a", "failed"),
        report("b", "skipped", because=("a",)),
        report("c", "skipped", because=("b",), current="f" * 64),
    ]
    told = "  · b, c   skipped: need a; they keep their current versions"
    assert seen(outcomes.skipped(terminal(), reports)) == [told]


def test_the_last_lines_answer_and_say_what_to_type() -> None:
    made = Run("r1", "done", (report(), report("b", "fresh")), 2.1)
    assert outcomes.run_summary(terminal(), made) == ["1 made, 1 fresh in 2.1 s · run r1"]
    idle = Run(None, "done", (report("a", "fresh"), report("b", "fresh")), 0.094)
    assert outcomes.run_summary(terminal(), idle) == ["Nothing to do: 2 fresh, checked in 0.09 s."]
    error = UserCodeError("KeyError", "'x'")
    failed = Run("r2", "failed", (report("a", "failed", error=error), report("b")), 1)
    summary, logs, again = outcomes.run_summary(terminal(), failed)
    assert summary == "1 failed, 1 made · run r2 · exit 1"
    assert logs.split()[:3] == ["lineal", "logs", "a"]
    assert again.split()[:2] == ["lineal", "materialize"]
    stopped = outcomes.run_summary(terminal(), Run("r3", "cancelled", (report(),), 1))
    assert stopped[0] == "Stopped: 1 made · run r3 · exit 130"


# ------------------------------------------------------------------------------------------- plan


def test_a_plan_begins_with_one_sentence_and_ends_with_what_is_fresh() -> None:
    changed = Stale((Reason("code_changed", "helpers.RATE", "helpers.py:1", "1.1", "1.2"),))
    rows = seen(
        plan_lines(
            terminal(),
            plan(
                planned("raw/n", Fresh(), "none"),
                planned("priced", changed),
                planned("total", Pending(("priced",)), "wait"),
            ),
        )
    )
    assert rows[0] == (
        "1 of 3 steps is stale and up to 1 more may follow: at most 4.0 s. 1 stays fresh."
    )
    assert rows[2] == "    priced   code changed   helpers.py:1  helpers.RATE  1.1 → 1.2"
    assert rows[3].startswith("  ? total ")
    assert rows[-1] == "  = raw/n: fresh"


def test_a_plan_of_fresh_steps_is_one_sentence() -> None:
    rows = plan_lines(terminal(), plan(planned("a", Fresh(), "none")))
    assert rows == ["Nothing to do: 1 step, all fresh."]


def test_a_plan_in_which_all_is_refused_says_that_nothing_can_be_made() -> None:
    refused = Stale((Reason("check_failed", "not_null(id)", new="1 of 4 rows"),))
    steps = planned("a", refused, "blocked"), planned("b", Pending(("a",)), "wait")
    rows = seen(plan_lines(terminal(), plan(*steps)))
    assert rows[0] == "Nothing can be made: 1 blocked, 1 waits for it."
    assert "not_null(id)  1 of 4 rows" in rows[2]
    assert "→" not in rows[2]


@pytest.mark.parametrize("width", WIDTHS)
def test_plan_lines_fit_the_terminal(width: int) -> None:
    reasons = tuple(
        Reason("parameter_changed", f"parameter_{i}", "", "an old value", "a new value")
        for i in range(7)
    )
    steps = [planned(f"{LONG}_{i}", Stale(reasons)) for i in range(3)]
    fresh = [planned(f"{LONG}_fresh_{i}", Fresh(), "none") for i in range(12)]
    rows = seen(plan_lines(terminal(width), plan(*steps, *fresh)))
    assert max(map(len, rows)) <= width
    assert any("and 3 more reasons" in row for row in rows)


# ----------------------------------------------------------------------------------------- errors


def test_an_error_says_what_where_and_how_to_mend_it() -> None:
    error = UsageError("no asset `flihgts`", where="pipeline.py:4", advice="write `flights`")
    assert seen(render.error_lines(terminal(), error)) == [
        "error: no asset `flihgts`",
        "  pipeline.py:4",
        "  write `flights`",
    ]


def test_a_path_that_the_sentence_names_is_not_told_twice() -> None:
    error = LinealError("the object `/s/ab` is damaged", where="/s/ab")
    assert seen(render.error_lines(plain(), error)) == ["error: the object `/s/ab` is damaged"]


def test_all_definition_errors_are_told_at_once() -> None:
    errors = DefinitionErrors(
        [DefinitionError("no asset `x`", where="p.py:1"), DefinitionError("a cycle: a → b → a")]
    )
    rows = seen(render.error_lines(plain(), errors))
    assert rows[0] == "error: 2 errors in the definitions, nothing was run"
    assert rows[2:] == ["  p.py:1  no asset `x`", "  a cycle: a -> b -> a"]


def test_a_caret_stays_below_its_word() -> None:
    code = "select " + "x" * 90 + "\n" + " " * 7 + "^" * 90
    rows = render.error_lines(terminal(), LinealError("no column", excerpt=code))
    first, second = rows[1:]
    assert first.index("x") == second.index("^")


# ----------------------------------------------------------------------------------------- tables


def test_a_table_fits_and_says_how_many_columns_it_leaves_out() -> None:
    columns = [f"column_{i}" for i in range(20)]
    text = render.table(terminal(), columns, [list(range(20))])
    *frame, more = text.splitlines()
    assert max(map(len, frame)) <= 80
    assert more.startswith("… 1")
    assert more.endswith("more columns; --format csv shows all")


def test_a_table_uses_the_whole_terminal() -> None:
    columns = [f"column_{i}" for i in range(20)]
    wide = render.table(Style(100, ascii=False, whole=300), columns, [list(range(20))])
    assert "more columns" not in wide


def test_a_long_cell_is_folded_not_cut() -> None:
    text = render.table(terminal(), ["path"], [["x" * 200]])
    assert text.count("x") == 200
    assert max(map(len, text.splitlines())) <= 80


def test_a_table_has_an_ascii_twin() -> None:
    text = render.table(plain(), ["a"], [[1], [None]])
    assert text.isascii()
    assert "null" in text


def test_long_names_take_the_room_there_is_and_never_look_alike() -> None:
    style = Style(80, ascii=False)
    one, two = "short", "a_rather_long_name_of_a_column"
    assert render.whole_names(style, [one, two], 50) == len(two)
    assert render.whole_names(style, [one, two], 20) == render.NAME_WIDTH
    alike = [f"a_rather_long_name_{n:03}_that_never_ends" for n in range(600)]
    assert render.whole_names(style, alike, 20) == len(alike[0])
    assert render.whole_names(style._replace(piped=True), [one, two], 20) == len(two)


def test_blanks_before_a_long_word_make_no_empty_line() -> None:
    rows = render.fold(f"  origin, {'x' * 30}, y", 40, 24)
    assert rows == ["  origin,", f"  {'x' * 30}, y"]
