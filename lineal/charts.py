"""A number over versions, as a small SVG line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from lineal.markup import Html, tag

_WIDE, _HIGH = 320, 132
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 12, 10, 24
_LABELS = 6  # below the line, at most
_LETTER = 6.2  # its width


class Dot(NamedTuple):
    """A value with its label; `kind` is a class of the page: `now`, `gone`, or none."""

    label: str
    value: float
    kind: str = ""


def line(dots: Sequence[Dot], title: str) -> Html:
    """A line through the values that are finite, from left to right."""
    known = [(n, dot) for n, dot in enumerate(dots) if math.isfinite(dot.value)]
    values = [dot.value for _, dot in known]
    if not values:
        return Html()
    least, most = min(values), max(values)
    ticks = list(dict.fromkeys([number_text(most), number_text(least)]))
    left = _LEFT + max(len(tick) for tick in ticks) * _LETTER + 6

    def across(n: int) -> float:
        return left + (_WIDE - _RIGHT - left) * (n / (len(dots) - 1) if len(dots) > 1 else 0.5)

    def down(value: float) -> float:
        share = (value - least) / (most - least) if most > least else 0.5
        return _HIGH - _BOTTOM - share * (_HIGH - _BOTTOM - _TOP)

    at = [(across(n), down(dot.value), dot) for n, dot in known]
    scale = [most] if len(ticks) == 1 else [most, least]
    parts = [tag("title", title)]
    for value, tick in zip(scale, ticks, strict=True):
        y = down(value)
        parts.append(tag("path", d=f"M{left:.1f} {y:.1f}H{_WIDE - 2}", class_="rule"))
        where = {"x": f"{left - 6:.1f}", "y": f"{y + 3.5:.1f}"}
        parts.append(tag("text", tick, class_="tick end", **where))
    joined_up = "L".join(f"{x:.1f} {y:.1f}" for x, y, _ in at)
    parts.append(tag("path", d=f"M{joined_up}", class_="curve"))
    for x, y, dot in at:
        said = tag("title", f"{dot.label}  {number_text(dot.value)}")
        radius = "4.2" if dot.kind == "now" else "3"
        kind = f"dot {dot.kind}".rstrip()
        parts.append(tag("circle", said, cx=f"{x:.1f}", cy=f"{y:.1f}", r=radius, class_=kind))
    parts += _labels(dots, [across(n) for n in range(len(dots))])
    return tag("svg", *parts, viewBox=f"0 0 {_WIDE} {_HIGH}", role="img", class_="chart")


def _labels(dots: Sequence[Dot], across: Sequence[float]) -> list[Html]:
    """As many labels as have room: the first, the last, and some between them."""
    last = len(dots) - 1
    widest = max(len(dot.label) for dot in dots) * _LETTER + 10
    room = max(1, min(_LABELS - 1, int((across[-1] - across[0]) / widest)))
    step = max(1, math.ceil(last / room))
    shown = [n for n in range(0, last + 1, step) if last - n >= step] + [last]
    rows = []
    for n in shown:
        half = len(dots[n].label) * _LETTER / 2
        x = min(max(across[n], half + 2), _WIDE - half - 2)
        given = {"x": f"{x:.1f}", "y": f"{_HIGH - 6}", "class_": "tick mid"}
        rows.append(tag("text", dots[n].label, **given))
    return rows


def number_text(value: float) -> str:
    """`0.8120`, `244,737`, `1.200e-05`, `NaN`."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e12:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 10_000 else f"{value:#.4g}"
