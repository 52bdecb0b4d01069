-- The table macros of schema `lineage`. Closures recurse by plain UNION over a table of edges: that ends
-- on cycles, and a view of distinct edges would be asked again at every step.

-- Every version that went into these bytes, in any way they ever arose. `v`: a version, or how it begins.
create macro upstream_of(v) as table
with recursive reached(id) as (
    select i.source_version from lineage.input i where starts_with(i.version, v)
    union
    select i.source_version from reached r join lineage.input i on i.version = r.id
)
select w.* from reached r join lineage.version w on w.id = r.id;

-- Every version these bytes went into, in any way they ever arose: all that must go if they must.
create macro downstream_of(v) as table
with recursive reached(id) as (
    select i.version from lineage.input i where starts_with(i.source_version, v) and i.version is not null
    union
    select i.version from reached r join lineage.input i on i.source_version = r.id
    where i.version is not null
)
select w.* from reached r join lineage.version w on w.id = r.id;

-- The materializations that one materialization was in fact computed from. `m`: its id.
create macro derived_from(m) as table
with recursive reached(id) as (
    select d.source_materialization from lineage.derivation d where d.materialization = m
    union
    select d.source_materialization from reached r
    join lineage.derivation d on d.materialization = r.id
)
select w.* from reached r join lineage.materialization w on w.id = r.id;
