-- Ends a step that changed a template, or its background: the next revision, with its event. The caller holds the lock of
-- the template.
create or replace function holdfast.template_changed(
    p_template uuid,
    p_kind     text,   -- template.created, ...
    p_actor    text,
    p_data     jsonb,
    p_at       timestamptz
) returns void
    language plpgsql volatile as
$$
declare
    changed holdfast.template;
begin
    update holdfast.template t
    set revision   = t.revision + case when p_kind = 'template.created' then 0 else 1 end,
        updated_at = greatest(t.updated_at, p_at)
    where t.id = p_template
    returning t.* into changed;
    insert into holdfast.outbox (kind, occurred_at, bucket, key, object_id, sequence, actor, data)
    values
        (p_kind, p_at, 'templates', p_template::text, -changed.number, changed.revision, p_actor,
         jsonb_build_object('id', p_template, 'name', changed.name, 'owner', changed.owner, 'revision', changed.revision)
         || p_data);
end
$$;
