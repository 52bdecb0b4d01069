"""Gates in a project in memory: every answer, and that what is decided stays decided."""

import math

import pytest

from lineal.assets.asset import Asset, Contract, Gate, Input, Rule
from lineal.assets.records import Decided
from lineal.assets.registries import Registries
from tests.workbench import HERE, Workbench, made


AUC = (("auc", Rule()),)


def auc(score=None, *, rules=AUC, **options):
    """A gate whose models and test data are numbers: the score is the model's by that data."""

    def default(model, test):
        return model[test] if isinstance(model, list) else model

    return Asset(
        "auc", "gate", HERE, ("auc",),
        function=score or default,
        inputs=(Input("model", "trained"), Input("test", "test")),
        contract=Contract(format="json"),
        gate=Gate("delays", "production", "model", tuple(rules)),
        **options,
    )  # fmt: skip


class Bench(Workbench):
    """A model, data to score it on, and a gate."""

    def __init__(self, score=None, test=1, **options):
        super().__init__()
        self.options = options
        self.score = score
        self.train(0.8)
        self.replace(made("test", lambda: test))
        self.gate()

    def train(self, model):
        """Another model: its score, or one for each test."""
        self.replace(made("trained", lambda told: model, parameters={"told": repr(model)}))
        return self

    def gate(self, score=None, **options):
        self.replace(auc(score or self.score, **(self.options | options)))
        return self

    @property
    def delays(self):
        return Registries().after(self.journal.facts)["delays"]

    @property
    def now(self):
        at = self.delays.at("production")
        return at.version if at is not None else None

    def decide(self, **options):
        """Run; what became of the gate, and why."""
        (report,) = [s for s in self.run(**options).steps if s.step.asset == "auc"]
        self.report = report
        return report.outcome, report.gate.outcome if report.gate else None

    @property
    def reason(self):
        return self.report.gate.reason

    def at_rest(self):
        """A second run writes nothing."""
        before = len(self.journal.entries)
        run = self.run()
        return run.id is None and len(self.journal.entries) == before


def told(bench):
    return bench.decide(), bench.now, bench.reason, bench.at_rest()


def test_the_first_model_opens_the_gate_is_registered_and_promoted_as_one_entry():
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
    assert (moved.id, moved.version, moved.previous, moved.how, moved.gate) == (
        f"p{bench.journal.entries.index(entry) + 1}", 1, None, "gate", "auc",
    )  # fmt: skip
    assert bench.at_rest()


@pytest.mark.parametrize(
    ("rule", "score", "outcome", "reason"),
    [
        (Rule(), 0.9, "opened", "0.9000 vs 0.8000 of delays v1 (+0.1000, needs +0)"),
        (Rule(margin=0.1), 0.9, "opened", "0.9000 vs 0.8000 of delays v1 (+0.1000, needs +0.1)"),
        (Rule(margin=0.2), 0.9, "closed", "0.900 vs 0.800 of delays v1 (needs ≥ 1.000)"),
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
    report = "made" if outcome == "opened" else "closed"
    assert told(bench) == ((report, outcome), 2 if outcome == "opened" else 1, reason, True)
    assert len(bench.delays.versions) == bench.now
