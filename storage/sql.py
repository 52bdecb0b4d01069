"""What a SQL text says before it runs: its tables, parameters, recipe and row order.

DuckDB's own parser and tokenizer decide, so what is found here is what will run; sqlglot is asked
only about the few statements whose tree DuckDB does not show (a PIVOT without its IN list). The
facts are plain values, kept by text and DuckDB version, so that a no-op imports no SQL parser.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from lineal.assets.asset import Macro, MacroFile, Query, Where
from lineal.assets.digest import digest_of
from lineal.assets.errors import QueryError
from lineal.assets.ports import Shape, Sight
from lineal.disk import Disk, keep, kept
from lineal.storage.kinds import kind_of
from lineal.storage.spellings import Spellings, resolve, spellings
from lineal.storage.sql_facts import (
    SqlFacts,
    facts_from,
    macros_from,
    sights_from,
    with_macros,
    words_of,
)
from lineal.storage.sql_macros import at_its_name, cut, shape_of
from lineal.storage.sql_order import OrderFacts, holds_rows, order_facts
from lineal.storage.sql_text import begin_of, locate, named, query_error, tokens, without_comments
from lineal.storage.sql_walk import (
    BARE_CLOCKS,
    Seen,
    TableReference,
    Walk,
    advice_for,
    is_reserved,
    tables_without_tree,
)

__all__ = [
    "NO_TREE",
    "OrderFacts",
    "Queries",
    "Spellings",
    "SqlFacts",
    "TableReference",
    "describe",
    "query_error",
    "resolve",
    "spellings",
    "words_of",
]

_T = TypeVar("_T")

# Why DuckDB does not show the tree of a statement.
NO_TREE = (
    "DuckDB does not show how it reads this statement",
    "a PIVOT without `in (…)` has columns for the values it finds: list them to read fewer columns",
)
SCHEME = "sql/1"  # part of the recipe and of the cache's keys
_SIGHTS = "sights/2"
_MOST_KEPT = 20_000  # texts and sights; a few hundred bytes each


# ---------------------------------------------------------------------------------- describe

# Functions whose stability DuckDB does not tell, or tells wrongly for our purpose.
_UNTOLD = BARE_CLOCKS | {"current_localtime", "current_localtimestamp", "reservoir_quantile"}
# How a statement with a PIVOT that DuckDB expands into several may begin.
_PIVOTING = frozenset({"pivot", "pivot_wider", "with", "from", "select", "("})
_STEADY = frozenset({"error", "vector_type", "stats"})


def describe(query: Query, queries: Queries | None = None) -> SqlFacts:
    """The facts of one query; `queries` remembers them."""
    return (queries or Queries()).describe(query)


class Queries:
    """Describes SQL texts and remembers the facts in a file, by text and DuckDB version.

    Args:
        cache_path: `cache/queries.json`; None remembers for this object's life only.
        duckdb_version: part of the keys; the caller knows it without importing DuckDB.
    """

    def __init__(self, cache_path: Path | None = None, duckdb_version: str = ""):
        self._path = cache_path
        self._version = duckdb_version
        self._known: dict[str, Any] = {}  # what was asked for, by key
        self._keys: dict[tuple[str, Hashable], str] = {}
        self._lock = threading.RLock()

    def describe(self, query: Query) -> SqlFacts:
        """The facts of one query; raises QueryError at its own line if it can't be an asset."""
        own = self._remembered("query", query.text, facts_from, lambda: self._describe(query))
        return with_macros(own, [(each, self.describe_macro(each)) for each in query.macros])

    def describe_macro(self, macro: Macro) -> SqlFacts:
        """The facts of one macro; its order is `plain` if it leaves that of a scan as it is."""
        return self._remembered(
            "macro", macro.text, facts_from, lambda: self._describe_macro(macro)
        )

    def macros(self, file: MacroFile) -> list[Macro]:
        """The macros of a file; raises QueryError at the line of what is none."""
        path, first = file.where

        def made() -> list[tuple[str, str, int, bool]]:
            found = self._cut(Query(file.text, file.where))
            return [(name, text, where.line - first, table) for name, text, where, table in found]

        rows = self._remembered("macros", file.text, macros_from, made)
        return [Macro(name, text, Where(path, first + n), table) for name, text, n, table in rows]

    def sights(
        self, query: Query, shapes: Mapping[str, Shape], parameters: Mapping[str, Any]
    ) -> Mapping[str, Sight]:
        """Which columns of its inputs a query reads: `lineal.assets.ports.Sights`."""
        facts = self.describe(query)
        kinds = {name: kind_of(parameters.get(name)) for name in facts.parameters}
        texts = (query.text, *(macro.text for macro in query.macros))

        def made() -> dict[str, Sight]:
            from lineal.storage.sql_columns import sights

            return sights(self._scratch, query, facts, shapes, kinds)

        asked = (_SIGHTS, texts, tuple(sorted(shapes.items())), tuple(sorted(kinds.items())))
        return self._remembered("sights", asked, sights_from, made)

    def _remembered(
        self, what: str, asked: Hashable, read: Callable[[Any], _T | None], make: Callable[[], _T]
    ) -> _T:
        """What is known of a text already, or is now."""
        with self._lock:
            key = self._keys.get((what, asked))
            if key is None:
                key = self._keys[what, asked] = digest_of((SCHEME, self._version, what, asked))
            known: _T | None = self._known.get(key)
            if known is None:
                known = read(self._kept.get(key))
            if known is None:
                known = make()
            self._known[key] = known
        return known

    def save(self) -> None:
        """Write what is new, by replacement; a lost or torn cache only costs time.

        What was asked for last is kept longest.
        """
        if self._path is None or self._known.keys() <= self._kept.keys():
            return
        others = [item for item in self._kept.items() if item[0] not in self._known]
        room = max(0, _MOST_KEPT - len(self._known))
        body = {**dict(others[-room:] if room else ()), **self._known}
        keep(self._path, json.dumps(body).encode(), Disk())

    @cached_property
    def _kept(self) -> dict[str, Any]:
        body = None if self._path is None else kept(self._path)
        return {} if body is None else dict(json.loads(body))

    def _describe(self, query: Query) -> SqlFacts:
        statement = self._statement(query)
        tree = self._tree(query.text)
        if tree is None:
            seen, names, order = Seen(), None, OrderFacts()
            seen.tables.extend(enumerate(tables_without_tree(query)))
        else:
            seen = self._walk(query).over(tree)
            names, order = seen.names, order_facts(tree, self._aggregates, self._text)
        words = list(tokens(query.text, names))
        if tree is None:
            bare = [word.strip('"').casefold() for word in words]
            seen.calls |= {word for word, after in pairwise(bare) if after == "("}
            for word in bare:
                if word in self._unsteady | {"sample"} or word in seen.calls & {"age"}:
                    seen.clocks.append(f"`{word}()`" if word in seen.calls else f"`{word}`")
            seen.opaque.append(NO_TREE[statement.type.name == "MULTI"])
        return SqlFacts(
            tables=tuple(dict.fromkeys(table for _, table in sorted(seen.tables))),
            parameters=_parameters(query, statement.named_parameters),
            tokens_digest=digest_of([SCHEME, words]),
            normalised=" ".join(words),
            text=without_comments(query.text),
            order=order,
            opaque=tuple(dict.fromkeys(seen.opaque)),
            clocks=tuple(dict.fromkeys(seen.clocks)),
            calls=self._unknown(seen.calls),
            passed=tuple(seen.passed),
        )

    def _describe_macro(self, macro: Macro) -> SqlFacts:
        query = named(macro)
        shape = shape_of(query)
        data, walk = macro.text.encode(), self._walk(query, shape.parameters)
        plain = not macro.table
        for part in shape.parts:
            tree = self._tree(part.padded(data))
            if tree is None:
                raise QueryError(
                    f"DuckDB does not show how it reads the macro `{macro.name}`",
                    where=str(macro.where),
                    advice="write it in another way",
                )
            walk.over(tree)
            plain = plain and not holds_rows(tree, self._aggregates)
        seen = walk.seen
        if seen.parameters:
            where, excerpt = locate(query, seen.parameters[0])
            raise QueryError(
                f"the macro `{macro.name}` can't see the parameters of a query",
                where=where,
                advice="give the macro a parameter, and the value where it is called",
                excerpt=excerpt,
            )
        words = list(tokens(macro.text, seen.names | {*shape.parameters, macro.name}))
        return SqlFacts(
            tables=tuple(dict.fromkeys(table for _, table in seen.tables)),
            parameters=tuple(name.casefold() for name in shape.parameters),
            tokens_digest=digest_of([SCHEME, words]),
            normalised=" ".join(words),
            text=without_comments(macro.text),
            order=OrderFacts("plain" if plain else "free"),
            opaque=tuple(f"in the macro `{macro.name}`: {told}" for told in seen.opaque),
            clocks=tuple(
                f"{told} in the macro `{macro.name}`" for told in dict.fromkeys(seen.clocks)
            ),
            calls=self._unknown(seen.calls),
            passed=tuple(seen.passed),
        )

    def lacks(self, function: str) -> bool:
        """Is there surely no function of this name?"""
        import duckdb

        for text in (f"select {function}(1)", f"from {function}(1)"):
            try:
                self._parser.sql(text)
            except duckdb.CatalogException:
                continue
            except duckdb.Error:
                pass
            return False
        return True

    def _walk(self, query: Query, parameters: Iterable[str] = ()) -> Walk:
        names = frozenset(name.casefold() for name in parameters)
        return Walk(query, self._tree, self._unsteady, self._known_functions, names)

    def _unknown(self, called: Iterable[str]) -> tuple[str, ...]:
        """The functions that are not DuckDB's own: macros of the project, if any."""
        names = {name.strip('"').casefold() for name in called}
        return tuple(sorted(names - self._known_functions))

    def _cut(self, file: Query) -> Iterator[Macro]:
        """The macros of a file; one may not stand in for a function of DuckDB's."""
        for macro in cut(file, [found.query for found in self._statements(file)]):
            name = macro.name.casefold()
            if name in self._known_functions | self._keywords or is_reserved(name):
                where, excerpt = at_its_name(macro)
                raise QueryError(
                    f"`{macro.name}` is a word of DuckDB's own: a macro can't take its place",
                    where=where,
                    advice="give the macro another name",
                    excerpt=excerpt,
                )
            self.describe_macro(macro)
            yield macro

    # ------------------------------------------------------------------- DuckDB's own parser

    @cached_property
    def _parser(self) -> Any:
        import duckdb

        return duckdb.connect(
            ":memory:", config={"threads": 1, "python_enable_replacements": False}
        )

    @cached_property
    def _scratch(self) -> Any:
        from lineal.storage.sql_plans import Scratch

        return Scratch()

    def _statement(self, query: Query) -> Any:
        """The one SELECT that the text is."""
        found = self._statements(query)
        if len(found) != 1:
            what = f"{len(found)} statements" if found else "no statement"
            where, excerpt = locate(query, begin_of(query.text, 1))
            raise QueryError(
                f"a SQL asset is one SELECT; this text holds {what}",
                where=where,
                advice="make each its own asset, or join them with WITH",
                excerpt=excerpt,
            )
        verb = next(tokens(query.text, None)).casefold()
        kind = found[0].type.name
        if kind == "SELECT" or (kind == "MULTI" and verb in _PIVOTING):
            return found[0]
        where, excerpt = locate(query, begin_of(query.text, 0))
        raise QueryError(
            f"`{verb.upper()}` can't be a SQL asset",
            where=where,
            advice=advice_for(verb),
            excerpt=excerpt,
        )

    def _statements(self, query: Query) -> list[Any]:
        import duckdb

        try:
            found: list[Any] = self._parser.extract_statements(query.text)
        except duckdb.Error as error:
            raise query_error(query, error) from error
        return found

    def _tree(self, text: str) -> dict[str, Any] | None:
        """The parsed statement, or None when DuckDB can't show it."""
        rows = self._parser.sql(
            "select json_serialize_sql($text::varchar, skip_null := true, skip_empty := true,"
            " skip_default := true)",
            params={"text": text},
        ).fetchall()
        try:
            answer = json.loads(rows[0][0])
        except RecursionError:
            return None
        return None if answer["error"] else dict(answer["statements"][0])

    def _text(self, tree: dict[str, Any]) -> str:
        """The SQL text of a tree, or nothing when DuckDB can't write it."""
        import duckdb

        whole = json.dumps({"error": False, "statements": [tree]})
        try:
            rows = self._parser.sql(
                "select json_deserialize_sql($tree::json)", params={"tree": whole}
            ).fetchall()
        except duckdb.Error:
            return ""
        return str(rows[0][0])

    @cached_property
    def _functions(self) -> list[tuple[str, str, str, str]]:
        """(name, kind, stability, body of a macro) of every function DuckDB has."""
        found: list[tuple[str, str, str, str]] = self._parser.sql(
            "select lower(function_name), function_type, coalesce(stability, 'CONSISTENT'),"
            " lower(coalesce(macro_definition, '')) from duckdb_functions()"
        ).fetchall()
        return found

    @cached_property
    def _known_functions(self) -> frozenset[str]:
        return frozenset(name for name, _, _, _ in self._functions)

    @cached_property
    def _keywords(self) -> frozenset[str]:
        """Words that can't be called, or have a call of their own (`coalesce`)."""
        found = self._parser.sql(
            "select keyword_name from duckdb_keywords() where keyword_category != 'unreserved'"
        ).fetchall()
        return frozenset(name for (name,) in found)

    @cached_property
    def _aggregates(self) -> frozenset[str]:
        return frozenset(name for name, kind, _, _ in self._functions if kind == "aggregate")

    @cached_property
    def _unsteady(self) -> frozenset[str]:
        """Functions that may answer differently in two runs, macros over them included."""
        found = {n for n, _, stability, _ in self._functions if stability != "CONSISTENT"}
        found = (found | _UNTOLD) - _STEADY
        macros = {name: set(re.findall(r"\w+", body)) for name, _, _, body in self._functions}
        return frozenset(found | {name for name, words in macros.items() if words & found})


def _parameters(query: Query, names: Iterable[str]) -> tuple[str, ...]:
    for name in names:
        if not name.isidentifier():
            raise QueryError(
                "the parameters of a SQL asset have names",
                where=str(query.where),
                advice="write `$minimum` and declare `minimum` as a parameter, not `?` or `$1`",
            )
    return tuple(sorted(names))
