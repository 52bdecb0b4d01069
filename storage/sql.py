"""What a SQL text says before it runs: its tables, parameters, recipe and row order.

DuckDB's own parser and tokenizer decide, so what is found here is what will run; sqlglot is asked
only about the few statements whose tree DuckDB does not show (a PIVOT without its IN list). The
facts are plain values, kept by text and DuckDB version, so that a no-op imports no SQL parser.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Collection, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from lineal.assets.asset import Query
from lineal.assets.digest import digest_of
from lineal.assets.errors import DefinitionError, QueryError
from lineal.assets.names import identifier
from lineal.disk import Disk, keep, kept
from lineal.storage.sql_order import OrderFacts, order_facts
from lineal.storage.sql_text import query_error, tokens, without_comments
from lineal.storage.sql_walk import (
    BARE_CLOCKS,
    NOT_SELECT,
    Seen,
    TableReference,
    Walk,
    tables_without_tree,
)

__all__ = [
    "OrderFacts",
    "Queries",
    "Spellings",
    "SqlFacts",
    "TableReference",
    "describe",
    "query_error",
    "resolve",
    "spellings",
]

SCHEME = "sql/1"  # part of the recipe and of the cache's keys


class SqlFacts(NamedTuple):
    """Everything lineal knows of a query from its text alone."""

    tables: tuple[TableReference, ...]
    parameters: tuple[str, ...]
    tokens_digest: str  # the recipe: nothing but comments and form leaves it as it is
    normalised: str
    text: str  # as it was written, without comments
    order: OrderFacts
    opaque: tuple[str, ...]  # sentences: what could not be seen
    volatile: bool  # reads a clock, randomness or the state of DuckDB


# --------------------------------------------------------------------------------- spellings


def spellings(asset: str) -> tuple[str, ...]:
    """How a query may write an asset: `raw/orders` → `raw.orders`, `raw_orders`, `"raw/orders"`."""
    segments = asset.split("/")
    dotted = (".".join(segments),) if len(segments) == 2 else ()
    quoted = (f'"{asset}"',) if len(segments) > 1 else ()
    return (*dotted, identifier(asset), *quoted)


class Spellings:
    """The assets of a graph by every way to write them in SQL."""

    def __init__(self, asset_names: Iterable[str]):
        self._exact: dict[str, str] = {}
        self._joined: dict[str, list[str]] = {}
        for name in asset_names:
            self._exact[name.casefold()] = name
            self._joined.setdefault(identifier(name).casefold(), []).append(name)

    def resolve(self, reference: TableReference) -> str | None:
        """The asset a reference means, or None; raises DefinitionError when it may mean two."""
        parts = [part.casefold() for part in reference.parts]
        if parts[:2] == ["memory", "main"] and len(parts) == 3:
            parts = parts[2:]
        elif parts[:1] == ["main"] and len(parts) == 2:
            parts = parts[1:]
        if len(parts) == 1 and "/" not in parts[0]:
            return self._by_identifier(reference, parts[0])
        found = self._exact.get("/".join(parts))
        if found is not None and len(parts) > 2:
            raise DefinitionError(
                f"`{reference.text}` has three parts: SQL reads the first as a database",
                advice=f'write `{identifier(found)}` or `"{found}"`',
            )
        return found

    def _by_identifier(self, reference: TableReference, spelt: str) -> str | None:
        candidates = sorted(self._joined.get(spelt, ()))
        if len(candidates) > 1:
            clear = [spellings(name)[0] for name in candidates if identifier(name) != name]
            raise DefinitionError(
                f"`{reference.text}` may be {' or '.join(f'`{name}`' for name in candidates)}",
                advice=f"write {' or '.join(f'`{c}`' for c in clear)}, or rename one of them",
            )
        return candidates[0] if candidates else None


def resolve(reference: TableReference, asset_names: Collection[str]) -> str | None:
    """The asset a reference means, in any of the three spellings, whatever its case."""
    return Spellings(asset_names).resolve(reference)


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
        self._new: dict[str, SqlFacts] = {}
        self._lock = threading.Lock()

    def describe(self, query: Query) -> SqlFacts:
        """The facts of one query; raises QueryError at its own line if it can't be an asset."""
        macros = [macro.text for macro in query.macros]
        key = digest_of((SCHEME, self._version, query.text, macros))
        with self._lock:
            known = self._new.get(key) or _from_json(self._kept.get(key))
            if known is None:
                known = self._new[key] = self._describe(query)
        return known

    def save(self) -> None:
        """Write what is new, by replacement; a lost or torn cache only costs time."""
        if self._path is None or not self._new:
            return
        keep(self._path, json.dumps({**self._kept, **self._new}).encode(), Disk())

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
            seen = Walk(query, self._tree, self._unsteady).over(tree)
            names, order = seen.names, order_facts(tree, self._aggregates, self._text)
        words = list(tokens(query.text, names))
        if tree is None:
            seen.clocks.extend(w for w in words if w.casefold() in self._unsteady | {"sample"})
            seen.opaque.append("DuckDB does not show how it reads this statement")
        return SqlFacts(
            tables=tuple(dict.fromkeys(table for _, table in sorted(seen.tables))),
            parameters=_parameters(query, statement.named_parameters),
            tokens_digest=digest_of([SCHEME, words]),
            normalised=" ".join(words),
            text=without_comments(query.text),
            order=order,
            opaque=tuple(dict.fromkeys(seen.opaque)),
            volatile=bool(seen.clocks),
        )

    # ------------------------------------------------------------------- DuckDB's own parser

    @cached_property
    def _parser(self) -> Any:
        import duckdb

        return duckdb.connect(
            ":memory:", config={"threads": 1, "python_enable_replacements": False}
        )

    def _statement(self, query: Query) -> Any:
        """The one SELECT that the text is."""
        import duckdb

        try:
            found = self._parser.extract_statements(query.text)
        except duckdb.Error as error:
            raise query_error(query, error) from error
        if len(found) != 1:
            what = f"{len(found)} statements" if found else "no statement"
            raise QueryError(
                f"a SQL asset is one SELECT; this text holds {what}",
                where=str(query.where),
                advice="make each its own asset, or join them with WITH",
            )
        verb = next(tokens(query.text, None)).casefold()
        kind = found[0].type.name
        if kind == "SELECT" or (kind == "MULTI" and verb in _PIVOTING):
            return found[0]
        raise QueryError(
            f"`{verb.upper()}` can't be a SQL asset",
            where=str(query.where),
            advice=_advice_for(verb),
        )

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


def _advice_for(verb: str) -> str:
    if verb in ("copy", "attach", "import", "export"):
        return "files come in by `source(name, path)`; `lineal path ASSET` says where results are"
    if verb in ("set", "pragma", "reset", "install", "load", "use", "call"):
        return "lineal runs every query with the same fixed settings"
    return NOT_SELECT


def _from_json(row: Any) -> SqlFacts | None:
    """Facts from a row of the cache; None when there is none or it is not one."""
    try:
        tables, parameters, tokens_digest, normalised, text, order, opaque, volatile = row
        kind, keys, extended = order
        return SqlFacts(
            tuple(TableReference(text, tuple(parts)) for text, parts in tables),
            tuple(parameters),
            tokens_digest,
            normalised,
            text,
            OrderFacts(kind, tuple(keys), extended),
            tuple(opaque),
            bool(volatile),
        )
    except (TypeError, ValueError):
        return None
