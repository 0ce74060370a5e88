-- Who moved a version to the trash. When is `replaced_at`, as for a superseded one. It stays when the version
-- goes on from there: a purged row still tells who deleted it.
alter table holdfast.version
    add column deleted_by text,
    add constraint version_deleter_is_named check (deleted_by <> ''),
    add constraint version_in_the_trash_has_a_deleter check (state <> 'trashed' or deleted_by is not null);
