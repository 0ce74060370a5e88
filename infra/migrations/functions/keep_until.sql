-- Until when a replaced version keeps its bytes: the bucket's retention, never less than 24 hours (the
-- backup window, and no reader is slower), and the longest signed URL of it.
create or replace function holdfast.keep_until(
    p_policy       jsonb,
    p_replaced_at  timestamptz,
    p_pinned_until timestamptz
) returns timestamptz
    language sql stable parallel safe
return greatest(
    p_replaced_at + interval '1 hour' * greatest(coalesce((p_policy ->> 'retentionHours')::int4, 24), 24),
    p_pinned_until);
