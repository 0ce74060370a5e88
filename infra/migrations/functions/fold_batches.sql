-- Adds up the deltas of batches into their counters, and tells of each batch once that all its records are through. Two
-- at once take different batches. Returns how many deltas went.
create or replace function holdfast.fold_batches(p_limit int4, p_now timestamptz) returns int8
    language plpgsql volatile as
$$
declare
    at        constant timestamptz := coalesce(p_now, clock_timestamp());
    the_batch holdfast.batch;
    gone      record;
    status    text;
    folded    int8 := 0;
begin
    -- The batch is what is locked: its counters and its end are written by one at a time.
    for the_batch in
        select b.*
        from holdfast.batch b
        where b.id in (select few.batch from (select d.batch from holdfast.batch_delta d limit p_limit) few)
        order by b.id
        for no key update skip locked
    loop
        with taken as (
            delete from holdfast.batch_delta d
            where d.id in (
                select e.id from holdfast.batch_delta e where e.batch = the_batch.id limit p_limit for update skip locked)
            returning d.rendering, d.complete, d.failed
        )
        select count(*) as deltas, coalesce(sum(t.rendering), 0) as rendering, coalesce(sum(t.complete), 0) as complete,
               coalesce(sum(t.failed), 0) as failed
        into gone
        from taken t;
        update holdfast.batch b
        set rendering = b.rendering + gone.rendering,
            complete  = b.complete + gone.complete,
            failed    = b.failed + gone.failed
        where b.id = the_batch.id
        returning * into the_batch;
        folded := folded + gone.deltas;

        status := holdfast.batch_status(the_batch.expected, the_batch.rendering, the_batch.complete, the_batch.failed);
        if status not in ('complete', 'failed') then
            update holdfast.batch b
            set ended_at = null, ended_as = null
            where b.id = the_batch.id
              and b.ended_at is not null;
        elsif the_batch.ended_as is distinct from status and the_batch.deleted_at is null then
            update holdfast.batch b set ended_at = at, ended_as = status where b.id = the_batch.id;
            perform holdfast.tell_batch(
                case status when 'complete' then 'batch.completed' else 'batch.failed' end, the_batch.id, 'system', at,
                jsonb_build_object('expected', the_batch.expected, 'complete', the_batch.complete,
                                   'failed', the_batch.failed, 'owner', the_batch.owner));
        end if;
    end loop;
    return folded;
end
$$;
