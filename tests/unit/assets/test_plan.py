"""Verdicts and their reasons: each kind of reason, and the cases in which there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lineal.assets.asset import Arrival, Contract, Fetch, Input
from lineal.assets.records import Acceptance, EnvironmentFacts, Recipe, RecipePart
from lineal.assets.verdicts import Fresh, Pending, Stale
from tests.workbench import Workbench, from_files, judged, made

TABLE: dict[str, tuple[int, ...]] = {"a": (1, 2), "b": (3, 4)}


def chain(**options: Any) -> Workbench:
    """raw (a source) → left (reads column a) and whole (reads all) → last (reads left)."""
    bench = Workbench(
        from_files("raw"),
        made("left", lambda raw, **_: {"a": raw["a"]}, {"raw": ("raw", "a")}, **options),
        made("whole", lambda raw: dict(raw), {"raw": "raw"}),
        made("last", lambda left: {"n": (len(left["a"]),)}, {"left": "left"}),
    )
    bench.files.tables["raw"] = TABLE
    return bench


def made_once(**options: Any) -> Workbench:
    bench = chain(**options)
    assert bench.run().outcome == "done"
    return bench


def recipe(digest: str, **constants: str) -> Recipe:
    parts = [
        RecipePart(name, "constant", digest=value, value=value, where="helpers.py:3")
        for name, value in constants.items()
    ]
    return Recipe(digest, tuple(parts))


def details(bench: Workbench, asset: str, **options: Any) -> list[tuple[str, str]]:
    return [(r.kind, r.detail) for r in bench.reasons(asset, **options)]


def test_before_anything_was_made_everything_is_stale_and_says_so() -> None:
    assert {r.kind for a in ("raw", "left", "last") for r in chain().reasons(a)} == {"never_made"}


def test_after_a_run_everything_is_fresh() -> None:
    assert set(map(type, made_once().verdicts().values())) == {Fresh}


def test_changed_code_names_the_constant_its_place_and_its_values() -> None:
    bench = chain()
    bench.recipes["left"] = recipe("one", RATE="1.1", OTHER="5")
    bench.run()
    bench.recipes["left"] = recipe("two", RATE="1.2", OTHER="5")
    assert details(bench, "left") == [("code_changed", "helpers.py:3  RATE  1.1 → 1.2")]


def test_code_that_is_reached_no_more_is_a_change() -> None:
    bench = chain()
    bench.recipes["left"] = recipe("one", RATE="1.1", OTHER="5")
    bench.run()
    bench.recipes["left"] = recipe("two", RATE="1.1")
    assert details(bench, "left") == [("code_changed", "helpers.py:3  OTHER  5 → gone")]


def test_what_follows_a_stale_step_is_pending_not_stale() -> None:
    bench = made_once()
    bench.recipes["left"] = recipe("two")
    verdicts = bench.verdicts()
    assert isinstance(verdicts["left"], Stale)
    assert isinstance(verdicts["last"], Pending)
    assert verdicts["last"].inputs == ("left",)
    assert isinstance(verdicts["whole"], Fresh)


def test_a_changed_parameter_is_told_with_both_values() -> None:
    bench = made_once(parameters={"minimum": 5})
    bench.parameters["left"] = {"minimum": 6}
    assert details(bench, "left") == [("parameter_changed", "minimum  5 → 6")]


def test_a_changed_package_is_told_with_both_versions() -> None:
    bench = chain()
    old = EnvironmentFacts("one", "3.12", (("pandas", "3.0"), ("numpy", "2.1")), ())
    bench.environments["left"] = old
    bench.run()
    new = replace(old, digest="two", packages=(("pandas", "3.1"), ("numpy", "2.1")))
    bench.environments["left"] = new
    assert details(bench, "left") == [("environment_changed", "pandas  3.0 → 3.1")]


def test_the_value_of_a_changed_variable_is_never_told() -> None:
    bench = chain()
    old = EnvironmentFacts("one", "3.12", (), (("TOKEN", "digest of secret"),))
    bench.environments["left"] = old
    bench.run()
    bench.environments["left"] = replace(old, digest="two", variables=(("TOKEN", "another"),))
    assert details(bench, "left") == [("environment_changed", "variable TOKEN")]


def test_a_column_that_is_not_read_makes_only_its_readers_stale() -> None:
    bench = made_once()
    bench.files.tables["raw"] = {**TABLE, "b": (3, 5)}
    bench.run(["raw"])
    assert isinstance(bench.verdicts()["left"], Fresh)
    ((kind, detail),) = details(bench, "whole")
    assert kind == "input_changed"
    assert detail.startswith("raw (column b)  @")


def test_a_column_that_is_read_and_gone_makes_its_reader_stale() -> None:
    bench = made_once()
    bench.files.tables["raw"] = {"b": (3, 4)}
    bench.run(["raw"])
    assert [kind for kind, _ in details(bench, "left")] == ["input_changed"]


def test_more_rows_of_the_same_columns_are_a_change_even_where_nothing_of_them_is_read() -> None:
    bench = Workbench(from_files("raw"), made("count", lambda raw: 1, {"raw": ("raw", "a")}))
    bench.files.tables["raw"] = {"a": (), "b": ()}
    bench.run()
    bench.files.tables["raw"] = {"b": (1,), "a": (1,)}
    bench.run(["raw"])
    assert [kind for kind, _ in details(bench, "count")] == ["input_changed"]


def test_changed_files_are_named() -> None:
    bench = made_once()
    bench.files.tables["raw"] = {**TABLE, "b": (9, 9)}
    assert details(bench, "raw") == [("input_changed", "raw.csv has new content")]


def test_an_input_that_was_added_or_taken_away_is_named() -> None:
    bench = made_once()
    both = {"left": "left", "more": "whole"}
    bench.replace(made("last", lambda left, more: 1, both))
    assert details(bench, "last") == [("input_changed", "whole   → new")]
    bench.run()
    bench.replace(made("last", lambda left: 1, {"left": "left"}))
    assert ("input_changed", "whole   → gone") in details(bench, "last")


def test_a_changed_contract_is_a_reason() -> None:
    bench = made_once()
    bench.replace(
        made("last", lambda left: 1, {"left": "left"}, contract=Contract(order_by=("n",)))
    )
    assert [kind for kind, _ in details(bench, "last")] == ["contract_changed"]


def test_descriptions_tags_and_owners_are_no_reason() -> None:
    bench = made_once()
    words = {"tags": ("daily",), "owner": "me", "description": "What is left."}
    bench.replace(made("left", lambda raw: 0, {"raw": ("raw", "a")}, **words))
    assert isinstance(bench.verdicts()["left"], Fresh)


def test_a_lost_object_is_a_reason_even_while_inputs_are_pending() -> None:
    bench = made_once()
    content = bench.journal.past().current("last", None).content  # type: ignore[union-attr]
    assert content is not None
    del bench.vault.objects[content.objects[0].digest]
    assert [kind for kind, _ in details(bench, "last")] == ["object_missing"]
    bench.recipes["left"] = recipe("two")
    assert [kind for kind, _ in details(bench, "last")] == ["object_missing"]


def test_a_volatile_step_is_stale_in_every_run() -> None:
    bench = made_once(volatile=True)
    assert details(bench, "left") == [("volatile", "")]


def test_a_forced_step_is_stale_and_what_it_needs_is_not() -> None:
    bench = made_once()
    verdicts = bench.verdicts(selected=["last"], forced=["last"])
    assert {a: v.name for a, v in verdicts.items()} == {
        "raw": "fresh",
        "left": "fresh",
        "last": "stale",
    }


def test_a_fetched_source_is_due_when_it_is_old_enough_and_not_before() -> None:
    fetched = made("prices", lambda: {"a": (1,)})
    bench = Workbench(replace(fetched, kind="fetch", fetch=Fetch(refetch=60.0)))
    bench.run()
    assert isinstance(bench.verdicts()["prices"], Fresh)
    bench.clock.now += 60
    assert details(bench, "prices") == [("due", "refetch every 60 s")]


def test_changed_code_of_a_fetcher_makes_no_observation_stale() -> None:
    fetched = made("prices", lambda: {"a": (1,)})
    bench = Workbench(replace(fetched, kind="fetch", fetch=Fetch()))
    bench.run()
    bench.recipes["prices"] = recipe("two")
    assert isinstance(bench.verdicts()["prices"], Fresh)


def test_a_check_that_changed_is_a_reason_of_its_own() -> None:
    bench = made_once()
    bench.declared.append(judged("left", lambda value: True))
    assert [kind for kind, _ in details(bench, "left")] == ["check_changed"]
    bench.run()
    assert isinstance(bench.verdicts()["left"], Fresh)


def test_a_blocked_version_stays_stale_because_its_check_failed() -> None:
    bench = chain()
    bench.declared.append(judged("left", lambda value: False))
    bench.run()
    assert [kind for kind, _ in details(bench, "left")] == ["check_failed"]
    assert not bench.planned()[1].has_work


def test_code_that_a_person_accepted_as_equivalent_is_no_reason() -> None:
    bench = chain()
    bench.recipes["left"] = recipe("one", RATE="1")
    bench.run()
    bench.recipes["left"] = recipe("two", RATE="1.0")
    bench.journal.append([Acceptance("left", "one", "two", "same number", "me", 0.0)])
    assert isinstance(bench.verdicts()["left"], Fresh)


def test_an_undone_edit_finds_the_old_version_before_anything_runs() -> None:
    bench = made_once()
    first = bench.recipes.get("left", bench.facts(bench.graph).recipes["left"])
    bench.recipes["left"] = recipe("two")
    bench.run()
    bench.recipes["left"] = first
    actions = {s.step.asset: s.action for s in bench.planned()[1].steps}
    assert actions == {"raw": "none", "left": "reuse", "whole": "none", "last": "none"}


def test_outputs_are_reused_together_or_not_at_all() -> None:
    """The content of one output was lost: both are made again, from one call."""
    both = made("split", lambda: {"one": {"a": (1,)}, "two": {"a": (2,)}}, outputs=("one", "two"))
    bench = Workbench(both)
    bench.run()
    content = bench.journal.past().current("two", None).content  # type: ignore[union-attr]
    assert content is not None
    del bench.vault.objects[content.objects[0].digest]
    assert {s.action for s in bench.planned()[1].steps} == {"compute"}
    assert bench.outcomes() == {"one": "made", "two": "made"}


def test_two_assets_of_one_computation_share_it() -> None:
    """Names are in no fingerprint: a renamed asset is not computed again."""
    bench = made_once()
    bench.recipes["renamed"] = bench.facts(bench.graph).recipes["whole"]
    bench.declared.append(made("renamed", lambda raw: 1 / 0, {"raw": "raw"}))
    assert bench.outcomes()["renamed"] == "reused"
    assert bench.current("renamed") == TABLE
    assert set(map(type, bench.verdicts().values())) == {Fresh}


def test_an_excluded_asset_is_read_as_it_is() -> None:
    bench = made_once()
    bench.recipes["left"] = recipe("two")
    verdicts = bench.verdicts(excluded=["left"])
    assert "left" not in verdicts
    assert isinstance(verdicts["last"], Fresh)


@pytest.mark.parametrize(
    ("before", "after", "stale"),
    [("auto", "pandas", False), ("auto", "arrow", True), ("rows", "array", True)],
)
def test_what_arrives_otherwise_is_another_input_if_it_is_another_value(
    before: Arrival, after: Arrival, stale: bool
) -> None:
    bench = Workbench(made("table", lambda: {"n": (1,)}))
    for arrival in (before, after):
        reader = made("reader", lambda given: {"n": (2,)})
        bench.replace(replace(reader, inputs=(Input("given", "table", arrival),)))
        bench.run()
    outcomes = [m.outcome for m in bench.journal.past().made.values() if m.asset == "reader"]
    assert outcomes == (["made", "made"] if stale else ["made"])
