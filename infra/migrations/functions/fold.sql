-- Adds up usage deltas into the totals, in one statement: no reader sees a delta twice or not at all. Two at
-- once take different deltas. Returns how many were folded.
create or replace function holdfast.fold(p_limit int4, p_bucket text default null) returns int8
    language plpgsql volatile as
$$
declare
    folded int8;
begin
    with taken as (
        delete from holdfast.usage_delta d
        where d.id in (
            select e.id
            from holdfast.usage_delta e
            where p_bucket is null
               or e.bucket = p_bucket
            limit p_limit
            for update skip locked)
        returning d.*
    ), added as (
        insert into holdfast.usage_total as t
            (bucket, owner, live_bytes, live_objects, retained_bytes, retained_objects, pending_bytes, pending_objects)
        select taken.bucket, coalesce(taken.owner, ''),
               sum(taken.live_bytes), sum(taken.live_objects), sum(taken.retained_bytes), sum(taken.retained_objects),
               sum(taken.pending_bytes), sum(taken.pending_objects)
        from taken
        group by grouping sets ((taken.bucket, taken.owner), (taken.bucket))
        order by 1, 2   -- the order of locks of whoever folds beside us
        on conflict (bucket, owner) do update
        set live_bytes       = t.live_bytes + excluded.live_bytes,
            live_objects     = t.live_objects + excluded.live_objects,
            retained_bytes   = t.retained_bytes + excluded.retained_bytes,
            retained_objects = t.retained_objects + excluded.retained_objects,
            pending_bytes    = t.pending_bytes + excluded.pending_bytes,
            pending_objects  = t.pending_objects + excluded.pending_objects
    )
    select count(*) into folded from taken;
    return folded;
end
$$;
