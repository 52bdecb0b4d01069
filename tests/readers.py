"""What lineal shows through every reader, and how that differs from what the oracle shows.

The functions of the first part run in forks of a warm process, with a project's folder.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from tests.warm import LIBRARIES

Shown = dict[str, Any]
LINEAL = (*LIBRARIES, "lineal.cli.main", "lineal.cli.make", "lineal.cli.ask", "lineal.project")


def command(folder: str, *words: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `lineal WORDS` in the folder."""
    from lineal.cli.main import run

    os.chdir(folder)
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run(words)
        except SystemExit as end:
            code = end.code
    return code, out.getvalue(), err.getvalue()


def loaded(folder: str, names: list[str]) -> Shown:
    """Every asset as `lineal.open(folder).load(name)` gives it."""
    import lineal
    from lineal.assets.errors import LinealError
    from tests.oracle import shown

    project = lineal.open(folder)
    found: Shown = {}
    for name in names:
        try:
            found[name] = shown(project.load(name))
        except LinealError as error:
            found[name] = f"an error: {error}"
    return found


def on_disk(folder: str, names: list[str]) -> Shown:
    """Every table as plain pyarrow reads the file that `lineal path` tells."""
    import pyarrow.parquet as pq

    from tests.oracle import shown

    found = {}
    for name in names:
        code, out, err = command(folder, "path", name)
        assert code == 0, err
        (path,) = out.splitlines()
        found[name] = shown(pq.ParquetFile(path).read())
    return found


def queried(folder: str, name: str) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """A table as `lineal sql` gives it, as JSON and as CSV."""
    query = f'select * from "{name}"'
    code, text, err = command(folder, "sql", query, "--format", "json")
    assert code == 0, err
    code, separated, err = command(folder, "sql", query, "--format", "csv")
    assert code == 0, err
    return json.loads(text), list(csv.DictReader(io.StringIO(separated)))


def readers(
    folder: str, names: list[str], tables: list[str], asked: list[str]
) -> tuple[Shown, Shown, dict[str, Any]]:
    """What `load`, the file at `path` and `sql` show, each of these assets."""
    answers = {name: queried(folder, name) for name in asked}
    return loaded(folder, names), on_disk(folder, tables), answers


# ------------------------------------------------------------------------------------- comparing


class AllBut(NamedTuple):
    """All columns of an input, in its order, but the values of these."""

    names: tuple[str, ...]


Columns = tuple[str, ...] | AllBut | None  # None: all of them


def is_table(value: Any) -> bool:
    return isinstance(value, tuple) and value[0] == "table"


def plain(value: Any) -> Any:
    """A table without what only a reader of categoricals can see."""
    columns = [(n, "text" if isinstance(k, tuple) else k, v) for n, k, v in value[1]]
    return ("table", columns)


def queried_faults(wanted: Any, rows: list[dict[str, Any]], texts: list[dict[str, str]]) -> str:
    """What differs between a table and its rows as JSON and as CSV, in simple columns."""
    for name, kind, values in wanted[1]:
        if kind not in ("number", "text", "bool") and not isinstance(kind, tuple):
            continue
        if [row[name] for row in rows] != values:
            return f"column {name} in JSON: {[row[name] for row in rows]} for {values}"
        told = [row[name] for row in texts]
        same = [
            t == ""
            if v is None
            else float(t) == v
            if kind == "number"
            else t.lower() == str(v).lower()
            for t, v in zip(told, values, strict=True)
        ]
        if not all(same):
            return f"column {name} in CSV: {told} for {values}"
    return ""


def read_slice(value: Any, columns: Columns, ordered: bool) -> Any:
    """What a reader of these columns reads of a table, row count included.

    `ordered`: in the order in which it names them; else in that of the table.
    """
    if columns is None or not is_table(value):
        return value
    found = {name: (name, kind, values) for name, kind, values in value[1]}
    if isinstance(columns, AllBut):
        unseen = {name: (name, kind, None) for name, kind, _ in value[1] if name in columns.names}
        return list((found | unseen).values())
    names = columns if ordered else [name for name in found if name in columns]
    rows = len(value[1][0][2]) if value[1] else 0
    return rows, [found.get(name) for name in names]


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file of the project outside lineal's cache: size and modification time."""
    found = {}
    for file in folder.rglob("*"):
        path = file.relative_to(folder)
        if path.parts[:2] != (".lineal", "cache") and not file.is_dir():
            state = file.stat()
            found[str(path)] = (state.st_size, state.st_mtime_ns)
    return found


def difference(wanted: Any, got: Any) -> str:
    """The first place where two shown values differ."""
    if is_table(wanted) and is_table(got):
        names = [c[0] for c in wanted[1]], [c[0] for c in got[1]]
        if names[0] != names[1]:
            return f"columns {names[1]} for {names[0]}"
        for one, other in zip(wanted[1], got[1], strict=True):
            if one != other:
                return f"column {other} for {one}"
    return f"{got!r:.600} for {wanted!r:.600}"
