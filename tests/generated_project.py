"""Random small projects, written as real files, and the edits that can be made to them.

A project is a set of templates whose slots have alternatives: an edit moves one slot to another
alternative, so that every edit is known by what it touches and can be undone. A slot says which
assets its text belongs to (`reached`); what follows from there is for values to decide.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from tests.code_shapes import SHAPES

Kind = Literal["changing", "cosmetic", "unreached", "check"]
TOKEN = re.compile(r"⟦(\w+)⟧")
LAYOUT = ("comment", "blank lines", "formatting", "every file touched", "project folder moved")
NUMBERS = tuple(str(n) for n in range(11, 98, 7))


class Slot(NamedTuple):
    """A place in the project's files with alternatives; `reached`: the assets it is part of."""

    what: str
    kind: Kind
    choices: tuple[str, ...]
    reached: frozenset[str]
    certain: bool = True  # is every asset in `reached` surely stale after a change?


class Edit(NamedTuple):
    """One edit as made: what, of which kind, and the assets that it reaches by itself."""

    what: str
    kind: Kind | Literal["undo"]
    reached: frozenset[str]
    certain: bool

    @property
    def is_layout(self) -> bool:
        """Does it leave every line of code as it was? Then not even `eval` can see it."""
        return self.kind == "cosmetic" and self.what.startswith(LAYOUT)


@dataclass
class Project:
    """Templates, their slots, the present state, and what each asset reads of which input."""

    files: dict[str, str] = field(default_factory=dict)
    slots: dict[str, Slot] = field(default_factory=dict)
    state: dict[str, int] = field(default_factory=dict)
    reads: dict[str, dict[str, tuple[str, ...] | None]] = field(default_factory=dict)
    objects: set[str] = field(default_factory=set)  # pickled: their class's code is content
    loose: set[str] = field(default_factory=set)  # code that can't be followed: may see any edit

    @property
    def after_loose(self) -> set[str]:
        """The loose assets and all that they feed."""
        found = set(self.loose)
        for asset, inputs in self.reads.items():  # inputs were declared first
            if found & inputs.keys():
                found.add(asset)
        return found

    def text(self, template: str) -> str:
        """A template with its slots filled in (alternatives may hold slots themselves)."""
        while TOKEN.search(template):
            template = TOKEN.sub(lambda m: self.slots[m[1]].choices[self.state[m[1]]], template)
        return template

    def rendered(self) -> dict[str, str]:
        return {self.text(path): self.text(text) for path, text in self.files.items()}

    def write(self, folder: Path, *, same_second: bool = False) -> list[str]:
        """Bring the folder to the present state, writing only what differs; returns what did.

        `same_second`: in place, with the modification time of before, as an editor within one tick
        of the clock would.
        """
        wanted = self.rendered()
        present = {str(p.relative_to(folder)) for p in _own_files(folder)}
        for gone in present - set(wanted):
            (folder / gone).unlink()
        written = []
        for path, text in wanted.items():
            file = folder / path
            if file.exists() and file.read_text() == text:
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            before = file.stat() if file.exists() else None
            file.write_text(text)
            if same_second and before is not None:
                os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
            written.append(path)
        return written

    def edit(self, rng: random.Random) -> Edit:
        """Move a random live slot, of a random kind, to another alternative."""
        live: dict[str, list[str]] = {}
        for slot in sorted(self._live()):
            live.setdefault(self.slots[slot].kind, []).append(slot)
        often = {"changing": 10, "cosmetic": 5, "unreached": 3, "check": 2}
        kinds = sorted(live)
        slot = rng.choice(live[rng.choices(kinds, [often[kind] for kind in kinds])[0]])
        what, kind, choices, reached, certain = self.slots[slot]
        others = [n for n in range(len(choices)) if n != self.state[slot]]
        old = self.state[slot]
        self.state[slot] = rng.choice(others)
        told = f"{what}: {choices[old]!r:.40} → {choices[self.state[slot]]!r:.40}"
        return Edit(told, kind, reached, certain)

    def _live(self) -> set[str]:
        """The slots that the present files show (an alternative may hide others)."""
        texts = [*self.files, *self.files.values()]
        live: set[str] = set()
        while texts:
            for key in TOKEN.findall(texts.pop()):
                live.add(key)
                texts.append(self.slots[key].choices[self.state[key]])
        return live


def _own_files(folder: Path) -> list[Path]:
    skipped = {".lineal", "__pycache__"}
    return [
        p
        for p in folder.rglob("*")
        if p.is_file() and not skipped & set(p.relative_to(folder).parts)
    ]


# -------------------------------------------------------------------------------------- building


class Builder:
    """Grows a project: modules by blocks, assets by motifs."""

    def __init__(self, rng: random.Random):
        self.rng = rng
        self.project = Project()
        self.blocks: dict[str, list[str]] = {
            "pipeline.py": [],
            "shaping.py": [],
            "kinds.py": [],
            "lib/numbers.py": [],
            "lib/late.py": [],
        }
        self.tables: list[str] = []  # table assets with columns id, k, x, y
        self.count = 0

    # ------------------------------------------------------------------------------------- slots

    def slot(
        self, what: str, kind: Kind, choices: tuple[str, ...], *reached: str, certain: bool = True
    ) -> str:
        key = f"s{len(self.project.slots)}"
        self.project.slots[key] = Slot(what, kind, choices, frozenset(reached), certain)
        self.project.state[key] = self.rng.randrange(len(choices))
        return f"⟦{key}⟧"

    def number(self, what: str, *reached: str, kind: Kind = "changing") -> str:
        """A two-digit number: all its alternatives are of one length."""
        return self.slot(what, kind, tuple(self.rng.sample(NUMBERS, 4)), *reached)

    def comment(self) -> str:
        return self.slot("comment", "cosmetic", ("", "  # a remark", "  # 12 other words"))

    def doc(self) -> str:
        return self.slot("docstring", "cosmetic", ("Text.", "Other text.", "Much\n    longer."))

    def annotation(self) -> str:
        return self.slot("annotation", "cosmetic", ("", ": object", ": 'pd.Series'"))

    def either_way(self, what: str, *choices: str) -> str:
        return self.slot(what, "cosmetic", choices)

    # ------------------------------------------------------------------------------------ blocks

    def block(self, module: str, text: str) -> None:
        self.blocks[module].append(text)

    def helper(self, module: str, name: str, body: str) -> None:
        """A function of one line, with slots for everything that does not matter around it."""
        spread = self.either_way(
            "formatting", f"return {body}", f"return (\n        {body}\n    )", f"return  ({body})"
        )
        self.block(
            module,
            f"def {name}(v{self.annotation()}):{self.comment()}\n"
            f'    """{self.doc()}"""\n'
            f"    {spread}{self.comment()}\n",
        )

    def asset(self, name: str, inputs: dict[str, tuple[str, ...] | None], text: str) -> str:
        self.project.reads[name] = inputs
        if text:
            self.block("pipeline.py", text)
        return name

    def next(self) -> int:
        self.count += 1
        return self.count

    def table(self) -> str:
        """A table to read: rather a late one, so that the graph grows deep."""
        return self.rng.choice(self.tables[-4:] + self.tables[:2])

    def finished(self) -> Project:
        head = {
            "pipeline.py": (
                "from typing import Annotated\n\nimport pandas as pd\nimport pyarrow as pa\n\n"
                "import kinds\nimport lib\nimport lib.numbers\nimport lib.late\nimport shaping\n"
                "from shaping import *\n"
                "from lineal import asset, check, columns, source, sql_asset, Result\n"
            ),
            "shaping.py": (
                "import enum\nimport functools\nimport importlib\nimport sys\n"
                "from dataclasses import dataclass\n\nimport lib.numbers\n"
                "from lib.numbers import deep as deeper\n"
            ),
            "kinds.py": "import functools\n\nimport lib.numbers\n",
            "lib/numbers.py": "import functools\n",
            "lib/late.py": "",
        }
        for module, blocks in self.blocks.items():
            parts = [self.either_way("module docstring", "", '"""A module."""\n'), head[module]]
            parts.append(self.either_way("unused import", "", "import json\n"))
            for block in blocks:
                space = self.either_way("blank lines", "\n\n", "\n\n\n", "\n\n# between\n\n")
                parts += [space, block]
            self.project.files[module] = "".join(parts)
        self.project.files["lib/__init__.py"] = "from lib.numbers import deep as deep\n"
        return self.project


def generated(seed: int) -> Project:
    """A random project of 12 to 30 assets."""
    builder = Builder(random.Random(seed))
    builder.block("lib/numbers.py", "def deep(v):\n    return v + 5\n")
    _sources(builder)
    motifs = [*MOTIFS]
    builder.rng.shuffle(motifs)
    shapes = [*SHAPES]
    builder.rng.shuffle(shapes)
    for motif in motifs[: builder.rng.randint(4, 6)]:
        motif(builder)
        _shaped(builder, shapes.pop())
        if builder.rng.random() < 0.5:
            _shaped(builder, shapes.pop())
    _probes(builder)
    _unreached(builder)
    return builder.finished()


# --------------------------------------------------------------------------------------- motifs


def _csv(b: Builder, source: str, rows: int, first: int, *, alone: bool) -> str:
    """A CSV text with a slot in some cells; a lone file has three layouts.

    One has a column more, one its columns in another order.
    """
    cells = []
    for n in range(rows):
        x, y, w = [str(b.rng.randint(10, 99)) for _ in range(3)]
        if n % 5 == 1:
            x = b.number(f"cell x of {source}", source)
        if n % 5 == 3:
            w = b.number(f"cell w of {source}", source)
        k = (
            b.slot(f"cell k of {source}", "changing", ("a", "b"), source)
            if n == 2
            else "abcd"[n % 4]
        )
        note = b.rng.choice(["", "NA", "some text", "ünï"])
        cells.append((str(first + n), k, x, y, w, note))
    names = ("id", "k", "x", "y", "w", "note")
    lines = [names, *cells]
    plain = "".join(",".join(line) + "\n" for line in lines)
    more = "".join(f"{','.join(line)},{'z' if line == names else 7}\n" for line in lines)
    turned = "".join(",".join(line[i] for i in (0, 2, 1, 4, 3, 5)) + "\n" for line in lines)
    if not alone:
        return plain
    return b.slot(f"columns of {source}", "changing", (plain, more, turned), source)


def _sources(b: Builder) -> None:
    b.project.files["data/orders.csv"] = _csv(b, "raw/orders", 20, 1, alone=True)
    note = b.either_way("metadata of a source", "", ', description="Orders."')
    b.asset("raw/orders", {}, f'source("raw/orders", "data/orders.csv"{note})\n')
    for part in (1, 2):
        name = b.slot("file renamed in a glob", "changing", ("a", "c", "m"), "raw/events")
        b.project.files[f"data/events_{name}{part}.csv"] = _csv(
            b, "raw/events", 7, 100 * part, alone=False
        )
    b.asset("raw/events", {}, 'source("raw/events", "data/events_*.csv")\n')
    b.tables += ["raw/orders", "raw/events"]


def _shaped(b: Builder, shape: Callable[[Builder, str, str], str]) -> None:
    """An asset whose x goes through one shape of code."""
    i, table = b.next(), b.table()
    name = f"t{i}"
    b.project.reads[name] = {}
    expression = shape(b, name, str(i))
    parameter = table.replace("/", "_")
    reads: tuple[str, ...] | None = None
    annotation, keep = "", b.rng.choice(["", '.sort_values(["x", "id"])'])
    if b.rng.random() < 0.5:
        reads = ("id", "k", "x", "y")
        annotation = ': Annotated[pd.DataFrame, columns("id", "k", "x", "y")]'
    meta = b.either_way("metadata of an asset", "", '(tags=["a"])', '(tags=["b"], owner="me")')
    b.asset(
        name,
        {table: reads},
        f"@asset{meta}\ndef {name}({parameter}{annotation}):{b.comment()}\n"
        f'    """{b.doc()}"""\n'
        f'    v = {parameter}["x"]\n'
        f"    return {parameter}.assign(x=({expression}) % 1009){keep}\n",
    )
    b.tables.append(name)


def _filter(b: Builder) -> None:
    i, table = b.next(), b.table()
    name = f"filter{i}"
    spelt = b.rng.choice([table.replace("/", "_"), table.replace("/", "."), f'"{table}"'])
    n = b.number("SQL text", name)
    note = b.either_way("SQL comment", "", " -- a remark\n", " /* a\n remark */")
    select = b.either_way("SQL formatting", "select", "SELECT", "Select\n   ")
    text = f"{select} id, k, x * 2 as x,{note} y from {spelt} where y <> {n} or x < {n}{note}"
    reads = {table: ("id", "k", "x", "y")}
    if b.rng.random() < 0.5:
        b.project.files[f"sql/{name}.sql"] = text + b.either_way("SQL end", "", ";", "\n")
        b.asset(name, reads, f'{name} = sql_asset("{name}", path="sql/{name}.sql")\n')
    else:
        b.asset(name, reads, f'{name} = sql_asset("{name}", """{text}""")\n')
    b.tables.append(name)


def _group(b: Builder) -> None:
    i, table = b.next(), b.table()
    name = f"group{i}"
    n = b.number("SQL text", name)
    total = b.slot("SQL function", "changing", ("sum", "max", "min"), name)
    b.project.files[f"sql/{name}.sql"] = (
        f"select k, count(*) as n, {total}(x) + {n} as total\n"
        f"from {table.replace('/', '_')} group by k{b.either_way('SQL comment', '', ' -- why')}\n"
    )
    key = b.rng.choice(["", ', primary_key="k"'])
    b.asset(name, {table: ("k", "x")}, f'sql_asset("{name}", path="sql/{name}.sql"{key})\n')
    b.asset(
        f"read_{name}",
        {name: ("k", "total")},
        f'@asset\ndef read_{name}({name}: Annotated[pd.DataFrame, columns("k", "total")]):\n'
        f'    return {name}.assign(total={name}["total"] // 50)\n',
    )


def _join(b: Builder) -> None:
    i, left, right = b.next(), b.table(), b.rng.choice(["raw/orders", "raw/events"])
    name = f"join{i}"
    order = b.slot("SQL order", "changing", ("id", "id desc"), name)
    if left == right:
        left = b.tables[2] if len(b.tables) > 2 else ({"raw/orders", "raw/events"} - {right}).pop()
    reads = {left: ("id", "k", "x"), right: ("id", "y", "w")}
    b.asset(
        name,
        reads,
        f'sql_asset("{name}", """\n'
        f"    select l.id, l.k, l.x, coalesce(r.y, 0) as y, r.w\n"
        f"    from {left.replace('/', '_')} l left join {right.replace('/', '.')} r using (id)\n"
        f'    order by {order}\n""")\n',
    )
    b.tables.append(name)


def _split(b: Builder) -> None:
    i, table = b.next(), b.table()
    names = (f"train{i}", f"test{i}")
    n = b.number("function with two outputs", *names)
    parameter = table.replace("/", "_")
    result = b.rng.choice([f'{{"{names[0]}": low, "{names[1]}": high}}', "low, high"])
    for name in names:
        b.asset(name, {table: None}, "")
    b.block(
        "pipeline.py",
        f'@asset(outputs=["{names[0]}", "{names[1]}"])\ndef split{i}({parameter}):\n'
        f'    low = {parameter}[{parameter}["y"] < {n}]\n'
        f"    high = {parameter}.drop(low.index)\n    return {result}\n",
    )
    b.tables += names


def _categorical(b: Builder) -> None:
    i, table = b.next(), b.table()
    name = f"category{i}"
    parameter = table.replace("/", "_")
    order = b.slot("categories", "changing", ('["a", "b", "c", "d"]', '["d", "c", "b", "a"]'), name)
    ordered = b.slot("ordered categories", "changing", ("True", "False"), name)
    b.asset(
        name,
        {table: None},
        f"@asset\ndef {name}({parameter}):\n"
        f'    k = pd.Categorical({parameter}["k"], categories={order}, ordered={ordered})\n'
        f"    return {parameter}.assign(k=k)\n",
    )
    b.asset(
        f"codes{i}",
        {name: ("id", "k")},
        f'@asset\ndef codes{i}({name}: Annotated[pd.DataFrame, columns("id", "k")]):\n'
        f'    return {{"codes": {name}["k"].cat.codes.tolist(), '
        f'"ordered": bool({name}["k"].cat.ordered), "all": list({name}["k"].cat.categories)}}\n',
    )
    b.asset(
        f"counted{i}",
        {name: ("k",)},
        f'sql_asset("counted{i}", '
        f'"select k::varchar as k, count(*) as n from {name} group by 1")\n',
    )


def _index(b: Builder) -> None:
    i, table = b.next(), b.table()
    name = f"index{i}"
    parameter = table.replace("/", "_")
    way = b.slot(
        "index",
        "changing",
        ("", '.set_index("id")', '.set_index(["k", "id"])', '.set_index("k").rename_axis(None)'),
        name,
    )
    b.asset(name, {table: None}, f"@asset\ndef {name}({parameter}):\n    return {parameter}{way}\n")
    b.asset(
        f"width{i}",
        {name: None},
        f"@asset\ndef width{i}({name}):\n    return list({name}.columns)\n",
    )


def _model(b: Builder) -> None:
    i, table = b.next(), b.table()
    name, parameter = f"model{i}", table.replace("/", "_")
    depth = b.slot("parameter default", "changing", ("1", "2", "3"), name)
    b.project.objects.add(name)
    b.asset(
        name,
        {table: ("x", "y")},
        f"@asset\ndef {name}({parameter}: Annotated[pd.DataFrame, columns('x', 'y')], "
        f"depth: int = {depth}):\n"
        f"    from sklearn.tree import DecisionTreeRegressor\n\n"
        f"    model = DecisionTreeRegressor(max_depth=depth, random_state=0)\n"
        f'    fitted = model.fit({parameter}[["x"]].to_numpy(), {parameter}["y"])\n'
        f'    return Result(fitted, metrics={{"rows": len({parameter})}})\n',
    )
    b.asset(
        f"scored{i}",
        {name: None, table: ("id", "x")},
        f"@asset\ndef scored{i}({name}, "
        f"{parameter}: Annotated[pd.DataFrame, columns('id', 'x')]):\n"
        f'    return {parameter}.assign(y={name}.predict({parameter}[["x"]].to_numpy()))\n',
    )


def _scaler(b: Builder) -> None:
    """A pickled object of a project class: its method is part of its content."""
    i, table = b.next(), b.table()
    name, parameter = f"scaler{i}", table.replace("/", "_")
    method = b.number("method of a pickled class", name)
    parent = b.number("method of the base of a pickled class", name)
    b.project.objects.add(name)
    b.block(
        "kinds.py",
        f"class Shift{i}:\n    def shift(self):\n        return {parent}\n\n\n"
        f"class Scaler{i}(Shift{i}):\n    def __init__(self, low):\n        self.low = low\n\n"
        f"    def apply(self, v):\n        return (v - self.low) * {method} + self.shift()\n",
    )
    b.asset(
        name,
        {table: None},
        f'@asset(format="pickle")\ndef {name}({parameter}):\n'
        f'    return kinds.Scaler{i}(int({parameter}["x"].min()))\n',
    )
    b.asset(
        f"scaled{i}",
        {name: None, table: None},
        f"@asset\ndef scaled{i}({name}, {parameter}):\n"
        f'    return {parameter}.assign(x={name}.apply({parameter}["x"]) % 1009)\n',
    )
    b.tables.append(f"scaled{i}")


def _metric(b: Builder) -> None:
    i, table = b.next(), b.table()
    name, parameter = f"metric{i}", table.replace("/", "_")
    n = b.number("body of an asset", name)
    b.asset(
        name,
        {table: None},
        f"@asset\ndef {name}({parameter}: pa.Table):\n"
        f'    return {{"rows": {parameter}.num_rows, "high": {n} > 50, "n": {n} // 30}}\n',
    )
    b.asset(
        f"after_{name}",
        {name: None},
        f"@asset\ndef after_{name}({name}):\n"
        f'    return [{name}["rows"], {name}["high"], {name}["n"] / 2]\n',
    )


def _rows(b: Builder) -> None:
    i, table = b.next(), b.table()
    name, parameter = f"rows{i}", table.replace("/", "_")
    n = b.number("body over rows", name)
    b.asset(
        name,
        {table: None},
        f"@asset\ndef {name}({parameter}: list[dict]) -> list[dict]:\n"
        f'    return [{{"id": r["id"], "k": r["k"], "x": r["x"] + {n}, "y": r["y"], '
        f'"tags": [r["k"]]}} for r in {parameter}]\n',
    )
    b.tables.append(name)


def _settings(b: Builder) -> None:
    """A parameter that lineal.toml sets, and a check that changes without recomputing anything."""
    i, table = b.next(), b.table()
    name, parameter = f"tuned{i}", table.replace("/", "_")
    value = b.number("parameter in lineal.toml", name)
    remark = b.either_way("comment in lineal.toml", "", "# a remark\n")
    b.project.files["lineal.toml"] = (
        f'{remark}[project]\ndefinitions = ["pipeline.py"]\n\n[parameters.{name}]\nplus = {value}\n'
    )
    default = b.number("a default that lineal.toml overrides", name)
    limit = b.slot("check", "check", ("5000", "6000", "7000"), name)
    b.project.slots[default.strip("⟦⟧")] = b.project.slots[default.strip("⟦⟧")]._replace(
        certain=False
    )
    b.asset(
        name,
        {table: None},
        f"@asset\ndef {name}({parameter}, *, plus: int = {default}):\n"
        f'    return {parameter}.assign(x=({parameter}["x"] + plus) % 1009)\n\n\n'
        f"@check({name})\ndef small_{name}({name}):\n"
        f'    return bool(({name}["x"] < {limit}).all())\n',
    )
    b.tables.append(name)


def _kinds_of_columns(b: Builder) -> None:
    """A table with every sort of column, read back by every arrival."""
    i = b.next()
    name = f"varied{i}"
    n = b.number("body of an asset", name)
    b.asset(
        name,
        {},
        f"@asset\ndef {name}():\n    return pd.DataFrame({{\n"
        f'        "i": [1, {n}, 3], "f": [0.5, float("nan"), -0.0], "t": ["a", None, "ü"],\n'
        f'        "b": [True, False, True], "when": pd.to_datetime(["2026-01-05"] * 3),\n'
        f'        "utc": pd.to_datetime(["2026-01-05T10:00"] * 3, utc=True),\n'
        f'        "c": pd.Categorical(["u", "v", "u"], categories=["v", "u", "never"]),\n'
        f'        "list": [[1], [], [{n}]], "span": pd.to_timedelta([1, 2, {n}], unit="s"),\n'
        f"    }}, index=[5, 6, 9])\n",
    )
    _probe(b, name)


def _probe(b: Builder, table: str) -> None:
    """What each arrival shows of a table, as an asset."""
    spelt = table.replace("/", "_")
    as_rows = "[str(r).replace('nan', 'None') for r in t{}]"
    first = "[str(v) for v in t.iloc[0]] if len(t) else []"
    looks = {
        "pandas": (
            "pd.DataFrame",
            f"[list(t.columns), str(t.index), {first}, t.astype(str).values.tolist()]",
        ),
        "arrow": ("pa.Table", f"[t.column_names, t.num_rows, {as_rows.format('.to_pylist()')}]"),
        "rows": ("list[dict]", as_rows.format("")),
    }
    for arrival, (annotation, look) in looks.items():
        b.asset(
            f"{arrival}_of_{spelt}",
            {table: None},
            f"@asset\ndef {arrival}_of_{spelt}({spelt}: {annotation}):\n"
            f"    t = {spelt}\n    return {look}\n",
        )


def _probes(b: Builder) -> None:
    _probe(b, b.rng.choice(b.tables))


def _unreached(b: Builder) -> None:
    """Code and files that no asset reaches."""
    for module in ("shaping.py", "kinds.py", "lib/numbers.py", "pipeline.py"):
        i = b.next()
        n = [b.number(f"unreached code in {module}", kind="unreached") for _ in range(4)]
        b.block(
            module,
            f"UNUSED{i} = {n[0]}\n\n\ndef unused{i}(v):\n    return v + UNUSED{i} + {n[1]}\n\n\n"
            f"class Unused{i}:\n    rate = {n[2]}\n\n"
            f"    def apply(self, v):\n        return {n[3]}\n",
        )
    b.project.files["notes.py"] = b.number("a file nobody imports", kind="unreached") + "\n"
    b.project.files["README.md"] = b.number("a text beside the project", kind="unreached") + "\n"


MOTIFS: tuple[Callable[[Builder], None], ...] = (
    _filter, _group, _join, _split, _categorical, _index, _model, _scaler, _metric, _rows,
    _settings, _kinds_of_columns,
)  # fmt: skip
