-- Writes down that URLs for parts are handed out, before they are: S3 may then hold parts that SQL does not know.
--
-- Outcomes: ok, NoSuchUpload, UploadCompleting, UploadTakenOver.
create or replace function holdfast.sign_parts(
    p_version    uuid,
    p_sub        text,
    p_roles      text[],
    p_epoch      int4,          -- null = whichever
    p_count      int4,          -- of the URLs
    p_seconds    int4,          -- how long they shall live
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    out outcome  text,
    out rule     text,
    out seconds  int4           -- how long they live: not beyond the session
)
    language plpgsql volatile as
$$
declare
    at  constant timestamptz := coalesce(p_now, clock_timestamp());
    the record;
begin
    perform holdfast.durable();

    perform from holdfast.version v where v.id = p_version for no key update;
    select v.state, s.created_by, s.completing_at, s.epoch, s.expires_at, s.upload_id, s.protocol, o.bucket, o.key
    into the
    from holdfast.version v
         join holdfast.upload_session s on s.version = v.id
         join holdfast.object o on o.id = v.object_id
    where v.id = p_version;
    if not found or (the.created_by is distinct from p_sub and not 'admin' = any (coalesce(p_roles, '{}')))
       or the.state <> 'pending' or the.upload_id is null or the.protocol <> 'parts' or the.expires_at <= at then
        outcome := 'NoSuchUpload'; rule := 'session.state';
        return;
    end if;
    if the.completing_at is not null then
        outcome := 'UploadCompleting'; rule := 'session.state';
        return;
    end if;
    if the.epoch <> p_epoch then
        outcome := 'UploadTakenOver'; rule := 'session.epoch';
        return;
    end if;
    seconds := greatest(least(p_seconds, floor(extract(epoch from the.expires_at - at))::int4), 1);
    update holdfast.upload_session s
    set signed_until = greatest(s.signed_until, at + make_interval(secs => seconds))
    where s.version = p_version;
    insert into holdfast.audit (at, action, actor, bucket, key, version, outcome, rule, ip, request_id)
    values (at, 'sign-parts', p_sub, the.bucket, the.key, p_version, 'ok', p_count || ' parts', left(p_ip, 64),
            left(p_request_id, 128));
    outcome := 'ok';
end
$$;
