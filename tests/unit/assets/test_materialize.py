"""The loop: what is made, kept and told, when steps fail, are blocked, or are interrupted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from lineal.assets.asset import Asset, Fetch, Input, Result, Retry
from lineal.assets.errors import StoreError
from lineal.assets.perform import Trace
from lineal.assets.ports import Canonical
from lineal.assets.records import (
    CheckResult,
    Content,
    Fact,
    Materialization,
    Publication,
    Recipe,
    RunEnded,
    RunStarted,
)
from tests.fakes import Listener, MemoryJournal, MemoryVault, NoLocks, PlainCalls, Unwatched
from tests.workbench import Workbench, from_files, judged, made

ONE: dict[str, tuple[int, ...]] = {"a": (1,)}


def raising(error: BaseException) -> Callable[..., Any]:
    def function(**_: Any) -> Any:
        raise error

    return function


def family(broken: Callable[..., Any]) -> Workbench:
    """top → broken → child → grandchild, and top → sibling."""
    return Workbench(
        made("top", lambda: ONE),
        made("broken", broken, {"top": "top"}),
        made("child", lambda broken: broken, {"broken": "broken"}),
        made("grandchild", lambda child: child, {"child": "child"}),
        made("sibling", lambda top: top, {"top": "top"}),
    )


def facts_of(bench: Workbench, kind: type[Fact]) -> list[Any]:
    return [f for entry in bench.journal.entries for f in entry if isinstance(f, kind)]


# -------------------------------------------------------------------------------------- failures


def test_a_failure_skips_what_needs_it_and_nothing_else() -> None:
    bench = family(raising(ValueError("broken")))
    run = bench.run()
    assert run.outcome == "failed"
    assert {s.step.asset: s.outcome for s in run.steps} == {
        "top": "made",
        "broken": "failed",
        "child": "skipped",
        "grandchild": "skipped",
        "sibling": "made",
    }
    because = {s.step.asset: s.because for s in run.steps}
    assert because["child"] == ("broken",)
    assert because["grandchild"] == ("child",)


def test_a_failed_step_is_recorded_with_its_error_and_has_no_content() -> None:
    bench = family(raising(ValueError("no such column")))
    bench.run()
    (failed,) = [m for m in facts_of(bench, Materialization) if m.outcome == "failed"]
    assert failed.error is not None
    assert failed.error.type == "ValueError"
    assert "no such column" in failed.error.message
    assert failed.content is None


def test_after_a_failure_the_old_version_stays_current_and_the_next_run_carries_on() -> None:
    bench = family(lambda top: top)
    bench.run()
    bench.recipes["broken"] = Recipe("two")
    bench.replace(made("broken", raising(KeyError("rush")), {"top": "top"}))
    run = bench.run()
    assert bench.current("broken") == ONE
    assert next(s for s in run.steps if s.step.asset == "broken").current is not None
    bench.replace(made("broken", lambda top: {"a": (2,)}, {"top": "top"}))
    assert bench.outcomes() == {
        "top": "fresh",
        "sibling": "fresh",
        "broken": "made",
        "child": "made",
        "grandchild": "made",
    }


def test_a_table_without_a_column_that_its_reader_declared_fails_that_reader() -> None:
    bench = Workbench(
        made("top", lambda: ONE), made("reader", lambda top: top, {"top": ("top", "missing")})
    )
    assert bench.outcomes() == {"top": "made", "reader": "failed"}


# ---------------------------------------------------------------------------------------- checks


def test_a_blocked_version_is_kept_but_never_published_nor_read() -> None:
    bench = family(lambda top: {"a": (-1,)})
    bench.declared.append(judged("broken", lambda value: value["a"][0] > 0))
    outcomes = bench.outcomes()
    assert outcomes["broken"] == "blocked"
    assert outcomes["child"] == "skipped"
    assert bench.current("broken") is None
    (blocked,) = [m for m in facts_of(bench, Materialization) if m.outcome == "blocked"]
    assert bench.shown(blocked.content) == {"a": (-1,)}


def test_a_blocked_version_is_not_computed_again_and_nothing_is_written() -> None:
    calls: list[str] = []

    def broken(top: Any) -> Any:
        calls.append("broken")
        return {"a": (-1,)}

    bench = family(broken)
    bench.declared.append(judged("broken", lambda value: value["a"][0] > 0))
    bench.run()
    entries = len(bench.journal.entries)
    run = bench.run()
    assert run.id is None
    assert run.outcome == "failed"
    assert run.counts["blocked"] == 1
    assert len(bench.journal.entries) == entries
    assert len(calls) == 1


def test_a_loosened_check_publishes_the_kept_version_without_computing_it() -> None:
    calls: list[str] = []

    def broken(top: Any) -> Any:
        calls.append("broken")
        return {"a": (-1,)}

    bench = family(broken)
    bench.declared.append(judged("broken", lambda value: value["a"][0] > 0))
    bench.run()
    bench.check_recipes["good"] = Recipe("loosened")
    bench.replace(judged("broken", lambda value: True))
    outcomes = bench.outcomes()
    assert outcomes["broken"] == "reused"
    assert outcomes["child"] == "made"
    assert bench.current("broken") == {"a": (-1,)}
    assert len(calls) == 1


def test_a_tightened_check_that_fails_leaves_the_current_version_current() -> None:
    bench = family(lambda top: ONE)
    bench.run()
    bench.declared.append(judged("broken", lambda value: False))
    run = bench.run()
    outcomes = {s.step.asset: s.outcome for s in run.steps}
    assert outcomes["broken"] == "blocked"
    assert outcomes["child"] == "skipped"
    assert run.outcome == "failed"
    assert bench.current("broken") == ONE


def test_a_warning_publishes_and_is_recorded() -> None:
    bench = family(lambda top: ONE)
    bench.declared.append(replace(judged("broken", lambda value: False), severity="warn"))
    run = bench.run()
    assert run.outcome == "done"
    assert [(c.name, c.passed) for c in facts_of(bench, CheckResult)] == [("good", False)]


def test_several_outputs_are_published_together_or_not_at_all() -> None:
    outputs = ("train", "test")
    split = made("split", lambda: {"train": ONE, "test": {"a": (-1,)}}, outputs=outputs)
    bench = Workbench(split, judged("test", lambda value: value["a"][0] > 0))
    assert bench.outcomes() == {"train": "blocked", "test": "blocked"}
    assert not facts_of(bench, Publication)


def test_a_check_reads_the_other_version_of_this_very_run() -> None:
    bench = Workbench(
        made("top", lambda: ONE),
        made("other", lambda: {"a": (5,)}),
        judged("top", lambda value, other: other["a"] == (5,), other="other"),
    )
    assert bench.outcomes() == {"other": "made", "top": "made"}
    bench.recipes["other"] = Recipe("two")
    bench.replace(made("other", lambda: {"a": (6,)}))
    assert bench.outcomes() == {"other": "made", "top": "blocked"}


# ---------------------------------------------------------------------------------------- facts


def test_a_run_tells_its_beginning_each_step_and_its_end() -> None:
    bench = family(lambda top: top)
    run = bench.run()
    (started,) = facts_of(bench, RunStarted)
    (ended,) = facts_of(bench, RunEnded)
    assert started.run == ended.run == run.id
    assert ended.outcome == "done"
    assert ended.counts == run.counts
    assert {m.asset for m in facts_of(bench, Materialization)} == {s.step.asset for s in run.steps}


def test_a_materialization_and_its_publication_are_in_one_entry() -> None:
    split = made("split", lambda: {"one": ONE, "two": ONE}, outputs=("one", "two"))
    bench = Workbench(split)
    bench.run()
    (entry,) = [e for e in bench.journal.entries if any(isinstance(f, Publication) for f in e)]
    assert [f.asset for f in entry if isinstance(f, Materialization)] == ["one", "two"]
    assert [f.asset for f in entry if isinstance(f, Publication)] == ["one", "two"]


def test_what_a_result_carries_beside_its_value_is_recorded() -> None:
    bench = Workbench(made("model", lambda: Result(ONE, {"rows": 3}, {"kind": "tree"})))
    bench.run()
    (found,) = facts_of(bench, Materialization)
    assert found.metrics == (("rows", 3.0),)
    assert found.metadata == {"kind": "tree"}
    assert bench.current("model") == ONE


def test_a_recipe_is_written_once_however_many_steps_share_it() -> None:
    bench = Workbench(made("one", lambda: ONE), made("two", lambda one: one, {"one": "one"}))
    bench.recipes = {"one": Recipe("same"), "two": Recipe("same")}
    bench.run()
    bench.run(forced=["one"])
    assert [r.digest for r in facts_of(bench, Recipe)] == ["same"]


def test_a_fetched_source_keeps_every_observation() -> None:
    answers = iter([ONE, {"a": (2,)}])
    fetched = replace(made("prices", lambda: next(answers)), kind="fetch", fetch=Fetch())
    bench = Workbench(fetched)
    bench.run()
    assert bench.outcomes() == {"prices": "fresh"}
    assert bench.outcomes(forced=["prices"]) == {"prices": "made"}
    assert len({m.fingerprint for m in facts_of(bench, Materialization)}) == 2
    assert bench.current("prices") == {"a": (2,)}


# ----------------------------------------------------------------------------- durability, order


@dataclass
class ToldEverything(MemoryVault):
    """A vault that knows what was durable when it was named."""

    events: list[str] | None = None

    def write(self, canonical: Canonical) -> Content:
        if self.events is not None:
            self.events.append("write")
        return super().write(canonical)

    def sync(self) -> None:
        if self.events is not None and self.unsynced:
            self.events.append("sync")
        super().sync()


@dataclass
class Entries(MemoryJournal):
    events: list[str] | None = None
    refuse_after: int | None = None

    def append(self, facts: Sequence[Fact]) -> int:
        if self.refuse_after is not None and len(self.entries) >= self.refuse_after:
            raise StoreError("no space left on the disk")
        if self.events is not None and any(isinstance(f, Materialization) for f in facts):
            self.events.append("entry")
        return super().append(facts)


def test_an_entry_never_names_an_object_before_it_is_durable() -> None:
    events: list[str] = []
    bench = family(lambda top: {"a": (2,)})
    bench.vault, bench.journal = ToldEverything(events=events), Entries(events=events)
    bench.run()
    unsynced = False
    for event in events:
        if event == "entry":
            assert not unsynced
        else:
            unsynced = event == "write"
    assert events.count("entry") >= 1


def test_a_step_is_told_only_after_its_entry_is_durable() -> None:
    bench = family(lambda top: top)
    seen: list[bool] = []

    class Watching(type(bench.told)):  # type: ignore[misc]
        def settled(self, reports: Sequence[Any]) -> None:
            recorded = {m.asset for m in facts_of(bench, Materialization)}
            seen.extend(r.step.asset in recorded for r in reports)

    bench.told = Watching()
    bench.run()
    assert seen == [True] * 5


def test_a_full_disk_stops_the_run_and_keeps_what_was_told() -> None:
    bench = family(lambda top: top)
    bench.journal = Entries(refuse_after=2)
    with pytest.raises(StoreError):
        bench.run()
    told = {r.step.asset for r in bench.told.told if r.outcome == "made"}
    assert told <= {m.asset for m in facts_of(bench, Materialization)}
    bench.journal.refuse_after = None
    assert bench.run().outcome == "done"


def test_an_interrupt_keeps_what_was_made_and_cancels_the_rest() -> None:
    bench = family(raising(KeyboardInterrupt()))
    run = bench.run()
    assert run.outcome == "cancelled"
    assert {s.step.asset: s.outcome for s in run.steps} == {
        "top": "made",
        "broken": "cancelled",
        "child": "cancelled",
        "grandchild": "cancelled",
        "sibling": "cancelled",
    }
    assert bench.current("top") == ONE
    assert [e.outcome for e in facts_of(bench, RunEnded)] == ["cancelled"]


# --------------------------------------------------------------------------- what moves meanwhile


def test_files_that_move_while_they_are_read_are_read_again_once() -> None:
    bench = Workbench(from_files("raw"))
    bench.files.tables["raw"] = ONE
    bench.files.moves["raw"] = {"a": (2,)}
    assert bench.outcomes() == {"raw": "made"}
    assert bench.current("raw") == {"a": (2,)}
    assert len(facts_of(bench, Materialization)) == 1


def moving(bench: Workbench, *tables: dict[str, tuple[int, ...]]) -> Callable[..., Any]:
    """A function over the files of `raw`, which are rewritten each time they were just read."""
    rewrites = list(tables)

    def function(raw: str) -> Any:
        read = dict(bench.files.tables["raw"])
        if rewrites:
            bench.files.tables["raw"] = rewrites.pop(0)
        return read

    return function


def over_paths(*tables: dict[str, tuple[int, ...]]) -> Workbench:
    """raw → table, and raw's files → reader; end needs both."""
    bench = Workbench(
        from_files("raw"),
        made("table", lambda raw: raw, {"raw": "raw"}),
        made("end", lambda table, reader: (table, reader), {"table": "table", "reader": "reader"}),
    )
    read = moving(bench, *tables)
    inputs = (Input("raw", "raw", arrival="path"), Input("table", "table"))
    reader = made("reader", lambda raw, table: read(raw))
    bench.replace(replace(reader, inputs=inputs))
    bench.files.tables["raw"] = ONE
    return bench


def test_a_step_that_waits_to_be_tried_again_is_made_of_what_its_source_holds_by_then() -> None:
    bench = over_paths({"a": (2,)})
    tried: list[object] = []

    def flaky(table: object) -> object:
        tried.append(table)
        if len(tried) == 1:
            raise ValueError("not yet")
        return table

    bench.declared.insert(0, made("flaky", flaky, {"table": "table"}, retry=Retry(1)))
    bench.pause = 20.0  # what moves meanwhile ends the rest
    assert bench.outcomes()["flaky"] == "made"
    assert tried == [ONE, {"a": (2,)}]


def test_a_source_that_moves_under_a_reader_of_its_files_is_done_again_with_all_it_feeds() -> None:
    bench = over_paths({"a": (2,)})
    run = bench.run()
    assert {s.step.asset: s.outcome for s in run.steps} == dict.fromkeys(
        ("raw", "table", "reader", "end"), "made"
    )
    assert bench.told.seen_moving == [["raw"]]
    assert [bench.current(n) for n in ("raw", "table", "reader")] == [{"a": (2,)}] * 3
    assert bench.outcomes() == dict.fromkeys(("raw", "table", "reader", "end"), "fresh")


def test_a_source_that_never_rests_fails_the_step_that_reads_it() -> None:
    bench = over_paths({"a": (2,)}, {"a": (3,)})
    run = bench.run()
    outcomes = {s.step.asset: s.outcome for s in run.steps}
    assert outcomes == {"raw": "made", "table": "made", "reader": "failed", "end": "skipped"}
    assert "changed while they were read" in str(next(s.error for s in run.steps if s.error))
    assert bench.run().outcome == "done"


def test_what_a_run_published_before_the_files_moved_back_is_not_left_current() -> None:
    bench = over_paths({"a": (2,)})
    bench.files.tables["raw"] = {"a": (2,)}
    assert bench.run().outcome == "done"
    bench.recipes["reader"] = Recipe("two")
    bench.files.tables["raw"] = ONE  # read and published first; then the files are (2,) again
    bench.replace(replace(bench.graph.assets["reader"], function=_twice(bench, {"a": (2,)})))
    bench.run()
    assert [bench.current(n) for n in ("raw", "table")] == [{"a": (2,)}] * 2
    assert bench.outcomes() == dict.fromkeys(("raw", "table", "reader", "end"), "fresh")


def test_a_reader_of_files_that_have_no_version_is_skipped() -> None:
    bench = over_paths()
    assert bench.run().outcome == "done"
    bench.files.tables["raw"] = {"a": (2,)}
    outcomes = bench.outcomes(excluded=["raw"])
    assert outcomes == {"table": "fresh", "reader": "skipped", "end": "skipped"}
    assert bench.current("reader") == ONE


def _twice(bench: Workbench, table: dict[str, tuple[int, ...]]) -> Callable[..., Any]:
    read = moving(bench, table)
    return lambda raw, table: read(raw)


# ------------------------------------------------------------------------------- other processes


@dataclass
class HeldByOthers(NoLocks):
    """Steps that another process makes; it is done, and has recorded them, when waited for."""

    held: dict[str, Callable[[], None]]
    told: Listener

    def take(self, step: str) -> Any:
        if step in self.held:
            if step not in self.told.awaited:
                return None
            self.held.pop(step)()
        return super().take(step)


def test_a_step_that_another_process_makes_is_put_off_and_then_taken_over() -> None:
    bench, calls = family(lambda top: top), []
    bench.replace(made("broken", lambda top: calls.append(1) or top, {"top": "top"}))
    other = family(lambda top: top)
    other.journal, other.vault = bench.journal, bench.vault

    def others_end() -> None:
        assert other.run().outcome == "done"

    bench.locks = HeldByOthers({"broken": others_end}, bench.told)
    run = bench.run()
    outcomes = {s.step.asset: s.outcome for s in run.steps}
    assert outcomes["broken"] == "reused"
    assert outcomes["sibling"] == "made"
    assert bench.told.awaited == ["broken"]
    assert not calls
    assert bench.outcomes() == dict.fromkeys(outcomes, "fresh")


def test_a_step_that_another_process_failed_to_make_is_computed() -> None:
    bench = family(lambda top: top)
    bench.locks = HeldByOthers({"broken": lambda: None}, bench.told)
    assert bench.outcomes()["broken"] == "made"


class Reading(PlainCalls):
    """User code that reads a project file which no source declares."""

    def __init__(self, path: str, digest: str) -> None:
        self.seen = ((path, digest, "pipeline.py:4"),)

    @contextlib.contextmanager
    def running(
        self, recipe: Recipe, step: str, log: str, declared: Sequence[str]
    ) -> Iterator[Trace]:
        yield Unwatched(self.seen)


def test_a_file_read_without_declaring_it_makes_the_step_stale_when_it_changes() -> None:
    bench = Workbench(made("top", lambda: ONE))
    bench.calls = Reading("holidays.csv", "one")
    bench.digests["holidays.csv"] = "one"
    (report,) = bench.run().steps
    assert report.unwatched == (("holidays.csv", "one", "pipeline.py:4"),)
    assert bench.outcomes() == {"top": "fresh"}
    bench.digests["holidays.csv"] = "two"
    assert [r.kind for r in bench.reasons("top")] == ["unproved"]
    bench.calls = Reading("holidays.csv", "two")
    assert bench.outcomes() == {"top": "made"}
    assert bench.outcomes() == {"top": "fresh"}


def test_a_step_that_was_unproved_is_never_reused() -> None:
    bench = Workbench(made("top", lambda: ONE))
    bench.calls = Reading("holidays.csv", "one")
    bench.digests["holidays.csv"] = "one"
    first = bench.facts(bench.graph).recipes["top"]
    bench.run()
    bench.recipes["top"] = Recipe("two")
    bench.run()
    bench.recipes["top"] = first
    assert bench.outcomes() == {"top": "made"}


def test_under_strict_a_file_read_without_declaring_it_is_an_error() -> None:
    bench = Workbench(made("top", lambda: ONE))
    bench.calls = Reading("holidays.csv", "one")
    bench.strict = True
    (report,) = bench.run().steps
    assert report.outcome == "failed"
    assert "holidays.csv" in str(report.error)


def test_a_constant_that_moved_while_the_step_ran_fails_it() -> None:
    class Drifting(PlainCalls):
        def drift(self, asset: Asset) -> str | None:
            return "`helpers.SEEN` is not what it was"

    bench = Workbench(made("top", lambda: ONE))
    bench.calls = Drifting()
    (report,) = bench.run().steps
    assert report.outcome == "failed"
    assert "helpers.SEEN" in str(report.error)


# ------------------------------------------------------------------------------------- selections


def test_a_selection_makes_its_stale_ancestors_and_nothing_else() -> None:
    bench = family(lambda top: top)
    assert bench.outcomes(selected=["child"]) == {"top": "made", "broken": "made", "child": "made"}


def test_what_needs_an_excluded_asset_that_was_never_made_is_skipped() -> None:
    bench = family(lambda top: top)
    outcomes = bench.outcomes(excluded=["broken"])
    assert outcomes == {
        "top": "made",
        "child": "skipped",
        "grandchild": "skipped",
        "sibling": "made",
    }


def test_a_reader_that_changes_what_it_was_handed_changes_it_for_nobody_else() -> None:
    def greedy(top: dict[str, Any]) -> dict[str, Any]:
        top["a"] = (0,)
        return top

    bench = Workbench(
        made("top", lambda: ONE),
        made("greedy", greedy, {"top": "top"}),
        made("other", lambda top: top, {"top": "top"}),
    )
    bench.run()
    assert bench.current("other") == ONE
    assert bench.current("top") == ONE
