-- Whether a principal may do an action on a bucket, or on an object of it (`p_object_owner`; null
-- asks about the bucket alone). The one place that decides; deny by default.
--
-- `p_sub` '' is anonymous. `p_scopes` null is unrestricted, else it narrows what the principal may do:
-- 'download' reads and lists, 'upload' writes, either of them shares, 'delete' deletes, 'admin' leaves everything.
-- 'system' owns the default buckets and is nobody's name: it never matches as an owner.
--
-- 'share' is to hand on what one may do oneself: whoever asks for it asks for 'read' or 'write', too.
create or replace function holdfast.may(
    p_sub          text,
    p_roles        text[],
    p_scopes       text[],
    p_action       text,   -- read, write, delete, list, share, admin
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
                when 'share' then 'download'
                when 'write' then 'upload'
                else p_action
            end = any (p_scopes)
            or (p_action = 'share' and 'upload' = any (p_scopes))
        )
        and (
            'admin' = any (coalesce(p_roles, '{}'))
            or case p_action
                when 'read' then
                    p_sub = p_object_owner
                    or (p_sub = p_bucket_owner and p_sub <> 'system')
                    or holdfast.named(p_policy -> 'readers', p_sub, p_roles)
                -- Unless the policy says who lists: who may read all, or write.
                when 'list' then
                    (p_sub = p_bucket_owner and p_sub <> 'system')
                    or case
                        when p_policy ->> 'listers' is null then
                            holdfast.named(p_policy -> 'readers', p_sub, p_roles)
                            or holdfast.named(p_policy -> 'writers', p_sub, p_roles)
                        else holdfast.named(p_policy -> 'listers', p_sub, p_roles)
                    end
                -- Who owns the bucket owns its rules, not its files: they read and delete, and never
                -- put other bytes under somebody's name.
                when 'write' then
                    ((p_sub = p_bucket_owner and p_sub <> 'system')
                     or holdfast.named(p_policy -> 'writers', p_sub, p_roles))
                    and (p_object_owner is null or p_sub = p_object_owner)
                -- Unless the policy says who shares: everybody what they may do.
                when 'share' then
                    p_policy ->> 'sharers' is null
                    or p_sub = p_object_owner
                    or (p_sub = p_bucket_owner and p_sub <> 'system')
                    or holdfast.named(p_policy -> 'sharers', p_sub, p_roles)
                when 'delete' then
                    p_sub = p_object_owner
                    or (p_sub = p_bucket_owner and p_sub <> 'system')
                    or holdfast.named(p_policy -> 'deleters', p_sub, p_roles)
                when 'admin' then
                    p_sub = p_bucket_owner and p_sub <> 'system'
                else false
            end
        )
    ),
    false);
