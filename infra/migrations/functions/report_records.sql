-- What render workers say of records that have no card: rendering, failed with a reason, or pending again. A record that
-- is complete stays so. All of them or none.
--
-- Outcomes: ok (`changed` counts those that were not so before), NoSuchBatch, AccessDenied.
create or replace function holdfast.report_records(
    p_id         uuid,
    p_records    text[],   -- no name twice
    p_states     text[],
    p_reasons    text[],   -- one where failed, else null
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    out outcome text,
    out rule    text,
    out changed int8,
    out stay    text[]   -- complete, and so not touched
)
    language plpgsql volatile as
$$
declare
    at         constant timestamptz := coalesce(p_now, clock_timestamp());
    the_batch  holdfast.batch;
    the_bucket holdfast.bucket;
    delta      record;
begin
    perform holdfast.durable();
    select b.* into the_bucket from holdfast.bucket b where b.name = 'batches';
    select b.* into the_batch from holdfast.batch b where b.id = p_id and b.deleted_at is null;
    if the_batch.id is null or the_batch.owner is distinct from p_sub then
        outcome := 'NoSuchBatch'; rule := 'batch';
    elsif not holdfast.may(p_sub, p_roles, p_scopes, 'write', the_bucket.owner, the_bucket.policy, the_batch.owner) then
        outcome := 'AccessDenied'; rule := 'bucket.write';
    end if;
    if outcome is not null then
        perform holdfast.refuse(at, 'batch.report', coalesce(p_sub, ''), coalesce(the_bucket.name, ''), p_id::text, null,
                                outcome, rule, p_ip, p_request_id);
        return;
    end if;

    -- In the order of their names: the order of locks of whoever reports beside us.
    insert into holdfast.batch_record (batch, record, state, updated_at)
    select p_id, it.record, 'pending', at
    from unnest(p_records) as it (record)
    order by it.record
    on conflict do nothing;
    perform
    from holdfast.batch_record r
    where r.batch = p_id
      and r.record = any (p_records)
    order by r.record
    for no key update;

    with wanted as (
        select it.record, it.state, it.reason, r.state as was
        from unnest(p_records, p_states, p_reasons) as it (record, state, reason)
             join holdfast.batch_record r on r.batch = p_id and r.record = it.record
        where r.state <> 'complete'
    ), moved as (
        update holdfast.batch_record r
        set state      = w.state,
            reason     = w.reason,
            failures   = r.failures + (w.state = 'failed')::int,
            updated_at = at
        from wanted w
        where r.batch = p_id
          and r.record = w.record
        returning w.was, w.state
    )
    select count(*) filter (where was <> state) as changed,
           coalesce(sum((state = 'rendering')::int - (was = 'rendering')::int), 0) as rendering,
           coalesce(sum((state = 'failed')::int - (was = 'failed')::int), 0) as failed
    into delta
    from moved;
    if delta.rendering <> 0 or delta.failed <> 0 then
        insert into holdfast.batch_delta (batch, rendering, failed) values (p_id, delta.rendering, delta.failed);
    end if;
    stay := array(
        select r.record
        from holdfast.batch_record r
        where r.batch = p_id
          and r.record = any (p_records)
          and r.state = 'complete'
        order by r.record);
    insert into holdfast.audit (at, action, actor, bucket, key, outcome, ip, request_id)
    values (at, 'batch.report', p_sub, 'batches', p_id::text, 'ok', left(p_ip, 64), left(p_request_id, 128));
    outcome := 'ok';
    changed := delta.changed;
end
$$;
