"""Questions a person asks of the past: which version is meant, what tables there are, SQL."""

from __future__ import annotations

import datetime as dt
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lineal.assets.errors import IntegrityError, UsageError, did_you_mean
from lineal.assets.keys import in_order
from lineal.assets.names import Step, identifier
from lineal.assets.records import Content, Materialization, Retirement, StoredObject
from lineal.assets.versions import Meant, meant, moment
from lineal.lineage.facts import History
from lineal.lineage.statements import Known, check_is_question, query_error

if TYPE_CHECKING:
    import duckdb

    from lineal.lineage.catalog import Catalog
    from lineal.lineage.catalog_file import PlanRow

# `"flights@e41c77"`, `"flights 2013-12@e41c77"`, `"flights@r12.7"` or `"flights@2026-11-01"` in a
# query.
_AT = r"(?:[0-9a-f]{6,64}|r\d+\.\d+|\d{4}-[^\"]*)"
_MENTIONED = re.compile(rf'"([A-Za-z][A-Za-z0-9_/]*(?: [^"@]+)?@{_AT})"')
_LIKE_A_DAY = re.compile(r"[12][0-9]{3}[01][0-9][0-3][0-9]\Z")  # all hex digits: a digest
_SHORT = 6  # digits of a digest shown to people, at least


def spelled(history: History, text: str) -> str:
    """A name in a registry as that of what was registered: `delay_model@r12.7` for `delays@v3`.

    Raises:
        UsageError: the registry has no such version or alias.
    """
    if text.partition("@")[0] not in history.registries():
        return text
    registered = history.registries().named(text).registered
    return f"{Step(registered.asset, registered.partition)}@{registered.materialization}"


def past_meant(history: History, text: str) -> tuple[History, str]:
    """The past that a name is about, and the name in it: `flights@2026-11-01` is `flights` then.

    Raises:
        UsageError: nothing was current then, or the moment is none.
    """
    text = spelled(history, text)
    named = meant(text)
    if not named.is_moment:
        return history, text
    from lineal.lineage.moments import as_of

    when = moment(named.at, dt.datetime.now(dt.UTC))
    return as_of(history, when, named.asset), str(Step(named.asset, named.partition))


def resolve_version(history: History, text: str, partition: str | None = None) -> Materialization:
    """The materialization meant by `flights@9f3a2c`, `flights 2013@9f3a2c`, `flights` (current).

    `flights@r12.7` is that one, `delays@v3` what was registered, `flights@2026-11-01` what was
    current then. The partition may be told apart as well. Of several materializations of one
    version: the current one, else the newest. Raises UsageError when there is none, or more than
    one version begins so.
    """
    history, text = past_meant(history, text)
    named = meant(text, partition)
    if named.is_made:
        return _recorded(history, named, text)
    asset, partition, digest = named
    if not digest:
        return _current(history, asset, partition)
    found = [
        m for m in history.versions(asset, digest) if partition is None or m.partition == partition
    ]
    if not found:
        unknown = _unknown(history, asset, f"{Step(asset, partition)}@{digest}")
        if _LIKE_A_DAY.match(digest):
            unknown.advice = f"a date is written {digest[:4]}-{digest[4:6]}-{digest[6:]}"
        raise unknown
    versions = {version_name(m, 64): m for m in reversed(found)}
    if len(versions) > 1:
        names = ", ".join(sorted(_distinct_names(found)))
        raise UsageError(f"`{text}` could be {names}", advice="give more of it")
    current = history.current(asset, found[0].partition)
    return current if current is not None and current in found else found[0]


def _recorded(history: History, named: Meant, text: str) -> Materialization:
    """The one of this id, if it is of this step."""
    found = history.materialization(named.at)
    if found is None or found.asset != named.asset:
        raise UsageError(f"there is no materialization `{text}`")
    if named.partition is not None and named.partition != found.partition:
        raise UsageError(f"`{named.at}` is not of the partition {named.partition}")
    return found


def _current(history: History, asset: str, partition: str | None) -> Materialization:
    current = history.current(asset, partition)
    if current is not None and not _is_in_slices(current.content):
        return current
    partitions = in_order(history.partitions(asset))
    if partition is None and partitions:
        raise UsageError(
            f"`{asset}` has {len(partitions):,} partitions, and no version of its own",
            advice=f"name one: `lineal show {asset} --partition {partitions[-1]}`",
        )
    if partition is None:
        raise _unknown(history, asset, asset)
    retirement = history.retired(asset).get(partition)
    if retirement is not None:
        raise UsageError(
            f"`{Step(asset, partition)}` was retired: {retirement.reason}",
            advice=f"its versions are kept; the last one was `{_last_name(history, retirement)}`",
        )
    if partitions:
        told = f"`{asset}` has no partition `{partition}`{did_you_mean(partition, partitions)}"
        raise UsageError(told, advice=f"it has {partitions[0]} … {partitions[-1]}")
    raise _unknown(history, asset, str(Step(asset, partition)))


def _last_name(history: History, retirement: Retirement) -> str:
    made = history.materialization(retirement.materialization)
    return retirement.asset if made is None else version_name(made)


def _is_in_slices(content: Content | None) -> bool:
    """Is it the whole of an asset whose data is published slice by slice?"""
    return content is not None and content.format == "slices"


def _unknown(history: History, asset: str, text: str) -> UsageError:
    names = {step.asset for step in history.steps()}
    if asset not in names:
        names |= set(history.registries())
        return UsageError(f"nothing was ever made of `{asset}`{did_you_mean(asset, names)}")
    if text == asset:
        told = f"`{asset}` has no version that is current"
        return UsageError(told, advice=f"lineal why {asset}    says why")
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


def table_views(history: History, among: Iterable[str] | None = None) -> list[TableView]:
    """A view for every table that is current; the partitions of an asset are one view.

    `among`: for these assets alone, who must be all that have a spelling in common with one.

    `a/b/c` is `a.b_c`, `a_b_c` and `"a/b/c"`; a spelling that two assets share is given to the
    asset whose very name it is, else to none.
    """
    tables = {
        asset: _objects(history, asset) for asset in (_assets(history) if among is None else among)
    }
    tables = {asset: objects for asset, objects in tables.items() if objects}
    spellings = {asset: _spellings(asset) for asset in tables}
    claims = Counter(_folded(name) for names in spellings.values() for name in names)
    own = {_folded((None, asset)) for asset in tables}
    views = []
    for asset, objects in sorted(tables.items()):
        names = [
            name
            for name in spellings[asset]
            if name == (None, asset) or (claims[_folded(name)] == 1 and _folded(name) not in own)
        ]
        views.append(TableView(tuple(names), objects))
    return views


def _assets(history: History) -> dict[str, None]:
    return {step.asset: None for step in history.steps()}


def _objects(history: History, asset: str) -> tuple[StoredObject, ...]:
    """The files of the tables that are current of an asset, partition by partition."""
    # By partition; an asset that has some is no longer what it was without.
    parts = dict(history.partitions(asset))
    if len(parts) > 1:
        parts.pop(None, None)
    keys: list[str | None] = [*in_order(parts), *(key for key in parts if key is None)]
    return tuple(o for key in keys for o in parts[key].objects if parts[key].format == "parquet")


def _dotted(name: tuple[str | None, str]) -> str:
    return ".".join(filter(None, name))


def _folded(name: tuple[str | None, str]) -> tuple[str | None, str]:
    schema, view = name
    return schema and schema.casefold(), view.casefold()


def _spellings(asset: str) -> list[tuple[str | None, str]]:
    first, slash, rest = asset.partition("/")
    if not slash:
        return [(None, asset)]
    return [(None, asset), (None, identifier(asset)), (first, identifier(rest))]


def mentioned_versions(history: History, query: str) -> list[TableView]:
    """A view for every kept version, a refused one too, that a query names as `"flights@e41c77"`.

    `"flights@2026-11-01"` is the table as it was then, all its partitions together.

    Raises UsageError as `resolve_version`, and when the version is not a table.
    """
    views = []
    for name in dict.fromkeys(_MENTIONED.findall(query)):
        past, text = past_meant(history, name)
        objects = () if "@" in text else _objects(past, text)
        if not objects:
            content = resolve_version(past, text).content
            if content is None or content.format != "parquet":
                kind = content.format if content else "failure"
                raise UsageError(f"`{name}` is no table: {kind}", advice=f"lineal path {name}")
            objects = content.objects
        views.append(TableView(((None, name),), objects))
    return views


# ---------------------------------------------------------------------------------------------- SQL

# A query with one of these looks at the list of tables, so every table has to be in it.
_LOOKS_AROUND = ("show", "describe", "information_schema", "duckdb_", "pg_", "pragma")
# One with one of these may make up the name of a table that it reads.
_MAKES_UP_NAMES = re.compile(r"\bquery(_table)?\s*\(")
_PLAN = re.compile(r'\blineage"?\s*\.\s*"?plan\b', re.IGNORECASE)
_NAMES_ONLY = re.compile(r"\s*show\s+tables\s*;?\s*\Z")


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
    place_of: Callable[[StoredObject], Path] | None = None,
    plan: Callable[[], Sequence[PlanRow]] | None = None,
    declared: Callable[[], Iterable[str]] = tuple,
) -> Result:
    """Answer SQL over the current tables, any version it names, and `lineage.*`; read-only.

    `lineage.*` tells of all environments; `getvariable('environment')` is the one that is asked.
    `path_of` hands out the path of an object whose bytes it has checked; it is asked for those of
    the tables that the query names. `place_of` tells where an object lies without a look at it: for
    tables that the query only lists. `plan` makes what `lineage.plan` shows, if the query names it.
    `declared` names the project's assets, made or not, for what is said of a missing table.

    Raises:
        QueryError: the query is no question, or can't run.
        IntegrityError: an object that it may be about is gone or damaged.
        UsageError: it names a version that is not there.
    """
    check_is_question(query)
    views = table_views(history, _asked(history, query))
    named = [*_named(views, query), *mentioned_versions(history, query)]
    planned = plan() if plan is not None and _PLAN.search(query) else None
    shown = (named, _listed(views, named, query))

    def known(lineage: Iterable[str]) -> Known:
        """What could be meant by the name of a table that is not there."""
        assets = {*_assets(history), *declared()}
        tables = [_dotted(name) for table in table_views(history) for name in table.names]
        unmade = {_dotted(name): asset for asset in assets for name in _spellings(asset)}
        return Known((*tables, *lineage), {n: a for n, a in unmade.items() if n not in tables})

    paths = (path_of, place_of or path_of)
    return _ask_once(catalog, history.environment, shown, paths, query, planned, known)


_PathOf = Callable[[StoredObject], Path]


def _ask_once(
    catalog: Catalog,
    environment: str,
    tables: tuple[Iterable[TableView], Iterable[TableView]],
    paths: tuple[_PathOf, _PathOf],
    query: str,
    plan: Sequence[PlanRow] | None,
    known: Callable[[Iterable[str]], Known],
) -> Result:
    import duckdb

    connection, note = catalog.connect_for_questions(plan)
    try:
        connection.execute("set variable environment = ?", [environment])
        (named, listed), (path_of, place_of) = tables, paths
        if _NAMES_ONLY.match(query.casefold()):
            _show_names(connection, listed)
        else:
            show_tables(connection, listed, place_of)
        show_tables(connection, named, path_of)
        connection.execute(query)  # not `sql`: its errors have no place
        described = connection.description or []
        return Result([name for name, *_ in described], _rows(connection, described), note)
    except duckdb.Error as error:
        raise query_error(error, lambda: known(_lineage_names(connection))) from error
    finally:
        connection.close()


def _lineage_names(connection: duckdb.DuckDBPyConnection) -> list[str]:
    found = connection.execute("select name from (show all tables) where schema = 'lineage'")
    return [f"lineage.{name}" for (name,) in found.fetchall()]


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


def _show_names(connection: duckdb.DuckDBPyConnection, tables: Iterable[TableView]) -> None:
    """Views that hold nothing: for who asks for names only, no file is opened."""
    from lineal.lineage.catalog import add_empty_view

    for table in tables:
        add_empty_view(connection, table.names)


def _asked(history: History, query: str) -> list[str] | None:
    """The assets that a query may name, by any spelling; None: it may be about any asset."""
    text = query.casefold()
    if _MAKES_UP_NAMES.search(text) or any(word in text for word in _LOOKS_AROUND):
        return None

    def may_name(asset: str) -> bool:
        return any(_stands_in(text, name.casefold()) for _, name in _spellings(asset))

    return list(filter(may_name, _assets(history)))


def _named(views: Sequence[TableView], query: str) -> list[TableView]:
    """The tables a query may read, under the names it has for them.

    A view costs a look at all its files, so not all tables, and not under every name.
    """
    text = query.casefold()
    if _MAKES_UP_NAMES.search(text):
        return list(views)
    found = []
    for view in views:
        names = tuple(name for name in view.names if _stands_in(text, name[1].casefold()))
        if names:
            found.append(TableView(names, view.objects))
    return found


def _listed(views: Sequence[TableView], named: Sequence[TableView], query: str) -> list[TableView]:
    """The other tables and names, for a query that looks at the list of tables."""
    text = query.casefold()
    if not any(word in text for word in _LOOKS_AROUND):
        return []
    shown = {name for view in named for name in view.names}
    rest = ((tuple(n for n in view.names if n not in shown), view.objects) for view in views)
    return [TableView(names, objects) for names, objects in rest if names]


def _stands_in(text: str, name: str) -> bool:
    """Does a name stand in a text as a word of its own?"""
    return name in text and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) is not None
