import dataclasses
import json
import math
import typing
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineal.assets import records
from lineal.assets.errors import ContentError, IntegrityError
from lineal.assets.records import Fact, Materialization
from lineal.lineage.journal import from_json, to_json

FACTS = typing.get_args(Fact)
text = st.text(st.characters(), max_size=8)  # lone surrogates too: a path may hold them
number = st.floats(allow_nan=False).filter(lambda x: str(x) != "-0.0") | st.integers(
    -(2**60), 2**60
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text
    | st.binary(max_size=4) | st.dates() | st.decimals(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple)
    | st.dictionaries(text | st.integers(), inner, max_size=3)
    | st.dictionaries(st.sampled_from(["$tuple", "$float", "a"]), inner, max_size=2),
    max_leaves=6,
)  # fmt: skip


def strategy(kind):
    """A strategy for any type that a record's field may have, by its annotation."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in (str, int, bool):
        return {str: text, int: st.integers(), bool: st.booleans()}[kind]
    if kind is float:
        return number
    if kind is type(None):
        return st.none()
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(strategy(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(strategy, arguments))
    if type(None) in arguments:
        return st.one_of(*map(strategy, arguments))
    if origin is not None and arguments == (str, int):
        return st.dictionaries(text, st.integers(), max_size=3)
    if origin is not None and arguments == (str, typing.Any):
        return st.dictionaries(text, plain, max_size=3)
    return record(kind)


def record(kind):
    hints = typing.get_type_hints(kind, vars(records))
    fields = getattr(kind, "_fields", None) or [f.name for f in dataclasses.fields(kind)]
    return st.builds(kind, **{name: strategy(hints[name]) for name in fields})


@given(st.one_of(*map(record, FACTS)))
def test_every_fact_comes_back_equal_from_json(fact):
    line = json.dumps(to_json(fact), allow_nan=False)
    back = from_json(json.loads(line))
    assert back == fact
    assert type(back) is type(fact)
    assert repr(back) == repr(fact)  # a list is not a tuple, 1 is not True


def materialization(**more):
    return Materialization(
        "r1.0", "r1", "a", None, "made", "python", "f", "c", "e", "k", **more
    )  # fmt: skip


def test_metrics_and_metadata_that_json_lacks_are_explicit_words():
    fact = materialization(
        metrics=(("auc", math.nan), ("loss", math.inf)),
        metadata={
            "worst": -math.inf,
            "day": date(2026, 1, 2),
            "at": datetime(2026, 1, 2, tzinfo=UTC),
        },
    )
    written = to_json(fact)
    assert written["metrics"] == [["auc", "NaN"], ["loss", "Infinity"]]
    back = from_json(json.loads(json.dumps(written, allow_nan=False)))
    assert math.isnan(back.metrics[0][1])
    assert back.metrics[1:] == fact.metrics[1:]
    assert back.metadata == fact.metadata


def test_metadata_that_looks_like_an_encoding_comes_back_as_it_was():
    odd = {"$tuple": [1], "nan": "NaN", "price": Decimal("1.10"), "deep": ({"$float": "x"},)}
    fact = materialization(metadata=odd)
    assert from_json(json.loads(json.dumps(to_json(fact)))).metadata == odd


def test_metadata_without_a_form_is_refused_by_its_type():
    with pytest.raises(ContentError, match=r"builtins\.complex"):
        to_json(materialization(metadata={"z": 1j}))


def test_a_key_nobody_knows_is_passed_over():
    written = to_json(materialization()) | {"colour": "green"}
    assert from_json(written) == materialization()


def test_a_kind_nobody_knows_asks_for_a_newer_lineal():
    with pytest.raises(IntegrityError) as caught:
        from_json({"fact": "teleportation"})
    assert "teleportation" in caught.value.message
    assert "update lineal" in (caught.value.advice or "")


def test_a_fact_without_a_needed_field_is_named():
    with pytest.raises(IntegrityError, match="publication"):
        from_json({"fact": "publication", "run": "r1"})
