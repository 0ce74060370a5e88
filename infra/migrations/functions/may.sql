-- Whether a principal may do an action on a bucket, or on an object of it (`p_object_owner`; null
-- asks about the bucket alone). The one place that decides; deny by default.
--
-- `p_sub` '' is anonymous. `p_scopes` null is unrestricted, else it narrows what the principal may do:
-- 'download' reads and lists, 'upload' writes, 'delete' deletes, 'admin' leaves everything.
-- 'system' owns the default buckets and is nobody's name: it never matches as an owner.
create or replace function holdfast.may(
    p_sub          text,
    p_roles        text[],
    p_scopes       text[],
    p_action       text,   -- read, write, delete, list, admin
    p_bucket_owner text,
    p_policy       jsonb,
    p_object_owner text
) returns boolean
    language sql immutable parallel safe
return coalesce(
    -- What anybody may read, a narrow token may read too.
    (p_action = 'read' and p_policy ->> 'visibility' = 'public-read')
    or (
        p_sub <> ''
        and (
            p_scopes is null
            or 'admin' = any (p_scopes)
            or case p_action
                when 'read' then 'download'
                when 'list' then 'download'
                when 'write' then 'upload'
                else p_action
            end = any (p_scopes)
        )
        and (
            'admin' = any (coalesce(p_roles, '{}'))
            or case p_action
                when 'read' then
                    p_sub = p_object_owner
                    or (p_sub = p_bucket_owner and p_sub <> 'system')
                    or p_policy ->> 'readers' = 'authenticated'
                when 'list' then
                    (p_sub = p_bucket_owner and p_sub <> 'system')
                    or p_policy ->> 'readers' = 'authenticated'
                    or p_policy ->> 'writers' = 'authenticated'
                -- Who owns the bucket owns its rules, not its files: they read and delete, and never
                -- put other bytes under somebody's name.
                when 'write' then
                    (p_policy ->> 'writers' = 'authenticated' or (p_sub = p_bucket_owner and p_sub <> 'system'))
                    and (p_object_owner is null or p_sub = p_object_owner)
                when 'delete' then
                    p_sub = p_object_owner
                    or (p_sub = p_bucket_owner and p_sub <> 'system')
                when 'admin' then
                    p_sub = p_bucket_owner and p_sub <> 'system'
                else false
            end
        )
    ),
    false);
