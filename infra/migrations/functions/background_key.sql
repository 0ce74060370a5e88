-- The key of a template's background in the bucket templates.
create or replace function holdfast.background_key(p_template uuid) returns text
    language sql immutable parallel safe
return p_template::text || '/background';
