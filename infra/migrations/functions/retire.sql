-- Removes what nobody asks for any more: versions that ended long ago, objects left without any, old
-- idempotency keys, grants, API keys, templates and batches that ended long ago, the parts of uploads that ended, old
-- rows of the access log. Returns how many rows went.
create or replace function holdfast.retire(p_limit int4, p_now timestamptz) returns int8
    language plpgsql volatile as
$$
declare
    -- So long a repeated commit still gets its answer.
    ended_before  constant timestamptz := coalesce(p_now, clock_timestamp()) - interval '30 days';
    logged_before constant timestamptz := coalesce(p_now, clock_timestamp()) - interval '90 days';
    -- So long a request may be repeated under its idempotency key.
    keyed_before  constant timestamptz := coalesce(p_now, clock_timestamp()) - interval '24 hours';
    -- So long a key that ended is listed, and its use is told from that of an unknown one. The audit log keeps its rows.
    keys_before   constant timestamptz := coalesce(p_now, clock_timestamp()) - interval '30 days';
    -- So long the status of an upload tells its parts.
    parted_before constant timestamptz := coalesce(p_now, clock_timestamp()) - interval '24 hours';
    objects       int8[];
    gone          int8;
    total         int8 := 0;
begin
    -- Objects before versions: the order of locks.
    objects := array(
        select o.id
        from holdfast.object o
        where o.id in (
            select v.object_id
            from holdfast.version v
            where v.state in ('purged', 'aborted')
              and v.ended_at < ended_before
            order by v.ended_at
            limit p_limit)
        order by o.id
        for update skip locked);
    delete from holdfast.version v
    where v.object_id = any (objects)
      and v.state in ('purged', 'aborted')
      and v.ended_at < ended_before;
    get diagnostics gone = row_count;
    total := total + gone;

    delete from holdfast.object o
    where o.id = any (objects)
      and not exists (select from holdfast.version v where v.object_id = o.id);
    get diagnostics gone = row_count;
    total := total + gone;

    delete from holdfast.idempotency i
    where (i.principal, i.key) in (
        select old.principal, old.key
        from holdfast.idempotency old
        where old.created_at < keyed_before
        order by old.created_at
        limit p_limit
        for update skip locked);
    get diagnostics gone = row_count;
    total := total + gone;

    delete from holdfast.grant_request r
    where (r.principal, r.key) in (
        select old.principal, old.key
        from holdfast.grant_request old
        where old.created_at < keyed_before
        order by old.created_at
        limit p_limit
        for update skip locked);
    get diagnostics gone = row_count;
    total := total + gone;

    delete from holdfast."grant" g
    where g.id in (
        select old.id
        from holdfast."grant" old
        where old.expires_at < ended_before
        order by old.expires_at
        limit p_limit
        for update skip locked);
    get diagnostics gone = row_count;
    total := total + gone;

    delete from holdfast.api_key k
    where k.id in (
        select old.id
        from holdfast.api_key old
        where least(old.expires_at, old.revoked_at) < keys_before
        order by least(old.expires_at, old.revoked_at)
        limit p_limit
        for update skip locked);
    get diagnostics gone = row_count;
    total := total + gone;

    delete from holdfast.upload_part p
    where (p.version, p.part_number) in (
        select q.version, q.part_number
        from holdfast.upload_session s
             join holdfast.version v on v.id = s.version
             join holdfast.upload_part q on q.version = s.version
        where s.expires_at < parted_before
          and v.state <> 'pending'
        limit p_limit);
    get diagnostics gone = row_count;
    total := total + gone;

    delete from holdfast.batch_record r
    where (r.batch, r.record) in (
        select q.batch, q.record
        from holdfast.batch b
             join holdfast.batch_record q on q.batch = b.id
        where b.swept_at < ended_before
        limit p_limit);
    get diagnostics gone = row_count;
    total := total + gone;

    delete from holdfast.batch b
    where b.swept_at < ended_before
      and not exists (select from holdfast.batch_record r where r.batch = b.id);
    get diagnostics gone = row_count;
    total := total + gone;

    delete from holdfast.template t
    where t.id in (
        select old.id
        from holdfast.template old
        where old.deleted_at < ended_before
        order by old.deleted_at
        limit p_limit
        for update skip locked);
    get diagnostics gone = row_count;
    total := total + gone;

    delete from holdfast.access_log l
    where l.id in (
        select old.id
        from holdfast.access_log old
        where old.at < logged_before
        order by old.at
        limit p_limit);
    get diagnostics gone = row_count;
    return total + gone;
end
$$;
