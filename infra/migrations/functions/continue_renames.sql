-- Goes on with the renaming of a folder that its client left: of the one that is due first, for at most `p_limit` objects, as
-- its creator and in the right that they had. Returns how many it moved.
create or replace function holdfast.continue_renames(p_limit int4, p_now timestamptz) returns int8
    language plpgsql volatile as
$$
declare
    -- One that cannot go on, because its bucket is being deleted, is looked at again so much later.
    later constant interval    := interval '1 hour';
    at    constant timestamptz := coalesce(p_now, clock_timestamp());
    the   holdfast.rename_job;
    step  record;
begin
    select j.*
    into the
    from holdfast.rename_job j
    where j.due_at <= at
    order by j.due_at
    limit 1
    for update skip locked;
    if not found then
        return 0;
    end if;
    step := holdfast.step_rename(the.id, the.bucket, false, p_limit, the.created_by, the.roles, the.scopes, null, null, at);
    if step.outcome <> 'ok' then
        update holdfast.rename_job j set due_at = at + later where j.id = the.id;
        return 0;
    end if;
    return abs((step.job ->> 'moved')::int8 - the.moved);
end
$$;
