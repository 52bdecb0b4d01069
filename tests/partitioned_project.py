"""Random small projects with partitions, written as real files, and the edits made to them.

As in `generated_project`, a project is a set of templates whose slots have alternatives. A file
of data that is absent stands in `attic/` instead, where no source looks.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.generated_project import Edit, Kind, Project, Slot

HEAD = """\
from pathlib import Path
from typing import Annotated

import pandas as pd
import pyarrow as pa

import telling
from telling import told
from lineal import (
    Partition, Result, Retry, asset, best_of, by_column, by_file, check, checks, columns, daily,
    every, grid, last, monthly, only, previous, source, sql_asset, static,
)
"""
TELLING = '''\
import pandas as pd
import pyarrow as pa
from lineal import Result

ADDED = ⟦added⟧


def told(value):⟦remark⟧
    """All that a reader can see of what arrived."""
    if isinstance(value, dict):
        return {str(key): told(each) for key, each in value.items()}
    if isinstance(value, Result):
        return ["result", told(value.value), value.metrics]
    if isinstance(value, pd.DataFrame):
        return ["frame", value.astype(str).to_dict("list")]
    if isinstance(value, pa.Table):
        return ["arrow", [{k: str(v) for k, v in row.items()} for row in value.to_pylist()]]
    return ["value", str(value)]


def more(value):
    return value + ADDED
'''
FRAME, MANY = "pd.DataFrame", "dict[str, pd.DataFrame]"


@dataclass
class Partitioned(Project):
    """A project, and of each asset the names of those it reads."""

    upstream: dict[str, frozenset[str]] = field(default_factory=dict)
    alike: dict[str, str] = field(default_factory=dict)  # reads of that one the same key only

    def _one_of(self, slots: list[str], rng: random.Random) -> str:
        """One of a random sort: there are many files, and few annotations."""
        sort = rng.choice(sorted({self.slots[slot].what for slot in slots}))
        return rng.choice([slot for slot in slots if self.slots[slot].what == sort])

    def fed_by(self, names: frozenset[str]) -> frozenset[str]:
        """These and all that read them, at any distance."""
        found = set(names)
        for name, read in self.upstream.items():  # inputs were declared first
            if found & read:
                found.add(name)
        return frozenset(found)


class Builder:
    """Grows a project by motifs; each may read what those before it made."""

    def __init__(self, rng: random.Random):
        self.rng = rng
        self.project = Partitioned()
        self.blocks: list[str] = [HEAD]

    def slot(self, what: str, kind: Kind, choices: tuple[str, ...], *reached: str) -> str:
        key = f"s{len(self.project.slots)}"
        self.named(key, what, kind, choices, *reached)
        return f"⟦{key}⟧"

    def named(
        self, key: str, what: str, kind: Kind, choices: tuple[str, ...], *reached: str
    ) -> None:
        self.project.slots[key] = Slot(what, kind, choices, frozenset(reached))
        self.project.state[key] = self.rng.randrange(len(choices))

    def number(self, what: str, *reached: str) -> str:
        return self.slot(what, "changing", ("1", "2", "3"), *reached)

    def data(self, source: str, paths: tuple[str, ...], rows: tuple[str, ...], head: str) -> None:
        """A file of data: under its own name, under another one, or in the attic."""
        paths = (*paths, paths[0], f"attic/{len(self.project.slots)}.csv")
        path = self.slot(f"file of {source}", "changing", paths, source)
        text = self.slot(f"rows of {source}", "changing", rows, source)
        self.project.files[path] = f"{head}\n{text}\n"

    def asset(self, name: str, reads: tuple[str, ...], text: str, alike: str = "") -> None:
        """A block; in it ⟦…⟧ stand for slots, `HOW` for what says how an asset is run."""
        run = self.slot(
            f"how {name} is run", "cosmetic", ("", "retry=1, ", 'timeout="5m", ', "retry=2, "), name
        )
        remark = self.slot("remark", "cosmetic", ("", "  # a remark", "  # another"), name)
        self.project.upstream[name] = frozenset(reads)
        if alike:
            self.project.alike[name] = alike
        self.blocks.append(text.replace("HOW", run).replace("REMARK", remark))

    def source(self, name: str, text: str) -> None:
        self.project.upstream[name] = frozenset()
        self.blocks.append(text)

    def markers(self, name: str, markers: tuple[str, ...], arrivals: tuple[str, ...]) -> str:
        """An annotation: a marker, and how it arrives."""
        return self.slot(
            f"annotation in {name}",
            "changing",
            tuple(f"Annotated[{a}, {m}]" if m else a for m in markers for a in arrivals),
            name,
        )


# ------------------------------------------------------------------------------------- the motifs


def months(b: Builder) -> None:
    """Files of months, made cleaner month by month: what most motifs read."""
    b.source("raw/month", 'source("raw/month", "data/m-{month}.csv")\n')
    for month, other in (("01", "05"), ("02", "06"), ("03", "2012-12"), ("04", "07")):
        other = other if "-" in other else f"2013-{other}"
        paths = (f"data/m-2013-{month}.csv", f"data/m-{other}.csv")
        rows = ("eu,1\nus,2", "eu,1\nus,3", "us,2\neu,1\nasia,4")
        b.data("raw/month", paths, rows, "region,amount")
    which = b.slot(
        "months of clean",
        "changing",
        (
            '"raw/month"',
            '"raw/month"',
            'monthly("2013-01", "2013-03")',
            'monthly("2013-02", "2013-04")',
            'monthly("2012-12", "2013-06")',
            'monthly("2012-12", "2013-06", tz="UTC")',
        ),
        "clean",
    )
    told = b.slot(
        "what clean tells", "changing", ("str(partition)", "partition.start", '"m"'), "clean"
    )
    by = b.number("number in clean", "clean")
    ready = b.slot(
        "ready-made check of clean",
        "check",
        ("", "checks.rows(minimum=1)", 'checks.between("amount", 0, 50)', "checks.rows(maximum=2)"),
        "clean",
    )
    b.asset(
        "clean",
        ("raw/month",),
        f"@asset(HOWpartitions={which}, checks=[{ready}])\n"
        "def clean(raw_month: pd.DataFrame, partition: Partition) -> pd.DataFrame:REMARK\n"
        f"    amount = telling.more(raw_month['amount']) * {by}\n"
        f"    return raw_month.assign(amount=amount, p={told})\n",
        alike="raw/month",
    )
    severity = b.slot("severity", "check", ("error", "warn"), "clean")
    limit = b.slot("limit of a check", "check", ("100", "99", "20"), "clean")
    b.blocks.append(
        f'@check("clean", severity="{severity}")\n'
        f"def small(clean: pd.DataFrame) -> bool:\n"
        f'    return bool((clean["amount"] < {limit}).all())\n'
    )


def windows(b: Builder) -> None:
    marks = ("last(1)", "last(2)", "last(3)", "every()", 'only("2013-02")', "")
    way = b.markers("trend", marks, (FRAME, "pa.Table", MANY))
    b.asset(
        "trend",
        ("clean",),
        f"@asset(HOWpartitions='clean')\ndef trend(clean: {way}) -> list:REMARK\n"
        f"    return [{b.number('number in trend', 'trend')}, told(clean)]\n",
    )
    way = b.markers("before", ("previous()", "last(2)"), (FRAME, "pa.Table"))
    b.asset(
        "before",
        ("clean",),
        f"@asset(HOWpartitions='clean')\ndef before(clean: {way}) -> list:REMARK\n"
        "    return told(clean)\n",
    )


def whole(b: Builder) -> None:
    arrivals = (FRAME, "pa.Table", MANY, "dict[str, pa.Table]", "dict[str, Result]")
    way = b.markers("total", ("", "last(2)", "every()"), arrivals)
    b.asset(
        "total",
        ("clean",),
        f"@asset(HOW)\ndef total(clean: {way}) -> list:REMARK\n    return told(clean)\n",
    )
    b.asset(
        "amounts",
        ("clean",),
        "@asset(HOW)\n"
        'def amounts(clean: Annotated[pd.DataFrame, columns("amount")]) -> list:REMARK\n'
        "    return told(clean)\n",
    )


def failing(b: Builder) -> None:
    wrong = b.slot("who fails", "changing", ("2013-02", "none", "2013-01", "none"), "fragile")
    b.asset(
        "fragile",
        ("clean",),
        "@asset(partitions='clean')\n"
        "def fragile(clean: pd.DataFrame, partition: Partition) -> pd.DataFrame:REMARK\n"
        f'    if partition == "{wrong}":\n        raise ValueError("on purpose")\n'
        "    return clean\n",
        alike="clean",
    )
    way = b.slot("annotation in after", "changing", (FRAME, "Result", "pa.Table"), "after")
    b.asset(
        "after",
        ("fragile",),
        f"@asset(HOWpartitions='fragile')\ndef after(fragile: {way}) -> list:REMARK\n"
        "    return told(fragile)\n",
        alike="fragile",
    )


def days(b: Builder) -> None:
    b.source("raw/day", 'source("raw/day", "data/d-{day}.csv")\n')
    for day, other in (
        ("2013-01-30", "2013-01-29"),
        ("2013-01-31", "2013-02-03"),
        ("2013-02-01", "2013-03-01"),
    ):
        rows = ("eu,1", "eu,2", "us,2\neu,1")
        b.data("raw/day", (f"data/d-{day}.csv", f"data/d-{other}.csv"), rows, "region,amount")
    ends = b.slot(
        "months of days",
        "changing",
        ('"2013-01", "2013-02"', '"2013-02", "2013-03"', '"2012-12", "2013-03"'),
        "of_days",
    )
    way = b.slot("arrival of days", "changing", (FRAME, "pa.Table", MANY), "of_days")
    b.asset(
        "of_days",
        ("raw/day",),
        f"@asset(HOWpartitions=monthly({ends}))\ndef of_days(raw_day: {way}) -> list:REMARK\n"
        "    return told(raw_day)\n",
    )


def zones(b: Builder) -> None:
    b.named(
        "zone",
        "zone and offset",
        "changing",
        ('tz="UTC"', 'tz="Europe/Berlin"', 'tz="Europe/Berlin", offset=6', 'tz="Europe/Paris"'),
        "hourless",
        "in_months",
    )
    ends = b.slot(
        "range of days",
        "changing",
        ('"2013-01-30", "2013-02-01"', '"2013-01-31", "2013-02-02"', '"2013-02-01", "2013-02-03"'),
        "hourless",
    )
    seen = b.slot(
        "what is told of a day",
        "changing",
        ("partition.start", "partition.end", "str(partition)", "repr(partition.start)"),
        "hourless",
    )
    b.asset(
        "hourless",
        (),
        f"@asset(HOWpartitions=daily({ends}, ⟦zone⟧))\n"
        "def hourless(partition: Partition) -> pd.DataFrame:REMARK\n"
        f'    return pd.DataFrame({{"moment": [str({seen})]}})\n',
    )
    sql = b.slot("columns in spans", "changing", ("$start as s", "$end as s", "1 as s"), "spans")
    b.asset(
        "spans",
        ("hourless",),
        f'sql_asset("spans", "select $partition as p, {sql}, moment from hourless",'
        '  HOWpartitions="hourless")\n',
        alike="hourless",
    )
    ends = b.slot(
        "range of months",
        "changing",
        ('"2013-01", "2013-02"', '"2013-02", "2013-02"', '"2013-01", "2013-03"'),
        "in_months",
    )
    b.asset(
        "in_months",
        ("hourless",),
        f"@asset(HOWpartitions=monthly({ends}, ⟦zone⟧))\n"
        "def in_months(hourless: pd.DataFrame) -> list:REMARK\n    return told(hourless)\n",
    )


def sql(b: Builder) -> None:
    marker = b.slot(
        "marker in SQL",
        "changing",
        ("", 'inputs={"clean": last(2)}, ', 'inputs={"clean": every()}, '),
        "summed",
    )
    query = b.slot(
        "query",
        "changing",
        (
            "select $partition as p, sum(amount) as a from clean",
            "select $start as p, sum(amount) as a from clean",
            "select min(region) as p, sum(amount) as a from clean",
        ),
        "summed",
    )
    b.asset(
        "summed",
        ("clean",),
        f'sql_asset("summed", "{query}", HOW{marker}partitions="clean")\n',
    )
    least = b.slot("parameter of SQL", "changing", ("1.0", "2.0", "5.0"), "sums")
    b.asset(
        "sums",
        ("summed",),
        'sql_asset("sums", "select a from summed where a > $least", HOW'
        f'parameters={{"least": {least}}})\n',
    )


def regions(b: Builder) -> None:
    place = b.slot("name of a place", "changing", ("{region}", "{region}", "{place}"), "raw/region")
    b.source("raw/region", f'source("raw/region", "data/r-{place}.csv")\n')
    for region, other in (("eu", "mars"), ("us", "asia")):
        paths = (f"data/r-{region}.csv", f"data/r-{other}.csv")
        b.data("raw/region", paths, ("1", "2", "3\n4"), "amount")
    keys = b.slot(
        "static keys",
        "changing",
        ('["eu", "us"]', '["us", "eu"]', '["us", "asia", "eu"]', '["eu"]', '["mars", "us"]'),
        "here",
    )
    b.asset(
        "here",
        ("raw/region",),
        f"@asset(HOWpartitions=static({keys}))\n"
        "def here(raw_region: pd.DataFrame) -> pd.DataFrame:REMARK\n"
        f"    return raw_region * {b.number('number in here', 'here')}\n",
        alike="raw/region",
    )
    seen = b.slot("what is told", "changing", ('partition["region"]', "partition"), "named")
    b.asset(
        "named",
        ("raw/region",),
        "@asset(partitions='raw/region')\n"
        "def named(raw_region: pd.DataFrame, partition: Partition) -> list:REMARK\n"
        f"    return [{seen}, told(raw_region)]\n",
        alike="raw/region",
    )
    severity = b.slot("severity", "check", ("warn", "error"), "named")
    b.blocks.append(
        f'@check("named", severity="{severity}")\n'
        "def agrees(named: list, here: Annotated[pd.DataFrame, every()]) -> bool:\n"
        f"    return len(here) < {b.slot('limit of rows', 'check', ('9', '4'), 'named')}\n"
    )
    b.project.upstream["named"] |= {"here"}
    way = b.slot(
        "arrival of files",
        "changing",
        ("list[Path]", "dict[str, Path]", "Annotated[list[Path], last(2)]"),
        "paths",
    )
    b.asset(
        "paths",
        ("raw/region",),
        f"@asset(HOW)\ndef paths(raw_region: {way}) -> list:REMARK\n"
        "    if isinstance(raw_region, dict):\n"
        "        return [[key, path.name] for key, path in raw_region.items()]\n"
        "    return [[path.name, path.read_text()] for path in raw_region]\n",
    )
    way = b.markers("row", ("", "last(2)", "previous()", "every()"), (FRAME, "pa.Table"))
    b.asset(
        "row",
        ("here",),
        f"@asset(HOWpartitions='here')\ndef row(here: {way}) -> list:REMARK\n"
        "    return told(here)\n",
    )
    b.asset(
        "all_regions",
        ("here",),
        "@asset(HOW)\ndef all_regions(here: pd.DataFrame) -> list:REMARK\n    return told(here)\n",
    )


def files(b: Builder) -> None:
    size = b.slot("files of a partition", "changing", ("2", "1", "3"), "raw/file")
    b.source("raw/file", f'source("raw/file", "data/f-*.csv", partitions=by_file({size}))\n')
    for number in "1234":
        b.data("raw/file", (f"data/f-{number}.csv", f"data/f-{number}b.csv"), ("1", "2"), "n")
    b.asset(
        "chunk",
        ("raw/file",),
        "@asset(HOWpartitions='raw/file')\n"
        "def chunk(raw_file: pd.DataFrame) -> pd.DataFrame:REMARK\n"
        f"    return raw_file + {b.number('number in chunk', 'chunk')}\n",
        alike="raw/file",
    )
    way = b.markers("chunks", ("", "last(1)"), (FRAME, MANY))
    b.asset(
        "chunks",
        ("chunk",),
        f"@asset(HOW)\ndef chunks(chunk: {way}) -> list:REMARK\n    return told(chunk)\n",
    )


def plain(b: Builder) -> None:
    if "raw/plain" in b.project.upstream:
        return
    b.source("raw/plain", 'source("raw/plain", "data/plain.csv")\n')
    rows = (
        "eu,2013-01,1\nus,2013-02,2",
        "eu,2013-01,1\nus,2013-02,3",
        "us,2013-02,2\neu,2013-01,1\neu,2013-03,4",
        "eu,2013-01,1\neu,2013-02,2",
        "mars,2013-01,7",
        "eu,2013-01,1\neu,2013-01,50",
    )
    text = b.slot("rows of raw/plain", "changing", rows, "raw/plain")
    b.project.files["data/plain.csv"] = f"region,month,amount\n{text}\n"


def column(b: Builder) -> None:
    plain(b)
    by = b.slot("column to slice by", "changing", ('"region"', '"month"', '"region"'), "sliced")
    most = b.slot("rows of sliced", "changing", ("100", "100", "2", "0"), "sliced")
    b.asset(
        "sliced",
        ("raw/plain",),
        f"@asset(HOWpartitions=by_column({by}))\n"
        "def sliced(raw_plain: pd.DataFrame) -> pd.DataFrame:REMARK\n"
        f"    raw_plain = raw_plain[raw_plain['amount'] < {most}]\n"
        f"    return raw_plain.assign(n={b.number('number in sliced', 'sliced')})\n",
    )
    limit = b.slot("limit of a slice's check", "check", ("100", "4"), "sliced")
    b.blocks.append(
        f'@check("sliced", severity="{b.slot("severity", "check", ("warn", "error"), "sliced")}")\n'
        "def few(sliced: pd.DataFrame) -> bool:\n"
        f'    return bool((sliced["amount"] < {limit}).all())\n'
    )
    way = b.slot("arrival of a slice", "changing", (FRAME, "pa.Table", "Result"), "each")
    b.asset(
        "each",
        ("sliced",),
        f"@asset(HOWpartitions='sliced')\ndef each(sliced: {way}) -> list:REMARK\n"
        "    return told(sliced)\n",
    )
    way = b.markers("beside", ("last(2)", "previous()", "every()", ""), (FRAME, "pa.Table"))
    b.asset(
        "beside",
        ("sliced",),
        f"@asset(HOWpartitions='sliced')\ndef beside(sliced: {way}) -> list:REMARK\n"
        "    return told(sliced)\n",
    )
    keys = b.slot(
        "keys beside a column", "changing", ('["eu", "us"]', '["2013-01", "us"]'), "wanted"
    )
    b.asset(
        "wanted",
        ("sliced",),
        f"@asset(HOWpartitions=static({keys}))\ndef wanted(sliced: pd.DataFrame) -> list:REMARK\n"
        "    return told(sliced)\n",
    )
    way = b.markers("gathered", ("", "last(1)", 'only("eu")'), (FRAME, MANY))
    b.asset(
        "gathered",
        ("sliced",),
        f"@asset(HOW)\ndef gathered(sliced: {way}) -> list:REMARK\n    return told(sliced)\n",
    )
    b.asset(
        "of_each",
        ("each", "wanted"),
        "@asset(HOW)\ndef of_each(each: dict[str, list], wanted: dict[str, list]) -> list:REMARK\n"
        "    return [each, wanted]\n",
    )


def wobbly(b: Builder) -> None:
    """An asset that has partitions, by a column or a list, or none."""
    plain(b)
    choices = (
        "",
        'partitions=by_column("region")',
        'partitions=by_column("month")',
        'partitions=static(["eu", "us"])',
        "partitions=grid(depth=[1, 2])",
        'partitions=monthly("2013-01", "2013-02")',
    )
    which = b.slot("partitions of wobbly", "changing", choices, "wobbly")
    b.asset(
        "wobbly",
        ("raw/plain",),
        f"@asset(HOW{which})\n"
        "def wobbly(raw_plain: pd.DataFrame, *, depth: int = 0) -> pd.DataFrame:REMARK\n"
        "    return raw_plain.assign(depth=depth)\n",
    )
    way = b.slot("arrival of wobbly", "changing", (FRAME, "pa.Table", MANY), "seen")
    b.asset(
        "seen",
        ("wobbly",),
        f"@asset(HOW)\ndef seen(wobbly: {way}) -> list:REMARK\n    return told(wobbly)\n",
    )


def candidates(b: Builder) -> None:
    axes = b.slot(
        "axes",
        "changing",
        (
            "a=[1, 2], b=[0, 1]",
            "a=[2, 1], b=[0, 1]",
            "a=[1, 2, 3], b=[0]",
            "b=[0, 1], a=[1]",
            "a=[1, 2.0], b=[True, 0]",
        ),
        "candidate",
    )
    metric = b.slot("metric", "changing", ("a - b", "b - a", "a * a", "1"), "candidate")
    value = b.slot("value", "changing", ("[a, b]", "a", "7", "[c, len(clean)]"), "candidate")
    b.asset(
        "candidate",
        ("clean",),
        f"@asset(HOWpartitions=grid({axes}))\n"
        "def candidate(clean: Annotated[dict[str, pd.DataFrame], every()], *, a, b, c=1):REMARK\n"
        f'    return Result({value}, metrics={{"error": float({metric})}})\n',
    )
    direction = b.slot("direction", "changing", ("min", "max"), "best_candidate")
    b.asset(
        "best_candidate",
        ("candidate",),
        f'best_of("candidate", metric="error", direction="{direction}")\n',
    )
    b.asset(
        "praised",
        ("best_candidate",),
        "@asset(HOW)\ndef praised(best_candidate) -> list:REMARK\n"
        "    return told(best_candidate)\n",
    )
    way = b.slot(
        "arrival of candidates", "changing", ("dict[str, Result]", "dict[str, object]"), "table"
    )
    b.asset(
        "table",
        ("candidate",),
        f"@asset(HOW)\ndef table(candidate: {way}) -> list:REMARK\n    return told(candidate)\n",
    )


def pairs(b: Builder) -> None:
    limit = b.number("limit of pairs", "left", "right")
    for name, reads in (("left", ("clean",)), ("right", ("clean",))):
        b.project.upstream[name] = frozenset(reads)
        b.project.alike[name] = "clean"
    b.blocks.append(
        '@asset(outputs=["left", "right"], partitions="clean")\n'
        f"def split(clean: pd.DataFrame, limit: float = {limit}):\n"
        '    more = clean["amount"] > limit\n'
        '    return clean[more], Result(clean[~more], metrics={"n": int(more.sum())})\n'
    )
    way = b.slot("arrival of right", "changing", ("Result", FRAME), "joined")
    b.asset(
        "joined",
        ("left", "right"),
        "@asset(HOWpartitions='clean')\n"
        f"def joined(left: Annotated[pd.DataFrame, last(2)], right: {way}) -> list:REMARK\n"
        "    return [told(left), told(right)]\n",
    )


MOTIFS: tuple[Callable[[Builder], None], ...] = (
    windows, whole, failing, days, zones, sql, regions, files, column, wobbly, candidates, pairs,
)  # fmt: skip


def partitioned(seed: int, count: int = 4) -> Partitioned:
    """A random project: months, and some of the other motifs."""
    builder = Builder(random.Random(seed))
    reached = ("clean",)
    builder.named("added", "constant of a helper", "changing", ("0", "1", "5"), *reached)
    builder.named("remark", "remark", "cosmetic", ("", "  # a remark"))
    months(builder)
    for motif in builder.rng.sample(MOTIFS, count):
        motif(builder)
    builder.project.files["pipeline.py"] = "\n\n".join(builder.blocks)
    builder.project.files["telling.py"] = TELLING
    if "candidate" in builder.project.upstream:
        c = builder.slot("parameter", "changing", ("1", "2"), "candidate")
        builder.project.files["lineal.toml"] = f"[parameters.candidate]\nc = {c}\n"
    return builder.project


__all__ = ["Edit", "Partitioned", "partitioned"]
