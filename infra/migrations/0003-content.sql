-- What a client says of its content besides the type, the digests that were verified, and requests that may be
-- repeated.

alter table holdfast.version
    -- Cache-Control, Content-Disposition and Content-Language as the client sent them: cacheControl, ...
    add column headers jsonb not null default '{}',
    -- Digests besides the CRC-64/NVME that were compared with the stored bytes, by their names in RFC 9530, base64.
    add column digests jsonb not null default '{}',
    -- One check, because each costs every write a little; not validated, because no row can break it yet.
    add constraint version_content_is_small check (
        octet_length(headers::text) <= 4096 and octet_length(digests::text) <= 1024) not valid;

-- One row a principal and Idempotency-Key: which version the first request began. Its answer is that version's
-- row, from its commit on; a version that ended without one leaves the key free for the next request.
create table holdfast.idempotency (
    principal   text collate "C" not null,
    key         text collate "C" not null,
    -- What else the request said: another one under the same key is a client's mistake.
    fingerprint text        not null,
    version     uuid        not null,
    created_at  timestamptz not null,
    primary key (principal, key),
    constraint idempotency_principal_is_named check (principal <> ''),
    constraint idempotency_key_is_short check (octet_length(key) between 1 and 300),
    constraint idempotency_fingerprint_is_short check (octet_length(fingerprint) between 1 and 128)
);

create index idempotency_of_version on holdfast.idempotency (version);
create index idempotency_by_time on holdfast.idempotency (created_at);
