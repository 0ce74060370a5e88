-- Takes replaced versions whose time is over (-> purging) and returns them, with those that a crashed worker
-- left. Each is claimed for a while; `purged` says that it is done. `delete_blob` is false where another
-- version still names the blob. Workers claim one after the other: of two who each take one of the last two versions
-- of a blob both would leave it to the other.
create or replace function holdfast.purge(p_limit int4, p_now timestamptz)
    returns table (version uuid, bucket text, s3_key text, delete_blob boolean)
    language plpgsql volatile as
$$
#variable_conflict use_column
declare
    claim constant interval    := interval '2 minutes';
    at    constant timestamptz := coalesce(p_now, clock_timestamp());
    taken uuid[];
begin
    perform holdfast.durable();
    -- Nobody else takes it, and nothing is locked before it.
    perform pg_advisory_xact_lock(hashtextextended('holdfast.purge', 0));

    taken := array(
        select v.id
        from holdfast.version v
        where v.state in ('superseded', 'trashed', 'purging')
          and v.due_at <= at
        order by v.due_at
        limit p_limit
        for update skip locked);

    -- The policy may keep longer by now than it did when the version was replaced.
    update holdfast.version v
    set state  = case when keep.until <= at then 'purging' else v.state end,
        due_at = case when keep.until <= at then at + claim else keep.until end
    from holdfast.version w
         join holdfast.object o on o.id = w.object_id
         join holdfast.bucket b on b.name = o.bucket
         cross join lateral (
             select case
                 when w.state = 'purging' then at
                 -- What was deleted for good is kept no longer than it has to be.
                 else holdfast.keep_until(case when w.erased then '{}' else b.policy end, w.replaced_at, w.pinned_until, w.state)
             end as until
         ) keep
    where w.id = any (taken)
      and v.id = w.id;

    return query
        select v.id, o.bucket, v.s3_key, not holdfast.blob_in_use(v.id, o.bucket, v.s3_key)
        from holdfast.version v
             join holdfast.object o on o.id = v.object_id
        where v.id = any (taken)
          and v.state = 'purging';
end
$$;
