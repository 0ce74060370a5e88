-- Gives positions to events, without a gap and in an order that a cursor can trust: only events below which no
-- transaction is still running, so that none can appear behind a cursor. Returns how many; 0 also while
-- another session is at it.
create or replace function holdfast.sequence(p_limit int4) returns int8
    language plpgsql volatile as
$$
declare
    given int8;
begin
    if not pg_try_advisory_xact_lock(hashtextextended('holdfast.sequence', 0)) then
        return 0;
    end if;
    with horizon as (
        select pg_snapshot_xmin(pg_current_snapshot()) as xid
    ), ready as (
        select o.id
        from holdfast.outbox o, horizon
        where o.position is null
          and o.xid < horizon.xid
          -- A transaction may be older than the one it waited for: the object's own order wins.
          and not exists (
              select
              from holdfast.outbox e
              where e.object_id = o.object_id
                and e.sequence < o.sequence
                and e.position is null
                and e.xid >= horizon.xid)
        order by o.id
        limit p_limit
    ), numbered as (
        select ready.id, p.last + row_number() over (order by ready.id) as position
        from ready, holdfast.outbox_position p
    )
    update holdfast.outbox o
    set position = numbered.position
    from numbered
    where o.id = numbered.id;
    get diagnostics given = row_count;
    update holdfast.outbox_position p set last = p.last + given where given > 0;
    return given;
end
$$;
