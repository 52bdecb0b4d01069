-- What a materialize would do now. It stands in the copy that one question is asked of, and only if it is named.
create table lineage.plan (
    position integer not null,
    asset varchar not null,
    partition varchar,
    verdict varchar not null,
    reasons struct(kind varchar, detail varchar)[],
    pending_on varchar[],
    columns_read varchar[],
    version varchar,
    seconds double
);
