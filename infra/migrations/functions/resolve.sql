-- Which bytes a reader gets: the current version, or one that its owner names.
--
-- With a grant its creator reads, whoever asks, and nothing but what the grant names.
--
-- Outcomes: ok, NoSuchKey (also for what the caller may not see), NoSuchBucket (never told to the anonymous),
-- NoSuchVersion, AccessDenied (the grant is of no use). Reads only, and one snapshot: `stable`.
create or replace function holdfast.resolve(
    p_bucket  text,
    p_key     text,
    p_version uuid,   -- null = the current one
    p_sub     text,
    p_roles   text[],
    p_scopes  text[],
    p_now     timestamptz,
    p_grant   uuid default null,   -- of a signed URL or a share link, whose signature or token was verified
    out outcome         text,
    out version         uuid,
    out s3_key          text,
    out size_bytes      int8,
    out etag            text,
    out content_type    text,
    out crc64nvme       text,
    out committed_at_us int8,
    out user_metadata   jsonb,
    out visibility      text,
    out cache_control   text,
    out owner           text,
    out headers         jsonb,
    out digests         jsonb,
    out rule            text
)
    language plpgsql stable as
$$
declare
    -- How a policy reads that shares nothing: what is left is what the owner and an admin may.
    unshared constant jsonb := '{"visibility": "private", "readers": "owner"}';
    found_it  record;
    the_grant holdfast."grant";
begin
    if p_grant is not null then
        select g.*
        into the_grant
        from holdfast."grant" g
        where g.id = p_grant
          and g.kind in ('get', 'share')
          and g.bucket = p_bucket
          and g.key = p_key
          and g.version is not distinct from p_version;
        -- The uses of a share are counted before this is asked.
        the_grant.max_uses := null;
        rule := case
            when the_grant.id is null then 'grant'
            else holdfast.grant_refusal(the_grant, coalesce(p_now, clock_timestamp()))
        end;
        if rule is not null then
            outcome := 'AccessDenied';
            return;
        end if;
        p_sub := the_grant.created_by; p_roles := the_grant.roles; p_scopes := the_grant.scopes;
    end if;

    select b.owner as bucket_owner, b.policy, o.id as object_id, o.owner,
           v.id, v.s3_key, v.size_bytes, v.etag, v.content_type, v.crc64nvme, v.committed_at, v.user_metadata,
           v.headers, v.digests
    into found_it
    from holdfast.bucket b
         left join holdfast.object o on o.bucket = b.name and o.key = p_key
         left join holdfast.version v on v.object_id = o.id and v.state = 'live'
    where b.name = p_bucket;
    if not found then
        outcome := case when coalesce(p_sub, '') = '' then 'NoSuchKey' else 'NoSuchBucket' end;
        return;
    end if;
    if found_it.object_id is null
       or not holdfast.may(p_sub, p_roles, p_scopes, 'read', found_it.bucket_owner, found_it.policy, found_it.owner) then
        outcome := 'NoSuchKey';
        return;
    end if;
    -- The policy may say otherwise by now.
    if p_grant is not null
       and not holdfast.may(p_sub, p_roles, p_scopes, 'share', found_it.bucket_owner, found_it.policy, found_it.owner) then
        outcome := 'AccessDenied'; rule := 'policy.sharers';
        return;
    end if;

    if p_version is not null and p_version is distinct from found_it.id then
        select v.id, v.s3_key, v.size_bytes, v.etag, v.content_type, v.crc64nvme, v.committed_at, v.user_metadata,
               v.headers, v.digests, found_it.policy, found_it.owner, found_it.bucket_owner
        into found_it
        from holdfast.version v
        where v.id = p_version
          and v.object_id = found_it.object_id
          and v.state = 'superseded';
    end if;
    if p_version is not null and (
        found_it.id is null
        -- That was asked when the grant was made.
        or (p_grant is null
            and not holdfast.may(p_sub, p_roles, p_scopes, 'read', found_it.bucket_owner, unshared, found_it.owner))) then
        outcome := 'NoSuchVersion';
        return;
    end if;
    if found_it.id is null then
        outcome := 'NoSuchKey';
        return;
    end if;

    outcome := 'ok';
    version := found_it.id;
    s3_key := found_it.s3_key;
    size_bytes := found_it.size_bytes;
    etag := found_it.etag;
    content_type := found_it.content_type;
    crc64nvme := found_it.crc64nvme;
    committed_at_us := (extract(epoch from found_it.committed_at) * 1000000)::int8;
    user_metadata := found_it.user_metadata;
    -- A version that is named is for whoever may name it, also in a public bucket, and a URL for whoever holds it.
    visibility := case
        when p_version is null and p_grant is null then found_it.policy ->> 'visibility'
        else 'private'
    end;
    cache_control := found_it.policy ->> 'cacheControl';
    owner := found_it.owner;
    headers := found_it.headers;
    digests := found_it.digests;
end
$$;
