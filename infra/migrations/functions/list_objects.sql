-- A page of a bucket's objects: those that the caller may read. A refusal is one row with its outcome.
--
-- By key, up or down, below a prefix, with what lies behind the next delimiter as one entry (`is_prefix`), or those
-- whose key contains a text; or the newest first. A page costs the same however many objects there are: a folder is
-- jumped over, whatever is in it.
create or replace function holdfast.list_objects(
    p_bucket    text,
    p_prefix    text,      -- '' = all; not with newest
    p_delimiter text,      -- null = what is below folders too; by key only
    p_search    text,      -- or null; by key only, three characters or more
    p_order     text,      -- key, -key, newest
    p_after     text,      -- by key: the last entry of the page before; or null
    p_after_prefix boolean, -- whether that was a prefix
    p_after_us  int8,      -- newest: when the last entry was committed
    p_after_id  uuid,      -- and its version
    p_limit     int4,
    p_sub       text,
    p_roles     text[],
    p_scopes    text[]
) returns table (
    outcome         text,
    rule            text,
    key             text,
    is_prefix       boolean,
    version         uuid,
    size_bytes      int8,
    etag            text,
    content_type    text,
    committed_at_us int8,
    owner           text,
    tags            jsonb,
    user_metadata   jsonb
)
    language plpgsql stable as
$$
#variable_conflict use_column
declare
    -- Behind every key that begins with what stands before it: a key has 1,024 bytes.
    highest constant text := repeat(chr(1114111), 256);
    -- Before every longer key: no key has control characters.
    next_key constant text := chr(1);
    -- A text that many keys contain is found by looking at so many of them.
    look_at constant int4 := 2000;
    down    constant boolean := p_order = '-key';
    the_bucket record;
    of_owner text;      -- null = everybody's
    bound   text;
    it      record;
    names   text[] := '{}';
    ids     int8[] := '{}';   -- 0 = a prefix
    behind  int4;
    common  text;
    chunk   int4;
    got     int4;
    looked  int4 := 0;
    jumped  boolean;
    ended   boolean := false;
begin
    select b.owner, b.policy into the_bucket from holdfast.bucket b where b.name = p_bucket;
    if not found then
        outcome := case when coalesce(p_sub, '') = '' then 'AccessDenied' else 'NoSuchBucket' end; rule := 'bucket';
        return next;
        return;
    end if;
    if not holdfast.may(p_sub, p_roles, p_scopes, 'list', the_bucket.owner, the_bucket.policy, null) then
        outcome := 'AccessDenied'; rule := 'bucket.list';
        return next;
        return;
    end if;
    -- Who may read everybody's, and who only their own.
    if not holdfast.may(p_sub, p_roles, p_scopes, 'read', the_bucket.owner, the_bucket.policy, null) then
        of_owner := p_sub;
    end if;

    if p_order = 'newest' then
        if of_owner is null then
            return query
                select 'ok', null::text, o.key, false, v.id, v.size_bytes, v.etag, v.content_type,
                       (extract(epoch from v.committed_at) * 1000000)::int8, o.owner, o.tags, v.user_metadata
                from holdfast.version v
                     join holdfast.object o on o.id = v.object_id
                where v.bucket = p_bucket
                  and v.state = 'live'
                  and (v.committed_at, v.id)
                      < (coalesce(to_timestamp(p_after_us / 1000000) + (p_after_us % 1000000) * interval '1 microsecond', 'infinity'),
                         coalesce(p_after_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
                order by v.committed_at desc, v.id desc
                limit p_limit;
        else
            return query
                select 'ok', null::text, o.key, false, v.id, v.size_bytes, v.etag, v.content_type,
                       (extract(epoch from v.committed_at) * 1000000)::int8, o.owner, o.tags, v.user_metadata
                from holdfast.version v
                     join holdfast.object o on o.id = v.object_id
                where v.bucket = p_bucket
                  and v.owner = of_owner
                  and v.state = 'live'
                  and (v.committed_at, v.id)
                      < (coalesce(to_timestamp(p_after_us / 1000000) + (p_after_us % 1000000) * interval '1 microsecond', 'infinity'),
                         coalesce(p_after_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
                order by v.committed_at desc, v.id desc
                limit p_limit;
        end if;
        return;
    end if;

    bound := case
        when p_after is null and down then p_prefix || highest
        when p_after is null then p_prefix
        when down then p_after
        when p_after_prefix then p_after || highest
        else p_after || next_key
    end;
    -- A cursor that does not belong to the prefix does not lead out of it.
    bound := case when down then least(bound, p_prefix || highest) else greatest(bound, p_prefix) end;

    chunk := case when p_delimiter is null then p_limit else 8 end;
    while cardinality(names) < p_limit and not ended loop
        if p_search is not null and looked >= look_at then
            for it in
                select s.id, s.key
                from holdfast.search_objects(p_bucket, of_owner, p_search, bound, down, p_limit - cardinality(names)) s
            loop
                exit when not starts_with(it.key, p_prefix);
                names := names || it.key;
                ids := ids || it.id;
            end loop;
            exit;
        end if;
        got := 0;
        jumped := false;
        chunk := case when p_search is null then least(chunk, p_limit - cardinality(names)) else 500 end;
        for it in select n.id, n.key from holdfast.next_objects(p_bucket, of_owner, bound, down, chunk) n loop
            got := got + 1;
            if not starts_with(it.key, p_prefix) then
                ended := true;
                exit;
            end if;
            bound := case when down then it.key else it.key || next_key end;
            if p_search is not null
               and position(lower(p_search collate "C") in lower(it.key collate "C")) = 0 then
                continue;
            end if;
            behind := case
                when p_delimiter is null then 0
                else position(p_delimiter in substr(it.key, char_length(p_prefix) + 1))
            end;
            if behind > 0 then
                common := left(it.key, char_length(p_prefix) + behind - 1 + char_length(p_delimiter));
                names := names || common;
                ids := ids || 0::int8;
                -- Over all that it has.
                bound := case when down then common else common || highest end;
                jumped := true;
                exit;
            end if;
            names := names || it.key;
            ids := ids || it.id;
            exit when cardinality(names) >= p_limit;
        end loop;
        looked := looked + got;
        ended := ended or (got < chunk and not jumped);
        -- Beside a folder there is mostly another one.
        chunk := case when p_search is not null then chunk when jumped then 2 else chunk * 4 end;
    end loop;

    return query
        select 'ok', null::text, n.key, n.id = 0, v.id, v.size_bytes, v.etag, v.content_type,
               (extract(epoch from v.committed_at) * 1000000)::int8, o.owner, o.tags, v.user_metadata
        from unnest(names, ids) with ordinality n (key, id, place)
             left join holdfast.object o on o.id = n.id
             left join holdfast.version v on v.object_id = n.id and v.state = 'live'
        order by n.place;
end
$$;
