"""What is known of a query from its text alone, by itself and together with its macros."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from lineal.assets.asset import Macro
from lineal.assets.ports import Sight
from lineal.storage.sql_order import OrderFacts
from lineal.storage.sql_walk import Argument, Call, TableReference


class SqlFacts(NamedTuple):
    """Everything lineal knows of a query from its text alone."""

    tables: tuple[TableReference, ...]
    parameters: tuple[str, ...]
    tokens_digest: str  # the recipe: nothing but comments and form leaves it as it is
    normalised: str
    text: str  # as it was written, without comments
    order: OrderFacts
    opaque: tuple[str, ...]  # sentences: what could not be seen
    clocks: tuple[str, ...]  # where it reads a clock, randomness or the state of DuckDB
    calls: tuple[str, ...] = ()  # functions that DuckDB does not have: macros of the project
    passed: tuple[Call, ...] = ()  # calls of table macros, and of `query_table` in a macro

    @property
    def volatile(self) -> bool:
        return bool(self.clocks)


def words_of(facts: SqlFacts, macros: Iterable[Macro]) -> frozenset[str]:
    """The words of a query and of the macros that it reaches, in small letters."""
    texts = (facts.normalised, *(macro.text for macro in macros))
    return frozenset(re.findall(r"\w+", " ".join(texts).casefold()))


def with_macros(facts: SqlFacts, macros: Sequence[tuple[Macro, SqlFacts]]) -> SqlFacts:
    """What is known of a query together with the macros that it reaches."""
    if not macros:
        return facts
    each = (facts, *(found for _, found in macros))
    plain = all(one.order.kind == "plain" for one in each[1:])
    named, doubts = _tables_passed(facts, macros)
    computed = ["a table whose name is computed"] if doubts else []
    return facts._replace(
        tables=tuple(dict.fromkeys([table for one in each for table in one.tables] + named)),
        order=facts.order if plain or facts.order.kind != "plain" else OrderFacts(),
        opaque=tuple(dict.fromkeys([told for one in each for told in one.opaque] + doubts)),
        clocks=tuple(dict.fromkeys([told for one in each for told in one.clocks] + computed)),
    )


def _tables_passed(
    facts: SqlFacts, macros: Sequence[tuple[Macro, SqlFacts]]
) -> tuple[list[TableReference], list[str]]:
    """The tables whose names are arguments of macros that read them; and where it can't be seen."""
    read: dict[str, tuple[Sequence[str], set[str]]] = {"query_table": (("",), {""})}
    tables: list[TableReference] = []
    doubts: list[str] = []
    for name, each in [*((macro.name, found) for macro, found in macros), ("", facts)]:
        own: set[str] = set()
        for call in each.passed:
            parameters, wanted = read.get(call.function, ((), ()))
            for argument in call.placed(parameters, wanted):
                if argument.parts:
                    tables.append(TableReference(".".join(argument.parts), argument.parts))
                elif argument.parameter in each.parameters:
                    own.add(argument.parameter)
                elif not argument.bound:
                    doubts.append(f"`{call.function}(…)` reads a table whose name is computed")
        read[name.casefold()] = (each.parameters, own)
    return tables, doubts


# ----------------------------------------------------------------------------- rows of the cache


def facts_from(row: Any) -> SqlFacts | None:
    """Facts from a row of the cache; None when there is none or it is not one."""
    try:
        tables, parameters, tokens_digest, normalised, text, order, *rest = row
        opaque, clocks, calls, passed = rest
        kind, keys, extended = order
        return SqlFacts(
            tuple(TableReference(text, tuple(parts)) for text, parts in tables),
            tuple(parameters),
            tokens_digest,
            normalised,
            text,
            OrderFacts(kind, tuple(keys), extended),
            tuple(opaque),
            tuple(clocks),
            tuple(calls),
            tuple(_call_from(each) for each in passed),
        )
    except (TypeError, ValueError):
        return None


def _call_from(row: Any) -> Call:
    function, arguments = row
    return Call(
        function,
        tuple(Argument(name, tuple(parts), own, bound) for name, parts, own, bound in arguments),
    )


def macros_from(rows: Any) -> list[tuple[str, str, int, bool]] | None:
    """The macros of a file from a row of the cache."""
    try:
        return [(str(name), str(text), int(n), bool(table)) for name, text, n, table in rows]
    except (TypeError, ValueError):
        return None


def sights_from(rows: Any) -> dict[str, Sight] | None:
    """Sights from a row of the cache; None when there is none or it is not one."""
    try:
        return {
            name: Sight(None if columns is None else tuple(columns), bool(shape), str(doubt))
            for name, (columns, shape, doubt) in rows.items()
        }
    except (AttributeError, TypeError, ValueError):
        return None
