-- What is known of an object's current version, without its bytes.
--
-- Outcomes: ok, NoSuchKey (also for what the caller may not see), NoSuchBucket (never told to the anonymous).
create or replace function holdfast.stat_object(
    p_bucket text,
    p_key    text,
    p_sub    text,
    p_roles  text[],
    p_scopes text[],
    out outcome         text,
    out version         uuid,
    out size_bytes      int8,
    out etag            text,
    out content_type    text,
    out crc64nvme       text,
    out committed_at_us int8,
    out created_at_us   int8,
    out owner           text,
    out created_by      text,
    out tags            jsonb,
    out user_metadata   jsonb,
    out headers         jsonb,
    out digests         jsonb,
    out visibility      text,
    out versions        int8   -- how many can be read, the current one included; null for whoever may not know
)
    language plpgsql stable as
$$
declare
    -- How a policy reads that shares nothing, as in `resolve`.
    unshared constant jsonb := '{"visibility": "private", "readers": "owner"}';
    it record;
begin
    select b.owner as bucket_owner, b.policy, o.id as object_id, o.owner, o.tags, o.created_at, v.id, v.size_bytes, v.etag,
           v.content_type, v.crc64nvme, v.committed_at, v.created_by, v.user_metadata, v.headers, v.digests
    into it
    from holdfast.bucket b
         left join holdfast.object o on o.bucket = b.name and o.key = p_key
         left join holdfast.version v on v.object_id = o.id and v.state = 'live'
    where b.name = p_bucket;
    if not found then
        outcome := case when coalesce(p_sub, '') = '' then 'NoSuchKey' else 'NoSuchBucket' end;
        return;
    end if;
    if it.id is null
       or not holdfast.may(p_sub, p_roles, p_scopes, 'read', it.bucket_owner, it.policy, it.owner) then
        outcome := 'NoSuchKey';
        return;
    end if;
    if holdfast.may(p_sub, p_roles, p_scopes, 'read', it.bucket_owner, unshared, it.owner) then
        select count(*) into versions
        from holdfast.version v
        where v.object_id = it.object_id
          and v.state in ('live', 'superseded');
        owner := it.owner;
        created_by := it.created_by;
    end if;
    outcome := 'ok';
    version := it.id;
    size_bytes := it.size_bytes;
    etag := it.etag;
    content_type := it.content_type;
    crc64nvme := it.crc64nvme;
    committed_at_us := (extract(epoch from it.committed_at) * 1000000)::int8;
    created_at_us := (extract(epoch from it.created_at) * 1000000)::int8;
    tags := it.tags;
    user_metadata := it.user_metadata;
    headers := it.headers;
    digests := it.digests;
    visibility := it.policy ->> 'visibility';
end
$$;
