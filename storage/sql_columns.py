"""Which columns of its inputs a query reads, so far as a run over no more is proved to be the same.

DuckDB plans the query over tables without rows that have the shapes of its inputs, with no other
optimizers than those that leave out what is not used. So the plan follows from the text, the shapes
and the types of the parameters alone, and whatever it computes is a function of the columns that
its scans read. That a query which is shown only these columns means the same is not argued but
tried: it must have the same plan. If it has another, or none (`*`, `exclude`, `natural join`, …),
it is shown the names and types of the others too, so that it is bound as before.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, product
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from lineal.assets.ports import Shape, Sight
from lineal.storage.sandbox import NOTHING, numbers_rows, quoted, spell, written
from lineal.storage.sql import SqlFacts
from lineal.storage.type_texts import UnknownType, empty_table

# What is allowed to change a plan: taking out what nobody uses, and what makes that possible. None
# of these knows values, of which an empty table has none; anything that DuckDB adds stays out. The
# second is for the few plans that DuckDB can't write in the state in which the first leaves them.
_PRUNING = (
    ("unused_columns", "build_side_probe_side", "deliminator", "cte_inlining", "projection_pullup"),
    ("join_order",),
)
# Functions that read nothing but their arguments, as tables.
_PURE = frozenset(
    {"range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree"}
    | {"summary", "test_all_types", "test_vector_types"}
)
# Functions whose answer depends on more of a table than the plan shows.
_SEEING = frozenset({"json_serialize_plan", "stats", "vector_type"})
_PLANNED = '{"error":false,"plans":['
_PROJECTION = _PLANNED + '{"type":"LOGICAL_PROJECTION",'  # of all columns, with their names
_VIRTUAL = 1 << 63  # ids from here on are of no column: the number of a row, or nothing at all


class _Plans(NamedTuple):
    """The plans of what a run executes, as DuckDB writes them, and of all columns it gives."""

    texts: tuple[str, ...]

    def bases(self) -> Iterator[dict[str, Any]]:
        for text in self.texts:
            yield from _scans(json.loads(text))


class _Unseen(Exception):
    """Why it can't be told which columns a query reads: a sentence."""


def open_scratch() -> Any:
    """A DuckDB in which queries are planned over empty tables; nothing ever runs there."""
    connection = duckdb.connect(
        ":memory:", config={"threads": 1, "python_enable_replacements": False}
    )
    for setting in (
        "set autoload_known_extensions = false",
        "set autoinstall_known_extensions = false",
        "set TimeZone = 'UTC'",
        "set enable_external_access = false",
    ):
        connection.execute(setting)
    return connection


def sights(
    connection: Any,
    facts: SqlFacts,
    shapes: Mapping[str, Shape],
    kinds: Mapping[str, str],
) -> dict[str, Sight]:
    """What a query has to see of each input.

    Args:
        connection: of `open_scratch`.
        kinds: the SQL types of the parameters by name; empty where there is no text for it.
    """
    try:
        _look_for_doubt(facts, shapes)
        with _Scene(connection, facts, shapes) as scene:
            return _proved(scene, _texts(facts, kinds))
    except _Unseen as doubt:
        return {name: Sight(doubt=str(doubt)) for name in shapes}


def _look_for_doubt(facts: SqlFacts, shapes: Mapping[str, Shape]) -> None:
    if facts.opaque:
        raise _Unseen(facts.opaque[0])
    if numbers_rows(facts):
        raise _Unseen("it numbers the rows of its tables: `rowid`")
    words = frozenset(facts.normalised.casefold().replace('"', " ").split())
    for seeing in sorted(words & _SEEING):
        raise _Unseen(f"`{seeing}` may see more of a table than the columns it is given")
    for name, shape in shapes.items():
        if len({column.casefold() for column, _ in shape}) < len(shape):
            raise _Unseen(f"two columns of `{name}` differ only in capital letters")


# ----------------------------------------------------------------------------------- the proof


def _proved(scene: _Scene, texts: Sequence[Sequence[str]]) -> dict[str, Sight]:
    """The sights under the first of these ways to write the query that DuckDB can plan."""
    every = {name: tuple(c for c, _ in shape) for name, shape in scene.shapes.items()}
    scene.show(every)
    for written_so, pruning in product(texts, (_PRUNING[:1], _PRUNING)):
        scene.prune(chain.from_iterable(pruning))
        whole = scene.plans(written_so)
        if whole is not None:
            break
    else:
        raise _Unseen("DuckDB can't plan it without its rows and the values of its parameters")
    read = _read(whole, scene)
    less = [name for name, columns in every.items() if read[name] != columns]

    def same(narrow: Collection[str]) -> bool:
        scene.show({name: (read if name in narrow else every)[name] for name in every})
        return scene.plans(written_so) == whole

    proved = set(less)
    if not same(less):
        proved.clear()
        for name in less:
            if len(less) > 1 and same(proved | {name}):
                proved.add(name)
    return {
        name: Sight(read[name], shape=name not in proved) if name in less else Sight()
        for name in every
    }


def _read(plans: _Plans, scene: _Scene) -> dict[str, tuple[str, ...]]:
    """The columns that the scans of these plans read, in the order of their tables."""
    found: dict[str, set[int]] = {name: set() for name in scene.shapes}
    for scan in plans.bases():
        table = (scan.get("function_data") or {}).get("table")
        if table is None:
            function = scan["qname"]["path"][-1]
            if function not in _PURE:
                raise _Unseen(f"`{function}` may read what is no column of an asset")
            continue
        chosen = found[scene.names[table]]
        chosen.update(c["index"] for c in scan["column_indexes"] if c["index"] < _VIRTUAL)
    return {
        name: tuple(c for place, (c, _) in enumerate(shape) if place in found[name])
        for name, shape in scene.shapes.items()
    }


def _scans(tree: Any) -> Iterator[dict[str, Any]]:
    """Every scan of a plan."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            if node.get("type") == "LOGICAL_GET":
                yield node
            stack.extend(node.values())


# ------------------------------------------------------------------------- what DuckDB is shown


class _Scene:
    """The inputs of a query as tables without rows, of which it is shown some columns."""

    def __init__(self, connection: Any, facts: SqlFacts, shapes: Mapping[str, Shape]) -> None:
        self.shapes = shapes
        self.names = {f"lineal {place}": name for place, name in enumerate(shapes)}
        self._connection = connection
        self._written = written(facts)
        self._undo: list[str] = []

    def __enter__(self) -> _Scene:
        try:
            for table, name in self.names.items():
                self._create(table, name)
        except _Unseen:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in self.names.values():
            self._undo.insert(0, f"drop view if exists {quoted(name)}")
        self._take_back()
        for table in self.names:
            self._connection.execute(f"drop table if exists {quoted(table)}")

    def _take_back(self) -> None:
        while self._undo:
            self._connection.execute(self._undo.pop())

    def _create(self, table: str, name: str) -> None:
        """With the types that the run shows: those that DuckDB gives to Arrow's."""
        try:
            self._connection.register("lineal shape", empty_table(self.shapes[name]))
            self._connection.execute(f'create table {quoted(table)} as from "lineal shape"')
        except (UnknownType, duckdb.Error, pa.ArrowException) as error:
            raise _Unseen(f"DuckDB has no type for a column of `{name}`") from error

    def show(self, columns: Mapping[str, Sequence[str]]) -> None:
        """Show these columns of each input, under its name as the query spells it."""
        self._take_back()
        for table, name in self.names.items():
            chosen = ", ".join(map(quoted, columns[name])) or f"null as {quoted(NOTHING)}"
            self._connection.execute(
                f"create or replace view {quoted(name)} as select {chosen} from {quoted(table)}"
            )
        self._undo = spell(self._connection, self.shapes, self._written)

    def prune(self, optimizers: Iterable[str]) -> None:
        """Plan with no other optimizers than these."""
        names = self._connection.sql("select name from duckdb_optimizers()").fetchall()
        others = ",".join(sorted({name for (name,) in names} - set(optimizers)))
        self._connection.execute(f"set disabled_optimizers = '{others}'")

    def plans(self, texts: Sequence[str]) -> _Plans | None:
        """The plans of these texts, and of what the first gives; None when DuckDB has none."""
        found = [self._plan(text) for text in (*texts, f"select * from ({texts[0]}\n)")]
        known = tuple(text for text in found if text is not None)
        if len(known) < len(found) or not known[-1].startswith(_PROJECTION):
            return None
        return _Plans(known)

    def _plan(self, text: str) -> str | None:
        asked = "select json_serialize_plan($text::varchar, optimize := true)"
        try:
            ((answer,),) = self._connection.execute(asked, {"text": text}).fetchall()
        except duckdb.Error:
            return None
        found = str(answer)
        return found if found.startswith(_PLANNED) else None


# ---------------------------------------------------------------------------------- parameters


def _texts(facts: SqlFacts, kinds: Mapping[str, str]) -> list[tuple[str, ...]]:
    """What a run executes, with each parameter cast to its type, then as it was written.

    Where a text is compared with a date, its type is the date's, and the cast is in the way.
    """
    texts = tuple(filter(None, (facts.text, facts.order.extended)))
    if not any(kinds.values()):
        return [texts]
    return [tuple(_cast(text, kinds) for text in texts), texts]


def _cast(text: str, kinds: Mapping[str, str]) -> str:
    data = text.encode()
    starts = [start for start, _ in duckdb.tokenize(text)]
    pieces: list[bytes] = []
    last = 0
    for place, start in enumerate(starts[:-1]):
        follows = starts[place + 1]
        if data[start:follows] != b"$":
            continue
        end = starts[place + 2] if place + 2 < len(starts) else len(data)
        name = data[follows:end].decode().strip()
        if kinds.get(name):
            pieces += [data[last:start], f"(${name}::{kinds[name]})".encode()]
            last = follows + len(name.encode())
    return b"".join((*pieces, data[last:])).decode()
