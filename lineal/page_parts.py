"""The parts that the pages of reports are made of: sections, tables, badges, times."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from lineal.markup import Html, tag

OPEN = 12  # rows up to which a table is shown at once


def section(name: str, title: str, note: str | None, *body: Html | None) -> Html | None:
    """A part of the page; none if there is nothing in it."""
    if not any(body):
        return None
    side = tag("div", tag("h2", title), tag("p", note) if note else None, class_="title")
    return tag("section", side, tag("div", *body, class_="body"), id=name)


def table(
    heads: Sequence[tuple[str, str]], rows: Sequence[Html], long: str | None = None
) -> Html | None:
    """A table that scrolls within the page; none without rows.

    Args:
        heads: texts with their classes.
        long: said instead of many rows, until somebody wants to see them.
    """
    if not rows:
        return None
    head = tag("tr", *(tag("th", text, class_=kind or None) for text, kind in heads))
    shown = tag("div", tag("table", tag("thead", head), tag("tbody", *rows)), class_="scroll")
    if long is None or len(rows) <= OPEN:
        return shown
    return tag("details", tag("summary", long), tag("div", shown, class_="inside"))


def row(*cells: tuple[str | None, str], here: bool = False) -> Html:
    """Cells with their classes; `here`: it is what the page is about."""
    shown = (tag("td", text, class_=kind or None) for text, kind in cells)
    return tag("tr", *shown, class_="here" if here else None)


def badge(text: str, kind: str = "") -> Html:
    return tag("span", text, class_=f"badge {kind}".rstrip())


def short(text: str) -> Html:
    """A digest, so short as people tell them apart; the whole of it on asking."""
    return tag("span", text[:8], class_="digest", title=text)


def when(seconds: float) -> str:
    """In UTC: a page says the same wherever it is written."""
    return f"{dt.datetime.fromtimestamp(seconds, tz=dt.UTC):%Y-%m-%d %H:%M}"


def duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:,.0f} s"


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
