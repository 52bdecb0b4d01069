"""How far the columns of a table are distributed otherwise than those of another.

Counted in DuckDB, a column at a time: of a column no more is held here than a few dozen counts.
Null, and NaN in floats, are one bin of their own. Nothing depends on the order of the rows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lineal.assets.errors import did_you_mean
from lineal.storage.finding import Finding, RuleError

CATEGORIES = 100  # the most frequent of both tables; all other values are one bin
SHOWN_COLUMNS = 200  # of a very wide table, those that drift most are recorded
_TOLD = 3  # drifting columns in a message

_NUMBERS = re.compile(r"U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\)")
_MOMENTS = re.compile(r"DATE|TIMESTAMP(_\w+)?( WITH TIME ZONE)?")
_WORDS = re.compile(r"VARCHAR|BOOLEAN|UUID|ENUM\(.*\)")
_NOTHING = re.compile('"?NULL"?')  # a column in which nothing has a type
_NAMES = {"psi": "PSI", "ks": "KS p", "chi2": "χ² p"}
HEADER = ("column", "statistic", "value", "limit", "reference")


class Side(NamedTuple):
    """One of the two tables: what it is called, the view that shows it, its rows and columns."""

    name: str
    view: str
    rows: int
    types: Mapping[str, str]


class Column(NamedTuple):
    """A column of both tables, as each spells it; numbers are cut into bins, texts are not."""

    ours: str
    theirs: str
    kind: str  # "number", "moment" or "category"


def psi(expected: Sequence[int], actual: Sequence[int]) -> float:
    """The population stability index of two series of counts of the same bins.

    It is Σ (a - e)·ln(a / e) over the shares a and e of the bins. A bin that only one side has
    would make it infinite: there the empty side counts as half a row.
    """
    rows = sum(expected), sum(actual)
    if not all(rows):
        return 0.0 if rows == (0, 0) else math.inf
    total = 0.0
    for e, a in zip(expected, actual, strict=True):
        if e or a:
            share_e, share_a = max(e, 0.5) / rows[0], max(a, 0.5) / rows[1]
            total += (share_a - share_e) * math.log(share_a / share_e)
    return total


def chi2(expected: Sequence[int], actual: Sequence[int]) -> float:
    """The p-value of the χ² test that both counts come from one distribution."""
    from scipy.stats import chi2_contingency

    bins = [pair for pair in zip(expected, actual, strict=True) if any(pair)]
    if len(bins) < 2:
        return 1.0
    return float(chi2_contingency(list(zip(*bins, strict=True))).pvalue)


class Drift:
    """The columns of a table beside those of its reference."""

    def __init__(self, connection: Any, ours: Side, theirs: Side, rule: Mapping[str, Any]) -> None:
        self._connection = connection
        self._ours, self._theirs = ours, theirs
        self._statistic: str = rule["statistic"]
        self._limit: float = rule["limit"]
        self._bins: int = rule["bins"]
        self._named: Sequence[str] | None = rule.get("columns")

    def finding(self) -> Finding:
        """What differs by more than the limit; the sample has every column, the worst first.

        Raises:
            RuleError: the two can't be compared.
        """
        columns = self._columns()
        if not self._ours.rows and not self._theirs.rows:
            return Finding(True)
        for empty, other in ((self._ours, self._theirs), (self._theirs, self._ours)):
            if not empty.rows:
                raise RuleError(f"{empty.name} has no rows, {other.name} {other.rows:,}")
        found = [(column.ours, self._value(column)) for column in columns]
        found.sort(key=lambda pair: pair[1], reverse=self._statistic == "psi")
        drifting = [pair for pair in found if self._drifts(pair[1])]
        rows = [
            (name, _NAMES[self._statistic], f"{value:.6g}", f"{self._limit:g}", self._theirs.name)
            for name, value in found[:SHOWN_COLUMNS]
        ]
        told = [self._told(*pair) for pair in drifting[:_TOLD]]
        if drifting[_TOLD:]:
            told.append(f"and {len(drifting) - _TOLD} more")
        return Finding(not drifting, message="; ".join(told), sample=(HEADER, *rows))

    def _drifts(self, value: float) -> bool:
        return value > self._limit if self._statistic == "psi" else value < self._limit

    def _told(self, name: str, value: float) -> str:
        sign = ">" if self._statistic == "psi" else "<"
        value_text, limit_text = f"{value:.2f}", f"{self._limit:.2f}"
        if value_text == limit_text or float(limit_text) != self._limit or sign == "<":
            value_text, limit_text = f"{value:.4g}", f"{self._limit:g}"
        return f"{name} {_NAMES[self._statistic]} {value_text} {sign} {limit_text}"

    # ------------------------------------------------------------------------------ which columns

    def _columns(self) -> list[Column]:
        if self._named is not None:
            return [self._column(name) for name in self._named]
        theirs = {name.casefold(): name for name in self._theirs.types}
        both = [
            (name, theirs[name.casefold()])
            for name in self._ours.types
            if name.casefold() in theirs
        ]
        usual = ("number",) if self._statistic == "ks" else ("number", "category", "any")
        found = []
        for ours, other in both:
            kinds = _kind(self._ours.types[ours]), _kind(self._theirs.types[other])
            if any(kind in usual for kind in kinds):
                found.append(Column(ours, other, self._same(ours, other, *kinds)))
        if not found:
            raise RuleError(f"no column can be compared with one of {self._theirs.name}")
        return found

    def _column(self, name: str) -> Column:
        ours, theirs = _spelt(name, self._ours), _spelt(name, self._theirs)
        kinds = _kind(self._ours.types[ours]), _kind(self._theirs.types[theirs])
        kind = self._same(ours, theirs, *kinds)
        if not kind:
            raise RuleError(f"`{ours}` is {self._ours.types[ours]}, which has no distribution")
        if self._statistic == "ks" and kind == "category":
            raise RuleError(
                f"`{ours}` is {self._ours.types[ours]}, and ks compares numbers: use chi2"
            )
        return Column(ours, theirs, kind)

    def _same(self, ours: str, theirs: str, kind: str, other: str) -> str:
        if "any" in (kind, other):
            known = other if kind == "any" else kind
            return "category" if known == "any" else known
        if kind != other:
            types = self._ours.types[ours], self._theirs.types[theirs]
            raise RuleError(f"`{ours}` is {types[0]}, and {types[1]} in {self._theirs.name}")
        return kind

    # --------------------------------------------------------------------------------- one column

    def _value(self, column: Column) -> float:
        if self._statistic == "ks":
            return self._kolmogorov(column)
        of = self._categories if column.kind == "category" else self._quantiles
        expected, actual = of(column)
        bins = sorted({*expected, *actual}, key=repr)
        counts = [[side.get(b, 0) for b in bins] for side in (expected, actual)]
        return (psi if self._statistic == "psi" else chi2)(*counts)

    def _values(self, side: Side, name: str, kind: str) -> str:
        """A subquery of the values of a column, as `v`."""
        column = '"' + name.replace('"', '""') + '"'
        told = {
            "number": f"nullif({column}::double, 'nan'::double)",
            "moment": f"epoch({column})",
            "category": f"{column}::varchar",
        }[kind]
        return f'(select {told} as v from "{side.view}")'

    def _both(self, column: Column) -> tuple[str, str]:
        theirs = self._values(self._theirs, column.theirs, column.kind)
        return theirs, self._values(self._ours, column.ours, column.kind)

    def _ask(self, text: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._connection.sql(
            text, params=dict(values or {})
        ).fetchall()
        return rows

    def _quantiles(self, column: Column) -> tuple[dict[Any, int], dict[Any, int]]:
        """Counts by bins between quantiles of the reference.

        A value that is several of them is a bin by itself: of a column that is mostly 0 the zeros
        are one, and what is above and what is below are others.
        """
        theirs, ours = self._both(column)
        at = ", ".join(str(n / self._bins) for n in range(1, self._bins))
        ((found,),) = self._ask(f"select quantile_disc(v, [{at}]) from {theirs}")
        cuts = sorted(found or ())
        edges = {f"e{n}": cut for n, cut in enumerate(sorted(set(cuts)))}
        alone = {
            f"a{n}": cut for n, cut in enumerate(sorted(c for c in set(cuts) if cuts.count(c) > 1))
        }
        terms = [f"(v > ${name}::double)::int" for name in edges]
        terms += [f"(v >= ${name}::double)::int" for name in alone]
        place = " + ".join(terms) or "0"
        text = f"select case when v is not null then {place} end, count(*) from {{}} group by 1"
        given = {**edges, **alone}
        return dict(self._ask(text.format(theirs), given)), dict(
            self._ask(text.format(ours), given)
        )

    def _categories(self, column: Column) -> tuple[dict[Any, int], dict[Any, int]]:
        """Counts by value: of the most frequent of both tables, of all others together.

        Chosen by one table alone, they would be those that happen to be frequent in it, and the χ²
        test would take that for a difference. A value that occurs once is none to count.
        """
        theirs, ours = self._both(column)
        counted = "(select v, count(*) as n from {} group by v)"
        most = self._ask(
            f"select v from (from {counted.format(theirs)} union all from {counted.format(ours)}) "
            f"where v is not null group by v having sum(n) > 1 order by sum(n) desc, v "
            f"limit {CATEGORIES}"
        )
        text = (
            "select v is null, case when list_contains($known::varchar[], v) then v end, "
            f"sum(n)::bigint from {counted} group by all"
        )
        known = {"known": [value for (value,) in most]}
        sides = [self._ask(text.format(side), known) for side in (theirs, ours)]
        expected, actual = ({(null, v): n for null, v, n in side} for side in sides)
        return expected, actual

    def _kolmogorov(self, column: Column) -> float:
        """The p-value of the test of Kolmogorov and Smirnov, by its asymptotic distribution."""
        from scipy.stats import kstwo

        theirs, ours = self._both(column)
        (row,) = self._ask(
            f"""
            with each as (
                select v, 1 as e, 0 as a from {theirs} where v is not null
                union all select v, 0, 1 from {ours} where v is not null
            ), steps as (select v, sum(e) as e, sum(a) as a from each group by v), sums as (
                select sum(e) over up as e, sum(a) over up as a
                from steps window up as (order by v)
            )
            select max(e)::bigint, max(a)::bigint,
                max(abs(e / (select sum(e) from steps) - a / (select sum(a) from steps)))
            from sums
            """
        )
        expected, actual, distance = (each or 0 for each in row)
        if not expected or not actual:
            return 1.0 if expected == actual else 0.0
        size = round(expected * actual / (expected + actual))
        return float(min(1.0, max(0.0, kstwo.sf(distance, max(size, 1)))))


def _kind(sql_type: str) -> str:
    """How a column of this type is compared; nothing: not at all."""
    kinds = ((_NUMBERS, "number"), (_MOMENTS, "moment"), (_WORDS, "category"), (_NOTHING, "any"))
    return next((kind for pattern, kind in kinds if pattern.fullmatch(sql_type)), "")


def _spelt(name: str, side: Side) -> str:
    """A column as a table spells it."""
    for column in side.types:
        if column.casefold() == name.casefold():
            return column
    raise RuleError(f"{side.name} has no column `{name}`{did_you_mean(name, side.types)}")
