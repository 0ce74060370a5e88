-- Deletes many objects of a bucket in one step, each for itself: a row for each key, by its place in the array. One
-- that is refused leaves the others as they are.
--
-- Outcomes: those of `trash`, or of `erase` where `p_permanent`.
create or replace function holdfast.delete_objects(
    p_bucket     text,
    p_keys       text[],
    p_permanent  boolean,
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_ip         text,
    p_request_id text,
    p_now        timestamptz
) returns table (
    place          int4,   -- from 0
    outcome        text,
    rule           text,
    version        uuid,
    deleted_at_us  int8,
    purge_after_us int8
)
    language plpgsql volatile as
$$
#variable_conflict use_column
declare
    at      constant timestamptz := coalesce(p_now, clock_timestamp());
    known   text[];
    asked   record;
    answer  record;
    missing int8 := 0;
    last    text;
begin
    perform holdfast.durable();
    -- All of them before the first refusal is written down: two batches never wait for each other.
    perform from holdfast.bucket b where b.name = p_bucket for key share;
    if found then
        perform holdfast.lock_objects(p_bucket, p_keys, '{}', at);
        -- Without one that came after the lock: to wait for it would be out of order.
        known := array(
            select o.key
            from holdfast.object o
            where o.bucket = p_bucket and o.key = any (p_keys)
            for no key update skip locked);
    end if;

    for asked in
        select k.key, (k.number - 1)::int4 as place
        from unnest(p_keys) with ordinality k (key, number)
        order by k.key collate "C", k.number
    loop
        place := asked.place;
        if known is null or coalesce(p_sub, '') = '' or asked.key = any (known) then
            if p_permanent then
                select e.outcome, e.rule, e.version, e.deleted_at_us, e.purge_after_us
                into answer
                from holdfast.erase(p_bucket, asked.key, null, p_sub, p_roles, p_scopes, null, p_ip, p_request_id, at) e;
            else
                select t.outcome, t.rule, t.version, t.deleted_at_us, t.purge_after_us
                into answer
                from holdfast.trash(p_bucket, asked.key, p_sub, p_roles, p_scopes, null, p_ip, p_request_id, at) t;
            end if;
            outcome := answer.outcome; rule := answer.rule; version := answer.version;
            deleted_at_us := answer.deleted_at_us; purge_after_us := answer.purge_after_us;
        else
            outcome := 'NoSuchKey'; rule := null; version := null; deleted_at_us := null; purge_after_us := null;
            missing := missing + 1;
            last := asked.key;
        end if;
        return next;
    end loop;
    if missing > 0 then
        perform holdfast.refuse(at, case when p_permanent then 'erase' else 'delete' end, p_sub, p_bucket, last, null,
                                'NoSuchKey', 'object', p_ip, p_request_id, missing);
    end if;
end
$$;
