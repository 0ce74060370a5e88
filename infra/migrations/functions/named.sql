-- Whether a member of a policy (`readers`, `writers`, ...) names this principal besides the owners: 'authenticated' is whoever
-- has a name, an object lists roles and users. 'owner', and a member that is not there, name nobody.
create or replace function holdfast.named(p_who jsonb, p_sub text, p_roles text[]) returns boolean
    language sql immutable parallel safe
return case jsonb_typeof(p_who)
    when 'string' then p_who = '"authenticated"' and p_sub <> ''
    when 'object' then p_sub <> '' and (
        coalesce(p_who -> 'users' ? p_sub, false)
        or coalesce(p_who -> 'roles' ?| coalesce(p_roles, '{}'), false))
    else false
end;
