-- Records of a batch, all or those of one state, by their names; with what is stored of each. Who may is as for `batch`.
-- A refusal is one row with its outcome.
create or replace function holdfast.list_records(
    p_id     uuid,
    p_state  text,   -- null = all
    p_after  text,   -- the last record of the page before, or null
    p_limit  int4,
    p_only   text,   -- this record and no other, or null
    p_sub    text,
    p_roles  text[],
    p_scopes text[]
) returns table (
    outcome       text,
    rule          text,
    record        text,
    state         text,
    reason        text,
    failures      int4,
    updated_at_us int8,
    version       uuid,
    size          int8,
    etag          text,
    content_type  text
)
    language plpgsql stable as
$$
declare
    seen record;
begin
    seen := holdfast.batch(p_id, p_sub, p_roles, p_scopes);
    if seen.outcome <> 'ok' then
        outcome := seen.outcome; rule := seen.rule;
        return next;
        return;
    end if;
    return query
        select 'ok', null::text, page.record, page.state, page.reason, page.failures,
               (extract(epoch from page.updated_at) * 1000000)::int8, v.id, v.size_bytes, v.etag, v.content_type
        from (
            select r.*
            from holdfast.batch_record r
            where r.batch = p_id
              and (p_state is null or r.state = p_state)
              and (p_after is null or r.record > p_after)
              and (p_only is null or r.record = p_only)
            order by r.record
            limit p_limit) page
             left join holdfast.object o on o.bucket = 'batches' and o.key = p_id || '/' || page.record
             left join holdfast.version v on v.object_id = o.id and v.state = 'live' and page.state = 'complete'
        order by page.record;
end
$$;
