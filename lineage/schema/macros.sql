-- The table macros of schema `lineage`. Closures recurse by plain UNION over a table of edges: that ends
-- on cycles, and a view of distinct edges would be asked again at every step. `in` rather than a join: what
-- is reached is the smaller side, and no estimate knows that.

-- What the edges call a materialization: the number of its run, and its own below it.
create macro materialization_node(m) as
(try_cast(split_part(m, '.', 1)[2:] as bigint) << 32) + try_cast(split_part(m, '.', 2) as bigint);

-- Every version that went into these bytes, in any way they ever arose. `v`: a version, or how it begins.
create macro upstream_of(v) as table
with recursive reached(node) as (
    select e.source_node from lineage.version_edge e
    where e.node in (select s.node from lineage.version s where starts_with(s.id, v))
    union
    select e.source_node from reached r join lineage.version_edge e on e.node = r.node
)
from lineage.version w where w.node in (select r.node from reached r);

-- Every version these bytes went into, in any way they ever arose: all that must go if they must.
create macro downstream_of(v) as table
with recursive reached(node) as (
    select e.node from lineage.version_edge e
    where e.source_node in (select s.node from lineage.version s where starts_with(s.id, v))
    union
    select e.node from reached r join lineage.version_edge e on e.source_node = r.node
)
from lineage.version w where w.node in (select r.node from reached r);

-- The materializations that one materialization was in fact computed from. `m`: its id.
create macro derived_from(m) as table
with recursive reached(node) as (
    select e.source_node from lineage.derivation_edge e
    where e.node = lineage.materialization_node(m)
    union
    select e.source_node from reached r join lineage.derivation_edge e on e.node = r.node
)
from lineage.materialization w where w.node in (select r.node from reached r);

-- The materializations that were in fact computed from one. `m`: its id.
create macro derived_into(m) as table
with recursive reached(node) as (
    select e.node from lineage.derivation_edge e
    where e.source_node = lineage.materialization_node(m)
    union
    select e.node from reached r join lineage.derivation_edge e on e.source_node = r.node
)
from lineage.materialization w where w.node in (select r.node from reached r);

-- All that made one materialization, itself among the steps: files, columns read, code, parameters, packages.
create macro made_of(m) as table
with step as (
    select id, node, asset, partition, code, environment, version, content, kind
    from lineage.materialization where id = m
    union all
    select id, node, asset, partition, code, environment, version, content, kind
    from lineage.derived_from(m)
)
select distinct asset, partition, kind, name, value, digest from (
    select s.asset, s.partition, 'file' as kind, f.path as name, null as value, f.digest
    from step s join lineage.source_file f on f.materialization = s.id
    union all
    select s.asset, s.partition, 'fetched', s.asset, null, s.content from step s where s.kind = 'fetch'
    union all
    select s.asset, s.partition, 'column', c.asset || '.' || c.name, c.type, c.digest
    from step s join lineage.input_column c on c.materialization = s.id
    union all
    select s.asset, s.partition, 'code', p.name, coalesce(nullif(p.value, ''), p.place), p.digest
    from step s join lineage.code_part p on p.code = s.code
    union all
    select s.asset, s.partition, 'parameter', p.name, p.value, null
    from step s join lineage.parameter p on p.materialization = s.id
    union all
    select s.asset, s.partition, p.kind, p.name, p.version, null
    from step s join lineage.package p on p.environment = s.environment
);

-- What differs between two materializations. Of a table that both read, also columns that neither asked for:
-- they don't matter.
create macro changes(one, other) as table
select kind, name, any_value(shown) filter (id = one) as before,
    any_value(shown) filter (id = other) as since,
    bool_or(matters) or any_value(form) filter (id = one) is distinct from any_value(form) filter (id = other)
        as matters
from (
    select m.id, 'code' as kind, p.name, p.digest, coalesce(nullif(p.text, ''), p.value) as shown,
        true as matters, null as form -- what is seen of a column whose values are not
    from lineage.materialization m join lineage.code_part p on p.code = m.code
    union all
    select materialization, 'parameter', name, value, value, true, null from lineage.parameter
    union all
    select m.id, p.kind, p.name, p.version, p.version, true, null
    from lineage.materialization m join lineage.package p on p.environment = m.environment
    union all
    select materialization, 'file', path, digest, digest, true, null from lineage.source_file
    union all
    select i.materialization, 'column', i.asset || coalesce(' ' || i.partition, '') || '.' || c.name,
        c.type || ' ' || c.digest, c.digest,
        i.mode in ('all', 'result') or list_contains(i.columns, c.name), if(i.mode = 'shape', c.type, null)
    from lineage.input i join lineage.version_column c on c.version = i.source_version
    union all
    select i.materialization, 'input', i.asset || coalesce(' ' || i.partition, ''), v.digest, v.digest,
        true, null
    from lineage.input i join lineage.version v on v.id = i.source_version and v.format <> 'parquet'
)
where id in (one, other)
group by kind, name
having any_value(digest) filter (id = one) is distinct from any_value(digest) filter (id = other);

-- What was current at a moment (UTC): a date means its end.
create macro current_at(moment) as table
select p.environment, p.asset, p.partition, p.materialization, p.version, v.digest, v.format, v.rows,
    v.bytes, v.summary, p.run, p.entry, p.position
from (
    select unnest(arg_max(act, row(run_number, entry, position)))
    from lineage.act
    where counts_from < if(
        regexp_full_match(moment::varchar, '\d{4}-\d{2}-\d{2}'),
        moment::date + interval 1 day,
        moment::timestamp + interval 1 microsecond
    )
    group by environment, asset, partition
) p
join lineage.version v on v.id = p.version;
