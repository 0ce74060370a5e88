-- What a bucket takes of images at a key, where it takes nothing else: {minWidth, minHeight, maxWidth, maxHeight,
-- maxPixels}, each of them there. Null where anything is taken.
--
-- A policy that names less has the rest of what is usual, and so has the background of a template, whatever the policy
-- of its bucket is.
create or replace function holdfast.image_limits(p_policy jsonb, p_is_background boolean) returns jsonb
    language sql immutable parallel safe
return case
    when coalesce(jsonb_typeof(p_policy -> 'image'), 'null') = 'object' or p_is_background then
        jsonb_build_object(
            'minWidth', 1, 'minHeight', 1,         -- pixels
            'maxWidth', 16384, 'maxHeight', 16384, -- pixels: what the decoders that people have take
            'maxPixels', 100000000)                -- width times height
        || case
            when jsonb_typeof(p_policy -> 'image') = 'object' then jsonb_strip_nulls(p_policy -> 'image')
            else '{}'
        end
end;
