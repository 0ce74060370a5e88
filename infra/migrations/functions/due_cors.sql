-- Claims buckets of which S3 does not know yet which pages of other origins may use them: those that the policy says, else
-- those of the deployment. `origins` is null where S3 shall have no configuration of ours, for anybody may.
create or replace function holdfast.due_cors(p_origins text[], p_limit int4, p_now timestamptz)
    returns table (bucket text, origins text[], claim text)
    language plpgsql volatile as
$$
declare
    -- Longer than a worker tries to tell it.
    claimed constant interval    := interval '5 minutes';
    at      constant timestamptz := coalesce(p_now, clock_timestamp());
begin
    perform holdfast.durable();

    return query
        with due as (
            select b.name, wanted.origins
            from holdfast.bucket b
                 cross join lateral (
                     select case
                         when jsonb_typeof(b.policy -> 'corsOrigins') = 'array'
                             -- A null would never be what was told, for a worker tells texts.
                             then array(select said.origin
                                        from jsonb_array_elements_text(b.policy -> 'corsOrigins') said(origin)
                                        where said.origin is not null)
                         when '*' <> all (p_origins) then p_origins
                     end) wanted(origins)
            where b.state = 'active'
              and case
                  when b.cors_claimed_until is null then b.cors_applied is distinct from wanted.origins
                  else b.cors_claimed_until <= at
              end
            -- What failed before does not hold up what is new.
            order by b.cors_claimed_until nulls first, b.name
            limit p_limit
            for no key update of b skip locked)
        update holdfast.bucket b
        set cors_claimed_until = at + claimed
        from due
        where b.name = due.name
        returning b.name, due.origins, b.cors_claimed_until::text;
end
$$;
