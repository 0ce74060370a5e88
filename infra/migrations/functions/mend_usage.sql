-- Sets the usage of a bucket right where it differs from a recount, for at most `p_limit` owners, and returns what
-- differed; owner null is the bucket as a whole.
--
-- Exact beside writers, and nobody waits for it: a step changes versions and appends its deltas in one transaction, so
-- one statement, which has one snapshot, sees both or neither, and what it finds wrong stays wrong by as much whatever
-- commits meanwhile. It is therefore added, never set. Only two who mend at once would add it twice: they take turns,
-- and the second one's statement, begun after the lock, sees what the first one added.
create or replace function holdfast.mend_usage(p_bucket text, p_limit int4, p_now timestamptz)
    returns table (owner text, kept jsonb, counted jsonb)
    language plpgsql volatile as
$$
#variable_conflict use_column
declare
    at constant timestamptz := coalesce(p_now, clock_timestamp());
begin
    perform holdfast.durable();
    perform pg_advisory_xact_lock(hashtextextended('holdfast.mend_usage/' || p_bucket, 0));

    return query
        with drift as materialized (
            select d.owner, coalesce(d.kept, '{0,0,0,0,0,0}') as kept, coalesce(d.counted, '{0,0,0,0,0,0}') as counted
            from holdfast.usage_drift(p_bucket) d
        ), owners as (
            select drift.owner, drift.kept, drift.counted
            from drift
            where drift.owner <> ''
            order by drift.owner
            limit p_limit
        ), added as (
            insert into holdfast.usage_delta
                (bucket, owner, live_bytes, live_objects, retained_bytes, retained_objects, pending_bytes,
                 pending_objects)
            select p_bucket, owners.owner,
                   counted[1] - kept[1], counted[2] - kept[2], counted[3] - kept[3],
                   counted[4] - kept[4], counted[5] - kept[5], counted[6] - kept[6]
            from owners
        ), whole as (
            -- What the owners' deltas will not set right of the bucket's own total.
            select array(
                select sum((drift.counted[part] - drift.kept[part])
                           * case when drift.owner = '' then 1 else -1 end)::int8
                from generate_series(1, 6) as part, drift
                group by part
                order by part) as rest
        ), set_right as (
            insert into holdfast.usage_total as t
                (bucket, owner, live_bytes, live_objects, retained_bytes, retained_objects, pending_bytes,
                 pending_objects)
            select p_bucket, '', rest[1], rest[2], rest[3], rest[4], rest[5], rest[6]
            from whole
            where rest <> '{0,0,0,0,0,0}' and rest <> '{}'
            on conflict (bucket, owner) do update
            set live_bytes       = t.live_bytes + excluded.live_bytes,
                live_objects     = t.live_objects + excluded.live_objects,
                retained_bytes   = t.retained_bytes + excluded.retained_bytes,
                retained_objects = t.retained_objects + excluded.retained_objects,
                pending_bytes    = t.pending_bytes + excluded.pending_bytes,
                pending_objects  = t.pending_objects + excluded.pending_objects
        ), mended as (
            select nullif(drift.owner, '') as owner, to_jsonb(drift.kept) as kept, to_jsonb(drift.counted) as counted
            from drift
            where drift.owner = '' or drift.owner in (select owners.owner from owners)
        ), told as (
            insert into holdfast.audit (at, action, actor, bucket, outcome, rule)
            select at, 'reconcile', 'worker', p_bucket, 'usage-drift', 'mended'
            where exists (select from mended)
        )
        select mended.owner, mended.kept, mended.counted
        from mended
        order by mended.owner nulls first;
end
$$;
