-- Claims sessions whose completing nobody ended, for the worker to end in their creators' names.
create or replace function holdfast.due_sessions(p_limit int4, p_now timestamptz)
    returns table (version uuid, sub text, roles text[], scopes text[], hopeless boolean)
    language plpgsql volatile as
$$
#variable_conflict use_column
declare
    claim    constant interval    := interval '2 minutes';
    -- Longer than a Complete is under way.
    complete constant interval    := interval '1 hour';
    at       constant timestamptz := coalesce(p_now, clock_timestamp());
    taken    uuid[];
begin
    perform holdfast.durable();

    -- The versions' locks, as everywhere.
    taken := array(
        select v.id
        from holdfast.upload_session s
             join holdfast.version v on v.id = s.version
        where s.completing_at is not null
          and s.due_at <= at
          -- A piece of a later upload is nobody's object.
          and s.concat is distinct from 'partial'
          and v.state = 'pending'
        order by s.due_at
        limit p_limit
        for no key update of v skip locked);
    return query
        update holdfast.upload_session s
        set due_at = at + claim
        where s.version = any (taken)
          and s.due_at <= at
        returning s.version, s.created_by, s.roles, s.scopes,
                  s.expires_at <= at and s.completing_at + complete <= at;
end
$$;
