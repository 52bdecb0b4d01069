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

-- A retirement that counts has no version: nothing is current.
create view current as
select p.environment, p.asset, p.partition, p.materialization, p.version, v.digest, v.format, v.rows,
    v.bytes, v.summary, p.run, p.entry, p.position
from (
    select unnest(arg_max(act, row(run_number, entry, position)))
    from (
        from lineage.publication
        union all by name
        select * exclude (reason) from lineage.retirement
    ) act
    group by environment, asset, partition
) p
join lineage.version v on v.id = p.version;

create view table_lineage as
select i.asset as source_asset, i.partition as source_partition, i.source_version,
    i.source_materialization, m.asset as target_asset, m.partition as target_partition,
    m.version as target_version, m.id as materialization, i.parameter, i.mode, i.columns, m.outcome, m.run,
    m.started_at
from lineage.input i
join lineage.materialization m on m.id = i.materialization;

create view column_lineage as
select s.asset as source_asset, s.partition as source_partition, e.source_version,
    e.source_name, m.asset as target_asset, m.partition as target_partition,
    m.version as target_version, e.name as target_name, e.type, e.subtype, e.known,
    m.id as materialization, m.run, m.started_at
from lineage.column_edge e
join lineage.materialization m on m.id = e.materialization
join lineage.version s on s.id = e.source_version;

-- A closure for each model that is asked for: a condition on the model or the registry is applied first.
create view model_training_data as
select r.registry, r.version, s.asset, f.path, coalesce(f.digest, s.content) as digest, f.bytes, s.partition,
    m.asset as model, m.partition as model_partition, m.id as materialization, m.content,
    s.id as source_materialization, s.version as source_version, m.run
from (
    select node, id, asset, partition, content, run from lineage.materialization
    where format in ('joblib', 'pickle')
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
