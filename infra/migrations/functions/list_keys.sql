-- The API keys of an owner, the newest first, never their hashes. A refusal is one row with its outcome.
create or replace function holdfast.list_keys(
    p_owner  text,
    p_before uuid,   -- the last id of the page before, or null
    p_limit  int4,
    p_sub    text,
    p_roles  text[],
    p_scopes text[]
) returns table (
    outcome       text,
    id            uuid,
    name          text,
    owner         text,
    roles         text[],
    scopes        text[],
    created_by    text,
    created_at_us int8,
    expires_at_us int8,
    revoked_at_us int8,
    last_used_on  text
)
    language plpgsql stable as
$$
begin
    if not holdfast.may(p_sub, p_roles, p_scopes, 'admin', p_owner, '{}', null) then
        outcome := 'AccessDenied';
        return next;
        return;
    end if;
    return query
        select 'ok', k.id, k.name, k.owner, k.roles, k.scopes, k.created_by,
               (extract(epoch from k.created_at) * 1000000)::int8,
               (extract(epoch from k.expires_at) * 1000000)::int8,
               (extract(epoch from k.revoked_at) * 1000000)::int8,
               k.last_used_on::text
        from holdfast.api_key k
        where k.owner = p_owner
          and (p_before is null or k.id < p_before)
        order by k.id desc
        limit p_limit;
end
$$;
