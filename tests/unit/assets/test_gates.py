"""Gates in a project in memory: every answer, and that what is decided stays decided."""

import math
from dataclasses import replace

import pytest

from lineal.assets.asset import Input, Retry, Rule
from lineal.assets.errors import ContentError
from lineal.assets.records import Decided, Materialization, Promotion, Reason
from lineal.assets.weighing import scores_of
from tests.gated import Bench, auc
from tests.workbench import made

# --------------------------------------------------------------------------- held against another


def test_the_first_model_opens_and_is_registered_and_promoted_as_one_entry():
    bench = Bench()
    assert bench.decide() == ("made", "opened")
    assert bench.reason == "0.8000, the first of delays"
    entry = next(e for e in bench.journal.entries if any(isinstance(f, Decided) for f in e))
    kinds = [type(f).__name__ for f in entry]
    assert kinds[-5:] == ["Materialization", "Publication", "Registered", "Decided", "Promotion"]
    scores, _, version, decided, moved = entry[-5:]
    assert (scores.metrics, bench.current("auc")) == ((("auc", 0.8),), {"auc": 0.8})
    assert version.materialization == decided.candidate
    assert bench.journal.past().materialization(version.materialization).asset == "trained"
    assert (moved.id, moved.version, moved.previous, moved.how, moved.gate, moved.who) == (
        f"p{bench.journal.entries.index(entry) + 1}", 1, None, "gate", "auc", "ada",
    )  # fmt: skip
    assert bench.at_rest()


def test_the_first_model_has_to_reach_the_minimum():
    bench = Bench(rules=[("auc", Rule(minimum=0.81))])
    assert bench.decide() == ("closed", "closed")
    assert bench.reason == "0.8000 (needs ≥ 0.8100, whatever it replaces)"
    assert (bench.now, len(bench.delays.versions), bench.at_rest()) == (None, 0, True)
    least = Bench(rules=[("auc", Rule(direction="min", minimum=0.8))])
    assert least.decide() == ("made", "opened")


@pytest.mark.parametrize(
    ("rule", "score", "outcome", "reason"),
    [
        (Rule(), 0.9, "opened", "0.9000 vs 0.8000 of delays v1 (+0.1000, needs +0)"),
        (Rule(), [0.8, 0.8], "opened", "0.8000 vs 0.8000 of delays v1 (+0.0000, needs +0)"),
        (Rule(margin=0.1), 0.9, "opened", "0.9000 vs 0.8000 of delays v1 (+0.1000, needs +0.1)"),
        (Rule(margin=0.2), 0.9, "closed", "0.900 vs 0.800 of delays v1 (needs ≥ 1.000)"),
        (Rule(margin=0.002), [0.8, 0.8], "closed",
         "0.8000 vs 0.8000 of delays v1 (needs ≥ 0.8020)"),
        (Rule(), 0.7, "closed", "0.7000 vs 0.8000 of delays v1 (needs ≥ 0.8000)"),
        (Rule(margin=-0.1), 0.7, "opened", "0.7000 vs 0.8000 of delays v1 (-0.1000, needs -0.1)"),
        (Rule(direction="min", margin=0.1), 0.7, "opened",
         "0.7000 vs 0.8000 of delays v1 (-0.1000, needs -0.1)"),
        (Rule(direction="min"), 0.80001, "closed",
         "0.80001 vs 0.80000 of delays v1 (needs ≤ 0.80000)"),
        (Rule(minimum=0.95), 0.9, "closed", "0.9000 (needs ≥ 0.9500, whatever it replaces)"),
        (Rule(), math.nan, "closed", "auc is NaN: with that no gate opens"),
        (Rule(), math.inf, "closed", "auc is infinite: with that no gate opens"),
        (Rule(), -math.inf, "closed", "auc is infinite: with that no gate opens"),
    ],
)  # fmt: skip
def test_a_second_model_is_held_against_the_first(rule, score, outcome, reason):
    bench = Bench()
    bench.decide()
    bench.gate(rules=[("auc", rule)]).train(score)
    assert bench.decide() == ("made" if outcome == "opened" else "closed", outcome)
    assert (bench.reason, bench.now) == (reason, 2 if outcome == "opened" else 1)
    assert (len(bench.delays.versions), bench.at_rest()) == (bench.now, True)


def test_numbers_are_compared_as_they_are_printed():
    bench = Bench()
    bench.opens(0.1)
    bench.gate(rules=[("auc", Rule(margin=0.2))])
    bench.opens(0.3)  # 0.1 + 0.2 is more than that in binary
    bench.gate(rules=[("auc", Rule(direction="min", margin=0.2))])
    bench.opens(0.1)


def test_all_rules_must_hold_and_other_metrics_are_only_recorded():
    both = [("auc", Rule(margin=0.1)), ("brier", Rule(direction="min"))]
    bench = Bench(lambda model, test: dict(zip(("auc", "brier", "rows"), model, strict=True)))
    bench.gate(rules=both)
    bench.opens([0.5, 0.3, 1])
    assert bench.train([0.7, 0.31, 9]).decide() == ("closed", "closed")
    assert bench.reason == "brier 0.3100 vs 0.3000 of delays v1 (needs ≤ 0.3000)"
    assert [tuple(s) for s in bench.report.gate.scores] == [
        ("auc", 0.7, 0.5), ("brier", 0.31, 0.3), ("rows", 9, 1),
    ]  # fmt: skip
    assert bench.report.gate.rules == (("auc", "max, margin 0.1"), ("brier", "min, margin 0"))
    assert bench.train([0.55, 0.2, 9]).decide() == ("closed", "closed")
    bench.opens([0.6, 0.3, 0])
    assert bench.reason == (
        "auc 0.6000 vs 0.5000 of delays v1 (+0.1000, needs +0.1); "
        "brier 0.3000 vs 0.3000 of delays v1 (+0.0000, needs +0)"
    )


def test_a_score_of_nan_or_none_in_production_is_no_score():
    bench = Bench()
    bench.opens([0.0, 0.8, math.nan])
    bench.test(2)
    assert bench.train(0.9).decide() == ("closed", "closed")
    assert "delays v1 can't be scored (no score: its auc is NaN)" in bench.reason
    assert (bench.report.gate.unscored.message, bench.at_rest()) == ("its auc is NaN", True)


def test_what_a_gate_returns_is_a_number_or_numbers_by_name():
    np = pytest.importorskip("numpy")
    gate = auc(name="models/auc")
    assert scores_of(gate, np.float64(0.5)) == {"auc": 0.5}
    assert scores_of(gate, {"auc": np.float32(0.5), "rows": np.int64(3)}) == {"auc": 0.5, "rows": 3}
    for wrong, said in [
        (None, "None"), (True, "a bool"), ("0.5", "a str"), ({}, "an empty dict"),
        ({"auc": "high"}, "a dict with 'auc': a str"), ({1: 0.5}, "names that are no texts"),
        (np.array([0.5, 0.6]), "a ndarray"), (1j, "a complex"), (10**400, "can't be stored"),
    ]:  # fmt: skip
        with pytest.raises(ContentError, match=said):
            scores_of(gate, wrong)


def test_a_rule_for_what_is_not_returned_fails_the_step_with_the_nearest_name():
    bench = Bench(lambda model, test: {"aucs": model}, rules=[("auc", Rule())])
    assert bench.decide() == ("failed", None)
    assert "did you mean `aucs`?" in bench.report.error.message
    assert (bench.now, bench.current("auc")) == (None, None)


# ------------------------------------------------------------------------- what can't be scored


def broken(models):
    def score(model, test):
        if model in models:
            raise KeyError("rush")
        return model

    return score


def test_a_candidate_that_can_t_be_scored_fails_the_step_and_leaves_the_registry_alone():
    bench = Bench(broken([0.9]), retry=Retry(1, 0, jitter=0))
    bench.decide()
    assert bench.train(0.9).decide() == ("failed", None)
    assert (bench.scored, bench.now, len(bench.delays.versions)) == ([0.8, 0.9, 0.9], 1, 1)
    assert len(bench.delays.decisions) == 1


def test_a_production_version_that_can_t_be_scored_closes_the_gate_after_all_attempts():
    bench = Bench(broken([]), retry=Retry(1, 0, jitter=0))
    bench.decide()
    bench.gate(broken([0.8])).test(2)
    assert bench.train(0.9).decide() == ("closed", "closed")
    assert bench.scored == [0.8, 0.9, 0.8, 0.9, 0.8]
    assert "delays v1 can't be scored (KeyError: 'rush')" in bench.reason
    assert "lineal materialize --force auc" in bench.reason
    assert (bench.report.attempts, bench.now, bench.at_rest()) == (2, 1, True)
    bench.gate(broken([]))  # mended: nobody knows but who did it
    assert bench.at_rest()
    assert bench.decide(forced=["auc"]) == ("made", "opened")
    assert (bench.now, bench.at_rest()) == (2, True)


def test_it_is_decided_again_once_the_alias_names_what_can_be_scored():
    bench = Bench()
    bench.opens(0.7)
    bench.opens(0.8)
    bench.gate(broken([0.8])).test(2)
    assert bench.train(0.9).decide() == ("closed", "closed")
    bench.move(1, "rollback")
    moved = Reason("input_changed", "delays@production", "", "v2", "v1")
    assert bench.reasons("auc") == [moved]
    assert bench.decide() == ("made", "opened")
    assert bench.reason == "0.9000 vs 0.7000 of delays v1 (+0.2000, needs +0)"
    assert (bench.scored[-1], bench.scored.count(0.9), bench.at_rest()) == (0.7, 1, True)


def test_a_production_version_whose_object_is_gone_closes_the_gate():
    bench = Bench()
    bench.decide()
    lost = bench.journal.past().materialization(bench.delays.versions[1].materialization)
    del bench.vault.objects[lost.content.objects[0].digest]
    bench.test(2)
    assert bench.train(0.9).decide() == ("closed", "closed")
    assert "delays v1 can't be scored (integrity: the object" in bench.reason
    assert (bench.now, bench.at_rest()) == (1, True)


# ------------------------------------------------------------------- held, withdrawn, elsewhere


def test_a_held_registry_records_scores_and_opens_when_it_is_released():
    bench = Bench()
    bench.decide()
    bench.hold()
    assert bench.train(0.9).decide() == ("closed", "held")
    assert '("bad on weekends"): 0.9, not promoted' in bench.reason
    assert (bench.now, bench.current("auc"), bench.at_rest()) == (1, {"auc": 0.9}, True)
    bench.hold(held=False)
    released = Reason("input_changed", "registry delays", "", "held", "released")
    assert bench.reasons("auc") == [released]
    materializations = sum(isinstance(f, Materialization) for f in bench.journal.facts)
    assert bench.decide() == ("made", "opened")
    assert sum(isinstance(f, Materialization) for f in bench.journal.facts) == materializations
    assert (bench.scored, bench.now, bench.at_rest()) == ([0.8, 0.9], 2, True)


def test_what_was_rolled_back_is_not_promoted_again_and_nothing_changes():
    bench = Bench()
    bench.decide()
    bench.opens(0.9)
    bench.move(1, "rollback")
    assert bench.at_rest()
    assert bench.test(2).decide() == ("closed", "closed")
    assert bench.reason == (
        'it is delays v2, which was rolled back ("bad on weekends"); '
        "to promote it again: lineal models promote delays@v2"
    )
    assert (bench.report.gate.version, bench.now, bench.at_rest()) == (2, 1, True)
    bench.move(2)
    assert bench.test(3).decide() == ("made", "kept")
    assert (bench.reason, bench.at_rest()) == ("production is delays v2: this very one", True)


def test_an_environment_that_does_not_promote_says_what_it_would_do():
    bench = Bench()
    bench.environment, bench.promotes = "dev", False
    assert bench.decide() == ("closed", "would open")
    assert (bench.now, len(bench.delays.versions), bench.at_rest()) == (None, 0, True)
    bench.environment, bench.promotes = "default", True
    (why,) = bench.reasons("auc")
    assert why.culprit == "decided only where nothing is promoted, in dev"
    assert bench.decide() == ("made", "opened")
    bench.promotes = False
    assert bench.at_rest()
    assert bench.train(0.5).decide() == ("closed", "would close")


def test_what_an_environment_that_does_not_promote_says_undoes_no_decision():
    bench = Bench()
    bench.decide()
    bench.train(0.7).decide()
    bench.promotes = False
    assert bench.decide(forced=["auc"]) == ("closed", "would close")
    bench.promotes = True
    assert bench.at_rest()


# ------------------------------------------------------------------------ decided once for ever


def test_the_same_model_has_one_number():
    bench = Bench()
    bench.opens([0.0, 0.7, 0.9])
    bench.opens([0.0, 0.8, 0.2])
    bench.test(2)
    bench.opens([0.0, 0.7, 0.9])
    assert (bench.now, sorted(bench.delays.versions)) == (1, [1, 2])
    assert [move.version for move in bench.delays.promotions] == [1, 2, 1]


def test_scores_that_were_recorded_are_not_computed_again():
    bench = Bench()
    bench.opens([0.8, 0.8, 0.8])
    bench.gate(rules=[("auc", Rule(margin=1))])
    bench.train(0.9).decide()
    assert bench.scored == [[0.8, 0.8, 0.8], 0.9]  # that of v1 was its own version of the gate
    bench.test(2).decide()
    bench.train(0.91).decide()
    assert bench.scored[2:] == [0.9, [0.8, 0.8, 0.8], 0.91]  # v1 on this test: decided before
    assert bench.report.gate.scores[0].production == 0.8


def test_a_gate_whose_model_has_another_parameter_now_scores_both_anew():
    bench = Bench()
    bench.opens(0.8)
    assert bench.train(0.7).decide() == ("closed", "closed")
    before = bench.graph.assets["auc"]
    inputs = tuple(
        replace(i, parameter="judged") if i.parameter == "model" else i for i in before.inputs
    )
    ruled = replace(before.gate, parameter="judged")
    bench.replace(replace(before, inputs=inputs, gate=ruled, function=lambda judged, test: judged))
    assert bench.train(0.9).decide() == ("made", "opened")
    assert bench.at_rest()


def test_gates_of_the_same_code_score_each_for_itself():
    """One score is called like its gate, and what the code is called is in no fingerprint."""
    bench = Bench()
    bench.opens(0.8)
    bench.recipes["again"] = bench.facts(bench.graph).recipes["auc"]
    named = auc(name="again", rules=[("again", Rule())])
    bench.replace(replace(named, gate=replace(named.gate, alias="canary")))
    steps = {s.step.asset: s.gate.outcome for s in bench.run().steps if s.step.asset == "again"}
    assert (steps, bench.current("again")) == ({"again": "opened"}, {"again": 0.8})
    assert bench.at_rest()
    bench.train(0.9)
    found = [s.gate.outcome for s in bench.run().steps if s.gate is not None]
    assert (found, bench.at_rest()) == (["opened", "opened"], True)
    bench.train(0.8)  # known to both, each by its own scores
    assert {s.outcome for s in bench.run().steps if s.step.asset in ("auc", "again")} == {"reused"}


def test_other_rules_are_another_question_and_the_scores_stay():
    bench = Bench(rules=[("auc", Rule(margin=0.2))])
    bench.decide()
    assert bench.train(0.9).decide() == ("closed", "closed")
    bench.gate(rules=[("auc", Rule(margin=0.05, minimum=0.5))])
    assert bench.reasons("auc") == [
        Reason("parameter_changed", "margin of auc", "", "0.2", "0.05"),
        Reason("parameter_changed", "minimum of auc", "", "none", "0.5"),
    ]
    assert bench.decide() == ("made", "opened")
    assert (bench.scored, bench.now, bench.at_rest()) == ([0.8, 0.9], 2, True)


def test_scores_that_were_lost_are_made_again_and_nothing_is_decided_anew():
    bench = Bench()
    bench.decide()
    bench.train(0.7).decide()
    bench.move(1)
    scores = bench.journal.past().current("auc", None)
    del bench.vault.objects[scores.content.objects[0].digest]
    decisions = sum(isinstance(f, Decided) for f in bench.journal.facts)
    assert bench.decide() == ("closed", "closed")
    assert sum(isinstance(f, Decided) for f in bench.journal.facts) == decisions
    assert bench.at_rest()


def test_what_reads_the_scores_of_a_closed_gate_goes_on():
    bench = Bench()
    bench.replace(made("shown", lambda scores: f"{scores}", {"scores": "auc"}))
    bench.decide()
    bench.train(0.7)
    run = bench.run()
    assert (run.outcome, run.counts["closed"], run.counts["failed"]) == ("done", 1, 0)
    assert bench.current("shown") == "{'auc': 0.7}"


def test_two_gates_of_one_alias_rule_on_what_the_other_just_did():
    bench = Bench()
    other = auc(lambda model, test: model, name="other", rules=[("other", Rule(margin=0.1))])
    bench.replace(replace(other, inputs=(Input("model", "second"), Input("test", "test"))))
    bench.replace(made("second", lambda: 0.9))
    assert bench.outcomes() == {
        "trained": "made", "second": "made", "test": "made", "auc": "made", "other": "made",
    }  # fmt: skip
    assert [(p.gate, p.version, p.previous) for p in bench.delays.promotions] == [
        ("auc", 1, None), ("other", 2, 1),
    ]  # fmt: skip
    assert bench.at_rest()


# ----------------------------------------------------------------------------- others, meanwhile


def test_an_alias_that_was_moved_while_scoring_is_scored_again():
    bench = Bench()
    bench.opens(0.5)
    bench.opens(0.8)
    bench.test(2)
    moves = iter([1])

    def score(model, test):
        for version in moves if model == 0.8 else ():
            bench.move(version)
        return model

    bench.gate(score)
    assert bench.train(0.6).decide() == ("made", "opened")
    assert bench.reason == "0.6000 vs 0.5000 of delays v1 (+0.1000, needs +0)"
    assert (bench.scored, bench.now, bench.at_rest()) == ([0.5, 0.8, 0.6, 0.8, 0.5], 3, True)


def test_a_registry_that_is_released_while_scoring_is_scored_against():
    bench = Bench()
    bench.decide()
    bench.hold()
    bench.test(2)

    def score(model, test):
        if bench.delays.hold is not None:
            bench.hold(held=False)
        return model

    bench.gate(score)
    assert bench.train(0.9).decide() == ("made", "opened")
    assert bench.reason == "0.9000 vs 0.8000 of delays v1 (+0.1000, needs +0)"
    assert bench.scored == [0.8, 0.9, 0.8]


def test_an_alias_that_never_rests_closes_the_gate():
    bench = Bench()
    bench.opens(0.5)
    bench.opens(0.6)
    bench.test(2)

    def score(model, test):
        if model != 0.9:
            bench.move(1 if bench.now == 2 else 2)
        return model

    bench.gate(score)
    assert bench.train(0.9).decide() == ("closed", "closed")
    assert "others moved delays@production again and again" in bench.reason
    assert len(bench.delays.versions) == 2


def test_what_another_process_decided_meanwhile_is_not_decided_again():
    bench = Bench()
    bench.decide()
    bench.train(0.9)
    planned, opened = bench.planned(), bench.opened
    bench.run()
    before, bench.opened = len(bench.journal.entries), opened
    bench.carry_out(*planned)
    news = [f for e in bench.journal.entries[before:] for f in e]
    assert not [f for f in news if isinstance(f, Decided | Promotion)]
    assert (bench.scored, bench.now) == ([0.8, 0.9], 2)
