-- Uploads in parts. What a session is, its version says: pending is open or completing, committed is done, and
-- aborting or aborted is given up. So no second state can disagree with the first.
create table holdfast.upload_session (
    version       uuid primary key references holdfast.version (id) on delete cascade,
    -- S3's; null until S3 gave one.
    upload_id     text,
    part_size     int8        not null,
    -- Declared; null = known at the end.
    size          int8,
    -- Whoever takes the session over gets the next one; what an earlier one sends is refused.
    epoch         int4        not null default 1,
    created_by    text collate "C" not null,
    -- As they were at its beginning: the worker commits what was asked for in their name.
    roles         text[]      not null default '{}',
    scopes        text[],
    created_at    timestamptz not null,
    expires_at    timestamptz not null,
    -- URLs for parts were signed, so S3 may hold parts that are not written down here.
    signed_until  timestamptz,
    -- From here on S3's Complete may have been sent: nobody aborts.
    completing_at timestamptz,
    -- How often that was decided: only the first and only one may take it back.
    completions   int4        not null default 0,
    -- When the worker looks at a completing session next.
    due_at        timestamptz,

    constraint upload_session_part_size_is_one check (part_size between 5242880 and 5368709120),
    constraint upload_session_size_is_one check (size between 1 and 5497558138880),
    constraint upload_session_upload_id_is_short check (octet_length(upload_id) between 1 and 1024),
    constraint upload_session_epoch_counts check (epoch >= 1),
    constraint upload_session_completing_is_due check ((completing_at is null) = (due_at is null))
);

create index upload_session_of_creator on holdfast.upload_session (created_by, version desc);
create index upload_session_due on holdfast.upload_session (due_at) where completing_at is not null;
create index upload_session_by_end on holdfast.upload_session (expires_at);

-- The parts that S3 acknowledged. A part that is sent again replaces its row.
create table holdfast.upload_part (
    version     uuid not null references holdfast.upload_session (version) on delete cascade,
    part_number int4 not null,
    size        int8 not null,
    etag        text not null,
    primary key (version, part_number),
    constraint upload_part_number_is_one check (part_number between 1 and 10000),
    constraint upload_part_size_is_one check (size between 0 and 5368709120),
    constraint upload_part_etag_is_bare check (etag <> '' and etag !~ '"' and octet_length(etag) <= 256)
);
