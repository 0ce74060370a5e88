-- Writes an event of a batch.
create or replace function holdfast.tell_batch(p_kind text, p_batch uuid, p_actor text, p_at timestamptz, p_data jsonb)
    returns void
    language sql volatile as
$$
    insert into holdfast.outbox (kind, occurred_at, bucket, key, actor, data)
    values (p_kind, p_at, 'batches', p_batch::text, p_actor, p_data)
$$;
