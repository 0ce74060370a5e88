-- A page of an object's versions that can be read or restored, the last begun first: the current one and those that it
-- replaced. For its owner, the bucket's and an admin. A refusal is one row with its outcome: NoSuchKey or NoSuchBucket.
create or replace function holdfast.list_versions(
    p_bucket text,
    p_key    text,
    p_before uuid,   -- the last id of the page before, or null
    p_limit  int4,
    p_sub    text,
    p_roles  text[],
    p_scopes text[]
) returns table (
    outcome         text,
    version         uuid,
    is_current      boolean,
    size_bytes      int8,
    etag            text,
    content_type    text,
    committed_at_us int8,
    created_by      text,
    replaced_at_us  int8,
    purge_after_us  int8
)
    language plpgsql stable as
$$
#variable_conflict use_column
declare
    -- How a policy reads that shares nothing, as in `resolve`.
    unshared constant jsonb := '{"visibility": "private", "readers": "owner"}';
    it record;
begin
    select b.owner as bucket_owner, o.id, o.owner
    into it
    from holdfast.bucket b
         left join holdfast.object o on o.bucket = b.name and o.key = p_key
    where b.name = p_bucket;
    if not found then
        outcome := case when coalesce(p_sub, '') = '' then 'NoSuchKey' else 'NoSuchBucket' end;
        return next;
        return;
    end if;
    if it.id is null
       or not holdfast.may(p_sub, p_roles, p_scopes, 'read', it.bucket_owner, unshared, it.owner)
       or not exists (
           select from holdfast.version v where v.object_id = it.id and v.state in ('live', 'superseded')) then
        outcome := 'NoSuchKey';
        return next;
        return;
    end if;
    return query
        select 'ok', v.id, v.state = 'live', v.size_bytes, v.etag, v.content_type,
               (extract(epoch from v.committed_at) * 1000000)::int8, v.created_by,
               (extract(epoch from v.replaced_at) * 1000000)::int8, (extract(epoch from v.due_at) * 1000000)::int8
        from holdfast.version v
        where v.object_id = it.id
          and v.state in ('live', 'superseded')
          and (p_before is null or v.id < p_before)
        order by v.id desc
        limit p_limit;
end
$$;
