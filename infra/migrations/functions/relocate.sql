-- Moves an object to another key of its bucket: its current version and the earlier ones, its tags and its owner. Bytes
-- and version ids stay what they are. What is in the trash or still uploaded stays at the old key. Both objects are locked by
-- the caller, with `lock_objects`, and so is the bucket.
--
-- Outcomes: ok, NoSuchKey (also for what the caller may neither move nor see), AccessDenied, PreconditionFailed. It
-- writes no refusal down: its caller does, last.
create or replace function holdfast.relocate(
    p_bucket     holdfast.bucket,
    p_from       text,
    p_to         text,
    p_version    uuid,      -- the current version has to be this one; null = whichever
    p_if_match   text,      -- or null
    p_overwrite  boolean,
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_ip         text,
    p_request_id text,
    p_at         timestamptz,
    out outcome  text,
    out rule     text,
    out version  uuid,
    out replaced uuid       -- what was current at the new key
)
    language plpgsql volatile as
$$
declare
    source     record;
    target     record;
    the_moved  record;
    the_former record;
begin
    -- A background is put, so that its template tells of it.
    if (holdfast.template_at(p_bucket.name, p_to)).id is not null then
        outcome := 'AccessDenied'; rule := 'template.background';
        return;
    end if;

    -- One that came after the lock is not there yet: to wait for it would be out of order.
    select o.id, o.owner, o.sequence, o.tags
    into source
    from holdfast.object o
    where o.bucket = p_bucket.name and o.key = p_from
    for no key update skip locked;
    select o.id, o.owner, o.sequence
    into target
    from holdfast.object o
    where o.bucket = p_bucket.name and o.key = p_to;
    if source.id is null then
        outcome := 'NoSuchKey'; rule := 'object';
        return;
    end if;

    -- Both, in the order of versions.
    perform
    from holdfast.version v
    where v.object_id in (source.id, target.id)
      and v.state in ('live', 'superseded')
    order by v.id
    for update;
    select v.id, v.etag, v.size_bytes, v.content_type
    into the_moved
    from holdfast.version v
    where v.object_id = source.id and v.state = 'live';
    if the_moved.id is null or the_moved.id is distinct from coalesce(p_version, the_moved.id) then
        outcome := 'NoSuchKey'; rule := 'object';
        return;
    end if;
    if not holdfast.may(p_sub, p_roles, p_scopes, 'delete', p_bucket.owner, p_bucket.policy, source.owner) then
        rule := 'object.delete';
        outcome := case
            when holdfast.may(p_sub, p_roles, p_scopes, 'read', p_bucket.owner, p_bucket.policy, source.owner)
                then 'AccessDenied'
            else 'NoSuchKey'
        end;
        return;
    end if;
    -- It stays its owner's, so the new key has to be theirs or nobody's.
    if not holdfast.may(p_sub, p_roles, p_scopes, 'write', p_bucket.owner, p_bucket.policy, source.owner)
       or target.owner <> source.owner then
        outcome := 'AccessDenied'; rule := 'object.owner';
        return;
    end if;
    if p_if_match is not null and not holdfast.etag_matches(p_if_match, the_moved.etag, p_weak => false) then
        outcome := 'PreconditionFailed'; rule := 'if-match';
        return;
    end if;
    select v.id, v.size_bytes, v.pinned_until
    into the_former
    from holdfast.version v
    where v.object_id = target.id and v.state = 'live';
    if the_former.id is not null and not coalesce(p_overwrite, false) then
        outcome := 'PreconditionFailed'; rule := 'overwrite';
        return;
    end if;

    if the_former.id is not null then
        update holdfast.version v
        set state       = 'superseded',
            replaced_at = p_at,
            due_at      = holdfast.keep_until(p_bucket.policy, p_at, the_former.pinned_until)
        where v.id = the_former.id;
        insert into holdfast.usage_delta
            (bucket, owner, live_bytes, live_objects, retained_bytes, retained_objects)
        values
            (p_bucket.name, source.owner, -the_former.size_bytes, -1, the_former.size_bytes, 1);
    end if;
    update holdfast.version v
    set object_id = target.id
    where v.object_id = source.id
      and v.state in ('live', 'superseded');
    update holdfast.object o
    set owner    = source.owner,
        sequence = o.sequence + 1,
        live     = true,
        tags     = source.tags
    where o.id = target.id;
    update holdfast.object o
    set sequence = o.sequence + 1,
        live     = false,
        tags     = '{}'
    where o.id = source.id;
    -- Nothing is left that could come back, so the name is free.
    delete from holdfast.object o
    where o.id = source.id
      and not exists (select from holdfast.version v where v.object_id = source.id);

    -- One for each of the two, as each has its own sequence.
    insert into holdfast.outbox (kind, occurred_at, bucket, key, object_id, sequence, version, actor, data)
    values
        ('object.left', p_at, p_bucket.name, p_from, source.id, source.sequence + 1, the_moved.id, p_sub,
         jsonb_build_object('to', p_to, 'owner', source.owner)),
        ('object.moved', p_at, p_bucket.name, p_to, target.id, target.sequence + 1, the_moved.id, p_sub,
         jsonb_build_object('from', p_from, 'size', the_moved.size_bytes, 'etag', the_moved.etag,
                            'contentType', the_moved.content_type, 'owner', source.owner, 'replaces', the_former.id));
    insert into holdfast.audit (at, action, actor, bucket, key, version, outcome, rule, ip, request_id)
    values
        (p_at, 'move', p_sub, p_bucket.name, p_from, the_moved.id, 'ok', left('to ' || p_to, 1100), left(p_ip, 64),
         left(p_request_id, 128));
    outcome := 'ok';
    version := the_moved.id;
    replaced := the_former.id;
end
$$;
