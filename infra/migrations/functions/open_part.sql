-- Asked before a part is stored: may it come, and where does it go? Of a session without a declared size its bytes
-- are charged here, as `renew` charges a body without a length.
--
-- Outcomes: ok, NoSuchUpload, AccessDenied, UploadCompleting, UploadTakenOver, EntityTooLarge, QuotaExceeded.
create or replace function holdfast.open_part(
    p_version     uuid,
    p_sub         text,
    p_roles       text[],
    p_scopes      text[],
    p_epoch       int4,   -- null = whichever
    p_part_number int4,
    p_size        int8,
    p_now         timestamptz,
    out outcome   text,
    out rule      text,
    out bucket    text,
    out s3_key    text,
    out upload_id text,
    out part_size int8,
    out size      int8
)
    language plpgsql volatile as
$$
declare
    -- As in `begin`.
    step   constant int8        := 67108864;
    at     constant timestamptz := coalesce(p_now, clock_timestamp());
    the    record;
    total  int8;
    growth record;
begin
    the := holdfast.session(p_version, p_sub, p_roles, p_scopes, false);
    outcome := the.outcome;
    rule := the.rule;
    if outcome = 'ok' and the.protocol <> 'parts' then
        outcome := 'NoSuchUpload'; rule := 'session.protocol';
    elsif outcome = 'ok' and (the.state in ('done', 'aborted') or the.upload_id is null
                           or the.expires_at_us <= (extract(epoch from at) * 1000000)::int8) then
        outcome := 'NoSuchUpload'; rule := 'session.state';
    elsif outcome = 'ok' and the.state = 'completing' then
        outcome := 'UploadCompleting'; rule := 'session.state';
    elsif outcome = 'ok' and the.epoch <> p_epoch then
        outcome := 'UploadTakenOver'; rule := 'session.epoch';
    end if;
    if outcome = 'ok' and the.size is null then
        select coalesce(sum(p.size), 0) + p_size
        into total
        from holdfast.upload_part p
        where p.version = p_version
          and p.part_number <> p_part_number;
        if total > 5497558138880 then
            outcome := 'EntityTooLarge'; rule := 'limits.maxObjectBytes';
        else
            growth := holdfast.renew(p_version, the.created_by, ceil(total::numeric / step)::int8 * step, 1, at, total);
            outcome := growth.outcome;
            rule := growth.rule;
        end if;
    end if;
    if outcome <> 'ok' then
        return;
    end if;
    bucket := the.bucket;
    s3_key := the.s3_key;
    upload_id := the.upload_id;
    part_size := the.part_size;
    size := the.size;
end
$$;
