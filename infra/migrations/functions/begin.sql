-- Step 1 of a write: authorises it, checks what can be checked before the bytes are there, charges them
-- and inserts the pending version. Everything is asked again by `commit`, against what is current then.
--
-- Outcomes: ok, AccessDenied, NoSuchBucket, BucketNotActive, EntityTooLarge, InvalidContentType, NoSuchTemplate,
-- PreconditionFailed, QuotaExceeded, IdempotencyKeyInUse, IdempotencyKeyReused. Repeating it with the same version
-- is safe. With a grant, an upload token's, the write stays within it and is a use of it. `repeated` is what another
-- version under the same idempotency key was committed as: nothing was begun then.
--
-- A crash may forget it (`synchronous_commit` off): the blob is then one without a row, which the
-- reconciler finds. Whoever hands the answer to a client (presign, multipart) sets it on again after the call.
create or replace function holdfast.begin(
    p_version       uuid,
    p_bucket        text,
    p_key           text,
    p_s3_key        text,
    p_sub           text,
    p_roles         text[],
    p_scopes        text[],
    p_size          int8,   -- null = unknown
    p_content_type  text,   -- declared, or null
    p_user_metadata jsonb,
    p_if_match      text,
    p_if_none_match text,
    p_lease_seconds int4,
    p_ip            text,
    p_request_id    text,
    p_now           timestamptz,
    p_headers           jsonb default null,   -- cacheControl, contentDisposition, contentLanguage
    p_idempotency_key   text  default null,
    p_fingerprint       text  default null,   -- of everything that the request says, where a key is given
    p_grant             uuid  default null,   -- of an upload token that was authenticated; the caller is its creator
    out outcome       text,
    out rule          text,
    out max_bytes     int8,
    out allowed_types text[],
    out visibility    text,
    out repeated      jsonb,
    out charged_bytes int8,   -- of the quota; `renew` asks for more
    out image         jsonb   -- what is taken of images, as `image_limits` has it; null = anything
)
    language plpgsql volatile as
$$
declare
    -- Charged for a body of unknown length until `renew` asks for more.
    step         constant int8        := 67108864;
    at           constant timestamptz := coalesce(p_now, clock_timestamp());
    -- A lease outlives what a client was given for it, and at most the longest signed URL.
    lease        constant interval    := make_interval(secs => least(greatest(p_lease_seconds, 1), 700000));
    the_bucket   holdfast.bucket;
    the_object   record;
    is_new       boolean := false;
    current_etag text;
    charged_to   text;
    charge       int8;
    room         record;
    known        record;
    claim        record;
    the_grant    holdfast."grant";
    -- Whose background this would be.
    the_template holdfast.template;
begin
    perform set_config('synchronous_commit', 'off', true);

    <<checks>>
    begin
        if coalesce(p_sub, '') = '' then
            outcome := 'AccessDenied'; rule := 'authentication';
            exit checks;
        end if;

        -- Locked before its state is read: a bucket that is being deleted holds FOR UPDATE, so either it sees
        -- our version or we see its end.
        select b.*
        into the_bucket
        from holdfast.bucket b
        where b.name = p_bucket
        for key share;
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

        the_template := holdfast.template_at(p_bucket, p_key);
        if the_template.deleted_at is not null then
            outcome := 'NoSuchTemplate'; rule := 'template';
            exit checks;
        end if;
        image := holdfast.image_limits(the_bucket.policy, the_template.id is not null);

        max_bytes := (the_bucket.policy ->> 'maxBytes')::int8;
        visibility := the_bucket.policy ->> 'visibility';
        if the_bucket.policy ->> 'allowedTypes' is not null then
            allowed_types := array(select jsonb_array_elements_text(the_bucket.policy -> 'allowedTypes'));
        end if;
        if p_size > max_bytes then
            outcome := 'EntityTooLarge'; rule := 'policy.maxBytes';
            exit checks;
        end if;
        if p_content_type is not null and not holdfast.type_allowed(p_content_type, allowed_types) then
            outcome := 'InvalidContentType'; rule := 'policy.allowedTypes';
            exit checks;
        end if;

        if p_grant is not null then
            select g.* into the_grant from holdfast."grant" g where g.id = p_grant and g.kind = 'token';
            rule := case
                when the_grant.id is null then 'grant'
                when the_grant.created_by is distinct from p_sub then 'grant.creator'
                when the_grant.bucket <> p_bucket then 'grant.bucket'
                when not starts_with(p_key, the_grant.key) then 'grant.prefix'
                when not holdfast.may(p_sub, p_roles, p_scopes, 'share', the_bucket.owner, the_bucket.policy, null)
                    then 'policy.sharers'
            end;
            if rule is not null then
                outcome := 'AccessDenied';
                exit checks;
            end if;
            if p_size > the_grant.max_bytes then
                outcome := 'EntityTooLarge'; rule := 'grant.maxBytes';
                exit checks;
            end if;
            if p_content_type is not null and not holdfast.type_allowed(p_content_type, the_grant.types) then
                outcome := 'InvalidContentType'; rule := 'grant.types';
                exit checks;
            end if;
            -- `least` passes over a null, which is no limit.
            max_bytes := least(max_bytes, the_grant.max_bytes);
            allowed_types := holdfast.types_of_both(allowed_types, the_grant.types);
        end if;

        -- Found and locked, or inserted and so ours alone; again while others insert or remove it.
        loop
            select o.id, o.owner
            into the_object
            from holdfast.object o
            where o.bucket = p_bucket
              and o.key = p_key
            for no key update;
            exit when found;
            insert into holdfast.object as o (bucket, key, created_at)
            values (p_bucket, p_key, at)
            on conflict do nothing
            returning o.id, o.owner into the_object;
            is_new := found;
            exit when found;
        end loop;

        if not holdfast.may(p_sub, p_roles, p_scopes, 'write', the_bucket.owner, the_bucket.policy,
                            coalesce(the_object.owner, the_template.owner)) then
            outcome := 'AccessDenied'; rule := 'object.owner';
            exit checks;
        end if;

        if p_idempotency_key is not null then
            -- Who has a token shall not meet the keys of its creator.
            claim := holdfast.claim(coalesce('token ' || p_grant, p_sub), p_idempotency_key, p_fingerprint, p_version, at);
            if claim.outcome <> 'ok' then
                outcome := claim.outcome; rule := 'idempotency-key';
                exit checks;
            end if;
            if claim.repeated is not null then
                outcome := 'ok';
                repeated := claim.repeated;
                return;
            end if;
        end if;

        if p_if_match is not null or p_if_none_match is not null then
            select v.etag into current_etag
            from holdfast.version v
            where v.object_id = the_object.id
              and v.state = 'live';
            if p_if_match is not null and not holdfast.etag_matches(p_if_match, current_etag, p_weak => false) then
                outcome := 'PreconditionFailed'; rule := 'if-match';
                exit checks;
            end if;
            if holdfast.etag_matches(p_if_none_match, current_etag, p_weak => true) then
                outcome := 'PreconditionFailed'; rule := 'if-none-match';
                exit checks;
            end if;
        end if;

        -- A call whose answer was lost has done all this already.
        select v.object_id, v.state, v.created_by, v.s3_key, v.charged_bytes
        into known
        from holdfast.version v
        where v.id = p_version;
        if found then
            if known.object_id <> the_object.id or known.created_by <> p_sub or known.s3_key <> p_s3_key
               or known.state <> 'pending' then
                raise exception 'version % was begun before, as another write', p_version
                    using errcode = 'unique_violation';
            end if;
            outcome := 'ok';
            charged_bytes := known.charged_bytes;
            return;
        end if;

        charged_to := coalesce(the_object.owner, the_template.owner, p_sub);
        charge := coalesce(p_size, least(step, max_bytes));
        room := holdfast.room(p_bucket, charged_to, the_bucket.policy);
        if p_size is null and room.bytes > 0 then
            -- Who does not know the length gets what there is.
            charge := least(charge, room.bytes);
        end if;
        if charge > room.bytes then
            outcome := 'QuotaExceeded'; rule := room.rule;
            exit checks;
        end if;
        if room.objects = 0 and not exists (
            select from holdfast.version v where v.object_id = the_object.id and v.state = 'live') then
            outcome := 'QuotaExceeded'; rule := 'policy.quotaObjects';
            exit checks;
        end if;

        if p_grant is not null then
            -- A counter, and so the last lock. Nobody else takes what is left meanwhile.
            select g.* into the_grant from holdfast."grant" g where g.id = p_grant for update;
            rule := holdfast.grant_refusal(the_grant, at);
            if rule is not null then
                outcome := 'AccessDenied';
                exit checks;
            end if;
            update holdfast."grant" g set uses = g.uses + 1 where g.id = p_grant;
        end if;

        insert into holdfast.version
            (id, object_id, s3_key, state, created_by, created_at, owner, charged_bytes, declared_size, declared_type,
             if_match, if_none_match, user_metadata, headers, lease_until, grant_id)
        values
            (p_version, the_object.id, p_s3_key, 'pending', p_sub, at, charged_to, charge, p_size, p_content_type,
             p_if_match, p_if_none_match, coalesce(p_user_metadata, '{}'), coalesce(p_headers, '{}'),
             at + lease, p_grant);
        insert into holdfast.usage_delta (bucket, owner, pending_bytes, pending_objects)
        values (p_bucket, charged_to, charge, 1);
        outcome := 'ok';
        charged_bytes := charge;
        return;
    end checks;

    -- Refused. What was made for it goes again, or refusals would fill the table.
    if p_idempotency_key is not null then
        delete from holdfast.idempotency i where i.version = p_version;
    end if;
    if is_new then
        delete from holdfast.object o where o.id = the_object.id;
    end if;
    perform holdfast.refuse(at, 'begin', coalesce(p_sub, ''), coalesce(the_bucket.name, ''), p_key, p_version,
                            outcome, rule, p_ip, p_request_id);
end
$$;
