-- Step 4 of a write: makes the stored bytes the current version, under the lock of the object, with its
-- usage, audit row and event. Idempotent by version: the same call again gives the same answer.
--
-- Outcomes: ok, NoSuchUpload (unknown, aborted, or somebody else's), AccessDenied, BucketNotActive,
-- EntityTooLarge, InvalidContentType, InvalidImage, NoSuchTemplate, PreconditionFailed, QuotaExceeded. A refused version stays pending:
-- the caller aborts it.
create or replace function holdfast.commit(
    p_version      uuid,
    p_sub          text,
    p_roles        text[],
    p_scopes       text[],
    p_size         int8,
    p_content_type text,
    p_found_type   text,   -- what its first bytes say, or null
    p_etag         text,   -- bare
    p_crc64nvme    text,   -- base64, or null
    p_ip           text,
    p_request_id   text,
    p_now          timestamptz,
    p_digests      jsonb default null,   -- by their names in RFC 9530, base64; compared with the stored bytes
    p_image        jsonb default null,   -- {format, width, height} of what was walked through as an image
    out outcome         text,
    out rule            text,
    out created         boolean,   -- no version was current before
    out committed_at_us int8,
    out owner           text
)
    language plpgsql volatile as
$$
declare
    at            constant timestamptz := coalesce(p_now, clock_timestamp());
    the_object    record;
    the_version   record;
    the_bucket    record;
    former        record;
    allowed_types text[];
    room          record;
    the_template  holdfast.template;
begin
    perform holdfast.durable();

    <<checks>>
    begin
        -- Whose background this is: before its object.
        perform from holdfast.template t
        where t.id = (
            select (holdfast.template_at(o.bucket, o.key)).id
            from holdfast.version v
                 join holdfast.object o on o.id = v.object_id
            where v.id = p_version
              and o.bucket = 'templates')
        for no key update;

        -- The object first: the order of locks. Which one it is never changes. Not the key of its row: the foreign
        -- key of a version that somebody updates twice asks for that again, after the version.
        select o.id, o.bucket, o.key, o.owner, o.sequence
        into the_object
        from holdfast.object o
        where o.id = (select v.object_id from holdfast.version v where v.id = p_version)
        for no key update;
        select v.id, v.state, v.created_by, v.owner, v.charged_bytes, v.if_match, v.if_none_match, v.committed_at, v.created
        into the_version
        from holdfast.version v
        where v.id = p_version
        for update;
        if not found
           or (the_version.created_by is distinct from p_sub and not 'admin' = any (coalesce(p_roles, '{}')))
           or (the_version.state <> 'pending' and the_version.committed_at is null) then
            outcome := 'NoSuchUpload'; rule := 'version.state';
            exit checks;
        end if;

        if the_version.committed_at is not null then
            outcome := 'ok';
            created := the_version.created;
            committed_at_us := (extract(epoch from the_version.committed_at) * 1000000)::int8;
            owner := the_object.owner;
            return;
        end if;

        -- Read without a lock: a pending version keeps its bucket from being deleted.
        select b.owner, b.state, b.policy
        into the_bucket
        from holdfast.bucket b
        where b.name = the_object.bucket;
        the_template := holdfast.template_at(the_object.bucket, the_object.key);
        if the_template.deleted_at is not null then
            outcome := 'NoSuchTemplate'; rule := 'template';
            exit checks;
        end if;
        if not holdfast.may(p_sub, p_roles, p_scopes, 'write', the_bucket.owner, the_bucket.policy,
                            coalesce(the_object.owner, the_template.owner)) then
            outcome := 'AccessDenied'; rule := case when the_object.owner is null then 'bucket.write' else 'object.owner' end;
            exit checks;
        end if;
        if the_object.owner <> the_version.owner then
            -- Somebody made it theirs since `begin`, and the charge is on another name. Even an admin begins anew.
            outcome := 'AccessDenied'; rule := 'object.owner';
            exit checks;
        end if;
        if the_bucket.state <> 'active' then
            outcome := 'BucketNotActive'; rule := 'bucket.state';
            exit checks;
        end if;
        if p_size > (the_bucket.policy ->> 'maxBytes')::int8 then
            outcome := 'EntityTooLarge'; rule := 'policy.maxBytes';
            exit checks;
        end if;
        if the_bucket.policy ->> 'allowedTypes' is not null then
            allowed_types := array(select jsonb_array_elements_text(the_bucket.policy -> 'allowedTypes'));
            if not holdfast.type_allowed(p_content_type, allowed_types) then
                outcome := 'InvalidContentType'; rule := 'policy.allowedTypes';
                exit checks;
            end if;
        end if;

        select r.outcome, r.rule
        into outcome, rule
        from holdfast.image_refusal(holdfast.image_limits(the_bucket.policy, the_template.id is not null), p_image) r;
        exit checks when outcome is not null;

        select v.id, v.etag, v.size_bytes, v.pinned_until
        into former
        from holdfast.version v
        where v.object_id = the_object.id
          and v.state = 'live'
        for update;
        if the_version.if_match is not null
           and not holdfast.etag_matches(the_version.if_match, former.etag, p_weak => false) then
            outcome := 'PreconditionFailed'; rule := 'if-match';
            exit checks;
        end if;
        if holdfast.etag_matches(the_version.if_none_match, former.etag, p_weak => true) then
            outcome := 'PreconditionFailed'; rule := 'if-none-match';
            exit checks;
        end if;

        if p_size > the_version.charged_bytes then
            room := holdfast.room(the_object.bucket, the_version.owner, the_bucket.policy);
            if p_size - the_version.charged_bytes > room.bytes then
                outcome := 'QuotaExceeded'; rule := room.rule;
                exit checks;
            end if;
        end if;

        if former.id is not null then
            update holdfast.version v
            set state       = 'superseded',
                replaced_at = at,
                due_at      = holdfast.keep_until(the_bucket.policy, at, former.pinned_until)
            where v.id = former.id;
        end if;
        update holdfast.version v
        set state         = 'live',
            charged_bytes = p_size,
            size_bytes    = p_size,
            content_type  = p_content_type,
            found_type    = p_found_type,
            etag          = p_etag,
            crc64nvme     = p_crc64nvme,
            digests       = coalesce(p_digests, '{}'),
            committed_at  = at,
            created       = former.id is null,
            lease_until   = null
        where v.id = p_version;
        update holdfast.object o
        set owner    = the_version.owner,
            sequence = o.sequence + 1
        where o.id = the_object.id;

        insert into holdfast.usage_delta
            (bucket, owner, live_bytes, live_objects, retained_bytes, retained_objects, pending_bytes, pending_objects)
        values
            (the_object.bucket, the_version.owner,
             p_size - coalesce(former.size_bytes, 0), case when former.id is null then 1 else 0 end,
             coalesce(former.size_bytes, 0), case when former.id is null then 0 else 1 end,
             -the_version.charged_bytes, -1);
        insert into holdfast.outbox (kind, occurred_at, bucket, key, object_id, sequence, version, actor, data)
        values
            ('object.created', at, the_object.bucket, the_object.key, the_object.id, the_object.sequence + 1, p_version,
             p_sub,
             jsonb_build_object('size', p_size, 'etag', p_etag, 'contentType', p_content_type,
                                'owner', the_version.owner, 'replaces', former.id));
        insert into holdfast.audit (at, action, actor, bucket, key, version, outcome, ip, request_id)
        values
            (at, 'commit', p_sub, the_object.bucket, the_object.key, p_version, 'ok', left(p_ip, 64),
             left(p_request_id, 128));

        if p_image is not null then
            insert into holdfast.image (version, format, width, height)
            values (p_version, p_image ->> 'format', (p_image ->> 'width')::int4, (p_image ->> 'height')::int4);
        end if;
        if the_template.id is not null then
            perform holdfast.template_changed(
                the_template.id, 'template.updated', p_sub,
                jsonb_build_object('background', jsonb_build_object(
                    'version', p_version, 'width', p_image -> 'width', 'height', p_image -> 'height')), at);
        end if;

        outcome := 'ok';
        created := former.id is null;
        committed_at_us := (extract(epoch from at) * 1000000)::int8;
        owner := the_version.owner;
        return;
    end checks;

    perform holdfast.refuse(at, 'commit', coalesce(p_sub, ''), coalesce(the_object.bucket, ''), the_object.key, p_version,
                            outcome, rule, p_ip, p_request_id);
end
$$;
