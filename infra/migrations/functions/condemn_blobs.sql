-- The second look before blobs without a row are deleted, under a snapshot of its own: returns those of the S3 keys
-- that still no version needs, each with its audit row. Whoever calls it deletes exactly these.
create or replace function holdfast.condemn_blobs(p_bucket text, p_s3_keys text[], p_now timestamptz)
    returns setof text
    language plpgsql volatile as
$$
declare
    at        constant timestamptz := coalesce(p_now, clock_timestamp());
    condemned text[];
begin
    perform holdfast.durable();

    condemned := array(select holdfast.blobs_without_row(p_bucket, p_s3_keys));
    insert into holdfast.audit (at, action, actor, bucket, key, outcome, rule)
    select at, 'reconcile', 'worker', p_bucket, blob.s3_key, 'blob-without-row', 'deleted'
    from unnest(condemned) as blob (s3_key);
    return query select unnest(condemned);
end
$$;
