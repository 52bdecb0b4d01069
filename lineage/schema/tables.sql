-- The tables of schema `lineage`: an index of the journal. `entry` and `position` say where a row's fact
-- stands there. Times are UTC. A version is named `asset@digest` or `asset partition@digest`.

create table ingested (
    schema_version integer not null,
    schema_digest varchar not null,
    entry bigint not null,
    digest varchar not null
);

create table run (
    id varchar not null,
    number bigint not null,
    environment varchar not null,
    who varchar,
    host varchar,
    command varchar[],
    python varchar,
    lineal varchar,
    git_commit varchar,
    git_dirty boolean,
    code varchar,
    planned integer,
    started_at timestamp,
    ended_at timestamp,
    outcome varchar,
    fresh integer,
    made integer,
    reused integer,
    failed integer,
    skipped integer,
    blocked integer,
    closed integer,
    cancelled integer
);

create table asset (
    name varchar not null,
    kind varchar not null,
    description varchar,
    owner varchar,
    tags varchar[],
    place varchar,
    columns_declared varchar[],
    partitions varchar,
    columns struct(name varchar, description varchar)[],
    derives struct(name varchar, parameter varchar, source_name varchar)[],
    entry bigint not null,
    position integer not null
);

create table code (
    digest varchar not null,
    opaque varchar[],
    imports varchar[],
    variables varchar[],
    impure varchar[],
    watched struct(path varchar, place varchar)[]
);

create table code_part (
    code varchar not null,
    position integer not null,
    name varchar not null,
    kind varchar not null,
    digest varchar not null,
    value varchar,
    place varchar,
    via varchar,
    text varchar
);

create table package (
    environment varchar not null,
    kind varchar not null,
    name varchar not null,
    version varchar not null
);

create table materialization (
    id varchar not null,
    node bigint not null,
    run varchar not null,
    entry bigint not null,
    position integer not null,
    asset varchar not null,
    partition varchar,
    outcome varchar not null,
    kind varchar not null,
    version varchar,
    content varchar,
    format varchar,
    origin varchar,
    fingerprint varchar not null,
    code varchar not null,
    environment varchar not null,
    contract varchar not null,
    checks varchar[],
    reasons struct(kind varchar, culprit varchar, place varchar, old varchar, new varchar)[],
    unwatched struct(path varchar, digest varchar, place varchar)[],
    metadata varchar,
    error_type varchar,
    error_message varchar,
    error_place varchar,
    error_line varchar,
    started_at timestamp,
    seconds double
);

create table attempt (
    materialization varchar not null,
    asset varchar not null,
    partition varchar,
    number integer not null,
    started_at timestamp,
    seconds double,
    error_type varchar,
    message varchar,
    where_ varchar
);

create table input (
    materialization varchar not null,
    position integer not null,
    parameter varchar not null,
    asset varchar not null,
    partition varchar,
    mode varchar not null,
    digest varchar not null,
    columns varchar[],
    version varchar,
    source_materialization varchar not null,
    source_version varchar not null
);

-- The edges that closures go by, numbers only: nobody names a million things fast. `node` of a materialization
-- and of a version says which is which.
create table derivation_edge (
    node bigint not null,
    source_node bigint not null
);

create table version_edge (
    node uuid not null,
    source_node uuid not null
);

create table version (
    id varchar not null,
    node uuid not null,
    asset varchar not null,
    partition varchar,
    digest varchar not null,
    format varchar not null,
    rows bigint,
    bytes bigint,
    summary varchar,
    objects struct(digest varchar, suffix varchar, bytes bigint, path varchar)[],
    materialization varchar not null
);

create table version_column (
    version varchar not null,
    position integer not null,
    name varchar not null,
    type varchar not null,
    digest varchar not null
);

create table parameter (
    materialization varchar not null,
    name varchar not null,
    value varchar not null
);

create table metric (
    materialization varchar not null,
    name varchar not null,
    value double
);

create table check_result (
    fingerprint varchar not null,
    name varchar not null,
    asset varchar not null,
    partition varchar,
    version varchar not null,
    severity varchar not null,
    passed boolean not null,
    code varchar not null,
    failing_rows bigint,
    message varchar,
    sample varchar[][],
    seconds double,
    entry bigint not null,
    position integer not null
);

create table source_file (
    materialization varchar not null,
    version varchar,
    asset varchar not null,
    partition varchar,
    position integer not null,
    path varchar not null,
    digest varchar not null,
    bytes bigint,
    modified_at timestamp
);

-- The columns of one query, found once for equal code, columns of inputs and columns of the result: `edges`.
create table column_edge (
    edges varchar not null,
    name varchar,
    parameter varchar not null,
    source_asset varchar not null,
    source_name varchar,
    type varchar,
    subtype varchar,
    masking boolean not null,
    known varchar not null
);

-- Which of these a materialization has.
create table edge_set (
    materialization varchar not null,
    edges varchar not null
);

create table publication (
    environment varchar not null,
    asset varchar not null,
    partition varchar,
    materialization varchar not null,
    version varchar not null,
    run varchar not null,
    run_number bigint not null,
    entry bigint not null,
    position integer not null
);

create table retirement (
    environment varchar not null,
    asset varchar not null,
    partition varchar,
    materialization varchar not null,
    reason varchar,
    run varchar not null,
    run_number bigint not null,
    entry bigint not null,
    position integer not null
);

create table registered_version (
    registry varchar not null,
    version integer not null,
    asset varchar not null,
    partition varchar,
    materialization varchar not null,
    content varchar not null,
    run varchar not null,
    who varchar,
    registered_at timestamp,
    tags varchar[],
    entry bigint not null,
    position integer not null
);

create table tagging (
    registry varchar not null,
    version integer not null,
    tags varchar[],
    run varchar not null,
    who varchar,
    tagged_at timestamp,
    entry bigint not null,
    position integer not null
);

create table hold (
    registry varchar not null,
    held boolean not null,
    run varchar not null,
    who varchar,
    reason varchar,
    held_at timestamp,
    entry bigint not null,
    position integer not null
);

create table decision (
    gate varchar not null,
    materialization varchar not null,
    registry varchar not null,
    alias varchar not null,
    key varchar not null,
    candidate varchar not null,
    content varchar not null,
    version integer,
    compared integer,
    outcome varchar not null,
    reason varchar,
    unscored varchar,
    scores struct(metric varchar, candidate double, production double)[],
    rules struct(metric varchar, rule varchar)[],
    environment varchar not null,
    run varchar not null,
    decided_at timestamp,
    entry bigint not null,
    position integer not null
);

create table promotion (
    id varchar not null,
    registry varchar not null,
    alias varchar not null,
    version integer not null,
    previous integer,
    environment varchar not null,
    run varchar not null,
    who varchar,
    how varchar not null,
    reason varchar,
    scores struct(metric varchar, candidate double, production double)[],
    gate varchar,
    promoted_at timestamp,
    entry bigint not null,
    position integer not null
);

create table acceptance (
    asset varchar not null,
    old_code varchar not null,
    new_code varchar not null,
    reason varchar,
    who varchar,
    accepted_at timestamp,
    entry bigint not null,
    position integer not null
);
