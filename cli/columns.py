"""The columns of a version, a line each."""

from __future__ import annotations

import textwrap
from typing import Any

from lineal.assets.errors import did_you_mean
from lineal.assets.records import AssetFacts, Content
from lineal.cli.render import Style, cell, padded, plural, shorten, whole_names


def column_lines(
    value: Any, content: Content, verbose: bool, style: Style, told: AssetFacts | None
) -> list[str]:
    """One line a column: its name, its type, what a table holds of it, and what it is said to be.

    What is said of columns that are not there is told too: a name may be misspelt.
    """
    names = [c.name for c in content.columns]
    shown = content.columns if verbose else content.columns[:8]
    said = dict(told.columns) if told is not None else {}
    cells = [(c, _range(value, c), said.get(c.name, "")) for c in shown]
    kinds = max([len(c.type) + 1 for c in shown] if said else [16], default=16)
    ranges = max(len(each) for _, each, _ in cells) if said else 0
    room = (style.whole or style.width) - kinds - max([len(c[1]) for c in cells], default=0) - 5
    width = whole_names(style, [c.name for c in shown], room)
    rows = []
    for column, each, text in cells:
        name = padded(shorten(column.name, width, style.mark), width)
        lead = f"  {name}  {column.type:<{kinds}} {each:<{ranges}}"
        first, *rest = _wrapped(text, style.width - len(lead) - 2)
        rows += [f"{lead}  {first}", *(f"{'':{len(lead)}}  {row}" for row in rest)]
    if len(content.columns) > len(shown):
        rows.append(f"  … {len(content.columns) - len(shown)} more (-v)")
    for name in said:
        if name not in names:
            rows.append(f"  described, but no column: {name}{did_you_mean(name, names)}")
    return [row.rstrip() for row in rows]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 20)) or [""]


def _range(value: Any, column: Any) -> str:
    """Least and greatest, or how many values, and how many are missing."""
    try:
        series = value[column.name]
        missing = float(series.isna().mean())
        if column.type.startswith(("int", "uint", "float", "double", "timestamp", "date")):
            told = f"{cell(series.min())} … {cell(series.max())}"
        else:
            told = plural(int(series.nunique()), "value")
    except (KeyError, TypeError, ValueError, AttributeError):
        return ""
    return f"{told}   {missing:.1%} null" if missing else told
