-- What a share link gives, as `resolve` says it. A use is counted under the lock of the grant, so that a link for ten
-- downloads gives ten.
--
-- Outcomes: ok, NoSuchKey: unknown, revoked, over, used up, or the object is gone. Nobody learns which.
create or replace function holdfast.use_share(
    p_hash       bytea,
    p_counts     boolean,   -- false: somebody only looks
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    out outcome         text,
    out version         uuid,
    out s3_key          text,
    out size_bytes      int8,
    out etag            text,
    out content_type    text,
    out crc64nvme       text,
    out committed_at_us int8,
    out user_metadata   jsonb,
    out visibility      text,
    out cache_control   text,
    out headers         jsonb,
    out digests         jsonb,
    out rule            text,
    out bucket          text,
    out key             text,
    out save_as         text,
    out grant_id        uuid
)
    language plpgsql volatile as
$$
declare
    at        constant timestamptz := coalesce(p_now, clock_timestamp());
    the_grant holdfast."grant";
begin
    if p_counts then
        select g.* into the_grant from holdfast."grant" g where g.hash = p_hash and g.kind = 'share' for update;
    else
        select g.* into the_grant from holdfast."grant" g where g.hash = p_hash and g.kind = 'share';
    end if;
    rule := case when the_grant.id is null then 'grant' else holdfast.grant_refusal(the_grant, at) end;
    if rule is null then
        select r.outcome, r.version, r.s3_key, r.size_bytes, r.etag, r.content_type, r.crc64nvme, r.committed_at_us,
               r.user_metadata, r.visibility, r.cache_control, r.headers, r.digests, r.rule
        into outcome, version, s3_key, size_bytes, etag, content_type, crc64nvme, committed_at_us,
             user_metadata, visibility, cache_control, headers, digests, rule
        from holdfast.resolve(the_grant.bucket, the_grant.key, the_grant.version, '', '{}', null, at, the_grant.id) r;
        if outcome <> 'ok' then
            rule := coalesce(rule, outcome);
        end if;
    end if;
    -- A count that a crash forgets is the lesser evil, but not where it is a promise.
    if the_grant.max_uses is not null and p_counts and rule is null then
        perform holdfast.durable();
    else
        perform set_config('synchronous_commit', 'off', true);
    end if;
    if rule is not null then
        outcome := 'NoSuchKey';
        perform holdfast.refuse(at, 'share.use', '', coalesce(the_grant.bucket, ''), the_grant.key, null, outcome, rule,
                                p_ip, p_request_id);
        rule := null;
        return;
    end if;

    if p_counts then
        update holdfast."grant" g set uses = g.uses + 1 where g.id = the_grant.id;
    end if;
    bucket := the_grant.bucket;
    key := the_grant.key;
    save_as := the_grant.save_as;
    grant_id := the_grant.id;
end
$$;
