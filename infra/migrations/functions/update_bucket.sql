-- Puts a policy in the place of the one that the caller looked at; without one it only looks. What a change of the policy
-- allows or forbids holds for the next request.
--
-- Outcomes: ok, NoSuchBucket (also for what the caller may not see), AccessDenied, BucketNotActive, PreconditionFailed.
create or replace function holdfast.update_bucket(
    p_bucket     text,
    p_policy     jsonb,   -- null = only look
    p_seen       text,    -- the entity tag of what was looked at, bare
    p_if_match   text,    -- the client's, or null
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    out outcome text,
    out rule    text,
    out etag    text,     -- as it is now
    out policy  jsonb,
    out changed boolean   -- by somebody else since it was looked at; nothing was done
)
    language plpgsql volatile as
$$
declare
    at         constant timestamptz := coalesce(p_now, clock_timestamp());
    the_bucket holdfast.bucket;
begin
    perform holdfast.durable();
    changed := false;

    <<checks>>
    begin
        select b.* into the_bucket from holdfast.bucket b where b.name = p_bucket for no key update;
        if not found or not exists (
            select
            from unnest('{admin,list,read,write}'::text[]) action
            where holdfast.may(p_sub, p_roles, p_scopes, action, the_bucket.owner, the_bucket.policy, null)) then
            outcome := 'NoSuchBucket'; rule := 'bucket';
            exit checks;
        end if;
        if not holdfast.may(p_sub, p_roles, p_scopes, 'admin', the_bucket.owner, the_bucket.policy, null) then
            outcome := 'AccessDenied'; rule := 'bucket.admin';
            exit checks;
        end if;
        if the_bucket.state not in ('creating', 'active') then
            outcome := 'BucketNotActive'; rule := 'bucket.state';
            exit checks;
        end if;
        etag := holdfast.bucket_etag(the_bucket);
        policy := the_bucket.policy;
        if p_if_match is not null and not holdfast.etag_matches(p_if_match, etag, p_weak => false) then
            outcome := 'PreconditionFailed'; rule := 'if-match';
            exit checks;
        end if;
        outcome := 'ok';
        if p_policy is null or p_policy = the_bucket.policy then
            return;
        end if;
        if p_seen is distinct from etag then
            changed := true;
            return;
        end if;

        update holdfast.bucket b set policy = p_policy where b.name = p_bucket returning b.* into the_bucket;
        insert into holdfast.audit (at, action, actor, bucket, outcome, rule, ip, request_id)
        values (at, 'bucket.update', p_sub, p_bucket, 'ok', holdfast.bucket_etag(the_bucket), left(p_ip, 64), left(p_request_id, 128));
        etag := holdfast.bucket_etag(the_bucket);
        policy := the_bucket.policy;
        return;
    end checks;

    etag := null; policy := null;
    perform holdfast.refuse(at, 'bucket.update', coalesce(p_sub, ''), coalesce(the_bucket.name, ''), null, null, outcome, rule,
                            p_ip, p_request_id);
end
$$;
