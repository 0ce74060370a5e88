-- Writes down what S3 was told under a claim of `due_cors`, or with `p_told` false gives the claim back: the next tick
-- tries again. False where the claim was over, and another worker may have told something else meanwhile.
create or replace function holdfast.cors_applied(p_bucket text, p_origins text[], p_claim text, p_told boolean)
    returns boolean
    language plpgsql volatile as
$$
begin
    perform holdfast.durable();

    update holdfast.bucket b
    set cors_applied       = case when p_told then p_origins else b.cors_applied end,
        -- It may have been told all the same.
        cors_claimed_until = case when not p_told then clock_timestamp() end
    where b.name = p_bucket
      and b.cors_claimed_until = p_claim::timestamptz;
    return found;
end
$$;
