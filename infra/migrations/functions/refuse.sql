-- Writes down a refusal: one row for a minute, actor, action, bucket and code, however often it is
-- repeated. Call it last: it may wait for another refusal of the same kind.
create or replace function holdfast.refuse(
    p_at         timestamptz,
    p_action     text,
    p_actor      text,
    p_bucket     text,   -- '' where there is no such bucket: invented names must not make rows
    p_key        text,
    p_version    uuid,
    p_outcome    text,
    p_rule       text,
    p_ip         text,
    p_request_id text,
    p_count      int8 default 1   -- so many at once, of which this is the last
) returns void
    language sql volatile as
$$
    insert into holdfast.audit as a
        (at, minute, action, actor, bucket, key, version, outcome, rule, ip, request_id, count)
    values
        (p_at, date_trunc('minute', p_at), p_action, p_actor, p_bucket, p_key, p_version, p_outcome, p_rule,
         left(p_ip, 64), left(p_request_id, 128), p_count)
    on conflict (minute, actor, action, bucket, outcome) where minute is not null do update
    set count      = a.count + excluded.count,
        at         = excluded.at,
        key        = excluded.key,
        version    = excluded.version,
        rule       = excluded.rule,
        ip         = excluded.ip,
        request_id = excluded.request_id
$$;
