-- Where usage as it is kept differs from a recount, in each bucket or the one given. Always empty; a row is a
-- defect. Owner '' is the whole bucket.
create or replace function holdfast.usage_drift(p_bucket text default null)
    returns table (bucket text, owner text, kept int8[], counted int8[])
    language sql stable as
$$
    with kept as (
        select k.bucket, k.owner,
               array[sum(k.live_bytes), sum(k.live_objects), sum(k.retained_bytes), sum(k.retained_objects),
                     sum(k.pending_bytes), sum(k.pending_objects)]::int8[] as parts
        from (
            select t.bucket, t.owner, t.live_bytes, t.live_objects, t.retained_bytes, t.retained_objects,
                   t.pending_bytes, t.pending_objects
            from holdfast.usage_total t
            union all
            -- Each delta counts for its owner and for the bucket, as `fold` has it.
            select d.bucket, name.owner, d.live_bytes, d.live_objects, d.retained_bytes, d.retained_objects,
                   d.pending_bytes, d.pending_objects
            from holdfast.usage_delta d
                 cross join lateral (values (d.owner), ('')) as name (owner)
        ) k
        where p_bucket is null or k.bucket = p_bucket
        group by k.bucket, k.owner
    ), counted as (
        select r.bucket, coalesce(r.owner, '') as owner,
               array[sum(r.live_bytes), sum(r.live_objects), sum(r.retained_bytes), sum(r.retained_objects),
                     sum(r.pending_bytes), sum(r.pending_objects)]::int8[] as parts
        from holdfast.usage_recount(p_bucket) r
        group by grouping sets ((r.bucket, r.owner), (r.bucket))
    )
    select bucket, owner, kept.parts, counted.parts
    from kept
         full join counted using (bucket, owner)
    where coalesce(kept.parts, '{0,0,0,0,0,0}') <> coalesce(counted.parts, '{0,0,0,0,0,0}')
$$;
