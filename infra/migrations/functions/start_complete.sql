-- Decides that a session is completed with these parts. From here on S3's Complete may be under way: nobody aborts,
-- and only `reopen_session` of the one who got `attempt` 1 takes it back. Called again it says the same.
--
-- Outcomes: ok, NoSuchUpload, UploadTakenOver, EntityTooLarge, InvalidArgument, InvalidPart, InvalidPartOrder,
-- EntityTooSmall; `detail` names the parts, and nothing is changed.
create or replace function holdfast.start_complete(
    p_version uuid,
    p_sub     text,
    p_roles   text[],
    p_epoch   int4,    -- null = whichever
    p_parts   jsonb,   -- [[number, etag], ...]; null = those that are written down
    p_now     timestamptz,
    out outcome text,
    out rule    text,
    out detail  text,
    out attempt int4,    -- null where it is committed already
    out parts   jsonb    -- [[number, size, etag], ...] by their numbers
)
    language plpgsql volatile as
$$
declare
    -- S3's: of each part but the last.
    least_part constant int8        := 5242880;
    named      constant int4        := 20;
    -- The caller's time to end it; then the worker looks.
    claim      constant interval    := interval '2 minutes';
    at         constant timestamptz := coalesce(p_now, clock_timestamp());
    the        record;
    last       int4;
    total      int8;
begin
    perform holdfast.durable();

    perform from holdfast.version v where v.id = p_version for no key update;
    select v.state, v.committed_at, s.*, (b.policy ->> 'maxBytes')::int8 as max_bytes
    into the
    from holdfast.version v
         join holdfast.upload_session s on s.version = v.id
         join holdfast.object o on o.id = v.object_id
         join holdfast.bucket b on b.name = o.bucket
    where v.id = p_version;
    if not found or (the.created_by is distinct from p_sub and not 'admin' = any (coalesce(p_roles, '{}')))
       or (the.committed_at is null and (the.state <> 'pending' or the.upload_id is null)) then
        outcome := 'NoSuchUpload'; rule := 'session.state';
        return;
    end if;
    if the.committed_at is not null then
        outcome := 'ok';
        return;
    end if;

    if the.completing_at is null then
        if the.epoch <> p_epoch then
            outcome := 'UploadTakenOver'; rule := 'session.epoch';
            return;
        end if;
        if p_parts is not null then
            -- Each above the one before it.
            select string_agg(w.number::text, ', ' order by w.place)
            into detail
            from (select (a.value ->> 0)::int4 as number, a.place, lag((a.value ->> 0)::int4) over (order by a.place) as before
                  from jsonb_array_elements(p_parts) with ordinality a (value, place)) w
            where w.number <= w.before;
            if detail is not null then
                outcome := 'InvalidPartOrder'; rule := 'parts';
                return;
            end if;
            select string_agg(w.number::text, ', ' order by w.number)
            into detail
            from (select (a.value ->> 0)::int4 as number
                  from jsonb_array_elements(p_parts) a
                       left join holdfast.upload_part p
                           on p.version = p_version and p.part_number = (a.value ->> 0)::int4 and p.etag = a.value ->> 1
                  where p.version is null
                  order by 1
                  limit named) w;
            if detail is not null then
                outcome := 'InvalidPart'; rule := 'parts.etag';
                return;
            end if;
        end if;

        if exists (select from holdfast.upload_part p where p.version = p_version and p.s3_key is not null) then
            outcome := 'InvalidPart'; rule := 'parts.tail'; detail := 'the last';
            return;
        end if;

        -- Those that shall be there, from the first to the last.
        select coalesce(max((a.value ->> 0)::int4), (select max(p.part_number) from holdfast.upload_part p where p.version = p_version), 0)
        into last
        from jsonb_array_elements(p_parts) a;
        -- A stream's parts are of no size that was planned.
        if the.size is not null and the.protocol = 'parts' then
            last := ceil(the.size::numeric / the.part_size)::int4;
        end if;
        if last = 0 then
            outcome := 'InvalidPart'; rule := 'parts.missing'; detail := '1';
            return;
        end if;
        select string_agg(w.number::text, ', ' order by w.number)
        into detail
        from (select n.number
              from generate_series(1, last) n (number)
              where not exists (select from holdfast.upload_part p where p.version = p_version and p.part_number = n.number)
                 or (p_parts is not null and not exists (
                        select from jsonb_array_elements(p_parts) a where (a.value ->> 0)::int4 = n.number))
              order by 1
              limit named) w;
        if detail is not null then
            outcome := 'InvalidPart'; rule := 'parts.missing';
            return;
        end if;
        select string_agg(w.part_number::text, ', ' order by w.part_number)
        into detail
        from (select p.part_number
              from holdfast.upload_part p
              where p.version = p_version
                and p.part_number < last
                and p.size < least_part
              order by 1
              limit named) w;
        if detail is not null then
            outcome := 'EntityTooSmall'; rule := 'limits.minPartBytes';
            return;
        end if;
        select sum(p.size) into total from holdfast.upload_part p where p.version = p_version and p.part_number <= last;
        if total <> the.size then
            outcome := 'InvalidPart'; rule := 'parts.size';
            if the.protocol <> 'parts' then
                detail := 'behind ' || last;
                return;
            end if;
            select string_agg(w.part_number::text, ', ' order by w.part_number)
            into detail
            from (select p.part_number
                  from holdfast.upload_part p
                  where p.version = p_version
                    and p.size <> case when p.part_number < last then the.part_size
                                       else the.size - (last - 1) * the.part_size end
                  order by 1
                  limit named) w;
            return;
        end if;
        if total > the.max_bytes then
            outcome := 'EntityTooLarge'; rule := 'policy.maxBytes';
            return;
        end if;
        -- Behind the last one that was named: not part of it.
        delete from holdfast.upload_part p where p.version = p_version and p.part_number > last;
    end if;

    update holdfast.upload_session s
    set completing_at = at,
        due_at        = at + claim,
        completions   = s.completions + 1
    where s.version = p_version
    returning s.completions into attempt;
    -- A change of the row itself: a reaper who chose it before has to look again.
    update holdfast.version v set lease_until = greatest(v.lease_until, at + claim) where v.id = p_version;
    select jsonb_agg(jsonb_build_array(p.part_number, p.size, p.etag) order by p.part_number)
    into parts
    from holdfast.upload_part p
    where p.version = p_version;
    outcome := 'ok';
end
$$;
