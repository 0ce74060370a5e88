-- Deletes for good: an object with its earlier versions and what is in the trash of it, or one version. Nobody restores
-- or reads it any more. The bytes go as early as the rules of purging allow, whatever the bucket's retention: 24 hours
-- after the version was replaced or deleted, and not before the last URL straight to them has ended.
--
-- Outcomes: those of `trash`, and NoSuchVersion.
create or replace function holdfast.erase(
    p_bucket     text,
    p_key        text,
    p_version    uuid,   -- null = all of them
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_if_match   text,   -- of what is current; or null
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    out outcome        text,
    out rule           text,
    out version        uuid,   -- the current one where that went, else the last of the others
    out versions       int4,   -- how many
    out deleted_at_us  int8,
    out purge_after_us int8    -- of the last of them
)
    language plpgsql volatile as
$$
declare
    at         constant timestamptz := coalesce(p_now, clock_timestamp());
    the_bucket holdfast.bucket;
    the_object record;
    the_live   record;
    the_last   record;
    ids        uuid[];
    is_live    boolean;
    purge_at   timestamptz;
    reason     text;
begin
    perform holdfast.durable();

    <<checks>>
    begin
        if coalesce(p_sub, '') = '' then
            outcome := 'AccessDenied'; rule := 'authentication';
            exit checks;
        end if;
        select b.* into the_bucket from holdfast.bucket b where b.name = p_bucket for key share;
        if not found then
            outcome := 'NoSuchBucket'; rule := 'bucket';
            exit checks;
        end if;
        select o.id, o.owner, o.sequence, o.live
        into the_object
        from holdfast.object o
        where o.bucket = p_bucket and o.key = p_key
        for no key update;
        if not found then
            outcome := 'NoSuchKey'; reason := 'object';
            exit checks;
        end if;
        if not holdfast.may(p_sub, p_roles, p_scopes, 'delete', the_bucket.owner, the_bucket.policy, the_object.owner) then
            if the_object.live
               and holdfast.may(p_sub, p_roles, p_scopes, 'read', the_bucket.owner, the_bucket.policy, the_object.owner) then
                outcome := 'AccessDenied'; rule := 'object.delete';
            else
                outcome := 'NoSuchKey'; reason := 'object.delete';
            end if;
            exit checks;
        end if;

        perform
        from holdfast.version v
        where v.object_id = the_object.id
          and v.state in ('live', 'superseded', 'trashed')
          and (p_version is null or v.id = p_version or v.state = 'live')
        order by v.id
        for update;
        select v.id, v.etag, v.size_bytes, v.owner
        into the_live
        from holdfast.version v
        where v.object_id = the_object.id and v.state = 'live';
        if p_if_match is not null and not holdfast.etag_matches(p_if_match, the_live.etag, p_weak => false) then
            outcome := 'PreconditionFailed'; rule := 'if-match';
            exit checks;
        end if;
        ids := array(
            select v.id
            from holdfast.version v
            where v.object_id = the_object.id
              and v.state in ('live', 'superseded', 'trashed')
              and not v.erased
              and (p_version is null or v.id = p_version)
            order by v.id);
        if cardinality(ids) = 0 then
            outcome := case when p_version is null then 'NoSuchKey' else 'NoSuchVersion' end; reason := 'object';
            exit checks;
        end if;
        is_live := coalesce(the_live.id = any (ids), false);

        update holdfast.version v
        set state       = 'trashed',
            erased      = true,
            deleted_by  = p_sub,
            replaced_at = coalesce(v.replaced_at, at),
            due_at      = holdfast.keep_until('{}', coalesce(v.replaced_at, at), v.pinned_until)
        where v.id = any (ids);
        update holdfast.object o
        set sequence = o.sequence + 1,
            live     = o.live and not is_live,
            tags     = case when o.live and not is_live then o.tags else '{}' end
        where o.id = the_object.id;
        select v.id, v.etag, v.size_bytes, max(v.due_at) over () as due_at
        into the_last
        from holdfast.version v
        where v.id = any (ids)
        order by v.id = the_live.id desc nulls last, v.replaced_at desc, v.id desc
        limit 1;
        purge_at := the_last.due_at;

        if is_live then
            insert into holdfast.usage_delta (bucket, owner, live_bytes, live_objects, retained_bytes, retained_objects)
            values (p_bucket, the_live.owner, -the_live.size_bytes, -1, the_live.size_bytes, 1);
        end if;
        insert into holdfast.outbox (kind, occurred_at, bucket, key, object_id, sequence, version, actor, data)
        values
            (case when is_live then 'object.deleted' else 'object.erased' end, at, p_bucket, p_key, the_object.id,
             the_object.sequence + 1, the_last.id, p_sub,
             jsonb_build_object('size', the_last.size_bytes, 'etag', the_last.etag, 'owner', the_object.owner,
                                'purgeAfter', purge_at, 'permanent', true, 'versions', to_jsonb(ids)));
        insert into holdfast.audit (at, action, actor, bucket, key, version, outcome, rule, ip, request_id)
        values
            (at, 'erase', p_sub, p_bucket, p_key, the_last.id, 'ok', 'versions ' || cardinality(ids), left(p_ip, 64),
             left(p_request_id, 128));

        outcome := 'ok';
        version := the_last.id;
        versions := cardinality(ids);
        deleted_at_us := (extract(epoch from at) * 1000000)::int8;
        purge_after_us := (extract(epoch from purge_at) * 1000000)::int8;
        return;
    end checks;

    perform holdfast.refuse(at, 'erase', coalesce(p_sub, ''), coalesce(the_bucket.name, ''), p_key, p_version, outcome,
                            coalesce(rule, reason), p_ip, p_request_id);
end
$$;
