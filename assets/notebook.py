"""How plans and runs show themselves: aligned text, and a plain HTML table for notebooks.  PURE"""

from __future__ import annotations

import html
from collections.abc import Sequence

Rows = Sequence[Sequence[str]]


def as_text(title: str, columns: Sequence[str], rows: Rows) -> str:
    """A title and aligned columns."""
    widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]
    shown = ["  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([title, *(f"  {row.rstrip()}" for row in shown)])


def as_html(title: str, columns: Sequence[str], rows: Rows) -> str:
    """The same as one small table that needs no style sheet."""
    head = "".join(f"<th style='text-align:left'>{html.escape(c)}</th>" for c in columns)
    body = "".join(
        "<tr>"
        + "".join(f"<td style='text-align:left'>{html.escape(cell)}</td>" for cell in row)
        + "</tr>"
        for row in rows
    )
    return (
        f"<p><b>{html.escape(title)}</b></p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def size_text(count: int) -> str:
    """`812 B`, `14 kB`, `2.1 MB`: as short as is useful."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if size >= 9.95 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
