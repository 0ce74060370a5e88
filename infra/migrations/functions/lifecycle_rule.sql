-- The first rule of a policy's lifecycle by which an object expires at `p_now`, by its id; null = none.
create or replace function holdfast.lifecycle_rule(
    p_rules        jsonb,
    p_key          text,
    p_tags         jsonb,
    p_size         int8,
    p_committed_at timestamptz,
    p_now          timestamptz
) returns text
    language sql stable parallel safe as
$$
    select rule ->> 'id'
    from jsonb_array_elements(p_rules) with ordinality as listed (rule, place)
    where coalesce((rule ->> 'enabled')::boolean, true)
      -- Without a number of days nothing is old enough.
      and p_committed_at + (rule ->> 'expireAfterDays')::int4 * interval '1 day' <= p_now
      and starts_with(p_key, coalesce(rule ->> 'prefix', ''))
      and (rule -> 'tag' is null or p_tags ->> (rule #>> '{tag,key}') = rule #>> '{tag,value}')
      and p_size >= coalesce((rule ->> 'minBytes')::int8, 0)
      and p_size <= coalesce((rule ->> 'maxBytes')::int8, p_size)
    order by place
    limit 1
$$;
