-- Until when a version that is not current any more keeps its bytes: the bucket's retention, or in the trash what it says of
-- that, never less than 24 hours (the backup window, and no reader is slower), and the longest signed URL of it.
create or replace function holdfast.keep_until(
    p_policy       jsonb,
    p_replaced_at  timestamptz,
    p_pinned_until timestamptz,
    p_state        text default 'superseded'   -- or trashed
) returns timestamptz
    language sql stable parallel safe
return greatest(
    p_replaced_at + interval '1 hour' * greatest(
        coalesce(
            case when p_state = 'trashed' then (p_policy ->> 'trashHours')::int4 end,
            (p_policy ->> 'retentionHours')::int4,
            24),
        24),
    p_pinned_until);
