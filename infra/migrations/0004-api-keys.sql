-- API keys. Of a key's secret only a hash is kept; it has 256 random bits, so a slow hash would gain nothing.
create table holdfast.api_key (
    id           uuid primary key,
    name         text        not null,
    owner        text        not null,
    roles        text[]      not null,
    -- Never null: a key always says what it is for.
    scopes       text[]      not null,
    hash         bytea       not null,
    created_by   text        not null,
    created_at   timestamptz not null,
    expires_at   timestamptz not null,
    revoked_at   timestamptz,
    revoked_by   text,
    -- A day and no time: a use must not cost a write.
    last_used_on date,

    constraint api_key_is_named check (char_length(name) between 1 and 128 and name !~ '[\u0001-\u001f\u007f-\u009f]'),
    constraint api_key_has_owner check (owner <> '' and created_by <> ''),
    constraint api_key_hash_is_sha256 check (octet_length(hash) = 32),
    constraint api_key_scopes_are_known check (scopes <@ '{upload,download,delete,admin}'),
    constraint api_key_expires_after_it_began check (expires_at > created_at),
    constraint api_key_revoked_by_somebody check ((revoked_at is null) = (revoked_by is null) and revoked_by <> '')
);

create index api_key_of_owner on holdfast.api_key (owner, id desc);
