"""Gates as they are declared: what one says, and what can't be declared."""

from __future__ import annotations

from typing import Any

import pytest

import lineal
from lineal.assets.asset import Gate, Rule, gathering
from lineal.assets.errors import DefinitionError, DefinitionErrors
from lineal.assets.graph import Graph
from lineal.assets.partitions import grid
from tests.workbench import from_files, judged, made, queried


def auc(model: Any, test: Any, limit: float = 0.5) -> float:
    """How well delays are foreseen."""
    return 0.0


def errors(*declared: Any) -> list[str]:
    with pytest.raises(DefinitionErrors) as caught:
        Graph.build([*declared, made("test", lambda: 1)])
    assert all(error.where for error in caught.value.errors)
    return [f"{error.message} | {error.advice}" for error in caught.value.errors]


def test_the_first_parameter_gets_the_model_and_the_others_are_as_in_assets() -> None:
    model = made("models/delay", lambda: 1)
    found = lineal.gate("delays", candidate=model, margin=0.002, retry=2, pools="gpu")(auc)
    assert (found.name, found.kind, found.outputs) == ("auc", "gate", ("auc",))
    assert found.gate == Gate("delays", "production", "model", (("auc", Rule(0.002)),))
    assert [(i.parameter, i.asset) for i in found.inputs] == [
        ("model", "models/delay"), ("test", None),
    ]  # fmt: skip
    assert (dict(found.parameters), found.description) == (
        {"limit": 0.5}, "How well delays are foreseen.",
    )  # fmt: skip
    assert (found.retry.times, found.pools) == (2, (("gpu", 1),))
    graph = Graph.build([model, made("test", lambda: 1), found])
    assert graph.upstream["auc"] == ("models/delay", "test")
    assert found(1, 2) == 0.0  # it stays a function


def test_one_number_is_called_after_the_gate_and_several_have_a_rule_each() -> None:
    named = lineal.gate("delays", candidate="m", name="models/skill", direction="min", minimum=-1)
    assert named(auc).gate.rules == (("skill", Rule(0.0, "min", -1.0)),)
    rules = {"auc": lineal.Rule(margin=0.01), "brier": {"direction": "min"}}
    several = lineal.gate("delays", candidate="m", alias="canary", rules=rules)(auc).gate
    assert several.rules == (("auc", Rule(0.01)), ("brier", Rule(direction="min")))
    assert several.alias == "canary"


@pytest.mark.parametrize(
    ("registry", "options", "told"),
    [
        ("a b", {}, "`a b` is not the name of a registry"),
        (auc, {}, "@gate needs the name of the registry"),
        ("delays", {"alias": "v3"}, "`v3` can't be an alias"),
        ("delays", {"alias": "facade"}, "`facade` can't be an alias"),
        ("delays", {"alias": "2026-11-22"}, "'2026-11-22' can't be an alias"),
        ("delays", {"margin": float("nan")}, "`margin=` is nan"),
        ("delays", {"margin": "0.1"}, "`margin=` is '0.1'"),
        ("delays", {"minimum": float("inf")}, "`minimum=` is inf"),
        ("delays", {"direction": "up"}, "`direction=` is 'up'"),
        ("delays", {"rules": {}}, "`rules=` is {}"),
        ("delays", {"rules": {"auc": 0.1}}, "the rule of `auc` is 0.1"),
        ("delays", {"rules": {"auc": {"margn": 1}}}, "did you mean `margin`?"),
        ("delays", {"rules": {"auc": {}}, "margin": 0.1}, "`margin=` beside it says nothing"),
        ("delays", {"volatile": True}, "@gate does not take `volatile=`"),
        ("delays", {"marging": 0.1}, "did you mean `margin`?"),
        ("delays", {"candidate": 7}, "7 is not an asset name"),
        ("delays", {"inputs": {"model": "other"}}, "inputs= says something else of it"),
    ],
)
def test_what_cannot_be_declared_is_told_with_its_place(
    registry: Any, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(DefinitionError) as caught:
        lineal.gate(registry, **{"candidate": "model", **options})(auc)
    assert told in caught.value.message
    assert "test_declare_gate.py" in str(caught.value.where)


def test_a_function_without_a_parameter_for_the_model_is_refused() -> None:
    def none() -> float:
        return 0.0

    def preset(model: Any = None) -> float:
        return 0.0

    def folder(model: Any, out: lineal.Folder) -> float:
        return 0.0

    with gathering() as found:
        for function in (none, preset, folder):
            lineal.gate("delays", candidate="model")(function)
    told = [each.message for each in found if isinstance(each, DefinitionError)]
    assert told == [
        "the gate `none` takes no model",
        "`model`, the first parameter of `preset`, gets the model",
        "a gate returns scores: `out` can't be a folder to write into",
    ]


def test_what_is_wrong_among_the_assets_is_told_at_once() -> None:
    def gate(candidate: str, name: str, registry: str = "delays") -> Any:
        return lineal.gate(registry, candidate=candidate, name=name)(auc)

    found = errors(
        made("model", lambda: 1),
        made("forest", lambda depth: 1, partitions=grid(depth=[1, 2])),
        from_files("files"),
        queried("table"),
        gate("modle", "a"),
        gate("forest", "b"),
        gate("files", "c"),
        gate("table", "d"),
        gate("model", "e", "Model"),
        gate("model", "f"),
        judged("f", lambda value: True, model="model"),
    )
    whole = "\n".join(found)
    for part in (
        "no asset `modle`, an input of `a`; did you mean `model`?",
        'the candidate `forest` of `b` has partitions: which is the model? | choose one: best_of(forest, metric="…")',  # noqa: E501
        "the candidate `files` of `c` is a source",
        "the candidate `table` of `d` is a table",
        "the registry `Model` is called like the asset at",
        "the check `good` tests `f`, which is a gate",
    ):
        assert part in whole
    assert len(found) == 6


def test_a_resource_is_no_candidate() -> None:
    @lineal.resource
    def client() -> int:
        return 1

    (told,) = errors(client, lineal.gate("delays", candidate="client")(auc))
    assert "the candidate of `auc` is the resource `client`" in told
