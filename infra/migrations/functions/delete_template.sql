-- Deletes a template softly, and its background with it, which goes to the trash; with event and audit row.
--
-- Outcomes: ok, PreconditionFailed, and those of `open_template`.
create or replace function holdfast.delete_template(
    p_id         uuid,
    p_if_match   text,   -- or null
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    out outcome        text,
    out rule           text,
    out deleted_at_us  int8,
    out background     uuid,   -- the version that is in the trash now, if there was one
    out purge_after_us int8
)
    language plpgsql volatile as
$$
declare
    at      constant timestamptz := coalesce(p_now, clock_timestamp());
    opened  record;
    trashed record;
    reason  text;
begin
    perform holdfast.durable();

    <<checks>>
    begin
        opened := holdfast.open_template(p_id, 'delete', true, p_sub, p_roles, p_scopes);
        outcome := opened.outcome; rule := opened.rule; reason := opened.reason;
        exit checks when outcome <> 'ok';
        if p_if_match is not null
           and not holdfast.etag_matches(p_if_match, holdfast.template_etag(holdfast.template_record(opened.the_template)),
                                         p_weak => false) then
            outcome := 'PreconditionFailed'; rule := 'if-match';
            exit checks;
        end if;

        if exists (
            select
            from holdfast.object o
                 join holdfast.version v on v.object_id = o.id and v.state = 'live'
            where o.bucket = 'templates'
              and o.key = holdfast.background_key(p_id)
              and o.owner = (opened.the_template).owner) then
            trashed := holdfast.trash('templates', holdfast.background_key(p_id), p_sub, p_roles, p_scopes, null, p_ip,
                                      p_request_id, at);
            if trashed.outcome <> 'ok' then
                raise exception 'the background of template % is not its owner''s: %', p_id, trashed.outcome;
            end if;
            background := trashed.version;
            purge_after_us := trashed.purge_after_us;
        end if;
        update holdfast.template t
        set deleted_at = at,
            deleted_by = p_sub
        where t.id = p_id;
        perform holdfast.template_changed(p_id, 'template.deleted', p_sub, jsonb_build_object('background', background), at);
        insert into holdfast.audit (at, action, actor, bucket, key, version, outcome, ip, request_id)
        values
            (at, 'template.delete', p_sub, 'templates', p_id::text, background, 'ok', left(p_ip, 64), left(p_request_id, 128));
        deleted_at_us := (extract(epoch from at) * 1000000)::int8;
        return;
    end checks;

    perform holdfast.refuse(at, 'template.delete', coalesce(p_sub, ''), 'templates', p_id::text, null, outcome,
                            coalesce(rule, reason), p_ip, p_request_id);
end
$$;
