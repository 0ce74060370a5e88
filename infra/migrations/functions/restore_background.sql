-- Makes an earlier background of a template current again: `restore` moves the pointer, and the template tells of it in
-- the same commit. The current one stays restorable in its place. Of the one that is current nothing is changed.
--
-- Outcomes: ok, NoSuchVersion (none of this template, or its bytes are gone), QuotaExceeded, and those of
-- `open_template`.
create or replace function holdfast.restore_background(
    p_id         uuid,
    p_version    uuid,
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
    at       constant timestamptz := coalesce(p_now, clock_timestamp());
    opened   record;
    found_it record;
    moved    record;
    reason   text;
begin
    perform holdfast.durable();

    <<checks>>
    begin
        opened := holdfast.open_template(p_id, 'write', true, p_sub, p_roles, p_scopes);
        outcome := opened.outcome; rule := opened.rule; reason := opened.reason;
        exit checks when outcome <> 'ok';
        select v.state, i.width, i.height
        into found_it
        from holdfast.object o
             join holdfast.version v on v.object_id = o.id
             join holdfast.image i on i.version = v.id
        where o.bucket = 'templates'
          and o.key = holdfast.background_key(p_id)
          and o.owner = (opened.the_template).owner
          and v.id = p_version
          and v.state in ('live', 'superseded', 'trashed')
          and not v.erased;
        if not found then
            outcome := 'NoSuchVersion'; rule := 'version';
            exit checks;
        end if;
        if found_it.state = 'live' then
            template := holdfast.template_record(opened.the_template);
            return;
        end if;
        moved := holdfast.restore('templates', holdfast.background_key(p_id), p_version, null, p_sub, p_roles, p_scopes, p_ip,
                                  p_request_id, at);
        if moved.outcome <> 'ok' then
            -- It is written down there.
            outcome := moved.outcome; rule := moved.rule;
            return;
        end if;
        perform holdfast.template_changed(
            p_id, 'template.updated', p_sub,
            jsonb_build_object('background', jsonb_build_object(
                'version', p_version, 'width', found_it.width, 'height', found_it.height)), at);
        insert into holdfast.audit (at, action, actor, bucket, key, version, outcome, ip, request_id)
        values
            (at, 'template.restore', p_sub, 'templates', p_id::text, p_version, 'ok', left(p_ip, 64),
             left(p_request_id, 128));
        select holdfast.template_record(t) into template from holdfast.template t where t.id = p_id;
        return;
    end checks;

    perform holdfast.refuse(at, 'template.restore', coalesce(p_sub, ''), 'templates', p_id::text, null, outcome,
                            coalesce(rule, reason), p_ip, p_request_id);
end
$$;
