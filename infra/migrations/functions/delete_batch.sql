-- Deletes a batch softly: it is gone from every list at once, and the worker moves its cards to the trash.
--
-- Outcomes: ok, NoSuchBatch (also for what is not theirs, and where it is deleted already), AccessDenied.
create or replace function holdfast.delete_batch(
    p_id         uuid,
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    out outcome text,
    out rule    text
)
    language plpgsql volatile as
$$
declare
    at         constant timestamptz := coalesce(p_now, clock_timestamp());
    the_batch  holdfast.batch;
    the_bucket holdfast.bucket;
begin
    perform holdfast.durable();
    select b.* into the_bucket from holdfast.bucket b where b.name = 'batches';
    select b.* into the_batch from holdfast.batch b where b.id = p_id and b.deleted_at is null for no key update;
    if the_batch.id is null or coalesce(p_sub, '') = ''
       or not (the_batch.owner = p_sub
               or holdfast.may(p_sub, p_roles, null, 'admin', the_bucket.owner, the_bucket.policy, null)) then
        outcome := 'NoSuchBatch'; rule := 'batch';
    elsif not holdfast.may(p_sub, p_roles, p_scopes, 'delete', the_bucket.owner, the_bucket.policy, the_batch.owner) then
        outcome := 'AccessDenied'; rule := 'batch.delete';
    end if;
    if outcome is not null then
        perform holdfast.refuse(at, 'batch.delete', coalesce(p_sub, ''), coalesce(the_bucket.name, ''), p_id::text, null,
                                outcome, rule, p_ip, p_request_id);
        return;
    end if;
    update holdfast.batch b set deleted_at = at where b.id = p_id;
    perform holdfast.tell_batch('batch.deleted', p_id, p_sub, at, '{}');
    insert into holdfast.audit (at, action, actor, bucket, key, outcome, ip, request_id)
    values (at, 'batch.delete', p_sub, 'batches', p_id::text, 'ok', left(p_ip, 64), left(p_request_id, 128));
    outcome := 'ok';
end
$$;
