-- What `complete` of a presigned PUT needs to know of it: where to look, what was agreed, and in whose name to
-- commit. Once it is committed, `repeated` is what it was committed as.
--
-- Where the URL itself was refused there is nothing to know: that is written down, as one row a minute whatever ids are
-- made up.
--
-- Outcomes: ok, AccessDenied (the URL was refused), NoSuchUpload (unknown, revoked, or its lease ran out).
create or replace function holdfast.open_put(
    p_id         uuid,
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    p_refused    text default null,   -- the rule by which the URL was refused; null = its signature is good
    out outcome       text,
    out rule          text,
    out sub           text,
    out roles         text[],
    out scopes        text[],
    out bucket        text,
    out key           text,
    out s3_key        text,
    out size_bytes    int8,
    out content_type  text,
    out allowed_types text[],
    out repeated      jsonb,
    out image         jsonb   -- what is taken of images, as `image_limits` has it; null = anything
)
    language plpgsql volatile as
$$
declare
    at          constant timestamptz := coalesce(p_now, clock_timestamp());
    the_grant   holdfast."grant";
    the_version holdfast.version;
    the_policy  jsonb;
begin
    if p_refused is not null then
        outcome := 'AccessDenied'; rule := p_refused;
        perform set_config('synchronous_commit', 'off', true);
        perform holdfast.refuse(at, 'put.complete', '', '', null, null, outcome, rule, p_ip, p_request_id);
        return;
    end if;
    select g.* into the_grant from holdfast."grant" g where g.id = p_id and g.kind = 'put';
    select v.* into the_version from holdfast.version v where v.id = p_id;
    if the_grant.id is null or the_version.id is null then
        outcome := 'NoSuchUpload'; rule := 'version';
    elsif the_version.committed_at is null and the_grant.revoked_at is not null then
        outcome := 'NoSuchUpload'; rule := 'grant.revoked';
    elsif the_version.committed_at is null and the_version.state <> 'pending' then
        outcome := 'NoSuchUpload'; rule := 'version.state';
    else
        select b.policy into the_policy from holdfast.bucket b where b.name = the_grant.bucket;
        outcome := 'ok';
        sub := the_grant.created_by;
        roles := the_grant.roles;
        scopes := the_grant.scopes;
        bucket := the_grant.bucket;
        key := the_grant.key;
        s3_key := the_version.s3_key;
        size_bytes := the_version.declared_size;
        content_type := the_version.declared_type;
        if the_policy ->> 'allowedTypes' is not null then
            allowed_types := array(select jsonb_array_elements_text(the_policy -> 'allowedTypes'));
        end if;
        repeated := holdfast.committed_as(the_version);
        image := holdfast.image_limits(
            the_policy, (holdfast.template_at(the_grant.bucket, the_grant.key)).id is not null);
        return;
    end if;

    perform set_config('synchronous_commit', 'off', true);
    perform holdfast.refuse(at, 'put.complete', coalesce(the_grant.created_by, ''), coalesce(the_grant.bucket, ''),
                            the_grant.key, p_id, outcome, rule, p_ip, p_request_id);
    rule := null;
end
$$;
