-- JSON Merge Patch (RFC 7396): members of objects are merged, null removes one, anything else replaces.
create or replace function holdfast.merge_patch(p_target jsonb, p_patch jsonb) returns jsonb
    language plpgsql immutable parallel safe as
$$
declare
    merged jsonb := case when jsonb_typeof(p_target) = 'object' then p_target else '{}' end;
    member record;
begin
    if jsonb_typeof(p_patch) <> 'object' then
        return p_patch;
    end if;
    for member in select e.key, e.value from jsonb_each(p_patch) e loop
        if jsonb_typeof(member.value) = 'null' then
            merged := merged - member.key;
        else
            merged := merged || jsonb_build_object(member.key, holdfast.merge_patch(merged -> member.key, member.value));
        end if;
    end loop;
    return merged;
end
$$;
