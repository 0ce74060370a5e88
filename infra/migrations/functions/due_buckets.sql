-- Claims buckets that somebody began to make or to delete and did not end, for the worker to go on.
create or replace function holdfast.due_buckets(p_limit int4, p_now timestamptz)
    returns table (bucket text, state text)
    language plpgsql volatile as
$$
#variable_conflict use_column
declare
    -- As long as the store may take what it was told before.
    claim constant interval    := interval '10 minutes';
    at    constant timestamptz := coalesce(p_now, clock_timestamp());
begin
    perform holdfast.durable();

    return query
        with due as (
            select b.name
            from holdfast.bucket b
            where b.state <> 'active'
              and b.due_at <= at
            order by b.due_at
            limit p_limit
            for no key update of b skip locked)
        update holdfast.bucket b
        set due_at = at + claim
        from due
        where b.name = due.name
        returning b.name, b.state;
end
$$;
