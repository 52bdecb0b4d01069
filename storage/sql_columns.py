"""Which columns of its inputs a query reads, so far as a run over no more is proved to be the same.

DuckDB plans the query over tables without rows that have the shapes of its inputs, and is left no
optimizer but the one that takes out what nobody uses. So the plan follows from the text, the shapes
and the types of the parameters alone, and what it computes is a function of the columns that its
scans read. That a query which is shown only these columns means the same is not argued but tried:
it must have the same plan. If it has another, or none (`*`, `exclude`, `columns(…)`, …), it is
shown the names and types of the others too, so that it is bound as before.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import product

import duckdb

from lineal.assets.asset import Query
from lineal.assets.ports import Shape, Sight
from lineal.storage.kinds import NULL
from lineal.storage.sandbox import ROW_NUMBER
from lineal.storage.sql import SqlFacts, words_of
from lineal.storage.sql_plans import PRUNING, Plan, Scratch, Unplanned
from lineal.storage.sql_text import without_comments

# Functions whose answer depends on more of a table than the plan shows.
_SEEING = re.compile(r'\b(json_serialize_plan|stats|vector_type)"?\s*\(')


class _Unseen(Exception):
    """Why it can't be told which columns a query reads: a sentence."""


def sights(
    scratch: Scratch,
    query: Query,
    facts: SqlFacts,
    shapes: Mapping[str, Shape],
    kinds: Mapping[str, str],
) -> dict[str, Sight]:
    """What a query has to see of each input.

    Args:
        facts: of the query and its macros.
        kinds: the SQL types of the parameters by name; empty where there is no text for it.
    """
    try:
        _look_for_doubt(query, facts, shapes)
        with scratch.over(shapes, facts, query.macros):
            return _proved(scratch, shapes, _texts(facts, kinds))
    except (_Unseen, Unplanned) as error:
        doubt = str(error)
    except duckdb.Error:  # of its own; what is wrong with the query, the run tells
        doubt = "DuckDB fails to plan it"
    return {name: Sight(doubt=doubt) for name in shapes}


def _look_for_doubt(query: Query, facts: SqlFacts, shapes: Mapping[str, Shape]) -> None:
    if facts.opaque:
        raise _Unseen(facts.opaque[0])
    if ROW_NUMBER in words_of(facts, query.macros):
        raise _Unseen(f"it numbers the rows of its tables: `{ROW_NUMBER}`")
    texts = [facts.normalised, *(without_comments(macro.text) for macro in query.macros)]
    for seeing in _SEEING.findall(" ".join(texts).casefold()):
        raise _Unseen(f"`{seeing}` may see more of a table than the columns it is given")
    for name, shape in shapes.items():
        if len({column.casefold() for column, _ in shape}) < len(shape):
            raise _Unseen(f"two columns of `{name}` differ only in capital letters")


# ----------------------------------------------------------------------------------- the proof


def _proved(
    scratch: Scratch, shapes: Mapping[str, Shape], texts: Sequence[Sequence[str]]
) -> dict[str, Sight]:
    """The sights under the first of these ways to write the query that DuckDB can plan."""
    every = {name: tuple(column for column, _ in shape) for name, shape in shapes.items()}
    scratch.show(every)
    whole, written = _planned(scratch, texts)
    found = whole.read if whole is not None else scratch.scanned(texts[-1])
    read = {n: tuple(c for c in columns if c in found[n]) for n, columns in every.items()}
    less = [name for name, columns in every.items() if read[name] != columns]

    def same(narrow: Collection[str]) -> bool:
        try:
            scratch.show({name: (read if name in narrow else every)[name] for name in every})
            return scratch.plan(written) == whole
        except Unplanned:  # a macro that names a column which the query has no use for
            return False

    proved = set(less) if whole is not None else set()
    if proved and not same(proved):
        proved.clear()
        for name in less if len(less) > 1 else ():
            if same(proved | {name}):
                proved.add(name)
    return {
        name: Sight(read[name], shape=name not in proved) if name in less else Sight()
        for name in every
    }


def _planned(scratch: Scratch, texts: Sequence[Sequence[str]]) -> tuple[Plan | None, Sequence[str]]:
    for written, pruning in product(texts, PRUNING):
        scratch.prune(pruning)
        found = scratch.plan(written)
        if found is not None:
            return found, written
    return None, ()


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
            typed = "(null)" if kinds[name] == NULL else f"(${name}::{kinds[name]})"
            pieces += [data[last:start], typed.encode()]
            last = follows + len(name.encode())
    return b"".join((*pieces, data[last:])).decode()
