-- The versions whose bytes have to be there and lie below a prefix of S3 keys that ends with a slash, in the order
-- of `s3_key` and `version`, a page at a time: those behind the last one of the page before.
create or replace function holdfast.rows_with_blob(
    p_bucket        text,
    p_prefix        text,
    p_after_s3_key  text,   -- null = from the start
    p_after_version uuid,
    p_limit         int4
)
    returns table (version uuid, s3_key text, key text, state text, size_bytes int8)
    language sql stable as
$$
    select v.id, v.s3_key, o.key, v.state, v.size_bytes
    from holdfast.version v
         join holdfast.object o on o.id = v.object_id
    where v.s3_key collate "C" >= coalesce(p_after_s3_key, p_prefix) collate "C"
      -- The byte behind a slash.
      and v.s3_key collate "C" < (left(p_prefix, -1) || '0') collate "C"
      and (p_after_s3_key is null or (v.s3_key collate "C", v.id) > (p_after_s3_key collate "C", p_after_version))
      and o.bucket = p_bucket
      and v.state in ('live', 'superseded', 'trashed')
    order by v.s3_key collate "C", v.id
    limit p_limit
$$;
