-- Copies an object within its bucket, in one step: a new version that names the same bytes. What may be written is
-- asked as `begin` and `commit` ask it, and it is charged in full.
--
-- Outcomes: ok, AccessDenied, NoSuchBucket, BucketNotActive, NoSuchKey, NoSuchVersion, EntityTooLarge,
-- InvalidContentType, PreconditionFailed (`if-match`: of the source; `overwrite`: there is an object at the new key),
-- QuotaExceeded, IdempotencyKeyInUse, IdempotencyKeyReused. Safe to repeat with the same new version.
create or replace function holdfast.copy_object(
    p_bucket         text,
    p_from           text,
    p_from_version   uuid,    -- null = the current one
    p_to             text,
    p_version        uuid,    -- the new one
    p_if_match       text,    -- or null
    p_overwrite      boolean,
    p_user_metadata  jsonb,   -- null = the source's
    p_tags           jsonb,   -- null = the source's
    p_sub            text,
    p_roles          text[],
    p_scopes         text[],
    p_idempotency_key text,
    p_fingerprint    text,
    p_ip             text,
    p_request_id     text,
    p_now            timestamptz,
    out outcome  text,
    out rule     text,
    out copied   jsonb,     -- as `committed_as` has it
    out repeated boolean    -- it is what an earlier request under the same idempotency key made
)
    language plpgsql volatile as
$$
declare
    -- How a policy reads that shares nothing, as in `resolve`.
    unshared   constant jsonb       := '{"visibility": "private", "readers": "owner"}';
    at         constant timestamptz := coalesce(p_now, clock_timestamp());
    the_bucket holdfast.bucket;
    made       int8[]               := '{}';
    source     record;
    target     record;
    the_source holdfast.version;
    the_former record;
    charged_to text;
    room       record;
    claim      record;
    known      holdfast.version;
begin
    perform holdfast.durable();
    repeated := false;

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
        if not holdfast.may(p_sub, p_roles, p_scopes, 'write', the_bucket.owner, the_bucket.policy, null) then
            outcome := 'AccessDenied'; rule := 'bucket.write';
            exit checks;
        end if;
        if the_bucket.state <> 'active' then
            outcome := 'BucketNotActive'; rule := 'bucket.state';
            exit checks;
        end if;

        if (holdfast.template_at(p_bucket, p_to)).id is not null then
            outcome := 'AccessDenied'; rule := 'template.background';
            exit checks;
        end if;

        made := holdfast.lock_objects(p_bucket, array[p_from, p_to], array[p_to], at);

        -- A call whose answer was lost has done all this already.
        select v.* into known from holdfast.version v where v.id = p_version;
        if found then
            if known.created_by <> p_sub or known.committed_at is null then
                raise exception 'version % was begun before, as another write', p_version
                    using errcode = 'unique_violation';
            end if;
            delete from holdfast.object o where o.id = any (made);
            outcome := 'ok';
            copied := holdfast.committed_as(known);
            return;
        end if;

        select o.id, o.owner, o.sequence
        into target
        from holdfast.object o
        where o.bucket = p_bucket and o.key = p_to;
        if not holdfast.may(p_sub, p_roles, p_scopes, 'write', the_bucket.owner, the_bucket.policy, target.owner) then
            outcome := 'AccessDenied'; rule := 'object.owner';
            exit checks;
        end if;
        if p_idempotency_key is not null then
            claim := holdfast.claim(p_sub, p_idempotency_key, p_fingerprint, p_version, at);
            if claim.outcome <> 'ok' then
                outcome := claim.outcome; rule := 'idempotency-key';
                exit checks;
            end if;
            if claim.repeated is not null then
                delete from holdfast.object o where o.id = any (made);
                outcome := 'ok';
                copied := claim.repeated;
                repeated := true;
                return;
            end if;
        end if;

        -- One that came after the lock is not there yet: to wait for it would be out of order.
        select o.id, o.owner, o.tags
        into source
        from holdfast.object o
        where o.bucket = p_bucket and o.key = p_from
        for no key update skip locked;
        if source.id is null
           or not holdfast.may(p_sub, p_roles, p_scopes, 'read', the_bucket.owner,
                               case when p_from_version is null then the_bucket.policy else unshared end, source.owner) then
            outcome := 'NoSuchKey'; rule := 'object';
            exit checks;
        end if;
        -- Locked until the copy is there: no purge comes between. And what was current at the new key, in the order of
        -- versions.
        perform
        from holdfast.version v
        where (v.object_id = source.id and (v.state = 'live' or v.id = p_from_version))
           or (v.object_id = target.id and v.state = 'live')
        order by v.id
        for update;
        select v.*
        into the_source
        from holdfast.version v
        where v.object_id = source.id
          and case
              when p_from_version is null then v.state = 'live'
              else v.id = p_from_version and v.state in ('live', 'superseded')
          end;
        if not found then
            outcome := case when p_from_version is null then 'NoSuchKey' else 'NoSuchVersion' end; rule := 'object';
            exit checks;
        end if;
        if p_if_match is not null and not holdfast.etag_matches(p_if_match, the_source.etag, p_weak => false) then
            outcome := 'PreconditionFailed'; rule := 'if-match';
            exit checks;
        end if;
        select v.id, v.size_bytes, v.pinned_until
        into the_former
        from holdfast.version v
        where v.object_id = target.id and v.state = 'live';
        if the_former.id is not null and not coalesce(p_overwrite, false) then
            outcome := 'PreconditionFailed'; rule := 'overwrite';
            exit checks;
        end if;
        if the_source.size_bytes > (the_bucket.policy ->> 'maxBytes')::int8 then
            outcome := 'EntityTooLarge'; rule := 'policy.maxBytes';
            exit checks;
        end if;
        if the_bucket.policy ->> 'allowedTypes' is not null
           and not holdfast.type_allowed(
               the_source.content_type, array(select jsonb_array_elements_text(the_bucket.policy -> 'allowedTypes'))) then
            outcome := 'InvalidContentType'; rule := 'policy.allowedTypes';
            exit checks;
        end if;
        select r.outcome, r.rule
        into outcome, rule
        from holdfast.image_refusal(
            holdfast.image_limits(the_bucket.policy, false),
            (select to_jsonb(i) from holdfast.image i where i.version = the_source.id)) r;
        exit checks when outcome is not null;
        charged_to := coalesce(target.owner, p_sub);
        room := holdfast.room(p_bucket, charged_to, the_bucket.policy);
        if the_source.size_bytes > room.bytes then
            outcome := 'QuotaExceeded'; rule := room.rule;
            exit checks;
        end if;
        if room.objects = 0 and the_former.id is null then
            outcome := 'QuotaExceeded'; rule := 'policy.quotaObjects';
            exit checks;
        end if;

        if the_former.id is not null then
            update holdfast.version v
            set state       = 'superseded',
                replaced_at = at,
                due_at      = holdfast.keep_until(the_bucket.policy, at, the_former.pinned_until)
            where v.id = the_former.id;
        end if;
        insert into holdfast.version
            (id, object_id, bucket, s3_key, state, created_by, created_at, owner, charged_bytes, user_metadata, headers,
             digests, size_bytes, content_type, found_type, etag, crc64nvme, committed_at, created)
        values
            (p_version, target.id, p_bucket, the_source.s3_key, 'live', p_sub, at, charged_to, the_source.size_bytes,
             coalesce(p_user_metadata, the_source.user_metadata), the_source.headers, the_source.digests,
             the_source.size_bytes, the_source.content_type, the_source.found_type, the_source.etag,
             the_source.crc64nvme, at, the_former.id is null)
        returning * into known;
        insert into holdfast.image (version, format, width, height)
        select p_version, i.format, i.width, i.height
        from holdfast.image i
        where i.version = the_source.id;
        update holdfast.object o
        set owner    = charged_to,
            sequence = o.sequence + 1,
            live     = true,
            tags     = coalesce(p_tags, source.tags)
        where o.id = target.id;

        insert into holdfast.usage_delta (bucket, owner, live_bytes, live_objects, retained_bytes, retained_objects)
        values
            (p_bucket, charged_to,
             the_source.size_bytes - coalesce(the_former.size_bytes, 0), case when the_former.id is null then 1 else 0 end,
             coalesce(the_former.size_bytes, 0), case when the_former.id is null then 0 else 1 end);
        insert into holdfast.outbox (kind, occurred_at, bucket, key, object_id, sequence, version, actor, data)
        values
            ('object.created', at, p_bucket, p_to, target.id, target.sequence + 1, p_version, p_sub,
             jsonb_build_object('size', the_source.size_bytes, 'etag', the_source.etag,
                                'contentType', the_source.content_type, 'owner', charged_to, 'replaces', the_former.id,
                                'copyOf', the_source.id));
        insert into holdfast.audit (at, action, actor, bucket, key, version, outcome, rule, ip, request_id)
        values
            (at, 'copy', p_sub, p_bucket, p_to, p_version, 'ok', 'of ' || the_source.id, left(p_ip, 64),
             left(p_request_id, 128));
        outcome := 'ok';
        copied := holdfast.committed_as(known);
        return;
    end checks;

    -- Refused. What was made for it goes again.
    if p_idempotency_key is not null then
        delete from holdfast.idempotency i where i.version = p_version;
    end if;
    delete from holdfast.object o where o.id = any (made);
    perform holdfast.refuse(at, 'copy', coalesce(p_sub, ''), coalesce(the_bucket.name, ''), p_from, null, outcome, rule,
                            p_ip, p_request_id);
    if outcome in ('NoSuchKey', 'NoSuchVersion') then
        rule := null;
    end if;
end
$$;
