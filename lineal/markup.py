"""HTML made of values: text is escaped wherever it stands, so no name or reason is ever markup."""

from __future__ import annotations

import html
from collections.abc import Iterable

_EMPTY = frozenset({"meta", "img", "br", "hr"})  # elements that hold nothing and have no end


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def tag(name: str, /, *children: str | None, **attributes: str | None) -> Html:
    """An element; children that are not `Html` are text. None is left out, as an attribute too.

    `class_` is the attribute `class`, `aria_label` is `aria-label`.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _EMPTY:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{joined(children)}</{name}>")


def joined(parts: Iterable[str | None], between: str = "") -> Html:
    """Parts one after the other."""
    shown = (part if isinstance(part, Html) else html.escape(part) for part in parts if part)
    return Html(html.escape(between).join(shown))
