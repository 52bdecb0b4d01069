"""The lineage of columns through all assets, up or down: as a tree in text, and for JSON."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from lineal.assets.errors import UsageError, did_you_mean
from lineal.lineage.questions import version_name
from lineal.lineage.tree import Derivation, many_label

if TYPE_CHECKING:
    from lineal.lineage.catalog import Catalog

_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "IDENTITY": "", "TRANSFORMATION": "transformed", "AGGREGATION": "aggregated",
        "JOIN": "join", "GROUP_BY": "group by", "FILTER": "filter", "SORT": "sort",
        "WINDOW": "window", "CONDITIONAL": "condition",
    }
)  # fmt: skip
_QUERY = """
    select distinct source_asset, source_name, target_asset, target_name, type, subtype, masking,
        known
    from lineage.column_lineage where materialization in (select unnest($made::varchar[]))
    order by all
"""


class Hop(NamedTuple):
    """How a column of one asset is in a column of another, whatever the versions."""

    source_asset: str
    source_name: str | None  # None: not known which
    target_asset: str
    target_name: str | None  # None: all of it, or not known which
    type: str | None
    subtype: str | None
    masking: bool
    known: str


class Point(NamedTuple):
    """A column; without a name some column, or a thing that has none; or the rows of an asset."""

    asset: str
    column: str | None = None
    rows: bool = False
    among: tuple[str, ...] = ()  # of some column: one of these; empty: of all there are

    @property
    def label(self) -> str:
        if self.rows:
            return f"rows of {self.asset}"
        return self.asset if self.column is None else f"{self.asset}.{self.column}"


class Way(NamedTuple):
    """A step from one point to the next: in which words, by which hops."""

    to: Point
    how: str
    hops: tuple[Hop, ...]


class ColumnLineage(NamedTuple):
    """Where the columns of an asset come from, or go."""

    title: str
    starts: tuple[Point, ...]
    down: bool
    hops: tuple[Hop, ...]


def lineage_of(
    derivation: Derivation, catalog: Catalog, column: str | None, *, down: bool
) -> ColumnLineage:
    """What is known of the columns of an asset, or of one of them, along a derivation.

    Raises:
        UsageError: there is no such column.
    """
    roots = [derivation.nodes[root] for root in derivation.roots]
    contents = [made.content for made in roots if made.content is not None]
    names = list(dict.fromkeys(c.name for content in contents for c in content.columns))
    asset = roots[0].asset
    if column is not None and column not in names:
        raise UsageError(
            f"`{asset}` has no column `{column}`{did_you_mean(column, names)}",
            advice=f"lineal show {asset} -v    lists its columns",
        )
    starts = [Point(asset, name) for name in ([column] if column else names)] or [Point(asset)]
    if not down:
        starts.append(Point(asset, None, rows=True))
    connection, _ = catalog.connect_for_questions()
    with contextlib.closing(connection):
        rows = connection.execute(_QUERY, {"made": list(derivation.nodes)}).fetchall()
    title = version_name(roots[0]) if len(roots) == 1 else many_label(roots)
    return ColumnLineage(title, tuple(starts), down, tuple(Hop(*row) for row in rows))


# ------------------------------------------------------------------------------------------ ways


def ways_of(lineage: ColumnLineage) -> Callable[[Point], list[Way]]:
    """Where one comes from each point, or gets to."""
    by_asset: dict[str, list[Hop]] = {}
    for hop in lineage.hops:
        by_asset.setdefault(hop.source_asset if lineage.down else hop.target_asset, []).append(hop)

    def ways(point: Point) -> list[Way]:
        hops = by_asset.get(point.asset, [])
        return _down(point, hops) if lineage.down else _up(point, hops, has_rows)

    known: dict[str, bool] = {}

    def has_rows(asset: str) -> bool:
        if asset not in known:
            hops = by_asset.get(asset, [])
            sources = {hop.source_asset for hop in hops} - {asset}
            known[asset] = any(_decides(h) for h in hops) or any(has_rows(s) for s in sources)
        return known[asset]

    return ways


def _decides(hop: Hop) -> bool:
    """Does it decide about all rows?"""
    return hop.type == "INDIRECT" and hop.target_name is None


def _up(point: Point, hops: Sequence[Hop], has_rows: Callable[[str], bool]) -> list[Way]:
    if point.rows:
        found = _together((Point(h.source_asset, h.source_name), h) for h in hops if _decides(h))
        sources = dict.fromkeys(h.source_asset for h in hops if h.source_asset != point.asset)
        return [*found, *(Way(Point(s, None, True), "", ()) for s in sources if has_rows(s))]
    told = _said_of(point, hops)
    if point.column is None:
        return _unclear(told)
    sure = [h for h in told if None not in (h.source_name, h.target_name, h.type)]
    clear = _together((Point(h.source_asset, h.source_name), h) for h in sure)
    return [*clear, *_unclear(h for h in told if h not in sure)]


def _said_of(point: Point, hops: Sequence[Hop]) -> list[Hop]:
    """What is said of the columns that a point may be; of one without, what is said of all."""
    meant = point.among if point.column is None else (point.column,)
    own = [h for h in hops if (h.target_name in meant if meant else h.target_name is not None)]
    if meant and {h.target_name for h in own}.issuperset(meant):
        return own
    return [*own, *(h for h in hops if h.target_name is None and h.type is None)]


def _unclear(hops: Iterable[Hop]) -> list[Way]:
    """One way to each asset of which some column is meant: one of those that are read for it."""
    by_asset: dict[str, list[Hop]] = {}
    for hop in hops:
        by_asset.setdefault(hop.source_asset, []).append(hop)
    found = []
    for asset, some in by_asset.items():
        names = {h.source_name: None for h in some if h.source_name is not None}
        among = tuple(names) if all(h.source_name is not None for h in some) else ()
        point = Point(asset, among[0]) if len(among) == 1 else Point(asset, among=among)
        found.append(Way(point, "opaque", tuple(some)))
    return found


def _down(point: Point, hops: Sequence[Hop]) -> list[Way]:
    if point.rows:
        return []
    if point.column is None:
        told = [h for h in hops if not _decides(h)]
        return [
            Way(Point(asset), "opaque", tuple(h for h in told if h.target_asset == asset))
            for asset in dict.fromkeys(h.target_asset for h in told)
        ]
    named = [h for h in hops if h.source_name == point.column]
    found = _together(
        (Point(h.target_asset, h.target_name, _decides(h)), h) for h in named if h.type is not None
    )
    maybe = [h for h in hops if (h in named and h.type is None) or h.source_name is None]
    return [
        *found,
        *(
            Way(Point(asset), "opaque", tuple(h for h in maybe if h.target_asset == asset))
            for asset in dict.fromkeys(h.target_asset for h in maybe)
        ),
    ]


def _together(found: Iterable[tuple[Point, Hop]]) -> list[Way]:
    """One way to each point, with the words of all its hops."""
    by_point: dict[Point, list[Hop]] = {}
    for point, hop in found:
        by_point.setdefault(point, []).append(hop)
    return [Way(point, _words(hops), tuple(hops)) for point, hops in by_point.items()]


def _words(hops: Iterable[Hop]) -> str:
    found: dict[str, None] = {}
    for hop in hops:
        word = "declared" if hop.known == "declared" else _WORDS[hop.subtype or "IDENTITY"]
        found[f"{word}, masked" if hop.masking else word] = None
    return " + ".join(word for word in found if word)


# ----------------------------------------------------------------------------------------- shown


def to_text(lineage: ColumnLineage, width: int) -> str:
    """A tree a column; columns of which the same is known together."""
    ways = ways_of(lineage)
    shown: set[Point] = set()
    lines = [lineage.title, ""] if lineage.title else []
    page = _Page(ways, shown, " → " if lineage.down else " ← ", width)
    for names, point in _alike(lineage.starts, ways):
        found = ways(point)
        if not found and point.rows:
            continue
        lines += textwrap.wrap(", ".join(names), width, break_long_words=False)
        if not found:
            lines[-1] += "  goes nowhere" if lineage.down else "  from no column"
        lines += page.branches(found, "")
    return "\n".join(lines)


def _alike(
    starts: Sequence[Point], ways: Callable[[Point], list[Way]]
) -> Iterator[tuple[list[str], Point]]:
    """The points to begin with; columns that are opaque in the same way as one."""
    groups: dict[Any, list[Point]] = {}
    for point in starts:
        found = [(way.to, way.how) for way in ways(point)]
        dark = bool(found) and all(to.column is None and not to.rows for to, _ in found)
        groups.setdefault(tuple(found) if dark else point, []).append(point)
    for points in groups.values():
        yield [p.column or p.label for p in points], points[0]


class _Page(NamedTuple):
    """What a tree is drawn on. `shown`: the points from which it went on before."""

    ways: Callable[[Point], list[Way]]
    shown: set[Point]
    arrow: str
    width: int

    def branches(self, found: Sequence[Way], stem: str) -> list[str]:
        """The lines of some ways and all beyond them; what has no fork is one line."""
        lines = []
        for number, way in enumerate(found, start=1):
            fork, below = ("└─ ", "   ") if number == len(found) else ("├─ ", "│  ")
            line, further, again = self._chain(stem + fork, way)
            lines.append(line + "  (above)" * again)
            lines += self.branches(further, stem + below)
        return lines

    def _chain(self, lead: str, way: Way) -> tuple[str, list[Way], bool]:
        line = lead + _told(way, self.width - len(lead))
        further, again = self._beyond(way.to)
        while len(further) == 1:
            more = self.arrow + _told(further[0], self.width)
            if len(line + more) > self.width:
                break
            line += more
            further, again = self._beyond(further[0].to)
        return line, further, again

    def _beyond(self, point: Point) -> tuple[list[Way], bool]:
        """The ways on from a point, if they weren't shown before; were they?"""
        found = self.ways(point)
        again = point in self.shown
        self.shown.add(point)
        return ([], bool(found)) if again else (found, False)


def _told(way: Way, room: int) -> str:
    """`orders.amount  aggregated`, `weather  opaque: any of humid, … (6 columns)`."""
    told = "  ".join(text for text in (way.to.label, way.how) if text)
    names = way.to.among
    if not names:
        return told
    whole = f"{told}: any of {', '.join(names)}"
    kept = len(names)
    while len(whole) > room and kept:
        kept -= 1
        whole = f"{told}: any of {', '.join([*names[:kept], '…'])} ({len(names)} columns)"
    return whole if kept else f"{told}: any of {len(names)} columns"


def to_json(lineage: ColumnLineage) -> dict[str, Any]:
    """A value for JSON: the columns that were asked for, and every hop on the way."""
    ways = ways_of(lineage)
    waiting, seen = list(lineage.starts), set(lineage.starts)
    hops: dict[Hop, None] = {}
    while waiting:
        for way in ways(waiting.pop()):
            hops.update(dict.fromkeys(way.hops))
            if way.to not in seen:
                seen.add(way.to)
                waiting.append(way.to)
    starts = [{"asset": p.asset, "column": p.column} for p in lineage.starts if not p.rows]
    return {
        "columns": starts,
        "direction": "down" if lineage.down else "up",
        "edges": [hop._asdict() for hop in sorted(hops, key=str)],
    }
