-- Deletes an object softly: its current version goes to the trash, with usage, audit row and event. The bytes stay
-- until the bucket's retention ends; `purge` takes them like those of a superseded version.
--
-- Outcomes: ok, NoSuchKey (also for what the caller may neither delete nor see), NoSuchBucket, AccessDenied (may
-- see it, or is nobody), PreconditionFailed. The object's row stays, and with it the owner: the name is not free
-- for somebody else while its old bytes may come back.
create or replace function holdfast.trash(
    p_bucket     text,
    p_key        text,
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_if_match   text,   -- or null
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    out outcome        text,
    out rule           text,
    out version        uuid,
    out deleted_at_us  int8,
    out purge_after_us int8
)
    language plpgsql volatile as
$$
declare
    at          constant timestamptz := coalesce(p_now, clock_timestamp());
    the_bucket  holdfast.bucket;
    the_object  record;
    the_version record;
    purge_after timestamptz;
    -- Why, for the audit alone: the client is not told what it may not see.
    reason      text;
begin
    perform holdfast.durable();

    <<checks>>
    begin
        if coalesce(p_sub, '') = '' then
            outcome := 'AccessDenied'; rule := 'authentication';
            exit checks;
        end if;

        select b.*
        into the_bucket
        from holdfast.bucket b
        where b.name = p_bucket
        for key share;
        if not found then
            outcome := 'NoSuchBucket'; rule := 'bucket';
            exit checks;
        end if;

        -- Not the key of its row, as in `commit`.
        select o.id, o.owner, o.sequence
        into the_object
        from holdfast.object o
        where o.bucket = p_bucket
          and o.key = p_key
        for no key update;
        if not found then
            outcome := 'NoSuchKey'; reason := 'object';
            exit checks;
        end if;
        select v.id, v.owner, v.etag, v.size_bytes, v.pinned_until
        into the_version
        from holdfast.version v
        where v.object_id = the_object.id
          and v.state = 'live'
        for update;
        if not found then
            outcome := 'NoSuchKey'; reason := 'object';
            exit checks;
        end if;

        if not holdfast.may(p_sub, p_roles, p_scopes, 'delete', the_bucket.owner, the_bucket.policy, the_object.owner) then
            if holdfast.may(p_sub, p_roles, p_scopes, 'read', the_bucket.owner, the_bucket.policy, the_object.owner) then
                outcome := 'AccessDenied'; rule := 'object.delete';
            else
                outcome := 'NoSuchKey'; reason := 'object.delete';
            end if;
            exit checks;
        end if;
        if p_if_match is not null and not holdfast.etag_matches(p_if_match, the_version.etag, p_weak => false) then
            outcome := 'PreconditionFailed'; rule := 'if-match';
            exit checks;
        end if;

        purge_after := holdfast.keep_until(the_bucket.policy, at, the_version.pinned_until, 'trashed');
        update holdfast.version v
        set state       = 'trashed',
            replaced_at = at,
            due_at      = purge_after,
            deleted_by  = p_sub
        where v.id = the_version.id;
        update holdfast.object o
        set sequence = o.sequence + 1,
            live     = false
        where o.id = the_object.id;

        insert into holdfast.usage_delta
            (bucket, owner, live_bytes, live_objects, retained_bytes, retained_objects)
        values
            (p_bucket, the_version.owner, -the_version.size_bytes, -1, the_version.size_bytes, 1);
        insert into holdfast.outbox (kind, occurred_at, bucket, key, object_id, sequence, version, actor, data)
        values
            ('object.deleted', at, p_bucket, p_key, the_object.id, the_object.sequence + 1, the_version.id, p_sub,
             jsonb_build_object('size', the_version.size_bytes, 'etag', the_version.etag, 'owner', the_version.owner,
                                'purgeAfter', purge_after));
        insert into holdfast.audit (at, action, actor, bucket, key, version, outcome, ip, request_id)
        values
            (at, 'delete', p_sub, p_bucket, p_key, the_version.id, 'ok', left(p_ip, 64), left(p_request_id, 128));

        outcome := 'ok';
        version := the_version.id;
        deleted_at_us := (extract(epoch from at) * 1000000)::int8;
        purge_after_us := (extract(epoch from purge_after) * 1000000)::int8;
        return;
    end checks;

    perform holdfast.refuse(at, 'delete', coalesce(p_sub, ''), coalesce(the_bucket.name, ''), p_key, null, outcome,
                            coalesce(rule, reason), p_ip, p_request_id);
end
$$;
