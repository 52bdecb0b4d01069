"""Which SQL is a question: one statement that changes nothing; and what is wrong with others."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from lineal.assets.errors import QueryError, nearest

if TYPE_CHECKING:
    import duckdb

_ANALYZED = re.compile(r"\s*explain\s*(?:analyze\b|\([^)]*\banalyze\b[^)]*\))", re.IGNORECASE)
_READING_PRAGMA = re.compile(
    r"\s*pragma\s+(show\w*|table_info|storage_info|database_list|database_size|version|platform)\b",
    re.IGNORECASE,
)
_PIVOT = re.compile(r"\b(un)?pivot\b", re.IGNORECASE)
_NO_TABLE = re.compile(r'Table with name "?([^"\s]+)"? does not exist')


class Known(NamedTuple):
    """The names of tables, and of assets of which there is no table, by every spelling."""

    tables: Sequence[str]
    unmade: Mapping[str, str]


def check_is_question(query: str) -> None:
    """Let one statement pass that only reads.

    Raises:
        QueryError: it does something else, there are several, or it can't be parsed.
    """
    import duckdb

    with duckdb.connect(":memory:") as connection:
        try:
            statements = connection.extract_statements(query)
        except duckdb.Error as error:
            raise query_error(error) from error
        if len(statements) > 1:
            raise QueryError(
                f"these are {len(statements)} statements, and one is answered at a time",
                advice="ask them one by one, or join them: `with a as (…) select … from a`",
            )
        for statement in statements:
            text, kind = statement.query, statement.type.name
            if not _only_reads(connection, text, kind):
                raise _refused(text, kind)


def _only_reads(connection: duckdb.DuckDBPyConnection, text: str, kind: str) -> bool:
    if kind == "EXPLAIN":
        return _explains(connection, text)
    if kind == "PRAGMA":
        return _READING_PRAGMA.match(text) is not None
    if kind == "MULTI":  # a pivot looks for its columns first
        return _PIVOT.search(text) is not None
    return kind == "SELECT"


def _explains(connection: duckdb.DuckDBPyConnection, text: str) -> bool:
    """`explain analyze` runs the statement: that must be a question too."""
    import duckdb

    if "analyze" not in text.casefold():
        return True
    head = _ANALYZED.match(text)
    if head is None:
        return False
    try:
        inner = connection.extract_statements(text[head.end() :])
    except duckdb.Error:
        return False
    return [each.type.name for each in inner] == ["SELECT"]


def _refused(text: str, kind: str) -> QueryError:
    first = text.split(maxsplit=1)[0].rstrip(";(").lower()
    advice = "ask with `select`, `from`, `describe`, `summarize`, `show tables` or `explain`"
    if kind in ("COPY", "EXPORT"):
        advice = 'write the answer to a file: `lineal sql "from …" --format csv > answer.csv`'
    elif kind in ("CREATE", "PREPARE", "EXECUTE"):
        advice = "name a part of the query in it: `with a as (…) select … from a`"
    elif kind in ("ATTACH", "LOAD"):
        advice = "with `import duckdb` a program can; `lineal path` says where the tables are"
    return QueryError(f"`lineal sql` only reads, and `{first}` does not", advice=advice)


def query_error(error: duckdb.Error, known: Callable[[], Known] | None = None) -> QueryError:
    """What DuckDB says of a query, at its place; of a missing table what could be meant.

    Args:
        known: looks for what could be meant, if a table is missing.
    """
    text, _, place = str(error).partition("\n\nLINE ")
    number, _, line_and_caret = place.partition(": ")
    margin = len(f"LINE {number}: ")  # DuckDB puts the caret below the text and this margin
    lines = line_and_caret.split("\n")
    excerpt = "\n".join([lines[0], *(line[margin:] for line in lines[1:2])]) or None
    missing = _NO_TABLE.search(text)
    if missing is None or known is None:
        only = "`lineal sql` only reads: " if "read-only" in text else ""
        return QueryError(f"{only}{text.strip()}", excerpt=excerpt)
    return _no_table(missing.group(1), known(), excerpt)


def _no_table(name: str, known: Known, excerpt: str | None) -> QueryError:
    folded = {spelling.casefold(): asset for spelling, asset in known.unmade.items()}
    asset = folded.get(name.casefold())
    if asset is not None:
        told = f"no table `{name}`: nothing that is a table is current of `{asset}`"
        return QueryError(told, advice=f"lineal why {asset}    says why", excerpt=excerpt)
    meant = {table.rpartition(".")[2]: table for table in known.tables}  # DuckDB drops the schema
    meant |= {table: table for table in known.tables}
    near = nearest(name, meant)
    hint = f"; did you mean `{meant[near]}`?" if near else ""
    return QueryError(f"no table `{name}`{hint}", excerpt=excerpt)
