"""The story of a run: a timeline that fits, why each step was made, what failed where."""

from __future__ import annotations

import click
import pytest

from lineal.answers import RunStory
from lineal.assets.records import (
    Attempt,
    Content,
    ErrorFacts,
    Materialization,
    Reason,
    RunEnded,
    RunStarted,
)
from lineal.cli.render import Style, span
from lineal.cli.story import MOST, run_lines, runs_document, runs_lines

T0 = 1_700_000_000.0
COMMAND = ("lineal", "materialize", "--jobs", "4")
STARTED = RunStarted(
    "r12", "default", "ada", "laptop", COMMAND, T0, "3.12.4", "0.1.0", "a90c1d7e" * 5, True
)
ENDED = RunEnded("r12", "failed", {"made": 2, "failed": 1, "skipped": 9, "fresh": 16}, T0 + 20)
NEVER = (Reason("never_made"),)
KEY = ErrorFacts("KeyError", "'rush_hour'", "model.py:22 in split", 'late = f["rush_hour"]')
ROUTE = ErrorFacts("ConnectionError", "no route", "rates.py:3 in fetch", "get(url)")
LATE = ErrorFacts("timeout", "it took longer than 4 s")


def made(
    asset: str, at: float, seconds: float, partition: str | None = None, **rest: object
) -> Materialization:
    known: dict[str, object] = dict.fromkeys(("fingerprint", "environment", "contract"), "x")
    known |= {"outcome": "made", "kind": "python", "reasons": NEVER, "recipe": f"{asset} {at}"}
    known |= {"content": Content("ab" * 32, "parquet"), **rest}
    return Materialization(
        id=f"r12.{asset}.{partition}", run="r12", asset=asset, partition=partition,
        started_at=T0 + at, seconds=seconds, **known,  # type: ignore[arg-type]
    )  # fmt: skip


def failed(asset: str, at: float, seconds: float, partition: str | None = None) -> Materialization:
    return made(asset, at, seconds, partition, outcome="failed", error=KEY, content=None)


def story(*materializations: Materialization, ended: RunEnded | None = ENDED) -> RunStory:
    return RunStory(STARTED, ended, materializations)


def seen(
    told: RunStory, width: int = 80, as_ascii: bool = False, now: float = T0 + 60
) -> list[str]:
    style = Style(max(40, min(width, 100)), as_ascii, False, width)
    return [click.unstyle(row) for row in run_lines(style, told, now)]


RETRIED = made("rates", 12, 4, attempts=(Attempt(1, T0, 2.0, ROUTE), Attempt(2, T0 + 4, 4.0, LATE)))


def test_the_head_says_who_when_of_what_and_how_it_ended() -> None:
    rows = seen(story(made("a", 0, 1)))
    assert rows[0].startswith("r12 ")
    assert "failed" in rows[0]
    assert "20 s" in rows[0]
    assert rows[0].endswith("2 made, 1 failed, 9 skipped")
    assert rows[1] == (
        "  by ada on laptop · python 3.12.4 · lineal 0.1.0 · git a90c1d7 (with changes)"
    )
    assert rows[2] == "  lineal materialize --jobs 4"


def test_bars_stand_on_one_axis_in_the_order_of_their_beginning() -> None:
    rows = seen(story(made("late", 15, 5), made("early", 0, 10), failed("middle", 10, 5)))
    at = next(i for i, row in enumerate(rows) if row.strip().startswith("0 s"))
    assert rows[at].endswith("20 s")
    bars = rows[at + 1 : at + 4]
    assert [row.split()[:2] for row in bars] == [["✓", "early"], ["✗", "middle"], ["✓", "late"]]
    begins, ends = [row.index("█") for row in bars], [row.rindex("█") + 1 for row in bars]
    assert begins[1:] == ends[:-1]  # each begins where the one before it ends
    assert abs((ends[0] - begins[0]) - 2 * (ends[1] - begins[1])) <= 2  # twice as long
    assert ends[-1] == len(rows[at])  # the last one ends with the run
    assert [row.split()[-2:] for row in bars] == [["10", "s"], ["5.0", "s"], ["5.0", "s"]]


def test_attempts_that_failed_are_marked_and_told() -> None:
    rows = seen(story(RETRIED))
    (bar,) = (row for row in rows if "█" in row)
    drawn = bar[bar.index("▒") : bar.rindex("█") + 1]
    assert [set(part) for part in drawn.split()] == [{"▒"}, {"▒"}, {"█"}]
    assert bar.endswith("3 attempts  16 s")
    at = next(i for i, row in enumerate(rows) if "↻" in row)
    assert [row.strip() for row in rows[at : at + 3]] == [
        "↻ rates   made after 2 failed attempts",
        "attempt 1: ConnectionError: no route",
        "attempt 2, after 4.0 s: it took longer than 4 s",
    ]


def test_a_failure_has_its_place_its_line_and_the_command_for_its_log() -> None:
    rows = seen(story(failed("flights", 0, 1, "2013-08")))
    at = rows.index("  ✗ flights 2013-08   KeyError: 'rush_hour'")
    assert [row.strip() for row in rows[at + 1 : at + 4]] == [
        "model.py:22 in split",
        'late = f["rush_hour"]',
        "lineal logs flights --partition 2013-08 --run r12",
    ]


def test_outputs_of_one_computation_are_one_bar() -> None:
    both = [made(name, 1, 2, recipe="split") for name in ("train", "test")]
    rows = seen(story(*both))
    assert [row.split()[:3] for row in rows if "█" in row] == [["✓", "train,", "test"]]


def test_what_was_made_for_the_same_reasons_is_told_together() -> None:
    changed = Reason("code_changed", "RUSH", "features.py:14", "7", "8")
    months = [f"2013-{m:02}" for m in range(1, 13)]
    found = [
        made(
            "flights", i, 1, month,
            reasons=(Reason("input_changed", f"raw {month}", "", f"@{i:06}", "@aaaaaa"), changed),
        )
        for i, month in enumerate(months)
    ]  # fmt: skip
    rows = seen(story(*found, made("model", 12, 1)))
    at = rows.index("  made because:")
    assert rows[at + 1 : at + 4] == [
        "    flights [12 partitions]   input changed   raw",
        "      code changed   features.py:14  RUSH  7 → 8",
        "    model   never made",
    ]


def test_of_very_many_steps_the_failed_and_the_longest_are_shown() -> None:
    days = [made("flights", i / 10, 0.1 + i / 1000, f"d{i:03}") for i in range(150)]
    rows = seen(story(failed("flights", 0, 0.01, "bad"), *days))
    bars = [row for row in rows if "█" in row]
    assert len(bars) == MOST
    assert "flights bad" in bars[0]
    assert "flights d149" in bars[-1]
    (rest,) = (row for row in rows if "more, each of them shorter" in row)
    assert rest.startswith("  … and 111 more, each of them shorter: ")


def test_a_run_without_an_end_says_when_it_was_last_heard_of() -> None:
    rows = seen(story(made("a", 0, 5), ended=None), now=T0 + 65)
    assert rows[0].endswith("not ended")
    told = " ".join(row.strip() for row in rows[3:5])
    assert told == (
        "! no end is recorded: it goes on just now, or its process died; "
        "last heard of 1 min 0 s ago"
    ).replace("1 min 0 s", "60 s")
    assert seen(story(ended=None), now=T0)[0].endswith("not ended")


def test_what_was_left_out_is_counted() -> None:
    rows = seen(story(made("a", 0, 1)))
    assert rows[-2:] == [
        "  · 9 skipped   what they need failed or was blocked",
        "  = 16 fresh   nothing they read had changed",
    ]


@pytest.mark.parametrize("width", [40, 50, 80, 160])
@pytest.mark.parametrize("as_ascii", [False, True])
def test_the_story_fits_the_terminal(width: int, as_ascii: bool) -> None:
    long = "mart/finance/the_gross_amounts_of_all_large_orders"
    found = [made(long, i, 2, f"2013-{i:02}") for i in range(1, 13)]
    told = story(RETRIED, failed(long, 3, 4), *found, made("東京", 5, 1, outcome="blocked"))
    rows = seen(told, width, as_ascii)
    command = ("lineal logs", "lineal show")
    assert not [row for row in rows if span(row) > width and not row.strip().startswith(command)]
    if as_ascii:
        assert all(row.replace("東京", "").isascii() for row in rows)


def test_the_document_has_every_attempt_and_error() -> None:
    (document,) = runs_document([story(RETRIED, failed("a", 1, 2))])
    first, second = document["steps"]
    assert first["error"] is None
    assert first["attempts"][1] == {
        "number": 2,
        "started_at": "2023-11-14T22:13:24+00:00",
        "seconds": 4.0,
        "error": {"type": "timeout", "message": "it took longer than 4 s", "where": ""},
    }
    assert second["attempts"] == []
    assert second["error"]["where"] == "model.py:22 in split"


def test_the_list_has_one_line_a_run_with_how_long_it_took() -> None:
    rows = runs_lines(Style(80, ascii=False), [story(), story(ended=None)])
    assert "failed         20 s   2 made, 1 failed, 9 skipped" in rows[0]
    assert "not ended" in rows[1]
    assert rows[-1] == "  lineal runs r12"
