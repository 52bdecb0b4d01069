"""Whatever is trained, held, moved and ruled: what a gate promotes is better, and then it rests."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lineal.assets.asset import Rule
from lineal.assets.records import Promotion, Registered
from tests.gated import Bench, its_score

SCORES = (0.1, 0.2, 0.3, 0.30000000000000004, float("nan"), float("inf"))
TESTS = (0, 1)
models = st.lists(st.sampled_from(SCORES), min_size=len(TESTS), max_size=len(TESTS))
rules = st.builds(
    Rule,
    margin=st.sampled_from((-0.1, 0.0, 0.1)),
    direction=st.sampled_from(("max", "min")),
    minimum=st.sampled_from((None, 0.2)),
)
hands = st.sampled_from(("person", "rollback"))
acts = st.one_of(
    st.tuples(st.just("train"), models),
    st.tuples(st.just("test"), st.sampled_from(TESTS)),
    st.tuples(st.just("rule"), rules),
    st.tuples(st.just("hold"), st.booleans()),
    st.tuples(st.just("promotes"), st.booleans()),
    st.tuples(st.just("move"), st.tuples(st.integers(0, 5), hands)),
    st.tuples(st.just("force"), st.just(None)),
)  # fmt: skip


def act(bench: Bench, what: str, how: Any) -> dict[str, Any]:
    """One thing that people do; the options of the run after it."""
    match what:
        case "train":
            bench.train(how)
        case "test":
            bench.test(how)
        case "rule":
            bench.gate(rules=[("auc", how)])
        case "hold":
            bench.hold(how)
        case "promotes":
            bench.promotes = how
        case "move" if bench.delays.versions:
            versions = sorted(bench.delays.versions)
            bench.move(versions[how[0] % len(versions)], how[1])
        case "force":
            return {"forced": ["auc"]}
    return {}


def gains(rule: Rule, score: float, other: float) -> Fraction:
    """How much better it is, by the digits as they are printed."""
    sign = 1 if rule.direction == "max" else -1
    return sign * (Fraction(repr(score)) - Fraction(repr(other)))


@given(st.lists(acts, min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_what_a_gate_promotes_is_better_by_its_rule_and_a_second_run_writes_nothing(
    done: list[tuple[str, Any]],
) -> None:
    bench = Bench()
    bench.train([0.2, 0.2]).test(0)
    for what, how in [("force", None), *done]:
        options = act(bench, what, how)
        before = len(bench.journal.entries)
        known = bench.delays
        bench.decide(**options)
        for entry in bench.journal.entries[before:]:
            for fact in entry:
                if isinstance(fact, Promotion):
                    hold_to_the_rule(bench, fact, known)
                if isinstance(fact, Registered):
                    assert any(isinstance(f, Promotion) for f in entry)
        assert bench.at_rest()
    assert len({v.content for v in bench.delays.versions.values()}) == len(bench.delays.versions)


def hold_to_the_rule(bench: Bench, moved: Promotion, known: Any) -> None:
    """A move by a gate: nobody held it, nobody took it back, and its scores are what they are."""
    assert bench.promotes
    assert (known.hold, moved.version in known.withdrawn) == (None, False)
    asset = bench.graph.assets["auc"]
    assert asset.gate is not None
    ((_, rule),) = asset.gate.rules
    (score,) = moved.scores
    assert score.candidate == score_of(bench, moved.version)
    if rule.minimum is not None:
        assert gains(rule, score.candidate, rule.minimum) >= 0
    assert moved.previous == (
        None if known.at("production") is None else known.at("production").version
    )
    if moved.previous is not None:
        other = score_of(bench, moved.previous)
        assert score.production == other
        if other not in (float("inf"), float("-inf")):
            assert gains(rule, score.candidate, other) >= Fraction(repr(rule.margin))


def score_of(bench: Bench, version: int) -> float:
    """What the model of a version scores on the data of now."""
    past = bench.journal.past()
    made = past.materialization(bench.delays.versions[version].materialization)
    assert made is not None
    found: float = its_score(bench.shown(made.content), bench.current("test"))
    return found
