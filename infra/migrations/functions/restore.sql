-- Makes an earlier version, or one from the trash, the current one again: a pointer moves, no byte does. What was
-- current becomes an earlier version.
--
-- Without a version it is the last one that went to the trash, and only where nothing is current. Outcomes: ok,
-- AccessDenied, NoSuchBucket, BucketNotActive, NoSuchKey, NoSuchVersion, PreconditionFailed (`current`: something is,
-- and no version was named).
create or replace function holdfast.restore(
    p_bucket     text,
    p_key        text,
    p_version    uuid,   -- or null
    p_if_match   text,   -- of what is current; or null
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    out outcome    text,
    out rule       text,
    out version    uuid,
    out replaced   uuid,
    out size_bytes int8,
    out etag       text
)
    language plpgsql volatile as
$$
declare
    at          constant timestamptz := coalesce(p_now, clock_timestamp());
    the_bucket  holdfast.bucket;
    the_object  record;
    the_version record;
    the_former  record;
    room        record;
    reason      text;
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
        if the_bucket.state <> 'active' then
            outcome := 'BucketNotActive'; rule := 'bucket.state';
            exit checks;
        end if;
        select o.id, o.owner, o.sequence, o.live
        into the_object
        from holdfast.object o
        where o.bucket = p_bucket and o.key = p_key
        for no key update;
        -- One without an owner was never there: its first upload is still under way.
        if not found or the_object.owner is null then
            outcome := 'NoSuchKey'; reason := 'object';
            exit checks;
        end if;
        -- Who deletes may undo that; to replace what is current is to write.
        if not holdfast.may(p_sub, p_roles, p_scopes, 'write', the_bucket.owner, the_bucket.policy, the_object.owner)
           and (the_object.live
                or not holdfast.may(p_sub, p_roles, p_scopes, 'delete', the_bucket.owner, the_bucket.policy,
                                    the_object.owner)) then
            if the_object.live
               and holdfast.may(p_sub, p_roles, p_scopes, 'read', the_bucket.owner, the_bucket.policy, the_object.owner) then
                outcome := 'AccessDenied'; rule := 'object.restore';
            else
                outcome := 'NoSuchKey'; reason := 'object.restore';
            end if;
            exit checks;
        end if;

        -- In the order of versions. A purge that came first has taken its version by now.
        perform
        from holdfast.version v
        where v.object_id = the_object.id
          and v.state in ('live', 'superseded', 'trashed')
          and (v.state = 'live' or v.id = p_version or (p_version is null and v.state = 'trashed'))
        order by v.id
        for update;
        select v.id, v.etag, v.size_bytes, v.pinned_until
        into the_former
        from holdfast.version v
        where v.object_id = the_object.id and v.state = 'live';
        if p_if_match is not null and not holdfast.etag_matches(p_if_match, the_former.etag, p_weak => false) then
            outcome := 'PreconditionFailed'; rule := 'if-match';
            exit checks;
        end if;
        if p_version is null and the_former.id is not null then
            outcome := 'PreconditionFailed'; rule := 'current';
            exit checks;
        end if;
        select v.id, v.state, v.etag, v.size_bytes, v.content_type
        into the_version
        from holdfast.version v
        where v.object_id = the_object.id
          and not v.erased
          and case
              when p_version is null then v.state = 'trashed'
              else v.id = p_version and v.state in ('live', 'superseded', 'trashed')
          end
        order by v.replaced_at desc, v.id desc
        limit 1;
        if not found then
            outcome := 'NoSuchVersion'; reason := 'version.state';
            exit checks;
        end if;

        if the_version.state <> 'live' and the_former.id is null then
            room := holdfast.room(p_bucket, the_object.owner, the_bucket.policy);
            if room.objects = 0 then
                outcome := 'QuotaExceeded'; rule := 'policy.quotaObjects';
                exit checks;
            end if;
        end if;

        outcome := 'ok';
        version := the_version.id;
        size_bytes := the_version.size_bytes;
        etag := the_version.etag;
        if the_version.state = 'live' then
            return;
        end if;
        replaced := the_former.id;
        if the_former.id is not null then
            update holdfast.version v
            set state       = 'superseded',
                replaced_at = at,
                due_at      = holdfast.keep_until(the_bucket.policy, at, the_former.pinned_until)
            where v.id = the_former.id;
        end if;
        update holdfast.version v
        set state       = 'live',
            replaced_at = null,
            due_at      = null,
            deleted_by  = null
        where v.id = the_version.id;
        update holdfast.object o
        set sequence = o.sequence + 1,
            live     = true
        where o.id = the_object.id;

        insert into holdfast.usage_delta (bucket, owner, live_bytes, live_objects, retained_bytes, retained_objects)
        values
            (p_bucket, the_object.owner,
             the_version.size_bytes - coalesce(the_former.size_bytes, 0), case when the_former.id is null then 1 else 0 end,
             coalesce(the_former.size_bytes, 0) - the_version.size_bytes, case when the_former.id is null then -1 else 0 end);
        insert into holdfast.outbox (kind, occurred_at, bucket, key, object_id, sequence, version, actor, data)
        values
            ('object.restored', at, p_bucket, p_key, the_object.id, the_object.sequence + 1, the_version.id, p_sub,
             jsonb_build_object('size', the_version.size_bytes, 'etag', the_version.etag,
                                'contentType', the_version.content_type, 'owner', the_object.owner,
                                'replaces', the_former.id, 'fromTrash', the_version.state = 'trashed'));
        insert into holdfast.audit (at, action, actor, bucket, key, version, outcome, ip, request_id)
        values
            (at, 'restore', p_sub, p_bucket, p_key, the_version.id, 'ok', left(p_ip, 64), left(p_request_id, 128));
        return;
    end checks;

    perform holdfast.refuse(at, 'restore', coalesce(p_sub, ''), coalesce(the_bucket.name, ''), p_key, p_version, outcome,
                            coalesce(rule, reason), p_ip, p_request_id);
end
$$;
