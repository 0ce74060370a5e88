-- The next objects of a bucket, or of one owner in it, whose key contains a text of three characters or more, by key: from
-- `p_bound` on, or, downwards, those below it. By the index of trigrams alone: it costs what the matches are, however many objects
-- there are.
create or replace function holdfast.search_objects(
    p_bucket text,
    p_owner  text,      -- null = everybody's
    p_text   text,
    p_bound  text,
    p_down   boolean,
    p_limit  int4
) returns table (id int8, key text)
    language plpgsql stable
    -- To walk the keys in their order and look at each is what `list_objects` has tried before.
    set enable_seqscan = off
    set enable_indexscan = off
    set enable_indexonlyscan = off as
$$
#variable_conflict use_column
begin
    return query
        with found as materialized (
            select o.id, o.bucket, o.key, o.owner
            from holdfast.object o
            where o.live
              and holdfast.trigrams(o.bucket, o.key) @> holdfast.trigrams(p_bucket, p_text)
        )
        select f.id, f.key
        from found f
        -- A trigram is a number that others may have too.
        where f.bucket = p_bucket
          and (p_owner is null or f.owner = p_owner)
          and position(lower(p_text collate "C") in lower(f.key collate "C")) > 0
          and case when p_down then f.key < p_bound else f.key >= p_bound end
        order by case when p_down then f.key end desc, case when not p_down then f.key end
        limit p_limit;
end
$$;
