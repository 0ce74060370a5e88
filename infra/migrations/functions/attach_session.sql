-- Makes a write that was begun one in parts, because its bytes are many: from here on the reaper knows that S3 may hold
-- parts of it. Called again it tells the id that S3 gave.
--
-- Outcomes: ok, NoSuchUpload.
create or replace function holdfast.attach_session(
    p_version   uuid,
    p_sub       text,
    p_roles     text[],
    p_scopes    text[],
    p_part_size int8,
    p_upload_id text,   -- null = not yet
    p_now       timestamptz,
    out outcome text,
    out rule    text
)
    language plpgsql volatile as
$$
declare
    -- The write lives by its lease; after this the worker gives a Complete up that S3 knows nothing of.
    ends constant interval    := interval '1 day';
    at   constant timestamptz := coalesce(p_now, clock_timestamp());
    the  record;
begin
    perform holdfast.durable();

    select v.state, v.created_by, v.declared_size into the from holdfast.version v where v.id = p_version for update;
    if not found or the.created_by is distinct from p_sub or the.state <> 'pending' then
        outcome := 'NoSuchUpload'; rule := 'version.state';
        return;
    end if;
    insert into holdfast.upload_session
        (version, upload_id, part_size, size, created_by, roles, scopes, created_at, expires_at, protocol)
    values
        (p_version, p_upload_id, p_part_size, the.declared_size, p_sub, coalesce(p_roles, '{}'), p_scopes, at, at + ends, 'form')
    on conflict (version) do update
    set upload_id = coalesce(excluded.upload_id, upload_session.upload_id);
    outcome := 'ok';
end
$$;
