"""Column lineage in the catalog: which materializations of queries have the same, found once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lineal.lineage.columns import Given, edges
from lineal.lineage.sql_trees import Trees

if TYPE_CHECKING:
    import duckdb

# The queries made since an entry: their code, the columns of their inputs and their own.
_MADE = """
    with step as (
        select id, code, version from lineage.materialization
        where entry > $after and kind = 'sql' and version is not null
    ),
    read as (
        select i.materialization, i.position, i.parameter, i.asset, i.source_version
        from lineage.input i semi join step on step.id = i.materialization
        where i.mode <> 'none'
    ),
    shape as (
        select c.version, list(c.name order by c.position) as names
        from lineage.version_column c
        semi join (
            select version from step union all select source_version from read
        ) v using (version)
        group by c.version
    ),
    given as (
        select materialization, list([parameter, asset] || names order by position) as inputs
        from (
            select r.materialization, r.parameter, r.asset, s.names, min(r.position) as position
            from read r join shape s on s.version = r.source_version
            group by all
        )
        group by materialization
    ),
    made as (
        select step.id, step.code, coalesce(given.inputs, []) as inputs,
            coalesce(shape.names, []) as output,
            md5(to_json([[[step.code]], given.inputs, [shape.names]])::varchar) as edges
        from step
        left join given on given.materialization = step.id
        left join shape on shape.version = step.version
    )
"""
_NEW = """,
    missing as (
        select edges, any_value(code) as code, any_value(inputs) as inputs,
            any_value(output) as output
        from made
        where edges not in (select edges from lineage.edge_set)
        group by edges
    ),
    written as (
        select p.code, list([p.kind, p.text] order by p.position) as texts
        from lineage.code_part p semi join missing using (code)
        where p.kind in ('sql', 'macro')
        group by p.code
    )
    select edges, coalesce(texts, []), inputs, output from missing left join written using (code)
    order by edges
"""


def new_edges(connection: duckdb.DuckDBPyConnection, after: int) -> list[tuple[Any, ...]]:
    """Enter which edges each query made since an entry has; the rows missing in `column_edge`."""
    since = {"after": after}
    new = connection.execute(_MADE + _NEW, since).fetchall()
    connection.execute(
        f"insert into lineage.edge_set {_MADE} select id, edges from made order by id", since
    )
    trees = Trees()
    rows: list[tuple[Any, ...]] = []
    for name, texts, inputs, output in new:
        text = next((text for kind, text in texts if kind == "sql"), "")
        macros = [text for kind, text in texts if kind == "macro"]
        given = _given(inputs)
        rows += [(name, *edge) for edge in edges(text, macros, given, output, trees)]
    return rows


def _given(inputs: list[list[str]]) -> list[Given]:
    """The inputs; of several partitions with different columns all of these."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for parameter, asset, *names in inputs:
        found.setdefault((parameter, asset), {}).update(dict.fromkeys(names))
    return [Given(*key, tuple(names)) for key, names in found.items()]
