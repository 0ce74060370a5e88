-- One signed URL for reading, of a batch: see `presign`. The right to read is the caller's own; who names a
-- version must be one who may, as in `resolve`.
--
-- Outcomes: ok, InvalidArgument (the policy's limits), AccessDenied (no direct URLs here, or not by this caller), and those of `resolve`.
create or replace function holdfast.presign_get(
    p_asked      jsonb,   -- as `presign` has it
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_ip         text,
    p_request_id text,
    p_at         timestamptz,
    out outcome             text,
    out rule                text,
    out id                  uuid,
    out expires_s           int8,
    out version             uuid,
    out s3_key              text,
    out content_type        text,
    out content_disposition text
)
    language plpgsql volatile as
$$
declare
    -- What a clock that goes wrong, and a transfer that has begun, may take beyond the end of a URL.
    skew      constant interval := interval '15 minutes';
    seconds   constant int8     := (p_asked ->> 'seconds')::int8;
    direct    constant boolean  := coalesce((p_asked ->> 'direct')::boolean, false);
    cacheable constant boolean  := coalesce((p_asked ->> 'cacheable')::boolean, false);
    -- All who ask within a window get one URL.
    span      constant int8     := greatest(seconds / 4, 60);
    the_bucket holdfast.bucket;
    resolved  record;
    known     holdfast."grant";
    digest    text;
begin
    resolved := holdfast.resolve(p_asked ->> 'bucket', p_asked ->> 'key', (p_asked ->> 'version')::uuid,
                                 p_sub, p_roles, p_scopes, p_at);
    if resolved.outcome <> 'ok' then
        outcome := resolved.outcome;
        return;
    end if;
    select b.* into the_bucket from holdfast.bucket b where b.name = p_asked ->> 'bucket';
    if not holdfast.may(p_sub, p_roles, p_scopes, 'share', the_bucket.owner, the_bucket.policy, resolved.owner) then
        outcome := 'AccessDenied'; rule := 'policy.sharers';
        return;
    end if;
    if seconds > (the_bucket.policy ->> 'maxPresignSeconds')::int8 then
        outcome := 'InvalidArgument'; rule := 'policy.maxPresignSeconds';
        return;
    end if;
    if direct and not coalesce((the_bucket.policy ->> 'directAllowed')::boolean, true) then
        outcome := 'AccessDenied'; rule := 'policy.directAllowed';
        return;
    end if;

    id := (p_asked ->> 'id')::uuid;
    expires_s := floor(extract(epoch from p_at))::int8 + seconds;
    if direct or cacheable then
        version := resolved.version;
    else
        version := (p_asked ->> 'version')::uuid;
    end if;
    if direct then
        -- A pin that is there already holds whatever comes. A new one is a little longer, so that many URLs of one
        -- version neither wait for each other nor write its row each time.
        perform
        from holdfast.version v
        where v.id = resolved.version
          and v.pinned_until >= to_timestamp(expires_s) + skew;
        if not found then
            -- Whoever replaces it now waits for us, and finds the pin.
            update holdfast.version v
            set pinned_until = greatest(v.pinned_until,
                                        to_timestamp(expires_s) + skew + make_interval(secs => greatest(seconds / 4, 60)))
            where v.id = resolved.version
              and v.state in ('live', 'superseded');
            if not found then
                outcome := 'NoSuchKey';
                return;
            end if;
        end if;
    end if;
    if cacheable then
        -- Up to the end of the window, and down where that would be longer than anybody may have.
        expires_s := (expires_s + span - 1) / span * span;
        if expires_s - floor(extract(epoch from p_at))::int8
           > least((the_bucket.policy ->> 'maxPresignSeconds')::int8, 604800) then
            expires_s := expires_s - span;
        end if;
        -- An id that follows from what is signed, in the form of a UUIDv7 of the URL's end.
        digest := encode(sha256(convert_to(jsonb_build_array(
            p_asked ->> 'bucket', p_asked ->> 'key', version, expires_s, p_asked ->> 'download', p_asked ->> 'ip'
        )::text, 'UTF8')), 'hex');
        id := (lpad(to_hex(expires_s * 1000), 12, '0') || '7' || substr(digest, 1, 3) || '8' || substr(digest, 4, 15))::uuid;
    end if;

    -- A loop, because one that others insert may be revoked before we see it.
    loop
        insert into holdfast."grant" as g
            (id, kind, created_by, roles, scopes, bucket, key, version, direct, created_at, expires_at)
        values
            (presign_get.id, 'get', p_sub, coalesce(p_roles, '{}'), p_scopes, p_asked ->> 'bucket', p_asked ->> 'key',
             presign_get.version, direct, p_at, greatest(to_timestamp(expires_s), p_at + interval '1 second'))
        on conflict do nothing;
        exit when found;
        -- Somebody asked for the same before. What was called back does not come again: this one gets their own.
        select g.* into known from holdfast."grant" g where g.id = presign_get.id;
        exit when cacheable and known.revoked_at is null and known.bucket = p_asked ->> 'bucket';
        id := gen_random_uuid();
    end loop;
    insert into holdfast.audit (at, action, actor, bucket, key, version, outcome, rule, ip, request_id)
    values
        (p_at, case when direct then 'presign.direct' else 'presign.get' end, p_sub, p_asked ->> 'bucket', p_asked ->> 'key',
         resolved.version, 'ok', id::text, left(p_ip, 64), left(p_request_id, 128));
    outcome := 'ok';
    s3_key := resolved.s3_key;
    content_type := resolved.content_type;
    content_disposition := resolved.headers ->> 'contentDisposition';
end
$$;
