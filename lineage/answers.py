"""Answers in SQL: the history as `lineage.*`, every current table as a view, nothing can change."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import duckdb

from lineal.assets.errors import QueryError, did_you_mean
from lineal.assets.records import StoredObject
from lineal.lineage.catalog import Catalog, add_view
from lineal.lineage.facts import History
from lineal.lineage.questions import mentioned_versions, table_views

_NO_TABLE = re.compile(r"Table with name (\S+) does not exist")


def ask(
    catalog: Catalog, history: History, query: str, path: Callable[[StoredObject], str]
) -> tuple[list[str], list[tuple[Any, ...]], str | None]:
    """Run one query; (columns, rows, note). The note says when a private copy answered.

    Raises:
        QueryError: the query can't run; with its line and a caret.
    """
    connection, note = catalog.connect_for_questions()
    try:
        names: list[str] = []
        for view in (*table_views(history), *mentioned_versions(history, query)):
            add_view(connection, view.names, [path(o) for o in view.objects])
            names.extend(name for _, name in view.names)
        try:
            result = connection.execute(query)
            columns = [column[0] for column in result.description or ()]
            return columns, result.fetchall(), note
        except duckdb.Error as error:
            raise _explained(error, query, names) from error
    finally:
        connection.close()


def _explained(error: duckdb.Error, query: str, names: Sequence[str]) -> QueryError:
    text = str(error)
    first = text.partition("\n")[0].partition(": ")[2] or text.partition("\n")[0]
    if "read-only" in text:
        first = f"`lineal sql` only reads: {first}"
    missing = _NO_TABLE.search(text)
    if missing is not None:
        name = missing.group(1)
        first = f"no table `{name}`{did_you_mean(name, names)}"
    excerpt = "\n".join(
        row for row in text.splitlines() if row.startswith("LINE ") or set(row.strip()) == {"^"}
    )
    return QueryError(first.rstrip("!"), excerpt=excerpt or None)
