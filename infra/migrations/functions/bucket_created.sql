-- The store has the bucket: it takes files from now on. Safe to repeat. False where there is none, or it is being deleted.
create or replace function holdfast.bucket_created(p_bucket text) returns boolean
    language plpgsql volatile as
$$
begin
    perform holdfast.durable();

    update holdfast.bucket b
    set state  = 'active',
        due_at = null
    where b.name = p_bucket
      and b.state = 'creating';
    return found or exists (select from holdfast.bucket b where b.name = p_bucket and b.state = 'active');
end
$$;
