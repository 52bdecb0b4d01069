"""A report as one HTML page that needs nothing else: no network, no script, no other file."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from lineal.assets.notebook import size_text
from lineal.assets.records import MODELS, RecipePart
from lineal.charts import number_text
from lineal.lineage.drawing import drawn
from lineal.lineage.layers import Box, to_svg
from lineal.markup import Html, joined, tag
from lineal.page_parts import OPEN, badge, counted, duration, row, section, short, table, when
from lineal.report_versions import gate, metrics, promotions
from lineal.reporting import Made, Metric, Picture, Report

GENERATOR = "lineal report"  # by this a page is known as one that may be written over

_DRAWN = 120  # boxes up to which the lineage is drawn
_VALUES = 6  # of a parameter that differs between partitions, at most


def page(report: Report, version: str) -> str:
    """The page; `version`: of the lineal that writes it."""
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content=GENERATOR),
        tag("title", f"{report.made.step} · {report.project}"),
        tag("style", Html(style)),
    )
    made = [
        _header(report), _tiles(report), metrics(report), _figures(report), gate(report),
        promotions(report), _lineage(report), _files(report), _value(report), _columns(report),
        _checks(report), _parameters(report), _metadata(report), _code(report), _packages(report),
    ]  # fmt: skip
    body = tag("body", tag("main", *made), _footer(report, version))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


# --------------------------------------------------------------------------------------- the head


def _kind(report: Report) -> str:
    made, content = report.made, report.made.content
    if made.kind in ("files", "fetch"):
        return "source"
    if made.kind in ("gate", "action"):
        return made.kind
    form = content.format if content is not None else ""
    if form in MODELS:
        return "model"
    return {"parquet": "table", "json": "value"}.get(form, form or made.kind)


def _header(report: Report) -> Html:
    made, told, content = report.made, report.told, report.made.content
    where = told.where if told is not None else ""
    eyebrow = [
        report.project,
        report.place,
        _kind(report),
        where,
        told.owner if told is not None else "",
    ]
    name, at = str(made.step), f"@{content.digest[:8]}" if content is not None else ""
    if report.partitions:
        name, at = made.asset, ""
    lede = told.description if told is not None else ""
    return tag(
        "header",
        tag("p", joined(filter(None, eyebrow), "  ·  "), class_="eyebrow"),
        tag("h1", name, tag("span", at, class_="at") if at else None),
        tag("p", lede, class_="lede") if lede else None,
        tag("div", *_badges(report), class_="badges"),
    )


def _badges(report: Report) -> list[Html]:
    made, content = report.made, report.made.content
    found = []
    if content is not None and not report.partitions:
        for registry in report.registries:
            known = registry.numbered(content.digest)
            if known is not None:
                found.append(badge(f"{registry.name} v{known.version}", "accent"))
                found += [
                    badge(alias, "good")
                    for alias, move in registry.aliases().items()
                    if move.version == known.version
                ]
                found += [badge("withdrawn", "bad")] if known.version in registry.withdrawn else []
                found += [badge(word) for word in known.tags]
    for registry in report.registries:
        if registry.hold is not None:
            found.append(badge(f"{registry.name} is held", "note"))
    if made.outcome == "blocked":
        found.append(badge("blocked by a check", "bad"))
    elif not report.current:
        found.append(badge("not current", "note"))
    found += [badge(word) for word in (report.told.tags if report.told is not None else ())]
    return found


def _tiles(report: Report) -> Html:
    made, content = report.made, report.made.content
    point = report.point
    metrics = point.metrics if point is not None else {Metric(n): v for n, v in made.metrics}
    tiles = []
    if report.partitions:
        keys = f"{report.partitions[0]} … {report.partitions[-1]}"
        tiles.append(_tile("partitions", f"{len(report.partitions):,}", keys))
    else:
        tiles += [_tile(m.name, number_text(v), m.by and f"by {m.by}") for m, v in metrics.items()]
    if content is not None and content.rows is not None and not report.partitions:
        tiles.append(_tile("rows", f"{content.rows:,}", counted(len(content.columns), "column")))
    if content is not None and content.bytes:
        summary = content.summary if content.rows is None else ""
        tiles.append(_tile("size", size_text(content.bytes), summary))
    first = point.made if point is not None else made
    day, time = when(first.started_at).split()
    tiles.append(_tile("made", day, f"{time} UTC, run {first.run}, {duration(first.seconds)}"))
    return tag("dl", *tiles, class_="tiles")


def _tile(name: str, value: str, note: str = "") -> Html:
    small = tag("small", note) if note else None
    return tag("div", tag("dt", name), tag("dd", value, small), class_="tile")


# ----------------------------------------------------------------------------------------- figures


def _figures(report: Report) -> Html | None:
    shown = tag("div", *map(_figure, report.figures), class_="figures") if report.figures else None
    return section("figures", "Figures", "of this very version", shown)


def _figure(picture: Picture) -> Html:
    data = base64.b64encode(picture.data).decode("ascii")
    name = str(picture.made.step)
    first = picture.description.splitlines()[0] if picture.description else ""
    alt = f"{name}: {first}" if first else name
    caption = tag("figcaption", tag("b", name), f"  {first}" if first else None)
    image = tag("img", src=f"data:{picture.type};base64,{data}", alt=alt)
    return tag("figure", image, caption)


# ---------------------------------------------------------------------------------------- lineage


def _lineage(report: Report) -> Html | None:
    feeds = tag("p", f"read by {', '.join(report.feeds)}", class_="soft") if report.feeds else None
    note = "what it was in fact computed from"
    return section("lineage", "Lineage", note, _graph(report), _reads(report), feeds)


def _graph(report: Report) -> Html | None:
    """What it was made from as a drawing; none where there is nothing to draw, or too much."""
    derivation = report.derivation
    drawing = drawn(derivation)
    if not 1 < len(drawing.nodes) <= _DRAWN:
        return None
    roots = set(derivation.roots)
    count: dict[str, int] = {}
    for node in derivation.nodes.values():
        count[node.asset] = count.get(node.asset, 0) + 1
    boxes = {}
    for point in drawing.nodes:
        made = derivation.nodes[point.name]
        many = made.partition is not None and count[made.asset] > 1
        summary = made.content.summary if made.content is not None else ""
        detail = f"{count[made.asset]:,} partitions" if many else summary
        name = made.asset if many else str(made.step)
        boxes[point.name] = Box(name, detail, made.id in roots)
    title = f"What {report.made.asset} was made from"
    return tag("div", to_svg(drawing, boxes, title), class_="scroll")


def _reads(report: Report) -> Html | None:
    """What it read itself: each input with its version and columns."""
    rows = []
    for used in report.made.inputs:
        source = f"{used.asset} {used.partition}" if used.partition else used.asset
        read = ", ".join(used.columns) if used.mode in ("columns", "shape") else used.mode
        rows.append(row((source, "short name"), (short(used.content), "short"), (read, "long")))
    heads = [("reads", ""), ("version", ""), ("columns", "")]
    return table(heads, rows, counted(len(rows), "input") + " read")


def _files(report: Report) -> Html | None:
    rows, size = [], 0
    for made in sorted(report.derivation.nodes.values(), key=lambda m: str(m.step)):
        if made.kind not in ("files", "fetch"):
            continue
        if not made.files and made.content is not None:
            fetched = [("(fetched)", "soft"), (short(made.content.digest), "short")]
            size += made.content.bytes
            rows.append(
                row(
                    (str(made.step), "short name"),
                    *fetched,
                    (size_text(made.content.bytes), "number"),
                )
            )
        for file in made.files:
            size += file.bytes
            cells = [(file.path, "short"), (short(file.digest), "short")]
            rows.append(row((made.asset, "short name"), *cells, (size_text(file.bytes), "number")))
    if not rows:
        return None
    told = f"{counted(len(rows), 'source')}, {size_text(size)}"
    heads = [("source", ""), ("file", ""), ("digest", ""), ("size", "number")]
    return section("files", "Sources", told, table(heads, rows, told))


# ------------------------------------------------------------------------------------ what is in it


def _value(report: Report) -> Html | None:
    return section("value", "Value", None, tag("pre", report.value) if report.value else None)


def _columns(report: Report) -> Html | None:
    content = report.made.content
    if content is None or not content.columns:
        return None
    said = dict(report.told.columns) if report.told is not None else {}
    rows = [
        row(
            (column.name, "short name"),
            (column.type, "short"),
            (short(column.digest), "short"),
            (said.get(column.name, ""), "long"),
        )
        for column in content.columns
    ]
    heads = [("column", ""), ("type", ""), ("digest", ""), ("what it is" if said else "", "")]
    return section("columns", "Columns", counted(len(rows), "column"), table(heads, rows))


def _checks(report: Report) -> Html | None:
    rows = []
    for check in report.checks:
        word = "passed" if check.passed else ("warning" if check.severity == "warn" else "refused")
        kind = "good" if check.passed else ("note" if check.severity == "warn" else "bad")
        failing = "" if not check.failing_rows else f"{check.failing_rows:,}"
        on = f"{check.asset} {check.partition}" if check.partition else check.asset
        cells = [(check.name, "short name"), (badge(word, kind), "short"), (on, "short")]
        rows.append(row(*cells, (failing, "number"), (check.message, "long")))
    heads = [("check", ""), ("", ""), ("of", ""), ("failing rows", "number"), ("", "")]
    return section("checks", "Checks", None, table(heads, rows, counted(len(rows), "result")))


def _parameters(report: Report) -> Html | None:
    rows = []
    for way in report.ways:
        for name, values in way.parameters.items():
            shown = joined((tag("code", value) for value in values[:_VALUES]), ", ")
            more = f" … {len(values):,} values" if len(values) > _VALUES else None
            cells = [(way.asset, "short"), (name, "short name"), (joined((shown, more)), "long")]
            rows.append(row(*cells, here=way.asset == report.made.asset))
    heads = [("asset", ""), ("parameter", ""), ("value", "")]
    return section("parameters", "Parameters", "on the whole way", table(heads, rows))


def _metadata(report: Report) -> Html | None:
    rows = [
        row((name, "short name"), (tag("code", _json(value)), "long"))
        for name, value in sorted(report.made.metadata.items())
    ]
    listed = table([("name", ""), ("value", "")], rows)
    return section("metadata", "Metadata", "as it was recorded", listed)


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _code(report: Report) -> Html | None:
    ways = [_way(way, way.asset == report.made.asset) for way in report.ways]
    shown = tag("div", *ways, class_="stack") if any(ways) else None
    return section("code", "Code", "all of the project that was reached", shown)


def _way(way: Made, here: bool) -> Html | None:
    if way.recipe is None or not way.recipe.parts:
        return None
    count = f", {way.times:,} times" if way.times > 1 else ""
    told = f"{way.where}  {counted(len(way.recipe.parts), 'part')}{count}"
    heads = [("part", ""), ("kind", ""), ("where", ""), ("value", ""), ("digest", "")]
    rows = [_part(part) for part in way.recipe.parts]
    opaque = [tag("p", f"Not followed: {text}", class_="soft") for text in way.recipe.opaque]
    inside = tag("div", table(heads, rows), *opaque, class_="inside")
    summary = tag("summary", tag("b", way.asset), tag("span", told))
    return tag("details", summary, inside, open="" if here and len(rows) <= OPEN else None)


def _part(part: RecipePart) -> Html:
    return row(
        (part.name, "short"),
        (part.kind, "short soft"),
        (part.where, "short soft"),
        (tag("code", part.value) if part.value else "", "long"),
        (short(part.digest), "short"),
    )


def _packages(report: Report) -> Html | None:
    facts = report.environment
    if facts is None:
        return None
    pairs = [("Python", facts.python), *facts.packages]
    rows = [tag("div", tag("dt", name), tag("dd", version)) for name, version in pairs]
    return section(
        "packages", "Packages", "that its code reaches", tag("dl", *rows, class_="packages")
    )


def _footer(report: Report, version: str) -> Html:
    made, run = report.made, report.run
    told = [f"lineal {version}", f"materialization {made.id}"]
    if made.content is not None:
        told.append(f"version {made.content.digest}")
    if run is not None:
        told.append(f"run {run.run} by {run.who} on {run.host}")
        if run.git_commit:
            told.append(f"git {run.git_commit[:10]}{' and edits' if run.git_dirty else ''}")
    return tag("footer", tag("p", joined(told, "  ·  ")))
