-- Makes a share link: whoever has it reads what its creator may read now, as long as the creator may.
--
-- Outcomes: ok, AccessDenied, InvalidArgument (the policy's limit), and those of `resolve`.
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
    out outcome       text,
    out rule          text,
    out created_at_us int8,
    out expires_at_us int8
)
    language plpgsql volatile as
$$
declare
    at         constant timestamptz := coalesce(p_now, clock_timestamp());
    expires_at constant timestamptz := at + p_seconds * interval '1 second';
    resolved   record;
    the_bucket holdfast.bucket;
begin
    perform holdfast.durable();

    <<checks>>
    begin
        if coalesce(p_sub, '') = '' then
            outcome := 'AccessDenied'; rule := 'authentication';
            exit checks;
        end if;
        resolved := holdfast.resolve(p_bucket, p_key, p_version, p_sub, p_roles, p_scopes, at);
        if resolved.outcome <> 'ok' then
            outcome := resolved.outcome;
            exit checks;
        end if;
        select b.* into the_bucket from holdfast.bucket b where b.name = p_bucket;
        if p_seconds > (the_bucket.policy ->> 'maxPresignSeconds')::int8 then
            outcome := 'InvalidArgument'; rule := 'policy.maxPresignSeconds';
            exit checks;
        end if;

        insert into holdfast."grant"
            (id, kind, created_by, roles, scopes, bucket, key, version, hash, save_as, max_uses, created_at, expires_at)
        values
            (p_id, 'share', p_sub, coalesce(p_roles, '{}'), p_scopes, p_bucket, p_key, p_version, p_hash, p_save_as, p_max_uses,
             at, expires_at);
        insert into holdfast.audit (at, action, actor, bucket, key, version, outcome, rule, ip, request_id)
        values
            (at, 'share.create', p_sub, p_bucket, p_key, resolved.version, 'ok', p_id::text, left(p_ip, 64),
             left(p_request_id, 128));
        outcome := 'ok';
        created_at_us := (extract(epoch from at) * 1000000)::int8;
        expires_at_us := (extract(epoch from expires_at) * 1000000)::int8;
        return;
    end checks;

    perform holdfast.refuse(
        at, 'share.create', coalesce(p_sub, ''), coalesce((select b.name from holdfast.bucket b where b.name = p_bucket), ''),
        p_key, null, outcome, rule, p_ip, p_request_id);
end
$$;
