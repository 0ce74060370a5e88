-- Writes down downloads, as many as an instance gathered. They follow their responses, so losing a few to a
-- crash is the lesser evil. Returns how many were written.
create or replace function holdfast.record_accesses(
    p_records jsonb,   -- [{bucket, key, version, sub, method, status, bytes, outcome, ip, requestId, userAgent, grantId}]
    p_now     timestamptz
) returns int8
    language plpgsql volatile as
$$
declare
    written int8;
begin
    perform set_config('synchronous_commit', 'off', true);
    insert into holdfast.access_log
        (at, bucket, key, version, actor, method, status, bytes, outcome, ip, request_id, user_agent,
         grant_id)
    select coalesce(p_now, clock_timestamp()), left(r.bucket, 63), left(r.key, 1024), r.version, coalesce(r.sub, ''),
           left(r.method, 16), r.status, r.bytes, left(r.outcome, 64), left(r.ip, 64), left(r."requestId", 128),
           left(r."userAgent", 256), r."grantId"
    from jsonb_to_recordset(p_records) as r (
        bucket text, key text, version uuid, sub text, method text, status int4, bytes int8, outcome text, ip text,
        "requestId" text, "userAgent" text, "grantId" uuid);
    get diagnostics written = row_count;
    return written;
end
$$;
