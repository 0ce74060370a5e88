-- A page of what can be restored from a bucket's trash, the last deleted first: all of it for the bucket's owner and an
-- admin, their own for others. A refusal is one row with its outcome: NoSuchBucket or AccessDenied.
create or replace function holdfast.list_trash(
    p_bucket    text,
    p_before_us int8,   -- of the last entry of the page before: when it was deleted; or null
    p_before_id uuid,   -- and its version
    p_limit     int4,
    p_sub       text,
    p_roles     text[],
    p_scopes    text[]
) returns table (
    outcome        text,
    rule           text,
    key            text,
    version        uuid,
    size_bytes     int8,
    etag           text,
    content_type   text,
    owner          text,
    deleted_by     text,
    deleted_at_us  int8,
    purge_after_us int8
)
    language plpgsql stable as
$$
#variable_conflict use_column
declare
    -- How a policy reads that shares nothing, as in `resolve`.
    unshared constant jsonb := '{"visibility": "private", "readers": "owner"}';
    before   constant timestamptz := coalesce(
        to_timestamp(p_before_us / 1000000) + (p_before_us % 1000000) * interval '1 microsecond', 'infinity');
    last_id  constant uuid := coalesce(p_before_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
    it  record;
    ids uuid[];
begin
    select b.owner, b.policy into it from holdfast.bucket b where b.name = p_bucket;
    if not found then
        outcome := case when coalesce(p_sub, '') = '' then 'AccessDenied' else 'NoSuchBucket' end; rule := 'bucket';
        return next;
        return;
    end if;
    if not holdfast.may(p_sub, p_roles, p_scopes, 'list', it.owner, it.policy, null) then
        outcome := 'AccessDenied'; rule := 'bucket.list';
        return next;
        return;
    end if;
    if holdfast.may(p_sub, p_roles, p_scopes, 'read', it.owner, unshared, null) then
        ids := array(
            select v.id
            from holdfast.version v
            where v.bucket = p_bucket
              and v.state = 'trashed'
              and not v.erased
              and (v.replaced_at, v.id) < (before, last_id)
            order by v.replaced_at desc, v.id desc
            limit p_limit);
    else
        ids := array(
            select v.id
            from holdfast.version v
            where v.bucket = p_bucket
              and v.owner = p_sub
              and v.state = 'trashed'
              and not v.erased
              and (v.replaced_at, v.id) < (before, last_id)
            order by v.replaced_at desc, v.id desc
            limit p_limit);
    end if;
    return query
        select 'ok', null::text, o.key, v.id, v.size_bytes, v.etag, v.content_type, v.owner, v.deleted_by,
               (extract(epoch from v.replaced_at) * 1000000)::int8, (extract(epoch from v.due_at) * 1000000)::int8
        from holdfast.version v
             join holdfast.object o on o.id = v.object_id
        where v.id = any (ids)
        order by v.replaced_at desc, v.id desc;
end
$$;
