-- Makes a share link: whoever has it reads what its creator may read now, as long as the creator may. Under an
-- idempotency key that was used before, `id` and `hash` are those of the first one.
--
-- Outcomes: ok, AccessDenied, and those of `resolve` and `make_grant`.
create or replace function holdfast.create_share(
    p_id         uuid,
    p_hash       bytea,    -- SHA-256 of what is in the link
    p_bucket     text,
    p_key        text,
    p_version    uuid,     -- null = whichever is current
    p_seconds    int8,
    p_max_uses   int8,     -- null = any number
    p_save_as    text,
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
    wanted   holdfast."grant";
    resolved record;
    made     record;
    reads    uuid;
begin
    wanted.id := p_id; wanted.kind := 'share'; wanted.created_by := p_sub; wanted.roles := coalesce(p_roles, '{}');
    wanted.scopes := p_scopes; wanted.bucket := p_bucket; wanted.key := p_key; wanted.version := p_version; wanted.direct := false;
    wanted.hash := p_hash; wanted.save_as := p_save_as; wanted.max_uses := p_max_uses; wanted.uses := 0;
    wanted.created_at := coalesce(p_now, clock_timestamp());
    wanted.expires_at := wanted.created_at + p_seconds * interval '1 second';

    if coalesce(p_sub, '') = '' then
        outcome := 'AccessDenied'; rule := 'authentication';
    else
        resolved := holdfast.resolve(p_bucket, p_key, p_version, p_sub, p_roles, p_scopes, wanted.created_at);
        outcome := nullif(resolved.outcome, 'ok');
        reads := resolved.version;
        if outcome is null and not (
            select holdfast.may(p_sub, p_roles, p_scopes, 'share', b.owner, b.policy, resolved.owner)
            from holdfast.bucket b
            where b.name = p_bucket) then
            outcome := 'AccessDenied'; rule := 'policy.sharers';
        end if;
    end if;
    made := holdfast.make_grant(wanted, outcome, rule, reads, p_idempotency_key, p_fingerprint, p_ip, p_request_id);
    outcome := made.outcome; rule := made.rule; created_at_us := made.created_at_us; expires_at_us := made.expires_at_us;
    id := made.id; hash := made.hash; repeated := made.repeated;
end
$$;
