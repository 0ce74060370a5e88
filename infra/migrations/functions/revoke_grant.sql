-- Calls a grant back: its creator, the bucket's owner, or an admin. Safe to repeat.
--
-- Outcomes: ok, NoSuchGrant (also for what is somebody else's), NotRevocable (a URL straight to the store: nobody
-- is asked when it is used).
create or replace function holdfast.revoke_grant(
    p_id         uuid,
    p_kinds      text[],
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    out outcome text,
    out rule    text
)
    language plpgsql volatile as
$$
declare
    at         constant timestamptz := coalesce(p_now, clock_timestamp());
    the_grant  holdfast."grant";
    the_bucket holdfast.bucket;
begin
    perform holdfast.durable();

    select g.* into the_grant from holdfast."grant" g where g.id = p_id and g.kind = any (p_kinds) for update;
    select b.* into the_bucket from holdfast.bucket b where b.name = the_grant.bucket;
    if the_grant.id is null or coalesce(p_sub, '') = '' or not (
        the_grant.created_by = p_sub
        or coalesce(holdfast.may(p_sub, p_roles, p_scopes, 'admin', the_bucket.owner, the_bucket.policy, null), false)) then
        outcome := 'NoSuchGrant'; rule := case when the_grant.id is null then 'grant' else 'grant.creator' end;
    elsif the_grant.direct then
        outcome := 'NotRevocable'; rule := 'grant.direct';
    else
        outcome := 'ok';
        if the_grant.revoked_at is null then
            update holdfast."grant" g
            set revoked_at = at,
                revoked_by = p_sub
            where g.id = p_id;
            insert into holdfast.audit (at, action, actor, bucket, key, version, outcome, rule, ip, request_id)
            values
                (at, the_grant.kind || '.revoke', p_sub, the_grant.bucket, the_grant.key, the_grant.version, 'ok', p_id::text,
                 left(p_ip, 64), left(p_request_id, 128));
        end if;
        return;
    end if;

    perform holdfast.refuse(at, 'grant.revoke', coalesce(p_sub, ''), coalesce(the_bucket.name, ''), the_grant.key, null,
                            outcome, rule, p_ip, p_request_id);
    if outcome = 'NoSuchGrant' then
        -- The rule is for the audit log alone.
        rule := null;
    end if;
end
$$;
