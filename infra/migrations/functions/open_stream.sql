-- Takes a stream over at its end: from now on only the new epoch writes its parts down, so an older writer loses what it
-- still has. Nothing is taken over where the state, which is answered, is not open.
--
-- Outcomes: ok, NoSuchUpload, AccessDenied (also of an upload that is made of others), UploadGone (ended or expired),
-- UploadCompleting, OffsetMismatch, InvalidArgument (another length than was declared), EntityTooLarge, QuotaExceeded.
create or replace function holdfast.open_stream(
    p_version uuid,
    p_sub     text,
    p_roles   text[],
    p_scopes  text[],
    p_grant   uuid,
    p_offset  int8,   -- where the client goes on; null = wherever the end is
    p_bytes   int8,   -- that come now, where that is known
    p_size    int8,   -- of the whole, where the client declares it now
    p_now     timestamptz,
    out outcome       text,
    out rule          text,
    out state         text,
    out bucket        text,
    out key           text,
    out s3_key        text,
    out upload_id     text,
    out part_size     int8,
    out size          int8,
    out epoch         int4,
    out expires_at_us int8,
    out parts         int4,   -- as S3 has them
    out part_bytes    int8,   -- of them
    out tail          jsonb,  -- as `session` has it
    out concat        text
)
    language plpgsql volatile as
$$
declare
    at     constant timestamptz := coalesce(p_now, clock_timestamp());
    the    record;
    growth record;
begin
    perform holdfast.durable();

    perform from holdfast.version v where v.id = p_version for no key update;
    the := holdfast.session(p_version, p_sub, p_roles, p_scopes, true, p_grant);
    outcome := the.outcome;
    rule := the.rule;
    if outcome <> 'ok' then
        return;
    end if;
    size := the.size;

    rule := null;
    if the.protocol = 'parts' then
        outcome := 'NoSuchUpload'; rule := 'session.protocol';
    elsif the.state = 'aborted' or (the.state = 'open' and the.expires_at_us <= (extract(epoch from at) * 1000000)::int8) then
        outcome := 'UploadGone'; rule := 'session.state';
    elsif the.concat = 'final' and p_offset is not null then
        outcome := 'AccessDenied'; rule := 'session.concat';
    elsif the.state = 'completing' then
        outcome := 'UploadCompleting'; rule := 'session.state';
    elsif p_offset <> the.stored_bytes and the.state = 'open' or p_offset <> the.size and the.state = 'done' then
        outcome := 'OffsetMismatch'; rule := 'session.offset';
    elsif p_size <> the.size then
        outcome := 'InvalidArgument'; rule := 'session.size';
    elsif coalesce(the.size, p_size) < the.stored_bytes + coalesce(p_bytes, 0) then
        outcome := 'EntityTooLarge'; rule := 'session.size';
    elsif p_size is not null and the.size is null and the.state = 'open' then
        growth := holdfast.renew(p_version, the.created_by, p_size, 1, at, p_size);
        if growth.outcome <> 'ok' then
            outcome := growth.outcome; rule := growth.rule;
        else
            update holdfast.upload_session s set size = p_size where s.version = p_version;
            size := p_size;
        end if;
    end if;
    if outcome <> 'ok' then
        return;
    end if;

    epoch := the.epoch;
    if the.state = 'open' then
        epoch := the.epoch + 1;
        update holdfast.upload_session s set epoch = open_stream.epoch where s.version = p_version;
        perform holdfast.extend_session(p_version, at);
    end if;
    perform holdfast.durable();
    state := the.state;
    bucket := the.bucket;
    key := the.key;
    s3_key := the.s3_key;
    upload_id := the.upload_id;
    part_size := the.part_size;
    select (extract(epoch from s.expires_at) * 1000000)::int8
    into expires_at_us
    from holdfast.upload_session s
    where s.version = p_version;
    parts := jsonb_array_length(the.parts);
    tail := the.tail;
    concat := the.concat;
    part_bytes := the.stored_bytes - coalesce((tail ->> 1)::int8, 0);
end
$$;
