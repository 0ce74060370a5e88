-- One bucket per feature. Applied once: an operator's later changes stay.
insert into holdfast.bucket (name, owner, policy)
select name,
       'system',
       jsonb_build_object(
           'visibility', visibility,
           'maxBytes', max_bytes,
           'allowedTypes', to_jsonb(allowed_types),
           'quotaBytes', null,
           'ownerQuotaBytes', null,
           'retentionHours', 24,
           'cacheControl', cache_control,
           'writers', 'authenticated',
           'readers', 'owner')
from (values
    ('documents', 'private',     5368709120, null::text[], null),
    ('avatars',   'private',     5242880,    array['image/jpeg', 'image/png', 'image/webp', 'image/gif', 'image/avif'], null),
    ('templates', 'private',     104857600,  null, null),
    ('batches',   'private',     5368709120, null, null),
    ('assets',    'public-read', 5368709120, null, null)
) as defaults (name, visibility, max_bytes, allowed_types, cache_control)
on conflict (name) do nothing;
