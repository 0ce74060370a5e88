-- What lists of objects and of the trash are read from, copies and moves within a bucket, permanent deletion, and the
-- renaming of folders.

alter table holdfast.object
    -- Whether it has a current version: what is listed. Kept by the functions that change it, so that a page never
    -- reads past deleted objects.
    add column live boolean not null default false,
    -- Name to value, as S3 has them. Of the object and not of a version.
    add column if not exists tags jsonb not null default '{}',
    -- Not validated: no row can break it yet.
    add constraint object_tags_are_small check (jsonb_typeof(tags) = 'object' and octet_length(tags::text) <= 16384) not valid;

alter table holdfast.version
    -- The object's, which never changes: lists of versions are by bucket.
    add column bucket text collate "C",
    -- Deleted for good: nobody restores it, and only the bytes are still there.
    add column erased boolean not null default false;

-- A version is in the bucket of its object. A move within a bucket takes the current version and the earlier ones along
-- to another object; what is pending, or in the trash, stays where its key is.
create or replace function holdfast.check_version() returns trigger
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
        if new.bucket is null then
            select o.bucket into new.bucket from holdfast.object o where o.id = new.object_id;
        end if;
        return new;
    end if;

    if old.id <> new.id
       or old.bucket is distinct from coalesce(new.bucket, old.bucket)
       or (old.object_id <> new.object_id and (
           old.state <> new.state
           or new.state not in ('live', 'superseded')
           or not exists (select from holdfast.object o where o.id = new.object_id and o.bucket = new.bucket)))
       or (old.s3_key <> new.s3_key and (
           (old.state, new.state) <> ('pending', 'pending')
           or not exists (select from holdfast.upload_part p where p.version = new.id and p.s3_key = new.s3_key)))
       or (old.committed_at is not null and (
           old.committed_at is distinct from new.committed_at
           or old.size_bytes is distinct from new.size_bytes
           or old.etag is distinct from new.etag
           or old.crc64nvme is distinct from new.crc64nvme)) then
        raise exception 'version % may not become another', old.id
            using errcode = 'check_violation', constraint = 'version_is_immutable';
    end if;
    if old.erased and (not new.erased or new.state = 'live') then
        raise exception 'version % was deleted for good', old.id
            using errcode = 'check_violation', constraint = 'version_erased_stays_so';
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

alter table holdfast.version disable trigger version_is_sound;
update holdfast.version v set bucket = o.bucket from holdfast.object o where o.id = v.object_id;
alter table holdfast.version enable trigger version_is_sound;
alter table holdfast.version add constraint version_is_in_a_bucket check (bucket is not null) not valid;
update holdfast.object o
set live = true
where exists (select from holdfast.version v where v.object_id = o.id and v.state = 'live');

-- The parts of three characters of a name, each with its bucket as a number: of ASCII letters without regard to case,
-- of any script, and in one index for all buckets. Of an extension's trigrams, those of a script that the database's
-- locale does not know are none.
create function holdfast.trigrams(p_bucket text, p_name text) returns int8[]
    language sql immutable parallel safe
return (
    select array_agg(distinct hashtextextended(p_bucket || '/' || substr(lower(p_name collate "C"), place, 3), 0))
    from generate_series(1, char_length(p_name) - 2) as place);

-- Listed by key: all of a bucket, and of one owner.
create index object_listed on holdfast.object (bucket, key) where live;
create index object_listed_of_owner on holdfast.object (bucket, owner, key) where live;
create index object_search on holdfast.object using gin (holdfast.trigrams(bucket, key)) where live;
-- The newest first.
create index version_newest on holdfast.version (bucket, committed_at, id) where state = 'live';
create index version_newest_of_owner on holdfast.version (bucket, owner, committed_at, id) where state = 'live';
-- The trash, the last deleted first.
create index version_trash on holdfast.version (bucket, replaced_at, id) where state = 'trashed' and not erased;
create index version_trash_of_owner on holdfast.version (bucket, owner, replaced_at, id)
    where state = 'trashed' and not erased;

-- A folder that gets another name: its objects move a batch at a time, and back again.
create table holdfast.rename_job (
    id          uuid primary key,
    bucket      text collate "C" not null,
    from_prefix text collate "C" not null,
    to_prefix   text collate "C" not null,
    overwrite   boolean     not null,
    created_by  text        not null,
    -- As they were at its beginning: the worker goes on in their name.
    roles       text[]      not null default '{}',
    scopes      text[],
    created_at  timestamptz not null,
    state       text        not null default 'running',
    -- When the worker goes on with what its client left.
    due_at      timestamptz,
    -- The last key that was looked at; null = none.
    looked_at   text collate "C",
    -- Objects to move, counted at the start; null = too many to count.
    total       int8,
    moved       int8        not null default 0,
    failed      int8        not null default 0,
    -- Of the first that failed: key, code, rule.
    failures    jsonb       not null default '[]',
    ended_at    timestamptz,

    constraint rename_job_people_are_named check (created_by <> ''),
    constraint rename_job_state_is_known check (state in ('running', 'done', 'undoing', 'undone')),
    constraint rename_job_ends_in_a_state check ((ended_at is not null) = (state in ('done', 'undone'))),
    constraint rename_job_is_due_until_it_ends check ((due_at is null) = (ended_at is not null)),
    constraint rename_job_prefixes_are_short check (
        octet_length(from_prefix) between 1 and 1024 and octet_length(to_prefix) between 0 and 1024)
);
create index rename_job_by_time on holdfast.rename_job (created_at);
create index rename_job_due on holdfast.rename_job (due_at) where due_at is not null;

-- What a job moved, so that it is not moved twice and can be moved back.
create table holdfast.rename_item (
    job      uuid not null references holdfast.rename_job (id) on delete cascade,
    version  uuid not null,
    number   int8 not null,
    from_key text collate "C" not null,
    to_key   text collate "C" not null,
    primary key (job, version),
    unique (job, number)
);
