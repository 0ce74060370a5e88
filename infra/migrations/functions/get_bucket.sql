-- A bucket, for whoever may do anything in it. Whoever may not administer it sees of its policy what uploads and
-- downloads have to keep to, and neither its owner nor its usage.
--
-- Outcomes: ok, NoSuchBucket (also for what the caller may not see).
create or replace function holdfast.get_bucket(
    p_bucket text,
    p_sub    text,
    p_roles  text[],
    p_scopes text[],
    out outcome       text,
    out rule          text,
    out administers   boolean,
    out state         text,
    out owner         text,
    out created_at_us int8,
    out policy        jsonb,
    out etag          text,
    out usage         jsonb   -- [live bytes, objects, retained bytes, objects, pending bytes, objects]
)
    language plpgsql stable as
$$
declare
    shown      constant text[] := '{visibility,allowedTypes,cacheControl,maxBytes,image,maxPresignSeconds,directAllowed}';
    the_bucket holdfast.bucket;
begin
    select b.* into the_bucket from holdfast.bucket b where b.name = p_bucket;
    if not found or not exists (
        select
        from unnest('{admin,list,read,write}'::text[]) action
        where holdfast.may(p_sub, p_roles, p_scopes, action, the_bucket.owner, the_bucket.policy, null)) then
        outcome := 'NoSuchBucket'; rule := 'bucket';
        return;
    end if;

    outcome := 'ok';
    administers := holdfast.may(p_sub, p_roles, p_scopes, 'admin', the_bucket.owner, the_bucket.policy, null);
    state := the_bucket.state;
    created_at_us := (extract(epoch from the_bucket.created_at) * 1000000)::int8;
    etag := holdfast.bucket_etag(the_bucket);
    if not administers then
        policy := (
            select coalesce(jsonb_object_agg(member.key, member.value), '{}')
            from jsonb_each(jsonb_strip_nulls(the_bucket.policy)) member
            where member.key = any (shown));
        return;
    end if;
    -- Policies of the first release have nulls.
    policy := jsonb_strip_nulls(the_bucket.policy);
    owner := the_bucket.owner;
    select jsonb_build_array(u.live_bytes, u.live_objects, u.retained_bytes, u.retained_objects, u.pending_bytes,
                             u.pending_objects)
    into usage
    from holdfast.usage(p_bucket, null) u;
end
$$;
