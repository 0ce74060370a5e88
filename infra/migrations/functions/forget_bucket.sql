-- The store has a dropped bucket no more: forgets what ended in it, for at most `p_limit` objects, and at last the bucket.
-- True once nothing is left of it. The audit log and the events stay.
create or replace function holdfast.forget_bucket(p_bucket text, p_limit int4, p_now timestamptz) returns boolean
    language plpgsql volatile as
$$
declare
    at      constant timestamptz := coalesce(p_now, clock_timestamp());
    objects int8[];
begin
    perform holdfast.durable();

    perform from holdfast.bucket b where b.name = p_bucket and b.state = 'dropping' for update;
    if not found then
        -- True also for whoever asks again.
        return not exists (select from holdfast.bucket b where b.name = p_bucket);
    end if;

    objects := array(
        select o.id
        from holdfast.object o
        where o.bucket = p_bucket
        order by o.key
        limit p_limit
        for update);
    -- What did not end keeps its object, and that its bucket: the foreign keys see to it.
    delete from holdfast.version v where v.object_id = any (objects) and v.state in ('purged', 'aborted');
    delete from holdfast.object o where o.id = any (objects);
    if cardinality(objects) = p_limit then
        return false;
    end if;

    -- Added up and not deleted: who folds beside us may hold one half of a sum. A total of nothing may go at any time.
    perform holdfast.fold(1000000, p_bucket);
    delete from holdfast.usage_total t
    where t.bucket = p_bucket
      and (t.live_bytes, t.live_objects, t.retained_bytes, t.retained_objects, t.pending_bytes, t.pending_objects)
          = (0, 0, 0, 0, 0, 0);
    -- A bucket that gets the name later is another one.
    delete from holdfast."grant" g where g.bucket = p_bucket;
    delete from holdfast.bucket b where b.name = p_bucket;
    insert into holdfast.audit (at, action, actor, bucket, outcome)
    values (at, 'bucket.forget', 'worker', p_bucket, 'ok');
    return true;
end
$$;
