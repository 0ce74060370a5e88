-- One signed URL for writing, of a batch: begins a version whose lease outlives the URL. See `presign`.
--
-- Outcomes: ok, InvalidArgument, AccessDenied (the policy's limits), and those of `begin`, which writes down its own
-- refusals: `refused` tells that.
create or replace function holdfast.presign_put(
    p_asked      jsonb,   -- as `presign` has it
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_ip         text,
    p_request_id text,
    p_at         timestamptz,
    out outcome   text,
    out rule      text,
    out expires_s int8,
    out refused   boolean
)
    language plpgsql volatile as
$$
declare
    skew       constant int4 := 900;
    seconds    constant int8 := (p_asked ->> 'seconds')::int8;
    new_id     constant uuid := (p_asked ->> 'id')::uuid;
    the_policy jsonb;
    begun      record;
begin
    refused := false;
    select b.policy into the_policy from holdfast.bucket b where b.name = p_asked ->> 'bucket';
    if seconds > (the_policy ->> 'maxPresignSeconds')::int8 then
        outcome := 'InvalidArgument'; rule := 'policy.maxPresignSeconds';
        return;
    end if;
    if not coalesce((the_policy ->> 'directAllowed')::boolean, true) then
        outcome := 'AccessDenied'; rule := 'policy.directAllowed';
        return;
    end if;

    begun := holdfast.begin(
        p_version       => new_id,
        p_bucket        => p_asked ->> 'bucket',
        p_key           => p_asked ->> 'key',
        p_s3_key        => p_asked ->> 's3Key',
        p_sub           => p_sub,
        p_roles         => p_roles,
        p_scopes        => p_scopes,
        p_size          => (p_asked ->> 'size')::int8,
        p_content_type  => p_asked ->> 'contentType',
        p_user_metadata => coalesce(p_asked -> 'metadata', '{}'),
        p_if_match      => p_asked ->> 'ifMatch',
        p_if_none_match => p_asked ->> 'ifNoneMatch',
        p_lease_seconds => (seconds + skew)::int4,
        p_ip            => p_ip,
        p_request_id    => p_request_id,
        p_now           => p_at);
    if begun.outcome <> 'ok' then
        outcome := begun.outcome; rule := begun.rule;
        refused := true;
        return;
    end if;
    expires_s := floor(extract(epoch from p_at))::int8 + seconds;
    -- The URL could write its blob anew after a purge.
    update holdfast.version v
    set pinned_until = to_timestamp(expires_s) + make_interval(secs => skew)
    where v.id = new_id;
    insert into holdfast."grant"
        (id, kind, created_by, roles, scopes, bucket, key, version, created_at, expires_at)
    values
        (new_id, 'put', p_sub, coalesce(p_roles, '{}'), p_scopes, p_asked ->> 'bucket', p_asked ->> 'key',
         new_id, p_at, greatest(to_timestamp(expires_s), p_at + interval '1 second'));
    insert into holdfast.audit (at, action, actor, bucket, key, version, outcome, rule, ip, request_id)
    values
        (p_at, 'presign.put', p_sub, p_asked ->> 'bucket', p_asked ->> 'key', new_id, 'ok', new_id::text,
         left(p_ip, 64), left(p_request_id, 128));
    outcome := 'ok';
end
$$;
