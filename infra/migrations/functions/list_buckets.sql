-- The buckets that the caller may see (see `get_bucket`), by name. The owner is for whoever may administer it.
create or replace function holdfast.list_buckets(
    p_after  text,   -- the last name of the page before, or null
    p_limit  int4,
    p_sub    text,
    p_roles  text[],
    p_scopes text[]
) returns table (
    name          text,
    administers   boolean,
    state         text,
    owner         text,
    created_at_us int8,
    visibility    text
)
    language sql stable as
$$
    select b.name, its.administers, b.state, case when its.administers then b.owner end,
           (extract(epoch from b.created_at) * 1000000)::int8, b.policy ->> 'visibility'
    from holdfast.bucket b
         cross join lateral (
             select holdfast.may(p_sub, p_roles, p_scopes, 'admin', b.owner, b.policy, null) as administers) its
    where (p_after is null or b.name > p_after)
      and (its.administers
           or holdfast.may(p_sub, p_roles, p_scopes, 'list', b.owner, b.policy, null)
           or holdfast.may(p_sub, p_roles, p_scopes, 'read', b.owner, b.policy, null)
           or holdfast.may(p_sub, p_roles, p_scopes, 'write', b.owner, b.policy, null))
    order by b.name
    limit p_limit
$$;
