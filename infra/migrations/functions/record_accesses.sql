-- Writes down downloads, as many as an instance gathered. They follow their responses, so losing a few to a
-- crash is the lesser evil. Returns how many were written.
--
-- What came by a signed URL or a share link is in the audit log too: one row a minute for each grant, actor, outcome
-- and address, so that a URL that is used a thousand times a second makes no thousand rows. A URL whose signature, time
-- or client was refused is a refusal like others: whoever makes such URLs up makes no rows.
create or replace function holdfast.record_accesses(
    -- [{bucket, key, version, sub, method, status, bytes, outcome, rule, ip, requestId, userAgent, grantId}]
    p_records jsonb,
    p_now     timestamptz
) returns int8
    language plpgsql volatile as
$$
declare
    at      constant timestamptz := coalesce(p_now, clock_timestamp());
    written int8;
    refused record;
begin
    perform set_config('synchronous_commit', 'off', true);
    insert into holdfast.access_log
        (at, bucket, key, version, actor, method, status, bytes, outcome, ip, request_id, user_agent,
         grant_id)
    select at, left(r.bucket, 63), left(r.key, 1024), r.version, coalesce(r.sub, ''),
           left(r.method, 16), r.status, r.bytes, left(r.outcome, 64), left(r.ip, 64), left(r."requestId", 128),
           left(r."userAgent", 256), r."grantId"
    from jsonb_to_recordset(p_records) as r (
        bucket text, key text, version uuid, sub text, method text, status int4, bytes int8, outcome text, ip text,
        "requestId" text, "userAgent" text, "grantId" uuid);
    get diagnostics written = row_count;

    if p_records @? '$[*].grantId ? (@ != null)' then
        insert into holdfast.audit as a
            (at, used_minute, action, actor, bucket, key, version, outcome, rule, ip, request_id, grant_id, count)
        select at, date_trunc('minute', at), case g.kind when 'share' then 'share.use' else 'url.use' end,
               coalesce(r.sub, ''), g.bucket, g.key, (array_agg(r.version))[1], left(r.outcome, 64),
               coalesce(max(left(r.rule, 64)), g.id::text), coalesce(left(r.ip, 64), ''), max(left(r."requestId", 128)), g.id,
               count(*)
        from jsonb_to_recordset(p_records) as r (
                 version uuid, sub text, outcome text, rule text, ip text, "requestId" text, "grantId" uuid)
             join holdfast."grant" g on g.id = r."grantId"
        group by g.id, coalesce(r.sub, ''), left(r.outcome, 64), coalesce(left(r.ip, 64), '')
        -- The order of locks of whoever writes beside us.
        order by g.id, coalesce(r.sub, ''), left(r.outcome, 64), coalesce(left(r.ip, 64), '')
        on conflict (grant_id, used_minute, actor, action, outcome, ip) where used_minute is not null do update
        set count      = a.count + excluded.count,
            at         = excluded.at,
            version    = excluded.version,
            rule       = excluded.rule,
            request_id = excluded.request_id;
    end if;

    -- Last, and in the order of their rows: they may wait for others.
    for refused in
        select coalesce(r.sub, '') as actor, coalesce(b.name, '') as bucket, left(r.outcome, 64) as outcome,
               max(left(r.key, 1024)) as key, max(left(r.rule, 64)) as rule, max(r.ip) as ip,
               max(r."requestId") as request_id, count(*) as times
        from jsonb_to_recordset(p_records) as r (
                 bucket text, key text, sub text, outcome text, rule text, ip text, "requestId" text, "grantId" uuid)
             left join holdfast.bucket b on b.name = r.bucket
        where r."grantId" is null
          and r.rule like 'url.%'
        group by 1, 2, 3
        order by 1, 2, 3
    loop
        perform holdfast.refuse(at, 'url.use', refused.actor, refused.bucket, refused.key, null, refused.outcome,
                                refused.rule, refused.ip, refused.request_id, refused.times);
    end loop;
    return written;
end
$$;
