-- A batch with its counters, for its owner, whoever administers the bucket `batches`, and admins.
--
-- Outcomes: ok, NoSuchBatch (also for what is not theirs), AccessDenied (a token that is narrowed to something else).
create or replace function holdfast.batch(
    p_id     uuid,
    p_sub    text,
    p_roles  text[],
    p_scopes text[],
    out outcome       text,
    out rule          text,
    out owner         text,
    out name          text,
    out template_id   uuid,
    out expected      int8,
    out data          jsonb,
    out created_at_us int8,
    out ended_at_us   int8,
    out rendering     int8,
    out complete      int8,
    out failed        int8,
    out status        text
)
    language plpgsql stable as
$$
declare
    the_batch  holdfast.batch;
    the_bucket holdfast.bucket;
    counts     record;
begin
    select b.* into the_batch from holdfast.batch b where b.id = p_id and b.deleted_at is null;
    select b.* into the_bucket from holdfast.bucket b where b.name = 'batches';
    if the_batch.id is null or coalesce(p_sub, '') = ''
       or not (the_batch.owner = p_sub
               or holdfast.may(p_sub, p_roles, null, 'admin', the_bucket.owner, the_bucket.policy, null)) then
        outcome := 'NoSuchBatch'; rule := 'batch';
        return;
    end if;
    if not holdfast.may(p_sub, p_roles, p_scopes, 'read', the_bucket.owner, the_bucket.policy, the_batch.owner) then
        outcome := 'AccessDenied'; rule := 'batch.read';
        return;
    end if;
    counts := holdfast.batch_counts(the_batch);
    outcome := 'ok';
    owner := the_batch.owner;
    name := the_batch.name;
    template_id := the_batch.template_id;
    expected := the_batch.expected;
    data := the_batch.data;
    created_at_us := (extract(epoch from the_batch.created_at) * 1000000)::int8;
    ended_at_us := (extract(epoch from the_batch.ended_at) * 1000000)::int8;
    rendering := counts.rendering;
    complete := counts.complete;
    failed := counts.failed;
    status := counts.status;
end
$$;
