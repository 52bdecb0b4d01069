"""A project in a temporary folder, driven through the command line in this process."""

from __future__ import annotations

import contextlib
import io
import json
import os
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lineal.cli.main import run


@dataclass(frozen=True)
class Said:
    """What one command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def steps(self, outcome: str) -> set[str]:
        """The assets of a JSON answer with this outcome or verdict."""
        key = "outcome" if "counts" in self.json else "verdict"
        return {s["asset"] for s in self.json["steps"] if s[key] == outcome}


class Workplace:
    """A folder with a project; `lineal` runs a command there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.root / name
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {name}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def lineal(self, *words: str) -> Said:
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
        before = Path.cwd()
        os.chdir(self.root)
        code = 0
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                run(list(words))
        except SystemExit as stop:
            code = int(stop.code or 0)
        finally:
            os.chdir(before)
        for stream in (out, err):
            stream.seek(0)
        return Said(code, out.read(), err.read())

    def make(self, *words: str) -> Said:
        """`materialize --json`, which must end well."""
        said = self.lineal("materialize", "--json", *words)
        assert said.code == 0, said.out + said.err
        return said

    def plan(self, *words: str) -> Said:
        said = self.lineal("plan", "--json", *words)
        assert said.code == 0, said.out + said.err
        return said

    def files(self) -> dict[str, tuple[int, int]]:
        """Every file of the store outside cache/: size and time, to see that nothing is written."""
        store = self.root / ".lineal"
        return {
            str(p.relative_to(store)): (p.stat().st_size, p.stat().st_mtime_ns)
            for p in sorted(store.rglob("*"))
            if p.is_file() and p.relative_to(store).parts[0] != "cache"
        }
