-- Whether a card may be stored in a batch: asked before its upload begins. `begin` decides everything else.
--
-- Outcomes: ok, NoSuchBatch (also for everybody but its owner, who alone owns its cards), AccessDenied.
create or replace function holdfast.open_record(
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
    at        constant timestamptz := coalesce(p_now, clock_timestamp());
    the_batch holdfast.batch;
begin
    select b.* into the_batch from holdfast.batch b where b.id = p_id and b.deleted_at is null;
    if the_batch.id is not null and the_batch.owner = p_sub then
        outcome := 'ok';
        return;
    end if;
    outcome := 'NoSuchBatch'; rule := 'batch';
    perform holdfast.refuse(at, 'batch.store', coalesce(p_sub, ''), 'batches', p_id::text, null, outcome, rule, p_ip,
                            p_request_id);
end
$$;
