-- Replaces the tags of an object, or the user metadata of its current version, or both. Bytes, version and ETag stay what they are.
--
-- Outcomes: ok, AccessDenied, NoSuchBucket, BucketNotActive, NoSuchKey, PreconditionFailed.
create or replace function holdfast.annotate(
    p_bucket        text,
    p_key           text,
    p_tags          jsonb,   -- null = as they are
    p_user_metadata jsonb,   -- null = as it is
    p_if_match      text,    -- or null
    p_sub           text,
    p_roles         text[],
    p_scopes        text[],
    p_ip            text,
    p_request_id    text,
    p_now           timestamptz,
    out outcome text,
    out rule    text,
    out version uuid
)
    language plpgsql volatile as
$$
declare
    at          constant timestamptz := coalesce(p_now, clock_timestamp());
    the_bucket  holdfast.bucket;
    the_object  record;
    the_version record;
    reason      text;
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
        select o.id, o.owner, o.sequence
        into the_object
        from holdfast.object o
        where o.bucket = p_bucket and o.key = p_key and o.live
        for no key update;
        if not found then
            outcome := 'NoSuchKey'; reason := 'object';
            exit checks;
        end if;
        if not holdfast.may(p_sub, p_roles, p_scopes, 'write', the_bucket.owner, the_bucket.policy, the_object.owner) then
            if holdfast.may(p_sub, p_roles, p_scopes, 'read', the_bucket.owner, the_bucket.policy, the_object.owner) then
                outcome := 'AccessDenied'; rule := 'object.owner';
            else
                outcome := 'NoSuchKey'; reason := 'object.owner';
            end if;
            exit checks;
        end if;
        select v.id, v.etag
        into the_version
        from holdfast.version v
        where v.object_id = the_object.id and v.state = 'live'
        for update;
        if p_if_match is not null and not holdfast.etag_matches(p_if_match, the_version.etag, p_weak => false) then
            outcome := 'PreconditionFailed'; rule := 'if-match';
            exit checks;
        end if;

        if p_user_metadata is not null then
            update holdfast.version v set user_metadata = p_user_metadata where v.id = the_version.id;
        end if;
        update holdfast.object o
        set tags     = coalesce(p_tags, o.tags),
            sequence = o.sequence + 1
        where o.id = the_object.id;
        insert into holdfast.outbox (kind, occurred_at, bucket, key, object_id, sequence, version, actor, data)
        values
            ('object.updated', at, p_bucket, p_key, the_object.id, the_object.sequence + 1, the_version.id, p_sub,
             jsonb_strip_nulls(jsonb_build_object('tags', p_tags, 'metadata', p_user_metadata, 'owner', the_object.owner)));
        insert into holdfast.audit (at, action, actor, bucket, key, version, outcome, rule, ip, request_id)
        values
            (at, 'update', p_sub, p_bucket, p_key, the_version.id, 'ok',
             concat_ws(' ', case when p_tags is not null then 'tags' end,
                       case when p_user_metadata is not null then 'metadata' end),
             left(p_ip, 64), left(p_request_id, 128));
        outcome := 'ok';
        version := the_version.id;
        return;
    end checks;

    perform holdfast.refuse(at, 'update', coalesce(p_sub, ''), coalesce(the_bucket.name, ''), p_key, null, outcome,
                            coalesce(rule, reason), p_ip, p_request_id);
end
$$;
