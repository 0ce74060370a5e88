-- Batches of cards. The card of a record is the object `{batch}/{record}` of the bucket `batches`; whatever way its
-- bytes come or go, the record tells it.

create table holdfast.batch (
    id          uuid primary key,
    -- Whose objects count; nobody else's do.
    owner       text collate "C" not null,
    name        text,
    template_id uuid,
    -- So many records make it whole.
    expected    int8        not null,
    data        jsonb       not null default '{}',
    created_at  timestamptz not null,
    -- All its records are through, and the event says so: complete or failed. Null again where one is not any more.
    ended_at    timestamptz,
    ended_as    text,
    deleted_at  timestamptz,
    -- The worker has moved all its cards to the trash.
    swept_at    timestamptz,
    -- The folded part of the counters.
    rendering   int8        not null default 0,
    complete    int8        not null default 0,
    failed      int8        not null default 0,

    constraint batch_is_somebodys check (owner <> ''),
    constraint batch_name_is_short check (octet_length(name) between 1 and 1024),
    constraint batch_expects_some check (expected between 1 and 1000000),
    constraint batch_data_is_small check (jsonb_typeof(data) = 'object' and octet_length(data::text) <= 65536),
    constraint batch_ended_as_something check (
        (ended_at is null) = (ended_as is null) and ended_as in ('complete', 'failed')),
    constraint batch_is_swept_once_deleted check (swept_at is null or deleted_at is not null)
);

create index batch_of_owner on holdfast.batch (owner, id desc) where deleted_at is null;
create index batch_ends on holdfast.batch (swept_at) where swept_at is not null;
create index batch_to_sweep on holdfast.batch (deleted_at) where deleted_at is not null and swept_at is null;

create table holdfast.batch_record (
    batch      uuid not null references holdfast.batch (id),
    record     text collate "C" not null,
    state      text        not null,
    -- Why it failed.
    reason     text,
    -- How often it failed.
    failures   int4        not null default 0,
    updated_at timestamptz not null,

    primary key (batch, record),
    constraint batch_record_is_named check (octet_length(record) between 1 and 512),
    constraint batch_record_state_is_known check (state in ('pending', 'rendering', 'complete', 'failed')),
    constraint batch_record_failed_for_a_reason check ((state = 'failed') = (reason is not null)),
    constraint batch_record_reason_is_short check (octet_length(reason) between 1 and 4096)
);

create index batch_record_by_state on holdfast.batch_record (batch, state, record);

-- What each step adds or takes, appended and never updated, as in usage_delta: render workers of one batch do not wait
-- for each other. `fold_batches` adds them up.
create table holdfast.batch_delta (
    id        int8 generated always as identity primary key,
    batch     uuid not null,
    rendering int8 not null default 0,
    complete  int8 not null default 0,
    failed    int8 not null default 0
) with (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000);

create index batch_delta_of_batch on holdfast.batch_delta (batch);

-- Every step that shows, hides or renames an object counts its event up or changes its key. At the end of the
-- transaction, so that what is counted is what was made of it; for objects of other buckets it costs the comparison.
create function holdfast.object_counts() returns trigger
    language plpgsql as
$$
begin
    if tg_op = 'UPDATE' and old.key <> new.key then
        perform holdfast.count_record(old.key);
    end if;
    perform holdfast.count_record(new.key);
    return null;
end
$$;

create constraint trigger object_counts_in_its_batch
    after insert or update of key, sequence on holdfast.object
    deferrable initially deferred
    for each row
    when (new.bucket = 'batches' and new.sequence > 0)
    execute function holdfast.object_counts();

-- Events of a batch are of no object.
alter table holdfast.outbox
    alter column object_id drop not null,
    alter column sequence drop not null,
    alter column version drop not null;
