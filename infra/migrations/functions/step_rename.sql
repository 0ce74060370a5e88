-- Goes on with the renaming of a folder, for at most `p_limit` objects, or says how far it is (`p_limit` 0). Each object
-- moves as `relocate` has it, in the right of whoever asks, who is the job's creator or an admin. What cannot be moved
-- stays, is counted and, of the first ones, named. With `p_undo` it turns round: what the job moved, and what nobody
-- replaced since, moves back.
--
-- Outcomes: ok, NoSuchRename (unknown, or not theirs), BucketNotActive.
create or replace function holdfast.step_rename(
    p_id         uuid,
    p_bucket     text,
    p_undo       boolean,
    p_limit      int4,
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    out outcome text,
    out rule    text,
    out job     jsonb
)
    language plpgsql volatile as
$$
declare
    -- So many of what failed are named.
    named      constant int4        := 20;
    -- The client's time to go on; then the worker does.
    claim      constant interval    := interval '1 minute';
    at         constant timestamptz := coalesce(p_now, clock_timestamp());
    the        holdfast.rename_job;
    the_bucket holdfast.bucket;
    of_owner   text;
    froms      text[] := '{}';
    tos        text[] := '{}';
    versions   uuid[] := '{}';
    made       int8[];
    place      int4;
    answer     record;
    denied     int8 := 0;
    last       record;
    first      text;
    is_last    boolean := false;
begin
    perform holdfast.durable();

    -- The job before the bucket and all objects, and one step of it at a time.
    select j.* into the from holdfast.rename_job j where j.id = p_id and j.bucket = p_bucket for update;
    if not found
       or coalesce(p_sub, '') = ''
       or (the.created_by <> p_sub and not 'admin' = any (coalesce(p_roles, '{}'))) then
        outcome := 'NoSuchRename'; rule := 'rename';
        return;
    end if;
    select b.* into the_bucket from holdfast.bucket b where b.name = the.bucket for key share;
    if p_limit > 0 and the_bucket.state <> 'active' then
        outcome := 'BucketNotActive'; rule := 'bucket.state';
        return;
    end if;
    outcome := 'ok';

    if p_undo and p_limit > 0 and the.state in ('running', 'done') then
        the.state := 'undoing';
        the.ended_at := null;
        the.failed := 0;
        the.failures := '[]';
        insert into holdfast.audit (at, action, actor, bucket, key, outcome, rule, ip, request_id)
        values
            (at, 'rename.undo', p_sub, the.bucket, the.from_prefix, 'ok', left('from ' || the.to_prefix, 1100),
             left(p_ip, 64), left(p_request_id, 128));
    end if;

    if p_limit > 0 and the.state = 'running' then
        if not holdfast.may(p_sub, p_roles, p_scopes, 'delete', the_bucket.owner, the_bucket.policy, null) then
            of_owner := p_sub;
        end if;
        first := coalesce(the.looked_at || chr(1), the.from_prefix);
        select coalesce(array_agg(n.key order by n.key), '{}')
        into froms
        from holdfast.next_objects(the.bucket, of_owner, first, false, p_limit) n
        where starts_with(n.key, the.from_prefix);
        the.looked_at := coalesce(froms[cardinality(froms)], the.looked_at);
        is_last := cardinality(froms) < p_limit;
        -- What this job moved here itself, where one prefix begins with the other, has moved.
        froms := array(
            select k.key
            from unnest(froms) k (key)
                 join holdfast.object o on o.bucket = the.bucket and o.key = k.key
                 join holdfast.version v on v.object_id = o.id and v.state = 'live'
            where not exists (select from holdfast.rename_item i where i.job = the.id and i.version = v.id)
            order by k.key);
        tos := array(
            select the.to_prefix || substr(k.key, char_length(the.from_prefix) + 1)
            from unnest(froms) with ordinality k (key, place)
            order by k.place);
    elsif p_limit > 0 and the.state = 'undoing' then
        select coalesce(array_agg(i.to_key order by i.number desc), '{}'),
               coalesce(array_agg(i.from_key order by i.number desc), '{}'),
               coalesce(array_agg(i.version order by i.number desc), '{}')
        into froms, tos, versions
        from (select i.* from holdfast.rename_item i where i.job = the.id order by i.number desc limit p_limit) i;
        is_last := cardinality(froms) < p_limit;
    end if;

    if cardinality(froms) > 0 then
        -- All of them first: in the order of keys, and no refusal is written down before.
        made := holdfast.lock_objects(
            the.bucket, froms,
            array(select t.key from unnest(tos) t (key)
                  where octet_length(t.key) between 1 and 1024 and t.key !~ '(^|/)\.\.?(/|$)'), at);
        for place in 1 .. cardinality(froms) loop
            if octet_length(tos[place]) between 1 and 1024 and tos[place] !~ '(^|/)\.\.?(/|$)' and tos[place] <> froms[place] then
                answer := holdfast.relocate(the_bucket, froms[place], tos[place], versions[place], null,
                                            the.overwrite and the.state = 'running', p_sub, p_roles, p_scopes, p_ip,
                                            p_request_id, at);
            else
                select 'KeyTooLongError' as outcome, 'limits.maxKeyBytes' as rule, null::uuid as version, null::uuid as replaced
                into answer;
            end if;
            if the.state = 'undoing' then
                delete from holdfast.rename_item i where i.job = the.id and i.version = versions[place];
            end if;
            if answer.outcome = 'ok' then
                the.moved := the.moved + case when the.state = 'running' then 1 else -1 end;
                if the.state = 'running' then
                    insert into holdfast.rename_item (job, version, number, from_key, to_key)
                    values (the.id, answer.version, the.moved, froms[place], tos[place]);
                end if;
            else
                the.failed := the.failed + 1;
                if the.state = 'undoing' then
                    the.moved := the.moved - 1;
                end if;
                if jsonb_array_length(the.failures) < named then
                    the.failures := the.failures || jsonb_build_object('key', froms[place], 'code', answer.outcome, 'rule', answer.rule);
                end if;
                denied := denied + 1;
                last := answer;
                first := froms[place];
            end if;
        end loop;
        delete from holdfast.object o
        where o.id = any (made)
          and not exists (select from holdfast.version v where v.object_id = o.id);
    end if;

    if is_last then
        the.state := case the.state when 'running' then 'done' else 'undone' end;
        the.ended_at := at;
    end if;
    -- Who only looks is not waited for.
    update holdfast.rename_job j
    set state     = the.state,
        due_at    = case when the.ended_at is null then at + claim end,
        looked_at = the.looked_at,
        moved     = the.moved,
        failed    = the.failed,
        failures  = the.failures,
        ended_at  = the.ended_at
    where j.id = the.id
      and p_limit > 0;
    job := jsonb_build_object(
        'id', the.id, 'bucket', the.bucket, 'from', the.from_prefix, 'to', the.to_prefix, 'state', the.state,
        'total', the.total, 'moved', the.moved, 'failed', the.failed, 'failures', the.failures,
        'createdBy', the.created_by,
        'createdAtUs', (extract(epoch from the.created_at) * 1000000)::int8,
        'endedAtUs', (extract(epoch from the.ended_at) * 1000000)::int8);
    if denied > 0 then
        perform holdfast.refuse(at, 'move', p_sub, the.bucket, first, null, last.outcome, last.rule, p_ip, p_request_id,
                                denied);
    end if;
end
$$;
