-- Brings a record of a batch in line with its card: complete while the object is there, pending again once it is not.
-- Called where an object of the bucket `batches` changed, and safe to repeat.
create or replace function holdfast.count_record(p_key text) returns void
    language plpgsql volatile as
$$
declare
    in_batch  constant text := '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/[^/]+$';
    at        constant timestamptz := clock_timestamp();
    the_batch record;
    the_name  text;
    was       text;
    is_there  boolean;
    is_new    boolean;
begin
    if p_key !~ in_batch or octet_length(p_key) > 37 + 512 then
        return;
    end if;
    select b.id, b.owner
    into the_batch
    from holdfast.batch b
    where b.id = left(p_key, 36)::uuid
      and b.deleted_at is null;
    if not found then
        return;
    end if;
    the_name := substr(p_key, 38);

    -- The record before its object is read: of two who come here the later one sees what the earlier one saw, or more.
    insert into holdfast.batch_record (batch, record, state, updated_at)
    values (the_batch.id, the_name, 'pending', at)
    on conflict do nothing;
    is_new := found;
    select r.state into was
    from holdfast.batch_record r
    where r.batch = the_batch.id
      and r.record = the_name
    for no key update;

    is_there := exists (
        select
        from holdfast.object o
             join holdfast.version v on v.object_id = o.id and v.state = 'live'
        where o.bucket = 'batches'
          and o.key = p_key
          and o.owner = the_batch.owner);
    if is_there then
        update holdfast.batch_record r
        set state = 'complete', reason = null, updated_at = at
        where r.batch = the_batch.id
          and r.record = the_name;
        if was <> 'complete' then
            insert into holdfast.batch_delta (batch, rendering, complete, failed)
            values (the_batch.id, -(was = 'rendering')::int, 1, -(was = 'failed')::int);
        end if;
    elsif was = 'complete' then
        update holdfast.batch_record r
        set state = 'pending', updated_at = at
        where r.batch = the_batch.id
          and r.record = the_name;
        insert into holdfast.batch_delta (batch, complete) values (the_batch.id, -1);
    elsif is_new then
        -- Somebody else's object, or one that is gone already.
        delete from holdfast.batch_record r
        where r.batch = the_batch.id
          and r.record = the_name;
    end if;
end
$$;
