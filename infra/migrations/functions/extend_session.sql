-- A stream that goes on stays open for another day, up to a week in all; its version's lease goes with it. Whoever calls
-- it holds the version's lock.
create or replace function holdfast.extend_session(p_version uuid, p_now timestamptz) returns void
    language plpgsql volatile as
$$
declare
    -- What is under way when the session ends still has time to fail.
    skew constant interval := interval '15 minutes';
    ends timestamptz;
begin
    update holdfast.upload_session s
    set expires_at = greatest(s.expires_at, least(p_now + interval '1 day', s.created_at + interval '7 days'))
    where s.version = p_version
    returning s.expires_at into ends;
    update holdfast.version v set lease_until = greatest(v.lease_until, ends + skew) where v.id = p_version;
end
$$;
