-- Writes down parts that S3 acknowledged: [[number, size, etag], ...]. A number that is there is replaced. A fourth
-- member is the S3 key of bytes that are an object of their own: the last row of a stream.
--
-- Outcomes: ok, NoSuchUpload, UploadCompleting, UploadTakenOver.
create or replace function holdfast.record_part(
    p_version  uuid,
    p_sub      text,
    p_roles    text[],
    p_epoch    int4,    -- null = whichever
    p_parts    jsonb,
    p_adopt    boolean default false,   -- the tail is all of the stream: it becomes the version's blob
    out outcome text,
    out rule    text,
    out bytes   int8,   -- of all parts
    out count   int4,
    out epoch   int4
)
    language plpgsql volatile as
$$
declare
    the record;
begin
    perform holdfast.durable();

    -- The version first, as everywhere; its lock stands for the session's.
    perform from holdfast.version v where v.id = p_version for no key update;
    select v.state, s.created_by, s.completing_at, s.epoch, s.size, s.protocol
    into the
    from holdfast.version v
         join holdfast.upload_session s on s.version = v.id
    where v.id = p_version;
    if not found or (the.created_by is distinct from p_sub and not 'admin' = any (coalesce(p_roles, '{}')))
       or the.state <> 'pending' then
        outcome := 'NoSuchUpload'; rule := 'session.state';
        return;
    end if;
    if the.completing_at is not null then
        outcome := 'UploadCompleting'; rule := 'session.state';
        return;
    end if;
    if the.epoch <> p_epoch then
        outcome := 'UploadTakenOver'; rule := 'session.epoch';
        return;
    end if;

    insert into holdfast.upload_part (version, part_number, size, etag, s3_key)
    select distinct on ((p.value ->> 0)::int4) p_version, (p.value ->> 0)::int4, (p.value ->> 1)::int8, p.value ->> 2,
           p.value ->> 3
    from jsonb_array_elements(p_parts) with ordinality p (value, place)
    order by (p.value ->> 0)::int4, p.place desc
    on conflict on constraint upload_part_pkey do update
    set size   = excluded.size,
        etag   = excluded.etag,
        s3_key = excluded.s3_key;
    if the.protocol = 'tus' then
        perform holdfast.extend_session(p_version, clock_timestamp());
    end if;
    if p_adopt then
        update holdfast.version v
        set s3_key = p.s3_key
        from holdfast.upload_part p
        where v.id = p_version
          and p.version = p_version
          and p.part_number = 1
          and p.s3_key is not null
          and p.size = the.size;
        if not found then
            outcome := 'UploadTakenOver'; rule := 'session.tail';
            return;
        end if;
    end if;
    select coalesce(sum(p.size), 0), count(*)
    into bytes, count
    from holdfast.upload_part p
    where p.version = p_version;
    epoch := the.epoch;
    outcome := 'ok';
end
$$;
