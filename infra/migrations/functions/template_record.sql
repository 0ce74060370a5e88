-- A template as its readers know it, with its background as that is now: times in microseconds of Unix time.
create or replace function holdfast.template_record(p_template holdfast.template) returns jsonb
    language sql stable parallel safe
return jsonb_build_object(
    'id', (p_template).id,
    'name', (p_template).name,
    'owner', (p_template).owner,
    'data', (p_template).data,
    'version', (p_template).revision,
    'createdAtUs', (extract(epoch from (p_template).created_at) * 1000000)::int8,
    'updatedAtUs', (extract(epoch from (p_template).updated_at) * 1000000)::int8,
    'background', (
        select holdfast.background_record(v, i)
        from holdfast.object o
             join holdfast.version v on v.object_id = o.id and v.state = 'live'
             join holdfast.image i on i.version = v.id
        where o.bucket = 'templates'
          and o.key = holdfast.background_key((p_template).id)
          and o.owner = (p_template).owner));
