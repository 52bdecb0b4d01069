"""What a report tells of versions: their metrics, what gates decided of them, promotions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lineal.assets.records import Decided, Materialization, Promotion, Score
from lineal.assets.registries import Registry
from lineal.charts import Dot, line, number_text
from lineal.markup import Html, joined, tag
from lineal.page_parts import badge, counted, row, section, short, table, when
from lineal.reporting import Metric, Point, Report

_OUTCOMES = {
    "opened": "good", "would open": "good", "closed": "bad", "would close": "bad", "held": "note",
}  # fmt: skip
_HOW = {"gate": "a gate opened", "person": "by hand", "rollback": "rollback"}
_MARKS = {"current": "accent", "withdrawn": "bad", "blocked": "bad"}

# ---------------------------------------------------------------------------- versions and metrics


def metrics(report: Report) -> Html | None:
    """The curve of each metric, and the same numbers as a table."""
    points = report.points
    if report.made.kind == "action" or (len(points) < 2 and not report.registries):
        return None
    metrics = list(dict.fromkeys(metric for point in points for metric in point.metrics))
    charts = [_chart(points, metric, report.point) for metric in metrics]
    shown = tag("div", *charts, class_="charts") if any(charts) else None
    rows = [_version_row(report, point, metrics) for point in reversed(points)]
    what = "partition" if report.partitions else "version"
    heads = [(what, ""), ("", ""), ("made (UTC)", ""), ("run", "")]
    heads += [("rows", "number")] if any(_rows(p.made) is not None for p in points) else []
    heads += [(str(m), "number") for m in metrics]
    listed = table(heads, rows, f"All {len(rows):,} as a table")
    note = counted(report.total, what)
    if len(points) < report.total:
        note += "; the first and the last" if report.partitions else f"; the newest {len(points)}"
    return section("versions", f"{what.title()}s", note, shown, listed)


def _chart(points: Sequence[Point], metric: Metric, told: Point | None) -> Html | None:
    """The values of a metric; that of the version told of stands beside its name."""
    known = [point for point in points if metric in point.metrics]
    if len({point.metrics[metric] for point in known}) < 2:  # a line that says nothing
        return None
    dots = [Dot(p.label, p.metrics[metric], "now" if p is told else _dot(p)) for p in known]
    last = next((dot for dot in dots if dot.kind == "now"), dots[-1])
    name = tag("span", tag("b", metric.name), f" by {metric.by}" if metric.by else None)
    value = tag("span", number_text(last.value), class_="value", title=last.label)
    drawing = line(dots, f"{metric.name} over {len(dots)} versions")
    return tag("figure", tag("figcaption", name, value), drawing) if drawing else None


def _dot(point: Point) -> str:
    """Hollow is what counts no more."""
    return "gone" if {"withdrawn", "blocked"} & set(point.marks) else ""


def _rows(made: Materialization) -> int | None:
    return made.content.rows if made.content is not None else None


def _version_row(report: Report, point: Point, metrics: Sequence[Metric]) -> Html:
    made, counted = point.made, any(_rows(p.made) is not None for p in report.points)
    digest = made.content.digest if made.content is not None else ""
    name = tag("span", point.label, title=digest)
    plain = point.number is None and not report.partitions
    marks = joined(badge(mark, _MARKS.get(mark, "good")) for mark in point.marks)
    rows = _rows(made)
    given: list[tuple[str | None, str]] = [
        (short(digest) if plain else name, "short" if plain else "short name"),
        (marks, "short"),
        (when(made.started_at), "short"),
        (made.run, "short"),
    ]
    given += [("" if rows is None else f"{rows:,}", "number")] if counted else []
    values = (point.metrics.get(metric) for metric in metrics)
    given += [("" if value is None else number_text(value), "number") for value in values]
    return row(*given, here=point is report.point)


# --------------------------------------------------------------------------------------- the gate


def gate(report: Report) -> Html | None:
    decisions = report.decisions
    holds = [_held(registry) for registry in report.registries if registry.hold is not None]
    numbers = {r.name: r for r in report.registries}
    rows = [_decision(report, numbers[d.registry], d) for d in decisions]
    heads = [("when (UTC)", ""), ("", ""), ("gate", ""), ("candidate", ""), ("scores", "")]
    heads += [("against", ""), ("why, and the rule", "")]
    listed = table(heads, rows, f"All {len(rows):,} decisions")
    return section("gate", "Gate", "what was let through, and what was not", *holds, listed)


def _held(registry: Registry) -> Html | None:
    hold = registry.hold
    if hold is None:
        return None
    told = f"{registry.name} has been held since {when(hold.at)} UTC by {hold.who}"
    return tag(
        "p", badge("held", "note"), f"  {told}" + (f": {hold.reason}" if hold.reason else "")
    )


def _decision(report: Report, registry: Registry, decided: Decided) -> Html:
    known = registry.numbered(decided.content)
    named = f"v{known.version}" if known is not None else None
    content = report.made.content
    return row(
        (when(decided.at), "short"),
        (badge(decided.outcome, _OUTCOMES.get(decided.outcome, "")), "short"),
        (decided.gate, "short"),
        (named or short(decided.content), "short name" if named else "short"),
        (_scores(decided.scores), "short"),
        (f"v{decided.compared}" if decided.compared is not None else "", "short"),
        (joined((decided.reason, _rules(decided))), "long"),
        here=content is not None and decided.content == content.digest,
    )


def _rules(decided: Decided) -> Html:
    told = "; ".join(f"{metric}: {rule}" for metric, rule in decided.rules)
    return tag("div", told, class_="soft")


def _lines(texts: Iterable[str]) -> Html:
    return joined(tag("div", text) for text in texts)


def _scores(scores: Sequence[Score]) -> Html:
    """`auc 0.8117 vs 0.8124`, a line each."""
    return _lines(
        f"{s.metric} {number_text(s.candidate)}"
        + (f" vs {number_text(s.production)}" if s.production is not None else "")
        for s in scores
    )


def promotions(report: Report) -> Html | None:
    rows = [_promotion(move) for move in report.promotions]
    heads = [("when (UTC)", ""), ("alias", ""), ("from", ""), ("to", ""), ("how", ""), ("who", "")]
    heads += [("why", ""), ("scores", ""), ("id", "")]
    listed = table(heads, rows, f"All {len(rows):,} moves")
    return section("promotions", "Promotions", "every move of an alias, newest first", listed)


def _promotion(move: Promotion) -> Html:
    how = f"gate {move.gate}" if move.how == "gate" and move.gate else _HOW[move.how]
    return row(
        (when(move.at), "short"),
        (f"{move.registry}@{move.alias}", "short"),
        (f"v{move.previous}" if move.previous is not None else "", "short"),
        (f"v{move.version}", "short name"),
        (badge(how, "bad" if move.how == "rollback" else ""), "short"),
        (move.who, "short"),
        (move.reason, "long"),
        (_scores(move.scores), "short"),
        (tag("span", move.id, class_="digest"), "short"),
    )
