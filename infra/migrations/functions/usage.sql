-- What a bucket holds of an owner (null: of everybody), folded or not. One row, of one snapshot.
create or replace function holdfast.usage(
    p_bucket text,
    p_owner  text,
    out live_bytes       int8,
    out live_objects     int8,
    out retained_bytes   int8,
    out retained_objects int8,
    out pending_bytes    int8,
    out pending_objects  int8
)
    language sql stable as
$$
    select coalesce(sum(part.live_bytes), 0)::int8,
           coalesce(sum(part.live_objects), 0)::int8,
           coalesce(sum(part.retained_bytes), 0)::int8,
           coalesce(sum(part.retained_objects), 0)::int8,
           coalesce(sum(part.pending_bytes), 0)::int8,
           coalesce(sum(part.pending_objects), 0)::int8
    from (
        select t.live_bytes, t.live_objects, t.retained_bytes, t.retained_objects, t.pending_bytes, t.pending_objects
        from holdfast.usage_total t
        where t.bucket = p_bucket
          and t.owner = coalesce(p_owner, '')
        union all
        select d.live_bytes, d.live_objects, d.retained_bytes, d.retained_objects, d.pending_bytes, d.pending_objects
        from holdfast.usage_delta d
        where d.bucket = p_bucket
          and (p_owner is null or d.owner = p_owner)
    ) as part
$$;
