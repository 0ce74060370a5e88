-- Begins a write in parts: `begin`, and the session beside it. Where the client numbers its parts, the lease is short
-- until `open_session` tells the id that S3 gave: what a crash in between leaves is the reaper's, who asks S3 for
-- uploads of that key. Of a stream S3 is asked only once a part is full.
--
-- Under an idempotency key that began a session before, that one is the answer, whatever came of it but its end
-- without an object.
--
-- Outcomes: those of `begin`.
create or replace function holdfast.create_session(
    p_version         uuid,
    p_bucket          text,
    p_key             text,
    p_s3_key          text,
    p_sub             text,
    p_roles           text[],
    p_scopes          text[],
    p_size            int8,   -- null = unknown
    p_content_type    text,
    p_user_metadata   jsonb,
    p_if_match        text,
    p_if_none_match   text,
    p_lease_seconds   int4,
    p_ip              text,
    p_request_id      text,
    p_now             timestamptz,
    p_headers         jsonb,
    p_part_size       int8,
    p_session_seconds int4,
    p_idempotency_key text   default null,
    p_fingerprint     text   default null,
    p_grant           uuid   default null,
    p_protocol        text   default 'parts',
    p_concat          text   default null,
    p_sources         uuid[] default null,
    p_described       text   default null,
    out outcome       text,
    out rule          text,
    out expires_at_us int8,
    out version       uuid,   -- the session's: `p_version`, or that of the first request under the key
    out part_size     int8,
    out size          int8,
    out allowed_types text[], -- of the bucket and the grant, where it was begun now
    out image         jsonb   -- as `begin` has it, where it was begun now
)
    language plpgsql volatile as
$$
#variable_conflict use_column
declare
    -- What is under way when the session ends still has time to fail.
    skew    constant int4        := 900;
    at      constant timestamptz := coalesce(p_now, clock_timestamp());
    seconds constant int4        := least(greatest(p_session_seconds, 1), 604800);
    ends    constant timestamptz := at + make_interval(secs => seconds);
    begun   record;
    earlier record;
begin
    if p_idempotency_key is not null then
        select i.fingerprint, s.version, s.part_size, s.size, s.expires_at
        into earlier
        from holdfast.idempotency i
             join holdfast.version v on v.id = i.version
             join holdfast.upload_session s on s.version = v.id
        where i.principal = coalesce('token ' || p_grant, p_sub)
          and i.key = p_idempotency_key
          and (v.committed_at is not null or (v.state = 'pending' and (s.upload_id is not null or s.protocol = 'tus')));
        if found then
            if earlier.fingerprint <> p_fingerprint then
                outcome := 'IdempotencyKeyReused'; rule := 'idempotency-key';
                return;
            end if;
            outcome := 'ok';
            version := earlier.version;
            part_size := earlier.part_size;
            size := earlier.size;
            expires_at_us := (extract(epoch from earlier.expires_at) * 1000000)::int8;
            return;
        end if;
    end if;

    begun := holdfast.begin(p_version, p_bucket, p_key, p_s3_key, p_sub, p_roles, p_scopes, p_size, p_content_type,
                            p_user_metadata, p_if_match, p_if_none_match,
                            case when p_protocol = 'tus' then seconds + skew else p_lease_seconds end,
                            p_ip, p_request_id, at, p_headers, p_idempotency_key, p_fingerprint, p_grant);
    outcome := begun.outcome;
    rule := begun.rule;
    if outcome <> 'ok' then
        return;
    end if;
    if begun.repeated is not null then
        -- Of an upload by another route.
        outcome := 'IdempotencyKeyReused'; rule := 'idempotency-key';
        return;
    end if;
    -- S3 begins an upload next, which nobody would find again without this row.
    perform holdfast.durable();
    insert into holdfast.upload_session
        (version, part_size, size, created_by, roles, scopes, created_at, expires_at, protocol, concat, sources, described)
    values
        (p_version, p_part_size, p_size, p_sub, coalesce(p_roles, '{}'), p_scopes, at, ends, p_protocol, p_concat, p_sources,
         p_described)
    on conflict do nothing;
    version := p_version;
    allowed_types := begun.allowed_types;
    image := begun.image;
    part_size := p_part_size;
    size := p_size;
    expires_at_us := (extract(epoch from ends) * 1000000)::int8;
end
$$;
