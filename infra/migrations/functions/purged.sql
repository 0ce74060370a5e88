-- These purging versions have no bytes any more. Returns how many moved.
create or replace function holdfast.purged(p_versions uuid[], p_now timestamptz) returns int8
    language plpgsql volatile as
$$
declare
    at    constant timestamptz := coalesce(p_now, clock_timestamp());
    moved int8;
begin
    perform from holdfast.version v where v.id = any (p_versions) order by v.id for update;
    with moved as (
        update holdfast.version v
        set state    = 'purged',
            due_at   = null,
            ended_at = at
        from holdfast.object o
        where v.id = any (p_versions)
          and v.state = 'purging'
          and o.id = v.object_id
        returning v.id, o.bucket, o.key, v.owner, v.size_bytes
    ), freed as (
        insert into holdfast.usage_delta (bucket, owner, retained_bytes, retained_objects)
        select moved.bucket, moved.owner, -moved.size_bytes, -1
        from moved
    )
    insert into holdfast.audit (at, action, actor, bucket, key, version, outcome)
    select at, 'purge', 'worker', moved.bucket, moved.key, moved.id, 'ok'
    from moved;
    get diagnostics moved = row_count;
    return moved;
end
$$;
