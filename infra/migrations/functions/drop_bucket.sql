-- The store holds nothing of a closed bucket (deleting -> dropping): from here on it may be told to delete it, and nothing
-- brings it back. False where somebody else brought it back, or told the store, before.
create or replace function holdfast.drop_bucket(p_bucket text, p_now timestamptz) returns boolean
    language plpgsql volatile as
$$
declare
    -- The name stays taken so long where the store did not answer: what it was told may still arrive.
    late_delete constant interval    := interval '10 minutes';
    at          constant timestamptz := coalesce(p_now, clock_timestamp());
begin
    perform holdfast.durable();

    update holdfast.bucket b
    set state  = 'dropping',
        due_at = at + late_delete
    where b.name = p_bucket
      and b.state = 'deleting';
    return found;
end
$$;
