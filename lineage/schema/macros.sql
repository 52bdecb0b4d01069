-- The table macros of schema `lineage`. Closures recurse by plain UNION over a table of edges: that ends
-- on cycles, and a view of distinct edges would be asked again at every step.

-- What the edges call a materialization: the number of its run, and its own below it.
create macro materialization_node(m) as
(try_cast(split_part(m, '.', 1)[2:] as bigint) << 32) + try_cast(split_part(m, '.', 2) as bigint);

-- Every version that went into these bytes, in any way they ever arose. `v`: a version, or how it begins.
create macro upstream_of(v) as table
with recursive reached(node) as (
    select e.source_node
    from lineage.version s join lineage.version_edge e on e.node = s.node
    where starts_with(s.id, v)
    union
    select e.source_node from reached r join lineage.version_edge e on e.node = r.node
)
select w.* from reached r join lineage.version w on w.node = r.node;

-- Every version these bytes went into, in any way they ever arose: all that must go if they must.
create macro downstream_of(v) as table
with recursive reached(node) as (
    select e.node
    from lineage.version s join lineage.version_edge e on e.source_node = s.node
    where starts_with(s.id, v)
    union
    select e.node from reached r join lineage.version_edge e on e.source_node = r.node
)
select w.* from reached r join lineage.version w on w.node = r.node;

-- The materializations that one materialization was in fact computed from. `m`: its id.
create macro derived_from(m) as table
with recursive reached(node) as (
    select e.source_node from lineage.derivation_edge e
    where e.node = lineage.materialization_node(m)
    union
    select e.source_node from reached r join lineage.derivation_edge e on e.node = r.node
)
select w.* from reached r join lineage.materialization w on w.node = r.node;

-- The materializations that were in fact computed from one. `m`: its id.
create macro derived_into(m) as table
with recursive reached(node) as (
    select e.node from lineage.derivation_edge e
    where e.source_node = lineage.materialization_node(m)
    union
    select e.node from reached r join lineage.derivation_edge e on e.source_node = r.node
)
select w.* from reached r join lineage.materialization w on w.node = r.node;
