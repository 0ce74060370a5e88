-- The template whose background a key is, also of one that is deleted; null where it is none's.
create or replace function holdfast.template_at(p_bucket text, p_key text) returns holdfast.template
    language plpgsql stable parallel safe as
$$
declare
    the_template holdfast.template;
begin
    if p_bucket = 'templates' and p_key ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/background$' then
        select t.* into the_template from holdfast.template t where t.id = left(p_key, 36)::uuid;
    end if;
    return the_template;
end
$$;
