-- The blobs of these aborting versions were deleted. The first time schedules a second deletion, because a
-- PUT that was under way may land after the first; the second time ends the version. Returns how many moved.
create or replace function holdfast.reaped(p_versions uuid[], p_now timestamptz) returns int8
    language plpgsql volatile as
$$
declare
    -- Longer than a PUT goes on after its caller is gone.
    late_put constant interval    := interval '10 minutes';
    at       constant timestamptz := coalesce(p_now, clock_timestamp());
    moved    int8;
begin
    -- In one order, or two workers with the same rows could wait for each other.
    perform from holdfast.version v where v.id = any (p_versions) order by v.id for update;
    update holdfast.version v
    set state      = case when v.deleted_at is null then 'aborting' else 'aborted' end,
        deleted_at = coalesce(v.deleted_at, at),
        due_at     = case when v.deleted_at is null then at + late_put end,
        ended_at   = case when v.deleted_at is not null then at end
    where v.id = any (p_versions)
      and v.state = 'aborting'
      and (v.deleted_at is null or v.deleted_at <= at - late_put);
    get diagnostics moved = row_count;
    return moved;
end
$$;
