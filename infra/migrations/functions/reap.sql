-- Takes expired leases (pending -> aborting) and returns the blobs to delete: theirs, and those that a second
-- deletion or a crashed worker left. Each is claimed for a while; `reaped` says that it was deleted. `multipart`: S3
-- may hold parts of it too; `tails` are blobs of its bytes that were too few for a part. A session that is completing is
-- never taken: see `due_sessions`. But for a piece of a later upload, whose object shall go whatever comes of its
-- Complete.
create or replace function holdfast.reap(p_limit int4, p_now timestamptz)
    returns table (version uuid, bucket text, s3_key text, multipart boolean, tails text[])
    language plpgsql volatile as
$$
#variable_conflict use_column
declare
    claim constant interval    := interval '2 minutes';
    at    constant timestamptz := coalesce(p_now, clock_timestamp());
    taken uuid[];
    uses  uuid[];
begin
    perform holdfast.durable();

    with expired as (
        -- A row that `renew` or `commit` holds is skipped; one that they changed is looked at again.
        select v.id
        from holdfast.version v
        where v.state = 'pending'
          and v.lease_until <= at
          and not exists (
              select from holdfast.upload_session s where s.version = v.id and s.completing_at is not null and s.concat is distinct from 'partial')
        order by v.lease_until
        limit p_limit
        for update skip locked
    ), moved as (
        update holdfast.version v
        set state       = 'aborting',
            lease_until = null,
            due_at      = at
        from expired, holdfast.object o
        where v.id = expired.id
          and o.id = v.object_id
        returning v.id, o.bucket, o.key, v.owner, v.charged_bytes, v.grant_id
    ), freed as (
        insert into holdfast.usage_delta (bucket, owner, pending_bytes, pending_objects)
        select moved.bucket, moved.owner, -moved.charged_bytes, -1
        from moved
    ), told as (
        insert into holdfast.audit (at, action, actor, bucket, key, version, outcome)
        select at, 'reap', 'worker', moved.bucket, moved.key, moved.id, 'lease-expired'
        from moved
    )
    select array_agg(moved.grant_id) filter (where moved.grant_id is not null)
    into uses
    from moved;
    perform holdfast.return_use(uses);

    taken := array(
        select v.id
        from holdfast.version v
        where v.state = 'aborting'
          and v.due_at <= at
        order by v.due_at
        limit p_limit
        for update skip locked);

    -- A write that only named somebody else's blob has none to delete.
    update holdfast.version v
    set state    = 'aborted',
        due_at   = null,
        ended_at = at
    from holdfast.object o
    where v.id = any (taken)
      and o.id = v.object_id
      and holdfast.blob_in_use(v.id, o.bucket, v.s3_key);

    return query
        update holdfast.version v
        set due_at = at + claim
        from holdfast.object o
        where v.id = any (taken)
          and v.state = 'aborting'
          and o.id = v.object_id
        returning v.id, o.bucket, v.s3_key,
                  exists (select from holdfast.upload_session s where s.version = v.id),
                  array(select p.s3_key from holdfast.upload_part p where p.version = v.id and p.s3_key is not null);
end
$$;
