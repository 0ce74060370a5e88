-- The bare entity tag of a record as `template_record` has it: another one after each change of what it says.
create or replace function holdfast.template_etag(p_record jsonb) returns text
    language sql immutable parallel safe
return concat_ws('.', p_record ->> 'version', p_record -> 'background' ->> 'version');
