-- Templates, and what is known of images.

-- What a version is that was walked through as an image before it was committed, in pixels as they are stored.
create table holdfast.image (
    version uuid primary key references holdfast.version (id) on delete cascade,
    format  text not null,
    width   int4 not null,
    height  int4 not null,
    constraint image_format_is_known check (
        format in ('image/png', 'image/jpeg', 'image/webp', 'image/gif', 'image/avif')),
    constraint image_has_a_size check (width > 0 and height > 0)
);

-- Locked before the object of its background, wherever both are. Its background is the object `{id}/background` of the bucket templates, as that is at any time: no second state can
-- disagree with it.
create table holdfast.template (
    id         uuid primary key,
    -- Names it in the outbox, as -number beside the ids of objects.
    number     int8 generated always as identity unique,
    owner      text collate "C" not null,
    name       text        not null,
    -- Of the client's own, not looked into.
    data       jsonb       not null default '{}',
    -- Its events so far, and the number of its latest change.
    revision   int8        not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    deleted_at timestamptz,
    deleted_by text,
    constraint template_owner_is_named check (owner <> ''),
    constraint template_name_is_short check (char_length(name) between 1 and 255),
    constraint template_data_is_an_object check (jsonb_typeof(data) = 'object'),
    constraint template_data_is_small check (octet_length(data::text) <= 65536),
    constraint template_revision_counts check (revision >= 1),
    constraint template_deleted_by_somebody check ((deleted_at is null) = (deleted_by is null) and deleted_by <> '')
);

create index template_of_owner on holdfast.template (owner, id desc) where deleted_at is null;
create index template_by_age on holdfast.template (id desc) where deleted_at is null;
create index template_ends on holdfast.template (deleted_at) where deleted_at is not null;

-- What happens to a template is no commit of a version. Not validated: there is no such row yet.
alter table holdfast.outbox
    alter column version drop not null,
    add constraint outbox_of_objects_names_a_version check (version is not null or kind not like 'object.%') not valid;
