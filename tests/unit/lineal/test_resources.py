"""Resources of a process: opened once, closed in reverse, replaced; and what they tell."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lineal.assets.asset import Resource
from lineal.assets.declare_resource import resource
from lineal.assets.errors import StepError, UsageError, UserCodeError
from lineal.assets.graph import Graph
from lineal.assets.records import Recipe
from lineal.assets.secrets import secret
from lineal.resources import Opened, replaced
from lineal.user_code import UserCode


def user_code(root: Path, echo: Callable[[str, str], None] | None = None) -> UserCode:
    return UserCode(root, root / ".lineal", lambda _: None, lambda _: None, lambda: None, echo)


@pytest.fixture
def code() -> UserCode:
    return user_code(Path(__file__).parents[2])


@pytest.fixture
def opened(code: UserCode) -> Opened:
    return Opened(code.locate)


def told(log: list[str], name: str) -> Resource:
    @resource(name=name)
    def one(url: str = "a") -> Iterator[str]:
        log.append(f"open {name} {url}")
        yield f"{name} at {url}"
        log.append(f"close {name}")

    return one


def test_a_resource_is_opened_on_first_use_once_and_closed_in_reverse(opened: Opened) -> None:
    log: list[str] = []
    first, second = told(log, "first"), told(log, "second")
    assert opened.get(first, {"url": "x"}) == "first at x"
    assert opened.get(second, {}) == "second at a"
    assert opened.get(first, {"url": "x"}) == "first at x"
    assert log == ["open first x", "open second a"]
    assert opened.close() == ()
    assert log[2:] == ["close second", "close first"]
    assert opened.close() == ()


def test_what_a_plain_function_returns_is_the_resource(opened: Opened) -> None:
    @resource
    def model(size: int = 3, *, more: int = 1) -> list[int]:
        return [0] * (size + more)

    held = opened.get(model, {"size": 2, "more": 2})
    assert held == [0] * 4
    assert opened.get(model, {"size": 2, "more": 2}) is held
    assert opened.close() == ()


def test_secrets_are_handed_over_when_it_opens(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    @resource
    def db(password: str = secret("LINEAL_TEST_DB")) -> Iterator[str]:
        yield f"opened with {password}"

    monkeypatch.delenv("LINEAL_TEST_DB", raising=False)
    with pytest.raises(StepError, match="`LINEAL_TEST_DB`, which the resource `db` needs") as lost:
        opened.get(db, db.parameters)
    assert (lost.value.where or "").startswith(__file__)
    monkeypatch.setenv("LINEAL_TEST_DB", "open sesame")
    assert opened.get(db, db.parameters) == "opened with open sesame"


def test_a_resource_that_yields_nothing_is_told_with_its_place(opened: Opened) -> None:
    @resource
    def nothing() -> Iterator[int]:
        yield from ()

    with pytest.raises(StepError, match="`nothing` ended without a `yield`") as caught:
        opened.get(nothing, {})
    assert caught.value.where == str(nothing.where)


def test_what_opening_raises_is_located_and_logged_like_any_user_code(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.py"
    file.write_text(
        "def db():\n    print('connecting')\n    raise ConnectionError('no route')\n    yield\n"
    )
    names: dict[str, Any] = {}
    exec(compile(file.read_text(), str(file), "exec"), names)
    code, db = user_code(tmp_path), resource(names["db"])
    opened = Opened(code.locate)
    with (
        pytest.raises(UserCodeError, match="no route") as caught,
        code.running(Recipe("0" * 64), "orders", "1/orders", ()),
    ):
        opened.get(db, {})
    assert caught.value.where == "pipeline.py:3 in db"
    assert "builtins.ConnectionError" in caught.value.types
    assert "connecting" in (tmp_path / ".lineal" / "logs" / "1" / "orders.log").read_text()


def test_what_closing_raises_is_told_and_does_not_keep_others_open(opened: Opened) -> None:
    log: list[str] = []

    @resource
    def bad() -> Iterator[int]:
        yield 1
        raise OSError("the line is dead")

    @resource
    def twice() -> Iterator[int]:
        yield 1
        yield 2

    @resource
    def leaves() -> Iterator[int]:
        yield 1
        raise SystemExit(3)

    for each in (told(log, "first"), bad, twice, leaves):
        opened.get(each, {})
    left, twofold, dead = opened.close()
    assert left.startswith("closing the resource `leaves`: it raised SystemExit: 3")
    assert twofold == f"closing the resource `twice`: it yields more than once  {twice.where}"
    assert dead.startswith("closing the resource `bad`: it raised OSError: the line is dead")
    assert "test_resources.py" in dead
    assert log[-1] == "close first"


def test_the_randomness_of_a_step_does_not_depend_on_who_opens_first(code: UserCode) -> None:
    @resource
    def draws() -> float:
        return random.random()

    state = random.getstate()
    one = Opened(code.locate).get(draws, {})
    assert random.getstate() == state
    random.seed(5)
    assert Opened(code.locate).get(draws, {}) == one
    random.setstate(state)


def test_a_stand_in_is_neither_opened_nor_closed(code: UserCode) -> None:
    log: list[str] = []
    real, fake = told(log, "warehouse"), object()
    graph = Graph.build([real])
    given = replaced(graph, {"warehouse": fake})
    opened = Opened(code.locate, given.objects)
    assert opened.get(real, {}) is fake
    assert opened.close() == ()
    assert log == []


def test_each_run_with_a_stand_in_has_its_own_token() -> None:
    graph = Graph.build([told([], "warehouse")])
    first, second = (replaced(graph, {"warehouse": None}).tokens for _ in range(2))
    assert first.keys() == second.keys() == {"warehouse"}
    assert first != second


def test_only_resources_can_be_replaced() -> None:
    graph = Graph.build([told([], "warehouse")])
    with pytest.raises(UsageError, match="no resource `warehose` to replace; did you mean `ware"):
        replaced(graph, {"warehose": 1})
