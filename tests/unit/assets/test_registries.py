"""Registries folded from facts: numbers, aliases, what is withdrawn, what is held."""

import pytest

from lineal.assets.errors import IntegrityError, UsageError
from lineal.assets.records import Decided, Hold, Promotion, Registered, Score, Tagged
from lineal.assets.registries import Registries


def registered(version, content=None):
    content = content or f"content {version}"
    return Registered("delays", version, "model", None, f"r1.{version}", content, "r1", 1.0, "ada")


def moved(number, version, previous, how="gate", alias="production"):
    scores = (Score("auc", 0.8),)
    return Promotion(
        f"p{number}", "delays", alias, version, previous, "default", "r1", "ada", "", scores,
        1.0, how,
    )  # fmt: skip


def delays(*facts):
    return Registries(facts)["delays"]


def test_a_registry_of_which_nothing_is_known_is_empty():
    found = Registries()
    assert "delays" not in found
    assert (found["delays"].next_number, found["delays"].at("production")) == (1, None)


def test_versions_count_from_one_and_a_content_has_one_number():
    found = delays(registered(1), registered(2, "same"))
    assert found.next_number == 3
    assert found.numbered("same").version == 2
    assert found.numbered("other") is None


def test_an_alias_names_what_it_was_moved_to_last():
    found = delays(moved(1, 1, None), moved(2, 2, 1), moved(3, 1, None, alias="canary"))
    assert found.at("production").version == 2
    assert {alias: move.version for alias, move in found.aliases().items()} == {
        "production": 2, "canary": 1,
    }  # fmt: skip
    assert [move.id for move in found.moves("production")] == ["p1", "p2"]


def test_versions_that_a_damaged_journal_lost_are_told():
    found = Registries([registered(1), registered(3)])
    with pytest.raises(UsageError) as refused:
        found.named("delays@v2")
    assert refused.value.advice == "it has v1 to v3; nothing is recorded of v2"


def test_a_rollback_withdraws_what_it_leaves_until_a_person_promotes_it():
    left = delays(moved(1, 1, None), moved(2, 2, 1), moved(3, 1, 2, "rollback"))
    assert set(left.withdrawn) == {2}
    again = left.after([moved(4, 2, 1, "person")])
    assert set(again.withdrawn) == set()


def test_one_rolls_back_step_by_step_and_never_to_what_is_withdrawn():
    there = delays(moved(1, 1, None), moved(2, 2, 1), moved(3, 3, 2))
    assert there.before("production") == 2
    once = there.after([moved(4, 2, 3, "rollback")])
    assert once.before("production") == 1
    twice = once.after([moved(5, 1, 2, "rollback")])
    assert twice.before("production") is None
    again = once.after([moved(5, 4, 2)])
    assert again.before("production") == 2


def test_a_registry_is_held_until_it_is_released():
    held = Hold("delays", True, "r1", "ada", "bad on weekends", 1.0)
    assert delays(held).hold == held
    assert delays(held, held._replace(held=False)).hold is None


def test_tags_are_those_said_last():
    found = delays(registered(1), Tagged("delays", 1, ("champion",), "r1", "ada", 2.0))
    assert found.versions[1].tags == ("champion",)


def test_a_decision_is_found_by_its_key_and_other_facts_say_nothing():
    decided = Decided(
        "auc", "r1.2", "delays", "production", "key", "r1.1", "content 1", 1, None, "opened", "",
        (Score("auc", 0.8),), (("auc", "max"),), "default", "r1", 1.0,
    )  # fmt: skip
    found = Registries().after([decided, registered(1)])["delays"]
    assert found.decisions["key"] == decided
    assert found.versions[1].content == "content 1"


def test_a_version_is_named_by_its_number_by_an_alias_or_as_what_is_in_production():
    known = Registries([registered(1), registered(2), moved(1, 1, None)])
    assert known.named("delays@v2").registered.version == 2
    assert known.named("delays@v2").alias is None
    assert known.named("delays@production").registered.version == 1
    assert known.named("delays").alias.id == "p1"


def test_what_a_damaged_journal_lost_is_told_and_its_number_is_not_given_again():
    known = Registries([registered(1), moved(1, 1, None), moved(2, 3, 1)])
    with pytest.raises(IntegrityError, match="is v3, and nothing is recorded of that"):
        known.named("delays@production")
    assert known.named("delays@v1").registered.version == 1
    assert known["delays"].next_number == 4


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("delais@v1", "no registry `delais`; did you mean `delays`?"),
        ("delays@v7", "`delays` has no version v7"),
        ("delays@prodution", "no alias `prodution`; did you mean `production`?"),
        ("delays@9f3a2c", "`@9f3a2c`"),
    ],
)
def test_what_names_no_version_is_told_with_what_there_is(text, told):
    known = Registries([registered(1), moved(1, 1, None)])
    with pytest.raises(UsageError) as refused:
        known.named(text)
    assert told in str(refused.value)
