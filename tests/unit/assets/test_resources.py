"""Resources: how they are declared, found by those who take them, and counted in recipes."""

from __future__ import annotations

import textwrap
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lineal.assets.asset import Asset, Check, Resource, gathering
from lineal.assets.errors import DefinitionError, DefinitionErrors, SettingsError, UsageError
from lineal.assets.graph import Graph
from lineal.assets.reasons import fetch, recipe_difference
from lineal.assets.records import Content, Materialization, Recipe
from lineal.project import Project
from lineal.snapshot import Snapshot

WORDS = "from lineal import asset, check, columns, resource, secret, source, sql_asset, Folder\n"


def declare(text: str) -> list[Any]:
    module = types.ModuleType("a_pipeline")
    code = compile(WORDS + textwrap.dedent(text), "/project/pipeline.py", "exec")
    with gathering() as found:
        exec(code, module.__dict__)
    return found


def graph(text: str) -> Graph:
    return Graph.build(declare(text))


def errors(text: str) -> list[DefinitionError]:
    with pytest.raises(DefinitionErrors) as caught:
        graph(text)
    assert all((e.where or "").startswith("/project/pipeline.py:") for e in caught.value.errors)
    return list(caught.value.errors)


WAREHOUSE = """
    @resource
    def warehouse(url: str = "a.db", *, region: str = "eu"):
        yield url
"""


# --------------------------------------------------------------------------------- declarations


def test_a_resource_has_the_name_place_and_parameters_of_its_function() -> None:
    (made,) = declare(WAREHOUSE)
    assert isinstance(made, Resource)
    assert (made.name, str(made.where)) == ("warehouse", "/project/pipeline.py:3")
    assert made.parameters == {"url": "a.db", "region": "eu"}
    assert made.parameter_types == {"url": str, "region": str}


def test_a_resource_may_have_another_name_and_may_return_what_it_opens() -> None:
    (made,) = declare("@resource(name='lake')\ndef open_lake(path='x'): return [path]")
    assert (made.name, made()) == ("lake", ["x"])


def test_a_keyword_only_parameter_without_a_default_is_left_to_the_settings() -> None:
    (made,) = declare("@resource\ndef db(*, url: str): yield url")
    assert (made.parameters, made.parameter_types) == ({}, {"url": str})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("@resource\ndef db(url): yield url", "the parameter `url` of the resource `db` has no"),
        ("@resource\ndef db(to: Folder): yield to", "`to` of the resource `db` has no default"),
        ("@resource\ndef db(*urls): yield urls", "`*urls` can't be an input"),
        ("@resource\ndef db(url=object()): yield url", "the default of `url`"),
        ("@resource\nasync def db(): ...", "can't be `async`"),
        ("@resource(name='raw/db')\ndef db(): yield", "can't be the name of a resource"),
        ("@resource(nam='x')\ndef db(): yield", "did you mean `name`"),
        ("@resource('x')\ndef db(): yield", "takes options by name"),
        ("@resource\nclass Db: ...", "which is no function"),
        ("@resource\n@asset\ndef db(): ...", "which is declared already"),
        ("@resource\ndef db(): yield\n@check(db)\ndef good(x): ...", "`db` is a resource"),
    ],
)
def test_a_resource_that_can_not_be_right_says_what_and_where(text: str, says: str) -> None:
    found = [each for each in declare(text) if isinstance(each, DefinitionError)]
    assert [says in error.message for error in found] == [True]
    assert (found[0].where or "").startswith("/project/pipeline.py:")


# -------------------------------------------------------------------------------------- binding


def taken(thing: Asset | Check) -> dict[str, str]:
    return {parameter: resource.name for parameter, resource in thing.resources}


def test_assets_checks_and_fetching_sources_take_a_resource_by_its_name() -> None:
    found = graph(
        WAREHOUSE
        + """
    @source("raw/rates")
    def rates(warehouse): ...

    @asset
    def orders(raw_rates, warehouse): ...

    @check(orders)
    def good(orders, warehouse): ...
    """
    )
    orders = found.assets["orders"]
    assert [i.asset for i in orders.inputs] == ["raw/rates"]
    assert taken(orders) == taken(found.assets["raw/rates"]) == {"warehouse": "warehouse"}
    assert taken(found.checks["orders"][0]) == {"warehouse": "warehouse"}
    assert found.upstream["orders"] == ("raw/rates",)
    assert list(found.resources) == ["warehouse"]


def test_a_parameter_of_another_name_is_a_resource_if_inputs_says_so() -> None:
    found = graph(
        WAREHOUSE
        + """
    @asset(inputs={"db": warehouse})
    def by_object(db): ...

    @asset(inputs={"db": "warehouse"})
    def by_name(**given): ...
    """
    )
    assert taken(found.assets["by_object"]) == taken(found.assets["by_name"])
    assert found.assets["by_object"].inputs == ()


def test_a_resource_is_found_wherever_it_is_declared() -> None:
    found = graph("@asset\ndef orders(warehouse): ...\n" + textwrap.dedent(WAREHOUSE))
    assert taken(found.assets["orders"]) == {"warehouse": "warehouse"}


def test_an_asset_and_a_resource_of_one_name_are_an_error_that_names_both_places() -> None:
    (error,) = errors("@asset\ndef warehouse(): ...\n" + textwrap.dedent(WAREHOUSE))
    assert error.message == (
        "an asset and a resource are called `warehouse`: here and at /project/pipeline.py:2"
    )
    assert error.where == "/project/pipeline.py:5"


def test_two_resources_of_one_name_are_an_error_that_names_both_places() -> None:
    (error,) = errors("@resource\ndef db(): yield\n@resource(name='DB')\ndef other(): yield")
    assert error.message == "two resources are called `DB`: here and at /project/pipeline.py:2"


def test_a_name_that_an_asset_and_a_resource_spell_is_an_error_that_names_both() -> None:
    (error,) = errors(
        "source('raw/db', 'x.csv')\n@resource\ndef raw_db(): yield\n@asset\ndef t(raw_db): ..."
    )
    assert error.message == "the input `raw_db` of `t` could be `raw/db` and `raw_db`"


def test_an_unknown_input_is_told_with_the_nearest_asset_or_resource() -> None:
    (error,) = errors(textwrap.dedent(WAREHOUSE) + "@asset\ndef t(warehose): ...")
    assert error.message == (
        "no asset or resource `warehose`, an input of `t`; did you mean `warehouse`?"
    )


def test_a_source_takes_resources_and_no_inputs() -> None:
    (error,) = errors("@source('x')\ndef f(a): ...\n@asset\ndef a(): ...")
    assert error.message == "the source `x` can't take `a`: a source has no inputs"


def test_a_resource_has_no_columns() -> None:
    (error,) = errors(
        "from typing import Annotated\n"
        "@resource\ndef db(): yield\n@asset\ndef t(db: Annotated[object, columns('a')]): ..."
    )
    assert "which has no columns" in error.message


# -------------------------------------------------------------------------------------- recipes

PIPELINE = """
    from lineal import asset, check, resource, secret
    from helpers import connect

    @resource
    def warehouse(url: str = "a", password: str = secret("WAREHOUSE_PASSWORD")):
        yield connect(url)

    @asset
    def orders(warehouse): return warehouse

    @asset
    def alone(): return 1

    @check(alone)
    def good(alone, warehouse): return True
"""


class Place:
    """A project in a folder, looked at anew each time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("pipeline.py", PIPELINE)
        self.write("helpers.py", "import sqlite3\n\n\ndef connect(url): return sqlite3, url\n")

    def write(self, name: str, text: str) -> None:
        (self.root / name).write_text(textwrap.dedent(text))

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new))

    def recipes(self, *overrides: str, replaced: Mapping[str, str] | None = None) -> list[Recipe]:
        """The recipes of the asset that takes a resource, the one that doesn't, and the check."""
        with Project(self.root).look(overrides) as seen:
            seen.replaced = replaced or {}
            found = seen.graph.assets
            (check,) = seen.graph.checks["alone"]
            return [
                seen.recipe(found["orders"]),
                seen.recipe(found["alone"]),
                seen._check_recipe(check),
            ]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def why(before: Recipe, after: Recipe) -> list[tuple[str, str, str]]:
    return [(r.culprit, r.old, r.new) for r in recipe_difference(before, after)]


def test_the_parameters_of_a_resource_count_for_those_who_take_it(place: Place) -> None:
    orders, alone, good = place.recipes()
    place.write("lineal.toml", '[parameters.warehouse]\nurl = "b"\n')
    after, alone_after, good_after = place.recipes()
    assert why(orders, after) == [("warehouse.url", "'a'", "'b'")]
    assert why(good, good_after) == [("warehouse.url", "'a'", "'b'")]
    assert alone_after == alone
    spoken, *_ = place.recipes("warehouse.url=c")
    assert why(after, spoken) == [("warehouse.url", "'b'", "'c'")]


def test_a_helper_that_a_resource_uses_counts_and_is_named(place: Place) -> None:
    orders, alone, good = place.recipes()
    place.edit("helpers.py", "return sqlite3, url", "return sqlite3, url, 1")
    after, alone_after, good_after = place.recipes()
    assert why(orders, after) == [("helpers.connect", "", "")]
    assert why(good, good_after) == [("helpers.connect", "", "")]
    assert alone_after == alone


def test_words_of_the_decorator_and_comments_do_not_count(place: Place) -> None:
    before = place.recipes()
    place.edit("pipeline.py", "@resource\n", "# the one\n@resource(name='warehouse')\n")
    assert [r.digest for r in place.recipes()] == [r.digest for r in before]


def test_which_parameter_receives_which_resource_counts(place: Place) -> None:
    both = """
    from lineal import asset, check, resource

    @resource
    def one(): yield 1

    @resource
    def two(): yield 2

    @asset(inputs={"a": one, "b": two})
    def orders(a, b): return a - b

    @asset
    def alone(): return 1

    @check(alone)
    def good(alone): return True
    """
    place.write("pipeline.py", both)
    before = place.recipes()
    place.write("pipeline.py", both.replace('"a": one, "b": two', '"a": two, "b": one'))
    after = place.recipes()
    assert before[0].digest != after[0].digest
    assert before[1:] == after[1:]


def test_what_is_made_with_a_stand_in_is_told_from_the_real_and_from_any_other(
    place: Place,
) -> None:
    real, alone, _ = place.recipes()
    first, alone_then, _ = place.recipes(replaced={"warehouse": "one run"})
    second, *_ = place.recipes(replaced={"warehouse": "another run"})
    assert len({real.digest, first.digest, second.digest}) == 3
    assert alone_then == alone
    assert why(real, first) == [("warehouse replaced", "", "")]
    assert why(first, second) == [("warehouse replaced", "", "")]
    assert why(first, real) == [("warehouse no longer replaced", "", "")]


def test_what_was_fetched_through_a_stand_in_is_fetched_again(place: Place) -> None:
    def reasons(before: Recipe, after: Recipe) -> list[str]:
        past = types.SimpleNamespace(recipe=lambda _: before)
        facts: Any = types.SimpleNamespace(
            past=past, recipes={"rates": after}, forced={}, present=lambda _: True
        )
        (rates,) = declare("@source('rates')\ndef rates(warehouse): ...")
        made = Materialization(
            "1.1", "1", "rates", None, "made", "fetch", "", before.digest, "", "", (),
            content=Content("digest", "json"),
        )  # fmt: skip
        found = fetch(rates, None, {"rates": made}, facts)
        return [reason.culprit for reason in found if reason.kind == "code_changed"]

    real, *_ = place.recipes()
    fake, *_ = place.recipes(replaced={"warehouse": "one run"})
    other, *_ = place.recipes(replaced={"warehouse": "another run"})
    place.edit("helpers.py", "return sqlite3, url", "return sqlite3, url, 1")
    edited, *_ = place.recipes()
    assert reasons(real, fake) == reasons(fake, other) == ["warehouse replaced"]
    assert reasons(fake, edited) == ["warehouse no longer replaced"]
    assert reasons(real, real) == reasons(real, edited) == []


def test_a_resource_called_in_a_body_is_code_like_any_other(place: Place) -> None:
    place.edit("pipeline.py", "def alone(): return 1", "def alone(): return list(warehouse())")
    _, before, _ = place.recipes()
    place.edit("helpers.py", "return sqlite3, url", "return sqlite3, url, 1")
    _, after, _ = place.recipes()
    assert why(before, after) == [("helpers.connect", "", "")]


def test_parameters_of_what_is_nowhere_are_told_with_the_nearest(place: Place) -> None:
    place.write("lineal.toml", '[parameters.warehose]\nurl = "b"\n')
    with pytest.raises(SettingsError, match="no asset or resource `warehose`; did you mean `ware"):
        place.recipes()
    place.write("lineal.toml", '[parameters.warehouse]\nurll = "b"\n')
    with pytest.raises(SettingsError, match="`warehouse` has no parameter `urll`; did you mean"):
        place.recipes()
    (place.root / "lineal.toml").unlink()
    with pytest.raises(UsageError, match="no asset or resource `warehose`; did you mean `ware"):
        place.recipes("warehose.url=b")


def test_a_secret_of_a_resource_counts_by_its_name_only(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_PASSWORD", "hunter2-first")
    before = place.recipes()
    monkeypatch.setenv("WAREHOUSE_PASSWORD", "hunter2-second")
    after = place.recipes()
    assert [r.digest for r in after] == [r.digest for r in before]
    (part,) = [p for p in after[0].parts if p.name == "warehouse.password"]
    assert part.value == "secret(WAREHOUSE_PASSWORD)"
    assert after[0].variables == ()
    assert "hunter2" not in repr(after)


def test_no_setting_can_say_a_secret_and_the_refusal_does_not_tell_it(place: Place) -> None:
    place.write("lineal.toml", '[parameters.warehouse]\npassword = "hunter2"\n')
    with pytest.raises(SettingsError, match=r"`warehouse\.password` is a secret") as caught:
        place.recipes()
    assert "hunter2" not in f"{caught.value!r} {caught.value.advice}"
    assert "WAREHOUSE_PASSWORD" in (caught.value.advice or "")


def test_code_that_reads_any_variable_does_not_read_secrets(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.edit("pipeline.py", "return warehouse", "import os; return dict(os.environ)")

    def environment() -> Any:
        with Project(place.root).look() as seen:
            return _facts(seen)

    monkeypatch.setenv("ANOTHER", "1")
    monkeypatch.setenv("WAREHOUSE_PASSWORD", "hunter2-first")
    before = environment()
    monkeypatch.setenv("WAREHOUSE_PASSWORD", "hunter2-second")
    assert environment() == before
    monkeypatch.setenv("ANOTHER", "2")
    assert environment() != before


def _facts(seen: Snapshot) -> Any:
    return seen.facts(["orders"]).environments["orders"]
