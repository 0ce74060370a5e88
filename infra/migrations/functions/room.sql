-- How many bytes more the quotas leave to `p_owner` in `p_bucket`, and which of them is the narrower.
-- Null bytes: no quota applies, and nothing was locked.
--
-- Where one applies, the lock lasts until the end of the transaction, so that what the caller then
-- charges is seen by the next one who asks: exact, at the price of one write at a time. Only growth has
-- to ask; what shrinks or moves between the parts does not.
create or replace function holdfast.room(
    p_bucket  text,
    p_owner   text,
    p_policy  jsonb,
    out bytes int8,
    out rule  text
)
    language plpgsql volatile as
$$
declare
    -- Above this many deltas the sum under the lock gets slow: fold them here.
    backlog constant int8 := 1000;
    quota   int8;
    used    int8;
    deltas  int8;
begin
    if p_policy ->> 'quotaBytes' is null and p_policy ->> 'ownerQuotaBytes' is null then
        return;
    end if;

    perform holdfast.lock_room(p_bucket, p_owner, p_policy);

    if p_policy ->> 'quotaBytes' is not null then
        select count(*) into deltas from holdfast.usage_delta d where d.bucket = p_bucket;
        if deltas > backlog then
            perform holdfast.fold(deltas::int4, p_bucket);
        end if;
        quota := (p_policy ->> 'quotaBytes')::int8;
        select u.live_bytes + u.retained_bytes + u.pending_bytes into used from holdfast.usage(p_bucket, null) u;
        bytes := greatest(quota - used, 0);
        rule := 'policy.quotaBytes';
    end if;

    if p_policy ->> 'ownerQuotaBytes' is not null then
        quota := (p_policy ->> 'ownerQuotaBytes')::int8;
        select u.live_bytes + u.retained_bytes + u.pending_bytes into used from holdfast.usage(p_bucket, p_owner) u;
        if bytes is null or greatest(quota - used, 0) < bytes then
            bytes := greatest(quota - used, 0);
            rule := 'policy.ownerQuotaBytes';
        end if;
    end if;
end
$$;
