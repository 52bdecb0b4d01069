-- Run in every transaction after the rows of entries > $after are in: what follows from other rows.

-- Only the newest declaration of an asset is kept.
delete from lineage.asset a where exists (
    select 1 from lineage.asset b
    where b.name = a.name and (b.entry, b.position) > (a.entry, a.position)
);

-- Who reads the files of a source reads its version, which is named after its table if it has one.
insert into lineage.version_edge
select v.node, s.node
from lineage.input i
join lineage.materialization m on m.id = i.materialization
join lineage.version v on v.id = i.version
join lineage.materialization o on o.id = i.source_materialization
join lineage.version s on s.id = o.version
where m.entry > $after and i.mode = 'files' and o.version <> i.source_version;
