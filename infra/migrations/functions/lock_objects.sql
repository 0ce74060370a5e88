-- Locks objects of a bucket, in the order in which everybody locks several: by key. Those of `p_make` are made where
-- they are not there; returns the ids of what was made, which its caller removes again where it is not needed.
create or replace function holdfast.lock_objects(
    p_bucket text,
    p_keys   text[],
    p_make   text[],
    p_now    timestamptz
) returns int8[]
    language plpgsql volatile as
$$
declare
    made     int8[] := '{}';
    the_key  text;
    the_made boolean;
    new_id   int8;
begin
    for the_key, the_made in
        select k.key, bool_or(k.made)
        from (select unnest(p_keys) collate "C" as key, false as made
              union all
              select unnest(p_make) collate "C", true) k
        group by k.key
        order by k.key
    loop
        -- Again while others insert or remove it.
        loop
            -- Not the key of its row, as in `commit`.
            perform from holdfast.object o where o.bucket = p_bucket and o.key = the_key for no key update;
            exit when found or not the_made;
            insert into holdfast.object as o (bucket, key, created_at)
            values (p_bucket, the_key, p_now)
            on conflict do nothing
            returning o.id into new_id;
            if found then
                made := made || new_id;
                exit;
            end if;
        end loop;
    end loop;
    return made;
end
$$;
