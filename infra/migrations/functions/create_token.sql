-- Makes an upload token: whoever has it writes new versions as its creator, within what the token says.
--
-- Outcomes: ok, AccessDenied, NoSuchBucket, BucketNotActive, InvalidArgument (the policy's limit).
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
    the_bucket holdfast.bucket;
begin
    perform holdfast.durable();

    <<checks>>
    begin
        if coalesce(p_sub, '') = '' then
            outcome := 'AccessDenied'; rule := 'authentication';
            exit checks;
        end if;
        select b.* into the_bucket from holdfast.bucket b where b.name = p_bucket;
        if not found then
            outcome := 'NoSuchBucket'; rule := 'bucket';
            exit checks;
        end if;
        if not holdfast.may(p_sub, p_roles, p_scopes, 'write', the_bucket.owner, the_bucket.policy, null) then
            outcome := 'AccessDenied'; rule := 'bucket.write';
            exit checks;
        end if;
        if the_bucket.state <> 'active' then
            outcome := 'BucketNotActive'; rule := 'bucket.state';
            exit checks;
        end if;
        if p_seconds > (the_bucket.policy ->> 'maxPresignSeconds')::int8 then
            outcome := 'InvalidArgument'; rule := 'policy.maxPresignSeconds';
            exit checks;
        end if;

        insert into holdfast."grant"
            (id, kind, created_by, roles, scopes, bucket, key, hash, max_uses, max_bytes, types, created_at, expires_at)
        values
            (p_id, 'token', p_sub, coalesce(p_roles, '{}'), '{upload}', p_bucket, p_prefix, p_hash, p_max_uses, p_max_bytes,
             p_types, at, expires_at);
        insert into holdfast.audit (at, action, actor, bucket, key, outcome, rule, ip, request_id)
        values
            (at, 'token.create', p_sub, p_bucket, p_prefix, 'ok', p_id::text, left(p_ip, 64), left(p_request_id, 128));
        outcome := 'ok';
        created_at_us := (extract(epoch from at) * 1000000)::int8;
        expires_at_us := (extract(epoch from expires_at) * 1000000)::int8;
        return;
    end checks;

    perform holdfast.refuse(at, 'token.create', coalesce(p_sub, ''), coalesce(the_bucket.name, ''), p_prefix, null, outcome,
                            rule, p_ip, p_request_id);
end
$$;
