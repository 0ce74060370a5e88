-- The grants of the caller, or of one bucket for whoever administers it, the newest first; never what opens them. A
-- refusal is one row with its outcome.
create or replace function holdfast.list_grants(
    p_kinds  text[],
    p_bucket text,   -- null = the caller's own, in all buckets
    p_before uuid,   -- the last id of the page before, or null
    p_limit  int4,
    p_sub    text,
    p_roles  text[],
    p_scopes text[],
    p_now    timestamptz
) returns table (
    outcome       text,
    id            uuid,
    kind          text,
    created_by    text,
    bucket        text,
    key           text,
    version       uuid,
    direct        boolean,
    save_as       text,
    max_uses      int8,
    uses          int8,
    max_bytes     int8,
    types         text[],
    created_at_us int8,
    expires_at_us int8,
    revoked_at_us int8
)
    language plpgsql stable as
$$
declare
    ids uuid[];
begin
    -- Each of the two has an index in its order.
    if p_bucket is null then
        ids := array(
            select g.id
            from holdfast."grant" g
            where g.created_by = p_sub
              and g.kind = any (p_kinds)
              and (p_before is null or g.id < p_before)
            order by g.id desc
            limit p_limit);
    elsif exists (
        select
        from holdfast.bucket b
        where b.name = p_bucket
          and holdfast.may(p_sub, p_roles, p_scopes, 'admin', b.owner, b.policy, null)) then
        ids := array(
            select g.id
            from holdfast."grant" g
            where g.bucket = p_bucket
              and g.kind = any (p_kinds)
              and (p_before is null or g.id < p_before)
            order by g.id desc
            limit p_limit);
    else
        outcome := 'AccessDenied';
        return next;
        return;
    end if;

    return query
        select 'ok', g.id, g.kind, g.created_by, g.bucket, g.key, g.version, g.direct, g.save_as, g.max_uses, g.uses,
               g.max_bytes, g.types,
               (extract(epoch from g.created_at) * 1000000)::int8,
               (extract(epoch from g.expires_at) * 1000000)::int8,
               (extract(epoch from g.revoked_at) * 1000000)::int8
        from holdfast."grant" g
        where g.id = any (ids)
        order by g.id desc;
end
$$;
