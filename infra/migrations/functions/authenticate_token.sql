-- In whose name an upload token writes, by which grant, and what that reaches; `begin` asks the grant for the rest.
--
-- Outcomes: ok, InvalidToken (unknown, or revoked: nobody learns which), ExpiredToken.
create or replace function holdfast.authenticate_token(
    p_hash       bytea,   -- SHA-256 of the token
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    out outcome  text,
    out sub      text,
    out roles    text[],
    out scopes   text[],
    out grant_id uuid,
    out bucket   text,
    out prefix   text    -- of the keys
)
    language plpgsql volatile as
$$
declare
    at        constant timestamptz := coalesce(p_now, clock_timestamp());
    the_grant holdfast."grant";
    rule      text;
begin
    select g.* into the_grant from holdfast."grant" g where g.hash = p_hash and g.kind = 'token';
    -- `begin` counts, under a lock.
    rule := case
        when the_grant.id is null then 'grant'
        when the_grant.revoked_at is not null then 'grant.revoked'
        when the_grant.expires_at <= at then 'grant.expired'
    end;
    if rule is null then
        outcome := 'ok';
        sub := the_grant.created_by;
        roles := the_grant.roles;
        scopes := the_grant.scopes;
        grant_id := the_grant.id;
        bucket := the_grant.bucket;
        prefix := the_grant.key;
        return;
    end if;

    outcome := case rule when 'grant.expired' then 'ExpiredToken' else 'InvalidToken' end;
    perform set_config('synchronous_commit', 'off', true);
    perform holdfast.refuse(at, 'token.use', coalesce(the_grant.created_by, ''), coalesce(the_grant.bucket, ''), null, null,
                            outcome, rule, p_ip, p_request_id);
end
$$;
