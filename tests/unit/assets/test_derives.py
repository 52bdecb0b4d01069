"""`derives=`: what a Python asset says its columns come from."""

from typing import Annotated

import pandas as pd
import pytest

from lineal import asset, columns
from lineal.assets.asset import Derived
from lineal.assets.derives import Sides, refuse_untrue
from lineal.assets.errors import ContentError, DefinitionError

Seen = Annotated[pd.DataFrame, columns("distance")]


def declare(derives, **options):
    @asset(name="speeds", derives=derives, inputs={"trips": "raw/trips"}, **options)
    def speeds(trips: pd.DataFrame, legs: Seen, least: int = 1): ...

    return speeds.derives


def test_a_column_is_of_the_input_that_is_named_or_that_declares_it():
    found = declare({"speed": ["trips.air.time", "distance"], "id": "raw/trips.id"})
    assert found == (
        Derived("speeds", "speed", "trips", "air.time"),
        Derived("speeds", "speed", "legs", "distance"),
        Derived("speeds", "id", "trips", "id"),
    )

    @asset(derives={"b": "a"})
    def alone(trips): ...

    assert alone.derives == (Derived("alone", "b", "trips", "a"),)


def test_each_of_several_outputs_says_it_for_itself():
    found = declare({"train": {"x": "distance"}}, outputs=["train", "test"])
    assert found == (Derived("train", "x", "legs", "distance"),)


@pytest.mark.parametrize(
    ("derives", "options", "said"),
    [
        ({"x": "time"}, {}, "not of which input"),
        ({"x": "trip.time"}, {}, "no input is `trip`; did you mean `trips`"),
        ({"x": 1}, {}, "says 1"),
        (["x"], {}, "says"),
        ({"x": "distance"}, {"outputs": ["train", "test"]}, "names `x`"),
        ({"trian": {}}, {"outputs": ["train", "test"]}, "did you mean `train`"),
    ],
)
def test_what_can_not_be_meant_is_refused_at_the_declaration(derives, options, said):
    with pytest.raises(DefinitionError, match=said):
        declare(derives, **options)


def test_what_is_not_true_of_the_columns_that_are_there_is_refused():
    derives = declare({"speed": "trips.time"})
    made = {"speeds": ["speed"]}
    refuse_untrue(derives, Sides(made, {"trips": ["time"]}))
    refuse_untrue(derives, Sides(made, {"trips": []}))  # files have no columns
    with pytest.raises(ContentError, match=r"no such column; did you mean `times`"):
        refuse_untrue(derives, Sides(made, {"trips": ["times"]}))
    with pytest.raises(ContentError, match=r"`speed` of `speeds`.*did you mean `sped`"):
        refuse_untrue(derives, Sides({"speeds": ["sped"]}, {"trips": ["time"]}))
