-- The second look at versions whose blob is not there: returns those that still have to have one, and writes each
-- down where `p_write` says so. Nothing else is changed: data are gone, and only an operator can tell what follows.
create or replace function holdfast.report_lost(p_versions uuid[], p_write boolean, p_now timestamptz)
    returns setof uuid
    language plpgsql volatile as
$$
declare
    at   constant timestamptz := coalesce(p_now, clock_timestamp());
    lost uuid[];
begin
    lost := array(
        select v.id
        from holdfast.version v
        where v.id = any (p_versions)
          and v.state in ('live', 'superseded', 'trashed'));
    if p_write then
        insert into holdfast.audit (at, action, actor, bucket, key, version, outcome, rule)
        select at, 'reconcile', 'worker', o.bucket, o.key, v.id, 'row-without-blob', 'severity.critical'
        from holdfast.version v
             join holdfast.object o on o.id = v.object_id
        where v.id = any (lost);
    end if;
    return query select unnest(lost);
end
$$;
