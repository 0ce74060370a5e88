-- Changes a template's name and merges its data, with event and audit row. What changes nothing is no change.
--
-- Outcomes: ok, PreconditionFailed, EntityTooLarge, and those of `open_template`.
create or replace function holdfast.update_template(
    p_id         uuid,
    p_name       text,    -- null = as it is
    p_patch      jsonb,   -- of its data, by RFC 7396; null = as it is
    p_if_match   text,    -- or null
    p_sub        text,
    p_roles      text[],
    p_scopes     text[],
    p_ip         text,
    p_request_id text,
    p_now        timestamptz,
    out outcome  text,
    out rule     text,
    out template jsonb   -- as `template_record` has it
)
    language plpgsql volatile as
$$
declare
    max_bytes constant int8        := 65536;
    at        constant timestamptz := coalesce(p_now, clock_timestamp());
    opened    record;
    was       holdfast.template;
    new_data  jsonb;
    reason    text;
begin
    perform holdfast.durable();

    <<checks>>
    begin
        opened := holdfast.open_template(p_id, 'write', true, p_sub, p_roles, p_scopes);
        outcome := opened.outcome; rule := opened.rule; reason := opened.reason;
        exit checks when outcome <> 'ok';
        was := opened.the_template;
        if p_if_match is not null
           and not holdfast.etag_matches(p_if_match, holdfast.template_etag(holdfast.template_record(was)), p_weak => false) then
            outcome := 'PreconditionFailed'; rule := 'if-match';
            exit checks;
        end if;
        new_data := case when p_patch is null then was.data else holdfast.merge_patch(was.data, p_patch) end;
        if octet_length(new_data::text) > max_bytes then
            outcome := 'EntityTooLarge'; rule := 'limits.maxTemplateDataBytes';
            exit checks;
        end if;

        if coalesce(p_name, was.name) <> was.name or new_data <> was.data then
            update holdfast.template t
            set name = coalesce(p_name, t.name),
                data = new_data
            where t.id = p_id;
            perform holdfast.template_changed(p_id, 'template.updated', p_sub, '{}', at);
            insert into holdfast.audit (at, action, actor, bucket, key, outcome, ip, request_id)
            values (at, 'template.update', p_sub, 'templates', p_id::text, 'ok', left(p_ip, 64), left(p_request_id, 128));
        end if;
        select holdfast.template_record(t) into template from holdfast.template t where t.id = p_id;
        return;
    end checks;

    perform holdfast.refuse(at, 'template.update', coalesce(p_sub, ''), 'templates', p_id::text, null, outcome,
                            coalesce(rule, reason), p_ip, p_request_id);
end
$$;
