-- A principal's sessions that are not at their end, the newest first.
create or replace function holdfast.list_sessions(
    p_sub    text,
    p_bucket text,   -- null = of all
    p_before uuid,   -- the last id of the page before, or null
    p_limit  int4
) returns table (
    version       uuid,
    state         text,
    bucket        text,
    key           text,
    part_size     int8,
    size          int8,
    bytes         int8,
    parts         int4,
    epoch         int4,
    created_at_us int8,
    expires_at_us int8,
    protocol      text
)
    language sql stable as
$$
    select s.version, case when s.completing_at is null then 'open' else 'completing' end, o.bucket, o.key, s.part_size,
           s.size, p.bytes, p.parts, s.epoch,
           (extract(epoch from s.created_at) * 1000000)::int8,
           (extract(epoch from s.expires_at) * 1000000)::int8, s.protocol
    from holdfast.upload_session s
         join holdfast.version v on v.id = s.version
         join holdfast.object o on o.id = v.object_id
         cross join lateral (
             select coalesce(sum(u.size), 0)::int8 as bytes, count(*)::int4 as parts
             from holdfast.upload_part u
             where u.version = s.version) p
    where s.created_by = p_sub
      and v.state = 'pending'
      and s.protocol <> 'form'
      and (s.upload_id is not null or s.protocol = 'tus')
      and (p_bucket is null or o.bucket = p_bucket)
      and (p_before is null or s.version < p_before)
    order by s.version desc
    limit p_limit
$$;
