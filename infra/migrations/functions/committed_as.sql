-- What a version was committed as, for an answer that is asked for again; null while it is not.
create or replace function holdfast.committed_as(p_version holdfast.version) returns jsonb
    language sql stable parallel safe
return case
    when (p_version).committed_at is not null then jsonb_build_object(
        'version', (p_version).id,
        'size', (p_version).size_bytes,
        'contentType', (p_version).content_type,
        'foundType', (p_version).found_type,
        'etag', (p_version).etag,
        'crc64nvme', (p_version).crc64nvme,
        'digests', (p_version).digests,
        'image', (
            select jsonb_build_object('format', i.format, 'width', i.width, 'height', i.height)
            from holdfast.image i
            where i.version = (p_version).id),
        'created', (p_version).created,
        'committedAtUs', (extract(epoch from (p_version).committed_at) * 1000000)::int8)
end;
