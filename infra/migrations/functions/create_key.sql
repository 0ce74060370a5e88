-- Makes an API key. Who may administer what `p_owner` has, by `may`, may make keys for it: that is oneself,
-- or an admin, and with a narrow token or key only by the scope 'admin'.
--
-- Outcomes: ok, AccessDenied, QuotaExceeded.
create or replace function holdfast.create_key(
    p_id         uuid,
    p_hash       bytea,
    p_name       text,
    p_owner      text,
    p_key_roles  text[],   -- an admin's alone, and no more than the caller has
    p_key_scopes text[],
    p_seconds    int8,     -- how long it lives
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    out outcome       text,
    out rule          text,
    out created_at_us int8,
    out expires_at_us int8
)
    language plpgsql volatile as
$$
declare
    -- Keys of one owner that are neither revoked nor expired.
    most       constant int4        := 100;
    at         constant timestamptz := coalesce(p_now, clock_timestamp());
    expires_at constant timestamptz := at + p_seconds * interval '1 second';
begin
    perform holdfast.durable();

    <<checks>>
    begin
        if not holdfast.may(p_sub, p_roles, p_scopes, 'admin', p_owner, '{}', null) then
            outcome := 'AccessDenied'; rule := 'key.owner';
            exit checks;
        end if;
        if p_key_roles <> '{}' and not ('admin' = any (coalesce(p_roles, '{}')) and p_key_roles <@ p_roles) then
            outcome := 'AccessDenied'; rule := 'key.roles';
            exit checks;
        end if;
        -- One creator of an owner's keys at a time, or two would both see room for the last one.
        perform pg_advisory_xact_lock(hashtextextended('holdfast.api_key ' || p_owner, 0));
        if (select count(*)
            from holdfast.api_key k
            where k.owner = p_owner
              and k.revoked_at is null
              and k.expires_at > at) >= most then
            outcome := 'QuotaExceeded'; rule := 'owner.keys';
            exit checks;
        end if;

        insert into holdfast.api_key (id, name, owner, roles, scopes, hash, created_by, created_at, expires_at)
        values (p_id, p_name, p_owner, p_key_roles, p_key_scopes, p_hash, p_sub, at, expires_at);
        insert into holdfast.audit (at, action, actor, bucket, key, outcome, ip, request_id)
        values (at, 'key.create', p_sub, '', p_id::text, 'ok', left(p_ip, 64), left(p_request_id, 128));
        outcome := 'ok';
        created_at_us := (extract(epoch from at) * 1000000)::int8;
        expires_at_us := (extract(epoch from expires_at) * 1000000)::int8;
        return;
    end checks;

    perform holdfast.refuse(at, 'key.create', coalesce(p_sub, ''), '', null, null, outcome, rule, p_ip, p_request_id);
end
$$;
