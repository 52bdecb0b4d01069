"""The declaration of an action: what its signature may say, and what is refused, with its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lineal.assets.asset import Action, Asset, Resource, Retry, gathering
from lineal.assets.declare import asset
from lineal.assets.declare_action import action
from lineal.assets.errors import DefinitionError, DefinitionErrors
from lineal.assets.graph import Graph
from lineal.assets.promoted import Promotion
from tests.workbench import HERE


def _declared(text: str, function: Callable[..., Any], *others: Any, **options: Any) -> Asset:
    with gathering() as found:
        action(text, **options)(function)
    graph = Graph.build([*found, *others])
    return graph.assets[options.get("name", function.__name__)]


def test_its_first_parameter_gets_the_promotion_and_others_come_from_outside() -> None:
    def deploy(promotion: Promotion, cluster: Any, size: int = 3, *, region: str = "eu") -> None:
        """Put it there."""

    def cluster() -> str:
        return "there"

    found = _declared("delays", deploy, Resource("cluster", HERE, cluster), retry=3, timeout="2m")
    assert found.action == Action("delays", "production", "promotion")
    assert [p for p, _ in found.resources] == ["cluster"]
    assert found.parameters == {"size": 3, "region": "eu"}
    assert found.inputs == ()
    assert (found.retry, found.timeout) == (Retry(3), 120.0)
    assert found.description == "Put it there."
    assert _declared("delays@staging", deploy, Resource("cluster", HERE, cluster)).action == Action(
        "delays", "staging", "promotion"
    )


def plain(promotion: Any) -> None: ...
def without() -> None: ...
def with_default(promotion: Any = None) -> None: ...
def with_an_asset(promotion: Any, features: Any) -> None: ...
def with_rest(promotion: Any, **more: Any) -> None: ...


def yields(promotion: Any) -> Iterator[int]:
    yield 1


def features() -> dict[str, int]:
    return {}


@pytest.mark.parametrize(
    ("text", "function", "told"),
    [
        ("delays@v3", plain, "can't be an alias"),
        ("delays@", plain, "can't be an alias"),
        ("delays@two words", plain, "can't be an alias"),
        ("4delays", plain, "can't be the name of a registry"),
        (4, plain, "4 is no alias"),
        ("delays", without, "no first parameter for the promotion"),
        ("delays", with_default, "no first parameter for the promotion"),
        ("delays", yields, "can't `yield`"),
        ("delays", with_rest, "`**`"),
        ("delays", with_an_asset, "an action has no inputs"),
    ],
)
def test_what_can_not_be_right_is_told_with_its_place(
    text: Any, function: Callable[..., Any], told: str
) -> None:
    with pytest.raises(DefinitionErrors) as raised:
        _declared(text, function, asset(features))
    (error,) = raised.value.errors
    assert told in error.message
    assert __file__ in (error.where or "")


def test_what_it_does_not_take_is_said_with_what_to_do_instead() -> None:
    with pytest.raises(DefinitionErrors) as raised:
        _declared("delays", with_an_asset, asset(features))
    assert "promotion.model" in (raised.value.errors[0].advice or "")
    with pytest.raises(DefinitionError, match="does not take `format=`"):
        action("delays", format="json")(plain)
    with pytest.raises(DefinitionError, match="needs the alias that it runs for"):
        action(plain)  # type: ignore[arg-type]  # as people write it


def test_nothing_reads_an_action() -> None:
    def reader(deploy: Any) -> int:
        return 1

    with pytest.raises(DefinitionErrors) as raised:
        _declared("delays", plain, asset(reader), name="deploy")
    assert "reads the action `deploy`" in raised.value.errors[0].message
