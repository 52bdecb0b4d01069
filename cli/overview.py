"""What is said of an asset with partitions as a whole: an overview, how they stand; lines, JSON."""

from __future__ import annotations

from collections import Counter
from typing import Any

from lineal.answers import Overview, PartitionShown, Standing
from lineal.assets.notebook import size_text
from lineal.cli.columns import column_lines
from lineal.cli.describe import declared
from lineal.cli.documents import instant, planned_step, retired
from lineal.cli.planned import asset_lines, partitions_text, retired_lines
from lineal.cli.render import GLYPHS, Style, moment, name_column, plural, span

# ------------------------------------------------------------------------------------------- show


def overview_lines(style: Style, found: Overview, verbose: bool) -> list[str]:
    """`flights   12 partitions, 2013-01 … 2013-12   monthly from 2013-01`, and what is in it."""
    lines = style.folded("   ".join(_head(found)), "", "  ")
    lines.extend(_parts(style, found))
    newest = found.newest
    if newest is not None and newest.content is not None and newest.content.columns:
        lines.append(f"columns  of {newest.partition}, which was made last")
        lines.extend(column_lines(found.value, newest.content, verbose, style, found.told))
    if found.feeds:
        lines.extend(style.folded(", ".join(found.feeds), "feeds    "))
    if found.retired:
        last = found.retired[-1]
        told = f"{plural(len(found.retired), 'partition')}, the last {last.partition}: "
        lines.extend(style.folded(told + last.reason, "retired  "))
    return [style.text(row) for row in lines]


def _head(found: Overview) -> list[str]:
    head = [found.asset, partitions_text(found.keys) or "no partitions any more"]
    if found.told is not None and found.told.partitions:
        head.append(found.told.partitions)
    rows = [f"{found.rows:,} rows"] if found.rows is not None else []
    size = [size_text(found.bytes)] if found.bytes else []
    return [*head, *declared(found.told), *filter(None, [", ".join(rows + size)])]


def _parts(style: Style, found: Overview) -> list[str]:
    """One line a partition, and how many are left out in between."""
    keys = name_column(part.key for part in found.parts)
    summaries = [_summary(part) for part in found.parts]
    widest = max(map(span, summaries), default=0)
    rows = [
        f"  {style.name(part.key, keys)}  {summary:<{widest}}  {_version(style, part)}".rstrip()
        for part, summary in zip(found.parts, summaries, strict=True)
    ]
    others = len(found.keys) - len(found.parts)
    if others:
        half = len(rows) // 2
        rows[half:half] = [f"  … and {others:,} more (-v)"]
    return rows


def _summary(part: PartitionShown) -> str:
    return part.made.content.summary if part.made.content is not None else ""


def _version(style: Style, part: PartitionShown) -> str:
    """`9f3a2c  21 Nov 18:02  ✓`: the mark says that every check passed, or one did not."""
    made = part.made
    digest = made.content.digest[:6] if made.content is not None else ""
    glyph, twin, _ = GLYPHS["made" if all(c.passed for c in part.checks) else "failed"]
    mark = (twin if style.ascii else glyph) if part.checks else ""
    return f"{digest}  {moment(made.started_at)}  {mark}"


def overview_document(found: Overview) -> dict[str, Any]:
    told = found.told
    return {
        "asset": found.asset,
        "kind": told.kind if told is not None else "",
        "description": told.description if told is not None else "",
        "where": told.where if told is not None else "",
        "partitioned": told.partitions if told is not None else "",
        "rows": found.rows,
        "bytes": found.bytes,
        "partitions": [_part_document(part) for part in found.parts],
        "feeds": list(found.feeds),
        "retired": retired(found.retired),
    }


def _part_document(part: PartitionShown) -> dict[str, Any]:
    made, content = part.made, part.made.content
    return {
        "partition": part.key,
        "version": content.digest if content is not None else None,
        "format": content.format if content is not None else None,
        "rows": content.rows if content is not None else None,
        "bytes": content.bytes if content is not None else 0,
        "run": made.run,
        "made_at": instant(made.started_at),
        "checks": [{"name": c.name, "passed": c.passed} for c in part.checks],
    }


# -------------------------------------------------------------------------------------------- why


def standing_lines(style: Style, found: Standing) -> list[str]:
    """How many partitions are stale, pending, fresh; those that are not, with their reasons."""
    counts = Counter(step.verdict.name for step in found.steps)
    told = [f"{counts[v]:,} {v}" for v in ("stale", "pending", "fresh") if counts[v]]
    whole = f"{found.asset} has {plural(len(found.steps), 'partition')}: "
    headline = whole + (", ".join(told) if len(told) != 1 else f"all {told[0].split()[1]}") + "."
    if not found.steps:
        headline = f"{found.asset} has no partitions now."
    lines = style.folded(headline, "", "  ")
    others = [step for step in found.steps if step.verdict.name != "fresh"]
    if others:
        lines.extend(("", *asset_lines(style, others, name_column([found.asset]))))
    if found.retired:
        lines.extend(("", *retired_lines(style, found.retired)))
    if found.steps:
        key = (others or found.steps)[-1].step.partition
        lines.extend(("", f"  lineal why {found.asset} --partition {_quoted(key or '')}"))
    return [style.text(row) for row in lines]


def _quoted(key: str) -> str:
    import shlex

    return shlex.quote(key)


def standing_document(found: Standing) -> dict[str, Any]:
    return {
        "asset": found.asset,
        "partitions": [planned_step(step) for step in found.steps],
        "retired": retired(found.retired),
    }
