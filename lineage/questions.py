"""Questions a person asks of the past: which version is meant, what tables there are, SQL."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lineal.assets.errors import IntegrityError, QueryError, UsageError, did_you_mean
from lineal.assets.names import Step, identifier
from lineal.assets.records import Materialization, StoredObject
from lineal.lineage.facts import History

if TYPE_CHECKING:
    import duckdb

    from lineal.lineage.catalog import Catalog

_DIGEST = re.compile(r"[0-9a-f]{6,64}\Z")
# `"flights@e41c77"` or `"flights 2013-12@e41c77"` in a query: asset, perhaps partition, version.
_MENTIONED = re.compile(r'"([A-Za-z][A-Za-z0-9_/]*(?: [^"@]+)?@[0-9a-f]{6,64})"')
_SHORT = 6  # digits of a digest shown to people, at least


def resolve_version(history: History, text: str) -> Materialization:
    """The materialization meant by `flights@9f3a2c`, `flights 2013@9f3a2c`, `flights` (current).

    Of several materializations of one version: the current one, else the newest. Raises UsageError
    when there is none, or more than one version begins so.
    """
    step_text, at, digest = text.rpartition("@") if "@" in text else (text, "", "")
    asset, _, partition_text = step_text.partition(" ")
    partition = partition_text or None
    if not at:
        return _current(history, asset, partition)
    if not _DIGEST.match(digest):
        raise UsageError(
            f"`@{digest}` in `{text}` is no version",
            advice="give at least 6 hex digits of its digest, such as `flights@9f3a2c`",
        )
    found = [
        m for m in history.versions(asset, digest) if partition is None or m.partition == partition
    ]
    if not found:
        raise _unknown(history, asset, text)
    versions = {version_name(m, 64): m for m in reversed(found)}
    if len(versions) > 1:
        names = ", ".join(sorted(_distinct_names(found)))
        raise UsageError(f"`{text}` could be {names}", advice="give more of it")
    current = history.current(asset, found[0].partition)
    return current if current is not None and current in found else found[0]


def _current(history: History, asset: str, partition: str | None) -> Materialization:
    current = history.current(asset, partition)
    if current is not None:
        return current
    partitions = sorted(s.partition or "" for s in history.currents() if s.asset == asset)
    if partitions and partition is None:
        raise UsageError(
            f"`{asset}` has {len(partitions)} partitions",
            advice=f"name one, such as `{asset} {partitions[-1]}`",
        )
    raise _unknown(history, asset, str(Step(asset, partition)))


def _unknown(history: History, asset: str, text: str) -> UsageError:
    names = {step.asset for step in history.lasts()}
    if asset not in names:
        return UsageError(f"nothing was ever made of `{asset}`{did_you_mean(asset, names)}")
    return UsageError(
        f"there is no version `{text}`",
        advice=f"lineal show {asset}    lists the versions that are kept",
    )


def version_name(materialization: Materialization, digits: int = _SHORT) -> str:
    """`flights 2013-12@9f3a2c`; without `@…` when there is no content."""
    content = materialization.content
    step = str(materialization.step)
    return step if content is None else f"{step}@{content.digest[:digits]}"


def _distinct_names(materializations: Iterable[Materialization]) -> set[str]:
    """The versions' names, each with as many digits as tell them all apart."""
    everything = list(materializations)
    full = {version_name(m, 64) for m in everything}
    for digits in range(_SHORT, 65):
        names = {version_name(m, digits) for m in everything}
        if len(names) == len(full):
            return names
    return full


# --------------------------------------------------------------------------------- tables as views


class TableView(NamedTuple):
    """One table as SQL sees it: its names as (schema or None, view), its Parquet objects."""

    names: tuple[tuple[str | None, str], ...]
    objects: tuple[StoredObject, ...]


def table_views(history: History) -> list[TableView]:
    """A view for every table that is current; the partitions of an asset are one view.

    `a/b/c` is `a.b_c`, `a_b_c` and `"a/b/c"`; a spelling that two assets share is given to the
    asset whose very name it is, else to none.
    """
    tables: dict[str, list[Materialization]] = {}
    for step, materialization in history.currents().items():
        if materialization.content is not None and materialization.content.format == "parquet":
            tables.setdefault(step.asset, []).append(materialization)
    spellings = {asset: _spellings(asset) for asset in tables}
    claims = Counter(_folded(name) for names in spellings.values() for name in names)
    own = {_folded((None, asset)) for asset in tables}
    views = []
    for asset, parts in sorted(tables.items()):
        names = [
            name
            for name in spellings[asset]
            if name == (None, asset) or (claims[_folded(name)] == 1 and _folded(name) not in own)
        ]
        parts.sort(key=lambda m: m.partition or "")
        views.append(TableView(tuple(names), tuple(o for m in parts for o in _objects(m))))
    return views


def _folded(name: tuple[str | None, str]) -> tuple[str | None, str]:
    schema, view = name
    return schema and schema.casefold(), view.casefold()


def _spellings(asset: str) -> list[tuple[str | None, str]]:
    first, slash, rest = asset.partition("/")
    if not slash:
        return [(None, asset)]
    return [(None, asset), (None, identifier(asset)), (first, identifier(rest))]


def _objects(materialization: Materialization) -> Sequence[StoredObject]:
    return materialization.content.objects if materialization.content else ()


def mentioned_versions(history: History, query: str) -> list[TableView]:
    """A view for every kept version, a refused one too, that a query names as `"flights@e41c77"`.

    Raises UsageError as `resolve_version`, and when the version is not a table.
    """
    views = []
    for name in dict.fromkeys(_MENTIONED.findall(query)):
        materialization = resolve_version(history, name)
        content = materialization.content
        if content is None or content.format != "parquet":
            kind = content.format if content else "failure"
            raise UsageError(f"`{name}` is no table: {kind}", advice=f"lineal path {name}")
        views.append(TableView(((None, name),), content.objects))
    return views


# ---------------------------------------------------------------------------------------------- SQL

# A query with one of these looks at the list of tables, so every table has to be in it.
_LOOKS_AROUND = ("show", "describe", "information_schema", "duckdb_", "pg_", "pragma")
_NO_TABLE = re.compile(r'Table with name "?([^"\s]+)"? does not exist')


class Result(NamedTuple):
    """What a query answers, and a note when it came from a copy built from the journal."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    note: str | None


def ask(
    catalog: Catalog,
    history: History,
    path_of: Callable[[StoredObject], Path],
    query: str,
) -> Result:
    """Answer SQL over the current tables, any version it names, and `lineage.*`; read-only.

    `path_of` hands out the path of an object whose bytes it has checked.

    Raises:
        QueryError: the query can't run.
        IntegrityError: an object that it may be about is gone or damaged.
        UsageError: it names a version that is not there.
    """
    import duckdb

    views = table_views(history)
    wanted = [*_wanted(views, query), *mentioned_versions(history, query)]
    try:
        return _ask_once(catalog, wanted, path_of, query)
    except duckdb.Error as error:
        names = [view for table in views for _, view in table.names]
        raise _query_error(error, names) from error


def _ask_once(
    catalog: Catalog,
    tables: Iterable[TableView],
    path_of: Callable[[StoredObject], Path],
    query: str,
) -> Result:
    connection, note = catalog.connect_for_questions()
    try:
        show_tables(connection, tables, path_of)
        connection.execute(query)  # not `sql`: its errors have no place
        described = connection.description or []
        return Result([name for name, *_ in described], _rows(connection, described), note)
    finally:
        connection.close()


def _rows(
    connection: duckdb.DuckDBPyConnection, described: Sequence[Sequence[Any]]
) -> list[tuple[Any, ...]]:
    if not described:
        return []
    if not any("WITH TIME ZONE" in str(kind) for _, kind, *_ in described):
        rows: list[tuple[Any, ...]] = connection.fetchall()
        return rows
    # DuckDB makes such Python values with pytz only, which may not be there; Arrow doesn't.
    with warnings.catch_warnings():
        # It says that rows are copied once more; the other way would run the query again.
        warnings.simplefilter("ignore", UserWarning)
        table = connection.to_arrow_table()
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def show_tables(
    connection: duckdb.DuckDBPyConnection,
    tables: Iterable[TableView],
    path_of: Callable[[StoredObject], Path],
) -> None:
    """Show tables as views, under every name they have."""
    import duckdb

    from lineal.lineage.catalog import add_view

    for table in tables:
        if table.objects:
            paths = [str(path_of(o)) for o in table.objects]
            try:
                add_view(connection, table.names, paths)
            except duckdb.Error as error:
                name = table.names[0][1]
                raise IntegrityError(
                    f"the table `{name}` can't be read: {str(error).splitlines()[0]}",
                    where=paths[0],
                    advice="`lineal fsck --repair` sets the file aside and makes it again",
                ) from error


def _wanted(views: Sequence[TableView], query: str) -> list[TableView]:
    """The tables a query may be about: a view costs a look at its file, so not all of them."""
    text = query.casefold()
    if any(word in text for word in _LOOKS_AROUND):
        return list(views)
    return [v for v in views if any(_stands_in(text, name.casefold()) for _, name in v.names)]


def _stands_in(text: str, name: str) -> bool:
    """Does a name stand in a text as a word of its own?"""
    return name in text and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None


def _query_error(error: duckdb.Error, names: Sequence[str]) -> QueryError:
    text, _, place = str(error).partition("\n\nLINE ")
    number, _, line_and_caret = place.partition(": ")
    margin = len(f"LINE {number}: ")  # DuckDB puts the caret below the text and this margin
    lines = line_and_caret.split("\n")
    excerpt = "\n".join([lines[0], *(line[margin:] for line in lines[1:2])]) or None
    missing = _NO_TABLE.search(text)
    if missing is None:
        only = "`lineal sql` only reads: " if "read-only" in text else ""
        return QueryError(f"{only}{text.strip()}", excerpt=excerpt)
    name = missing.group(1)
    return QueryError(f"no table `{name}`{did_you_mean(name, names)}", excerpt=excerpt)
