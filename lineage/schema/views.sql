-- The views of schema `lineage`.

create view input_column as
select i.materialization, i.position as input_position, i.parameter, i.asset, i.partition,
    i.source_version, c.position, c.name, c.type, c.digest
from lineage.input i
join lineage.version_column c on c.version = i.source_version
where i.mode in ('all', 'result') or (i.mode in ('columns', 'shape') and list_contains(i.columns, c.name));

-- By name; the closures use the edges.
create view derivation as
select 'r' || (node >> 32) || '.' || (node & 4294967295) as materialization,
    'r' || (source_node >> 32) || '.' || (source_node & 4294967295) as source_materialization
from lineage.derivation_edge;

-- The last act of each step, if it is no retirement. Which that is, is found by numbers alone.
create view current as
select p.environment, p.asset, p.partition, p.materialization, p.version, v.digest, v.format, v.rows,
    v.bytes, v.summary, p.run, p.entry, p.position
from lineage.publication p
join lineage.version v on v.id = p.version
where (p.entry, p.position) in (
    select unnest(arg_max({entry: entry, position: position}, row(run_number, entry, position)))
    from (
        select environment, asset, partition, run_number, entry, position from lineage.publication
        union all
        select environment, asset, partition, run_number, entry, position from lineage.retirement
    )
    group by environment, asset, partition
);

-- Publications and retirements, each with the moment from which it counts: the end of its computation, or
-- the beginning of its run when nothing was computed for it.
create view act as
select p.environment, p.asset, p.partition, p.materialization, p.version, p.reason, p.run, p.run_number,
    p.entry, p.position, case
        when p.reason is null and m.run = p.run and m.started_at is not null
        then m.started_at + to_microseconds(round(coalesce(m.seconds, 0) * 1e6)::bigint)
        else r.started_at
    end as counts_from
from (
    select *, null::varchar as reason from lineage.publication
    union all by name
    from lineage.retirement
) p
left join lineage.materialization m on m.id = p.materialization
left join lineage.run r on r.id = p.run;

-- What is current and was made of something that is current no more.
create view superseded as
with replaced as (
    select c.environment, c.asset, c.partition, c.materialization, i.position, i.parameter, i.mode,
        i.asset as source_asset, i.partition as source_partition, i.source_version,
        n.version as current_version, n.rows is distinct from o.rows or (
            i.mode = 'shape' and (
                select list((k.name, k.type) order by k.position)
                from lineage.version_column k where k.version = i.source_version
            ) is distinct from (
                select list((k.name, k.type) order by k.position)
                from lineage.version_column k where k.version = n.version
            )
        ) as form_differs
    from lineage.current c
    join lineage.input i on i.materialization = c.materialization and i.mode <> 'none'
        and i.asset <> c.asset
    left join lineage.version o on o.id = i.source_version
    left join lineage.current n on n.environment = c.environment and n.asset = i.asset
        and n.partition is not distinct from i.partition
    -- Who reads the files saw what was observed, whatever the version is named after.
    where case i.mode
        when 'files' then i.digest is distinct from (
            select f.digest from lineage.input f
            where f.materialization = n.materialization and f.mode = 'files' and f.asset = i.asset
        )
        else n.version is distinct from i.source_version
    end
),
changed as (
    select r.environment, r.materialization, r.position, list(c.name order by c.position) as names
    from replaced r
    join lineage.input_column c on c.materialization = r.materialization
        and c.input_position = r.position
    left join lineage.version_column k on k.version = r.current_version and k.name = c.name
    where k.digest is distinct from c.digest or k.type <> c.type
    group by all
)
select r.environment, r.asset, r.partition, r.materialization, r.parameter, r.source_asset,
    r.source_partition, r.source_version, r.current_version,
    coalesce(c.names, []) as columns_changed,
    r.mode not in ('columns', 'shape') or r.form_differs or c.names is not null as matters
from replaced r
left join changed c using (environment, materialization, position);

-- One fingerprint, several results. What is observed may be another each time; that is no fault.
create view nondeterministic as
select asset, partition, fingerprint, count(distinct version) as versions, count(*) as made,
    arg_max(code, (entry, position)) as code, max(started_at) as last_at
from lineage.materialization
where outcome in ('made', 'blocked') and version is not null and kind not in ('files', 'fetch')
group by asset, partition, fingerprint
having count(distinct version) > 1;

-- Steps that were made anew, for a reason, and came out equal; and who read them and was spared.
create view cutoff as
with published as (
    select p.*, m.fingerprint, m.outcome, m.run as made_in, m.seconds,
        lag(p.version) over step as version_before, lag(m.fingerprint) over step as print_before
    from lineage.publication p join lineage.materialization m on m.id = p.materialization
    window step as (
        partition by p.environment, p.asset, p.partition order by p.run_number, p.entry, p.position
    )
),
reader as (
    select i.source_version, m.asset, m.partition, max(m.seconds) as seconds
    from lineage.input i join lineage.materialization m on m.id = i.materialization
    where m.outcome = 'made'
    group by all
)
select p.environment, p.run, p.asset, p.partition, p.materialization, p.version, p.seconds,
    list(r.asset || coalesce(' ' || r.partition, '') order by r.asset, r.partition) as spared,
    sum(r.seconds) as seconds_saved
from published p
join reader r on r.source_version = p.version
where p.version = p.version_before and p.fingerprint <> p.print_before
    and p.outcome = 'made' and p.made_in = p.run
    and not exists (
        from lineage.materialization m
        where m.run = p.run and m.asset = r.asset and m.partition is not distinct from r.partition
    )
group by all;

-- Where each alias of a registry points now, whichever environment moved it.
create view alias as
select p.registry, p.alias, p.environment, p.version, r.asset, r.partition, r.materialization, r.content,
    p.id as promotion, p.promoted_at
from (
    select unnest(arg_max(p, row(p.entry, p.position))) from lineage.promotion p
    group by p.registry, p.alias
) p
join lineage.registered_version r on r.registry = p.registry and r.version = p.version;

-- What computed the bytes of each registered version: what was chosen among others, handed on or taken over
-- leads to it, step by step.
create view trained as
with recursive handed(registry, version, id, steps) as (
    select registry, version, materialization, 0 from lineage.registered_version
    union all
    select h.registry, h.version, if(m.origin <> m.id, m.origin, c.source_materialization), h.steps + 1
    from handed h
    join lineage.materialization m on m.id = h.id
    left join ( -- the input that this very content is, of equal ones that which was chosen
        select i.materialization, arg_min(i.source_materialization, row(
            i.partition is distinct from json_extract_string(r.metadata, '$.partition'), i.position
        )) as source_materialization
        from lineage.materialization r
        join lineage.input i on i.materialization = r.id
        join lineage.version v on v.id = i.source_version and v.digest = r.content
        where i.source_materialization <> ''
        group by i.materialization
    ) c on c.materialization = m.id
    where m.origin <> m.id or c.source_materialization is not null
)
select registry, version, arg_max(id, steps) as materialization
from handed
group by registry, version;

-- A registered version as it stands now, with what was recorded of it.
create view model as
with event as ( -- who moves an alias to a version wants it, who rolls back from it takes it back
    select registry, version, null::timestamp as withdrawn_at, entry, position from lineage.promotion
    union all
    select registry, previous, promoted_at, entry, position from lineage.promotion
    where how = 'rollback' and previous <> version
),
last_event as (
    select registry, version, (arg_max({since: withdrawn_at}, row(entry, position))).since as withdrawn_at
    from event
    group by registry, version
),
last_tags as (
    select registry, version, arg_max(tags, row(entry, position)) as tags
    from lineage.tagging
    group by registry, version
),
recorded as (
    select registry, version, map_from_entries(list(row(name, value) order by name)) as metrics
    from (
        select distinct on (m.registry, m.version, x.name) m.registry, m.version, x.name, x.value
        from (
            select registry, version, materialization, 0 as way from lineage.registered_version
            union all
            select registry, version, materialization, 1 from lineage.trained
        ) m
        join lineage.metric x on x.materialization = m.materialization
        order by m.way
    )
    group by registry, version
),
scored as (
    select registry, content, map_from_entries(list_transform(
        arg_max(scores, row(entry, position)), lambda s: row(s.metric, s.candidate)
    )) as scores
    from lineage.decision
    group by registry, content
),
read as ( -- all partitions of an input are one table
    select registry, version, max(rows) as rows
    from (
        select t.registry, t.version, i.parameter, sum(v.rows) as rows
        from lineage.trained t
        join lineage.input i on i.materialization = t.materialization
        join lineage.version v on v.id = i.source_version
        group by all
    )
    group by registry, version
)
select r.registry, r.version, r.asset, r.partition, r.content, r.materialization,
    t.materialization as trained_as, coalesce(a.aliases, []) as aliases, e.withdrawn_at,
    coalesce(g.tags, r.tags) as tags, d.metrics, s.scores, n.rows::bigint as rows, r.registered_at, r.who, r.run
from lineage.registered_version r
join lineage.trained t using (registry, version)
left join (
    select registry, version, list(alias order by alias) as aliases from lineage.alias
    group by registry, version
) a using (registry, version)
left join last_event e using (registry, version)
left join last_tags g using (registry, version)
left join recorded d using (registry, version)
left join scored s on s.registry = r.registry and s.content = r.content
left join read n on n.registry = r.registry and n.version = r.version;

create view table_lineage as
select i.asset as source_asset, i.partition as source_partition, i.source_version,
    i.source_materialization, m.asset as target_asset, m.partition as target_partition,
    m.version as target_version, m.id as materialization, i.parameter, i.mode, i.columns, m.outcome, m.run,
    m.started_at
from lineage.input i
join lineage.materialization m on m.id = i.materialization;

-- What is known of columns: of a query what its text says, else what is declared, else that nothing is.
-- Each part holds the whole row, so that a condition on a version reaches the tables.
create view column_lineage as
with read as not materialized (
    select i.asset as source_asset, i.partition as source_partition, i.source_version,
        m.asset as target_asset, m.partition as target_partition, m.version as target_version,
        m.id as materialization, m.run, m.started_at, m.kind, i.parameter, i.mode, i.columns
    from lineage.materialization m
    join lineage.input i on i.materialization = m.id
    where i.mode <> 'none'
),
derived as not materialized (
    select name as asset, unnest(derives, recursive := true) from lineage.asset where len(derives) > 0
),
left_open as not materialized ( -- the other columns of an asset of which some are derived
    select c.version, c.name
    from lineage.version_column c
    join lineage.version v on v.id = c.version
    anti join derived d on d.asset = v.asset and d.name = c.name
    where v.asset in (select asset from derived)
),
edge as not materialized (
    select r.*, e.source_name, e.name as target_name, e.type, e.subtype, e.masking, e.known
    from read r
    join lineage.edge_set s using (materialization)
    join lineage.column_edge e on e.edges = s.edges and e.parameter = r.parameter
    union all
    select r.*, d.source_name, d.name, 'DIRECT', null, false, 'declared'
    from read r
    join derived d on d.asset = r.target_asset and d.parameter = r.parameter
    join lineage.version_column c on c.version = r.target_version and c.name = d.name
    left join lineage.version_column s on s.version = r.source_version and s.name = d.source_name
    where r.kind not in ('sql', 'files') and (
        s.name is not null -- or it is no table
        or r.source_version not in (select version from lineage.version_column)
    )
    union all
    -- Which of its columns those that were handed over are in, nobody says: each may be in any that
    -- is left open, and what is said of others does not make them more.
    select r.* exclude (handed), r.handed, o.name, null, null, false, 'declared'
    from (
        select *, unnest(columns) as handed from read
        where kind not in ('sql', 'files') and mode in ('columns', 'shape')
    ) r
    left join left_open o on o.version = r.target_version
    where o.name is not null or (r.target_asset, r.parameter, r.handed) not in (
        select (asset, parameter, source_name) from derived
    )
    union all
    -- Nor what any other column, or a thing without columns, comes from.
    select r.*, null, c.name, null, null, false, 'opaque'
    from read r
    left join lineage.version_column c on c.version = r.target_version
    anti join derived d on d.asset = r.target_asset and d.name = c.name
    where r.kind not in ('sql', 'files') and r.mode not in ('columns', 'shape')
)
select source_asset, source_partition, source_version, source_name, target_asset, target_partition,
    target_version, target_name, type, subtype, masking, known, materialization, run, started_at
from edge;

-- A closure for each model that is asked for: a condition on the model or the registry is applied first.
create view model_training_data as
select r.registry, r.version, s.asset, f.path, coalesce(f.digest, s.content) as digest, f.bytes, s.partition,
    m.asset as model, m.partition as model_partition, m.id as materialization, m.content,
    s.id as source_materialization, s.version as source_version, m.run
from (
    select node, id, asset, partition, content, run from lineage.materialization
    where format in ('joblib', 'pickle', 'skops')
        or id in (select materialization from lineage.registered_version)
) m
left join lineage.registered_version r on r.materialization = m.id,
lateral (
    with recursive reached(node) as (
        select m.node
        union
        select e.source_node from reached x join lineage.derivation_edge e on e.node = x.node
    )
    select node from reached
) t
join lineage.materialization s on s.node = t.node and s.kind in ('files', 'fetch')
left join lineage.source_file f on f.materialization = s.id;
