-- How many records of a batch are where, folded or not, and what that makes of it. One row, of one snapshot.
create or replace function holdfast.batch_counts(
    p_batch holdfast.batch,
    out rendering int8,
    out complete  int8,
    out failed    int8,
    out status    text   -- pending, rendering, complete, failed
)
    language plpgsql stable as
$$
begin
    select p_batch.rendering + coalesce(sum(d.rendering), 0),
           p_batch.complete + coalesce(sum(d.complete), 0),
           p_batch.failed + coalesce(sum(d.failed), 0)
    into rendering, complete, failed
    from holdfast.batch_delta d
    where d.batch = p_batch.id;
    status := holdfast.batch_status(p_batch.expected, rendering, complete, failed);
end
$$;
