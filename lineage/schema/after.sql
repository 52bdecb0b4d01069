-- Run in every transaction after the rows of entries > $after are in: what follows from other rows.

-- Only the newest declaration of an asset is kept.
delete from lineage.asset a where exists (
    select 1 from lineage.asset b
    where b.name = a.name and (b.entry, b.position) > (a.entry, a.position)
);

-- The sources of each new model (a joblib or pickle content), by its exact derivation.
insert into lineage.model_source
with recursive reached(model, id) as (
    select m.id, m.id from lineage.materialization m
    where m.entry > $after and m.format in ('joblib', 'pickle')
    union
    select r.model, d.source_materialization
    from reached r join lineage.derivation d on d.materialization = r.id
)
select r.model, r.id from reached r join lineage.materialization s on s.id = r.id
where s.kind in ('files', 'fetch');
