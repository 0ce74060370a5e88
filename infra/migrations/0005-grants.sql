-- Grants: what a principal hands on of its own right, to whoever holds a URL or a token, until it ends.

alter table holdfast.bucket
    -- What `presign` may give away of a bucket. Not validated: no policy has either member yet.
    add constraint bucket_policy_limits_grants check (coalesce(
        coalesce(jsonb_typeof(policy -> 'maxPresignSeconds'), 'null') in ('number', 'null')
        and coalesce(jsonb_typeof(policy -> 'directAllowed'), 'null') in ('boolean', 'null')
        and coalesce((policy ->> 'maxPresignSeconds')::int8, 1) >= 1,
        false)) not valid;

create table holdfast."grant" (
    id         uuid primary key,
    -- get, put: a signed URL; share: a link; token: an upload token.
    kind       text        not null,
    -- Whose right it is, as it was when this was made. `may` is asked again at each use.
    created_by text        not null,
    roles      text[]      not null,
    scopes     text[],
    bucket     text collate "C" not null,
    -- The object's key; of a token the prefix of the keys that it may write, '' for all.
    key        text collate "C" not null,
    -- get, share: this version and no other; put: the pending one. Null = whichever is current.
    version    uuid,
    -- A URL straight to the store. Nobody can call it back.
    direct     boolean     not null default false,
    -- share, token: SHA-256 of what is in the link. It has 256 random bits, so a slow hash would gain nothing.
    hash       bytea unique,
    -- share: the name to save it under, '' for its own.
    save_as    text,
    -- share: downloads, token: uploads; null = any number.
    max_uses   int8,
    uses       int8        not null default 0,
    -- token: of one file.
    max_bytes  int8,
    types      text[],
    created_at timestamptz not null,
    expires_at timestamptz not null,
    revoked_at timestamptz,
    revoked_by text,

    constraint grant_kind_is_known check (kind in ('get', 'put', 'share', 'token')),
    constraint grant_is_somebodys check (created_by <> ''),
    constraint grant_names_a_key check (octet_length(key) <= 1024 and (key <> '' or kind = 'token')),
    constraint grant_put_has_its_version check (kind <> 'put' or (version is not null and version = id)),
    constraint grant_direct_is_a_get check (not direct or (kind = 'get' and version is not null)),
    constraint grant_has_a_hash_if_it_is_held check ((hash is not null) = (kind in ('share', 'token'))),
    constraint grant_hash_is_sha256 check (octet_length(hash) = 32),
    constraint grant_is_used_so_often_at_the_most check (uses >= 0 and uses <= max_uses and max_uses > 0),
    constraint grant_sizes_are_sizes check (max_bytes >= 0),
    constraint grant_expires_after_it_began check (expires_at > created_at),
    constraint grant_revoked_by_somebody check ((revoked_at is null) = (revoked_by is null) and revoked_by <> '')
);

create index grant_of_creator on holdfast."grant" (created_by, id desc);
create index grant_of_bucket on holdfast."grant" (bucket, id desc);
create index grant_open_puts on holdfast."grant" (created_by, expires_at) where kind = 'put';
create index grant_ends on holdfast."grant" (expires_at);

-- The upload token that a write came by; `abort` and `reap` give its use back.
alter table holdfast.version
    add column grant_id uuid;

-- The grant that a download came by.
alter table holdfast.access_log
    add column grant_id uuid;
