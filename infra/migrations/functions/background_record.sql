-- A version of a template's background as its readers know it.
create or replace function holdfast.background_record(p_version holdfast.version, p_image holdfast.image) returns jsonb
    language sql immutable parallel safe
return jsonb_build_object(
    'version', (p_version).id,
    'format', (p_image).format,
    'width', (p_image).width,
    'height', (p_image).height,
    'size', (p_version).size_bytes,
    'etag', (p_version).etag,
    'state', (p_version).state,
    'createdAtUs', (extract(epoch from (p_version).committed_at) * 1000000)::int8);
