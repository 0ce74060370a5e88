-- Whether another version than `p_version` still needs the blob. Versions on their way out do not
-- count: deleting a blob twice is harmless, waiting for each other would keep it for ever.
create or replace function holdfast.blob_in_use(p_version uuid, p_bucket text, p_s3_key text) returns boolean
    language sql stable as
$$
    select exists (
        select
        from holdfast.version v
             join holdfast.object o on o.id = v.object_id
        where v.s3_key = p_s3_key
          and o.bucket = p_bucket
          and v.id <> p_version
          and v.state not in ('purging', 'purged', 'aborting', 'aborted'))
$$;
