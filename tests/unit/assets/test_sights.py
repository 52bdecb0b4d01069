"""A query is remade when what it reads of its inputs changes, and by nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lineal.assets.asset import Asset, Input
from lineal.assets.calendars import daily
from lineal.assets.facts import Facts, everything
from lineal.assets.graph import Graph
from lineal.assets.mapping import every
from lineal.assets.plan import condition
from lineal.assets.ports import Sight
from lineal.assets.records import Acceptance, Recipe
from lineal.assets.slices import Sliced
from lineal.assets.verdicts import Fresh, Pending
from tests.fakes import FakeQuery
from tests.workbench import Workbench, from_files, made, queried

TABLE: dict[str, tuple[int, ...]] = {"a": (1, 2), "b": (3, 4), "c": (5, 6)}
ALL = Sight(doubt="it is not understood")


def selecting(*names: str) -> FakeQuery:
    """`select NAMES from raw`, read by name: everything if one of them is not there."""

    def reads(raw: tuple[str, ...]) -> Mapping[str, Sight]:
        there = set(names) <= set(raw)
        return {"raw": Sight(tuple(n for n in raw if n in names)) if there else ALL}

    return FakeQuery(lambda raw: {n: raw[n] for n in names}, reads)


STAR = FakeQuery(dict, lambda raw: {"raw": Sight(raw)})
COUNT = FakeQuery(
    lambda raw: {"n": (len(next(iter(raw.values()))),)}, lambda raw: {"raw": Sight(())}
)
NAMES = FakeQuery(  # `select a, columns('.*')::varchar is null`: names of the others are seen
    lambda raw: {n: raw["a"] if n == "a" else (0,) for n in raw},
    lambda raw: {"raw": Sight(("a",), shape=True)},
)


def left_join(raw: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """`select a, x from raw, other`: whose x, follows from what the two look like."""
    return {"a": raw["a"], "x": raw["x"] if "x" in raw else other["x"]}


def reads_of_join(raw: tuple[str, ...], other: tuple[str, ...]) -> Mapping[str, Sight]:
    mine = ("a", "x") if "x" in raw else ("a",)
    theirs = ("k",) if "x" in raw else ("k", "x")
    return {"raw": Sight(mine), "other": Sight(theirs)}


def over_raw(*queries: tuple[str, FakeQuery], then: Asset | None = None) -> Workbench:
    names = [queried(name, "raw") for name, _ in queries]
    bench = Workbench(from_files("raw"), *names, *([then] if then else []))
    bench.files.tables["raw"] = TABLE
    bench.files.queries.update(queries)
    assert bench.run().outcome == "done"
    return bench


def details(bench: Workbench, asset: str) -> list[tuple[str, str]]:
    found = bench.reasons(asset)
    return [(r.kind, r._replace(old="", new="").detail) for r in found]


def given(bench: Workbench, **columns: tuple[int, ...]) -> None:
    """The files of `raw` are ingested anew."""
    bench.files.tables["raw"] = columns
    bench.run(["raw"])


def test_a_column_that_the_query_does_not_read_leaves_it_and_what_follows_fresh() -> None:
    model = made("model", lambda left: {"n": left["a"]}, {"left": "left"})
    bench = over_raw(("left", selecting("a")), ("star", STAR), then=model)
    given(bench, **TABLE | {"b": (3, 5)})
    verdicts = bench.verdicts()
    assert isinstance(verdicts["left"], Fresh)
    assert isinstance(verdicts["model"], Fresh)
    assert details(bench, "star") == [("input_changed", "raw (column b)")]
    given(bench, **TABLE | {"a": (1, 5)})
    assert details(bench, "left") == [("input_changed", "raw (column a)")]
    bench.run()
    assert bench.current("left") == {"a": (1, 5)}
    assert bench.outcomes() == dict.fromkeys(("raw", "left", "star", "model"), "fresh")


def test_what_was_made_read_what_its_fingerprint_says() -> None:
    bench = over_raw(("left", selecting("a")), ("names", NAMES), ("count", COUNT))
    for name, mode, columns in (
        ("left", "columns", ("a",)), ("names", "shape", ("a",)), ("count", "columns", ()),
    ):  # fmt: skip
        made = bench.journal.past().current(name, None)
        assert made is not None
        (used,) = made.inputs
        assert (used.mode, used.columns) == (mode, columns)
    assert bench.current("names") == {"a": (1, 2), "b": (0,), "c": (0,)}


def test_a_query_that_counts_is_remade_by_other_rows_only() -> None:
    bench = over_raw(("count", COUNT))
    given(bench, a=(9, 9), d=(1, 1))
    assert isinstance(bench.verdicts()["count"], Fresh)
    given(bench, a=(9, 9, 9), d=(1, 1, 1))
    assert details(bench, "count") == [("input_changed", "raw (+1 rows)")]
    bench.run()
    bench.files.tables["raw"] = {"a": (1,)}
    pending = bench.verdicts()["count"]
    assert isinstance(pending, Pending)
    assert condition(pending) == "if raw has more or fewer rows"


def test_a_new_column_is_told_where_it_is_seen_and_nowhere_else() -> None:
    bench = over_raw(("left", selecting("a")), ("star", STAR), ("names", NAMES))
    given(bench, **TABLE, d=(7, 8))
    assert isinstance(bench.verdicts()["left"], Fresh)
    assert details(bench, "star") == [("input_changed", "raw: has d now, which is read")]
    assert details(bench, "names") == [("input_changed", "raw (new column d)")]
    bench.run()
    given(bench, a=TABLE["a"], b=TABLE["b"], d=(0, 0))
    assert details(bench, "star") == [("input_changed", "raw: has no c any more")]
    assert details(bench, "names") == [("input_changed", "raw (no column c)")]
    bench.run()
    given(bench, a=TABLE["a"], b=(0, 0), d=(1, 1))
    assert isinstance(bench.verdicts()["names"], Fresh)
    assert details(bench, "star") == [("input_changed", "raw (columns b, d)")]


def test_a_column_that_is_gone_makes_its_reader_stale_and_says_so() -> None:
    bench = over_raw(("left", selecting("a", "b")))
    given(bench, a=TABLE["a"], c=TABLE["c"])
    assert details(bench, "left") == [("input_changed", "raw: has no b any more")]


def test_a_store_that_knew_no_columns_is_remade_once_for_an_honest_reason() -> None:
    bench = over_raw(("left", selecting("a")))
    bench.files.queries["left"] = bench.files.queries["left"]._replace(reads=lambda raw: {})
    bench.run(forced=["left"])
    bench.files.queries["left"] = selecting("a")
    told = ("input_changed", "raw: reads a now, before all columns")
    # The very first run left a version of this computation: it is taken over.
    assert details(bench, "left") == [told]
    assert bench.outcomes()["left"] == "reused"
    assert bench.outcomes()["left"] == "fresh"


def test_undoing_an_edit_costs_nothing() -> None:
    bench = over_raw(("left", selecting("a")))
    given(bench, **TABLE | {"a": (0, 0)})
    assert bench.outcomes()["left"] == "made"
    given(bench, **TABLE | {"b": (0, 0)})
    assert bench.outcomes()["left"] == "reused"
    assert bench.current("left") == {"a": TABLE["a"]}


def test_an_edited_query_that_reads_more_says_what() -> None:
    bench = over_raw(("left", selecting("a", "b")))
    bench.files.queries["left"] = selecting("a", "c")
    assert details(bench, "left") == [("input_changed", "raw: reads c too and no longer reads b")]


def test_an_accepted_edit_may_read_other_columns_of_what_is_the_same() -> None:
    bench = over_raw(("left", selecting("a", "b")))
    bench.recipes["left"] = Recipe("two")
    bench.files.queries["left"] = selecting("a", "c")
    before = bench.journal.past().current("left", None)
    assert before is not None
    bench.journal.append([Acceptance("left", before.recipe, "two", "equivalent", "me", 0.0)])
    assert isinstance(bench.verdicts()["left"], Fresh)
    given(bench, **TABLE | {"c": (0, 0)})
    assert details(bench, "left") == [("input_changed", "raw: reads c too and no longer reads b")]


def test_a_plan_says_which_columns_count_while_an_input_is_pending() -> None:
    bench = over_raw(("left", selecting("a", "b")), ("star", STAR), ("names", NAMES))
    bench.files.tables["raw"] = TABLE | {"c": (0, 0)}
    verdicts = bench.verdicts()
    assert condition(verdicts["left"]) == "if a column it reads of raw changes: a, b"  # type: ignore[arg-type]
    assert condition(verdicts["names"]) == "if raw changes"  # type: ignore[arg-type]
    assert bench.outcomes() == {"raw": "made", "left": "fresh", "star": "made", "names": "fresh"}


def joined() -> Workbench:
    bench = Workbench(from_files("raw"), from_files("other"), queried("join", "raw", "other"))
    bench.files.tables |= {"raw": {"a": (1, 2)}, "other": {"k": (3, 4), "x": (5, 6)}}
    bench.files.queries["join"] = FakeQuery(left_join, reads_of_join)
    bench.run()
    return bench


def test_no_plan_calls_stale_what_a_pending_input_may_leave_fresh() -> None:
    """`raw` has an x, for a time: by what it looks like, that of `other` is not read."""
    bench = joined()
    bench.files.tables["raw"] = {"a": (1, 2), "x": (0, 0)}
    bench.run(["raw"])
    bench.files.tables["raw"] = {"a": (1, 2), "y": (0, 0)}
    assert isinstance(bench.verdicts()["join"], Pending)
    assert bench.outcomes() == {"raw": "made", "other": "fresh", "join": "fresh"}


def test_a_plan_calls_stale_what_no_pending_input_can_leave_fresh() -> None:
    bench = joined()
    bench.files.tables["other"] = {"k": (3, 4), "x": (0, 6)}
    bench.run(["other"])
    bench.files.tables["raw"] = {"a": (2, 2)}
    assert details(bench, "join") == [("input_changed", "other (column x)")]
    assert bench.outcomes()["join"] == "made"
    bench.files.tables |= {"raw": {"a": (0, 2)}, "other": {"k": (0, 4), "x": (0, 6)}}
    pending = bench.verdicts()["join"]
    assert isinstance(pending, Pending)
    told = "if a column it reads of raw changes: a, or of other: k, x"
    assert condition(pending) == told


def test_an_input_that_changes_whose_column_is_read_is_a_change() -> None:
    bench = joined()
    bench.files.tables["raw"] = {"a": (1, 2), "x": (0, 0)}
    bench.run(["raw"])
    assert details(bench, "join") == [
        ("input_changed", "raw: has x now, which is read"),
        ("input_changed", "other: no longer reads x"),
    ]
    bench.run()
    assert bench.current("join") == {"a": (1, 2), "x": (0, 0)}


class Days(Workbench):
    def facts(self, graph: Graph, forced: Any = ()) -> Facts:
        found = super().facts(graph, forced)
        return replace(found, slices=Sliced(graph, found.now, {}))


def by_day() -> Days:
    """`part` depends on a constant; `each` reads it day by day, `total` all days."""
    days = daily("2024-01-01", "2024-01-04")
    bench = Days(
        made("part", lambda: dict(TABLE), partitions=days),
        queried("each", "part", partitions=days),
        queried("total", Input("part", "part", "arrow", marker=every())),
    )
    bench.files.queries |= {
        name: FakeQuery(lambda part: {"a": part["a"]}, lambda part: {"part": Sight(("a",))})
        for name in ("each", "total")
    }
    bench.run()
    return bench


def remade(bench: Days, **tables: dict[str, tuple[int, ...]]) -> dict[str, int]:
    """How many steps of each asset are made after `part` gives other tables."""
    days = daily("2024-01-01", "2024-01-04")

    def function(partition: Any) -> dict[str, tuple[int, ...]]:
        return tables.get("other" if str(partition).endswith("02") else "part", TABLE)

    bench.replace(made("part", function, partitions=days, takes_partition=True))
    bench.recipes["part"] = Recipe(repr(tables))
    counts: dict[str, int] = {}
    for step in bench.run().steps:
        counts[step.step.asset] = counts.get(step.step.asset, 0) + (step.outcome == "made")
    return counts


def test_an_unread_column_of_any_partition_leaves_readers_fresh() -> None:
    bench = by_day()
    assert remade(bench, other=TABLE | {"b": (0, 0)}) == {"part": 4, "each": 0, "total": 0}
    assert remade(bench, other=TABLE | {"a": (0, 0)}) == {"part": 4, "each": 1, "total": 1}


def test_partitions_of_different_columns_are_read_whole() -> None:
    bench = by_day()
    counts = remade(bench, other={"a": (1, 2), "z": (0, 0)})
    assert counts == {"part": 4, "each": 0, "total": 1}
    made = bench.journal.past().current("total", None)
    assert made is not None
    assert {used.mode for used in made.inputs} == {"all"}


def test_a_query_that_reads_all_there_is_does_not_read_what_comes_later() -> None:
    bench = over_raw(("left", selecting("a", "b", "c")))
    bench.files.queries["left"] = FakeQuery(
        bench.files.queries["left"].run,
        lambda raw: {"raw": Sight() if len(raw) == 3 else Sight(("a", "b", "c"))},
    )
    assert bench.outcomes()["left"] == "fresh"
    given(bench, **TABLE, d=(7, 8))
    assert isinstance(bench.verdicts()["left"], Fresh)


def test_one_who_knows_nothing_of_sql_sees_everything() -> None:
    assert everything(queried("x").query, {"raw": ()}, {}) == {}  # type: ignore[arg-type]
