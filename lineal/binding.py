"""Binds declarations into a graph: the inputs of SQL assets and their macros, found in the text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from lineal.assets.asset import Asset, Declaration, Input, Macro, MacroFile, Query, Resource
from lineal.assets.errors import DefinitionError, LinealError, QueryError, did_you_mean
from lineal.assets.graph import Graph
from lineal.assets.partitions import Grid
from lineal.storage.sql import NO_TREE, Queries, Spellings, TableReference, words_of
from lineal.storage.sql_macros import Library
from lineal.storage.sql_text import named, place_of_call, place_of_parameter, place_of_table


def bind(declared: Iterable[Declaration], queries: Queries) -> Graph:
    """Find the inputs of SQL assets in their text, then build the graph; all errors at once."""
    things = list(declared)
    names = [o for t in things if isinstance(t, Asset) for o in t.outputs]
    spelt = Spellings(names)
    bound: list[Declaration] = []
    library = _library([t for t in things if isinstance(t, MacroFile)], queries, bound)
    for thing in things:
        if not isinstance(thing, Asset) or thing.query is None:
            bound.append(thing)
            continue
        try:
            macros = _macros_reached(thing.query, library, queries)
            whole = replace(thing, query=replace(thing.query, macros=macros))
            bound.append(_bind_query(whole, queries, spelt, names))
        except (DefinitionError, QueryError) as error:
            bound += [_as_definition_error(error, thing), replace(thing, inputs=())]
    queries.save()
    return Graph.build(bound)


def _library(files: Iterable[MacroFile], queries: Queries, errors: list[Declaration]) -> Library:
    """The macros of the project; none where one of them can't be right."""
    found: list[Macro] = []
    for file in files:
        try:
            found.extend(queries.macros(file))
        except QueryError as error:
            errors.append(_as_definition_error(error, file))
    try:
        return Library(found, lambda macro: queries.describe_macro(macro).calls)
    except DefinitionError as error:
        errors.append(error)
        return Library((), lambda macro: ())


def _macros_reached(query: Query, library: Library, queries: Queries) -> tuple[Macro, ...]:
    """The macros that a query calls, and those that they call.

    A query that can't be followed may call any: it has those that read no table as well.
    """
    alone = queries.describe(query)
    without = [(told,) for told in NO_TREE]
    called = list(alone.calls)
    macros = library.reached(called)
    for name in () if alone.opaque in without else called:  # there `name (` may be no call
        near = "" if name in library else library.near(name)
        if near and queries.lacks(name):
            where, excerpt = place_of_call(query, name)
            told = f"no function or macro `{name}`{near}"
            raise DefinitionError(told, where=where, excerpt=excerpt)
    facts = queries.describe(replace(query, macros=macros))
    by_words = facts.opaque in without and "query" not in words_of(facts, macros)
    if by_words or not facts.opaque:
        return macros
    names = [macro.name.casefold() for macro in library]
    pure = [
        name
        for name in names
        if not any(queries.describe_macro(each).tables for each in library.reached([name]))
    ]
    return library.reached([*called, *pure])


def _bind_query(asset: Asset, queries: Queries, spelt: Spellings, names: list[str]) -> Asset:
    query = asset.query
    if query is None:
        return asset
    facts = queries.describe(query)
    inputs: dict[str, Input] = {}
    for reference in facts.tables:
        found = spelt.resolve(reference)
        if found is None:
            raise _no_asset(reference, query, asset.name, names)
        if found == asset.name:
            where, excerpt = _place_of(reference, query)
            raise DefinitionError(
                f"`{found}` takes itself as an input", where=where, excerpt=excerpt
            )
        inputs[found] = Input(found, found)
    for marked in asset.inputs:
        exact = next(
            (name for name in inputs if name.casefold() == marked.parameter.casefold()), ""
        )
        if not exact:
            raise DefinitionError(
                f"inputs= of `{asset.name}` names `{marked.parameter}`, which its SQL does not read"
                f"{did_you_mean(marked.parameter, inputs)}",
                where=str(asset.where),
            )
        inputs[exact] = replace(inputs[exact], marker=marked.marker)
    given = (*asset.parameters, *_of_partitions(asset))
    unset = [p for p in facts.parameters if p not in given]
    if unset:
        where, excerpt = place_of_parameter(query, unset[0])
        in_file = query.where.file.endswith(".sql")
        said = f"[parameters] {unset[0]} = …" if in_file else f"parameters={{{unset[0]!r}: …}}"
        raise DefinitionError(
            f"the SQL of `{asset.name}` uses ${unset[0]}, which has no value",
            where=where,
            advice=f"give it one: {said}",
            excerpt=excerpt,
        )
    return replace(
        asset,
        inputs=tuple(inputs.values()),
        volatile=asset.volatile or facts.volatile,
        volatile_by=f"its SQL has {', '.join(facts.clocks)}" if facts.clocks else "",
    )


def _no_asset(
    reference: TableReference, query: Query, reader: str, names: list[str]
) -> DefinitionError:
    where, excerpt = _place_of(reference, query)
    return DefinitionError(
        f"no asset `{reference.text}`, a table of `{reader}`"
        f"{did_you_mean(reference.text.replace('.', '/'), names)}",
        where=where,
        advice="a table in SQL is an asset: raw/orders is raw.orders or raw_orders",
        excerpt=excerpt,
    )


def _place_of(reference: TableReference, query: Query) -> tuple[str, str | None]:
    """Where the query or one of its macros names a table."""
    texts = [query, *(named(macro) for macro in query.macros)]
    places = [place_of_table(text, reference.parts) for text in texts]
    return next((place for place in places if place[1]), places[0])


def axes_of(asset: Asset | Resource) -> tuple[str, ...]:
    """The parameters that the partitions of a grid fill."""
    grid = asset.partitions if isinstance(asset, Asset) else None
    return grid.names if isinstance(grid, Grid) else ()


def _of_partitions(asset: Asset) -> tuple[str, ...]:
    """The parameters that a partition gives to a query."""
    if asset.partitions is None or asset.sliced_by is not None:
        return ()
    return ("partition", "start", "end", *axes_of(asset))


def _as_definition_error(error: LinealError, asset: Asset | MacroFile) -> DefinitionError:
    """SQL errors found before anything runs are told with all others."""
    if isinstance(error, DefinitionError):
        error.where = error.where or str(asset.where)
        return error
    excerpt = error.excerpt if isinstance(error, QueryError) else None
    return DefinitionError(error.message, where=error.where, advice=error.advice, excerpt=excerpt)
