-- Closes an empty bucket (-> deleting): nothing begins in it any more. Whoever called it looks into the store next, and
-- tells by `drop_bucket` or `reopen_bucket`. Safe to repeat until the store was told.
--
-- Whoever begins a write holds the bucket's row, and whoever deletes it waits for them: then either we see what they began,
-- or they see our end.
--
-- Outcomes: ok, NoSuchBucket (also for what the caller may not see), AccessDenied, BucketNotActive, InvalidArgument (the name
-- was not repeated, for a bucket that held something), BucketNotEmpty.
create or replace function holdfast.delete_bucket(
    p_bucket     text,
    p_confirmed  boolean,   -- the caller repeated the name
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    out outcome text,
    out rule    text,
    out counts  jsonb   -- of a bucket that is not empty: how many versions of which kind, of 10,000 that were looked at
)
    language plpgsql volatile as
$$
declare
    -- Counted no further: nobody begins while we count.
    most       constant int4        := 10000;
    -- The caller's time to look into the store; then the worker does.
    claim      constant interval    := interval '1 minute';
    -- `/readyz` looks for the first one in the store, and features go by the others.
    needed     constant text[]      := '{documents,templates,batches}';
    at         constant timestamptz := coalesce(p_now, clock_timestamp());
    the_bucket holdfast.bucket;
begin
    perform holdfast.durable();

    <<checks>>
    begin
        select b.* into the_bucket from holdfast.bucket b where b.name = p_bucket for update;
        if not found or not exists (
            select
            from unnest('{admin,list,read,write}'::text[]) action
            where holdfast.may(p_sub, p_roles, p_scopes, action, the_bucket.owner, the_bucket.policy, null)) then
            outcome := 'NoSuchBucket'; rule := 'bucket';
            exit checks;
        end if;
        if not holdfast.may(p_sub, p_roles, p_scopes, 'admin', the_bucket.owner, the_bucket.policy, null) then
            outcome := 'AccessDenied'; rule := 'bucket.admin';
            exit checks;
        end if;
        if p_bucket = any (needed) then
            outcome := 'AccessDenied'; rule := 'bucket.needed';
            exit checks;
        end if;
        if the_bucket.state = 'dropping' then
            outcome := 'BucketNotActive'; rule := 'bucket.state';
            exit checks;
        end if;
        -- A worker that tells the store of its pages would make it anew.
        if the_bucket.cors_claimed_until > at then
            outcome := 'BucketNotActive'; rule := 'bucket.cors';
            exit checks;
        end if;
        -- Every write leaves its usage, however long ago it was.
        if not p_confirmed and (
            exists (select from holdfast.usage_total t where t.bucket = p_bucket)
            or exists (select from holdfast.usage_delta d where d.bucket = p_bucket)
            or exists (select from holdfast.object o where o.bucket = p_bucket)) then
            outcome := 'InvalidArgument'; rule := 'confirm';
            exit checks;
        end if;

        -- A statement of its own, begun under the lock.
        select jsonb_object_agg(kind.name, kind.count)
        into counts
        from (
            select kept.name, count(*)
            from (
                select case v.state
                    when 'superseded' then 'retained'
                    when 'aborting' then 'pending'
                    else v.state
                end as name
                from holdfast.object o
                     join holdfast.version v on v.object_id = o.id
                where o.bucket = p_bucket
                  and v.state not in ('purged', 'aborted')
                limit most
            ) kept
            group by kept.name
        ) kind;
        if counts is not null then
            outcome := 'BucketNotEmpty'; rule := 'bucket.objects';
            exit checks;
        end if;

        update holdfast.bucket b
        set state  = 'deleting',
            due_at = at + claim
        where b.name = p_bucket;
        insert into holdfast.audit (at, action, actor, bucket, outcome, ip, request_id)
        values (at, 'bucket.delete', p_sub, p_bucket, 'ok', left(p_ip, 64), left(p_request_id, 128));
        outcome := 'ok';
        return;
    end checks;

    perform holdfast.refuse(at, 'bucket.delete', coalesce(p_sub, ''), coalesce(the_bucket.name, ''), null, null, outcome, rule,
                            p_ip, p_request_id);
end
$$;
