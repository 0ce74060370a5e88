-- The buckets that say themselves which origins may read their answers, and which those are.
create or replace function holdfast.cors_origins() returns table (bucket text, origins text[])
    language sql stable as
$$
    select b.name, array(select jsonb_array_elements_text(b.policy -> 'corsOrigins'))
    from holdfast.bucket b
    where jsonb_typeof(b.policy -> 'corsOrigins') = 'array'
$$;
