-- Buckets, objects and their versions, and what is kept about them.
--
-- The functions in functions/ are the only writers. They take locks in one order: bucket, object,
-- version, counters. What a constraint here refuses is a defect of theirs, never a client's mistake:
-- those are outcomes that the functions return.

-- --------------------------------------------------------------------------------------- buckets

create table holdfast.bucket (
    name       text collate "C" primary key,
    owner      text        not null,
    state      text        not null default 'active',
    policy     jsonb       not null,
    created_at timestamptz not null default clock_timestamp(),

    constraint bucket_name_is_an_s3_name check (name ~ '^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$'),
    constraint bucket_has_owner check (owner <> ''),
    constraint bucket_state_is_known check (state in ('active', 'deleting')),
    -- `coalesce(.., false)` because a check that yields null passes.
    constraint bucket_policy_is_valid check (coalesce(
        jsonb_typeof(policy) = 'object'
        and policy ->> 'visibility' in ('private', 'public-read')
        and policy ->> 'writers' in ('authenticated', 'owner')
        and policy ->> 'readers' in ('authenticated', 'owner')
        and coalesce(jsonb_typeof(policy -> 'allowedTypes'), 'null') in ('array', 'null')
        and coalesce(jsonb_typeof(policy -> 'cacheControl'), 'null') in ('string', 'null')
        and coalesce(jsonb_typeof(policy -> 'maxBytes'), 'null') in ('number', 'null')
        and coalesce(jsonb_typeof(policy -> 'quotaBytes'), 'null') in ('number', 'null')
        and coalesce(jsonb_typeof(policy -> 'ownerQuotaBytes'), 'null') in ('number', 'null')
        and coalesce(jsonb_typeof(policy -> 'retentionHours'), 'null') in ('number', 'null')
        and coalesce((policy ->> 'maxBytes')::int8, 0) >= 0
        and coalesce((policy ->> 'quotaBytes')::int8, 0) >= 0
        and coalesce((policy ->> 'ownerQuotaBytes')::int8, 0) >= 0
        and coalesce((policy ->> 'retentionHours')::int4, 0) >= 0,
        false))
);

-- --------------------------------------------------------------------------------------- objects

create table holdfast.object (
    id         int8 generated always as identity primary key,
    bucket     text collate "C" not null references holdfast.bucket (name),
    key        text collate "C" not null,
    -- Whoever commits first. Null before, so that a write that never ends claims nothing.
    owner      text,
    -- Events of this object so far; each takes the next number under the lock of this row.
    sequence   int8        not null default 0,
    created_at timestamptz not null,

    unique (bucket, key),
    constraint object_key_is_short check (octet_length(key) between 1 and 1024),
    constraint object_key_has_no_control_characters check (key !~ '[\u0001-\u001f\u007f-\u009f]'),
    constraint object_key_has_no_dot_segment check (key !~ '(^|/)\.\.?(/|$)'),
    constraint object_owner_is_named check (owner <> ''),
    constraint object_owner_comes_with_first_event check ((owner is null) = (sequence = 0))
);

-- -------------------------------------------------------------------------------------- versions

create table holdfast.version (
    id            uuid primary key,
    object_id     int8        not null references holdfast.object (id),
    -- Where the bytes lie, in the S3 bucket of the same name. Several versions may name one blob
    -- (a copy, a restore): it is deleted with the last of them.
    s3_key        text collate "C" not null,
    state         text        not null,

    created_by    text        not null,
    created_at    timestamptz not null,
    -- Who is charged for it: the object's owner, or who hopes to become that.
    owner         text        not null,
    charged_bytes int8        not null,

    declared_size int8,
    declared_type text,
    if_match      text,
    if_none_match text,
    user_metadata jsonb       not null default '{}',

    size_bytes    int8,
    content_type  text,
    found_type    text,
    etag          text,
    crc64nvme     text,
    committed_at  timestamptz,
    -- Whether the commit made the object visible; part of the answer to a repeated commit.
    created       boolean,

    lease_until   timestamptz,
    -- Superseded or trashed since.
    replaced_at   timestamptz,
    -- No purge before: the longest signed URL of this version.
    pinned_until  timestamptz,
    -- When the worker looks at it next: end of retention, end of another worker's claim, second deletion.
    due_at        timestamptz,
    -- First deletion of the blob of an aborted write; a late PUT may still land after it.
    deleted_at    timestamptz,
    ended_at      timestamptz,

    constraint version_names_a_blob check (octet_length(s3_key) between 1 and 1024),
    constraint version_people_are_named check (created_by <> '' and owner <> ''),
    constraint version_sizes_are_sizes check (charged_bytes >= 0 and declared_size >= 0 and size_bytes >= 0),
    constraint version_metadata_is_small check (
        jsonb_typeof(user_metadata) = 'object' and octet_length(user_metadata::text) <= 16384),
    constraint version_preconditions_are_short check (
        octet_length(if_match) <= 8192 and octet_length(if_none_match) <= 8192),
    constraint version_etag_is_bare check (etag <> '' and etag !~ '"' and octet_length(etag) <= 256),

    -- What a commit knows is known from the commit on, all five of it, and never before.
    constraint version_committed_is_whole check (
        num_nulls(committed_at, size_bytes, content_type, etag, created) % 5 = 0),
    constraint version_charge_is_exact_once_committed check (charged_bytes = size_bytes)
);

create unique index version_one_live_per_object on holdfast.version (object_id) where state = 'live';
create index version_of_object on holdfast.version (object_id, id);
create index version_of_blob on holdfast.version (s3_key);
create index version_leases on holdfast.version (lease_until) where state = 'pending';
create index version_reaps on holdfast.version (due_at) where state = 'aborting';
create index version_purges on holdfast.version (due_at) where state in ('superseded', 'trashed', 'purging');
create index version_ends on holdfast.version (ended_at) where state in ('purged', 'aborted');

-- A state has its times and no others, a version goes forward, and what it is never changes. A trigger and not
-- more checks: PostgreSQL reads a check anew for every statement, a function once a session, and this one as
-- checks took half of the time of `begin` and `commit`.
create function holdfast.check_version() returns trigger
    language plpgsql as
$$
begin
    if not (case new.state
        when 'pending' then
            new.lease_until is not null
            and num_nonnulls(new.committed_at, new.replaced_at, new.due_at, new.deleted_at, new.ended_at) = 0
        when 'live' then
            new.committed_at is not null
            and num_nonnulls(new.lease_until, new.replaced_at, new.due_at, new.deleted_at, new.ended_at) = 0
        when 'superseded' then
            num_nulls(new.committed_at, new.replaced_at, new.due_at) = 0
            and num_nonnulls(new.lease_until, new.deleted_at, new.ended_at) = 0
        when 'trashed' then
            num_nulls(new.committed_at, new.replaced_at, new.due_at) = 0
            and num_nonnulls(new.lease_until, new.deleted_at, new.ended_at) = 0
        when 'purging' then
            num_nulls(new.committed_at, new.replaced_at, new.due_at) = 0
            and num_nonnulls(new.lease_until, new.deleted_at, new.ended_at) = 0
        when 'purged' then
            num_nulls(new.committed_at, new.replaced_at, new.ended_at) = 0
            and num_nonnulls(new.lease_until, new.due_at, new.deleted_at) = 0
        when 'aborting' then
            new.due_at is not null
            and num_nonnulls(new.committed_at, new.replaced_at, new.lease_until, new.ended_at) = 0
        when 'aborted' then
            new.ended_at is not null
            and num_nonnulls(new.committed_at, new.replaced_at, new.lease_until, new.due_at) = 0
        when 'quarantined' then
            num_nonnulls(new.lease_until, new.due_at, new.ended_at) = 0
        else false
    end) then
        raise exception 'version % is % with the wrong times', new.id, new.state
            using errcode = 'check_violation', constraint = 'version_state_has_its_times';
    end if;
    if tg_op = 'INSERT' then
        return new;
    end if;

    if old.id <> new.id
       or old.object_id <> new.object_id
       or old.s3_key <> new.s3_key
       or (old.committed_at is not null and (
           old.committed_at is distinct from new.committed_at
           or old.size_bytes is distinct from new.size_bytes
           or old.etag is distinct from new.etag
           or old.crc64nvme is distinct from new.crc64nvme)) then
        raise exception 'version % may not become another', old.id
            using errcode = 'check_violation', constraint = 'version_is_immutable';
    end if;
    if old.state <> new.state and not (case old.state
        when 'pending' then new.state in ('live', 'aborting', 'aborted', 'quarantined')
        when 'live' then new.state in ('superseded', 'trashed', 'quarantined')
        when 'superseded' then new.state in ('live', 'trashed', 'purging', 'quarantined')
        when 'trashed' then new.state in ('live', 'superseded', 'purging', 'quarantined')
        when 'purging' then new.state = 'purged'
        when 'aborting' then new.state = 'aborted'
        when 'quarantined' then new.state in ('purging', 'aborting')
        else false
    end) then
        raise exception 'version % may not go from % to %', old.id, old.state, new.state
            using errcode = 'check_violation', constraint = 'version_goes_forward';
    end if;
    return new;
end
$$;

create trigger version_is_sound
    before insert or update on holdfast.version
    for each row
    execute function holdfast.check_version();

-- ----------------------------------------------------------------------------------------- usage

-- What each step adds or takes, appended and never updated: a counter row would make every write to
-- one bucket wait for the last. `fold` adds them up.
create table holdfast.usage_delta (
    id               int8 generated always as identity primary key,
    bucket           text collate "C" not null,
    owner            text not null check (owner <> ''),
    live_bytes       int8 not null default 0,
    live_objects     int8 not null default 0,
    retained_bytes   int8 not null default 0,
    retained_objects int8 not null default 0,
    pending_bytes    int8 not null default 0,
    pending_objects  int8 not null default 0
) with (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000);

create index usage_delta_of_owner on holdfast.usage_delta (bucket, owner);

-- The folded part. Owner '' is the whole bucket; nobody has that name.
create table holdfast.usage_total (
    bucket           text collate "C" not null,
    owner            text not null,
    live_bytes       int8 not null default 0,
    live_objects     int8 not null default 0,
    retained_bytes   int8 not null default 0,
    retained_objects int8 not null default 0,
    pending_bytes    int8 not null default 0,
    pending_objects  int8 not null default 0,
    primary key (bucket, owner)
) with (fillfactor = 50);

-- ---------------------------------------------------------------------------------------- events

create table holdfast.outbox (
    id          int8 generated always as identity primary key,
    -- Where cursors read. Given by `sequence` when no earlier transaction can still commit: `id` is
    -- taken before the commit, so a reader of ids would miss the late ones.
    position    int8 unique,
    xid         xid8        not null default pg_current_xact_id(),
    kind        text        not null,
    occurred_at timestamptz not null,
    bucket      text        not null,
    key         text        not null,
    object_id   int8        not null,
    sequence    int8        not null,
    version     uuid        not null,
    actor       text        not null,
    data        jsonb       not null,

    unique (object_id, sequence),
    constraint outbox_position_counts_from_one check (position > 0),
    constraint outbox_sequence_counts_from_one check (sequence > 0)
);

create unique index outbox_one_event_per_commit on holdfast.outbox (version) where kind = 'object.created';
create index outbox_without_position on holdfast.outbox (id) where position is null;

create table holdfast.outbox_position (
    only_row boolean primary key default true check (only_row),
    last     int8 not null default 0
);
insert into holdfast.outbox_position default values;

-- ----------------------------------------------------------------------------------------- audit

-- Appended. Only refusals are counted up, within one minute, so that nobody can fill the table by
-- being refused.
create table holdfast.audit (
    id         int8 generated always as identity primary key,
    at         timestamptz not null,
    action     text        not null,
    actor      text        not null,
    bucket     text        not null,
    key        text,
    version    uuid,
    outcome    text        not null,
    rule       text,
    ip         text,
    request_id text,
    -- Set for refusals alone; the other columns then tell the last one of that minute.
    minute     timestamptz,
    count      int8        not null default 1,

    constraint audit_counts_refusals_only check (count = 1 or minute is not null)
);

create unique index audit_refusals on holdfast.audit (minute, actor, action, bucket, outcome)
    where minute is not null;
create index audit_by_time on holdfast.audit (at);

create table holdfast.access_log (
    id         int8 generated always as identity primary key,
    at         timestamptz not null,
    bucket     text        not null,
    key        text        not null,
    version    uuid,
    actor      text        not null,
    method     text        not null,
    status     int4        not null,
    bytes      int8        not null,
    outcome    text        not null,
    ip         text,
    request_id text,
    user_agent text
);

create index access_log_by_time on holdfast.access_log (at);
