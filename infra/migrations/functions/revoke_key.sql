-- Ends an API key. Safe to repeat. A key that the caller may not administer looks like none.
--
-- Outcomes: ok, NoSuchApiKey.
create or replace function holdfast.revoke_key(
    p_id         uuid,
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    out outcome text
)
    language plpgsql volatile as
$$
declare
    at      constant timestamptz := coalesce(p_now, clock_timestamp());
    the_key holdfast.api_key;
begin
    perform holdfast.durable();

    select k.* into the_key from holdfast.api_key k where k.id = p_id for update;
    if the_key.id is null or not holdfast.may(p_sub, p_roles, p_scopes, 'admin', the_key.owner, '{}', null) then
        outcome := 'NoSuchApiKey';
        perform holdfast.refuse(at, 'key.revoke', coalesce(p_sub, ''), '', the_key.id::text, null, outcome, 'key.owner',
                                p_ip, p_request_id);
        return;
    end if;

    outcome := 'ok';
    if the_key.revoked_at is null then
        update holdfast.api_key k
        set revoked_at = at,
            revoked_by = p_sub
        where k.id = p_id;
        insert into holdfast.audit (at, action, actor, bucket, key, outcome, ip, request_id)
        values (at, 'key.revoke', p_sub, '', p_id::text, 'ok', left(p_ip, 64), left(p_request_id, 128));
    end if;
end
$$;
