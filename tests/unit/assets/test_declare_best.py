"""The best of several partitions: how it is declared, and how it is chosen."""

from __future__ import annotations

import math
from typing import Any

import pytest

import lineal
from lineal.assets.asset import Asset, LateResult, Result, gathering
from lineal.assets.declare_best import choose
from lineal.assets.errors import DefinitionError, DefinitionErrors, StepError
from lineal.assets.graph import Graph
from tests.workbench import Workbench, made


def never() -> Any:
    raise AssertionError("a value was loaded")


def candidates(**auc: float) -> dict[str, Result]:
    return {key: LateResult(never, {"auc": value, "size": 1.0}, key) for key, value in auc.items()}


def test_it_takes_its_name_from_the_candidate_and_says_what_it_is() -> None:
    best = lineal.best_of("models/candidate", metric="auc", tags="daily")
    assert (best.name, best.tags) == ("models/best_candidate", ("daily",))
    assert best.description == "The partition of models/candidate with the greatest auc."
    assert best.parameters == {"metric": "auc", "direction": "max"}
    other = lineal.best_of(best, metric="loss", direction="min", name="x", description="mine")
    assert (other.name, other.inputs[0].asset, other.description) == ("x", best.name, "mine")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"metric": ""}, "`metric=` is ''"),
        ({"metric": "auc", "direction": "up"}, "`direction=` is 'up'"),
        ({"metric": "auc", "tag": "x"}, "did you mean `tags`"),
        ({"metric": "auc", "name": "a b\n"}, "a b"),
    ],
)
def test_what_cannot_be_declared_is_told_with_its_place(options: Any, told: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        lineal.best_of("candidate", **options)
    assert told in str(caught.value)
    assert "test_declare_best.py" in str(caught.value.where)
    with gathering() as found:
        lineal.best_of("candidate", **options)
    assert [type(each) for each in found] == [DefinitionError, Asset]


def test_an_asset_without_partitions_leaves_nothing_to_choose_from() -> None:
    best = lineal.best_of("model", metric="auc")
    with pytest.raises(DefinitionErrors) as caught:
        Graph.build([made("model", lambda: 1), best])
    (error,) = caught.value.errors
    assert "`model` has no partitions, so `best_model` has nothing to choose" in error.message


def test_a_check_of_a_version_gets_its_value_and_no_result() -> None:
    @lineal.check("model")
    def good(model: Result) -> bool:
        return True

    with pytest.raises(DefinitionErrors) as caught:
        Graph.build([made("model", lambda: 1), good])
    assert "`model` of check `good` is the very version" in caught.value.errors[0].message


def test_the_greatest_or_the_least_wins_and_no_value_is_loaded() -> None:
    given = candidates(a=0.2, b=0.9, c=0.5)
    best = choose(given, metric="auc", direction="max")
    assert best.value is given["b"]
    assert best.metrics == {"auc": 0.9, "size": 1.0}
    assert best.metadata["partition"] == "b"
    assert best.metadata["candidates"][1] == {"partition": "b", "value": 0.9}
    assert choose(given, metric="auc", direction="min").value is given["a"]


def test_of_equals_the_first_wins_and_nan_never_does() -> None:
    for direction in ("max", "min"):
        given = candidates(a=math.nan, b=1.0, c=1.0)
        best = choose(given, metric="auc", direction=direction)
        assert best.value is given["b"]
        assert best.metadata["candidates"][0] == {"partition": "a", "value": "nan"}
    infinite = choose(candidates(a=1.0, b=math.inf), metric="auc", direction="max")
    assert infinite.metadata["partition"] == "b"


@pytest.mark.parametrize(
    ("given", "metric", "direction", "told"),
    [
        ({"a": 1.0}, "auk", "max", "`a` has no metric `auk`; did you mean `auc`?"),
        ({"a": math.nan}, "auc", "max", "`auc` is NaN in every partition"),
        ({}, "auc", "max", "no partition to choose from"),
        ({"a": 1.0}, "auc", "most", "`direction` is 'most'"),
    ],
)
def test_where_there_is_no_best_it_says_why(
    given: dict[str, float], metric: str, direction: str, told: str
) -> None:
    with pytest.raises(StepError) as caught:
        choose(candidates(**given), metric=metric, direction=direction)
    assert told in str(caught.value)


def test_a_result_that_is_read_loads_its_value_once_and_only_when_asked() -> None:
    loaded: list[list[int]] = []
    late = LateResult(lambda: loaded.append([1]) or loaded[-1], {"n": 1.0}, "version")
    assert "n" in repr(late)
    assert (late.untouched, loaded) == ("version", [])
    assert late.value is late.value
    assert (late.untouched, loaded) == (None, [[1]])
    with pytest.raises(AttributeError, match="no `metadata`"):
        _ = late.metadata


def test_a_result_returned_unopened_is_handed_on_and_a_changed_one_is_stored_anew() -> None:
    def read(name: str, function: Any) -> Asset:
        from dataclasses import replace

        asset = made(name, function, {"model": "model"})
        return replace(asset, inputs=(replace(asset.inputs[0], arrival="result"),))

    def changed(model: Result) -> Result:
        model.value["w"] = [2]
        return model

    bench = Workbench(
        made("model", lambda: Result({"w": [1]}, {"auc": 0.5}, {"note": "x"})),
        read("same", lambda model: model),
        read("noted", lambda model: Result(model, {"other": 1.0}, {"why": "best"})),
        read("changed", changed),
    )
    run = bench.run()
    assert run.outcome == "done"
    found = {name: bench.journal.past().current(name, None) for name in bench.graph.assets}
    contents = {name: m.content.digest for name, m in found.items() if m and m.content}
    assert contents["same"] == contents["noted"] == contents["model"] != contents["changed"]
    metrics = {name: dict(m.metrics) for name, m in found.items() if m}
    assert metrics["same"] == metrics["changed"] == {"auc": 0.5}
    assert metrics["noted"] == {"other": 1.0}
    assert bench.current("changed") == {"w": [2]}
