-- One batch of the lifecycle: goes on through the keys of one bucket whose policy has rules, moves to the trash what a rule
-- says is too old, as `trash` does, and at the beginning of the bucket lets the uploads in parts end that are too old. `reap`
-- frees those. Safe at any time and by many at once: a bucket that another one is at is passed over, and so is an object
-- that somebody is at, until the next time round.
create or replace function holdfast.expire(
    p_limit int4,
    p_now   timestamptz,
    out bucket  text,   -- null: nothing is due anywhere
    out looked  int8,
    out expired int8,
    out ended   int8    -- uploads
)
    language plpgsql volatile as
$$
declare
    -- From the end of a bucket to its next beginning.
    every      constant interval    := interval '1 hour';
    at         constant timestamptz := coalesce(p_now, clock_timestamp());
    the_bucket record;
    last_key   text;
    chosen     int8[];
    versions   uuid[];
begin
    perform holdfast.durable();
    looked := 0; expired := 0; ended := 0;

    select b.name, b.policy, s.after_key
    into the_bucket
    from holdfast.lifecycle_sweep s
         join holdfast.bucket b on b.name = s.bucket
    where s.due_at <= at
      and b.state = 'active'
    order by s.due_at
    limit 1
    for key share of b skip locked
    for no key update of s skip locked;
    if not found then
        return;
    end if;
    bucket := the_bucket.name;

    if the_bucket.after_key is null then
        with old as (
            select v.id, o.key, v.created_by, due.id as rule
            from holdfast.version v
                 join holdfast.upload_session s on s.version = v.id
                 join holdfast.object o on o.id = v.object_id
                 cross join lateral (
                     select rule ->> 'id' as id
                     from jsonb_array_elements(the_bucket.policy -> 'lifecycle') rule
                     where coalesce((rule ->> 'enabled')::boolean, true)
                       and s.created_at + (rule ->> 'abortIncompleteAfterDays')::int4 * interval '1 day' <= at
                       and starts_with(o.key, coalesce(rule ->> 'prefix', ''))
                     limit 1
                 ) due
            where v.state = 'pending'
              and v.lease_until > at
              and s.completing_at is null
              and o.bucket = the_bucket.name
            limit p_limit
            for update of v skip locked
        ), let_go as (
            update holdfast.version v
            set lease_until = at
            from old
            where v.id = old.id
        ), told as (
            insert into holdfast.audit (at, action, actor, bucket, key, version, outcome, rule)
            select at, 'lifecycle.abort', 'system', the_bucket.name, old.key, old.id, 'ok', old.rule
            from old
        )
        select count(*) into ended from old;
        if ended = p_limit then
            return;
        end if;
    end if;

    select count(*), max(page.key),
           array_agg(page.id) filter (where holdfast.lifecycle_rule(
               the_bucket.policy -> 'lifecycle', page.key, page.tags, v.size_bytes, v.committed_at, at) is not null)
    into looked, last_key, chosen
    from (
        select o.id, o.key, o.tags
        from holdfast.object o
        where o.bucket = the_bucket.name
          and o.live
          and o.key > coalesce(the_bucket.after_key, '')
        order by o.key
        limit p_limit
    ) page
         left join holdfast.version v on v.object_id = page.id and v.state = 'live';

    -- Looked at again under their locks, objects before versions.
    chosen := array(select o.id from holdfast.object o where o.id = any (chosen) for no key update skip locked);
    versions := array(
        select v.id
        from holdfast.version v
             join holdfast.object o on o.id = v.object_id
        where v.object_id = any (chosen)
          and v.state = 'live'
          and holdfast.lifecycle_rule(the_bucket.policy -> 'lifecycle', o.key, o.tags, v.size_bytes, v.committed_at, at)
              is not null
        for update of v skip locked);
    with trashed as (
        update holdfast.version v
        set state       = 'trashed',
            replaced_at = at,
            due_at      = holdfast.keep_until(the_bucket.policy, at, v.pinned_until, 'trashed'),
            deleted_by  = 'system'
        where v.id = any (versions)
        returning v.id, v.object_id, v.owner, v.size_bytes, v.etag, v.due_at, v.committed_at
    ), numbered as (
        update holdfast.object o
        set sequence = o.sequence + 1,
            live     = false
        from trashed
        where o.id = trashed.object_id
        returning o.id, o.key, o.tags, o.sequence
    ), moved as (
        insert into holdfast.usage_delta (bucket, owner, live_bytes, live_objects, retained_bytes, retained_objects)
        select the_bucket.name, trashed.owner, -sum(trashed.size_bytes), -count(*), sum(trashed.size_bytes), count(*)
        from trashed
        group by trashed.owner
    ), told as (
        insert into holdfast.outbox (kind, occurred_at, bucket, key, object_id, sequence, version, actor, data)
        select 'object.deleted', at, the_bucket.name, numbered.key, numbered.id, numbered.sequence, trashed.id, 'system',
               jsonb_build_object('size', trashed.size_bytes, 'etag', trashed.etag, 'owner', trashed.owner,
                                  'purgeAfter', trashed.due_at)
        from trashed
             join numbered on numbered.id = trashed.object_id
    )
    insert into holdfast.audit (at, action, actor, bucket, key, version, outcome, rule)
    select at, 'delete', 'system', the_bucket.name, numbered.key, trashed.id, 'ok',
           holdfast.lifecycle_rule(the_bucket.policy -> 'lifecycle', numbered.key, numbered.tags, trashed.size_bytes,
                                   trashed.committed_at, at)
    from trashed
         join numbered on numbered.id = trashed.object_id;
    get diagnostics expired = row_count;

    update holdfast.lifecycle_sweep s
    set after_key = case when looked = p_limit then last_key end,
        due_at    = case when looked = p_limit then at else at + every end
    where s.bucket = the_bucket.name;
end
$$;
