-- Whether a list of entity tags, as If-Match and If-None-Match carry it, names `p_etag` (bare; null =
-- there is no current version). '*' names whatever exists. Unquoted tags are taken, as S3 takes them.
--
-- Spec: RFC 9110, 8.8.3.2: `p_weak` compares weakly (If-None-Match), else a W/ tag never matches.
create or replace function holdfast.etag_matches(p_list text, p_etag text, p_weak boolean) returns boolean
    language sql immutable parallel safe
return p_etag is not null and (
    btrim(p_list) = '*'
    or exists (
        select
        from regexp_matches(p_list, '(W/)?(?:"([^"]*)"|([^",\s]+))', 'g') as tag (parts)
        where coalesce(tag.parts[2], tag.parts[3]) = p_etag
          and (p_weak or tag.parts[1] is null)));
