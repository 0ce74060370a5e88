-- Takes an open session over: from now on only the new epoch writes parts down. One that is completing or done has
-- no writers any more, and keeps its epoch.
--
-- Outcomes: ok, NoSuchUpload.
create or replace function holdfast.resume_session(
    p_version    uuid,
    p_sub        text,
    p_roles      text[],
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    out outcome text,
    out rule    text,
    out epoch   int4
)
    language plpgsql volatile as
$$
declare
    at  constant timestamptz := coalesce(p_now, clock_timestamp());
    the record;
begin
    perform holdfast.durable();

    perform from holdfast.version v where v.id = p_version for no key update;
    select v.state, v.committed_at, s.created_by, s.completing_at, s.epoch, o.bucket, o.key
    into the
    from holdfast.version v
         join holdfast.upload_session s on s.version = v.id
         join holdfast.object o on o.id = v.object_id
    where v.id = p_version;
    if not found or (the.created_by is distinct from p_sub and not 'admin' = any (coalesce(p_roles, '{}')))
       or (the.state <> 'pending' and the.committed_at is null) then
        outcome := 'NoSuchUpload'; rule := 'session.state';
        return;
    end if;
    outcome := 'ok';
    epoch := the.epoch;
    if the.committed_at is null and the.completing_at is null then
        epoch := the.epoch + 1;
        update holdfast.upload_session s set epoch = resume_session.epoch where s.version = p_version;
        insert into holdfast.audit (at, action, actor, bucket, key, version, outcome, ip, request_id)
        values (at, 'resume', p_sub, the.bucket, the.key, p_version, 'ok', left(p_ip, 64), left(p_request_id, 128));
    end if;
end
$$;
