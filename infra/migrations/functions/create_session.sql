-- Begins a write in parts: `begin`, and the session beside it. The lease is short until `open_session` tells the id
-- that S3 gave: what a crash in between leaves is the reaper's, who asks S3 for uploads of that key.
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
    out outcome       text,
    out rule          text,
    out expires_at_us int8
)
    language plpgsql volatile as
$$
declare
    at    constant timestamptz := coalesce(p_now, clock_timestamp());
    ends  constant timestamptz := at + make_interval(secs => least(greatest(p_session_seconds, 1), 604800));
    begun record;
begin
    begun := holdfast.begin(p_version, p_bucket, p_key, p_s3_key, p_sub, p_roles, p_scopes, p_size, p_content_type,
                            p_user_metadata, p_if_match, p_if_none_match, p_lease_seconds, p_ip, p_request_id, at,
                            p_headers);
    outcome := begun.outcome;
    rule := begun.rule;
    if outcome <> 'ok' then
        return;
    end if;
    -- S3 begins an upload next, which nobody would find again without this row.
    perform holdfast.durable();
    insert into holdfast.upload_session
        (version, part_size, size, created_by, roles, scopes, created_at, expires_at)
    values
        (p_version, p_part_size, p_size, p_sub, coalesce(p_roles, '{}'), p_scopes, at, ends)
    on conflict do nothing;
    expires_at_us := (extract(epoch from ends) * 1000000)::int8;
end
$$;
