-- Gives back what uploads that ended without a commit took of their tokens.
create or replace function holdfast.return_use(p_grants uuid[]) returns void
    language plpgsql volatile as
$$
begin
    if array_length(array_remove(p_grants, null), 1) is null then
        return;
    end if;
    -- In one order, as two that give back may have them in common.
    perform
    from holdfast."grant" g
    where g.id = any (p_grants)
    order by g.id
    for update;
    update holdfast."grant" g
    set uses = greatest(g.uses - back.count, 0)
    from (select given.id, count(*) as count from unnest(p_grants) given (id) group by given.id) back
    where g.id = back.id;
end
$$;
