-- Ends the making of what somebody holds, a share link or an upload token, once its own checks are through: the
-- policy's limit, the idempotency key, the row, and the audit log, also of what was refused. Under an idempotency key
-- that was used before, `id` and `hash` are those of the first one, and nothing is made.
--
-- Outcomes: ok, InvalidArgument (the policy's limit), IdempotencyKeyReused, and what is refused already.
create or replace function holdfast.make_grant(
    p_grant           holdfast."grant",
    p_refused         text,   -- the outcome of a check before this; null = none refused
    p_rule            text,   -- its rule
    p_version         uuid,   -- for the audit log
    p_idempotency_key text,
    p_fingerprint     text,
    p_ip              text,
    p_request_id      text,
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
    at         constant timestamptz := p_grant.created_at;
    action     constant text        := p_grant.kind || '.create';
    the_bucket holdfast.bucket;
    claim      record;
    first      holdfast."grant";
begin
    perform holdfast.durable();
    repeated := false;
    outcome := p_refused;
    rule := p_rule;
    select b.* into the_bucket from holdfast.bucket b where b.name = p_grant.bucket;

    if outcome is null
       and p_grant.expires_at > at + (the_bucket.policy ->> 'maxPresignSeconds')::int8 * interval '1 second' then
        outcome := 'InvalidArgument'; rule := 'policy.maxPresignSeconds';
    end if;
    if outcome is null and p_idempotency_key is not null then
        claim := holdfast.claim_grant(p_grant.created_by, p_idempotency_key, p_fingerprint, at);
        if claim.outcome <> 'ok' then
            outcome := claim.outcome; rule := 'idempotency-key';
        elsif claim.answer is not null then
            select g.* into first from holdfast."grant" g where g.id = (claim.answer ->> 'id')::uuid;
            repeated := found;
        end if;
    end if;
    if outcome is not null then
        perform holdfast.refuse(at, action, coalesce(p_grant.created_by, ''), coalesce(the_bucket.name, ''), p_grant.key, null,
                                outcome, rule, p_ip, p_request_id);
        return;
    end if;

    if not repeated then
        first := p_grant;
        insert into holdfast."grant" select p_grant.*;
        insert into holdfast.audit (at, action, actor, bucket, key, version, outcome, rule, ip, request_id)
        values
            (at, action, p_grant.created_by, p_grant.bucket, p_grant.key, p_version, 'ok', p_grant.id::text, left(p_ip, 64),
             left(p_request_id, 128));
        update holdfast.grant_request r
        set answer = jsonb_build_object('id', p_grant.id)
        where r.principal = p_grant.created_by
          and r.key = p_idempotency_key;
    end if;
    outcome := 'ok';
    created_at_us := (extract(epoch from first.created_at) * 1000000)::int8;
    expires_at_us := (extract(epoch from first.expires_at) * 1000000)::int8;
    id := first.id;
    hash := first.hash;
end
$$;
