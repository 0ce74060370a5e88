-- Usage counted from the versions, for each bucket (or the one given) and owner. The invariant is that `usage` says the same:
-- `usage_drift` compares them.
create or replace function holdfast.usage_recount(p_bucket text default null)
    returns table (
        bucket           text,
        owner            text,
        live_bytes       int8,
        live_objects     int8,
        retained_bytes   int8,
        retained_objects int8,
        pending_bytes    int8,
        pending_objects  int8
    )
    language sql stable as
$$
    select o.bucket, v.owner,
           coalesce(sum(v.charged_bytes) filter (where part.name = 'live'), 0)::int8,
           count(*) filter (where part.name = 'live'),
           coalesce(sum(v.charged_bytes) filter (where part.name = 'retained'), 0)::int8,
           count(*) filter (where part.name = 'retained'),
           coalesce(sum(v.charged_bytes) filter (where part.name = 'pending'), 0)::int8,
           count(*) filter (where part.name = 'pending')
    from holdfast.version v
         join holdfast.object o on o.id = v.object_id
         cross join lateral (
             select case
                 when v.state in ('live', 'pending') then v.state
                 when v.state in ('aborting', 'aborted', 'purged') then null
                 else 'retained'
             end as name
         ) part
    where part.name is not null
      and (p_bucket is null or o.bucket = p_bucket)
    group by o.bucket, v.owner
$$;
