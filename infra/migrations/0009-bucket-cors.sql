-- What S3 was last told of the pages of other origins, so that it is told again only what is new.
alter table holdfast.bucket
    -- Null where we configured nothing there: what S3 does by itself, or what its operator configured, counts.
    add column cors_applied       text[],
    -- A worker tells it now. Until this is over no other one does; from then on nobody knows what S3 was told.
    add column cors_claimed_until timestamptz;
