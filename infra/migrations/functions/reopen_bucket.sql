-- The store holds what we do not know of: a closed bucket takes files again (deleting -> active). False where it was
-- dropped or brought back before.
create or replace function holdfast.reopen_bucket(
    p_bucket     text,
    p_sub        text,
    p_ip         text,
    p_request_id text,
    p_now        timestamptz
) returns boolean
    language plpgsql volatile as
$$
declare
    at constant timestamptz := coalesce(p_now, clock_timestamp());
begin
    perform holdfast.durable();

    update holdfast.bucket b
    set state  = 'active',
        due_at = null
    where b.name = p_bucket
      and b.state = 'deleting';
    if not found then
        return false;
    end if;
    perform holdfast.refuse(at, 'bucket.delete', p_sub, p_bucket, null, null, 'BucketNotEmpty', 'store', p_ip, p_request_id);
    return true;
end
$$;
