-- Begins the renaming of a folder: of every object whose key begins with a prefix. It only writes the job down;
-- `step_rename` moves.
--
-- Outcomes: ok, AccessDenied, NoSuchBucket, BucketNotActive. Safe to repeat with the same id.
create or replace function holdfast.start_rename(
    p_id         uuid,
    p_bucket     text,
    p_from       text,
    p_to         text,     -- another one
    p_overwrite  boolean,
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
    -- Above this many they are not counted: a folder of any size begins at once.
    most       constant int8        := 100000;
    -- The client's time to go on; then the worker does.
    claim      constant interval    := interval '1 minute';
    at         constant timestamptz := coalesce(p_now, clock_timestamp());
    the_bucket holdfast.bucket;
    of_owner   text;
    counted    int8;
begin
    perform holdfast.durable();

    <<checks>>
    begin
        if coalesce(p_sub, '') = '' then
            outcome := 'AccessDenied'; rule := 'authentication';
            exit checks;
        end if;
        select b.* into the_bucket from holdfast.bucket b where b.name = p_bucket for key share;
        if not found then
            outcome := 'NoSuchBucket'; rule := 'bucket';
            exit checks;
        end if;
        if the_bucket.state <> 'active' then
            outcome := 'BucketNotActive'; rule := 'bucket.state';
            exit checks;
        end if;
        if not holdfast.may(p_sub, p_roles, p_scopes, 'write', the_bucket.owner, the_bucket.policy, null)
           or not holdfast.may(p_sub, p_roles, p_scopes, 'delete', the_bucket.owner, the_bucket.policy, p_sub) then
            outcome := 'AccessDenied'; rule := 'bucket.write';
            exit checks;
        end if;
        if not holdfast.may(p_sub, p_roles, p_scopes, 'delete', the_bucket.owner, the_bucket.policy, null) then
            of_owner := p_sub;
        end if;
        if of_owner is null then
            select count(*) into counted
            from (select from holdfast.object o
                  where o.bucket = p_bucket and o.live and o.key >= p_from and o.key < p_from || repeat(chr(1114111), 256)
                  limit most + 1) o;
        else
            select count(*) into counted
            from (select from holdfast.object o
                  where o.bucket = p_bucket and o.owner = of_owner and o.live
                    and o.key >= p_from and o.key < p_from || repeat(chr(1114111), 256)
                  limit most + 1) o;
        end if;
        insert into holdfast.rename_job
            (id, bucket, from_prefix, to_prefix, overwrite, created_by, roles, scopes, created_at, due_at, total)
        values
            (p_id, p_bucket, p_from, p_to, coalesce(p_overwrite, false), p_sub, coalesce(p_roles, '{}'), p_scopes, at,
             at + claim, nullif(counted, most + 1))
        on conflict do nothing;
        if found then
            insert into holdfast.audit (at, action, actor, bucket, key, outcome, rule, ip, request_id)
            values
                (at, 'rename', p_sub, p_bucket, left(p_from, 1024), 'ok', left('to ' || p_to, 1100), left(p_ip, 64),
                 left(p_request_id, 128));
        end if;
        outcome := 'ok';
        return;
    end checks;

    perform holdfast.refuse(at, 'rename', coalesce(p_sub, ''), coalesce(the_bucket.name, ''), p_from, null, outcome, rule,
                            p_ip, p_request_id);
end
$$;
