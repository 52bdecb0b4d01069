"""What `diff` says of two versions, and of the partitions of an asset at two times; as lines."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lineal.assets.keys import in_order
from lineal.assets.notebook import size_text
from lineal.assets.records import Materialization, Reason
from lineal.cli.planned import reason_lines
from lineal.cli.render import Style, cell, moment, padded, plural, shorten, span
from lineal.comparing import Compared, States, ValueChange, Versions
from lineal.lineage.compare import SchemaDifference
from lineal.storage.compare import ColumnChange, RowsDifference, Statistics

_COLUMNS = 12  # with statistics, if not all are wanted
_VALUES = 20  # places of a JSON value
_REASONS = 8  # why they were made otherwise
_CELL = 24  # the widest a value of a row gets
_PARTITIONS = 40


def diff_lines(style: Style, found: Compared, verbose: bool) -> list[str]:
    if isinstance(found, States):
        rows = _states(style, found, verbose)
    else:
        rows = _versions(style, found, verbose)
    return [style.text(row).rstrip() for row in rows]


# ---------------------------------------------------------------------------------------- versions


def _versions(style: Style, found: Versions, verbose: bool) -> list[str]:
    before, after = found.names
    facts = found.facts
    if facts.same:
        told = f"{before} and {after} hold the same." if before != after else _alone(facts.after)
        rows = style.folded(told, "", "  ")
    else:
        rows = style.folded(f"{before} → {after}: {_sentence(found)}.", "", "  ")
    rows += ["", *_sides(style, found)]
    for note in found.notes:
        rows += style.folded(note, f"  {style.glyph('warning')} ")
    for part in (
        _schema(style, facts.schema),
        _columns(style, found, verbose),
        _sample(style, found.rows),
        _values(style, found.values, verbose),
        _metrics(style, facts.before, facts.after),
        _made(style, facts.made, verbose),
    ):
        if part:
            rows += ["", *part]
    return rows


def _alone(made: Materialization) -> str:
    return f"{made.step} is one version on both sides: nothing differs."


def _sentence(found: Versions) -> str:
    """What differs, in one line."""
    schema, rows = found.facts.schema, found.rows
    told = [
        f"{plural(len(columns), 'column')} {word}"
        for columns, word in (
            (schema.added, "added"),
            (schema.removed, "removed"),
            (schema.renamed, "renamed"),
            (schema.retyped, "of another type"),
        )
        if columns
    ]
    if schema.moved:
        told.append("columns in another order")
    if rows is not None:
        told += _of_rows(found, rows)
    elif schema.changed:
        told.append(f"{plural(len(schema.changed), 'column')} changed")
    elif found.values:
        told.append(f"{plural(len(found.values), 'value')} changed")
    told = [part for part in told if part] or _of_metrics(found.facts.before, found.facts.after)
    return ", ".join(told) or "other content"


def _of_metrics(before: Materialization, after: Materialization) -> list[str]:
    """`auc 0.81 → 0.82`, of the first that differ."""
    moved = list(_moved(before, after))
    return [f"{name} {_metric(was)} → {_metric(now)}" for name, was, now in moved[:2]]


def _of_rows(found: Versions, rows: RowsDifference) -> list[str]:
    counts = [
        f"{count:,} {word}"
        for count, word in ((rows.added, "added"), (rows.removed, "removed"))
        if count
    ]
    if rows.changed:
        counts.append(f"{rows.changed:,} changed")
    if counts:
        unit, _, rest = counts[0].partition(" ")
        counts[0] = f"{unit} {'row' if unit == '1' else 'rows'} {rest}"
        return counts
    if not rows.shared:
        return ["no column that can be compared"]
    schema = found.facts.schema
    if rows.in_order is False:
        return ["the same rows in another order"]
    if schema.changed and rows.in_order and not rows.not_compared:
        return ["the same values, other categories"]
    return ["the same rows in the columns that were compared" if not schema.same_shape else ""]


def _sides(style: Style, found: Versions) -> list[str]:
    """When each was made, in which run, and what it is."""
    told = []
    for made in (found.facts.before, found.facts.after):
        content = made.content
        what = content.summary if content is not None else made.outcome
        size = size_text(content.bytes) if content is not None and content.bytes else ""
        told.append((moment(made.started_at), made.run, what, size, _mark(made)))
    widths = [max(span(row[i]) for row in told) for i in range(4)]
    rows = []
    for word, row in zip(("before", "after"), told, strict=True):
        cells = [padded(text, width) for text, width in zip(row, widths, strict=False)]
        rows.append(f"  {word:<8} {'   '.join([*cells, row[4]])}")
    return rows


def _mark(made: Materialization) -> str:
    return "refused by a check" if made.outcome == "blocked" else ""


def _names(style: Style, names: Iterable[str]) -> int:
    """The width of a column of names: of none is anything left out, a few may be longer."""
    return min(max(map(span, names), default=4), style.width // 2)


def _schema(style: Style, schema: SchemaDifference) -> list[str]:
    signs = [(style.coloured("+", "green"), c.name, c.type) for c in schema.added]
    signs += [(style.coloured("-", "red"), c.name, c.type) for c in schema.removed]
    changed = style.coloured("~", "yellow")
    signs += [(changed, a.name, f"{a.type} → {b.type}") for a, b in schema.retyped]
    signs += [(changed, a.name, f"is called {b.name} now") for a, b in schema.renamed]
    if not signs:
        return []
    width = _names(style, (name for _, name, _ in signs))
    rows = [row for sign, name, what in signs
            for row in style.folded(what, f"  {sign} {padded(name, width)}   ")]  # fmt: skip
    return ["columns", *rows]


# ------------------------------------------------------------------------------ rows of two tables


def _columns(style: Style, found: Versions, verbose: bool) -> list[str]:
    """A line a column that differs: in how many rows, and what it holds, before → after."""
    if found.rows is None:
        names = found.facts.schema.changed
        return style.folded(", ".join(names), "changed  ") if names else []
    found_any = found.rows.added or found.rows.removed or found.rows.changed
    told = [(c, _statistics(c)) for c in found.rows.columns] if found_any else []
    told.sort(key=lambda one: (-(one[0].rows or 0), not one[1]))
    few = [one for one in told if one[0].rows or one[1]][:_COLUMNS]
    shown = told if verbose else few
    width = _names(style, (c.name for c, _ in shown))
    counts = max((len(f"{c.rows or 0:,}") for c, _ in shown), default=1)
    rows = []
    for change, parts in shown:
        head = f"  {padded(change.name, width)}   {_count(change, counts)}"
        rows += style.folded("   ".join(parts) or "as a whole as before", head)
    if len(told) > len(shown):
        rows.append(f"  … {plural(len(told) - len(shown), 'more column')} (-v)")
    if found.rows.not_compared:
        others = ", ".join(found.rows.not_compared)
        rows += style.folded(others, "  not compared, their types differ   ")
    key = f"by {', '.join(found.rows.key)}" if found.rows.key else "of whole tables"
    return [f"values, {key}", *rows] if rows else []


def _count(change: ColumnChange, width: int) -> str:
    if change.rows is None:
        return ""
    text = f"{change.rows:>{width},} {'row ' if change.rows == 1 else 'rows'}   "
    return text if change.rows else " " * len(text)


def _statistics(change: ColumnChange) -> list[str]:
    """`5 … 33 → 6 … 36`, `mean 17.9 → 15.8`, `null 0 → 1`: what differs of them."""
    before, after = change.before, change.after
    told = []
    if _range(before) != _range(after):
        told.append(f"{_range(before)} → {_range(after)}")
    for word, old, new in (
        ("mean", before.mean, after.mean),
        ("null", before.nulls, after.nulls),
        ("NaN", before.nans, after.nans),
        ("distinct", before.distinct, after.distinct),
    ):
        if old != new and None not in (old, new) and _number(old) != _number(new):
            told.append(f"{word} {_number(old)} → {_number(new)}")
    return told


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else cell(value)


def _range(found: Statistics) -> str:
    if found.least is None:
        return "nothing" if found.rows == found.nulls else ""
    return f"{_short(found.least)} … {_short(found.greatest)}"


def _sample(style: Style, found: RowsDifference | None) -> list[str]:
    """A few of the rows: `- id 2   name b`, `+ id 5   name d`, `~ id 1   gross 11 → 12`."""
    if found is None:
        return []
    rows = []
    kinds = (("-", "red", found.removed_rows), ("+", "green", found.added_rows))
    for sign, colour, several in kinds:
        for values in several:
            pairs = zip(found.names, values, strict=True)
            rows += _row(
                style, style.coloured(sign, colour), [f"{n} {_short(v)}" for n, v in pairs]
            )
    for changed in found.changed_rows:
        told = [f"{n} {_short(v)}" for n, v in zip(found.key, changed.key, strict=True)]
        told += [f"{n} {_short(old)} → {_short(new)}" for n, old, new in changed.values]
        rows += _row(style, style.coloured("~", "yellow"), told)
    shown = len(rows)
    total = found.added + found.removed + found.changed
    head = "rows" if shown == total else f"rows, {shown:,} of {total:,}"
    return [head, *rows] if rows else []


def _row(style: Style, sign: str, cells: Sequence[str]) -> list[str]:
    """One row on one line: as many values as fit."""
    text = ""
    for i, one in enumerate(cells):
        longer = f"{text}   {one}" if text else one
        rest = len(cells) - i - 1
        room = style.width - 4 - (len(f"   … {rest} more") if rest else 0)
        if not style.piped and text and span(longer) > room:
            return [f"  {sign} {text}   … {len(cells) - i} more"]
        text = longer
    return [f"  {sign} {text}"]


def _short(value: Any) -> str:
    if isinstance(value, dt.datetime):
        text = value.isoformat(" ").removesuffix(":00" if value.tzinfo is None else "")
        return text.replace("+00:00", "Z").replace(":00Z", "Z")
    text = cell(value)
    if not text.isprintable():  # ends of lines, and what a terminal would obey
        text = "".join(each if each.isprintable() else " " for each in text)
    return shorten(text, _CELL)


# -------------------------------------------------------------------------- what is no table


def _values(style: Style, found: Sequence[ValueChange], verbose: bool) -> list[str]:
    shown = found if verbose else found[:_VALUES]
    width = _names(style, (change.place or "value" for change in shown))
    rows = []
    for change in shown:
        old, new = _short(change.before), _short(change.after)
        words = {"added": f"added: {new}", "removed": f"removed: {old}"}
        told = words.get(change.kind, f"{old} → {new}")
        rows += style.folded(told, f"  {padded(change.place or 'value', width)}   ")
    if len(found) > len(shown):
        rows.append(f"  … {len(found) - len(shown):,} more (-v)")
    return ["values", *rows] if rows else []


def _metrics(style: Style, before: Materialization, after: Materialization) -> list[str]:
    moved = list(_moved(before, after))
    width = _names(style, (name for name, _, _ in moved))
    rows = []
    for name, was, now in moved:
        by = f"   ({now - was:+.4g})" if was is not None and now is not None else ""
        told = f"{_metric(was)} → {_metric(now)}{by}"
        rows += style.folded(told, f"  {padded(name, width)}   ")
    return ["metrics", *rows] if rows else []


def _moved(
    before: Materialization, after: Materialization
) -> Iterator[tuple[str, float | None, float | None]]:
    """The metrics that differ, before and after."""
    old, new = dict(before.metrics), dict(after.metrics)
    for name in dict.fromkeys((*old, *new)):
        was, now = old.get(name), new.get(name)
        if was != now and not _both_nan(was, now):
            yield name, was, now


def _both_nan(old: float | None, new: float | None) -> bool:
    return old is not None and new is not None and old != old and new != new


def _metric(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"


def _made(style: Style, found: Sequence[Reason], verbose: bool) -> list[str]:
    rows = reasons_told(style, found, verbose, "  ")
    return ["made otherwise", *rows] if rows else []


def reasons_told(style: Style, found: Sequence[Reason], verbose: bool, pad: str) -> list[str]:
    if not found:
        return []
    told = reason_lines(found, len(found) if verbose else _REASONS, past=True)
    return [row for line in told for row in style.folded(line, pad, f"{pad}    ")]


# -------------------------------------------------------------------------- partitions of an asset


def _states(style: Style, found: States, verbose: bool) -> list[str]:
    facts = found.facts
    counts = [
        f"{plural(len(keys), 'partition')} {word}"
        for keys, word in (
            (facts.added, "added"), (facts.removed, "removed"), (facts.changed, "changed"),
        )
        if keys
    ]  # fmt: skip
    counts.append(f"{facts.same:,} the same")
    before, after = found.names
    rows = style.folded(f"{before} → {after}: {', '.join(counts)}.", "", "  ")
    listed = [("+", "green", key, "") for key in facts.added]
    listed += [("-", "red", key, "") for key in facts.removed]
    listed += [("~", "yellow", key, what) for key, what in facts.changed]
    order = {key: i for i, key in enumerate(in_order([key for _, _, key, _ in listed]))}
    listed.sort(key=lambda one: order[one[2]])
    shown = listed if verbose else listed[:_PARTITIONS]
    width = _names(style, (key for _, _, key, _ in shown))
    if shown:
        rows.append("")
    for sign, colour, key, what in shown:
        mark = style.coloured(sign, colour)
        told = f"{_digests(facts.before.get(key), facts.after.get(key))}   {what}".rstrip()
        rows += style.folded(told, f"  {mark} {padded(key, width)}   ")
    if len(listed) > len(shown):
        rows.append(f"  … {len(listed) - len(shown):,} more (-v)")
    if facts.changed:
        key = facts.changed[0][0]
        old = _digest(facts.before[key])
        name = shlex.quote(f"{found.asset} {key}@{old}")
        rows += ["", f"  lineal diff {name}    its columns and rows"]
    return rows


def _digests(before: Materialization | None, after: Materialization | None) -> str:
    known = [f"@{_digest(made)}" for made in (before, after) if made is not None]
    return " → ".join(known)


def _digest(made: Materialization) -> str:
    return made.content.digest[:6] if made.content is not None else ""
