-- The batches of an owner, the newest first: the caller's own; somebody else's for who administers the bucket `batches`.
-- A refusal is one row with its outcome.
create or replace function holdfast.list_batches(
    p_owner  text,   -- null = the caller
    p_before uuid,   -- the last id of the page before, or null
    p_limit  int4,
    p_sub    text,
    p_roles  text[],
    p_scopes text[]
) returns table (
    outcome       text,
    id            uuid,
    owner         text,
    name          text,
    template_id   uuid,
    expected      int8,
    created_at_us int8,
    ended_at_us   int8,
    rendering     int8,
    complete      int8,
    failed        int8,
    status        text
)
    language plpgsql stable as
$$
declare
    whose      constant text := coalesce(p_owner, p_sub);
    the_bucket holdfast.bucket;
begin
    select b.* into the_bucket from holdfast.bucket b where b.name = 'batches';
    if coalesce(p_sub, '') = ''
       or not holdfast.may(p_sub, p_roles, p_scopes, case when whose = p_sub then 'read' else 'admin' end,
                           the_bucket.owner, the_bucket.policy, p_sub) then
        outcome := 'AccessDenied';
        return next;
        return;
    end if;
    return query
        select 'ok', page.id, page.owner, page.name, page.template_id, page.expected,
               (extract(epoch from page.created_at) * 1000000)::int8, (extract(epoch from page.ended_at) * 1000000)::int8,
               counts.rendering, counts.complete, counts.failed, counts.status
        from (
            select b.*
            from holdfast.batch b
            where b.owner = whose
              and b.deleted_at is null
              and (p_before is null or b.id < p_before)
            order by b.id desc
            limit p_limit) page
             cross join lateral holdfast.batch_counts(page) counts
        order by page.id desc;
end
$$;
