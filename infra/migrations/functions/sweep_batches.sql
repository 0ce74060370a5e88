-- Moves cards of deleted batches to the trash, a bounded number a call. Two at once take different batches. Returns how
-- many went.
create or replace function holdfast.sweep_batches(p_limit int4, p_now timestamptz) returns int8
    language plpgsql volatile as
$$
declare
    at        constant timestamptz := coalesce(p_now, clock_timestamp());
    the_batch record;
    card      record;
    trashed   record;
    moved     int8 := 0;
    seen      int8;
begin
    for the_batch in
        select b.id, b.owner
        from holdfast.batch b
        where b.deleted_at is not null
          and b.swept_at is null
        order by b.deleted_at
        limit 10
        for no key update skip locked
    loop
        seen := 0;
        for card in
            -- By their keys, as everybody locks several objects.
            select o.key
            from holdfast.object o
            where o.bucket = 'batches'
              and o.live
              -- '0' is what comes after '/'.
              and o.key > the_batch.id || '/'
              and o.key < the_batch.id || '0'
              and o.owner = the_batch.owner
            order by o.key
            limit p_limit - moved
        loop
            trashed := holdfast.trash('batches', card.key, the_batch.owner, '{}', null, null, '', 'batch.delete', at);
            seen := seen + 1;
            moved := moved + (trashed.outcome = 'ok')::int;
        end loop;
        if seen = 0 then
            -- A card whose upload had begun before may yet come; it is its owner's object like any other.
            update holdfast.batch b set swept_at = at where b.id = the_batch.id;
        end if;
        exit when moved >= p_limit;
    end loop;
    return moved;
end
$$;
