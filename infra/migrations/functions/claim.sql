-- Takes an idempotency key for a version, inside `begin` and behind the lock of its object. Two requests under one
-- key wait here for each other.
--
-- Outcomes: ok (it is this version's; or `repeated` is what the first request was committed as),
-- IdempotencyKeyInUse (the first one is still under way), IdempotencyKeyReused (the first one asked for something else).
create or replace function holdfast.claim(
    p_principal   text,
    p_key         text,
    p_fingerprint text,
    p_version     uuid,
    p_now         timestamptz,
    out outcome  text,
    out repeated jsonb
)
    language plpgsql volatile as
$$
declare
    earlier record;
    first   record;
begin
    -- Again while others insert or remove it.
    loop
        insert into holdfast.idempotency (principal, key, fingerprint, version, created_at)
        values (p_principal, p_key, p_fingerprint, p_version, p_now)
        on conflict do nothing;
        if found then
            outcome := 'ok';
            return;
        end if;
        select i.fingerprint, i.version
        into earlier
        from holdfast.idempotency i
        where i.principal = p_principal
          and i.key = p_key
        for update;
        exit when found;
    end loop;

    if earlier.version = p_version then
        outcome := 'ok';
        return;
    end if;
    -- Read without a lock, which would come before that of its object: it only goes forward.
    select v.state, v.committed_at, holdfast.committed_as(v) as document
    into first
    from holdfast.version v
    where v.id = earlier.version;
    if first.committed_at is null and (first.state is null or first.state <> 'pending') then
        -- It ended without an answer, and can have none any more: the key is free. While it is pending it may yet
        -- commit, whatever its lease says; the reaper ends that.
        update holdfast.idempotency i
        set fingerprint = p_fingerprint,
            version     = p_version,
            created_at  = p_now
        where i.principal = p_principal
          and i.key = p_key;
        outcome := 'ok';
    elsif earlier.fingerprint <> p_fingerprint then
        outcome := 'IdempotencyKeyReused';
    elsif first.committed_at is null then
        outcome := 'IdempotencyKeyInUse';
    else
        outcome := 'ok';
        repeated := first.document;
    end if;
end
$$;
