-- Takes an idempotency key for a request that makes grants. Whoever makes grants takes it before any other lock, so
-- that two requests under one key wait here for each other: the second one finds the answer of the first.
--
-- Outcomes: ok (`answer` is what the first request was answered, null where this is the first), IdempotencyKeyReused
-- (the first one asked for something else).
create or replace function holdfast.claim_grant(
    p_principal   text,
    p_key         text,
    p_fingerprint text,
    p_now         timestamptz,
    out outcome text,
    out answer  jsonb
)
    language plpgsql volatile as
$$
declare
    earlier holdfast.grant_request;
begin
    outcome := 'ok';
    -- Again while others insert or remove it.
    loop
        insert into holdfast.grant_request (principal, key, fingerprint, created_at)
        values (p_principal, p_key, p_fingerprint, p_now)
        on conflict do nothing;
        if found then
            return;
        end if;
        select r.*
        into earlier
        from holdfast.grant_request r
        where r.principal = p_principal
          and r.key = p_key
        for update;
        exit when found;
    end loop;

    if earlier.fingerprint <> p_fingerprint then
        outcome := 'IdempotencyKeyReused';
    else
        answer := earlier.answer;
    end if;
end
$$;
