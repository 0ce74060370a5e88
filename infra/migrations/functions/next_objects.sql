-- The next objects of a bucket, or of one owner in it, by key: from `p_bound` on, or, downwards, those below it. Each of
-- the four has an index in its order, so that a page costs the same wherever it is.
create or replace function holdfast.next_objects(
    p_bucket text,
    p_owner  text,      -- null = everybody's
    p_bound  text,
    p_down   boolean,
    p_limit  int4
) returns table (id int8, key text)
    language plpgsql stable rows 100 as
$$
#variable_conflict use_column
begin
    if p_owner is null and not p_down then
        return query
            select o.id, o.key
            from holdfast.object o
            where o.bucket = p_bucket and o.live and o.key >= p_bound
            order by o.key
            limit p_limit;
    elsif p_owner is null then
        return query
            select o.id, o.key
            from holdfast.object o
            where o.bucket = p_bucket and o.live and o.key < p_bound
            order by o.key desc
            limit p_limit;
    elsif not p_down then
        return query
            select o.id, o.key
            from holdfast.object o
            where o.bucket = p_bucket and o.owner = p_owner and o.live and o.key >= p_bound
            order by o.key
            limit p_limit;
    else
        return query
            select o.id, o.key
            from holdfast.object o
            where o.bucket = p_bucket and o.owner = p_owner and o.live and o.key < p_bound
            order by o.key desc
            limit p_limit;
    end if;
end
$$;
