-- How many bytes more the quotas leave to `p_owner` in `p_bucket`, and which of them is the narrower; and how many objects
-- more the bucket takes. Null: no such quota applies; where none does, nothing was locked.
--
-- Objects are those that are current, and the writes under way, each of which may make one. What is retained or in the trash
-- is none. A write over a current object takes no room, and asks for none.
--
-- Where one applies, the lock lasts until the end of the transaction, so that what the caller then
-- charges is seen by the next one who asks: exact, at the price of one write at a time. Only growth has
-- to ask; what shrinks or moves between the parts does not.
create or replace function holdfast.room(
    p_bucket    text,
    p_owner     text,
    p_policy    jsonb,
    out bytes   int8,
    out rule    text,   -- of the bytes; that of the objects is policy.quotaObjects
    out objects int8
)
    language plpgsql volatile as
$$
declare
    -- Above this many deltas the sum under the lock gets slow: fold them here.
    backlog constant int8 := 1000;
    quota   int8;
    used    record;
    deltas  int8;
begin
    if coalesce(p_policy ->> 'quotaBytes', p_policy ->> 'ownerQuotaBytes', p_policy ->> 'quotaObjects') is null then
        return;
    end if;

    perform holdfast.lock_room(p_bucket, p_owner, p_policy);

    if p_policy ->> 'quotaBytes' is not null or p_policy ->> 'quotaObjects' is not null then
        select count(*) into deltas from holdfast.usage_delta d where d.bucket = p_bucket;
        if deltas > backlog then
            perform holdfast.fold(deltas::int4, p_bucket);
        end if;
        select u.live_bytes + u.retained_bytes + u.pending_bytes as bytes, u.live_objects + u.pending_objects as objects
        into used
        from holdfast.usage(p_bucket, null) u;
        -- `greatest` passes over a null, which is no limit.
        if p_policy ->> 'quotaObjects' is not null then
            objects := greatest((p_policy ->> 'quotaObjects')::int8 - used.objects, 0);
        end if;
        quota := (p_policy ->> 'quotaBytes')::int8;
        if quota is not null then
            bytes := greatest(quota - used.bytes, 0);
            rule := 'policy.quotaBytes';
        end if;
    end if;

    if p_policy ->> 'ownerQuotaBytes' is not null then
        quota := (p_policy ->> 'ownerQuotaBytes')::int8;
        select u.live_bytes + u.retained_bytes + u.pending_bytes as bytes into used from holdfast.usage(p_bucket, p_owner) u;
        if bytes is null or greatest(quota - used.bytes, 0) < bytes then
            bytes := greatest(quota - used.bytes, 0);
            rule := 'policy.ownerQuotaBytes';
        end if;
    end if;
end
$$;
