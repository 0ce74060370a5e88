-- The content types that two lists of patterns both allow; null is all.
create or replace function holdfast.types_of_both(p_one text[], p_other text[]) returns text[]
    language sql immutable parallel safe
return case
    when p_one is null then p_other
    when p_other is null then p_one
    else coalesce((
        select array_agg(distinct case when holdfast.type_allowed(one, array[other]) then one else other end)
        from unnest(p_one) one,
             unnest(p_other) other
        where holdfast.type_allowed(one, array[other])
           or holdfast.type_allowed(other, array[one])), '{}')
end;
