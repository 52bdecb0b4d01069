-- Run in every transaction after the rows of entries > $after are in: what follows from other rows.

-- Only the newest declaration of an asset is kept.
delete from lineage.asset a where exists (
    select 1 from lineage.asset b
    where b.name = a.name and (b.entry, b.position) > (a.entry, a.position)
);
