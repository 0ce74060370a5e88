-- Why an image, {format, width, height} or null for none, is not within limits as `image_limits` has them: the outcome
-- and its rule; both null where it is, or where there are no limits.
create or replace function holdfast.image_refusal(
    p_limits jsonb,
    p_image  jsonb,
    out outcome text,
    out rule    text
)
    language plpgsql immutable parallel safe as
$$
declare
    width  constant int8 := (p_image ->> 'width')::int8;
    height constant int8 := (p_image ->> 'height')::int8;
begin
    if p_limits is null then
        return;
    end if;
    if p_image is null then
        outcome := 'InvalidContentType'; rule := 'policy.image';
    elsif width < (p_limits ->> 'minWidth')::int8 or width > (p_limits ->> 'maxWidth')::int8
          or height < (p_limits ->> 'minHeight')::int8 or height > (p_limits ->> 'maxHeight')::int8
          or width * height > (p_limits ->> 'maxPixels')::int8 then
        outcome := 'InvalidImage'; rule := 'policy.image';
    end if;
end
$$;
