-- The caller's templates, or those of somebody or of all for whoever administers the bucket templates; the newest first.
-- A refusal is one row with its outcome.
create or replace function holdfast.list_templates(
    p_owner  text,      -- null = the caller
    p_all    boolean,   -- whoever owns them
    p_before uuid,      -- the last id of the page before, or null
    p_limit  int4,
    p_sub    text,
    p_roles  text[],
    p_scopes text[]
) returns table (outcome text, rule text, template jsonb)
    language plpgsql stable as
$$
declare
    the_bucket holdfast.bucket;
    whose      constant text := coalesce(p_owner, p_sub);
    ids        uuid[];
begin
    select b.* into the_bucket from holdfast.bucket b where b.name = 'templates';
    if coalesce(p_sub, '') = '' then
        outcome := 'AccessDenied'; rule := 'authentication';
    elsif the_bucket.name is null then
        outcome := 'NoSuchBucket'; rule := 'bucket';
    elsif not holdfast.may(p_sub, p_roles, p_scopes, case when p_all or whose <> p_sub then 'admin' else 'read' end,
                           the_bucket.owner, the_bucket.policy, whose) then
        outcome := 'AccessDenied'; rule := 'bucket.admin';
    end if;
    if outcome is not null then
        return next;
        return;
    end if;

    -- Each of the two has an index in its order.
    if p_all then
        ids := array(
            select t.id
            from holdfast.template t
            where t.deleted_at is null
              and (p_before is null or t.id < p_before)
            order by t.id desc
            limit p_limit);
    else
        ids := array(
            select t.id
            from holdfast.template t
            where t.owner = whose
              and t.deleted_at is null
              and (p_before is null or t.id < p_before)
            order by t.id desc
            limit p_limit);
    end if;
    return query
        select 'ok', null::text, holdfast.template_record(t)
        from holdfast.template t
        where t.id = any (ids)
        order by t.id desc;
end
$$;
