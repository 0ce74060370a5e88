-- Who an API key stands for.
--
-- Outcomes: ok, InvalidToken (unknown, another secret, revoked: nobody learns which), ExpiredToken.
create or replace function holdfast.authenticate_key(
    p_id         uuid,
    p_hash       bytea,   -- SHA-256 of the secret
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    out outcome text,
    out rule    text,
    out sub     text,
    out roles   text[],
    out scopes  text[]
)
    language plpgsql volatile as
$$
declare
    at      constant timestamptz := coalesce(p_now, clock_timestamp());
    today   constant date        := (at at time zone 'UTC')::date;
    -- Equality stops at the first byte that differs. Of two hashes that are hashed again with something that
    -- nobody knows, that byte tells nothing.
    blind   constant bytea       := uuid_send(gen_random_uuid());
    the_key holdfast.api_key;
begin
    select k.* into the_key from holdfast.api_key k where k.id = p_id;
    if the_key.id is null or sha256(the_key.hash || blind) is distinct from sha256(p_hash || blind) then
        -- Whoever this is: one row a minute, whichever keys they try.
        outcome := 'InvalidToken'; rule := 'key.unknown';
        the_key.owner := '';
    elsif the_key.revoked_at is not null then
        outcome := 'InvalidToken'; rule := 'key.revoked';
    elsif the_key.expires_at <= at then
        outcome := 'ExpiredToken'; rule := 'key.expired';
    else
        outcome := 'ok';
        sub := the_key.owner;
        roles := the_key.roles;
        scopes := the_key.scopes;
        if the_key.last_used_on is distinct from today then
            perform set_config('synchronous_commit', 'off', true);
            update holdfast.api_key k
            set last_used_on = today
            where k.id = p_id
              and k.last_used_on is distinct from today;
        end if;
        return;
    end if;

    perform set_config('synchronous_commit', 'off', true);
    perform holdfast.refuse(at, 'key.use', the_key.owner, '',
                            case when the_key.owner <> '' then p_id::text end, null, outcome, rule, p_ip, p_request_id);
    -- The rule is for the audit log alone.
    rule := null;
end
$$;
