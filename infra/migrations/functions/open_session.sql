-- Opens a session for parts: S3 gave its upload an id. Safe to repeat. Of two that were given one at once, the first
-- one's counts for both.
--
-- Outcomes: ok, NoSuchUpload (unknown, ended, or somebody else's).
create or replace function holdfast.open_session(
    p_version   uuid,
    p_sub       text,
    p_upload_id text,
    p_now       timestamptz,
    out outcome   text,
    out rule      text,
    out upload_id text
)
    language plpgsql volatile as
$$
declare
    -- A part that is under way when the session ends still has time to fail.
    skew        constant interval    := interval '15 minutes';
    at          constant timestamptz := coalesce(p_now, clock_timestamp());
    the_version record;
    ends        timestamptz;
begin
    perform holdfast.durable();

    select v.state, v.created_by into the_version from holdfast.version v where v.id = p_version for update;
    if not found or the_version.created_by is distinct from p_sub or the_version.state <> 'pending' then
        outcome := 'NoSuchUpload'; rule := 'version.state';
        return;
    end if;
    update holdfast.upload_session s
    set upload_id = coalesce(s.upload_id, p_upload_id)
    where s.version = p_version
    returning s.expires_at, s.upload_id into ends, upload_id;
    if not found then
        outcome := 'NoSuchUpload'; rule := 'session';
        return;
    end if;
    update holdfast.version v set lease_until = greatest(v.lease_until, at, ends + skew) where v.id = p_version;
    outcome := 'ok';
end
$$;
