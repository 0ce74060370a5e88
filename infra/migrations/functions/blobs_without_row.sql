-- Which of these S3 keys no version needs, as far as this snapshot knows. A version on its way out still has a
-- worker that deletes its blob; one that ended has none any more, so what is still there is left over. In a bucket
-- that is not in the database nothing is left over: whose it is nobody here can know.
create or replace function holdfast.blobs_without_row(p_bucket text, p_s3_keys text[]) returns setof text
    language sql stable as
$$
    select found.s3_key
    from unnest(p_s3_keys) as found (s3_key)
    where exists (select from holdfast.bucket b where b.name = p_bucket)
      and not exists (
          select
          from holdfast.version v
               join holdfast.object o on o.id = v.object_id
          where v.s3_key = found.s3_key
            and o.bucket = p_bucket
            and v.state not in ('purged', 'aborted'))
      -- Nor is it the end of a stream that goes on.
      and not exists (
          select
          from holdfast.upload_part p
               join holdfast.version v on v.id = p.version
               join holdfast.object o on o.id = v.object_id
          where p.s3_key = found.s3_key
            and o.bucket = p_bucket
            and v.state in ('pending', 'aborting'))
$$;
