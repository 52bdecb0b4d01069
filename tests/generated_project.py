"""Random small projects, written as real files, and the edits that can be made to them.

A project is a set of templates whose slots have alternatives: an edit moves one slot to another
alternative, so that every edit is known by what it touches and can be undone. A slot says which
assets its text belongs to (`reached`); what follows from there is for values to decide.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from tests.code_shapes import SHAPES
from tests.motifs import MOTIFS, probes, shaped, sources, unreached
from tests.readers import Columns

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
    reads: dict[str, dict[str, Columns]] = field(default_factory=dict)
    queries: set[str] = field(default_factory=set)  # SQL: they read columns in their table's order
    objects: set[str] = field(default_factory=set)  # pickled: their class's code is content
    unproved: set[str] = field(default_factory=set)  # they read undeclared files: never reused
    path_readers: dict[str, str] = field(default_factory=dict)  # what reads a source's files itself
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
        slot = self._one_of(live[rng.choices(kinds, [often[kind] for kind in kinds])[0]], rng)
        what, kind, choices, reached, certain = self.slots[slot]
        others = [n for n in range(len(choices)) if n != self.state[slot]]
        old = self.state[slot]
        self.state[slot] = rng.choice(others)
        told = f"{what}: {choices[old]!r:.40} → {choices[self.state[slot]]!r:.40}"
        return Edit(told, kind, reached, certain)

    def _one_of(self, slots: list[str], rng: random.Random) -> str:
        return rng.choice(slots)

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

    def asset(self, name: str, inputs: Mapping[str, Columns], text: str) -> str:
        self.project.reads[name] = dict(inputs)
        if text.startswith("sql_asset") or "= sql_asset(" in text:
            self.project.queries.add(name)
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
                "import csv\nimport datetime as dt\nfrom decimal import Decimal\n"
                "from pathlib import Path\nfrom typing import Annotated\n\n"
                "import duckdb\nimport numpy as np\nimport pandas as pd\nimport polars as pl\n"
                "import pyarrow as pa\nimport pyarrow.compute as pc\n"
                "from sklearn.preprocessing import FunctionTransformer\n\n"
                "import kinds\nimport lib\nimport lib.numbers\nimport lib.late\nimport shaping\n"
                "from shaping import *\n"
                "from lineal import asset, check, columns, source, sql_asset, sql_assets\n"
                "from lineal import Result\n"
            ),
            "shaping.py": (
                "import datetime\nimport decimal\nimport enum\nimport functools\nimport importlib\n"
                "import operator\nimport re\nimport sys\nfrom dataclasses import dataclass\n\n"
                "import numpy as np\nimport pandas as pd\n\nimport lib.numbers\n"
                "from lib.numbers import deep as deeper\n"
            ),
            "kinds.py": (
                "import abc\nimport dataclasses\nimport enum\nimport functools\nimport typing\n"
            ),
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
    sources(builder)
    motifs = [*MOTIFS]
    builder.rng.shuffle(motifs)
    shapes = [*SHAPES]
    builder.rng.shuffle(shapes)
    for motif in motifs[: builder.rng.randint(4, 6)]:
        motif(builder)
        shaped(builder, shapes.pop())
        if builder.rng.random() < 0.5:
            shaped(builder, shapes.pop())
    probes(builder)
    unreached(builder)
    return builder.finished()
