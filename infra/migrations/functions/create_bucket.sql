-- Makes a bucket, or finds the one that the caller made before with the same policy. It takes files once `bucket_created` says
-- that the store has it; the worker goes on where the caller did not.
--
-- Whoever has a name may make buckets, with a narrow token or key only by the scope 'admin'. One that the store has already
-- may hold files of others: only an admin takes it over.
--
-- Outcomes: ok, AccessDenied, BucketAlreadyExists, BucketNotActive (one of this name is being deleted), QuotaExceeded.
create or replace function holdfast.create_bucket(
    p_bucket     text,
    p_policy     jsonb,
    p_stored     boolean,   -- the store has a bucket of this name
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    out outcome text,
    out rule    text,
    out state   text,      -- creating, active
    out created boolean    -- it was not there before
)
    language plpgsql volatile as
$$
declare
    -- Of one owner; an admin has any number.
    most       constant int4        := 100;
    -- The caller's time to tell the store; then the worker does.
    claim      constant interval    := interval '1 minute';
    at         constant timestamptz := coalesce(p_now, clock_timestamp());
    is_admin   constant boolean     := 'admin' = any (coalesce(p_roles, '{}'));
    the_bucket holdfast.bucket;
begin
    perform holdfast.durable();
    created := false;

    <<checks>>
    begin
        if not holdfast.may(p_sub, p_roles, p_scopes, 'admin', p_sub, '{}', null) then
            outcome := 'AccessDenied'; rule := 'bucket.create';
            exit checks;
        end if;
        -- One creator of an owner's buckets at a time, or two would both see room for the last one.
        perform pg_advisory_xact_lock(hashtextextended('holdfast.bucket/' || p_sub, 0));
        -- Again while others insert or remove it.
        loop
            select b.* into the_bucket from holdfast.bucket b where b.name = p_bucket for key share;
            exit when found;
            if p_stored and not is_admin then
                outcome := 'BucketAlreadyExists'; rule := 'store';
                exit checks;
            end if;
            if not is_admin and (select count(*) from holdfast.bucket b where b.owner = p_sub) >= most then
                outcome := 'QuotaExceeded'; rule := 'owner.buckets';
                exit checks;
            end if;
            insert into holdfast.bucket (name, owner, state, policy, created_at, due_at)
            values (p_bucket, p_sub, 'creating', p_policy, at, at + claim)
            on conflict do nothing;
            if found then
                created := true;
                insert into holdfast.audit (at, action, actor, bucket, outcome, ip, request_id)
                values (at, 'bucket.create', p_sub, p_bucket, 'ok', left(p_ip, 64), left(p_request_id, 128));
                outcome := 'ok';
                state := 'creating';
                return;
            end if;
        end loop;

        -- Who it belongs to is told to nobody.
        if the_bucket.owner <> p_sub then
            outcome := 'BucketAlreadyExists'; rule := 'bucket';
            exit checks;
        end if;
        if the_bucket.state not in ('creating', 'active') then
            outcome := 'BucketNotActive'; rule := 'bucket.state';
            exit checks;
        end if;
        if the_bucket.policy <> p_policy then
            outcome := 'BucketAlreadyExists'; rule := 'bucket.policy';
            exit checks;
        end if;
        outcome := 'ok';
        state := the_bucket.state;
        return;
    end checks;

    perform holdfast.refuse(at, 'bucket.create', coalesce(p_sub, ''), coalesce(the_bucket.name, ''), null, null, outcome, rule,
                            p_ip, p_request_id);
end
$$;
