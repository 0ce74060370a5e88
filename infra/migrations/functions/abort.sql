-- Gives up a write before its commit was sent. Outcome ok: this caller won, and it alone deletes the blob.
-- Else the state that the version has, NoSuchUpload, or UploadCompleting: a session whose Complete may be under way is
-- given up only by whom that was answered (`p_completed`). An admin gives up anybody's, as he completes it.
create or replace function holdfast.abort(
    p_version    uuid,
    p_sub        text,
    p_code       text,   -- why: an error code
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    p_completed  boolean default false,   -- S3 answered the Complete, or none can be under way any more
    p_roles      text[] default '{}',
    out outcome text
)
    language plpgsql volatile as
$$
declare
    -- The winner's time to delete the blob; then the reaper does, and once more later.
    claim       constant interval    := interval '1 minute';
    at          constant timestamptz := coalesce(p_now, clock_timestamp());
    the_version record;
    the_object  record;
    shared      boolean;
begin
    perform holdfast.durable();

    select v.object_id, v.s3_key, v.state, v.created_by, v.owner, v.charged_bytes, v.grant_id
    into the_version
    from holdfast.version v
    where v.id = p_version
    for update;
    if not found
       or (the_version.created_by is distinct from p_sub and not 'admin' = any (coalesce(p_roles, '{}'))) then
        outcome := 'NoSuchUpload';
        return;
    end if;
    if the_version.state <> 'pending' then
        outcome := the_version.state;
        return;
    end if;
    if not p_completed and exists (
        select from holdfast.upload_session s where s.version = p_version and s.completing_at is not null) then
        outcome := 'UploadCompleting';
        return;
    end if;

    select o.bucket, o.key into the_object from holdfast.object o where o.id = the_version.object_id;
    shared := holdfast.blob_in_use(p_version, the_object.bucket, the_version.s3_key);
    update holdfast.version v
    set state       = case when shared then 'aborted' else 'aborting' end,
        lease_until = null,
        due_at      = case when not shared then at + claim end,
        ended_at    = case when shared then at end
    where v.id = p_version;
    insert into holdfast.usage_delta (bucket, owner, pending_bytes, pending_objects)
    values (the_object.bucket, the_version.owner, -the_version.charged_bytes, -1);
    perform holdfast.return_use(array[the_version.grant_id]);
    insert into holdfast.audit (at, action, actor, bucket, key, version, outcome, ip, request_id)
    values
        (at, 'abort', p_sub, the_object.bucket, the_object.key, p_version, left(coalesce(p_code, 'aborted'), 64), left(p_ip, 64),
         left(p_request_id, 128));
    outcome := case when shared then 'aborted' else 'ok' end;
end
$$;
