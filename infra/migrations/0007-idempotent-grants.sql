-- Requests for grants that may be repeated, uses of grants in the audit log, and the end of API keys.

-- One row a principal and Idempotency-Key of presign, shares and tokens: what the first request was answered, without
-- what opens it. Only the transaction that made it sees it without an answer; whoever comes meanwhile waits.
create table holdfast.grant_request (
    principal   text collate "C" not null,
    key         text collate "C" not null,
    -- What the request asked for: another one under the same key is a client's mistake.
    fingerprint text        not null,
    answer      jsonb,
    created_at  timestamptz not null,
    primary key (principal, key),
    constraint grant_request_principal_is_named check (principal <> ''),
    constraint grant_request_key_is_short check (octet_length(key) between 1 and 300),
    constraint grant_request_fingerprint_is_short check (octet_length(fingerprint) between 1 and 128)
);

create index grant_request_by_time on holdfast.grant_request (created_at);

-- Uses are counted within a minute, as refusals are. The new check is not validated, because no row can break it yet.
alter table holdfast.audit
    -- The grant that was used.
    add column grant_id    uuid,
    -- Set for uses of a grant alone; the other columns then tell the last one of that minute.
    add column used_minute timestamptz,
    drop constraint audit_counts_refusals_only,
    add constraint audit_counts_within_a_minute check (
        count = 1 or minute is not null or used_minute is not null) not valid,
    add constraint audit_counts_uses_of_a_grant check (
        used_minute is null or (minute is null and grant_id is not null and ip is not null)) not valid;

create unique index audit_uses on holdfast.audit (grant_id, used_minute, actor, action, outcome, ip)
    where used_minute is not null;

-- Where `retire` finds the keys that ended long ago.
create index api_key_ends on holdfast.api_key (least(expires_at, revoked_at));
