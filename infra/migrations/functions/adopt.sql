-- Registers objects that lie in the store's bucket already, in place: a page of them in one call. Each becomes an object of
-- `p_owner` whose current version has its bytes where they are, under the key that they have there, from when they were
-- stored. Quotas do not refuse them, and count them.
--
-- One that a version names already is known, wherever the object is by now. A key that has another object, also one that
-- ended and is not forgotten yet, is refused. Adopters of one bucket take turns, so that each file is adopted once.
--
-- Outcomes: ok, NoSuchBucket, AccessDenied, BucketNotActive.
create or replace function holdfast.adopt(
    p_bucket     text,
    p_objects    jsonb,     -- [{version, key, size, etag, type, storedAtUs, metadata, headers}]; none only asks who may
    p_owner      text,      -- null = the bucket's
    p_dry_run    boolean,
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    out outcome text,
    out rule    text,
    out adopted int8,
    out known   int8,
    out refused text[]      -- keys that have another object
)
    language plpgsql volatile as
$$
declare
    at         constant timestamptz := coalesce(p_now, clock_timestamp());
    the_bucket holdfast.bucket;
    keeper     text;
    left_over  text[];
    ids        int8[];
    keys       text[];
begin
    perform holdfast.durable();
    adopted := 0; known := 0; refused := '{}';

    <<checks>>
    begin
        select b.* into the_bucket from holdfast.bucket b where b.name = p_bucket for key share;
        -- Whose the files in the store are, nobody here can know: an operator does.
        if coalesce(p_sub, '') = '' or not 'admin' = any (coalesce(p_roles, '{}')) then
            outcome := 'AccessDenied'; rule := 'bucket.adopt';
            exit checks;
        end if;
        if the_bucket.name is null then
            outcome := 'NoSuchBucket'; rule := 'bucket';
            exit checks;
        end if;
        if not holdfast.may(p_sub, p_roles, p_scopes, 'admin', the_bucket.owner, the_bucket.policy, null) then
            outcome := 'AccessDenied'; rule := 'bucket.adopt';
            exit checks;
        end if;
        if the_bucket.state <> 'active' then
            outcome := 'BucketNotActive'; rule := 'bucket.state';
            exit checks;
        end if;

        outcome := 'ok';
        keeper := coalesce(p_owner, the_bucket.owner);
        if p_objects = '[]' then
            return;
        end if;
        if not p_dry_run then
            -- Ours alone, and last among locks of many; the objects that follow are new.
            perform pg_advisory_xact_lock(hashtextextended('holdfast.adopt/' || p_bucket, 0));
        end if;

        -- Read under that lock. A version on its way out still has a worker that deletes its blob.
        left_over := array(
            select found.key
            from jsonb_to_recordset(p_objects) as found (key text)
            where not exists (
                select
                from holdfast.version v
                     join holdfast.object o on o.id = v.object_id
                where v.s3_key = found.key
                  and o.bucket = p_bucket
                  and v.state not in ('purged', 'aborted')));
        known := jsonb_array_length(p_objects) - cardinality(left_over);

        if p_dry_run then
            select coalesce(array_agg(wanted.key), '{}')
            into refused
            from unnest(left_over) as wanted (key)
            where exists (select from holdfast.object o where o.bucket = p_bucket and o.key = wanted.key);
            adopted := cardinality(left_over) - cardinality(refused);
            return;
        end if;

        -- In the order of keys, in which everybody takes several. Whoever inserts one of them just now is waited for.
        with taken as (
            insert into holdfast.object (bucket, key, owner, sequence, live, created_at)
            select p_bucket, wanted.key, keeper, 1, true, at
            from unnest(left_over) as wanted (key)
            order by wanted.key collate "C"
            on conflict do nothing
            returning id, key
        )
        select coalesce(array_agg(taken.id), '{}'), coalesce(array_agg(taken.key), '{}')
        into ids, keys
        from taken;
        refused := array(select unnest(left_over) except all select unnest(keys));

        with adopting as materialized (
            select taken.id as object_id, taken.key, found.version, found.size, found.etag, found.type,
                   coalesce(found.metadata, '{}') as metadata, coalesce(found.headers, '{}') as headers,
                   least(to_timestamp(found."storedAtUs" / 1000000.0), at) as stored_at
            from unnest(ids, keys) as taken (id, key)
                 join jsonb_to_recordset(p_objects) as found (
                     version uuid, key text, size int8, etag text, type text, "storedAtUs" int8, metadata jsonb, headers jsonb)
                     on found.key = taken.key
        ), versions as (
            insert into holdfast.version
                (id, object_id, s3_key, state, created_by, created_at, owner, charged_bytes, user_metadata, headers,
                 size_bytes, content_type, etag, committed_at, created)
            select a.version, a.object_id, a.key, 'live', p_sub, coalesce(a.stored_at, at), keeper, a.size, a.metadata, a.headers,
                   a.size, a.type, a.etag, coalesce(a.stored_at, at), true
            from adopting a
        ), events as (
            insert into holdfast.outbox (kind, occurred_at, bucket, key, object_id, sequence, version, actor, data)
            select 'object.created', at, p_bucket, a.key, a.object_id, 1, a.version, p_sub,
                   jsonb_build_object('size', a.size, 'etag', a.etag, 'contentType', a.type, 'owner', keeper,
                                      'replaces', null, 'adopted', true)
            from adopting a
        ), told as (
            insert into holdfast.audit (at, action, actor, bucket, key, version, outcome, ip, request_id)
            select at, 'adopt', p_sub, p_bucket, a.key, a.version, 'ok', left(p_ip, 64), left(p_request_id, 128)
            from adopting a
        ), charged as (
            insert into holdfast.usage_delta (bucket, owner, live_bytes, live_objects)
            select p_bucket, keeper, sum(a.size), count(*)
            from adopting a
            having count(*) > 0
        )
        select count(*) into adopted from adopting;
        return;
    end checks;

    perform holdfast.refuse(at, 'adopt', coalesce(p_sub, ''), coalesce(the_bucket.name, ''), null, null, outcome, rule,
                            p_ip, p_request_id);
end
$$;
