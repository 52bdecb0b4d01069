"""Secrets: only their names are seen, until code needs their values."""

from __future__ import annotations

import importlib
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from lineal.assets.asset import gathering
from lineal.assets.declare import asset
from lineal.assets.declare_sql import sql_asset
from lineal.assets.digest import digest_of
from lineal.assets.errors import DefinitionError, StepError
from lineal.assets.facts import parameter_texts
from lineal.assets.secrets import (
    Secret,
    held_back,
    hidden_texts,
    reveal,
    scrub,
    scrubbed,
    secret,
)

NAME = "LINEAL_TEST_SECRET"


@pytest.fixture
def value(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(NAME, "hunter2 & more")
    return "hunter2 & more"


def test_a_secret_shows_its_name_and_never_its_value(value: str) -> None:
    held = secret(NAME)
    for text in (repr(held), str(held), f"{held}", f"{[held]!r}"):
        assert f"secret({NAME})" in text
        assert "hunter2" not in text
    assert parameter_texts({"password": held}) == (("password", f"secret({NAME})"),)
    assert value.encode() not in pickle.dumps(held)


def test_its_canonical_form_is_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NAME, "first")
    before = digest_of({"password": secret(NAME)})
    monkeypatch.setenv(NAME, "second")
    assert digest_of({"password": secret(NAME)}) == before
    assert digest_of({"password": secret("ANOTHER")}) != before
    assert digest_of({"password": NAME}) != before


def test_a_secret_is_the_default_of_a_parameter_of_an_asset(value: str) -> None:
    @asset
    def orders(password: str = secret(NAME)) -> str:
        return password

    assert orders.parameters == {"password": Secret(NAME)}
    assert orders.parameter_types == {"password": str}
    made = sql_asset("cities", "select $key as key", parameters={"key": secret(NAME)})
    assert made.parameters == {"key": Secret(NAME)}


def test_values_are_handed_over_where_secrets_lie(value: str) -> None:
    given = {"a": secret(NAME), "b": [1, (secret(NAME), "x")], "c": {"d": secret(NAME)}, "e": 2}
    assert reveal(given) == {"a": value, "b": [1, (value, "x")], "c": {"d": value}, "e": 2}
    assert secret(NAME).value == value


def test_a_variable_that_is_not_set_is_told_with_its_name_its_reader_and_how_to_set_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(NAME, raising=False)
    with pytest.raises(StepError) as caught:
        reveal({"password": secret(NAME)}, "`orders`", "pipeline.py:4")
    error = caught.value
    assert error.message == (
        f"the environment variable `{NAME}`, which `orders` needs, is not set: "
        f"secret({NAME}) has no value"
    )
    assert (error.where, f"export {NAME}=" in (error.advice or "")) == ("pipeline.py:4", True)
    with pytest.raises(StepError, match=f"`{NAME}` is not set") as in_a_body:
        _ = secret(NAME).value
    assert (in_a_body.value.where or "").startswith(f"{Path(__file__).absolute()}:")


def test_a_module_can_not_ask_for_a_value_while_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    file = tmp_path / "asks_for_a_secret.py"
    file.write_text(f"from lineal import secret\n\nDSN = 'db://' + secret('{NAME}').value\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DefinitionError, match="while a module is imported") as caught:
        importlib.import_module("asks_for_a_secret")
    assert caught.value.where == f"{file}:3"
    sys.modules.pop("asks_for_a_secret", None)


@pytest.mark.parametrize("name", ["", " ", "A=B", 3, None])
def test_what_can_be_no_variable_is_refused_with_its_place(name: Any) -> None:
    with gathering() as found:
        secret(name)
    (error,) = found
    assert isinstance(error, DefinitionError)
    assert "is not the name of an environment variable" in error.message
    assert (error.where or "").startswith(str(Path(__file__).absolute()))


# ------------------------------------------------------------------------------------ keeping quiet


def test_values_are_taken_out_of_texts_longest_first() -> None:
    assert scrub("a hunter2hunter2x b hunter2", ["hunter2", "hunter2x"]) == "a ****** b ***"


def test_values_of_fewer_than_four_characters_stay() -> None:
    assert scrub("abc abcd", ["abc", ""]) == "abc abcd"
    assert scrub("abc abcd", ["abcd"]) == "abc ***"


def test_a_declared_secret_is_known_before_anyone_asks_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret("LINEAL_TEST_UNASKED")
    monkeypatch.setenv("LINEAL_TEST_UNASKED", "correct horse")
    assert scrubbed("it is correct horse") == "it is ***"


def test_a_value_that_was_handed_over_stays_secret_when_its_variable_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(NAME, "battery staple")
    assert secret(NAME).value == "battery staple"
    monkeypatch.setenv(NAME, "another one")
    assert scrubbed("battery staple, another one") == "***, ***"


def test_a_value_is_known_in_other_spellings_too(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "p@ss/\nwörd"
    monkeypatch.setenv(NAME, told)
    secret(NAME)
    for text in (repr(told), '"p@ss/\\nw\\u00f6rd"', "db://me:p%40ss%2F%0Aw%C3%B6rd@host"):
        assert "rd" not in scrubbed(text), text
    assert told in hidden_texts()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("it is hun", 3), ("it is hunter", 6), ("hunter2", 0), ("it is", 0), ("", 0), ("hhh", 1)],
)
def test_the_beginning_of_a_value_at_the_end_of_a_text_is_held_back(
    text: str, expected: int
) -> None:
    assert held_back(text, ["hunter2", "zzzz"]) == expected
