-- What an archive takes: of the caller's files below a prefix those that may be read, by their keys; or the files that are
-- named, each with what becomes of it. One row more than `p_limit` tells that there are more. A refusal of all is one
-- row without a key.
--
-- Outcomes of a file: ok, NoSuchKey (also for what may not be read). Of all: NoSuchBucket, AccessDenied.
create or replace function holdfast.archive(
    p_bucket     text,
    p_prefix     text,     -- or null
    p_keys       text[],   -- or null; no key twice
    p_after      text,     -- the last key of the archive before, or null
    p_limit      int4,
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_ip         text,
    p_request_id text,
    p_now        timestamptz
) returns table (
    outcome         text,
    rule            text,
    key             text,
    s3_key          text,
    size            int8,
    committed_at_us int8
)
    language plpgsql volatile as
$$
#variable_conflict use_column
declare
    at           constant timestamptz := coalesce(p_now, clock_timestamp());
    -- What sorts behind every key with the prefix: there is no later letter, nor a longer key.
    behind       constant text        := p_prefix || repeat(chr(1114111), 257);
    the_bucket   holdfast.bucket;
    reads_all    boolean;
begin
    select b.* into the_bucket from holdfast.bucket b where b.name = p_bucket;
    if not found then
        outcome := 'NoSuchBucket'; rule := 'bucket';
    -- Somebody's own file is what the least may read.
    elsif not holdfast.may(p_sub, p_roles, p_scopes, 'read', the_bucket.owner, the_bucket.policy, p_sub) then
        outcome := 'AccessDenied'; rule := 'bucket.read';
    end if;
    if outcome is not null then
        perform holdfast.refuse(at, 'archive', coalesce(p_sub, ''), coalesce(the_bucket.name, ''), null, null, outcome, rule,
                                p_ip, p_request_id);
        return next;
        return;
    end if;
    reads_all := holdfast.may(p_sub, p_roles, p_scopes, 'read', the_bucket.owner, the_bucket.policy, null);
    insert into holdfast.audit (at, action, actor, bucket, key, outcome, ip, request_id)
    values
        (at, 'archive', coalesce(p_sub, ''), p_bucket, left(coalesce(p_prefix, p_keys[1]), 1024), 'ok', left(p_ip, 64),
         left(p_request_id, 128));

    if p_keys is not null then
        return query
            select case when v.id is null then 'NoSuchKey' else 'ok' end, null::text, asked.key, v.s3_key, v.size_bytes,
                   (extract(epoch from v.committed_at) * 1000000)::int8
            from unnest(p_keys) with ordinality as asked (key, place)
                 left join holdfast.object o
                           on o.bucket = p_bucket
                               and o.key = asked.key
                               and (reads_all or o.owner = p_sub)
                 left join holdfast.version v on v.object_id = o.id and v.state = 'live'
            order by asked.place;
        return;
    end if;
    -- Each of the two has an index in its order.
    if reads_all then
        return query
            select 'ok', null::text, o.key, v.s3_key, v.size_bytes, (extract(epoch from v.committed_at) * 1000000)::int8
            from holdfast.object o
                 join holdfast.version v on v.object_id = o.id and v.state = 'live'
            where o.bucket = p_bucket
              and o.live
              and o.key >= p_prefix
              and o.key < behind
              and o.key > coalesce(p_after, '')
            order by o.key
            limit p_limit + 1;
        return;
    end if;
    return query
        select 'ok', null::text, o.key, v.s3_key, v.size_bytes, (extract(epoch from v.committed_at) * 1000000)::int8
        from holdfast.object o
             join holdfast.version v on v.object_id = o.id and v.state = 'live'
        where o.bucket = p_bucket
          and o.owner = p_sub
          and o.live
          and o.key >= p_prefix
          and o.key < behind
          and o.key > coalesce(p_after, '')
        order by o.key
        limit p_limit + 1;
end
$$;
