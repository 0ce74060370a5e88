-- Makes a batch, with its records where they are known already. Repeating it with the same id, or under the same
-- idempotency key, is safe: `id` is that of the first one then.
--
-- Outcomes: ok, AccessDenied (may not write to the bucket `batches`), EntityTooLarge (`data`), NoSuchTemplate,
-- IdempotencyKeyReused.
create or replace function holdfast.create_batch(
    p_id              uuid,
    p_name            text,     -- or null
    p_template        uuid,     -- or null
    p_expected        int8,
    p_records         text[],   -- or null
    p_data            jsonb,
    p_sub             text,
    p_roles           text[],
    p_scopes          text[],
    p_idempotency_key text,
    p_fingerprint     text,     -- of everything that the request says, where a key is given
    p_ip              text,
    p_request_id      text,
    p_now             timestamptz,
    out outcome  text,
    out rule     text,
    out id       uuid,
    out repeated boolean
)
    language plpgsql volatile as
$$
declare
    at         constant timestamptz := coalesce(p_now, clock_timestamp());
    the_bucket holdfast.bucket;
    claim      record;
begin
    perform holdfast.durable();
    id := p_id;
    repeated := false;

    <<checks>>
    begin
        select b.* into the_bucket from holdfast.bucket b where b.name = 'batches';
        if coalesce(p_sub, '') = '' then
            outcome := 'AccessDenied'; rule := 'authentication';
            exit checks;
        end if;
        if the_bucket.name is null
           or not holdfast.may(p_sub, p_roles, p_scopes, 'write', the_bucket.owner, the_bucket.policy, null) then
            outcome := 'AccessDenied'; rule := 'bucket.write';
            exit checks;
        end if;
        -- As it is kept, with all digits of its numbers.
        if octet_length(p_data::text) > 65536 then
            outcome := 'EntityTooLarge'; rule := 'batch.data';
            exit checks;
        end if;
        if p_template is not null then
            if not exists (
                select
                from holdfast.template t
                where t.id = p_template
                  and t.deleted_at is null
                  and (t.owner = p_sub or 'admin' = any (coalesce(p_roles, '{}')))) then
                outcome := 'NoSuchTemplate'; rule := 'template';
                exit checks;
            end if;
        end if;
        if p_idempotency_key is not null then
            claim := holdfast.claim_grant(p_sub, p_idempotency_key, p_fingerprint, at);
            if claim.outcome <> 'ok' then
                outcome := claim.outcome; rule := 'idempotency-key';
                exit checks;
            end if;
            if claim.answer is not null then
                outcome := 'ok';
                id := (claim.answer ->> 'id')::uuid;
                repeated := true;
                return;
            end if;
        end if;

        insert into holdfast.batch (id, owner, name, template_id, expected, data, created_at)
        values (p_id, p_sub, p_name, p_template, p_expected, coalesce(p_data, '{}'), at)
        on conflict on constraint batch_pkey do nothing;
        if not found then
            outcome := 'ok';
            repeated := true;
            return;
        end if;
        insert into holdfast.batch_record (batch, record, state, updated_at)
        select p_id, r.record, 'pending', at
        from unnest(p_records) as r (record);

        perform holdfast.tell_batch('batch.created', p_id, p_sub, at,
                                    jsonb_build_object('expected', p_expected, 'templateId', p_template, 'name', p_name));
        insert into holdfast.audit (at, action, actor, bucket, key, outcome, ip, request_id)
        values (at, 'batch.create', p_sub, 'batches', p_id::text, 'ok', left(p_ip, 64), left(p_request_id, 128));
        update holdfast.grant_request q
        set answer = jsonb_build_object('id', p_id)
        where q.principal = p_sub
          and q.key = p_idempotency_key;
        outcome := 'ok';
        return;
    end checks;

    perform holdfast.refuse(at, 'batch.create', coalesce(p_sub, ''), coalesce(the_bucket.name, ''), null, null, outcome, rule,
                            p_ip, p_request_id);
end
$$;
