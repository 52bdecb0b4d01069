"""Binding declarations to each other: names, inputs, checks, order, and all errors at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lineal.assets.asset import Asset, Check, Input, Where
from lineal.assets.errors import DefinitionErrors
from lineal.assets.graph import Graph
from tests.workbench import from_files, judged, made


def one(name: str, *inputs: str, **options: Any) -> Asset:
    """An asset whose parameters are named after its inputs, to be found by name."""
    asset = made(name, lambda **_: None, **options)
    return replace(asset, inputs=tuple(Input(i) for i in inputs))


def errors(*declared: Asset | Check) -> list[str]:
    with pytest.raises(DefinitionErrors) as caught:
        Graph.build(declared)
    return [error.message for error in caught.value.errors]


def test_a_parameter_finds_the_asset_whose_name_it_spells() -> None:
    graph = Graph.build([from_files("raw/orders"), one("total", "raw_orders")])
    assert graph.assets["total"].inputs == (Input("raw_orders", "raw/orders"),)
    assert graph.upstream["total"] == ("raw/orders",)
    assert graph.downstream["raw/orders"] == ("total",)


def test_an_input_can_be_declared_after_its_reader() -> None:
    assert Graph.build([one("b", "a"), one("a")]).order == ("a", "b")


def test_the_order_is_that_of_declaration_wherever_inputs_allow() -> None:
    graph = Graph.build([one("z"), one("b", "late"), one("a"), one("late"), one("c", "z")])
    assert graph.order == ("z", "a", "late", "b", "c")


def test_a_declaration_that_is_met_twice_is_one() -> None:
    asset = one("a")
    assert Graph.build([asset, asset]).order == ("a",)


def test_several_outputs_have_one_maker() -> None:
    graph = Graph.build([one("split", outputs=("train", "test")), one("model", "train")])
    assert graph.maker == {"train": "split", "test": "split", "model": "model"}
    assert graph.upstream["model"] == ("split",)


def test_what_a_check_reads_besides_its_asset_comes_first() -> None:
    check = judged("a", lambda value, other: True, other="b")
    graph = Graph.build([one("a"), one("b"), check])
    assert graph.order == ("b", "a")
    assert graph.upstream["a"] == ("b",)
    assert [c.name for c in graph.checks["a"]] == ["good"]


def test_two_names_that_differ_only_in_case_clash_and_both_places_are_told() -> None:
    first = replace(one("Orders"), where=Where("first.py", 3))
    (message,) = errors(first, one("orders"))
    assert message == "two assets are called `orders`: here and at first.py:3"


def test_an_output_may_not_have_the_name_of_another_asset() -> None:
    (message,) = errors(one("train"), one("split", outputs=("train", "test")))
    assert "`train`" in message


def test_an_unknown_input_is_told_with_the_nearest_name() -> None:
    (message,) = errors(one("flights"), one("features", "flihgts"))
    assert message == "no asset `flihgts`, an input of `features`; did you mean `flights`?"


def test_an_input_that_two_assets_spell_is_an_error_that_names_both() -> None:
    (message,) = errors(one("a/b"), one("a_b"), one("reader", "a_b"))
    assert message == "the input `a_b` of `reader` could be `a/b` and `a_b`"


def test_an_input_named_outright_is_not_looked_for_by_spelling() -> None:
    reader = made("reader", lambda left: None, {"left": "a/b"})
    assert Graph.build([one("a/b"), one("a_b"), reader]).upstream["reader"] == ("a/b",)


def test_a_cycle_is_printed_whole_as_data_flows() -> None:
    declared = [one("a", "c"), one("b", "a"), one("c", "b"), one("after", "c")]
    (message,) = errors(*declared)
    assert message == "a cycle: a → b → c → a"


def test_an_asset_may_not_read_itself() -> None:
    assert errors(one("a", "a")) == ["`a` takes itself as an input"]


def test_all_errors_are_told_at_once() -> None:
    told = errors(one("a", "nowhere"), one("b"), one("B"), judged("missing", lambda value: True))
    assert len(told) == 3


def test_two_checks_of_one_asset_need_different_names() -> None:
    (message,) = errors(one("a"), judged("a", lambda value: 1), judged("a", lambda value: 2))
    assert message == "`a` has two checks called `good`"


def test_a_source_is_left_in_place_only_if_every_reader_wants_its_path() -> None:
    path, table = Input("a", "raw/a", "path"), Input("a", "raw/a")
    source = from_files("raw/a")
    by_path = replace(one("by_path"), inputs=(path,))
    assert not Graph.build([source, by_path]).reads_as_table("raw/a")
    both = [source, by_path, replace(one("by_table"), inputs=(table,))]
    assert Graph.build(both).reads_as_table("raw/a")
    assert Graph.build([source]).reads_as_table("raw/a")
    assert Graph.build([source, by_path, judged("raw/a", lambda value: 1)]).reads_as_table("raw/a")
