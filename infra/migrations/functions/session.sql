-- What a session is and what came of it, for whoever may know: its creator, or an admin. Its parts too, where they
-- are asked for. Whoever has an upload token knows the uploads that such a token of the same creator began, where it
-- reaches itself.
--
-- Outcomes: ok, NoSuchUpload, AccessDenied (a token that is narrowed to something else).
create or replace function holdfast.session(
    p_version    uuid,
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_with_parts boolean,
    p_grant      uuid default null,   -- of an upload token that was authenticated; `p_sub` is its creator
    out outcome       text,
    out rule          text,
    out state         text,   -- open, completing, done, aborted
    out bucket        text,
    out key           text,
    out s3_key        text,
    out upload_id     text,
    out part_size     int8,
    out size          int8,
    out epoch         int4,
    out created_at_us int8,
    out expires_at_us int8,
    out signed        boolean,
    out content_type  text,   -- declared
    out allowed_types text[],
    out parts         jsonb,  -- [[number, size, etag], ...] by their numbers, as S3 has them
    out tail          jsonb,  -- [number, size, etag, S3 key] of what is behind them, or null
    out committed     jsonb,  -- as `claim` has it
    out created_by    text,
    out protocol      text,
    out concat        text,
    out sources       uuid[],
    out described     text,
    out stored_bytes  int8,   -- of all parts and the tail, where they were asked for
    out image         jsonb   -- what is taken of images, as `image_limits` has it; null = anything
)
    language plpgsql stable as
$$
declare
    the record;
begin
    select s.*, v.state as version_state, v.s3_key, v.declared_type, v.committed_at, v.grant_id,
           holdfast.committed_as(v) as document, o.bucket, o.key, b.policy, b.owner as bucket_owner,
           o.owner as object_owner
    into the
    from holdfast.upload_session s
         join holdfast.version v on v.id = s.version
         join holdfast.object o on o.id = v.object_id
         join holdfast.bucket b on b.name = o.bucket
    where s.version = p_version;
    if not found or coalesce(p_sub, '') = ''
       or (the.created_by <> p_sub and not 'admin' = any (coalesce(p_roles, '{}')))
       or (p_grant is not null and (the.grant_id is null or not exists (
               select
               from holdfast."grant" g
               where g.id = p_grant
                 and g.created_by = the.created_by
                 and g.bucket = the.bucket
                 and starts_with(the.key, g.key)))) then
        outcome := 'NoSuchUpload'; rule := 'session';
        return;
    end if;
    if not holdfast.may(p_sub, p_roles, p_scopes, 'write', the.bucket_owner, the.policy, the.object_owner) then
        outcome := 'AccessDenied'; rule := 'bucket.write';
        return;
    end if;

    outcome := 'ok';
    state := case
        when the.committed_at is not null then 'done'
        when the.version_state <> 'pending' then 'aborted'
        when the.completing_at is not null then 'completing'
        else 'open'
    end;
    bucket := the.bucket;
    key := the.key;
    s3_key := the.s3_key;
    upload_id := the.upload_id;
    part_size := the.part_size;
    size := the.size;
    epoch := the.epoch;
    created_at_us := (extract(epoch from the.created_at) * 1000000)::int8;
    expires_at_us := (extract(epoch from the.expires_at) * 1000000)::int8;
    signed := the.signed_until is not null;
    content_type := the.declared_type;
    created_by := the.created_by;
    protocol := the.protocol;
    concat := the.concat;
    sources := the.sources;
    described := the.described;
    if the.policy ->> 'allowedTypes' is not null then
        allowed_types := array(select jsonb_array_elements_text(the.policy -> 'allowedTypes'));
    end if;
    image := holdfast.image_limits(the.policy, (holdfast.template_at(the.bucket, the.key)).id is not null);
    if p_with_parts then
        select coalesce(jsonb_agg(jsonb_build_array(p.part_number, p.size, p.etag) order by p.part_number)
                            filter (where p.s3_key is null), '[]'),
               (array_agg(jsonb_build_array(p.part_number, p.size, p.etag, p.s3_key)) filter (where p.s3_key is not null))[1],
               coalesce(sum(p.size), 0)
        into parts, tail, stored_bytes
        from holdfast.upload_part p
        where p.version = p_version;
    end if;
    committed := the.document;
end
$$;
