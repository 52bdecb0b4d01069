"""A project in memory with one gate: models that are their scores, and data to score them on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lineal.assets.asset import Asset, Contract, Gate, Input, Rule
from lineal.assets.records import Hold, Promotion
from lineal.assets.registries import Registries, Registry
from tests.workbench import HERE, Workbench, made

AUC = (("auc", Rule()),)


def its_score(model: Any, test: int) -> Any:
    """A model is its score, or one for each test."""
    return model[test] if isinstance(model, list) else model


def auc(
    score: Callable[..., Any] = its_score, *, rules: Any = AUC, name: str = "auc", **options: Any
) -> Asset:
    """A gate."""
    inputs = (Input("model", "trained"), Input("test", "test"))
    judged = Gate("delays", "production", "model", tuple(rules))
    kept = Contract(format="json")
    return Asset(
        name, "gate", HERE, (name,), function=score, inputs=inputs, contract=kept, gate=judged,
        **options,
    )  # fmt: skip


class Bench(Workbench):
    """A model, data to score it on, and a gate."""

    def __init__(self, score: Callable[..., Any] = its_score, **options: Any) -> None:
        super().__init__()
        self.scored: list[Any] = []  # models, in the order in which they were scored
        self.score, self.options = score, options
        self.train(0.8).test(1).gate()

    def train(self, model: Any) -> Bench:
        """Another model."""
        self.replace(made("trained", lambda told: model, parameters={"told": repr(model)}))
        return self

    def test(self, number: int) -> Bench:
        """Other data to score it on."""
        self.replace(made("test", lambda told: number, parameters={"told": number}))
        return self

    def gate(self, score: Callable[..., Any] | None = None, **options: Any) -> Bench:
        """Other rules, or another function to score with."""
        judge = score or self.score

        def noted(model: Any, test: int) -> Any:
            self.scored.append(model)
            return judge(model, test)

        self.replace(auc(noted, **(self.options | options)))
        return self

    @property
    def delays(self) -> Registry:
        return Registries().after(self.journal.facts)["delays"]

    @property
    def now(self) -> int | None:
        """The version in production."""
        at = self.delays.at("production")
        return at.version if at is not None else None

    def opens(self, model: Any) -> None:
        assert self.train(model).decide() == ("made", "opened")

    def decide(self, **options: Any) -> tuple[str, str | None]:
        """Run; what became of the gate: the outcome of its step, and what it decided now."""
        found = [s for s in self.run(**options).steps if s.step.asset == "auc"]
        (self.report,) = found
        return self.report.outcome, self.report.gate.outcome if self.report.gate else None

    @property
    def reason(self) -> str:
        assert self.report.gate is not None
        return self.report.gate.reason

    def at_rest(self) -> bool:
        """A second run writes nothing."""
        before = len(self.journal.entries)
        run = self.run()
        return (run.id, len(self.journal.entries)) == (None, before)

    def moved(self, version: int, how: Any = "person") -> Promotion:
        """What a person does by hand."""
        return Promotion(
            f"p{len(self.journal.entries) + 1}", "delays", "production", version, self.now,
            "default", "r0", "ada", "bad on weekends", (), self.clock(), how,
        )  # fmt: skip

    def move(self, version: int, how: Any = "person") -> None:
        self.journal.append([self.moved(version, how)])

    def hold(self, held: bool = True) -> None:
        self.journal.append([Hold("delays", held, "r0", "ada", "bad on weekends", self.clock())])
