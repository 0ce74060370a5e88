-- Writes down one download. It follows the response, so losing a few to a crash is the lesser evil.
create or replace function holdfast.record_access(
    p_bucket     text,
    p_key        text,
    p_version    uuid,
    p_sub        text,
    p_method     text,
    p_status     int4,
    p_bytes      int8,
    p_outcome    text,
    p_ip         text,
    p_request_id text,
    p_user_agent text,
    p_now        timestamptz
) returns boolean
    language plpgsql volatile as
$$
begin
    perform set_config('synchronous_commit', 'off', true);
    insert into holdfast.access_log
        (at, bucket, key, version, actor, method, status, bytes, outcome, ip, request_id, user_agent)
    values
        (coalesce(p_now, clock_timestamp()), left(p_bucket, 63), left(p_key, 1024), p_version, coalesce(p_sub, ''),
         left(p_method, 16), p_status, p_bytes, left(p_outcome, 64), left(p_ip, 64), left(p_request_id, 128),
         left(p_user_agent, 256));
    return true;
end
$$;
