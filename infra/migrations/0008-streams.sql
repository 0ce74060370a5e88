-- Uploads whose parts are cut as their bytes come (TUS, long files of forms), beside those whose client numbers them.
alter table holdfast.upload_session
    -- Who cuts: parts = the client, by numbers; tus, form = we do.
    add column protocol    text not null default 'parts',
    -- Of TUS: an upload that is a piece of a later one, or one that is made of such pieces.
    add column concat      text,
    add column sources     uuid[],
    -- Upload-Metadata, letter by letter.
    add column described   text,
    drop constraint upload_session_size_is_one,
    add constraint upload_session_size_is_one
        check (size <= 5497558138880 and (size >= 1 or (size = 0 and protocol = 'tus'))),
    add constraint upload_session_protocol_is_one check (protocol in ('parts', 'tus', 'form')),
    add constraint upload_session_concat_is_one
        check (concat is null or (concat in ('partial', 'final') and protocol = 'tus')),
    add constraint upload_session_sources_are_a_finals check ((sources is not null) = (concat is not distinct from 'final')),
    add constraint upload_session_described_is_short check (octet_length(described) <= 16384);

-- Bytes that are too few for a part of S3 are an object of their own, until more come. At most the last row is one.
alter table holdfast.upload_part
    add column s3_key text,
    add constraint upload_part_s3_key_is_short check (octet_length(s3_key) between 1 and 1024);

create index upload_part_by_blob on holdfast.upload_part (s3_key) where s3_key is not null;

-- Which pages of other origins may read what a bucket's routes answer. Not validated: no policy has it yet.
alter table holdfast.bucket
    add constraint bucket_policy_cors_is_a_list check (
        coalesce(jsonb_typeof(policy -> 'corsOrigins'), 'null') in ('array', 'null')) not valid;

-- Until a version is committed its bytes may turn out to lie elsewhere: a stream that is short is its tail and nothing
-- else.
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
        return new;
    end if;

    if old.id <> new.id
       or old.object_id <> new.object_id
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
