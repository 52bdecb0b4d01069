"""Whether a gate opens: scores of a candidate held against those of what an alias names.  PURE

Numbers are compared as they are printed, in decimal: 0.1 + 0.2 is 0.3 for whoever wrote the rule.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from lineal.assets.asset import Gate, Rule
from lineal.assets.records import ErrorFacts, GateOutcome, Hold, Score
from lineal.assets.registries import Registry

_NO_SCORES: Mapping[str, float] = {}
_DIGITS = 4  # of the greatest number, as far as that tells numbers apart


@dataclass(frozen=True, slots=True)
class Case:
    """What a gate has to rule on.

    Attributes:
        registry: as it is at that very moment.
        content: digest of the candidate; scores: its scores, by metric.
        rival: the scores of the version that the alias names, if it names one.
        unscored: why that version could not be scored.
    """

    name: str
    gate: Gate
    registry: Registry
    content: str
    scores: Mapping[str, float]
    rival: Mapping[str, float] = field(default_factory=dict)
    unscored: ErrorFacts | None = None
    promotes: bool = True

    @property
    def against(self) -> int | None:
        """The version that the alias names."""
        named = self.registry.at(self.gate.alias)
        return named.version if named is not None else None

    @property
    def kept(self) -> bool:
        """Is the candidate what the alias names already?"""
        known = self.registry.numbered(self.content)
        return known is not None and known.version == self.against


class Ruling(NamedTuple):
    """What was decided, and why; `unscored`: what the version in production can't be scored for."""

    outcome: GateOutcome
    reason: str
    unscored: ErrorFacts | None = None


def rule_on(case: Case) -> Ruling:
    """Does the gate open?"""
    own = case.registry.numbered(case.content)
    if own is not None and case.kept:
        return Ruling("kept", f"{case.gate.alias} is {_version(case, own.version)}: this very one")
    if case.registry.hold is not None:
        return Ruling("held", _held(case, case.registry.hold))
    ruling = _closed_anyway(case) or _by_rules(case)
    if case.promotes:
        return ruling
    return ruling._replace(outcome="would open" if ruling.outcome == "opened" else "would close")


def scored(case: Case) -> tuple[Score, ...]:
    """The scores as they are recorded, those with a rule first."""
    names = [*(metric for metric, _ in case.gate.rules), *case.scores]
    return tuple(Score(n, case.scores[n], case.rival.get(n)) for n in dict.fromkeys(names))


def _closed_anyway(case: Case) -> Ruling | None:
    """What closes it before anything is compared."""
    own = case.registry.numbered(case.content)
    if own is not None and own.version in case.registry.withdrawn:
        why = _quoted(case.registry.withdrawn[own.version].reason)
        return Ruling(
            "closed",
            f"it is {_version(case, own.version)}, which was rolled back{why}; to promote it "
            f"again: lineal models promote {case.registry.name}@v{own.version}",
        )
    for metric, _ in case.gate.rules:
        if not math.isfinite(case.scores[metric]):
            word = "NaN" if math.isnan(case.scores[metric]) else "infinite"
            return Ruling("closed", f"{metric} is {word}: with that no gate opens")
    if case.against is None:
        return None
    unscored = case.unscored or _no_number(case)
    if unscored is None:
        return None
    said = unscored.message.partition("\n")[0].strip()
    what = f"{unscored.type}: {said}".rstrip(": ")
    return Ruling(
        "closed",
        f"{_version(case, case.against)} can't be scored ({what}), so nothing is known to be "
        f"better; mend that and decide again: lineal materialize --force {case.name}",
        unscored,
    )


def _no_number(case: Case) -> ErrorFacts | None:
    """A metric of the version in production that is no number."""
    for metric, _ in case.gate.rules:
        if metric not in case.rival:
            return ErrorFacts("no score", f"it has no {metric}")
        if math.isnan(case.rival[metric]):
            return ErrorFacts("no score", f"its {metric} is NaN")
    return None


def _by_rules(case: Case) -> Ruling:
    """All rules must hold; only what does not is told, if something doesn't."""
    told = [_compared(case, metric, rule) for metric, rule in case.gate.rules]
    failing = [text for holds, text in told if not holds]
    if failing:
        return Ruling("closed", "; ".join(failing))
    first = f", the first of {case.registry.name}" if case.against is None else ""
    return Ruling("opened", "; ".join(text for _, text in told) + first)


def _compared(case: Case, metric: str, rule: Rule) -> tuple[bool, str]:
    """Does one rule hold, and what there is to see: `0.8117 vs 0.8124 of delays v3 (needs …)`."""
    score, rival = _decimal(case.scores[metric]), case.rival.get(metric)
    name = f"{metric} " if len(case.gate.rules) > 1 else ""
    sign, least = (1, "≥") if rule.direction == "max" else (-1, "≤")
    if rule.minimum is not None and sign * (score - _decimal(rule.minimum)) < 0:
        here, wanted = _shown(score, _decimal(rule.minimum))
        return False, f"{name}{here} (needs {least} {wanted}, whatever it replaces)"
    if case.against is None or rival is None:
        (here,) = _shown(score)
        return True, f"{name}{here}"
    margin, other = _decimal(rule.margin), _decimal(rival)
    of = f"of {_version(case, case.against)}"
    if not other.is_finite():
        here, there = f"{case.scores[metric]:g}", f"{rival:g}"
        return sign * other < 0, f"{name}{here} vs {there} {of}"
    needed = other + sign * margin
    here, there, wanted = _shown(score, other, needed)
    if sign * (score - needed) < 0:
        return False, f"{name}{here} vs {there} {of} (needs {least} {wanted})"
    places = len(here.partition(".")[2])
    gain = f"{score - other:+.{places}f}"
    return (
        True,
        f"{name}{here} vs {there} {of} ({gain}, needs {(sign * margin + 0).normalize():+f})",
    )


def _held(case: Case, hold: Hold) -> str:
    since = dt.datetime.fromtimestamp(hold.at, dt.UTC).strftime("%d %b %H:%M UTC")
    metrics = [(metric, case.scores[metric]) for metric, _ in case.gate.rules]
    scores = ", ".join(f"{m} {v:.4g}" if len(metrics) > 1 else f"{v:.4g}" for m, v in metrics)
    return f"held since {since}{_quoted(hold.reason)}: {scores}, not promoted"


def _quoted(reason: str) -> str:
    return f' ("{reason}")' if reason else ""


def _version(case: Case, number: int) -> str:
    return f"{case.registry.name} v{number}"


# ------------------------------------------------------------------------------------- as texts


def rule_texts(rules: Iterable[tuple[str, Rule]]) -> tuple[tuple[str, str], ...]:
    """The rules as they are recorded: `max, margin 0.002, minimum 0.7`."""
    return tuple(
        (metric, ", ".join(f"{w} {v}".strip() for w, v in _words(r))) for metric, r in rules
    )


def _words(rule: Rule) -> list[tuple[str, str]]:
    found = [(rule.direction, ""), ("margin", _plain(rule.margin))]
    return found if rule.minimum is None else [*found, ("minimum", _plain(rule.minimum))]


def words_of(text: str) -> dict[str, str]:
    """A rule as it was recorded, by word."""
    direction, *rest = text.split(", ")
    return {"direction": direction, **{w: v for w, _, v in (each.partition(" ") for each in rest)}}


def _plain(value: float) -> str:
    return f"{_decimal(value).normalize():f}"


def _decimal(value: float) -> Decimal:
    return Decimal(repr(float(value)))


def _shown(*values: Decimal) -> list[str]:
    """Numbers with the same places, as many as it takes to tell those apart that differ."""
    top = max(abs(value) for value in values)
    places = max(0, _DIGITS - 1 - top.adjusted()) if top else _DIGITS
    most = max(0, *(-int(value.as_tuple().exponent) for value in values))
    while True:
        told = [f"{value:.{places}f}" for value in values]
        if places >= most or len(set(told)) >= len(set(values)):
            return told
        places += 1
