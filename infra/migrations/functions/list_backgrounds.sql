-- The backgrounds of a template that are there: the current one, and those that may be made current again; the latest
-- upload first. Whoever may change the template sees them. A refusal is one row with its outcome.
create or replace function holdfast.list_backgrounds(
    p_id     uuid,
    p_before uuid,   -- the last version of the page before, or null
    p_limit  int4,
    p_sub    text,
    p_roles  text[],
    p_scopes text[]
) returns table (outcome text, rule text, background jsonb)
    language plpgsql volatile as
$$
declare
    opened record;
begin
    opened := holdfast.open_template(p_id, 'read', false, p_sub, p_roles, p_scopes);
    if opened.outcome <> 'ok' then
        outcome := opened.outcome; rule := opened.rule;
        return next;
        return;
    end if;
    -- Old ones are their owner's, also where everybody may read: as `resolve` has it.
    if not holdfast.may(p_sub, p_roles, p_scopes, 'read', (select b.owner from holdfast.bucket b where b.name = 'templates'),
                        '{"visibility": "private", "readers": "owner"}', (opened.the_template).owner) then
        outcome := 'AccessDenied'; rule := 'template.read';
        return next;
        return;
    end if;
    return query
        select 'ok', null::text, holdfast.background_record(v, i)
        from holdfast.object o
             join holdfast.version v on v.object_id = o.id
             join holdfast.image i on i.version = v.id
        where o.bucket = 'templates'
          and o.key = holdfast.background_key(p_id)
          and o.owner = (opened.the_template).owner
          and v.state in ('live', 'superseded', 'trashed')
          and (p_before is null or v.id < p_before)
        order by v.id desc
        limit p_limit;
end
$$;
