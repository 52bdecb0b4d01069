"""A drawing as SVG: sources at the top, each thing below all that it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from lineal.lineage.drawing import Drawing
from lineal.markup import Html, joined, tag

_WIDE, _HIGH = 168, 46  # of a box
_GAP, _DROP = 22, 40  # between boxes beside and below each other
_THIN = 14  # the room of a line that passes a layer
_SWEEPS = 6
_LETTERS = 21  # of a name that fit into a box
_SMALL = 27  # of what is said below it


class Box(NamedTuple):
    """What a box says."""

    name: str
    detail: str = ""
    here: bool = False  # it is what the drawing is about


class _Spot(NamedTuple):
    """A box in a layer, or a place where a line from further up goes through it."""

    layer: int
    node: str
    passing: str = ""  # the node that the line leads to

    @property
    def width(self) -> int:
        return _THIN if self.passing else _WIDE


def to_svg(drawing: Drawing, boxes: Mapping[str, Box], title: str) -> Html:
    """The drawing; `boxes` by the names of its nodes. Colours are those of the page's classes."""
    ends = dict.fromkeys((line.source, line.target) for line in drawing.lines)
    layers = _layers([node.name for node in drawing.nodes], list(ends))
    # A partition may read an earlier one of its asset: the two are one box.
    chains = [_chain(layers, *pair) for pair in ends if layers[pair[0]] < layers[pair[1]]]
    rows = _ordered(layers, chains)
    middle = _placed(rows, chains)
    left = min(middle[s] - s.width / 2 for s in middle)
    right = max(middle[s] + s.width / 2 for s in middle)
    wide, high = right - left + 2, len(rows) * (_HIGH + _DROP) - _DROP + 2
    at = {s: (middle[s] - left + 1, s.layer * (_HIGH + _DROP) + 1) for s in middle}
    shapes = {node.name: node.shape for node in drawing.nodes}
    lines = [tag("path", d=_path([at[spot] for spot in chain]), class_="line") for chain in chains]
    drawn = [
        _box(boxes[spot.node], shapes[spot.node], *at[spot])
        for row in rows
        for spot in row
        if not spot.passing
    ]
    size = f"{wide:.0f}", f"{high:.0f}"
    return tag(
        "svg",
        tag("title", title),
        *lines,
        *drawn,
        viewBox=f"0 0 {size[0]} {size[1]}",
        width=size[0],
        height=size[1],
        role="img",
        class_="graph",
    )


def _layers(names: Sequence[str], ends: Sequence[tuple[str, str]]) -> dict[str, int]:
    """As far down as its longest way from above; what has none stands right above its first use."""
    above: dict[str, list[str]] = {name: [] for name in names}
    below: dict[str, list[str]] = {name: [] for name in names}
    for source, target in ends:
        if source != target:
            above[target].append(source)
            below[source].append(target)
    found: dict[str, int] = {}
    for name in _inputs_first(names, above):
        found[name] = max((found[other] + 1 for other in above[name] if other in found), default=0)
    for name in names:
        if below[name] and not above[name]:
            found[name] = max(0, min(found[other] for other in below[name]) - 1)
    return found


def _inputs_first(names: Sequence[str], above: Mapping[str, Sequence[str]]) -> list[str]:
    """Each after what it is made from, as far as partitions taken together allow that."""
    found: dict[str, None] = {}
    begun: set[str] = set()
    waiting = list(reversed(names))
    while waiting:
        name = waiting[-1]
        begun.add(name)
        missing = [other for other in above[name] if other not in begun]
        if missing:
            waiting += missing
        else:
            found[waiting.pop()] = None
    return list(found)


def _chain(layers: Mapping[str, int], source: str, target: str) -> list[_Spot]:
    """Where a line goes through: from a box through the layers between to another box."""
    first, last = layers[source], layers[target]
    between = [_Spot(layer, source, target) for layer in range(first + 1, last)]
    return [_Spot(first, source), *between, _Spot(last, target)]


def _ordered(layers: Mapping[str, int], chains: Sequence[Sequence[_Spot]]) -> list[list[_Spot]]:
    """The spots of each layer from left to right: each near those that it is joined with."""
    rows: list[list[_Spot]] = [[] for _ in range(max(layers.values()) + 1)]
    spots = [_Spot(layer, name) for name, layer in layers.items()]
    for spot in dict.fromkeys([*spots, *(spot for chain in chains for spot in chain)]):
        rows[spot.layer].append(spot)
    up, down = _neighbours(chains)
    for sweep in range(_SWEEPS):
        joins = down if sweep % 2 else up
        for row in reversed(rows) if sweep % 2 else rows:
            place = {spot: float(n) for each in rows for n, spot in enumerate(each)}
            row.sort(key=lambda spot: _mean([place[o] for o in joins.get(spot, ())], place[spot]))
    return rows


def _placed(
    rows: Sequence[Sequence[_Spot]], chains: Sequence[Sequence[_Spot]]
) -> dict[_Spot, float]:
    """The middle of each spot: as near to those it is joined with as its neighbours allow."""
    at: dict[_Spot, float] = {}
    for row in rows:
        wide = sum(spot.width + _GAP for spot in row) - _GAP
        edge = -wide / 2
        for spot in row:
            at[spot] = edge + spot.width / 2
            edge += spot.width + _GAP
    up, down = _neighbours(chains)
    for sweep in range(_SWEEPS):
        joins = down if sweep % 2 == 0 else up
        for row in reversed(rows) if sweep % 2 == 0 else rows:
            wanted = [_mean([at[o] for o in joins.get(spot, ())], at[spot]) for spot in row]
            at.update(zip(row, _spread(row, wanted), strict=True))
    return at


def _spread(row: Sequence[_Spot], wanted: Sequence[float]) -> list[float]:
    """Places in this order that don't overlap, on the whole where they were wanted."""
    found: list[float] = []
    for n, (spot, place) in enumerate(zip(row, wanted, strict=True)):
        least = found[-1] + (row[n - 1].width + spot.width) / 2 + _GAP if n else place
        found.append(max(place, least))
    off = sum(a - b for a, b in zip(found, wanted, strict=True)) / len(row)
    return [place - off for place in found]


def _neighbours(
    chains: Sequence[Sequence[_Spot]],
) -> tuple[dict[_Spot, list[_Spot]], dict[_Spot, list[_Spot]]]:
    """What each spot is joined with above it, and below it."""
    up: dict[_Spot, list[_Spot]] = {}
    down: dict[_Spot, list[_Spot]] = {}
    for chain in chains:
        for upper, lower in pairwise(chain):
            up.setdefault(lower, []).append(upper)
            down.setdefault(upper, []).append(lower)
    return up, down


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _path(spots: Sequence[tuple[float, float]]) -> str:
    (x, y), *rest = spots
    drawn = [f"M{x:.1f} {y + _HIGH:.1f}"]
    at = y + _HIGH
    for n, (x2, y2) in enumerate(rest):
        half = (at + y2) / 2
        drawn.append(f"C{x:.1f} {half:.1f} {x2:.1f} {half:.1f} {x2:.1f} {y2:.1f}")
        x, at = x2, y2
        if n < len(rest) - 1:  # straight through the layer
            at += _HIGH
            drawn.append(f"V{at:.1f}")
    return "".join(drawn)


def _box(box: Box, shape: str, x: float, y: float) -> Html:
    left = f"{x - _WIDE / 2:.1f}"
    middle = f"{x:.1f}"
    detail = _clipped(box.detail, _SMALL)
    name_y = y + (_HIGH / 2 + 4.5 if not detail else 20)
    inside = [
        tag("title", f"{box.name}  {box.detail}".rstrip()),
        tag("rect", x=left, y=f"{y:.1f}", width=str(_WIDE), height=str(_HIGH), rx="7"),
        tag("text", _clipped(box.name, _LETTERS), x=middle, y=f"{name_y:.1f}", class_="name"),
    ]
    if detail:
        inside.append(tag("text", detail, x=middle, y=f"{y + 36:.1f}", class_="detail"))
    return tag("g", joined(inside), class_=f"node {shape}{' here' if box.here else ''}")


def _clipped(text: str, most: int) -> str:
    """Shortened in the middle."""
    if len(text) <= most:
        return text
    head = most // 2
    return f"{text[:head]}…{text[head + 1 - most :]}"
