-- Whether a media type, parameters ignored, is one of `p_allowed` ('image/png', 'image/*', '*/*').
-- No list allows every type; a list allows no missing type.
create or replace function holdfast.type_allowed(p_type text, p_allowed text[]) returns boolean
    language sql immutable parallel safe
return p_allowed is null or coalesce((
    select bool_or(
        allowed = '*/*'
        or lower(allowed) = essence
        or (right(allowed, 2) = '/*' and starts_with(essence, lower(left(allowed, -1)))))
    from unnest(p_allowed) as allowed,
         lower(btrim(split_part(p_type, ';', 1))) as essence), false);
