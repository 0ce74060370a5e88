-- Finds a template for a step that its caller may do, or says what it is told instead. With `p_lock` the bucket, the
-- template and its background's object are locked, in this order, until the end of the transaction.
--
-- Outcomes: ok, AccessDenied (is nobody, or may see it and no more), NoSuchBucket, BucketNotActive, NoSuchTemplate (also
-- for what the caller may not see).
create or replace function holdfast.open_template(
    p_id     uuid,
    p_action text,   -- read, write, delete: as `may` has it, of what the template's owner owns
    p_lock   boolean,
    p_sub    text,
    p_roles  text[],
    p_scopes text[],
    out outcome      text,
    out rule         text,
    out reason       text,   -- where `rule` is not told
    out the_template holdfast.template
)
    language plpgsql volatile as
$$
declare
    the_bucket holdfast.bucket;
begin
    if coalesce(p_sub, '') = '' then
        outcome := 'AccessDenied'; rule := 'authentication';
        return;
    end if;
    if p_lock then
        select b.* into the_bucket from holdfast.bucket b where b.name = 'templates' for key share;
    else
        select b.* into the_bucket from holdfast.bucket b where b.name = 'templates';
    end if;
    if the_bucket.name is null then
        outcome := 'NoSuchBucket'; rule := 'bucket';
        return;
    end if;
    if p_lock then
        select t.* into the_template from holdfast.template t where t.id = p_id and t.deleted_at is null for no key update;
        perform from holdfast.object o
        where o.bucket = 'templates'
          and o.key = holdfast.background_key(p_id)
        for no key update;
    else
        select t.* into the_template from holdfast.template t where t.id = p_id and t.deleted_at is null;
    end if;
    if the_template.id is null then
        outcome := 'NoSuchTemplate'; reason := 'template';
    elsif holdfast.may(p_sub, p_roles, p_scopes, p_action, the_bucket.owner, the_bucket.policy, the_template.owner) then
        if p_action = 'write' and the_bucket.state <> 'active' then
            outcome := 'BucketNotActive'; rule := 'bucket.state';
        else
            outcome := 'ok';
        end if;
    elsif holdfast.may(p_sub, p_roles, p_scopes, 'read', the_bucket.owner, the_bucket.policy, the_template.owner) then
        outcome := 'AccessDenied'; rule := 'template.' || p_action;
    else
        outcome := 'NoSuchTemplate'; reason := 'template.' || p_action;
    end if;
end
$$;
