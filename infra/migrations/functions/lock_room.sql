-- Takes the lock under which `room` counts what `p_owner` has left in `p_bucket`, until the end of the transaction. Who
-- begins more than one write in a transaction takes all of them first, in the order of bucket and owner.
create or replace function holdfast.lock_room(p_bucket text, p_owner text, p_policy jsonb) returns void
    language plpgsql volatile as
$$
begin
    -- One lock a bucket does for all quotas: a bucket with a quota writes one at a time anyway, and
    -- owners of a bucket without one do not wait for each other.
    if p_policy ->> 'quotaBytes' is not null or p_policy ->> 'quotaObjects' is not null then
        perform pg_advisory_xact_lock(hashtextextended('holdfast.quota/' || p_bucket, 0));
    elsif p_policy ->> 'ownerQuotaBytes' is not null then
        perform pg_advisory_xact_lock(hashtextextended('holdfast.quota/' || p_bucket || '/' || p_owner, 0));
    end if;
end
$$;
