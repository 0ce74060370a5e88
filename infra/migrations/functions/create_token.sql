-- Makes an upload token: whoever has it writes new versions as its creator, within what the token says. Under an
-- idempotency key that was used before, `id` and `hash` are those of the first one.
--
-- Outcomes: ok, AccessDenied, NoSuchBucket, BucketNotActive, and those of `make_grant`.
create or replace function holdfast.create_token(
    p_id         uuid,
    p_hash       bytea,    -- SHA-256 of the token
    p_bucket     text,
    p_prefix     text,     -- of the keys; '' = all
    p_seconds    int8,
    p_max_uses   int8,     -- null = any number
    p_max_bytes  int8,     -- of one file, or null
    p_types      text[],   -- or null
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    p_idempotency_key text default null,
    p_fingerprint     text default null,   -- of everything that the request says, where a key is given
    out outcome       text,
    out rule          text,
    out created_at_us int8,
    out expires_at_us int8,
    out id            uuid,
    out hash          bytea,
    out repeated      boolean
)
    language plpgsql volatile as
$$
declare
    wanted     holdfast."grant";
    the_bucket holdfast.bucket;
    made       record;
begin
    wanted.id := p_id; wanted.kind := 'token'; wanted.created_by := p_sub; wanted.roles := coalesce(p_roles, '{}');
    wanted.scopes := '{upload}'; wanted.bucket := p_bucket; wanted.key := p_prefix; wanted.direct := false;
    wanted.hash := p_hash; wanted.max_uses := p_max_uses; wanted.uses := 0; wanted.max_bytes := p_max_bytes; wanted.types := p_types;
    wanted.created_at := coalesce(p_now, clock_timestamp());
    wanted.expires_at := wanted.created_at + p_seconds * interval '1 second';

    select b.* into the_bucket from holdfast.bucket b where b.name = p_bucket;
    if coalesce(p_sub, '') = '' then
        outcome := 'AccessDenied'; rule := 'authentication';
    elsif the_bucket.name is null then
        outcome := 'NoSuchBucket'; rule := 'bucket';
    elsif not holdfast.may(p_sub, p_roles, p_scopes, 'write', the_bucket.owner, the_bucket.policy, null) then
        outcome := 'AccessDenied'; rule := 'bucket.write';
    elsif not holdfast.may(p_sub, p_roles, p_scopes, 'share', the_bucket.owner, the_bucket.policy, null) then
        outcome := 'AccessDenied'; rule := 'policy.sharers';
    elsif the_bucket.state <> 'active' then
        outcome := 'BucketNotActive'; rule := 'bucket.state';
    end if;
    made := holdfast.make_grant(wanted, outcome, rule, null, p_idempotency_key, p_fingerprint, p_ip, p_request_id);
    outcome := made.outcome; rule := made.rule; created_at_us := made.created_at_us; expires_at_us := made.expires_at_us;
    id := made.id; hash := made.hash; repeated := made.repeated;
end
$$;
