-- Uploads whose parts are cut as their bytes come (TUS, long files of forms), beside those whose client numbers them.
alter table holdfast.upload_session
    -- Who cuts: parts = the client, by numbers; tus, form = we do.
    add column protocol    text not null default 'parts',
    -- Of TUS: an upload that is a piece of a later one, or one that is made of such pieces.
    add column concat      text,
    add column sources     uuid[],
    -- Upload-Metadata, letter by letter.
    add column described   text,
    drop constraint upload_session_size_is_one,
    add constraint upload_session_size_is_one
        check (size <= 5497558138880 and (size >= 1 or (size = 0 and protocol = 'tus'))),
    add constraint upload_session_protocol_is_one check (protocol in ('parts', 'tus', 'form')),
    add constraint upload_session_concat_is_one
        check (concat is null or (concat in ('partial', 'final') and protocol = 'tus')),
    add constraint upload_session_sources_are_a_finals check ((sources is not null) = (concat is not distinct from 'final')),
    add constraint upload_session_described_is_short check (octet_length(described) <= 16384);

-- Bytes that are too few for a part of S3 are an object of their own, until more come. At most the last row is one.
alter table holdfast.upload_part
    add column s3_key text,
    add constraint upload_part_s3_key_is_short check (octet_length(s3_key) between 1 and 1024);

create index upload_part_by_blob on holdfast.upload_part (s3_key) where s3_key is not null;
