-- Makes an earlier background of a template current again: a move of the pointer, with usage, events and audit row. The
-- current one stays restorable in its place. Of the one that is current nothing is changed.
--
-- Outcomes: ok, NoSuchVersion (none of this template, or its bytes are gone), and those of `open_template`.
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
    at          constant timestamptz := coalesce(p_now, clock_timestamp());
    opened      record;
    the_object  record;
    the_version record;
    former      record;
    the_policy  jsonb;
    reason      text;
begin
    perform holdfast.durable();

    <<checks>>
    begin
        opened := holdfast.open_template(p_id, 'write', true, p_sub, p_roles, p_scopes);
        outcome := opened.outcome; rule := opened.rule; reason := opened.reason;
        exit checks when outcome <> 'ok';
        select o.id, o.sequence
        into the_object
        from holdfast.object o
        where o.bucket = 'templates'
          and o.key = holdfast.background_key(p_id)
          and o.owner = (opened.the_template).owner;
        select v.id, v.state, v.owner, v.size_bytes, v.etag, i.width, i.height
        into the_version
        from holdfast.version v
             join holdfast.image i on i.version = v.id
        where v.id = p_version
          and v.object_id = the_object.id
          and v.state in ('live', 'superseded', 'trashed')
        for update of v;
        if not found then
            outcome := 'NoSuchVersion'; rule := 'version';
            exit checks;
        end if;
        if the_version.state = 'live' then
            template := holdfast.template_record(opened.the_template);
            return;
        end if;

        select b.policy into the_policy from holdfast.bucket b where b.name = 'templates';
        select v.id, v.size_bytes, v.pinned_until
        into former
        from holdfast.version v
        where v.object_id = the_object.id
          and v.state = 'live'
        for update;
        if former.id is not null then
            update holdfast.version v
            set state       = 'superseded',
                replaced_at = at,
                due_at      = holdfast.keep_until(the_policy, at, former.pinned_until)
            where v.id = former.id;
        end if;
        update holdfast.version v
        set state       = 'live',
            replaced_at = null,
            due_at      = null,
            deleted_by  = null
        where v.id = p_version;
        update holdfast.object o set sequence = o.sequence + 1 where o.id = the_object.id;

        insert into holdfast.usage_delta
            (bucket, owner, live_bytes, live_objects, retained_bytes, retained_objects)
        values
            ('templates', the_version.owner,
             the_version.size_bytes - coalesce(former.size_bytes, 0), case when former.id is null then 1 else 0 end,
             coalesce(former.size_bytes, 0) - the_version.size_bytes, case when former.id is null then -1 else 0 end);
        insert into holdfast.outbox (kind, occurred_at, bucket, key, object_id, sequence, version, actor, data)
        values
            ('object.restored', at, 'templates', holdfast.background_key(p_id), the_object.id, the_object.sequence + 1,
             p_version, p_sub,
             jsonb_build_object('size', the_version.size_bytes, 'etag', the_version.etag, 'owner', the_version.owner,
                                'replaces', former.id));
        perform holdfast.template_changed(
            p_id, 'template.updated', p_sub,
            jsonb_build_object('background', jsonb_build_object(
                'version', p_version, 'width', the_version.width, 'height', the_version.height)), at);
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
