-- Gives an object another key of its bucket, in one step: see `relocate`.
--
-- Outcomes: ok, AccessDenied, NoSuchBucket, BucketNotActive, NoSuchKey, PreconditionFailed (`overwrite`: there is an
-- object at the new key).
create or replace function holdfast.move_object(
    p_bucket     text,
    p_from       text,
    p_to         text,      -- another one
    p_if_match   text,      -- or null
    p_overwrite  boolean,
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    out outcome  text,
    out rule     text,
    out version  uuid,
    out replaced uuid
)
    language plpgsql volatile as
$$
declare
    at         constant timestamptz := coalesce(p_now, clock_timestamp());
    the_bucket holdfast.bucket;
    made       int8[];
    moved      record;
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
        -- Whoever may write nothing here makes no row, not even for a moment.
        if not holdfast.may(p_sub, p_roles, p_scopes, 'write', the_bucket.owner, the_bucket.policy, null) then
            outcome := 'AccessDenied'; rule := 'bucket.write';
            exit checks;
        end if;
        made := holdfast.lock_objects(p_bucket, array[p_from, p_to], array[p_to], at);
        moved := holdfast.relocate(the_bucket, p_from, p_to, null, p_if_match, p_overwrite, p_sub, p_roles, p_scopes, p_ip,
                                   p_request_id, at);
        outcome := moved.outcome; rule := moved.rule; version := moved.version; replaced := moved.replaced;
        if outcome = 'ok' then
            return;
        end if;
        delete from holdfast.object o where o.id = any (made);
    end checks;

    perform holdfast.refuse(at, 'move', coalesce(p_sub, ''), coalesce(the_bucket.name, ''), p_from, null, outcome, rule,
                            p_ip, p_request_id);
    -- What is not there and what may not be seen look alike.
    if outcome = 'NoSuchKey' then
        rule := null;
    end if;
end
$$;
